//! The real programs at work together: `gatepost serve` and `gatepost-vision` as processes, on the real clock, with a
//! community that has room for many parcels and a policy counted in seconds.

mod camera;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use gatepost_process::clock::{Clock as _, SystemClock};
use gatepost_proto::v1::{
    self, ConsentPurpose, CreateCommunityRequest, WaitingPolicy, gate_service_client::GateServiceClient,
    policy_layer::Layer, principal,
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::transport::{Certificate, ClientTlsConfig};

pub use self::camera::LiveCamera;
use crate::{
    clients::{Administrator, Courier, Key, Line, Resident, Seen, answer, duration_to_wire, new_request_id},
    processes::{Ended, Process, Said, address},
    world::{COMMUNITY, NORTH_GATE, TIME_ZONE, soon, standard_community},
};

/// In the data folder, after a start with `--tls`.
const AUTHORITY: &str = "tls/ca.pem";
/// Small compartments of the one locker that is added for crowds.
const ROOMS: usize = 120;
/// The real worker takes a frame in well under this.
const BETWEEN_FRAMES: SignedDuration = SignedDuration::from_millis(120);

/// A platform as a process. It ends when this is dropped.
pub struct Live {
    gatepost: Process,
    settings: Vec<(String, String)>,
    flags: Vec<String>,
    metrics: SocketAddr,
    address: SocketAddr,
    line: Line,
    said: Vec<Said>,
    data_dir: Arc<TempDir>,
}

impl Live {
    /// Starts `gatepost serve` with settings as its environment has them, on free ports and a folder of its own.
    pub async fn serve(settings: &[(&str, &str)]) -> Live {
        Live::serve_with(&[], settings).await
    }

    /// As [`Live::serve`], with flags of the command line. With `--tls`, everybody trusts the authority that it made.
    pub async fn serve_with(flags: &[&str], settings: &[(&str, &str)]) -> Live {
        let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        Live::serve_in(folder, flags.iter().map(|flag| (*flag).to_owned()).collect(), settings).await
    }

    /// Starts another replica beside this one, in the same folder, for the keys, and with settings of its own. What they
    /// share must not lie in the folder.
    pub async fn beside(&self, settings: &[(&str, &str)]) -> Live {
        Live::serve_in(Arc::clone(&self.data_dir), self.flags.clone(), settings).await
    }

    async fn serve_in(data_dir: Arc<TempDir>, flags: Vec<String>, settings: &[(&str, &str)]) -> Live {
        let settings: Vec<_> = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let started = start(data_dir.path(), &flags, &settings).await;
        let (gatepost, address, metrics) = started.expect("the platform starts");
        let tls = flags.iter().any(|flag| flag == "--tls").then(|| {
            let authority = std::fs::read(data_dir.path().join(AUTHORITY)).expect("it made an authority");
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority))
        });
        let (line, said) = (Line::over(tls), vec![gatepost.said().clone()]);
        line.connect(address);
        Live { gatepost, settings, flags, metrics, address, line, said, data_dir }
    }

    /// Starts it again on the same folder with the same settings. Everybody is connected to it.
    pub async fn serve_again(&mut self) {
        self.try_to_serve_again().await.expect("the platform starts");
    }

    /// As [`Live::serve_again`], for a platform that may end while it starts.
    pub async fn try_to_serve_again(&mut self) -> Result<(), Ended> {
        (self.gatepost, self.address, self.metrics) = start(self.data_dir.path(), &self.flags, &self.settings).await?;
        self.said.push(self.gatepost.said().clone());
        self.line.connect(self.address);
        Ok(())
    }

    /// From the next start on, this setting is another.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        self.gatepost.kill().await;
    }

    /// SIGTERM; does not wait.
    pub async fn terminate(&self) {
        self.gatepost.terminate().await;
    }

    /// SIGTERM, to a process that may be gone already.
    pub async fn terminate_if_running(&self) {
        self.gatepost.terminate_if_running().await;
    }

    /// Waits for the end of the process.
    pub async fn ended(&mut self) -> Ended {
        self.gatepost.ended().await
    }

    /// The rest of the first line of this life that has these words.
    pub async fn says(&mut self, words: &str) -> String {
        self.gatepost.says(words).await.unwrap_or_else(|ended| panic!("it ended: {ended:?}"))
    }

    /// Returns when the process has ended, however long that takes.
    pub async fn gone(&mut self) {
        self.gatepost.gone().await;
    }

    /// The way to the platform as it runs now.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// The address of the platform as it runs now, as others write it.
    pub fn url(&self) -> String {
        let tls = self.flags.iter().any(|flag| flag == "--tls" || flag == "--mtls");
        let scheme = if tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Where the platform listens now.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How much of the platform is in memory, in bytes.
    pub fn memory(&self) -> u64 {
        self.gatepost.memory()
    }

    /// The platform's memory, stretch by stretch.
    pub fn memory_itself(&self) -> Vec<Vec<u8>> {
        self.gatepost.memory_itself()
    }

    /// How many files the platform has open, connections among them.
    pub fn open_files(&self) -> usize {
        self.gatepost.open_files()
    }

    /// The address of its metrics.
    pub fn metrics(&self) -> SocketAddr {
        self.metrics
    }

    /// The authority to trust, with `--tls`.
    pub fn authority(&self) -> PathBuf {
        self.data_dir.path().join(AUTHORITY)
    }

    /// As [`Live::beside`], with the same settings.
    pub async fn replica(&self) -> Live {
        let settings: Vec<_> = self.settings.iter().map(|(key, value)| (&**key, &**value)).collect();
        self.beside(&settings).await
    }

    /// The folder of the database and of the first keys.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Everything the platform has said, in all its lives.
    pub fn log(&self) -> String {
        self.said.iter().map(Said::text).collect::<Vec<_>>().join("\n")
    }

    /// The property's admin tooling.
    pub fn administrator(&self) -> Administrator {
        Administrator::new(self.line.clone(), self.key("admin.key"))
    }

    /// The key of the vision workers.
    pub fn worker_key(&self) -> Key {
        self.key("worker.key")
    }

    fn key(&self, name: &str) -> Key {
        Key::new(std::fs::read_to_string(self.data_dir.path().join(name)).expect("a key").trim())
    }

    /// Imports the standard community, without its residents and with room for a crowd, under this policy.
    pub async fn community(&self, policy: WaitingPolicy) {
        self.community_under(Some(policy)).await;
    }

    /// As [`Live::community`], under this policy or the default one.
    pub async fn community_under(&self, policy: Option<WaitingPolicy>) {
        let mut community = standard_community();
        let topology = community.topology.as_mut().expect("the standard community has one");
        let room = |number| v1::Compartment {
            id: format!("R{number:02}"),
            size: v1::ParcelSize::Small.into(),
            accessible: false,
        };
        topology.lockers[0].compartments.extend((1..=ROOMS).map(room));
        let request = CreateCommunityRequest { request_id: new_request_id(), community: Some(community) };
        let administrator = self.administrator();
        administrator.communities().create_community(request).await.expect("the community is created");
        if let Some(policy) = policy {
            let layer = Layer::CommunityId(COMMUNITY.to_owned());
            administrator.set_policy(layer, policy).await.expect("the policy is set");
        }
    }

    /// Adds a resident who agrees to lockers.
    pub async fn resident(&self, name: &str, phone: &str, email: &str) -> Resident {
        let administrator = self.administrator();
        let resident = v1::Resident {
            community_id: COMMUNITY.to_owned(),
            name: name.to_owned(),
            phone: phone.to_owned(),
            email: email.to_owned(),
            building_id: "building-3".to_owned(),
            unit: "802".to_owned(),
            ..Default::default()
        };
        let id = administrator.add_resident(resident).await.expect("the resident is added").id;
        let resident = Resident {
            administrator,
            id,
            name: name.to_owned(),
            phone: phone.to_owned(),
            building: "3号楼".to_owned(),
            unit: "802".to_owned(),
            person_reference: String::new(),
        };
        resident.consent(ConsentPurpose::LockerDeposit).await;
        resident
    }

    /// Registers a courier.
    pub async fn courier(&self, id: &str) -> Courier {
        self.administrator().add_courier(id).await.expect("the courier is registered");
        Courier::new(id, self.line.clone(), self.courier_key(id, &[]).await)
    }

    /// Another key of a courier, for everything or for these scopes.
    pub async fn courier_key(&self, id: &str, scopes: &[v1::Scope]) -> Key {
        let request = v1::CreateKeyRequest {
            request_id: new_request_id(),
            principal: Some(v1::Principal { principal: Some(principal::Principal::CourierId(id.to_owned())) }),
            scopes: scopes.iter().map(|scope| i32::from(*scope)).collect(),
            expire_time: None,
        };
        let issued = answer(self.administrator().couriers().create_key(request).await).expect("the key is issued");
        Key::new(&issued.secret)
    }

    /// A key for a camera at the north gate.
    pub async fn camera_key(&self) -> Key {
        let camera = principal::GateCamera { community_id: COMMUNITY.to_owned(), gate_id: NORTH_GATE.to_owned() };
        let issued = self.administrator().issue_key(principal::Principal::Camera(camera)).await;
        issued.expect("the key is issued").1
    }

    /// The rpcs of a camera.
    pub fn gates(&self, key: &Key) -> GateServiceClient<crate::clients::Authorised> {
        GateServiceClient::new(self.line.authorised(key))
    }

    /// A camera at the north gate sees these frames, each after the platform has answered the one before, on a
    /// stream of its own.
    pub async fn pass(&self, key: &Key, frames: &[Bytes]) -> Seen {
        LiveCamera::open(self, key).await.shows(frames).await
    }

    /// Starts the real worker as a process; returns once the platform has welcomed it.
    pub async fn worker(&self, settings: &[(&str, &str)]) -> Process {
        self.worker_for(&[self], settings).await
    }

    /// Starts one real worker for several replicas, with this one's key; returns once all have welcomed it.
    pub async fn worker_for(&self, replicas: &[&Live], settings: &[(&str, &str)]) -> Process {
        let key = self.data_dir.path().join("worker.key").display().to_string();
        let urls = replicas.iter().map(|replica| replica.url()).collect::<Vec<_>>();
        let arguments = ["run", "--platform", &urls.join(","), "--key-file", &key, "--name", "eye"];
        let mut worker = Process::start("gatepost-vision", &arguments, settings);
        for url in urls {
            let welcome = format!("welcomed by the platform platform={url}/");
            worker.says(&welcome).await.expect("the worker works");
        }
        worker
    }

    /// What the metrics port answers to a path: status and text.
    pub async fn http(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.metrics).await.expect("the port answers");
        let request = format!("GET {path} HTTP/1.1\r\nHost: gatepost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("the port listens");
        let mut answer = String::new();
        soon("an answer to HTTP", stream.read_to_string(&mut answer)).await.expect("a text");
        let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), text.to_owned())
    }
}

/// T1 and T2 in milliseconds, one reminder at most, at any hour. The usual hour is half a day away, so that nothing
/// but a gate, or the lack of time before T2, reminds.
pub fn quick_policy(remind_after: i64, recall_after: i64) -> WaitingPolicy {
    let span = |milliseconds| Some(duration_to_wire(SignedDuration::from_millis(milliseconds)));
    let zone = TimeZone::get(TIME_ZONE).expect("a time zone");
    let now = SystemClock.now().to_zoned(zone);
    let minute = i32::from(now.hour()) * 60 + i32::from(now.minute());
    WaitingPolicy {
        remind_after: span(remind_after),
        recall_after: span(recall_after),
        reminders_max: Some(1),
        quiet_from_minute: Some(0),
        quiet_to_minute: Some(0),
        usual_minute: Some((minute + 12 * 60) % (24 * 60)),
        ..WaitingPolicy::default()
    }
}

/// The time on the wall.
pub fn now() -> Timestamp {
    SystemClock.now()
}

async fn start(
    data_dir: &Path,
    flags: &[String],
    settings: &[(String, String)],
) -> Result<(Process, SocketAddr, SocketAddr), Ended> {
    let folder = data_dir.display().to_string();
    let mut arguments = vec!["serve", "--data-dir", &folder, "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"];
    arguments.extend(flags.iter().map(String::as_str));
    let environment: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut gatepost = Process::start("gatepost", &arguments, &environment);
    let metrics = gatepost.says("metrics on ").await?;
    let listening = gatepost.says("listening on ").await?;
    Ok((gatepost, address(&listening), address(&metrics)))
}
