//! WebhookService: where a courier wants its events, its secrets, and what was not delivered.

use std::ops::ControlFlow;

use gatepost_domain::{
    id::{CourierId, EndpointId},
    principal::Principal,
};
use gatepost_proto::v1::{self, replay_webhooks_request::Events, webhook_service_server::WebhookService};
use gatepost_storage::{Disabled, Letter, Replay, Tx, WebhookEndpoint};
use jiff::SignedDuration;
use tonic::{Request, Response, Status};

use super::{
    convert::{self, webhooks as wire},
    page,
    parcels::courier,
    status::status,
};
use crate::{
    courier_webhooks::Delivery,
    platform::{Mutation, Platform},
    problem::{Missing, Problem, settle},
    webhook::SigningKey,
};

/// The service.
pub struct Webhooks(pub Platform);

const ENDPOINTS_MAX: usize = 8;
const MASK: [&str; 3] = ["url", "enabled", "kinds"];
const OVERLAP_DEFAULT: SignedDuration = SignedDuration::from_hours(24);
const OVERLAP_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);

type Answer<T> = Result<Response<T>, Status>;

impl Webhooks {
    async fn create(
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

    async fn update(
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

    async fn delete(
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

    async fn rotate(
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

    async fn send_test(
        &self,
        courier: &CourierId,
        request: v1::SendTestWebhookRequest,
    ) -> Result<v1::SendTestWebhookResponse, Problem> {
        let endpoint = own(&self.0.store.read().await?, courier, &request.endpoint_id, false).await?;
        let _leave = self.0.courier_webhooks.begin_test().ok_or(Problem::Busy)?;
        let message = wire::Message::test(endpoint.id, self.0.new_id(), self.0.now());
        let delivery = self.0.courier_webhooks.deliver(&endpoint, &message, self.0.now()).await;
        let answer = v1::SendTestWebhookResponse { webhook_id: message.id, ..Default::default() };
        Ok(match delivery {
            Delivery::Taken(status) => {
                v1::SendTestWebhookResponse { delivered: true, http_status: status.as_u16().into(), ..answer }
            }
            Delivery::Gone => {
                let error = "the webhook answered 410: an enabled endpoint would be disabled".to_owned();
                v1::SendTestWebhookResponse { http_status: 410, error, ..answer }
            }
            Delivery::Failed { text, status, .. } => {
                let http_status = status.map_or(0, |status| status.as_u16().into());
                v1::SendTestWebhookResponse { http_status, error: text, ..answer }
            }
        })
    }

    async fn list_dead_letters(
        &self,
        courier: &CourierId,
        request: v1::ListDeadLettersRequest,
    ) -> Result<v1::ListDeadLettersResponse, Problem> {
        let caller = Principal::Courier { courier: courier.clone() };
        let list = format!("dead letters:{}", request.endpoint_id);
        let size = page::size(request.page_size)?;
        let after = page::position(&request.page_token, &caller, &list)?;
        let after = after.map_or(Ok(0), |at| at.parse().map_err(|_| Problem::PageToken))?;
        let tx = self.0.store.read().await?;
        let endpoint = own(&tx, courier, &request.endpoint_id, false).await?;
        let letters = tx.dead_letters(endpoint.id, after, size).await?;
        let last = letters.last().filter(|_| letters.len() as u64 == size);
        let token = |letter: &Letter| page::token(&letter.event.sequence.to_string(), &caller, &list);
        Ok(v1::ListDeadLettersResponse {
            next_page_token: last.map_or_else(String::new, token),
            dead_letters: letters.iter().map(wire::dead_letter_to_proto).collect(),
        })
    }

    async fn replay(
        &self,
        courier: &CourierId,
        request: &v1::ReplayWebhooksRequest,
    ) -> Result<v1::ReplayWebhooksResponse, Problem> {
        let call = ("ReplayWebhooks", &*request.request_id, &*request.endpoint_id);
        let (mutation, mut endpoint) = match self.begin(courier, call, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(begun) => begun,
        };
        let (tx, now) = (&mutation.tx, mutation.now);
        match convert::present(request.events, "events")? {
            Events::Sequence(sequence) => {
                check_kept(tx, courier, sequence.saturating_sub(1)).await?;
                let event = tx
                    .event(courier, sequence)
                    .await?
                    .ok_or_else(|| Problem::invalid("sequence", "an event's sequence, from 1 to the newest"))?;
                let again = Replay::One(sequence);
                if sequence <= endpoint.passed && tx.replay_letters(endpoint.id, again, now).await? == 0 {
                    let letter = Letter {
                        endpoint: endpoint.id,
                        event,
                        attempts: 0,
                        next_attempt_at: Some(now),
                        last_attempt_at: now,
                        last_error: String::new(),
                    };
                    tx.save_letter(courier, &letter).await?;
                }
            }
            Events::DeadLettersAfter(after) => {
                let after = not_negative(after, "dead_letters_after")?;
                tx.replay_letters(endpoint.id, Replay::DeadAfter(after), now).await?;
            }
            Events::DeadLettersSince(since) => {
                let since = convert::instant(since, "dead_letters_since")?;
                tx.replay_letters(endpoint.id, Replay::DeadSince(since), now).await?;
            }
            Events::AllAfter(after) => {
                let after = not_negative(after, "all_after")?;
                check_kept(tx, courier, after).await?;
                tx.delete_letters_after(endpoint.id, after).await?;
                endpoint.passed = endpoint.passed.min(after);
            }
        }
        endpoint.not_before = now;
        tx.change_endpoint(&endpoint).await?;
        let endpoint = Some(self.0.shown(tx, &endpoint).await?);
        let answer = self.0.commit(mutation, v1::ReplayWebhooksResponse { endpoint }, &[]).await?;
        self.0.wake_webhooks();
        Ok(answer)
    }

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

    fn check_url(&self, url: &str, field: &str) -> Result<(), Problem> {
        let checked = self.0.courier_webhooks.check(url);
        checked.map(|_| ()).map_err(|problem| Problem::invalid(field, problem.to_string()))
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

/// What an endpoint has failed so far no longer counts.
pub(super) fn forgive(endpoint: &mut WebhookEndpoint, mutation: &Mutation) {
    endpoint.failures = 0;
    endpoint.failing_since = None;
    endpoint.last_error.clear();
    endpoint.not_before = mutation.now;
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

fn not_negative(sequence: i64, field: &str) -> Result<i64, Problem> {
    if sequence < 0 { Err(Problem::invalid(field, "0, or an event's sequence")) } else { Ok(sequence) }
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
        let get = async {
            let tx = self.0.store.read().await?;
            let endpoint = own(&tx, &courier, &request.get_ref().endpoint_id, false).await?;
            Ok(v1::GetWebhookEndpointResponse { endpoint: Some(self.0.shown(&tx, &endpoint).await?) })
        };
        get.await.map(Response::new).map_err(status)
    }

    async fn list_webhook_endpoints(
        &self,
        request: Request<v1::ListWebhookEndpointsRequest>,
    ) -> Answer<v1::ListWebhookEndpointsResponse> {
        let courier = courier(&request).map_err(status)?;
        let list = async {
            let tx = self.0.store.read().await?;
            let mut endpoints = Vec::new();
            for endpoint in tx.endpoints_of(&courier).await? {
                endpoints.push(self.0.shown(&tx, &endpoint).await?);
            }
            Ok(v1::ListWebhookEndpointsResponse { endpoints })
        };
        list.await.map(Response::new).map_err(status)
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
