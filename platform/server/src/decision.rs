//! Why somebody was reminded, or not, and why a recall was requested: the record of a decision as it is kept with the
//! step, and the check that what is recorded decides the same again.
//!
//! Kept are instants, counts, scores and the figures of the policies; no vector, no name, and of a face that was nobody's
//! nothing at all. Of a passage that reminded nobody, and of an ambiguous face, only the last for each parcel and answer is
//! kept: all of them would tell when somebody comes and goes.

use gatepost_domain::{
    Parcel, Timestamp,
    consent::Purpose,
    decision::{Answer, Decision, Inputs, Occasion, Withheld},
    id::{CommunityId, DecisionId, GateId, ParcelId, ResidentId},
    policy::Origins,
    sighting::Sighting,
};
use gatepost_matching::{Chosen, Evidence, Figures, Finding, Picture};
use gatepost_storage::{DecisionRecord, Tx};
use serde::{Deserialize, Serialize};

use crate::{journey::Setting, platform::Platform, problem::Problem};

/// What is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// By the rules of the journey; none of an ambiguous face or of a picture, of which those hear nothing.
    pub decision: Option<Decision>,
    /// Who set what the decision depends on.
    pub policy: Origins,
    /// What a gate recognised; none when a smart camera said who it was, or nobody was seen.
    pub recognition: Option<Recognition>,
}

/// What a gate recognised, and by which figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recognition {
    /// Where.
    pub gate: GateId,
    /// Whom the decision is about: the one it resembles most, or the next. Nobody else is named.
    pub nearest: bool,
    /// When the deciding frame, or the last one, was taken, by the camera's clock.
    pub seen_at: Timestamp,
    /// The networks, with the beginning of the hash of their weights.
    pub model: String,
    /// Templates searched.
    pub gallery: usize,
    /// What the threshold was chosen from.
    pub chosen: Chosen,
    /// How often the community's recognition policy had been set; 0 of the default.
    pub policy_version: i64,
    /// The threshold chosen, and what else is asked for.
    pub figures: Figures,
    /// What the track has shown.
    pub evidence: Evidence,
    /// What followed.
    pub finding: Finding,
    /// What said that it was a picture of the resident, of a track that was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<Picture>,
}

impl Recognition {
    fn replays(&self) -> bool {
        self.chosen.similarity().to_bits() == self.figures.threshold.to_bits()
            && self.evidence.finding(&self.figures) == self.finding
            && self.picture.as_ref().is_none_or(Picture::holds)
    }
}

impl Record {
    /// Whether everything recorded is decided the same again, bit for bit.
    pub fn replays(&self) -> bool {
        self.decision.as_ref().is_none_or(Decision::replays)
            && self.recognition.as_ref().is_none_or(Recognition::replays)
    }

    /// From its row.
    pub fn read(row: &DecisionRecord) -> Result<Self, Problem> {
        serde_json::from_str(&row.record).map_err(|_| Problem::Bug("a recorded decision cannot be read"))
    }

    fn write(&self) -> Result<String, Problem> {
        serde_json::to_string(self).map_err(|_| Problem::Bug("a decision cannot be recorded"))
    }

    /// The word in its row. Those of gates begin with "gate.": they go when the faces go.
    fn rule(&self) -> &'static str {
        let Some(Decision { inputs, answer }) = &self.decision else {
            let picture = self.recognition.as_ref().and_then(|recognition| recognition.picture);
            return if picture.is_some() { "gate.not_live" } else { "gate.ambiguous" };
        };
        match (inputs, answer) {
            (Inputs::Recall(_), _) => RECALL,
            (Inputs::TwoGates(_), _) => "gate.two_gates",
            (Inputs::NotMe(_), _) => "gate.not_me",
            (Inputs::Reminder(inputs), Answer::Withhold(why)) => match (&inputs.occasion, why) {
                (Occasion::PlannedHour { .. }, _) => "hour.withheld",
                (Occasion::SeenAtGate { .. }, Withheld::TooEarly) => "gate.too_early",
                (Occasion::SeenAtGate { .. }, Withheld::Overdue) => "gate.overdue",
                (Occasion::SeenAtGate { .. }, Withheld::Held) => "gate.held",
                (Occasion::SeenAtGate { .. }, Withheld::ToldBefore) => "gate.told_before",
                (Occasion::SeenAtGate { .. }, Withheld::Cooldown) => "gate.cooldown",
                (Occasion::SeenAtGate { .. }, Withheld::RemindersMax) => "gate.reminders_max",
                (Occasion::SeenAtGate { .. }, Withheld::QuietHours) => "gate.quiet_hours",
            },
            (Inputs::Reminder(inputs), _) => match inputs.occasion {
                Occasion::SeenAtGate { .. } => "gate.reminded",
                Occasion::PlannedHour { .. } => "hour.reminded",
            },
        }
    }

    /// Whether it led to nothing but itself.
    fn came_to_nothing(&self) -> bool {
        self.decision.as_ref().is_none_or(|decision| matches!(decision.answer, Answer::Withhold(_)))
    }
}

/// The rule of recalls, in rows.
pub const RECALL: &str = "recall";

/// Whom and what a decision is about.
pub struct Subject {
    /// Where.
    pub community: CommunityId,
    /// Whom, while there is such a resident.
    pub resident: Option<ResidentId>,
    /// Which parcel, if one was looked at.
    pub parcel: Option<ParcelId>,
}

impl Subject {
    /// A parcel, and whoever it is for.
    pub fn of(parcel: &Parcel) -> Self {
        Self {
            community: parcel.facts().community.clone(),
            resident: parcel.addressee().resident_id(),
            parcel: Some(parcel.id()),
        }
    }

    /// Somebody who was seen, before a parcel is looked at.
    pub fn seen(sighting: &Sighting) -> Self {
        Self { community: sighting.community.clone(), resident: Some(sighting.resident), parcel: None }
    }
}

/// A decision with the layers that it depends on.
pub fn with_policy(decision: Decision, setting: &Setting, recognition: Option<Recognition>) -> Record {
    let fields = decision.policy_fields().iter();
    let of = |field: &&str| Some(((*field).to_owned(), *setting.origins.get(*field)?));
    Record { policy: fields.filter_map(of).collect(), decision: Some(decision), recognition }
}

impl Platform {
    /// As it is kept.
    pub fn decision_row(&self, about: Subject, record: &Record, now: Timestamp) -> Result<DecisionRecord, Problem> {
        let rule = record.rule();
        Ok(DecisionRecord {
            id: DecisionId(self.new_id()),
            // A recall is about its parcel, and thereby about whomever that is for; in a burst of them no resident is
            // looked up and no index of residents kept.
            resident: about.resident.filter(|_| rule != RECALL),
            parcel: about.parcel,
            community: about.community,
            rule: rule.into(),
            decided_at: now,
            record: record.write()?,
        })
    }

    /// A face at a gate was like this resident, and not clearly enough: nobody is named. It is kept if the resident agrees
    /// to recognition and has a parcel due, and of somebody else it is not.
    pub async fn not_clear(&self, like: &Sighting, recognition: &Recognition) -> Result<(), Problem> {
        let tx = self.store.write().await?;
        self.keep_recognition(&tx, like, recognition).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Keeps what a gate made of a face of which the journey hears nothing, if the resident agrees to recognition and has
    /// a parcel due.
    pub async fn keep_recognition(&self, tx: &Tx, like: &Sighting, recognition: &Recognition) -> Result<(), Problem> {
        let agrees = tx.resident(like.resident).await?.is_some_and(|it| it.agrees_to(Purpose::GateRecognition));
        let waiting = tx.waiting_parcels(like.resident).await?;
        let due = waiting.iter().filter_map(Parcel::stay).any(|stay| like.seen_at >= stay.remind_from);
        if agrees && due {
            let record = Record { decision: None, policy: Origins::new(), recognition: Some(recognition.clone()) };
            self.keep_decision(tx, Subject::seen(like), &record, self.now()).await?;
        }
        Ok(())
    }

    /// Keeps a decision in the transaction of what it is about.
    pub async fn keep_decision(&self, tx: &Tx, about: Subject, record: &Record, now: Timestamp) -> Result<(), Problem> {
        let row = self.decision_row(about, record, now)?;
        if record.came_to_nothing() {
            // Before T1 nothing is due, and nothing is kept of who passes.
            let early = Some(Answer::Withhold(Withheld::TooEarly));
            if record.decision.as_ref().map(|decision| decision.answer) != early {
                tx.replace_decision(&row).await?;
            }
            return Ok(());
        }
        Ok(tx.insert_decisions(&[row]).await?)
    }
}

#[cfg(test)]
mod tests {
    use gatepost_domain::decision::{RecallInputs, TwoGatesInputs};
    use gatepost_domain::parcel::RecallBasis;
    use gatepost_matching::calibration::{Calibration, CalibrationPoint};
    use gatepost_matching::finding::{Ended, Passing};
    use proptest::prelude::*;

    use super::*;

    fn instants() -> impl Strategy<Value = Timestamp> {
        (0i64..4_000_000_000_000, 0i32..1_000_000_000)
            .prop_map(|(ms, nanos)| Timestamp::new(ms / 1_000, nanos).unwrap())
    }

    fn recognitions() -> impl Strategy<Value = Recognition> {
        let points = prop::collection::vec((0.001f32..0.2, 1.01f64..9.0), 2..8);
        let scores = (-1.0f32..1.0, prop::option::of(-1.0f32..1.0), prop::option::of(0.0f32..1.0));
        let counts = (0u32..6, 0.0f32..6.0, 0.0f32..6.0, any::<bool>(), any::<bool>());
        (points, 1e-6f64..0.1, 1usize..100_000, scores, counts, prop::option::of(-1.0f32..1.0), instants()).prop_map(
            |(
                steps,
                rate,
                gallery,
                (best, second, mistaken_at),
                (frames, weight, others, agrees, passing),
                least,
                seen_at,
            )| {
                let (mut similarity, mut false_match_rate) = (0.1, 0.3);
                let points = steps.into_iter().map(|(up, down)| {
                    similarity += up;
                    false_match_rate /= down;
                    CalibrationPoint { similarity, false_match_rate }
                });
                let points = points.collect();
                let calibration =
                    Calibration { model: "m".to_owned(), source: "s".to_owned(), comparisons: 1_000_000, points };
                let chosen = Chosen::new(&calibration, rate, gallery, least);
                let figures = Figures { threshold: chosen.similarity(), margin: 0.05, frames_agreeing: 2 };
                let evidence = if passing {
                    let (cast, best) = (weight + others, Some(best));
                    let mean_agrees = agrees;
                    Evidence::Passing(Passing { frames, weight, cast, mean_agrees, best, second, mistaken_at })
                } else {
                    let like_somebody = frames / 2;
                    Evidence::Ended(Ended { usable: frames, like_somebody, best: Some(best), second })
                };
                Recognition {
                    gate: "北门".parse().unwrap(),
                    nearest: true,
                    seen_at,
                    model: "yunet+sface@0123456789ab".to_owned(),
                    gallery,
                    chosen,
                    policy_version: 3,
                    figures,
                    evidence,
                    finding: evidence.finding(&figures),
                    picture: None,
                }
            },
        )
    }

    fn through_the_row(record: &Record) -> Record {
        serde_json::from_str(&record.write().unwrap()).unwrap()
    }

    proptest! {
        /// What was recorded is read bit for bit, and decides the same again.
        #[test]
        fn recognitions_replay(recognition in recognitions()) {
            let record = Record { decision: None, policy: Origins::new(), recognition: Some(recognition) };
            let read = through_the_row(&record);
            prop_assert_eq!(&read, &record);
            prop_assert!(read.replays());
        }

        /// Another threshold than the recorded inputs give is noticed, however little it differs.
        #[test]
        fn a_threshold_that_does_not_follow_is_noticed(mut recognition in recognitions(), up in any::<bool>()) {
            let threshold = recognition.figures.threshold;
            recognition.figures.threshold = if up { threshold.next_up() } else { threshold.next_down() };
            let record = Record { decision: None, policy: Origins::new(), recognition: Some(recognition) };
            prop_assert!(!through_the_row(&record).replays());
        }

        #[test]
        fn two_gates_replay(metres in 0.0f64..5_000.0, seen_at in instants(), apart in -4_000i64..4_000) {
            let inputs = TwoGatesInputs {
                now: seen_at,
                gate: "南门".parse().unwrap(),
                seen_at,
                other_gate: "北门".parse().unwrap(),
                other_seen_at: seen_at - jiff::SignedDuration::from_secs(apart),
                metres,
            };
            let decision = Decision::of(Inputs::TwoGates(inputs));
            let record = Record { decision: Some(decision), policy: Origins::new(), recognition: None };
            let read = through_the_row(&record);
            prop_assert_eq!(&read, &record);
            prop_assert!(read.replays());
        }
    }

    #[test]
    fn a_picture_that_is_none_is_noticed() {
        let lively = |liveness| Picture { liveness, liveness_min: 0.5, named: false };
        assert!(lively(0.4999).holds());
        assert!(!lively(0.5).holds() && !lively(f32::NAN).holds());
    }

    #[test]
    fn another_answer_than_the_recorded_one_is_noticed() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let inputs = RecallInputs {
            now: at("2026-06-04T00:00:00Z"),
            deposited_at: at("2026-06-01T00:00:00Z"),
            recall_at: at("2026-06-04T00:00:00Z"),
            basis: RecallBasis::Deposit,
            held_until: None,
            recalls: 0,
        };
        let due = Decision::of(Inputs::Recall(inputs.clone()));
        assert_eq!(due.answer, Answer::Recall(1));
        let record = |decision| Record { decision: Some(decision), policy: Origins::new(), recognition: None };
        assert!(record(due.clone()).replays());
        let early = RecallInputs { now: at("2026-06-03T23:59:59.999Z"), ..inputs };
        assert!(!record(Decision { inputs: Inputs::Recall(early), ..due }).replays());
    }
}
