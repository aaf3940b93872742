//! The rate of lookups, burst after burst, as a stage makes them.

use std::hint::black_box;
use std::net::IpAddr;

use dataplane::limits::BURST_LEN_MAX;
use dataplane::packet::Address;
use dataplane::stages::route::{NextHop, Routes};
use dpdk::clock::cycles;
use ipnet::IpNet;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{Plan, Snapshot, table};
use crate::sample::per_packet;

/// Which addresses are looked up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Set {
    /// Random ones in random IPv4 prefixes.
    Random4,
    /// Few of them, again and again.
    Hot4,
    /// Random ones in random IPv6 prefixes.
    Random6,
    /// Few of them, again and again.
    Hot6,
    /// Random peers' IPv4 addresses.
    Host4,
    /// Random peers' IPv6 addresses.
    Host6,
    /// No peers, though they lie among them.
    NoHost4,
}

impl Set {
    pub(super) const ALL: [Self; 7] = [
        Self::Random4,
        Self::Hot4,
        Self::Random6,
        Self::Hot6,
        Self::Host4,
        Self::Host6,
        Self::NoHost4,
    ];
}

/// Different addresses; the few.
const MANY: usize = 1 << 20;
const FEW: usize = 20_000;
/// Lookups of a block.
const BLOCK: usize = 1 << 16;

/// Cycles per lookup, one figure for each block.
#[derive(Debug)]
pub(super) struct Rate {
    pub(super) set: Set,
    pub(super) blocks: Vec<f64>,
    /// Shows that the answers were made: how many lookups led anywhere.
    pub(super) found: u64,
}

pub(super) fn measure(set: Set, routes: &Routes, prefixes: &Snapshot, plan: &Plan) -> Rate {
    let addresses = addresses(set, prefixes, plan);
    let mut rate = Rate { set, blocks: Vec::with_capacity(plan.blocks), found: 0 };
    let blocks = addresses.chunks_exact(BLOCK).cycle();
    // One round brings the tables into the caches as far as they fit.
    let warm_up = addresses.len() / BLOCK;
    for (number, block) in blocks.take(warm_up + plan.blocks).enumerate() {
        let start = cycles();
        let mut found = 0;
        for addresses in block.chunks(BURST_LEN_MAX) {
            let mut next_hops = [NextHop::None; BURST_LEN_MAX];
            routes.lookup_burst(addresses, &mut next_hops);
            found += next_hops.into_iter().filter(|next_hop| leads(*next_hop)).count() as u64;
        }
        let taken = cycles() - start;
        if number >= warm_up {
            rate.found += black_box(found);
            rate.blocks.push(per_packet(taken, BLOCK as u64));
        }
    }
    rate
}

fn leads(next_hop: NextHop) -> bool {
    next_hop != NextHop::None
}

fn addresses(set: Set, prefixes: &Snapshot, plan: &Plan) -> Vec<Address> {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let (is_v4, count) = match set {
        Set::Random4 => (true, MANY),
        Set::Hot4 => (true, FEW),
        Set::Random6 => (false, MANY),
        Set::Hot6 => (false, FEW),
        Set::Host4 | Set::Host6 | Set::NoHost4 => return hosts(set, plan, &mut random),
    };
    let nets: Vec<IpNet> =
        prefixes.iter().map(|(net, _)| *net).filter(|net| net.addr().is_ipv4() == is_v4).collect();
    let mut draw = || nets.get(random.next_u32() as usize % nets.len().max(1)).copied();
    let drawn: Vec<IpNet> = (0..count).filter_map(|_| draw()).collect();
    let drawn: Vec<Address> =
        drawn.into_iter().map(|net| within(net, &mut random).into()).collect();
    drawn.into_iter().cycle().take(MANY).collect()
}

fn hosts(set: Set, plan: &Plan, random: &mut ChaCha8Rng) -> Vec<Address> {
    let mut peer = || random.next_u32() % plan.hosts.max(1);
    match set {
        Set::Host6 => (0..MANY).map(|_| table::host6(peer()).into()).collect(),
        Set::NoHost4 => {
            // Behind the last peer, in the network that the last peers are in.
            let first = plan.hosts & !0xffff;
            let free = 0x1_0000 - (plan.hosts - first);
            (0..MANY).map(|_| table::host4(plan.hosts + peer() % free).into()).collect()
        }
        Set::Random4 | Set::Hot4 | Set::Random6 | Set::Hot6 | Set::Host4 => {
            (0..MANY).map(|_| table::host4(peer()).into()).collect()
        }
    }
}

fn within(net: IpNet, random: &mut ChaCha8Rng) -> IpAddr {
    match net {
        IpNet::V4(net) => (net.network().to_bits() | random.next_u32() & net.hostmask().to_bits())
            .to_be_bytes()
            .into(),
        IpNet::V6(net) => {
            let bits = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
            (net.network().to_bits() | bits & net.hostmask().to_bits()).to_be_bytes().into()
        }
    }
}
