//! proto/README.md tells what the code does: every reason, every kind of event. The schema of webhooks knows as much, and
//! the published service config tries nothing again that could happen twice.

use std::collections::{BTreeMap, BTreeSet};

use gatepost_proto::DESCRIPTORS;
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use serde_json::Value;

const PAGE: &str = include_str!("../../proto/README.md");
const SCHEMA: &str = include_str!("../../proto/webhook.schema.json");
const CONFIG: &str = include_str!("../../proto/client-service-config.json");
/// Where reasons are given.
const REASONS: [&str; 2] =
    [include_str!("../../platform/server/src/api/status.rs"), include_str!("../../platform/server/src/auth/grant.rs")];
/// What a courier's backend calls.
const SERVICES: [&str; 3] = ["ParcelService", "EventService", "WebhookService"];
/// As the documentation of AfterShip's tracking API lists them.
const AFTERSHIP: [&str; 9] = [
    "InfoReceived",
    "InTransit",
    "OutForDelivery",
    "AttemptFail",
    "Delivered",
    "AvailableForPickup",
    "Exception",
    "Expired",
    "Pending",
];

/// The rows of a section's table.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn public() -> Vec<FileDescriptorProto> {
    let descriptors = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    descriptors.file.into_iter().filter(|file| file.package() == "gatepost.v1").collect()
}

fn is_reason(word: &str) -> bool {
    word.len() > 3 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// `FailedPrecondition` as the page writes it.
fn written(code: &str) -> String {
    let mut text = String::new();
    for letter in code.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}

#[test]
fn every_reason_is_in_the_catalogue() {
    let mut told = BTreeMap::new();
    for row in table("Errors") {
        let [reasons, code, mend] = row[..] else { panic!("three cells: {row:?}") };
        assert!(!mend.is_empty(), "{reasons}: how to mend it?");
        for reason in reasons.split(", ") {
            assert!(told.insert(reason, format!("{code} {mend}")).is_none(), "{reason} stands twice");
        }
    }
    let literals = REASONS.iter().flat_map(|source| source.split('"').skip(1).step_by(2));
    let given: BTreeSet<&str> = literals.filter(|word| is_reason(word)).collect();
    assert_eq!(told.keys().copied().collect::<BTreeSet<_>>(), given);

    // Where a line has a code and a reason, they belong together.
    for source in REASONS {
        for text in source.split("Code::").skip(1) {
            let (code, rest) = text.split_at(text.find(|letter: char| !letter.is_alphanumeric()).unwrap());
            let Some(reason) = rest.strip_prefix(", \"").and_then(|rest| rest.split('"').next()) else { continue };
            assert!(told[reason].contains(&written(code)), "{reason} is {code}, the page says {}", told[reason]);
        }
    }
}

/// The values of an enum without its prefix, but for UNSPECIFIED.
fn values<'a>(files: &'a [FileDescriptorProto], name: &str, prefix: &str) -> BTreeSet<&'a str> {
    let mut enums = files.iter().flat_map(|file| &file.enum_type);
    let found = enums.find(|one| one.name() == name).unwrap();
    found.value.iter().skip(1).map(|value| value.name().strip_prefix(prefix).unwrap()).collect()
}

/// The fields of an event.
fn fields(files: &[FileDescriptorProto]) -> BTreeSet<&str> {
    let mut messages = files.iter().flat_map(|file| &file.message_type);
    messages.find(|one| one.name() == "Event").unwrap().field.iter().map(|field| field.name()).collect()
}

#[test]
fn every_kind_of_event_is_in_the_catalogue() {
    let files = public();
    let (kinds, fields) = (values(&files, "EventKind", "EVENT_KIND_"), fields(&files));
    let rows = table("Events");
    let mut told = BTreeSet::new();
    for row in &rows {
        let [kind, when, also, shipx, aftership] = row[..] else { panic!("five cells: {row:?}") };
        assert!(told.insert(kind), "{kind} stands twice");
        assert!(!when.is_empty() && !shipx.is_empty(), "{kind}");
        for field in also.split(", ").filter(|field| !field.is_empty()) {
            assert!(fields.contains(field.trim_matches('`')), "{kind}: an event has no {field}");
        }
        let status = aftership.trim_start_matches("= ").split(' ').next().unwrap();
        assert!(status == "=" || AFTERSHIP.contains(&status), "{kind}: {status} is no status of AfterShip");
    }
    assert_eq!(told, kinds);
}

#[test]
fn the_schema_of_webhooks_knows_every_kind_state_and_field() {
    let files = public();
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let listed = |property: &Value| -> BTreeSet<String> {
        let listed = property["anyOf"][0]["enum"].as_array().unwrap();
        listed.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    };
    let types = values(&files, "EventKind", "EVENT_KIND_");
    let types = types.iter().map(|kind| format!("parcel.{}", kind.to_lowercase()));
    assert_eq!(listed(&schema["properties"]["type"]), types.chain(["webhook.test".to_owned()]).collect());
    let properties = schema["$defs"]["event"]["properties"].as_object().unwrap();
    for (property, name, prefix) in
        [("parcel_state", "ParcelState", "PARCEL_STATE_"), ("reminder_cause", "ReminderCause", "REMINDER_CAUSE_")]
    {
        let values = values(&files, name, prefix).into_iter().map(str::to_owned).collect();
        assert_eq!(listed(&properties[property]), values);
    }
    // These two are attributes of the envelope.
    let fields: BTreeSet<_> =
        fields(&files).into_iter().filter(|name| !["event_time", "kind"].contains(name)).collect();
    assert_eq!(properties.keys().map(String::as_str).collect::<BTreeSet<_>>(), fields);
}

#[test]
fn only_what_happens_once_is_tried_again() {
    let files = public();
    let messages: BTreeMap<String, BTreeSet<&str>> = files
        .iter()
        .flat_map(|file| &file.message_type)
        .map(|one| (format!(".gatepost.v1.{}", one.name()), one.field.iter().map(|field| field.name()).collect()))
        .collect();
    let services = files.iter().flat_map(|file| &file.service).filter(|one| SERVICES.contains(&one.name()));
    let rpcs: BTreeMap<(String, &str), _> = services
        .flat_map(|one| one.method.iter().map(|rpc| ((format!("gatepost.v1.{}", one.name()), rpc.name()), rpc)))
        .collect();
    let config: Value = serde_json::from_str(CONFIG).unwrap();
    let mut named = BTreeSet::new();
    for config in config["methodConfig"].as_array().unwrap() {
        let timeout = config["timeout"].as_str().unwrap();
        assert!(timeout.ends_with('s'), "{timeout}");
        for name in config["name"].as_array().unwrap() {
            let [service, method] = ["service", "method"].map(|key| name[key].as_str().unwrap());
            let name = (service.to_owned(), method);
            let rpc = rpcs.get(&name).unwrap_or_else(|| panic!("there is no {service}/{method}"));
            assert!(!rpc.client_streaming() && !rpc.server_streaming(), "{method} is a stream");
            assert!(named.insert(name), "{method} is named twice");
            let once = messages[rpc.input_type()].contains("request_id");
            // An acknowledgement only ever moves on.
            let repeatable = once || method.starts_with("Get") || method.starts_with("List");
            let repeatable = repeatable || method == "AcknowledgeEvents";
            assert_eq!(config.get("retryPolicy").is_some(), repeatable, "{method}");
        }
        if let Some(policy) = config.get("retryPolicy") {
            assert_eq!(
                policy["retryableStatusCodes"],
                serde_json::json!(["UNAVAILABLE", "ABORTED", "RESOURCE_EXHAUSTED"])
            );
            assert_eq!(policy["maxAttempts"], 5, "the most that gRPC allows");
        }
    }
    let unary = rpcs.into_iter().filter(|(_, rpc)| !rpc.client_streaming() && !rpc.server_streaming());
    assert_eq!(named, unary.map(|(name, _)| name).collect(), "each rpc has a deadline");
}
