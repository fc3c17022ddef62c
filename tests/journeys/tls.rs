//! Certificates: the platform's own, and those by which couriers, cameras and workers say who they are.

use std::path::PathBuf;

use gatepost_proto::v1::{
    self, EventKind, event_service_client::EventServiceClient, parcel_service_client::ParcelServiceClient,
};
use gatepost_server::config::{ClientCertificates, Tls};
use gatepost_tests::{
    authority::{Authority, Pair},
    clients::{Answer, Key, Label, Refused, answer, endpoint},
    world::{COMMUNITY, NORTH_GATE, World, soon, until},
};
use jiff::SignedDuration;
use tempfile::TempDir;
use tonic::{
    Code, Request,
    transport::{Channel, ClientTlsConfig},
};

const SWIFT: &str = "spiffe://gatepost/courier/swift-express";
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A world behind TLS, with authorities of the test's own.
struct Secured {
    world: World,
    /// Signs the platform's certificate.
    servers: Authority,
    /// Signs clients' certificates.
    clients: Authority,
    folder: TempDir,
}

impl Secured {
    async fn start(client_certificates: ClientCertificates) -> Secured {
        Secured::start_with(|tls| tls.client_certificates = client_certificates).await
    }

    async fn start_with(change: impl FnOnce(&mut Tls)) -> Secured {
        let builder = World::builder().now();
        let now = builder.start_time();
        let (servers, clients) = (Authority::new(now), Authority::new(now));
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| Some(folder.path().join(name));
        servers.server(1, DAY * 90).write(&file("server.pem").unwrap(), &file("server.key").unwrap());
        std::fs::write(file("clients.pem").unwrap(), clients.pem()).unwrap();
        std::fs::write(file("clients.crl").unwrap(), clients.revocation_list(1, &[])).unwrap();
        // Everybody of the harness comes with a key, and with a certificate that names nobody.
        let everybody = servers.trusted().identity(clients.client(&[], 1, DAY * 90).identity());
        let builder = builder.over_tls(everybody).config(|config| {
            config.tls.certificate = file("server.pem");
            config.tls.key = file("server.key");
            config.tls.client_ca = file("clients.pem");
            config.tls.client_crl = file("clients.crl");
            change(&mut config.tls);
        });
        let world = builder.start().await;
        Secured { world, servers, clients, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new connection that shows this certificate.
    async fn connect(&self, shown: Option<&Pair>) -> Result<Channel, String> {
        let tls = self.servers.trusted();
        let tls = shown.map_or(tls.clone(), |pair| tls.identity(pair.identity()));
        self.connect_with(tls).await
    }

    async fn connect_with(&self, tls: ClientTlsConfig) -> Result<Channel, String> {
        let endpoint = endpoint(self.world.address(), Some(tls));
        soon("a connection", endpoint.connect()).await.map_err(|error| format!("{error:?}"))
    }

    /// Lets time pass until what the files hold now makes this true: the platform looks at them every ten seconds.
    async fn after_looks<F: Future<Output = bool>>(&self, what: &str, mut holds: impl FnMut() -> F) {
        until(what, || {
            self.world.clock().advance(SignedDuration::from_secs(10));
            holds()
        })
        .await;
    }

    /// The serial number that a new connection's server shows.
    async fn serial(&self) -> u64 {
        gatepost_tests::authority::serial_of(self.world.address(), &self.servers).await
    }
}

/// What a courier is answered that shows only its certificate, or a bearer too.
async fn list(channel: Channel, bearer: Option<&Key>) -> Answer<v1::ListParcelsResponse> {
    let mut request = Request::new(v1::ListParcelsRequest::default());
    if let Some(key) = bearer {
        request.metadata_mut().insert("authorization", format!("Bearer {}", key.secret()).parse().unwrap());
    }
    answer(ParcelServiceClient::new(channel).list_parcels(request).await)
}

fn told(refused: Refused) -> (Code, String) {
    (refused.code, refused.reason)
}

fn refused() -> (Code, String) {
    (Code::Unauthenticated, "CERTIFICATE_REFUSED".to_owned())
}

#[tokio::test]
async fn a_certificate_says_who_calls() {
    let secured = Secured::start(ClientCertificates::Optional).await;
    let world = &secured.world;
    let (swift, cloud) = (world.courier("swift-express").await, world.courier("cloud-way").await);
    let parcel = swift.announce(&Label::to(&world.resident("王芳"))).await.unwrap().parcel;
    let channel = secured.connect(Some(&secured.clients.client(&[SWIFT], 7, DAY))).await.unwrap();
    let listed = list(channel.clone(), None).await.unwrap();
    assert_eq!(listed.parcels, [parcel]);
    let stranger = list(channel.clone(), Some(cloud.key())).await.unwrap_err();
    assert_eq!(told(stranger), refused(), "whoever shows two must be one");
    list(channel.clone(), Some(swift.key())).await.unwrap();

    // What it is may call is the same as by a key.
    let communities = v1::community_service_client::CommunityServiceClient::new(channel)
        .list_communities(v1::ListCommunitiesRequest::default())
        .await;
    assert_eq!(answer(communities).unwrap_err().code, Code::PermissionDenied);
    let nobody = secured.connect(None).await.unwrap();
    let refused = list(nobody.clone(), None).await.unwrap_err();
    assert_eq!(told(refused), (Code::Unauthenticated, "UNAUTHENTICATED".to_owned()));
    list(nobody, Some(swift.key())).await.unwrap();
}

#[tokio::test]
async fn who_is_not_known_is_not_let_in() {
    let secured = Secured::start(ClientCertificates::Optional).await;
    secured.world.courier("swift-express").await;
    for names in [
        &["spiffe://gatepost/courier/never-registered"][..],
        &["spiffe://gatepost/couriers/swift-express"],
        &[SWIFT, "spiffe://gatepost/worker"],
    ] {
        let channel = secured.connect(Some(&secured.clients.client(names, 7, DAY))).await.unwrap();
        assert_eq!(told(list(channel, None).await.unwrap_err()), refused(), "{names:?}");
    }
    // The common name is swift-express on every certificate of these tests, and says nothing.
    for names in [&[][..], &["spiffe://elsewhere/courier/swift-express"]] {
        let channel = secured.connect(Some(&secured.clients.client(names, 7, DAY))).await.unwrap();
        let nobody = list(channel, None).await.unwrap_err();
        assert_eq!(told(nobody), (Code::Unauthenticated, "UNAUTHENTICATED".to_owned()), "{names:?}");
    }
    let forger = Authority::new(secured.world.now());
    let forged = secured.connect(Some(&forger.client(&[SWIFT], 7, DAY))).await;
    assert!(is_refused(forged).await, "an authority that nobody trusts");
    let over = secured.connect(Some(&secured.clients.client(&[SWIFT], 7, -SignedDuration::from_mins(1)))).await;
    assert!(is_refused(over).await, "a certificate that is over");
}

/// In TLS 1.3 a client learns with its first call that its certificate was refused; the platform then says nothing.
async fn is_refused(connection: Result<Channel, String>) -> bool {
    match connection {
        Err(_) => true,
        Ok(channel) => list(channel, None).await.is_err_and(|refused| refused.reason.is_empty()),
    }
}

#[tokio::test]
async fn a_camera_and_a_worker_come_with_certificates() {
    let secured = Secured::start(ClientCertificates::Required).await;
    let gate = format!("spiffe://gatepost/gate/{COMMUNITY}/{}", percent(NORTH_GATE));
    let report = async |name: &str| {
        let channel = secured.connect(Some(&secured.clients.client(&[name], 7, DAY))).await.unwrap();
        let mut gates = v1::gate_service_client::GateServiceClient::new(channel);
        answer(gates.report_person(v1::ReportPersonRequest::default()).await).map(|_| ())
    };
    assert_eq!(report(&gate).await.unwrap_err().code, Code::InvalidArgument, "let in, and asked for what is missing");
    let elsewhere = report(&format!("spiffe://gatepost/gate/{COMMUNITY}/never-built")).await.unwrap_err();
    assert_eq!(told(elsewhere), refused());
    assert_eq!(report("spiffe://gatepost/worker").await.unwrap_err().code, Code::PermissionDenied);
    assert_eq!(report("spiffe://gatepost/administrator").await.unwrap_err().reason, "UNAUTHENTICATED");
    assert!(is_refused(secured.connect(None).await).await, "nobody comes without");
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[tokio::test]
async fn new_certificates_are_served_and_open_streams_go_on() {
    let secured = Secured::start(ClientCertificates::Optional).await;
    let world = &secured.world;
    let swift = world.courier("swift-express").await;
    let shown = secured.clients.client(&[SWIFT], 7, DAY * 30);
    let channel = secured.connect(Some(&shown)).await.unwrap();
    let stream = EventServiceClient::new(channel.clone()).stream_events(v1::StreamEventsRequest::default()).await;
    let mut events = gatepost_tests::clients::Events::new(stream.unwrap().into_inner());
    assert_eq!(secured.serial().await, 1);

    // The key comes first: half a pair is no pair, and is passed over.
    let renewed = secured.servers.server(2, DAY * 90);
    renewed.write(&secured.file("server.pem"), &secured.file("server.key"));
    secured.after_looks("the new certificate is served", async || secured.serial().await == 2).await;
    std::fs::write(secured.file("server.pem"), "no PEM").unwrap();
    secured.servers.server(3, DAY * 90).write(&secured.file("server.pem"), &secured.file("server.key"));
    secured.after_looks("the third certificate is served", async || secured.serial().await == 3).await;

    swift.bring(&Label::to(&world.resident("王芳"))).await;
    assert_eq!(events.next().await.kind(), EventKind::Deposited, "on the stream from before all that");
    list(channel, None).await.unwrap();
}

#[tokio::test]
async fn a_certificate_is_taken_no_more_once_it_is_revoked_or_over() {
    let secured = Secured::start(ClientCertificates::Optional).await;
    secured.world.courier("swift-express").await;
    let connect = async |serial, span| secured.connect(Some(&secured.clients.client(&[SWIFT], serial, span))).await;
    let (first, second) = (connect(7, DAY * 80).await.unwrap(), connect(8, DAY * 20).await.unwrap());
    list(first.clone(), None).await.unwrap();
    std::fs::write(secured.file("clients.crl"), secured.clients.revocation_list(2, &[7])).unwrap();
    secured.after_looks("the open connection is refused", async || list(first.clone(), None).await.is_err()).await;
    assert_eq!(told(list(first, None).await.unwrap_err()), refused());
    assert!(is_refused(connect(7, DAY * 80).await).await, "and a new one");
    list(second.clone(), None).await.unwrap();

    secured.world.let_pass(DAY * 21).await;
    let over = list(second, None).await.unwrap_err();
    assert!(over.message.contains("ended at"), "{}", over.message);
    assert_eq!(told(over), refused());

    let third = connect(9, DAY * 80).await.unwrap();
    list(third.clone(), None).await.unwrap();
    let others = Authority::new(secured.world.now());
    std::fs::write(secured.file("clients.crl"), others.revocation_list(1, &[])).unwrap();
    std::fs::write(secured.file("clients.pem"), others.pem()).unwrap();
    secured.after_looks("its authority is trusted no more", async || list(third.clone(), None).await.is_err()).await;
    let channel = secured.connect(Some(&others.client(&[SWIFT], 1, DAY * 30))).await.unwrap();
    list(channel, None).await.unwrap();
}

#[tokio::test]
async fn a_list_of_revocations_that_is_over_goes_on_to_count() {
    let secured = Secured::start(ClientCertificates::Optional).await;
    secured.world.courier("swift-express").await;
    let connect = async |serial| secured.connect(Some(&secured.clients.client(&[SWIFT], serial, DAY * 80))).await;
    let (revoked, held) = (connect(7).await.unwrap(), connect(8).await.unwrap());
    let list = secured.clients.revocation_list_for(2, &[7], DAY);
    std::fs::write(secured.file("clients.crl"), list).unwrap();
    secured.after_looks("the list is read", async || self::list(revoked.clone(), None).await.is_err()).await;
    secured.world.let_pass(DAY * 2).await;
    assert_eq!(told(self::list(revoked, None).await.unwrap_err()), refused(), "who was revoked stays so");
    assert!(is_refused(connect(7).await).await);
    self::list(held, None).await.unwrap();
    self::list(connect(8).await.unwrap(), None).await.unwrap();
}

#[tokio::test]
async fn a_list_that_must_hold_lets_nobody_in_once_it_is_over() {
    let secured = Secured::start_with(|tls| tls.client_crl_must_hold = true).await;
    secured.world.courier("swift-express").await;
    let connect = async || secured.connect(Some(&secured.clients.client(&[SWIFT], 8, DAY * 80))).await;
    let open = connect().await.unwrap();
    list(open.clone(), None).await.unwrap();
    // The list that the world begins with is for 30 days.
    secured.world.let_pass(DAY * 31).await;
    assert_eq!(told(list(open.clone(), None).await.unwrap_err()), refused());
    assert!(is_refused(connect().await).await);
    let renewed = secured.clients.revocation_list_for(2, &[], DAY * 60);
    std::fs::write(secured.file("clients.crl"), renewed).unwrap();
    secured.after_looks("the new list is read", async || list(open.clone(), None).await.is_ok()).await;
    list(connect().await.unwrap(), None).await.unwrap();
}
