//! Lists of prefixes: from portions of a snapshot to the finished table, one change of them, and lookups.

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};

use dataplane::packet::Address;
use dataplane::stages::dos::lists::{Lists, Master, SetId};
use dpdk::clock::cycles;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{BLOCK, BURST, Plan, WARM_UP};
use crate::sample::per_packet;
use crate::{Failure, allocator};

/// Which prefixes are listed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Family {
    V4,
    V6,
    /// One in a hundred is a single address, so that borders lie within /64s.
    V6Single,
}

/// How addresses are drawn and looked up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    RandomBurst,
    HotBurst,
    RandomSingle,
    HotSingle,
}

impl Family {
    pub(super) const ALL: [Self; 3] = [Self::V4, Self::V6, Self::V6Single];
}

impl Way {
    const ALL: [Self; 4] = [Self::RandomBurst, Self::HotBurst, Self::RandomSingle, Self::HotSingle];
}

/// Everything in cycles and octets.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) family: Family,
    /// Different prefixes.
    pub(super) prefixes: usize,
    pub(super) master_octets: usize,
    pub(super) lists_octets: usize,
    /// From the first portion until all are sorted in.
    pub(super) loads: Vec<f64>,
    /// From there to the table that workers read.
    pub(super) builds: Vec<f64>,
    /// One prefix more, from the change to that table.
    pub(super) changes: Vec<f64>,
    pub(super) ways: Vec<(Way, Vec<f64>)>,
    /// Shows that the answers were made: addresses that a list held, of a thousand.
    pub(super) held: u64,
}

/// Lists that the prefixes are spread over, and prefixes that come at once.
const LISTS: u16 = 8;
const PORTION: usize = 1_000;

/// Few sources, again and again.
const FEW: usize = 1_000;

pub(super) fn measure(family: Family, count: usize, plan: &Plan) -> Result<Table, Failure> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let nets: Vec<IpNet> = (0..count).map(|_| net(family, &mut random)).collect();
    let mut table = Table {
        family,
        prefixes: 0,
        master_octets: 0,
        lists_octets: 0,
        loads: Vec::new(),
        builds: Vec::new(),
        changes: Vec::new(),
        ways: Way::ALL.map(|way| (way, Vec::new())).into(),
        held: 0,
    };
    let mut lists = Lists::default();
    for _ in 0..plan.builds {
        drop(std::mem::take(&mut lists));
        lists = build(&mut table, &nets)?;
    }
    look_up(&mut table, &lists, &nets, plan)?;
    Ok(table)
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
fn timed<T>(times: &mut Vec<f64>, work: impl FnOnce() -> T) -> T {
    let start = cycles();
    let done = work();
    times.push((cycles() - start) as f64);
    done
}

fn build(table: &mut Table, nets: &[IpNet]) -> Result<Lists, Failure> {
    let mut master = Master::default();
    let before = allocator::octets();
    timed(&mut table.loads, || {
        for (slot, portion) in (0..LISTS).cycle().zip(nets.chunks(PORTION)) {
            master.add(slot, portion);
        }
        master.settle();
    });
    table.prefixes = master.len();
    table.master_octets = allocator::octets() - before;
    let before = allocator::octets();
    let lists = timed(&mut table.builds, || master.build())?;
    table.lists_octets = allocator::octets() - before;
    let one = "203.0.113.7/32".parse::<IpNet>()?;
    let other = "2001:db8:7:7::/64".parse::<IpNet>()?;
    let more = if table.family == Family::V4 { one } else { other };
    timed(&mut table.changes, || {
        master.add(0, &[more]);
        master.build().map(black_box)
    })?;
    Ok(lists)
}

/// Blocks of all ways in turn. Addresses are drawn between blocks, so no cache holds what the next block asks for.
fn look_up(table: &mut Table, lists: &Lists, nets: &[IpNet], plan: &Plan) -> Result<(), Failure> {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let few: Vec<Address> = (0..FEW).map(|_| source(nets, &mut random)).collect();
    let mut addresses = vec![Address::UNSPECIFIED; BLOCK];
    let (mut held, mut asked) = (0, 0);
    let calls = allocator::calls();
    let mut grown = 0;
    for block in 0..WARM_UP + plan.blocks {
        for (way, blocks) in &mut table.ways {
            let is_random = matches!(way, Way::RandomBurst | Way::RandomSingle);
            for (address, hot) in addresses.iter_mut().zip(few.iter().cycle()) {
                *address = if is_random { source(nets, &mut random) } else { *hot };
            }
            let start = cycles();
            let found = match way {
                Way::RandomBurst | Way::HotBurst => burst(lists, &addresses),
                Way::RandomSingle | Way::HotSingle => single(lists, &addresses),
            };
            let taken = cycles() - start;
            (held, asked) = (held + black_box(found), asked + BLOCK as u64);
            if block >= WARM_UP {
                let before = allocator::calls();
                blocks.push(per_packet(taken, BLOCK as u64));
                grown += allocator::calls() - before;
            }
        }
    }
    if allocator::calls() - calls > grown {
        return Err("lookups called the allocator".into());
    }
    table.held = held * 1_000 / asked;
    Ok(())
}

fn burst(lists: &Lists, addresses: &[Address]) -> u64 {
    let mut ids = [SetId::NONE; BURST];
    let mut held = 0;
    for some in addresses.chunks_exact(BURST) {
        lists.lookup_burst(some, &mut ids);
        held += ids.iter().filter(|id| **id != SetId::NONE).count() as u64;
    }
    held
}

fn single(lists: &Lists, addresses: &[Address]) -> u64 {
    addresses.iter().filter(|address| lists.lookup(**address) != SetId::NONE).count() as u64
}

/// Regions of the IPv6 Internet, each with as many allocations.
const REGIONS: [u128; 6] = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00];
const ALLOCATIONS: u32 = 20_000;

/// Five in eight are single addresses, or /64s of IPv6.
pub(super) fn net(family: Family, random: &mut ChaCha8Rng) -> IpNet {
    let choice = random.next_u32() as usize;
    let net = match family {
        Family::V4 => {
            let len = [32, 32, 32, 32, 32, 30, 28, 24].get(choice % 8).copied();
            Ipv4Net::new(source4(random), len.unwrap_or(32)).map(IpNet::from)
        }
        Family::V6 | Family::V6Single => {
            let len = [64, 64, 64, 64, 64, 60, 56, 48].get(choice % 8).copied().unwrap_or(64);
            let is_single = family == Family::V6Single && choice.is_multiple_of(100);
            let len = if is_single { 128 } else { len };
            Ipv6Net::new(source6(random), len).map(IpNet::from)
        }
    };
    net.map_or_else(|_| IpNet::default(), |net| net.trunc())
}

/// Between 1.0.0.0 and 223.255.255.255.
fn source4(random: &mut ChaCha8Rng) -> Ipv4Addr {
    Ipv4Addr::from_bits((1 << 24) + random.next_u32() % (223 << 24))
}

fn source6(random: &mut ChaCha8Rng) -> Ipv6Addr {
    let region = REGIONS.get(random.next_u32() as usize % REGIONS.len()).copied().unwrap_or(0);
    let allocation = u128::from(random.next_u32() % ALLOCATIONS);
    let rest = u128::from(random.next_u32()) << 64 | u128::from(random.next_u64());
    Ipv6Addr::from_bits(region << 112 | allocation << 96 | rest)
}

/// Half of the sources lie in listed prefixes, half anywhere.
fn source(nets: &[IpNet], random: &mut ChaCha8Rng) -> Address {
    let is_listed = random.next_u32() & 1 == 0;
    match nets.get(random.next_u32() as usize % nets.len()) {
        Some(IpNet::V4(net)) if is_listed => {
            let host = random.next_u32() & net.hostmask().to_bits();
            Ipv4Addr::from_bits(net.network().to_bits() | host).into()
        }
        Some(IpNet::V6(net)) if is_listed => {
            let bits = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
            (net.network().to_bits() | bits & net.hostmask().to_bits()).into()
        }
        Some(IpNet::V4(_)) => source4(random).into(),
        Some(IpNet::V6(_)) | None => source6(random).into(),
    }
}
