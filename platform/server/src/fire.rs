//! Looks at parcels whose time may have come: many in one transaction, each deciding for itself.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use gatepost_domain::{
    Effect, EventKind, Parcel, Step, Timestamp,
    id::{CommunityId, CourierId, ParcelId, ResidentId},
    journey::recall,
    ports::{Move, Timer},
    usual::PICKUPS_MAX,
};
use gatepost_process::telemetry;
use gatepost_storage::Tx;
use opentelemetry::KeyValue;

use crate::{
    decision::{self, Subject},
    failpoint,
    journey::Setting,
    notification::reach::Reach,
    platform::Platform,
    problem::{Problem, settle},
    timers::Ground as _,
};

/// What became of timers that were fired.
#[derive(Debug, Default)]
pub struct Fired {
    /// Those whose parcels are due at another time, by what the rows say, or once more at the same: who fires at the
    /// very millisecond may plan the next step for it. An acknowledgement would take that away.
    pub not_due: Vec<Timer>,
    /// How many parcels changed.
    pub changed: usize,
}

/// A step of one parcel, with what it was taken in.
struct Taken {
    due: Option<Timestamp>,
    step: Step,
    setting: Setting,
    span: tracing::Span,
}

impl Platform {
    /// Looks at these parcels at this time. Harmless where nothing is due.
    pub async fn fire(&self, parcels: &[ParcelId], now: Timestamp) -> Result<Fired, Problem> {
        settle(|| self.try_fire(parcels, now)).await
    }

    async fn try_fire(&self, parcels: &[ParcelId], now: Timestamp) -> Result<Fired, Problem> {
        let tx = self.store.write().await?;
        let due = tx.lock_due(parcels, now).await?;
        let found: HashSet<ParcelId> = due.iter().map(Parcel::id).collect();
        let others: Vec<ParcelId> = parcels.iter().filter(|parcel| !found.contains(parcel)).copied().collect();
        let not_due = if others.is_empty() { Vec::new() } else { tx.deadlines_of(&others).await? };
        let mut fired = Fired { not_due, changed: 0 };
        let claimed: HashMap<ParcelId, Option<Timestamp>> =
            due.iter().map(|parcel| (parcel.id(), parcel.next_due())).collect();
        let steps = self.take_steps(&tx, due, now).await?;
        fired.changed = steps.len();
        let once_more = steps.iter().filter_map(|taken| {
            let due = taken.step.parcel.next_due().filter(|due| taken.due == Some(*due))?;
            Some(Timer { due, parcel: taken.step.parcel.id() })
        });
        fired.not_due.extend(once_more);
        self.save_taken(&tx, &steps, now).await?;
        // What fired is acknowledged, so that the index need not be told twice.
        let moves = tx.moves().into_iter().map(|step| {
            let was = step.was.filter(|was| claimed.get(&step.parcel) != Some(&Some(*was)));
            Move { was, ..step }
        });
        let moves = moves.collect();
        tx.commit().await?;
        if fired.changed > 0 {
            failpoint::die_at("timers.committed");
        }
        self.count(&steps, &fired, parcels.len());
        self.follow(moves, fired.changed > 0).await;
        Ok(fired)
    }

    /// Lets each parcel decide; those that have nothing to do are left out.
    async fn take_steps(&self, tx: &Tx, due: Vec<Parcel>, now: Timestamp) -> Result<Vec<Taken>, Problem> {
        let residents: Vec<ResidentId> = due.iter().filter_map(|parcel| parcel.addressee().resident_id()).collect();
        let pickups = tx.pickups_of(&residents, PICKUPS_MAX as u64).await?;
        let mut communities: HashMap<CommunityId, Arc<_>> = HashMap::new();
        let mut policies: HashMap<(CommunityId, CourierId), (Arc<_>, Arc<_>)> = HashMap::new();
        let mut taken = Vec::with_capacity(due.len());
        for parcel in due {
            let facts = parcel.facts();
            let community = match communities.get(&facts.community) {
                Some(known) => Arc::clone(known),
                None => {
                    let found = Arc::clone(&self.premises(tx, &facts.community).await?.community);
                    Arc::clone(communities.entry(facts.community.clone()).or_insert(found))
                }
            };
            let key = (facts.community.clone(), facts.courier.clone());
            let policy = match policies.get(&key) {
                Some(known) => known.clone(),
                None => {
                    let (policy, origins) = self.policy_with_origins(tx, &key.0, Some(&key.1)).await?;
                    policies.entry(key).or_insert((Arc::new(policy), Arc::new(origins))).clone()
                }
            };
            let its = parcel.addressee().resident_id().and_then(|resident| pickups.get(&resident));
            let setting = Setting::new(community, policy, now, &parcel, its.cloned().unwrap_or_default());
            let span = tracing::info_span!("timer", parcel.id = %parcel.id());
            telemetry::span_parent(&span, &facts.traceparent);
            let due = parcel.next_due();
            let step = span.in_scope(|| recall::when_due(parcel, setting.circumstances()));
            if step.changed {
                taken.push(Taken { due, step, setting, span });
            }
        }
        // What came due first is told first.
        taken.sort_by_key(|taken| taken.due);
        Ok(taken)
    }

    async fn save_taken(&self, tx: &Tx, taken: &[Taken], now: Timestamp) -> Result<(), Problem> {
        let parcels: Vec<&Parcel> = taken.iter().map(|taken| &taken.step.parcel).collect();
        tx.save_locked(&parcels, now).await?;
        let told: Vec<ResidentId> = effects(taken)
            .filter_map(|(_, effect)| match effect {
                Effect::Tell(notice) => Some(notice.resident),
                Effect::Publish(_) | Effect::RecordPickup { .. } => None,
            })
            .collect();
        let reach = Reach::of(tx, &told).await?;
        let (mut notices, mut events) = (Vec::new(), Vec::new());
        for (taken, effect) in effects(taken) {
            let parcel = &taken.step.parcel;
            match effect {
                Effect::Publish(event) => events.push((parcel, event)),
                Effect::RecordPickup { resident, picked_up_at } => {
                    tx.record_pickup(*resident, *picked_up_at).await?;
                }
                Effect::Tell(notice) => {
                    let to = reach.get(&notice.resident).cloned().unwrap_or_default();
                    let make = || self.notices(parcel, (notice.resident, &to), &notice.cause, &taken.setting);
                    notices.extend(taken.span.in_scope(make));
                }
            }
        }
        tx.insert_notices(&notices).await?;
        self.keep_reasons(tx, taken, now).await?;
        // Last: whoever else writes to these couriers' logs waits until this transaction ends.
        Ok(tx.append_events(&events).await?)
    }

    /// Why these steps were taken.
    async fn keep_reasons(&self, tx: &Tx, taken: &[Taken], now: Timestamp) -> Result<(), Problem> {
        let mut kept = Vec::new();
        for Taken { step, setting, .. } in taken {
            let Some(decision) = step.decision.clone() else { continue };
            let (about, record) = (Subject::of(&step.parcel), decision::with_policy(decision, setting, None));
            if step.effects.is_empty() {
                self.keep_decision(tx, about, &record, now).await?;
            } else {
                kept.push(self.decision_row(about, &record, now)?);
            }
        }
        tx.insert_decisions(&kept).await?;
        Ok(())
    }

    fn count(&self, taken: &[Taken], fired: &Fired, asked: usize) {
        let now = self.shared_now();
        for taken in taken {
            self.metrics.step(&taken.step.parcel);
            if let Some(due) = taken.due {
                let late = now.duration_since(due).as_secs_f64().max(0.0);
                self.metrics.timer_lateness.record(late, &[KeyValue::new("effect", effect_name(&taken.step.effects))]);
            }
        }
        let nothing = asked.saturating_sub(fired.changed + fired.not_due.len());
        for (outcome, count) in [("effect", fired.changed), ("not_due", fired.not_due.len()), ("nothing", nothing)] {
            self.metrics.timers_fired.add(count as u64, &[KeyValue::new("outcome", outcome)]);
        }
    }
}

/// What a deadline led to, as the metric has it.
fn effect_name(effects: &[Effect]) -> &'static str {
    let published = effects.iter().find_map(|effect| match effect {
        Effect::Publish(event) => Some(&event.kind),
        Effect::Tell(_) | Effect::RecordPickup { .. } => None,
    });
    match published {
        Some(EventKind::ReminderSent { .. }) => "reminder",
        Some(EventKind::RecallRequested { .. }) => "recall",
        _ => "plan",
    }
}

fn effects(taken: &[Taken]) -> impl Iterator<Item = (&Taken, &Effect)> {
    taken.iter().flat_map(|taken| taken.step.effects.iter().map(move |effect| (taken, effect)))
}
