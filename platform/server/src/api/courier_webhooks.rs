//! The webhook endpoints of couriers, as the property's staff see and stop them.

use std::ops::ControlFlow;

use gatepost_domain::{
    id::{CourierId, EndpointId},
    principal::Principal,
};
use gatepost_proto::v1;
use gatepost_storage::{Disabled, WebhookEndpoint};

use super::{convert::webhooks as wire, page, webhooks::forgive};
use crate::{
    platform::{Mutation, Platform},
    problem::{Missing, Problem},
};

impl Platform {
    /// A page of endpoints.
    pub(super) async fn list_webhooks(
        &self,
        caller: &Principal,
        request: v1::ListCourierWebhooksRequest,
    ) -> Result<v1::ListCourierWebhooksResponse, Problem> {
        let list = format!("webhooks:{}:{}", request.courier_id, request.disabled_only);
        let size = page::size(request.page_size)?;
        let after = page::position(&request.page_token, caller, &list)?;
        let after = after.map(|id| id.parse().map_err(|_| Problem::PageToken)).transpose()?;
        let courier: Option<CourierId> = match request.courier_id.as_str() {
            "" => None,
            id => Some(super::convert::id(id, "courier_id")?),
        };
        let tx = self.store.read().await?;
        let endpoints = tx.endpoints(courier.as_ref(), request.disabled_only, after, size).await?;
        let ids: Vec<EndpointId> = endpoints.iter().map(|endpoint| endpoint.id).collect();
        let counts = tx.letter_counts(&ids).await?;
        let last = endpoints.last().filter(|_| endpoints.len() as u64 == size);
        let show = |endpoint: &WebhookEndpoint| {
            wire::endpoint_for_staff(endpoint, counts.get(&endpoint.id).copied().unwrap_or_default(), self.now())
        };
        Ok(v1::ListCourierWebhooksResponse {
            next_page_token: last.map_or_else(String::new, |last| page::token(&last.id.to_string(), caller, &list)),
            webhooks: endpoints.iter().map(show).collect(),
        })
    }

    /// Stops an endpoint.
    pub(super) async fn disable_webhook(
        &self,
        caller: &Principal,
        request: &v1::DisableCourierWebhookRequest,
    ) -> Result<v1::DisableCourierWebhookResponse, Problem> {
        let mutation = match self.begin(caller, "DisableCourierWebhook", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let change = |endpoint: &mut WebhookEndpoint| endpoint.disabled = Some(Disabled::ByAdministrator);
        let webhook = Some(self.change_webhook(&mutation, &request.endpoint_id, change).await?);
        self.commit(mutation, v1::DisableCourierWebhookResponse { webhook }, &[]).await
    }

    /// Lets an endpoint go on.
    pub(super) async fn enable_webhook(
        &self,
        caller: &Principal,
        request: &v1::EnableCourierWebhookRequest,
    ) -> Result<v1::EnableCourierWebhookResponse, Problem> {
        let mutation = match self.begin(caller, "EnableCourierWebhook", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let change = |endpoint: &mut WebhookEndpoint| {
            endpoint.disabled = None;
            forgive(endpoint, &mutation);
        };
        let webhook = Some(self.change_webhook(&mutation, &request.endpoint_id, change).await?);
        let answer = self.commit(mutation, v1::EnableCourierWebhookResponse { webhook }, &[]).await?;
        self.wake_webhooks();
        Ok(answer)
    }

    async fn change_webhook(
        &self,
        mutation: &Mutation,
        id: &str,
        change: impl FnOnce(&mut WebhookEndpoint),
    ) -> Result<v1::CourierWebhook, Problem> {
        let (tx, missing) = (&mutation.tx, || Problem::NotFound(Missing::Endpoint));
        let id: EndpointId = id.parse().map_err(|_| missing())?;
        let mut endpoint = tx.lock_endpoint(id).await?.ok_or_else(missing)?;
        change(&mut endpoint);
        tx.change_endpoint(&endpoint).await?;
        let counts = tx.letter_counts(&[id]).await?.remove(&id).unwrap_or_default();
        Ok(wire::endpoint_for_staff(&endpoint, counts, mutation.now))
    }
}
