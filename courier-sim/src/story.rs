//! The story, chapter by chapter, and the stage it is played on.
//!
//! A chapter waits for what it expects, each wait with a bound; the only waits for time itself are those for T1, T2
//! and the usual hour, which are what the story is about. What a chapter sees goes to the claims as evidence.

use std::collections::BTreeMap;

use anyhow::Context;
use bytes::Bytes;
use gatepost_process::clock::SharedClock;
use gatepost_proto::v1::{Event, EventKind, Parcel, ReminderCause, ReminderRecord};
use jiff::{SignedDuration, Timestamp};

use crate::app::Reminder;
use crate::camera::{Camera, Walk, WalkReport, paced_frames};
use crate::claims::Claims;
use crate::client::from_wire;
use crate::demo::progress::Progress;
use crate::journal::{Entry, Journal};
use crate::server::Counter;
use crate::terminal::TerminalNote;
use crate::world::Office;
use crate::world::people::Person;

/// A parcel finds its locker.
pub mod placement;

/// It waits, and its resident is seen.
pub mod reminder;

/// Somebody passes whom nobody knows, then a second resident.
pub mod stranger;

/// The first parcel is taken out.
pub mod pickup;

/// Another resident is reminded at their usual hour.
pub mod usual_hour;

/// A parcel is forgotten and brought to the door.
pub mod forgotten;

/// A parcel is picked up while the courier is on the way.
pub mod withdrawn;

/// What must not have happened.
pub mod closing;

/// How long anything may take that should happen at once.
pub const SOON: SignedDuration = SignedDuration::from_secs(15);
/// How long the platform may take for the frames of one passage; a slow machine looks at two or three a second.
const PASSAGE_BOUND: SignedDuration = SignedDuration::from_secs(60);
/// Frames a second of a gate camera.
const FPS: f64 = 4.0;

/// The parcels of the story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Letter {
    /// Its resident is seen at the gate and picks it up.
    A,
    /// Its resident has no face on file and is reminded at the usual hour.
    B,
    /// Nobody comes for it.
    C,
    /// Its resident comes while the courier is on the way.
    D,
    /// Finds the nearest locker full, and is cancelled.
    E,
}

/// Frames, composed before the story begins.
pub struct Passages {
    /// The resident of parcel A before T1.
    pub chen_early: Vec<Bytes>,
    /// The same, after T1, in another photograph.
    pub chen_late: Vec<Bytes>,
    /// Somebody who does not live here.
    pub stranger: Vec<Bytes>,
    /// The resident of parcel D.
    pub li: Vec<Bytes>,
}

/// Everything the chapters can reach.
pub struct Stage {
    /// The time.
    pub clock: SharedClock,
    /// The administrator's side.
    pub office: Office,
    /// Residents' ids by name.
    pub residents: BTreeMap<&'static str, String>,
    /// The courier's server, where parcels are announced.
    pub counter: Counter,
    /// What the courier is told.
    pub events: Journal<Event>,
    /// What the residents' app was told.
    pub app: Journal<Reminder>,
    /// The camera at the south gate.
    pub south: Camera,
    /// The camera at the north gate.
    pub north: Camera,
    /// The terminal that fetches parcel C.
    pub near_terminal: Journal<TerminalNote>,
    /// The terminal that is still on its way to parcel D.
    pub far_terminal: Journal<TerminalNote>,
    /// What the cameras see.
    pub passages: Passages,
    /// What was seen so far.
    pub claims: Claims,
    /// What the audience reads.
    pub progress: Progress,
    /// The parcels as last heard of.
    pub parcels: BTreeMap<Letter, Parcel>,
    /// T1 of every parcel.
    pub remind_after: SignedDuration,
    /// T2 of every parcel.
    pub recall_after: SignedDuration,
    /// T2 of parcel A as an instant, which the platform forgets with the pickup.
    pub t2_of_a: Option<Timestamp>,
    /// When the resident of parcel B usually comes.
    pub usual_hour_of_b: Option<Timestamp>,
}

impl Stage {
    /// A parcel of the story.
    pub fn parcel(&self, letter: Letter) -> anyhow::Result<Parcel> {
        self.parcels.get(&letter).cloned().with_context(|| format!("parcel {letter:?} did not come this far"))
    }

    /// A resident's id.
    pub fn resident(&self, person: Person) -> anyhow::Result<String> {
        self.residents.get(person.name).cloned().context("a resident is missing")
    }

    /// Puts a parcel into its compartment.
    pub async fn deposit(&mut self, letter: Letter) -> anyhow::Result<Parcel> {
        let parcel = self.counter.deposit(&self.parcel(letter)?).await?;
        let deposit = parcel.deposit.clone().unwrap_or_default();
        self.progress.say(format!("parcel {letter:?} lies in {}/{}", deposit.locker_id, deposit.compartment_id));
        self.parcels.insert(letter, parcel.clone());
        Ok(parcel)
    }

    /// The parcel's resident opens its compartment.
    pub async fn pick_up(&mut self, letter: Letter) -> anyhow::Result<Parcel> {
        let parcel = self.counter.pick_up(&self.parcel(letter)?.id).await?;
        self.progress.say(format!("parcel {letter:?} is picked up"));
        self.parcels.insert(letter, parcel.clone());
        Ok(parcel)
    }

    /// Asks the platform how a parcel stands.
    pub async fn look_up(&mut self, letter: Letter) -> anyhow::Result<Parcel> {
        let parcel = self.counter.parcel(&self.parcel(letter)?.id).await?;
        self.parcels.insert(letter, parcel.clone());
        Ok(parcel)
    }

    /// Waits until something happens to a parcel, at the latest `SOON` after `due`.
    pub async fn event(&self, kind: EventKind, letter: Letter, due: Timestamp) -> anyhow::Result<Entry<Event>> {
        let parcel_id = self.parcel(letter)?.id;
        let left = due.duration_since(self.clock.now()).max(SignedDuration::ZERO);
        let what = format!("{} of parcel {letter:?}", kind.as_str_name());
        self.events.wait_for(&what, left + SOON, crate::observer::of(kind, &parcel_id)).await
    }

    /// Waits for something that should happen at once.
    pub async fn event_soon(&self, kind: EventKind, letter: Letter) -> anyhow::Result<Entry<Event>> {
        self.event(kind, letter, self.clock.now()).await
    }

    /// Waits for an instant.
    pub async fn wait_until(&self, what: &str, at: Timestamp) {
        let left = at.duration_since(self.clock.now());
        if left.is_positive() {
            self.progress.say(format!("waiting {:.1} s for {what}", left.as_secs_f64()));
            self.clock.sleep_until(at).await;
        }
    }

    /// Somebody passes a gate; returns when the platform has looked at every frame.
    pub async fn pass(&self, camera: &Camera, frames: &[Bytes]) -> anyhow::Result<WalkReport> {
        let walk = Walk { frames: paced_frames(frames.to_vec(), FPS), enough: Some(frames.len()) };
        let report = camera.walk(walk, PASSAGE_BOUND).await?;
        anyhow::ensure!(report.refused.is_empty(), "the platform refused frames: {:?}", report.refused);
        Ok(report)
    }

    /// Reminders that gates caused, as the courier was told.
    pub fn gate_reminders(&self) -> Vec<Entry<Event>> {
        self.events
            .all(|event| event.kind() == EventKind::ReminderSent && event.reminder_cause() == ReminderCause::SeenAtGate)
    }

    /// Every reminder on record at any gate, for anybody.
    pub async fn recorded_at_gates(&self) -> anyhow::Result<Vec<ReminderRecord>> {
        let mut records = Vec::new();
        for resident_id in self.residents.values() {
            let reminders = self.office.reminders(resident_id).await?;
            records.extend(reminders.into_iter().filter(|record| !record.gate_id.is_empty()));
        }
        Ok(records)
    }

    /// Takes note of how a chapter ended.
    pub fn close(&mut self, title: &str, claims: &[u8], outcome: anyhow::Result<()>) {
        self.progress.chapter_over();
        if let Err(error) = outcome {
            self.progress.say(format!("{title}: broke off: {error:#}"));
            self.claims.broke_off(claims, &error);
        }
    }
}

/// An instant that a parcel or an event must have.
pub fn instant(what: &str, at: Option<&prost_types::Timestamp>) -> anyhow::Result<Timestamp> {
    from_wire(at).with_context(|| format!("{what} is not set"))
}

/// From one instant to another, in seconds.
pub fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}
