//! Nothing without consent, and an end to everything at once when it is withdrawn.

use gatepost_proto::v1::{ConsentPurpose, EventKind, ParcelState};
use gatepost_tests::{
    clients::{Label, Seen, scripted_frames},
    world::{NORTH_GATE, Stack, World, hours, minutes},
};
use tonic::Code;

on_both_stacks!(a_withdrawal_stops_matching_at_once);

async fn a_withdrawal_stops_matching_at_once(world: World) {
    let _worker = world.scripted_worker().await;
    let courier = world.courier("swift-express").await;
    let (chen, liu) = (world.resident("陈伟"), world.resident("刘洋"));
    for resident in [&chen, &liu] {
        resident.agree_and_enrol(format!("face {}", resident.name)).await;
        courier.bring(&Label::to(resident)).await;
    }
    world.let_pass(hours(24)).await;
    let mut camera = world.camera(NORTH_GATE).await;
    // In the middle of a passage: one frame is not enough for a reminder, the second one would be.
    assert_eq!(camera.sees(&scripted_frames("face 陈伟", 1)).await, Seen::default());
    let record = chen.withdraw(ConsentPurpose::GateRecognition).await;
    assert_eq!((record.faces, &*record.consents), (0, &[i32::from(ConsentPurpose::LockerDeposit)][..]));
    assert_eq!(camera.sees(&scripted_frames("face 陈伟", 12)).await, Seen::default());
    assert!(camera.report_person(&chen.person_reference).await.unwrap().display.is_none());
    world.let_pass(minutes(1)).await;
    assert_eq!(camera.sees(&scripted_frames("face 刘洋", 12)).await.displays.len(), 1, "others go on");
    assert!(chen.reminders().await.is_empty());

    chen.consent(ConsentPurpose::GateRecognition).await;
    assert_eq!(chen.on_record().await.unwrap().faces, 0, "a new consent brings back no face");
    world.let_pass(minutes(1)).await;
    assert_eq!(camera.sees(&scripted_frames("face 陈伟", 12)).await, Seen::default());
}

/// Each platform asks the database at every frame, so an enrolment counts and a withdrawal holds at the next one, on
/// whichever platform it was recorded.
#[tokio::test]
async fn enrolments_and_withdrawals_hold_on_every_replica_at_the_next_frame() {
    let world = World::on(Stack::Servers).await;
    let replica = world.replica().await;
    let (_worker, _other_worker) = (world.scripted_worker().await, replica.scripted_worker().await);
    let courier = world.courier("swift-express").await;
    let (chen, liu) = (world.resident("陈伟"), world.resident("刘洋"));
    for resident in [&chen, &liu] {
        courier.bring(&Label::to(resident)).await;
    }
    world.let_pass(hours(24)).await;
    let mut camera = replica.camera(NORTH_GATE).await;
    // The other worker meets them in the same order, which makes their faces the same.
    assert_eq!(camera.sees(&scripted_frames("face 陈伟 + face 刘洋", 1)).await, Seen::default());
    for resident in [&chen, &liu] {
        resident.agree_and_enrol(format!("face {}", resident.name)).await;
    }
    world.let_pass(minutes(1)).await;
    assert_eq!(camera.sees(&scripted_frames("face 刘洋", 2)).await.displays.len(), 1, "enrolled elsewhere, found here");
    // In the middle of a passage: the second frame would be enough.
    assert_eq!(camera.sees(&scripted_frames("face 陈伟", 1)).await, Seen::default());
    chen.withdraw(ConsentPurpose::GateRecognition).await;
    assert_eq!(camera.sees(&scripted_frames("face 陈伟", 12)).await, Seen::default());
    assert!(camera.report_person(&chen.person_reference).await.unwrap().display.is_none());
}

#[tokio::test]
async fn without_consent_no_face_is_enrolled() {
    let world = World::new().await;
    let worker = world.scripted_worker().await;
    let chen = world.resident("陈伟");
    let refused = chen.enrol("face 陈伟").await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "NO_RECOGNITION_CONSENT"));
    assert_eq!(worker.looked_at(), 0, "nobody even looked at the photograph");
    chen.consent(ConsentPurpose::GateRecognition).await;
    assert_eq!(chen.enrol("face 陈伟").await.unwrap().resident.unwrap().faces, 1);
}

#[tokio::test]
async fn eight_faces_are_enough() {
    let world = World::new().await;
    let _worker = world.scripted_worker().await;
    let chen = world.resident("陈伟");
    for look in 0..8 {
        chen.agree_and_enrol(format!("face 陈伟{look}")).await;
    }
    let refused = chen.enrol("face 陈伟8").await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "FACES_FULL"));
}

#[tokio::test]
async fn who_moves_away_is_forgotten_and_their_parcel_goes_on() {
    let world = World::new().await;
    let _worker = world.scripted_worker().await;
    let courier = world.courier("swift-express").await;
    let chen = world.resident("陈伟");
    chen.agree_and_enrol("face 陈伟").await;
    let parcel = courier.bring(&Label::to(&chen)).await;
    chen.delete().await;
    let refused = chen.on_record().await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::NotFound, "RESIDENT_NOT_FOUND"));
    world.let_pass(hours(24)).await;
    let mut camera = world.camera(NORTH_GATE).await;
    assert_eq!(camera.sees(&scripted_frames("face 陈伟", 12)).await, Seen::default());
    assert!(camera.report_person(&chen.person_reference).await.unwrap().display.is_none());
    world.let_pass(hours(48)).await;
    let recall = courier.await_event(EventKind::RecallRequested).await;
    assert_eq!(recall.parcel_id, parcel.id);
    assert_eq!(courier.pick_up(&parcel.id).await.unwrap().state(), ParcelState::PickedUp);
}
