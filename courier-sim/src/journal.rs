//! What an actor noticed, in order, with the time it noticed it; others wait on it.
//!
//! The demonstration learns everything it claims from journals. Only the newest entries are kept.

use std::collections::VecDeque;

use anyhow::{Context, anyhow};
use gatepost_process::clock::SharedClock;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// More than any story needs, and a bound for actors that run for months.
const KEPT: usize = 4096;

/// One thing that was noticed.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<T> {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: T,
}

/// A list that grows while others look; clones share it.
#[derive(Clone)]
pub struct Journal<T> {
    clock: SharedClock,
    entries: watch::Sender<VecDeque<Entry<T>>>,
}

impl<T: Clone + Send + Sync + 'static> Journal<T> {
    /// An empty journal that takes its times from `clock`.
    pub fn new(clock: SharedClock) -> Self {
        Journal { clock, entries: watch::Sender::new(VecDeque::new()) }
    }

    /// Notes something, now.
    pub fn note(&self, what: T) {
        let at = self.clock.now();
        self.entries.send_modify(|entries| {
            if entries.len() == KEPT {
                entries.pop_front();
            }
            entries.push_back(Entry { at, what });
        });
    }

    /// Everything that was noted and that `wanted` accepts.
    pub fn all(&self, wanted: impl Fn(&T) -> bool) -> Vec<Entry<T>> {
        self.entries.borrow().iter().filter(|entry| wanted(&entry.what)).cloned().collect()
    }

    /// The first entry that `wanted` accepts, be it there already or still to come within `bound`.
    pub async fn wait_for(
        &self,
        what: &str,
        bound: SignedDuration,
        wanted: impl Fn(&T) -> bool,
    ) -> anyhow::Result<Entry<T>> {
        let mut entries = self.entries.subscribe();
        let found = entries.wait_for(|entries| entries.iter().any(|entry| wanted(&entry.what)));
        let limit = bound.try_into().context("a bound cannot be negative")?;
        let entries = tokio::time::timeout(limit, found)
            .await
            .map_err(|_| anyhow!("{what} did not happen within {bound:#}"))?
            .context("this is a bug: the journal keeps its own sender")?;
        let found = entries.iter().find(|entry| wanted(&entry.what)).cloned();
        found.context("this is a bug: the entry was there a moment ago")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatepost_process::clock::SystemClock;

    #[tokio::test]
    async fn waits_for_what_comes_and_finds_what_was() {
        let journal = Journal::new(SystemClock::shared());
        let waiting = {
            let journal = journal.clone();
            tokio::spawn(async move { journal.wait_for("seven", SignedDuration::from_secs(60), |n| *n == 7).await })
        };
        journal.note(3);
        journal.note(7);
        assert_eq!(waiting.await.unwrap().unwrap().what, 7);
        assert_eq!(journal.wait_for("three", SignedDuration::ZERO, |n| *n == 3).await.unwrap().what, 3);
        assert!(journal.wait_for("nine", SignedDuration::ZERO, |n| *n == 9).await.is_err());
    }

    #[test]
    fn keeps_the_newest() {
        let journal = Journal::new(SystemClock::shared());
        for n in 0..KEPT + 2 {
            journal.note(n);
        }
        let all = journal.all(|_| true);
        assert_eq!((all.len(), all[0].what), (KEPT, 2));
    }
}
