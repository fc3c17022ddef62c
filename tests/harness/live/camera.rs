//! A gate camera of the real platform, on the real clock.

use bytes::Bytes;
use gatepost_process::clock::{Clock as _, SystemClock};
use gatepost_proto::v1::{StreamFramesRequest, StreamFramesResponse, stream_frames_response::Message};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{BETWEEN_FRAMES, Live};
use crate::{
    clients::{Key, Seen, answer, to_wire},
    world::soon,
};

/// An open stream of frames.
pub struct LiveCamera {
    frames: mpsc::Sender<StreamFramesRequest>,
    answers: Streaming<StreamFramesResponse>,
    sequence: i64,
    credit: usize,
}

impl LiveCamera {
    /// Opens the stream and takes its first credit.
    pub async fn open(live: &Live, key: &Key) -> LiveCamera {
        let (frames, outgoing) = mpsc::channel(4);
        let stream = live.gates(key).stream_frames(ReceiverStream::new(outgoing)).await;
        let answers = answer(stream).expect("the stream opens");
        let mut camera = LiveCamera { frames, answers, sequence: 0, credit: 0 };
        match camera.message().await {
            Message::Credit(credit) => camera.credit = credit.frames.try_into().expect("a number of frames"),
            other => panic!("credit comes first, not {other:?}"),
        }
        camera
    }

    /// Frames that it may have unanswered.
    pub fn credit(&self) -> usize {
        self.credit
    }

    /// Sends a frame of now and does not wait for its answer.
    pub async fn send(&mut self, jpeg: Bytes) {
        let (sequence, capture_time) = (self.sequence, Some(to_wire(SystemClock.now())));
        self.sequence += 1;
        let frame = StreamFramesRequest { sequence, capture_time, jpeg };
        self.frames.send(frame).await.expect("the stream is open");
    }

    /// Reads until the answer to one frame is complete.
    pub async fn answered(&mut self, seen: &mut Seen) {
        loop {
            match self.message().await {
                Message::Credit(_) => return,
                Message::Display(display) => seen.displays.push(display),
                Message::Refused(refused) => seen.refused.push(refused.reason()),
                Message::Drain(_) => panic!("the platform drains"),
            }
        }
    }

    /// Shows frames, each after the platform has answered the one before.
    pub async fn shows(&mut self, frames: &[Bytes]) -> Seen {
        let mut seen = Seen::default();
        for jpeg in frames {
            let next = SystemClock.now() + BETWEEN_FRAMES;
            self.send(jpeg.clone()).await;
            self.answered(&mut seen).await;
            SystemClock.sleep_until(next).await;
        }
        seen
    }

    async fn message(&mut self) -> Message {
        let message = soon("a message to the camera", self.answers.message()).await.expect("the stream is open");
        message.and_then(|message| message.message).expect("the stream is open")
    }
}
