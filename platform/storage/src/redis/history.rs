//! Which servers hold the index. A replica that was promoted may lack what its primary had not passed on, and a client
//! that was merely pointed to it feels nothing: every key is there, the loaded marks too, and only the last writes are not.
//!
//! Every server process has a run id, and every history of writes a replication id, which a promotion changes. Whoever
//! answers with a pair that was not seen before is asked what it has by the look ahead.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use gatepost_domain::ports::TimersError;
use redis::FromRedisValue;

use super::connection::Connection;

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    servers: BTreeSet<String>,
    /// Whether one of them was not there before, and nobody was told yet.
    news: bool,
    /// In the caller's time, in milliseconds.
    asked_at: Option<i64>,
}

impl History {
    /// Looks which servers there are, at most once in `every` milliseconds. That one does not answer is for others to
    /// tell.
    pub(super) async fn look(&self, connection: &Connection, caller: i64, every: i64) {
        {
            let mut seen = self.seen();
            if seen.asked_at.is_some_and(|at| at <= caller && caller < at + every) {
                return;
            }
            seen.asked_at = Some(caller);
        }
        match servers(connection).await {
            Ok(servers) => {
                let mut seen = self.seen();
                // The first answer is no news.
                seen.news |= !seen.servers.is_empty() && !servers.is_subset(&seen.servers);
                seen.servers = servers;
            }
            Err(error) => tracing::debug!(%error, "not known which servers hold the timer index"),
        }
    }

    /// Whether a server was seen that had not been there before; told once.
    pub(super) fn take_news(&self) -> bool {
        std::mem::take(&mut self.seen().news)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One text for each server that takes writes.
async fn servers(connection: &Connection) -> Result<BTreeSet<String>, TimersError> {
    let mut info = redis::cmd("INFO");
    info.arg("server").arg("replication");
    let answers: Answers = connection.ask_all(&info).await?;
    Ok(answers.0.iter().map(|text| identity(text)).collect())
}

fn identity(info: &str) -> String {
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    format!("{} {}", field("run_id:"), field("master_replid:"))
}

/// A single server answers with a text, a cluster with one for each of its primaries.
struct Answers(Vec<String>);

impl FromRedisValue for Answers {
    fn from_redis_value(value: redis::Value) -> Result<Self, redis::ParsingError> {
        match value {
            map @ redis::Value::Map(_) => {
                let by_address: HashMap<String, String> = FromRedisValue::from_redis_value(map)?;
                Ok(Answers(by_address.into_values().collect()))
            }
            text => Ok(Answers(vec![FromRedisValue::from_redis_value(text)?])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_its_process_and_its_history() {
        let info = "# Server\r\nredis_version:7.0.15\r\nrun_id:ab12\r\n\r\n# Replication\r\nrole:master\r\n\
            master_replid:cd34\r\nmaster_replid2:0000\r\n";
        assert_eq!(identity(info), "ab12 cd34");
    }
}
