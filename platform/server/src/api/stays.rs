//! What residents, or staff for them, may do about a waiting parcel: extend its stay, hold it, release it.

use std::ops::ControlFlow;

use gatepost_domain::{
    Parcel, Refusal, Step,
    id::ParcelId,
    journey::{Circumstances, extend, hold},
    principal::Principal,
};
use gatepost_proto::v1;
use prost::Message;

use super::{
    convert::{self, parcels::parcel_to_proto},
    residents::Residents,
};
use crate::problem::{Missing, Problem};

/// One call: who, and what in which words.
struct Call<'a, R> {
    caller: &'a Principal,
    rpc: &'static str,
    request_id: &'a str,
    parcel_id: &'a str,
    request: &'a R,
}

impl Residents {
    async fn stay_step<R: Message, A: Message + Default>(
        &self,
        call: Call<'_, R>,
        step: impl FnOnce(Parcel, Circumstances<'_>) -> Result<Step, Refusal>,
        answer: impl FnOnce(v1::Parcel) -> A,
    ) -> Result<A, Problem> {
        let mutation = match self.0.begin(call.caller, call.rpc, call.request_id, call.request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let missing = || Problem::NotFound(Missing::Parcel);
        let id: ParcelId = call.parcel_id.parse().map_err(|_| missing())?;
        let parcel = mutation.tx.parcel(id).await?;
        let parcel = parcel.filter(|parcel| call.caller.administers(&parcel.facts().community)).ok_or_else(missing)?;
        let setting = self.0.setting(&mutation.tx, &parcel, mutation.now).await?;
        let step = step(parcel, setting.circumstances())?;
        let parcel = self.0.save(&mutation.tx, step, &setting).await?;
        let answer = answer(parcel_to_proto(&parcel));
        self.0.commit(mutation, answer, &[parcel]).await
    }

    pub(super) async fn extend(
        &self,
        caller: &Principal,
        request: &v1::ExtendStayRequest,
    ) -> Result<v1::ExtendStayResponse, Problem> {
        let until = convert::instant_or_none(request.until, "until")?;
        let (request_id, parcel_id) = (&request.request_id, &request.parcel_id);
        let call = Call { caller, rpc: "ExtendStay", request_id, parcel_id, request };
        let step = |parcel, circumstances: Circumstances<'_>| extend::extend(parcel, until, circumstances);
        self.stay_step(call, step, |parcel| v1::ExtendStayResponse { parcel: Some(parcel) }).await
    }

    pub(super) async fn hold(
        &self,
        caller: &Principal,
        request: &v1::HoldStayRequest,
    ) -> Result<v1::HoldStayResponse, Problem> {
        let until = convert::instant(convert::present(request.until, "until")?, "until")?;
        let (request_id, parcel_id) = (&request.request_id, &request.parcel_id);
        let call = Call { caller, rpc: "HoldStay", request_id, parcel_id, request };
        let step = |parcel, circumstances: Circumstances<'_>| hold::hold(parcel, until, circumstances);
        self.stay_step(call, step, |parcel| v1::HoldStayResponse { parcel: Some(parcel) }).await
    }

    pub(super) async fn release(
        &self,
        caller: &Principal,
        request: &v1::ReleaseStayRequest,
    ) -> Result<v1::ReleaseStayResponse, Problem> {
        let (request_id, parcel_id) = (&request.request_id, &request.parcel_id);
        let call = Call { caller, rpc: "ReleaseStay", request_id, parcel_id, request };
        let step = |parcel, circumstances: Circumstances<'_>| hold::release(parcel, circumstances);
        self.stay_step(call, step, |parcel| v1::ReleaseStayResponse { parcel: Some(parcel) }).await
    }
}
