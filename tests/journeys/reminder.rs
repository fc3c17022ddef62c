//! A resident is seen at a gate and reminded: after T1, once a passage, not in quiet hours, and never anybody else.

use gatepost_proto::v1::{
    ConsentPurpose, DeliveryState, DisplayPolicy, EventKind, ParcelState, ReminderCause, ReportPersonRequest,
    WaitingPolicy, policy_layer::Layer,
};
use gatepost_tests::{
    clients::{Camera, Label, Resident, Seen, duration_to_wire, new_request_id, scripted_frames, to_wire},
    world::{COMMUNITY, NORTH_GATE, SOUTH_GATE, World, hours, minutes},
};
use tonic::Code;

const WAITS: &str = "您有包裹待取 · A parcel is waiting for you";

on_both_stacks!(
    one_passage_after_t1_is_one_reminder,
    a_smart_camera_reports_whom_it_saw,
    only_who_is_due_is_looked_for
);

/// A dozen frames of somebody.
async fn passes(camera: &mut Camera, words: &str) -> Vec<String> {
    let Seen { displays, refused } = camera.sees(&scripted_frames(words, 12)).await;
    assert!(refused.is_empty(), "{refused:?}");
    displays.into_iter().map(|display| display.text).collect()
}

/// Agrees to recognition; the face is the one that scripted frames call by this name.
async fn enrolled(world: &World, name: &str) -> Resident {
    let resident = world.resident(name);
    resident.agree_and_enrol(format!("face {name}")).await;
    resident
}

async fn one_passage_after_t1_is_one_reminder(world: World) {
    let _worker = world.scripted_worker().await;
    let courier = world.courier("swift-express").await;
    let chen = enrolled(&world, "陈伟").await;
    let parcel = courier.bring(&Label::to(&chen)).await;
    let mut camera = world.camera(NORTH_GATE).await;
    world.let_pass(hours(23)).await;
    assert!(passes(&mut camera, "face 陈伟").await.is_empty(), "T1 has not passed");
    assert!(chen.reminders().await.is_empty());

    world.let_pass(hours(1)).await;
    assert_eq!(passes(&mut camera, "face 陈伟").await, [WAITS]);
    world.let_pass(minutes(5)).await;
    assert!(passes(&mut camera, "face 陈伟").await.is_empty(), "reminded just now");

    let reminders = chen.reminders().await;
    assert_eq!(reminders.len(), 1);
    let reminder = &reminders[0];
    assert_eq!((&*reminder.channel, reminder.delivery()), ("gate_display", DeliveryState::Delivered));
    assert_eq!((&*reminder.gate_id, &reminder.parcel_id), (NORTH_GATE, &parcel.id));
    assert!(reminder.similarity > 0.99, "{}", reminder.similarity);
    courier.expect_event(EventKind::Deposited).await;
    let event = courier.expect_event(EventKind::ReminderSent).await;
    assert_eq!(event.reminder_cause(), ReminderCause::SeenAtGate);
    let parcel = courier.parcel(&parcel.id).await.unwrap();
    assert_eq!((parcel.reminders_sent, parcel.state()), (1, ParcelState::Waiting));
}

async fn a_smart_camera_reports_whom_it_saw(world: World) {
    let courier = world.courier("swift-express").await;
    let (wang, chen) = (world.resident("王芳"), world.resident("陈伟"));
    wang.consent(ConsentPurpose::GateRecognition).await;
    let camera = world.camera(SOUTH_GATE).await;
    for resident in [&wang, &chen] {
        courier.bring(&Label::to(resident)).await;
    }
    let nothing = camera.report_person("nobody-we-know").await.unwrap();
    assert_eq!(nothing.display, None);
    assert_eq!(camera.report_person(&wang.person_reference).await.unwrap(), nothing, "before T1");
    world.let_pass(hours(24)).await;
    let request = ReportPersonRequest {
        request_id: new_request_id(),
        person_reference: wang.person_reference.clone(),
        capture_time: Some(to_wire(world.now())),
    };
    let answer = camera.report_person_as(request.clone()).await.unwrap();
    assert_eq!(answer.display.as_ref().unwrap().text, WAITS);
    assert_eq!(camera.report_person_as(request).await.unwrap(), answer, "the same request, the same answer");
    assert_eq!(camera.report_person(&wang.person_reference).await.unwrap(), nothing, "reminded just now");
    assert_eq!(camera.report_person(&chen.person_reference).await.unwrap(), nothing, "agreed to no recognition");
    let reminders = wang.reminders().await;
    assert_eq!((reminders.len(), &*reminders[0].gate_id), (1, SOUTH_GATE));
    assert_eq!(reminders[0].delivery(), DeliveryState::Delivered);
    assert!(chen.reminders().await.is_empty());
}

/// Two residents with one and the same face: were both of them searched for, neither could be told from the other.
async fn only_who_is_due_is_looked_for(world: World) {
    let _worker = world.scripted_worker().await;
    let courier = world.courier("swift-express").await;
    let (chen, liu) = (world.resident("陈伟"), world.resident("刘洋"));
    chen.agree_and_enrol("face 双").await;
    liu.consent(ConsentPurpose::GateRecognition).await;
    assert_eq!(liu.enrol("face 双").await.unwrap_err().reason, "FACE_CONFLICT");
    liu.told_apart_from(&chen).await;
    liu.enrol("face 双").await.unwrap();
    let parcel = courier.bring(&Label::to(&chen)).await;
    world.let_pass(hours(24)).await;
    let late = courier.bring(&Label::to(&liu)).await;
    let mut camera = world.camera(NORTH_GATE).await;
    assert_eq!(passes(&mut camera, "face 双").await, [WAITS], "the other's parcel has not waited T1");
    assert_eq!(chen.reminders().await[0].parcel_id, parcel.id);
    world.let_pass(hours(24)).await;
    let before = chen.reminders().await.len();
    assert!(passes(&mut camera, "face 双").await.is_empty(), "now it could be either");
    courier.pick_up(&parcel.id).await.unwrap();
    world.let_pass(minutes(1)).await;
    assert_eq!(passes(&mut camera, "face 双").await, [WAITS], "and now only one again");
    assert_eq!(liu.reminders().await[0].parcel_id, late.id);
    assert_eq!(chen.reminders().await.len(), before);
}

#[tokio::test]
async fn a_stranger_and_a_blurred_face_and_a_look_alike_remind_nobody() {
    let world = World::new().await;
    let _worker = world.scripted_worker().await;
    let courier = world.courier("swift-express").await;
    let (chen, liu) = (enrolled(&world, "陈伟").await, enrolled(&world, "刘洋").await);
    courier.bring(&Label::to(&chen)).await;
    courier.bring(&Label::to(&liu)).await;
    world.let_pass(hours(24)).await;
    let mut camera = world.camera(NORTH_GATE).await;
    for words in ["face 陌生人", "blurred 陈伟", "between 陈伟 刘洋", "nobody"] {
        assert!(passes(&mut camera, words).await.is_empty(), "{words}");
        world.let_pass(minutes(1)).await;
    }
    assert!(chen.reminders().await.is_empty() && liu.reminders().await.is_empty());
}

#[tokio::test]
async fn two_people_side_by_side_are_both_reminded() {
    let world = World::new().await;
    let _worker = world.scripted_worker().await;
    let courier = world.courier("swift-express").await;
    let (chen, liu) = (enrolled(&world, "陈伟").await, enrolled(&world, "刘洋").await);
    courier.bring(&Label::to(&chen)).await;
    courier.bring(&Label::to(&liu)).await;
    world.let_pass(hours(24)).await;
    let mut camera = world.camera(NORTH_GATE).await;
    assert_eq!(passes(&mut camera, "face 陈伟 + face 刘洋 + face 陌生人").await, [WAITS, WAITS]);
    assert_eq!((chen.reminders().await.len(), liu.reminders().await.len()), (1, 1));
}

#[tokio::test]
async fn one_look_is_not_enough() {
    let world = World::new().await;
    let _worker = world.scripted_worker().await;
    let courier = world.courier("swift-express").await;
    let chen = enrolled(&world, "陈伟").await;
    courier.bring(&Label::to(&chen)).await;
    world.let_pass(hours(24)).await;
    let mut camera = world.camera(NORTH_GATE).await;
    let seen = camera.sees(&scripted_frames("face 陈伟", 1)).await;
    assert_eq!(seen, Seen::default());
}

/// T1 and T2 as by default; cooldown and number as given.
async fn reminders(world: &World, cooldown: jiff::SignedDuration, most: i32) {
    let policy = WaitingPolicy {
        reminder_cooldown: Some(duration_to_wire(cooldown)),
        reminders_max: Some(most),
        recall_after: Some(duration_to_wire(hours(24 * 30))),
        ..WaitingPolicy::default()
    };
    world.administrator().set_policy(Layer::CommunityId(COMMUNITY.to_owned()), policy).await.unwrap();
}

#[tokio::test]
async fn the_cooldown_holds() {
    let world = World::new().await;
    reminders(&world, hours(12), 5).await;
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    wang.consent(ConsentPurpose::GateRecognition).await;
    courier.bring(&Label::to(&wang)).await;
    let camera = world.camera(NORTH_GATE).await;
    // Tuesday, 13:00 in Shanghai; 23 hours later is before the next usual hour.
    world.let_pass(hours(25)).await;
    assert!(camera.report_person(&wang.person_reference).await.unwrap().display.is_some());
    world.let_pass(hours(8)).await;
    assert!(camera.report_person(&wang.person_reference).await.unwrap().display.is_none());
    world.let_pass(hours(15)).await;
    assert!(camera.report_person(&wang.person_reference).await.unwrap().display.is_some());
    assert_eq!(wang.reminders().await.len(), 2);
}

#[tokio::test]
async fn quiet_hours_hold() {
    let world = World::new().await;
    reminders(&world, hours(0), 5).await;
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    wang.consent(ConsentPurpose::GateRecognition).await;
    courier.bring(&Label::to(&wang)).await;
    let camera = world.camera(NORTH_GATE).await;
    // Tuesday, 22:30 in Shanghai, after the usual hour's reminder.
    world.let_pass(minutes(34 * 60 + 30)).await;
    assert!(camera.report_person(&wang.person_reference).await.unwrap().display.is_none());
    world.let_pass(hours(9)).await;
    assert!(camera.report_person(&wang.person_reference).await.unwrap().display.is_none(), "07:30");
    world.let_pass(minutes(30)).await;
    assert!(camera.report_person(&wang.person_reference).await.unwrap().display.is_some(), "08:00");
}

#[tokio::test]
async fn a_parcel_is_reminded_of_only_so_often() {
    let world = World::new().await;
    reminders(&world, hours(0), 2).await;
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    wang.consent(ConsentPurpose::GateRecognition).await;
    let parcel = courier.bring(&Label::to(&wang)).await;
    let camera = world.camera(NORTH_GATE).await;
    world.let_pass(hours(25)).await;
    for shown in [true, true, false] {
        let answer = camera.report_person(&wang.person_reference).await.unwrap();
        assert_eq!(answer.display.is_some(), shown);
        world.let_pass(minutes(1)).await;
    }
    world.let_pass(hours(24 * 7)).await;
    let parcel = courier.parcel(&parcel.id).await.unwrap();
    assert_eq!((parcel.reminders_sent, parcel.next_reminder_at), (2, None));
}

#[tokio::test]
async fn the_display_says_what_the_community_lets_it_say() {
    let world = World::new().await;
    reminders(&world, hours(0), 5).await;
    let (courier, administrator) = (world.courier("swift-express").await, world.administrator());
    let wang = world.resident("王芳");
    wang.consent(ConsentPurpose::GateRecognition).await;
    courier.bring(&Label::to(&wang)).await;
    let camera = world.camera(NORTH_GATE).await;
    world.let_pass(hours(25)).await;
    let cases = [
        (DisplayPolicy::ParcelWaits, Some(WAITS)),
        (DisplayPolicy::Locker, Some("您有包裹在东柜待取 · A parcel is waiting for you in 东柜")),
        (DisplayPolicy::Silent, None),
    ];
    for (policy, expected) in cases {
        administrator.set_display(COMMUNITY, policy).await;
        let display = camera.report_person(&wang.person_reference).await.unwrap().display;
        assert_eq!(display.as_ref().map(|display| &*display.text), expected, "{policy:?}");
        assert!(display.is_none_or(|display| !display.text.contains(&wang.name)));
        world.let_pass(minutes(1)).await;
    }
}

#[tokio::test]
async fn nobody_is_reminded_of_a_recalled_or_collected_parcel() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    wang.consent(ConsentPurpose::GateRecognition).await;
    let parcel = courier.bring(&Label::to(&wang)).await;
    let camera = world.camera(NORTH_GATE).await;
    world.let_pass(hours(72)).await;
    courier.await_event(EventKind::RecallRequested).await;
    assert_eq!(camera.report_person(&wang.person_reference).await.unwrap().display, None);
    courier.pick_up(&parcel.id).await.unwrap();
    assert_eq!(camera.report_person(&wang.person_reference).await.unwrap().display, None);
}

#[tokio::test]
async fn a_person_reported_from_the_future_is_refused() {
    let world = World::new().await;
    let camera = world.camera(NORTH_GATE).await;
    let request = |ahead| ReportPersonRequest {
        request_id: new_request_id(),
        person_reference: "person-1".to_owned(),
        capture_time: Some(to_wire(world.now() + minutes(ahead))),
    };
    camera.report_person_as(request(4)).await.expect("clocks differ");
    let refused = camera.report_person_as(request(6)).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::InvalidArgument, "TIME_IN_FUTURE"));
}
