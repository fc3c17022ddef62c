//! `gatepost admin key`: the keys of everybody who calls. A secret is shown once, or written to a file of its owner.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use gatepost_proto::v1::principal::{Administrator, GateCamera, Principal as Bearer, Worker};
use gatepost_proto::v1::{CreateKeyRequest, Key, ListKeysRequest, Principal, RevokeKeyRequest};
use serde_json::json;

use super::connection::Client;
use super::failure::answer;
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
}

impl BearerArgs {
    fn into_wire(self) -> Principal {
        let principal = match (self.courier, self.camera) {
            (Some(courier), _) => Bearer::CourierId(courier),
            (None, Some(camera)) => Bearer::Camera(camera),
            (None, None) if self.worker => Bearer::Worker(Worker {}),
            (None, None) => Bearer::Administrator(Administrator {}),
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
        Command::Create { bearer, output } => create(client, bearer.into_wire(), output.as_deref()).await,
        Command::List => list(client, json).await,
        Command::Revoke { id } => {
            let request = RevokeKeyRequest { request_id: request_id::fresh(), key_id: id.clone() };
            answer(client.couriers().revoke_key(request).await)?;
            println!("{id} revoked");
            Ok(())
        }
    }
}

async fn create(client: &Client, principal: Principal, output: Option<&Path>) -> anyhow::Result<()> {
    // The file comes first: a secret that cannot be written would be lost.
    let file = output.map(|path| new_private_file(path).map(|file| (path, file))).transpose()?;
    let request = CreateKeyRequest { request_id: request_id::fresh(), principal: Some(principal) };
    let response = answer(client.couriers().create_key(request).await);
    if let (Err(_), Some((path, _))) = (&response, &file) {
        // Only what was just made, and it is empty.
        let _ = std::fs::remove_file(path);
    }
    let response = response?;
    let id = response.key.unwrap_or_default().id;
    match file {
        Some((path, mut file)) => {
            writeln!(file, "{}", response.secret).with_context(|| format!("cannot write {}", path.display()))?;
            eprintln!("{id}, secret in {}", path.display());
        }
        None => {
            eprintln!("{id}, secret (shown once):");
            println!("{}", response.secret);
        }
    }
    Ok(())
}

fn new_private_file(path: &Path) -> anyhow::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).with_context(|| format!("cannot make the new file {}", path.display()))
}

async fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let mut list = Listing::new(&["id", "bearer", "created", "revoked"]);
    let mut page_token = String::new();
    loop {
        let request = ListKeysRequest { page_size: PAGE_SIZE, page_token };
        let page = answer(client.couriers().list_keys(request).await)?;
        for key in page.keys {
            let [created, revoked] =
                [key.create_time, key.revoke_time].map(|time| timestamp(time).map(|time| time.to_string()));
            list.push([json!(key.id), json!(bearer_name(&key)), json!(created), json!(revoked)]);
        }
        if page.next_page_token.is_empty() {
            return Ok(list.print(json)?);
        }
        page_token = page.next_page_token;
    }
}

fn bearer_name(key: &Key) -> String {
    match key.principal.as_ref().and_then(|principal| principal.principal.as_ref()) {
        Some(Bearer::CourierId(courier)) => format!("courier {courier}"),
        Some(Bearer::Camera(camera)) => format!("camera {}/{}", camera.community_id, camera.gate_id),
        Some(Bearer::Worker(_)) => "worker".to_owned(),
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
