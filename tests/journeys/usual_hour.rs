//! Who is not seen at a gate is reminded at the hour at which they usually pick up, on the community's wall clock.

use gatepost_proto::v1::{Building, Community, CreateCommunityRequest, EventKind, ReminderCause, Topology};
use gatepost_tests::{
    clients::{Label, from_wire, new_request_id},
    world::{World, hours, standard_community},
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

on_both_stacks!(the_history_decides_the_hour, without_history_the_policy_decides_the_hour);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The same time on the wall, on several dates.
fn on_the_wall(zone: &str, time: (i8, i8), dates: &[&str]) -> Vec<Timestamp> {
    let zone = TimeZone::get(zone).unwrap();
    let instant = |date: &&str| {
        date.parse::<Date>().unwrap().at(time.0, time.1, 0, 0).to_zoned(zone.clone()).unwrap().timestamp()
    };
    dates.iter().map(instant).collect()
}

async fn the_history_decides_the_hour(world: World) {
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    let weekdays = ["2026-05-18", "2026-05-19", "2026-05-21", "2026-05-25", "2026-05-28"];
    let history = on_the_wall("Asia/Shanghai", (19, 15), &weekdays);
    assert_eq!(wang.import_pickups(&history).await.unwrap(), 5);
    assert_eq!(wang.import_pickups(&history).await.unwrap(), 0, "times already on record change nothing");
    let parcel = courier.bring(&Label::to(&wang)).await;
    assert_eq!(parcel.next_reminder_at, None, "nothing is planned before T1");
    world.let_pass(hours(24)).await;
    // Tuesday, 19:15 in Shanghai.
    let planned = at("2026-06-02T11:15:00Z");
    let waiting = courier.parcel(&parcel.id).await.unwrap();
    assert_eq!(from_wire(waiting.next_reminder_at.unwrap()), planned);
    assert_eq!(wang.usual_pickup().await, (planned, 5));
    world.let_pass(planned.duration_since(world.now()) - jiff::SignedDuration::from_millis(1)).await;
    assert_eq!(courier.parcel(&parcel.id).await.unwrap(), waiting, "not a moment too early");
    world.let_pass(jiff::SignedDuration::from_millis(1)).await;
    let event = courier.await_event(EventKind::ReminderSent).await;
    assert_eq!(event.reminder_cause(), ReminderCause::UsualHour);
    assert_eq!(from_wire(event.event_time.unwrap()), planned);
    let next = courier.parcel(&parcel.id).await.unwrap().next_reminder_at.unwrap();
    assert_eq!(from_wire(next), planned + hours(24), "and again tomorrow, if it still waits");
}

async fn without_history_the_policy_decides_the_hour(world: World) {
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    let parcel = courier.bring(&Label::to(&wang)).await;
    world.let_pass(hours(24)).await;
    let planned = courier.parcel(&parcel.id).await.unwrap().next_reminder_at.unwrap();
    assert_eq!(from_wire(planned), at("2026-06-02T10:30:00Z"), "18:30 in Shanghai");
    world.let_pass(hours(7)).await;
    courier.await_event(EventKind::ReminderSent).await;
}

/// In Berlin, summer time ends between the deposit and the reminder: the hour on the wall stays.
#[tokio::test]
async fn the_hour_on_the_wall_stays_when_summer_time_ends() {
    let world = World::builder().bare().at("2026-10-24T08:00:00Z").start().await;
    let administrator = world.administrator();
    let community = Community { time_zone: "Europe/Berlin".to_owned(), ..standard_community() };
    let request = CreateCommunityRequest { request_id: new_request_id(), community: Some(community) };
    administrator.communities().create_community(request).await.unwrap();
    world.move_in().await;
    let (courier, wang) = (world.courier("swift-express").await, world.resident("王芳"));
    let days = ["2026-10-19", "2026-10-20", "2026-10-21", "2026-10-22"];
    wang.import_pickups(&on_the_wall("Europe/Berlin", (19, 0), &days)).await.unwrap();
    let parcel = courier.bring(&Label::to(&wang)).await;
    world.let_pass(hours(24)).await;
    let planned = courier.parcel(&parcel.id).await.unwrap().next_reminder_at.unwrap();
    assert_eq!(from_wire(planned), at("2026-10-25T18:00:00Z"), "19:00 in winter");
    world.let_pass(hours(10)).await;
    courier.await_event(EventKind::ReminderSent).await;
}

#[tokio::test]
async fn two_communities_keep_their_own_time() {
    let world = World::new().await;
    let administrator = world.administrator();
    let topology =
        Topology { buildings: vec![Building { id: "b".to_owned(), name: "Haus".to_owned() }], ..Topology::default() };
    let berlin = Community {
        id: "linden".to_owned(),
        display_name: "Linden".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        topology: Some(topology),
        ..Community::default()
    };
    let request = CreateCommunityRequest { request_id: new_request_id(), community: Some(berlin) };
    administrator.communities().create_community(request).await.unwrap();
    let resident = gatepost_proto::v1::Resident {
        community_id: "linden".to_owned(),
        name: "Ada".to_owned(),
        building_id: "b".to_owned(),
        unit: "1".to_owned(),
        ..Default::default()
    };
    let ada = administrator.add_resident(resident).await.unwrap();
    let request = gatepost_proto::v1::GetUsualPickupRequest { resident_id: ada.id };
    let usual = administrator.residents().get_usual_pickup(request).await.unwrap().into_inner();
    assert_eq!(from_wire(usual.next_time.unwrap()), at("2026-06-01T16:30:00Z"), "18:30 in Berlin");
    let (next, pickups) = world.resident("王芳").usual_pickup().await;
    assert_eq!((next, pickups), (at("2026-06-01T10:30:00Z"), 0), "18:30 in Shanghai");
}
