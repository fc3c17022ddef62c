//! The models whose workers are welcome: the one that recognises and, while an upgrade is under way, the other one.

use gatepost_matching::ModelId;
use gatepost_storage::{StoreError, Tx};

use crate::{platform::Platform, problem::Problem};

/// As the database has them at one moment, which is the same for all replicas.
#[derive(Debug)]
pub struct Models {
    /// The one that recognises; none while nobody is enrolled.
    pub in_use: Option<ModelId>,
    /// The other one of an upgrade under way.
    pub other: Option<ModelId>,
}

impl Models {
    /// What a transaction sees.
    pub async fn read(tx: &Tx) -> Result<Self, StoreError> {
        let models = tx.models().await?;
        Ok(Self { in_use: models.in_use.map(ModelId::new), other: models.other.map(ModelId::new) })
    }

    /// Whether faces of the model may be enrolled.
    pub fn has(&self, model: &ModelId) -> bool {
        self.in_use.as_ref().is_none_or(|in_use| in_use == model) || self.other.as_ref() == Some(model)
    }

    /// Why another one is refused.
    pub fn mismatch(&self, offered: &ModelId) -> Problem {
        let enrolled: Vec<&str> = [&self.in_use, &self.other].into_iter().flatten().map(ModelId::as_str).collect();
        Problem::ModelMismatch { enrolled: enrolled.join(" and "), offered: offered.as_str().to_owned() }
    }
}

impl Platform {
    /// The model that is to look at what comes in now, if anybody can, and the other one if it has a worker.
    pub fn at_work(&self, models: &Models) -> (Option<ModelId>, Option<ModelId>) {
        // While nobody is enrolled, all are alike.
        let in_use = models.in_use.clone().or_else(|| self.hub.some_model());
        (in_use, models.other.clone().filter(|other| self.hub.has_worker_of(other)))
    }
}
