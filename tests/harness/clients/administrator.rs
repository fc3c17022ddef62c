//! The property's admin tooling.

use gatepost_proto::v1::{
    self, CreateCourierRequest, CreateKeyRequest, CreateResidentRequest, Principal,
    community_service_client::CommunityServiceClient, courier_service_client::CourierServiceClient,
    model_service_client::ModelServiceClient, policy_layer::Layer, principal,
    privacy_service_client::PrivacyServiceClient, resident_service_client::ResidentServiceClient,
};

use super::{Answer, Authorised, Key, Line, answer, new_request_id};
use crate::world::World;

/// Speaks to every service that needs an administrator's key.
#[derive(Clone)]
pub struct Administrator {
    line: Line,
    key: Key,
}

impl Administrator {
    /// With an administrator's key.
    pub fn new(line: Line, key: Key) -> Self {
        Self { line, key }
    }

    /// Communities and policies.
    pub fn communities(&self) -> CommunityServiceClient<Authorised> {
        CommunityServiceClient::new(self.line.authorised(&self.key))
    }

    /// The roster.
    pub fn residents(&self) -> ResidentServiceClient<Authorised> {
        ResidentServiceClient::new(self.line.authorised(&self.key))
    }

    /// The model of faces.
    pub fn models(&self) -> ModelServiceClient<Authorised> {
        ModelServiceClient::new(self.line.authorised(&self.key))
    }

    /// What residents may ask about their data.
    pub fn privacy(&self) -> PrivacyServiceClient<Authorised> {
        PrivacyServiceClient::new(self.line.authorised(&self.key))
    }

    /// Couriers and keys.
    pub fn couriers(&self) -> CourierServiceClient<Authorised> {
        CourierServiceClient::new(self.line.authorised(&self.key))
    }

    /// Looks at residents of a community, newest first; of nobody when it is empty.
    pub async fn looks(&self, community_id: &str, resident_id: &str) -> Answer<Vec<v1::Look>> {
        let (mut looks, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListLooksRequest {
                community_id: community_id.to_owned(),
                resident_id: resident_id.to_owned(),
                page_size: 3,
                page_token,
            };
            let page = answer(self.privacy().list_looks(request).await)?;
            looks.extend(page.looks);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(looks);
            }
        }
    }

    /// Adds somebody to the roster.
    pub async fn add_resident(&self, resident: v1::Resident) -> Answer<v1::Resident> {
        let request = CreateResidentRequest { request_id: new_request_id(), resident: Some(resident) };
        answer(self.residents().create_resident(request).await).map(|answer| answer.resident.expect("a resident"))
    }

    /// Registers a courier company.
    pub async fn add_courier(&self, id: &str) -> Answer<()> {
        let courier = v1::Courier { id: id.to_owned(), display_name: format!("{id} 快递") };
        let request = CreateCourierRequest { request_id: new_request_id(), courier: Some(courier) };
        answer(self.couriers().create_courier(request).await).map(|_| ())
    }

    /// Issues a key; returns its id too, for revoking it.
    pub async fn issue_key(&self, principal: principal::Principal) -> Answer<(String, Key)> {
        let principal = Some(Principal { principal: Some(principal) });
        let request = CreateKeyRequest { request_id: new_request_id(), principal, ..Default::default() };
        let issued = answer(self.couriers().create_key(request).await)?;
        Ok((issued.key.expect("a key").id, Key::new(&issued.secret)))
    }

    /// Sets one layer of the waiting policy.
    pub async fn set_policy(&self, layer: Layer, policy: v1::WaitingPolicy) -> Answer<v1::WaitingPolicy> {
        let request = v1::SetWaitingPolicyRequest {
            request_id: new_request_id(),
            layer: Some(v1::PolicyLayer { layer: Some(layer) }),
            policy: Some(policy),
        };
        answer(self.communities().set_waiting_policy(request).await).map(|answer| answer.policy.expect("a policy"))
    }

    /// The policy in effect, and the layer that decided each field.
    pub async fn policy(&self, community_id: &str, courier_id: &str) -> Answer<v1::GetWaitingPolicyResponse> {
        let request =
            v1::GetWaitingPolicyRequest { community_id: community_id.to_owned(), courier_id: courier_id.to_owned() };
        answer(self.communities().get_waiting_policy(request).await)
    }

    /// What a community's compartments hold, by locker and compartment.
    pub async fn compartments(&self, community_id: &str) -> Vec<v1::CompartmentUse> {
        let request = v1::ListCompartmentsRequest { community_id: community_id.to_owned() };
        answer(self.communities().list_compartments(request).await).expect("the list").compartments
    }

    /// Changes what a gate's display may say.
    pub async fn set_display(&self, community_id: &str, display: v1::DisplayPolicy) {
        let request = v1::UpdateCommunityRequest {
            request_id: new_request_id(),
            community: Some(v1::Community {
                id: community_id.to_owned(),
                display_policy: display.into(),
                ..Default::default()
            }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["display_policy".to_owned()] }),
        };
        answer(self.communities().update_community(request).await).expect("the update");
    }

    /// Parcels that wait for staff to say whose they are.
    pub async fn unresolved(&self, community_id: &str) -> Vec<v1::UnresolvedParcel> {
        let request = v1::ListUnresolvedParcelsRequest { community_id: community_id.to_owned(), ..Default::default() };
        answer(self.residents().list_unresolved_parcels(request).await).expect("the list").parcels
    }

    /// Lets a parcel wait longer: until then, or as long as the policy allows.
    pub async fn extend(&self, parcel_id: &str, until: Option<jiff::Timestamp>) -> Answer<v1::Parcel> {
        let request = v1::ExtendStayRequest {
            request_id: new_request_id(),
            parcel_id: parcel_id.to_owned(),
            until: until.map(super::to_wire),
        };
        answer(self.residents().extend_stay(request).await).map(|answer| answer.parcel.expect("a parcel"))
    }

    /// Lets a parcel rest until then.
    pub async fn hold(&self, parcel_id: &str, until: jiff::Timestamp) -> Answer<v1::Parcel> {
        let request = v1::HoldStayRequest {
            request_id: new_request_id(),
            parcel_id: parcel_id.to_owned(),
            until: Some(super::to_wire(until)),
        };
        answer(self.residents().hold_stay(request).await).map(|answer| answer.parcel.expect("a parcel"))
    }

    /// Ends a hold before its time.
    pub async fn release(&self, parcel_id: &str) -> Answer<v1::Parcel> {
        let request = v1::ReleaseStayRequest { request_id: new_request_id(), parcel_id: parcel_id.to_owned() };
        answer(self.residents().release_stay(request).await).map(|answer| answer.parcel.expect("a parcel"))
    }

    /// Staff say whose a parcel is.
    pub async fn resolve(&self, parcel_id: &str, resident_id: &str) -> Answer<v1::Parcel> {
        let request = v1::ResolveParcelRequest {
            request_id: new_request_id(),
            parcel_id: parcel_id.to_owned(),
            resident_id: resident_id.to_owned(),
        };
        answer(self.residents().resolve_parcel(request).await).map(|answer| answer.parcel.expect("a parcel"))
    }
}

impl World {
    /// A key for a camera at a gate of the standard community.
    pub async fn camera_key(&self, gate_id: &str) -> Key {
        let camera =
            principal::GateCamera { community_id: crate::world::COMMUNITY.to_owned(), gate_id: gate_id.to_owned() };
        let issued = self.administrator().issue_key(principal::Principal::Camera(camera)).await;
        issued.expect("the key is issued").1
    }
}
