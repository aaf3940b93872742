//! Signatures: nanoseconds per packet by the number of rules and by what they ask, and what building a set takes.

mod programs;
mod report;

use std::hint::black_box;

use cbpf::{Program, Set};
use clap::Args;
use dpdk::clock::{Clock, cycles};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use crate::machine::{Conditions, Machine, Weather};
use crate::sample::per_packet;
use crate::{Failure, allocator, pin};
use programs::{Kind, PACKET_LEN};
pub(crate) use report::Report;

/// How much to measure.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Blocks of packets for each figure, 4,096 packets in each.
    #[arg(long, default_value_t = 400)]
    blocks: usize,
    /// The core to measure on.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Few blocks, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

/// Rules of the sets.
const COUNTS: [usize; 6] = [0, 1, 10, 100, 1_000, 4_000];

/// Packets of a block, all of which stay in the second cache.
const PACKETS: usize = 4_096;

const SEED: u64 = 0x5167_5167;

/// A set and what packets cost before it, cycles per packet in each block.
#[derive(Debug)]
pub(crate) struct Measured {
    kind: Kind,
    count: usize,
    /// Why there is no such set; the figures are empty then.
    refused: Option<String>,
    octets: usize,
    /// What the worst packet can cost, in instructions.
    instructions: u32,
    /// Cycles to build the set.
    build: f64,
    /// Packets to a WireGuard port, which no rule is about.
    clean: Vec<f64>,
    /// Datagrams that are like those that the rules are about, and none of them.
    near: Vec<f64>,
    /// Each matches one rule.
    hit: Vec<f64>,
}

type Packet = [u8; PACKET_LEN];

/// Measures all kinds with all counts.
pub(crate) fn run(plan: &Plan) -> Result<Report, Failure> {
    let mut plan = plan.clone();
    if plan.quick {
        plan.blocks = plan.blocks.min(3);
    }
    if plan.blocks == 0 {
        return Err("--blocks takes 1 and more".into());
    }
    let clock = Clock::calibrate();
    let machine = Machine::observe(&clock, "no DPDK in it".to_owned(), false, plan.core);
    pin(plan.core)?;
    let before = Weather::observe();
    let mut measured = Vec::new();
    for kind in Kind::ALL {
        for count in COUNTS {
            measured.push(measure(kind, count, plan.blocks)?);
        }
    }
    let after = Weather::observe();
    Ok(Report::new(plan, Conditions::new(machine, (before, after)), measured))
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
fn measure(kind: Kind, count: usize, blocks: usize) -> Result<Measured, Failure> {
    let programs: Vec<Program> =
        (0u16..).take(count).map(|n| kind.program(n)).collect::<Result<_, _>>()?;
    let slots: Vec<(u16, &Program)> = (0u16..).zip(&programs).collect();
    let start = cycles();
    let set = Set::build(&slots, SEED);
    let build = (cycles() - start) as f64;
    let mut found = Measured {
        kind,
        count,
        refused: None,
        octets: 0,
        instructions: 0,
        build,
        clean: Vec::new(),
        near: Vec::new(),
        hit: Vec::new(),
    };
    match set {
        Err(refused) => found.refused = Some(refused.to_string()),
        Ok(set) => {
            found.octets = set.octets();
            found.instructions = set.instructions();
            found.clean = walk(&set, &packets(|_, _| Some(programs::clean())), (blocks, 0))?;
            found.near = walk(&set, &packets(|n, _| kind.packet(n, false)), (blocks, 0))?;
            if count > 0 {
                let any = |_, random: u16| kind.packet(random % u16::try_from(count).ok()?, true);
                found.hit = walk(&set, &packets(any), (blocks, PACKETS))?;
            }
        }
    }
    Ok(found)
}

/// So many packets; each is made from its number and a random one.
fn packets(make: impl Fn(u16, u16) -> Option<Packet>) -> Vec<Packet> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let numbers = (0u16..).take(PACKETS);
    numbers.filter_map(|number| make(number, (random.next_u32() >> 16) as u16)).collect()
}

/// Cycles per packet of each block, in which so many packets must match; nothing may allocate meanwhile.
fn walk(
    set: &Set,
    packets: &[Packet],
    (blocks, matching): (usize, usize),
) -> Result<Vec<f64>, Failure> {
    let mut found = Vec::with_capacity(blocks);
    let held = allocator::octets();
    // The first block brings everything into the caches.
    for block in 0..=blocks {
        let mut matched = 0;
        let start = cycles();
        for packet in packets {
            set.for_each_match(black_box(packet), |slot| {
                matched += 1;
                black_box(slot);
                false
            });
        }
        let taken = cycles() - start;
        if matched != matching {
            return Err(
                format!("{matched} of {} packets match, not {matching}", packets.len()).into()
            );
        }
        if block > 0 {
            found.push(per_packet(taken, packets.len() as u64));
        }
    }
    if allocator::octets() != held {
        return Err("something allocates while packets are matched".into());
    }
    Ok(found)
}
