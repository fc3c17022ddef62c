//! ParcelService: who, what, do, answer.

use std::ops::ControlFlow;

use gatepost_domain::{
    Parcel, Refusal, Step, Timestamp,
    id::{CourierId, ParcelId},
    journey::{Circumstances, cancel, deposit, door_delivery, pickup, place, recall},
    principal::Principal,
    recipient::Addressee,
    topology::Topology,
};
use gatepost_proto::v1::{self, parcel_service_server::ParcelService};
use gatepost_storage::{StoreError, Tx};
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{
    announcements::{self, NUMBER_MAX},
    convert::{self, parcels as wire},
    page,
    status::status,
};
use crate::{
    auth::caller,
    journey::{Setting, Wish},
    platform::Platform,
    problem::{Missing, Problem, settle},
};

/// The service.
pub struct Parcels {
    /// The parts.
    pub platform: Platform,
    /// Ends the streams.
    pub draining: CancellationToken,
}

type Answer<T> = Result<Response<T>, Status>;

/// The courier behind a call.
pub(super) fn courier<T>(request: &Request<T>) -> Result<CourierId, Problem> {
    match caller(request)? {
        Principal::Courier { courier } => Ok(courier),
        Principal::Camera { .. } | Principal::Worker | Principal::Administrator { .. } => {
            Err(Problem::Bug("a courier's rpc was called by another principal"))
        }
    }
}

/// One mutation on one parcel of the caller: its name, its request, and the step.
struct Call<'a, R> {
    courier: CourierId,
    rpc: &'static str,
    request_id: &'a str,
    parcel_id: &'a str,
    request: &'a R,
}

impl Parcels {
    /// Takes a step that needs nothing but its circumstances.
    async fn step<R: Message, A: Message + Default>(
        &self,
        call: &Call<'_, R>,
        step: impl Fn(Parcel, Circumstances<'_>, &Topology) -> Result<Step, Refusal>,
        answer: impl Fn(&Parcel, &Setting) -> A,
    ) -> Result<A, Problem> {
        settle(|| self.try_step(call, &step, &answer)).await
    }

    async fn try_step<R: Message, A: Message + Default>(
        &self,
        call: &Call<'_, R>,
        step: &impl Fn(Parcel, Circumstances<'_>, &Topology) -> Result<Step, Refusal>,
        answer: &impl Fn(&Parcel, &Setting) -> A,
    ) -> Result<A, Problem> {
        let caller = Principal::Courier { courier: call.courier.clone() };
        let mutation = match self.platform.begin(&caller, call.rpc, call.request_id, call.request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        // It may set deadlines, which must be there to be found when the policy changes.
        mutation.tx.keep_policies().await?;
        let parcel = own(&mutation.tx, &call.courier, call.parcel_id).await?;
        let setting = self.platform.setting(&mutation.tx, &parcel, mutation.now).await?;
        let step = step(parcel, setting.circumstances(), &setting.community.topology)?;
        let wanted = step.parcel.holds().map(|(locker, compartment, _)| (locker.clone(), compartment.clone()));
        let parcel = match (self.platform.save(&mutation.tx, step, &setting).await, wanted) {
            (Err(Problem::Store(StoreError::CompartmentTaken)), Some((locker, compartment))) => {
                return Err(Refusal::CompartmentTaken { locker, compartment }.into());
            }
            (saved, _) => saved?,
        };
        let answer = answer(&parcel, &setting);
        self.platform.commit(mutation, answer, &[parcel]).await
    }

    async fn suggest(
        &self,
        courier: &CourierId,
        request: &v1::SuggestPlacementRequest,
    ) -> Result<v1::SuggestPlacementResponse, Problem> {
        let caller = Principal::Courier { courier: courier.clone() };
        let mutation = match self.platform.begin(&caller, "SuggestPlacement", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let (tx, now) = (&mutation.tx, mutation.now);
        let parcel = own(tx, courier, &request.parcel_id).await?;
        let premises = self.platform.lock_premises(tx, &parcel.facts().community).await?;
        let unusable = wire::unusable(&request.unusable, &premises.community.topology)?;
        let setting = self.platform.setting(tx, &parcel, now).await?;
        let (mut ranking, mut may_deposit) = (Vec::new(), false);
        if let Addressee::Resident { resident, building, .. } = parcel.addressee().clone() {
            let facts = parcel.facts();
            let resident = tx.resident(resident).await?;
            let wish = Wish {
                parcel: facts.id,
                size: facts.size,
                home: &building,
                accessible: resident.as_ref().is_some_and(|resident| resident.needs_accessible),
                unusable: &unusable,
            };
            may_deposit = resident.is_some_and(|resident| Platform::may_deposit(facts.deposit_consent, &resident));
            ranking = self.platform.ranking(tx, &premises, &setting.policy, &wish, now).await?;
        }
        let best = place::Place { ranking: &ranking, may_deposit, unusable: &unusable, policy: &setting.policy };
        let step = place::suggest(parcel, best, now)?;
        let parcel = self.platform.save_placed(tx, step, &setting).await?;
        self.platform.note_unusable(&parcel, &unusable);
        let answer = v1::SuggestPlacementResponse {
            parcel: Some(wire::parcel_to_proto(&parcel)),
            ranking: wire::ranking_to_proto(&ranking),
        };
        self.platform.commit(mutation, answer, &[parcel]).await
    }

    async fn get(&self, courier: &CourierId, request: v1::GetParcelRequest) -> Result<Parcel, Problem> {
        use v1::get_parcel_request::Key;
        let tx = self.platform.store.read().await?;
        match convert::present(request.key, "key")? {
            Key::ParcelId(id) => own(&tx, courier, &id).await,
            Key::TrackingNumber(number) => {
                let missing = || Problem::NotFound(Missing::Parcel);
                // What cannot be announced is not asked of the database, which may not even take it for a text.
                let number = convert::required(&number, "tracking_number", NUMBER_MAX).map_err(|_| missing())?;
                tx.parcel_by_tracking_number(courier, &number).await?.ok_or_else(missing)
            }
        }
    }

    async fn list(
        &self,
        courier: &CourierId,
        request: v1::ListParcelsRequest,
    ) -> Result<v1::ListParcelsResponse, Problem> {
        let caller = Principal::Courier { courier: courier.clone() };
        let list = format!("parcels:{}", request.state);
        let size = page::size(request.page_size)?;
        let before = page::position(&request.page_token, &caller, &list)?.map(|at| mark(&at)).transpose()?;
        let state = wire::state_filter(request.state)?;
        let tx = self.platform.store.read().await?;
        let parcels = tx.parcels_of(courier, state, before, size).await?;
        let full = parcels.len() as u64 == size;
        let last = parcels.last().map(|p| format!("{} {}", p.facts().announced_at.as_millisecond(), p.id()));
        Ok(v1::ListParcelsResponse {
            next_page_token: last.filter(|_| full).map_or_else(String::new, |at| page::token(&at, &caller, &list)),
            parcels: parcels.iter().map(wire::parcel_to_proto).collect(),
        })
    }
}

/// A parcel of this courier; anybody else's does not exist.
pub(super) async fn own(tx: &Tx, courier: &CourierId, id: &str) -> Result<Parcel, Problem> {
    let missing = || Problem::NotFound(Missing::Parcel);
    let id: ParcelId = id.parse().map_err(|_| missing())?;
    tx.parcel(id).await?.filter(|parcel| parcel.facts().courier == *courier).ok_or_else(missing)
}

/// A place in a list by time and id.
pub(super) fn mark(position: &str) -> Result<(Timestamp, ParcelId), Problem> {
    let parse = || {
        let (ms, id) = position.split_once(' ')?;
        Some((Timestamp::from_millisecond(ms.parse().ok()?).ok()?, id.parse().ok()?))
    };
    parse().ok_or(Problem::PageToken)
}

/// Answers that hold nothing but the parcel.
macro_rules! parcel_only {
    ($answer:ident) => {
        |parcel: &Parcel, _: &Setting| v1::$answer { parcel: Some(wire::parcel_to_proto(parcel)) }
    };
}

/// The parts of a request that every step has.
macro_rules! call {
    ($request:ident, $rpc:literal) => {
        Call {
            courier: courier(&$request).map_err(status)?,
            rpc: $rpc,
            request_id: &$request.get_ref().request_id,
            parcel_id: &$request.get_ref().parcel_id,
            request: $request.get_ref(),
        }
    };
}

#[tonic::async_trait]
impl ParcelService for Parcels {
    async fn announce_parcel(&self, request: Request<v1::AnnounceParcelRequest>) -> Answer<v1::AnnounceParcelResponse> {
        let courier = courier(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.platform.announce(&courier, &request)).await.map(Response::new).map_err(status)
    }

    async fn announce_parcels(
        &self,
        request: Request<v1::AnnounceParcelsRequest>,
    ) -> Answer<v1::AnnounceParcelsResponse> {
        let courier = courier(&request).map_err(status)?;
        self.platform.announce_batch(&courier, request.get_ref()).await.map(Response::new).map_err(status)
    }

    type StreamAnnouncementsStream = announcements::Results;

    async fn stream_announcements(
        &self,
        request: Request<Streaming<v1::StreamAnnouncementsRequest>>,
    ) -> Answer<Self::StreamAnnouncementsStream> {
        let courier = courier(&request).map_err(status)?;
        let results =
            announcements::stream(self.platform.clone(), courier, request.into_inner(), self.draining.clone());
        Ok(Response::new(results))
    }

    async fn suggest_placement(
        &self,
        request: Request<v1::SuggestPlacementRequest>,
    ) -> Answer<v1::SuggestPlacementResponse> {
        let courier = courier(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.suggest(&courier, &request)).await.map(Response::new).map_err(status)
    }

    async fn confirm_deposit(&self, request: Request<v1::ConfirmDepositRequest>) -> Answer<v1::ConfirmDepositResponse> {
        let call = call!(request, "ConfirmDeposit");
        let deposit = deposit::Deposit {
            locker: convert::id(&call.request.locker_id, "locker_id").map_err(status)?,
            compartment: convert::id(&call.request.compartment_id, "compartment_id").map_err(status)?,
            deposited_at: convert::instant_or_none(call.request.deposit_time, "deposit_time").map_err(status)?,
        };
        let step = |parcel, circumstances: Circumstances<'_>, topology: &Topology| {
            deposit::deposit(parcel, &deposit, topology, circumstances)
        };
        self.step(&call, step, parcel_only!(ConfirmDepositResponse)).await.map(Response::new).map_err(status)
    }

    async fn confirm_pickup(&self, request: Request<v1::ConfirmPickupRequest>) -> Answer<v1::ConfirmPickupResponse> {
        let call = call!(request, "ConfirmPickup");
        let at = convert::instant_or_none(call.request.pickup_time, "pickup_time").map_err(status)?;
        let step = |parcel, circumstances: Circumstances<'_>, _: &Topology| pickup::pick_up(parcel, at, circumstances);
        self.step(&call, step, parcel_only!(ConfirmPickupResponse)).await.map(Response::new).map_err(status)
    }

    async fn cancel_parcel(&self, request: Request<v1::CancelParcelRequest>) -> Answer<v1::CancelParcelResponse> {
        let call = call!(request, "CancelParcel");
        let step = |parcel, circumstances: Circumstances<'_>, _: &Topology| cancel::cancel(parcel, circumstances);
        self.step(&call, step, parcel_only!(CancelParcelResponse)).await.map(Response::new).map_err(status)
    }

    async fn accept_recall(&self, request: Request<v1::AcceptRecallRequest>) -> Answer<v1::AcceptRecallResponse> {
        let call = call!(request, "AcceptRecall");
        let number = wire::recall_number(call.request.recall_number).map_err(status)?;
        let step =
            |parcel, circumstances: Circumstances<'_>, _: &Topology| recall::accept(parcel, number, circumstances);
        self.step(&call, step, parcel_only!(AcceptRecallResponse)).await.map(Response::new).map_err(status)
    }

    async fn refuse_recall(&self, request: Request<v1::RefuseRecallRequest>) -> Answer<v1::RefuseRecallResponse> {
        let call = call!(request, "RefuseRecall");
        convert::text(&call.request.reason, "reason", 200).map_err(status)?;
        let number = wire::recall_number(call.request.recall_number).map_err(status)?;
        let step = |parcel, circumstances: Circumstances<'_>, _: &Topology| {
            recall::refuse_recall(parcel, number, circumstances)
        };
        let answer = |parcel: &Parcel, setting: &Setting| v1::RefuseRecallResponse {
            parcel: Some(wire::parcel_to_proto(parcel)),
            recalled_again_after: Some(convert::duration_to_proto(setting.policy.recall_again_after)),
        };
        self.step(&call, step, answer).await.map(Response::new).map_err(status)
    }

    async fn report_door_delivery(
        &self,
        request: Request<v1::ReportDoorDeliveryRequest>,
    ) -> Answer<v1::ReportDoorDeliveryResponse> {
        let call = call!(request, "ReportDoorDelivery");
        let outcome = wire::outcome(call.request.outcome).map_err(status)?;
        let at = convert::instant_or_none(call.request.outcome_time, "outcome_time").map_err(status)?;
        let attempt = wire::attempt(call.request.attempt).map_err(status)?;
        let report = door_delivery::Report { outcome, at, attempt };
        let step = |parcel, circumstances: Circumstances<'_>, _: &Topology| {
            door_delivery::report(parcel, report, circumstances)
        };
        self.step(&call, step, parcel_only!(ReportDoorDeliveryResponse)).await.map(Response::new).map_err(status)
    }

    async fn get_parcel(&self, request: Request<v1::GetParcelRequest>) -> Answer<v1::GetParcelResponse> {
        let courier = courier(&request).map_err(status)?;
        let parcel = self.get(&courier, request.into_inner()).await.map_err(status)?;
        Ok(Response::new(v1::GetParcelResponse { parcel: Some(wire::parcel_to_proto(&parcel)) }))
    }

    async fn list_parcels(&self, request: Request<v1::ListParcelsRequest>) -> Answer<v1::ListParcelsResponse> {
        let courier = courier(&request).map_err(status)?;
        self.list(&courier, request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn get_recall_explanation(
        &self,
        request: Request<v1::GetRecallExplanationRequest>,
    ) -> Answer<v1::GetRecallExplanationResponse> {
        let courier = courier(&request).map_err(status)?;
        self.recall_explanation(&courier, request.get_ref()).await.map(Response::new).map_err(status)
    }
}
