//! A worker under observation: its turns, and when it has got other routes.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dataplane::config::Config;
use dataplane::keeper::{Keeper, Start};
use dataplane::limits::BURST_LEN_MAX;
use dataplane::site::Site;
use dataplane::testing::memory::{Buffers, End, Memory};
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::site::{self, Plan};
use dataplane::worker::{Queues, Wire, Worker};
use dpdk::clock::{Clock, cycles};
use wireguard::time::Instant;

use crate::machine::Taken;
use crate::{Failure, pin};

/// Turns are sorted by their length, in steps of an eighth.
const STEPS: usize = 512;

/// What others see of the worker.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) stop: AtomicBool,
    /// The cycle at which the first turn with the present routes had ended.
    changed_at: AtomicU64,
    steps: Vec<AtomicU64>,
    longest: AtomicU64,
    taken: AtomicU64,
}

/// How long turns were, in cycles, but for those in which the core was taken away.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    pub(super) count: u64,
    pub(super) median: u64,
    /// Of ten thousand turns, 9,999 were not longer.
    pub(super) p9999: u64,
    pub(super) longest: u64,
    /// Long turns in which the core did other work.
    pub(super) taken: u64,
}

impl Watch {
    fn new() -> Self {
        Self {
            stop: AtomicBool::new(false),
            changed_at: AtomicU64::new(0),
            steps: (0..STEPS).map(|_| AtomicU64::new(0)).collect(),
            longest: AtomicU64::new(0),
            taken: AtomicU64::new(0),
        }
    }

    /// When the worker had the routes of a transaction that is in force and was committed at this cycle.
    pub(super) fn seen_after(&self, committed: u64) -> u64 {
        loop {
            let seen = self.changed_at.load(Ordering::Acquire);
            if seen > committed {
                return seen;
            }
            std::hint::spin_loop();
        }
    }

    fn turn(&self, taken: u64) {
        if let Some(step) = self.steps.get(step(taken)) {
            step.fetch_add(1, Ordering::Relaxed);
        }
        self.longest.fetch_max(taken, Ordering::Relaxed);
    }

    /// Everything since the last time.
    pub(super) fn take_turns(&self) -> Turns {
        let steps: Vec<u64> =
            self.steps.iter().map(|step| step.swap(0, Ordering::Relaxed)).collect();
        let count: u64 = steps.iter().sum();
        // The step by which so many of ten thousand turns had ended.
        let by = |share: u64| {
            let mut seen = 0;
            let ended = |step: &u64| {
                seen += step;
                seen * 10_000 >= count * share
            };
            steps.iter().position(ended).map_or(0, cycles_of)
        };
        let (median, p9999) = (by(5000), by(9999));
        let [longest, taken] =
            [&self.longest, &self.taken].map(|count| count.swap(0, Ordering::Relaxed));
        Turns { count, median, p9999, longest, taken }
    }
}

/// The step that a length falls into.
fn step(taken: u64) -> usize {
    let order = (taken | 8).ilog2();
    let eighth = (taken | 8) >> (order - 3) & 7;
    (order as usize * 8 + usize::try_from(eighth).unwrap_or(0)).min(STEPS - 1)
}

/// The upper end of a step.
fn cycles_of(step: usize) -> u64 {
    let (order, eighth) = (step / 8, step as u64 % 8);
    (9 + eighth) << order >> 3
}

/// The tables of a server with room for so many peers.
pub(super) fn keeper(peers_max: u32) -> Result<Keeper, Failure> {
    let plan = Plan { peers_max: Some(peers_max), ..Plan::new(0) };
    let config = Config::parse(&plan.text(), std::path::Path::new("bench.toml"))?;
    let site = Site::new(&config, &[site::port_link(0)], Some(site::KERNEL));
    let start = Start { seed: [9; 32], now: Instant(1_000_000_000), unix: Duration::from_secs(1) };
    Ok(Keeper::new(&config, site, start)?)
}

/// Starts the worker on its core, with packets of the kernel's to these addresses.
pub(super) fn start(
    keeper: &mut Keeper,
    destinations: Vec<Ipv4Addr>,
    core: usize,
) -> Result<(Arc<Watch>, JoinHandle<()>), Failure> {
    let watch = Arc::new(Watch::new());
    let (state, exchange, seed) = (keeper.state(0), keeper.exchange(), keeper.seed());
    let watched = Arc::clone(&watch);
    let work = move || {
        if let Err(error) = pin(core) {
            log(&error.to_string());
        }
        // Queues and buffers in memory belong to one thread.
        let (near, local) = End::pair(2 * BURST_LEN_MAX);
        let (wire, _far) = End::pair(2 * BURST_LEN_MAX);
        let queues = Queues::<Memory> {
            wires: vec![Wire { queue: Some(wire), relay: 0, kernel: None }],
            local: Some(near),
            inbound: Vec::new(),
            outbound: vec![None],
            pool: Buffers::new(1024),
        };
        turns(Worker::new(state, queues, exchange, seed), &local, &destinations, &watched);
    };
    let worker = thread::Builder::new().name("worker".to_owned()).spawn(work)?;
    Ok((watch, worker))
}

fn log(sentence: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "millrace-bench: {sentence}").unwrap_or_default();
}

/// How long a turn is, in microseconds, after which it is asked whether the core was taken away meanwhile.
const LONG: u64 = 50;

/// Turns after which it is noted how often the core was taken away so far.
const NOTED: u64 = 1024;

/// A worker's life: a burst, a turn, and a look at its routes.
fn turns(mut worker: Worker<Memory>, local: &End, destinations: &[Ipv4Addr], watch: &Watch) {
    let clock = Clock::calibrate();
    let outside = Buffers::new(4 * BURST_LEN_MAX);
    // Errors about these are owed to nobody, so that each is looked up and lost.
    let frames: Vec<Vec<u8>> = destinations
        .iter()
        .step_by((destinations.len() / 4096).max(1))
        .map(|to| packets::from_local(&Ip::new(site::LOCAL_V4, *to).error(b"looked up")))
        .collect();
    let mut next = frames.iter().cycle();
    let mut routes = std::ptr::from_ref(&*worker.state().routes) as usize;
    let long = clock.hz() / 1_000_000 * LONG;
    let mut taken = Taken::so_far();
    for count in 0_u64.. {
        if watch.stop.load(Ordering::Relaxed) {
            return;
        }
        if count.is_multiple_of(NOTED) {
            taken = Taken::so_far();
        }
        for frame in next.by_ref().take(BURST_LEN_MAX) {
            if let Some(packet) = outside.packet(frame) {
                drop(local.put(packet));
            }
        }
        let begun = cycles();
        worker.turn(Instant(clock.now_ns()));
        let ended = cycles();
        if ended - begun > long && taken.since().switches > 0 {
            watch.taken.fetch_add(1, Ordering::Relaxed);
            taken = Taken::so_far();
        } else {
            watch.turn(ended - begun);
        }
        let now = std::ptr::from_ref(&*worker.state().routes) as usize;
        if now != routes {
            routes = now;
            watch.changed_at.store(ended, Ordering::Release);
        }
        while local.take().is_some() {}
    }
}
