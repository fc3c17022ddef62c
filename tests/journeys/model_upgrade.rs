//! Another model of faces runs beside the one in use, takes its place, and gives it back.

use gatepost_proto::v1::{
    self, EnrolmentOutcome, FinishModelUpgradeRequest, FrameRefusal, GetModelUpgradeRequest, ModelAgreement,
    ModelUpgrade, StartModelUpgradeRequest, SwitchModelRequest, policy_layer::Layer,
};
use gatepost_tests::{
    clients::{
        Answer, Camera, Label, Resident, SCRIPTED_MODEL, answer, duration_to_wire, new_request_id, scripted_frames,
    },
    world::{COMMUNITY, NORTH_GATE, SOUTH_GATE, Stack, World, hours, minutes, until},
};
use tonic::Code;

const NEW: &str = "yunet-2023mar+iresnet50@111111111111";
const DIMENSION: usize = 512;
const PASSAGE: usize = 4;

on_both_stacks!(a_new_model_runs_beside_the_old_one_and_takes_its_place);

async fn start(world: &World, model: &str) -> Answer<ModelUpgrade> {
    let request = StartModelUpgradeRequest { request_id: new_request_id(), model: model.to_owned() };
    let started = answer(world.administrator().models().start_model_upgrade(request).await)?;
    Ok(started.upgrade.expect("an upgrade"))
}

async fn switch(world: &World, model: &str) -> Answer<ModelUpgrade> {
    let request = SwitchModelRequest { request_id: new_request_id(), model: model.to_owned() };
    let switched = answer(world.administrator().models().switch_model(request).await)?;
    Ok(switched.upgrade.expect("an upgrade"))
}

async fn finish(world: &World) -> Answer<v1::FinishModelUpgradeResponse> {
    let request = FinishModelUpgradeRequest { request_id: new_request_id() };
    answer(world.administrator().models().finish_model_upgrade(request).await)
}

async fn shown(world: &World) -> v1::GetModelUpgradeResponse {
    answer(world.administrator().models().get_model_upgrade(GetModelUpgradeRequest {}).await).expect("an answer")
}

/// Somebody passes a gate. How many displays light up?
async fn passes(world: &World, camera: &mut Camera, words: &str) -> usize {
    world.let_pass(minutes(10)).await;
    let seen = camera.sees(&scripted_frames(words, PASSAGE)).await;
    assert_eq!(seen.refused, []);
    seen.displays.len()
}

/// The same, where each frame is counted before the next one comes. Says what was counted too.
async fn is_compared(world: &World, camera: &mut Camera, words: &str) -> (usize, ModelAgreement) {
    world.let_pass(minutes(10)).await;
    let all = |said: &ModelAgreement| said.same + said.neither + said.only_old + said.only_new + said.different;
    let (before, mut displays) = (agreement(world).await, 0);
    for frame in 1..=PASSAGE as i64 {
        displays += camera.sees(&scripted_frames(words, 1)).await.displays.len();
        until("what both models said is counted", || async { all(&agreement(world).await) == all(&before) + frame })
            .await;
    }
    let now = agreement(world).await;
    let counted = ModelAgreement {
        same: now.same - before.same,
        neither: now.neither - before.neither,
        only_old: now.only_old - before.only_old,
        only_new: now.only_new - before.only_new,
        different: now.different - before.different,
    };
    (displays, counted)
}

async fn agreement(world: &World) -> ModelAgreement {
    shown(world).await.upgrade.and_then(|upgrade| upgrade.agreement).expect("an upgrade")
}

async fn outcome(resident: &Resident, words: &str) -> EnrolmentOutcome {
    resident.enrol(words.to_owned()).await.unwrap().outcome()
}

async fn a_new_model_runs_beside_the_old_one_and_takes_its_place(world: World) {
    let none = || async { switch(&world, NEW).await.unwrap_err().reason };
    assert_eq!(
        (none().await, finish(&world).await.unwrap_err().reason),
        ("NO_MODEL_UPGRADE".into(), "NO_MODEL_UPGRADE".into())
    );
    assert_eq!(start(&world, NEW).await.unwrap_err().reason, "NOTHING_ENROLLED");
    assert_eq!(shown(&world).await, v1::GetModelUpgradeResponse::default());
    let policy = v1::WaitingPolicy {
        reminder_cooldown: Some(duration_to_wire(minutes(1))),
        reminders_max: Some(100),
        recall_after: Some(duration_to_wire(hours(24 * 30))),
        ..Default::default()
    };
    world.administrator().set_policy(Layer::CommunityId(COMMUNITY.to_owned()), policy).await.unwrap();
    let _old = world.scripted_worker().await;
    let courier = world.courier("swift-express").await;
    let (wang, chen) = (world.resident("王芳"), world.resident("陈伟"));
    for (resident, words) in [(&wang, "face 王芳"), (&chen, "face 陈伟")] {
        resident.agree_and_enrol(words).await;
        courier.bring(&Label::to(resident).size(v1::ParcelSize::Small)).await;
    }
    world.let_pass(hours(24)).await;

    // Until it is begun, the new model's workers are turned away; from then on, any third one's.
    let refused = world.scripted_worker_of(NEW, DIMENSION).await.err().expect("it is turned away");
    assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "MODEL_MISMATCH"));
    assert_eq!(start(&world, SCRIPTED_MODEL).await.unwrap_err().reason, "INVALID_FIELD");
    let begun = start(&world, NEW).await.unwrap();
    assert_eq!((&*begun.model_in_use, &*begun.old_model, &*begun.new_model), (SCRIPTED_MODEL, SCRIPTED_MODEL, NEW));
    assert_eq!((begun.enrolled_old, begun.enrolled_new, begun.to_enrol_again), (2, 0, 2));
    assert_eq!(start(&world, NEW).await.unwrap(), begun, "it is under way");
    assert_eq!(start(&world, "a third one").await.unwrap_err().reason, "MODEL_UPGRADE_UNDER_WAY");
    let _new = world.scripted_worker_of(NEW, DIMENSION).await.expect("it is welcome");
    let refused = world.scripted_worker_of("a third one", DIMENSION).await.err().expect("it is turned away");
    assert_eq!(refused.reason, "MODEL_MISMATCH");

    // A photograph that tells the old model nothing is the first one for the new model.
    assert_eq!(outcome(&wang, "face 王芳").await, EnrolmentOutcome::Enrolled);
    assert_eq!(outcome(&wang, "face 王芳").await, EnrolmentOutcome::NearDuplicate);
    let (of_wang, of_chen) = (wang.on_record().await.unwrap(), chen.on_record().await.unwrap());
    assert_eq!((of_wang.faces, of_wang.face_models.len()), (2, 2));
    assert_eq!((of_chen.faces, of_chen.face_models), (1, vec![SCRIPTED_MODEL.to_owned()]));
    assert_eq!(shown(&world).await.upgrade.unwrap().to_enrol_again, 1);

    // The old one reminds; what both say is counted.
    let mut camera = world.camera(NORTH_GATE).await;
    let nothing = ModelAgreement::default();
    let all = PASSAGE as i64;
    let same = (1, ModelAgreement { same: all, ..nothing });
    assert_eq!(is_compared(&world, &mut camera, "face 王芳").await, same);
    let only_old = (1, ModelAgreement { only_old: all, ..nothing });
    assert_eq!(is_compared(&world, &mut camera, "face 陈伟").await, only_old, "the new model does not know him");
    let neither = (0, ModelAgreement { neither: all, ..nothing });
    assert_eq!(is_compared(&world, &mut camera, "face stranger").await, neither);

    // Then the new one reminds.
    assert_eq!(switch(&world, "a third one").await.unwrap_err().reason, "INVALID_FIELD");
    assert_eq!(switch(&world, NEW).await.unwrap().model_in_use, NEW);
    assert_eq!(passes(&world, &mut camera, "face 王芳").await, 1);
    assert_eq!(passes(&world, &mut camera, "face 陈伟").await, 0, "he is not enrolled under it");

    // Back again, and nobody has lost anything.
    assert_eq!(switch(&world, SCRIPTED_MODEL).await.unwrap().model_in_use, SCRIPTED_MODEL);
    assert_eq!(passes(&world, &mut camera, "face 陈伟").await, 1);

    switch(&world, NEW).await.unwrap();
    let finished = finish(&world).await.unwrap();
    assert_eq!((&*finished.model_in_use, finished.faces_deleted), (NEW, 2));
    assert_eq!((wang.on_record().await.unwrap().faces, chen.on_record().await.unwrap().faces), (1, 0));
    let after = v1::GetModelUpgradeResponse { model_in_use: NEW.to_owned(), upgrade: None };
    assert_eq!(shown(&world).await, after);
    let refused = world.scripted_worker_of(SCRIPTED_MODEL, 128).await.err().expect("it is turned away");
    assert_eq!(refused.reason, "MODEL_MISMATCH");
    assert_eq!(passes(&world, &mut camera, "face 王芳").await, 1);
    assert_eq!(outcome(&chen, "face 陈伟").await, EnrolmentOutcome::Enrolled);
    assert_eq!(passes(&world, &mut camera, "face 陈伟").await, 1);
}

#[tokio::test]
async fn a_switch_holds_on_every_replica() {
    let world = World::on(Stack::Servers).await;
    let _old = world.scripted_worker().await;
    let (wang, chen) = (world.resident("王芳"), world.resident("陈伟"));
    let courier = world.courier("swift-express").await;
    for (resident, words) in [(&wang, "face 王芳"), (&chen, "face 陈伟")] {
        resident.agree_and_enrol(words).await;
        courier.bring(&Label::to(resident).size(v1::ParcelSize::Small)).await;
    }
    start(&world, NEW).await.unwrap();
    // The second replica has a worker of the new model alone.
    let replica = world.replica().await;
    let _new = replica.scripted_worker_of(NEW, DIMENSION).await.expect("it is welcome");
    let mut camera = replica.camera(SOUTH_GATE).await;
    world.let_pass(hours(24)).await;
    let seen = camera.sees(&scripted_frames("face 王芳", 1)).await;
    assert_eq!(seen.refused, [FrameRefusal::NoVisionWorker], "the model in use has none there");
    assert_eq!(switch(&world, NEW).await.unwrap().model_in_use, NEW);
    assert_eq!(passes(&world, &mut camera, "face 王芳").await, 0, "nobody is enrolled under it");
    switch(&world, SCRIPTED_MODEL).await.unwrap();
    world.let_pass(minutes(1)).await;
    assert_eq!(camera.sees(&scripted_frames("face 王芳", 1)).await.refused, [FrameRefusal::NoVisionWorker]);
    switch(&world, NEW).await.unwrap();
    finish(&world).await.unwrap();
    assert_eq!(passes(&world, &mut camera, "face 王芳").await, 0, "nor is anybody now");
}
