//! A courier's events as webhooks: signed, in order, tried again with patience, and given up for a while only.

mod failing;
mod managing;
mod program;
mod replicas;

use std::time::Instant;

use gatepost_proto::v1::EventKind;
use gatepost_tests::{
    clients::{Label, WebhookReceiver},
    world::{Stack, World, minutes},
};
use jiff::{SignedDuration, Timestamp};

/// A world whose couriers may have endpoints on this machine.
async fn world(stack: Stack) -> World {
    let configured = World::builder().on(stack).config(|config| {
        config.events.webhooks_over_http = true;
        config.events.webhooks_to_private_addresses = true;
    });
    configured.start().await
}

async fn a_courier_is_told_what_the_stream_tells(stack: Stack) {
    let (world, receiver) = (world(stack).await, WebhookReceiver::start().await);
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    courier.bring(&Label::to(&wang)).await;
    let id = courier.listen(&receiver).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let parcel = courier.bring(&Label::to(&wang)).await;
        courier.pick_up(&parcel.id).await.unwrap();
    }
    let mut stream = courier.follow(Some(1)).await.unwrap();
    for sequence in 2..=7 {
        let (call, event) = (receiver.next().await, stream.next().await);
        assert_eq!((call.sequence(), event.sequence), (sequence, sequence), "in order, from the registration on");
        assert_eq!((&*call.id, &call.body["id"]), (&*format!("evt_swift-express_{sequence}"), &call.id.clone().into()));
        let kind = if event.kind() == EventKind::Deposited { "parcel.deposited" } else { "parcel.picked_up" };
        assert_eq!((call.kind(), call.at, call.signatures), (kind, world.now().as_second(), 1));
        let at: Timestamp = call.body["timestamp"].as_str().unwrap().parse().unwrap();
        assert_eq!(at.as_second(), event.event_time.unwrap().seconds);
        let told = &call.body["data"];
        assert_eq!(told["parcel_id"], event.parcel_id);
        assert_eq!(told["tracking_number"], event.tracking_number);
        assert_eq!(told["parcel_state"], if kind == "parcel.deposited" { "WAITING" } else { "PICKED_UP" });
        ids.push(call.id);
    }
    let endpoint = courier.endpoint_when("the end of the turn", &id, |endpoint| endpoint.passed_sequence == 7).await;
    assert_eq!((endpoint.retrying, endpoint.dead_letters, &*endpoint.last_error), (0, 0, ""));
    // A restart repeats nothing that was delivered, and loses nothing that comes after.
    world.drain().await;
    world.start().await;
    courier.bring(&Label::to(&wang)).await;
    assert_eq!(receiver.next().await.sequence(), 8);
}

#[tokio::test]
async fn a_courier_is_told_what_the_stream_tells_embedded() {
    a_courier_is_told_what_the_stream_tells(Stack::Embedded).await;
}

#[tokio::test]
async fn a_courier_is_told_what_the_stream_tells_servers() {
    a_courier_is_told_what_the_stream_tells(Stack::Servers).await;
}

async fn what_a_crash_cut_off_is_told_again(stack: Stack) {
    let (world, receiver) = (world(stack).await, WebhookReceiver::start().await);
    let courier = world.courier("swift-express").await;
    courier.listen(&receiver).await;
    receiver.fall_silent();
    courier.bring(&Label::to(&world.resident("王芳"))).await;
    let first = receiver.next().await;
    world.kill();
    receiver.answer_with(204);
    world.start().await;
    // Whoever died still holds the endpoint, for a minute.
    world.let_pass(SignedDuration::from_secs(59)).await;
    assert!(receiver.left().await.is_empty());
    world.let_pass(SignedDuration::from_secs(1)).await;
    let again = receiver.next().await;
    assert_eq!((&again.id, &again.body), (&first.id, &first.body), "recognisable as a repeat");
    assert_eq!(again.at, first.at + 60, "signed anew");
}

#[tokio::test]
async fn what_a_crash_cut_off_is_told_again_embedded() {
    what_a_crash_cut_off_is_told_again(Stack::Embedded).await;
}

#[tokio::test]
async fn what_a_crash_cut_off_is_told_again_servers() {
    what_a_crash_cut_off_is_told_again(Stack::Servers).await;
}

/// How long it takes until so many parcels' events have come.
async fn time_to_tell(world: &World, courier: &str, receiver: &WebhookReceiver, parcels: usize) -> f64 {
    let (courier, wang) = (world.courier(courier).await, world.resident("王芳"));
    let started = Instant::now();
    for _ in 0..parcels {
        let parcel = courier.announce(&Label::to(&wang)).await.unwrap().parcel;
        courier.cancel(&parcel.id).await.unwrap();
    }
    for _ in 0..parcels {
        receiver.next().await;
    }
    started.elapsed().as_secs_f64()
}

#[tokio::test]
async fn an_endpoint_that_hangs_delays_nobody_else() {
    const PARCELS: usize = 40;
    let world = world(Stack::Embedded).await;
    let (slow, quick) = (WebhookReceiver::start().await, WebhookReceiver::start().await);
    let (swift, cloud) = (world.courier("swift-express").await, world.courier("cloud-way").await);
    cloud.listen(&quick).await;
    time_to_tell(&world, "cloud-way", &quick, PARCELS).await;
    let alone = time_to_tell(&world, "cloud-way", &quick, PARCELS).await;
    // Every endpoint that a courier may have, all of them hanging.
    slow.fall_silent();
    for _ in 0..8 {
        swift.listen(&slow).await;
    }
    let full = swift.register(slow.url(), &[]).await.unwrap_err();
    assert_eq!(&*full.reason, "ENDPOINTS_FULL");
    let parcel = swift.announce(&Label::to(&world.resident("王芳"))).await.unwrap().parcel;
    swift.cancel(&parcel.id).await.unwrap();
    slow.next().await;
    let beside = time_to_tell(&world, "cloud-way", &quick, PARCELS).await;
    println!("{PARCELS} webhooks: {alone:.2} s alone, {beside:.2} s beside endpoints that hang");
    // The first of those that hang is given up after 15 seconds; who waited for it would take as long.
    assert!(beside < 10.0_f64.max(alone * 3.0), "{alone} s alone, {beside} s beside");
    world.clock().advance(minutes(1));
}
