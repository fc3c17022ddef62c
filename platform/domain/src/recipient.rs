//! From the label on a parcel to a resident.

use std::fmt;

use crate::{
    id::{BuildingId, ResidentId},
    resident::{Resident, phone_key, text_key},
    topology::Topology,
};

/// The recipient as the courier wrote it. Prints nothing.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Label {
    /// Any script.
    pub name: String,
    /// Any notation.
    pub phone: String,
    /// As on the label; may be empty.
    pub building: String,
    /// As on the label; may be empty.
    pub unit: String,
    /// The printed address line; may be empty.
    pub address: String,
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Label(..)")
    }
}

/// Whose parcel it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressee {
    /// A resident, with the door to bring the parcel to.
    Resident {
        /// Whose.
        resident: ResidentId,
        /// The home's building.
        building: BuildingId,
        /// The home's unit.
        unit: String,
    },
    /// Nobody yet: the label waits for staff.
    Unresolved(Label),
}

impl Addressee {
    /// The addressee that a resident is.
    pub fn resident(resident: &Resident) -> Self {
        Addressee::Resident { resident: resident.id, building: resident.building.clone(), unit: resident.unit.clone() }
    }

    /// The resident, once known.
    pub fn resident_id(&self) -> Option<ResidentId> {
        match self {
            Addressee::Resident { resident, .. } => Some(*resident),
            Addressee::Unresolved(_) => None,
        }
    }
}

/// Finds the one resident a label can mean.
///
/// A phone number alone is believed when the label names nobody else: with a name or a home on it, one of the two
/// must agree too. Without a matching phone, name and home must both agree. Where that leaves nobody, or more than
/// one, staff decide: a parcel is never given to the likelier of two.
pub fn resolve<'a>(label: &Label, roster: &'a [Resident], topology: &Topology) -> Option<&'a Resident> {
    let fits = |resident: &&Resident| -> bool {
        let phone = phone_key(&label.phone).is_some_and(|key| phone_key(&resident.phone) == Some(key));
        let name = !label.name.trim().is_empty() && text_key(&label.name) == text_key(&resident.name);
        let home = lives_at(label, resident, topology);
        let bare = label.name.trim().is_empty() && !has_home(label);
        (phone && (name || home || bare)) || (name && home)
    };
    let mut fitting: Vec<&Resident> = roster.iter().filter(fits).collect();
    if fitting.len() > 1 {
        // A household shares a phone or a home: the name tells them apart.
        fitting.retain(|resident| text_key(&label.name) == text_key(&resident.name));
    }
    match fitting[..] {
        [resident] => Some(resident),
        _ => None,
    }
}

fn has_home(label: &Label) -> bool {
    [&label.building, &label.unit, &label.address].iter().any(|text| !text.trim().is_empty())
}

fn lives_at(label: &Label, resident: &Resident, topology: &Topology) -> bool {
    let building_names =
        [resident.building.as_str(), topology.building_name(&resident.building).unwrap_or_default()].map(text_key);
    let unit = text_key(&resident.unit);
    if label.building.trim().is_empty() && label.unit.trim().is_empty() {
        return in_address(&text_key(&label.address), &building_names, &unit);
    }
    building_names.contains(&text_key(&label.building)) && unit == text_key(&label.unit)
}

/// Looks for the building's name and, after it, the unit as a whole number: "1502" is not in "11502" nor in "15021".
fn in_address(address: &str, building_names: &[String], unit: &str) -> bool {
    let whole = |text: &str, word: &str| {
        text.match_indices(word).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + word.len()..].chars().next();
            let joined = |edge: Option<char>, inner: Option<char>| {
                matches!((edge, inner), (Some(a), Some(b)) if a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric())
            };
            !joined(before, word.chars().next()) && !joined(after, word.chars().next_back())
        })
    };
    let named = building_names.iter().any(|name| !name.is_empty() && whole(address, name));
    named && (unit.is_empty() || whole(address, unit))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::topology::Building;

    fn resident(n: u128, name: &str, phone: &str, building: &str, unit: &str) -> Resident {
        Resident {
            id: ResidentId(Uuid::from_u128(n)),
            community: "c".parse().unwrap(),
            name: name.into(),
            phone: phone.into(),
            email: String::new(),
            building: building.parse().unwrap(),
            unit: unit.into(),
            person_reference: String::new(),
            needs_accessible: false,
            under_14: false,
            consents: vec![],
            faces: 0,
            face_models: Vec::new(),
        }
    }

    fn label(name: &str, phone: &str, building: &str, unit: &str, address: &str) -> Label {
        Label {
            name: name.into(),
            phone: phone.into(),
            building: building.into(),
            unit: unit.into(),
            address: address.into(),
        }
    }

    #[test]
    fn the_rules_by_example() {
        let topology = Topology {
            buildings: vec![
                Building { id: "b3".parse().unwrap(), name: "3号楼".into() },
                Building { id: "b13".parse().unwrap(), name: "13号楼".into() },
            ],
            ..Topology::default()
        };
        let roster = [
            resident(1, "王芳", "+86 138 0013 8000", "b3", "1502"),
            resident(2, "李伟", "+86 138 0013 8000", "b3", "1502"),
            resident(3, "Ada Lovelace", "13900001111", "b13", "201"),
            resident(4, "王芳", "13700002222", "b13", "101"),
        ];
        let cases = [
            ("phone and name", label("王芳", "13800138000", "", "", ""), Some(1)),
            ("a household shares phone and home", label("李伟", "13800138000", "3号楼", "1502", ""), Some(2)),
            ("phone shared, no name", label("", "13800138000", "", "", ""), None),
            ("phone alone, one bearer", label("", "13900001111", "", "", ""), Some(3)),
            ("phone right, name and home of another", label("王芳", "13900001111", "b3", "1502", ""), Some(1)),
            ("phone right, name wrong, no home", label("Bob", "13900001111", "", "", ""), None),
            ("name and home without a phone", label("ada lovelace", "", "13号楼", "201", ""), Some(3)),
            ("name alone", label("Ada Lovelace", "", "", "", ""), None),
            ("home in the address line", label("王芳", "", "", "", "莲花苑3号楼1502室"), Some(1)),
            ("13号楼 is not 3号楼", label("王芳", "", "", "", "莲花苑13号楼1502室"), None),
            ("nobody", label("Nobody", "0", "", "", ""), None),
        ];
        for (what, label, expected) in cases {
            let found = resolve(&label, &roster, &topology).map(|resident| resident.id.0.as_u128());
            assert_eq!(found, expected, "{what}");
        }
    }
}
