//! Which principal may call which rpc. A test fails when an rpc is missing here.

use gatepost_domain::principal::Principal;

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
const SERVICES: [(&str, &[Caller]); 7] = [
    ("gatepost.v1.ParcelService", &[Caller::Courier]),
    ("gatepost.v1.EventService", &[Caller::Courier]),
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

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

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
