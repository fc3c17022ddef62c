//! Which principal may call which rpc. A test fails when an rpc is missing here.

use std::{collections::BTreeSet, sync::LazyLock};

use gatepost_domain::principal::Principal;
use prost::Message as _;
use prost_types::FileDescriptorSet;

/// A kind of principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A courier's backend.
    Courier,
    /// A gate camera.
    Camera,
    /// A vision worker.
    Worker,
    /// The property's admin tooling.
    Administrator,
}

impl Caller {
    /// The kind of a principal.
    pub fn of(principal: &Principal) -> Self {
        match principal {
            Principal::Courier { .. } => Caller::Courier,
            Principal::Camera { .. } => Caller::Camera,
            Principal::Worker => Caller::Worker,
            Principal::Administrator => Caller::Administrator,
        }
    }
}

/// By service: every rpc of one service has one kind of caller.
const SERVICES: [(&str, &[Caller]); 8] = [
    ("gatepost.v1.ParcelService", &[Caller::Courier]),
    ("gatepost.v1.EventService", &[Caller::Courier]),
    ("gatepost.v1.WebhookService", &[Caller::Courier]),
    ("gatepost.v1.CommunityService", &[Caller::Administrator]),
    ("gatepost.v1.ResidentService", &[Caller::Administrator]),
    ("gatepost.v1.CourierService", &[Caller::Administrator]),
    ("gatepost.v1.GateService", &[Caller::Camera]),
    ("gatepost.vision.v1.VisionService", &[Caller::Worker]),
];

/// Services that anybody may call.
const OPEN: [&str; 3] =
    ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// Who may call this path; `None` for everybody. An unknown path is for nobody.
pub fn callers(path: &str) -> Option<&'static [Caller]> {
    let service = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    if OPEN.contains(&service) {
        return None;
    }
    Some(SERVICES.iter().find(|(name, _)| *name == service).map_or(&[], |(_, callers)| callers))
}

/// Every path of ours, from the descriptors.
static PATHS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let descriptors = FileDescriptorSet::decode(gatepost_proto::DESCRIPTORS).unwrap_or_default();
    let mut paths = BTreeSet::new();
    for file in &descriptors.file {
        for service in &file.service {
            let method = |name: &str| format!("/{}.{}/{name}", file.package(), service.name());
            paths.extend(service.method.iter().map(|rpc| method(rpc.name())));
        }
    }
    paths
});

/// The path as a metric's label: a stranger's invention must not become a series of its own.
pub fn label(path: &str) -> String {
    if PATHS.contains(path) { path.trim_start_matches('/').to_owned() } else { "other".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_paths_share_a_label() {
        assert_eq!(label("/gatepost.v1.ParcelService/AnnounceParcel"), "gatepost.v1.ParcelService/AnnounceParcel");
        assert_eq!(label("/gatepost.v1.ParcelService/Invented"), "other");
    }

    #[test]
    fn every_service_we_serve_has_its_callers() {
        let descriptors = FileDescriptorSet::decode(gatepost_proto::DESCRIPTORS).expect("our own descriptors decode");
        let ours =
            descriptors.file.iter().filter(|file| ["gatepost.v1", "gatepost.vision.v1"].contains(&file.package()));
        let mut seen = 0;
        for file in ours {
            for service in &file.service {
                let path = format!("/{}.{}/Any", file.package(), service.name());
                assert!(!callers(&path).expect("not open").is_empty(), "{path} has no callers");
                seen += 1;
            }
        }
        assert_eq!(seen, SERVICES.len());
    }

    #[test]
    fn an_unknown_service_is_for_nobody() {
        assert_eq!(callers("/gatepost.v1.Nothing/Any"), Some(&[][..]));
    }
}
