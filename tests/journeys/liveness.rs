//! A picture that is held before a camera: what the gates do about it, and that nobody is enrolled from one.

use gatepost_proto::v1::{
    self, ConsentPurpose, DecisionAnswer, DecisionRule, LivenessCheck, MisidentificationReason,
    list_decisions_request::About,
};
use gatepost_tests::{
    clients::{Answer, Label, Resident, Seen, answer, new_request_id, scripted_frames},
    world::{COMMUNITY, NORTH_GATE, World, hours, minutes},
};
use jiff::SignedDuration;
use tonic::Code;

on_both_stacks!(
    a_picture_is_flagged_and_the_reminder_goes_out,
    a_picture_reminds_nobody_where_that_is_suppressed,
    who_turns_out_to_be_alive_is_reminded,
    a_picture_is_looked_into_only_where_the_policy_says_so,
    nobody_is_enrolled_from_a_picture,
);

async fn set(world: &World, check: i32) -> Answer<v1::RecognitionPolicy> {
    let request = v1::SetRecognitionPolicyRequest {
        request_id: new_request_id(),
        community_id: COMMUNITY.to_owned(),
        policy: Some(v1::RecognitionPolicy { liveness_check: check, ..Default::default() }),
    };
    let set = answer(world.administrator().communities().set_recognition_policy(request).await)?;
    Ok(set.policy.expect("the policy is told"))
}

async fn mistaken(world: &World) -> Vec<v1::Misidentification> {
    let request = v1::ListMisidentificationsRequest { community_id: COMMUNITY.to_owned() };
    let listed = answer(world.administrator().residents().list_misidentifications(request).await);
    listed.unwrap().misidentifications
}

async fn decisions(world: &World, resident: &Resident) -> Vec<v1::Decision> {
    let request = v1::ListDecisionsRequest { about: Some(About::ResidentId(resident.id.clone())) };
    let listed = answer(world.administrator().residents().list_decisions(request).await).unwrap().decisions;
    assert!(listed.iter().all(|decision| decision.replays), "{listed:?}");
    listed
}

async fn not_live(world: &World, resident: &Resident) -> Vec<v1::Decision> {
    let mut listed = decisions(world, resident).await;
    listed.retain(|decision| decision.rule() == DecisionRule::NotLive);
    listed
}

/// What was decided about the last picture, which alone is kept.
async fn decided(world: &World, resident: &Resident) -> v1::Decision {
    let listed = not_live(world, resident).await;
    let [one] = &listed[..] else { panic!("one decision: {listed:?}") };
    one.clone()
}

async fn gates_reminded(world: &World, resident: &Resident) -> bool {
    decisions(world, resident).await.iter().any(|decision| decision.answer() == DecisionAnswer::Reminded)
}

/// A resident whose parcel has waited T1.
async fn waited_for(world: &World, name: &str) -> Resident {
    let resident = world.resident(name);
    resident.agree_and_enrol(format!("face {name}")).await;
    world.courier("swift-express").await.bring(&Label::to(&resident)).await;
    world.let_pass(hours(24)).await;
    resident
}

/// A passage, and then nobody until the track is over.
async fn passes(world: &World, words: &str) -> Seen {
    let mut camera = world.camera(NORTH_GATE).await;
    let seen = camera.sees(&scripted_frames(words, 4)).await;
    world.let_pass(SignedDuration::from_secs(5)).await;
    assert_eq!(camera.sees(&scripted_frames("nobody", 1)).await, Seen::default());
    seen
}

async fn a_picture_is_flagged_and_the_reminder_goes_out(world: World) {
    let _worker = world.scripted_worker().await;
    let chen = waited_for(&world, "陈伟").await;
    assert_eq!(passes(&world, "picture 陈伟").await.displays.len(), 1, "by default nothing is held back");
    let listed = mistaken(&world).await;
    assert_eq!(listed.len(), 1);
    let why = decided(&world, &chen).await;
    assert_eq!(why.answer(), DecisionAnswer::Flagged);
    assert!(gates_reminded(&world, &chen).await, "what was told to staff did not undo the reminder");
    let told = &listed[0];
    assert_eq!((told.reason(), &*told.gate_id), (MisidentificationReason::NotLive, NORTH_GATE));
    assert_eq!(told.resident_id, chen.id);
    assert!(told.similarity > 0.9 && told.settle_time.is_none());

    world.let_pass(minutes(1)).await;
    passes(&world, "picture 陈伟").await;
    assert_eq!(mistaken(&world).await, listed, "one at a time");
    let later = decided(&world, &chen).await;
    let seconds = |decision: &v1::Decision| decision.see_time.map(|at| at.seconds);
    assert!(seconds(&later) > seconds(&why), "the last passage is the one that is kept");
    let settle = v1::SettleMisidentificationRequest {
        request_id: new_request_id(),
        resident_id: chen.id.clone(),
        see_time: told.see_time,
    };
    answer(world.administrator().residents().settle_misidentification(settle).await).unwrap();
    world.let_pass(minutes(1)).await;
    passes(&world, "picture 陈伟").await;
    assert_eq!(mistaken(&world).await.len(), 2, "what was settled may happen again");
    chen.withdraw(ConsentPurpose::GateRecognition).await;
    assert_eq!(mistaken(&world).await, []);
    assert_eq!(not_live(&world, &chen).await, []);
}

async fn a_picture_reminds_nobody_where_that_is_suppressed(world: World) {
    let _worker = world.scripted_worker().await;
    let chen = waited_for(&world, "陈伟").await;
    let policy = set(&world, LivenessCheck::Suppress.into()).await.unwrap();
    assert_eq!(policy.liveness_check(), LivenessCheck::Suppress);
    assert_eq!(passes(&world, "picture 陈伟").await, Seen::default());
    assert_eq!(chen.reminders().await.len(), 0);
    assert_eq!(mistaken(&world).await.len(), 1);
    let why = decided(&world, &chen).await;
    assert_eq!((why.answer(), &*why.gate_id), (DecisionAnswer::Suppressed, NORTH_GATE));
    let evidence = why.recognition.as_ref().unwrap();
    assert!(evidence.similarity >= evidence.threshold, "it was the resident's face: {evidence:?}");
    assert!(evidence.liveness < evidence.liveness_min && evidence.liveness_min == 0.5, "{evidence:?}");
    assert!(!gates_reminded(&world, &chen).await);
    assert_eq!(passes(&world, "alive 陈伟").await.displays.len(), 1, "the resident in person");
    assert_eq!(chen.reminders().await.len(), 1);
    assert_eq!(mistaken(&world).await.len(), 1);
}

async fn who_turns_out_to_be_alive_is_reminded(world: World) {
    let _worker = world.scripted_worker().await;
    let chen = waited_for(&world, "陈伟").await;
    set(&world, LivenessCheck::Suppress.into()).await.unwrap();
    let mut camera = world.camera(NORTH_GATE).await;
    assert_eq!(camera.sees(&scripted_frames("picture 陈伟", 2)).await, Seen::default());
    assert_eq!(camera.sees(&scripted_frames("alive 陈伟", 2)).await.displays.len(), 1);
    camera.leave().await;
    assert_eq!(chen.reminders().await.len(), 1);
    assert_eq!(mistaken(&world).await, []);
    assert_eq!(not_live(&world, &chen).await, []);
}

async fn a_picture_is_looked_into_only_where_the_policy_says_so(world: World) {
    let _worker = world.scripted_worker().await;
    let refused = set(&world, 9).await.unwrap_err();
    assert_eq!(refused.code, Code::InvalidArgument);
    assert!(refused.message.contains("SUPPRESS"), "{}", refused.message);
    set(&world, LivenessCheck::Off.into()).await.unwrap();
    let chen = waited_for(&world, "陈伟").await;
    assert_eq!(passes(&world, "picture 陈伟").await.displays.len(), 1);
    assert_eq!(passes(&world, "picture 路人").await, Seen::default(), "a stranger");
    assert_eq!(mistaken(&world).await, []);
    set(&world, LivenessCheck::Flag.into()).await.unwrap();
    assert_eq!(passes(&world, "picture 路人").await, Seen::default());
    assert_eq!(mistaken(&world).await, [], "of strangers nothing is kept");
    assert_eq!(not_live(&world, &chen).await, []);
}

async fn nobody_is_enrolled_from_a_picture(world: World) {
    let _worker = world.scripted_worker().await;
    let chen = world.resident("陈伟");
    chen.consent(ConsentPurpose::GateRecognition).await;
    let refused = chen.enrol("picture 陈伟").await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::InvalidArgument, "FACE_NOT_LIVE"));
    assert!(refused.message.contains("photograph the person"), "{}", refused.message);
    assert_eq!(chen.on_record().await.unwrap().faces, 0);
    assert_eq!(chen.enrol("alive 陈伟").await.unwrap().resident.unwrap().faces, 1);
}
