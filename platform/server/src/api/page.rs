//! Pages of lists: opaque tokens that mean nothing to another caller. A token is no secret and needs none: whoever makes
//! one up for itself gets to a place in its own list, which it may read anyway.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use gatepost_domain::principal::Principal;
use sha2::{Digest as _, Sha256};

use crate::problem::Problem;

const SIZE_DEFAULT: u64 = 100;
const SIZE_MAX: u64 = 500;

/// Rows a page, from what was asked for.
pub fn size(asked: i32) -> Result<u64, Problem> {
    match asked {
        0 => Ok(SIZE_DEFAULT),
        1..=500 => Ok(asked as u64),
        _ => Err(Problem::invalid("page_size", format!("1 to {SIZE_MAX}, or 0 for {SIZE_DEFAULT}"))),
    }
}

/// The position behind a token; `None` for the first page.
pub fn position(token: &str, caller: &Principal, list: &str) -> Result<Option<String>, Problem> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| Problem::PageToken)?;
    let (mark, position) = bytes.split_at_checked(8).ok_or(Problem::PageToken)?;
    if mark != owner(caller, list) {
        return Err(Problem::PageToken);
    }
    String::from_utf8(position.to_vec()).map(Some).map_err(|_| Problem::PageToken)
}

/// A token for the page after `position`.
pub fn token(position: &str, caller: &Principal, list: &str) -> String {
    let mut bytes = owner(caller, list).to_vec();
    bytes.extend_from_slice(position.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn owner(caller: &Principal, list: &str) -> [u8; 8] {
    let digest = Sha256::new().chain_update(caller.name()).chain_update([0]).chain_update(list).finalize();
    digest[..8].try_into().unwrap_or_default()
}
