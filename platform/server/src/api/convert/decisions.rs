//! Recorded decisions on the wire.

use gatepost_domain::{
    decision::{Answer, Decision, Inputs, Occasion, RecallInputs, ReminderInputs, Withheld},
    parcel::RecallBasis,
    policy::Origins,
};
use gatepost_matching::{Evidence, Finding};
use gatepost_proto::v1;
use gatepost_storage::DecisionRecord;

use super::{duration_to_proto, instant_to_proto, recognition::calibration_to_proto};
use crate::decision::{Recognition, Record};

/// As staff are told.
pub fn decision_to_proto(row: &DecisionRecord, record: &Record) -> v1::Decision {
    let mut told = v1::Decision {
        id: row.id.to_string(),
        rule: v1::DecisionRule::AmbiguousFace.into(),
        answer: v1::DecisionAnswer::NobodyNamed.into(),
        replays: record.replays(),
        resident_id: row.resident.map_or_else(String::new, |resident| resident.to_string()),
        parcel_id: row.parcel.map_or_else(String::new, |parcel| parcel.to_string()),
        decide_time: Some(instant_to_proto(row.decided_at)),
        policy: origins_to_proto(&record.policy),
        ..Default::default()
    };
    if let Some(recognition) = &record.recognition {
        told.gate_id = recognition.gate.to_string();
        told.see_time = Some(instant_to_proto(recognition.seen_at));
        told.recognition = Some(evidence_to_proto(recognition));
        if let Some(picture) = &recognition.picture {
            told.rule = v1::DecisionRule::NotLive.into();
            let answer = if picture.named { v1::DecisionAnswer::Flagged } else { v1::DecisionAnswer::Suppressed };
            told.answer = answer.into();
        }
    }
    if let Some(decision) = &record.decision {
        told.answer = answer_to_proto(decision.answer).into();
        inputs_to_proto(&mut told, &decision.inputs);
    }
    told
}

/// As the courier is told of a recall; none of any other decision.
pub fn recall_to_proto(row: &DecisionRecord, record: &Record) -> Option<v1::GetRecallExplanationResponse> {
    let Some(Decision { inputs: Inputs::Recall(inputs), answer: Answer::Recall(recall) }) = &record.decision else {
        return None;
    };
    Some(v1::GetRecallExplanationResponse {
        recall_number: *recall as i32,
        decide_time: Some(instant_to_proto(row.decided_at)),
        deposit_time: Some(instant_to_proto(inputs.deposited_at)),
        recall_at: Some(instant_to_proto(inputs.recall_at)),
        basis: basis_to_proto(inputs.basis).into(),
        held_until: inputs.held_until.map(instant_to_proto),
        policy: origins_to_proto(&record.policy),
        replays: record.replays(),
    })
}

fn origins_to_proto(origins: &Origins) -> Vec<v1::PolicyOrigin> {
    let origin = |(field, origin): (&String, &gatepost_domain::policy::Origin)| v1::PolicyOrigin {
        field: field.clone(),
        layer: origin.layer.name().to_owned(),
        version: origin.version,
    };
    origins.iter().map(origin).collect()
}

fn answer_to_proto(answer: Answer) -> v1::DecisionAnswer {
    match answer {
        Answer::Remind => v1::DecisionAnswer::Reminded,
        Answer::Withhold(Withheld::TooEarly) | Answer::Wait => v1::DecisionAnswer::TooEarly,
        Answer::Withhold(Withheld::Overdue) => v1::DecisionAnswer::PastRecall,
        Answer::Withhold(Withheld::Held) => v1::DecisionAnswer::Held,
        Answer::Withhold(Withheld::ToldBefore) => v1::DecisionAnswer::ToldBefore,
        Answer::Withhold(Withheld::Cooldown) => v1::DecisionAnswer::Cooldown,
        Answer::Withhold(Withheld::RemindersMax) => v1::DecisionAnswer::RemindersMax,
        Answer::Withhold(Withheld::QuietHours) => v1::DecisionAnswer::QuietHours,
        Answer::Recall(_) => v1::DecisionAnswer::RecallRequested,
        Answer::Suppress => v1::DecisionAnswer::Suppressed,
        Answer::TakeBack => v1::DecisionAnswer::TakenBack,
        // Of these nothing is kept.
        Answer::Accept | Answer::Keep => v1::DecisionAnswer::Unspecified,
    }
}

fn basis_to_proto(basis: RecallBasis) -> v1::RecallBasis {
    match basis {
        RecallBasis::Deposit => v1::RecallBasis::Deposit,
        RecallBasis::Refusal => v1::RecallBasis::Refusal,
        RecallBasis::Extension => v1::RecallBasis::Extension,
    }
}

fn inputs_to_proto(told: &mut v1::Decision, inputs: &Inputs) {
    match inputs {
        Inputs::Reminder(inputs) => reminder_to_proto(told, inputs),
        Inputs::Recall(inputs) => {
            let RecallInputs { deposited_at, recall_at, basis, held_until, recalls, .. } = inputs;
            told.rule = v1::DecisionRule::Overdue.into();
            told.deposit_time = Some(instant_to_proto(*deposited_at));
            told.recall_at = Some(instant_to_proto(*recall_at));
            told.recall_basis = basis_to_proto(*basis).into();
            told.held_until = held_until.map(instant_to_proto);
            told.recall_number = (*recalls + 1) as i32;
        }
        Inputs::TwoGates(inputs) => {
            told.rule = v1::DecisionRule::TwoGates.into();
            told.gate_id = inputs.gate.to_string();
            told.see_time = Some(instant_to_proto(inputs.seen_at));
            told.other_gate_id = inputs.other_gate.to_string();
            told.other_see_time = Some(instant_to_proto(inputs.other_seen_at));
            told.metres = inputs.metres;
        }
        Inputs::NotMe(inputs) => {
            told.rule = v1::DecisionRule::NotMe.into();
            told.reminder_time = Some(instant_to_proto(inputs.reminded_at));
            told.last_reminded_at = inputs.last_reminded_at.map(instant_to_proto);
        }
    }
}

fn reminder_to_proto(told: &mut v1::Decision, inputs: &ReminderInputs) {
    match &inputs.occasion {
        Occasion::SeenAtGate { gate, seen_at } => {
            told.rule = v1::DecisionRule::SeenAtGate.into();
            told.gate_id = gate.to_string();
            told.see_time = Some(instant_to_proto(*seen_at));
        }
        Occasion::PlannedHour { planned_at } => {
            told.rule = v1::DecisionRule::PlannedHour.into();
            told.planned_time = Some(instant_to_proto(*planned_at));
        }
    }
    told.time_zone.clone_from(&inputs.time_zone);
    told.local_minute = inputs.minute.into();
    told.deposit_time = Some(instant_to_proto(inputs.deposited_at));
    told.remind_from = Some(instant_to_proto(inputs.remind_from));
    told.recall_at = Some(instant_to_proto(inputs.recall_at));
    told.held_until = inputs.held_until.map(instant_to_proto);
    told.reminders_sent = inputs.reminders_sent as i32;
    told.last_reminded_at = inputs.last_reminded_at.map(instant_to_proto);
    told.reminder_cooldown = Some(duration_to_proto(inputs.reminder_cooldown));
    told.reminders_max = inputs.reminders_max as i32;
    told.quiet_from_minute = inputs.quiet_from_minute.into();
    told.quiet_to_minute = inputs.quiet_to_minute.into();
}

fn evidence_to_proto(recognition: &Recognition) -> v1::RecognitionEvidence {
    let (best, second, mistaken, frames) = match recognition.evidence {
        Evidence::Passing(passing) => (passing.best, passing.second, passing.mistaken_at, passing.frames),
        Evidence::Ended(ended) => (ended.best, ended.second, None, ended.like_somebody),
    };
    let margin = match recognition.finding {
        Finding::Known { margin, .. } => margin,
        Finding::Ambiguous | Finding::Unknown | Finding::LowQuality | Finding::Undecided => 0.0,
    };
    v1::RecognitionEvidence {
        model_id: recognition.model.clone(),
        similarity: best.unwrap_or(0.0),
        second_similarity: second.unwrap_or(0.0),
        margin,
        frames: frames as i32,
        threshold: recognition.figures.threshold,
        margin_min: recognition.figures.margin,
        frames_min: recognition.figures.frames_agreeing as i32,
        mistaken_similarity: mistaken.unwrap_or(0.0),
        templates: recognition.gallery as i64,
        false_alarm_rate: recognition.chosen.false_alarm_rate,
        calibration: Some(calibration_to_proto(&recognition.chosen.calibration)),
        extrapolated: recognition.chosen.measured().extrapolated,
        threshold_least: recognition.chosen.least.unwrap_or(0.0),
        policy_version: recognition.policy_version,
        is_second: !recognition.nearest,
        liveness: recognition.picture.map_or(0.0, |picture| picture.liveness),
        liveness_min: recognition.picture.map_or(0.0, |picture| picture.liveness_min),
    }
}
