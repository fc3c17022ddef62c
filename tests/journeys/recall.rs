//! T2: the courier is asked to take the parcel back, once, and never after a pickup.

use gatepost_proto::v1::{DoorDeliveryOutcome, EventKind, ParcelState};
use gatepost_tests::{
    clients::{Label, from_wire},
    world::{Stack, World, hours, minutes},
};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

on_both_stacks!(
    a_forgotten_parcel_is_recalled_once,
    a_refused_recall_comes_again,
    a_late_answer_to_one_recall_is_none_to_the_next,
    a_recall_on_its_way_is_withdrawn_by_a_pickup,
);

async fn a_forgotten_parcel_is_recalled_once(world: World) {
    let courier = world.courier("swift-express").await;
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    let deposit = parcel.deposit.clone().unwrap();
    world.let_pass(hours(72)).await;
    courier.expect_event(EventKind::Deposited).await;
    let recall = courier.await_event(EventKind::RecallRequested).await;
    assert_eq!((recall.parcel_id, recall.recall_number), (parcel.id.clone(), 1));
    assert_eq!((&*recall.building, &*recall.unit), ("3号楼", "1101"));
    assert_eq!((recall.locker_id, recall.compartment_id), (deposit.locker_id, deposit.compartment_id));
    assert_eq!(recall.parcel_state, i32::from(ParcelState::RecallRequested));
    world.let_pass(hours(24 * 30)).await;
    let accepted = courier.accept_recall(&parcel.id).await.unwrap();
    assert_eq!(accepted.state(), ParcelState::RecallAccepted);
    assert_eq!(courier.accept_recall(&parcel.id).await.unwrap(), accepted, "twice is harmless");
    let event = courier.expect_event(EventKind::RecallAccepted).await;
    assert_eq!(event.sequence, recall.sequence + 1, "one recall is in effect, however long it takes");
}

async fn a_refused_recall_comes_again(world: World) {
    let courier = world.courier("swift-express").await;
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    world.let_pass(hours(72)).await;
    courier.await_event(EventKind::RecallRequested).await;
    let refused = courier.refuse_recall(&parcel.id).await.unwrap();
    assert_eq!(refused.recalled_again_after.unwrap().seconds, 24 * 3600);
    let waiting = refused.parcel.unwrap();
    assert_eq!(waiting.state(), ParcelState::Waiting);
    assert_eq!(from_wire(waiting.recall_at.unwrap()), world.now() + hours(24));
    courier.refuse_recall(&parcel.id).await.expect("twice is harmless");
    courier.expect_event(EventKind::RecallRefused).await;
    world.let_pass(hours(24)).await;
    let again = courier.await_event(EventKind::RecallRequested).await;
    assert_eq!(again.recall_number, 2);
}

async fn a_late_answer_to_one_recall_is_none_to_the_next(world: World) {
    let courier = world.courier("swift-express").await;
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    world.let_pass(hours(72)).await;
    let first = courier.await_event(EventKind::RecallRequested).await.recall_number;
    let early = courier.accept_recall_number(&parcel.id, first + 1).await.unwrap_err();
    assert_eq!((early.code, &*early.reason), (Code::FailedPrecondition, "RECALL_NOT_IN_EFFECT"));
    courier.refuse_recall_number(&parcel.id, first).await.unwrap();
    courier.refuse_recall_number(&parcel.id, first).await.expect("twice is harmless");
    world.let_pass(hours(24)).await;
    let second = courier.await_event(EventKind::RecallRequested).await.recall_number;
    for late in [
        courier.refuse_recall_number(&parcel.id, first).await.unwrap_err(),
        courier.accept_recall_number(&parcel.id, first).await.unwrap_err(),
    ] {
        assert_eq!((late.code, &*late.reason), (Code::FailedPrecondition, "RECALL_NOT_IN_EFFECT"));
        assert_eq!((&*late.metadata["recall_number"], &*late.metadata["latest_recall_number"]), ("1", "2"));
    }
    assert_eq!(courier.parcel(&parcel.id).await.unwrap().state(), ParcelState::RecallRequested, "the second one holds");
    let accepted = courier.accept_recall_number(&parcel.id, second).await.unwrap();
    assert_eq!(accepted.state(), ParcelState::RecallAccepted);
    let late = courier.refuse_recall_number(&parcel.id, first).await.unwrap_err();
    assert_eq!(&*late.reason, "RECALL_NOT_IN_EFFECT", "nor does it take back what was accepted");
}

async fn a_recall_on_its_way_is_withdrawn_by_a_pickup(world: World) {
    let courier = world.courier("swift-express").await;
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    world.let_pass(hours(72)).await;
    let recall = courier.await_event(EventKind::RecallRequested).await;
    courier.pick_up(&parcel.id).await.unwrap();
    courier.expect_event(EventKind::PickedUp).await;
    let withdrawn = courier.expect_event(EventKind::RecallWithdrawn).await;
    assert_eq!((withdrawn.parcel_id, withdrawn.recall_number), (parcel.id.clone(), recall.recall_number));
    let refused = courier.accept_recall(&parcel.id).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "ILLEGAL_STEP"));
    assert_eq!(refused.metadata["state"], "PICKED_UP");
}

#[tokio::test]
async fn an_accepted_recall_is_withdrawn_too() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    world.let_pass(hours(72)).await;
    courier.accept_recall(&parcel.id).await.unwrap();
    courier.pick_up(&parcel.id).await.unwrap();
    courier.await_event(EventKind::RecallAccepted).await;
    courier.expect_event(EventKind::PickedUp).await;
    courier.expect_event(EventKind::RecallWithdrawn).await;
    let refused = courier.report(&parcel.id, DoorDeliveryOutcome::Collected).await.unwrap_err();
    assert_eq!(&*refused.reason, "ILLEGAL_STEP");
}

#[tokio::test]
async fn without_a_recall_there_is_nothing_to_accept_or_refuse() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    let refused = courier.accept_recall(&parcel.id).await.unwrap_err();
    assert_eq!((refused.code, &*refused.metadata["state"]), (Code::FailedPrecondition, "WAITING"));
    let refused = courier.refuse_recall(&parcel.id).await.unwrap_err();
    assert_eq!((refused.code, &*refused.metadata["state"]), (Code::FailedPrecondition, "WAITING"));
    let refused = courier.report(&parcel.id, DoorDeliveryOutcome::Delivered).await.unwrap_err();
    assert_eq!((refused.code, &*refused.metadata["state"]), (Code::FailedPrecondition, "WAITING"));
}

#[tokio::test]
async fn without_any_index_deadlines_come_from_the_rows() {
    let nowhere = tempfile::tempdir().unwrap();
    let url = format!("redis+unix://{}", nowhere.path().join("nobody.sock").display());
    let world = World::builder()
        .config(|config| {
            config.timers.kind = gatepost_server::config::TimersKind::Redis;
            config.timers.redis_urls = vec![url.into()];
            config.timers.sweep_every = std::time::Duration::from_secs(30);
        })
        .start()
        .await;
    let swift = world.courier("swift-express").await;
    let parcel = swift.bring(&Label::to(&world.resident("王芳"))).await;
    let due = from_wire(parcel.recall_at.unwrap());
    // The sweep leaves half a minute to the index.
    world.let_pass(hours(72) + minutes(1)).await;
    let recall = swift.await_event(EventKind::RecallRequested).await;
    assert_eq!((recall.parcel_id, from_wire(recall.event_time.unwrap())), (parcel.id, due + minutes(1)));
    // Everything is answered meanwhile, and whoever asks is told about the timers.
    let mut health = HealthClient::new(world.line().channel());
    let mut status = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        health.check(request).await.unwrap().into_inner().status()
    };
    assert_eq!(status("").await, ServingStatus::Serving);
    assert_eq!(status("gatepost.timers").await, ServingStatus::NotServing);
    world.drain().await;
}

#[tokio::test]
async fn deadlines_of_a_redis_that_goes_away_come_from_the_rows() {
    let world = World::builder()
        .on(Stack::Servers)
        .config(|config| config.timers.sweep_every = std::time::Duration::from_secs(30))
        .start()
        .await;
    let swift = world.courier("swift-express").await;
    let parcel = swift.bring(&Label::to(&world.resident("王芳"))).await;
    // Nobody answers whoever ends the server.
    let _ = world.redis().unwrap().ask(&["SHUTDOWN", "NOSAVE"]).await;
    let due = from_wire(parcel.recall_at.unwrap());
    world.let_pass(hours(72) + minutes(1)).await;
    let recall = swift.await_event(EventKind::RecallRequested).await;
    assert_eq!((recall.parcel_id, from_wire(recall.event_time.unwrap())), (parcel.id, due + minutes(1)));
}
