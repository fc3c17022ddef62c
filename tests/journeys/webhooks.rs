//! Reminders leave as signed webhooks, are tried again with patience, and every attempt is on record.

use gatepost_proto::v1::{ConsentPurpose, DeliveryState, EventKind, ReminderRecord};
use gatepost_tests::{
    clients::{Label, Resident, WEBHOOK_SECRET, WebhookReceiver},
    world::{COMMUNITY, NORTH_GATE, Stack, World, hours},
};
use jiff::SignedDuration;

/// As documented: after each failure the next attempt waits this many seconds.
const BACKOFF_SECONDS: [i64; 7] = [5, 30, 120, 600, 1_800, 7_200, 21_600];

/// A world whose reminders go to a receiver.
async fn world(stack: Stack) -> (World, WebhookReceiver) {
    let receiver = WebhookReceiver::start().await;
    let configured = World::builder().on(stack).config(|config| {
        config.webhook.url = receiver.url().to_owned();
        config.webhook.secret = WEBHOOK_SECRET.into();
    });
    (configured.start().await, receiver)
}

/// The record of one resident's only reminder, after so many attempts.
async fn attempted(resident: &Resident, attempts: i32) -> ReminderRecord {
    let wanted = |records: &[ReminderRecord]| records.len() == 1 && records[0].attempts == attempts;
    resident.reminders_when("the attempt's record", wanted).await.remove(0)
}

async fn a_reminder_is_signed_and_names_nobody(stack: Stack) {
    let (world, receiver) = world(stack).await;
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    let parcel = courier.bring(&Label::to(&wang)).await;
    world.let_pass(hours(24)).await;
    world.let_pass(hours(7)).await;
    courier.await_event(EventKind::ReminderSent).await;
    let call = receiver.next().await;
    assert!(call.id.starts_with("ntc_"), "{}", call.id);
    let told = &call.body["data"];
    assert_eq!(call.body["type"], "parcel.reminder");
    assert_eq!((&told["notice_id"], &told["parcel_id"]), (&call.id.clone().into(), &parcel.id.into()));
    assert_eq!((&told["resident_id"], &told["person_reference"]), (&wang.id.clone().into(), &"person-1".into()));
    assert_eq!((&told["cause"], &told["gate_id"]), (&"usual_hour".into(), &serde_json::Value::Null));
    assert_eq!((&told["community_id"], &told["locker_id"]), (&COMMUNITY.into(), &"east".into()));
    let text = call.body.to_string();
    // A short unit can stand in an id by chance.
    for secret in [wang.name.clone(), wang.phone.clone(), format!("\"{}\"", wang.unit)] {
        assert!(!text.contains(&secret), "a webhook names nobody: {text}");
    }
    let record = attempted(&wang, 1).await;
    assert_eq!((record.delivery(), &*record.channel), (DeliveryState::Delivered, "webhook"));
}

#[tokio::test]
async fn a_reminder_is_signed_and_names_nobody_embedded() {
    a_reminder_is_signed_and_names_nobody(Stack::Embedded).await;
}

#[tokio::test]
async fn a_reminder_is_signed_and_names_nobody_servers() {
    a_reminder_is_signed_and_names_nobody(Stack::Servers).await;
}

/// A resident with a parcel due, reminded at a gate.
async fn reminded(world: &World) -> (Resident, String) {
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    wang.consent(ConsentPurpose::GateRecognition).await;
    world.administrator().set_display(COMMUNITY, gatepost_proto::v1::DisplayPolicy::Silent).await;
    let parcel = courier.bring(&Label::to(&wang)).await;
    world.let_pass(hours(25)).await;
    let camera = world.camera(NORTH_GATE).await;
    assert_eq!(camera.report_person(&wang.person_reference).await.unwrap().display, None, "the display is silent");
    (wang, parcel.id)
}

#[tokio::test]
async fn a_failed_delivery_is_tried_again() {
    let (world, receiver) = world(Stack::Embedded).await;
    receiver.answer_with(503);
    let (wang, _) = reminded(&world).await;
    let first = receiver.next().await;
    assert_eq!(first.body["data"]["gate_id"], NORTH_GATE);
    let record = attempted(&wang, 1).await;
    assert_eq!((record.delivery(), &*record.last_error), (DeliveryState::Pending, "the webhook answered 503"));
    world.let_pass(SignedDuration::from_millis(4_999)).await;
    assert!(receiver.left().await.is_empty());
    receiver.answer_with(204);
    world.let_pass(SignedDuration::from_millis(1)).await;
    assert_eq!(receiver.next().await.id, first.id, "recognisable as a repeat");
    let record = attempted(&wang, 2).await;
    assert_eq!((record.delivery(), &*record.last_error), (DeliveryState::Delivered, ""));
}

#[tokio::test]
async fn a_delivery_is_given_up_at_last() {
    let (world, receiver) = world(Stack::Embedded).await;
    receiver.answer_with(500);
    let (wang, _) = reminded(&world).await;
    for (number, seconds) in (1..).zip(BACKOFF_SECONDS) {
        receiver.next().await;
        assert_eq!(attempted(&wang, number).await.delivery(), DeliveryState::Pending);
        world.let_pass(SignedDuration::from_secs(seconds)).await;
    }
    receiver.next().await;
    assert_eq!(attempted(&wang, 8).await.delivery(), DeliveryState::Failed);
}

#[tokio::test]
async fn a_refusal_is_final() {
    let (world, receiver) = world(Stack::Embedded).await;
    receiver.answer_with(410);
    let (wang, _) = reminded(&world).await;
    receiver.next().await;
    let record = attempted(&wang, 1).await;
    assert_eq!((record.delivery(), &*record.last_error), (DeliveryState::Failed, "the webhook answered 410"));
}

#[tokio::test]
async fn who_has_picked_up_is_not_reminded_any_more() {
    let (world, receiver) = world(Stack::Embedded).await;
    receiver.answer_with(503);
    let (wang, parcel_id) = reminded(&world).await;
    receiver.next().await;
    attempted(&wang, 1).await;
    world.courier("swift-express").await.pick_up(&parcel_id).await.unwrap();
    world.let_pass(SignedDuration::from_secs(5)).await;
    let record = attempted(&wang, 2).await;
    assert_eq!((record.delivery(), &*record.last_error), (DeliveryState::Failed, "the parcel waits no longer"));
    assert!(receiver.left().await.is_empty());
}
