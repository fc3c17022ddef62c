//! Request ids. A command typed once gets a fresh one. What an import creates derives its id from what the file says,
//! so that a row sent again after a broken connection is the same request.

use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

/// A new random request id.
pub(super) fn fresh() -> String {
    Uuid::new_v4().to_string()
}

/// The request id that belongs to these parts in this order.
pub(super) fn derived(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps ["ab", "c"] and ["a", "bc"] apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_random_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rows_have_equal_ids_and_others_do_not() {
        assert_eq!(derived(&["roster", "王芳"]), derived(&["roster", "王芳"]));
        assert_ne!(derived(&["ab", "c"]), derived(&["a", "bc"]));
        assert_ne!(fresh(), fresh());
    }

    #[test]
    fn derived_ids_are_uuids_of_version_4() {
        let id: Uuid = derived(&["a row"]).parse().unwrap();
        assert_eq!(id.get_version_num(), 4);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
    }
}
