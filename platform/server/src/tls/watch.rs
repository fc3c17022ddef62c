//! Looks at the files now and then, and serves what they hold as soon as it can be served.

use std::sync::{Arc, PoisonError};

use jiff::SignedDuration;
use opentelemetry::KeyValue;
use tokio_util::sync::CancellationToken;

use super::{
    Tls, TlsError,
    files::{Files, Served},
};
use crate::platform::Platform;

/// What the last look found.
pub(super) struct Seen {
    files: Files,
    /// Why it is not served.
    problem: Option<TlsError>,
}

impl Seen {
    pub(super) fn first(files: Files) -> Self {
        Seen { files, problem: None }
    }
}

impl Tls {
    /// Looks at the files, and takes what they hold if it is new and can be served. What cannot be is told once, and
    /// what was served before is served on.
    fn look(&self) -> Result<(), TlsError> {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.problem.take();
        let outcome = match Files::read(&self.0.settings) {
            Ok(files) if files == seen.files => before.clone().map_or(Ok(()), Err),
            Ok(files) => {
                let generation = self.served().generation + 1;
                let served = Served::new(&files, &self.0.settings, &self.0.clock, generation);
                seen.files = files;
                served.map(|served| {
                    tracing::info!(ends = %served.server_ends, "new certificates are served from now on");
                    self.0.served.store(Arc::new(served));
                })
            }
            Err(error) => Err(error),
        };
        if let Err(problem) = &outcome {
            if before.as_ref() != Some(problem) {
                tracing::warn!(%problem, "new TLS files cannot be used, the old ones are served on");
            }
            seen.problem = Some(problem.clone());
        }
        outcome
    }
}

/// Looks at the files every `tls.reload_every`.
pub async fn watch(tls: Tls, platform: Platform, draining: CancellationToken) -> anyhow::Result<()> {
    let every = SignedDuration::try_from(tls.0.settings.reload_every)?;
    let mut warned = None;
    loop {
        let looking = tls.clone();
        let usable = tokio::task::spawn_blocking(move || looking.look().is_ok()).await?;
        platform.metrics.tls_files_usable.record(usable.into(), &[]);
        let (served, now) = (tls.served(), platform.now());
        let ends = [
            ("server", Some(served.server_ends)),
            ("client_ca", served.client_ca_ends),
            ("client_crl", served.client_crl_ends),
        ];
        if let Some(at) = served.client_crl_ends.filter(|at| *at <= now && warned != Some(*at)) {
            let refused = tls.0.settings.client_crl_must_hold;
            tracing::warn!(%at, refused, "the list of revoked client certificates is over: renew tls.client_crl");
            warned = Some(at);
        }
        for (which, ends) in ends.into_iter().filter_map(|(which, ends)| Some((which, ends?))) {
            let left = ends.duration_since(now).as_secs();
            platform.metrics.tls_expires_in.record(left, &[KeyValue::new("certificate", which)]);
        }
        tokio::select! {
            () = draining.cancelled() => return Ok(()),
            () = platform.clock.sleep_until(now + every) => {}
        }
    }
}
