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
use crate::machine::{Taken, steal_ticks};

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
    /// Why it counts for nothing.
    void: Option<String>,
    /// Whose core was taken, and how many packets that may have cost.
    disturbed: Option<(String, f64)>,
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
    lost: Taken,
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
        let disturbed = Disturbed { lost: [seen.lost, ended.lost], steal: steal_ticks() - steal };
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
        let (own, rest) = (after.made - before.made, stranded + after.held);
        if !closes(tally.offered, known, (own, rest)) || after.unaccounted() != 0 {
            let name = way.name();
            let what = format!("{name}: the books of a trial do not close: {tally:?}\n{after}");
            return Err(what.into());
        }
        let void = disturbed.void().or_else(|| late(&seen, load));
        let disturbed = disturbed.cost(load);
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a trial")]
        let taken = seen.taken as f64 / 1e9;
        let Seen { corrected, uncorrected, .. } = seen;
        Ok(Done { tally, void, disturbed, taken, corrected, uncorrected })
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

/// Whether what was offered is what is known of: it came back, found a queue full, or was dropped. Of what was dropped some may be
/// the server's own frames, and some of what was offered may lie in a ring, or wait, in the end.
const fn closes(offered: u64, known: u64, (own, rest): (u64, u64)) -> bool {
    known.saturating_sub(own) <= offered && offered <= known + rest
}

const GONE: &str = "the worker was lost in a trial before";

fn turn_until(
    mut worker: Worker<Dpdk>,
    base: Instant,
    clock: &Clock,
    (stop, runs): (&AtomicBool, &AtomicBool),
) -> Ended {
    let (start, mut now, mut turns) = (clock.nanoseconds(cycles()), base, 0);
    let taken = Taken::so_far();
    runs.store(true, Ordering::Release);
    while !stop.load(Ordering::Acquire) {
        now = base + Duration::from_nanos(clock.nanoseconds(cycles()) - start + 1);
        worker.turn(now);
        turns += 1;
    }
    Ended { worker, now, turns, lost: taken.since() }
}

/// What distinguishes a trial's packets from those of others.
#[expect(clippy::cast_possible_truncation, reason = "trials are further apart than that")]
pub(super) const fn mark(now: Instant) -> u32 {
    (now.0 >> 8) as u32
}

impl Done {
    /// Why it says nothing of latencies: whatever was taken shows in them.
    pub(crate) fn is_void(&self) -> bool {
        self.void.is_some() || self.disturbed.is_some()
    }

    /// Why it does not say on which side of these ratios its loss lies: it does where it would lie there also without
    /// what the taken cores may have cost.
    pub(crate) fn why_not(&self, ratios: &[f64]) -> Option<String> {
        if self.void.is_some() {
            return self.void.clone();
        }
        let (why, packets) = self.disturbed.as_ref()?;
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 packets")]
        let excused = packets / self.tally.offered.max(1) as f64;
        let loss = self.tally.loss();
        let is_open = |ratio: &f64| loss > *ratio && loss - excused <= *ratio;
        ratios.iter().any(is_open).then(|| why.clone())
    }
}

/// What others did to a trial.
struct Disturbed {
    /// What they have taken of the generator's core and of the worker's.
    lost: [Taken; 2],
    /// Ticks that the host took.
    steal: u64,
}

impl Disturbed {
    /// Nobody knows whose packets the host's ticks have cost.
    fn void(&self) -> Option<String> {
        (self.steal > 0).then(|| format!("the host took {} ticks", self.steal))
    }

    /// Whose core was taken, and how many packets of a load have come meanwhile, all of which may be lost for it. Time that is
    /// not known may have cost any number.
    fn cost(&self, load: f64) -> Option<(String, f64)> {
        let [generator, worker] = self.lost;
        if generator.switches + worker.switches == 0 {
            return None;
        }
        let waited = generator.waited + worker.waited;
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a trial")]
        let packets = if waited == 0 { f64::INFINITY } else { waited as f64 / 1e9 * load };
        let (generator, worker) = (generator.switches, worker.switches);
        let why =
            format!("the generator lost its core {generator} times and the worker {worker} times");
        Some((why, packets))
    }
}

/// Whether the generator kept to its plan: within a burst's time but for what others took of its core, and at the end within ten
/// microseconds.
fn late(seen: &Seen, load: f64) -> Option<String> {
    #[expect(clippy::cast_precision_loss, reason = "a burst")]
    let burst_ns = BURST_LEN_MAX as f64 / load * 1e9;
    let lateness = seen.lateness.saturating_sub(seen.lost.waited);
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

    const CALM: Disturbed = Disturbed { lost: [Taken { switches: 0, waited: 0 }; 2], steal: 0 };

    fn done(delivered: u64, disturbed: &Disturbed) -> Done {
        let tally = Tally { load: 1e6, offered: 20_000, delivered, ..Tally::default() };
        let (corrected, uncorrected) = (Latency::new(), Latency::new());
        let (void, disturbed) = (disturbed.void(), disturbed.cost(1e6));
        Done { tally, void, disturbed, taken: 0.02, corrected, uncorrected }
    }

    #[test]
    fn books_close_but_for_own_frames_that_were_dropped_and_for_what_lies_somewhere() {
        assert!(closes(100, 100, (0, 0)) && !closes(100, 99, (0, 0)) && !closes(100, 101, (0, 0)));
        assert!(closes(100, 101, (1, 0)) && !closes(100, 102, (1, 0)));
        assert!(closes(100, 97, (1, 3)) && !closes(100, 96, (1, 3)));
    }

    #[test]
    fn a_stolen_tick_voids_a_trial_whatever_came_through() {
        let stolen = done(20_000, &Disturbed { steal: 3, ..CALM });
        assert!(stolen.why_not(&[0.0]).is_some_and(|why| why.contains("3 ticks")));
        assert_eq!(done(10_000, &CALM).why_not(&[0.0, 0.005]), None);
    }

    #[test]
    fn a_lost_core_voids_a_trial_that_it_may_have_put_on_the_other_side() {
        // 50 microseconds at a packet each.
        let [generator, worker] = [0, 2].map(|switches| Taken { switches, waited: 25_000 });
        let lost = Disturbed { lost: [generator, worker], ..CALM };
        let said = |delivered| done(delivered, &lost).why_not(&[0.0, 0.005]);
        assert_eq!(said(20_000), None, "nothing was lost all the same");
        assert!(said(19_999).is_some_and(|why| why.contains("worker 2 times")));
        assert_eq!(
            said(19_940),
            None,
            "sixty lost, fifty excused: neither none nor half a percent"
        );
        assert!(said(19_890).is_some(), "it may be half a percent or less");
        assert_eq!(said(19_800), None, "too many in any case");
        assert!(done(20_000, &lost).is_void(), "latencies show it");
    }

    #[test]
    fn time_that_is_not_known_may_have_cost_any_number() {
        let lost = Disturbed { lost: [Taken::default(), Taken { switches: 1, waited: 0 }], ..CALM };
        assert!(done(1, &lost).why_not(&[0.0]).is_some());
        assert_eq!(done(20_000, &lost).why_not(&[0.0]), None);
    }
}
