//! Deliveries on demand: a test, what was given up, and events sent again.

use std::ops::ControlFlow;

use gatepost_domain::{id::CourierId, principal::Principal};
use gatepost_proto::v1::{self, replay_webhooks_request::Events};
use gatepost_storage::{Letter, Replay};

use super::{
    super::{
        convert::{self, webhooks as wire},
        page,
    },
    Webhooks, check_kept, own,
};
use crate::{courier_webhooks::Delivery, problem::Problem};

impl Webhooks {
    pub(super) async fn send_test(
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

    pub(super) async fn list_dead_letters(
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

    pub(super) async fn replay(
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
}

fn not_negative(sequence: i64, field: &str) -> Result<i64, Problem> {
    if sequence < 0 { Err(Problem::invalid(field, "0, or an event's sequence")) } else { Ok(sequence) }
}
