//! CourierService: courier companies. Everybody's keys are in `keys.rs`.

use std::ops::ControlFlow;

use gatepost_domain::principal::Principal;
use gatepost_proto::v1::{self, courier_service_server::CourierService};
use gatepost_storage::StoreError;
use tonic::{Request, Response, Status};

use super::{
    convert::{self, couriers as wire},
    page,
    status::status,
};
use crate::{
    auth::{caller, grant::Grant},
    platform::Platform,
    problem::{Problem, Taken, settle},
};

/// The service.
pub struct Couriers(pub Platform);

impl Couriers {
    async fn create(
        &self,
        caller: &Principal,
        request: &v1::CreateCourierRequest,
    ) -> Result<v1::CreateCourierResponse, Problem> {
        let courier = wire::courier(convert::present(request.courier.clone(), "courier")?)?;
        let mutation = match self.0.begin(caller, "CreateCourier", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        mutation.tx.insert_courier(&courier).await.map_err(|error| match error {
            StoreError::Exists => Problem::Exists(Taken::Courier),
            other => other.into(),
        })?;
        let answer = v1::CreateCourierResponse { courier: Some(wire::courier_to_proto(&courier)) };
        self.0.commit(mutation, answer, &[]).await
    }

    async fn list(
        &self,
        caller: &Principal,
        request: v1::ListCouriersRequest,
    ) -> Result<v1::ListCouriersResponse, Problem> {
        let size = page::size(request.page_size)?;
        let after = page::position(&request.page_token, caller, "couriers")?;
        let after = after.map(|id| id.parse().map_err(|_| Problem::PageToken)).transpose()?;
        let couriers = self.0.store.read().await?.couriers(after.as_ref(), size).await?;
        let full = couriers.len() as u64 == size;
        let last = couriers.last().filter(|_| full);
        Ok(v1::ListCouriersResponse {
            next_page_token: last.map_or_else(String::new, |c| page::token(c.id.as_str(), caller, "couriers")),
            couriers: couriers.iter().map(wire::courier_to_proto).collect(),
        })
    }
}

#[tonic::async_trait]
impl CourierService for Couriers {
    async fn create_courier(
        &self,
        request: Request<v1::CreateCourierRequest>,
    ) -> Result<Response<v1::CreateCourierResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.create(&caller, &request)).await.map(Response::new).map_err(status)
    }

    async fn list_couriers(
        &self,
        request: Request<v1::ListCouriersRequest>,
    ) -> Result<Response<v1::ListCouriersResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        self.list(&caller, request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn create_key(
        &self,
        request: Request<v1::CreateKeyRequest>,
    ) -> Result<Response<v1::CreateKeyResponse>, Status> {
        let grant = Grant::of(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.create_key(&grant, &request)).await.map(Response::new).map_err(status)
    }

    async fn rotate_key(
        &self,
        request: Request<v1::RotateKeyRequest>,
    ) -> Result<Response<v1::RotateKeyResponse>, Status> {
        let grant = Grant::of(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.rotate_key(&grant, &request)).await.map(Response::new).map_err(status)
    }

    async fn list_keys(&self, request: Request<v1::ListKeysRequest>) -> Result<Response<v1::ListKeysResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        self.keys(&caller, request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn revoke_key(
        &self,
        request: Request<v1::RevokeKeyRequest>,
    ) -> Result<Response<v1::RevokeKeyResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.revoke(&caller, &request)).await.map(Response::new).map_err(status)
    }

    async fn list_courier_webhooks(
        &self,
        request: Request<v1::ListCourierWebhooksRequest>,
    ) -> Result<Response<v1::ListCourierWebhooksResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        self.0.list_webhooks(&caller, request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn disable_courier_webhook(
        &self,
        request: Request<v1::DisableCourierWebhookRequest>,
    ) -> Result<Response<v1::DisableCourierWebhookResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.0.disable_webhook(&caller, &request)).await.map(Response::new).map_err(status)
    }

    async fn enable_courier_webhook(
        &self,
        request: Request<v1::EnableCourierWebhookRequest>,
    ) -> Result<Response<v1::EnableCourierWebhookResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.0.enable_webhook(&caller, &request)).await.map(Response::new).map_err(status)
    }
}
