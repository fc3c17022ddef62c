//! `gatepost admin policy`: the layers of the waiting policy as `key=value`.

use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use gatepost_proto::v1::policy_layer::{Layer, Tenant};
use gatepost_proto::v1::{
    GetWaitingPolicyRequest, GetWaitingPolicyResponse, PolicyLayer, SetWaitingPolicyRequest, WaitingPolicy,
};
use serde_json::json;

use super::connection::Client;
use super::failure::answer;
use super::listing::Listing;
use super::request_id;

const KEYS: &str = "remind_after, recall_after, recall_again_after, reminder_cooldown, reminders_max, quiet_from, \
                    quiet_to, usual_time, extension, hold_max, reservation, overflow_metres";

/// What can be done with policies.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Set one layer. It is replaced as a whole: keys left out inherit again.
    ///
    /// Keys: remind_after (T1), recall_after (T2), recall_again_after, reminder_cooldown, extension, hold_max and
    /// reservation are durations such as 36h or 3d; reminders_max and overflow_metres are numbers; quiet_from, quiet_to and usual_time
    /// are times of day such as 22:00.
    Set {
        #[command(flatten)]
        layer: LayerArgs,
        /// For example remind_after=24h recall_after=72h
        #[arg(value_name = "KEY=VALUE", required_unless_present = "clear")]
        assignments: Vec<String>,
        /// Empty the layer, so that everything inherits.
        #[arg(long, conflicts_with = "assignments")]
        clear: bool,
    },
    /// Show the policy in effect, and the layer that decided each key.
    Show {
        /// The community.
        #[arg(long)]
        community: String,
        /// For parcels of this courier; without, for couriers that have no policy of their own.
        #[arg(long)]
        courier: Option<String>,
    },
}

/// Which layer is meant.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct LayerArgs {
    /// The whole installation.
    #[arg(long)]
    tenant: bool,
    /// One community.
    #[arg(long, value_name = "ID")]
    community: Option<String>,
    /// One courier.
    #[arg(long, value_name = "ID")]
    courier: Option<String>,
}

impl LayerArgs {
    fn to_wire(&self) -> PolicyLayer {
        let layer = match (&self.community, &self.courier) {
            (Some(community), _) => Layer::CommunityId(community.clone()),
            (None, Some(courier)) => Layer::CourierId(courier.clone()),
            (None, None) => Layer::Tenant(Tenant {}),
        };
        PolicyLayer { layer: Some(layer) }
    }
}

/// Runs one command.
pub(super) async fn run(client: &Client, command: Command, json: bool) -> anyhow::Result<()> {
    match command {
        Command::Set { layer, assignments, clear: _ } => {
            let policy = parse(&assignments)?;
            set(client, layer.to_wire(), policy).await?;
            println!("policy set");
        }
        Command::Show { community, courier } => {
            let request = GetWaitingPolicyRequest { community_id: community, courier_id: courier.unwrap_or_default() };
            let response = answer(client.communities().get_waiting_policy(request).await)?;
            listing(&response).print(json)?;
        }
    }
    Ok(())
}

/// Replaces one layer.
pub(super) async fn set(client: &Client, layer: PolicyLayer, policy: WaitingPolicy) -> anyhow::Result<()> {
    let request = SetWaitingPolicyRequest { request_id: request_id::fresh(), layer: Some(layer), policy: Some(policy) };
    answer(client.communities().set_waiting_policy(request).await)?;
    Ok(())
}

/// Reads `key=value` texts; every one that is wrong is told at once.
pub(super) fn parse(assignments: &[String]) -> anyhow::Result<WaitingPolicy> {
    let mut policy = WaitingPolicy::default();
    let mut seen = Vec::new();
    let mut problems = Vec::new();
    for assignment in assignments {
        let outcome = match assignment.split_once('=') {
            None => Err(format!("{assignment}: write KEY=VALUE")),
            Some((key, _)) if seen.contains(&key) => Err(format!("{key}: is given twice")),
            Some((key, value)) => {
                seen.push(key);
                assign(&mut policy, key, value).map_err(|problem| format!("{key}: {problem}"))
            }
        };
        problems.extend(outcome.err());
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(policy)
}

fn assign(policy: &mut WaitingPolicy, key: &str, value: &str) -> Result<(), String> {
    match key {
        "remind_after" => policy.remind_after = Some(duration(value)?),
        "recall_after" => policy.recall_after = Some(duration(value)?),
        "recall_again_after" => policy.recall_again_after = Some(duration(value)?),
        "reminder_cooldown" => policy.reminder_cooldown = Some(duration(value)?),
        "extension" => policy.extension = Some(duration(value)?),
        "hold_max" => policy.hold_max = Some(duration(value)?),
        "reservation" => policy.reservation = Some(duration(value)?),
        "reminders_max" => policy.reminders_max = Some(number(value)?),
        "overflow_metres" => policy.overflow_metres = Some(number(value)?),
        "quiet_from" => policy.quiet_from_minute = Some(minute(value)?),
        "quiet_to" => policy.quiet_to_minute = Some(minute(value)?),
        "usual_time" => policy.usual_minute = Some(minute(value)?),
        _ => return Err(format!("is no key of the policy; there are {KEYS}")),
    }
    Ok(())
}

fn duration(text: &str) -> Result<prost_types::Duration, String> {
    let wrong = || "is not a duration; write for example 90m, 36h or 3d".to_owned();
    let duration: Duration = humantime::parse_duration(text).map_err(|_| wrong())?;
    prost_types::Duration::try_from(duration).map_err(|_| wrong())
}

fn number(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| "is not a whole number, for example 5".to_owned())
}

/// A time of day as minutes after midnight.
pub(super) fn minute(text: &str) -> Result<i32, String> {
    let wrong = || "is not a time of day from 00:00 to 23:59, for example 18:30".to_owned();
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let part = |text: &str, below: i32| -> Option<i32> {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| digits && *number < below)
    };
    match (part(hours, 24), part(minutes, 60)) {
        (Some(hours), Some(minutes)) => Ok(hours * 60 + minutes),
        _ => Err(wrong()),
    }
}

fn listing(response: &GetWaitingPolicyResponse) -> Listing {
    let policy = response.policy.unwrap_or_default();
    let duration = |value: Option<prost_types::Duration>| {
        let value = value.and_then(|value| Duration::try_from(value).ok());
        value.map(|value| humantime::format_duration(value).to_string())
    };
    let time = |minute: Option<i32>| minute.map(|minute| format!("{:02}:{:02}", minute / 60, minute % 60));
    let keys = [
        ("remind_after", "remind_after", duration(policy.remind_after)),
        ("recall_after", "recall_after", duration(policy.recall_after)),
        ("recall_again_after", "recall_again_after", duration(policy.recall_again_after)),
        ("reminder_cooldown", "reminder_cooldown", duration(policy.reminder_cooldown)),
        ("reminders_max", "reminders_max", policy.reminders_max.map(|number| number.to_string())),
        ("quiet_from", "quiet_from_minute", time(policy.quiet_from_minute)),
        ("quiet_to", "quiet_to_minute", time(policy.quiet_to_minute)),
        ("usual_time", "usual_minute", time(policy.usual_minute)),
        ("extension", "extension", duration(policy.extension)),
        ("hold_max", "hold_max", duration(policy.hold_max)),
        ("reservation", "reservation", duration(policy.reservation)),
        ("overflow_metres", "overflow_metres", policy.overflow_metres.map(|number| number.to_string())),
    ];
    let mut list = Listing::new(&["key", "value", "decided_by"]);
    for (key, field, value) in keys {
        list.push([json!(key), json!(value), json!(response.decided_by.get(field))]);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn keys_become_fields() {
        let policy = parse(&texts(&["remind_after=1d", "reminders_max=3", "quiet_from=22:00", "usual_time=7:05"]));
        let policy = policy.unwrap();
        assert_eq!(policy.remind_after.unwrap().seconds, 86_400);
        assert_eq!(policy.reminders_max, Some(3));
        assert_eq!(policy.quiet_from_minute, Some(1320));
        assert_eq!(policy.usual_minute, Some(425));
        assert_eq!(policy.recall_after, None);
        assert_eq!(parse(&[]).unwrap(), WaitingPolicy::default());
    }

    #[test]
    fn every_mistake_is_told() {
        let wrong = ["remind=1h", "recall_after=soon", "quiet_to=24:00", "usual_time=+1:30", "reminders_max", "x=1"];
        let error = parse(&texts(&wrong)).unwrap_err().to_string();
        assert_eq!(error.lines().count(), wrong.len(), "{error}");
        for key in ["remind: is no key", "recall_after: is not a duration", "quiet_to: is not a time of day"] {
            assert!(error.contains(key), "{key} in {error}");
        }
        assert!(parse(&texts(&["reservation=1h", "reservation=2h"])).unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn what_is_shown_can_be_set() {
        let policy = parse(&texts(&["remind_after=36h", "quiet_from=22:30", "reminders_max=5"])).unwrap();
        let shown = listing(&GetWaitingPolicyResponse { policy: Some(policy), decided_by: [].into() });
        let text = shown.to_table();
        assert!(text.contains("1day 12h") && text.contains("22:30"), "{text}");
        assert_eq!(parse(&texts(&["remind_after=1day 12h", "quiet_from=22:30", "reminders_max=5"])).unwrap(), policy);
    }
}
