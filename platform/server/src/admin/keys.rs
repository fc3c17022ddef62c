//! `gatepost admin key`: the keys of everybody who calls. A secret is shown once, or written to a file of its owner.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use gatepost_domain::principal::Scope;
use gatepost_process::clock::{Clock as _, SystemClock};
use gatepost_proto::v1::principal::{Administrator, GateCamera, Principal as Bearer, Worker};
use gatepost_proto::v1::{self, CreateKeyRequest, Key, ListKeysRequest, Principal, RevokeKeyRequest, RotateKeyRequest};
use serde_json::json;

use super::connection::Client;
use super::failure::{Failure, answer};
use super::listing::Listing;
use super::{request_id, timestamp};

const PAGE_SIZE: i32 = 500;

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Issue a key and print its secret, which cannot be had again.
    Create {
        #[command(flatten)]
        bearer: BearerArgs,
        /// Limit the key to this, everything when not given; may be repeated. Couriers: read, announce, handle, events.
        /// Administrators: read, manage, keys.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<Scope>,
        /// Let the key end by itself after this time, for example 90d.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires_in: Option<Duration>,
        /// Write the secret to this new file, readable by its owner alone, instead of printing it.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Give a key a new secret and print it; the former one is taken for a while still.
    Rotate {
        /// The key's id, as `key list` shows it.
        id: String,
        /// How long the former secret is taken still, up to 30d; 0s when it leaked.
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = humantime::parse_duration)]
        overlap: Duration,
        /// Let the key end by itself after this time from now; without it, that stays as it is.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires_in: Option<Duration>,
        /// Write the secret to this new file, readable by its owner alone, instead of printing it.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// List keys, without their secrets.
    List,
    /// Revoke a key at once.
    Revoke {
        /// The key's id, as `key list` shows it.
        id: String,
    },
}

/// Whose key it is.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct BearerArgs {
    /// A courier's backend.
    #[arg(long, value_name = "ID")]
    courier: Option<String>,
    /// A camera at a gate.
    #[arg(long, value_name = "COMMUNITY/GATE", value_parser = gate)]
    camera: Option<GateCamera>,
    /// A vision worker.
    #[arg(long)]
    worker: bool,
    /// The property's admin tooling.
    #[arg(long)]
    administrator: bool,
    /// The admin tooling of one community.
    #[arg(long, value_name = "COMMUNITY")]
    administrator_of: Option<String>,
}

impl BearerArgs {
    fn into_wire(self) -> Principal {
        let principal = match (self.courier, self.camera) {
            (Some(courier), _) => Bearer::CourierId(courier),
            (None, Some(camera)) => Bearer::Camera(camera),
            (None, None) if self.worker => Bearer::Worker(Worker {}),
            (None, None) => {
                Bearer::Administrator(Administrator { community_id: self.administrator_of.unwrap_or_default() })
            }
        };
        Principal { principal: Some(principal) }
    }
}

/// A community's id has no slash; a gate's may.
fn gate(text: &str) -> Result<GateCamera, String> {
    match text.split_once('/') {
        Some((community, gate)) if !community.is_empty() && !gate.is_empty() => {
            Ok(GateCamera { community_id: community.into(), gate_id: gate.into() })
        }
        _ => Err("write the community, a slash and the gate, for example lotus-garden/east".to_owned()),
    }
}

/// Runs one command.
pub(super) async fn run(client: &Client, command: Command, json: bool) -> anyhow::Result<()> {
    match command {
        Command::Create { bearer, scopes, expires_in, output } => {
            let request = CreateKeyRequest {
                request_id: request_id::fresh(),
                principal: Some(bearer.into_wire()),
                scopes: scopes.into_iter().map(|scope| scope_to_wire(scope).into()).collect(),
                expire_time: expires_in.map(from_now).transpose()?,
            };
            issue(output.as_deref(), async || {
                let issued = answer(client.couriers().create_key(request).await)?;
                Ok((issued.key.unwrap_or_default().id, issued.secret))
            })
            .await
        }
        Command::Rotate { id, overlap, expires_in, output } => {
            let request = RotateKeyRequest {
                request_id: request_id::fresh(),
                key_id: id,
                overlap: Some(overlap.try_into().context("the overlap is too long")?),
                expire_time: expires_in.map(from_now).transpose()?,
            };
            issue(output.as_deref(), async || {
                let issued = answer(client.couriers().rotate_key(request).await)?;
                if let Some(until) = timestamp(issued.former_secrets_until) {
                    eprintln!("the former secret is taken until {until}");
                }
                Ok((issued.key.unwrap_or_default().id, issued.secret))
            })
            .await
        }
        Command::List => list(client, json).await,
        Command::Revoke { id } => {
            let request = RevokeKeyRequest { request_id: request_id::fresh(), key_id: id.clone() };
            answer(client.couriers().revoke_key(request).await)?;
            println!("{id} revoked");
            Ok(())
        }
    }
}

/// Has a secret made and tells it.
async fn issue(
    output: Option<&Path>,
    make: impl AsyncFnOnce() -> Result<(String, String), Failure>,
) -> anyhow::Result<()> {
    // The file comes first: a secret that cannot be written would be lost.
    let file = output.map(|path| new_private_file(path).map(|file| (path, file))).transpose()?;
    let made = make().await;
    if let (Err(_), Some((path, _))) = (&made, &file) {
        // Only what was just made, and it is empty.
        let _ = std::fs::remove_file(path);
    }
    let (id, secret) = made?;
    match file {
        Some((path, mut file)) => {
            writeln!(file, "{secret}").with_context(|| format!("cannot write {}", path.display()))?;
            eprintln!("{id}, secret in {}", path.display());
        }
        None => {
            eprintln!("{id}, secret (shown once):");
            println!("{secret}");
        }
    }
    Ok(())
}

fn from_now(span: Duration) -> anyhow::Result<prost_types::Timestamp> {
    let at = SystemClock.now().checked_add(span).context("that is too far away")?;
    Ok(prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() })
}

fn scope_to_wire(scope: Scope) -> v1::Scope {
    match scope {
        Scope::Read => v1::Scope::Read,
        Scope::Announce => v1::Scope::Announce,
        Scope::Handle => v1::Scope::Handle,
        Scope::Events => v1::Scope::Events,
        Scope::Manage => v1::Scope::Manage,
        Scope::Keys => v1::Scope::Keys,
    }
}

fn new_private_file(path: &Path) -> anyhow::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).with_context(|| format!("cannot make the new file {}", path.display()))
}

async fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let mut list = Listing::new(&["id", "bearer", "limited_to", "created", "last_used", "expires", "revoked"]);
    let mut page_token = String::new();
    loop {
        let request = ListKeysRequest { page_size: PAGE_SIZE, page_token };
        let page = answer(client.couriers().list_keys(request).await)?;
        for key in page.keys {
            let [created, used, expires, revoked] =
                [key.create_time, key.last_use_time, key.expire_time, key.revoke_time]
                    .map(|time| json!(timestamp(time).map(|time| time.to_string())));
            let scopes: Vec<_> = key.scopes().map(scope_name).collect();
            list.push([json!(key.id), json!(bearer_name(&key)), json!(scopes), created, used, expires, revoked]);
        }
        if page.next_page_token.is_empty() {
            return Ok(list.print(json)?);
        }
        page_token = page.next_page_token;
    }
}

fn scope_name(scope: v1::Scope) -> String {
    scope.as_str_name().trim_start_matches("SCOPE_").to_lowercase()
}

fn bearer_name(key: &Key) -> String {
    match key.principal.as_ref().and_then(|principal| principal.principal.as_ref()) {
        Some(Bearer::CourierId(courier)) => format!("courier {courier}"),
        Some(Bearer::Camera(camera)) => format!("camera {}/{}", camera.community_id, camera.gate_id),
        Some(Bearer::Worker(_)) => "worker".to_owned(),
        Some(Bearer::Administrator(one)) if !one.community_id.is_empty() => {
            format!("administrator of {}", one.community_id)
        }
        Some(Bearer::Administrator(_)) => "administrator".to_owned(),
        None => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_named_with_its_community() {
        let camera = gate("lotus-garden/东门/北").unwrap();
        assert_eq!((camera.community_id.as_str(), camera.gate_id.as_str()), ("lotus-garden", "东门/北"));
        for wrong in ["lotus-garden", "/east", "lotus-garden/"] {
            assert!(gate(wrong).unwrap_err().contains("slash"));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_file_is_private_and_never_overwritten() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker.key");
        let file = new_private_file(&path).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(new_private_file(&path).is_err());
    }
}
