//! Why a step was taken, or not: everything it was decided by, and what was decided. The steps of the journey decide by
//! these functions and by nothing else, so that what was recorded gives the same answer again, bit for bit.
//!
//! Recorded are instants, counts and the figures of the policy; no face, no name, no place but a gate. Of the usual pickup
//! hour the planned instant is kept and not the pickups it was found from: those stand in the resident's record already.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    id::GateId,
    journey::Circumstances,
    parcel::{RecallBasis, Stay},
    policy::WaitingPolicy,
    sighting::too_soon,
    usual::{is_quiet_minute, minute_of_day},
};

/// What was decided, and by what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Everything that it depends on.
    pub inputs: Inputs,
    /// What followed.
    pub answer: Answer,
}

/// Everything that a decision depends on, by the rule that decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Inputs {
    /// Whether to remind.
    Reminder(ReminderInputs),
    /// Whether to ask the courier for a recall.
    Recall(RecallInputs),
    /// Whether anybody can have walked from one gate to the other.
    TwoGates(TwoGatesInputs),
    /// Whether a reminder that was for somebody else is taken back.
    NotMe(NotMeInputs),
}

/// What followed from the inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The resident is reminded.
    Remind,
    /// Nobody is reminded.
    Withhold(Withheld),
    /// The courier is asked for this recall of the parcel, from 1.
    Recall(u32),
    /// It is not time for a recall.
    Wait,
    /// Nobody walks that fast: one of two sightings is mistaken, and nobody is reminded.
    Suppress,
    /// Somebody can have walked there.
    Accept,
    /// The reminder counts for nothing.
    TakeBack,
    /// The reminder was not the parcel's last, or the parcel waits no more: nothing of it is changed.
    Keep,
}

/// Why nobody is reminded. Of several reasons the first of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Withheld {
    /// T1 has not passed, or the planned time has not come.
    TooEarly,
    /// T2 has passed.
    Overdue,
    /// The stay rests.
    Held,
    /// The same passage was told before.
    ToldBefore,
    /// Reminded not long ago.
    Cooldown,
    /// Reminded as often as the policy allows.
    RemindersMax,
    /// Quiet hours.
    QuietHours,
}

/// What makes a reminder possible.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// The resident was seen.
    SeenAtGate {
        /// Where.
        gate: GateId,
        /// When, by the camera's clock.
        seen_at: Timestamp,
    },
    /// The usual pickup hour, or the last one that is not quiet before T2.
    PlannedHour {
        /// When it was planned for.
        planned_at: Timestamp,
    },
}

/// What a reminder depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReminderInputs {
    /// The platform's clock.
    pub now: Timestamp,
    /// The community's, for people to read.
    pub time_zone: String,
    /// The clock in that zone, in minutes after midnight.
    pub minute: u16,
    /// What made it possible.
    pub occasion: Occasion,
    /// When the parcel's door was closed.
    pub deposited_at: Timestamp,
    /// T1 as an instant.
    pub remind_from: Timestamp,
    /// T2 as an instant.
    pub recall_at: Timestamp,
    /// Until when the stay rests or rested.
    pub held_until: Option<Timestamp>,
    /// Reminders before this one.
    pub reminders_sent: u32,
    /// When the last one was.
    pub last_reminded_at: Option<Timestamp>,
    /// By the policy.
    pub reminder_cooldown: SignedDuration,
    /// By the policy.
    pub reminders_max: u32,
    /// By the policy.
    pub quiet_from_minute: u16,
    /// By the policy.
    pub quiet_to_minute: u16,
}

/// What a recall depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecallInputs {
    /// The platform's clock.
    pub now: Timestamp,
    /// When the parcel's door was closed.
    pub deposited_at: Timestamp,
    /// T2 as an instant.
    pub recall_at: Timestamp,
    /// What T2 counts from.
    pub basis: RecallBasis,
    /// Until when the stay rests or rested.
    pub held_until: Option<Timestamp>,
    /// Recalls before this one.
    pub recalls: u32,
}

/// What tells two sightings from one walk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwoGatesInputs {
    /// The platform's clock.
    pub now: Timestamp,
    /// Where the resident was seen.
    pub gate: GateId,
    /// When, by the camera's clock.
    pub seen_at: Timestamp,
    /// Where the resident was seen before.
    pub other_gate: GateId,
    /// When, by that camera's clock.
    pub other_seen_at: Timestamp,
    /// Along the shortest way between the two.
    pub metres: f64,
}

/// What taking a reminder back depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotMeInputs {
    /// When it was reported.
    pub now: Timestamp,
    /// Which reminder.
    pub reminded_at: Timestamp,
    /// The parcel's last one.
    pub last_reminded_at: Option<Timestamp>,
}

impl Decision {
    /// Decides.
    pub fn of(inputs: Inputs) -> Self {
        Self { answer: inputs.decide(), inputs }
    }

    /// Whether the recorded inputs give the recorded answer.
    pub fn replays(&self) -> bool {
        self.inputs.decide() == self.answer
    }

    /// When, by the platform's clock.
    pub fn now(&self) -> Timestamp {
        match &self.inputs {
            Inputs::Reminder(inputs) => inputs.now,
            Inputs::Recall(inputs) => inputs.now,
            Inputs::TwoGates(inputs) => inputs.now,
            Inputs::NotMe(inputs) => inputs.now,
        }
    }

    /// The fields of the policy that it depends on.
    pub fn policy_fields(&self) -> &'static [&'static str] {
        match &self.inputs {
            Inputs::Reminder(_) => &[
                "remind_after",
                "recall_after",
                "reminder_cooldown",
                "reminders_max",
                "quiet_from_minute",
                "quiet_to_minute",
            ],
            Inputs::Recall(inputs) => match inputs.basis {
                RecallBasis::Deposit => &["recall_after"],
                RecallBasis::Refusal => &["recall_again_after"],
                RecallBasis::Extension => &[],
            },
            Inputs::TwoGates(_) | Inputs::NotMe(_) => &[],
        }
    }
}

impl Inputs {
    fn decide(&self) -> Answer {
        match self {
            Inputs::Reminder(inputs) => inputs.withheld().map_or(Answer::Remind, Answer::Withhold),
            Inputs::Recall(inputs) if inputs.is_due() => Answer::Recall(inputs.recalls + 1),
            Inputs::Recall(_) => Answer::Wait,
            Inputs::TwoGates(inputs) => {
                let apart = inputs.seen_at.duration_since(inputs.other_seen_at);
                if too_soon(inputs.metres, apart) { Answer::Suppress } else { Answer::Accept }
            }
            // Instants are kept in milliseconds.
            Inputs::NotMe(NotMeInputs { reminded_at, last_reminded_at, .. }) => match last_reminded_at {
                Some(last) if last.as_millisecond() == reminded_at.as_millisecond() => Answer::TakeBack,
                _ => Answer::Keep,
            },
        }
    }
}

impl ReminderInputs {
    pub(crate) fn new(occasion: Occasion, stay: &Stay, circumstances: Circumstances<'_>) -> Self {
        let Circumstances { now, policy, time_zone, .. } = circumstances;
        Self {
            now,
            time_zone: time_zone.iana_name().unwrap_or_default().to_owned(),
            minute: minute_of_day(&now.to_zoned(time_zone.clone())),
            occasion,
            deposited_at: stay.deposited_at,
            remind_from: stay.remind_from,
            recall_at: stay.recall_at,
            held_until: stay.hold.map(|hold| hold.until),
            reminders_sent: stay.reminders_sent,
            last_reminded_at: stay.last_reminded_at,
            reminder_cooldown: policy.reminder_cooldown,
            reminders_max: policy.reminders_max,
            quiet_from_minute: policy.quiet_from_minute,
            quiet_to_minute: policy.quiet_to_minute,
        }
    }

    fn withheld(&self) -> Option<Withheld> {
        let (early, told_before) = match &self.occasion {
            Occasion::SeenAtGate { seen_at, .. } => {
                // The frame's own time decides whether T1 had passed, unless the camera's clock is ahead; the present
                // decides whether T2 has.
                let seen_at = (*seen_at).min(self.now);
                // Even without a cooldown, one passage told twice is one reminder.
                (seen_at < self.remind_from, self.last_reminded_at.is_some_and(|last| seen_at <= last))
            }
            Occasion::PlannedHour { planned_at } => (self.now < *planned_at, false),
        };
        let quiet = WaitingPolicy {
            quiet_from_minute: self.quiet_from_minute,
            quiet_to_minute: self.quiet_to_minute,
            ..WaitingPolicy::default()
        };
        [
            (early, Withheld::TooEarly),
            (self.now >= self.recall_at, Withheld::Overdue),
            (self.held_until.is_some_and(|until| self.now < until), Withheld::Held),
            (told_before, Withheld::ToldBefore),
            (self.last_reminded_at.is_some_and(|last| self.now < last + self.reminder_cooldown), Withheld::Cooldown),
            (self.reminders_sent >= self.reminders_max, Withheld::RemindersMax),
            (is_quiet_minute(self.minute, &quiet), Withheld::QuietHours),
        ]
        .into_iter()
        .find_map(|(applies, why)| applies.then_some(why))
    }
}

impl RecallInputs {
    pub(crate) fn new(stay: &Stay, now: Timestamp) -> Self {
        Self {
            now,
            deposited_at: stay.deposited_at,
            recall_at: stay.recall_at,
            basis: stay.recall_basis,
            held_until: stay.hold.map(|hold| hold.until),
            recalls: stay.recalls,
        }
    }

    fn is_due(&self) -> bool {
        self.now >= self.recall_at && self.held_until.is_none_or(|until| self.now >= until)
    }
}
