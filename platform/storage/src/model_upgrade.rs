//! An upgrade of the model of the enrolled faces.

/// An upgrade under way: faces are enrolled under both models, and one of the two is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelUpgrade {
    /// The model that was in use when it began.
    pub old: String,
    /// The model that is to follow.
    pub new: String,
    /// Whether the new one is in use.
    pub switched: bool,
    /// What both said of the same faces.
    pub agreement: Agreement,
}

impl ModelUpgrade {
    /// The model that recognises.
    pub fn in_use(&self) -> &str {
        if self.switched { &self.new } else { &self.old }
    }

    /// The model that does not.
    pub fn other(&self) -> &str {
        if self.switched { &self.old } else { &self.new }
    }
}

/// How many faces of passers-by two models said the same of, and how many not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Both found one resident.
    pub same: u64,
    /// Both found nobody.
    pub neither: u64,
    /// Only the old one found somebody.
    pub only_old: u64,
    /// Only the new one found somebody.
    pub only_new: u64,
    /// They found two residents.
    pub different: u64,
}

/// How many residents are enrolled under the models of an upgrade.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EnrolledUnder {
    /// Under the old one.
    pub old: u64,
    /// Under the new one.
    pub new: u64,
    /// Under the old one only: they are to enrol again.
    pub old_only: u64,
}

/// The models whose workers are welcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Models {
    /// The one that recognises; none while nobody is enrolled.
    pub in_use: Option<String>,
    /// The other one of an upgrade under way.
    pub other: Option<String>,
}
