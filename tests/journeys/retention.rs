//! Events are kept for a while; whoever comes too late is told where the log begins, and whoever does not read holds
//! up nobody.

use gatepost_domain::{
    CourierEvent, EventKind as DomainEventKind,
    recipient::{Addressee, Label as DomainLabel},
};
use gatepost_proto::v1::{
    EventKind, Recipient, StreamEventsRequest, event_service_client::EventServiceClient,
    stream_events_response::Message,
};
use gatepost_tests::{
    clients::{Label, Refused, scripted_frames},
    world::{NORTH_GATE, World, hours, soon, until},
};
use jiff::SignedDuration;
use tonic::{Code, transport::Endpoint};

on_both_stacks!(whoever_comes_too_late_is_told_where_the_log_begins, what_is_personal_goes_when_it_is_old_enough);

async fn whoever_comes_too_late_is_told_where_the_log_begins(world: World) {
    let (courier, wang) = (world.courier("swift-express").await, world.resident("王芳"));
    for _ in 0..2 {
        let parcel = courier.announce(&Label::to(&wang)).await.unwrap().parcel;
        courier.cancel(&parcel.id).await.unwrap();
        world.let_pass(hours(24)).await;
    }
    courier.acknowledge(1).await.unwrap();
    world.let_pass(hours(28 * 24)).await;
    assert_eq!(courier.follow(Some(0)).await.unwrap().next().await.sequence, 1, "thirty days are not over");
    world.let_pass(hours(2)).await;
    let (store, id) = (world.store().await, "swift-express".parse().unwrap());
    let oldest = async || store.read().await.unwrap().oldest_event(&id).await.unwrap();
    until("the first event's end", || async { oldest().await == 2 }).await;
    let late = courier.follow(Some(0)).await.err().unwrap();
    assert_eq!(
        (late.code, &*late.reason, &*late.metadata["oldest_sequence"]),
        (Code::OutOfRange, "EVENTS_EXPIRED", "2")
    );
    assert_eq!(courier.next_event().await.sequence, 2, "after the acknowledged one");
    assert_eq!(courier.follow(Some(1)).await.unwrap().next().await.sequence, 2, "after the one before the oldest");

    world.let_pass(hours(25)).await;
    until("the second event's end", || async { oldest().await == 3 }).await;
    let late = courier.follow(None).await.err().unwrap();
    assert_eq!((&*late.reason, &*late.metadata["oldest_sequence"]), ("EVENTS_EXPIRED", "3"), "the next one");
    let parcel = courier.announce(&Label::to(&wang)).await.unwrap().parcel;
    courier.cancel(&parcel.id).await.unwrap();
    assert_eq!(courier.follow(Some(2)).await.unwrap().next().await.sequence, 3);
    let unknown = courier.follow(Some(4)).await.err().unwrap();
    assert_eq!((unknown.code, &*unknown.reason), (Code::InvalidArgument, "SEQUENCE_UNKNOWN"));
}

/// Passes time until the stream says something: it was not woken, because these events were written past the platform.
async fn awaited<T>(world: &World, mut message: impl AsyncFnMut() -> T) -> T {
    soon("a message", async {
        loop {
            tokio::select! {
                message = message() => break message,
                () = world.let_pass(SignedDuration::from_secs(1)) => {}
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_consumer_that_does_not_read_holds_up_nobody() {
    const EVENTS: i64 = 20_000;
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let parcel = courier.announce(&Label::to(&world.resident("王芳"))).await.unwrap().parcel;
    // What its own side of the connection holds is its own affair: as little as there can be.
    let narrow = Endpoint::from_shared(world.url()).unwrap().initial_stream_window_size(65_535);
    let mut idle = EventServiceClient::with_interceptor(narrow.connect().await.unwrap(), courier.key().clone());
    let request = StreamEventsRequest { after_sequence: Some(0) };
    let mut idle = idle.stream_events(request).await.unwrap().into_inner();
    let mut busy = courier.follow(Some(0)).await.unwrap();

    let store = world.store().await;
    let tx = store.write().await.unwrap();
    let kept = tx.parcel(parcel.id.parse().unwrap()).await.unwrap().unwrap();
    let event = CourierEvent { at: world.now(), kind: DomainEventKind::RecipientResolved };
    let events: Vec<_> = std::iter::repeat_n((&kept, &event), 500).collect();
    for _ in 0..EVENTS / 500 {
        tx.append_events(&events).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut read = 0;
    while read < EVENTS {
        let message =
            if read == 0 { awaited(&world, async || busy.message().await).await } else { busy.message().await };
        if let Some(Message::Event(event)) = message {
            read += 1;
            assert_eq!(event.sequence, read, "whoever reads has them all");
        }
    }
    // What the other one has not been sent is in the log and nowhere else: gone from there, it is gone.
    let tx = store.write().await.unwrap();
    let before = world.now() + hours(1);
    let forgotten = tx.forget_events(&"swift-express".parse().unwrap(), before, 100_000).await.unwrap();
    assert_eq!(forgotten, EVENTS as u64);
    tx.commit().await.unwrap();
    let mut read = 0;
    let end = loop {
        match awaited(&world, async || idle.message().await).await {
            Ok(Some(message)) => read += i64::from(matches!(message.message, Some(Message::Event(_)))),
            Ok(None) => panic!("the stream ended without a reason"),
            Err(status) => break Refused::from(status),
        }
    };
    assert_eq!((end.code, &*end.reason), (Code::OutOfRange, "EVENTS_EXPIRED"));
    println!("{read} of {EVENTS} events waited for a consumer that did not read");
    assert!(read < EVENTS / 4, "{read} events were held for it");
}

async fn what_is_personal_goes_when_it_is_old_enough(world: World) {
    let day = |days: i64| hours(24 * days);
    let _worker = world.scripted_worker().await;
    let (courier, wang) = (world.courier("swift-express").await, world.resident("王芳"));
    let store = world.store().await;
    let id = wang.id.parse().unwrap();
    let pickups = async || store.read().await.unwrap().pickups(id, 100).await.unwrap().len();
    let parcel = async |id: &str| store.read().await.unwrap().parcel(id.parse().unwrap()).await.unwrap().unwrap();
    wang.import_pickups(&[world.now() - day(364), world.now() - day(100)]).await.unwrap();

    let unknown = Recipient { name: "无人".to_owned(), ..Recipient::default() };
    let nobodys = courier.announce(&Label::to(&wang).recipient(unknown)).await.unwrap().parcel.id;
    let ended = courier.bring(&Label::to(&wang)).await.id;
    let waits = courier.bring(&Label::to(&wang)).await.id;
    wang.agree_and_enrol("face 王芳").await;
    world.let_pass(hours(24)).await;
    let mut camera = world.camera(NORTH_GATE).await;
    assert_eq!(camera.sees(&scripted_frames("face 王芳", 12)).await.displays.len(), 1);
    wang.reminders_when("the reminders", |reminders| reminders.len() == 2).await;
    world.let_pass(hours(48)).await;
    courier.await_event(EventKind::RecallRequested).await;
    courier.pick_up(&ended).await.unwrap();

    // One day is missing for each of them.
    world.let_pass(day(87)).await;
    until("the first pickup's end", || async { pickups().await == 2 }).await;
    assert!(parcel(&ended).await.addressee().resident_id().is_some());
    world.let_pass(day(4)).await;
    until("the addressee's end", || async { parcel(&ended).await.addressee().resident_id().is_none() }).await;
    let label = Addressee::Unresolved(DomainLabel::default());
    until("the label's end", || async { *parcel(&nobodys).await.addressee() == label }).await;
    assert!(parcel(&waits).await.addressee().resident_id().is_some(), "that one has not ended");
    assert!(!courier.parcel(&ended).await.unwrap().recipient_resolved);
    assert_eq!(wang.reminders().await.len(), 2);
    world.let_pass(day(91)).await;
    until("the reminders' end", || async { wang.reminders().await.is_empty() }).await;
    assert_eq!(wang.on_record().await.unwrap().name, "王芳", "the resident stays");
}
