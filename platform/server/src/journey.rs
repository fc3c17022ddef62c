//! How a parcel moves: load it, decide (domain), save state and effects together. All branching is in the domain's
//! steps, all IO is here.

use std::sync::Arc;

use gatepost_domain::{
    Effect, Parcel, ReminderCause, Step, Timestamp,
    community::{Community, DisplayPolicy},
    consent::{Purpose, may_deposit},
    id::{BuildingId, NoticeId, ParcelId, ResidentId},
    journey::{Circumstances, remind},
    placement::{self, Candidate, Need, Occupied, Placement, Unusable},
    policy::{Origins, WaitingPolicy},
    recipient::Addressee,
    resident::Resident,
    sighting::Sighting,
    topology::Size,
    usual::PICKUPS_MAX,
};
use gatepost_process::telemetry::{self, PastWork};
use gatepost_storage::{Channel, Delivery, NoticeRecord, StoreError, Tx};
use opentelemetry::KeyValue;

use crate::{
    decision::{self, Recognition, Subject},
    notification::reach::Reach,
    platform::Platform,
    premises::Premises,
    problem::{Problem, settle},
    vision::hub::Passage,
};

/// What a step on one parcel may look at, loaded.
pub struct Setting {
    /// The parcel's community.
    pub community: Arc<Community>,
    /// In effect for the parcel.
    pub policy: Arc<WaitingPolicy>,
    /// Which layers decided it.
    pub origins: Arc<Origins>,
    /// The present.
    pub now: Timestamp,
    pickups: Vec<Timestamp>,
    building_name: String,
}

impl Setting {
    /// Of what was loaded.
    pub fn new(
        community: Arc<Community>,
        (policy, origins): (Arc<WaitingPolicy>, Arc<Origins>),
        now: Timestamp,
        parcel: &Parcel,
        pickups: Vec<Timestamp>,
    ) -> Self {
        let building_name = match parcel.addressee() {
            Addressee::Resident { building, .. } => {
                community.topology.building_name(building).unwrap_or(building.as_str()).to_owned()
            }
            Addressee::Unresolved(_) => String::new(),
        };
        Self { community, policy, origins, now, pickups, building_name }
    }

    /// As the domain takes it.
    pub fn circumstances(&self) -> Circumstances<'_> {
        Circumstances {
            now: self.now,
            policy: &self.policy,
            time_zone: &self.community.time_zone,
            pickups: &self.pickups,
            building_name: &self.building_name,
        }
    }
}

/// What a place is looked for.
pub struct Wish<'a> {
    /// Which parcel.
    pub parcel: ParcelId,
    /// What must fit.
    pub size: Size,
    /// Where its resident lives.
    pub home: &'a BuildingId,
    /// Whether the resident needs an accessible height and a way without steps.
    pub accessible: bool,
    /// What the courier found unusable.
    pub unusable: &'a [Unusable],
}

impl Platform {
    /// Loads what a step on this parcel may look at.
    pub async fn setting(&self, tx: &Tx, parcel: &Parcel, now: Timestamp) -> Result<Setting, Problem> {
        let facts = parcel.facts();
        let community = Arc::clone(&self.premises(tx, &facts.community).await?.community);
        let (policy, origins) = self.policy_with_origins(tx, &facts.community, Some(&facts.courier)).await?;
        let pickups = match parcel.addressee().resident_id() {
            Some(resident) => tx.pickups(resident, PICKUPS_MAX as u64).await?,
            None => Vec::new(),
        };
        Ok(Setting::new(community, (Arc::new(policy), Arc::new(origins)), now, parcel, pickups))
    }

    /// Saves a step: the parcel, and everything it asks of the world. Returns the parcel as saved.
    pub async fn save(&self, tx: &Tx, step: Step, setting: &Setting) -> Result<Parcel, Problem> {
        if !step.changed {
            return Ok(step.parcel);
        }
        let parcel = if step.parcel.version() == 0 {
            tx.insert_parcel(&step.parcel, setting.now).await?
        } else {
            tx.save_parcel(&step.parcel, setting.now).await?
        };
        for effect in &step.effects {
            match effect {
                Effect::Publish(event) => {
                    tx.append_event(&parcel, event).await?;
                }
                Effect::RecordPickup { resident, picked_up_at } => {
                    tx.record_pickup(*resident, *picked_up_at).await?;
                }
                Effect::Tell(notice) => {
                    self.write_notices(tx, &parcel, notice.resident, &notice.cause, setting).await?;
                }
            }
        }
        if let Some(decision) = step.decision {
            let record = decision::with_policy(decision, setting, None);
            self.keep_decision(tx, Subject::of(&parcel), &record, setting.now).await?;
        }
        self.metrics.step(&parcel);
        Ok(parcel)
    }

    /// As [`Platform::save`], for a step that chose the place itself: when somebody put a parcel there meanwhile, it is
    /// a race lost, and another place is chosen by taking the step again.
    pub async fn save_placed(&self, tx: &Tx, step: Step, setting: &Setting) -> Result<Parcel, Problem> {
        let changed = step.changed;
        let parcel = match self.save(tx, step, setting).await {
            Err(Problem::Store(StoreError::CompartmentTaken)) => return Err(StoreError::Conflict.into()),
            saved => saved?,
        };
        if changed && let Some(placement) = parcel.placement() {
            let outcome = match placement {
                Placement::Locker { .. } => "locker",
                Placement::Door(_) => "door",
                Placement::Unresolved => "unresolved",
            };
            self.metrics.placements.add(1, &[KeyValue::new("outcome", outcome)]);
        }
        Ok(parcel)
    }

    /// For who looks after the lockers: nothing is done about an unusable place by itself.
    pub fn note_unusable(&self, parcel: &Parcel, places: &[Unusable]) {
        let community = &parcel.facts().community;
        for place in places {
            let compartment = place.compartment.as_ref().map_or("all", |compartment| compartment.as_str());
            tracing::warn!(
                parcel.id = %parcel.id(), community.id = %community, locker.id = %place.locker, compartment.id = compartment,
                "a courier found a place unusable"
            );
        }
        self.metrics.unusable.add(places.len() as u64, &[KeyValue::new("community", community.to_string())]);
    }

    async fn write_notices(
        &self,
        tx: &Tx,
        parcel: &Parcel,
        resident: ResidentId,
        cause: &ReminderCause,
        setting: &Setting,
    ) -> Result<(), StoreError> {
        let reach = Reach::of_one(tx, resident).await?;
        tx.insert_notices(&self.notices(parcel, (resident, &reach), cause, setting)).await
    }

    /// One notice for each channel that can and may reach the resident.
    pub fn notices(
        &self,
        parcel: &Parcel,
        (resident, reach): (ResidentId, &Reach),
        cause: &ReminderCause,
        setting: &Setting,
    ) -> Vec<NoticeRecord> {
        use secrecy::ExposeSecret as _;
        let mut channels = Vec::new();
        let at_gate = matches!(cause, ReminderCause::SeenAtGate { .. });
        if at_gate && setting.community.display != DisplayPolicy::Silent {
            channels.push(Channel::GateDisplay);
        }
        if !self.config.webhook.url.is_empty() {
            channels.push(Channel::Webhook);
        }
        if !self.config.smtp.url.expose_secret().is_empty() {
            channels.push(Channel::Email);
        }
        channels.retain(|channel| reach.allows(*channel));
        if channels.is_empty() {
            tracing::warn!(
                parcel.id = %parcel.id(),
                "no channel reaches the resident: configure webhook or smtp, or ask which channel is agreed to"
            );
        }
        let notice = |channel| NoticeRecord {
            id: NoticeId(self.new_id()),
            parcel: parcel.id(),
            resident,
            channel,
            cause: cause.clone(),
            decided_at: setting.now,
            delivery: Delivery::Pending,
            attempts: 0,
            // A display is answered on the camera's own stream, at once or never.
            next_attempt_at: (channel != Channel::GateDisplay).then_some(setting.now),
            last_error: String::new(),
            traceparent: telemetry::traceparent().unwrap_or_default(),
        };
        channels.into_iter().map(notice).collect()
    }

    /// Ranks the community's lockers for a parcel. Lock the premises before.
    pub async fn ranking(
        &self,
        tx: &Tx,
        premises: &Premises,
        policy: &WaitingPolicy,
        wish: &Wish<'_>,
        now: Timestamp,
    ) -> Result<Vec<Candidate>, Problem> {
        let began = std::time::Instant::now();
        let community = &premises.community;
        let holds = tx.holds(&community.id, now).await?;
        // What the parcel itself has reserved counts as free for it.
        let occupied: Occupied = holds
            .into_iter()
            .filter(|hold| hold.parcel != wish.parcel)
            .map(|hold| (hold.locker, hold.compartment))
            .collect();
        // Who names an unusable place stands before it; everybody else comes while the reservation lasts.
        let until = if wish.unusable.is_empty() { now + policy.reservation } else { now };
        let need = Need {
            size: wish.size,
            accessible: wish.accessible,
            from: now,
            until,
            time_zone: &community.time_zone,
            unusable: wish.unusable,
            overflow_metres: policy.overflow_metres,
        };
        let walks = premises.walks(wish.home, wish.accessible);
        let ranking = placement::rank(&community.topology, &walks, &need, &occupied);
        self.metrics.ranking.record(began.elapsed().as_secs_f64(), &[]);
        Ok(ranking)
    }

    /// Whether this parcel may go into a locker.
    pub fn may_deposit(told_courier: gatepost_domain::consent::DepositConsent, resident: &Resident) -> bool {
        may_deposit(told_courier, resident.agrees_to(Purpose::LockerDeposit))
    }

    /// A resident was recognised at a gate. Returns the parcels they were reminded of.
    pub async fn seen(
        &self,
        sighting: &Sighting,
        passage: &Passage,
        recognition: &Recognition,
    ) -> Result<Vec<Parcel>, Problem> {
        settle(|| self.try_seen(sighting, passage, recognition)).await
    }

    async fn try_seen(
        &self,
        sighting: &Sighting,
        passage: &Passage,
        recognition: &Recognition,
    ) -> Result<Vec<Parcel>, Problem> {
        let tx = self.store.write().await?;
        let reminded = self.remind_seen(&tx, sighting, Some((passage, recognition))).await?;
        self.commit_steps(tx, &reminded).await?;
        Ok(reminded)
    }

    /// As [`Platform::seen`], within the caller's transaction. `own` is our own recognition's, and none where a smart camera
    /// said who it was. With the passage of the deciding frame, the parcel's trace tells of frame and worker too: before,
    /// nobody knew that they belonged to this parcel.
    pub async fn remind_seen(
        &self,
        tx: &Tx,
        sighting: &Sighting,
        own: Option<(&Passage, &Recognition)>,
    ) -> Result<Vec<Parcel>, Problem> {
        let now = self.now();
        let mut reminded = Vec::new();
        let waiting = tx.waiting_parcels(sighting.resident).await?;
        // Without a parcel, nobody's ways are remembered.
        let recognition = own.map(|(_, recognition)| recognition);
        if waiting.is_empty() || self.is_elsewhere(tx, sighting, recognition).await? {
            return Ok(reminded);
        }
        for parcel in waiting {
            let span = tracing::info_span!("remind", parcel.id = %parcel.id(), gate.id = %sighting.gate);
            telemetry::span_parent(&span, &parcel.facts().traceparent);
            let work = async {
                let setting = self.setting(tx, &parcel, now).await?;
                let mut step = remind::seen_at_gate(parcel, sighting, setting.circumstances());
                let changed = step.changed;
                if let Some((passage, _)) = own.filter(|_| changed) {
                    record_passage(passage);
                }
                let decision = step.decision.take();
                let parcel = self.save(tx, step, &setting).await?;
                if let Some(decision) = decision {
                    let record = decision::with_policy(decision, &setting, recognition.cloned());
                    self.keep_decision(tx, Subject::of(&parcel), &record, now).await?;
                }
                Ok::<_, Problem>((parcel, changed))
            };
            let (parcel, changed) = tracing::Instrument::instrument(work, span).await?;
            if changed {
                reminded.push(parcel);
            }
        }
        Ok(reminded)
    }
}

fn record_passage(passage: &Passage) {
    let frame = PastWork { name: "frame", began: passage.received_at, ended: passage.answered_at };
    let worker = PastWork { name: "worker", began: passage.sent_at, ended: passage.answered_at };
    telemetry::record_past(&[frame, worker], &passage.traceparent);
}
