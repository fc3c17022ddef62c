//! Enrolment at a gate, by the real networks: for a minute, one resident's face from the frames of one camera.

use bytes::Bytes;
use courier_sim::picture::Picture;
use gatepost_proto::v1::{self, ConsentPurpose};
use gatepost_tests::{
    clients::{Answer, Resident, Seen, answer, new_request_id, photograph},
    world::{COMMUNITY, NORTH_GATE, SOUTH_GATE, World, hours, minutes},
};
use jiff::SignedDuration;

on_both_stacks!(a_resident_is_enrolled_from_the_frames_of_a_gate);

async fn open(world: &World, resident: &Resident, gate_id: &str, faces: i32) -> Answer<v1::Capture> {
    let (resident_id, gate_id) = (resident.id.clone(), gate_id.to_owned());
    let request = v1::OpenCaptureRequest { request_id: new_request_id(), resident_id, gate_id, faces };
    let opened = answer(world.administrator().residents().open_capture(request).await)?;
    Ok(opened.capture.expect("a capture"))
}

async fn captured(world: &World, resident: &Resident) -> Answer<v1::Capture> {
    let request = v1::GetCaptureRequest { resident_id: resident.id.clone() };
    let got = answer(world.administrator().residents().get_capture(request).await)?;
    Ok(got.capture.expect("a capture"))
}

fn dark(name: &str) -> Bytes {
    Picture::from_jpeg(&photograph(name)).unwrap().lit(0.15, -107.0).to_jpeg(92).unwrap().into()
}

async fn faces(resident: &Resident) -> i32 {
    resident.on_record().await.unwrap().faces
}

async fn a_resident_is_enrolled_from_the_frames_of_a_gate(world: World) {
    let _worker = world.worker().await;
    let (wang, chen) = (world.resident("王芳"), world.resident("陈伟"));
    assert_eq!(open(&world, &wang, NORTH_GATE, 2).await.unwrap_err().reason, "NO_RECOGNITION_CONSENT");
    for resident in [&wang, &chen] {
        resident.consent(ConsentPurpose::GateRecognition).await;
    }
    assert_eq!(captured(&world, &wang).await.unwrap_err().reason, "CAPTURE_NOT_FOUND");
    assert_eq!(open(&world, &wang, "west", 2).await.unwrap_err().reason, "GATE_NOT_FOUND");
    assert_eq!(open(&world, &wang, NORTH_GATE, 9).await.unwrap_err().reason, "INVALID_FIELD");
    let (mut north, mut south) = (world.camera(NORTH_GATE).await, world.camera(SOUTH_GATE).await);
    north.sees(&[photograph("obama")]).await;
    let opened = open(&world, &wang, NORTH_GATE, 2).await.unwrap();
    assert_eq!((opened.faces, opened.enrolled, opened.frames), (2, 0, 0), "what was seen before counts for nothing");
    let seconds = opened.end_time.unwrap().seconds - opened.open_time.unwrap().seconds;
    assert_eq!(seconds, 60);
    assert_eq!(open(&world, &chen, NORTH_GATE, 2).await.unwrap_err().reason, "GATE_BUSY");

    assert_eq!(south.sees(&[photograph("obama")]).await, Seen::default());
    assert_eq!(captured(&world, &wang).await.unwrap().frames, 0, "another gate");
    let names = ["obama", "obama", "biden", "obama2", "obama3"];
    let frames: Vec<Bytes> = [dark("obama")].into_iter().chain(names.map(photograph)).collect();
    assert_eq!(north.sees(&frames).await, Seen::default());
    let told = captured(&world, &wang).await.unwrap();
    assert_eq!((told.enrolled, told.frames), (2, 5), "enough, and the last is looked at no more: {told:?}");
    let refused: Vec<_> = told.refused.iter().map(|refused| (&*refused.reason, refused.frames)).collect();
    for reason in ["FACE_DARK", "NEAR_DUPLICATE", "ANOTHER_PERSON"] {
        assert!(refused.contains(&(reason, 1)), "{reason}: {refused:?}");
    }
    assert_eq!((faces(&wang).await, faces(&chen).await), (2, 0));
    let looks = world.administrator().looks(COMMUNITY, &wang.id).await.unwrap();
    for rpc in ["OpenCapture", "GetCapture"] {
        assert!(looks.iter().any(|look| look.rpc.ends_with(rpc)), "{rpc}: {looks:?}");
    }

    // Another resident's face is a conflict here too, and after a minute nothing is looked at.
    open(&world, &chen, NORTH_GATE, 0).await.unwrap();
    north.sees(&[photograph("obama3")]).await;
    let told = captured(&world, &chen).await.unwrap();
    assert_eq!((told.faces, told.enrolled, &*told.refused[0].reason), (3, 0, "FACE_CONFLICT"));
    world.let_pass(SignedDuration::from_secs(60)).await;
    north.sees(&[photograph("biden")]).await;
    assert_eq!((captured(&world, &chen).await.unwrap().frames, faces(&chen).await), (1, 0));

    // Nor once the consent is gone.
    open(&world, &chen, NORTH_GATE, 0).await.unwrap();
    chen.withdraw(ConsentPurpose::GateRecognition).await;
    assert_eq!(captured(&world, &chen).await.unwrap_err().reason, "CAPTURE_NOT_FOUND");
    north.sees(&[photograph("biden")]).await;
    assert_eq!(faces(&chen).await, 0);

    // What the housekeeping does, which the clock of a test seldom wakes.
    for (later, forgotten) in [(minutes(30), 0), (minutes(60), 1)] {
        world.let_pass(later).await;
        let tx = world.store().await.write().await.unwrap();
        assert_eq!(tx.forget_captures(world.now() - hours(1)).await.unwrap(), forgotten);
        tx.commit().await.unwrap();
    }
    assert_eq!(captured(&world, &wang).await.unwrap_err().reason, "CAPTURE_NOT_FOUND");
}
