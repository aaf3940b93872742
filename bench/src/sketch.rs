//! The sketch: what it costs a worker to pass a packet by and to write one down, and the keeper to tell who is heavy.

mod report;

use std::hint::black_box;
use std::net::{IpAddr, Ipv6Addr};

use clap::Args;
use dataplane::limits::{BURST_LEN_MAX, SKETCH_INTERVAL};
use dataplane::packet::{Address, Ip};
use dataplane::stages::dos::sketch::{Sample, Sheet, Sketch, Tally};
use dpdk::clock::{Clock, cycles};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;
use wireguard::time::Instant;

use crate::machine::{Machine, Weather};
use crate::sample::per_packet;
use crate::{Failure, allocator, pin};
pub(crate) use report::Report;

/// What to measure.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Rounds of each pace, and of the keeper's work.
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// The core to measure on.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Few rounds, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

/// Packets of a round: at this many times five per second.
const PACES: [u64; 4] = [8_192, 200_000, 2_000_000, 8_000_000];

/// Workers whose sheets the keeper takes in.
const WORKERS: [usize; 3] = [1, 4, 16];

/// Packets that a worker looks at again and again: more than an L1 cache holds.
const FEW: usize = 4096;
/// Packets that the keeper's sheets are written from; each is looked at once.
const MANY: usize = 1 << 17;

/// Who sends.
#[derive(Clone, Copy, Debug)]
enum Set {
    /// Everybody invents a source of all of IPv6; one target, all alike.
    Flood,
    /// Clients of a few thousand addresses, to one of a hundred destinations, lengths and ports as they come.
    Mixed,
}

impl Set {
    const ALL: [Self; 2] = [Self::Flood, Self::Mixed];
}

/// Everything in cycles.
#[derive(Debug)]
struct Figures {
    /// Per packet of a burst of which none is sampled.
    passed: Vec<f64>,
    paces: Vec<Pace>,
    tallies: Vec<Counted>,
    /// Octets of a sheet. A worker has one, and the keeper one for it.
    sheet: usize,
}

/// Rounds with so many packets, one after the other.
#[derive(Debug)]
struct Pace {
    packets: u64,
    /// Cycles per packet that comes, samples and all.
    rounds: Vec<f64>,
    /// Packets that were written down in all rounds.
    written: u64,
}

/// The keeper's work of one round.
#[derive(Debug)]
struct Counted {
    set: Set,
    workers: usize,
    rounds: Vec<f64>,
    /// What it told in the last one.
    told: usize,
}

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = self.clone();
        if plan.quick {
            plan.rounds = plan.rounds.min(3);
        }
        if plan.rounds == 0 {
            return Err("--rounds takes 1 and more".into());
        }
        Ok(plan)
    }
}

/// Measures everything.
pub(crate) fn run(plan: &Plan) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let clock = Clock::calibrate();
    let machine = Machine::observe(&clock, "no DPDK in it".to_owned(), false, plan.core);
    pin(plan.core)?;
    let before = Weather::observe();
    let start = allocator::octets();
    let sheet = Sheet::default();
    let octets = allocator::octets() - start;
    drop(black_box(sheet));
    let mut figures =
        Figures { passed: passed(&plan), paces: Vec::new(), tallies: Vec::new(), sheet: octets };
    for packets in PACES {
        figures.paces.push(pace(packets, &plan));
    }
    for set in Set::ALL {
        for workers in WORKERS {
            figures.tallies.push(tally(set, workers, &plan));
        }
    }
    let after = Weather::observe();
    Ok(Report::new(plan, machine, (before, after), figures))
}

/// What a packet is read from when it is sampled.
struct Packet {
    source: Address,
    ip: Ip,
    upper: [u8; 20],
}

fn packets(set: Set, count: usize, seed: u64) -> Vec<Packet> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut packet = || {
        let mut upper = [0; 20];
        random.fill_bytes(&mut upper);
        let invented = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
        let (source, number, len) = match set {
            Set::Flood => (invented, 0, 60),
            Set::Mixed => (invented % 3_000, random.next_u32() % 100, random.next_u32() % 1_400),
        };
        if matches!(set, Set::Flood) {
            (upper[2], upper[3], upper[13]) = (0, 80, 2);
        }
        let destination = IpAddr::V6(Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number)));
        let len = u16::try_from(40 + len).unwrap_or_default();
        let ip = Ip { destination: destination.into(), protocol: 6, len, ..Ip::NONE };
        Packet { source: source.into(), ip, upper }
    };
    (0..count).map(|_| packet()).collect()
}

fn sample(packet: &Packet) -> Sample {
    Sample::new(packet.source, &packet.ip, &packet.upper)
}

/// Looks at so many packets in bursts; tells how many were written down.
fn look(sketch: &mut Sketch, packets: &[Packet], count: u64) -> u64 {
    let mut written = 0;
    let bursts = packets.chunks_exact(BURST_LEN_MAX).cycle();
    let count = usize::try_from(count).unwrap_or(usize::MAX).div_ceil(BURST_LEN_MAX);
    for burst in bursts.take(count) {
        black_box(&mut *sketch).look(burst.len(), |index| {
            written += 1;
            burst.get(index).map(sample)
        });
    }
    written
}

/// A round begins after one of so many packets that the next is far.
fn passed(plan: &Plan) -> Vec<f64> {
    const COUNT: u64 = 1 << 20;
    let packets = packets(Set::Flood, FEW, 1);
    let mut sketch = Sketch::new(1, Instant::ZERO);
    let mut sheet = Box::<Sheet>::default();
    let mut rounds = Vec::with_capacity(plan.rounds);
    while rounds.len() < plan.rounds {
        sketch.look(usize::MAX >> 4, |_| None);
        sheet = sketch.turn_in(sheet, Instant::ZERO);
        let start = cycles();
        let written = look(&mut sketch, &packets, COUNT);
        let taken = cycles() - start;
        if written == 0 {
            rounds.push(per_packet(taken, COUNT));
        }
    }
    rounds
}

fn pace(count: u64, plan: &Plan) -> Pace {
    let packets = packets(Set::Flood, FEW, 1);
    let mut sketch = Sketch::new(1, Instant::ZERO);
    let mut sheet = Box::<Sheet>::default();
    let mut pace = Pace { packets: count, rounds: Vec::with_capacity(plan.rounds), written: 0 };
    // The first round does not know how many will come.
    for number in 0..=plan.rounds {
        let start = cycles();
        let written = look(&mut sketch, &packets, count);
        let taken = cycles() - start;
        sheet = sketch.turn_in(sheet, Instant::ZERO);
        if number > 0 {
            pace.rounds.push(per_packet(taken, count));
            pace.written += written;
        }
    }
    pace
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
fn tally(set: Set, workers: usize, plan: &Plan) -> Counted {
    let sheet = |seed| {
        let mut sketch = Sketch::new(seed, Instant::ZERO);
        look(&mut sketch, &packets(set, MANY, seed), MANY as u64);
        sketch.turn_in(Box::default(), Instant::ZERO + SKETCH_INTERVAL)
    };
    let sheets: Vec<Box<Sheet>> = (0..workers as u64).map(sheet).collect();
    let mut tally = Tally::new(workers);
    let mut counted = Counted { set, workers, rounds: Vec::new(), told: 0 };
    for _ in 0..plan.rounds.min(30) {
        let start = cycles();
        for sheet in &sheets {
            tally.add(sheet);
        }
        let heavies = tally.finish();
        counted.rounds.push((cycles() - start) as f64);
        counted.told = heavies.iter().count();
    }
    counted
}
