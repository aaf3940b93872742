//! What each rule has matched: written by one worker, read by the keeper.

use std::sync::Arc;

use crate::counters::Counter;
use crate::limits::RULE_SLOTS;

/// What a rule has matched on one worker.
#[derive(Debug, Default)]
pub struct Tally {
    /// Packets.
    pub packets: Counter,
    /// Their octets, from the IP header on.
    pub octets: Counter,
    /// Those of the packets that were dropped for it.
    pub dropped: Counter,
}

/// One tally for each slot of a rule.
#[derive(Debug)]
pub struct Tallies(Box<[Tally]>);

impl Default for Tallies {
    fn default() -> Self {
        Self((0..RULE_SLOTS).map(|_| Tally::default()).collect())
    }
}

impl Tallies {
    /// The tally of a slot.
    #[inline]
    pub fn of(&self, slot: u16) -> Option<&Tally> {
        self.0.get(usize::from(slot))
    }
}

/// The tallies of all workers.
#[derive(Debug)]
pub struct AllTallies(Vec<Arc<Tallies>>);

impl AllTallies {
    /// For so many workers.
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Arc::default()).collect())
    }

    /// Those of one worker.
    pub fn of_worker(&self, worker: usize) -> Arc<Tallies> {
        self.0.get(worker).map(Arc::clone).unwrap_or_default()
    }

    /// Packets, octets and dropped packets of a slot, over all workers.
    pub fn sums(&self, slot: u16) -> [u64; 3] {
        let mut sums = [0_u64; 3];
        for tally in self.0.iter().filter_map(|tallies| tallies.of(slot)) {
            let values = [&tally.packets, &tally.octets, &tally.dropped].map(Counter::value);
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = sum.wrapping_add(value);
            }
        }
        sums
    }
}
