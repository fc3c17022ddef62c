//! CommunityService: communities, topology and policy.

use std::ops::ControlFlow;

use gatepost_domain::{
    community::Community,
    id::{CommunityId, CourierId},
    policy::{self, Layer, PolicyLayer},
    principal::Principal,
};
use gatepost_proto::v1::{self, community_service_server::CommunityService};
use gatepost_storage::{PolicyKey, StoreError, Tx};
use tonic::{Request, Response, Status};

use super::{
    convert::{self, communities as wire},
    page,
    status::status,
};
use crate::{
    auth::caller,
    platform::Platform,
    problem::{Missing, Problem, Taken, settle},
};

/// The service.
pub struct Communities(pub Platform);

const MASK: [&str; 4] = ["display_name", "time_zone", "topology", "display_policy"];

impl Communities {
    async fn create(
        &self,
        caller: &Principal,
        request: &v1::CreateCommunityRequest,
    ) -> Result<v1::CreateCommunityResponse, Problem> {
        let community = wire::community(convert::present(request.community.clone(), "community")?)?;
        let mutation = match self.0.begin(caller, "CreateCommunity", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        mutation.tx.insert_community(&community).await.map_err(|error| match error {
            StoreError::Exists => Problem::Exists(Taken::Community),
            other => other.into(),
        })?;
        let answer = v1::CreateCommunityResponse { community: Some(wire::community_to_proto(&community)) };
        self.0.commit(mutation, answer, &[]).await
    }

    async fn update(
        &self,
        caller: &Principal,
        request: &v1::UpdateCommunityRequest,
    ) -> Result<v1::UpdateCommunityResponse, Problem> {
        let wanted = convert::present(request.community.clone(), "community")?;
        let mutation = match self.0.begin(caller, "UpdateCommunity", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let id = convert::id(&wanted.id, "community.id")?;
        administered(&mutation.tx, caller, &id).await?;
        mutation.tx.lock_community(&id).await?;
        let present = found(&mutation.tx, &id).await?;
        let mut merged = wire::community_to_proto(&present);
        let paths = &convert::present(request.update_mask.as_ref(), "update_mask")?.paths;
        for path in paths {
            match path.as_str() {
                "display_name" => merged.display_name.clone_from(&wanted.display_name),
                "time_zone" => merged.time_zone.clone_from(&wanted.time_zone),
                "topology" => merged.topology.clone_from(&wanted.topology),
                "display_policy" => merged.display_policy = wanted.display_policy,
                _ => return Err(Problem::invalid("update_mask", format!("only {}", MASK.join(", ")))),
            }
        }
        let community = wire::community(merged)?;
        for hold in mutation.tx.holds(&id, mutation.now).await? {
            if community.topology.compartment(&hold.locker, &hold.compartment).is_none() {
                return Err(Problem::CompartmentInUse(hold.locker.to_string(), hold.compartment.to_string()));
            }
        }
        mutation.tx.update_community(&community).await?;
        let answer = v1::UpdateCommunityResponse { community: Some(wire::community_to_proto(&community)) };
        self.0.commit(mutation, answer, &[]).await
    }

    async fn set_policy(
        &self,
        caller: &Principal,
        request: &v1::SetWaitingPolicyRequest,
    ) -> Result<v1::SetWaitingPolicyResponse, Problem> {
        let key = wire::policy_key(request.layer.clone())?;
        let layer = wire::policy_layer(convert::present(request.policy, "policy")?)?;
        if !matches!(key, PolicyKey::Community(_)) && *caller != Principal::ADMINISTRATOR {
            return Err(Problem::Forbidden("SetWaitingPolicy for more than its community".to_owned()));
        }
        let mutation = match self.0.begin(caller, "SetWaitingPolicy", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let tx = &mutation.tx;
        match &key {
            PolicyKey::Tenant => {}
            PolicyKey::Community(id) => drop(administered(tx, caller, id).await?),
            PolicyKey::Courier(id) => {
                tx.courier(id).await?.ok_or(Problem::NotFound(Missing::Courier))?;
            }
        }
        // Whoever sets deadlines by the old policy commits first, and is given the new ones with the others.
        tx.lock_policies().await?;
        tx.set_policy_layer(&key, &layer).await?;
        check_everywhere(&tx.policy_layers().await?)?;
        tx.begin_rearm(&key).await?;
        let answer = v1::SetWaitingPolicyResponse { policy: request.policy };
        let answer = self.0.commit(mutation, answer, &[]).await?;
        if let Err(error) = self.0.rearm().await {
            tracing::error!(%error, "deadlines do not all follow the new policy yet, it will be tried again");
        }
        Ok(answer)
    }

    async fn get_policy(
        &self,
        caller: &Principal,
        request: v1::GetWaitingPolicyRequest,
    ) -> Result<v1::GetWaitingPolicyResponse, Problem> {
        let community: CommunityId = convert::id(&request.community_id, "community_id")?;
        let courier: Option<CourierId> = match request.courier_id.as_str() {
            "" => None,
            id => Some(convert::id(id, "courier_id")?),
        };
        let tx = self.0.store.read().await?;
        administered(&tx, caller, &community).await?;
        let layers = tx.layers_for(&community, courier.as_ref()).await?;
        let layers: Vec<_> = layers.iter().map(|(layer, values, _)| (*layer, values)).collect();
        let (policy, decided) = policy::merge(&layers);
        Ok(v1::GetWaitingPolicyResponse {
            policy: Some(wire::policy_to_proto(&policy)),
            decided_by: wire::decided_by(&decided),
        })
    }

    async fn compartments(
        &self,
        caller: &Principal,
        request: v1::ListCompartmentsRequest,
    ) -> Result<v1::ListCompartmentsResponse, Problem> {
        let tx = self.0.store.read().await?;
        let community = administered(&tx, caller, &convert::id(&request.community_id, "community_id")?).await?;
        let holds = tx.holds(&community.id, self.0.now()).await?;
        let mut compartments = Vec::new();
        for locker in &community.topology.lockers {
            for compartment in &locker.compartments {
                let hold = holds.iter().find(|hold| hold.locker == locker.id && hold.compartment == compartment.id);
                compartments.push(v1::CompartmentUse {
                    locker_id: locker.id.to_string(),
                    compartment_id: compartment.id.to_string(),
                    size: convert::parcels::size_to_proto(compartment.size).into(),
                    parcel_id: hold.map_or_else(String::new, |hold| hold.parcel.to_string()),
                    reserved_until: hold.and_then(|hold| hold.reserved_until).map(convert::instant_to_proto),
                });
            }
        }
        Ok(v1::ListCompartmentsResponse { compartments })
    }

    async fn list(
        &self,
        caller: &Principal,
        request: v1::ListCommunitiesRequest,
    ) -> Result<v1::ListCommunitiesResponse, Problem> {
        let size = page::size(request.page_size)?;
        let after = page::position(&request.page_token, caller, "communities")?;
        let after = after.map(|id| id.parse().map_err(|_| Problem::PageToken)).transpose()?;
        let tx = self.0.store.read().await?;
        let communities = match caller {
            Principal::Administrator { community: Some(only) } => tx.community(only).await?.into_iter().collect(),
            _ => tx.communities(after.as_ref(), size).await?,
        };
        let full = communities.len() as u64 == size && *caller == Principal::ADMINISTRATOR;
        let last = communities.last().filter(|_| full);
        Ok(v1::ListCommunitiesResponse {
            next_page_token: last.map_or_else(String::new, |c| page::token(c.id.as_str(), caller, "communities")),
            communities: communities.iter().map(wire::community_to_proto).collect(),
        })
    }
}

/// A community that must be there.
pub(super) async fn found(tx: &Tx, id: &CommunityId) -> Result<Community, Problem> {
    tx.community(id).await?.ok_or(Problem::NotFound(Missing::Community))
}

/// A community that must be there, for this administrator.
pub(super) async fn administered(tx: &Tx, caller: &Principal, id: &CommunityId) -> Result<Community, Problem> {
    if !caller.administers(id) {
        return Err(Problem::NotFound(Missing::Community));
    }
    found(tx, id).await
}

/// T1 < T2 must hold for every community and courier that has a layer, and for those that have none.
fn check_everywhere(layers: &[(PolicyKey, PolicyLayer)]) -> Result<(), Problem> {
    let tenant = layers.iter().find(|(key, _)| *key == PolicyKey::Tenant).map(|(_, layer)| layer);
    let communities = layers.iter().filter(|(key, _)| matches!(key, PolicyKey::Community(_))).map(|(_, layer)| layer);
    let couriers = layers.iter().filter(|(key, _)| matches!(key, PolicyKey::Courier(_))).map(|(_, layer)| layer);
    let couriers: Vec<_> = std::iter::once(None).chain(couriers.map(Some)).collect();
    for community in std::iter::once(None).chain(communities.map(Some)) {
        for courier in &couriers {
            let stack: Vec<_> = [(Layer::Tenant, tenant), (Layer::Community, community), (Layer::Courier, *courier)]
                .into_iter()
                .filter_map(|(layer, values)| Some((layer, values?)))
                .collect();
            policy::merge(&stack).0.check()?;
        }
    }
    Ok(())
}

#[tonic::async_trait]
impl CommunityService for Communities {
    async fn create_community(
        &self,
        request: Request<v1::CreateCommunityRequest>,
    ) -> Result<Response<v1::CreateCommunityResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.create(&caller, &request)).await.map(Response::new).map_err(status)
    }

    async fn update_community(
        &self,
        request: Request<v1::UpdateCommunityRequest>,
    ) -> Result<Response<v1::UpdateCommunityResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.update(&caller, &request)).await.map(Response::new).map_err(status)
    }

    async fn get_community(
        &self,
        request: Request<v1::GetCommunityRequest>,
    ) -> Result<Response<v1::GetCommunityResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        let id = convert::id(&request.get_ref().community_id, "community_id").map_err(status)?;
        let get = async { administered(&self.0.store.read().await?, &caller, &id).await };
        let community = get.await.map_err(status)?;
        Ok(Response::new(v1::GetCommunityResponse { community: Some(wire::community_to_proto(&community)) }))
    }

    async fn list_communities(
        &self,
        request: Request<v1::ListCommunitiesRequest>,
    ) -> Result<Response<v1::ListCommunitiesResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        self.list(&caller, request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn set_waiting_policy(
        &self,
        request: Request<v1::SetWaitingPolicyRequest>,
    ) -> Result<Response<v1::SetWaitingPolicyResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.set_policy(&caller, &request)).await.map(Response::new).map_err(status)
    }

    async fn get_waiting_policy(
        &self,
        request: Request<v1::GetWaitingPolicyRequest>,
    ) -> Result<Response<v1::GetWaitingPolicyResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        self.get_policy(&caller, request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn set_recognition_policy(
        &self,
        request: Request<v1::SetRecognitionPolicyRequest>,
    ) -> Result<Response<v1::SetRecognitionPolicyResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.set_recognition(&caller, &request)).await.map(Response::new).map_err(status)
    }

    async fn get_recognition_policy(
        &self,
        request: Request<v1::GetRecognitionPolicyRequest>,
    ) -> Result<Response<v1::GetRecognitionPolicyResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        self.recognition(&caller, request.get_ref()).await.map(Response::new).map_err(status)
    }

    async fn list_compartments(
        &self,
        request: Request<v1::ListCompartmentsRequest>,
    ) -> Result<Response<v1::ListCompartmentsResponse>, Status> {
        let caller = caller(&request).map_err(status)?;
        self.compartments(&caller, request.into_inner()).await.map(Response::new).map_err(status)
    }
}
