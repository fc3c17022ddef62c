//! Webhook endpoints for the wire, and events as the JSON that webhooks carry.

use gatepost_domain::{
    Timestamp,
    id::{CourierId, EndpointId},
};
use gatepost_proto::v1;
use gatepost_storage::{Disabled, Letter, LetterCounts, StoredEvent, WebhookEndpoint};
use serde::Serialize;
use uuid::Uuid;

use super::{events, instant_to_proto};
use crate::problem::Problem;

/// A webhook: its id and what it says.
pub struct Message {
    /// The `webhook-id`.
    pub id: String,
    /// JSON.
    pub body: String,
}

/// The envelope of Standard Webhooks with the id that CloudEvents asks for.
#[derive(Serialize)]
struct Envelope<'a, D> {
    id: &'a str,
    r#type: &'a str,
    timestamp: Timestamp,
    data: D,
}

/// As `gatepost.v1.Event`, without what does not apply.
#[derive(Serialize)]
struct Event<'a> {
    sequence: i64,
    parcel_id: &'a str,
    tracking_number: &'a str,
    parcel_state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    recall_number: Option<i32>,
    #[serde(skip_serializing_if = "str::is_empty")]
    locker_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    compartment_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    building: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    unit: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reminder_cause: Option<String>,
}

#[derive(Serialize)]
struct Test {
    endpoint_id: String,
}

impl Message {
    /// An event of this courier's log, the same in every attempt.
    pub fn of_event(courier: &CourierId, stored: &StoredEvent) -> Self {
        let event = events::event_to_proto(stored);
        let (state, cause) = (event.parcel_state(), event.reminder_cause());
        let data = Event {
            sequence: event.sequence,
            parcel_id: &event.parcel_id,
            tracking_number: &event.tracking_number,
            parcel_state: state.as_str_name().trim_start_matches("PARCEL_STATE_").to_owned(),
            recall_number: Some(event.recall_number).filter(|number| *number != 0),
            locker_id: &event.locker_id,
            compartment_id: &event.compartment_id,
            building: &event.building,
            unit: &event.unit,
            reminder_cause: (cause != v1::ReminderCause::Unspecified)
                .then(|| cause.as_str_name().trim_start_matches("REMINDER_CAUSE_").to_owned()),
        };
        let id = format!("evt_{courier}_{}", event.sequence);
        Self::new(id, &type_name(event.kind()), stored.event.at, data)
    }

    /// A test of this endpoint.
    pub fn test(endpoint: EndpointId, id: Uuid, now: Timestamp) -> Self {
        let data = Test { endpoint_id: endpoint.to_string() };
        Self::new(format!("test_{}", id.simple()), "webhook.test", now, data)
    }

    fn new(id: String, r#type: &str, timestamp: Timestamp, data: impl Serialize) -> Self {
        let envelope = Envelope { id: &id, r#type, timestamp, data };
        let body = serde_json::to_string(&envelope).expect("this is a bug: texts and numbers are always JSON");
        Self { id, body }
    }
}

/// The type of events of a kind, such as `parcel.recall_requested`.
fn type_name(kind: v1::EventKind) -> String {
    format!("parcel.{}", kind.as_str_name().trim_start_matches("EVENT_KIND_").to_lowercase())
}

/// Whether an endpoint that wants these types wants this event.
pub fn is_wanted(event: &StoredEvent, kinds: &[String]) -> bool {
    kinds.is_empty() || kinds.contains(&type_name(events::kind_to_proto(&event.event.kind)))
}

/// The types of the kinds asked for.
pub fn kinds(asked: &[i32], field: &str) -> Result<Vec<String>, Problem> {
    let known = |kind: &i32| {
        let kind = v1::EventKind::try_from(*kind).ok().filter(|kind| *kind != v1::EventKind::Unspecified);
        kind.map(type_name).ok_or_else(|| Problem::invalid(field, "known kinds of events only"))
    };
    let mut kinds = asked.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    kinds.sort_unstable();
    kinds.dedup();
    Ok(kinds)
}

fn kinds_to_proto(kinds: &[String]) -> Vec<i32> {
    let kind = |name: &String| {
        let name = format!("EVENT_KIND_{}", name.trim_start_matches("parcel.").to_uppercase());
        v1::EventKind::from_str_name(&name).map(i32::from)
    };
    kinds.iter().filter_map(kind).collect()
}

/// An endpoint for the wire, never with its secrets.
pub fn endpoint_to_proto(endpoint: &WebhookEndpoint, counts: LetterCounts, now: Timestamp) -> v1::WebhookEndpoint {
    let previous = endpoint.previous_secret.as_ref().map(|(_, until)| *until).filter(|until| now < *until);
    v1::WebhookEndpoint {
        id: endpoint.id.to_string(),
        url: endpoint.url.clone(),
        enabled: endpoint.disabled.is_none(),
        kinds: kinds_to_proto(&endpoint.kinds),
        disabled_reason: reason_to_proto(endpoint.disabled).into(),
        create_time: Some(instant_to_proto(endpoint.created_at)),
        passed_sequence: endpoint.passed,
        retrying: i32::try_from(counts.retrying).unwrap_or(i32::MAX),
        dead_letters: i32::try_from(counts.dead).unwrap_or(i32::MAX),
        failing_since: endpoint.failing_since.map(instant_to_proto),
        last_error: endpoint.last_error.clone(),
        previous_secret_until: previous.map(instant_to_proto),
    }
}

fn reason_to_proto(disabled: Option<Disabled>) -> v1::DisabledReason {
    match disabled {
        None => v1::DisabledReason::Unspecified,
        Some(Disabled::ByCourier) => v1::DisabledReason::Courier,
        Some(Disabled::ByAdministrator) => v1::DisabledReason::Administrator,
        Some(Disabled::Gone) => v1::DisabledReason::Gone,
        Some(Disabled::Failing) => v1::DisabledReason::Failing,
    }
}

/// A dead letter for the wire.
pub fn dead_letter_to_proto(letter: &Letter) -> v1::DeadLetter {
    v1::DeadLetter {
        event: Some(events::event_to_proto(&letter.event)),
        last_attempt_time: Some(instant_to_proto(letter.last_attempt_at)),
        last_error: letter.last_error.clone(),
    }
}

/// An endpoint for staff: what follows the host of its address may be a secret.
pub fn endpoint_for_staff(endpoint: &WebhookEndpoint, counts: LetterCounts, now: Timestamp) -> v1::CourierWebhook {
    let mut shown = endpoint_to_proto(endpoint, counts, now);
    shown.url = url::Url::parse(&endpoint.url).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization());
    v1::CourierWebhook { courier_id: endpoint.courier.to_string(), endpoint: Some(shown) }
}

#[cfg(test)]
mod tests {
    use gatepost_domain::{CourierEvent, EventKind, id::ParcelId, parcel::StateName};
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    fn stored(kind: EventKind) -> StoredEvent {
        StoredEvent {
            sequence: 42,
            parcel: ParcelId(Uuid::from_u128(2)),
            tracking_number: "SX-1".into(),
            state: StateName::RecallRequested,
            event: CourierEvent { at: "2026-06-01T10:30:00Z".parse().unwrap(), kind },
        }
    }

    fn recall() -> EventKind {
        EventKind::RecallRequested {
            recall: 1,
            locker: "L1".parse().unwrap(),
            compartment: "A-07".parse().unwrap(),
            building: "3号楼".into(),
            unit: "1502".into(),
        }
    }

    #[test]
    fn an_event_says_what_the_stream_says() {
        let courier = "swift-express".parse().unwrap();
        let message = Message::of_event(&courier, &stored(recall()));
        assert_eq!(message.id, "evt_swift-express_42");
        assert_eq!(
            message.body,
            concat!(
                r#"{"id":"evt_swift-express_42","type":"parcel.recall_requested","timestamp":"2026-06-01T10:30:00Z","#,
                r#""data":{"sequence":42,"parcel_id":"pcl_00000000000000000000000000000002","tracking_number":"SX-1","#,
                r#""parcel_state":"RECALL_REQUESTED","recall_number":1,"locker_id":"L1","compartment_id":"A-07","#,
                r#""building":"3号楼","unit":"1502"}}"#
            )
        );
        let reminded = Message::of_event(&courier, &stored(EventKind::ReminderSent { at_gate: true }));
        assert!(reminded.body.ends_with(r#""reminder_cause":"SEEN_AT_GATE"}}"#), "{}", reminded.body);
    }

    #[test]
    fn no_field_of_the_stream_is_missing() {
        let descriptors = FileDescriptorSet::decode(gatepost_proto::DESCRIPTORS).unwrap();
        let file = descriptors.file.iter().find(|file| file.name() == "gatepost/v1/events.proto").unwrap();
        let event = file.message_type.iter().find(|message| message.name() == "Event").unwrap();
        let courier = "swift-express".parse().unwrap();
        let bodies = [recall(), EventKind::ReminderSent { at_gate: true }];
        let bodies = bodies.map(|kind| Message::of_event(&courier, &stored(kind)).body).join("");
        // These two are attributes of the envelope.
        for field in event.field.iter().map(|field| field.name()).filter(|name| !["event_time", "kind"].contains(name))
        {
            assert!(bodies.contains(&format!("\"{field}\":")), "{field} is not in the webhook");
        }
    }

    #[test]
    fn kinds_are_kept_by_the_names_of_their_types() {
        let asked = [v1::EventKind::RecallRequested.into(), v1::EventKind::Deposited.into()];
        let kept = kinds(&asked, "kinds").unwrap();
        assert_eq!(kept, ["parcel.deposited", "parcel.recall_requested"]);
        assert_eq!(kinds_to_proto(&kept), [2, 5]);
        assert!(is_wanted(&stored(recall()), &kept) && !is_wanted(&stored(EventKind::PickedUp), &kept));
        assert!(is_wanted(&stored(EventKind::PickedUp), &[]));
        for unknown in [0, 999, -1] {
            assert!(kinds(&[unknown], "kinds").is_err());
        }
    }
}
