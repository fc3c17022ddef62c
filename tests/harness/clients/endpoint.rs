//! A courier's webhook endpoints, as its backend sets them up.

use gatepost_proto::v1::{
    self, WebhookEndpoint, replay_webhooks_request::Events, webhook_service_client::WebhookServiceClient,
};
use jiff::SignedDuration;

use super::{Answer, Authorised, Courier, WebhookReceiver, answer, new_request_id};
use crate::world::until;

impl Courier {
    /// The webhooks' rpcs.
    pub fn webhooks(&self) -> WebhookServiceClient<Authorised> {
        WebhookServiceClient::new(self.authorised())
    }

    /// Registers an endpoint for some kinds of events, or for all.
    pub async fn register(&self, url: &str, kinds: &[v1::EventKind]) -> Answer<v1::CreateWebhookEndpointResponse> {
        let kinds = kinds.iter().map(|kind| i32::from(*kind)).collect();
        let request = v1::CreateWebhookEndpointRequest { request_id: new_request_id(), url: url.to_owned(), kinds };
        answer(self.webhooks().create_webhook_endpoint(request).await)
    }

    /// Registers a receiver for every event; its endpoint's id.
    pub async fn listen(&self, receiver: &WebhookReceiver) -> String {
        let made = self.register(receiver.url(), &[]).await.expect("the endpoint is registered");
        receiver.also_trust(&made.secret);
        made.endpoint.expect("an endpoint").id
    }

    /// How an endpoint stands.
    pub async fn endpoint(&self, id: &str) -> Answer<WebhookEndpoint> {
        let request = v1::GetWebhookEndpointRequest { endpoint_id: id.to_owned() };
        answer(self.webhooks().get_webhook_endpoint(request).await).map(|answer| answer.endpoint.expect("an endpoint"))
    }

    /// Waits until an endpoint stands as it should.
    pub async fn endpoint_when(
        &self,
        what: &str,
        id: &str,
        wanted: impl Fn(&WebhookEndpoint) -> bool,
    ) -> WebhookEndpoint {
        until(what, || async { wanted(&self.endpoint(id).await.expect("the endpoint")) }).await;
        self.endpoint(id).await.expect("the endpoint")
    }

    /// Changes what the mask names.
    pub async fn change_endpoint(&self, endpoint: WebhookEndpoint, mask: &[&str]) -> Answer<WebhookEndpoint> {
        let paths = mask.iter().map(|path| (*path).to_owned()).collect();
        let request = v1::UpdateWebhookEndpointRequest {
            request_id: new_request_id(),
            endpoint: Some(endpoint),
            update_mask: Some(prost_types::FieldMask { paths }),
        };
        let answer = answer(self.webhooks().update_webhook_endpoint(request).await)?;
        Ok(answer.endpoint.expect("an endpoint"))
    }

    /// Has an endpoint called, or not.
    pub async fn enable_endpoint(&self, id: &str, enabled: bool) -> Answer<WebhookEndpoint> {
        self.change_endpoint(WebhookEndpoint { id: id.to_owned(), enabled, ..Default::default() }, &["enabled"]).await
    }

    /// Makes a new secret; the old one signs on for a while.
    pub async fn rotate(&self, id: &str, overlap: SignedDuration) -> Answer<v1::RotateWebhookSecretResponse> {
        let overlap = prost_types::Duration { seconds: overlap.as_secs(), nanos: overlap.subsec_nanos() };
        let request = v1::RotateWebhookSecretRequest {
            request_id: new_request_id(),
            endpoint_id: id.to_owned(),
            overlap: Some(overlap),
        };
        answer(self.webhooks().rotate_webhook_secret(request).await)
    }

    /// Sends a test event.
    pub async fn test_endpoint(&self, id: &str) -> Answer<v1::SendTestWebhookResponse> {
        let request = v1::SendTestWebhookRequest { endpoint_id: id.to_owned() };
        answer(self.webhooks().send_test_webhook(request).await)
    }

    /// A page of what an endpoint did not take.
    pub async fn dead_letters(
        &self,
        id: &str,
        page_size: i32,
        page_token: &str,
    ) -> Answer<v1::ListDeadLettersResponse> {
        let (endpoint_id, page_token) = (id.to_owned(), page_token.to_owned());
        let request = v1::ListDeadLettersRequest { endpoint_id, page_size, page_token };
        answer(self.webhooks().list_dead_letters(request).await)
    }

    /// Has events delivered again.
    pub async fn replay(&self, id: &str, events: Events) -> Answer<WebhookEndpoint> {
        let request = v1::ReplayWebhooksRequest {
            request_id: new_request_id(),
            endpoint_id: id.to_owned(),
            events: Some(events),
        };
        answer(self.webhooks().replay_webhooks(request).await).map(|answer| answer.endpoint.expect("an endpoint"))
    }
}
