//! WebhookService: where a courier wants its events, its secrets, and what was not delivered.

mod deliveries;
mod endpoints;

use std::ops::ControlFlow;

use gatepost_domain::{
    id::{CourierId, EndpointId},
    principal::Principal,
};
use gatepost_proto::v1::{self, webhook_service_server::WebhookService};
use gatepost_storage::{Tx, WebhookEndpoint};
use tonic::{Request, Response, Status};

pub(super) use self::endpoints::forgive;
use super::{convert::webhooks as wire, parcels::courier, status::status};
use crate::{
    platform::{Mutation, Platform},
    problem::{Missing, Problem, settle},
};

/// The service.
pub struct Webhooks(pub Platform);

type Answer<T> = Result<Response<T>, Status>;

impl Webhooks {
    /// Begins a mutation of one endpoint of the caller, locked: its rpc, its request id, and the endpoint's id.
    async fn begin<A: prost::Message + Default>(
        &self,
        courier: &CourierId,
        (rpc, request_id, endpoint_id): (&'static str, &str, &str),
        request: &impl prost::Message,
    ) -> Result<ControlFlow<A, (Mutation, WebhookEndpoint)>, Problem> {
        let caller = Principal::Courier { courier: courier.clone() };
        let mutation = match self.0.begin(&caller, rpc, request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(ControlFlow::Break(answer)),
            ControlFlow::Continue(mutation) => mutation,
        };
        let endpoint = own(&mutation.tx, courier, endpoint_id, true).await?;
        Ok(ControlFlow::Continue((mutation, endpoint)))
    }
}

impl Platform {
    async fn shown(&self, tx: &Tx, endpoint: &WebhookEndpoint) -> Result<v1::WebhookEndpoint, Problem> {
        let counts = tx.letter_counts(&[endpoint.id]).await?.remove(&endpoint.id).unwrap_or_default();
        Ok(wire::endpoint_to_proto(endpoint, counts, self.now()))
    }

    /// Has endpoints looked at.
    pub(super) fn wake_webhooks(&self) {
        self.wakes.webhooks.send_modify(|count| *count += 1);
    }
}

/// An endpoint of this courier; anybody else's does not exist.
async fn own(tx: &Tx, courier: &CourierId, id: &str, lock: bool) -> Result<WebhookEndpoint, Problem> {
    let missing = || Problem::NotFound(Missing::Endpoint);
    let id: EndpointId = id.parse().map_err(|_| missing())?;
    let found = if lock { tx.lock_endpoint(id).await? } else { tx.endpoint(id).await? };
    found.filter(|endpoint| endpoint.courier == *courier).ok_or_else(missing)
}

/// That the event after this one is still there, or still to come.
pub(super) async fn check_kept(tx: &Tx, courier: &CourierId, after: i64) -> Result<(), Problem> {
    let newest = tx.event_cursor(courier).await?.newest;
    if after > newest {
        return Err(Problem::SequenceUnknown { sequence: after, newest });
    }
    let oldest = tx.oldest_event(courier).await?;
    if after.saturating_add(1) < oldest {
        return Err(Problem::EventsExpired { after, oldest });
    }
    Ok(())
}

#[tonic::async_trait]
impl WebhookService for Webhooks {
    async fn create_webhook_endpoint(
        &self,
        request: Request<v1::CreateWebhookEndpointRequest>,
    ) -> Answer<v1::CreateWebhookEndpointResponse> {
        let courier = courier(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.create(&courier, &request)).await.map(Response::new).map_err(status)
    }

    async fn get_webhook_endpoint(
        &self,
        request: Request<v1::GetWebhookEndpointRequest>,
    ) -> Answer<v1::GetWebhookEndpointResponse> {
        let courier = courier(&request).map_err(status)?;
        self.get(&courier, &request.get_ref().endpoint_id).await.map(Response::new).map_err(status)
    }

    async fn list_webhook_endpoints(
        &self,
        request: Request<v1::ListWebhookEndpointsRequest>,
    ) -> Answer<v1::ListWebhookEndpointsResponse> {
        let courier = courier(&request).map_err(status)?;
        self.list(&courier).await.map(Response::new).map_err(status)
    }

    async fn update_webhook_endpoint(
        &self,
        request: Request<v1::UpdateWebhookEndpointRequest>,
    ) -> Answer<v1::UpdateWebhookEndpointResponse> {
        let courier = courier(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.update(&courier, &request)).await.map(Response::new).map_err(status)
    }

    async fn delete_webhook_endpoint(
        &self,
        request: Request<v1::DeleteWebhookEndpointRequest>,
    ) -> Answer<v1::DeleteWebhookEndpointResponse> {
        let courier = courier(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.delete(&courier, &request)).await.map(Response::new).map_err(status)
    }

    async fn rotate_webhook_secret(
        &self,
        request: Request<v1::RotateWebhookSecretRequest>,
    ) -> Answer<v1::RotateWebhookSecretResponse> {
        let courier = courier(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.rotate(&courier, &request)).await.map(Response::new).map_err(status)
    }

    async fn send_test_webhook(
        &self,
        request: Request<v1::SendTestWebhookRequest>,
    ) -> Answer<v1::SendTestWebhookResponse> {
        let courier = courier(&request).map_err(status)?;
        self.send_test(&courier, request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Answer<v1::ListDeadLettersResponse> {
        let courier = courier(&request).map_err(status)?;
        self.list_dead_letters(&courier, request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn replay_webhooks(&self, request: Request<v1::ReplayWebhooksRequest>) -> Answer<v1::ReplayWebhooksResponse> {
        let courier = courier(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.replay(&courier, &request)).await.map(Response::new).map_err(status)
    }
}
