//! One worker, then two on two cores at the same time: packets per second that each passes on, with the time that a cache line
//! takes from core to core and back, before and after. Where that has moved, the figures mean nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dpdk::clock::{Clock, cycles};
use dpdk::{Eal, Pool, lcore};

use super::servers::Landing;
use crate::Failure;
use crate::turns::{Setting, Timing, pool};

/// Rounds of a worker that are measured, and of the ping-pong.
const SECONDS: u64 = 2;
const ROUND_TRIPS: u64 = 100_000;

/// What two cores do.
#[derive(Debug)]
pub(super) struct Cores {
    /// Nanoseconds of a cache line's round trip, before and after.
    pub(super) round_trip_ns: [f64; 2],
    pub(super) rates: Vec<Rate>,
}

/// Packets per second of turns, in millions: of the first worker alone, and of both at the same time.
#[derive(Debug)]
pub(super) struct Rate {
    pub(super) burst: usize,
    pub(super) alone: f64,
    pub(super) together: [f64; 2],
}

impl Cores {
    pub(super) fn measure(
        Setting { eal, clock, .. }: &Setting,
        timing: &Timing,
        second: usize,
    ) -> Result<Self, Failure> {
        let cores = [timing.core, second];
        let before = round_trip(eal, cores, clock)?;
        let mut workers = Vec::new();
        for name in ["a", "b"] {
            let pool = pool(eal, &format!("pool{name}"))?;
            workers.push((Landing::start(eal, &pool, name)?, pool));
        }
        let length = if timing.quick { clock.hz() / 20 } else { clock.hz() * SECONDS };
        let mut rates = Vec::new();
        for burst in &timing.bursts {
            let (burst, hz) = (*burst, clock.hz());
            let both = workers.split_off(1);
            let (alone, back) = run(eal, workers, (&cores, burst), (length, hz))?;
            workers = back;
            workers.extend(both);
            let (together, back) = run(eal, workers, (&cores, burst), (length, hz))?;
            workers = back;
            let (Some(alone), [one, two]) = (alone.first(), together.as_slice()) else {
                return Err("a worker gave no rate".into());
            };
            rates.push(Rate { burst, alone: *alone, together: [*one, *two] });
        }
        let after = round_trip(eal, cores, clock)?;
        Ok(Self { round_trip_ns: [before, after], rates })
    }
}

type Workers = Vec<(Landing, Pool)>;

/// Lets every worker pass on for so many cycles, each on its core; gives the rates, in millions of packets per second.
fn run(
    eal: &Eal,
    workers: Workers,
    (cores, burst): (&[usize], usize),
    (length, hz): (u64, u64),
) -> Result<(Vec<f64>, Workers), Failure> {
    let waiting = Arc::new(AtomicU64::new(workers.len() as u64));
    let mut threads = Vec::new();
    for ((mut landing, pool), core) in workers.into_iter().zip(cores) {
        let waiting = Arc::clone(&waiting);
        threads.push(lcore::spawn(eal, "steer", Some(*core), move || {
            waiting.fetch_sub(1, Ordering::AcqRel);
            while waiting.load(Ordering::Acquire) > 0 {
                std::hint::spin_loop();
            }
            let rate = rate(&mut landing, burst, (length, hz)).map_err(|error| error.to_string());
            (rate, landing, pool)
        })?);
    }
    let (mut rates, mut back) = (Vec::new(), Vec::new());
    for thread in threads {
        let (rate, landing, pool) = thread.join().map_err(|_| "a worker has panicked")?;
        rates.push(rate?);
        back.push((landing, pool));
    }
    Ok((rates, back))
}

/// Making and freeing packets lies between the turns and is not counted.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn rate(landing: &mut Landing, burst: usize, (length, hz): (u64, u64)) -> Result<f64, Failure> {
    let (start, mut allocations) = (cycles(), 0);
    let (mut taken, mut packets) = (0, 0);
    while cycles() - start < length {
        let (cycles, bursts) = landing.pass_on(burst, &mut allocations)?;
        taken += cycles;
        packets += bursts * burst as u64;
    }
    Ok(packets as f64 / (taken as f64 / hz as f64) / 1e6)
}

/// Nanoseconds that a cache line takes to the other core and back.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
pub(crate) fn round_trip(eal: &Eal, cores: [usize; 2], clock: &Clock) -> Result<f64, Failure> {
    let ball = Arc::new((AtomicU64::new(0), AtomicBool::new(false)));
    let play = |parity: u64| {
        let ball = Arc::clone(&ball);
        move || {
            let start = cycles();
            for trip in 0..ROUND_TRIPS {
                while ball.0.load(Ordering::Acquire) != trip * 2 + parity {
                    std::hint::spin_loop();
                }
                ball.0.store(trip * 2 + parity + 1, Ordering::Release);
            }
            cycles() - start
        }
    };
    let [one, two] = cores;
    let threads = [
        lcore::spawn(eal, "ping", Some(one), play(0))?,
        lcore::spawn(eal, "pong", Some(two), play(1))?,
    ];
    let mut taken = 0;
    for thread in threads {
        taken = thread.join().map_err(|_| "the ping-pong has panicked")?;
    }
    Ok(taken as f64 / ROUND_TRIPS as f64 * 1e9 / clock.hz() as f64)
}
