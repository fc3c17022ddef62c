//! Frames waiting for a worker: a short queue for each camera, served in turn, so that a camera at 30 frames a second
//! cannot starve one at 1. The oldest frame of a camera gives way to its newest: when its queue is full, and when its
//! turn comes and there is no room for all that wait. So what is looked at under overload is fresh, and what is shed is
//! told at once, so that the camera can send another.

use std::collections::{BTreeMap, VecDeque};

/// A camera's stream, or one analysis, as the hub counts them.
pub type Source = u64;

/// Bounded queues, one a source, served round-robin.
pub struct Queues<T> {
    waiting: BTreeMap<Source, VecDeque<T>>,
    turn: Source,
}

impl<T> Default for Queues<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), turn: 0 }
    }
}

impl<T> Queues<T> {
    /// Puts a frame at the end of its source's queue, and returns the oldest one when there are more than `most`.
    pub fn push(&mut self, source: Source, frame: T, most: usize) -> Option<T> {
        let queue = self.waiting.entry(source).or_default();
        queue.push_back(frame);
        if queue.len() > most { queue.pop_front() } else { None }
    }

    /// Puts a frame back to the front: it was on its way, and its worker left.
    pub fn put_back(&mut self, source: Source, frame: T) {
        self.waiting.entry(source).or_default().push_front(frame);
    }

    /// How many frames wait.
    pub fn len(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// The oldest frame of the next source in turn.
    pub fn pop(&mut self) -> Option<(Source, T)> {
        let source = self.in_turn()?;
        self.turn = source;
        let queue = self.waiting.get_mut(&source)?;
        let frame = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&source);
        }
        frame.map(|frame| (source, frame))
    }

    /// The source in turn.
    pub fn in_turn(&self) -> Option<Source> {
        let after = self.waiting.range(self.turn + 1..).next();
        after.or_else(|| self.waiting.iter().next()).map(|(source, _)| *source)
    }

    /// Takes out all frames of a source but its newest.
    pub fn shed_older(&mut self, source: Source) -> impl Iterator<Item = T> {
        let queue = self.waiting.get_mut(&source);
        queue.into_iter().flat_map(|queue| queue.drain(..queue.len().saturating_sub(1)))
    }

    /// Takes everything out.
    pub fn drain(&mut self) -> Vec<T> {
        std::mem::take(&mut self.waiting).into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_take_turns_however_much_they_send() {
        let mut queues = Queues::default();
        for frame in 0..30 {
            queues.push(1, frame, 100);
        }
        queues.push(2, 1000, 100);
        let served: Vec<_> = std::iter::from_fn(|| queues.pop()).map(|(source, _)| source).take(3).collect();
        assert_eq!(served, [1, 2, 1]);
    }

    #[test]
    fn the_oldest_frame_gives_way() {
        let mut queues = Queues::default();
        assert_eq!(queues.push(1, "old", 2), None);
        assert_eq!(queues.push(1, "newer", 2), None);
        assert_eq!(queues.push(1, "newest", 2), Some("old"));
        assert_eq!(queues.pop(), Some((1, "newer")));
    }

    #[test]
    fn all_but_the_newest_frame_of_a_source_are_shed() {
        let mut queues = Queues::default();
        for frame in ["old", "newer", "newest"] {
            queues.push(1, frame, 4);
        }
        queues.push(2, "another", 4);
        assert_eq!(queues.shed_older(1).collect::<Vec<_>>(), ["old", "newer"]);
        assert_eq!(queues.shed_older(3).count(), 0);
        assert_eq!((queues.len(), queues.in_turn()), (2, Some(1)));
        assert_eq!((queues.pop(), queues.pop(), queues.pop()), (Some((1, "newest")), Some((2, "another")), None));
    }
}
