//! One trial: the worker goes to a thread on its core, the generator runs here, and both say whether somebody disturbed them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dataplane::device::Dpdk;
use dataplane::limits::BURST_LEN_MAX;
use dataplane::worker::Worker;
use dpdk::clock::{Clock, cycles};
use dpdk::{Eal, lcore};
use pktgen::measure::Latency;
use wireguard::time::Instant;

use super::frames::Frames;
use super::generator::Seen;
use super::over::Asked;
use super::process::Process;
use crate::Failure;
use crate::load::Size;
use crate::load::lane::{Lane, Rest};
use crate::load::tally::{self, Tally};
use crate::load::way::Way;
use crate::machine::{steal_ticks, thread_switches};

/// A generator and a worker, each with a core.
pub(crate) struct Pair<'a> {
    /// Missing only while a trial is under way.
    lane: Option<Lane>,
    /// Where the generator is when it is not this thread.
    pub(super) process: Option<Process>,
    pub(super) eal: &'a Eal,
    pub(super) clock: &'a Clock,
    pub(super) cores: [usize; 2],
}

/// A trial that was made.
pub(crate) struct Done {
    pub(crate) tally: Tally,
    /// Why it does not count.
    pub(crate) void: Option<String>,
    /// Seconds until the last packet came back.
    pub(super) taken: f64,
    pub(crate) corrected: Latency,
    pub(crate) uncorrected: Latency,
}

/// What the worker's thread says in the end.
struct Ended {
    worker: Worker<Dpdk>,
    now: Instant,
    turns: u64,
    switches: u64,
}

/// How late the last frame may be: more is a generator that did not keep up.
const LATE_NS: u64 = 10_000;
/// Turns after the last packet in which the worker finishes what it has.
const LAST_TURNS: usize = 16;

impl<'a> Pair<'a> {
    pub(crate) const fn new(
        lane: Lane,
        (eal, clock): (&'a Eal, &'a Clock),
        cores: [usize; 2],
    ) -> Self {
        Self { lane: Some(lane), process: None, eal, clock, cores }
    }

    /// The lane, with its worker on this thread.
    pub(crate) fn with_lane<T>(
        &mut self,
        work: impl FnOnce(&mut Lane, &Clock) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        work(self.lane.as_mut().ok_or(GONE)?, self.clock)
    }

    /// The lane, to be given back.
    pub(super) fn take_lane(&mut self) -> Result<Lane, Failure> {
        Ok(self.lane.take().ok_or(GONE)?)
    }

    pub(super) fn give_back(&mut self, lane: Lane) {
        self.lane = Some(lane);
    }

    /// Makes a trial of a load, for so many seconds or as long as there is room for frames; with `reads` the latency of each
    /// packet that comes back unsealed is kept.
    pub(crate) fn trial(
        &mut self,
        (way, size): (Way, &Size),
        (load, seconds, reads): (f64, f64, bool),
    ) -> Result<Done, Failure> {
        let mut lane = self.take_lane()?;
        lane.renew()?;
        let mark = mark(lane.server.now());
        let frames = Frames::make(&mut lane, (way, size), (load, seconds), mark)?;
        let before = lane.server.totals();
        let asked = Asked { frames: &frames, way: way.ends(), reads, mark };
        self.attach(&mut lane, &asked)?;
        let steal = steal_ticks();
        let (seen, ended, rest) = self.run(lane, &asked)?;
        let disturbed =
            Disturbed { switches: [seen.switches, ended.switches], steal: steal_ticks() - steal };
        let mut lane = rest.join(ended.worker, ended.now);
        (0..LAST_TURNS).for_each(|_| lane.server.turn());
        // What came after the generator had given up: a core was lost for long.
        let stranded = self.detach(&mut lane)?;
        let after = lane.server.totals();
        #[expect(clippy::cast_precision_loss, reason = "a count of frames")]
        let seconds = frames.len() as f64 / load;
        let tally = Tally {
            load,
            seconds,
            offered: frames.len() as u64,
            overflow: seen.overflow,
            late: seen.received.saturating_sub(seen.in_time + BURST_LEN_MAX as u64),
            delivered: seen.received,
            in_time: seen.in_time,
            duplicates: seen.duplicates,
            reordered: seen.reordered,
            drops: tally::drops(&before, &after),
            turns: ended.turns,
            ..Tally::default()
        };
        let dropped = after.dropped_all() - before.dropped_all();
        self.give_back(lane);
        let known = seen.received + seen.overflow + dropped;
        if !(known..=known + stranded).contains(&tally.offered) || after.unaccounted() != 0 {
            let name = way.name();
            let what = format!("{name}: the books of a trial do not close: {tally:?}\n{after}");
            return Err(what.into());
        }
        let void = disturbed.why().or_else(|| late(&seen, load));
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a trial")]
        let taken = seen.taken as f64 / 1e9;
        Ok(Done { tally, void, taken, corrected: seen.corrected, uncorrected: seen.uncorrected })
    }

    /// Lets the worker turn on its core while the generator runs.
    fn run(&mut self, lane: Lane, asked: &Asked<'_>) -> Result<(Seen, Ended, Rest), Failure> {
        let base = lane.server.now();
        let (worker, mut rest) = lane.part();
        let [_, core] = self.cores;
        let (stop, runs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (clock, flags) = (*self.clock, (Arc::clone(&stop), Arc::clone(&runs)));
        let thread = lcore::spawn(self.eal, "worker", Some(core), move || {
            turn_until(worker, base, &clock, (&flags.0, &flags.1))
        })?;
        while !runs.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
        let seen = self.generate(&mut rest, asked);
        stop.store(true, Ordering::Release);
        let ended = thread.join().map_err(|_| "the worker has panicked")?;
        Ok((seen?, ended, rest))
    }
}

const GONE: &str = "the worker was lost in a trial before";

fn turn_until(
    mut worker: Worker<Dpdk>,
    base: Instant,
    clock: &Clock,
    (stop, runs): (&AtomicBool, &AtomicBool),
) -> Ended {
    let (start, mut now, mut turns) = (clock.nanoseconds(cycles()), base, 0);
    let switches = thread_switches();
    runs.store(true, Ordering::Release);
    while !stop.load(Ordering::Acquire) {
        now = base + Duration::from_nanos(clock.nanoseconds(cycles()) - start + 1);
        worker.turn(now);
        turns += 1;
    }
    Ended { worker, now, turns, switches: thread_switches() - switches }
}

/// What distinguishes a trial's packets from those of others.
#[expect(clippy::cast_possible_truncation, reason = "trials are further apart than that")]
pub(super) const fn mark(now: Instant) -> u32 {
    (now.0 >> 8) as u32
}

/// What others did to a trial.
struct Disturbed {
    /// How often the generator and the worker lost their core.
    switches: [u64; 2],
    /// Ticks that the host took.
    steal: u64,
}

impl Disturbed {
    fn why(&self) -> Option<String> {
        let [generator, worker] = self.switches;
        if generator + worker > 0 {
            return Some(format!(
                "the generator lost its core {generator} times and the worker {worker} times"
            ));
        }
        (self.steal > 0).then(|| format!("the host took {} ticks", self.steal))
    }
}

/// Whether the generator kept to its plan: within a burst's time, and at the end within ten microseconds.
fn late(seen: &Seen, load: f64) -> Option<String> {
    #[expect(clippy::cast_precision_loss, reason = "a burst")]
    let burst_ns = BURST_LEN_MAX as f64 / load * 1e9;
    let lateness = seen.lateness;
    #[expect(clippy::cast_precision_loss, reason = "less than a minute")]
    let is_late = lateness as f64 > burst_ns;
    if is_late {
        return Some(format!("the generator was {lateness} ns late (99.9 %)"));
    }
    let last = seen.last_late;
    (last > LATE_NS).then(|| format!("the generator ended {last} ns late"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_core_and_a_stolen_tick_void_a_trial() {
        let calm = Disturbed { switches: [0, 0], steal: 0 };
        assert_eq!(calm.why(), None);
        assert!(Disturbed { switches: [0, 2], ..calm }.why().is_some_and(|why| why.contains('2')));
        assert!(Disturbed { steal: 3, ..calm }.why().is_some_and(|why| why.contains("3 ticks")));
    }
}
