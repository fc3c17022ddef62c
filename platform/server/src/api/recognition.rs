//! How sure a recognition has to be, and what is known to have been mistaken: a community's recognition policy, and "not
//! me".

use std::ops::ControlFlow;

use gatepost_domain::{ReminderCause, Timestamp, id::CommunityId, journey::disown, principal::Principal};
use gatepost_matching::{MatchPolicy, ModelId};
use gatepost_proto::v1;
use gatepost_storage::{Misidentification, MisidentificationReason, StoreError};

use super::{
    communities::{Communities, administered},
    convert::{self, recognition as wire},
    residents::{Residents, resident},
};
use crate::{
    platform::Mutation,
    problem::{Missing, Problem},
    recognition::RecognitionPolicy,
    vision::models::Models,
};

/// Mistaken sightings in an answer.
const LISTED_MAX: u64 = 500;
/// Gallery sizes at which a policy must not be looser than the one before.
const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];
const WITHDRAWN: &str = "withdrawn: the sighting was of somebody else";

impl Communities {
    pub(super) async fn set_recognition(
        &self,
        caller: &Principal,
        request: &v1::SetRecognitionPolicyRequest,
    ) -> Result<v1::SetRecognitionPolicyResponse, Problem> {
        let wanted = wire::policy(convert::present(request.policy.clone(), "policy")?)?;
        let community: CommunityId = convert::id(&request.community_id, "community_id")?;
        let mutation = match self.0.begin(caller, "SetRecognitionPolicy", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let Mutation { tx, .. } = &mutation;
        tx.lock_community(&administered(tx, caller, &community).await?.id).await?;
        if let Some(calibration) = &wanted.calibration {
            let (models, measured) = (Models::read(tx).await?, ModelId::new(calibration.model.as_str()));
            if !models.has(&measured) {
                return Err(models.mismatch(&measured));
            }
        }
        let present = RecognitionPolicy::read(tx.recognition_policy(&community).await?)?;
        let looser = |size: &usize| wanted.similarity(*size) < present.similarity(*size);
        if SIZES.iter().any(looser) && tx.misidentification_stands(&community).await? {
            return Err(Problem::MisidentificationStands);
        }
        tx.set_recognition_policy(&community, &wanted.write()?).await?;
        let answer = v1::SetRecognitionPolicyResponse { policy: Some(wire::policy_to_proto(&wanted)) };
        self.0.commit(mutation, answer, &[]).await
    }

    pub(super) async fn recognition(
        &self,
        caller: &Principal,
        request: &v1::GetRecognitionPolicyRequest,
    ) -> Result<v1::GetRecognitionPolicyResponse, Problem> {
        let tx = self.0.store.read().await?;
        let community = administered(&tx, caller, &convert::id(&request.community_id, "community_id")?).await?.id;
        let policy = RecognitionPolicy::read(tx.recognition_policy(&community).await?)?;
        let model = Models::read(&tx).await?.in_use;
        let templates = match &model {
            Some(model) => policy.faces(&tx, &community, model, self.0.now()).await?.len(),
            None => 0,
        };
        let in_force = policy.chosen(model.as_ref(), templates, self.0.config.vision.similarity_min);
        let measured = in_force.measured();
        Ok(v1::GetRecognitionPolicyResponse {
            policy: Some(wire::policy_to_proto(&policy)),
            templates: templates as i64,
            similarity: in_force.similarity(),
            false_match_rate: measured.false_match_rate,
            extrapolated: measured.extrapolated,
            source: in_force.calibration.source,
            margin: MatchPolicy::default().margin,
            misidentification_stands: tx.misidentification_stands(&community).await?,
        })
    }
}

impl Residents {
    pub(super) async fn report_misidentification(
        &self,
        caller: &Principal,
        request: &v1::ReportMisidentificationRequest,
    ) -> Result<v1::ReportMisidentificationResponse, Problem> {
        let reminded_at = instant(request.decide_time)?;
        let mutation = match self.0.begin(caller, "ReportMisidentification", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let Mutation { tx, now, .. } = &mutation;
        let whose = resident(tx, caller, &request.resident_id).await?;
        let notices = tx.notices_of(whose.id, LISTED_MAX).await?;
        // Instants are kept in milliseconds, and so are those that a list tells.
        let same = |at: Timestamp| at.as_millisecond() == reminded_at.as_millisecond();
        let seen = notices.iter().filter(|notice| same(notice.decided_at)).find_map(|notice| match &notice.cause {
            ReminderCause::SeenAtGate { gate, similarity } => Some((notice.decided_at, gate.clone(), *similarity)),
            ReminderCause::UsualHour => None,
        });
        let (seen_at, gate, similarity) = seen.ok_or(Problem::NotFound(Missing::Reminder))?;
        let mistaken = Misidentification {
            resident: whose.id,
            community: whose.community.clone(),
            reason: MisidentificationReason::NotMe,
            gate,
            seen_at,
            similarity,
            other: None,
            reported_at: *now,
            settled_at: None,
        };
        let news = tx.insert_misidentification(&mistaken).await?;
        let withdrawn = tx.withdraw_notices(whose.id, seen_at, WITHDRAWN).await?;
        let mut moved = Vec::new();
        for parcel in tx.waiting_parcels(whose.id).await? {
            let setting = self.0.setting(tx, &parcel, *now).await?;
            let step = disown::disown(parcel, seen_at, setting.circumstances());
            if step.changed {
                moved.push(self.0.save(tx, step, &setting).await?);
            }
        }
        if news {
            self.0.metrics.misidentifications.add(1, &[opentelemetry::KeyValue::new("reason", "not_me")]);
        }
        let answer = v1::ReportMisidentificationResponse {
            misidentification: Some(wire::misidentification_to_proto(&mistaken)),
            parcels: moved.iter().map(|parcel| parcel.id().to_string()).collect(),
            notices_withdrawn: withdrawn as i32,
        };
        self.0.commit(mutation, answer, &moved).await
    }

    pub(super) async fn settle_misidentification(
        &self,
        caller: &Principal,
        request: &v1::SettleMisidentificationRequest,
    ) -> Result<v1::SettleMisidentificationResponse, Problem> {
        let seen_at = instant(request.see_time)?;
        let mutation = match self.0.begin(caller, "SettleMisidentification", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let whose = resident(&mutation.tx, caller, &request.resident_id).await?;
        let settled = mutation.tx.settle_misidentification(whose.id, seen_at, mutation.now).await;
        settled.map_err(|error| match error {
            StoreError::NotFound => Problem::NotFound(Missing::Misidentification),
            other => other.into(),
        })?;
        self.0.commit(mutation, v1::SettleMisidentificationResponse {}, &[]).await
    }

    pub(super) async fn misidentifications(
        &self,
        caller: &Principal,
        request: &v1::ListMisidentificationsRequest,
    ) -> Result<v1::ListMisidentificationsResponse, Problem> {
        let tx = self.0.store.read().await?;
        let community = administered(&tx, caller, &convert::id(&request.community_id, "community_id")?).await?;
        let mistaken = tx.misidentifications(&community.id, LISTED_MAX).await?;
        Ok(v1::ListMisidentificationsResponse {
            misidentifications: mistaken.iter().map(wire::misidentification_to_proto).collect(),
        })
    }
}

fn instant(time: Option<prost_types::Timestamp>) -> Result<Timestamp, Problem> {
    convert::instant(convert::present(time, "decide_time")?, "decide_time")
}
