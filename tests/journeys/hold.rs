//! While a resident is away, their parcel rests: no reminder, no recall, and both are as much later.

use gatepost_proto::v1::{EventKind, ParcelState, WaitingPolicy, policy_layer::Layer};
use gatepost_tests::{
    clients::{Label, from_wire},
    world::{COMMUNITY, NORTH_GATE, World, hours},
};
use tonic::Code;

on_both_stacks!(a_held_parcel_rests_and_resumes_exactly, a_hold_withdraws_a_recall_until_it_ends);

async fn a_held_parcel_rests_and_resumes_exactly(world: World) {
    let (courier, administrator) = (world.courier("swift-express").await, world.administrator());
    let zhao = world.resident("赵敏");
    let parcel = courier.bring(&Label::to(&zhao)).await;
    let brought = world.now();
    courier.expect_event(EventKind::Deposited).await;
    world.let_pass(hours(10)).await;
    let held = administrator.hold(&parcel.id, brought + hours(110)).await.unwrap();
    assert_eq!(from_wire(held.held_until.unwrap()), brought + hours(110));
    assert_eq!(from_wire(held.remind_from.unwrap()), brought + hours(24 + 100));
    assert_eq!(from_wire(held.recall_at.unwrap()), brought + hours(72 + 100));
    assert_eq!(administrator.hold(&parcel.id, brought + hours(110)).await.unwrap(), held, "once is once");
    let refused = administrator.hold(&parcel.id, brought + hours(111)).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "ALREADY_HELD"));
    let refused = administrator.extend(&parcel.id, None).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "HELD"));
    courier.expect_event(EventKind::StayHeld).await;

    // Another policy moves T2 and leaves the hold where it is.
    let day = |days: i64| Some(prost_types::Duration { seconds: days * 24 * 3600, nanos: 0 });
    let policy = WaitingPolicy { recall_after: day(2), ..WaitingPolicy::default() };
    administrator.set_policy(Layer::CommunityId(COMMUNITY.to_owned()), policy).await.unwrap();
    let moved = courier.parcel(&parcel.id).await.unwrap();
    assert_eq!(from_wire(moved.recall_at.unwrap()), brought + hours(48 + 100));

    world.let_pass(hours(60)).await;
    world.camera(NORTH_GATE).await.report_person(&zhao.person_reference).await.unwrap();
    let resting = courier.parcel(&parcel.id).await.unwrap();
    assert_eq!(resting.reminders_sent, 0, "nobody is reminded of what is held");
    let released = administrator.release(&parcel.id).await.unwrap();
    assert_eq!(from_wire(released.remind_from.unwrap()), brought + hours(24 + 60));
    assert_eq!(from_wire(released.recall_at.unwrap()), brought + hours(48 + 60));
    assert_eq!(administrator.release(&parcel.id).await.unwrap(), released, "twice is harmless");
    courier.expect_event(EventKind::StayReleased).await;
    world.let_pass(hours(38)).await;
    assert_eq!(courier.await_event(EventKind::RecallRequested).await.recall_number, 1);
}

async fn a_hold_withdraws_a_recall_until_it_ends(world: World) {
    let (courier, administrator) = (world.courier("swift-express").await, world.administrator());
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    world.let_pass(hours(72)).await;
    courier.await_event(EventKind::RecallRequested).await;
    let held = administrator.hold(&parcel.id, world.now() + hours(100)).await.unwrap();
    assert_eq!(held.state(), ParcelState::Waiting);
    courier.expect_event(EventKind::StayHeld).await;
    assert_eq!(courier.expect_event(EventKind::RecallWithdrawn).await.recall_number, 1);
    world.let_pass(hours(99)).await;
    assert_eq!(courier.parcel(&parcel.id).await.unwrap().state(), ParcelState::Waiting);
    world.let_pass(hours(1)).await;
    assert_eq!(courier.expect_event(EventKind::RecallRequested).await.recall_number, 2);
}

#[tokio::test]
async fn what_the_policy_does_not_allow_is_refused() {
    let world = World::new().await;
    let (courier, administrator) = (world.courier("swift-express").await, world.administrator());
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    for until in [world.now(), world.now() + hours(7 * 24 + 1)] {
        let refused = administrator.hold(&parcel.id, until).await.unwrap_err();
        assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "HOLD_OUT_OF_RANGE"));
    }
    let refused = administrator.release(&parcel.id).await.unwrap_err();
    assert_eq!((&*refused.reason, &*refused.metadata["step"]), ("ILLEGAL_STEP", "release"));
    let none = Some(prost_types::Duration::default());
    let policy = WaitingPolicy { hold_max: none, ..WaitingPolicy::default() };
    administrator.set_policy(Layer::CommunityId(COMMUNITY.to_owned()), policy).await.unwrap();
    let refused = administrator.hold(&parcel.id, world.now() + hours(1)).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "NO_HOLD"));
}
