//! Announcements: one, a batch, or a stream of them. However it comes, each announcement is decided in one place.

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc};

use futures::{StreamExt as _, stream::BoxStream};
use gatepost_domain::{
    Parcel, Timestamp,
    id::{CommunityId, CourierId, ParcelId},
    journey::{announce, place},
    parcel::Facts,
    placement::Candidate,
    principal::Principal,
    recipient::{Addressee, resolve},
};
use gatepost_process::telemetry;
use gatepost_proto::v1::{self, announcement_result::Outcome};
use gatepost_storage::{StoreError, Tx};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tonic_types::StatusExt as _;
use tracing::Instrument as _;
use uuid::Uuid;

use super::{
    convert::{self, parcels as wire},
    status::status,
};
use crate::{
    journey::{Setting, Wish},
    platform::Platform,
    problem::{Missing, Problem, settle},
};

/// Characters of a tracking number.
pub(super) const NUMBER_MAX: usize = 100;
const BATCH_MAX: usize = 1_000;
/// Announcements of a batch in one transaction: enough to share its cost, few enough that others need not wait long.
const BATCH_STEP: usize = 25;
/// Announcements of one stream under way at once.
const STREAM_STEP: usize = 16;
/// Lockers of a ranking that is one of many.
const RANKING_MAX: usize = 16;

/// What a stream of announcements answers.
pub type Results = BoxStream<'static, Result<v1::StreamAnnouncementsResponse, Status>>;

impl Platform {
    /// Announces one parcel.
    pub(super) async fn announce(
        &self,
        courier: &CourierId,
        request: &v1::AnnounceParcelRequest,
    ) -> Result<v1::AnnounceParcelResponse, Problem> {
        let caller = Principal::Courier { courier: courier.clone() };
        let mutation = match self.begin(&caller, "AnnounceParcel", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let announcement = v1::ParcelAnnouncement {
            community_id: request.community_id.clone(),
            tracking_number: request.tracking_number.clone(),
            recipient: request.recipient.clone(),
            size: request.size,
            deposit_consent: request.deposit_consent,
        };
        let (parcel, ranking) = self.decide(&mutation.tx, courier, &announcement, mutation.now).await?;
        let answer = v1::AnnounceParcelResponse {
            parcel: Some(wire::parcel_to_proto(&parcel)),
            ranking: wire::ranking_to_proto(&ranking),
        };
        self.commit(mutation, answer, &[parcel]).await
    }

    /// Announces a batch, some in each transaction. The batch's request id is claimed first, so that another body
    /// under it is refused; what a transaction answered is remembered with it, so that a batch that broke off goes on
    /// where it stood when it is sent again.
    pub(super) async fn announce_batch(
        &self,
        courier: &CourierId,
        request: &v1::AnnounceParcelsRequest,
    ) -> Result<v1::AnnounceParcelsResponse, Problem> {
        if !(1..=BATCH_MAX).contains(&request.announcements.len()) {
            return Err(Problem::invalid("announcements", format!("1 to {BATCH_MAX}")));
        }
        let caller = Principal::Courier { courier: courier.clone() };
        settle(|| self.claim_batch(courier, request)).await?;
        let mut results = Vec::with_capacity(request.announcements.len());
        for (number, announcements) in request.announcements.chunks(BATCH_STEP).enumerate() {
            let step = v1::AnnounceParcelsRequest {
                request_id: step_id(&request.request_id, number),
                announcements: announcements.to_vec(),
            };
            // The call itself has taken the first one.
            let more = step.announcements.len() - usize::from(number == 0);
            self.quotas.pace(&caller, more as u32).await;
            results.extend(settle(|| self.announce_some(courier, &step)).await?.results);
        }
        Ok(v1::AnnounceParcelsResponse { results })
    }

    async fn claim_batch(&self, courier: &CourierId, request: &v1::AnnounceParcelsRequest) -> Result<(), Problem> {
        let caller = Principal::Courier { courier: courier.clone() };
        match self.begin(&caller, "AnnounceParcels", &request.request_id, request).await? {
            ControlFlow::Break(()) => Ok(()),
            ControlFlow::Continue(claim) => self.commit(claim, (), &[]).await,
        }
    }

    async fn announce_some(
        &self,
        courier: &CourierId,
        request: &v1::AnnounceParcelsRequest,
    ) -> Result<v1::AnnounceParcelsResponse, Problem> {
        let caller = Principal::Courier { courier: courier.clone() };
        let mutation = match self.begin(&caller, "AnnounceParcels.step", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let communities: BTreeSet<CommunityId> =
            request.announcements.iter().filter_map(|announcement| announcement.community_id.parse().ok()).collect();
        // In one order for everybody: two batches that lock as they go could wait for each other.
        for community in &communities {
            match mutation.tx.lock_community(community).await {
                // That is for the announcement to be told.
                Ok(()) | Err(StoreError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (mut results, mut announced) = (Vec::new(), Vec::new());
        for announcement in &request.announcements {
            let outcome = match self.decide_one_of_many(&mutation.tx, courier, announcement, mutation.now).await {
                Ok((parcel, ranking)) => {
                    let outcome = announced_to_proto(wire::parcel_to_proto(&parcel), wire::ranking_to_proto(&ranking));
                    announced.push(parcel);
                    outcome
                }
                Err(problem) if concerns_one(&problem) => error_to_proto(&status(problem)),
                // A race lost here ends the transaction: the whole step is taken again.
                Err(Problem::Store(StoreError::TrackingNumberTaken)) => return Err(StoreError::Conflict.into()),
                Err(problem) => return Err(problem),
            };
            results.push(v1::AnnouncementResult { outcome: Some(outcome) });
        }
        self.commit(mutation, v1::AnnounceParcelsResponse { results }, &announced).await
    }

    /// As [`Platform::decide`], but a number that is taken is found before the database refuses it: the refusal
    /// would end the transaction for all.
    async fn decide_one_of_many(
        &self,
        tx: &Tx,
        courier: &CourierId,
        announcement: &v1::ParcelAnnouncement,
        now: Timestamp,
    ) -> Result<(Parcel, Vec<Candidate>), Problem> {
        let number = convert::required(&announcement.tracking_number, "tracking_number", NUMBER_MAX)?;
        if tx.parcel_by_tracking_number(courier, &number).await?.is_some() {
            return Err(Problem::NumberTaken);
        }
        self.decide(tx, courier, announcement, now).await
    }

    /// Resolves the recipient, ranks the lockers and reserves the best.
    async fn decide(
        &self,
        tx: &Tx,
        courier: &CourierId,
        announcement: &v1::ParcelAnnouncement,
        now: Timestamp,
    ) -> Result<(Parcel, Vec<Candidate>), Problem> {
        let facts = Facts {
            id: ParcelId(self.new_id()),
            courier: courier.clone(),
            community: convert::id(&announcement.community_id, "community_id")?,
            tracking_number: convert::required(&announcement.tracking_number, "tracking_number", NUMBER_MAX)?,
            size: wire::size(announcement.size, "size")?,
            deposit_consent: wire::deposit_consent(announcement.deposit_consent)?,
            announced_at: now,
            traceparent: telemetry::traceparent().unwrap_or_default(),
        };
        let label = wire::label(announcement.recipient.clone().unwrap_or_default())?;
        let premises = self.lock_premises(tx, &facts.community).await?;
        let community = &premises.community;
        let (policy, origins) = self.policy_with_origins(tx, &community.id, Some(courier)).await?;
        let candidates = tx.candidates(&community.id, &label).await?;
        let resident = resolve(&label, &candidates, &community.topology);
        let mut ranking: Vec<Candidate> = Vec::new();
        if let Some(resident) = resident {
            let wish = Wish {
                parcel: facts.id,
                size: facts.size,
                home: &resident.building,
                accessible: resident.needs_accessible,
                unusable: &[],
            };
            ranking = self.ranking(tx, &premises, &policy, &wish, now).await?;
        }
        let may_deposit = resident.is_some_and(|resident| Platform::may_deposit(facts.deposit_consent, resident));
        let addressee = resident.map_or_else(|| Addressee::Unresolved(label.clone()), Addressee::resident);
        let best = place::Place { ranking: &ranking, may_deposit, unusable: &[], policy: &policy };
        let step = announce::announce(facts, addressee, best);
        // Nothing that a new parcel asks of the world looks at past pickups.
        let policy = (Arc::new(policy), Arc::new(origins));
        let setting = Setting::new(Arc::clone(community), policy, now, &step.parcel, Vec::new());
        Ok((self.save_placed(tx, step, &setting).await?, ranking))
    }
}

/// The request id of one step of a batch, the same whenever the batch is sent again.
fn step_id(batch: &str, number: usize) -> String {
    let batch = Uuid::try_parse(batch).unwrap_or_default();
    let digest = Sha256::new().chain_update(batch).chain_update(number.to_be_bytes()).finalize();
    Uuid::from_slice(&digest[..16]).unwrap_or_default().to_string()
}

/// Whether this says something about one announcement, and nothing about the rest.
fn concerns_one(problem: &Problem) -> bool {
    matches!(problem, Problem::Invalid(_) | Problem::NotFound(Missing::Community) | Problem::NumberTaken)
}

fn announced_to_proto(parcel: v1::Parcel, mut ranking: Vec<v1::RankedLocker>) -> Outcome {
    ranking.truncate(RANKING_MAX);
    Outcome::Announced(v1::AnnouncedParcel { parcel: Some(parcel), ranking })
}

fn error_to_proto(status: &Status) -> Outcome {
    let reason = status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default();
    Outcome::Error(v1::AnnouncementError { code: status.code().into(), reason, message: status.message().to_owned() })
}

/// Answers announcements as they come, until the caller has sent all or the server drains.
pub(super) fn stream(
    platform: Platform,
    courier: CourierId,
    requests: Streaming<v1::StreamAnnouncementsRequest>,
    draining: CancellationToken,
) -> Results {
    let until = draining.clone().cancelled_owned();
    let results = requests
        .take_until(until)
        .map(move |request| {
            let (platform, courier) = (platform.clone(), courier.clone());
            // A task of its own, because a caller that reads no results must not leave a transaction standing.
            let work = tokio::spawn(async move { one(&platform, &courier, request?).await }.in_current_span());
            async move { work.await.unwrap_or_else(|_| Err(status(Problem::Bug("an announcement panicked")))) }
        })
        .buffered(STREAM_STEP);
    let end = futures::stream::once(async move {
        if draining.is_cancelled() { Some(Err(status(Problem::Draining))) } else { None }
    });
    results.chain(end.filter_map(std::future::ready)).boxed()
}

async fn one(
    platform: &Platform,
    courier: &CourierId,
    request: v1::StreamAnnouncementsRequest,
) -> Result<v1::StreamAnnouncementsResponse, Status> {
    let announcement = request.announcement.unwrap_or_default();
    platform.quotas.pace(&Principal::Courier { courier: courier.clone() }, 1).await;
    let outcome = match settle(|| platform.announce(courier, &announcement)).await {
        Ok(answer) => announced_to_proto(answer.parcel.unwrap_or_default(), answer.ranking),
        Err(problem) => error_to_proto(&status(problem)),
    };
    let result = Some(v1::AnnouncementResult { outcome: Some(outcome) });
    Ok(v1::StreamAnnouncementsResponse { request_id: announcement.request_id, result })
}
