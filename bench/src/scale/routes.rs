//! Routes: prefixes of the Internet, all of which lead straight out. A tenant sends to random ones of them.

use std::net::Ipv4Addr;
use std::path::Path;

use dataplane::testing::internet;
use dataplane::testing::packets::{self, Ip};
use dpdk::Mbuf;
use ipnet::{IpNet, Ipv4Net};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use shm::message::{Item, NextHop, Scope};
use shm::transaction::Transaction;
use wire::{ipv4, udp};

use super::field::{Field, Source, Way};
use super::{LEN, config};
use crate::gre::frames::in_gre;
use crate::gre::servers::{TENANT, tenant_and_tunnels};
use crate::rules::rulesets::net;
use crate::service::client::{GATEWAY_LINK, PORT_LINK};
use crate::service::server::{self, Rings, Server};
use crate::{Failure, allocator, service};

/// Prefixes of the Internet, in order.
pub(super) type Prefixes = [IpNet];

/// Routes beside those of the table: the tenant's and the machine's own.
const OTHERS: u32 = 16;

/// Reads the table, but for what holds a tenant's addresses or this machine's.
pub(crate) fn read(table: &Path) -> Result<Vec<IpNet>, String> {
    let origins = internet::read(table).map_err(|error| {
        format!("{}: {error}; install libloc-database (scripts/setup)", table.display())
    })?;
    let ours = [Ipv4Addr::from_bits(net(TENANT)), service::client::SERVER];
    let is_ours = |net: &IpNet| {
        ours.iter().any(|address| {
            let near = IpNet::from(Ipv4Net::new_assert(*address, 16)).trunc();
            near.contains(net) || net.contains(&near)
        })
    };
    let is_prefix = |net: &IpNet| net.prefix_len() < net.max_prefix_len();
    let nets = origins.into_iter().map(|(net, _)| net);
    Ok(nets.filter(|net| is_prefix(net) && !is_ours(net)).collect())
}

/// A server with so many of the prefixes, taken at even distances.
pub(super) fn field(rings: Rings, count: u32, prefixes: &Prefixes) -> Result<Field, Failure> {
    let chosen: Vec<IpNet> = (0..count as usize)
        .filter_map(|place| prefixes.get(place * prefixes.len() / count as usize).copied())
        .collect();
    let targets: Vec<Ipv4Net> = chosen
        .iter()
        .filter_map(|net| if let IpNet::V4(net) = net { Some(*net) } else { None })
        .collect();
    let before = allocator::octets();
    let mut keeper = {
        let mut items = tenant_and_tunnels()?;
        items.push(Item::NextHop { id: 1, hop: NextHop::Direct });
        items.extend(chosen.iter().map(|prefix| Item::Route { prefix: *prefix, next_hop: 1 }));
        let (scope, count) = (Scope::Snapshot, items.len() as u64);
        let told = Transaction { id: 1, scope, count, items };
        server::keeper(&config(1, u32::try_from(chosen.len())? + OTHERS)?, told)?
    };
    let state = keeper.state(0);
    let server = Server::on(rings, &mut keeper, state)?;
    let octets = allocator::octets() - before;
    let source = Box::new(Sender { targets, random: ChaCha8Rng::seed_from_u64(5) });
    Ok(Field { server, source, octets })
}

/// Whoever sends to them.
struct Sender {
    targets: Vec<Ipv4Net>,
    random: ChaCha8Rng,
}

impl Source for Sender {
    fn next(&mut self, _: Way, packet: &mut Mbuf) -> Result<(), Failure> {
        let place = self.random.next_u32() as usize % self.targets.len().max(1);
        let target = self.targets.get(place).ok_or("no prefix is one of IPv4")?;
        let inside = self.random.next_u32() & target.hostmask().to_bits();
        let destination = Ipv4Addr::from_bits(target.network().to_bits() | inside);
        let source = Ipv4Addr::from_bits(net(TENANT) | self.random.next_u32() & 0xffff);
        let payload = [0; LEN - ipv4::HEADER_LEN - udp::HEADER_LEN];
        let inner = Ip::new(source, destination).udp(5001, 443, &payload);
        let outer = in_gre(&inner, &mut self.random);
        fill(packet, &packets::frame(PORT_LINK, GATEWAY_LINK, None, &outer))
    }
}

/// Makes `packet` these octets.
pub(super) fn fill(packet: &mut Mbuf, octets: &[u8]) -> Result<(), Failure> {
    service::client::write(packet, |room| {
        room.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(octets.len())
    })
}
