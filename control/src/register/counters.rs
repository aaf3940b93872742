//! What became of requests, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::fault::Fault;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Register,
    Show,
    Alter,
    Remove,
    /// A path or method that is none.
    Other,
}

const OPERATIONS: [&str; 5] = ["register", "show", "alter", "remove", "other"];
const OUTCOMES: usize = Fault::NAMES.len() + 1;

/// Requests by operation and outcome.
#[derive(Debug, Default)]
pub struct Counters([[AtomicU64; OUTCOMES]; OPERATIONS.len()]);

impl Counters {
    /// Counts a request.
    pub(super) fn count<T>(&self, operation: Operation, outcome: &Result<T, Fault>) {
        let at = outcome.as_ref().err().map_or(0, |fault| fault.number() + 1);
        if let Some(counter) = self.0.get(operation as usize).and_then(|row| row.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All of them: operation, outcome, count.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        OPERATIONS.iter().zip(&self.0).flat_map(|(operation, row)| {
            let outcomes = std::iter::once("ok").chain(Fault::NAMES);
            outcomes
                .zip(row)
                .map(|(outcome, count)| (*operation, outcome, count.load(Ordering::Relaxed)))
        })
    }
}
