//! PrivacyService: what residents may ask about their data, and who looked at it.

use std::ops::ControlFlow;

use gatepost_domain::{
    id::{CommunityId, ErasureId, ResidentId},
    principal::Principal,
};
use gatepost_proto::v1::{self, privacy_service_server::PrivacyService};
use gatepost_storage::{Erasure, Look, LookChain};
use tonic::{Request, Response};

use super::{
    communities::administered,
    convert::{self, instant_to_proto},
    page,
    residents::resident,
    status::status,
    tells::{Answer, asked, told},
};
use crate::{
    auth::caller,
    erasure, export,
    platform::Platform,
    problem::{Missing, Problem, settle},
};

/// The service.
pub struct Privacy(pub Platform);

impl Privacy {
    async fn looks(
        &self,
        caller: &Principal,
        request: &v1::ListLooksRequest,
    ) -> Result<v1::ListLooksResponse, Problem> {
        let size = page::size(request.page_size)?;
        let list = format!("looks:{}:{}", request.community_id, request.resident_id);
        let before = page::position(&request.page_token, caller, &list)?;
        let before = before.map(|sequence| sequence.parse().map_err(|_| Problem::PageToken)).transpose()?;
        let subject = match request.resident_id.as_str() {
            "" => None,
            id => Some(convert::id::<ResidentId>(id, "resident_id")?.to_string()),
        };
        let tx = self.0.store.read().await?;
        let chain: LookChain = match request.community_id.as_str() {
            "" if *caller == Principal::ADMINISTRATOR => None,
            "" => return Err(Problem::NotFound(Missing::Community)),
            id => Some(administered(&tx, caller, &convert::id::<CommunityId>(id, "community_id")?).await?.id),
        };
        let looks = tx.looks(&chain, subject.as_deref(), before, size).await?;
        let last = looks.last().filter(|_| looks.len() as u64 == size);
        Ok(v1::ListLooksResponse {
            next_page_token: last
                .map_or_else(String::new, |look| page::token(&look.sequence.to_string(), caller, &list)),
            looks: looks.into_iter().map(look_to_proto).collect(),
        })
    }
}

impl Privacy {
    async fn export(
        &self,
        caller: &Principal,
        request: &v1::ExportResidentRequest,
    ) -> Result<v1::ExportResidentResponse, Problem> {
        let tx = self.0.store.read().await?;
        let resident = resident(&tx, caller, &request.resident_id).await?;
        let json = export::document(&tx, &resident, self.0.now()).await?;
        Ok(v1::ExportResidentResponse { json: json.into() })
    }
}

impl Privacy {
    async fn erase(
        &self,
        caller: &Principal,
        request: &v1::EraseResidentRequest,
    ) -> Result<v1::EraseResidentResponse, Problem> {
        let mutation = match self.0.begin(caller, "EraseResident", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let resident = resident(&mutation.tx, caller, &request.resident_id).await?;
        let erasure = Erasure {
            id: ErasureId(self.0.new_id()),
            community: resident.community,
            resident: resident.id,
            requested_at: mutation.now,
            principal: caller.name(),
            removed: mutation.tx.delete_resident(resident.id, mutation.now).await?,
            completed: None,
        };
        mutation.tx.insert_erasure(&erasure).await?;
        let answer = v1::EraseResidentResponse { erasure: Some(erasure_to_proto(&erasure, 0)) };
        let answer = self.0.commit(mutation, answer, &[]).await?;
        self.0.wakes.erasures.send_modify(|count| *count += 1);
        Ok(answer)
    }

    async fn erasure(&self, caller: &Principal, id: &str) -> Result<v1::Erasure, Problem> {
        let missing = || Problem::NotFound(Missing::Erasure);
        let id: ErasureId = id.parse().map_err(|_| missing())?;
        let erasure = self.0.store.read().await?.erasure(id).await?;
        let erasure = erasure.filter(|erasure| caller.administers(&erasure.community)).ok_or_else(missing)?;
        let waited_for = erasure::waited_for(&self.0, &erasure).await?;
        Ok(erasure_to_proto(&erasure, waited_for))
    }

    async fn erasures(
        &self,
        caller: &Principal,
        request: &v1::ListErasuresRequest,
    ) -> Result<v1::ListErasuresResponse, Problem> {
        let size = page::size(request.page_size)?;
        let list = format!("erasures:{}", request.community_id);
        let before = page::position(&request.page_token, caller, &list)?;
        let before = before.map(|id| id.parse().map_err(|_| Problem::PageToken)).transpose()?;
        let page = {
            let tx = self.0.store.read().await?;
            let community = convert::id::<CommunityId>(&request.community_id, "community_id")?;
            let community = administered(&tx, caller, &community).await?;
            tx.erasures(&community.id, before, size).await?
        };
        let last = page.last().filter(|_| page.len() as u64 == size);
        let next_page_token = last.map_or_else(String::new, |last| page::token(&last.id.to_string(), caller, &list));
        let mut erasures = Vec::with_capacity(page.len());
        for erasure in &page {
            let waited_for = erasure::waited_for(&self.0, erasure).await?;
            erasures.push(v1::Erasure { certificate: String::new(), ..erasure_to_proto(erasure, waited_for) });
        }
        Ok(v1::ListErasuresResponse { erasures, next_page_token })
    }
}

#[tonic::async_trait]
impl PrivacyService for Privacy {
    async fn list_erasures(&self, request: Request<v1::ListErasuresRequest>) -> Answer<v1::ListErasuresResponse> {
        let caller = caller(&request).map_err(status)?;
        self.erasures(&caller, request.get_ref()).await.map(Response::new).map_err(status)
    }

    async fn erase_resident(&self, request: Request<v1::EraseResidentRequest>) -> Answer<v1::EraseResidentResponse> {
        let caller = caller(&request).map_err(status)?;
        let request = request.into_inner();
        settle(|| self.erase(&caller, &request)).await.map(Response::new).map_err(status)
    }

    async fn get_erasure(&self, request: Request<v1::GetErasureRequest>) -> Answer<v1::GetErasureResponse> {
        let caller = caller(&request).map_err(status)?;
        let erasure = self.erasure(&caller, &request.get_ref().erasure_id).await.map_err(status)?;
        Ok(Response::new(v1::GetErasureResponse { erasure: Some(erasure) }))
    }

    async fn export_resident(&self, request: Request<v1::ExportResidentRequest>) -> Answer<v1::ExportResidentResponse> {
        let caller = caller(&request).map_err(status)?;
        let (noted, request) = asked(request);
        told(&noted, self.export(&caller, &request).await)
    }

    async fn list_looks(&self, request: Request<v1::ListLooksRequest>) -> Answer<v1::ListLooksResponse> {
        let caller = caller(&request).map_err(status)?;
        self.looks(&caller, request.get_ref()).await.map(Response::new).map_err(status)
    }
}

fn erasure_to_proto(erasure: &Erasure, waited_for: usize) -> v1::Erasure {
    let completed = erasure.completed.as_ref();
    let state = if completed.is_some() { v1::ErasureState::Done } else { v1::ErasureState::Running };
    v1::Erasure {
        id: erasure.id.to_string(),
        community_id: erasure.community.to_string(),
        resident_id: erasure.resident.to_string(),
        state: state.into(),
        request_time: Some(instant_to_proto(erasure.requested_at)),
        complete_time: completed.map(|(at, _)| instant_to_proto(*at)),
        replicas_waited_for: waited_for as i32,
        certificate: completed.map_or_else(String::new, |(_, certificate)| certificate.clone()),
    }
}

fn look_to_proto(look: Look) -> v1::Look {
    v1::Look {
        sequence: look.sequence,
        look_time: Some(instant_to_proto(look.looked_at)),
        principal: look.principal,
        bearer: look.bearer,
        rpc: look.rpc,
        outcome: look.outcome,
        request_id: look.request_id.map_or_else(String::new, |id| id.to_string()),
        subjects: look.subjects,
        hash: look.hash.to_vec().into(),
    }
}
