//! The whole story in one world, with the real networks, on both stacks: four parcels, two gates, a stranger.

use std::collections::BTreeSet;

use courier_sim::terminal::TerminalNote;
use gatepost_proto::v1::{EventKind, ParcelSize, ParcelState, PlacementReason, ReminderCause};
use gatepost_tests::{
    clients::{Courier, Label, Light, from_wire, passage, photograph},
    world::{NORTH_GATE, SOUTH_GATE, World, hours, minutes},
};

use crate::door_delivery::Fleet;

on_both_stacks!(four_parcels_and_a_stranger);

const DOZEN: usize = 12;

async fn four_parcels_and_a_stranger(world: World) {
    let _worker = world.worker().await;
    let courier = world.courier("swift-express").await;
    let [chen, li, wang, zhao] = ["陈伟", "李建国", "王芳", "赵敏"].map(|name| world.resident(name));
    chen.agree_and_enrol(photograph("obama")).await;

    // (1) The nearest locker with a fitting compartment, and the next one when it is full.
    let large = |resident| Label::to(resident).size(ParcelSize::Large);
    let a = courier.bring(&large(&chen)).await;
    assert_eq!(a.deposit.as_ref().unwrap().locker_id, "west");
    let d = courier.announce(&large(&li)).await.unwrap();
    assert_eq!(d.ranking[0].reason(), PlacementReason::Full);
    let d = courier.deposit(&d.parcel).await.unwrap();
    assert_eq!(d.deposit.as_ref().unwrap().locker_id, "east");

    // (2) Seen before T1: nothing. After T1: one reminder, though a dozen frames show the face.
    let (mut north, mut south) = (world.camera(NORTH_GATE).await, world.camera(SOUTH_GATE).await);
    let early = north.sees(&passage("obama2", DOZEN, Light::Day)).await;
    assert_eq!((early.displays.len(), early.refused.len()), (0, 0));
    world.let_pass(hours(24)).await;
    // (3) A stranger passes: nothing is kept.
    assert!(south.sees(&passage("biden", DOZEN, Light::Day)).await.displays.is_empty());
    assert_eq!(north.sees(&passage("obama3", DOZEN, Light::Dusk)).await.displays.len(), 1);
    assert_eq!(chen.reminders().await.len(), 1);
    assert!(li.reminders().await.is_empty());

    // (4) Picked up: both deadlines are gone.
    let picked_up = courier.pick_up(&a.id).await.unwrap();
    assert_eq!(picked_up.state(), ParcelState::PickedUp);

    // (5) Who has no face on file is reminded at the usual hour, 18:30 on Wednesday.
    let b = courier.bring(&Label::to(&wang)).await;
    let c = courier.bring(&Label::to(&zhao)).await;
    world.let_pass(hours(24)).await;
    let planned = from_wire(courier.parcel(&b.id).await.unwrap().next_reminder_at.unwrap());
    assert_eq!(planned, "2026-06-03T10:30:00Z".parse().unwrap());
    world.let_pass(planned.duration_since(world.now())).await;
    both_reminded_at_the_usual_hour(&courier, [&b.id, &c.id]).await;
    courier.pick_up(&b.id).await.unwrap();

    // (7) Picked up while its recall is on the way: the courier is told that the recall is withdrawn.
    let recall_at = from_wire(courier.parcel(&d.id).await.unwrap().recall_at.unwrap());
    world.let_pass(recall_at.duration_since(world.now()) - minutes(1)).await;
    assert_eq!(courier.parcel(&d.id).await.unwrap().state(), ParcelState::Waiting);
    world.let_pass(minutes(1)).await;
    courier.pick_up(&d.id).await.unwrap();
    let recalled = courier.await_event(EventKind::RecallRequested).await;
    assert_eq!(recalled.parcel_id, d.id);
    assert_eq!(courier.await_event(EventKind::RecallWithdrawn).await.parcel_id, d.id);

    // (6) Forgotten: recalled, accepted, its terminal instructed, brought to the door.
    let fleet = Fleet::start(&world, &courier, true).await;
    let recall_at = from_wire(courier.parcel(&c.id).await.unwrap().recall_at.unwrap());
    world.let_pass(recall_at.duration_since(world.now())).await;
    let number = c.tracking_number.clone();
    fleet
        .noticed(
            "the instruction",
            |note| matches!(note, TerminalNote::Instructed(instruction) if instruction.tracking_number == number),
        )
        .await;
    let delivered = courier.await_event(EventKind::DeliveredToDoor).await;
    assert_eq!(delivered.parcel_id, c.id);
    assert_eq!(courier.parcel(&a.id).await.unwrap(), picked_up, "and nothing else happened to the first");
}

/// Neither has a face on file, and neither has a habit of their own.
async fn both_reminded_at_the_usual_hour(courier: &Courier, parcels: [&str; 2]) {
    let mut reminded = BTreeSet::new();
    while reminded.len() < parcels.len() {
        let event = courier.await_event(EventKind::ReminderSent).await;
        if parcels.contains(&&*event.parcel_id) {
            assert_eq!(event.reminder_cause(), ReminderCause::UsualHour);
            reminded.insert(event.parcel_id);
        }
    }
}
