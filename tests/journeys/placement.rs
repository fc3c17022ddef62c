//! A parcel is announced, its recipient resolved, and a compartment near home reserved.

mod race;
mod rules;

use gatepost_proto::v1::{
    self, DepositConsent, EventKind, ParcelSize, ParcelState, Placement, PlacementKind, PlacementReason, Recipient,
};
use gatepost_tests::{
    clients::{Announced, Label, from_wire, new_request_id},
    world::{COMMUNITY, World, hours, minutes, standard_community},
};
use tonic::Code;

on_both_stacks!(nearest_is_the_shortest_walk, the_nearest_is_full_once, an_expired_reservation_is_given_on);

fn ranked(announced: &Announced) -> Vec<(&str, Option<f64>, PlacementReason)> {
    announced.ranking.iter().map(|locker| (&*locker.locker_id, locker.walking_metres, locker.reason())).collect()
}

fn place(announced: &Announced) -> (&str, &str) {
    let placement = announced.parcel.placement.as_ref().unwrap();
    (&placement.locker_id, &placement.compartment_id)
}

fn placement(announced: &Announced) -> (PlacementKind, PlacementReason) {
    let placement = announced.parcel.placement.as_ref().unwrap();
    (placement.kind(), placement.reason())
}

async fn nearest_is_the_shortest_walk(world: World) {
    let courier = world.courier("swift-express").await;
    let announced = courier.announce(&Label::to(&world.resident("王芳"))).await.unwrap();
    let expected = [
        ("east", Some(110.0), PlacementReason::Nearest),
        ("west", Some(180.0), PlacementReason::Farther),
        ("lake", Some(260.0), PlacementReason::Farther),
    ];
    assert_eq!(ranked(&announced), expected);
    let Placement { walking_metres, reserved_until, .. } = announced.parcel.placement.clone().unwrap();
    assert_eq!((place(&announced), walking_metres), (("east", "E1"), 110.0));
    assert_eq!(from_wire(reserved_until.unwrap()), world.now() + hours(2));
    assert_eq!(announced.parcel.state(), ParcelState::Announced);
    assert!(announced.parcel.recipient_resolved);
    let other = courier.announce(&Label::to(&world.resident("陈伟"))).await.unwrap();
    assert_eq!(place(&other), ("west", "W1"), "the nearest depends on the home");
}

async fn the_nearest_is_full_once(world: World) {
    let courier = world.courier("swift-express").await;
    let large = || Label::to(&world.resident("王芳")).size(ParcelSize::Large);
    let first = courier.bring(&large()).await;
    assert_eq!(first.deposit.as_ref().unwrap().compartment_id, "E3");
    let second = courier.announce(&large()).await.unwrap();
    let expected = [
        ("east", Some(110.0), PlacementReason::Full),
        ("west", Some(180.0), PlacementReason::Nearest),
        ("lake", Some(260.0), PlacementReason::TooSmall),
    ];
    assert_eq!(ranked(&second), expected);
    assert_eq!(place(&second), ("west", "W3"));
    let third = courier.announce(&large()).await.unwrap();
    assert_eq!(placement(&third), (PlacementKind::Door, PlacementReason::NoLockerFits));
    courier.pick_up(&first.id).await.unwrap();
    let fourth = courier.announce(&large()).await.unwrap();
    assert_eq!(place(&fourth), ("east", "E3"), "a pickup empties the compartment");
}

async fn an_expired_reservation_is_given_on(world: World) {
    let courier = world.courier("swift-express").await;
    let large = || Label::to(&world.resident("王芳")).size(ParcelSize::Large);
    let late = courier.announce(&large()).await.unwrap();
    world.let_pass(minutes(119)).await;
    let kept = courier.suggest(&late.parcel.id).await.unwrap();
    assert_eq!(kept.parcel, late.parcel, "a reservation that stands is kept");
    world.let_pass(minutes(1)).await;
    let punctual = courier.announce(&large()).await.unwrap();
    assert_eq!(place(&punctual), ("east", "E3"));
    let again = courier.suggest(&late.parcel.id).await.unwrap();
    assert_eq!(place(&again), ("west", "W3"));
    let reserved_until = again.parcel.placement.unwrap().reserved_until.unwrap();
    assert_eq!(from_wire(reserved_until), world.now() + hours(2));
    let parcel = courier.parcel(&late.parcel.id).await.unwrap();
    courier.deposit(&parcel).await.unwrap();
    let refused = courier.suggest(&late.parcel.id).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "ILLEGAL_STEP"));
}

#[tokio::test]
async fn an_expired_reservation_that_nobody_took_can_still_be_used() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let announced = courier.announce(&Label::to(&world.resident("王芳"))).await.unwrap();
    world.let_pass(hours(5)).await;
    courier.deposit(&announced.parcel).await.unwrap();
}

#[tokio::test]
async fn another_free_compartment_may_be_used() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    let announced = courier.announce(&Label::to(&wang)).await.unwrap();
    let parcel = courier.deposit_into(&announced.parcel.id, "lake", "K2", None).await.unwrap();
    assert_eq!(parcel.deposit.unwrap().compartment_id, "K2");
    let next = courier.announce(&Label::to(&wang)).await.unwrap();
    assert_eq!(place(&next), ("east", "E1"), "what was reserved is free again");
}

#[tokio::test]
async fn without_consent_the_parcel_goes_to_the_door() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    let no_consent = (PlacementKind::Door, PlacementReason::NoDepositConsent);
    let refused = courier.announce(&Label::to(&wang).consent(DepositConsent::Refused)).await.unwrap();
    assert_eq!(placement(&refused), no_consent);
    let deposit = courier.deposit_into(&refused.parcel.id, "east", "E1", None).await.unwrap_err();
    assert_eq!((deposit.code, &*deposit.reason), (Code::FailedPrecondition, "NO_DEPOSIT_CONSENT"));
    wang.withdraw(v1::ConsentPurpose::LockerDeposit).await;
    assert_eq!(placement(&courier.announce(&Label::to(&wang)).await.unwrap()), no_consent);
    let given = courier.announce(&Label::to(&wang).consent(DepositConsent::Given)).await.unwrap();
    assert_eq!(given.parcel.placement.unwrap().kind(), PlacementKind::Locker);
}

#[tokio::test]
async fn lockers_that_are_offline_or_out_of_reach_are_passed_over() {
    let world = World::new().await;
    let mut community = standard_community();
    let topology = community.topology.as_mut().unwrap();
    topology.lockers[0].offline = true;
    topology.walkways.retain(|walkway| walkway.to != "west");
    let request = v1::UpdateCommunityRequest {
        request_id: new_request_id(),
        community: Some(community),
        update_mask: Some(prost_types::FieldMask { paths: vec!["topology".to_owned()] }),
    };
    world.administrator().communities().update_community(request).await.unwrap();
    let courier = world.courier("swift-express").await;
    let announced = courier.announce(&Label::to(&world.resident("王芳"))).await.unwrap();
    let expected = [
        ("east", Some(110.0), PlacementReason::Offline),
        ("lake", Some(260.0), PlacementReason::Nearest),
        ("west", None, PlacementReason::Unreachable),
    ];
    assert_eq!(ranked(&announced), expected);
}

#[tokio::test]
async fn a_cancelled_parcel_frees_its_compartment() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    let first = courier.announce(&Label::to(&wang)).await.unwrap();
    let cancelled = courier.cancel(&first.parcel.id).await.unwrap();
    assert_eq!(cancelled.state(), ParcelState::Cancelled);
    assert_eq!(courier.cancel(&first.parcel.id).await.unwrap(), cancelled, "twice is harmless");
    courier.expect_event(EventKind::Cancelled).await;
    assert_eq!(place(&courier.announce(&Label::to(&wang)).await.unwrap()), ("east", "E1"));
    let deposited = courier.bring(&Label::to(&wang)).await;
    let refused = courier.cancel(&deposited.id).await.unwrap_err();
    assert_eq!((&*refused.reason, &*refused.metadata["state"]), ("ILLEGAL_STEP", "WAITING"));
}

#[tokio::test]
async fn a_label_with_nothing_but_an_address_line_is_resolved() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let recipient = Recipient {
        name: "王芳".to_owned(),
        phone: "+86 138 0001 0001".to_owned(),
        address: "上海市浦东新区莲花路88号莲花苑3号楼802室".to_owned(),
        ..Recipient::default()
    };
    let label = Label::to(&world.resident("陈伟")).recipient(recipient);
    let announced = courier.announce(&label).await.unwrap();
    assert_eq!(place(&announced), ("east", "E1"));
}

#[tokio::test]
async fn staff_resolve_what_the_platform_cannot() {
    let world = World::new().await;
    let (courier, administrator) = (world.courier("swift-express").await, world.administrator());
    let (wang, chen) = (world.resident("王芳"), world.resident("陈伟"));
    let recipient = Recipient { name: "芳芳".to_owned(), phone: "13899999999".to_owned(), ..Recipient::default() };
    let label = Label::to(&wang).recipient(recipient.clone());
    let announced = courier.announce(&label).await.unwrap();
    let id = announced.parcel.id.clone();
    let unresolved = (PlacementKind::Unresolved, PlacementReason::RecipientUnresolved);
    assert_eq!(placement(&announced), unresolved);
    assert!(!announced.parcel.recipient_resolved && announced.ranking.is_empty());
    assert_eq!(placement(&courier.suggest(&id).await.unwrap()), unresolved);
    let refused = courier.deposit_into(&id, "east", "E1", None).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "RECIPIENT_UNRESOLVED"));

    let waiting = administrator.unresolved(COMMUNITY).await;
    assert_eq!((waiting.len(), &waiting[0].parcel_id, &waiting[0].recipient), (1, &id, &Some(recipient)));
    let resolved = administrator.resolve(&id, &wang.id).await.unwrap();
    assert_eq!(resolved.placement.as_ref().unwrap().locker_id, "east");
    courier.expect_event(EventKind::RecipientResolved).await;
    assert_eq!(courier.suggest(&id).await.unwrap().parcel, resolved);
    assert!(administrator.unresolved(COMMUNITY).await.is_empty());
    assert_eq!(administrator.resolve(&id, &wang.id).await.unwrap(), resolved, "twice is harmless");
    let refused = administrator.resolve(&id, &chen.id).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "ILLEGAL_STEP"));
    courier.deposit(&resolved).await.unwrap();
}
