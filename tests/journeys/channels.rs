//! Over which channels a resident is reminded: all, until they say something about one.

use gatepost_proto::v1::{ConsentPurpose, DeliveryState};
use gatepost_tests::{
    clients::{Camera, Label, Resident, WEBHOOK_SECRET, WebhookReceiver},
    world::{NORTH_GATE, Stack, World, hours},
};
use jiff::SignedDuration;

/// A world with gate displays and an app.
async fn world(stack: Stack) -> (World, WebhookReceiver) {
    let receiver = WebhookReceiver::start().await;
    let configured = World::builder().on(stack).config(|config| {
        config.webhook.url = receiver.url().to_owned();
        config.webhook.secret = WEBHOOK_SECRET.into();
    });
    (configured.start().await, receiver)
}

/// A resident whom smart cameras may report.
async fn somebody(world: &World, name: &str) -> Resident {
    let resident = world.resident(name);
    resident.consent(ConsentPurpose::GateRecognition).await;
    resident
}

/// Each with a parcel that has waited T1.
async fn waiting(world: &World, residents: &[&Resident]) -> Camera {
    let courier = world.courier("swift-express").await;
    for resident in residents {
        courier.bring(&Label::to(resident)).await;
    }
    world.let_pass(hours(25)).await;
    world.camera(NORTH_GATE).await
}

async fn is_shown(camera: &Camera, resident: &Resident) -> bool {
    camera.report_person(&resident.person_reference).await.unwrap().display.is_some()
}

async fn channels(resident: &Resident) -> Vec<String> {
    let mut channels: Vec<_> = resident.reminders().await.into_iter().map(|reminder| reminder.channel).collect();
    channels.sort();
    channels
}

async fn a_reminder_takes_the_channels_that_were_agreed_to(stack: Stack) {
    let (world, receiver) = world(stack).await;
    let (wang, chen) = (somebody(&world, "王芳").await, somebody(&world, "陈伟").await);
    let liu = somebody(&world, "刘洋").await;
    let camera = waiting(&world, &[&wang, &chen, &liu]).await;
    // Nothing was agreed to, and it is refused all the same.
    let record = chen.withdraw(ConsentPurpose::ReminderGateDisplay).await;
    assert!(!record.consents.contains(&ConsentPurpose::ReminderGateDisplay.into()), "{:?}", record.consents);
    liu.consent(ConsentPurpose::ReminderGateDisplay).await;
    assert!(liu.on_record().await.unwrap().consents.contains(&ConsentPurpose::ReminderGateDisplay.into()));

    assert!(is_shown(&camera, &wang).await, "who said nothing is reminded everywhere");
    assert_eq!(receiver.next().await.body["data"]["resident_id"], wang.id.clone());
    assert_eq!(channels(&wang).await, ["gate_display", "webhook"]);

    assert!(!is_shown(&camera, &chen).await, "refused");
    assert_eq!(receiver.next().await.body["data"]["resident_id"], chen.id.clone());
    assert_eq!(channels(&chen).await, ["webhook"]);

    assert!(is_shown(&camera, &liu).await, "chosen");
    assert_eq!(channels(&liu).await, ["gate_display"]);
    assert!(receiver.left().await.is_empty(), "and no other");
}

#[tokio::test]
async fn a_reminder_takes_the_channels_that_were_agreed_to_embedded() {
    a_reminder_takes_the_channels_that_were_agreed_to(Stack::Embedded).await;
}

#[tokio::test]
async fn a_reminder_takes_the_channels_that_were_agreed_to_servers() {
    a_reminder_takes_the_channels_that_were_agreed_to(Stack::Servers).await;
}

#[tokio::test]
async fn a_withdrawal_stops_a_channel_before_its_next_attempt() {
    let (world, receiver) = world(Stack::Embedded).await;
    receiver.answer_with(503);
    let wang = somebody(&world, "王芳").await;
    wang.consent(ConsentPurpose::ReminderWebhook).await;
    let camera = waiting(&world, &[&wang]).await;
    assert!(!is_shown(&camera, &wang).await, "the app was chosen");
    receiver.next().await;
    wang.reminders_when("the first attempt", |records| records.iter().any(|record| record.attempts == 1)).await;
    wang.withdraw(ConsentPurpose::ReminderWebhook).await;
    world.let_pass(SignedDuration::from_secs(5)).await;
    let records = wang
        .reminders_when("the end", |records| records.iter().all(|record| record.delivery() == DeliveryState::Failed))
        .await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].last_error, "the resident does not agree to this channel");
    assert!(receiver.left().await.is_empty(), "nothing was sent any more");
    world.let_pass(hours(7)).await;
    assert!(!is_shown(&camera, &wang).await, "what was never agreed to does not follow");
    assert!(receiver.left().await.is_empty());
}
