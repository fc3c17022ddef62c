//! Reminders on their way: written with the step, delivered from here at least once, retried with backoff, recorded.
//! Gate displays are not here: they are answered on the camera's own stream.

pub mod email;
pub mod outgoing;
pub mod reach;
pub mod webhook;
pub mod wording;

use gatepost_domain::{Timestamp, resident::Resident};
use gatepost_process::telemetry;
use gatepost_storage::{Channel, Delivery, NoticeRecord};
use jiff::SignedDuration;
use opentelemetry::KeyValue;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::{
    email::EmailChannel,
    outgoing::{DeliveryError, Outgoing},
    reach::Reach,
    webhook::WebhookChannel,
};
use crate::{platform::Platform, problem::Problem};

/// Waits between attempts; after the last, a notice has failed. Less than half a day in all: a later reminder would
/// meet the next one.
const BACKOFF: [SignedDuration; 7] = [
    SignedDuration::from_secs(5),
    SignedDuration::from_secs(30),
    SignedDuration::from_mins(2),
    SignedDuration::from_mins(10),
    SignedDuration::from_mins(30),
    SignedDuration::from_hours(2),
    SignedDuration::from_hours(6),
];
/// A webhook may ask to be left alone, but not for longer than this.
const RETRY_AFTER_MAX: SignedDuration = SignedDuration::from_hours(6);
/// How long an attempt may take before another replica tries: above every channel's own timeout.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(30);
const BATCH: u64 = 32;
const ERROR_MAX_CHARS: usize = 200;

/// The configured channels.
pub struct Channels {
    /// The residents' app.
    pub webhook: Option<WebhookChannel>,
    /// E-mail.
    pub email: Option<EmailChannel>,
}

/// Delivers what is due until the process drains.
pub async fn run(platform: Platform, channels: Channels, draining: CancellationToken) -> anyhow::Result<()> {
    let mut woken = platform.wakes.notices.subscribe();
    loop {
        woken.mark_unchanged();
        let next = match turn(&platform, &channels).await {
            Ok(next) => next.unwrap_or(Timestamp::MAX).min(platform.now() + LOOK_EVERY),
            Err(error) => {
                tracing::error!(%error, "notices not read, they will be tried again");
                platform.now() + SignedDuration::from_secs(1)
            }
        };
        tokio::select! {
            () = draining.cancelled() => return Ok(()),
            () = platform.clock.sleep_until(next) => {}
            _ = woken.changed() => {}
        }
    }
}

/// Tries everything that is due. Returns when the next attempt is.
async fn turn(platform: &Platform, channels: &Channels) -> Result<Option<Timestamp>, Problem> {
    loop {
        let now = platform.now();
        let tx = platform.store.write().await?;
        let due = tx.claim_notices(now, now + LEASE, BATCH).await?;
        tx.commit().await?;
        if due.is_empty() {
            let tx = platform.store.read().await?;
            let next = tx.next_notice_at().await?;
            let oldest = if next.is_some() { tx.oldest_notice().await? } else { None };
            let age = oldest.map_or(0.0, |oldest| now.duration_since(oldest).as_secs_f64().max(0.0));
            platform.metrics.notices_oldest.record(age, &[]);
            return Ok(next);
        }
        let attempts = due.into_iter().map(|notice| attempt(platform, channels, notice));
        for outcome in futures::future::join_all(attempts).await {
            outcome?;
        }
    }
}

async fn attempt(platform: &Platform, channels: &Channels, mut notice: NoticeRecord) -> Result<(), Problem> {
    let span = tracing::info_span!("notice", notice.id = %notice.id, channel = channel_name(notice.channel));
    telemetry::span_parent(&span, &notice.traceparent);
    let outcome = deliver(platform, channels, &notice).instrument(span).await?;
    let now = platform.now();
    notice.attempts += 1;
    notice.next_attempt_at = None;
    let word = match outcome {
        Ok(()) => {
            notice.delivery = Delivery::Delivered;
            notice.last_error.clear();
            "delivered"
        }
        Err(DeliveryError::Final(text)) => {
            notice.delivery = Delivery::Failed;
            notice.last_error = text.chars().take(ERROR_MAX_CHARS).collect();
            "failed"
        }
        Err(DeliveryError::Again { text, after }) => {
            notice.last_error = text.chars().take(ERROR_MAX_CHARS).collect();
            match BACKOFF.get(notice.attempts as usize - 1) {
                Some(wait) => {
                    let asked = after.unwrap_or(SignedDuration::ZERO).min(RETRY_AFTER_MAX);
                    notice.next_attempt_at = Some(now + (*wait).max(asked));
                    "again"
                }
                None => {
                    notice.delivery = Delivery::Failed;
                    "failed"
                }
            }
        }
    };
    let labels = [KeyValue::new("channel", channel_name(notice.channel)), KeyValue::new("outcome", word)];
    platform.metrics.notices.add(1, &labels);
    if notice.delivery == Delivery::Failed {
        tracing::warn!(notice.id = %notice.id, error = %notice.last_error, "reminder not delivered");
    }
    let tx = platform.store.write().await?;
    tx.save_notice(&notice).await?;
    tx.commit().await?;
    Ok(())
}

/// One attempt. The parcel is looked at again, and what the resident says about the channel: who has picked up, or wants
/// no more of it, is not reminded any more.
async fn deliver(
    platform: &Platform,
    channels: &Channels,
    notice: &NoticeRecord,
) -> Result<Result<(), DeliveryError>, Problem> {
    let final_ = |text: &str| Ok(Err(DeliveryError::Final(text.to_owned())));
    let Some((outgoing, resident)) = outgoing(platform, notice).await? else {
        return final_("the parcel waits no longer");
    };
    if !Reach::of_one(&platform.store.read().await?, notice.resident).await?.allows(notice.channel) {
        return final_("the resident does not agree to this channel");
    }
    match notice.channel {
        Channel::Webhook => match &channels.webhook {
            Some(webhook) => Ok(webhook.deliver(&outgoing, platform.now()).await),
            None => final_("no webhook is configured any more"),
        },
        Channel::Email => match &channels.email {
            Some(email) => Ok(email.deliver(&resident.email, &outgoing, platform.now()).await),
            None => final_("no smtp server is configured any more"),
        },
        Channel::GateDisplay => final_("displays are answered on the camera's stream"),
    }
}

async fn outgoing(platform: &Platform, notice: &NoticeRecord) -> Result<Option<(Outgoing, Resident)>, Problem> {
    let tx = platform.store.read().await?;
    let (Some(parcel), Some(resident)) = (tx.parcel(notice.parcel).await?, tx.resident(notice.resident).await?) else {
        return Ok(None);
    };
    let Some(stay) = parcel.stay() else { return Ok(None) };
    let Some(community) = tx.community(&resident.community).await? else { return Ok(None) };
    let locker_name = community.topology.locker(&stay.locker).map(|locker| locker.name.clone());
    let outgoing = Outgoing {
        notice: notice.id,
        parcel: parcel.id(),
        resident: resident.id,
        person_reference: resident.person_reference.clone(),
        community: community.id.clone(),
        cause: notice.cause.clone(),
        locker: stay.locker.clone(),
        locker_name: locker_name.unwrap_or_else(|| stay.locker.to_string()),
        compartment: stay.compartment.clone(),
    };
    Ok(Some((outgoing, resident)))
}

fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::GateDisplay => "gate_display",
        Channel::Webhook => "webhook",
        Channel::Email => "email",
    }
}
