//! A resident who cannot come in time has T2 put off, once.

use gatepost_proto::v1::{EventKind, ParcelState, WaitingPolicy, policy_layer::Layer};
use gatepost_tests::{
    clients::{Label, from_wire},
    world::{COMMUNITY, World, hours},
};
use tonic::Code;

on_both_stacks!(an_extended_parcel_is_recalled_later, an_extension_withdraws_a_recall_that_nobody_accepted);

async fn an_extended_parcel_is_recalled_later(world: World) {
    let (courier, administrator) = (world.courier("swift-express").await, world.administrator());
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    courier.expect_event(EventKind::Deposited).await;
    let brought = world.now();
    let extended = administrator.extend(&parcel.id, Some(brought + hours(100))).await.unwrap();
    assert_eq!((from_wire(extended.recall_at.unwrap()), extended.stay_extended), (brought + hours(100), true));
    let again = administrator.extend(&parcel.id, Some(brought + hours(100))).await.unwrap();
    assert_eq!(again, extended, "once is once");
    let refused = administrator.extend(&parcel.id, Some(brought + hours(101))).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "ALREADY_EXTENDED"));
    courier.expect_event(EventKind::StayExtended).await;

    // What was promised to the resident stands, whatever becomes of the policy.
    let day = |days: i64| Some(prost_types::Duration { seconds: days * 24 * 3600, nanos: 0 });
    let policy = WaitingPolicy { recall_after: day(2), ..WaitingPolicy::default() };
    administrator.set_policy(Layer::CommunityId(COMMUNITY.to_owned()), policy).await.unwrap();
    world.let_pass(hours(100) - jiff::SignedDuration::from_millis(1)).await;
    assert_eq!(courier.parcel(&parcel.id).await.unwrap().state(), ParcelState::Waiting);
    world.let_pass(jiff::SignedDuration::from_millis(1)).await;
    assert_eq!(courier.await_event(EventKind::RecallRequested).await.recall_number, 1);
    let refused = administrator.extend(&parcel.id, None).await.unwrap_err();
    assert_eq!(&*refused.reason, "ALREADY_EXTENDED", "nor to escape a recall");
}

async fn an_extension_withdraws_a_recall_that_nobody_accepted(world: World) {
    let (courier, administrator) = (world.courier("swift-express").await, world.administrator());
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    world.let_pass(hours(72)).await;
    courier.await_event(EventKind::RecallRequested).await;
    world.let_pass(hours(1)).await;
    let waiting = administrator.extend(&parcel.id, None).await.unwrap();
    assert_eq!(waiting.state(), ParcelState::Waiting);
    assert_eq!(from_wire(waiting.recall_at.unwrap()), world.now() + hours(48), "counted from now");
    courier.expect_event(EventKind::StayExtended).await;
    assert_eq!(courier.expect_event(EventKind::RecallWithdrawn).await.recall_number, 1);
    let late = courier.accept_recall(&parcel.id).await.unwrap_err();
    assert_eq!((&*late.reason, &*late.metadata["state"]), ("ILLEGAL_STEP", "WAITING"));
    world.let_pass(hours(48)).await;
    assert_eq!(courier.await_event(EventKind::RecallRequested).await.recall_number, 2);
}

#[tokio::test]
async fn what_the_policy_does_not_allow_is_refused() {
    let world = World::new().await;
    let (courier, administrator) = (world.courier("swift-express").await, world.administrator());
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    let t2 = from_wire(parcel.recall_at.unwrap());
    for until in [t2, t2 + hours(48) + jiff::SignedDuration::from_millis(1)] {
        let refused = administrator.extend(&parcel.id, Some(until)).await.unwrap_err();
        assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "EXTENSION_OUT_OF_RANGE"));
    }
    let none = Some(prost_types::Duration::default());
    let policy = WaitingPolicy { extension: none, ..WaitingPolicy::default() };
    administrator.set_policy(Layer::CommunityId(COMMUNITY.to_owned()), policy).await.unwrap();
    let refused = administrator.extend(&parcel.id, None).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "NO_EXTENSION"));
    let unknown = administrator.extend("pcl_00000000000000000000000000000001", None).await.unwrap_err();
    assert_eq!((unknown.code, &*unknown.reason), (Code::NotFound, "PARCEL_NOT_FOUND"));
}

#[tokio::test]
async fn an_accepted_recall_stands() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    world.let_pass(hours(72)).await;
    courier.accept_recall(&parcel.id).await.unwrap();
    let refused = world.administrator().extend(&parcel.id, None).await.unwrap_err();
    assert_eq!((&*refused.reason, &*refused.metadata["state"]), ("ILLEGAL_STEP", "RECALL_ACCEPTED"));
}
