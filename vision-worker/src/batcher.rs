//! Gathers what waits in a channel into batches. It never keeps work waiting for company.

use std::sync::mpsc::Receiver;

/// Waits for a first member, then takes what else is there, `most` at most. `None` once the channel is closed and empty.
pub fn gather<T>(channel: &Receiver<T>, most: usize) -> Option<Vec<T>> {
    let mut batch = vec![channel.recv().ok()?];
    batch.extend(channel.try_iter().take(most.saturating_sub(1)));
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
        assert_eq!(gather(&receiver, 3), Some(vec![0, 1, 2]));
        assert_eq!(gather(&receiver, 3), Some(vec![3, 4]));
        drop(sender);
        assert_eq!(gather(&receiver, 3), None);
    }
}
