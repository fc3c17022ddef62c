//! Answers that tell of a resident. Names, phones and addresses stand in the resident's row and nowhere else, so such an
//! answer is remembered with the id alone, and a repeated request is told the resident as on record now.

use gatepost_domain::principal::Principal;
use gatepost_proto::v1;
use prost::Message;

use super::{convert::residents as wire, residents::resident};
use crate::{
    platform::{Mutation, Platform},
    problem::Problem,
};

/// An answer that tells of a resident.
pub trait Personal: Message + Default {
    /// Whom it tells of.
    fn resident(&mut self) -> &mut Option<v1::Resident>;
}

macro_rules! personal {
    ($($answer:ident),+ $(,)?) => {
        $(impl Personal for v1::$answer {
            fn resident(&mut self) -> &mut Option<v1::Resident> {
                &mut self.resident
            }
        })+
    };
}

personal! {
    CreateResidentResponse,
    UpdateResidentResponse,
    GrantConsentResponse,
    WithdrawConsentResponse,
    EnrolFaceResponse,
    DeleteFacesResponse,
}

impl Platform {
    /// Remembers the answer without what is personal in it, commits, and answers.
    pub async fn commit_personal<A: Personal>(&self, mutation: Mutation, mut answer: A) -> Result<A, Problem> {
        let told = answer.resident().take();
        *answer.resident() =
            told.as_ref().map(|resident| v1::Resident { id: resident.id.clone(), ..Default::default() });
        let mut answer = self.commit(mutation, answer, &[]).await?;
        *answer.resident() = told;
        Ok(answer)
    }

    /// The answer to a repeated request. A resident who was deleted since is not found.
    pub async fn repeat_personal<A: Personal>(&self, caller: &Principal, mut answer: A) -> Result<A, Problem> {
        if let Some(remembered) = answer.resident() {
            let on_record = resident(&self.store.read().await?, caller, &remembered.id).await?;
            *remembered = wire::resident_to_proto(&on_record);
        }
        Ok(answer)
    }
}
