//! The platform ends between a reminder's transaction and its delivery, and between a deadline's setting and its time.

use gatepost_proto::v1::{DeliveryState, EventKind};
use gatepost_tests::{
    clients::{Label, WEBHOOK_SECRET, WebhookReceiver, from_wire},
    live::{Live, quick_policy},
    services::Redis,
    world::{World, until},
};
use jiff::SignedDuration;

#[tokio::test]
async fn a_reminder_saved_before_the_crash_is_delivered_after_it_once_accepted() {
    let receiver = WebhookReceiver::start().await;
    receiver.answer_with(503);
    let mut live =
        Live::serve(&[("GATEPOST_WEBHOOK__URL", receiver.url()), ("GATEPOST_WEBHOOK__SECRET", WEBHOOK_SECRET)]).await;
    live.community(quick_policy(500, 9_000)).await;
    let (swift, wang) =
        (live.courier("swift-express").await, live.resident("王芳", "13800010001", "wang@example.org").await);
    let parcel = swift.bring(&Label::to(&wang)).await;
    let refused = receiver.next().await;
    until("the record of the refused attempt", || async { wang.reminders().await[0].attempts == 1 }).await;

    live.kill().await;
    live.serve_again().await;
    let reminders = wang.reminders().await;
    assert_eq!((reminders.len(), reminders[0].delivery()), (1, DeliveryState::Pending));
    assert_eq!(reminders[0].last_error, "the webhook answered 503");
    receiver.answer_with(204);
    let accepted = receiver.next().await;
    assert_eq!(accepted.id, refused.id);
    assert_eq!(accepted.body["data"], refused.body["data"]);
    assert_eq!(accepted.body["data"]["parcel_id"], parcel.id.as_str());
    until("the record of the delivery", || async { wang.reminders().await[0].delivery() == DeliveryState::Delivered })
        .await;

    // The other deadline was set before the crash and comes after it.
    let kinds = [EventKind::Deposited, EventKind::ReminderSent, EventKind::RecallRequested];
    for kind in kinds {
        swift.expect_event(kind).await;
    }
    assert_eq!(receiver.left().await, []);
    assert_eq!(wang.reminders().await.len(), 1);
}

#[tokio::test]
async fn a_reminder_on_its_way_when_the_platform_dies_is_sent_again_when_its_lease_ends() {
    let receiver = WebhookReceiver::start().await;
    receiver.fall_silent();
    let url = receiver.url().to_owned();
    let world = World::builder().config(|config| {
        config.webhook.url = url;
        config.webhook.secret = WEBHOOK_SECRET.into();
    });
    let world = world.start().await;
    let (swift, wang) = (world.courier("swift-express").await, world.resident("王芳"));
    swift.bring(&Label::to(&wang)).await;
    // T1, and then the usual hour of half past six.
    world.let_pass(SignedDuration::from_hours(24)).await;
    world.let_pass(SignedDuration::from_hours(7)).await;
    let on_its_way = receiver.next().await;

    world.kill();
    world.start().await;
    receiver.answer_with(204);
    assert_eq!(wang.reminders().await[0].delivery(), DeliveryState::Pending);
    world.let_pass(SignedDuration::from_secs(61)).await;
    assert_eq!(receiver.next().await.id, on_its_way.id);
    until("the record of the delivery", || async { wang.reminders().await[0].delivery() == DeliveryState::Delivered })
        .await;
    assert_eq!(wang.reminders().await.len(), 1);
    assert_eq!(receiver.left().await, []);
}

#[tokio::test]
async fn a_deadline_that_passed_while_nobody_was_there_is_kept_at_the_start() {
    let mut live = Live::serve(&[]).await;
    live.community(quick_policy(600, 1_200)).await;
    let (swift, wang) =
        (live.courier("swift-express").await, live.resident("王芳", "13800010001", "wang@example.org").await);
    let parcel = swift.bring(&Label::to(&wang)).await;
    live.kill().await;
    until("T2", || async { gatepost_tests::live::now() > from_wire(parcel.recall_at.unwrap()) }).await;
    live.serve_again().await;
    swift.expect_event(EventKind::Deposited).await;
    // No reminder any more: T2 has passed, and the courier is asked.
    swift.expect_event(EventKind::RecallRequested).await;
}

#[tokio::test]
async fn an_emptied_redis_loses_no_deadline() {
    let redis = tokio::task::spawn_blocking(Redis::start).await.unwrap();
    let urls = redis.urls();
    let live = Live::serve(&[
        ("GATEPOST_TIMERS__KIND", "redis"),
        ("GATEPOST_TIMERS__REDIS_URLS", &urls),
        // The index has to find them by itself.
        ("GATEPOST_TIMERS__SWEEP_EVERY", "1h"),
    ])
    .await;
    // The look that finds it empty comes within five seconds, and T2 must not be over by then.
    live.community(quick_policy(1_500, 9_000)).await;
    let (swift, wang) =
        (live.courier("swift-express").await, live.resident("王芳", "13800010001", "wang@example.org").await);
    let parcel = swift.bring(&Label::to(&wang)).await;
    redis.ask(&["FLUSHALL"]).await.unwrap();

    swift.expect_event(EventKind::Deposited).await;
    let reminded = swift.expect_event(EventKind::ReminderSent).await;
    let recalled = swift.expect_event(EventKind::RecallRequested).await;
    let late = |event: gatepost_proto::v1::Event, due: prost_types::Timestamp| {
        from_wire(event.event_time.unwrap()).duration_since(from_wire(due))
    };
    assert!(late(reminded, parcel.remind_from.unwrap()) < SignedDuration::from_secs(6));
    assert!(late(recalled, parcel.recall_at.unwrap()) < SignedDuration::from_secs(6));
}
