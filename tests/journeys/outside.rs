//! The platform from outside of Rust: by grpcurl over reflection, and by a Python client that the stock tools make of the
//! published protos. What is typed here is what proto/README.md tells a courier to type.

use std::{net::SocketAddr, os::unix::fs::symlink, path::Path, time::Duration};

use gatepost_proto::v1::{EventKind, ParcelState, Scope};
use gatepost_tests::{
    clients::{Courier, Key, Label, WebhookReceiver},
    live::{Live, quick_policy},
    processes::{Ended, Process},
    world::{COMMUNITY, until},
};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

const PAGE: &str = include_str!("../../proto/README.md");
/// The page waits for T2 twice, and makes a client.
const BOUND: Duration = Duration::from_secs(100);

/// What the page tells to type, in its order.
fn commands() -> String {
    let (_, section) = PAGE.split_once("\n## Integrate in a day\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    section.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0).collect()
}

/// A folder that looks like this repository, with the data folder of a platform.
fn desk(live: &Live) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for name in ["proto", "platform"] {
        symlink(root.join(name), folder.path().join(name)).unwrap();
    }
    symlink(live.data_dir(), folder.path().join("gatepost-data")).unwrap();
    folder
}

async fn run(commands: &str, desk: &TempDir) -> Ended {
    let mut shell = Process::shell(commands, desk.path(), &[]);
    let ended = tokio::time::timeout(BOUND, shell.gone()).await;
    ended.unwrap_or_else(|_| panic!("it does not end: {}", shell.said().text()));
    shell.ended().await
}

#[tokio::test]
async fn the_page_works_as_it_stands() {
    let live = Live::serve_with(&["--tls"], &[]).await;
    let desk = desk(&live);
    let page = commands().replace("localhost:50051", &live.address().to_string());
    let also = r#"
        call ParcelService/GetParcel <<<'{"parcel_id": "pcl_of_nobody"}' || true
        grpcurl -cacert "$GATEPOST_CA" "${GATEPOST_ADDRESS#https://}" describe gatepost.vision.v1.VisionService || true
    "#;
    let ended = run(&(page + also), &desk).await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    for expected in [
        "gatepost.v1.ParcelService",
        "grpc.health.v1.Health",
        "EVENT_KIND_DEPOSITED",
        "EVENT_KIND_RECALL_REQUESTED",
        "PARCEL_STATE_RECALL_ACCEPTED",
        "PARCEL_STATE_OUT_FOR_DOOR_DELIVERY",
        "PARCEL_STATE_DELIVERED_TO_DOOR",
        "EVENT_KIND_DELIVERED_TO_DOOR SX-2",
        "PARCEL_NOT_FOUND",
        "Symbol not found: gatepost.vision.v1.VisionService",
    ] {
        assert!(ended.said.contains(expected), "{expected} is not in: {}", ended.said);
    }
    assert!(!ended.said.contains("gatepost.courier.v1"), "a service that is not public is listed: {}", ended.said);
    let key = std::fs::read_to_string(desk.path().join("swift-express.key")).unwrap();
    let courier = Courier::new("swift-express", live.line().clone(), Key::new(key.trim()));
    for number in ["SX-1", "SX-2"] {
        assert_eq!(courier.parcel_by_number(number).await.unwrap().state(), ParcelState::DeliveredToDoor, "{number}");
    }
}

/// A platform by TLS with a resident, and a client of the stock tools' making.
struct Outside {
    live: Live,
    desk: TempDir,
}

impl Outside {
    async fn start(recall_after: i64) -> Outside {
        let live = Live::serve_with(&["--tls"], &[]).await;
        live.community(quick_policy(600, recall_after)).await;
        live.resident("王芳", "13800010001", "").await;
        live.administrator().add_courier("swift-express").await.unwrap();
        let desk = desk(&live);
        let make = "mkdir client; python3 -m grpc_tools.protoc -I proto --python_out=client --grpc_python_out=client \
                    proto/gatepost/v1/*.proto";
        let made = run(make, &desk).await;
        assert_eq!(made.code, Some(0), "{}", made.said);
        Outside { live, desk }
    }

    /// Issues the key that the backend shows from now on.
    async fn key(&self, scopes: &[Scope]) {
        let key = self.live.courier_key("swift-express", scopes).await;
        std::fs::write(self.desk.path().join("swift-express.key"), key.secret()).unwrap();
    }

    /// The published backend, which finds the platform at this address.
    fn backend(&self, platform: SocketAddr, options: &str) -> Process {
        let command = format!(
            "PYTHONPATH=client exec python3 proto/examples/courier.py --platform https://{platform} \
             --ca gatepost-data/tls/ca.pem --key-file swift-express.key --community {COMMUNITY} \
             --tracking-number SX-1 --name 王芳 --phone 13800010001 --building 3号楼 --unit 802 {options}"
        );
        Process::shell(&command, self.desk.path(), &[])
    }

    async fn courier(&self) -> Courier {
        Courier::new("swift-express", self.live.line().clone(), self.live.courier_key("swift-express", &[]).await)
    }
}

#[tokio::test]
async fn a_backend_that_was_killed_goes_on_where_it_stood() {
    let outside = Outside::start(6_000).await;
    outside.key(&[Scope::Announce, Scope::Handle, Scope::Read, Scope::Events]).await;
    let mut first = outside.backend(outside.live.address(), "");
    first.says("1 EVENT_KIND_DEPOSITED SX-1").await.unwrap();
    let cursor = outside.desk.path().join("courier.cursor");
    until("the cursor", async || std::fs::read_to_string(&cursor).is_ok_and(|text| text == "1")).await;
    first.kill().await;
    let mut second = outside.backend(outside.live.address(), "");
    second.says("EVENT_KIND_RECALL_REQUESTED SX-1").await.unwrap();
    second.says("EVENT_KIND_DELIVERED_TO_DOOR SX-1").await.unwrap();
    let ended = second.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(!ended.said.contains("DEPOSITED"), "it resumes after what was handled: {}", ended.said);
    let parcels = outside.courier().await.list(10, "").await.unwrap().parcels;
    assert_eq!(parcels.len(), 1, "asked twice, announced once");
    assert_eq!(parcels[0].state(), ParcelState::DeliveredToDoor);
}

/// A way to the platform that breaks so many connections off before it lets one through.
async fn flaky(platform: SocketAddr, broken: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut near, _) = listener.accept().await.unwrap();
            if number >= broken {
                let mut far = TcpStream::connect(platform).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut near, &mut far).await });
            }
        }
    });
    address
}

#[tokio::test]
async fn the_published_service_config_tries_again_and_no_scope_is_passed_over() {
    let outside = Outside::start(600_000).await;
    let platform = outside.live.address();
    outside.key(&[Scope::Read]).await;
    let ended = outside.backend(platform, "").ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("SCOPE_MISSING"), "{}", ended.said);

    outside.key(&[]).await;
    std::fs::write(outside.desk.path().join("none.json"), "{}").unwrap();
    let ended = outside.backend(flaky(platform, 2).await, "--service-config none.json").ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("UNAVAILABLE"), "{}", ended.said);
    assert!(outside.courier().await.list(10, "").await.unwrap().parcels.is_empty());

    let mut backend = outside.backend(flaky(platform, 2).await, "");
    backend.says("EVENT_KIND_DEPOSITED SX-1").await.expect("the third connection carries it");
}

#[tokio::test]
async fn the_published_service_config_waits_for_the_quota() {
    let mut outside = Outside::start(600_000).await;
    outside.key(&[]).await;
    for setting in ["GATEPOST_QUOTAS__CALLS_PER_SECOND", "GATEPOST_QUOTAS__BURST"] {
        outside.live.set(setting, "1");
    }
    outside.live.terminate().await;
    assert_eq!(outside.live.ended().await.code, Some(0));
    outside.live.serve_again().await;
    std::fs::write(outside.desk.path().join("none.json"), "{}").unwrap();
    let ended = outside.backend(outside.live.address(), "--service-config none.json").ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("QUOTA_EXCEEDED"), "{}", ended.said);
    let mut backend = outside.backend(outside.live.address(), "");
    backend.says("EVENT_KIND_DEPOSITED SX-1").await.expect("it waits as long as it is told");
}

/// Holds webhooks against the schema, and then without each part that they must have.
const VALIDATE: &str = r#"python3 - <<'END'
import json, jsonschema
schema = json.load(open("proto/webhook.schema.json"))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for body in json.load(open("bodies.json")):
    validator.validate(body)
    for missing in ("sequence", "recall_number", "locker_id", "reminder_cause", "endpoint_id"):
        data = {name: value for name, value in body["data"].items() if name != missing}
        if data != body["data"]:
            assert not validator.is_valid({**body, "data": data}), f"{body['type']} without {missing}"
    print("as the schema says:", body["type"])
END"#;

#[tokio::test]
async fn webhooks_are_as_their_schema_says() {
    let live = Live::serve(&[
        ("GATEPOST_EVENTS__WEBHOOKS_OVER_HTTP", "true"),
        ("GATEPOST_EVENTS__WEBHOOKS_TO_PRIVATE_ADDRESSES", "true"),
    ])
    .await;
    live.community(quick_policy(300, 900)).await;
    let (courier, wang) = (live.courier("swift-express").await, live.resident("王芳", "13800010001", "").await);
    let receiver = WebhookReceiver::start().await;
    let endpoint = courier.listen(&receiver).await;
    let parcel = courier.bring(&Label::to(&wang)).await;
    courier.await_event(EventKind::RecallRequested).await;
    courier.pick_up(&parcel.id).await.unwrap();
    assert!(courier.test_endpoint(&endpoint).await.unwrap().delivered);
    let mut wanted = vec![
        "parcel.deposited",
        "parcel.reminder_sent",
        "parcel.recall_requested",
        "parcel.picked_up",
        "parcel.recall_withdrawn",
        "webhook.test",
    ];
    let mut bodies = Vec::new();
    while !wanted.is_empty() {
        let call = receiver.next().await;
        wanted.retain(|kind| *kind != call.kind());
        bodies.push(call.body);
    }
    let desk = desk(&live);
    std::fs::write(desk.path().join("bodies.json"), serde_json::to_string(&bodies).unwrap()).unwrap();
    let ended = run(VALIDATE, &desk).await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(ended.said.matches("as the schema says: ").count(), bodies.len());
}
