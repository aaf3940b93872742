//! The commands ring and the collector together: what the keeper reads.

use std::collections::VecDeque;

use super::{Collector, Reason, Refusal, Refusals, Step, Transaction};
use crate::memory::Memory;
use crate::message::COMMAND_WORDS;
use crate::ring::{Consumer, Corrupt};

/// What came out of the commands ring.
#[derive(Debug)]
pub enum Received {
    /// A transaction to apply.
    Transaction(Transaction),
    /// A transaction that is not applied, to tell control.
    Refused(Refusal),
    /// Control asks for the states of all peers, under this number.
    Survey(u64),
    /// The ring is corrupt, to tell control; told once.
    Corrupt(Corrupt),
}

/// Reads transactions from the commands ring.
#[derive(Debug)]
pub struct Reader<M> {
    ring: Consumer<M, COMMAND_WORDS>,
    collector: Collector,
    received: VecDeque<Received>,
    corrupt: bool,
    /// Messages of the last look into the ring.
    read: usize,
}

impl<M: Memory> Reader<M> {
    /// Reads from this ring, up to `items_max` messages per transaction.
    pub fn new(ring: Consumer<M, COMMAND_WORDS>, items_max: usize) -> Self {
        Self {
            ring,
            collector: Collector::new(items_max),
            received: VecDeque::new(),
            corrupt: false,
            read: 0,
        }
    }

    /// The next outcome, after at most `budget` messages; none when these led to nothing, which is also so
    /// when there were none.
    pub fn poll(&mut self, budget: usize) -> Option<Received> {
        if self.received.is_empty() {
            self.read(budget);
        }
        self.received.pop_front()
    }

    /// Whether the last [`Self::poll`] found messages, though they may have led to nothing yet.
    pub fn has_read(&self) -> bool {
        self.read > 0
    }

    /// What was refused so far.
    pub fn refusals(&self) -> &Refusals {
        self.collector.refusals()
    }

    /// Counts a transaction that was received and could not be applied.
    pub fn count_refusal(&mut self, reason: Reason) {
        self.collector.refusals_mut().add(reason);
    }

    /// The ring.
    pub fn ring(&self) -> &Consumer<M, COMMAND_WORDS> {
        &self.ring
    }

    fn read(&mut self, budget: usize) {
        let Self { ring, collector, received, corrupt, read } = self;
        let taken = ring.take(budget.max(1), |taken| {
            received.extend(collector.enter(taken.epoch).map(Received::Refused));
            match collector.take(taken.message) {
                Step::Gathered => {}
                Step::Complete(transaction) => {
                    received.push_back(Received::Transaction(transaction));
                }
                Step::Refused(refusal) => received.push_back(Received::Refused(refusal)),
                Step::Survey(id) => received.push_back(Received::Survey(id)),
            }
        });
        *read = *taken.as_ref().unwrap_or(&0);
        match taken {
            // Nothing is left of whoever wrote before this epoch.
            Ok(0) => {
                received.extend(collector.enter(ring.producer_epoch()).map(Received::Refused));
                *corrupt = false;
            }
            Ok(_) => *corrupt = false,
            Err(fault) => {
                received.extend(collector.forsake(Reason::Desynchronised).map(Received::Refused));
                if !*corrupt {
                    received.push_back(Received::Corrupt(fault));
                }
                *corrupt = true;
            }
        }
    }
}
