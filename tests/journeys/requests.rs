//! Requests that come twice, at once, or in a crowd.

use std::collections::BTreeSet;

use futures::future::join_all;
use gatepost_proto::v1::{EventKind, PlacementKind};
use gatepost_tests::{
    clients::Label,
    world::{World, hours},
};
use tonic::Code;

on_both_stacks!(
    a_hundred_copies_of_a_request_make_one_parcel,
    a_crowd_never_shares_a_compartment,
    a_hundred_copies_of_a_deposit_make_one_event,
);

async fn a_hundred_copies_of_a_request_make_one_parcel(world: World) {
    let courier = world.courier("swift-express").await;
    let request = Label::to(&world.resident("王芳")).request();
    let copies = join_all((0..100).map(|_| courier.announce_as(request.clone()))).await;
    let first = copies[0].as_ref().unwrap();
    for copy in &copies {
        assert_eq!(copy.as_ref().unwrap(), first);
    }
    assert_eq!(courier.list(500, "").await.unwrap().parcels, std::slice::from_ref(&first.parcel));

    let mut other = request.clone();
    other.tracking_number += "-B";
    let refused = courier.announce_as(other).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::InvalidArgument, "REQUEST_ID_REUSED"));
    world.let_pass(hours(23)).await;
    assert_eq!(&courier.announce_as(request.clone()).await.unwrap(), first, "a day later it is still the same answer");
    let mut anew = request;
    anew.request_id = gatepost_tests::clients::new_request_id();
    let refused = courier.announce_as(anew).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::AlreadyExists, "TRACKING_NUMBER_TAKEN"));
}

async fn a_crowd_never_shares_a_compartment(world: World) {
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    let labels: Vec<Label> = (0..24).map(|_| Label::to(&wang)).collect();
    let announced = join_all(labels.iter().map(|label| courier.announce(label))).await;
    let (mut places, mut doors) = (BTreeSet::new(), 0);
    for announced in announced {
        let placement = announced.unwrap().parcel.placement.unwrap();
        match placement.kind() {
            PlacementKind::Locker => assert!(places.insert((placement.locker_id, placement.compartment_id))),
            _ => doors += 1,
        }
    }
    assert_eq!((places.len(), doors), (9, 15), "there are nine compartments");
}

async fn a_hundred_copies_of_a_deposit_make_one_event(world: World) {
    let courier = world.courier("swift-express").await;
    let announced = courier.announce(&Label::to(&world.resident("王芳"))).await.unwrap();
    // Each with a request id of its own: the step itself is harmless when it is repeated.
    let copies = join_all((0..100).map(|_| courier.deposit(&announced.parcel))).await;
    for copy in &copies {
        assert_eq!(copy.as_ref().unwrap(), copies[0].as_ref().unwrap());
    }
    courier.pick_up(&announced.parcel.id).await.unwrap();
    courier.expect_event(EventKind::Deposited).await;
    courier.expect_event(EventKind::PickedUp).await;
}

#[tokio::test]
async fn request_ids_of_two_couriers_have_nothing_in_common() {
    let world = World::new().await;
    let (swift, cloud) = (world.courier("swift-express").await, world.courier("cloud-way").await);
    let request = Label::to(&world.resident("王芳")).request();
    let one = swift.announce_as(request.clone()).await.unwrap();
    let other = cloud.announce_as(request).await.unwrap();
    assert_ne!(one.parcel.id, other.parcel.id);
}
