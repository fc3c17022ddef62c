//! Everybody can ask why: every reminder, every recall, and what a gate made of a face like a resident's. What is recorded
//! decides the same again. Of a stranger's face nothing is recorded.

use gatepost_domain::id::DecisionId;
use gatepost_proto::v1::{
    self, ConsentPurpose, Decision, DecisionAnswer, DecisionRule, EventKind, RecallBasis,
    list_decisions_request::About, policy_layer::Layer, principal,
};
use gatepost_tests::{
    clients::{
        Administrator, Answer, Courier, Label, Resident, SCRIPTED_MODEL, answer, duration_to_wire, new_request_id,
        scripted_frames,
    },
    world::{COMMUNITY, NORTH_GATE, SOUTH_GATE, World, hours, minutes, standard_community},
};
use jiff::SignedDuration;
use uuid::Uuid;

on_both_stacks!(
    a_reminder_at_a_gate_says_why,
    a_recall_says_why_to_staff_and_to_its_courier,
    who_is_not_reminded_can_ask_why_too,
    decisions_go_with_whom_they_are_about,
);

async fn ask(staff: &Administrator, about: About) -> Answer<Vec<Decision>> {
    let request = v1::ListDecisionsRequest { about: Some(about) };
    answer(staff.residents().list_decisions(request).await).map(|listed| listed.decisions)
}

async fn why(world: &World, parcel: &str) -> Vec<Decision> {
    let decisions = ask(&world.administrator(), About::ParcelId(parcel.to_owned())).await.unwrap();
    assert!(decisions.iter().all(|decision| decision.replays), "{decisions:?}");
    decisions
}

async fn recall(courier: &Courier, parcel_id: &str, recall_number: i32) -> Answer<v1::GetRecallExplanationResponse> {
    let request = v1::GetRecallExplanationRequest { parcel_id: parcel_id.to_owned(), recall_number };
    answer(courier.parcels().get_recall_explanation(request).await)
}

/// By field: the layer and its version.
fn origins(policy: &[v1::PolicyOrigin]) -> Vec<(&str, &str, i64)> {
    policy.iter().map(|one| (&*one.field, &*one.layer, one.version)).collect()
}

async fn enrolled(world: &World, name: &str) -> Resident {
    let resident = world.resident(name);
    resident.agree_and_enrol(format!("face {name}")).await;
    resident
}

async fn a_reminder_at_a_gate_says_why(world: World) {
    let layer = |cooldown| v1::WaitingPolicy {
        reminder_cooldown: Some(duration_to_wire(hours(cooldown))),
        ..Default::default()
    };
    for cooldown in [5, 6] {
        let community = Layer::CommunityId(COMMUNITY.to_owned());
        world.administrator().set_policy(community, layer(cooldown)).await.unwrap();
    }
    let _worker = world.scripted_worker().await;
    let (chen, liu) = (enrolled(&world, "陈伟").await, enrolled(&world, "刘洋").await);
    let courier = world.courier("swift-express").await;
    let parcel = courier.bring(&Label::to(&chen)).await;
    courier.bring(&Label::to(&liu)).await;
    world.let_pass(hours(24)).await;
    let mut camera = world.camera(NORTH_GATE).await;
    assert_eq!(camera.sees(&scripted_frames("face 陈伟", 12)).await.displays.len(), 1);

    let decisions = why(&world, &parcel.id).await;
    let [told] = &decisions[..] else { panic!("one decision: {decisions:?}") };
    assert_eq!((told.rule(), told.answer()), (DecisionRule::SeenAtGate, DecisionAnswer::Reminded));
    assert_eq!((&*told.resident_id, &*told.parcel_id, &*told.gate_id), (&*chen.id, &*parcel.id, NORTH_GATE));
    assert_eq!((&*told.time_zone, told.local_minute), ("Asia/Shanghai", 12 * 60), "noon, as the day before");
    assert_eq!(told.remind_from, parcel.remind_from);
    assert_eq!(told.recall_at, parcel.recall_at);
    assert_eq!((told.reminders_sent, told.last_reminded_at), (0, None));
    assert_eq!(told.reminder_cooldown, Some(duration_to_wire(hours(6))));
    let origins = origins(&told.policy);
    assert!(origins.contains(&("reminder_cooldown", "community", 2)), "set twice: {origins:?}");
    assert!(origins.contains(&("remind_after", "default", 0)), "{origins:?}");
    let evidence = told.recognition.as_ref().expect("our own recognition saw it");
    assert_eq!(
        (&*evidence.model_id, evidence.templates, evidence.frames, evidence.frames_min),
        (SCRIPTED_MODEL, 2, 2, 2)
    );
    assert!(evidence.similarity > 0.99 && evidence.similarity >= evidence.threshold, "{evidence:?}");
    assert_eq!(evidence.margin, evidence.similarity - evidence.second_similarity);
    assert!((evidence.threshold - 0.424).abs() < 1e-3 && !evidence.extrapolated && evidence.false_alarm_rate == 0.01);
    let calibration = evidence.calibration.as_ref().unwrap();
    assert!(calibration.source.contains("LFW") && calibration.points.len() <= 2, "{calibration:?}");
    assert_eq!(evidence.policy_version, 0);

    // The same by its own id, and to nobody else's staff.
    let one = About::DecisionId(told.id.clone());
    assert_eq!(ask(&world.administrator(), one.clone()).await.unwrap(), decisions);
    let never = DecisionId(Uuid::from_u128(7)).to_string();
    assert_eq!(ask(&world.administrator(), About::DecisionId(never)).await.unwrap_err().reason, "DECISION_NOT_FOUND");
    let elsewhere = v1::Community { id: "elsewhere".to_owned(), ..standard_community() };
    let request = v1::CreateCommunityRequest { request_id: new_request_id(), community: Some(elsewhere) };
    answer(world.administrator().communities().create_community(request).await).unwrap();
    let staff = principal::Administrator { community_id: "elsewhere".to_owned() };
    let (_, key) = world.administrator().issue_key(principal::Principal::Administrator(staff)).await.unwrap();
    let staff = Administrator::new(world.line().clone(), key);
    assert_eq!(ask(&staff, one).await.unwrap_err().reason, "DECISION_NOT_FOUND");

    // A record that was tampered with is told by its replay.
    let tx = world.store().await.write().await.unwrap();
    let mut row = tx.decision(told.id.parse().unwrap()).await.unwrap().unwrap();
    row.record = row.record.replace("\"reminders_sent\":0", "\"reminders_sent\":99");
    row.id = DecisionId(Uuid::from_u128(8));
    tx.insert_decisions(&[row]).await.unwrap();
    tx.commit().await.unwrap();
    let tampered = About::DecisionId(DecisionId(Uuid::from_u128(8)).to_string());
    assert!(!ask(&world.administrator(), tampered).await.unwrap()[0].replays);
}

async fn a_recall_says_why_to_staff_and_to_its_courier(world: World) {
    let (courier, other) = (world.courier("swift-express").await, world.courier("brisk-post").await);
    let again = v1::WaitingPolicy { recall_again_after: Some(duration_to_wire(hours(10))), ..Default::default() };
    world.administrator().set_policy(Layer::CourierId("swift-express".to_owned()), again).await.unwrap();
    let chen = world.resident("陈伟");
    let parcel = courier.bring(&Label::to(&chen)).await;
    assert_eq!(recall(&courier, &parcel.id, 0).await.unwrap_err().reason, "DECISION_NOT_FOUND");
    // T1, then the usual hour, then T2.
    for passes in [24 * 60, 6 * 60 + 30, 41 * 60 + 30] {
        world.let_pass(minutes(passes)).await;
    }
    courier.await_event(EventKind::RecallRequested).await;

    let first = recall(&courier, &parcel.id, 0).await.unwrap();
    assert_eq!((first.recall_number, first.basis(), first.replays), (1, RecallBasis::Deposit, true));
    assert_eq!((first.recall_at, first.held_until), (parcel.recall_at, None));
    assert_eq!(origins(&first.policy), [("recall_after", "default", 0)]);
    courier.refuse_recall(&parcel.id).await.unwrap();
    world.let_pass(hours(10)).await;
    let second = recall(&courier, &parcel.id, 2).await.unwrap();
    assert_eq!((second.recall_number, second.basis()), (2, RecallBasis::Refusal));
    assert_eq!(origins(&second.policy), [("recall_again_after", "courier", 1)]);
    assert_eq!(recall(&courier, &parcel.id, 1).await.unwrap(), first);
    assert_eq!(recall(&courier, &parcel.id, 3).await.unwrap_err().reason, "DECISION_NOT_FOUND");
    assert_eq!(recall(&other, &parcel.id, 1).await.unwrap_err().reason, "PARCEL_NOT_FOUND");

    let decisions = why(&world, &parcel.id).await;
    let recalls: Vec<_> = decisions.iter().filter(|one| one.rule() == DecisionRule::Overdue).collect();
    assert_eq!(recalls.iter().map(|one| one.recall_number).collect::<Vec<_>>(), [2, 1]);
    let hour =
        decisions.iter().find(|one| one.rule() == DecisionRule::PlannedHour).expect("reminded at the usual hour");
    assert_eq!((hour.answer(), hour.local_minute), (DecisionAnswer::Reminded, 18 * 60 + 30));
    assert!(hour.planned_time.is_some() && hour.recognition.is_none());
}

async fn who_is_not_reminded_can_ask_why_too(world: World) {
    let _worker = world.scripted_worker().await;
    let (chen, liu) = (enrolled(&world, "陈伟").await, enrolled(&world, "刘洋").await);
    let courier = world.courier("swift-express").await;
    let parcel = courier.bring(&Label::to(&chen)).await;
    let others = courier.bring(&Label::to(&liu)).await;
    let mut north = world.camera(NORTH_GATE).await;
    north.sees(&scripted_frames("face 陈伟", 4)).await;
    assert_eq!(why(&world, &parcel.id).await, [], "nobody is looked for before T1");
    world.let_pass(hours(24)).await;

    // A face between the two: told of once the track has ended. A stranger leaves nothing.
    for words in ["face 陌生人", "between 陈伟 刘洋", "nobody"] {
        north.sees(&scripted_frames(words, 4)).await;
        world.clock().advance(SignedDuration::from_secs(5));
    }
    north.sees(&scripted_frames("nobody", 1)).await;
    let mut seconds = Vec::new();
    for id in [&parcel.id, &others.id] {
        let decisions = why(&world, id).await;
        let [told] = &decisions[..] else { panic!("one decision: {decisions:?}") };
        assert_eq!((told.rule(), told.answer()), (DecisionRule::AmbiguousFace, DecisionAnswer::NobodyNamed));
        let evidence = told.recognition.as_ref().unwrap();
        assert!(evidence.similarity - evidence.second_similarity < evidence.margin_min, "{evidence:?}");
        seconds.push(evidence.is_second);
    }
    assert_ne!(seconds[0], seconds[1], "one of them is the more similar, or the first");

    // Reminded, and then not again: of two passages in the cooldown the last is kept.
    world.let_pass(minutes(1)).await;
    assert_eq!(north.sees(&scripted_frames("face 陈伟", 4)).await.displays.len(), 1);
    for _ in 0..2 {
        world.let_pass(minutes(5)).await;
        assert!(north.sees(&scripted_frames("face 陈伟", 4)).await.displays.is_empty());
    }
    let answers = |decisions: &[Decision]| decisions.iter().map(Decision::answer).collect::<Vec<_>>();
    let decisions = why(&world, &parcel.id).await;
    let expected = [DecisionAnswer::Cooldown, DecisionAnswer::Reminded, DecisionAnswer::NobodyNamed];
    assert_eq!(answers(&decisions), expected);
    assert_eq!(decisions[0].last_reminded_at, decisions[1].decide_time);

    // At the other gate sooner than anybody walks there.
    world.let_pass(SignedDuration::from_secs(10)).await;
    let mut south = world.camera(SOUTH_GATE).await;
    south.sees(&scripted_frames("face 陈伟", 4)).await;
    let two_gates = why(&world, &parcel.id).await.swap_remove(0);
    assert_eq!((two_gates.rule(), two_gates.answer()), (DecisionRule::TwoGates, DecisionAnswer::Suppressed));
    assert_eq!((&*two_gates.gate_id, &*two_gates.other_gate_id), (SOUTH_GATE, NORTH_GATE));
    assert_eq!((two_gates.metres, two_gates.parcel_id.is_empty()), (110.0, true));
    assert!(two_gates.recognition.is_some());

    // The reminder was for somebody else.
    let reminder = chen.reminders().await.swap_remove(0);
    let request = v1::ReportMisidentificationRequest {
        request_id: new_request_id(),
        resident_id: chen.id.clone(),
        decide_time: reminder.decide_time,
    };
    answer(world.administrator().residents().report_misidentification(request).await).unwrap();
    let not_me = why(&world, &parcel.id).await.swap_remove(0);
    assert_eq!((not_me.rule(), not_me.answer()), (DecisionRule::NotMe, DecisionAnswer::TakenBack));
    assert_eq!(not_me.reminder_time, reminder.decide_time);
}

async fn decisions_go_with_whom_they_are_about(world: World) {
    let _worker = world.scripted_worker().await;
    let chen = enrolled(&world, "陈伟").await;
    let courier = world.courier("swift-express").await;
    let parcel = courier.bring(&Label::to(&chen)).await;
    world.let_pass(hours(24)).await;
    world.camera(NORTH_GATE).await.sees(&scripted_frames("face 陈伟", 4)).await;
    world.let_pass(hours(48)).await;
    courier.await_event(EventKind::RecallRequested).await;
    let rules = |decisions: Vec<Decision>| decisions.iter().map(Decision::rule).collect::<Vec<_>>();
    let kept = rules(why(&world, &parcel.id).await);
    assert!(kept.contains(&DecisionRule::SeenAtGate) && kept.contains(&DecisionRule::Overdue), "{kept:?}");
    chen.withdraw(ConsentPurpose::GateRecognition).await;
    let kept = rules(why(&world, &parcel.id).await);
    assert!(!kept.contains(&DecisionRule::SeenAtGate) && kept.contains(&DecisionRule::Overdue), "{kept:?}");
    // The recall is about the parcel, and about whomever that is for: however one asks, it is told whose it is.
    let id = chen.id.clone();
    let of_parcel = why(&world, &parcel.id).await;
    let recalled = of_parcel.iter().find(|decision| decision.rule() == DecisionRule::Overdue).unwrap();
    assert_eq!(recalled.resident_id, id);
    for about in [About::ResidentId(id.clone()), About::DecisionId(recalled.id.clone())] {
        assert!(ask(&world.administrator(), about).await.unwrap().contains(recalled));
    }
    chen.delete().await;
    // Its courier still has the parcel.
    let kept = why(&world, &parcel.id).await;
    assert_eq!(kept.iter().map(|it| (it.rule(), &*it.resident_id)).collect::<Vec<_>>(), [(DecisionRule::Overdue, "")]);
    assert_eq!(ask(&world.administrator(), About::ResidentId(id)).await.unwrap_err().reason, "RESIDENT_NOT_FOUND");
    assert!(recall(&courier, &parcel.id, 0).await.unwrap().replays);
}
