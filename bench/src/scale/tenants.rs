//! Tenants without rules, each behind a tunnel of its own; and one tenant with rules.

use std::net::Ipv4Addr;

use dataplane::testing::packets::{self, Ip};
use dpdk::Mbuf;
use ipnet::Ipv4Net;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use shm::message::{Item, NextHop, Scope};
use shm::transaction::Transaction;
use wire::{ipv4, udp};

use super::field::{Field, Source, Way};
use super::routes::fill;
use super::{LEN, config};
use crate::gre::frames::{self, Inside};
use crate::gre::servers::{self, tenant_of, tunnel};
use crate::rules::rulesets::net;
use crate::service::client::{GATEWAY_LINK, PORT_LINK};
use crate::service::server::{self, Rings, Server};
use crate::{Failure, allocator};

/// The far ends of tunnels, which lie beyond the gateway.
const ROUTERS: Ipv4Addr = Ipv4Addr::new(9, 1, 0, 1);
/// Who sends to tenants.
const STRANGERS: Ipv4Addr = Ipv4Addr::new(9, 64, 0, 0);
/// Packets of one tenant to its rules are made ahead.
const MADE: u64 = 5;

/// A server with so many tenants.
pub(super) fn field(rings: Rings, count: u32) -> Result<Field, Failure> {
    let before = allocator::octets();
    let mut keeper = {
        let mut items = Vec::new();
        for number in 0..count {
            let router = Ipv4Addr::from_bits(ROUTERS.to_bits() + number);
            items.push(tenant_of(number + 1, number)?);
            items.push(tunnel((number + 1, number + 1), router));
        }
        items.push(Item::NextHop { id: 1, hop: NextHop::Direct });
        items.push(Item::Route { prefix: Ipv4Net::default().into(), next_hop: 1 });
        let (scope, count) = (Scope::Snapshot, items.len() as u64);
        server::keeper(&config(1, 1)?, Transaction { id: 1, scope, count, items })?
    };
    let state = keeper.state(0);
    let server = Server::on(rings, &mut keeper, state)?;
    let octets = allocator::octets() - before;
    let source = Box::new(Strangers { tenants: count, random: ChaCha8Rng::seed_from_u64(5) });
    Ok(Field { server, source, octets })
}

/// Whoever sends to all tenants.
struct Strangers {
    tenants: u32,
    random: ChaCha8Rng,
}

impl Source for Strangers {
    fn next(&mut self, _: Way, packet: &mut Mbuf) -> Result<(), Failure> {
        let mut host = || self.random.next_u32() & 0xffff;
        let source = Ipv4Addr::from_bits(STRANGERS.to_bits() | host());
        let host = host();
        let tenant = self.random.next_u32() % self.tenants;
        let payload = [0; LEN - ipv4::HEADER_LEN - udp::HEADER_LEN];
        let inner = Ip::new(source, Ipv4Addr::from_bits(net(tenant) | host));
        let inner = inner.udp(5001, 443, &payload);
        fill(packet, &packets::frame(PORT_LINK, GATEWAY_LINK, None, &inner))
    }
}

/// A server with one tenant that has so many rules.
pub(super) fn field_with_rules(rings: Rings, count: u32) -> Result<Field, Failure> {
    let before = allocator::octets();
    let mut keeper = servers::keeper(count)?;
    let state = keeper.state(0);
    let server = Server::on(rings, &mut keeper, state)?;
    let octets = allocator::octets() - before;
    let frames = frames::made(Inside::Any(count), LEN, &mut ChaCha8Rng::seed_from_u64(MADE));
    Ok(Field { server, source: Box::new(Made { frames, place: 0 }), octets })
}

/// Packets for random rules, one after the other.
struct Made {
    frames: Vec<Vec<u8>>,
    place: usize,
}

impl Source for Made {
    fn next(&mut self, _: Way, packet: &mut Mbuf) -> Result<(), Failure> {
        let frame = self.frames.get(self.place % self.frames.len().max(1));
        self.place += 1;
        fill(packet, frame.ok_or("no packets are made")?)
    }
}
