//! Endpoints: made, looked at, changed, deleted, and given new secrets.

use std::ops::ControlFlow;

use gatepost_domain::{
    id::{CourierId, EndpointId},
    principal::Principal,
};
use gatepost_proto::v1;
use gatepost_storage::{Disabled, WebhookEndpoint};
use jiff::SignedDuration;

use super::{
    super::convert::{self, webhooks as wire},
    Webhooks, own,
};
use crate::{platform::Mutation, problem::Problem, webhook::SigningKey};

const ENDPOINTS_MAX: usize = 8;
const MASK: [&str; 3] = ["url", "enabled", "kinds"];
const OVERLAP_DEFAULT: SignedDuration = SignedDuration::from_hours(24);
const OVERLAP_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Webhooks {
    pub(super) async fn create(
        &self,
        courier: &CourierId,
        request: &v1::CreateWebhookEndpointRequest,
    ) -> Result<v1::CreateWebhookEndpointResponse, Problem> {
        let caller = Principal::Courier { courier: courier.clone() };
        let mutation = match self.0.begin(&caller, "CreateWebhookEndpoint", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let tx = &mutation.tx;
        self.check_url(&request.url, "url")?;
        let kinds = wire::kinds(&request.kinds, "kinds")?;
        tx.lock_courier(courier).await?;
        if tx.endpoints_of(courier).await?.len() >= ENDPOINTS_MAX {
            return Err(Problem::EndpointsFull(ENDPOINTS_MAX));
        }
        let key = SigningKey::new();
        let secret = key.reveal();
        let endpoint = WebhookEndpoint {
            id: EndpointId(self.0.new_id()),
            courier: courier.clone(),
            created_at: mutation.now,
            url: request.url.clone(),
            kinds,
            disabled: None,
            secret: key.into_bytes(),
            previous_secret: None,
            passed: tx.event_cursor(courier).await?.newest,
            failures: 0,
            failing_since: None,
            last_error: String::new(),
            not_before: mutation.now,
        };
        tx.insert_endpoint(&endpoint).await?;
        // Only the answer without the secret is remembered: it is shown once.
        let shown = Some(self.0.shown(tx, &endpoint).await?);
        let answer = v1::CreateWebhookEndpointResponse { endpoint: shown, secret: String::new() };
        let answer = self.0.commit(mutation, answer, &[]).await?;
        Ok(v1::CreateWebhookEndpointResponse { secret, ..answer })
    }

    pub(super) async fn get(
        &self,
        courier: &CourierId,
        endpoint_id: &str,
    ) -> Result<v1::GetWebhookEndpointResponse, Problem> {
        let tx = self.0.store.read().await?;
        let endpoint = own(&tx, courier, endpoint_id, false).await?;
        Ok(v1::GetWebhookEndpointResponse { endpoint: Some(self.0.shown(&tx, &endpoint).await?) })
    }

    pub(super) async fn list(&self, courier: &CourierId) -> Result<v1::ListWebhookEndpointsResponse, Problem> {
        let tx = self.0.store.read().await?;
        let mut endpoints = Vec::new();
        for endpoint in tx.endpoints_of(courier).await? {
            endpoints.push(self.0.shown(&tx, &endpoint).await?);
        }
        Ok(v1::ListWebhookEndpointsResponse { endpoints })
    }

    pub(super) async fn update(
        &self,
        courier: &CourierId,
        request: &v1::UpdateWebhookEndpointRequest,
    ) -> Result<v1::UpdateWebhookEndpointResponse, Problem> {
        let wanted = convert::present(request.endpoint.as_ref(), "endpoint")?;
        let begun = self.begin(courier, ("UpdateWebhookEndpoint", &request.request_id, &wanted.id), request).await?;
        let (mutation, mut endpoint) = match begun {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(begun) => begun,
        };
        for path in &convert::present(request.update_mask.as_ref(), "update_mask")?.paths {
            match path.as_str() {
                "url" => {
                    self.check_url(&wanted.url, "endpoint.url")?;
                    endpoint.url.clone_from(&wanted.url);
                    forgive(&mut endpoint, &mutation);
                }
                "kinds" => endpoint.kinds = wire::kinds(&wanted.kinds, "endpoint.kinds")?,
                "enabled" if endpoint.disabled == Some(Disabled::ByAdministrator) => {
                    return Err(Problem::DisabledByAdministrator);
                }
                "enabled" if wanted.enabled => {
                    endpoint.disabled = None;
                    forgive(&mut endpoint, &mutation);
                }
                "enabled" => endpoint.disabled = Some(endpoint.disabled.unwrap_or(Disabled::ByCourier)),
                _ => return Err(Problem::invalid("update_mask", format!("only {}", MASK.join(", ")))),
            }
        }
        mutation.tx.change_endpoint(&endpoint).await?;
        let endpoint = Some(self.0.shown(&mutation.tx, &endpoint).await?);
        let answer = self.0.commit(mutation, v1::UpdateWebhookEndpointResponse { endpoint }, &[]).await?;
        self.0.wake_webhooks();
        Ok(answer)
    }

    pub(super) async fn delete(
        &self,
        courier: &CourierId,
        request: &v1::DeleteWebhookEndpointRequest,
    ) -> Result<v1::DeleteWebhookEndpointResponse, Problem> {
        let call = ("DeleteWebhookEndpoint", &*request.request_id, &*request.endpoint_id);
        let (mutation, endpoint) = match self.begin(courier, call, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(begun) => begun,
        };
        mutation.tx.delete_endpoint(endpoint.id).await?;
        self.0.commit(mutation, v1::DeleteWebhookEndpointResponse {}, &[]).await
    }

    pub(super) async fn rotate(
        &self,
        courier: &CourierId,
        request: &v1::RotateWebhookSecretRequest,
    ) -> Result<v1::RotateWebhookSecretResponse, Problem> {
        let overlap = match request.overlap {
            Some(overlap) => convert::duration(overlap, "overlap")?,
            None => OVERLAP_DEFAULT,
        };
        if overlap > OVERLAP_MAX {
            return Err(Problem::invalid("overlap", "0 seconds to 7 days"));
        }
        let call = ("RotateWebhookSecret", &*request.request_id, &*request.endpoint_id);
        let (mutation, mut endpoint) = match self.begin(courier, call, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(begun) => begun,
        };
        let key = SigningKey::new();
        let secret = key.reveal();
        let previous = std::mem::replace(&mut endpoint.secret, key.into_bytes());
        endpoint.previous_secret = (!overlap.is_zero()).then(|| (previous, mutation.now + overlap));
        mutation.tx.change_endpoint(&endpoint).await?;
        let shown = Some(self.0.shown(&mutation.tx, &endpoint).await?);
        let answer = v1::RotateWebhookSecretResponse { endpoint: shown, secret: String::new() };
        let answer = self.0.commit(mutation, answer, &[]).await?;
        Ok(v1::RotateWebhookSecretResponse { secret, ..answer })
    }

    fn check_url(&self, url: &str, field: &str) -> Result<(), Problem> {
        let checked = self.0.courier_webhooks.check(url);
        checked.map(|_| ()).map_err(|problem| Problem::invalid(field, problem.to_string()))
    }
}

/// What an endpoint has failed so far no longer counts.
pub(in crate::api) fn forgive(endpoint: &mut WebhookEndpoint, mutation: &Mutation) {
    endpoint.failures = 0;
    endpoint.failing_since = None;
    endpoint.last_error.clear();
    endpoint.not_before = mutation.now;
}
