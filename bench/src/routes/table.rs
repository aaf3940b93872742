//! Where the routes come from: the Internet's prefixes, or invented ones of the same lengths.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use clap::Args;
use dataplane::stages::route::NextHop;
use dataplane::testing::internet;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use super::Snapshot;
use crate::Failure;

/// Which prefixes, and how many ways they lead.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Source {
    /// The prefixes: a location database of version 1 (Debian's package libloc-database).
    #[arg(long, value_name = "FILE", default_value = dataplane::testing::internet::DATABASE)]
    table: PathBuf,
    /// So many invented prefixes instead, 17 in 20 of them IPv4, with the lengths that the Internet has.
    #[arg(long, value_name = "COUNT", conflicts_with = "table")]
    pub(crate) synthetic: Option<usize>,
    /// Next hops that the prefixes lead to, by the autonomous system.
    #[arg(long, default_value_t = 1_000)]
    pub(super) next_hops: u32,
}

impl Source {
    /// Refuses what cannot be.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.synthetic.is_some_and(|count| !(100..=4_000_000).contains(&count)) {
            return Err("--synthetic takes 100 to 4000000".into());
        }
        if self.next_hops == 0 || self.next_hops > 32_000 {
            return Err("--next-hops takes 1 to 32000; prefixes have 32767 at most".into());
        }
        Ok(())
    }
}

/// Hosts of a family: they lie in 100.64.0.0/10, as clients behind a carrier do.
pub(super) const HOSTS_MAX: u32 = 1 << 22;

/// The prefixes that the source names, with their next hops.
pub(crate) fn prefixes(source: &Source) -> Result<Snapshot, Failure> {
    let origins = match source.synthetic {
        Some(count) => invented(count),
        None => internet::read(&source.table).map_err(|error| {
            format!(
                "{}: {error}; install libloc-database or use --synthetic",
                source.table.display()
            )
        })?,
    };
    // Neighbouring numbers of systems go different ways.
    let hop = |origin: u32| (origin.wrapping_mul(2_654_435_761) >> 8) % source.next_hops;
    let is_prefix = |net: &IpNet| net.prefix_len() < net.max_prefix_len();
    let routes = origins.into_iter().filter(|(net, _)| is_prefix(net));
    Ok(routes.map(|(net, origin)| (net, NextHop::Client(hop(origin)))).collect())
}

/// Of 100 prefixes, how many have this length; near what the Internet has.
const LENGTHS4: [(u8, u32); 8] =
    [(24, 60), (23, 11), (22, 12), (21, 5), (20, 5), (19, 3), (18, 2), (16, 2)];
const LENGTHS6: [(u8, u32); 7] =
    [(48, 50), (44, 10), (40, 10), (36, 5), (32, 15), (29, 5), (46, 5)];

fn invented(count: usize) -> Vec<internet::Origin> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut known = HashSet::new();
    let mut origins = Vec::with_capacity(count);
    while origins.len() < count {
        let net = if origins.len() % 20 < 17 { net4(&mut random) } else { net6(&mut random) };
        if let Some(net) = net.filter(|net| known.insert(*net)) {
            origins.push((net, 1 + random.next_u32() % 75_000));
        }
    }
    origins.sort_unstable();
    origins
}

fn length(lengths: &[(u8, u32)], random: &mut ChaCha8Rng) -> u8 {
    let mut left = random.next_u32() % 100;
    for (len, share) in lengths {
        match left.checked_sub(*share) {
            Some(rest) => left = rest,
            None => return *len,
        }
    }
    24
}

/// Between 1.0.0.0 and 223.255.255.255.
fn net4(random: &mut ChaCha8Rng) -> Option<IpNet> {
    let len = length(&LENGTHS4, random);
    let bits = (1 << 24) + random.next_u32() % (223 << 24);
    Ipv4Net::new(bits.into(), len).ok().map(|net| net.trunc().into())
}

/// In a few /16 of `2000::/3`, and dense within some /32 of them.
fn net6(random: &mut ChaCha8Rng) -> Option<IpNet> {
    let len = length(&LENGTHS6, random);
    let region = [0x2001_u128, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00];
    let region = region.get(random.next_u32() as usize % region.len())? << 112;
    let (allocation, rest) =
        (u128::from(random.next_u32() % 20_000), u128::from(random.next_u32()));
    Ipv6Net::new((region | allocation << 96 | rest << 64).into(), len)
        .ok()
        .map(|net| net.trunc().into())
}

/// Peers' IPv4 addresses, one after the other.
pub(super) fn hosts4(count: u32) -> impl Iterator<Item = (IpNet, NextHop)> {
    (0..count).map(|peer| (IpNet::from(std::net::IpAddr::V4(host4(peer))), NextHop::Client(peer)))
}

/// Peers' IPv6 addresses, each in a /64 of its own.
pub(super) fn hosts6(count: u32) -> impl Iterator<Item = (IpNet, NextHop)> {
    (0..count).map(|peer| (IpNet::from(std::net::IpAddr::V6(host6(peer))), NextHop::Client(peer)))
}

/// The IPv4 address of a peer.
pub(super) fn host4(peer: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x6440_0000 + peer)
}

/// The IPv6 address of a peer.
pub(super) fn host6(peer: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xfd00_0000_0000_u128 << 80 | u128::from(peer) << 64 | 2)
}
