//! What an answer may be: a message of its type, or a refusal that the page's catalogue knows.

use std::collections::HashMap;

use bytes::Bytes;
use prost_reflect::DynamicMessage;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::rpcs::Rpc;

const README: &str = include_str!("../../../proto/README.md");
/// A refusal is for people to read.
const TEXT_MAX: usize = 4_000;

/// Refusals by the gRPC library itself, from before a handler sees the call: a message that is none, or is cut off. The
/// platform gives them a reason; a courier's own server, which is a reference, leaves them as they are.
const BY_THE_LIBRARY: [(Code, &str); 5] = [
    (Code::Internal, "failed to decode Protobuf message"),
    (Code::Internal, "protocol error: received message with"),
    (Code::Internal, "Unexpected EOF decoding stream"),
    (Code::Internal, "Missing request message"),
    (Code::OutOfRange, "Error, decoded message length too large"),
];

/// Codes by reason, as the page's table has them.
pub struct Catalogue(HashMap<&'static str, &'static str>);

impl Catalogue {
    pub fn read() -> Catalogue {
        let (_, section) = README.split_once("## Errors").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        let mut rows = HashMap::new();
        for row in section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| reason")) {
            let (reasons, rest) = row.trim_start_matches("| ").split_once(" | ").unwrap();
            rows.extend(reasons.split(", ").map(|reason| (reason, rest)));
        }
        Catalogue(rows)
    }

    /// What is wrong with an answer.
    pub fn fault(&self, rpc: &Rpc, answer: &Result<Vec<Bytes>, Status>) -> Option<String> {
        match answer {
            Ok(answers) => answers.iter().find_map(|answer| {
                let decoded = DynamicMessage::decode(rpc.output.clone(), answer.clone());
                decoded.err().map(|error| format!("its answer cannot be read: {error}"))
            }),
            Err(status) => self.fault_of(status, rpc.is_of_terminals()),
        }
    }

    fn fault_of(&self, status: &Status, terminals: bool) -> Option<String> {
        let (code, text) = (status.code(), status.message());
        if terminals && BY_THE_LIBRARY.iter().any(|(known, words)| *known == code && text.starts_with(words)) {
            return None;
        }
        let told = || format!("{code:?}: {}", text.chars().take(300).collect::<String>());
        if [Code::Internal, Code::Unknown, Code::DataLoss, Code::Ok].contains(&code) {
            return Some(told());
        }
        if text.len() > TEXT_MAX {
            return Some(format!("a text of {} bytes, {}", text.len(), told()));
        }
        let Some(info) = status.get_details_error_info() else {
            return Some(format!("no reason, {}", told()));
        };
        let fields = status.get_details_bad_request().is_some_and(|bad| !bad.field_violations.is_empty());
        if (info.reason == "INVALID_FIELD") != fields {
            return Some(format!("{} with fields: {fields}", info.reason));
        }
        // A courier's own server has reasons of its own.
        if terminals && info.domain == "courier-sim" {
            return None;
        }
        let Some(row) = self.0.get(&*info.reason).filter(|_| info.domain == "gatepost") else {
            return Some(format!("{} is not in the catalogue, {}", info.reason, told()));
        };
        (!row.contains(&written(code)))
            .then(|| format!("{} is not in the row of {}, {}", written(code), info.reason, told()))
    }
}

/// The code as the page writes it: INVALID_ARGUMENT.
fn written(code: Code) -> String {
    let mut written = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !written.is_empty() {
            written.push('_');
        }
        written.push(letter.to_ascii_uppercase());
    }
    written
}
