//! Recognition policies and mistaken sightings on the wire.

use gatepost_matching::calibration::{Calibration, CalibrationPoint};
use gatepost_proto::v1;
use gatepost_storage::{EnrolmentConflict, Misidentification, MisidentificationReason, Resolution};

use super::instant_to_proto;
use crate::{
    problem::Problem,
    recognition::{Liveness, RecognitionPolicy, SearchScope},
};

/// Reads a policy and refuses what cannot work.
pub fn policy(policy: v1::RecognitionPolicy) -> Result<RecognitionPolicy, Problem> {
    let defaults = RecognitionPolicy::default();
    let false_alarm_rate =
        if policy.false_alarm_rate == 0.0 { defaults.false_alarm_rate } else { policy.false_alarm_rate };
    if !RecognitionPolicy::RATES.contains(&false_alarm_rate) {
        return Err(Problem::invalid("policy.false_alarm_rate", "0.000001 to 0.1; 0 for the default of 0.01"));
    }
    let calibration = policy.calibration.map(calibration).transpose()?;
    let (scope, liveness) = (scope(policy.search_scope)?, liveness(policy.liveness_check)?);
    Ok(RecognitionPolicy { false_alarm_rate, calibration, scope, liveness, version: 0 })
}

fn scope(scope: i32) -> Result<SearchScope, Problem> {
    match v1::SearchScope::try_from(scope) {
        Ok(v1::SearchScope::Unspecified | v1::SearchScope::WaitingOnly) => Ok(SearchScope::WaitingOnly),
        Ok(v1::SearchScope::AllConsenting) => Ok(SearchScope::AllConsenting),
        Err(_) => Err(Problem::invalid("policy.search_scope", "WAITING_ONLY, ALL_CONSENTING, or unset for the former")),
    }
}

fn liveness(check: i32) -> Result<Liveness, Problem> {
    match v1::LivenessCheck::try_from(check) {
        Ok(v1::LivenessCheck::Off) => Ok(Liveness::Off),
        Ok(v1::LivenessCheck::Unspecified | v1::LivenessCheck::Flag) => Ok(Liveness::Flag),
        Ok(v1::LivenessCheck::Suppress) => Ok(Liveness::Suppress),
        Err(_) => Err(Problem::invalid("policy.liveness_check", "OFF, FLAG, SUPPRESS, or unset for FLAG")),
    }
}

fn calibration(calibration: v1::Calibration) -> Result<Calibration, Problem> {
    let point = |point: v1::CalibrationPoint| CalibrationPoint {
        similarity: point.similarity,
        false_match_rate: point.false_match_rate,
    };
    let calibration = Calibration {
        model: calibration.model,
        source: calibration.source,
        comparisons: u64::try_from(calibration.comparisons)
            .map_err(|_| Problem::invalid("policy.calibration.comparisons", "0 or more"))?,
        points: calibration.points.into_iter().map(point).collect(),
    };
    calibration.check().map_err(|error| Problem::invalid("policy.calibration", error.to_string()))?;
    Ok(calibration)
}

/// As it is told.
pub fn policy_to_proto(policy: &RecognitionPolicy) -> v1::RecognitionPolicy {
    v1::RecognitionPolicy {
        false_alarm_rate: policy.false_alarm_rate,
        calibration: policy.calibration.as_ref().map(calibration_to_proto),
        search_scope: match policy.scope {
            SearchScope::WaitingOnly => v1::SearchScope::WaitingOnly.into(),
            SearchScope::AllConsenting => v1::SearchScope::AllConsenting.into(),
        },
        liveness_check: match policy.liveness {
            Liveness::Off => v1::LivenessCheck::Off.into(),
            Liveness::Flag => v1::LivenessCheck::Flag.into(),
            Liveness::Suppress => v1::LivenessCheck::Suppress.into(),
        },
    }
}

/// As it is told.
pub fn calibration_to_proto(calibration: &Calibration) -> v1::Calibration {
    let point = |point: &CalibrationPoint| v1::CalibrationPoint {
        similarity: point.similarity,
        false_match_rate: point.false_match_rate,
    };
    v1::Calibration {
        model: calibration.model.clone(),
        source: calibration.source.clone(),
        comparisons: i64::try_from(calibration.comparisons).unwrap_or(i64::MAX),
        points: calibration.points.iter().map(point).collect(),
    }
}

/// As it is told.
pub fn conflict_to_proto(conflict: &EnrolmentConflict) -> v1::EnrolmentConflict {
    let resolution = match conflict.settled {
        None => v1::ConflictResolution::Unspecified,
        Some((Resolution::DifferentPeople, _)) => v1::ConflictResolution::DifferentPeople,
        Some((Resolution::SamePerson, _)) => v1::ConflictResolution::SamePerson,
    };
    v1::EnrolmentConflict {
        resident_id: conflict.resident.to_string(),
        other_resident_id: conflict.other.to_string(),
        similarity: conflict.similarity,
        find_time: Some(instant_to_proto(conflict.found_at)),
        resolution: resolution.into(),
        settle_time: conflict.settled.map(|(_, at)| instant_to_proto(at)),
    }
}

/// What staff found, which must be told.
pub fn resolution(resolution: i32) -> Result<Resolution, Problem> {
    match v1::ConflictResolution::try_from(resolution) {
        Ok(v1::ConflictResolution::DifferentPeople) => Ok(Resolution::DifferentPeople),
        Ok(v1::ConflictResolution::SamePerson) => Ok(Resolution::SamePerson),
        Ok(v1::ConflictResolution::Unspecified) | Err(_) => {
            Err(Problem::invalid("resolution", "DIFFERENT_PEOPLE or SAME_PERSON"))
        }
    }
}

/// As it is told.
pub fn misidentification_to_proto(mistaken: &Misidentification) -> v1::Misidentification {
    let reason = match mistaken.reason {
        MisidentificationReason::NotMe => v1::MisidentificationReason::NotMe,
        MisidentificationReason::TwoGates => v1::MisidentificationReason::TwoGates,
        MisidentificationReason::NotLive => v1::MisidentificationReason::NotLive,
    };
    v1::Misidentification {
        resident_id: mistaken.resident.to_string(),
        reason: reason.into(),
        gate_id: mistaken.gate.to_string(),
        see_time: Some(instant_to_proto(mistaken.seen_at)),
        similarity: mistaken.similarity.unwrap_or(0.0),
        other_gate_id: mistaken.other.as_ref().map_or_else(String::new, |(gate, _)| gate.to_string()),
        other_see_time: mistaken.other.as_ref().map(|(_, at)| instant_to_proto(*at)),
        report_time: Some(instant_to_proto(mistaken.reported_at)),
        settle_time: mistaken.settled_at.map(instant_to_proto),
    }
}
