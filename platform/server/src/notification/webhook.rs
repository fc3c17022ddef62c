//! Reminders as signed calls to the property's own system: Standard Webhooks 1.0. Ids only; no name, phone or image.

use std::time::Duration;

use gatepost_domain::{ReminderCause, Timestamp, id::GateId};
use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::outgoing::{ChannelError, DeliveryError, Outgoing};
use crate::webhook::{Answered, Call, Caller, Reach, SigningKey};

/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The way to the property's own system.
pub struct WebhookChannel {
    caller: Caller,
    url: Url,
    key: [SigningKey; 1],
}

#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'static str,
    timestamp: Timestamp,
    data: Reminder<'a>,
}

#[derive(Serialize)]
struct Reminder<'a> {
    notice_id: String,
    parcel_id: String,
    resident_id: String,
    person_reference: &'a str,
    community_id: &'a str,
    cause: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    gate_id: Option<&'a str>,
    locker_id: &'a str,
    compartment_id: &'a str,
}

impl WebhookChannel {
    /// Checks the settings and loads what TLS needs.
    pub fn new(url: &str, secret: &SecretString) -> Result<Self, ChannelError> {
        let url = Url::parse(url).ok().filter(Url::has_host).ok_or(ChannelError::WebhookUrl)?;
        let caller = match url.scheme() {
            // Needs no certificates, and a machine may have none.
            "http" => Caller::trusting_only(Reach::Anywhere, TIMEOUT, Vec::new()),
            "https" => Caller::new(Reach::Anywhere, TIMEOUT, Vec::new()),
            _ => return Err(ChannelError::WebhookUrl),
        };
        let caller = caller.map_err(|_| ChannelError::NoCertificates)?;
        let key = SigningKey::parse(secret.expose_secret()).ok_or(ChannelError::WebhookSecret)?;
        Ok(Self { caller, url, key: [key] })
    }

    /// One attempt. Every attempt of one notice has the same `webhook-id`.
    pub async fn deliver(&self, notice: &Outgoing, now: Timestamp) -> Result<(), DeliveryError> {
        let id = notice.notice.to_string();
        let call = Call { url: &self.url, id: &id, body: body(notice, now)?, keys: &self.key };
        match self.caller.call(call, now).await {
            Ok(answered) => judge(answered),
            Err(unanswered) => Err(DeliveryError::again(unanswered.to_string())),
        }
    }
}

fn body(notice: &Outgoing, now: Timestamp) -> Result<String, DeliveryError> {
    let (cause, gate_id) = match &notice.cause {
        ReminderCause::SeenAtGate { gate, .. } => ("seen_at_gate", Some(GateId::as_str(gate))),
        ReminderCause::UsualHour => ("usual_hour", None),
    };
    let data = Reminder {
        notice_id: notice.notice.to_string(),
        parcel_id: notice.parcel.to_string(),
        resident_id: notice.resident.to_string(),
        person_reference: &notice.person_reference,
        community_id: notice.community.as_str(),
        cause,
        gate_id,
        locker_id: notice.locker.as_str(),
        compartment_id: notice.compartment.as_str(),
    };
    serde_json::to_string(&Payload { r#type: "parcel.reminder", timestamp: now, data })
        .map_err(|_| DeliveryError::Final("the notice could not be written as JSON".into()))
}

fn judge(answered: Answered) -> Result<(), DeliveryError> {
    let Answered { status, retry_after } = answered;
    if status.is_success() {
        return Ok(());
    }
    let text = answered.refusal();
    let passing = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
    if status.is_client_error() && !passing {
        return Err(DeliveryError::Final(text));
    }
    Err(DeliveryError::Again { text, after: retry_after })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::{
        Router,
        body::Bytes,
        extract::State,
        http::{HeaderMap, Response},
        routing::post,
    };
    use gatepost_domain::id::{NoticeId, ParcelId, ResidentId};
    use gatepost_process::clock::{Clock as _, SystemClock};
    use jiff::SignedDuration;
    use standardwebhooks::{HEADER_WEBHOOK_ID, Webhook};
    use tokio::{net::TcpListener, sync::mpsc};
    use uuid::Uuid;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn notice(cause: ReminderCause) -> Outgoing {
        Outgoing {
            notice: NoticeId(Uuid::from_u128(1)),
            parcel: ParcelId(Uuid::from_u128(2)),
            resident: ResidentId(Uuid::from_u128(3)),
            person_reference: "p-17".into(),
            community: "lotus-garden".parse().unwrap(),
            cause,
            locker: "L1".parse().unwrap(),
            locker_name: "东门柜".into(),
            compartment: "A-07".parse().unwrap(),
        }
    }

    fn channel(url: &str) -> WebhookChannel {
        WebhookChannel::new(url, &SECRET.into()).unwrap()
    }

    struct Property {
        url: String,
        calls: mpsc::UnboundedReceiver<(HeaderMap, Bytes)>,
    }

    /// A property's system that answers every call with `status` and these headers.
    async fn property(status: u16, headers: &[(&'static str, &str)]) -> Property {
        let (seen, calls) = mpsc::unbounded_channel();
        let headers: Arc<Vec<_>> = Arc::new(headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect());
        let answer = move |State(seen): State<mpsc::UnboundedSender<_>>, heads: HeaderMap, body: Bytes| async move {
            seen.send((heads, body)).unwrap();
            let answer = Response::builder().status(status);
            headers
                .iter()
                .fold(answer, |answer, (name, value)| answer.header(*name, value))
                .body(String::new())
                .unwrap()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks/secret-path", listener.local_addr().unwrap());
        let router = Router::new().route("/hooks/secret-path", post(answer)).with_state(seen);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Property { url, calls }
    }

    #[tokio::test]
    async fn the_other_side_can_verify_who_calls_and_recognise_a_repeat() {
        let mut property = property(204, &[]).await;
        let channel = channel(&property.url);
        let now = SystemClock.now();
        let notice = notice(ReminderCause::SeenAtGate { gate: "东门".parse().unwrap(), similarity: Some(0.8) });
        channel.deliver(&notice, now).await.unwrap();
        channel.deliver(&notice, now + SignedDuration::from_secs(1)).await.unwrap();
        let (headers, body) = property.calls.recv().await.unwrap();
        Webhook::new(SECRET).unwrap().verify(&body, &headers).unwrap();
        assert!(Webhook::new("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap().verify(&body, &headers).is_err());
        let (again, _) = property.calls.recv().await.unwrap();
        assert_eq!(headers[HEADER_WEBHOOK_ID], "ntc_00000000000000000000000000000001");
        assert_eq!(headers[HEADER_WEBHOOK_ID], again[HEADER_WEBHOOK_ID]);
    }

    #[test]
    fn the_payload_is_ids_and_nothing_else() {
        let now: Timestamp = "2026-06-01T10:30:00Z".parse().unwrap();
        let at_gate = notice(ReminderCause::SeenAtGate { gate: "东门".parse().unwrap(), similarity: Some(0.8) });
        assert_eq!(
            body(&at_gate, now).unwrap(),
            concat!(
                r#"{"type":"parcel.reminder","timestamp":"2026-06-01T10:30:00Z","data":{"#,
                r#""notice_id":"ntc_00000000000000000000000000000001","#,
                r#""parcel_id":"pcl_00000000000000000000000000000002","#,
                r#""resident_id":"res_00000000000000000000000000000003","#,
                r#""person_reference":"p-17","community_id":"lotus-garden","cause":"seen_at_gate","#,
                r#""gate_id":"东门","locker_id":"L1","compartment_id":"A-07"}}"#
            )
        );
        let usual = body(&notice(ReminderCause::UsualHour), now).unwrap();
        assert!(usual.contains(r#""cause":"usual_hour","locker_id""#), "{usual}");
    }

    #[tokio::test]
    async fn a_refusal_is_final_and_a_passing_trouble_is_not() {
        let now = SystemClock.now();
        let again = |status: u16, seconds: Option<i64>| {
            let after = seconds.map(SignedDuration::from_secs);
            Err(DeliveryError::Again { text: format!("the webhook answered {status}"), after })
        };
        let refused = |status: u16| Err(DeliveryError::Final(format!("the webhook answered {status}")));
        let week = (now + SignedDuration::from_hours(7 * 24)).to_string();
        type Case<'a> = (u16, &'a [(&'static str, &'a str)], Result<(), DeliveryError>);
        let cases: [Case; 12] = [
            (200, &[], Ok(())),
            (202, &[], Ok(())),
            (302, &[("location", "/elsewhere")], again(302, None)),
            (400, &[], refused(400)),
            (404, &[("retry-after", "5")], refused(404)),
            (410, &[], refused(410)),
            (408, &[], again(408, None)),
            (425, &[], again(425, None)),
            (429, &[("retry-after", "120")], again(429, Some(120))),
            (503, &[("retry-after", "999999")], again(503, Some(24 * 3600))),
            (503, &[("retry-after", &week)], again(503, None)),
            (500, &[("retry-after", "Mon, 01 Jun 2020 00:00:00 GMT")], again(500, Some(0))),
        ];
        for (status, headers, expected) in cases {
            let property = property(status, headers).await;
            let outcome = channel(&property.url).deliver(&notice(ReminderCause::UsualHour), now).await;
            assert_eq!(outcome, expected, "{status} {headers:?}");
        }
    }

    #[tokio::test]
    async fn an_address_that_nobody_answers_is_tried_again_and_never_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks/secret-path", listener.local_addr().unwrap());
        drop(listener);
        let outcome = channel(&url).deliver(&notice(ReminderCause::UsualHour), SystemClock.now()).await;
        assert_eq!(outcome, Err(DeliveryError::again("the webhook cannot be reached")));
    }

    #[tokio::test]
    async fn https_speaks_tls() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client_roots = WebhookChannel::new(&format!("https://{}", listener.local_addr().unwrap()), &SECRET.into());
        // A machine without CA certificates says so; every other opens with a TLS handshake.
        let Ok(channel) = client_roots else {
            assert_eq!(client_roots.err(), Some(ChannelError::NoCertificates));
            return;
        };
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut first = [0u8; 3];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut first).await.unwrap();
            first
        };
        let sent = notice(ReminderCause::UsualHour);
        let (first, outcome) = tokio::join!(server, channel.deliver(&sent, SystemClock.now()));
        assert_eq!(first, [0x16, 3, 1], "a handshake record of TLS");
        assert_eq!(outcome, Err(DeliveryError::again("the webhook cannot be reached")));
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let refused = |url: &str, secret: &str| WebhookChannel::new(url, &secret.into()).err();
        for url in ["", "example.org/hook", "ftp://example.org/hook", "mailto:a@example.org"] {
            assert_eq!(refused(url, SECRET), Some(ChannelError::WebhookUrl), "{url}");
        }
        for secret in ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert_eq!(refused("http://127.0.0.1/", secret), Some(ChannelError::WebhookSecret), "{secret}");
        }
    }
}
