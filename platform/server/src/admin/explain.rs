//! `gatepost admin explain`: why somebody was reminded or not, and why a recall was requested.

use anyhow::bail;
use gatepost_proto::v1::{
    Decision, DecisionAnswer, DecisionRule, ListDecisionsRequest, RecognitionEvidence, list_decisions_request::About,
};
use serde_json::{Value, json};

use super::connection::Client;
use super::failure::answer;
use super::listing::plain;
use super::timestamp;

/// Explains one decision, or all that is kept about a parcel or a resident.
pub(super) async fn run(client: &Client, id: String, replay: bool, json: bool) -> anyhow::Result<()> {
    let about = match id.split_once('_').map(|(kind, _)| kind) {
        Some("dec") => About::DecisionId(id),
        Some("pcl") => About::ParcelId(id),
        Some("res") => About::ResidentId(id),
        _ => bail!("the id of a decision (dec_..), a parcel (pcl_..) or a resident (res_..) is needed"),
    };
    let request = ListDecisionsRequest { about: Some(about) };
    let decisions = answer(client.residents().list_decisions(request).await)?.decisions;
    let told: Vec<Vec<(&str, Value)>> = decisions.iter().map(told).collect();
    if json {
        let objects = told
            .into_iter()
            .map(|pairs| Value::Object(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()));
        println!("{}", serde_json::to_string_pretty(&objects.collect::<Vec<_>>())?);
    } else if told.is_empty() {
        println!("(none)");
    } else {
        let texts: Vec<String> = told.iter().map(|pairs| text(pairs)).collect();
        println!("{}", texts.join("\n"));
    }
    let differing = decisions.iter().filter(|decision| !decision.replays).count();
    if replay && differing > 0 {
        bail!("{differing} of {} decisions are not made again from what is recorded", decisions.len());
    }
    Ok(())
}

/// A decision as names and values; what is unset is left out.
fn told(decision: &Decision) -> Vec<(&'static str, Value)> {
    let time = |time| timestamp(time).map_or(Value::Null, |time| json!(time.to_string()));
    let minute = |minute: i32| json!(format!("{:02}:{:02}", minute / 60, minute % 60));
    let policy = decision.policy.iter().map(|one| format!("{}: {} version {}", one.field, one.layer, one.version));
    let mut pairs = vec![
        ("id", json!(decision.id)),
        ("decided", time(decision.decide_time)),
        ("rule", json!(rule(decision.rule()))),
        ("answer", json!(said(decision.answer()))),
        ("replays", json!(decision.replays)),
        ("resident", json!(decision.resident_id)),
        ("parcel", json!(decision.parcel_id)),
        ("gate", json!(decision.gate_id)),
        ("seen", time(decision.see_time)),
        ("gate_before", json!(decision.other_gate_id)),
        ("seen_before", time(decision.other_see_time)),
        ("metres", if decision.other_gate_id.is_empty() { Value::Null } else { json!(decision.metres) }),
        ("planned", time(decision.planned_time)),
        ("reminder", time(decision.reminder_time)),
        ("deposited", time(decision.deposit_time)),
        ("remind_from", time(decision.remind_from)),
        ("recall_at", time(decision.recall_at)),
        ("held_until", time(decision.held_until)),
        ("last_reminded", time(decision.last_reminded_at)),
    ];
    if !decision.time_zone.is_empty() {
        pairs.extend([
            ("local_time", minute(decision.local_minute)),
            ("time_zone", json!(decision.time_zone)),
            ("quiet_from", minute(decision.quiet_from_minute)),
            ("quiet_to", minute(decision.quiet_to_minute)),
            ("reminders_sent", json!(decision.reminders_sent)),
            ("reminders_max", json!(decision.reminders_max)),
            ("reminder_cooldown_s", json!(decision.reminder_cooldown.map_or(0, |span| span.seconds))),
        ]);
    }
    if decision.recall_number > 0 {
        let basis = decision.recall_basis().as_str_name().trim_start_matches("RECALL_BASIS_").to_lowercase();
        pairs.extend([("recall", json!(decision.recall_number)), ("counted_from", json!(basis))]);
    }
    pairs.push(("policy", json!(policy.collect::<Vec<_>>())));
    if let Some(evidence) = &decision.recognition {
        pairs.extend(recognised(evidence));
    }
    let is_set = |value: &Value| !(value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty));
    pairs.retain(|(_, value)| is_set(value));
    pairs
}

fn recognised(evidence: &RecognitionEvidence) -> Vec<(&'static str, Value)> {
    let calibration = evidence.calibration.clone().unwrap_or_default();
    let points = calibration
        .points
        .iter()
        .map(|point| format!("{} of different people reach {}", point.false_match_rate, point.similarity));
    let some = |score: f32| if score == 0.0 { Value::Null } else { json!(score) };
    vec![
        ("similarity", json!(evidence.similarity)),
        ("second_similarity", some(evidence.second_similarity)),
        ("this_is_the_second", if evidence.is_second { json!(true) } else { Value::Null }),
        ("margin", some(evidence.margin)),
        ("frames", json!(evidence.frames)),
        ("threshold", json!(evidence.threshold)),
        ("margin_min", json!(evidence.margin_min)),
        ("frames_min", json!(evidence.frames_min)),
        ("mistaken_similarity", some(evidence.mistaken_similarity)),
        ("liveness", if evidence.liveness_min == 0.0 { Value::Null } else { json!(evidence.liveness) }),
        ("liveness_min", some(evidence.liveness_min)),
        ("templates_searched", json!(evidence.templates)),
        ("false_alarm_rate", json!(evidence.false_alarm_rate)),
        ("measured_on", json!(calibration.source)),
        ("measured", json!(points.collect::<Vec<_>>())),
        ("comparisons", json!(calibration.comparisons)),
        ("extrapolated", json!(evidence.extrapolated)),
        ("threshold_least", some(evidence.threshold_least)),
        ("recognition_policy_version", json!(evidence.policy_version)),
        ("model", json!(evidence.model_id)),
    ]
}

fn rule(rule: DecisionRule) -> &'static str {
    match rule {
        DecisionRule::SeenAtGate => "seen at a gate while a parcel was due",
        DecisionRule::PlannedHour => "the planned hour had come",
        DecisionRule::Overdue => "T2 had passed",
        DecisionRule::TwoGates => "nobody walks so fast from one gate to the other",
        DecisionRule::NotMe => "the reminder was said to be for somebody else",
        DecisionRule::AmbiguousFace => "a face was like the resident, and not clearly enough",
        DecisionRule::NotLive => "more like a picture of the resident than like a living face",
        DecisionRule::Unspecified => "unknown to this program",
    }
}

fn said(answer: DecisionAnswer) -> &'static str {
    match answer {
        DecisionAnswer::Reminded => "reminded",
        DecisionAnswer::TooEarly => "not reminded: T1 had not passed",
        DecisionAnswer::PastRecall => "not reminded: T2 had passed",
        DecisionAnswer::Held => "not reminded: the stay was held",
        DecisionAnswer::ToldBefore => "not reminded: the same passage was told before",
        DecisionAnswer::Cooldown => "not reminded: reminded not long before",
        DecisionAnswer::RemindersMax => "not reminded: as often as the policy allows before",
        DecisionAnswer::QuietHours => "not reminded: quiet hours",
        DecisionAnswer::RecallRequested => "recall requested",
        DecisionAnswer::Suppressed => "not reminded, and told to staff as mistaken",
        DecisionAnswer::TakenBack => "the reminder counts for nothing",
        DecisionAnswer::NobodyNamed => "nobody was named",
        DecisionAnswer::Flagged => "named all the same, and told to staff as mistaken",
        DecisionAnswer::Unspecified => "unknown to this program",
    }
}

/// A line a value, the names in one column.
fn text(pairs: &[(&str, Value)]) -> String {
    let mut lines = Vec::new();
    for (name, value) in pairs {
        let values = value.as_array().map_or_else(|| vec![value], |all| all.iter().collect());
        let names = std::iter::once(*name).chain(std::iter::repeat(""));
        lines.extend(names.zip(values).map(|(name, value)| format!("{name:<27} {}\n", plain(value))));
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use gatepost_proto::v1::{PolicyOrigin, RecallBasis};

    use super::*;

    #[test]
    fn a_recall_is_told_line_by_line() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let decision = Decision {
            id: "dec_00000000000000000000000000000007".to_owned(),
            rule: DecisionRule::Overdue.into(),
            answer: DecisionAnswer::RecallRequested.into(),
            replays: true,
            decide_time: at(1_780_560_000),
            recall_at: at(1_780_560_000),
            recall_basis: RecallBasis::Deposit.into(),
            recall_number: 1,
            policy: vec![PolicyOrigin { field: "recall_after".into(), layer: "community".into(), version: 3 }],
            ..Default::default()
        };
        insta::assert_snapshot!(text(&told(&decision)), @r"
        id                          dec_00000000000000000000000000000007
        decided                     2026-06-04T08:00:00Z
        rule                        T2 had passed
        answer                      recall requested
        replays                     true
        recall_at                   2026-06-04T08:00:00Z
        recall                      1
        counted_from                deposit
        policy                      recall_after: community version 3
        ");
    }
}
