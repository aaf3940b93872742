//! What a trial has shown.

use dataplane::counters::Totals;
use dataplane::fate::DropReason;
use pktgen::measure::Latency;
use results::{Axis, Plot, Point};
use serde::Serialize;

/// The counts of one trial.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Tally {
    /// Packets per second that were meant to come.
    pub(crate) load: f64,
    /// Seconds in which they came.
    pub(crate) seconds: f64,
    /// Packets that came.
    pub(crate) offered: u64,
    /// Those that found the receive queue full.
    pub(crate) overflow: u64,
    /// Those that were more than a burst behind when the last one came: what a queue holds is not carried.
    pub(crate) late: u64,
    /// Different packets that came through, by their numbers.
    pub(crate) delivered: u64,
    /// Those of them that had come through when the last one came.
    pub(crate) in_time: u64,
    pub(crate) duplicates: u64,
    pub(crate) reordered: u64,
    /// What the server has dropped, by name; of a flood as well.
    pub(crate) drops: Vec<(&'static str, u64)>,
    /// Packets of a flood that came, and those that found the queue full.
    pub(crate) flood: u64,
    pub(crate) flood_overflow: u64,
    /// Turns of the worker, and those that were so long that the core must have done something else.
    pub(crate) turns: u64,
    pub(crate) clips: u64,
    /// Seconds that were cut off those.
    pub(crate) clipped: f64,
    /// Seconds of the longest of the other turns.
    pub(crate) longest: f64,
    /// Handshakes that were begun and finished in it.
    #[serde(skip_serializing_if = "is_none")]
    pub(crate) calls: u64,
    #[serde(skip_serializing_if = "is_none")]
    pub(crate) answered: u64,
    #[serde(skip)]
    pub(crate) latency: Option<Latency>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
const fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Tally {
    /// The part of the packets that did not come through, or not in time.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 packets")]
    pub(crate) fn loss(&self) -> f64 {
        let carried = self.delivered.saturating_sub(self.late);
        1.0 - carried as f64 / self.offered.max(1) as f64
    }

    /// Packets per second that came through while packets came.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 packets")]
    pub(crate) fn goodput(&self) -> f64 {
        self.in_time as f64 / self.seconds
    }

    /// Where it stands in a [`plot`].
    pub(crate) fn point(&self) -> Point {
        Point::new(self.load / MILLION, self.goodput() / MILLION)
    }
}

const MILLION: f64 = 1e6;

/// Where trials with packets of one size are drawn.
pub(crate) fn plot(size: &str) -> Plot {
    let title = format!("Goodput against offered load, {size}");
    Plot::lines(&title, Axis::logarithmic("offered, Mpps"), Axis::linear("goodput, Mpps"))
}

/// What was dropped between two looks at the books, by name.
pub(crate) fn drops(before: &Totals, after: &Totals) -> Vec<(&'static str, u64)> {
    let count = |reason: &DropReason| after.dropped(*reason) - before.dropped(*reason);
    let named = DropReason::ALL.iter().map(|reason| (reason.name(), count(reason)));
    named.filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_when_the_last_one_has_come_is_not_carried() {
        let tally = Tally { offered: 1000, delivered: 1000, late: 100, ..Tally::default() };
        assert!((tally.loss() - 0.1).abs() < 1e-9);
        let tally = Tally { seconds: 0.5, in_time: 450, ..tally };
        assert!((tally.goodput() - 900.0).abs() < 1e-9);
    }
}
