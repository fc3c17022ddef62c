//! A whole platform for a test: the real server on a free port, its database and its timers, a clock that the test
//! moves, and the people around it. Dropping the world ends everything.

mod community;
mod running;

use std::{
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    num::NonZeroU32,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gatepost_process::clock::{Clock as _, ManualClock, SystemClock};
use gatepost_server::config::{Config, TimersKind};
use gatepost_storage::Store;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tonic::transport::ClientTlsConfig;

use self::running::Running;
use crate::{
    clients::{Administrator, Key, Line},
    services::{Redis, fresh_database},
};

pub use self::community::{COMMUNITY, NORTH_GATE, SOUTH_GATE, TIME_ZONE, standard_community};

/// No step of a test may take longer than this in real time.
pub const BOUND: Duration = Duration::from_secs(20);
/// How often a condition is looked at that nobody announces.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// When every world begins: noon of a Monday in Shanghai.
pub const START: &str = "2026-06-01T04:00:00Z";

/// Waits, but not for ever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(BOUND, future).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("{what} did not happen within {BOUND:?}"),
    }
}

/// Waits for a condition that nobody announces. What is announced, by a stream or an answer, is waited for there.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    soon(what, async {
        let mut look = tokio::time::interval(LOOK_EVERY);
        while !holds().await {
            look.tick().await;
        }
    })
    .await;
}

/// A span of time.
pub fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

/// A span of time.
pub fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

/// What the platform stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    /// SQLite, and timers in the platform's own process.
    Embedded,
    /// PostgreSQL and Redis, as a cluster of replicas has them.
    Servers,
}

/// Builds a world.
pub struct WorldBuilder {
    config: Config,
    stack: Stack,
    bare: bool,
    start: Timestamp,
    real_time: bool,
    tls: Option<ClientTlsConfig>,
}

/// A platform and the people around it.
pub struct World {
    // Dropped in order: the platform first, then what it stands on.
    running: Mutex<Option<Running>>,
    store: OnceCell<Store>,
    config: Config,
    data_dir: Arc<TempDir>,
    _redis: Option<Arc<Redis>>,
    clock: ManualClock,
    real_time: bool,
    line: Line,
    pub(crate) people: Mutex<People>,
}

/// Who was made so far.
#[derive(Clone, Default)]
pub(crate) struct People {
    /// Ids of residents by name.
    pub residents: HashMap<String, String>,
    /// Keys of couriers by id.
    pub couriers: HashMap<String, Key>,
}

impl WorldBuilder {
    /// Changes the platform's settings.
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// What the platform stands on.
    pub fn on(mut self, stack: Stack) -> Self {
        self.stack = stack;
        self
    }

    /// No community yet.
    pub fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// Everybody of the harness speaks TLS, with this.
    pub fn over_tls(mut self, tls: ClientTlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Begins now, for those whose clocks no test can move.
    pub fn now(mut self) -> Self {
        self.start = SystemClock.now();
        self
    }

    /// The platform goes by the real clock, which the test cannot move: for measurements.
    pub fn real_time(mut self) -> Self {
        self.real_time = true;
        self.now()
    }

    /// When the world begins.
    pub fn start_time(&self) -> Timestamp {
        self.start
    }

    /// Begins at another time.
    pub fn at(mut self, start: &str) -> Self {
        self.start = start.parse().expect("a timestamp");
        self
    }

    /// Starts the platform, and imports the standard community unless the world is bare.
    pub async fn start(self) -> World {
        let WorldBuilder { mut config, stack, bare, start, real_time, tls } = self;
        let mut redis = None;
        if stack == Stack::Servers {
            let (url, server) =
                tokio::task::spawn_blocking(|| (fresh_database(), Redis::start())).await.expect("both start");
            config.database.url = url.into();
            config.timers.kind = TimersKind::Redis;
            // The world's clock, not the server's.
            config.timers.server_time = false;
            config.timers.redis_urls = vec![server.url().to_owned().into()];
            redis = Some(Arc::new(server));
        }
        let world = World {
            running: Mutex::new(None),
            store: OnceCell::new(),
            config,
            data_dir: Arc::new(tempfile::tempdir().expect("a temporary folder")),
            _redis: redis,
            clock: ManualClock::new(start),
            real_time,
            line: Line::over(tls),
            people: Mutex::default(),
        };
        world.start().await;
        if !bare {
            world.community().await;
        }
        world
    }
}

impl World {
    /// A world with the standard community on SQLite.
    pub async fn new() -> World {
        World::builder().start().await
    }

    /// A world with the standard community.
    pub async fn on(stack: Stack) -> World {
        World::builder().on(stack).start().await
    }

    /// A world that differs in something.
    pub fn builder() -> WorldBuilder {
        let mut config = Config::default();
        config.listen.grpc = ([127, 0, 0, 1], 0).into();
        // The clock stands still, and no bucket would fill again; tests of quotas set this back.
        config.quotas.calls_per_second = NonZeroU32::new(1_000_000).expect("a number");
        config.quotas.burst = NonZeroU32::new(10_000_000).expect("a number");
        // The index has to find every deadline by itself; tests of the sweep set this back.
        config.timers.sweep_every = Duration::from_secs(3600 * 24 * 365);
        WorldBuilder {
            config,
            stack: Stack::Embedded,
            bare: false,
            start: START.parse().expect("a timestamp"),
            real_time: false,
            tls: None,
        }
    }

    /// Another platform on the same servers, for the same people.
    pub async fn replica(&self) -> World {
        assert!(self._redis.is_some(), "replicas share servers");
        let replica = World {
            running: Mutex::new(None),
            store: OnceCell::new(),
            config: self.config.clone(),
            data_dir: self.data_dir.clone(),
            _redis: self._redis.clone(),
            clock: self.clock.clone(),
            real_time: self.real_time,
            line: Line::default(),
            people: Mutex::new(self.people().clone()),
        };
        replica.start().await;
        replica
    }

    /// Starts the platform, in the beginning or after it ended.
    pub async fn start(&self) {
        assert!(self.running().is_none(), "the platform runs already");
        let clock = if self.real_time { SystemClock::shared() } else { self.clock.shared() };
        let running = Running::start(self.config.clone(), self.data_dir.path(), clock).await;
        self.line.connect(running.address());
        *self.running() = Some(running);
    }

    /// Ends the platform as SIGTERM does, and waits until it is gone.
    pub async fn drain(&self) {
        let running = self.running().take().expect("the platform runs");
        running.drain().await;
    }

    /// Ends the platform as SIGKILL does: wherever each of its tasks stands.
    pub fn kill(&self) {
        let running = self.running().take().expect("the platform runs");
        drop(running);
    }

    /// Begins the drain and does not wait for its end.
    pub fn begin_drain(&self) {
        self.running().as_ref().expect("the platform runs").begin_drain();
    }

    /// The clock that everybody goes by.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass. Returns when every deadline that came due was handled; what follows from that arrives on its
    /// own stream.
    pub async fn let_pass(&self, span: SignedDuration) {
        self.clock.advance(span);
        if self.running().is_some() {
            self.settled().await;
        }
    }

    /// Returns when no deadline is due.
    pub async fn settled(&self) {
        let (store, now) = (self.store().await, self.now());
        until("handling every due deadline", || async {
            let tx = store.read().await.expect("the database answers");
            tx.due_parcels(now, 1).await.expect("the database answers").is_empty()
        })
        .await;
    }

    /// The record itself, for what no rpc tells.
    pub async fn store(&self) -> &Store {
        let url = self.config.database.url_in(self.data_dir.path());
        let connect = || async { Store::connect(url.expose_secret(), 2).await.expect("the database answers") };
        self.store.get_or_init(connect).await
    }

    /// The folder of the database and of the first keys.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// The settings the platform was started with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Redis, if the world stands on it.
    pub fn redis(&self) -> Option<&Redis> {
        self._redis.as_deref()
    }

    /// The address of the platform, as others write it.
    pub fn url(&self) -> String {
        format!("http://{}", self.running().as_ref().expect("the platform runs").address())
    }

    /// Where the platform listens.
    pub fn address(&self) -> SocketAddr {
        self.running().as_ref().expect("the platform runs").address()
    }

    /// The way to the platform as it runs now.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// The property's admin tooling.
    pub fn administrator(&self) -> Administrator {
        Administrator::new(self.line.clone(), self.key_file("admin.key"))
    }

    /// The key of the vision workers.
    pub fn worker_key(&self) -> Key {
        self.key_file("worker.key")
    }

    /// A key that the platform wrote on its first start.
    pub fn key_file(&self, name: &str) -> Key {
        Key::new(std::fs::read_to_string(self.data_dir.path().join(name)).expect("a key").trim())
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn people(&self) -> MutexGuard<'_, People> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
