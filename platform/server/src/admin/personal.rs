//! `gatepost admin resident export` and `erase`: what a resident may ask for about their own data.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use gatepost_proto::v1::{
    EraseResidentRequest, Erasure, ErasureState, ExportResidentRequest, GetErasureRequest, ListErasuresRequest,
};
use serde_json::json;

use super::connection::Client;
use super::failure::answer;
use super::listing::Listing;
use super::{request_id, timestamp};
use crate::private_file;

/// Years of reminders and parcels.
const EXPORT_MAX_BYTES: usize = 256 * 1024 * 1024;
const PAGE_SIZE: i32 = 500;

/// Prints everything that is kept about a resident, or writes it to a new file of its owner's.
pub(super) async fn export(client: &Client, resident_id: String, output: Option<PathBuf>) -> anyhow::Result<()> {
    let mut privacy = client.privacy().max_decoding_message_size(EXPORT_MAX_BYTES);
    let exported = answer(privacy.export_resident(ExportResidentRequest { resident_id }).await)?;
    let json = std::str::from_utf8(&exported.json).context("the export is no text")?;
    match output {
        None => std::io::stdout().lock().write_all(format!("{json}\n").as_bytes())?,
        Some(file) => {
            private_file::write_new(&file, &format!("{json}\n"))
                .with_context(|| format!("cannot write {}", file.display()))?;
            println!("written to {}", file.display());
        }
    }
    Ok(())
}

/// Prints a community's erasures.
pub(super) async fn erasures(client: &Client, community: &str, json: bool) -> anyhow::Result<()> {
    let mut list = Listing::new(&["erasure", "resident", "state", "requested", "completed", "replicas_waited_for"]);
    let mut page_token = String::new();
    loop {
        let request = ListErasuresRequest { community_id: community.to_owned(), page_size: PAGE_SIZE, page_token };
        let page = answer(client.privacy().list_erasures(request).await)?;
        for one in &page.erasures {
            let time = |at| json!(timestamp(at).map(|time| time.to_string()));
            list.push([
                json!(one.id),
                json!(one.resident_id),
                json!(one.state().as_str_name().trim_start_matches("ERASURE_STATE_").to_lowercase()),
                time(one.request_time),
                time(one.complete_time),
                json!(one.replicas_waited_for),
            ]);
        }
        if page.next_page_token.is_empty() {
            return Ok(list.print(json)?);
        }
        page_token = page.next_page_token;
    }
}

/// How often an erasure is asked after, and how many times: replicas look every ten seconds.
const ASK_EVERY: Duration = Duration::from_millis(500);
const ASK_TIMES: usize = 240;

/// Erases a resident, waits until every replica has confirmed it, and writes the certificate to a new file.
pub(super) async fn erase(client: &Client, resident_id: String, certificate: &Path) -> anyhow::Result<()> {
    // Nobody is erased for whom nothing could be written.
    if certificate.exists() {
        bail!("{} is there already", certificate.display());
    }
    let request = EraseResidentRequest { request_id: request_id::fresh(), resident_id };
    let begun = answer(client.privacy().erase_resident(request).await)?.erasure.unwrap_or_default();
    eprintln!("{} erased; the certificate follows as {}", begun.resident_id, begun.id);
    finish(client, &begun.id, certificate).await
}

/// Waits for the end of an erasure, and writes its certificate to a new file.
pub(super) async fn finish(client: &Client, erasure_id: &str, certificate: &Path) -> anyhow::Result<()> {
    let mut asked = tokio::time::interval(ASK_EVERY);
    let mut last = Erasure::default();
    for _ in 0..ASK_TIMES {
        asked.tick().await;
        let request = GetErasureRequest { erasure_id: erasure_id.to_owned() };
        last = answer(client.privacy().get_erasure(request).await)?.erasure.unwrap_or_default();
        if last.state() == ErasureState::Done {
            private_file::write_new(certificate, &format!("{}\n", last.certificate))
                .with_context(|| format!("cannot write {}", certificate.display()))?;
            println!("written to {}", certificate.display());
            return Ok(());
        }
    }
    bail!(
        "{} replicas have not confirmed yet: look at the platform's log, then run resident certificate {erasure_id}",
        last.replicas_waited_for
    )
}
