//! Who may call what, and what nobody can learn about others.

use gatepost_proto::{
    DESCRIPTORS,
    v1::{
        self, DoorDeliveryOutcome, get_parcel_request,
        principal::{GateCamera, Principal as Who},
    },
};
use gatepost_tests::{
    clients::{Answer, Courier, Key, Label, Refused, answer, new_request_id},
    world::{COMMUNITY, NORTH_GATE, World, hours, soon},
};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Code, Request, client::Grpc};
use tonic_prost::ProstCodec;

const README: &str = include_str!("../../proto/README.md");

/// Kinds of principals as the page names them, and the scopes each can be limited to.
const KINDS: [(&str, &[v1::Scope]); 5] = [
    ("courier", &[v1::Scope::Read, v1::Scope::Announce, v1::Scope::Handle, v1::Scope::Events]),
    ("camera", &[]),
    ("worker", &[]),
    ("administrator", &[v1::Scope::Read, v1::Scope::Manage, v1::Scope::Keys]),
    ("community administrator", &[v1::Scope::Read, v1::Scope::Manage]),
];

/// A row of the page's table, for one rpc.
pub(super) struct Row {
    pub(super) path: String,
    pub(super) who: Vec<&'static str>,
    scope: &'static str,
}

/// What proto/README.md says of who may call what.
pub(super) fn told() -> Vec<Row> {
    let (_, section) = README.split_once("## Who may call").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| who"));
    rows.flat_map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [who, scope, rpcs] = cells[..] else { panic!("three cells: {row}") };
        let (service, rpcs) = rpcs.split_once(": ").unwrap();
        let service = if service.contains('.') { service.to_owned() } else { format!("gatepost.v1.{service}") };
        let who: Vec<_> = who.split(", ").collect();
        rpcs.split(", ").map(move |rpc| Row { path: format!("/{service}/{rpc}"), who: who.clone(), scope })
    })
    .collect()
}

/// Every rpc, from the descriptors.
fn served() -> Vec<String> {
    let descriptors = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let ours = descriptors.file.iter().filter(|file| ["gatepost.v1", "gatepost.vision.v1"].contains(&file.package()));
    let services = ours.flat_map(|file| file.service.iter().map(move |service| (file.package(), service)));
    services
        .flat_map(|(package, service)| {
            service.method.iter().map(move |rpc| format!("/{package}.{}/{}", service.name(), rpc.name()))
        })
        .collect()
}

#[test]
fn the_page_tells_of_every_rpc_once() {
    let (mut told, mut served) = (told().into_iter().map(|row| row.path).collect::<Vec<_>>(), served());
    told.sort();
    served.sort();
    assert_eq!(told, served);
}

/// Calls an rpc with an empty message. Nothing bad comes of that: every mutation wants a request id.
async fn call(world: &World, path: &str, key: Option<&Key>) -> Answer<()> {
    let mut grpc = Grpc::new(world.line().channel());
    grpc.ready().await.unwrap();
    let mut request = Request::new(());
    if let Some(key) = key {
        request.metadata_mut().insert("authorization", format!("Bearer {}", key.secret()).parse().unwrap());
    }
    let codec = ProstCodec::<(), ()>::default();
    let path = path.parse().unwrap();
    soon("an answer", grpc.server_streaming(request, path, codec)).await.map(|_| ()).map_err(Refused::from)
}

/// A key's bearer by the name of its kind.
fn principal(kind: &str) -> Who {
    let community_id = COMMUNITY.to_owned();
    match kind {
        "courier" => Who::CourierId("swift-express".to_owned()),
        "camera" => Who::Camera(GateCamera { community_id, gate_id: NORTH_GATE.to_owned() }),
        "worker" => Who::Worker(v1::principal::Worker {}),
        "administrator" => Who::Administrator(v1::principal::Administrator::default()),
        "community administrator" => Who::Administrator(v1::principal::Administrator { community_id }),
        other => panic!("{other} is no kind of principal"),
    }
}

/// Keys of every kind: without limits, and for each scope one that is limited to it.
async fn keys(world: &World) -> Vec<(&'static str, Option<v1::Scope>, Key)> {
    let administrator = world.administrator();
    world.courier("swift-express").await;
    let mut keys = Vec::new();
    for (kind, scopes) in KINDS {
        for scope in std::iter::once(None).chain(scopes.iter().copied().map(Some)) {
            let request = v1::CreateKeyRequest {
                request_id: new_request_id(),
                principal: Some(v1::Principal { principal: Some(principal(kind)) }),
                scopes: scope.into_iter().map(i32::from).collect(),
                expire_time: None,
            };
            let issued = answer(administrator.couriers().create_key(request).await).unwrap();
            keys.push((kind, scope, Key::new(&issued.secret)));
        }
    }
    keys
}

/// The scope as the page writes it.
fn written(scope: v1::Scope) -> String {
    scope.as_str_name().trim_start_matches("SCOPE_").to_lowercase()
}

#[tokio::test]
async fn each_key_opens_what_the_page_says_and_nothing_else() {
    let world = World::new().await;
    let keys = keys(&world).await;
    for row in told() {
        let path = &row.path;
        for (kind, scope, key) in &keys {
            let answer = call(&world, path, Some(key)).await;
            let (code, reason) =
                answer.as_ref().err().map_or((Code::Ok, ""), |refused| (refused.code, &*refused.reason));
            if !row.who.contains(kind) {
                assert_eq!((code, reason), (Code::PermissionDenied, "PERMISSION_DENIED"), "{kind} may not call {path}");
            } else if scope.is_some_and(|scope| written(scope) != row.scope) {
                assert_eq!((code, reason), (Code::PermissionDenied, "SCOPE_MISSING"), "{kind} {scope:?} {path}");
                let refused = answer.unwrap_err();
                assert_eq!(refused.metadata["scope"], row.scope);
                assert!(refused.message.contains(&format!("the scope {}", row.scope)), "{}", refused.message);
            } else {
                let closed = [Code::PermissionDenied, Code::Unauthenticated, Code::Internal];
                assert!(!closed.contains(&code), "{kind} {scope:?} may call {path}: {answer:?}");
            }
        }
        let nobody = call(&world, path, None).await.unwrap_err();
        assert_eq!((nobody.code, &*nobody.reason), (Code::Unauthenticated, "UNAUTHENTICATED"), "{path}");
        let forged = call(&world, path, Some(&Key::new("gpk_forged"))).await.unwrap_err();
        assert_eq!((forged.code, &*forged.reason), (Code::Unauthenticated, "UNAUTHENTICATED"), "{path}");
    }
}

#[tokio::test]
async fn a_revoked_key_opens_nothing() {
    let world = World::new().await;
    let administrator = world.administrator();
    world.courier("swift-express").await;
    let (id, key) = administrator.issue_key(Who::CourierId("swift-express".to_owned())).await.unwrap();
    call(&world, "/gatepost.v1.ParcelService/ListParcels", Some(&key)).await.unwrap();
    let request = v1::RevokeKeyRequest { request_id: new_request_id(), key_id: id };
    let revoked = answer(administrator.couriers().revoke_key(request).await).unwrap().key.unwrap();
    assert!(revoked.revoke_time.is_some());
    let refused = call(&world, "/gatepost.v1.ParcelService/ListParcels", Some(&key)).await.unwrap_err();
    assert_eq!(refused.code, Code::Unauthenticated);
}

#[tokio::test]
async fn a_secret_is_told_once() {
    let world = World::new().await;
    let administrator = world.administrator();
    let principal = Some(v1::Principal { principal: Some(Who::Worker(v1::principal::Worker {})) });
    let request = v1::CreateKeyRequest { request_id: new_request_id(), principal, ..Default::default() };
    let first = answer(administrator.couriers().create_key(request.clone()).await).unwrap();
    let again = answer(administrator.couriers().create_key(request).await).unwrap();
    assert!(first.secret.starts_with("gpk_"));
    assert_eq!((again.key, &*again.secret), (first.key, ""));
    let nobody = administrator.issue_key(Who::CourierId("nobody".to_owned())).await.err().unwrap();
    assert_eq!((nobody.code, &*nobody.reason), (Code::NotFound, "COURIER_NOT_FOUND"));
    let camera = GateCamera { community_id: COMMUNITY.to_owned(), gate_id: "no-gate".to_owned() };
    let nowhere = administrator.issue_key(Who::Camera(camera)).await.err().unwrap();
    assert_eq!((nowhere.code, &*nowhere.reason), (Code::NotFound, "GATE_NOT_FOUND"));
}

/// Every rpc that names a parcel, as one list of answers.
async fn every_step(courier: &Courier, id: &str) -> Vec<Refused> {
    vec![
        courier.parcel(id).await.unwrap_err(),
        courier.suggest(id).await.unwrap_err(),
        courier.deposit_into(id, "east", "E1", None).await.unwrap_err(),
        courier.pick_up(id).await.unwrap_err(),
        courier.cancel(id).await.unwrap_err(),
        courier.accept_recall(id).await.unwrap_err(),
        courier.refuse_recall(id).await.unwrap_err(),
        courier.report(id, DoorDeliveryOutcome::Delivered).await.unwrap_err(),
    ]
}

#[tokio::test]
async fn the_parcel_of_another_courier_never_existed() {
    let world = World::new().await;
    let (swift, cloud) = (world.courier("swift-express").await, world.courier("cloud-way").await);
    let label = Label::to(&world.resident("王芳"));
    let parcel = swift.bring(&label).await;
    world.let_pass(hours(72)).await;
    let others = every_step(&cloud, &parcel.id).await;
    let nobodys = every_step(&cloud, "pcl_0190a5b0c0de7000800000000000beef").await;
    let malformed = every_step(&cloud, "not an id").await;
    let told = |refused: &Refused| format!("{refused:?}");
    for ((one, other), third) in others.iter().zip(&nobodys).zip(&malformed) {
        assert_eq!((one.code, &*one.reason), (Code::NotFound, "PARCEL_NOT_FOUND"));
        assert_eq!((told(one), told(third)), (told(other), told(other)));
    }
    let request =
        v1::GetParcelRequest { key: Some(get_parcel_request::Key::TrackingNumber(label.tracking_number.clone())) };
    let refused = answer(cloud.parcels().get_parcel(request).await).unwrap_err();
    assert_eq!(told(&refused), told(&others[0]));
    assert!(cloud.list(0, "").await.unwrap().parcels.is_empty());
    assert!(swift.parcel_by_number(&label.tracking_number).await.is_ok());
}

#[tokio::test]
async fn a_page_token_is_for_its_caller_and_its_list() {
    let world = World::new().await;
    let (swift, cloud) = (world.courier("swift-express").await, world.courier("cloud-way").await);
    let wang = world.resident("王芳");
    let mut announced = Vec::new();
    for _ in 0..5 {
        announced.push(swift.announce(&Label::to(&wang)).await.unwrap().parcel.id);
        world.let_pass(jiff::SignedDuration::from_secs(1)).await;
        cloud.announce(&Label::to(&wang)).await.unwrap();
    }
    let (mut listed, mut token) = (Vec::new(), String::new());
    loop {
        let page = swift.list(2, &token).await.unwrap();
        assert!(page.parcels.len() <= 2);
        listed.extend(page.parcels.into_iter().map(|parcel| parcel.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    announced.reverse();
    assert_eq!(listed, announced, "newest announcement first, each once");

    let token = swift.list(2, "").await.unwrap().next_page_token;
    let invalid = |answer: Answer<v1::ListParcelsResponse>| {
        let refused = answer.unwrap_err();
        (refused.code, refused.reason) == (Code::InvalidArgument, "INVALID_PAGE_TOKEN".to_owned())
    };
    assert!(invalid(cloud.list(2, &token).await), "another caller's");
    let filtered = v1::ListParcelsRequest { page_token: token, state: v1::ParcelState::Waiting.into(), page_size: 2 };
    assert!(invalid(answer(swift.parcels().list_parcels(filtered).await)), "another list's");
    assert!(invalid(swift.list(2, "made up").await));
    let refused = swift.list(501, "").await.unwrap_err();
    assert_eq!((&*refused.reason, &*refused.fields), ("INVALID_FIELD", &["page_size".to_owned()][..]));
}
