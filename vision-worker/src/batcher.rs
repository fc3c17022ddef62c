//! Gathers what waits in a channel into batches, by count and by age. It never keeps work waiting for company that
//! has not come within the age.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// When a batch is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most members.
    pub count: usize,
    /// How long the first member waits for others; zero takes only what is already there.
    pub age: Duration,
}

/// Waits for a first member, then gathers others within the limits. `None` once the channel is closed and empty.
pub fn gather<T>(channel: &Receiver<T>, limits: Limits) -> Option<Vec<T>> {
    let mut batch = vec![channel.recv().ok()?];
    let deadline = Instant::now() + limits.age;
    while batch.len() < limits.count {
        match channel.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(member) => batch.push(member),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    Some(batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_batch_ends_at_its_count_or_when_nothing_waits() {
        let (sender, receiver) = channel();
        (0..5).for_each(|member| sender.send(member).unwrap());
        let limits = Limits { count: 3, age: Duration::ZERO };
        assert_eq!(gather(&receiver, limits), Some(vec![0, 1, 2]));
        assert_eq!(gather(&receiver, limits), Some(vec![3, 4]));
        drop(sender);
        assert_eq!(gather(&receiver, limits), None);
    }

    #[test]
    fn a_closed_channel_ends_the_wait() {
        let (sender, receiver) = channel();
        sender.send(1).unwrap();
        drop(sender);
        let limits = Limits { count: 2, age: Duration::from_secs(3600) };
        assert_eq!(gather(&receiver, limits), Some(vec![1]));
    }
}
