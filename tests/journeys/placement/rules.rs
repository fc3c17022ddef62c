//! Who needs an accessible place, what is closed, and where a parcel goes when its place turns out unusable.

use gatepost_proto::v1::{
    OpeningHours, ParcelSize, PlacementKind, PlacementReason, Topology, UpdateCommunityRequest, UpdateResidentRequest,
    Weekday, policy_layer::Layer,
};
use gatepost_tests::{
    clients::{Label, Resident, WEBHOOK_SECRET, WebhookReceiver, answer, new_request_id},
    world::{COMMUNITY, World, hours, standard_community},
};
use tonic::Code;

use super::{place, placement, ranked};

on_both_stacks!(who_needs_an_accessible_place_gets_one_or_the_door, a_blocked_place_is_passed_over_for_the_next);

async fn change(world: &World, change: impl FnOnce(&mut Topology)) {
    let mut community = standard_community();
    change(community.topology.as_mut().unwrap());
    let request = UpdateCommunityRequest {
        request_id: new_request_id(),
        community: Some(community),
        update_mask: Some(prost_types::FieldMask { paths: vec!["topology".to_owned()] }),
    };
    world.administrator().communities().update_community(request).await.unwrap();
}

async fn needs_accessible(world: &World, resident: &Resident, needs_accessible: bool) {
    let request = UpdateResidentRequest {
        request_id: new_request_id(),
        resident: Some(gatepost_proto::v1::Resident {
            id: resident.id.clone(),
            needs_accessible,
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["needs_accessible".to_owned()] }),
    };
    let changed = answer(world.administrator().residents().update_resident(request).await).unwrap();
    let resident = changed.resident.unwrap();
    assert_eq!((resident.needs_accessible, &*resident.unit), (needs_accessible, "802"), "and nothing else changes");
}

async fn who_needs_an_accessible_place_gets_one_or_the_door(world: World) {
    // Steps lead to the nearest locker, and around the lake on the short way; at the lake one compartment is low enough.
    change(&world, |topology| {
        let steps = [("corner-east", "east"), ("corner-east", "lake")];
        for walkway in &mut topology.walkways {
            walkway.steps = steps.contains(&(&*walkway.from, &*walkway.to));
        }
        topology.lockers[2].compartments[0].accessible = true;
    })
    .await;
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    needs_accessible(&world, &wang, true).await;
    let first = courier.announce(&Label::to(&wang)).await.unwrap();
    let expected = [
        ("west", Some(180.0), PlacementReason::NotAccessible),
        ("lake", Some(400.0), PlacementReason::Nearest),
        ("east", None, PlacementReason::Steps),
    ];
    assert_eq!(ranked(&first), expected, "without the steps it is 400 m to the lake, not 260 m");
    assert_eq!(place(&first), ("lake", "K1"));

    let second = courier.announce(&Label::to(&wang)).await.unwrap();
    assert_eq!(
        placement(&second),
        (PlacementKind::Door, PlacementReason::NoAccessibleLocker),
        "rather than out of reach"
    );
    assert_eq!(ranked(&second)[1].2, PlacementReason::Full);
    let neighbour = courier.announce(&Label::to(&world.resident("赵敏"))).await.unwrap();
    assert_eq!(place(&neighbour), ("east", "E1"), "nobody else is concerned");

    needs_accessible(&world, &wang, false).await;
    let third = courier.announce(&Label::to(&wang)).await.unwrap();
    assert_eq!(place(&third), ("east", "E2"), "the steps count no more");
}

#[tokio::test]
async fn accessible_compartments_are_kept_for_who_needs_them() {
    let world = World::new().await;
    change(&world, |topology| topology.lockers[1].compartments[0].accessible = true).await;
    let courier = world.courier("swift-express").await;
    let chen = world.resident("陈伟");
    let places = [("west", "W4"), ("west", "W1")];
    for expected in places {
        assert_eq!(place(&courier.announce(&Label::to(&chen)).await.unwrap()), expected);
    }
}

#[tokio::test]
async fn a_closed_locker_is_passed_over_unless_it_opens_in_time() {
    // The world begins on a Monday at 12:00.
    let world = World::new().await;
    change(&world, |topology| {
        let opening = |weekdays: &[Weekday], from_minute, to_minute| OpeningHours {
            weekdays: weekdays.iter().map(|day| (*day).into()).collect(),
            from_minute,
            to_minute,
        };
        topology.lockers[0].opening_hours = vec![opening(&[], 14 * 60, 20 * 60)];
        topology.lockers[1].opening_hours = vec![opening(&[Weekday::Tuesday], 13 * 60, 20 * 60)];
    })
    .await;
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    let early = courier.announce(&Label::to(&wang)).await.unwrap();
    let expected = [
        ("east", Some(110.0), PlacementReason::Closed),
        ("west", Some(180.0), PlacementReason::Closed),
        ("lake", Some(260.0), PlacementReason::Nearest),
    ];
    assert_eq!(ranked(&early), expected, "the reservation ends when the nearest opens");
    world.let_pass(hours(1)).await;
    let later = courier.announce(&Label::to(&wang)).await.unwrap();
    assert_eq!(place(&later).0, "east", "it opens before this reservation ends");
    let elsewhere = courier.suggest_instead(&later.parcel.id, &[("east", "E1")]).await.unwrap();
    assert_eq!(ranked(&elsewhere)[0].2, PlacementReason::Closed, "who stands before it now cannot wait");
    assert_eq!(place(&elsewhere), ("lake", "K2"));
    world.let_pass(hours(24)).await;
    assert_eq!(ranked(&courier.announce(&Label::to(&wang)).await.unwrap())[1].2, PlacementReason::Farther, "a Tuesday");
}

async fn a_blocked_place_is_passed_over_for_the_next(world: World) {
    let courier = world.courier("swift-express").await;
    let large = Label::to(&world.resident("王芳")).size(ParcelSize::Large);
    let announced = courier.announce(&large).await.unwrap();
    let id = announced.parcel.id.clone();
    assert_eq!(place(&announced), ("east", "E3"));
    let other = courier.suggest_instead(&id, &[("lake", "K1")]).await.unwrap();
    assert_eq!(other.parcel, announced.parcel, "what is reserved was not found unusable");

    let next = courier.suggest_instead(&id, &[("east", "E3")]).await.unwrap();
    let expected = [
        ("east", Some(110.0), PlacementReason::Full),
        ("west", Some(180.0), PlacementReason::Nearest),
        ("lake", Some(260.0), PlacementReason::TooSmall),
    ];
    assert_eq!((ranked(&next), place(&next)), (expected.into(), ("west", "W3")));
    let none = courier.suggest_instead(&id, &[("east", "E3"), ("west", "")]).await.unwrap();
    assert_eq!(ranked(&none)[1].2, PlacementReason::Unusable);
    assert_eq!(placement(&none), (PlacementKind::Door, PlacementReason::NoLockerFits));
    let unknown = courier.suggest_instead(&id, &[("east", "E9")]).await.unwrap_err();
    assert_eq!((unknown.code, &*unknown.reason), (Code::NotFound, "COMPARTMENT_NOT_FOUND"));

    // Nothing is passed over for others: the next courier may find the door mended.
    assert_eq!(place(&courier.announce(&large_for(&world)).await.unwrap()), ("east", "E3"));
}

fn large_for(world: &World) -> Label {
    Label::to(&world.resident("赵敏")).size(ParcelSize::Large)
}

#[tokio::test]
async fn the_way_on_has_a_limit() {
    let world = World::new().await;
    let policy = gatepost_proto::v1::WaitingPolicy { overflow_metres: Some(69), ..Default::default() };
    world.administrator().set_policy(Layer::CommunityId(COMMUNITY.to_owned()), policy).await.unwrap();
    let courier = world.courier("swift-express").await;
    let announced = courier.announce(&Label::to(&world.resident("王芳"))).await.unwrap();
    let none = courier.suggest_instead(&announced.parcel.id, &[("east", "")]).await.unwrap();
    assert_eq!(ranked(&none)[1], ("west", Some(180.0), PlacementReason::TooFar), "70 m farther than the nearest");
    assert_eq!(placement(&none), (PlacementKind::Door, PlacementReason::NoLockerFits));
    let policy = gatepost_proto::v1::WaitingPolicy { overflow_metres: Some(70), ..Default::default() };
    world.administrator().set_policy(Layer::CommunityId(COMMUNITY.to_owned()), policy).await.unwrap();
    let next = courier.suggest_instead(&announced.parcel.id, &[("east", "")]).await.unwrap();
    assert_eq!(place(&next), ("west", "W1"));
}

#[tokio::test]
async fn the_resident_is_told_the_real_place() {
    let receiver = WebhookReceiver::start().await;
    let configured = World::builder().config(|config| {
        config.webhook.url = receiver.url().to_owned();
        config.webhook.secret = WEBHOOK_SECRET.into();
    });
    let world = configured.start().await;
    let courier = world.courier("swift-express").await;
    let announced = courier.announce(&Label::to(&world.resident("王芳"))).await.unwrap();
    assert_eq!(place(&announced), ("east", "E1"));
    let next = courier.suggest_instead(&announced.parcel.id, &[("east", "")]).await.unwrap();
    courier.deposit(&next.parcel).await.unwrap();
    world.let_pass(hours(24)).await;
    world.let_pass(hours(7)).await;
    let call = receiver.next().await;
    let reminder = &call.body["data"];
    assert_eq!((&reminder["locker_id"], &reminder["compartment_id"]), (&"west".into(), &"W1".into()));
}
