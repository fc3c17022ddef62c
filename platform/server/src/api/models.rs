//! ModelService: an upgrade of the model of faces is begun, looked at, switched and finished.

use std::ops::ControlFlow;

use gatepost_domain::principal::Principal;
use gatepost_proto::v1::{self, model_service_server::ModelService};
use gatepost_storage::{ModelUpgrade, Tx};
use tonic::{Request, Response, Status};

use super::{convert, status::status};
use crate::{
    auth::caller,
    platform::Platform,
    problem::{ModelUpgradeProblem, Problem, settle},
};

/// As of a worker's hello.
const MODEL_MAX: usize = 200;

/// The service.
pub struct Models(pub Platform);

impl Models {
    async fn start(
        &self,
        caller: &Principal,
        request: &v1::StartModelUpgradeRequest,
    ) -> Result<v1::StartModelUpgradeResponse, Problem> {
        let new = convert::required(&request.model, "model", MODEL_MAX)?;
        let mutation = match self.0.begin(caller, "StartModelUpgrade", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let tx = &mutation.tx;
        tx.lock_models().await?;
        match tx.model_upgrade().await? {
            Some(present) if present.new == new => {}
            Some(present) => return Err(ModelUpgradeProblem::UnderWay(present.new).into()),
            None => {
                let old = tx.enrolled_model().await?.ok_or(ModelUpgradeProblem::NothingEnrolled)?;
                if old == new {
                    return Err(Problem::invalid("model", "another one than is in use"));
                }
                tx.start_model_upgrade(&old, &new).await?;
                tracing::info!(old, new, "model upgrade started");
            }
        }
        let answer = v1::StartModelUpgradeResponse { upgrade: Some(told(tx, under_way(tx).await?).await?) };
        self.0.commit(mutation, answer, &[]).await
    }

    async fn upgrade(&self) -> Result<v1::GetModelUpgradeResponse, Problem> {
        let tx = self.0.store.read().await?;
        let model_in_use = tx.models().await?.in_use.unwrap_or_default();
        let upgrade = match tx.model_upgrade().await? {
            Some(upgrade) => Some(told(&tx, upgrade).await?),
            None => None,
        };
        Ok(v1::GetModelUpgradeResponse { model_in_use, upgrade })
    }

    async fn switch(
        &self,
        caller: &Principal,
        request: &v1::SwitchModelRequest,
    ) -> Result<v1::SwitchModelResponse, Problem> {
        let model = convert::required(&request.model, "model", MODEL_MAX)?;
        let mutation = match self.0.begin(caller, "SwitchModel", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let tx = &mutation.tx;
        tx.lock_models().await?;
        let present = under_way(tx).await?;
        if model != present.old && model != present.new {
            let either = format!("{} or {}", present.old, present.new);
            return Err(Problem::invalid("model", either));
        }
        tx.switch_model(model == present.new).await?;
        tracing::info!(model, "model in use switched");
        let answer = v1::SwitchModelResponse { upgrade: Some(told(tx, under_way(tx).await?).await?) };
        self.0.commit(mutation, answer, &[]).await
    }

    async fn finish(
        &self,
        caller: &Principal,
        request: &v1::FinishModelUpgradeRequest,
    ) -> Result<v1::FinishModelUpgradeResponse, Problem> {
        let mutation = match self.0.begin(caller, "FinishModelUpgrade", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let tx = &mutation.tx;
        tx.lock_models().await?;
        let present = under_way(tx).await?;
        let deleted = tx.finish_model_upgrade(&present).await?;
        tracing::info!(model = present.in_use(), deleted, "model upgrade finished");
        let model_in_use = present.in_use().to_owned();
        let answer = v1::FinishModelUpgradeResponse { model_in_use, faces_deleted: counted(deleted) };
        self.0.commit(mutation, answer, &[]).await
    }
}

async fn under_way(tx: &Tx) -> Result<ModelUpgrade, Problem> {
    Ok(tx.model_upgrade().await?.ok_or(ModelUpgradeProblem::NotUnderWay)?)
}

async fn told(tx: &Tx, upgrade: ModelUpgrade) -> Result<v1::ModelUpgrade, Problem> {
    let enrolled = tx.enrolled_under(&upgrade).await?;
    let said = upgrade.agreement;
    Ok(v1::ModelUpgrade {
        model_in_use: upgrade.in_use().to_owned(),
        old_model: upgrade.old,
        new_model: upgrade.new,
        enrolled_old: counted(enrolled.old),
        enrolled_new: counted(enrolled.new),
        to_enrol_again: counted(enrolled.old_only),
        agreement: Some(v1::ModelAgreement {
            same: counted(said.same),
            neither: counted(said.neither),
            only_old: counted(said.only_old),
            only_new: counted(said.only_new),
            different: counted(said.different),
        }),
    })
}

fn counted(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[tonic::async_trait]
impl ModelService for Models {
    async fn start_model_upgrade(
        &self,
        request: Request<v1::StartModelUpgradeRequest>,
    ) -> Result<Response<v1::StartModelUpgradeResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.start(&caller, &request)).await.map(Response::new).map_err(status)
    }

    async fn get_model_upgrade(
        &self,
        _request: Request<v1::GetModelUpgradeRequest>,
    ) -> Result<Response<v1::GetModelUpgradeResponse>, Status> {
        self.upgrade().await.map(Response::new).map_err(status)
    }

    async fn switch_model(
        &self,
        request: Request<v1::SwitchModelRequest>,
    ) -> Result<Response<v1::SwitchModelResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.switch(&caller, &request)).await.map(Response::new).map_err(status)
    }

    async fn finish_model_upgrade(
        &self,
        request: Request<v1::FinishModelUpgradeRequest>,
    ) -> Result<Response<v1::FinishModelUpgradeResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.finish(&caller, &request)).await.map(Response::new).map_err(status)
    }
}
