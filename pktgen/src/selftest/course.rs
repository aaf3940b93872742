//! Tasks in turn, block by block, until the time is over.

use std::time::Duration;

use dpdk::clock::Clock;

use super::{Figure, GOAL_OF_AEAD, GOALS};
use crate::report::share;
use crate::stop::Stop;

/// What is measured.
pub(super) trait Task {
    /// What has to be there before a block; its time does not count.
    fn ready(&mut self) {}
    /// A block: how many packets it was.
    fn run(&mut self) -> u64;
}

struct Lane<'t> {
    what: &'static str,
    /// The lane that this one is compared with.
    of: Option<usize>,
    task: Box<dyn Task + 't>,
    /// Nanoseconds per packet of each block.
    blocks: Vec<f64>,
}

/// All tasks.
pub(super) struct Course<'t> {
    clock: &'t Clock,
    lanes: Vec<Lane<'t>>,
}

impl<'t> Course<'t> {
    pub(super) const fn new(clock: &'t Clock) -> Self {
        Self { clock, lanes: Vec::new() }
    }

    /// Adds a task that is compared with lane `of`; its own number.
    pub(super) fn add(
        &mut self,
        what: &'static str,
        of: Option<usize>,
        task: impl Task + 't,
    ) -> usize {
        self.lanes.push(Lane { what, of, task: Box::new(task), blocks: Vec::new() });
        self.lanes.len() - 1
    }

    pub(super) const fn len(&self) -> usize {
        self.lanes.len()
    }

    /// At least one block of each task, and no more after `stop`.
    pub(super) fn run(mut self, time: Duration, stop: &Stop) -> Vec<Figure> {
        let begin = self.clock.now_ns();
        loop {
            for lane in &mut self.lanes {
                lane.task.ready();
                let before = self.clock.now_ns();
                let count = lane.task.run();
                let took = self.clock.now_ns() - before;
                if count > 0 {
                    lane.blocks.push(share(took, count));
                }
            }
            let is_over = Duration::from_nanos(self.clock.now_ns() - begin) >= time;
            if is_over || stop.is_asked() {
                break;
            }
        }
        for lane in &mut self.lanes {
            lane.blocks.sort_by(f64::total_cmp);
        }
        self.lanes.iter().map(|lane| self.figure(lane)).collect()
    }

    fn figure(&self, lane: &Lane<'_>) -> Figure {
        let at = |lane: &Lane<'_>, tenths: usize| {
            lane.blocks.get(lane.blocks.len() * tenths / 10).copied().unwrap_or(0.0)
        };
        let p10_ns = at(lane, 1);
        let of = lane.of.and_then(|of| self.lanes.get(of));
        let of_aead = of.map(|of| p10_ns / at(of, 1).max(f64::MIN_POSITIVE));
        let per_sec = 1e9 / p10_ns.max(f64::MIN_POSITIVE);
        let goal = GOALS.iter().find(|(word, _)| lane.what.starts_with(word));
        let of_rate = goal.map(|(_, goal)| per_sec >= *goal);
        let is_reached = of_rate.or_else(|| of_aead.map(|ratio| ratio <= GOAL_OF_AEAD));
        Figure { what: lane.what, p10_ns, p50_ns: at(lane, 5), per_sec, of_aead, is_reached }
    }
}
