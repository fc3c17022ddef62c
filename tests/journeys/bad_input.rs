//! What must not be believed: every case is refused with its code and its reason, and nothing is changed or lost.

mod chinese;
mod fields;
mod frames;
mod models;
mod parcels;
mod photographs;
mod policies;
mod settings;

use std::fmt::Debug;

use gatepost_domain::id::CourierId;
use gatepost_proto::v1;
use gatepost_storage::{EventCursor, PolicyKey};
use gatepost_tests::{
    clients::{Answer, Courier, Refused},
    world::{COMMUNITY, World},
};
use tonic::Code;

/// Everything that couriers and staff can see, to compare before and after.
#[derive(Debug, PartialEq)]
struct Everything {
    parcels: Vec<v1::Parcel>,
    compartments: Vec<v1::CompartmentUse>,
    unresolved: Vec<v1::UnresolvedParcel>,
    residents: Vec<v1::Resident>,
    communities: Vec<v1::Community>,
    events: EventCursor,
    policies: Vec<(PolicyKey, gatepost_domain::policy::PolicyLayer)>,
}

impl Everything {
    async fn of(world: &World, courier: &Courier) -> Everything {
        let administrator = world.administrator();
        let residents =
            v1::ListResidentsRequest { community_id: COMMUNITY.to_owned(), page_size: 500, ..Default::default() };
        let communities = v1::ListCommunitiesRequest::default();
        let tx = world.store().await.read().await.unwrap();
        let id: CourierId = courier.id.parse().unwrap();
        Everything {
            parcels: courier.list(500, "").await.unwrap().parcels,
            compartments: administrator.compartments(COMMUNITY).await,
            unresolved: administrator.unresolved(COMMUNITY).await,
            residents: administrator.residents().list_residents(residents).await.unwrap().into_inner().residents,
            communities: administrator
                .communities()
                .list_communities(communities)
                .await
                .unwrap()
                .into_inner()
                .communities,
            events: tx.event_cursor(&id).await.unwrap(),
            policies: tx.policy_layers().await.unwrap(),
        }
    }
}

/// The refusal, which must have this code and reason.
#[track_caller]
fn refused<T: Debug>(answer: Answer<T>, code: Code, reason: &str) -> Refused {
    let refused = answer.expect_err(reason);
    assert_eq!((refused.code, refused.reason.as_str()), (code, reason), "{}", refused.message);
    refused
}
