//! What becomes of a parcel that nobody took at the door: another attempt, a locker, or back to its sender.

use gatepost_proto::v1::{
    DepositConsent, DoorDeliveryOutcome as Outcome, EventKind, Parcel, ParcelState, PlacementKind,
    ReportDoorDeliveryRequest,
};
use gatepost_tests::{
    clients::{Answer, Courier, Label, answer, from_wire, new_request_id},
    world::{World, hours},
};
use tonic::Code;

on_both_stacks!(back_into_a_locker_is_another_stay, another_attempt_at_the_door, given_up_it_goes_back_to_its_sender);

/// A parcel whose door delivery failed after its first recall.
async fn failed(world: &World, courier: &Courier) -> Parcel {
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    world.let_pass(hours(72)).await;
    courier.accept_recall(&parcel.id).await.unwrap();
    courier.report(&parcel.id, Outcome::Collected).await.unwrap();
    let failed = courier.report(&parcel.id, Outcome::Failed).await.unwrap();
    assert_eq!((failed.state(), failed.door_attempts), (ParcelState::DoorDeliveryFailed, 1));
    courier.await_event(EventKind::DoorDeliveryFailed).await;
    failed
}

async fn report_on(courier: &Courier, parcel_id: &str, outcome: Outcome, attempt: i32) -> Answer<Parcel> {
    let request = ReportDoorDeliveryRequest {
        request_id: new_request_id(),
        parcel_id: parcel_id.to_owned(),
        outcome: outcome.into(),
        outcome_time: None,
        attempt,
    };
    answer(courier.parcels().report_door_delivery(request).await).map(|answer| answer.parcel.unwrap())
}

async fn back_into_a_locker_is_another_stay(world: World) {
    let courier = world.courier("swift-express").await;
    let failed = failed(&world, &courier).await;
    let refused = courier.deposit_into(&failed.id, "east", "E1", None).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "NO_PLACEMENT"));
    let placed = courier.suggest(&failed.id).await.unwrap().parcel;
    assert_eq!(placed.state(), ParcelState::DoorDeliveryFailed);
    let placement = placed.placement.clone().unwrap();
    assert_eq!((placement.kind(), &*placement.compartment_id), (PlacementKind::Locker, "E1"));
    let other = courier.announce(&Label::to(&world.resident("王芳"))).await.unwrap();
    assert_ne!(other.parcel.placement.unwrap().compartment_id, "E1", "it is reserved as for any other parcel");

    world.let_pass(hours(1)).await;
    let waiting = courier.deposit(&placed).await.unwrap();
    assert_eq!((waiting.state(), waiting.reminders_sent, waiting.door_attempts), (ParcelState::Waiting, 0, 1));
    assert_eq!(from_wire(waiting.remind_from.unwrap()), world.now() + hours(24));
    assert_eq!(from_wire(waiting.recall_at.unwrap()), world.now() + hours(72));
    courier.expect_event(EventKind::Deposited).await;
    let late = report_on(&courier, &failed.id, Outcome::Failed, 1).await.unwrap();
    assert_eq!(late, waiting, "what belongs to the first attempt changes nothing");
    world.let_pass(hours(72)).await;
    let recall = courier.await_event(EventKind::RecallRequested).await;
    assert_eq!(recall.recall_number, 2, "recalls are counted on");
    let picked_up = courier.pick_up(&failed.id).await.unwrap();
    assert_eq!(picked_up.state(), ParcelState::PickedUp);
    courier.expect_event(EventKind::PickedUp).await;
    assert_eq!(courier.expect_event(EventKind::RecallWithdrawn).await.recall_number, 2);
}

async fn another_attempt_at_the_door(world: World) {
    let courier = world.courier("swift-express").await;
    let failed = failed(&world, &courier).await;
    let out = courier.report(&failed.id, Outcome::Redelivering).await.unwrap();
    assert_eq!((out.state(), out.door_attempts), (ParcelState::OutForDoorDelivery, 2));
    assert_eq!(courier.report(&failed.id, Outcome::Redelivering).await.unwrap(), out, "twice is harmless");
    courier.expect_event(EventKind::RedeliveryStarted).await;
    assert_eq!(report_on(&courier, &failed.id, Outcome::Failed, 1).await.unwrap(), out, "the first attempt is over");
    let unknown = report_on(&courier, &failed.id, Outcome::Failed, 3).await.unwrap_err();
    assert_eq!((unknown.code, &*unknown.reason), (Code::InvalidArgument, "ATTEMPT_UNKNOWN"));
    let negative = report_on(&courier, &failed.id, Outcome::Failed, -1).await.unwrap_err();
    assert_eq!((negative.code, &*negative.reason), (Code::InvalidArgument, "INVALID_FIELD"));
    let again = report_on(&courier, &failed.id, Outcome::Failed, 2).await.unwrap();
    assert_eq!((again.state(), again.door_attempts), (ParcelState::DoorDeliveryFailed, 2));
    courier.report(&failed.id, Outcome::Redelivering).await.unwrap();
    let delivered = report_on(&courier, &failed.id, Outcome::Delivered, 3).await.unwrap();
    assert_eq!(delivered.state(), ParcelState::DeliveredToDoor);
    for kind in [EventKind::DoorDeliveryFailed, EventKind::RedeliveryStarted, EventKind::DeliveredToDoor] {
        courier.expect_event(kind).await;
    }
}

async fn given_up_it_goes_back_to_its_sender(world: World) {
    let courier = world.courier("swift-express").await;
    let failed = failed(&world, &courier).await;
    let returned = courier.report(&failed.id, Outcome::Returned).await.unwrap();
    assert_eq!(returned.state(), ParcelState::ReturnedToSender);
    courier.expect_event(EventKind::ReturnedToSender).await;
    for late in [Outcome::Returned, Outcome::Failed, Outcome::Collected] {
        assert_eq!(courier.report(&failed.id, late).await.unwrap(), returned, "{late:?} came late");
    }
    let refused = courier.report(&failed.id, Outcome::Delivered).await.unwrap_err();
    assert_eq!((&*refused.reason, &*refused.metadata["state"]), ("ILLEGAL_STEP", "RETURNED_TO_SENDER"));
}

#[tokio::test]
async fn a_recalled_parcel_may_go_back_without_an_attempt() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    world.let_pass(hours(72)).await;
    courier.report(&parcel.id, Outcome::Returned).await.unwrap();
    courier.await_event(EventKind::RecallRequested).await;
    for kind in [EventKind::RecallAccepted, EventKind::Collected, EventKind::ReturnedToSender] {
        courier.expect_event(kind).await;
    }
}

#[tokio::test]
async fn a_parcel_for_the_door_is_delivered_without_a_locker() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let label = || Label::to(&world.resident("赵敏")).consent(DepositConsent::Refused);
    let parcel = courier.announce(&label()).await.unwrap().parcel;
    let delivered = courier.report(&parcel.id, Outcome::Delivered).await.unwrap();
    assert_eq!(delivered.state(), ParcelState::DeliveredToDoor);
    courier.expect_event(EventKind::DeliveredToDoor).await;

    let parcel = courier.announce(&label()).await.unwrap().parcel;
    courier.report(&parcel.id, Outcome::Failed).await.unwrap();
    courier.expect_event(EventKind::DoorDeliveryFailed).await;
    let placed = courier.suggest(&parcel.id).await.unwrap().parcel;
    assert_eq!(placed.placement.unwrap().kind(), PlacementKind::Door, "who refused lockers still does");
    let refused = courier.deposit_into(&parcel.id, "east", "E1", None).await.unwrap_err();
    assert_eq!(&*refused.reason, "NO_DEPOSIT_CONSENT");

    let locker = courier.announce(&Label::to(&world.resident("赵敏"))).await.unwrap().parcel;
    let refused = courier.report(&locker.id, Outcome::Delivered).await.unwrap_err();
    assert_eq!((&*refused.reason, &*refused.metadata["state"]), ("ILLEGAL_STEP", "ANNOUNCED"));
}
