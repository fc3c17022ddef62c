//! The only file that knows every adapter: from settings to parts.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use gatepost_domain::ports::Timers;
use gatepost_process::clock::SharedClock;
use gatepost_storage::{EmbeddedTimers, RedisOptions, RedisTimers, Store};
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;

use crate::{
    auth::{oidc::Oidc, quota::Quotas, uses::Uses},
    config::{Config, TimersKind},
    courier_webhooks::Gateway,
    heads::Heads,
    metrics::Metrics,
    notification::{Channels, email::EmailChannel, webhook::WebhookChannel},
    platform::{Parts, Platform, Wakes},
    premises::Known,
    timers::Timekeeping,
    vault::{Masters, Vault, VaultError},
    vision::hub::Hub,
};

/// Opens the record and brings its schema up to date.
pub async fn store(config: &Config, data_dir: &Path) -> anyhow::Result<Store> {
    let url = config.database.url_in(data_dir);
    let store = Store::connect(url.expose_secret(), config.database.connections_max)
        .await
        .context("the database cannot be opened: check database.url")?;
    store.migrate().await.context("the database's schema cannot be brought up to date")?;
    Ok(store)
}

/// Where enrolled faces are kept. A master key that cannot be used is told and stops nothing else.
pub async fn vault(config: &Config, data_dir: &Path, store: &Store) -> anyhow::Result<Vault> {
    let vault = Vault::new(Masters::new(&config.keys, data_dir));
    match vault.open(&store.read().await?).await {
        Err(VaultError::Store(error)) => return Err(error.into()),
        Err(error) => tracing::error!(%error, "no face can be enrolled or found until the master key is mended"),
        Ok(()) => {}
    }
    Ok(vault)
}

/// Puts the parts together.
pub async fn platform(config: Config, data_dir: &Path, clock: SharedClock) -> anyhow::Result<Platform> {
    // What settings cannot mean is told before anything is begun.
    let oidc = Oidc::new(&config.oidc, clock.clone()).context("check [oidc]")?;
    let store = store(&config, data_dir).await?;
    let timers: Arc<dyn Timers> = match config.timers.kind {
        TimersKind::Embedded => Arc::new(EmbeddedTimers::new()),
        kind => {
            let options = RedisOptions {
                urls: config.timers.redis_urls.iter().map(|url| url.expose_secret().to_owned()).collect(),
                cluster: kind == TimersKind::RedisCluster,
                shards: config.timers.shards,
                slot_width: config.timers.slot_width,
                server_time: config.timers.server_time,
                ..RedisOptions::default()
            };
            // It may be away: the platform starts all the same, and sweeps.
            Arc::new(RedisTimers::new(options).context("check [timers]")?)
        }
    };
    let vault = vault(&config, data_dir, &store).await?;
    let frame_age_max = SignedDuration::try_from(config.vision.frame_age_max)?;
    Ok(Platform::new(Parts {
        oidc,
        store,
        timers,
        quotas: Quotas::new(config.quotas, clock.clone()),
        clock,
        known: Known::default(),
        metrics: Metrics::default(),
        hub: Hub::new(frame_age_max),
        heads: Heads::default(),
        courier_webhooks: Gateway::new(&config.events).await?,
        timekeeping: Timekeeping::default(),
        vault,
        key_uses: Uses::default(),
        wakes: Wakes::default(),
        config,
    }))
}

/// The configured channels.
pub fn channels(config: &Config) -> anyhow::Result<Channels> {
    let webhook = match config.webhook.url.as_str() {
        "" => None,
        url => Some(WebhookChannel::new(url, &config.webhook.secret).context("check [webhook]")?),
    };
    let email = match config.smtp.url.expose_secret() {
        "" => None,
        _ => Some(EmailChannel::new(&config.smtp.url, &config.smtp.from).context("check [smtp]")?),
    };
    Ok(Channels { webhook, email })
}
