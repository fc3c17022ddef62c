//! Sets the stage as a property's administrator would, over the admin services: community, policy, residents with
//! their consents and faces, a courier, and the keys of the courier and the cameras.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use gatepost_process::clock::SharedClock;
use gatepost_proto::v1::principal::{GateCamera, Principal as Who};
use gatepost_proto::v1::{
    ConsentPurpose, Courier, CreateCommunityRequest, CreateCourierRequest, CreateKeyRequest, CreateResidentRequest,
    EnrolFaceRequest, EnrolFaceResponse, GetUsualPickupRequest, GetWaitingPolicyRequest, GrantConsentRequest,
    ImportPickupsRequest, ListRemindersRequest, PolicyLayer, Principal, ReminderRecord, Resident,
    SetWaitingPolicyRequest, policy_layer,
};
use jiff::{SignedDuration, Timestamp};
use tonic::Code;

use crate::client::{Key, Platform, from_wire, reason, request_id, to_wire};

pub mod people;
pub mod place;

use people::{Album, Person, RESIDENTS};

/// How long a vision worker may take to connect.
const WORKER_BOUND: SignedDuration = SignedDuration::from_secs(60);
const BETWEEN_LOOKS: SignedDuration = SignedDuration::from_millis(200);
/// How many past pickups make a habit, one a day.
const HABIT_DAYS: i64 = 14;

/// The administrator's side of the platform; clones share the connection.
#[derive(Clone)]
pub struct Office {
    /// Where to.
    pub platform: Platform,
    /// The administrator's key.
    pub key: Key,
    /// Which community the story plays in.
    pub community_id: String,
    /// The time.
    pub clock: SharedClock,
}

/// What a key opens.
pub enum Door<'a> {
    /// The courier's backend.
    Courier(&'a str),
    /// A camera at a gate.
    Camera(&'a str),
}

impl Office {
    /// Creates the community.
    pub async fn found_community(&self) -> anyhow::Result<()> {
        let community = Some(place::community(&self.community_id));
        let request = CreateCommunityRequest { request_id: request_id(), community };
        match self.platform.communities(&self.key).create_community(request).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::AlreadyExists => bail!(
                "the community {} exists already: start the platform with an empty data folder, or give --community",
                self.community_id
            ),
            Err(status) => Err(status).context("cannot create the community"),
        }
    }

    /// Sets the community's waiting policy and answers which layer decides T1, as the platform says.
    pub async fn set_policy(&self, t1: SignedDuration, t2: SignedDuration) -> anyhow::Result<String> {
        let mut communities = self.platform.communities(&self.key);
        let layer = policy_layer::Layer::CommunityId(self.community_id.clone());
        let request = SetWaitingPolicyRequest {
            request_id: request_id(),
            layer: Some(PolicyLayer { layer: Some(layer) }),
            policy: Some(place::policy(t1, t2, self.clock.now())),
        };
        communities.set_waiting_policy(request).await.context("cannot set the waiting policy")?;
        let request = GetWaitingPolicyRequest { community_id: self.community_id.clone(), courier_id: String::new() };
        let answer = communities.get_waiting_policy(request).await.context("cannot look the policy up")?.into_inner();
        Ok(answer.decided_by.get("remind_after").cloned().unwrap_or_default())
    }

    /// Registers a courier company.
    pub async fn register_courier(&self, courier_id: &str) -> anyhow::Result<()> {
        let courier = Courier { id: courier_id.to_owned(), display_name: "云途快递".to_owned() };
        let request = CreateCourierRequest { request_id: request_id(), courier: Some(courier) };
        self.platform.couriers(&self.key).create_courier(request).await.context("cannot register the courier")?;
        Ok(())
    }

    /// Issues a key.
    pub async fn issue_key(&self, door: Door<'_>) -> anyhow::Result<Key> {
        let who = match door {
            Door::Courier(courier_id) => Who::CourierId(courier_id.to_owned()),
            Door::Camera(gate_id) => {
                Who::Camera(GateCamera { community_id: self.community_id.clone(), gate_id: gate_id.to_owned() })
            }
        };
        let principal = Some(Principal { principal: Some(who) });
        let request = CreateKeyRequest { request_id: request_id(), principal, ..Default::default() };
        let answer = self.platform.couriers(&self.key).create_key(request).await.context("cannot issue a key")?;
        Key::new(&answer.into_inner().secret)
    }

    /// Adds everybody to the roster with their consents; answers their ids by name.
    pub async fn move_in(&self) -> anyhow::Result<BTreeMap<&'static str, String>> {
        let mut ids = BTreeMap::new();
        for person in RESIDENTS {
            let id = self.add_resident(&person).await?;
            self.consent(&id, ConsentPurpose::LockerDeposit).await?;
            if person.enrolled_from.is_some() {
                self.consent(&id, ConsentPurpose::GateRecognition).await?;
            }
            ids.insert(person.name, id);
        }
        Ok(ids)
    }

    async fn add_resident(&self, person: &Person) -> anyhow::Result<String> {
        let resident = Resident {
            community_id: self.community_id.clone(),
            name: person.name.to_owned(),
            phone: person.phone.to_owned(),
            building_id: person.building_id.to_owned(),
            unit: person.unit.to_owned(),
            ..Resident::default()
        };
        let request = CreateResidentRequest { request_id: request_id(), resident: Some(resident) };
        let answer = self.platform.residents(&self.key).create_resident(request).await;
        let resident = answer.context("cannot add a resident")?.into_inner().resident;
        Ok(resident.context("the platform's answer has no resident")?.id)
    }

    async fn consent(&self, resident_id: &str, purpose: ConsentPurpose) -> anyhow::Result<()> {
        let request = GrantConsentRequest {
            request_id: request_id(),
            resident_id: resident_id.to_owned(),
            purpose: purpose.into(),
            notice: "courier-sim demonstration, 2026-01".to_owned(),
            ..Default::default()
        };
        self.platform.residents(&self.key).grant_consent(request).await.context("cannot record a consent")?;
        Ok(())
    }

    /// Enrols a face from one photograph, waiting for a vision worker if none is connected yet.
    pub async fn enrol(&self, resident_id: &str, album: &Album, name: &str) -> anyhow::Result<EnrolFaceResponse> {
        let photograph = bytes::Bytes::from(album.photograph(name)?);
        let until = self.clock.now() + WORKER_BOUND;
        loop {
            let request = EnrolFaceRequest {
                request_id: request_id(),
                resident_id: resident_id.to_owned(),
                photograph: photograph.clone(),
            };
            match self.platform.residents(&self.key).enrol_face(request).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) if reason(&status).as_deref() == Some("NO_VISION_WORKER") && self.clock.now() < until => {
                    self.clock.sleep_until(self.clock.now() + BETWEEN_LOOKS).await;
                }
                Err(status) => return Err(status).context("cannot enrol a face"),
            }
        }
    }

    /// Imports a habit: a pickup on each of the last days at the time of day of `at`. Answers the usual time that the
    /// platform makes of it, and from how many pickups.
    pub async fn import_habit(&self, resident_id: &str, at: Timestamp) -> anyhow::Result<(Timestamp, i32)> {
        let days_ago = |days: i64| to_wire(at - SignedDuration::from_hours(24 * days));
        let mut residents = self.platform.residents(&self.key);
        let request = ImportPickupsRequest {
            request_id: request_id(),
            resident_id: resident_id.to_owned(),
            pickup_times: (1..=HABIT_DAYS).map(days_ago).collect(),
        };
        residents.import_pickups(request).await.context("cannot import past pickups")?;
        let request = GetUsualPickupRequest { resident_id: resident_id.to_owned() };
        let usual = residents.get_usual_pickup(request).await.context("cannot look up the usual hour")?.into_inner();
        let at = from_wire(usual.next_time.as_ref()).context("the platform knows no usual hour")?;
        Ok((at, usual.pickups))
    }

    /// Every reminder of a resident, newest first.
    pub async fn reminders(&self, resident_id: &str) -> anyhow::Result<Vec<ReminderRecord>> {
        let request = ListRemindersRequest { resident_id: resident_id.to_owned() };
        let answer = self.platform.residents(&self.key).list_reminders(request).await;
        Ok(answer.context("cannot list reminders")?.into_inner().reminders)
    }
}
