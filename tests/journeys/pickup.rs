//! The resident takes the parcel, and everything that was under way ends.

use gatepost_proto::v1::{EventKind, ParcelState};
use gatepost_tests::{
    clients::{Label, from_wire},
    world::{World, hours, minutes},
};

on_both_stacks!(a_pickup_clears_both_deadlines);

async fn a_pickup_clears_both_deadlines(world: World) {
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    let parcel = courier.bring(&Label::to(&wang)).await;
    assert_eq!(from_wire(parcel.remind_from.unwrap()), world.now() + hours(24));
    assert_eq!(from_wire(parcel.recall_at.unwrap()), world.now() + hours(72));
    world.let_pass(hours(2)).await;
    let picked_up = courier.pick_up(&parcel.id).await.unwrap();
    assert_eq!(picked_up.state(), ParcelState::PickedUp);
    assert_eq!(courier.pick_up(&parcel.id).await.unwrap(), picked_up, "twice is harmless");
    world.let_pass(hours(24 * 10)).await;
    courier.expect_event(EventKind::Deposited).await;
    courier.expect_event(EventKind::PickedUp).await;
    assert_eq!(courier.parcel(&parcel.id).await.unwrap(), picked_up);
    assert!(wang.reminders().await.is_empty());
    // Whatever came after the pickup would stand before this.
    courier.bring(&Label::to(&wang)).await;
    assert_eq!(courier.expect_event(EventKind::Deposited).await.sequence, 3);
}

#[tokio::test]
async fn a_late_report_ends_in_the_same_state() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    let parcel = courier.bring(&Label::to(&wang)).await;
    let picked_up_at = world.now() + hours(3);
    world.let_pass(hours(30)).await;
    let late = courier.pick_up_at(&parcel.id, Some(picked_up_at)).await.unwrap();
    assert_eq!(late.state(), ParcelState::PickedUp);
    assert_eq!(from_wire(late.state_time.unwrap()), picked_up_at);
}

#[tokio::test]
async fn pickups_become_the_usual_hour() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    assert_eq!(wang.usual_pickup().await.1, 0, "nothing is known yet");
    for _ in 0..3 {
        let parcel = courier.bring(&Label::to(&wang)).await;
        world.let_pass(minutes(450)).await;
        courier.pick_up(&parcel.id).await.unwrap();
        world.let_pass(hours(24) - minutes(450)).await;
    }
    // Three weekdays at 19:30 in Shanghai; the next usual time is this evening's.
    assert_eq!(wang.usual_pickup().await, (world.now() + minutes(450), 3));
}
