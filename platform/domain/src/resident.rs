//! Who lives where, and how to reach them.

use std::fmt;

use crate::{
    consent::Purpose,
    id::{BuildingId, CommunityId, ResidentId},
};

/// One resident of a community. Prints nothing but the id.
#[derive(Clone, PartialEq, Eq)]
pub struct Resident {
    /// The id.
    pub id: ResidentId,
    /// Where the resident is on the roster.
    pub community: CommunityId,
    /// As on the roster, any script.
    pub name: String,
    /// Any notation; empty when unknown.
    pub phone: String,
    /// Empty when unknown.
    pub email: String,
    /// The home's building.
    pub building: BuildingId,
    /// The home's unit, for example "1502".
    pub unit: String,
    /// The person's id in smart cameras; empty when none.
    pub person_reference: String,
    /// Whether parcels go only where the resident gets without steps, into compartments at an accessible height. A plain
    /// preference: nobody asks why.
    pub needs_accessible: bool,
    /// Whether the resident is under 14, so that a guardian has to agree to gate recognition. Nothing more of the age is
    /// kept.
    pub under_14: bool,
    /// Consents in force.
    pub consents: Vec<Purpose>,
    /// How many faces are enrolled.
    pub faces: u32,
    /// The models they are enrolled under: two while a model is upgraded.
    pub face_models: Vec<String>,
}

impl Resident {
    /// Whether the resident agrees to `purpose` now.
    pub fn agrees_to(&self, purpose: Purpose) -> bool {
        self.consents.contains(&purpose)
    }
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resident({})", self.id)
    }
}

/// The digits that phones are compared by: the last eight, so that country and trunk prefixes do not matter.
/// `None` when there are fewer.
pub fn phone_key(phone: &str) -> Option<String> {
    let digits: String = phone.chars().map(half_width).filter(char::is_ascii_digit).collect();
    digits.len().checked_sub(8).map(|start| digits[start..].to_owned())
}

/// The form that names, buildings and units are compared in: without white space, in half width and lower case.
pub fn text_key(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).map(half_width).flat_map(char::to_lowercase).collect()
}

/// Chinese labels carry Latin letters and digits in either width: "３号楼" is "3号楼".
fn half_width(c: char) -> char {
    match c {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_agree_across_notations() {
        assert_eq!(phone_key("+86 138-0013-8000"), phone_key("138 0013 8000"));
        assert_eq!(phone_key("１３８－００１３－８０００"), phone_key("13800138000"));
        assert_eq!(phone_key("1234567"), None);
    }

    #[test]
    fn text_keys_ignore_space_and_case() {
        assert_eq!(text_key(" Wang  Fang "), text_key("wangfang"));
        assert_eq!(text_key("王 芳"), "王芳");
        assert_eq!(text_key("３号楼 Ｂ座"), "3号楼b座");
    }
}
