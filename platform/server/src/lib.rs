//! The control plane: owns parcels, residents and lockers, keeps the deadlines, and talks to couriers, cameras,
//! administrators and vision workers over gRPC.

pub mod admin;
mod api;
mod auth;
mod capture;
pub mod config;
mod courier_webhooks;
mod decision;
mod enrolment;
mod erasure;
mod export;
pub mod failpoint;
mod fire;
mod heads;
mod health;
mod housekeeping;
mod journey;
mod ledger;
mod metrics;
mod notification;
mod photograph;
mod platform;
mod premises;
pub mod private_file;
mod problem;
mod rearm;
mod recognition;
mod retention;
pub mod timers;
pub mod tls;
mod vault;
mod vision;
mod webhook;
pub mod wiring;

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use gatepost_domain::{Timestamp, id::CommunityId, principal::Principal};
use gatepost_process::{clock::SharedClock, ids::new_id, open_files, shutdown::Shutdown};
use gatepost_storage::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{config::Config, tls::Tls};

/// Open files that are no callers' connections: the database, Redis, webhooks, the metrics port.
const OTHER_FILES: usize = 256;
/// How long a drain waits for callers who do not read what is on its way to them. They hold up nobody else.
const STRAGGLERS_WITHIN: Duration = Duration::from_secs(10);

/// Issues a key for `principal` and returns its secret.
pub async fn issue_key(store: &Store, principal: Principal, now: Timestamp) -> anyhow::Result<String> {
    let tx = store.write().await?;
    let (key, secret) = auth::keys::fresh(new_id(now), principal, now);
    tx.insert_key(&key).await?;
    tx.commit().await?;
    Ok(secret)
}

/// What to make new keys for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// The master key's wrapping of every community's key.
    Master,
    /// A community's key and everything under it.
    Community(CommunityId),
    /// Every community's.
    Communities,
}

/// Rotates keys of the enrolled faces, while platforms on the same database go on; says in words what was done.
pub async fn rotate_keys(
    config: &Config,
    data_dir: &Path,
    rotation: &Rotation,
    now: Timestamp,
) -> anyhow::Result<String> {
    config.check()?;
    let store = wiring::store(config, data_dir).await?;
    let vault = wiring::vault(config, data_dir, &store).await?;
    let communities = match rotation {
        Rotation::Master => {
            let rotated = vault.rotate_master(&store).await?;
            return Ok(format!("{} keys wrapped by the present master key", rotated.keys));
        }
        Rotation::Community(community) => {
            store.read().await?.community(community).await?.with_context(|| format!("no community {community}"))?;
            vec![community.clone()]
        }
        Rotation::Communities => vault::rotate::communities(&store).await?,
    };
    let (mut keys, mut templates) = (0, 0);
    for community in &communities {
        let rotated = vault.rotate_community(&store, community, now).await?;
        (keys, templates) = (keys + rotated.keys, templates + rotated.templates);
    }
    store.empty_log().await?;
    Ok(format!("{keys} new keys in {} communities, {templates} faces sealed anew", communities.len()))
}

/// Checks the ledgers of consent beside the database, of one community or of all; says in words what was found. With
/// `noted`, the newest hash of an earlier check, also that it is still there.
pub async fn verify_ledger(
    config: &Config,
    data_dir: &Path,
    community: Option<CommunityId>,
    noted: Option<&str>,
) -> anyhow::Result<String> {
    let store = wiring::store(config, data_dir).await?;
    let communities = match community {
        Some(community) => vec![community],
        None => vault::rotate::communities(&store).await?,
    };
    let mut found = Vec::new();
    for community in &communities {
        let whole = ledger::verify(&store, community, noted).await?;
        found.push(format!("{}: {} entries, whole, newest {}", whole.community, whole.entries, whole.head));
    }
    Ok(found.join("\n"))
}

/// Checks the records of looks at what is personal beside the database, of one community, or of all and of nobody; says in
/// words what was found.
pub async fn verify_looks(config: &Config, data_dir: &Path, community: Option<CommunityId>) -> anyhow::Result<String> {
    let store = wiring::store(config, data_dir).await?;
    let chains = match community {
        Some(community) => vec![Some(community)],
        None => vault::rotate::communities(&store).await?.into_iter().map(Some).chain([None]).collect(),
    };
    let mut found = Vec::new();
    for chain in &chains {
        let (looks, newest) = ledger::verify_looks(&store, chain).await?;
        found.push(format!("{}: {looks} looks, whole, newest {newest}", ledger::told(chain)));
    }
    Ok(found.join("\n"))
}

/// Verifies a certificate of erasure, without any platform; with `expected`, a public key in base64, also that this one
/// signed it. Says in words what it certifies.
pub fn verify_certificate(file: &str, expected: Option<&str>) -> anyhow::Result<String> {
    let (key, certificate) = erasure::certificate::Certificate::verify(file, expected)?;
    Ok(format!("{}\nsigned by {key}, unchanged", serde_json::to_string_pretty(&certificate)?))
}

/// The public keys that certificates were signed with so far, in base64 and one a line, the newest last.
pub async fn signing_keys(config: &Config, data_dir: &Path) -> anyhow::Result<String> {
    let store = wiring::store(config, data_dir).await?;
    let keys = store.read().await?.signing_keys().await?;
    let keys: Vec<String> = keys.iter().map(|key| STANDARD.encode(&key.public_key)).collect();
    anyhow::ensure!(!keys.is_empty(), "nothing was signed yet");
    Ok(keys.join("\n"))
}

/// Starts the whole platform and returns the address it listens on. It runs until `shutdown` drains.
pub async fn run(
    config: Config,
    data_dir: &Path,
    clock: SharedClock,
    shutdown: &Shutdown,
) -> anyhow::Result<SocketAddr> {
    config.check()?;
    // Redis and webhooks take the process's TLS provider: ring, before anything else chooses another.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let channels = wiring::channels(&config)?;
    let (address, begin_within) = (config.listen.grpc, config.listen.begin_within);
    // Where the default is served from, TLS can be tried.
    if config.tls.development || (config.database.is_embedded() && config.tls.certificate.is_none()) {
        tls::development::prepare(data_dir, address.ip(), clock.now()).context("the development authority")?;
    }
    let tls = Tls::open(config.tls.in_folder(data_dir), clock.clone()).context("check [tls]")?;
    let platform = wiring::platform(config, data_dir, clock).await?;
    auth::keys::issue_first(&platform, data_dir).await.context("the first keys cannot be written")?;
    let draining = shutdown.draining();
    let router = api::router(&platform, &draining).await?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("{address} cannot be listened on"))?;
    let address = listener.local_addr()?;
    shutdown.spawn("timers", timers::run(platform.clone(), draining.clone()));
    shutdown.spawn("sweep", timers::sweep(platform.clone(), draining.clone()));
    shutdown.spawn("housekeeping", housekeeping::keep_house(platform.clone(), draining.clone()));
    shutdown.spawn("lookahead", timers::look_ahead(platform.clone(), draining.clone()));
    shutdown.spawn("key uses", auth::uses::run(platform.clone(), draining.clone()));
    shutdown.spawn("notices", notification::run(platform.clone(), channels, draining.clone()));
    shutdown.spawn("heads", heads::run(platform.clone(), draining.clone()));
    shutdown.spawn("webhooks", courier_webhooks::run(platform.clone(), draining.clone()));
    shutdown.spawn("retention", retention::run(platform.clone(), draining.clone()));
    shutdown.spawn("erasures", erasure::run(platform.clone(), draining.clone()));
    if let Some(tls) = &tls {
        shutdown.spawn("tls", tls::watch(tls.clone(), platform.clone(), draining.clone()));
    }
    let limits = tls::Limits { connections_max: connections_max(&platform.config), begin_within };
    shutdown.spawn("grpc", async move {
        let incoming = tls::incoming(listener, tls, limits, platform.clone());
        let late = draining.clone();
        tokio::select! {
            served = router.serve_with_incoming_shutdown(incoming, draining.cancelled_owned()) => served?,
            () = stragglers(late) => tracing::warn!("callers are left behind that do not read what they asked for"),
        }
        // Hardly anybody writes any more, and nothing that was deleted may lie about until the next start.
        Ok(platform.store.empty_log().await?)
    });
    tracing::info!("listening on {address}");
    Ok(address)
}

/// As many as the settings say and the system has open files for.
fn connections_max(config: &Config) -> usize {
    let wanted = config.listen.connections_max;
    let files = open_files::raise_limit().and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
    let most = files.saturating_sub(OTHER_FILES).max(1);
    if most < wanted {
        tracing::warn!(files, wanted, "listen.connections_max is more than may be open: raise the limit of open files");
    }
    wanted.min(most)
}

async fn stragglers(draining: CancellationToken) {
    draining.cancelled().await;
    tokio::time::sleep(STRAGGLERS_WITHIN).await;
}
