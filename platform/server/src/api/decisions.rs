//! Why something was decided, for staff, and of recalls for the courier. Every answer replays what is recorded.

use gatepost_domain::{
    id::{CourierId, DecisionId},
    principal::Principal,
};
use gatepost_proto::v1::{self, list_decisions_request::About};
use gatepost_storage::{DecisionRecord, Tx};

use super::{
    convert::{self, decisions as wire, parcels},
    parcels::{Parcels, own},
    residents::{Residents, resident},
};
use crate::{
    decision::{RECALL, Record},
    problem::{Missing, Problem},
};

/// Decisions in an answer, and looked through for a recall: a parcel has at most a hundred reminders.
const LISTED_MAX: u64 = 500;

impl Residents {
    pub(super) async fn decisions(
        &self,
        caller: &Principal,
        request: v1::ListDecisionsRequest,
    ) -> Result<v1::ListDecisionsResponse, Problem> {
        let tx = self.0.store.read().await?;
        // A recall names nobody: it is about its parcel, and so about whomever that is for.
        let (rows, whose) = match convert::present(request.about, "about")? {
            About::ParcelId(id) => {
                let missing = || Problem::NotFound(Missing::Parcel);
                let parcel = tx.parcel(id.parse().map_err(|_| missing())?).await?;
                let parcel = parcel.filter(|it| caller.administers(&it.facts().community)).ok_or_else(missing)?;
                let whose = parcel.addressee().resident_id();
                (tx.decisions_of(parcel.id(), whose, LISTED_MAX).await?, whose)
            }
            About::ResidentId(id) => {
                let id = resident(&tx, caller, &id).await?.id;
                (tx.decisions_about(id, LISTED_MAX).await?, Some(id))
            }
            About::DecisionId(id) => {
                let row = decision(&tx, caller, &id).await?;
                let parcel = match row.parcel {
                    Some(parcel) => tx.parcel(parcel).await?,
                    None => None,
                };
                (vec![row], parcel.and_then(|parcel| parcel.addressee().resident_id()))
            }
        };
        let told = |row: DecisionRecord| {
            let row = DecisionRecord { resident: row.resident.or(whose), ..row };
            Ok(wire::decision_to_proto(&row, &Record::read(&row)?))
        };
        Ok(v1::ListDecisionsResponse { decisions: rows.into_iter().map(told).collect::<Result<_, Problem>>()? })
    }
}

async fn decision(tx: &Tx, caller: &Principal, id: &str) -> Result<DecisionRecord, Problem> {
    let missing = || Problem::NotFound(Missing::Decision);
    let id: DecisionId = id.parse().map_err(|_| missing())?;
    tx.decision(id).await?.filter(|row| caller.administers(&row.community)).ok_or_else(missing)
}

impl Parcels {
    pub(super) async fn recall_explanation(
        &self,
        courier: &CourierId,
        request: &v1::GetRecallExplanationRequest,
    ) -> Result<v1::GetRecallExplanationResponse, Problem> {
        let number = parcels::recall_number(request.recall_number)?;
        let tx = self.platform.store.read().await?;
        let parcel = own(&tx, courier, &request.parcel_id).await?;
        for row in tx.decisions_of(parcel.id(), None, LISTED_MAX).await?.iter().filter(|row| row.rule == RECALL) {
            if let Some(told) = wire::recall_to_proto(row, &Record::read(row)?)
                && number.is_none_or(|number| i64::from(told.recall_number) == i64::from(number))
            {
                return Ok(told);
            }
        }
        Err(Problem::NotFound(Missing::Decision))
    }
}
