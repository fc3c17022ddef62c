//! Valid requests for any rpc, made from its descriptor. What every field means is said here once; a field that is not
//! known fails the test that meets it, so that nothing new goes untried.

use gatepost_tests::clients::new_request_id;
use jiff::{SignedDuration, Timestamp};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value};

use super::estate::{Estate, Named};

/// What a field of a request is.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// Names something that is there, and belongs to somebody.
    Names(Named),
    /// A place in somebody's event log.
    Cursor,
    /// A place in somebody's list.
    PageToken,
    /// Chosen anew for every request.
    RequestId,
    /// A message whose own fields are looked at.
    Parts(MessageDescriptor),
    /// Something else, of which this is a valid one.
    Sample(Value),
    /// Something else that may be left out.
    Unset,
}

/// Fields from a request down to the one that is meant; of a list, its first element.
pub type Path = Vec<FieldDescriptor>;

/// A path as people write it.
pub fn written(path: &Path) -> String {
    path.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".")
}

/// What a field means.
fn meaning(field: &FieldDescriptor, now: Timestamp) -> Meaning {
    use Meaning::{Cursor, Names, PageToken, RequestId, Sample, Unset};
    let message = field.parent_message().name();
    let text = |text: &str| Sample(Value::String(text.to_owned()));
    match (message, field.name()) {
        (_, "request_id") => RequestId,
        (_, "page_token") => PageToken,
        (_, "parcel_id") => Names(Named::Parcel),
        (_, "tracking_number") => Names(Named::TrackingNumber),
        ("Community", "id") | (_, "community_id") => Names(Named::Community),
        ("Courier", "id") | (_, "courier_id") => Names(Named::Courier),
        ("Resident", "id") | (_, "resident_id" | "other_resident_id") => Names(Named::Resident),
        ("WebhookEndpoint", "id") | (_, "endpoint_id") => Names(Named::Endpoint),
        (_, "erasure_id") => Names(Named::Erasure),
        (_, "building_id") => Names(Named::Building),
        (_, "locker_id") => Names(Named::Locker),
        (_, "compartment_id") => Names(Named::Compartment),
        (_, "person_reference") => Names(Named::PersonReference),
        ("StreamEventsRequest", "after_sequence")
        | ("AcknowledgeEventsRequest", "sequence")
        | ("ReplayWebhooksRequest", "sequence" | "dead_letters_after" | "all_after") => Cursor,
        // Of a camera's own frames, and of an endpoint, which only the platform sets.
        ("StreamFramesRequest", "sequence") | ("WebhookEndpoint", "passed_sequence") => Unset,
        // A community's own places, which it names itself, and a measurement.
        (_, "topology" | "calibration") => Unset,
        (_, "name") => text("周杰"),
        (_, "phone") => text("13911110000"),
        (_, "building" | "unit" | "display_name" | "notice" | "reason") => text("一"),
        (_, "address" | "email" | "last_error") => Unset,
        (_, "time_zone") => text("Asia/Shanghai"),
        // Nobody answers there, and nobody is asked to wait for that.
        (_, "url") => text("https://127.0.0.1:9/"),
        // In a compartment it would be in the way of the next.
        (_, "deposit_consent") => Sample(Value::EnumNumber(2)),
        // Only what happened has one; a neighbour's is asked for in decisions.rs.
        (_, "decision_id") => Unset,
        (_, "photograph" | "jpeg") => Sample(Value::Bytes(vec![0xFF, 0xD8].into())),
        // Asked for after the resident, of that one's community.
        ("OpenCaptureRequest", "gate_id") => text("nowhere"),
        (_, "notice_sha256") => Unset,
        (_, "guardian") => text("file-7"),
        (_, "model") => text("yunet+sface@000000000000"),
        (_, "face_models") => Unset,
        ("ListParcelsRequest", "state") => Unset,
        (_, "until") => Sample(instant(field, now + SignedDuration::from_hours(1))),
        ("UpdateCommunityRequest", "update_mask") => Sample(mask(field, &["display_name"])),
        ("UpdateResidentRequest", "update_mask") => {
            Sample(mask(field, &["name", "phone", "email", "building_id", "unit", "person_reference"]))
        }
        ("UpdateWebhookEndpointRequest", "update_mask") => Sample(mask(field, &["url", "kinds"])),
        _ => by_kind(field, now),
    }
}

/// What a field means that is no text and no place in a log: these name nothing.
fn by_kind(field: &FieldDescriptor, now: Timestamp) -> Meaning {
    match field.kind() {
        Kind::Message(message) if message.full_name() == "google.protobuf.Timestamp" => {
            Meaning::Sample(instant(field, now))
        }
        Kind::Message(message) if message.full_name() == "google.protobuf.Duration" => Meaning::Unset,
        Kind::Message(message) if message.package_name() == "gatepost.v1" && !field.is_map() => Meaning::Parts(message),
        Kind::Enum(_) if field.is_list() => Meaning::Unset,
        Kind::Enum(values) => Meaning::Sample(Value::EnumNumber(values.values().nth(1).map_or(0, |one| one.number()))),
        Kind::Bool | Kind::Int32 | Kind::Float | Kind::Double => Meaning::Unset,
        _ => panic!("say in maker.rs what {} is", field.full_name()),
    }
}

fn instant(field: &FieldDescriptor, at: Timestamp) -> Value {
    let Kind::Message(message) = field.kind() else { panic!("{} is no message", field.full_name()) };
    let mut instant = DynamicMessage::new(message);
    instant.set_field_by_name("seconds", Value::I64(at.as_second()));
    listed(field, Value::Message(instant))
}

fn mask(field: &FieldDescriptor, paths: &[&str]) -> Value {
    let Kind::Message(message) = field.kind() else { panic!("{} is no message", field.full_name()) };
    let mut mask = DynamicMessage::new(message);
    let paths = paths.iter().map(|path| Value::String((*path).to_owned())).collect();
    mask.set_field_by_name("paths", Value::List(paths));
    Value::Message(mask)
}

fn listed(field: &FieldDescriptor, value: Value) -> Value {
    if field.is_list() { Value::List(vec![value]) } else { value }
}

/// The fields of a message that can be set at once: of each choice the one that names something, or else the last.
fn chosen(message: &MessageDescriptor, now: Timestamp) -> Vec<FieldDescriptor> {
    let free = message.fields().filter(|field| field.containing_oneof().is_none_or(|choice| choice.is_synthetic()));
    let mut chosen: Vec<_> = free.collect();
    for choice in message.oneofs().filter(|choice| !choice.is_synthetic()) {
        let names = choice.fields().find(|field| matches!(meaning(field, now), Meaning::Names(_)));
        chosen.extend(names.or_else(|| choice.fields().last()));
    }
    chosen
}

/// A valid request about what is its caller's own.
pub fn request(message: &MessageDescriptor, own: &Estate, now: Timestamp) -> DynamicMessage {
    let mut request = DynamicMessage::new(message.clone());
    for field in chosen(message, now) {
        let value = match meaning(&field, now) {
            Meaning::Names(named) => match (message.name(), named) {
                // What is new must have a name of its own.
                ("AnnounceParcelRequest" | "ParcelAnnouncement", Named::TrackingNumber) => {
                    Value::String(format!("new-{}", new_request_id()))
                }
                ("Resident", Named::PersonReference) => continue,
                (_, named) => Value::String(own.name(named).to_owned()),
            },
            Meaning::Cursor => Value::I64(0),
            Meaning::RequestId => Value::String(new_request_id()),
            Meaning::Parts(parts) => Value::Message(self::request(&parts, own, now)),
            Meaning::Sample(value) => value,
            Meaning::PageToken | Meaning::Unset => continue,
        };
        let value = if matches!(value, Value::List(_)) { value } else { listed(&field, value) };
        request.set_field(&field, value);
    }
    request
}

/// Every field of a request that is of interest here, choices not taken included.
pub fn fields(message: &MessageDescriptor, now: Timestamp) -> Vec<(Path, Meaning)> {
    let mut found = Vec::new();
    for field in message.fields() {
        match meaning(&field, now) {
            Meaning::Parts(parts) => found.extend(self::fields(&parts, now).into_iter().map(|(mut path, meaning)| {
                path.insert(0, field.clone());
                (path, meaning)
            })),
            Meaning::Sample(_) | Meaning::Unset => {}
            meaning => found.push((vec![field], meaning)),
        }
    }
    found
}

/// The request with another value in one place.
pub fn with(mut request: DynamicMessage, path: &[FieldDescriptor], value: Value) -> DynamicMessage {
    match path {
        [] => {}
        [field] => request.set_field(field, value),
        [field, rest @ ..] => {
            let within = request.get_field(field).into_owned();
            let parts = match &within {
                Value::List(all) => all.first().and_then(Value::as_message),
                one => one.as_message(),
            };
            let parts = parts.unwrap_or_else(|| panic!("{} is filled", field.full_name())).clone();
            request.set_field(field, listed(field, Value::Message(with(parts, rest, value))));
        }
    }
    request
}

/// The request under another request id, if it has one.
pub fn under(mut request: DynamicMessage, request_id: &str) -> DynamicMessage {
    let message = request.descriptor();
    if let Some(field) = message.get_field_by_name("request_id") {
        request.set_field(&field, Value::String(request_id.to_owned()));
    } else if let Some(inner) = message.get_field_by_name("announcement") {
        // Each announcement of a stream has its own.
        let path = [inner.clone(), nested(&inner)];
        request = with(request, &path, Value::String(request_id.to_owned()));
    }
    request
}

fn nested(field: &FieldDescriptor) -> FieldDescriptor {
    let Kind::Message(message) = field.kind() else { panic!("{} is no message", field.full_name()) };
    message.get_field_by_name("request_id").unwrap_or_else(|| panic!("{} has a request id", field.full_name()))
}
