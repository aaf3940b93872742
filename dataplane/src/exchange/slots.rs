//! Free session slots.

use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam::queue::ArrayQueue;

use crate::limits::SLOTS_SPARE;

/// The free session slots of one worker that one thread hands out. Slots that were never used come last, so that
/// a worker touches no more memory than it needs; those that were rest before they are used again.
#[derive(Debug)]
pub(super) struct Slots {
    used: ArrayQueue<u32>,
    /// The next that was never used; only its thread takes from here.
    fresh: AtomicU32,
    step: u32,
    end: u32,
}

impl Slots {
    pub(super) fn new(thread: usize, threads: usize, slots: u32) -> Self {
        let step = u32::try_from(threads).unwrap_or(u32::MAX);
        Self {
            used: ArrayQueue::new((slots / step + 1) as usize),
            fresh: AtomicU32::new(u32::try_from(thread).unwrap_or(u32::MAX)),
            step,
            end: slots,
        }
    }

    pub(super) fn take(&self) -> Option<u32> {
        let fresh = self.fresh.load(Ordering::Relaxed);
        if fresh < self.end && self.used.len() <= SLOTS_SPARE {
            self.fresh.store(fresh + self.step, Ordering::Relaxed);
            return Some(fresh);
        }
        self.used.pop()
    }

    /// Takes one back; there is a place for each.
    pub(super) fn give(&self, slot: u32) {
        let _ = self.used.push(slot);
    }

    pub(super) fn count(&self) -> usize {
        let fresh = self.end.saturating_sub(self.fresh.load(Ordering::Relaxed));
        self.used.len() + fresh.div_ceil(self.step) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_used_is_taken_before_what_has_not_rested() {
        let spare = u32::try_from(SLOTS_SPARE).unwrap();
        let slots = Slots::new(0, 1, 2 + spare);
        for slot in 0..=spare {
            assert_eq!(slots.take(), Some(slot));
            slots.give(slot);
        }
        assert_eq!(slots.take(), Some(0), "it has rested");
        assert_eq!(slots.count(), 1 + SLOTS_SPARE);
    }
}
