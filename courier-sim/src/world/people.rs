//! Who the story is about: five residents, the photographs they are enrolled from, and those they are seen in.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::scene::{Passage, pass};
use crate::server::{Consignment, Size};

/// A resident as the property knows them.
#[derive(Debug, Clone, Copy)]
pub struct Person {
    /// As in the roster.
    pub name: &'static str,
    /// As in the roster.
    pub phone: &'static str,
    /// As in the topology.
    pub building_id: &'static str,
    /// As labels write it.
    pub building: &'static str,
    /// As labels write it.
    pub unit: &'static str,
    /// The photograph of the enrolment, for those who agreed to recognition.
    pub enrolled_from: Option<&'static str>,
}

/// Parcel A is theirs; seen at the gate before and after T1.
pub const CHEN: Person = Person {
    name: "陈伟",
    phone: "13800010001",
    building_id: "building-1",
    building: "1号楼",
    unit: "1502",
    enrolled_from: Some("obama"),
};
/// Parcel D is theirs; seen at the gate once.
pub const LI: Person = Person {
    name: "李建国",
    phone: "13800010002",
    building_id: "building-2",
    building: "2号楼",
    unit: "301",
    enrolled_from: Some("biden"),
};
/// Parcel B is theirs; no face on file, but a history of pickups.
pub const WANG: Person = Person {
    name: "王芳",
    phone: "13800010003",
    building_id: "building-3",
    building: "3号楼",
    unit: "802",
    enrolled_from: None,
};
/// Parcel C is theirs, and forgotten.
pub const ZHAO: Person = Person {
    name: "赵敏",
    phone: "13800010004",
    building_id: "building-3",
    building: "3号楼",
    unit: "1101",
    enrolled_from: None,
};
/// A neighbour of the first, whose parcel finds the nearest locker full.
pub const LIU: Person = Person {
    name: "刘洋",
    phone: "13800010005",
    building_id: "building-1",
    building: "1号楼",
    unit: "0903",
    enrolled_from: None,
};
/// Everybody who lives here.
pub const RESIDENTS: [Person; 5] = [CHEN, LI, WANG, ZHAO, LIU];

impl Person {
    /// A parcel for this person, labelled with building and unit apart.
    pub fn consignment(&self, tracking_number: String, size: Size) -> Consignment {
        Consignment {
            tracking_number,
            name: self.name.to_owned(),
            phone: self.phone.to_owned(),
            building: self.building.to_owned(),
            unit: self.unit.to_owned(),
            address: String::new(),
            size,
            deposit_consent: None,
        }
    }

    /// The same with nothing but an address line, and the phone number as labels mask and space it.
    pub fn consignment_by_address(&self, tracking_number: String, size: Size) -> Consignment {
        let address = format!("上海市浦东新区莲花路88号莲花苑{}{}室", self.building, self.unit);
        Consignment {
            phone: format!("+86 {} {} {}", &self.phone[..3], &self.phone[3..7], &self.phone[7..]),
            building: String::new(),
            unit: String::new(),
            address,
            ..self.consignment(tracking_number, size)
        }
    }
}

/// The folder of photographs.
#[derive(Debug, Clone)]
pub struct Album {
    folder: PathBuf,
}

impl Album {
    /// Checks that everything the story needs is there.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let album = Album { folder: folder.to_owned() };
        for name in ["obama", "obama2", "obama3", "biden", "astronaut"] {
            album.find(name)?;
        }
        Ok(album)
    }

    fn find(&self, name: &str) -> anyhow::Result<PathBuf> {
        let candidates = ["jpg", "png"].map(|ending| self.folder.join(name).with_extension(ending));
        let Some(found) = candidates.into_iter().find(|path| path.is_file()) else {
            bail!("{} has no photograph {name}.jpg; courier-sim/photographs/fetch fetches it", self.folder.display());
        };
        Ok(found)
    }

    /// A photograph as it is, for an enrolment.
    pub fn photograph(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.find(name)?;
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Somebody passes a gate: the person of a photograph in frames of a gate camera. Takes a while.
    pub fn passage(&self, name: &str, passage: &Passage) -> anyhow::Result<Vec<bytes::Bytes>> {
        pass(&self.find(name)?, passage)
    }
}
