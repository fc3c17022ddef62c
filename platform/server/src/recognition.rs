//! How sure a community's gates have to be, and whether anybody can have walked from one of them to another.

use std::ops::RangeInclusive;

use gatepost_domain::{
    Timestamp,
    decision::{Answer, Decision, Inputs, TwoGatesInputs},
    id::{CommunityId, GateId},
    policy::Origins,
    sighting::Sighting,
};
use gatepost_matching::{Chosen, LivenessCheck, MatchPolicy, ModelId, calibration::Calibration};
use gatepost_storage::{Misidentification, MisidentificationReason, SearchableFace, StoreError, Tx};
use opentelemetry::KeyValue;
use serde::{Deserialize, Serialize};

use crate::{
    decision::{Recognition, Record, Subject},
    platform::Platform,
    problem::{Problem, settle},
};

/// A community's recognition policy, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecognitionPolicy {
    /// How often a stranger's face may find somebody.
    pub false_alarm_rate: f64,
    /// What the threshold is chosen from; without, from what comes with Gatepost.
    pub calibration: Option<Calibration>,
    /// Who is searched for.
    #[serde(default)]
    pub scope: SearchScope,
    /// What is done about pictures that are held before a camera. The default is not written: the previous release, which
    /// may run beside this one, does not know the word.
    #[serde(default, skip_serializing_if = "Liveness::is_default")]
    pub liveness: Liveness,
    /// How often it had been set; 0 of the default.
    #[serde(skip)]
    pub version: i64,
}

/// What is done about a passer-by who is more like a picture than like a living face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Liveness {
    /// Nothing.
    Off,
    /// Staff are told, and the resident is reminded all the same. The default: a picture gains nothing but a reminder to
    /// its true owner, and how many living residents the networks would take for pictures at a gate's own camera is
    /// known only once it was looked at. A community that has looked may suppress.
    #[default]
    Flag,
    /// Staff are told, and nobody is reminded.
    Suppress,
}

impl Liveness {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Liveness> for LivenessCheck {
    fn from(liveness: Liveness) -> Self {
        match liveness {
            Liveness::Off => Self::Off,
            Liveness::Flag => Self::Flag,
            Liveness::Suppress => Self::Suppress,
        }
    }
}

/// Whose faces a gate compares with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchScope {
    /// Of consenting residents with a parcel due.
    #[default]
    WaitingOnly,
    /// Of all consenting residents. Who resembles a neighbour is then told from them, and who has no parcel due is
    /// found and forgotten.
    AllConsenting,
}

impl Default for RecognitionPolicy {
    fn default() -> Self {
        let (scope, liveness) = (SearchScope::default(), Liveness::default());
        Self { false_alarm_rate: 0.01, calibration: None, scope, liveness, version: 0 }
    }
}

impl RecognitionPolicy {
    /// Rates that can be asked for.
    pub const RATES: RangeInclusive<f64> = 1e-6..=0.1;

    /// From the community's row, or the default.
    pub fn read(row: Option<(String, i64)>) -> Result<Self, Problem> {
        let Some((row, version)) = row else { return Ok(Self::default()) };
        let read = serde_json::from_str(&row).map(|policy: Self| Self { version, ..policy });
        read.map_err(|_| Problem::Bug("a recognition policy in the database cannot be read"))
    }

    /// As the community's row has it.
    pub fn write(&self) -> Result<String, Problem> {
        serde_json::to_string(self).map_err(|_| Problem::Bug("a recognition policy cannot be written"))
    }

    /// The faces under a model that a gate of the community may be searched for at `now`.
    pub async fn faces(
        &self,
        tx: &Tx,
        community: &CommunityId,
        model: &ModelId,
        now: Timestamp,
    ) -> Result<Vec<SearchableFace>, StoreError> {
        match self.scope {
            SearchScope::WaitingOnly => tx.searchable_faces(community, model.as_str(), now).await,
            SearchScope::AllConsenting => tx.consenting_faces(community, model.as_str()).await,
        }
    }

    /// The least cosine of a match among `templates` faces of `model`, and of the installation's settings. A calibration
    /// of another model says nothing. Small galleries are held to what a hundred templates need: a passer-by shows more
    /// than one frame.
    pub fn chosen(&self, model: Option<&ModelId>, templates: usize, least: Option<f32>) -> Chosen {
        let fits = |calibration: &&Calibration| model.is_none_or(|model| calibration.model == model.as_str());
        let templates = templates.max(MatchPolicy::GALLERY_BASE);
        match self.calibration.as_ref().filter(fits) {
            Some(own) => Chosen::new(own, self.false_alarm_rate, templates, least),
            None => Chosen::new(&Calibration::built_in(), self.false_alarm_rate, templates, least),
        }
    }

    /// The least cosine by the policy's own calibration.
    pub fn similarity(&self, templates: usize) -> f32 {
        self.chosen(None, templates, None).similarity()
    }
}

impl Platform {
    /// Whether the sighting cannot be true, because the resident was at another gate too shortly before. That is
    /// recorded for staff, and nobody is reminded: one of the two was somebody else, or a picture was held up.
    pub async fn is_elsewhere(
        &self,
        tx: &Tx,
        sighting: &Sighting,
        recognition: Option<&Recognition>,
    ) -> Result<bool, Problem> {
        let last = tx.last_sighting(sighting.resident).await?;
        if let Some((gate, at)) = &last
            && *gate != sighting.gate
            && let Some(metres) = self.premises(tx, &sighting.community).await?.between_gates(gate, &sighting.gate)
        {
            let decision = Decision::of(Inputs::TwoGates(TwoGatesInputs {
                now: self.now(),
                gate: sighting.gate.clone(),
                seen_at: sighting.seen_at,
                other_gate: gate.clone(),
                other_seen_at: *at,
                metres,
            }));
            if decision.answer == Answer::Suppress {
                // Where the resident was before stays on record: who is seen here again is here no more than before.
                let before = (gate.clone(), *at);
                let record =
                    Record { decision: Some(decision), policy: Origins::new(), recognition: recognition.cloned() };
                self.flag(tx, sighting, before, &record).await?;
                return Ok(true);
            }
        }
        if last.is_none_or(|(_, at)| sighting.seen_at >= at) {
            tx.set_last_sighting(sighting.resident, &sighting.gate, sighting.seen_at).await?;
        }
        Ok(false)
    }

    /// A picture of the resident was held before a gate's camera, as far as can be told: that is recorded for staff. Of
    /// who has no parcel due nothing is recorded, and who is flagged already is not flagged again.
    pub async fn not_live(&self, sighting: &Sighting, recognition: &Recognition) -> Result<(), Problem> {
        settle(|| self.try_not_live(sighting, recognition)).await
    }

    async fn try_not_live(&self, sighting: &Sighting, recognition: &Recognition) -> Result<(), Problem> {
        let tx = self.store.write().await?;
        if tx.waiting_parcels(sighting.resident).await?.is_empty() {
            return Ok(());
        }
        self.keep_recognition(&tx, sighting, recognition).await?;
        let flagged = tx.is_flagged(sighting.resident, MisidentificationReason::NotLive).await?;
        let mistaken = self.mistaken(sighting, MisidentificationReason::NotLive, None);
        if !flagged && tx.insert_misidentification(&mistaken).await? {
            self.metrics.misidentifications.add(1, &[KeyValue::new("reason", "not_live")]);
            tracing::warn!(gate.id = %sighting.gate, "more like a picture of a resident than like a living face");
        }
        tx.commit().await?;
        Ok(())
    }

    fn mistaken(
        &self,
        sighting: &Sighting,
        reason: MisidentificationReason,
        other: Option<(GateId, Timestamp)>,
    ) -> Misidentification {
        Misidentification {
            resident: sighting.resident,
            community: sighting.community.clone(),
            reason,
            gate: sighting.gate.clone(),
            seen_at: sighting.seen_at,
            similarity: sighting.similarity,
            other,
            reported_at: self.now(),
            settled_at: None,
        }
    }

    async fn flag(
        &self,
        tx: &Tx,
        sighting: &Sighting,
        before: (GateId, Timestamp),
        record: &Record,
    ) -> Result<(), Problem> {
        let mistaken = self.mistaken(sighting, MisidentificationReason::TwoGates, Some(before));
        if tx.insert_misidentification(&mistaken).await? {
            self.keep_decision(tx, Subject::seen(sighting), record, mistaken.reported_at).await?;
            self.metrics.misidentifications.add(1, &[KeyValue::new("reason", "two_gates")]);
            tracing::warn!(gate.id = %sighting.gate, "a resident at two gates sooner than anybody walks: no reminder");
        }
        Ok(())
    }
}
