//! A gate camera on the real frame stream, and a smart camera that reports persons.

use bytes::Bytes;
use gatepost_process::clock::{Clock as _, ManualClock};
use gatepost_proto::v1::{
    Display, FrameRefusal, ReportPersonRequest, ReportPersonResponse, StreamFramesRequest, StreamFramesResponse,
    gate_service_client::GateServiceClient, stream_frames_response::Message,
};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{Answer, Authorised, Key, Line, answer, new_request_id, to_wire};
use crate::world::{World, soon};

/// Four frames a second.
const BETWEEN_FRAMES: SignedDuration = SignedDuration::from_millis(250);

/// What became of frames.
#[derive(Debug, Default, PartialEq)]
pub struct Seen {
    /// What the gate's display was told to show.
    pub displays: Vec<Display>,
    /// Frames that were refused, with the reasons.
    pub refused: Vec<FrameRefusal>,
}

/// A camera at a gate.
pub struct Camera {
    line: Line,
    key: Key,
    clock: ManualClock,
    frames: mpsc::Sender<StreamFramesRequest>,
    answers: Streaming<StreamFramesResponse>,
    sequence: i64,
}

impl Camera {
    async fn connect(line: Line, key: Key, clock: ManualClock) -> Answer<Camera> {
        let (frames, outgoing) = mpsc::channel(64);
        let mut gates = GateServiceClient::new(line.authorised(&key));
        let answers = answer(gates.stream_frames(ReceiverStream::new(outgoing)).await)?;
        let mut camera = Camera { line, key, clock, frames, answers, sequence: 0 };
        match camera.message().await {
            Some(Message::Credit(_)) => Ok(camera),
            other => panic!("the first message must be credit, not {other:?}"),
        }
    }

    /// Shows frames four times a second, each after the platform has answered the one before. Returns what was
    /// answered.
    pub async fn sees(&mut self, frames: &[Bytes]) -> Seen {
        let mut seen = Seen::default();
        for frame in frames {
            self.send(frame.clone(), self.clock.now()).await;
            self.answered(&mut seen).await;
            self.clock.advance(BETWEEN_FRAMES);
        }
        seen
    }

    /// Sends one frame and does not wait for its answer.
    pub async fn send(&mut self, jpeg: Bytes, captured_at: Timestamp) {
        self.sequence += 1;
        self.send_as(StreamFramesRequest { sequence: self.sequence, capture_time: Some(to_wire(captured_at)), jpeg })
            .await;
    }

    /// Sends a frame in the test's own words.
    pub async fn send_as(&self, frame: StreamFramesRequest) {
        self.frames.send(frame).await.expect("the stream is open");
    }

    /// Reads until the answer to one frame is complete.
    pub async fn answered(&mut self, seen: &mut Seen) {
        loop {
            match self.message().await.expect("the stream is open") {
                Message::Credit(_) => return,
                Message::Display(display) => seen.displays.push(display),
                Message::Refused(refused) => seen.refused.push(refused.reason()),
                Message::Drain(_) => panic!("the platform drains"),
            }
        }
    }

    /// The next message; nothing at the end.
    pub async fn message(&mut self) -> Option<Message> {
        soon("an answer to the camera", self.answers.message()).await.ok().flatten()?.message
    }

    /// Ends the camera's side of the stream and reads the platform's to its end.
    pub async fn leave(mut self) {
        drop(self.frames);
        while soon("the end of the camera's stream", self.answers.message()).await.ok().flatten().is_some() {}
    }

    /// Reads the platform's side to its end, and tells how that came.
    pub async fn end(mut self) -> Answer<()> {
        while soon("the end of the camera's stream", self.answers.message()).await?.is_some() {}
        Ok(())
    }

    /// A smart camera has recognised somebody by itself.
    pub async fn report_person(&self, reference: &str) -> Answer<ReportPersonResponse> {
        self.report_person_as(ReportPersonRequest {
            request_id: new_request_id(),
            person_reference: reference.to_owned(),
            capture_time: Some(to_wire(self.clock.now())),
        })
        .await
    }

    /// The same in the test's own words.
    pub async fn report_person_as(&self, request: ReportPersonRequest) -> Answer<ReportPersonResponse> {
        answer(self.gates().report_person(request).await)
    }

    /// The gate's rpcs.
    pub fn gates(&self) -> GateServiceClient<Authorised> {
        GateServiceClient::new(self.line.authorised(&self.key))
    }
}

impl World {
    /// A camera at a gate of the standard community, with its stream open.
    pub async fn camera(&self, gate_id: &str) -> Camera {
        let key = self.camera_key(gate_id).await;
        self.camera_with(key).await.expect("the stream opens")
    }

    /// A camera with another key.
    pub async fn camera_with(&self, key: Key) -> Answer<Camera> {
        Camera::connect(self.line().clone(), key, self.clock().clone()).await
    }
}
