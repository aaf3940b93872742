//! IPv4 routes beside DPDK's `rte_fib`: the same prefixes, the same addresses, in blocks that take turns. Both must find the same
//! next hops.

mod peer;
mod report;

use std::collections::HashSet;
use std::hint::black_box;

use clap::Args;
use dataplane::packet::Address;
use dataplane::stages::route::{NextHop, Rib, Routes};
use dpdk::Eal;
use dpdk::clock::{Clock, cycles};
use dpdk::eal::{Memory, Options};
use ipnet::IpNet;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use crate::Failure;
use crate::machine::{Machine, Weather};
use crate::routes::table::{self, Source};
use crate::sample::per_packet;
use peer::{Fib, Route, WAYS, Way};
pub(crate) use report::Report;

/// What to measure, and with which routes.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    #[command(flatten)]
    #[serde(flatten)]
    source: Source,
    /// Addresses of a call of `rte_fib`.
    #[arg(long, default_value_t = 64)]
    burst: usize,
    /// Blocks of lookups, 65,536 in each.
    #[arg(long, default_value_t = 100)]
    blocks: usize,
    /// The core to measure on.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Few prefixes and blocks, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

/// Which addresses are looked up.
#[derive(Clone, Copy, Debug)]
enum Set {
    /// A million random ones in random prefixes.
    Random,
    /// Few of them, again and again.
    Hot,
}

/// Cycles per lookup of each block.
#[derive(Debug)]
struct Measured {
    set: Set,
    ours: Vec<f64>,
    /// `rte_fib`'s, by the name of its way.
    fib: Vec<(&'static str, Vec<f64>)>,
}

/// Cycles that each needed for all routes, and how many there are.
#[derive(Debug)]
struct Built {
    prefixes: usize,
    ours: f64,
    fib: f64,
}

const MEGABYTES: u32 = 768;
const SEED: u64 = 0x0f1b;
const MANY: usize = 1 << 20;
const FEW: usize = 20_000;
const BLOCK: usize = 1 << 16;
const BURST_MAX: usize = 64;
/// The longest prefix that the first table of `DIR24_8` holds.
const FIRST_LEN: u8 = 24;

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = self.clone();
        if plan.quick {
            plan.source.synthetic.get_or_insert(20_000);
            plan.blocks = plan.blocks.min(3);
        }
        plan.source.check()?;
        if !(1..=BURST_MAX).contains(&plan.burst) {
            return Err(format!("--burst takes 1 to {BURST_MAX}").into());
        }
        if plan.blocks == 0 {
            return Err("--blocks takes 1 and more".into());
        }
        Ok(plan)
    }
}

/// Measures everything.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let memory = Memory::Ordinary { megabytes: MEGABYTES };
    // Without it rte_fib does not use the widest vectors.
    let extra = vec!["--force-max-simd-bitwidth=512".to_owned()];
    let main_core = Some(plan.core);
    let eal = Eal::start(&Options { main_core, memory, verbose, extra, ..Options::default() })?;
    let clock = Clock::calibrate();
    let machine = Machine::observe(&clock, eal.version(), false, plan.core);
    let before = Weather::observe();
    let mut prefixes = table::prefixes(&plan.source)?;
    prefixes.retain(|(net, _)| net.addr().is_ipv4());
    let (routes, ours) = ours(&prefixes)?;
    let (mut fib, theirs) = theirs(&prefixes)?;
    let built = Built { prefixes: prefixes.len(), ours, fib: theirs };
    let nets: Vec<IpNet> = prefixes.into_iter().map(|(net, _)| net).collect();
    let measured = [Set::Random, Set::Hot]
        .into_iter()
        .map(|set| measure(set, &nets, (&routes, &mut fib), &plan))
        .collect::<Result<Vec<_>, _>>()?;
    let after = Weather::observe();
    Ok(Report::new(plan, machine, (before, after), (built, measured)))
}

/// Our table of these prefixes, and the cycles that it took.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
fn ours(prefixes: &[(IpNet, NextHop)]) -> Result<(std::sync::Arc<Routes>, f64), Failure> {
    let start = cycles();
    let mut rib = Rib::new(SEED);
    rib.load(prefixes).map_err(|error| format!("{error:?}"))?;
    let routes = rib.publish();
    Ok((routes, (cycles() - start) as f64))
}

/// The same as `rte_fib` has them: next hops count from 1.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
fn theirs(prefixes: &[(IpNet, NextHop)]) -> Result<(Fib, f64), Failure> {
    let routes: Vec<Route> = prefixes.iter().filter_map(route).collect();
    let long = prefixes.iter().filter(|(net, _)| net.prefix_len() > FIRST_LEN);
    let groups: HashSet<IpNet> = long
        .filter_map(|(net, _)| IpNet::new(net.addr(), FIRST_LEN).ok())
        .map(|net| net.trunc())
        .collect();
    let start = cycles();
    let fib = Fib::build(&routes, u32::try_from(groups.len())? + 1)
        .map_err(|error| format!("rte_fib does not build: {error}"))?;
    Ok((fib, (cycles() - start) as f64))
}

fn route((net, next_hop): &(IpNet, NextHop)) -> Option<Route> {
    let (IpNet::V4(net), NextHop::Client(client)) = (net, next_hop) else { return None };
    let (address, len) = (net.network().to_bits(), u32::from(net.prefix_len()));
    Some(Route { address, len, next_hop: client + 1 })
}

/// Blocks of ours and of each way of `rte_fib` by turns, over the same addresses.
fn measure(
    set: Set,
    nets: &[IpNet],
    (routes, fib): (&Routes, &mut Fib),
    plan: &Plan,
) -> Result<Measured, Failure> {
    let addresses = addresses(set, nets);
    let ways: Vec<Way> = WAYS.into_iter().filter(|way| fib.select(*way)).collect();
    let theirs = ways.iter().map(|way| (way.name, Vec::new())).collect();
    let mut measured = Measured { set, ours: Vec::new(), fib: theirs };
    // One round brings the tables into the caches as far as they fit.
    let warm_up = addresses.len() / BLOCK;
    let blocks = addresses.chunks_exact(BLOCK).cycle().take(warm_up + plan.blocks);
    for (number, block) in blocks.enumerate() {
        let (taken, found) = time_ours(routes, block, plan.burst);
        let counts = number >= warm_up;
        if counts {
            measured.ours.push(per_packet(taken, BLOCK as u64));
        }
        for (way, (_, blocks)) in ways.iter().zip(&mut measured.fib) {
            let (taken, others) = time_theirs(fib, *way, block, plan.burst);
            if let Some(place) = found.iter().zip(&others).position(|(one, other)| one != other) {
                let address = block.get(place).copied().unwrap_or_default();
                return Err(format!("{address:#x}: rte_fib ({}) leads elsewhere", way.name).into());
            }
            if counts {
                blocks.push(per_packet(taken, BLOCK as u64));
            }
        }
    }
    Ok(measured)
}

/// Next hops as `rte_fib` has them.
const fn number(next_hop: NextHop) -> u64 {
    if let NextHop::Client(client) = next_hop { client as u64 + 1 } else { 0 }
}

/// A block in bursts. What is found is kept, as a stage keeps it with its packet.
fn time_ours(routes: &Routes, block: &[u32], burst: usize) -> (u64, Vec<u64>) {
    let addresses: Vec<Address> =
        block.iter().map(|bits| std::net::IpAddr::from(bits.to_be_bytes()).into()).collect();
    let mut found = vec![NextHop::None; block.len()];
    let start = cycles();
    for (addresses, found) in addresses.chunks(burst).zip(found.chunks_mut(burst)) {
        routes.lookup_burst(addresses, found);
    }
    let taken = cycles() - start;
    (taken, black_box(found).into_iter().map(number).collect())
}

fn time_theirs(fib: &mut Fib, way: Way, block: &[u32], burst: usize) -> (u64, Vec<u64>) {
    fib.select(way);
    let mut found = vec![0; block.len()];
    let start = cycles();
    for (addresses, found) in block.chunks(burst).zip(found.chunks_mut(burst)) {
        fib.lookup(addresses, found);
    }
    let taken = cycles() - start;
    (taken, black_box(found))
}

fn addresses(set: Set, nets: &[IpNet]) -> Vec<u32> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let count = match set {
        Set::Random => MANY,
        Set::Hot => FEW,
    };
    let mut draw = || {
        let place = random.next_u32() as usize % nets.len().max(1);
        let Some(IpNet::V4(net)) = nets.get(place) else { return 0 };
        net.network().to_bits() | random.next_u32() & net.hostmask().to_bits()
    };
    let drawn: Vec<u32> = (0..count).map(|_| draw()).collect();
    drawn.into_iter().cycle().take(MANY).collect()
}
