//! The templates that may be searched now. Who belongs into it (consent, a parcel due for a reminder, this
//! community) is decided by whoever fills it; nobody else can be found.

use std::{collections::BTreeMap, fmt};

use gatepost_domain::id::ResidentId;
use zeroize::Zeroizing;

use crate::embedding::{Embedding, EmbeddingError, ModelId};

mod nearest;
mod rows;
mod scan;

use rows::Rows;

/// Every template of everyone who may be found, all of one model. The search is exact: whom it names is whom a
/// comparison in double precision with each template would name.
pub struct Gallery {
    model: ModelId,
    /// From the first template on, whose dimension is everybody's.
    rows: Option<Rows>,
    owners: Vec<ResidentId>,
    capacity: usize,
    mistaken: BTreeMap<ResidentId, f32>,
}

impl fmt::Debug for Gallery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gallery({}, {} templates)", self.model, self.len())
    }
}

/// Whom a face resembles most.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ranking {
    /// The resident with the most similar template, and its cosine.
    pub best: Option<(ResidentId, f32)>,
    /// The most similar template of any other resident.
    pub second: Option<(ResidentId, f32)>,
}

/// Why a template was not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GalleryError {
    /// It is not comparable with the others.
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    /// The gallery is full.
    #[error("gallery is full")]
    Full,
}

impl Gallery {
    /// The most templates: what one core looks through in a few milliseconds.
    pub const TEMPLATES_MAX: usize = 100_000;

    /// An empty gallery for embeddings of `model`.
    pub fn new(model: ModelId) -> Self {
        Self::with_capacity(model, 0)
    }

    /// An empty gallery with room for `templates`.
    pub fn with_capacity(model: ModelId, templates: usize) -> Self {
        let capacity = templates.min(Self::TEMPLATES_MAX);
        let owners = Vec::with_capacity(capacity);
        Gallery { model, rows: None, owners, capacity, mistaken: BTreeMap::new() }
    }

    /// Which model made the templates.
    pub fn model(&self) -> &ModelId {
        &self.model
    }

    /// How many numbers its embeddings have; unknown while it is empty.
    pub fn dimension(&self) -> Option<usize> {
        self.rows.as_ref().map(Rows::dimension)
    }

    /// How many templates there are.
    pub fn len(&self) -> usize {
        self.rows.as_ref().map_or(0, Rows::len)
    }

    /// Whether there is nobody to find.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that is allocated for templates and their owners, in bytes, room to grow included.
    pub fn memory_bytes(&self) -> usize {
        self.rows.as_ref().map_or(0, Rows::memory_bytes) + self.owners.capacity() * size_of::<ResidentId>()
    }

    /// Adds one of the resident's templates.
    pub fn add(&mut self, resident: ResidentId, template: &Embedding) -> Result<(), GalleryError> {
        self.check(template)?;
        if self.len() == Self::TEMPLATES_MAX {
            return Err(GalleryError::Full);
        }
        let rows = self.rows.get_or_insert_with(|| Rows::new(template.dimension(), self.capacity));
        rows.push(template.values());
        if self.owners.len() == self.owners.capacity() {
            // As the templates do: a doubled list would be a tenth of them.
            self.owners.reserve_exact((self.owners.len() / 32).max(32));
        }
        self.owners.push(resident);
        Ok(())
    }

    /// Forgets every template of the resident.
    pub fn remove(&mut self, resident: ResidentId) {
        if let Some(rows) = &mut self.rows {
            rows.retain(|row| self.owners[row] != resident);
            self.owners.retain(|owner| *owner != resident);
        }
        if self.is_empty() {
            self.rows = None;
        }
    }

    /// Says that a face of this similarity was taken for the resident and was somebody else's.
    pub fn set_mistaken_at(&mut self, resident: ResidentId, similarity: f32) {
        let highest = self.mistaken.entry(resident).or_insert(similarity);
        *highest = highest.max(similarity);
    }

    /// The highest similarity at which somebody else was taken for the resident.
    pub fn mistaken_at(&self, resident: ResidentId) -> Option<f32> {
        self.mistaken.get(&resident).copied()
    }

    /// Compares a face with every template; all templates of a resident count, the most similar one decides.
    pub fn search(&self, face: &Embedding) -> Result<Ranking, EmbeddingError> {
        self.check(face)?;
        Ok(self.search_checked(face))
    }

    /// As [`Gallery::search`] for each of the faces, which costs little more than one: templates are read once for all.
    ///
    /// A large gallery is divided over the threads of the rayon pool that this is called in.
    pub fn search_all(&self, faces: &[&Embedding]) -> Result<Vec<Ranking>, EmbeddingError> {
        faces.iter().try_for_each(|face| self.check(face))?;
        Ok(self.search_all_checked(faces))
    }

    /// Everybody with a template of at least this cosine, each with that of the most similar one.
    pub fn resembling(&self, face: &Embedding, least: f32) -> Result<BTreeMap<ResidentId, f32>, EmbeddingError> {
        let mut found = BTreeMap::new();
        // Mostly nobody is: one quick search says so.
        let somebody = self.search(face)?.best.is_some_and(|(_, similarity)| similarity >= least);
        if let (Some(rows), true) = (&self.rows, somebody) {
            let mut scratch = Zeroizing::default();
            for (row, owner) in self.owners.iter().enumerate() {
                let similarity = rows.cosine(row, face.values(), &mut scratch).clamp(-1.0, 1.0) as f32;
                if similarity >= least {
                    let highest = found.entry(*owner).or_insert(similarity);
                    *highest = highest.max(similarity);
                }
            }
        }
        Ok(found)
    }

    /// Refuses an embedding that the templates cannot be compared with.
    pub(crate) fn check(&self, embedding: &Embedding) -> Result<(), EmbeddingError> {
        embedding.check_comparable(&self.model, self.dimension().unwrap_or(embedding.dimension()))
    }

    pub(crate) fn search_checked(&self, face: &Embedding) -> Ranking {
        self.search_all_checked(&[face]).pop().unwrap_or_default()
    }

    pub(crate) fn search_all_checked(&self, faces: &[&Embedding]) -> Vec<Ranking> {
        let Some(rows) = &self.rows else { return vec![Ranking::default(); faces.len()] };
        let numbers: Vec<&[f32]> = faces.iter().map(|face| face.values()).collect();
        scan::nearest(rows, &self.owners, &numbers).iter().map(nearest::Nearest::ranking).collect()
    }
}

impl Ranking {
    /// How far the best is ahead of the next resident; ahead of a stranger's zero if there is no other.
    pub fn margin(&self) -> f32 {
        let best = self.best.map_or(0.0, |(_, similarity)| similarity);
        best - self.second.map_or(0.0, |(_, similarity)| similarity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use uuid::Uuid;

    fn model() -> ModelId {
        ModelId::new("test")
    }

    fn resident(number: u8) -> ResidentId {
        ResidentId(Uuid::from_u128(u128::from(number)))
    }

    /// A vector in the plane whose cosine with `at(0.0)` is that of the angle.
    fn at(degrees: f32) -> Embedding {
        let angle = degrees.to_radians();
        Embedding::new(&model(), vec![angle.cos(), angle.sin()]).unwrap()
    }

    #[test]
    fn the_second_is_another_resident() {
        let mut gallery = Gallery::new(model());
        for (number, degrees) in [(1, 80.0), (1, 10.0), (2, 40.0), (1, 20.0), (3, 60.0)] {
            gallery.add(resident(number), &at(degrees)).unwrap();
        }
        let ranking = gallery.search(&at(0.0)).unwrap();
        assert_eq!(ranking.best.unwrap().0, resident(1));
        assert_eq!(ranking.second.unwrap().0, resident(2));
        assert!((ranking.margin() - (10f32.to_radians().cos() - 40f32.to_radians().cos())).abs() < 1e-5);

        gallery.remove(resident(1));
        let ranking = gallery.search(&at(0.0)).unwrap();
        assert_eq!((ranking.best.unwrap().0, ranking.second.unwrap().0), (resident(2), resident(3)));
    }

    #[test]
    fn everybody_who_resembles_is_told_by_the_best_template() {
        let mut gallery = Gallery::new(model());
        assert!(gallery.resembling(&at(0.0), 0.5).unwrap().is_empty());
        for (number, degrees) in [(1, 80.0), (1, 10.0), (2, 40.0), (1, 20.0), (3, 70.0)] {
            gallery.add(resident(number), &at(degrees)).unwrap();
        }
        let found = gallery.resembling(&at(0.0), 0.5).unwrap();
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [resident(1), resident(2)]);
        assert!((found[&resident(1)] - 10f32.to_radians().cos()).abs() < 1e-6);
        assert!(gallery.resembling(&at(0.0), 0.999).unwrap().is_empty());
    }

    #[test]
    fn nobody_is_found_in_an_empty_gallery() {
        let gallery = Gallery::new(model());
        assert_eq!(gallery.search(&at(0.0)).unwrap(), Ranking::default());
        assert!(gallery.is_empty());
    }

    #[test]
    fn another_model_is_refused_by_search_and_by_add() {
        let mut gallery = Gallery::new(model());
        let other = Embedding::new(&ModelId::new("other"), vec![1.0, 0.0]).unwrap();
        assert!(matches!(gallery.search(&other), Err(EmbeddingError::OtherModel { .. })));
        assert!(matches!(gallery.add(resident(1), &other), Err(GalleryError::Embedding(_))));
        gallery.add(resident(1), &at(0.0)).unwrap();
        let longer = Embedding::new(&model(), vec![1.0, 0.0, 0.0]).unwrap();
        assert_eq!(gallery.search(&longer), Err(EmbeddingError::OtherDimension { expected: 2, found: 3 }));
    }

    proptest! {
        /// However the templates are ordered, the ranking is that of each resident's best template.
        #[test]
        fn rankings_equal_brute_force(templates in prop::collection::vec((0u8..5, 0.0f32..180.0), 0..30)) {
            let mut gallery = Gallery::new(model());
            let mut expected: BTreeMap<ResidentId, f32> = BTreeMap::new();
            for (number, degrees) in templates {
                let similarity = at(degrees).cosine(&at(0.0)).unwrap();
                let best = expected.entry(resident(number)).or_insert(similarity);
                *best = best.max(similarity);
                gallery.add(resident(number), &at(degrees)).unwrap();
            }
            let mut expected: Vec<f32> = expected.into_values().collect();
            expected.sort_by(|left, right| right.total_cmp(left));
            let ranking = gallery.search(&at(0.0)).unwrap();
            prop_assert_eq!(ranking.best.map(|(_, similarity)| similarity), expected.first().copied());
            prop_assert_eq!(ranking.second.map(|(_, similarity)| similarity), expected.get(1).copied());
            if let (Some((best, _)), Some((second, _))) = (ranking.best, ranking.second) {
                prop_assert_ne!(best, second);
            }
        }
    }
}
