//! A recognition that can be trusted: the threshold is chosen from a measurement, what was mistaken is not mistaken
//! again, and nobody is at two gates at once.

use gatepost_proto::v1::{self, ConsentPurpose, MisidentificationReason, policy_layer::Layer};
use gatepost_tests::{
    clients::{
        Answer, Label, Resident, SCRIPTED_MODEL, Seen, answer, duration_to_wire, new_request_id, scripted_frames,
    },
    world::{COMMUNITY, NORTH_GATE, SOUTH_GATE, World, hours, minutes},
};
use jiff::SignedDuration;
use tonic::Code;

on_both_stacks!(
    who_says_not_me_is_not_mistaken_again,
    nobody_is_at_two_gates_at_once,
    the_threshold_follows_the_measurement,
);

async fn not_me(
    world: &World,
    resident: &Resident,
    reminder: &v1::ReminderRecord,
) -> Answer<v1::ReportMisidentificationResponse> {
    let request = v1::ReportMisidentificationRequest {
        request_id: new_request_id(),
        resident_id: resident.id.clone(),
        decide_time: reminder.decide_time,
    };
    answer(world.administrator().residents().report_misidentification(request).await)
}

async fn set_recognition(
    world: &World,
    false_alarm_rate: f64,
    calibration: Option<v1::Calibration>,
) -> Answer<v1::SetRecognitionPolicyResponse> {
    let request = v1::SetRecognitionPolicyRequest {
        request_id: new_request_id(),
        community_id: COMMUNITY.to_owned(),
        policy: Some(v1::RecognitionPolicy { false_alarm_rate, calibration, ..Default::default() }),
    };
    answer(world.administrator().communities().set_recognition_policy(request).await)
}

async fn recognition(world: &World) -> v1::GetRecognitionPolicyResponse {
    let request = v1::GetRecognitionPolicyRequest { community_id: COMMUNITY.to_owned() };
    answer(world.administrator().communities().get_recognition_policy(request).await).unwrap()
}

async fn mistaken(world: &World) -> Vec<v1::Misidentification> {
    let request = v1::ListMisidentificationsRequest { community_id: COMMUNITY.to_owned() };
    let listed = answer(world.administrator().residents().list_misidentifications(request).await);
    listed.unwrap().misidentifications
}

/// A resident whose parcel has waited T1.
async fn waited_for(world: &World, name: &str) -> (Resident, String) {
    let resident = world.resident(name);
    resident.agree_and_enrol(format!("face {name}")).await;
    let parcel = world.courier("swift-express").await.bring(&Label::to(&resident)).await;
    world.let_pass(hours(24)).await;
    (resident, parcel.id)
}

async fn who_says_not_me_is_not_mistaken_again(world: World) {
    let _worker = world.scripted_worker().await;
    let (chen, parcel) = waited_for(&world, "陈伟").await;
    let mut camera = world.camera(NORTH_GATE).await;
    // Somebody who is as much like the resident as like somebody else: a cosine of 0.71.
    let lookalike = scripted_frames("between 陈伟 谁", 12);
    assert_eq!(camera.sees(&lookalike).await.displays.len(), 1);
    let reminders = chen.reminders().await;
    let reminder = &reminders[0];

    let done = not_me(&world, &chen, reminder).await.unwrap();
    assert_eq!((&*done.parcels, done.notices_withdrawn), (&[parcel][..], 0));
    let told = done.misidentification.unwrap();
    assert_eq!((told.reason(), &*told.gate_id), (MisidentificationReason::NotMe, NORTH_GATE));
    assert!((told.similarity - 0.5f32.sqrt()).abs() < 1e-3);
    assert_eq!(not_me(&world, &chen, reminder).await.unwrap().parcels, Vec::<String>::new(), "said twice is said once");
    assert_eq!(mistaken(&world).await.len(), 1);

    world.let_pass(minutes(1)).await;
    assert_eq!(camera.sees(&lookalike).await, Seen::default(), "nor is the look-alike the resident any more");
    world.let_pass(minutes(1)).await;
    let seen = camera.sees(&scripted_frames("face 陈伟", 12)).await;
    assert_eq!(seen.displays.len(), 1, "the resident is, and waits for no cooldown");

    // Until somebody has looked into it, the gates must not become less sure.
    assert!(recognition(&world).await.misidentification_stands);
    let refused = set_recognition(&world, 0.1, None).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "MISIDENTIFICATION_STANDS"));
    set_recognition(&world, 0.001, None).await.expect("more sure they may");
    let settle = v1::SettleMisidentificationRequest {
        request_id: new_request_id(),
        resident_id: chen.id.clone(),
        see_time: told.see_time,
    };
    answer(world.administrator().residents().settle_misidentification(settle.clone()).await).unwrap();
    assert!(mistaken(&world).await[0].settle_time.is_some());
    set_recognition(&world, 0.1, None).await.expect("it is settled");
    world.let_pass(minutes(1)).await;
    assert_eq!(camera.sees(&lookalike).await, Seen::default(), "what was mistaken stays known");

    let unknown = v1::ReminderRecord {
        decide_time: settle.see_time.map(|mut at| {
            at.seconds -= 1;
            at
        }),
        ..reminder.clone()
    };
    assert_eq!(not_me(&world, &chen, &unknown).await.unwrap_err().reason, "REMINDER_NOT_FOUND");
    chen.withdraw(ConsentPurpose::GateRecognition).await;
    assert_eq!(mistaken(&world).await, [], "with the faces goes what was mistaken for them");
}

async fn nobody_is_at_two_gates_at_once(world: World) {
    let policy = v1::WaitingPolicy {
        reminder_cooldown: Some(duration_to_wire(SignedDuration::ZERO)),
        reminders_max: Some(9),
        ..Default::default()
    };
    world.administrator().set_policy(Layer::CommunityId(COMMUNITY.to_owned()), policy).await.unwrap();
    let _worker = world.scripted_worker().await;
    let (chen, _) = waited_for(&world, "陈伟").await;
    let (mut north, mut south) = (world.camera(NORTH_GATE).await, world.camera(SOUTH_GATE).await);
    let passage = scripted_frames("face 陈伟", 4);
    assert_eq!(north.sees(&passage).await.displays.len(), 1);
    // 110 metres, which takes 43 seconds at the least.
    world.let_pass(SignedDuration::from_secs(30)).await;
    assert_eq!(south.sees(&passage).await, Seen::default());
    assert!(south.report_person(&chen.person_reference).await.unwrap().display.is_none(), "smart cameras err too");
    let listed = mistaken(&world).await;
    let told = listed.last().expect("staff are told");
    assert_eq!(
        (told.reason(), &*told.gate_id, &*told.other_gate_id),
        (MisidentificationReason::TwoGates, SOUTH_GATE, NORTH_GATE)
    );
    assert!(!recognition(&world).await.misidentification_stands, "a suspicion is no confirmation");
    world.let_pass(SignedDuration::from_secs(45)).await;
    assert_eq!(north.sees(&passage).await.displays.len(), 1, "by now anybody can have walked back");
    assert_eq!(chen.reminders().await.len(), 2);
}

async fn the_threshold_follows_the_measurement(world: World) {
    let _worker = world.scripted_worker().await;
    let (chen, _) = waited_for(&world, "陈伟").await;
    let built_in = recognition(&world).await;
    assert_eq!(built_in.templates, 1);
    assert!((built_in.similarity - 0.424).abs() < 1e-3 && !built_in.extrapolated && built_in.source.contains("LFW"));

    let measured = |model: &str, points: &[(f32, f64)]| v1::Calibration {
        model: model.to_owned(),
        source: "our own people".to_owned(),
        comparisons: 1_000_000,
        points: points
            .iter()
            .map(|(similarity, rate)| v1::CalibrationPoint { similarity: *similarity, false_match_rate: *rate })
            .collect(),
    };
    let strict = [(0.6, 1e-2), (0.7, 1e-3), (0.8, 1e-4)];
    let refused = set_recognition(&world, 0.01, Some(measured("another", &strict))).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "MODEL_MISMATCH"));
    let refused = set_recognition(&world, 0.01, Some(measured(SCRIPTED_MODEL, &[(0.6, 1e-2), (0.7, 1e-6)]))).await;
    assert!(refused.unwrap_err().message.contains("fewer than 30 false matches"));
    assert_eq!(set_recognition(&world, 0.5, None).await.unwrap_err().reason, "INVALID_FIELD");

    set_recognition(&world, 0.01, Some(measured(SCRIPTED_MODEL, &strict))).await.unwrap();
    let own = recognition(&world).await;
    assert_eq!((&*own.source, own.extrapolated), ("our own people", false));
    assert!((own.similarity - 0.8).abs() < 1e-3, "1 in 10,000 for a hundred templates: {}", own.similarity);
    let mut camera = world.camera(NORTH_GATE).await;
    assert_eq!(camera.sees(&scripted_frames("between 陈伟 谁", 12)).await, Seen::default(), "0.71 is below 0.8");
    set_recognition(&world, 0.1, Some(measured(SCRIPTED_MODEL, &strict))).await.unwrap();
    world.let_pass(minutes(1)).await;
    assert_eq!(camera.sees(&scripted_frames("between 陈伟 谁", 12)).await.displays.len(), 1, "0.7 is enough now");
    assert_eq!(chen.reminders().await.len(), 1);
}
