//! Five hundred announcements at once for a hundred free compartments.

use std::collections::BTreeSet;

use futures::future::join_all;
use gatepost_proto::v1::{
    Compartment, Locker, Parcel, ParcelSize, PlacementKind, PlacementReason, UpdateCommunityRequest,
};
use gatepost_tests::{
    clients::{Label, new_request_id},
    world::{COMMUNITY, World, hours, standard_community},
};
use jiff::SignedDuration;
use tonic::Code;

on_both_stacks!(each_free_compartment_is_reserved_once);

const LOCKERS: [&str; 3] = ["east", "west", "lake"];
/// One hundred in all.
const COMPARTMENTS: [usize; 3] = [40, 35, 25];
const COURIERS: usize = 5;
const ANNOUNCEMENTS: usize = 500;

/// The standard community with small compartments and no others.
async fn rebuild(world: &World) {
    let mut community = standard_community();
    let lockers = LOCKERS.iter().zip(COMPARTMENTS).map(|(id, count)| Locker {
        id: (*id).to_owned(),
        name: (*id).to_owned(),
        compartments: (0..count)
            .map(|nth| Compartment { id: format!("{nth:02}"), size: ParcelSize::Small.into(), ..Default::default() })
            .collect(),
        ..Default::default()
    });
    community.topology.as_mut().unwrap().lockers = lockers.collect();
    let request = UpdateCommunityRequest {
        request_id: new_request_id(),
        community: Some(community),
        update_mask: Some(prost_types::FieldMask { paths: vec!["topology".to_owned()] }),
    };
    world.administrator().communities().update_community(request).await.unwrap();
}

/// Announces a parcel. Who is told that the platform cannot keep up sends the same request again, as every courier is
/// told to.
async fn announce(world: &World, nth: usize) -> Parcel {
    let courier = world.courier(&format!("courier-{}", nth % COURIERS)).await;
    let request = Label::to(&world.resident("王芳")).request();
    loop {
        match courier.announce_as(request.clone()).await {
            Ok(announced) => return announced.parcel,
            Err(refused) => assert!(matches!(refused.code, Code::Unavailable | Code::Aborted), "{refused:?}"),
        }
    }
}

fn reserved(parcel: &Parcel) -> Option<(String, String)> {
    let placement = parcel.placement.clone().unwrap();
    match (placement.kind(), placement.reason()) {
        (PlacementKind::Locker, _) => Some((placement.locker_id, placement.compartment_id)),
        (PlacementKind::Door, PlacementReason::NoLockerFits) => None,
        other => panic!("neither a locker nor a door: {other:?}"),
    }
}

async fn each_free_compartment_is_reserved_once(world: World) {
    rebuild(&world).await;
    for nth in 0..COURIERS {
        world.courier(&format!("courier-{nth}")).await;
    }
    let parcels = join_all((0..ANNOUNCEMENTS).map(|nth| announce(&world, nth))).await;
    let places: Vec<_> = parcels.iter().filter_map(reserved).collect();
    assert_eq!(places.len(), 100, "as many reservations as there are compartments");
    assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), 100, "and none of them twice");
    let kept = world.administrator().compartments(COMMUNITY).await;
    assert!(kept.iter().all(|compartment| compartment.reserved_until.is_some()), "all are kept for somebody");

    world.let_pass(hours(2) - SignedDuration::from_millis(1)).await;
    assert_eq!(reserved(&announce(&world, 0).await), None, "until the last moment");
    world.let_pass(SignedDuration::from_millis(1)).await;
    assert_eq!(reserved(&announce(&world, 0).await), Some(("east".to_owned(), "00".to_owned())), "then at once");
}
