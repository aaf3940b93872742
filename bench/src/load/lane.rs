//! A server whose clients have sessions and flows to the Internet, and whose tenant has tunnels; and the packets of every way
//! through it, each of which bears its number and the moment that was planned for it.

use std::net::Ipv4Addr;
use std::time::Duration;

use arrayvec::ArrayVec;
use dataplane::config::{Config, NatConfig};
use dataplane::device::Dpdk;
use dataplane::keeper::Keeper;
use dataplane::limits::BURST_LEN_MAX;
use dataplane::port::Batch;
use dataplane::site::ROUTER;
use dataplane::worker::Worker;
use dpdk::{Mbuf, Pool, mbuf};
use ipnet::Ipv4Net;
use pktgen::measure::Trailer;
use shm::message::{Item, NextHop, Scope};
use shm::transaction::Transaction;
use wire::{ethernet, gre, ipv4, udp};
use wireguard::aead::{self, Job, TAG_LEN};
use wireguard::message::DataHeader;
use wireguard::time::Instant;
use zerocopy::FromBytes;

use super::way::Way;
use crate::Failure;
use crate::gre::servers::{ROUTERS, TENANT, tenant_and_tunnels};
use crate::rules::rulesets::net;
use crate::service::client::{
    self, Checksum, Clients, GATEWAY_LINK, IP_AT, KERNEL_LINK, LOCAL, MESSAGE_AT, PORT_LINK,
    SERVER, TEXT_AT, inner_address,
};
use crate::service::server::{self, CLIENTS, End, Keys, Outside, Server, client_of};
use crate::turns::Setting;

/// Clients that have a key and call only where somebody lets them.
pub(crate) const CALLERS: u32 = 64;

/// Flows of clients to the Internet, each with a port outside.
const FLOWS: u32 = 10_000;
const FIRST_PORT: u16 = 2_000;
/// The address by which the Internet knows clients.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
/// The Internet's servers: addresses that somebody may have. Nothing leaves memory.
const ASKED: u16 = 443;
const ASKED_FIRST: Ipv4Addr = Ipv4Addr::new(11, 18, 0, 1);
const ASKED_COUNT: u32 = 251;
/// Addresses of the tenant that packets go to.
const HOSTS: u32 = 1 << 16;
/// Numbers of packets are spread by this prime, so that none follows its neighbour's flow.
const STRIDE: u64 = 48_271;

/// Sessions are renewed when they are this old, as clients do after two minutes.
const RENEWAL: Duration = Duration::from_secs(50);

/// A server is under load for a second after the last sign of it.
const REST: Duration = Duration::from_secs(2);

/// A server with everything on its ways.
pub(crate) struct Lane {
    pub(crate) server: Server,
    pub(crate) keys: Keys,
    pub(crate) pool: Pool,
    pub(crate) clients: Clients,
    /// The port outside of each flow.
    mapped: Vec<u16>,
    connected: Option<Instant>,
}

/// A lane while its worker is on another thread.
pub(crate) struct Rest {
    pub(crate) outside: Outside,
    keys: Keys,
    pub(crate) pool: Pool,
    clients: Clients,
    mapped: Vec<u16>,
    connected: Option<Instant>,
}

impl Rest {
    /// The worker is back, and this was the time of its last turn.
    pub(crate) fn join(self, worker: Worker<Dpdk>, now: Instant) -> Lane {
        let Self { outside, keys, pool, clients, mapped, connected } = self;
        Lane { server: outside.join(worker, now), keys, pool, clients, mapped, connected }
    }
}

impl Lane {
    /// With rings for so many packets.
    pub(crate) fn start(setting: &Setting, pool: &Pool, ring: usize) -> Result<Self, Failure> {
        Self::with_callers(setting, (pool, ring), CALLERS)
    }

    /// The same with so many clients that call only where somebody lets them.
    pub(crate) fn with_callers(
        setting: &Setting,
        (pool, ring): (&Pool, usize),
        callers: u32,
    ) -> Result<Self, Failure> {
        let keys = Keys::draw(CLIENTS + callers);
        let items = told(&keys)?;
        let (scope, count) = (Scope::Snapshot, items.len() as u64);
        let told = Transaction { id: 1, scope, count, items };
        let mut keeper = server::keeper(&config(&keys)?, told)?;
        Self::on(setting, (pool, ring), keys, &mut keeper)
    }

    /// The same with tables from a keeper that was told [`told`] at least.
    pub(crate) fn on(
        setting: &Setting,
        (pool, ring): (&Pool, usize),
        keys: Keys,
        keeper: &mut Keeper,
    ) -> Result<Self, Failure> {
        let rings = ("lane", u32::try_from(ring)?);
        let server = Server::with_rings(&setting.eal, pool, keeper, rings)?;
        let (clients, mapped) = (Clients::new(Vec::new()), Vec::new());
        let pool = pool.clone();
        let mut lane = Self { server, keys, pool, clients, mapped, connected: None };
        lane.renew()?;
        Ok(lane)
    }

    /// Gives the worker away.
    pub(crate) fn part(self) -> (Worker<Dpdk>, Rest) {
        let Self { server, keys, pool, clients, mapped, connected } = self;
        let (worker, outside) = server.part();
        (worker, Rest { outside, keys, pool, clients, mapped, connected })
    }

    /// Gives clients new sessions and refreshes flows, if it is time.
    pub(crate) fn renew(&mut self) -> Result<(), Failure> {
        let now = self.server.now();
        if self.connected.is_some_and(|connected| now.since(connected) < RENEWAL) {
            return Ok(());
        }
        // After a flood it would ask clients for cookies, which these don't bring.
        self.rest();
        let mut packets = Batch::new();
        packets.push(self.server.greeting()?);
        self.server.end(End::Wire).transmit(&mut packets);
        self.server.turn();
        self.clear();
        self.clients = self.server.connect_first(CLIENTS as usize, &mut self.keys)?;
        self.clear();
        self.mapped.clear();
        for number in 0..FLOWS {
            let port = self.flow_port(number)?;
            self.mapped.push(port);
        }
        self.connected = Some(self.server.now());
        Ok(())
    }

    /// The port outside from which a packet of this flow leaves.
    fn flow_port(&mut self, number: u32) -> Result<u16, Failure> {
        let mut packets = Batch::new();
        let mut packet = self.pool.allocate().ok_or("the pool is empty")?;
        let trailer = Trailer { stream: 0, sequence: 0, planned: Instant(0) };
        self.make_out(&mut packet, (64, number), trailer)?;
        packets.push(packet);
        self.server.end(End::Wire).transmit(&mut packets);
        self.server.turn();
        self.server.end(End::Wire).receive(&mut packets);
        let sent = packets.pop().ok_or("a flow was not opened")?;
        let ports = sent.frame().get(IP_AT + ipv4::HEADER_LEN..).unwrap_or_default();
        let ports = udp::parse_start(ports).map_err(|_| "no datagram has left")?;
        Ok(ports.ports.source)
    }

    /// Lets time pass in which nothing comes, until the server is no longer under load.
    pub(crate) fn rest(&mut self) {
        let now = self.server.now() + REST;
        self.server.turn_at(now);
        self.server.shake(1);
        self.server.turn_at(now);
        self.clear();
    }

    /// Frees whatever has left the server; gives how many frames that were.
    pub(crate) fn clear(&mut self) -> u64 {
        let mut count = 0;
        for end in [End::Wire, End::Kernel, End::Local] {
            let mut packets = Batch::new();
            loop {
                self.server.end(end).receive(&mut packets);
                if packets.is_empty() {
                    break;
                }
                count += packets.len() as u64;
                mbuf::free_bulk(&mut packets);
            }
        }
        count
    }

    /// Makes `packet` the next one of a way, with `len` octets inside.
    pub(crate) fn make(
        &mut self,
        way: Way,
        packet: &mut Mbuf,
        len: usize,
        trailer: Trailer,
    ) -> Result<(), Failure> {
        let spread = trailer.sequence.wrapping_mul(STRIDE);
        let number = u32::try_from(spread % u64::from(FLOWS))?;
        let client = number % CLIENTS;
        match way {
            Way::Pass | Way::Seal => client::write(packet, |octets| {
                let inner = octets.get_mut(IP_AT..IP_AT + len)?;
                let ports = udp::Ports { source: 5001, destination: 5001 };
                emit_inner(inner, (LOCAL, inner_address(client)), ports, trailer)?;
                ethernet::emit(octets, ROUTER, KERNEL_LINK, None, ipv4::ETHERTYPE).ok()?;
                Some(IP_AT + len)
            }),
            Way::Open => self.seal(packet, (len, client), LOCAL, trailer),
            Way::Clients => {
                let to = inner_address((client + 1) % CLIENTS);
                self.seal(packet, (len, client), to, trailer)
            }
            Way::Out => self.make_out(packet, (len, number), trailer),
            Way::Back => {
                let mapped = *self.mapped.get(number as usize).ok_or("a flow has no port")?;
                let ports = udp::Ports { source: ASKED, destination: mapped };
                from_network(packet, (len, &[]), |inner| {
                    emit_inner(inner, (asked(number), OUTSIDE), ports, trailer)
                })
            }
            Way::Encap => from_network(packet, (len, &[]), |inner| {
                let ports = udp::Ports { source: ASKED, destination: FIRST_PORT };
                emit_inner(inner, (asked(number), host(spread)), ports, trailer)
            }),
            Way::Decap => {
                let router = ROUTERS.get(number as usize % ROUTERS.len()).ok_or("no router")?;
                from_network(packet, (len, &[*router]), |inner| {
                    let ports = udp::Ports { source: FIRST_PORT, destination: ASKED };
                    emit_inner(inner, (host(spread), asked(number)), ports, trailer)
                })
            }
        }
    }

    /// A client's packet of a flow to the Internet.
    fn make_out(
        &mut self,
        packet: &mut Mbuf,
        (len, number): (usize, u32),
        trailer: Trailer,
    ) -> Result<(), Failure> {
        let client = number % CLIENTS;
        let source = FIRST_PORT + u16::try_from(number / CLIENTS)?;
        let ports = udp::Ports { source, destination: ASKED };
        let addresses = (inner_address(client), asked(number));
        let client = self.clients.by_number_mut(client).ok_or("there is no such client")?;
        client.seal_as(packet, (len, Checksum::None), |inner| {
            emit_inner(inner, addresses, ports, trailer)
        })
    }

    /// A client's packet to an inner address.
    fn seal(
        &mut self,
        packet: &mut Mbuf,
        (len, client): (usize, u32),
        to: Ipv4Addr,
        trailer: Trailer,
    ) -> Result<(), Failure> {
        let addresses = (inner_address(client), to);
        let ports = udp::Ports { source: 5001, destination: 5001 };
        let client = self.clients.by_number_mut(client).ok_or("there is no such client")?;
        client.seal_as(packet, (len, Checksum::None), |inner| {
            emit_inner(inner, addresses, ports, trailer)
        })
    }

    /// Tells of each packet that has come through on a way what its trailer says. What else the server has sent has none.
    pub(crate) fn hear(&self, way: Way, packets: &mut Batch<Mbuf>, mut tell: impl FnMut(Trailer)) {
        if way.is_sealed() {
            return self.hear_sealed(packets, tell);
        }
        for packet in packets.iter() {
            let trailer = packet.frame().get(IP_AT..).and_then(trailer_of);
            trailer.into_iter().for_each(&mut tell);
        }
    }

    /// As the clients would: by the key of the session that a packet names.
    fn hear_sealed(&self, packets: &mut Batch<Mbuf>, mut tell: impl FnMut(Trailer)) {
        let mut jobs = ArrayVec::<Job<'_>, BURST_LEN_MAX>::new();
        for packet in packets.iter_mut() {
            let header = packet.frame().get(MESSAGE_AT..TEXT_AT);
            let Some(Ok(header)) = header.map(DataHeader::read_from_bytes) else { continue };
            let Some(len) = packet.frame().len().checked_sub(TEXT_AT + TAG_LEN) else { continue };
            let number = client_of(header.receiver_index.get());
            let Some(client) = self.clients.by_number(number) else { continue };
            let [_, answers] = client.keys();
            let start = packet.start() + TEXT_AT;
            let Some(text) = packet.octets_mut().get_mut(start..) else { continue };
            jobs.extend(Job::new(answers, header.counter.get(), text, len));
        }
        aead::open(&mut jobs);
        for job in jobs.iter().filter(|job| job.accepted()) {
            trailer_of(job.text()).into_iter().for_each(&mut tell);
        }
    }
}

/// The trailer at the end of the IPv4 packet that begins here.
pub(crate) fn trailer_of(octets: &[u8]) -> Option<Trailer> {
    let len: [u8; 2] = octets.get(2..4)?.try_into().ok()?;
    Trailer::read(octets.get(..usize::from(u16::from_be_bytes(len)))?)
}

/// The Internet's server of a flow.
fn asked(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(ASKED_FIRST.to_bits() + number % ASKED_COUNT)
}

/// An address of the tenant's.
fn host(spread: u64) -> Ipv4Addr {
    let place = u32::try_from(spread % u64::from(HOSTS)).unwrap_or(0);
    Ipv4Addr::from_bits(net(TENANT) | place)
}

/// A datagram that fills `octets`, with a trailer at its end; whatever stands before that is its payload.
pub(crate) fn emit_inner(
    octets: &mut [u8],
    (from, to): (Ipv4Addr, Ipv4Addr),
    ports: udp::Ports,
    trailer: Trailer,
) -> Option<()> {
    let len = octets.len().checked_sub(ipv4::HEADER_LEN)?;
    ipv4::emit(octets, &client::ip_fields(from, to, len)).ok()?;
    let datagram = octets.get_mut(ipv4::HEADER_LEN..)?;
    if !trailer.write(datagram) {
        return None;
    }
    udp::emit_v4(datagram, ports, from, to).ok()
}

/// Makes `packet` a frame from the network with `len` octets inside, in GRE when a router is named.
fn from_network(
    packet: &mut Mbuf,
    (len, router): (usize, &[Ipv4Addr]),
    emit: impl FnOnce(&mut [u8]) -> Option<()>,
) -> Result<(), Failure> {
    client::write(packet, |octets| {
        let mut at = IP_AT;
        if let Some(router) = router.first() {
            let fields = gre::Fields {
                protocol: ipv4::ETHERTYPE,
                key: None,
                sequence: None,
                with_checksum: false,
            };
            let payload_len = fields.header_len() + len;
            let outer = ipv4::Fields {
                protocol: gre::PROTOCOL,
                ..client::ip_fields(*router, SERVER, payload_len)
            };
            ipv4::emit(octets.get_mut(at..)?, &outer).ok()?;
            at += ipv4::HEADER_LEN;
            at += gre::emit(octets.get_mut(at..)?, &fields).ok()?;
        }
        emit(octets.get_mut(at..at + len)?)?;
        ethernet::emit(octets, PORT_LINK, GATEWAY_LINK, None, ipv4::ETHERTYPE).ok()?;
        Some(at + len)
    })
}

/// What control tells of these clients, the tenant, and the way to the Internet.
pub(crate) fn told(keys: &Keys) -> Result<Vec<Item>, Failure> {
    let mut items: Vec<Item> = keys.peers().map(|peer| Item::Peer(Box::new(peer))).collect();
    items.extend(tenant_and_tunnels()?);
    items.push(Item::NextHop { id: 1, hop: NextHop::Direct });
    items.push(Item::Route { prefix: Ipv4Net::default().into(), next_hop: 1 });
    Ok(items)
}

/// The configuration of a server with room for these clients.
pub(crate) fn config(keys: &Keys) -> Result<Config, Failure> {
    let mut config = keys.config()?;
    config.nat = Some(NatConfig {
        addresses: vec![OUTSIDE],
        client_address: None,
        flows: 2 * FLOWS,
        flows_per_client: FLOWS,
        setups: 1,
        untranslated: Vec::new(),
        prefixes: Vec::new(),
    });
    Ok(config)
}
