//! Endpoints that do not take what they are sent.

use std::collections::BTreeSet;

use gatepost_domain::id::EndpointId;
use gatepost_proto::v1::{DisabledReason, replay_webhooks_request::Events};
use gatepost_tests::{
    clients::{Courier, Label, WebhookReceiver, to_wire},
    world::{Stack, World, hours, minutes, until},
};
use jiff::{SignedDuration, Timestamp};

use super::world;

/// As documented: after each failure the next attempt waits this many seconds, and up to a tenth more.
const WAITS_SECONDS: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// Announces and cancels a parcel: one event, and nothing that comes due later.
async fn one_event(world: &World, courier: &Courier) -> String {
    let parcel = courier.announce(&Label::to(&world.resident("王芳"))).await.unwrap().parcel;
    courier.cancel(&parcel.id).await.unwrap().id
}

/// Waits until an attempt at an event is on record.
async fn attempted(world: &World, endpoint: &str, sequence: i64, attempts: u32) {
    let (store, endpoint): (_, EndpointId) = (world.store().await, endpoint.parse().unwrap());
    until("the record of an attempt", || async {
        let tx = store.read().await.unwrap();
        let letters = tx.letters_due(endpoint, Timestamp::MAX, 100).await.unwrap();
        letters.iter().any(|letter| letter.event.sequence == sequence && letter.attempts == attempts)
    })
    .await;
}

async fn an_event_is_tried_ten_times(stack: Stack) {
    let (world, receiver) = (world(stack).await, WebhookReceiver::start().await);
    let courier = world.courier("swift-express").await;
    let id = courier.listen(&receiver).await;
    receiver.answer_with(500);
    let parcel_id = one_event(&world, &courier).await;
    let first = receiver.next().await;
    for (attempts, seconds) in (1..).zip(WAITS_SECONDS) {
        attempted(&world, &id, 1, attempts).await;
        let wait = SignedDuration::from_secs(seconds);
        world.let_pass(wait - SignedDuration::from_millis(1)).await;
        assert!(receiver.left().await.is_empty(), "too early after attempt {attempts}");
        // What is due is looked for once a second.
        world.let_pass(wait / 10 + SignedDuration::from_millis(1_001)).await;
        let again = receiver.next().await;
        assert_eq!((&again.id, &again.body), (&first.id, &first.body));
    }
    let endpoint = courier.endpoint_when("a dead letter", &id, |endpoint| endpoint.dead_letters == 1).await;
    assert_eq!((endpoint.retrying, &*endpoint.last_error), (0, "the webhook answered 500"));
    assert_eq!(endpoint.passed_sequence, 1);
    assert!(endpoint.enabled, "three days are not five");
    world.let_pass(hours(30)).await;
    assert!(receiver.left().await.is_empty());

    let dead = courier.dead_letters(&id, 0, "").await.unwrap();
    assert_eq!((dead.dead_letters.len(), &*dead.next_page_token), (1, ""));
    let letter = &dead.dead_letters[0];
    assert_eq!(
        (&letter.event.as_ref().unwrap().parcel_id, &*letter.last_error),
        (&parcel_id, "the webhook answered 500")
    );
    receiver.answer_with(200);
    let replayed = courier.replay(&id, Events::DeadLettersAfter(0)).await.unwrap();
    assert_eq!((replayed.retrying, replayed.dead_letters), (1, 0));
    assert_eq!(receiver.next().await.id, first.id);
    courier.endpoint_when("nothing left", &id, |endpoint| endpoint.retrying == 0).await;
}

#[tokio::test]
async fn an_event_is_tried_ten_times_embedded() {
    an_event_is_tried_ten_times(Stack::Embedded).await;
}

#[tokio::test]
async fn an_event_is_tried_ten_times_servers() {
    an_event_is_tried_ten_times(Stack::Servers).await;
}

#[tokio::test]
async fn one_event_that_cannot_be_handled_does_not_hold_up_the_others() {
    let (world, receiver) = (world(Stack::Embedded).await, WebhookReceiver::start().await);
    let courier = world.courier("swift-express").await;
    let id = courier.listen(&receiver).await;
    receiver.answer_type_with("parcel.deposited", 500);
    let parcel = courier.bring(&Label::to(&world.resident("王芳"))).await;
    courier.pick_up(&parcel.id).await.unwrap();
    assert_eq!(receiver.next().await.kind(), "parcel.deposited");
    assert_eq!(receiver.next().await.kind(), "parcel.picked_up", "at once");
    let endpoint = courier.endpoint_when("both on record", &id, |endpoint| endpoint.passed_sequence == 2).await;
    assert_eq!(endpoint.retrying, 1);
    receiver.answer_type_with("parcel.deposited", 204);
    world.let_pass(SignedDuration::from_secs(6)).await;
    assert_eq!(receiver.next().await.sequence(), 1);
    courier.endpoint_when("nothing left", &id, |endpoint| endpoint.retrying == 0).await;
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_left_alone() {
    let (world, receiver) = (world(Stack::Embedded).await, WebhookReceiver::start().await);
    let courier = world.courier("swift-express").await;
    let id = courier.listen(&receiver).await;
    receiver.answer_with(500);
    for _ in 0..6 {
        one_event(&world, &courier).await;
    }
    for sequence in 1..=3 {
        assert_eq!(receiver.next().await.sequence(), sequence);
    }
    courier.endpoint_when("three failures", &id, |endpoint| endpoint.retrying == 3).await;
    world.let_pass(SignedDuration::from_secs(59)).await;
    assert!(receiver.left().await.is_empty(), "once a minute, whatever is due");
    world.let_pass(SignedDuration::from_secs(1)).await;
    assert_eq!(receiver.next().await.sequence(), 1, "what was set aside first");
    attempted(&world, &id, 1, 2).await;
    assert!(receiver.left().await.is_empty());
    // Once it answers, everything that is due comes at once, and each event once.
    receiver.answer_with(204);
    world.let_pass(minutes(6)).await;
    let mut told = BTreeSet::new();
    while told.len() < 6 {
        assert!(told.insert(receiver.next().await.sequence()));
    }
    let endpoint = courier.endpoint_when("nothing left", &id, |endpoint| endpoint.retrying == 0).await;
    assert_eq!((endpoint.failing_since, &*endpoint.last_error, endpoint.passed_sequence), (None, "", 6));
}

#[tokio::test]
async fn whoever_asks_for_time_is_given_it() {
    let (world, receiver) = (world(Stack::Embedded).await, WebhookReceiver::start().await);
    let courier = world.courier("swift-express").await;
    let id = courier.listen(&receiver).await;
    receiver.ask_to_wait("3600");
    one_event(&world, &courier).await;
    receiver.next().await;
    attempted(&world, &id, 1, 1).await;
    one_event(&world, &courier).await;
    world.let_pass(minutes(59)).await;
    assert!(receiver.left().await.is_empty(), "new events wait too");
    receiver.answer_with(204);
    world.let_pass(minutes(1)).await;
    assert_eq!((receiver.next().await.sequence(), receiver.next().await.sequence()), (1, 2));
    // A year is a day.
    courier.endpoint_when("nothing left", &id, |endpoint| endpoint.passed_sequence == 2).await;
    receiver.ask_to_wait("31536000");
    one_event(&world, &courier).await;
    receiver.next().await;
    attempted(&world, &id, 3, 1).await;
    world.let_pass(hours(24) - minutes(1)).await;
    assert!(receiver.left().await.is_empty());
    world.let_pass(minutes(1)).await;
    assert_eq!(receiver.next().await.sequence(), 3);
}

#[tokio::test]
async fn whoever_is_gone_is_called_no_more() {
    let (world, receiver) = (world(Stack::Embedded).await, WebhookReceiver::start().await);
    let courier = world.courier("swift-express").await;
    let id = courier.listen(&receiver).await;
    receiver.answer_with(410);
    one_event(&world, &courier).await;
    receiver.next().await;
    let gone = courier.endpoint_when("disabled", &id, |endpoint| !endpoint.enabled).await;
    assert_eq!((gone.disabled_reason(), gone.passed_sequence), (DisabledReason::Gone, 0));
    one_event(&world, &courier).await;
    world.let_pass(hours(48)).await;
    assert!(receiver.left().await.is_empty());
    receiver.answer_with(204);
    let back = courier.enable_endpoint(&id, true).await.unwrap();
    assert_eq!((back.enabled, back.disabled_reason(), &*back.last_error), (true, DisabledReason::Unspecified, ""));
    assert_eq!((receiver.next().await.sequence(), receiver.next().await.sequence()), (1, 2), "nothing was lost");
}

#[tokio::test]
async fn five_days_of_failures_are_enough() {
    let (world, receiver) = (world(Stack::Embedded).await, WebhookReceiver::start().await);
    let courier = world.courier("swift-express").await;
    let id = courier.listen(&receiver).await;
    receiver.answer_with(302);
    one_event(&world, &courier).await;
    receiver.next().await;
    attempted(&world, &id, 1, 1).await;
    let failing = courier.endpoint(&id).await.unwrap();
    assert_eq!(failing.failing_since, Some(to_wire(world.now())));
    assert_eq!(&*failing.last_error, "the webhook answered 302", "redirects are not followed");
    world.let_pass(hours(5 * 24)).await;
    receiver.next().await;
    let disabled = courier.endpoint_when("disabled", &id, |endpoint| !endpoint.enabled).await;
    assert_eq!((disabled.disabled_reason(), disabled.retrying), (DisabledReason::Failing, 1));
}
