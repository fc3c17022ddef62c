//! Workers whose networks are not those that made the gallery.

use gatepost_proto::{
    v1::{ConsentPurpose, FrameRefusal},
    vision::{FrameResult, Hello, Model, work_response::Message},
};
use gatepost_tests::{
    clients::{ManualWorker, SCRIPTED_MODEL, Seen, scripted_frames},
    world::{NORTH_GATE, World, until},
};
use tonic::Code::{FailedPrecondition, InvalidArgument, Unavailable};

use super::refused;

const OTHER_MODEL: &str = "yunet-2023mar+sface-2021dec@ffffffffffff";

fn hello(model: &str) -> Hello {
    Hello { model: Some(Model { id: model.to_owned(), dimension: 128 }), ..ManualWorker::hello(1) }
}

async fn dial_in(world: &World, hello: Hello) -> gatepost_tests::clients::Answer<ManualWorker> {
    ManualWorker::connect(world.line(), &world.worker_key(), hello).await
}

#[tokio::test]
async fn a_worker_of_another_model_than_the_gallerys_is_turned_away() {
    let world = World::new().await;
    let worker = world.scripted_worker().await;
    let wang = world.resident("王芳");
    wang.agree_and_enrol(scripted_frames("face 王芳", 1).remove(0)).await;

    let refusal = refused(dial_in(&world, hello(OTHER_MODEL)).await.map(|_| ()), FailedPrecondition, "MODEL_MISMATCH");
    assert!(refusal.message.contains(SCRIPTED_MODEL) && refusal.message.contains(OTHER_MODEL), "{}", refusal.message);
    assert_eq!(wang.on_record().await.unwrap().faces, 1);
    // The one that is there works on, and another of its kind is welcome.
    let mut camera = world.camera(NORTH_GATE).await;
    assert_eq!(camera.sees(&scripted_frames("nobody", 3)).await.refused, []);
    until("three frames and a photograph", || async { worker.looked_at() == 4 }).await;
    dial_in(&world, hello(SCRIPTED_MODEL)).await.unwrap();
    // With the last face, the model is forgotten too.
    wang.withdraw(ConsentPurpose::GateRecognition).await;
    dial_in(&world, hello(OTHER_MODEL)).await.unwrap();
}

#[tokio::test]
async fn workers_of_two_models_cannot_fill_one_gallery() {
    let world = World::new().await;
    // Nobody is enrolled yet, so both are welcome, and the first one is asked.
    let mut one = dial_in(&world, hello(SCRIPTED_MODEL)).await.unwrap();
    let _other = dial_in(&world, hello(OTHER_MODEL)).await.unwrap();
    let (wang, chen) = (world.resident("王芳"), world.resident("陈伟"));
    for resident in [&wang, &chen] {
        resident.consent(ConsentPurpose::GateRecognition).await;
    }
    let photograph = || scripted_frames("anybody", 1).remove(0);
    let face = gatepost_tests::clients::Face {
        r#box: Some(gatepost_proto::vision::Box { x: 1.0, y: 1.0, width: 100.0, height: 100.0 }),
        score: 0.9,
        quality: 0.9,
        embedding: std::iter::once(1.0).chain([0.0; 127]).collect(),
        ..Default::default()
    };
    let result = |frame_id| FrameResult { frame_id, faces: vec![face.clone()], ..Default::default() };

    // With the first face it is decided, and the other one is asked for nothing any more.
    let answer = async {
        let frame = one.frame().await;
        one.answer(result(frame.frame_id)).await;
    };
    let (enrolled, ()) = tokio::join!(wang.enrol(photograph()), answer);
    enrolled.unwrap();
    let mut camera = world.camera(NORTH_GATE).await;
    let mut seen = Seen::default();
    for _ in 0..3 {
        camera.send(photograph(), world.now()).await;
        let frame = one.frame().await;
        one.answer(result(frame.frame_id)).await;
        camera.answered(&mut seen).await;
    }
    assert_eq!(seen, Seen::default());
    drop(one);
    refused(chen.enrol(photograph()).await, Unavailable, "NO_VISION_WORKER");
    assert_eq!(camera.sees(&[photograph()]).await.refused, [FrameRefusal::NoVisionWorker]);
    assert_eq!(chen.on_record().await.unwrap().faces, 0);
    assert_eq!(wang.on_record().await.unwrap().faces, 1);
}

#[tokio::test]
async fn a_hello_that_makes_no_sense_is_refused() {
    let world = World::new().await;
    let good = ManualWorker::hello(4);
    let model = |id: &str, dimension| Some(Model { id: id.to_owned(), dimension });
    let cases = [
        Hello { model: None, ..good.clone() },
        Hello { model: model("", 128), ..good.clone() },
        Hello { model: model("m\n", 128), ..good.clone() },
        Hello { model: model(&"m".repeat(201), 128), ..good.clone() },
        Hello { model: model("m", 0), ..good.clone() },
        Hello { model: model("m", -1), ..good.clone() },
        Hello { model: model("m", 2049), ..good.clone() },
        Hello { capacity: 0, ..good.clone() },
        Hello { capacity: -1, ..good.clone() },
        Hello { capacity: 257, ..good.clone() },
        Hello { worker_name: "w".repeat(64), ..good.clone() },
        Hello { worker_name: "w\0".to_owned(), ..good.clone() },
    ];
    for hello in cases {
        refused(dial_in(&world, hello).await.map(|_| ()), InvalidArgument, "INVALID_FIELD");
    }
    let mut worker = dial_in(&world, good).await.unwrap();
    let mut camera = world.camera(NORTH_GATE).await;
    camera.send(scripted_frames("nobody", 1).remove(0), world.now()).await;
    assert!(matches!(worker.message().await, Some(Message::Frame(_))));
}
