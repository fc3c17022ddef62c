//! What is fuzzed: the platform as a process, with a community, callers of every kind, a courier's own server, and a
//! worker that answers nonsense.

use courier_sim::{
    client,
    server::{CourierServer, Routes, ServerConfig},
};
use gatepost_process::{client_tls::ClientTls, clock::SystemClock, shutdown::Shutdown};
use gatepost_proto::v1::{
    self, ConsentPurpose, Scope,
    principal::{Administrator, GateCamera, Principal as Who, Worker},
};
use gatepost_tests::{
    clients::{Courier, Key, Label, answer, endpoint, new_request_id},
    live::{Live, quick_policy},
    world::{COMMUNITY, NORTH_GATE},
};
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use super::{eye, known::Known, rpcs::Rpc};

/// Somebody who calls.
pub struct Caller {
    /// As the page's table names its kind.
    pub kind: &'static str,
    /// What it shows; nobody shows nothing.
    pub key: Option<Key>,
}

/// All that is needed to call every rpc.
pub struct Target {
    pub live: Live,
    pub callers: Vec<Caller>,
    pub known: Known,
    terminals: Channel,
    courier: Courier,
    eye: JoinHandle<()>,
    _shutdown: Shutdown,
}

impl Target {
    pub async fn start(settings: &[(&str, &str)], seed: u64) -> Target {
        let ours = [
            ("GATEPOST_EVENTS__WEBHOOKS_TO_PRIVATE_ADDRESSES", "true"),
            // Who fuzzes calls more often than anybody should.
            ("GATEPOST_QUOTAS__CALLS_PER_SECOND", "1000000"),
            ("GATEPOST_QUOTAS__BURST", "10000000"),
        ];
        let live = Live::serve(&[settings, &ours].concat()).await;
        live.community(quick_policy(500, 3_000)).await;
        let courier = live.courier("swift-express").await;
        live.administrator().add_courier("cloud-way").await.unwrap();
        let eye = tokio::spawn(eye::work(live.line().clone(), live.worker_key(), seed));
        let known = Known::default();
        let mut rng = StdRng::seed_from_u64(seed);
        for (name, phone) in [("王芳", "13800010001"), ("陈伟", "13800010002")] {
            let resident = live.resident(name, phone, "somebody@example.org").await;
            resident.consent(ConsentPurpose::GateRecognition).await;
            known.add("resident_id", &resident.id, &mut rng);
            courier.bring(&Label::to(&resident)).await;
        }
        for (name, value) in [
            ("community_id", COMMUNITY),
            ("courier_id", "swift-express"),
            ("courier_id", "cloud-way"),
            ("locker_id", "east"),
            ("compartment_id", "R01"),
            ("compartment_id", "E1"),
        ] {
            known.add(name, value, &mut rng);
        }
        let shutdown = Shutdown::new();
        let terminals = terminals(&live, &courier, &shutdown).await;
        let callers = callers(&live, &courier).await;
        Target { live, callers, known, terminals, courier, eye, _shutdown: shutdown }
    }

    /// Who serves this rpc.
    pub fn channel(&self, rpc: &Rpc) -> Channel {
        if rpc.is_of_terminals() { self.terminals.clone() } else { self.live.line().channel() }
    }

    /// After everything, the platform works, and nothing in its log is a fault.
    pub async fn is_well(&self) {
        self.eye.abort();
        let resident = self.live.resident("李建国", "13800010003", "li@example.org").await;
        let parcel = self.courier.announce(&Label::to(&resident)).await.expect("the platform works").parcel;
        assert_eq!(self.courier.parcel(&parcel.id).await.unwrap().id, parcel.id);
        let log = self.live.log();
        let faults: Vec<_> =
            log.lines().filter(|line| line.contains("panicked") || line.contains("ERROR")).take(10).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

async fn terminals(live: &Live, courier: &Courier, shutdown: &Shutdown) -> Channel {
    let config = ServerConfig {
        platform: client::Platform::at(&live.url(), &ClientTls::default()).unwrap(),
        key: client::Key::new(&courier.key().secret()).unwrap(),
        listen: ([127, 0, 0, 1], 0).into(),
        routes: Routes { otherwise: "terminal-1".to_owned(), ..Default::default() },
        state_file: None,
        clock: SystemClock::shared(),
    };
    let server = CourierServer::start(config, shutdown).await.unwrap();
    endpoint(server.address(), None).connect().await.unwrap()
}

/// One of every kind, and some that may do less than their kind.
async fn callers(live: &Live, courier: &Courier) -> Vec<Caller> {
    let community_id = COMMUNITY.to_owned();
    let camera = GateCamera { community_id: community_id.clone(), gate_id: NORTH_GATE.to_owned() };
    let mut callers = vec![
        Caller { kind: "courier", key: Some(courier.key().clone()) },
        Caller { kind: "", key: None },
        Caller { kind: "", key: Some(Key::new("gpk_forged")) },
    ];
    for (kind, who, scope) in [
        ("courier", Who::CourierId("cloud-way".to_owned()), None),
        ("", Who::CourierId("swift-express".to_owned()), Some(Scope::Read)),
        ("administrator", Who::Administrator(Administrator::default()), None),
        ("", Who::Administrator(Administrator::default()), Some(Scope::Read)),
        ("community administrator", Who::Administrator(Administrator { community_id }), None),
        ("camera", Who::Camera(camera), None),
        ("worker", Who::Worker(Worker {}), None),
    ] {
        let request = v1::CreateKeyRequest {
            request_id: new_request_id(),
            principal: Some(v1::Principal { principal: Some(who) }),
            scopes: scope.into_iter().map(i32::from).collect(),
            expire_time: None,
        };
        let issued = answer(live.administrator().couriers().create_key(request).await).unwrap();
        callers.push(Caller { kind, key: Some(Key::new(&issued.secret)) });
    }
    callers
}
