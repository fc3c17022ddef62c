//! Steps that cannot be: wrong numbers, wrong compartments, wrong order, wrong time.

use gatepost_proto::v1::{DepositConsent, DoorDeliveryOutcome, EventKind, ParcelSize, ParcelState};
use gatepost_tests::{
    clients::{Label, answer, from_wire, new_request_id},
    world::World,
};
use jiff::SignedDuration;
use tonic::Code::{AlreadyExists, FailedPrecondition, InvalidArgument, NotFound};

use super::{Everything, refused};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const TEN_MINUTES: SignedDuration = SignedDuration::from_mins(10);

#[tokio::test]
async fn an_unknown_tracking_number_is_not_found_and_neither_is_another_couriers() {
    let world = World::new().await;
    let (swift, slow) = (world.courier("swift-express").await, world.courier("slow-post").await);
    let parcel = swift.bring(&Label::to(&world.resident("王芳"))).await;
    let before = Everything::of(&world, &swift).await;

    let nobodys = refused(swift.parcel_by_number("SX-0").await, NotFound, "PARCEL_NOT_FOUND");
    let anothers = refused(slow.parcel_by_number(&parcel.tracking_number).await, NotFound, "PARCEL_NOT_FOUND");
    assert_eq!(nobodys.message, anothers.message);
    let unknown = format!("pcl_{:032x}", 1);
    for id in ["", "pcl_", "1", &unknown, "res_00000000000000000000000000000001"] {
        refused(swift.parcel(id).await, NotFound, "PARCEL_NOT_FOUND");
        refused(swift.deposit_into(id, "east", "E1", None).await, NotFound, "PARCEL_NOT_FOUND");
        refused(swift.pick_up(id).await, NotFound, "PARCEL_NOT_FOUND");
        refused(swift.cancel(id).await, NotFound, "PARCEL_NOT_FOUND");
        refused(swift.suggest(id).await, NotFound, "PARCEL_NOT_FOUND");
        refused(swift.accept_recall(id).await, NotFound, "PARCEL_NOT_FOUND");
        refused(swift.refuse_recall(id).await, NotFound, "PARCEL_NOT_FOUND");
        refused(swift.report(id, DoorDeliveryOutcome::Delivered).await, NotFound, "PARCEL_NOT_FOUND");
    }
    refused(slow.pick_up(&parcel.id).await, NotFound, "PARCEL_NOT_FOUND");
    refused(slow.cancel(&parcel.id).await, NotFound, "PARCEL_NOT_FOUND");
    assert_eq!(Everything::of(&world, &swift).await, before);
}

#[tokio::test]
async fn a_tracking_number_is_announced_once_by_each_courier() {
    let world = World::new().await;
    let (swift, slow) = (world.courier("swift-express").await, world.courier("slow-post").await);
    let label = Label::to(&world.resident("王芳"));
    swift.announce(&label).await.unwrap();
    let before = Everything::of(&world, &swift).await;
    refused(swift.announce(&label).await, AlreadyExists, "TRACKING_NUMBER_TAKEN");
    assert_eq!(Everything::of(&world, &swift).await, before);
    slow.announce(&label).await.unwrap();
}

#[tokio::test]
async fn a_request_id_stands_for_one_body() {
    let world = World::new().await;
    let swift = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    let request = Label::to(&wang).request();
    let announced = swift.announce_as(request.clone()).await.unwrap();
    let before = Everything::of(&world, &swift).await;

    let mut larger = request.clone();
    larger.size = ParcelSize::Large.into();
    refused(swift.announce_as(larger).await, InvalidArgument, "REQUEST_ID_REUSED");
    let mut another = Label::to(&wang).request();
    another.request_id.clone_from(&request.request_id);
    refused(swift.announce_as(another).await, InvalidArgument, "REQUEST_ID_REUSED");
    let cancel = gatepost_proto::v1::CancelParcelRequest {
        request_id: request.request_id.clone(),
        parcel_id: announced.parcel.id.clone(),
    };
    refused(answer(swift.parcels().cancel_parcel(cancel).await), InvalidArgument, "REQUEST_ID_REUSED");
    assert_eq!(Everything::of(&world, &swift).await, before);

    // The first body is still answered as it was, though the parcel has moved on.
    swift.deposit(&announced.parcel).await.unwrap();
    let again = swift.announce_as(request.clone()).await.unwrap();
    assert_eq!(again, announced);
    // Another caller's ids are its own.
    let slow = world.courier("slow-post").await;
    assert_ne!(slow.announce_as(request).await.unwrap().parcel.id, announced.parcel.id);
}

#[tokio::test]
async fn a_refused_request_may_be_sent_again() {
    let world = World::new().await;
    let swift = world.courier("swift-express").await;
    let parcel = swift.announce(&Label::to(&world.resident("王芳"))).await.unwrap().parcel;
    let request = gatepost_proto::v1::ConfirmPickupRequest {
        request_id: new_request_id(),
        parcel_id: parcel.id.clone(),
        pickup_time: None,
    };
    let too_early = answer(swift.parcels().confirm_pickup(request.clone()).await);
    refused(too_early, FailedPrecondition, "ILLEGAL_STEP");
    swift.deposit(&parcel).await.unwrap();
    let taken = answer(swift.parcels().confirm_pickup(request).await).unwrap().parcel.unwrap();
    assert_eq!(taken.state(), ParcelState::PickedUp);
}

#[tokio::test]
async fn a_deposit_needs_a_free_and_large_enough_compartment() {
    let world = World::new().await;
    let (swift, slow) = (world.courier("swift-express").await, world.courier("slow-post").await);
    let (wang, zhao) = (world.resident("王芳"), world.resident("赵敏"));
    let inside = slow.bring(&Label::to(&wang)).await.deposit.unwrap();
    let reserved = slow.announce(&Label::to(&wang)).await.unwrap().parcel.placement.unwrap();
    let parcel = swift.announce(&Label::to(&zhao).size(ParcelSize::Medium)).await.unwrap().parcel;
    let small = swift.announce(&Label::to(&zhao)).await.unwrap().parcel;
    let before = Everything::of(&world, &swift).await;

    let into = async |parcel: &str, locker: &str, compartment: &str| {
        swift.deposit_into(parcel, locker, compartment, None).await
    };
    let occupied = into(&small.id, &inside.locker_id, &inside.compartment_id).await;
    refused(occupied, FailedPrecondition, "COMPARTMENT_TAKEN");
    let kept = into(&small.id, &reserved.locker_id, &reserved.compartment_id).await;
    refused(kept, FailedPrecondition, "COMPARTMENT_TAKEN");
    refused(into(&parcel.id, "west", "W4").await, FailedPrecondition, "COMPARTMENT_TOO_SMALL");
    refused(into(&parcel.id, "west", "W9").await, NotFound, "COMPARTMENT_NOT_FOUND");
    refused(into(&parcel.id, "moon", "W2").await, NotFound, "COMPARTMENT_NOT_FOUND");
    for (locker, compartment) in [("", "W2"), ("west", ""), ("west\n", "W2"), ("west", " W2"), (&"柜".repeat(64), "W2")]
    {
        refused(into(&parcel.id, locker, compartment).await, InvalidArgument, "INVALID_FIELD");
    }
    assert_eq!(Everything::of(&world, &swift).await, before);

    // What was refused can still be done properly, and then not twice elsewhere.
    let deposited = swift.deposit(&parcel).await.unwrap();
    assert_eq!(deposited.state(), ParcelState::Waiting);
    let elsewhere = refused(into(&parcel.id, "west", "W2").await, FailedPrecondition, "ILLEGAL_STEP");
    assert_eq!(elsewhere.metadata["state"], "WAITING");
}

#[tokio::test]
async fn a_deposit_needs_a_recipient_who_wants_it() {
    let world = World::new().await;
    let swift = world.courier("swift-express").await;
    let label = Label::to(&world.resident("王芳"));
    let unwanted = swift.announce(&label.clone().consent(DepositConsent::Refused)).await.unwrap().parcel;
    let stranger = gatepost_proto::v1::Recipient { name: "无名氏".to_owned(), ..Default::default() };
    let label = Label::to(&world.resident("王芳")).recipient(stranger);
    let unknown = swift.announce(&label).await.unwrap().parcel;
    let before = Everything::of(&world, &swift).await;
    let unwanted = swift.deposit_into(&unwanted.id, "east", "E1", None).await;
    refused(unwanted, FailedPrecondition, "NO_DEPOSIT_CONSENT");
    let unknown = swift.deposit_into(&unknown.id, "east", "E1", None).await;
    refused(unknown, FailedPrecondition, "RECIPIENT_UNRESOLVED");
    assert_eq!(Everything::of(&world, &swift).await, before);
}

#[tokio::test]
async fn steps_out_of_order_are_refused_by_the_state() {
    let world = World::new().await;
    let swift = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    let announced = swift.announce(&Label::to(&wang)).await.unwrap().parcel;
    let waiting = swift.bring(&Label::to(&wang)).await;
    let cancelled = swift.announce(&Label::to(&wang)).await.unwrap().parcel;
    swift.cancel(&cancelled.id).await.unwrap();
    let before = Everything::of(&world, &swift).await;

    let mut refusals = Vec::new();
    for parcel in [&announced, &cancelled] {
        refusals.push(refused(swift.pick_up(&parcel.id).await, FailedPrecondition, "ILLEGAL_STEP"));
    }
    for parcel in [&announced, &waiting, &cancelled] {
        refusals.push(refused(swift.accept_recall(&parcel.id).await, FailedPrecondition, "ILLEGAL_STEP"));
        refusals.push(refused(swift.refuse_recall(&parcel.id).await, FailedPrecondition, "ILLEGAL_STEP"));
        let delivered = swift.report(&parcel.id, DoorDeliveryOutcome::Delivered).await;
        refusals.push(refused(delivered, FailedPrecondition, "ILLEGAL_STEP"));
    }
    refusals.push(refused(swift.cancel(&waiting.id).await, FailedPrecondition, "ILLEGAL_STEP"));
    refusals.push(refused(swift.suggest(&waiting.id).await, FailedPrecondition, "ILLEGAL_STEP"));
    let states: Vec<&str> = refusals.iter().map(|refused| refused.metadata["state"].as_str()).collect();
    let (a, w, c) = ("ANNOUNCED", "WAITING", "CANCELLED");
    assert_eq!(states, [a, c, a, a, a, w, w, w, c, c, c, w, w]);
    assert_eq!(Everything::of(&world, &swift).await, before);
}

#[tokio::test]
async fn a_deposit_in_the_future_is_a_wrong_clock_and_a_little_ahead_is_now() {
    let world = World::new().await;
    let swift = world.courier("swift-express").await;
    let announced = swift.announce(&Label::to(&world.resident("王芳"))).await.unwrap().parcel;
    let place = announced.placement.unwrap();
    let deposit_at =
        async |at| swift.deposit_into(&announced.id, &place.locker_id, &place.compartment_id, Some(at)).await;
    let before = Everything::of(&world, &swift).await;
    refused(deposit_at(world.now() + TEN_MINUTES).await, InvalidArgument, "TIME_IN_FUTURE");
    assert_eq!(Everything::of(&world, &swift).await, before);

    let deposited = deposit_at(world.now() + MINUTE).await.unwrap();
    assert_eq!(from_wire(deposited.deposit.unwrap().deposit_time.unwrap()), world.now());
    assert_eq!(from_wire(deposited.remind_from.unwrap()), world.now() + SignedDuration::from_hours(24));
    let event = swift.expect_event(EventKind::Deposited).await;
    assert_eq!(from_wire(event.event_time.unwrap()), world.now());
}

#[tokio::test]
async fn a_deposit_before_the_announcement_is_a_wrong_clock_and_a_little_before_is_the_announcement() {
    let world = World::new().await;
    let swift = world.courier("swift-express").await;
    let announced = swift.announce(&Label::to(&world.resident("王芳"))).await.unwrap().parcel;
    let (place, announced_at) = (announced.placement.unwrap(), world.now());
    let deposit_at =
        async |at| swift.deposit_into(&announced.id, &place.locker_id, &place.compartment_id, Some(at)).await;
    world.let_pass(MINUTE * 30).await;
    let before = Everything::of(&world, &swift).await;
    refused(deposit_at(announced_at - TEN_MINUTES).await, InvalidArgument, "TIME_BEFORE_ANNOUNCEMENT");
    assert_eq!(Everything::of(&world, &swift).await, before);

    let deposited = deposit_at(announced_at - MINUTE).await.unwrap();
    assert_eq!(from_wire(deposited.deposit.unwrap().deposit_time.unwrap()), announced_at);
}

#[tokio::test]
async fn a_pickup_is_after_its_deposit_and_before_now() {
    let world = World::new().await;
    let swift = world.courier("swift-express").await;
    world.let_pass(MINUTE * 30).await;
    let parcel = swift.bring(&Label::to(&world.resident("王芳"))).await;
    let deposited_at = world.now();
    world.let_pass(MINUTE * 30).await;
    let before = Everything::of(&world, &swift).await;
    let early = swift.pick_up_at(&parcel.id, Some(deposited_at - TEN_MINUTES)).await;
    refused(early, InvalidArgument, "TIME_BEFORE_DEPOSIT");
    let late = swift.pick_up_at(&parcel.id, Some(world.now() + TEN_MINUTES)).await;
    refused(late, InvalidArgument, "TIME_IN_FUTURE");
    assert_eq!(Everything::of(&world, &swift).await, before);
    let taken = swift.pick_up_at(&parcel.id, Some(deposited_at - MINUTE)).await.unwrap();
    assert_eq!(from_wire(taken.state_time.unwrap()), deposited_at);
}
