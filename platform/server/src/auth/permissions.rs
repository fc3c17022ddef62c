//! Which principal may call which rpc, and what a limited key needs for it: one table. A test fails when an rpc is
//! missing here.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use gatepost_domain::principal::{Principal, Scope};
use prost::Message as _;
use prost_types::FileDescriptorSet;

use super::grant::Grant;
use crate::problem::Problem;

/// A kind of principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A courier's backend.
    Courier,
    /// A gate camera.
    Camera,
    /// A vision worker.
    Worker,
    /// The property's admin tooling, for all communities.
    Administrator,
    /// The admin tooling of one community.
    CommunityAdministrator,
}

impl Caller {
    /// The kind as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Caller::Courier => "courier",
            Caller::Camera => "camera",
            Caller::Worker => "worker",
            Caller::Administrator => "administrator",
            Caller::CommunityAdministrator => "community_administrator",
        }
    }

    /// The kind of a principal.
    pub fn of(principal: &Principal) -> Self {
        match principal {
            Principal::Courier { .. } => Caller::Courier,
            Principal::Camera { .. } => Caller::Camera,
            Principal::Worker => Caller::Worker,
            Principal::Administrator { community: None } => Caller::Administrator,
            Principal::Administrator { community: Some(_) } => Caller::CommunityAdministrator,
        }
    }
}

const COURIER: &[Caller] = &[Caller::Courier];
const CAMERA: &[Caller] = &[Caller::Camera];
const WORKER: &[Caller] = &[Caller::Worker];
/// Of all communities.
const ADMINISTRATOR: &[Caller] = &[Caller::Administrator];
/// Also of one community, for that one: the handler looks which it is about.
const PROPERTY: &[Caller] = &[Caller::Administrator, Caller::CommunityAdministrator];

/// A row of the table: who may call an rpc, and the scope that a limited credential needs for it.
#[derive(Debug)]
pub struct Rule {
    path: &'static str,
    callers: &'static [Caller],
    scope: Option<Scope>,
    personal: bool,
}

const fn rule(path: &'static str, callers: &'static [Caller], scope: Scope) -> Rule {
    Rule { path, callers, scope: Some(scope), personal: false }
}

/// As [`rule`], for what answers with fields that say something about a person: each call of staff is on record.
const fn personal(path: &'static str, callers: &'static [Caller], scope: Scope) -> Rule {
    Rule { path, callers, scope: Some(scope), personal: true }
}

const fn unscoped(path: &'static str, callers: &'static [Caller]) -> Rule {
    Rule { path, callers, scope: None, personal: false }
}

const TABLE: &[Rule] = &[
    rule("/gatepost.v1.ParcelService/AnnounceParcel", COURIER, Scope::Announce),
    rule("/gatepost.v1.ParcelService/AnnounceParcels", COURIER, Scope::Announce),
    rule("/gatepost.v1.ParcelService/StreamAnnouncements", COURIER, Scope::Announce),
    rule("/gatepost.v1.ParcelService/SuggestPlacement", COURIER, Scope::Announce),
    rule("/gatepost.v1.ParcelService/CancelParcel", COURIER, Scope::Announce),
    rule("/gatepost.v1.ParcelService/ConfirmDeposit", COURIER, Scope::Handle),
    rule("/gatepost.v1.ParcelService/ConfirmPickup", COURIER, Scope::Handle),
    rule("/gatepost.v1.ParcelService/AcceptRecall", COURIER, Scope::Handle),
    rule("/gatepost.v1.ParcelService/RefuseRecall", COURIER, Scope::Handle),
    rule("/gatepost.v1.ParcelService/ReportDoorDelivery", COURIER, Scope::Handle),
    rule("/gatepost.v1.ParcelService/GetParcel", COURIER, Scope::Read),
    rule("/gatepost.v1.ParcelService/ListParcels", COURIER, Scope::Read),
    rule("/gatepost.v1.ParcelService/GetRecallExplanation", COURIER, Scope::Read),
    rule("/gatepost.v1.EventService/StreamEvents", COURIER, Scope::Events),
    rule("/gatepost.v1.EventService/AcknowledgeEvents", COURIER, Scope::Events),
    rule("/gatepost.v1.WebhookService/CreateWebhookEndpoint", COURIER, Scope::Events),
    rule("/gatepost.v1.WebhookService/GetWebhookEndpoint", COURIER, Scope::Events),
    rule("/gatepost.v1.WebhookService/ListWebhookEndpoints", COURIER, Scope::Events),
    rule("/gatepost.v1.WebhookService/UpdateWebhookEndpoint", COURIER, Scope::Events),
    rule("/gatepost.v1.WebhookService/DeleteWebhookEndpoint", COURIER, Scope::Events),
    rule("/gatepost.v1.WebhookService/RotateWebhookSecret", COURIER, Scope::Events),
    rule("/gatepost.v1.WebhookService/SendTestWebhook", COURIER, Scope::Events),
    rule("/gatepost.v1.WebhookService/ListDeadLetters", COURIER, Scope::Events),
    rule("/gatepost.v1.WebhookService/ReplayWebhooks", COURIER, Scope::Events),
    rule("/gatepost.v1.CommunityService/CreateCommunity", ADMINISTRATOR, Scope::Manage),
    rule("/gatepost.v1.CommunityService/UpdateCommunity", PROPERTY, Scope::Manage),
    rule("/gatepost.v1.CommunityService/GetCommunity", PROPERTY, Scope::Read),
    rule("/gatepost.v1.CommunityService/ListCommunities", PROPERTY, Scope::Read),
    rule("/gatepost.v1.CommunityService/SetWaitingPolicy", PROPERTY, Scope::Manage),
    rule("/gatepost.v1.CommunityService/GetWaitingPolicy", PROPERTY, Scope::Read),
    rule("/gatepost.v1.CommunityService/SetRecognitionPolicy", PROPERTY, Scope::Manage),
    rule("/gatepost.v1.CommunityService/GetRecognitionPolicy", PROPERTY, Scope::Read),
    rule("/gatepost.v1.CommunityService/ListCompartments", PROPERTY, Scope::Read),
    rule("/gatepost.v1.ModelService/StartModelUpgrade", ADMINISTRATOR, Scope::Manage),
    rule("/gatepost.v1.ModelService/GetModelUpgrade", ADMINISTRATOR, Scope::Read),
    rule("/gatepost.v1.ModelService/SwitchModel", ADMINISTRATOR, Scope::Manage),
    rule("/gatepost.v1.ModelService/FinishModelUpgrade", ADMINISTRATOR, Scope::Manage),
    personal("/gatepost.v1.ResidentService/CreateResident", PROPERTY, Scope::Manage),
    personal("/gatepost.v1.ResidentService/UpdateResident", PROPERTY, Scope::Manage),
    personal("/gatepost.v1.ResidentService/GetResident", PROPERTY, Scope::Read),
    personal("/gatepost.v1.ResidentService/ListResidents", PROPERTY, Scope::Read),
    rule("/gatepost.v1.ResidentService/DeleteResident", PROPERTY, Scope::Manage),
    personal("/gatepost.v1.ResidentService/GrantConsent", PROPERTY, Scope::Manage),
    personal("/gatepost.v1.ResidentService/WithdrawConsent", PROPERTY, Scope::Manage),
    personal("/gatepost.v1.ResidentService/EnrolFace", PROPERTY, Scope::Manage),
    personal("/gatepost.v1.ResidentService/OpenCapture", PROPERTY, Scope::Manage),
    personal("/gatepost.v1.ResidentService/GetCapture", PROPERTY, Scope::Read),
    personal("/gatepost.v1.ResidentService/DeleteFaces", PROPERTY, Scope::Manage),
    rule("/gatepost.v1.ResidentService/ImportPickups", PROPERTY, Scope::Manage),
    personal("/gatepost.v1.ResidentService/GetUsualPickup", PROPERTY, Scope::Read),
    personal("/gatepost.v1.ResidentService/ListUnresolvedParcels", PROPERTY, Scope::Read),
    rule("/gatepost.v1.ResidentService/ResolveParcel", PROPERTY, Scope::Manage),
    rule("/gatepost.v1.ResidentService/ExtendStay", PROPERTY, Scope::Manage),
    rule("/gatepost.v1.ResidentService/HoldStay", PROPERTY, Scope::Manage),
    rule("/gatepost.v1.ResidentService/ReleaseStay", PROPERTY, Scope::Manage),
    personal("/gatepost.v1.ResidentService/ReportMisidentification", PROPERTY, Scope::Manage),
    rule("/gatepost.v1.ResidentService/SettleMisidentification", PROPERTY, Scope::Manage),
    personal("/gatepost.v1.ResidentService/ListMisidentifications", PROPERTY, Scope::Read),
    personal("/gatepost.v1.ResidentService/ListEnrolmentConflicts", PROPERTY, Scope::Read),
    rule("/gatepost.v1.ResidentService/SettleEnrolmentConflict", PROPERTY, Scope::Manage),
    personal("/gatepost.v1.ResidentService/ListReminders", PROPERTY, Scope::Read),
    rule("/gatepost.v1.PrivacyService/ListLooks", PROPERTY, Scope::Read),
    personal("/gatepost.v1.PrivacyService/ExportResident", PROPERTY, Scope::Read),
    rule("/gatepost.v1.PrivacyService/EraseResident", PROPERTY, Scope::Manage),
    rule("/gatepost.v1.PrivacyService/GetErasure", PROPERTY, Scope::Read),
    rule("/gatepost.v1.PrivacyService/ListErasures", PROPERTY, Scope::Read),
    personal("/gatepost.v1.ResidentService/ListDecisions", PROPERTY, Scope::Read),
    rule("/gatepost.v1.CourierService/CreateCourier", ADMINISTRATOR, Scope::Keys),
    rule("/gatepost.v1.CourierService/ListCouriers", ADMINISTRATOR, Scope::Read),
    rule("/gatepost.v1.CourierService/CreateKey", ADMINISTRATOR, Scope::Keys),
    rule("/gatepost.v1.CourierService/RotateKey", ADMINISTRATOR, Scope::Keys),
    rule("/gatepost.v1.CourierService/ListKeys", ADMINISTRATOR, Scope::Read),
    rule("/gatepost.v1.CourierService/RevokeKey", ADMINISTRATOR, Scope::Keys),
    rule("/gatepost.v1.CourierService/ListCourierWebhooks", ADMINISTRATOR, Scope::Read),
    rule("/gatepost.v1.CourierService/DisableCourierWebhook", ADMINISTRATOR, Scope::Manage),
    rule("/gatepost.v1.CourierService/EnableCourierWebhook", ADMINISTRATOR, Scope::Manage),
    unscoped("/gatepost.v1.GateService/StreamFrames", CAMERA),
    unscoped("/gatepost.v1.GateService/ReportPerson", CAMERA),
    unscoped("/gatepost.vision.v1.VisionService/Work", WORKER),
];

/// What nobody may call: everything that is not in the table.
static NOBODY: Rule = unscoped("/", &[]);

/// Services that anybody may call.
const OPEN: [&str; 3] =
    ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

static RULES: LazyLock<HashMap<&str, &Rule>> = LazyLock::new(|| TABLE.iter().map(|rule| (rule.path, rule)).collect());

/// The rule of a path; `None` for what is open to everybody.
pub fn rule_of(path: &str) -> Option<&'static Rule> {
    let service = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    if OPEN.contains(&service) {
        return None;
    }
    Some(RULES.get(path).copied().unwrap_or(&NOBODY))
}

/// Whether each call of it by staff is on record.
pub fn is_personal(path: &str) -> bool {
    RULES.get(path).is_some_and(|rule| rule.personal)
}

/// Whether an rpc answers by a stream.
pub fn is_stream(path: &str) -> bool {
    static STREAMS: LazyLock<HashSet<String>> = LazyLock::new(|| {
        let descriptors = FileDescriptorSet::decode(gatepost_proto::DESCRIPTORS).unwrap_or_default();
        let services = descriptors.file.iter().flat_map(|file| file.service.iter().map(move |service| (file, service)));
        let streams = services.flat_map(|(file, service)| {
            let streams = service.method.iter().filter(|rpc| rpc.server_streaming());
            streams.map(move |rpc| format!("/{}.{}/{}", file.package(), service.name(), rpc.name()))
        });
        streams.collect()
    });
    STREAMS.contains(path)
}

impl Rule {
    /// Refuses who may not.
    pub fn check(&self, path: &str, grant: &Grant) -> Result<(), Problem> {
        let rpc = || path.trim_start_matches('/').to_owned();
        if !self.callers.contains(&Caller::of(&grant.principal)) {
            return Err(Problem::Forbidden(rpc()));
        }
        match self.scope {
            Some(scope) if !grant.scopes.allow(scope) => Err(Problem::ScopeMissing { rpc: rpc(), scope }),
            _ => Ok(()),
        }
    }
}

/// The path as a metric's label: a stranger's invention must not become a series of its own.
pub fn label(path: &str) -> &'static str {
    RULES.get(path).map_or("other", |rule| rule.path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn invented_paths_share_a_label() {
        assert_eq!(label("/gatepost.v1.ParcelService/AnnounceParcel"), "gatepost.v1.ParcelService/AnnounceParcel");
        assert_eq!(label("/gatepost.v1.ParcelService/Invented"), "other");
    }

    #[test]
    fn every_rpc_we_serve_has_its_row() {
        let descriptors = FileDescriptorSet::decode(gatepost_proto::DESCRIPTORS).expect("our own descriptors decode");
        let ours =
            descriptors.file.iter().filter(|file| ["gatepost.v1", "gatepost.vision.v1"].contains(&file.package()));
        let served: BTreeSet<String> = ours
            .flat_map(|file| file.service.iter().map(move |service| (file, service)))
            .flat_map(|(file, service)| {
                let path = move |rpc: &str| format!("/{}.{}/{rpc}", file.package(), service.name());
                service.method.iter().map(move |rpc| path(rpc.name()))
            })
            .collect();
        let told: BTreeSet<String> = TABLE.iter().map(|rule| rule.path.to_owned()).collect();
        assert_eq!(told, served);
        assert_eq!(told.len(), TABLE.len(), "no rpc has two rows");
    }

    #[test]
    fn every_scope_a_row_needs_is_one_its_callers_can_have() {
        let community = "lotus-garden".parse().ok();
        for rule in TABLE {
            for caller in rule.callers {
                let principal = match caller {
                    Caller::Courier => Principal::Courier { courier: "swift".parse().expect("an id") },
                    Caller::Administrator => Principal::ADMINISTRATOR,
                    Caller::CommunityAdministrator => Principal::Administrator { community: community.clone() },
                    Caller::Camera | Caller::Worker => Principal::Worker,
                };
                assert!(rule.scope.is_none_or(|scope| principal.scopes().contains(&scope)), "{rule:?}");
            }
        }
    }

    #[test]
    fn streams_are_known() {
        assert!(
            is_stream("/gatepost.v1.EventService/StreamEvents") && is_stream("/gatepost.vision.v1.VisionService/Work")
        );
        assert!(!is_stream("/gatepost.v1.ParcelService/GetParcel"));
    }

    #[test]
    fn an_unknown_rpc_is_for_nobody() {
        for path in ["/gatepost.v1.Nothing/Any", "/gatepost.v1.ParcelService/Invented", "/", ""] {
            assert!(rule_of(path).is_some_and(|rule| rule.callers.is_empty()), "{path}");
        }
        assert!(rule_of("/grpc.health.v1.Health/Check").is_none());
    }
}
