//! A vision worker that answers every frame, and often nonsense.

use gatepost_proto::{
    DESCRIPTORS,
    vision::{
        Box as Bounds, Face, FrameResult, WorkRequest, vision_service_client::VisionServiceClient,
        work_request::Message as Said, work_response::Message as Heard,
    },
};
use gatepost_tests::clients::{Key, Line, ManualWorker};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::fields;

/// Works until it is aborted, or until the platform is gone.
pub async fn work(line: Line, key: Key, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    while session(&line, &key, &mut rng).await.is_some() {}
}

/// One stream, which the platform ends when an answer is too much for it.
async fn session(line: &Line, key: &Key, rng: &mut StdRng) -> Option<()> {
    let (said, outgoing) = mpsc::channel(64);
    let say = |message| said.send(WorkRequest { message: Some(message) });
    say(Said::Hello(ManualWorker::hello(8))).await.ok()?;
    let answers = VisionServiceClient::new(line.authorised(key)).work(ReceiverStream::new(outgoing)).await;
    let mut answers = answers.ok()?.into_inner();
    while let Ok(Some(heard)) = answers.message().await {
        let Some(Heard::Frame(frame)) = heard.message else { continue };
        let mut result = sensible(frame.frame_id);
        if rng.random_bool(0.6) {
            result = spoilt(&result, rng).unwrap_or(result);
            // Which frame it is about stays true: whoever keeps frames is let go.
            result.frame_id = frame.frame_id;
        }
        if say(Said::Result(result)).await.is_err() {
            break;
        }
    }
    Some(())
}

/// One face, large and clear, always the same.
fn sensible(frame_id: i64) -> FrameResult {
    let mut embedding = vec![0.0; 128];
    embedding[0] = 1.0;
    let bounds = Bounds { x: 100.0, y: 100.0, width: 120.0, height: 150.0 };
    let face = Face { r#box: Some(bounds), score: 0.95, quality: 0.9, embedding, ..Default::default() };
    FrameResult { frame_id, faces: vec![face], width: 640, height: 480, ..Default::default() }
}

/// Values at and beyond every limit, in an encoding that can be read.
fn spoilt(result: &FrameResult, rng: &mut StdRng) -> Option<FrameResult> {
    let kind = DescriptorPool::decode(DESCRIPTORS).ok()?.get_message_by_name("gatepost.vision.v1.FrameResult")?;
    let mut message = DynamicMessage::decode(kind, &*result.encode_to_vec()).ok()?;
    for _ in 0..rng.random_range(1..4) {
        fields::spoil(&mut message, rng);
    }
    FrameResult::decode(&*message.encode_to_vec()).ok()
}
