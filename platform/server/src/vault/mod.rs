//! Enrolled faces at rest and in memory. At rest each is turned by its community's secret rotation and sealed with its
//! resident's key; that key is wrapped by the community's, and that one by the master key, which lies elsewhere. In
//! memory there is, for each community, the gallery of those who may be searched for now.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use gatepost_domain::{
    Timestamp,
    id::{CommunityId, ResidentId, TemplateId},
    resident::Resident,
};
use gatepost_matching::{Embedding, EmbeddingError, Gallery, ModelId, Transform, gallery::GalleryError};
use gatepost_storage::{CommunityKey, ResidentKey, SearchableFace, StoreError, Template, Tx};
use zeroize::Zeroizing;

use crate::vision::models::Models;

mod enrolled;
mod master;
pub mod rotate;
mod seal;
mod signing;

pub use master::{MasterError, Masters};
use seal::{Key, Unsealable, place};

/// Why a face cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The database said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The master key cannot be had.
    #[error(transparent)]
    Master(#[from] MasterError),
    /// A key is missing under which something was sealed.
    #[error("no key of generation {1} of community {0}")]
    NoKey(CommunityId, i64),
    /// Sealed with another key, or changed.
    #[error(transparent)]
    Unsealable(#[from] Unsealable),
    /// A key that signs nothing.
    #[error("the signing key cannot be used")]
    Signing,
    /// Not a face, or not of the gallery's kind.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
}

impl From<EmbeddingError> for VaultError {
    fn from(error: EmbeddingError) -> Self {
        VaultError::Gallery(error.into())
    }
}

/// Keeps faces, and gives galleries.
pub struct Vault {
    masters: Masters,
    secrets: Mutex<HashMap<(CommunityId, i64), Arc<Secrets>>>,
    searchable: Mutex<HashMap<(CommunityId, ModelId), Arc<Searchable>>>,
    enrolled: tokio::sync::Mutex<Vec<enrolled::Enrolled>>,
}

/// One generation of a community's secrets: what wraps its residents' keys, and what turns its faces.
struct Secrets {
    community: CommunityId,
    generation: i64,
    wrapping: Key,
    seed: Key,
    /// Of the two dimensions that were asked for last; there is one in use, and another while a model is upgraded.
    transforms: Mutex<Vec<(usize, Arc<Transform>)>>,
}

impl Secrets {
    fn transform(&self, dimension: usize) -> Arc<Transform> {
        let mut kept = lock(&self.transforms);
        let (_, transform) = match kept.iter().position(|(of, _)| *of == dimension) {
            Some(place) => kept.remove(place),
            None => (dimension, Arc::new(Transform::new(self.seed.bytes(), dimension))),
        };
        kept.insert(0, (dimension, transform.clone()));
        kept.truncate(2);
        transform
    }

    /// What turned faces of a model are called, so that they compare with nothing else.
    fn space(&self, model: &ModelId) -> ModelId {
        ModelId::new(format!("{model} turned for {}/{}", self.community, self.generation))
    }

    fn turn(&self, face: &Embedding) -> Result<Embedding, EmbeddingError> {
        self.transform(face.dimension()).turn(face, &self.space(face.model()))
    }

    fn place_of_key(&self, resident: ResidentId) -> Vec<u8> {
        let parts = [self.community.as_str().as_bytes(), &self.generation.to_le_bytes(), resident.0.as_bytes()];
        place("gatepost resident key", &parts)
    }

    fn place_of_template(&self, resident: ResidentId, template: TemplateId, model: &str) -> Vec<u8> {
        let parts = [
            self.community.as_str().as_bytes(),
            &self.generation.to_le_bytes(),
            resident.0.as_bytes(),
            template.0.as_bytes(),
            model.as_bytes(),
        ];
        place("gatepost template", &parts)
    }

    fn wrap(&self, resident: ResidentId, key: &Key) -> ResidentKey {
        ResidentKey {
            resident,
            community: self.community.clone(),
            generation: self.generation,
            wrapped: self.wrapping.seal(key.bytes(), &self.place_of_key(resident)),
        }
    }

    fn unwrap(&self, key: &ResidentKey) -> Result<Key, Unsealable> {
        let bytes = self.wrapping.open(&key.wrapped, &self.place_of_key(key.resident))?;
        Key::from_bytes(&bytes).ok_or(Unsealable)
    }

    /// A face as it was before it was turned and sealed.
    fn open(&self, template: &Template, key: &ResidentKey) -> Result<Embedding, VaultError> {
        let model = ModelId::new(template.model.as_str());
        let turned = self.open_turned(template, key, &model)?;
        Ok(self.transform(turned.dimension()).turn_back(&turned, &model)?)
    }

    fn open_turned(&self, template: &Template, key: &ResidentKey, model: &ModelId) -> Result<Embedding, VaultError> {
        let place = self.place_of_template(template.resident, template.id, &template.model);
        let bytes = self.unwrap(key)?.open(&template.embedding, &place)?;
        Ok(Embedding::from_bytes(&self.space(model), &bytes)?)
    }

    fn seal(&self, key: &Key, resident: ResidentId, id: TemplateId, face: &Embedding) -> Result<Vec<u8>, VaultError> {
        let place = self.place_of_template(resident, id, face.model().as_str());
        Ok(key.seal(&self.turn(face)?.to_bytes(), &place))
    }
}

/// Who may be searched for in a community now, and how a face is made comparable with them.
pub struct Searchable {
    faces: Vec<SearchableFace>,
    gallery: Gallery,
    secrets: Option<Arc<Secrets>>,
}

impl Searchable {
    /// The gallery.
    pub fn gallery(&self) -> &Gallery {
        &self.gallery
    }

    /// Turns a face of a frame as the gallery's templates are turned. Without a template there is nothing to turn for.
    pub fn turn(&self, face: Embedding) -> Result<Embedding, EmbeddingError> {
        match &self.secrets {
            Some(secrets) => secrets.turn(&face),
            None => Ok(face),
        }
    }
}

impl Vault {
    /// Nothing is read yet.
    pub fn new(masters: Masters) -> Self {
        Self {
            masters,
            secrets: Mutex::default(),
            searchable: Mutex::default(),
            enrolled: tokio::sync::Mutex::default(),
        }
    }

    /// Makes the default's master key on the first start, and says what is wrong with the keys that are given. Without
    /// them no face is enrolled or found, and everything else goes on.
    pub async fn open(&self, tx: &Tx) -> Result<(), VaultError> {
        let used = tx.master_keys_in_use().await?;
        if used.is_empty()
            && let Some(path) = self.masters.make_first()?
        {
            tracing::info!(file = %path.display(), "master key of the enrolled faces written: keep it, apart from copies of the database");
        }
        self.masters.check()?;
        for id in used {
            self.masters.knows(&id)?;
        }
        Ok(())
    }

    /// Turns and seals a face for the resident. Takes the community's lock, so that no rotation of keys misses it.
    pub async fn seal(
        &self,
        tx: &Tx,
        resident: &Resident,
        id: TemplateId,
        face: &Embedding,
        now: Timestamp,
    ) -> Result<Template, VaultError> {
        tx.lock_community(&resident.community).await?;
        let (secrets, key) = match tx.resident_key(resident.id).await? {
            Some(wrapped) => {
                let secrets = self.secrets(tx, &wrapped.community, wrapped.generation).await?;
                let key = secrets.unwrap(&wrapped)?;
                (secrets, key)
            }
            None => {
                let (secrets, key) = (self.newest(tx, &resident.community, now).await?, Key::random());
                tx.insert_resident_key(&secrets.wrap(resident.id, &key)).await?;
                (secrets, key)
            }
        };
        Ok(Template {
            id,
            resident: resident.id,
            model: face.model().as_str().to_owned(),
            embedding: secrets.seal(&key, resident.id, id, face)?,
            enrolled_at: now,
        })
    }

    /// The gallery of those who may be searched for, as the community's policy says who that is. Who they are is asked
    /// of the database every time, so that a withdrawn consent holds at the next frame on every replica; their faces are
    /// read and opened anew only when somebody came or went.
    pub async fn searchable(
        &self,
        tx: &Tx,
        community: &CommunityId,
        model: &ModelId,
        faces: Vec<SearchableFace>,
    ) -> Result<Arc<Searchable>, VaultError> {
        let place = (community.clone(), model.clone());
        let present = lock(&self.searchable).get(&place).cloned();
        if let Some(present) = present.filter(|present| present.faces == faces) {
            return Ok(present);
        }
        let searchable = Arc::new(self.load(tx, community, model, faces).await?);
        let mut kept = lock(&self.searchable);
        if searchable.faces.is_empty() {
            kept.remove(&place);
        } else {
            kept.insert(place, searchable.clone());
        }
        Ok(searchable)
    }

    /// Clears what memory holds of faces of other models than these.
    pub async fn forget_other_models(&self, models: &Models) {
        lock(&self.searchable).retain(|(_, model), _| models.has(model));
        self.enrolled.lock().await.retain(|kept| models.has(kept.model()));
    }

    /// Clears what memory holds of a community's faces, and says how many of the resident's were in it. Whatever a frame
    /// is being compared with right now is cleared after it.
    pub async fn clear(&self, community: &CommunityId, resident: ResidentId) -> u64 {
        let its = |faces: &[SearchableFace]| faces.iter().filter(|face| face.resident == resident).count() as u64;
        let mut found = 0;
        lock(&self.searchable).retain(|(of, _), searchable| {
            found += if of == community { its(&searchable.faces) } else { 0 };
            of != community
        });
        found + self.clear_enrolled(community, its).await
    }

    async fn load(
        &self,
        tx: &Tx,
        community: &CommunityId,
        model: &ModelId,
        faces: Vec<SearchableFace>,
    ) -> Result<Searchable, VaultError> {
        let Some(newest) = faces.iter().map(|face| face.generation).max() else {
            return Ok(Searchable { faces, gallery: Gallery::new(model.clone()), secrets: None });
        };
        let secrets = self.secrets(tx, community, newest).await?;
        let mut gallery = Gallery::with_capacity(secrets.space(model), faces.len());
        for face in &faces {
            if let Some(similarity) = face.mistaken_at {
                gallery.set_mistaken_at(face.resident, similarity);
            }
        }
        self.add_all(tx, &mut gallery, (&secrets, model), &faces).await?;
        Ok(Searchable { faces, gallery, secrets: Some(secrets) })
    }

    async fn add_all(
        &self,
        tx: &Tx,
        gallery: &mut Gallery,
        (newest, model): (&Secrets, &ModelId),
        faces: &[SearchableFace],
    ) -> Result<(), VaultError> {
        for (template, key) in tx.sealed_faces(faces).await? {
            if let Err(error) = self.add(tx, gallery, (newest, model), &template, &key).await {
                tracing::warn!(template.id = %template.id, %error, "template left out of the search");
            }
        }
        Ok(())
    }

    async fn add(
        &self,
        tx: &Tx,
        gallery: &mut Gallery,
        (newest, model): (&Secrets, &ModelId),
        template: &Template,
        key: &ResidentKey,
    ) -> Result<(), VaultError> {
        if template.model != model.as_str() {
            let found = ModelId::new(template.model.as_str());
            return Err(EmbeddingError::OtherModel { expected: model.clone(), found }.into());
        }
        let turned = if key.generation == newest.generation {
            newest.open_turned(template, key, model)?
        } else {
            // While the keys of a community are rotated, some are not there yet.
            let older = self.secrets(tx, &key.community, key.generation).await?;
            newest.turn(&older.open(template, key)?)?
        };
        Ok(gallery.add(template.resident, &turned)?)
    }

    async fn secrets(&self, tx: &Tx, community: &CommunityId, generation: i64) -> Result<Arc<Secrets>, VaultError> {
        let id = (community.clone(), generation);
        if let Some(secrets) = lock(&self.secrets).get(&id) {
            return Ok(secrets.clone());
        }
        let missing = || VaultError::NoKey(community.clone(), generation);
        let row = tx.community_key(community, generation).await?.ok_or_else(missing)?;
        let place = place_of_community(community, generation);
        let bytes = self.masters.unwrap(&row.master, &row.wrapped, &place).await?;
        let secrets = Arc::new(Secrets::from_bytes(community, generation, &bytes).ok_or(Unsealable)?);
        lock(&self.secrets).insert(id, secrets.clone());
        Ok(secrets)
    }

    /// The community's newest secrets, made if there are none. Under the community's lock.
    async fn newest(&self, tx: &Tx, community: &CommunityId, now: Timestamp) -> Result<Arc<Secrets>, VaultError> {
        match tx.community_keys(community).await?.last() {
            Some(key) => self.secrets(tx, community, key.generation).await,
            None => self.make(tx, community, 1, now).await,
        }
    }

    /// Makes a community's secrets. They are not remembered here: the transaction may come to nothing.
    async fn make(
        &self,
        tx: &Tx,
        community: &CommunityId,
        generation: i64,
        now: Timestamp,
    ) -> Result<Arc<Secrets>, VaultError> {
        let secrets = Secrets {
            community: community.clone(),
            generation,
            wrapping: Key::random(),
            seed: Key::random(),
            transforms: Mutex::default(),
        };
        let bytes = Zeroizing::new([&secrets.wrapping.bytes()[..], secrets.seed.bytes()].concat());
        let (master, wrapped) = self.masters.wrap(&bytes, &place_of_community(community, generation)).await?;
        let key = CommunityKey { community: community.clone(), generation, master, wrapped, created_at: now };
        tx.insert_community_key(&key).await?;
        Ok(Arc::new(secrets))
    }
}

impl Secrets {
    fn from_bytes(community: &CommunityId, generation: i64, bytes: &[u8]) -> Option<Self> {
        let (wrapping, seed) = bytes.split_at_checked(32)?;
        Some(Secrets {
            community: community.clone(),
            generation,
            wrapping: Key::from_bytes(wrapping)?,
            seed: Key::from_bytes(seed)?,
            transforms: Mutex::default(),
        })
    }
}

fn place_of_community(community: &CommunityId, generation: i64) -> Vec<u8> {
    place("gatepost community key", &[community.as_str().as_bytes(), &generation.to_le_bytes()])
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
