//! A gate camera: sends frames as its credits allow, and shows what the platform wants shown.
//!
//! Short of credit it keeps its newest frame and lets the older ones go. Frames come from a folder of JPEG files in
//! the order of their names, from a file or standard input of concatenated JPEGs, or from whoever composes them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use gatepost_process::clock::SharedClock;
use gatepost_proto::v1::stream_frames_response::Message;
use gatepost_proto::v1::{FrameRefusal, StreamFramesRequest, StreamFramesResponse};
use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use crate::client::{Backoff, Key, Platform, to_wire};
use crate::journal::Journal;
use crate::mjpeg::{LONGEST_PICTURE, Splitter};

/// Files of a folder that are looked at.
const FOLDER_MAX: usize = 100_000;

/// What a gate's display showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The text.
    pub text: String,
    /// For how long.
    pub show_for: Option<SignedDuration>,
}

/// Frames to send.
pub struct Walk {
    /// Where they come from; nobody waits for the camera, so what it has no credit for is lost.
    pub frames: mpsc::Receiver<Bytes>,
    /// After how many frames sent it is enough; without it, when the frames end.
    pub enough: Option<usize>,
}

/// What became of the frames.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WalkReport {
    /// Sent to the platform.
    pub sent: usize,
    /// Not sent, because a newer one came before there was credit.
    pub left_out: usize,
    /// Refused by the platform, and why.
    pub refused: Vec<FrameRefusal>,
    /// When the first frame was taken.
    pub first_capture: Option<Timestamp>,
    /// When the last frame was taken.
    pub last_capture: Option<Timestamp>,
    /// When the platform had given every credit back.
    pub looked_at: Option<Timestamp>,
}

/// Asks a running camera to walk; clones share it.
#[derive(Clone)]
pub struct Camera {
    orders: mpsc::Sender<(Walk, oneshot::Sender<WalkReport>)>,
    /// What the display showed.
    pub shown: Journal<Shown>,
}

impl Camera {
    /// Starts a camera with its key. The future it returns is the camera itself; it ends with `stop`.
    pub fn start(
        platform: Platform,
        key: Key,
        clock: SharedClock,
        stop: CancellationToken,
    ) -> (Camera, impl Future<Output = anyhow::Result<()>>) {
        let (orders, incoming) = mpsc::channel(1);
        let shown = Journal::new(clock.clone());
        let lens = Lens { platform, key, clock, shown: shown.clone(), sequence: 0, orders: incoming, walk: None };
        (Camera { orders, shown }, lens.run(stop))
    }

    /// Sends the frames and returns when the platform has looked at each one, refused it or dropped it.
    pub async fn walk(&self, walk: Walk, bound: SignedDuration) -> anyhow::Result<WalkReport> {
        let (done, report) = oneshot::channel();
        let asked = async {
            self.orders.send((walk, done)).await.ok().context("the camera has ended")?;
            report.await.context("the camera has ended")
        };
        tokio::time::timeout(Duration::try_from(bound)?, asked)
            .await
            .map_err(|_| anyhow::anyhow!("the platform did not look at every frame within {bound:#}"))?
    }
}

/// A walk under way.
struct Walking {
    walk: Walk,
    ended: bool,
    /// The newest frame without credit.
    pending: Option<(Timestamp, Bytes)>,
    report: WalkReport,
    done: oneshot::Sender<WalkReport>,
}

/// Credits of one connection.
#[derive(Debug, Default)]
struct Credits {
    left: i64,
    outstanding: i64,
}

impl Credits {
    fn grant(&mut self, frames: i32) {
        let frames = i64::from(frames.max(0));
        self.left += frames;
        self.outstanding = (self.outstanding - frames).max(0);
    }

    fn spend(&mut self) {
        self.left -= 1;
        self.outstanding += 1;
    }
}

/// The camera's own task.
struct Lens {
    platform: Platform,
    key: Key,
    clock: SharedClock,
    shown: Journal<Shown>,
    /// Goes on over reconnects.
    sequence: i64,
    orders: mpsc::Receiver<(Walk, oneshot::Sender<WalkReport>)>,
    walk: Option<Walking>,
}

enum Next {
    Answer(Option<StreamFramesResponse>),
    Order(Option<(Walk, oneshot::Sender<WalkReport>)>),
    Frame(Option<Bytes>),
}

impl Lens {
    async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut backoff = Backoff::new();
        loop {
            let outcome = tokio::select! {
                outcome = self.connection(&mut backoff) => outcome,
                () = stop.cancelled() => return Ok(()),
            };
            match outcome {
                Ok(true) => return Ok(()),
                Ok(false) => tracing::info!("gate stream drained, connecting again"),
                Err(status) => tracing::warn!(code = ?status.code(), "gate stream lost, connecting again"),
            }
            let clock = self.clock.clone();
            tokio::select! {
                () = backoff.wait(&*clock) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// One connection; true when nobody will ask this camera for anything any more.
    async fn connection(&mut self, backoff: &mut Backoff) -> Result<bool, tonic::Status> {
        let (sender, receiver) = mpsc::channel(1);
        let mut client = self.platform.gates(&self.key);
        let mut answers = client.stream_frames(ReceiverStream::new(receiver)).await?.into_inner();
        let mut credits = Credits::default();
        loop {
            match self.next(&mut answers).await? {
                Next::Answer(None) => return Ok(false),
                Next::Answer(Some(answer)) => {
                    backoff.reset();
                    if self.answered(answer, &mut credits) {
                        return Ok(false);
                    }
                }
                Next::Order(None) => return Ok(true),
                Next::Order(Some((walk, done))) => {
                    let report = WalkReport::default();
                    self.walk = Some(Walking { walk, ended: false, pending: None, report, done });
                }
                Next::Frame(frame) => self.taken(frame),
            }
            if !self.send(&sender, &mut credits).await {
                return Ok(false);
            }
            self.finish(&credits);
        }
    }

    async fn next(&mut self, answers: &mut Streaming<StreamFramesResponse>) -> Result<Next, tonic::Status> {
        let walking = self.walk.as_mut();
        let (idle, taking) = (walking.is_none(), walking.as_ref().is_some_and(|walking| !walking.ended));
        let frame = async {
            match walking {
                Some(walking) => walking.walk.frames.recv().await,
                None => None,
            }
        };
        tokio::select! {
            answer = answers.message() => Ok(Next::Answer(answer?)),
            order = self.orders.recv(), if idle => Ok(Next::Order(order)),
            frame = frame, if taking => Ok(Next::Frame(frame)),
        }
    }

    /// True when the platform is about to end the stream.
    fn answered(&mut self, answer: StreamFramesResponse, credits: &mut Credits) -> bool {
        match answer.message {
            Some(Message::Credit(credit)) => credits.grant(credit.frames),
            Some(Message::Display(now)) => {
                tracing::info!(text = now.text, "display");
                let show_for = now.show_for.map(|span| SignedDuration::new(span.seconds, span.nanos));
                self.shown.note(Shown { text: now.text, show_for });
            }
            Some(Message::Refused(refused)) => {
                tracing::warn!(sequence = refused.sequence, reason = refused.reason().as_str_name(), "frame refused");
                if let Some(walking) = &mut self.walk {
                    walking.report.refused.push(refused.reason());
                }
            }
            Some(Message::Drain(_)) => return true,
            None => {}
        }
        false
    }

    fn taken(&mut self, frame: Option<Bytes>) {
        let now = self.clock.now();
        let Some(walking) = &mut self.walk else { return };
        match frame {
            Some(frame) => {
                if walking.pending.replace((now, frame)).is_some() {
                    walking.report.left_out += 1;
                }
            }
            None => walking.ended = true,
        }
    }

    /// False when the platform hung up.
    async fn send(&mut self, sender: &mpsc::Sender<StreamFramesRequest>, credits: &mut Credits) -> bool {
        let Some(walking) = &mut self.walk else { return true };
        if credits.left <= 0 {
            return true;
        }
        let Some((captured, jpeg)) = walking.pending.take() else { return true };
        self.sequence += 1;
        let frame = StreamFramesRequest { sequence: self.sequence, capture_time: Some(to_wire(captured)), jpeg };
        if sender.send(frame).await.is_err() {
            return false;
        }
        credits.spend();
        let report = &mut walking.report;
        report.sent += 1;
        report.first_capture.get_or_insert(captured);
        report.last_capture = Some(captured);
        if walking.walk.enough == Some(report.sent) {
            walking.ended = true;
            walking.walk.frames.close();
        }
        true
    }

    fn finish(&mut self, credits: &Credits) {
        let over = |walking: &mut Walking| walking.ended && walking.pending.is_none() && credits.outstanding == 0;
        if let Some(mut walking) = self.walk.take_if(over) {
            walking.report.looked_at = Some(self.clock.now());
            let _ = walking.done.send(walking.report);
        }
    }
}

/// The JPEG files of a folder, in the order of their names.
pub fn folder(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read the folder {}", path.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry?.path();
        let is_jpeg =
            |ending: &std::ffi::OsStr| ending.eq_ignore_ascii_case("jpg") || ending.eq_ignore_ascii_case("jpeg");
        if file.extension().is_some_and(is_jpeg) {
            files.push(file);
        }
        if files.len() > FOLDER_MAX {
            bail!("{} has more than {FOLDER_MAX} JPEG files", path.display());
        }
    }
    if files.is_empty() {
        bail!("{} has no .jpg or .jpeg files", path.display());
    }
    files.sort();
    Ok(files)
}

/// Gives the files at `fps`, once or over and over; each is read when its turn comes.
pub fn paced_files(files: Vec<PathBuf>, fps: f64, again: bool) -> mpsc::Receiver<Bytes> {
    let (sender, frames) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut ticks = ticks(fps);
        loop {
            for file in &files {
                ticks.tick().await;
                match read_frame(file).await {
                    Ok(frame) => {
                        if sender.send(frame).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => tracing::warn!(error = format!("{error:#}"), "file left out"),
                }
            }
            if !again || sender.is_closed() {
                return;
            }
        }
    });
    frames
}

async fn read_frame(file: &Path) -> anyhow::Result<Bytes> {
    let length = tokio::fs::metadata(file).await?.len();
    if length > LONGEST_PICTURE as u64 {
        bail!("{} has {length} bytes, a gate accepts {LONGEST_PICTURE}", file.display());
    }
    let frame = tokio::fs::read(file).await.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Bytes::from(frame))
}

/// Gives frames at `fps`, over and over.
pub fn paced_frames(of: Vec<Bytes>, fps: f64) -> mpsc::Receiver<Bytes> {
    let (sender, frames) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut ticks = ticks(fps);
        for frame in of.iter().cycle() {
            ticks.tick().await;
            if sender.send(frame.clone()).await.is_err() {
                return;
            }
        }
    });
    frames
}

fn ticks(fps: f64) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / fps.clamp(0.01, 1000.0)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// Gives the pictures of a stream of concatenated JPEGs as fast as they come: a live stream has its own pace.
pub fn video(mut stream: impl AsyncRead + Send + Unpin + 'static) -> mpsc::Receiver<Bytes> {
    let (sender, frames) = mpsc::channel(1);
    tokio::spawn(async move {
        let (mut splitter, mut buffer) = (Splitter::new(), vec![0; 64 * 1024]);
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) => break,
                Ok(length) => {
                    for frame in splitter.push(&buffer[..length]) {
                        if sender.send(frame).await.is_err() {
                            return;
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "video cannot be read on");
                    break;
                }
            }
        }
        if splitter.passed_over() > 0 {
            tracing::warn!(pictures = splitter.passed_over(), "pictures of the video were passed over");
        }
    });
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_is_looked_at_when_every_credit_came_back() {
        let mut credits = Credits::default();
        credits.grant(2);
        credits.spend();
        credits.spend();
        assert_eq!((credits.left, credits.outstanding), (0, 2));
        credits.grant(1);
        credits.grant(1);
        assert_eq!((credits.left, credits.outstanding), (2, 0));
    }

    #[test]
    fn a_folder_is_read_in_the_order_of_names() {
        let folder_of = tempfile::tempdir().unwrap();
        for name in ["b.jpg", "a.JPEG", "c.txt"] {
            std::fs::write(folder_of.path().join(name), b"x").unwrap();
        }
        let names: Vec<_> =
            folder(folder_of.path()).unwrap().iter().map(|file| file.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["a.JPEG", "b.jpg"]);
        assert!(folder(Path::new("/nowhere")).is_err());
    }

    #[tokio::test]
    async fn a_video_comes_out_frame_by_frame() {
        let jpeg = crate::picture::Picture::paint(32, 16, |x, _| [x as u8; 3]).to_jpeg(80).unwrap();
        let stream = std::io::Cursor::new(jpeg.repeat(3));
        let mut frames = video(stream);
        for _ in 0..3 {
            assert_eq!(frames.recv().await.unwrap(), jpeg);
        }
        assert!(frames.recv().await.is_none());
    }
}
