//! One acceptance test for each claim of the patent, named by its number. Where a claim speaks of faces, the real
//! networks look at real photographs.

use courier_sim::terminal::TerminalNote;
use gatepost_proto::v1::{
    DeliveryState, EventKind, Parcel, ParcelState, PlacementKind, PlacementReason, ReminderCause, ReminderRecord,
};
use gatepost_tests::{
    clients::{Camera, Courier, Label, Light, from_wire, passage, photograph},
    world::{NORTH_GATE, SOUTH_GATE, World, hours, minutes},
};

use crate::door_delivery::Fleet;

/// Frames of one passage.
const DOZEN: usize = 12;

/// A dozen frames of the person of a photograph; what the display was told.
async fn passes(camera: &mut Camera, photograph: &str, light: Light) -> Vec<String> {
    let seen = camera.sees(&passage(photograph, DOZEN, light)).await;
    assert!(seen.refused.is_empty(), "{:?}", seen.refused);
    seen.displays.into_iter().map(|display| display.text).collect()
}

fn similarity(reminders: &[ReminderRecord]) -> f32 {
    assert_eq!(reminders.len(), 1, "{reminders:?}");
    reminders[0].similarity
}

async fn now(courier: &Courier, parcel: &Parcel) -> Parcel {
    courier.parcel(&parcel.id).await.unwrap()
}

/// The courier's server sends parcel information with the recipient; the platform obtains the identity of a person,
/// matches it with the recipient, and makes the pickup reminder.
#[tokio::test]
async fn claim_1_the_identity_at_the_gate_is_matched_with_the_recipient() {
    let world = World::new().await;
    let _worker = world.worker().await;
    let courier = world.courier("swift-express").await;
    let (chen, li) = (world.resident("陈伟"), world.resident("李建国"));
    chen.agree_and_enrol(photograph("obama")).await;
    li.agree_and_enrol(photograph("biden")).await;
    let for_chen = courier.bring(&Label::to(&chen)).await;
    let for_li = courier.bring(&Label::to(&li)).await;
    world.let_pass(hours(24)).await;
    let mut camera = world.camera(NORTH_GATE).await;
    assert_eq!(passes(&mut camera, "obama2", Light::Day).await.len(), 1);
    let reminders = chen.reminders().await;
    assert_eq!((&reminders[0].parcel_id, &*reminders[0].gate_id), (&for_chen.id, NORTH_GATE));
    assert_eq!(now(&courier, &for_chen).await.reminders_sent, 1);
    assert_eq!(now(&courier, &for_li).await.reminders_sent, 0, "the other's parcel is not meant");
    assert!(li.reminders().await.is_empty());
    let event = courier.await_event(EventKind::ReminderSent).await;
    assert_eq!((event.parcel_id, event.tracking_number), (for_chen.id, for_chen.tracking_number));
}

/// The deposit time counts: no reminder before T1, one after.
#[tokio::test]
async fn claim_2_a_reminder_after_t1_and_none_before() {
    let world = World::new().await;
    let _worker = world.worker().await;
    let courier = world.courier("swift-express").await;
    let chen = world.resident("陈伟");
    chen.agree_and_enrol(photograph("obama")).await;
    let parcel = courier.bring(&Label::to(&chen)).await;
    assert_eq!(from_wire(parcel.remind_from.unwrap()), world.now() + hours(24));
    let mut camera = world.camera(NORTH_GATE).await;
    world.let_pass(hours(24) - minutes(1)).await;
    assert!(passes(&mut camera, "obama2", Light::Day).await.is_empty(), "before T1");
    assert_eq!(now(&courier, &parcel).await.reminders_sent, 0);
    world.let_pass(minutes(1)).await;
    assert_eq!(passes(&mut camera, "obama2", Light::Day).await.len(), 1, "after T1, once for a dozen frames");
    assert_eq!(now(&courier, &parcel).await.reminders_sent, 1);
}

/// After T2 the platform sends the courier's server a recall request.
#[tokio::test]
async fn claim_3_after_t2_the_courier_is_asked_to_take_it_back() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    let recall_at = from_wire(parcel.recall_at.unwrap());
    assert_eq!(recall_at, world.now() + hours(72));
    world.let_pass(hours(72) - minutes(1)).await;
    assert_eq!(now(&courier, &parcel).await.state(), ParcelState::Waiting);
    world.let_pass(minutes(1)).await;
    let recall = courier.await_event(EventKind::RecallRequested).await;
    assert_eq!((&recall.parcel_id, from_wire(recall.event_time.unwrap())), (&parcel.id, recall_at));
    assert_eq!(now(&courier, &parcel).await.state(), ParcelState::RecallRequested);
}

/// The courier's server sends its terminal the instruction to bring the parcel to the door.
#[tokio::test]
async fn claim_4_the_terminal_is_instructed_to_bring_it_to_the_door() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let fleet = Fleet::start(&world, &courier, true).await;
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    world.let_pass(hours(72)).await;
    let note = fleet.noticed("the instruction", |note| matches!(note, TerminalNote::Instructed(_))).await;
    let TerminalNote::Instructed(instruction) = note else { unreachable!() };
    let deposit = parcel.deposit.clone().unwrap();
    assert_eq!((instruction.locker_id, instruction.compartment_id), (deposit.locker_id, deposit.compartment_id));
    assert_eq!((&*instruction.building, &*instruction.unit), ("3号楼", "1101"));
    courier.await_event(EventKind::DeliveredToDoor).await;
    assert_eq!(now(&courier, &parcel).await.state(), ParcelState::DeliveredToDoor);
}

/// The identity comes from the frames of a gate camera by face recognition against enrolled residents; of strangers
/// nothing is kept.
#[tokio::test]
async fn claim_5_faces_of_gate_frames_are_recognised_and_strangers_leave_nothing() {
    let world = World::new().await;
    let _worker = world.worker().await;
    let courier = world.courier("swift-express").await;
    let chen = world.resident("陈伟");
    chen.agree_and_enrol(photograph("obama")).await;
    courier.bring(&Label::to(&chen)).await;
    world.let_pass(hours(24)).await;
    let mut camera = world.camera(SOUTH_GATE).await;
    let before = kept(&world).await;
    assert!(passes(&mut camera, "biden", Light::Day).await.is_empty(), "a stranger");
    assert!(chen.reminders().await.is_empty());
    assert_eq!(kept(&world).await, before, "nothing of the stranger is kept");
    world.let_pass(minutes(1)).await;
    assert_eq!(passes(&mut camera, "obama3", Light::Dusk).await.len(), 1, "another photograph, in other light");
    let reminders = chen.reminders().await;
    assert!(similarity(&reminders) >= 0.424, "{}", similarity(&reminders));
    assert_eq!(reminders[0].delivery(), DeliveryState::Delivered);
}

/// Faces and reminders of everybody.
async fn kept(world: &World) -> Vec<(i32, usize)> {
    let mut kept = Vec::new();
    for name in ["王芳", "陈伟", "李建国", "赵敏", "刘洋"] {
        let resident = world.resident(name);
        kept.push((resident.on_record().await.unwrap().faces, resident.reminders().await.len()));
    }
    kept
}

/// The reminder comes at the time at which the resident picked up in the past.
#[tokio::test]
async fn claim_6_the_reminder_comes_at_the_historical_pickup_time() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    // Weekdays in May, at 20:10 in Shanghai.
    let days = [18, 19, 20, 21, 22, 25, 26].map(|day| format!("2026-05-{day}T12:10:00Z").parse().unwrap());
    wang.import_pickups(&days).await.unwrap();
    let parcel = courier.bring(&Label::to(&wang)).await;
    world.let_pass(hours(24)).await;
    let planned = from_wire(now(&courier, &parcel).await.next_reminder_at.unwrap());
    assert_eq!(planned, "2026-06-02T12:10:00Z".parse().unwrap());
    world.let_pass(planned.duration_since(world.now())).await;
    let event = courier.await_event(EventKind::ReminderSent).await;
    assert_eq!((event.reminder_cause(), from_wire(event.event_time.unwrap())), (ReminderCause::UsualHour, planned));
}

/// The courier's server asks for the optimal place and gets it.
#[tokio::test]
async fn claim_7_the_courier_gets_the_optimal_place() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let announced = courier.announce(&Label::to(&world.resident("王芳"))).await.unwrap();
    let suggested = courier.suggest(&announced.parcel.id).await.unwrap();
    let placement = suggested.parcel.placement.unwrap();
    assert_eq!((placement.kind(), &*placement.locker_id), (PlacementKind::Locker, "east"));
    let nearest = suggested.ranking.iter().min_by(|a, b| a.walking_metres().total_cmp(&b.walking_metres())).unwrap();
    assert_eq!((&nearest.locker_id, nearest.reason()), (&placement.locker_id, PlacementReason::Nearest));
    assert_eq!(placement.walking_metres, 110.0);
}

/// The parties work together as one system: a pickup clears both deadlines, and a recall on its way is withdrawn.
#[tokio::test]
async fn claim_8_the_parties_work_together() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let fleet = Fleet::start(&world, &courier, false).await;
    let (wang, zhao) = (world.resident("王芳"), world.resident("赵敏"));
    let in_time = courier.bring(&Label::to(&wang)).await;
    let late = courier.bring(&Label::to(&zhao)).await;
    world.let_pass(hours(1)).await;
    courier.pick_up(&in_time.id).await.unwrap();
    world.let_pass(hours(71)).await;
    let recall = courier.await_event(EventKind::RecallRequested).await;
    assert_eq!(recall.parcel_id, late.id, "the other was picked up in time");
    fleet.noticed("the instruction", |note| matches!(note, TerminalNote::Instructed(_))).await;
    courier.pick_up(&late.id).await.unwrap();
    let withdrawn = courier.await_event(EventKind::RecallWithdrawn).await;
    assert_eq!((withdrawn.parcel_id, withdrawn.recall_number), (late.id.clone(), recall.recall_number));
    fleet.noticed("the withdrawal", |note| matches!(note, TerminalNote::Withdrawn { .. })).await;
    world.let_pass(hours(24 * 30)).await;
    for parcel in [&in_time, &late] {
        assert_eq!(now(&courier, parcel).await.state(), ParcelState::PickedUp);
    }
    assert!(wang.reminders().await.is_empty());
}
