//! Looks of staff at what is personal: noted while a call is served, and on record before it is answered. What cannot be
//! put on record is not told.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use gatepost_domain::{
    id::{CommunityId, ParcelId, ResidentId},
    principal::Principal,
};
use gatepost_storage::{Look, LookChain, Tx};
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{grant::Grant, permissions};
use crate::{
    api::status,
    platform::Platform,
    problem::{Problem, settle},
};

/// What a message asks for or tells of.
pub trait Tells {
    /// Notes it.
    fn tell(&self, notes: &mut Notes);
}

/// What is noted of a call.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    community: Option<CommunityId>,
    request_id: Option<Uuid>,
    subjects: BTreeSet<String>,
}

impl Notes {
    /// The request's id; what is none is left out.
    pub fn request(&mut self, request_id: &str) {
        self.request_id = Uuid::try_parse(request_id).ok().or(self.request_id);
    }

    /// Whose residents; what is no id is left out.
    pub fn community(&mut self, id: &str) {
        self.community = id.parse().ok().or(self.community.take());
    }

    /// A resident, or a parcel that is nobody's yet; what is no id is left out.
    pub fn subject(&mut self, id: &str) {
        if id.parse::<ResidentId>().is_ok() || id.parse::<ParcelId>().is_ok() {
            self.subjects.insert(id.to_owned());
        }
    }
}

/// The notes of one call; clones share them.
#[derive(Clone, Default)]
pub struct Noted(Arc<Mutex<Notes>>);

impl Noted {
    /// For a call that is to be on record.
    pub fn due(path: &str, principal: &Principal) -> Option<Noted> {
        let staff = matches!(principal, Principal::Administrator { .. });
        (staff && permissions::is_personal(path)).then(Noted::default)
    }

    /// The notes of a request behind the layer.
    pub fn of<T>(request: &tonic::Request<T>) -> Noted {
        request.extensions().get::<Noted>().cloned().unwrap_or_default()
    }

    /// Notes what a request asks for, or an answer tells of.
    pub fn note(&self, message: &impl Tells) {
        message.tell(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn taken(&self) -> Notes {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Puts the look on record, and gives the answer back; in its place, why it could not be put on record.
pub async fn record(
    platform: &Platform,
    grant: &Grant,
    path: &str,
    noted: &Noted,
    answer: http::Response<Body>,
) -> http::Response<Body> {
    let (notes, outcome) = (noted.taken(), outcome(&answer));
    match settle(|| append(platform, grant, path, &notes, &outcome)).await {
        Ok(()) => answer,
        Err(problem) => status::status(problem).into_http(),
    }
}

/// `OK`, or the reason of a refusal.
fn outcome(answer: &http::Response<Body>) -> String {
    let refused = Status::from_header_map(answer.headers()).filter(|status| status.code() != Code::Ok);
    let reason = |status: Status| status.get_details_error_info().map_or_else(String::new, |info| info.reason);
    refused.map_or_else(|| "OK".to_owned(), reason)
}

async fn append(platform: &Platform, grant: &Grant, path: &str, notes: &Notes, outcome: &str) -> Result<(), Problem> {
    let tx = platform.store.write().await?;
    let look = Look {
        // Who reaches for another community's residents is told nothing of them, and they nothing of it.
        chain: chain(&tx, notes).await?.filter(|community| grant.principal.administers(community)),
        sequence: 0,
        looked_at: platform.now(),
        principal: grant.principal.name(),
        bearer: grant.bearer.clone(),
        rpc: path.trim_start_matches('/').to_owned(),
        outcome: outcome.to_owned(),
        request_id: notes.request_id,
        subjects: notes.subjects.iter().cloned().collect(),
        hash: [0; 32],
    };
    tx.append_look(look).await?;
    Ok(tx.commit().await?)
}

/// The community of whoever was looked at: all that one call tells of are of one.
async fn chain(tx: &Tx, notes: &Notes) -> Result<LookChain, Problem> {
    if let Some(community) = &notes.community
        && tx.community_version(community).await?.is_some()
    {
        return Ok(Some(community.clone()));
    }
    for subject in &notes.subjects {
        let community = match (subject.parse::<ResidentId>(), subject.parse::<ParcelId>()) {
            (Ok(resident), _) => tx.resident(resident).await?.map(|resident| resident.community),
            (_, Ok(parcel)) => tx.parcel(parcel).await?.map(|parcel| parcel.facts().community.clone()),
            _ => None,
        };
        if community.is_some() {
            return Ok(community);
        }
    }
    Ok(None)
}
