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

const KINDS: [&str; 4] = ["courier", "camera", "worker", "administrator"];

/// Who may call each service, and nobody else may.
const TABLE: [(&str, &str); 8] = [
    ("gatepost.v1.ParcelService", "courier"),
    ("gatepost.v1.EventService", "courier"),
    ("gatepost.v1.WebhookService", "courier"),
    ("gatepost.v1.CommunityService", "administrator"),
    ("gatepost.v1.ResidentService", "administrator"),
    ("gatepost.v1.CourierService", "administrator"),
    ("gatepost.v1.GateService", "camera"),
    ("gatepost.vision.v1.VisionService", "worker"),
];

/// Every rpc of a service, from the descriptors, so that no rpc is forgotten here.
fn rpcs(service: &str) -> Vec<String> {
    let descriptors = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let mut rpcs = Vec::new();
    for file in &descriptors.file {
        for found in file.service.iter().filter(|found| format!("{}.{}", file.package(), found.name()) == service) {
            rpcs.extend(found.method.iter().map(|method| format!("/{service}/{}", method.name())));
        }
    }
    assert!(!rpcs.is_empty(), "{service} has no rpc");
    rpcs
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

async fn keys(world: &World) -> Vec<(&'static str, Key)> {
    let administrator = world.administrator();
    world.courier("swift-express").await;
    let camera = GateCamera { community_id: COMMUNITY.to_owned(), gate_id: NORTH_GATE.to_owned() };
    let principals = [
        Who::CourierId("swift-express".to_owned()),
        Who::Camera(camera),
        Who::Worker(v1::principal::Worker {}),
        Who::Administrator(v1::principal::Administrator {}),
    ];
    let mut keys = Vec::new();
    for (kind, principal) in KINDS.into_iter().zip(principals) {
        keys.push((kind, administrator.issue_key(principal).await.unwrap().1));
    }
    keys
}

#[tokio::test]
async fn each_kind_of_key_opens_its_own_services_only() {
    let world = World::new().await;
    let keys = keys(&world).await;
    for (service, owner) in TABLE {
        for path in rpcs(service) {
            for (kind, key) in &keys {
                let answer = call(&world, &path, Some(key)).await;
                let code = answer.as_ref().err().map(|refused| refused.code);
                if *kind == owner {
                    let closed = [Some(Code::PermissionDenied), Some(Code::Unauthenticated), Some(Code::Internal)];
                    assert!(!closed.contains(&code), "{kind} may call {path}: {answer:?}");
                } else {
                    assert_eq!(code, Some(Code::PermissionDenied), "{kind} may not call {path}");
                    assert_eq!(answer.unwrap_err().reason, "PERMISSION_DENIED");
                }
            }
            let nobody = call(&world, &path, None).await.unwrap_err();
            assert_eq!((nobody.code, &*nobody.reason), (Code::Unauthenticated, "UNAUTHENTICATED"), "{path}");
            let forged = call(&world, &path, Some(&Key::new("gpk_forged"))).await.unwrap_err();
            assert_eq!(forged.code, Code::Unauthenticated, "{path}");
        }
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
    let request = v1::CreateKeyRequest { request_id: new_request_id(), principal };
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
