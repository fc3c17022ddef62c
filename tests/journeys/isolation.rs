//! Nobody learns anything of a neighbour. Tried on every rpc that the descriptors tell of, with every field of its
//! request that names something, by every kind of caller that shares the platform with others of its kind.

mod estate;
mod maker;

use std::{collections::BTreeSet, panic::AssertUnwindSafe};

use bytes::Bytes;
use futures::FutureExt as _;
use gatepost_tests::{
    clients::new_request_id,
    reflected::{self, Answered},
    world::{Stack, World},
};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor, Value};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use self::{
    estate::{Estate, LOTUS, Named, ROSE, Side},
    maker::{Meaning, Path},
};
use super::permissions;

/// Who shares the platform with nobody of its kind: an administrator of everything, and the property's own workers.
const ALONE: [&str; 2] = ["administrator", "worker"];

/// What is answered to a neighbour's id other than that it is not there: the rpc, the field, the code, and why.
const OTHERWISE: [(&str, &str, Code); 12] = [
    // Every courier numbers its own parcels.
    ("AnnounceParcel", "tracking_number", Code::Ok),
    ("AnnounceParcels", "announcements.tracking_number", Code::Ok),
    ("StreamAnnouncements", "announcement.tracking_number", Code::Ok),
    // Every community has its own references to persons, and of a stranger's nothing is told.
    ("CreateResident", "resident.person_reference", Code::Ok),
    ("UpdateResident", "resident.person_reference", Code::Ok),
    ("ReportPerson", "person_reference", Code::Ok),
    // The platform's to choose.
    ("CreateResident", "resident.id", Code::Ok),
    // Nobody moves from one community to another.
    ("UpdateResident", "resident.community_id", Code::Ok),
    // A part of the community that is looked for in it alone.
    ("CreateResident", "resident.building_id", Code::InvalidArgument),
    ("UpdateResident", "resident.building_id", Code::InvalidArgument),
    // Looks at residents who are deleted are listed too: of one who never was, there are none.
    ("ListLooks", "resident_id", Code::Ok),
    // Couriers serve all communities: their policies are the property's.
    ("SetWaitingPolicy", "layer.courier_id", Code::PermissionDenied),
];

/// Shared by all callers of a kind: every courier may announce to every community, and every community may ask by which
/// policy a courier's parcels wait in it.
fn is_shared(kind: &str, rpc: &MethodDescriptor, named: Named) -> bool {
    (kind == "courier" && named == Named::Community) || (rpc.name() == "GetWaitingPolicy" && named == Named::Courier)
}

/// Who may call an rpc and is not alone.
fn callers(rpc: &MethodDescriptor) -> Vec<&'static str> {
    let path = reflected::path(rpc);
    let row = permissions::told().into_iter().find(|row| row.path == path);
    let who = row.unwrap_or_else(|| panic!("proto/README.md says who may call {path}")).who;
    who.into_iter().filter(|kind| !ALONE.contains(kind)).collect()
}

/// A world with two neighbours.
async fn neighbours(stack: Stack) -> (World, Side, Side) {
    let builder = World::builder().on(stack).bare();
    let world = builder.config(|config| config.events.webhooks_to_private_addresses = true).start().await;
    let (rose, lotus) = (Side::new(&world, ROSE).await, Side::new(&world, LOTUS).await);
    (world, rose, lotus)
}

/// An answer as far as it can be compared: ids that were made for it, and those that were asked for, are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    code: Code,
    reason: String,
    /// Everything that went over the wire.
    text: String,
}

impl Told {
    fn new(answered: &Answered, asked: &[&str]) -> Told {
        let ok = Status::ok("");
        let status = answered.end.as_ref().err().unwrap_or(&ok);
        let reason = status.get_error_details().error_info().map_or_else(String::new, |info| info.reason.clone());
        let mut metadata: Vec<_> = status.metadata().as_ref().keys().map(|name| name.as_str().to_owned()).collect();
        metadata.sort();
        let mut text = format!("{} {metadata:?} {}", status.message(), String::from_utf8_lossy(status.details()));
        for message in &answered.messages {
            text.push_str(&String::from_utf8_lossy(message));
        }
        for asked in asked.iter().filter(|asked| !asked.is_empty()) {
            text = text.replace(asked, "~");
        }
        for id in made_ids(&text) {
            text = text.replace(&id, "~");
        }
        Told { code: status.code(), reason, text }
    }
}

/// Ids that the platform made: three letters, and 32 hexadecimal digits.
fn made_ids(text: &str) -> BTreeSet<String> {
    let is_id = |id: &str| {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        id[..3].bytes().all(|byte| byte.is_ascii_lowercase()) && id[4..].bytes().all(digit)
    };
    let places = text.match_indices('_').filter_map(|(at, _)| text.get(at.checked_sub(3)?..at + 33));
    places.filter(|id| is_id(id)).map(str::to_owned).collect()
}

/// One rpc, called by one of two neighbours.
struct Trial<'a> {
    world: &'a World,
    rpc: &'a MethodDescriptor,
    kind: &'static str,
    /// Who asks.
    stranger: &'a Estate,
    /// Whom it is no business of.
    owner: &'a Estate,
}

impl Trial<'_> {
    async fn ask(&self, who: &Estate, request: &DynamicMessage) -> Answered {
        let message = Bytes::from(request.encode_to_vec());
        let answered = reflected::call(self.world.line(), Some(who.key(self.kind)), self.rpc, message).await;
        if let Err(status) = &answered.end {
            let code = status.code();
            assert!(!matches!(code, Code::Internal | Code::Unknown), "{}: {status:?}", self.rpc.full_name());
        }
        answered
    }

    /// What is told of an id, asked for under a new request id.
    async fn told(&self, who: &Estate, request: &DynamicMessage, asked: &str) -> Told {
        let request_id = new_request_id();
        Told::new(&self.ask(who, &maker::under(request.clone(), &request_id)).await, &[asked, &request_id])
    }

    fn request(&self, who: &Estate) -> DynamicMessage {
        maker::request(&self.rpc.input(), who, self.world.now())
    }

    /// The fields that name what callers of this kind do not share.
    fn names(&self) -> Vec<(Path, Named)> {
        let named = |(path, meaning)| match meaning {
            Meaning::Names(named) if !is_shared(self.kind, self.rpc, named) => Some((path, named)),
            _ => None,
        };
        maker::fields(&self.rpc.input(), self.world.now()).into_iter().filter_map(named).collect()
    }

    fn cursors(&self) -> Vec<Path> {
        let fields = maker::fields(&self.rpc.input(), self.world.now());
        fields.into_iter().filter(|(_, meaning)| *meaning == Meaning::Cursor).map(|(path, _)| path).collect()
    }

    /// That an answer to the stranger has nothing of the owner's in it that was not in the question.
    fn check_silent(&self, request: &DynamicMessage, answered: &Answered) {
        let asked = String::from_utf8_lossy(&request.encode_to_vec()).into_owned();
        let status = answered.end.as_ref().err().map(|status| format!("{status:?}")).unwrap_or_default();
        let messages = answered.messages.iter().map(|message| String::from_utf8_lossy(message).into_owned());
        let told = messages.chain([status]).collect::<String>();
        for secret in self.owner.secrets().filter(|secret| !asked.contains(secret)) {
            assert!(!told.contains(secret), "{} tells of {secret}: {told}", self.rpc.full_name());
        }
    }

    /// What is the stranger's own is answered, and of nothing else is told.
    async fn own(&self) {
        let request = self.request(self.stranger);
        let answered = self.ask(self.stranger, &request).await;
        self.check_silent(&request, &answered);
        let told = Told::new(&answered, &[]);
        // Of these rpcs the second thing looked for is not there.
        let may_miss = [
            "REMINDER_NOT_FOUND",
            "MISIDENTIFICATION_NOT_FOUND",
            "CONFLICT_NOT_FOUND",
            "DECISION_NOT_FOUND",
            "GATE_NOT_FOUND",
            "CAPTURE_NOT_FOUND",
        ]
        .contains(&&*told.reason);
        let valid = !matches!(told.code, Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated)
            && (told.code != Code::NotFound || may_miss);
        assert!(valid, "the request for {} is not valid: {told:?}", self.rpc.full_name());
    }

    /// The owner's id is answered as one that never existed; returns which of `OTHERWISE` were met.
    async fn ids(&self) -> BTreeSet<(&'static str, &'static str)> {
        let mut met = BTreeSet::new();
        for (path, named) in self.names() {
            let (foreign, never) = (self.owner.name(named).to_owned(), self.owner.never(named));
            let base = self.request(self.stranger);
            let asked = |id: &str| maker::with(base.clone(), &path, Value::String(id.to_owned()));
            let theirs = self.told(self.stranger, &asked(&foreign), &foreign).await;
            let nobodys = self.told(self.stranger, &asked(&never), &never).await;
            let place = format!("{} {} of a {}", self.rpc.name(), maker::written(&path), self.kind);
            assert_eq!(theirs, nobodys, "{place}: {foreign} and {never}");
            let otherwise =
                OTHERWISE.iter().find(|(rpc, field, _)| *rpc == self.rpc.name() && *field == maker::written(&path));
            match otherwise {
                Some((rpc, field, code)) => {
                    assert_eq!(theirs.code, *code, "{place}: {theirs:?}");
                    met.insert((*rpc, *field));
                }
                None => assert_eq!(theirs.code, Code::NotFound, "{place}: {theirs:?}"),
            }
        }
        met
    }

    /// The number of an event that the owner has is answered as before the owner had it.
    async fn cursors_mean_nothing(&self) {
        const SECOND: i64 = 2;
        let asked = |path: &Path| maker::with(self.request(self.stranger), path, Value::I64(SECOND));
        let mut before = Vec::new();
        for path in self.cursors() {
            before.push((path.clone(), self.told(self.stranger, &asked(&path), "").await));
        }
        if before.is_empty() {
            return;
        }
        self.owner.happen().await;
        for (path, before) in before {
            let place = format!("{} {}", self.rpc.name(), maker::written(&path));
            let after = self.told(self.stranger, &asked(&path), "").await;
            assert_eq!(before, after, "{place}");
            if before.code != Code::Ok {
                let owners = maker::with(self.request(self.owner), &path, Value::I64(SECOND));
                assert_eq!(self.told(self.owner, &owners, "").await.code, Code::Ok, "{place}: to the owner it is one");
            }
        }
    }

    /// The owner's whole request is worth nothing to the stranger, nor is its request id to another one.
    async fn requests(&self, another: &Estate) {
        let (theirs, request_id) = (self.request(self.owner), new_request_id());
        let theirs = maker::under(theirs, &request_id);
        let before = self.told(self.stranger, &theirs, "").await;
        let owners = self.ask(self.owner, &theirs).await;
        let repeated = self.ask(self.stranger, &theirs).await;
        let after = Told::new(&repeated, &[&request_id]);
        let is_told_nothing = before.code == Code::NotFound;
        if is_told_nothing {
            assert_ne!(Told::new(&owners, &[&request_id]), before, "{} is answered to its owner", self.rpc.full_name());
            assert_eq!(after, before, "{}", self.rpc.full_name());
        }
        // One that the stranger has not used for itself.
        let mut lent = request_id.clone();
        if !is_told_nothing {
            lent = new_request_id();
            self.ask(self.owner, &maker::under(self.request(self.owner), &lent)).await;
        }
        let own = maker::under(self.request(another), &lent);
        let borrowed = self.ask(another, &own).await;
        self.check_silent(&own, &borrowed);
        let ids = |answered: &Answered| -> BTreeSet<String> {
            let messages = answered.messages.iter();
            messages.flat_map(|message| made_ids(&String::from_utf8_lossy(message))).collect()
        };
        for answered in [&repeated, &borrowed] {
            assert_ne!(Told::new(answered, &[]).reason, "REQUEST_ID_REUSED", "{}", self.rpc.full_name());
            let shared: Vec<_> = ids(&owners).intersection(&ids(answered)).cloned().collect();
            assert_eq!(shared, Vec::<String>::new(), "{}", self.rpc.full_name());
        }
    }
}

/// Everything that is tried on an rpc; returns which of `OTHERWISE` were met.
async fn try_rpc(
    world: &World,
    (rose, lotus): (&Side, &Side),
    (rpc, kind): (&MethodDescriptor, &'static str),
    number: usize,
) -> BTreeSet<(&'static str, &'static str)> {
    let (stranger, owner) = (Estate::new(world, rose, number).await, Estate::new(world, lotus, number).await);
    let trial = Trial { world, rpc, kind, stranger: &stranger, owner: &owner };
    // First, while neither has any event.
    trial.cursors_mean_nothing().await;
    let met = trial.ids().await;
    // Another, because this may take away what is its own.
    let another = Estate::new(world, rose, 1_000 + number).await;
    Trial { stranger: &another, ..trial }.own().await;
    trial.requests(&another).await;
    met
}

async fn a_neighbours_id_is_as_one_that_never_existed(stack: Stack) {
    let (world, rose, lotus) = neighbours(stack).await;
    let (mut number, mut met, mut failed) = (0, BTreeSet::new(), Vec::new());
    for rpc in reflected::rpcs("gatepost.v1") {
        for kind in callers(&rpc) {
            number += 1;
            let trial = try_rpc(&world, (&rose, &lotus), (&rpc, kind), number);
            // All are tried, whichever fails: the panic has said why.
            match AssertUnwindSafe(trial).catch_unwind().await {
                Ok(exceptions) => met.extend(exceptions),
                Err(_) => failed.push(format!("{} by a {kind}", rpc.name())),
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
    let expected = OTHERWISE.iter().map(|(rpc, field, _)| (*rpc, *field)).collect();
    assert_eq!(met, expected, "every exception is one");
    assert!(number > 40, "most rpcs are shared by callers of a kind: {number}");
}

async fn a_neighbours_page_token_is_as_one_that_was_made_up(stack: Stack) {
    let (world, rose, lotus) = neighbours(stack).await;
    let (stranger, owner) = (Estate::new(&world, &rose, 1).await, Estate::new(&world, &lotus, 1).await);
    for (side, estate) in [(&rose, &stranger), (&lotus, &owner)] {
        estate.gather(&world).await;
        Estate::new(&world, side, 2).await;
    }
    let mut tried = Vec::new();
    for rpc in reflected::rpcs("gatepost.v1") {
        for kind in callers(&rpc) {
            let fields = maker::fields(&rpc.input(), world.now());
            let Some((path, _)) = fields.into_iter().find(|(_, meaning)| *meaning == Meaning::PageToken) else {
                continue;
            };
            let trial = Trial { world: &world, rpc: &rpc, kind, stranger: &stranger, owner: &owner };
            let page = |who: &Estate, token: &str| {
                let mut request = maker::with(trial.request(who), &path, Value::String(token.to_owned()));
                request.set_field_by_name("page_size", Value::I32(1));
                request
            };
            let first = trial.ask(&owner, &page(&owner, "")).await;
            let first = DynamicMessage::decode(rpc.output(), first.messages[0].clone()).unwrap();
            let token = first.get_field_by_name("next_page_token").unwrap().as_str().unwrap().to_owned();
            // An administrator of one community has one.
            if rpc.name() == "ListCommunities" {
                assert_eq!(token, "");
                continue;
            }
            assert_ne!(token, "", "{} has a second page", rpc.full_name());
            assert!(trial.ask(&owner, &page(&owner, &token)).await.end.is_ok(), "{}", rpc.full_name());
            for who in [&stranger, &owner] {
                let theirs = trial.told(&stranger, &page(who, &token), "").await;
                let made_up = trial.told(&stranger, &page(who, "bWFkZSB1cA"), "").await;
                assert_eq!(theirs, made_up, "{}", rpc.full_name());
                assert_eq!((theirs.code, &*theirs.reason), (Code::InvalidArgument, "INVALID_PAGE_TOKEN"));
            }
            tried.push(rpc.name().to_owned());
        }
    }
    tried.sort();
    assert_eq!(
        tried,
        ["ListDeadLetters", "ListErasures", "ListLooks", "ListParcels", "ListResidents", "ListUnresolvedParcels"]
    );
}

async fn an_event_stream_tells_of_its_own_courier_only(stack: Stack) {
    let (world, rose, lotus) = neighbours(stack).await;
    let (stranger, owner) = (Estate::new(&world, &rose, 1).await, Estate::new(&world, &lotus, 1).await);
    let mut stream = stranger.courier().follow(Some(0)).await.unwrap();
    for sequence in [1, 3, 5] {
        owner.happen().await;
        stranger.happen().await;
        for sequence in [sequence, sequence + 1] {
            let event = stream.next().await;
            assert_eq!(event.sequence, sequence, "numbers are each courier's own, without gaps");
            stranger.courier().parcel(&event.parcel_id).await.unwrap();
            owner.courier().parcel(&event.parcel_id).await.unwrap_err();
        }
    }
}

/// Both databases, because a platform that stands on another answers by other queries.
macro_rules! on_both_databases {
    ($($trial:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $trial() {
                super::$trial(super::Stack::Embedded).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $trial() {
                super::$trial(super::Stack::Servers).await;
            })+
        }
    };
}

on_both_databases!(
    a_neighbours_id_is_as_one_that_never_existed,
    a_neighbours_page_token_is_as_one_that_was_made_up,
    an_event_stream_tells_of_its_own_courier_only,
);
