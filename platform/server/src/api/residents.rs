//! ResidentService: the roster, consent, pickups, unresolved parcels and reminders. Faces are in `faces.rs`.

use std::ops::ControlFlow;

use gatepost_domain::{
    consent::Purpose,
    id::{ParcelId, ResidentId},
    journey::{announce, place},
    principal::Principal,
    recipient::Addressee,
    resident::Resident,
    usual::{PICKUPS_MAX, next_usual_pickup},
};
use gatepost_proto::v1;
use gatepost_storage::{StoreError, Tx};

use super::{
    communities::{administered, found},
    convert::{self, parcels, residents as wire},
    guardian, page,
    parcels::mark,
};
use crate::{
    journey::Wish,
    platform::{Mutation, Platform},
    problem::{Missing, Problem, Taken},
};

/// The service.
pub struct Residents(pub Platform);

const MASK: [&str; 8] =
    ["name", "phone", "email", "building_id", "unit", "person_reference", "needs_accessible", "under_14"];
/// Pickups a call.
const PICKUPS_A_CALL: usize = 1_000;

impl Residents {
    pub(super) async fn create(
        &self,
        caller: &Principal,
        request: &v1::CreateResidentRequest,
    ) -> Result<v1::CreateResidentResponse, Problem> {
        let id = ResidentId(self.0.new_id());
        let resident = wire::resident(id, convert::present(request.resident.clone(), "resident")?)?;
        let mutation = match self.0.begin(caller, "CreateResident", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return self.0.repeat_personal(caller, answer).await,
            ControlFlow::Continue(mutation) => mutation,
        };
        check_home(&mutation.tx, caller, &resident).await?;
        mutation.tx.insert_resident(&resident).await.map_err(taken)?;
        let answer = v1::CreateResidentResponse { resident: Some(wire::resident_to_proto(&resident)) };
        self.0.commit_personal(mutation, answer).await
    }

    pub(super) async fn update(
        &self,
        caller: &Principal,
        request: &v1::UpdateResidentRequest,
    ) -> Result<v1::UpdateResidentResponse, Problem> {
        let wanted = convert::present(request.resident.clone(), "resident")?;
        let mutation = match self.0.begin(caller, "UpdateResident", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return self.0.repeat_personal(caller, answer).await,
            ControlFlow::Continue(mutation) => mutation,
        };
        let present = resident(&mutation.tx, caller, &wanted.id).await?;
        let mut merged = wire::resident_to_proto(&present);
        for path in &convert::present(request.update_mask.as_ref(), "update_mask")?.paths {
            let (to, from) = match path.as_str() {
                "name" => (&mut merged.name, &wanted.name),
                "phone" => (&mut merged.phone, &wanted.phone),
                "email" => (&mut merged.email, &wanted.email),
                "building_id" => (&mut merged.building_id, &wanted.building_id),
                "unit" => (&mut merged.unit, &wanted.unit),
                "person_reference" => (&mut merged.person_reference, &wanted.person_reference),
                "needs_accessible" => {
                    merged.needs_accessible = wanted.needs_accessible;
                    continue;
                }
                "under_14" => {
                    merged.under_14 = wanted.under_14;
                    continue;
                }
                _ => return Err(Problem::invalid("update_mask", format!("only {}", MASK.join(", ")))),
            };
            to.clone_from(from);
        }
        let changed = wire::resident(present.id, merged)?;
        check_home(&mutation.tx, caller, &changed).await?;
        if changed.under_14 && !present.under_14 && present.agrees_to(Purpose::GateRecognition) {
            let guardian = mutation.tx.guardian_of(present.id, Purpose::GateRecognition).await?;
            guardian::check(&mutation.tx, &changed, Purpose::GateRecognition, &guardian).await?;
        }
        mutation.tx.update_resident(&changed).await.map_err(taken)?;
        let changed = resident(&mutation.tx, caller, &wanted.id).await?;
        let answer = v1::UpdateResidentResponse { resident: Some(wire::resident_to_proto(&changed)) };
        self.0.commit_personal(mutation, answer).await
    }

    pub(super) async fn get(&self, caller: &Principal, id: &str) -> Result<v1::Resident, Problem> {
        Ok(wire::resident_to_proto(&resident(&self.0.store.read().await?, caller, id).await?))
    }

    pub(super) async fn list(
        &self,
        caller: &Principal,
        request: v1::ListResidentsRequest,
    ) -> Result<v1::ListResidentsResponse, Problem> {
        let size = page::size(request.page_size)?;
        let list = format!("residents:{}", request.community_id);
        let after = page::position(&request.page_token, caller, &list)?;
        let after = after.map(|id| id.parse().map_err(|_| Problem::PageToken)).transpose()?;
        let tx = self.0.store.read().await?;
        let community = administered(&tx, caller, &convert::id(&request.community_id, "community_id")?).await?;
        let residents = tx.residents(&community.id, after, size).await?;
        let full = residents.len() as u64 == size;
        let last = residents.last().filter(|_| full);
        Ok(v1::ListResidentsResponse {
            next_page_token: last.map_or_else(String::new, |r| page::token(&r.id.to_string(), caller, &list)),
            residents: residents.iter().map(wire::resident_to_proto).collect(),
        })
    }

    pub(super) async fn delete(
        &self,
        caller: &Principal,
        request: &v1::DeleteResidentRequest,
    ) -> Result<v1::DeleteResidentResponse, Problem> {
        let mutation = match self.0.begin(caller, "DeleteResident", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let resident = resident(&mutation.tx, caller, &request.resident_id).await?;
        mutation.tx.delete_resident(resident.id, mutation.now).await?;
        self.0.commit(mutation, v1::DeleteResidentResponse {}, &[]).await
    }

    pub(super) async fn grant(
        &self,
        caller: &Principal,
        request: &v1::GrantConsentRequest,
    ) -> Result<v1::GrantConsentResponse, Problem> {
        let purpose = wire::purpose(request.purpose)?;
        let notice = wire::notice(request)?;
        let mutation = match self.0.begin(caller, "GrantConsent", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return self.0.repeat_personal(caller, answer).await,
            ControlFlow::Continue(mutation) => mutation,
        };
        let before = resident(&mutation.tx, caller, &request.resident_id).await?;
        guardian::check(&mutation.tx, &before, purpose, &notice.guardian).await?;
        mutation.tx.grant_consent(before.id, purpose, notice.clone(), mutation.now).await?;
        let after = resident(&mutation.tx, caller, &request.resident_id).await?;
        let answer = v1::GrantConsentResponse { resident: Some(wire::resident_to_proto(&after)) };
        self.0.commit_personal(mutation, answer).await
    }

    pub(super) async fn withdraw(
        &self,
        caller: &Principal,
        request: &v1::WithdrawConsentRequest,
    ) -> Result<v1::WithdrawConsentResponse, Problem> {
        let purpose = wire::purpose(request.purpose)?;
        let mutation = match self.0.begin(caller, "WithdrawConsent", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return self.0.repeat_personal(caller, answer).await,
            ControlFlow::Continue(mutation) => mutation,
        };
        let before = resident(&mutation.tx, caller, &request.resident_id).await?;
        mutation.tx.withdraw_consent(before.id, purpose, request.by_guardian, mutation.now).await?;
        if purpose == Purpose::GateRecognition {
            mutation.tx.delete_templates(before.id).await?;
        }
        let after = resident(&mutation.tx, caller, &request.resident_id).await?;
        let answer = v1::WithdrawConsentResponse { resident: Some(wire::resident_to_proto(&after)) };
        self.0.commit_personal(mutation, answer).await
    }

    pub(super) async fn import_pickups(
        &self,
        caller: &Principal,
        request: &v1::ImportPickupsRequest,
    ) -> Result<v1::ImportPickupsResponse, Problem> {
        if request.pickup_times.len() > PICKUPS_A_CALL {
            return Err(Problem::invalid("pickup_times", format!("at most {PICKUPS_A_CALL} a call")));
        }
        let mutation = match self.0.begin(caller, "ImportPickups", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let resident = resident(&mutation.tx, caller, &request.resident_id).await?;
        let mut added = 0;
        for (n, at) in request.pickup_times.iter().enumerate() {
            let at = convert::instant(*at, &format!("pickup_times[{n}]"))?;
            if at > mutation.now {
                return Err(gatepost_domain::Refusal::TimeInFuture.into());
            }
            added += i32::from(mutation.tx.record_pickup(resident.id, at).await?);
        }
        self.0.commit(mutation, v1::ImportPickupsResponse { added }, &[]).await
    }

    pub(super) async fn usual(&self, caller: &Principal, id: &str) -> Result<v1::GetUsualPickupResponse, Problem> {
        let tx = self.0.store.read().await?;
        let resident = resident(&tx, caller, id).await?;
        let community = found(&tx, &resident.community).await?;
        let policy = self.0.policy(&tx, &community.id, None).await?;
        let pickups = tx.pickups(resident.id, PICKUPS_MAX as u64).await?;
        let usual = next_usual_pickup(self.0.now(), &pickups, &community.time_zone, &policy);
        Ok(v1::GetUsualPickupResponse {
            next_time: Some(convert::instant_to_proto(usual.at)),
            pickups: usual.pickups as i32,
        })
    }

    pub(super) async fn unresolved(
        &self,
        caller: &Principal,
        request: v1::ListUnresolvedParcelsRequest,
    ) -> Result<v1::ListUnresolvedParcelsResponse, Problem> {
        let size = page::size(request.page_size)?;
        let list = format!("unresolved:{}", request.community_id);
        let after = page::position(&request.page_token, caller, &list)?.map(|at| mark(&at)).transpose()?;
        let tx = self.0.store.read().await?;
        let community = administered(&tx, caller, &convert::id(&request.community_id, "community_id")?).await?;
        let parcels = tx.unresolved_parcels(&community.id, after, size).await?;
        let full = parcels.len() as u64 == size;
        let last = parcels.last().map(|p| format!("{} {}", p.facts().announced_at.as_millisecond(), p.id()));
        let unresolved = |parcel: &gatepost_domain::Parcel| v1::UnresolvedParcel {
            parcel_id: parcel.id().to_string(),
            courier_id: parcel.facts().courier.to_string(),
            tracking_number: parcel.facts().tracking_number.clone(),
            recipient: match parcel.addressee() {
                Addressee::Unresolved(label) => Some(parcels::label_to_proto(label)),
                Addressee::Resident { .. } => None,
            },
        };
        Ok(v1::ListUnresolvedParcelsResponse {
            parcels: parcels.iter().map(unresolved).collect(),
            next_page_token: last.filter(|_| full).map_or_else(String::new, |at| page::token(&at, caller, &list)),
        })
    }

    pub(super) async fn resolve(
        &self,
        caller: &Principal,
        request: &v1::ResolveParcelRequest,
    ) -> Result<v1::ResolveParcelResponse, Problem> {
        let mutation = match self.0.begin(caller, "ResolveParcel", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let Mutation { tx, now, .. } = &mutation;
        let missing = || Problem::NotFound(Missing::Parcel);
        let id: ParcelId = request.parcel_id.parse().map_err(|_| missing())?;
        let parcel = tx.parcel(id).await?.filter(|parcel| caller.administers(&parcel.facts().community));
        let parcel = parcel.ok_or_else(missing)?;
        let resident = resident(tx, caller, &request.resident_id).await?;
        if resident.community != parcel.facts().community {
            return Err(Problem::NotFound(Missing::Resident));
        }
        let premises = self.0.lock_premises(tx, &resident.community).await?;
        let setting = self.0.setting(tx, &parcel, *now).await?;
        let facts = parcel.facts();
        let wish = Wish {
            parcel: facts.id,
            size: facts.size,
            home: &resident.building,
            accessible: resident.needs_accessible,
            unusable: &[],
        };
        let ranking = self.0.ranking(tx, &premises, &setting.policy, &wish, *now).await?;
        let may_deposit = Platform::may_deposit(facts.deposit_consent, &resident);
        let best = place::Place { ranking: &ranking, may_deposit, unusable: &[], policy: &setting.policy };
        let step = announce::resolve(parcel, &resident, best, *now)?;
        let parcel = self.0.save_placed(tx, step, &setting).await?;
        let answer = v1::ResolveParcelResponse { parcel: Some(parcels::parcel_to_proto(&parcel)) };
        self.0.commit(mutation, answer, &[parcel]).await
    }

    pub(super) async fn reminders(&self, caller: &Principal, id: &str) -> Result<v1::ListRemindersResponse, Problem> {
        let tx = self.0.store.read().await?;
        let resident = resident(&tx, caller, id).await?;
        let notices = tx.notices_of(resident.id, 200).await?;
        Ok(v1::ListRemindersResponse { reminders: notices.iter().map(wire::reminder_to_proto).collect() })
    }
}

/// A resident that must be there, for this administrator.
pub(super) async fn resident(tx: &Tx, caller: &Principal, id: &str) -> Result<Resident, Problem> {
    let missing = || Problem::NotFound(Missing::Resident);
    let resident = tx.resident(id.parse().map_err(|_| missing())?).await?;
    resident.filter(|resident| caller.administers(&resident.community)).ok_or_else(missing)
}

async fn check_home(tx: &Tx, caller: &Principal, resident: &Resident) -> Result<(), Problem> {
    let community = administered(tx, caller, &resident.community).await?;
    if community.topology.building_name(&resident.building).is_none() {
        return Err(Problem::invalid("resident.building_id", "a building of the community"));
    }
    Ok(())
}

fn taken(error: StoreError) -> Problem {
    match error {
        StoreError::Exists => Problem::Exists(Taken::PersonReference),
        other => other.into(),
    }
}
