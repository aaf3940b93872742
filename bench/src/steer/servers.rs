//! Servers of a fleet of eight, with tables from real keepers, and the one on which packets land as a whole worker.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use dataplane::config::{Config, FleetConfig, Idle, LocalConfig, Memory, PortConfig};
use dataplane::counters::{Counters, Totals};
use dataplane::device::{self, Dpdk};
use dataplane::keeper::{Keeper, Start};
use dataplane::limits::{BUCKETS_MAX, FLOWS_MAX};
use dataplane::pipeline::State;
use dataplane::port::Batch;
use dataplane::site::Site;
use dataplane::worker::{Queues, Wire, Worker};
use dpdk::{Eal, Mbuf, Pool, Queue, mbuf};
use shm::message::{Fleet, Item, Member, MemberState, Peer, PublicKey, Scope};
use shm::transaction::Transaction;
use wireguard::message::ClientId;
use wireguard::noise::Identity;
use wireguard::secret::Secret;
use wireguard::time::Instant;

use super::frames::Frames;
use crate::Failure;
use crate::service::client::{self, GATEWAY, KERNEL_LINK, LISTEN_PORT, LOCAL, PORT_LINK, SERVER};
use crate::service::server::ring;
use crate::turns::{Round, timed};

/// Time at the start, and what a turn takes: whole runs stay far below every timer of the protocol.
pub(super) const START: Instant = Instant(1_000_000_000);
const TURN: Duration = Duration::from_nanos(500);

/// Members of the fleet, and the numbers of the two that are looked at.
const MEMBERS: u8 = 8;
pub(super) const LANDING: u8 = 0;
pub(super) const OWNER: u8 = 2;

/// By which protocol servers reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// The addresses of a member; both are behind the gateway for all others.
pub(crate) fn addresses(server: u8) -> (Ipv4Addr, Ipv6Addr) {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, u16::from(server) + 1);
    (Ipv4Addr::new(203, 0, 113, server + 1), v6)
}

fn fleet(family: Family) -> Item {
    let member = |server| {
        let (v4, v6) = addresses(server);
        Member {
            server,
            weight: 100,
            state: MemberState::Active,
            v4: (family == Family::V4).then_some(v4),
            v6: (family == Family::V6).then_some(v6),
        }
    };
    let members = (0..MEMBERS).map(member).collect();
    Item::Fleet(Box::new(Fleet { generation: 1, members, past: Vec::new() }))
}

/// A keeper of a server with so many workers and these items.
pub(crate) fn keeper(
    server: u8,
    workers: usize,
    peers_max: u32,
    items: Vec<Item>,
) -> Result<Keeper, Failure> {
    let config = config(server, workers, peers_max)?;
    let site = Site::new(&config, &[PORT_LINK], Some(KERNEL_LINK));
    let start = Start { seed: [8; 32], now: START, unix: Duration::from_secs(1_700_000_000) };
    let mut keeper = Keeper::new(&config, site, start)?;
    let count = items.len() as u64;
    let told = Transaction { id: 1, scope: Scope::Snapshot, count, items };
    keeper.load(told).map_err(|refused| format!("{refused:?}"))?;
    Ok(keeper)
}

fn config(server: u8, workers: usize, peers_max: u32) -> Result<Config, Failure> {
    let (v4, v6) = addresses(server);
    let port = PortConfig {
        name: "wire".to_owned(),
        device: "net_ring0".to_owned(),
        addresses: vec![
            format!("{SERVER}/24").parse()?,
            format!("{v4}/32").parse()?,
            "2001:db8::1/64".parse()?,
            format!("{v6}/128").parse()?,
        ],
        gateways: vec![GATEWAY.into(), IpAddr::V6("2001:db8::fe".parse()?)],
        vlan: None,
        mtu: 1500,
        kernel: Some("kernel".to_owned()),
        terminates: false,
    };
    let local = LocalConfig {
        interface: "local".to_owned(),
        addresses: vec![format!("{LOCAL}/32").parse()?],
    };
    Ok(Config {
        private_key: Secret::new([7; 32]),
        listen_port: LISTEN_PORT,
        workers: (0..workers).collect(),
        handshake_threads: 1,
        handshake_budget: dataplane::limits::HANDSHAKE_BUDGET,
        idle: Idle::Busy,
        memory: Memory { hugepages: false, megabytes: None, buffers: 1024 },
        ports: vec![port],
        local: Some(local),
        instance: "bench".to_owned(),
        peers_max,
        routes_max: 1,
        buckets: BUCKETS_MAX,
        flows: FLOWS_MAX,
        nat: None,
        connect: None,
        fleet: Some(FleetConfig { server, key: Secret::new([5; 32]), mtu: 1500 }),
    })
}

/// The state of the only worker of this server, which knows the fleet.
pub(super) fn state(server: u8, family: Family) -> Result<State, Failure> {
    Ok(keeper(server, 1, 1, vec![fleet(family)])?.state(0))
}

/// The peer with this number.
pub(super) fn peer(number: u32) -> Item {
    let mut secret = [9; 32];
    // Of the first and the last octet, X25519 takes not every bit.
    if let Some(place) = secret.get_mut(8..12) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    let allowed = IpAddr::from(client::inner_address(number)).into();
    Item::Peer(Box::new(Peer {
        public_key: PublicKey(*Identity::new(Secret::new(secret)).public()),
        preshared_key: Secret::zero(),
        allowed_ips: vec![allowed],
        endpoint: None,
        persistent_keepalive: None,
        client_id: ClientId::ZERO,
    }))
}

/// A worker on real rings, and the far ends of these.
pub(super) struct Server {
    worker: Worker<Dpdk>,
    pub(super) wire: Queue,
    pub(super) local: Queue,
    /// Nothing goes there, but the ring is there as long as both ends are.
    _kernel: Queue,
    now: Instant,
}

/// Rings from other workers, and to them by number.
pub(super) type Rings = (Vec<device::HandOver>, Vec<Option<device::HandOver>>);

impl Server {
    pub(super) fn start(
        eal: &Eal,
        pool: &Pool,
        name: &str,
        (keeper, state): (&mut Keeper, State),
        (inbound, outbound): Rings,
    ) -> Result<Self, Failure> {
        let (wire_near, wire) = ring(eal, pool, &format!("{name}wire"))?;
        let (kernel_near, kernel) = ring(eal, pool, &format!("{name}kernel"))?;
        let (local_near, local) = ring(eal, pool, &format!("{name}local"))?;
        let queues = Queues {
            wires: vec![Wire { queue: Some(wire_near), relay: 0, kernel: Some(kernel_near) }],
            local: Some(local_near),
            inbound,
            outbound,
            pool: pool.clone(),
        };
        let worker = Worker::new(state, queues, keeper.exchange(), keeper.seed());
        let mut server = Self { worker, wire, local, _kernel: kernel, now: START };
        let mut packets = Batch::<Mbuf>::new();
        let mut greeting = pool.allocate().ok_or("the pool is empty")?;
        client::greet(&mut greeting)?;
        packets.push(greeting);
        server.wire.transmit(&mut packets);
        server.turn();
        server.wire.receive(&mut packets);
        mbuf::free_bulk(&mut packets);
        Ok(server)
    }

    /// One turn of the worker, a moment after the last.
    #[inline]
    pub(super) fn turn(&mut self) {
        self.now = self.now + TURN;
        self.worker.turn(self.now);
    }
}

/// A whole worker on which sealed data of other servers lands.
pub(super) struct Landing {
    server: Server,
    frames: Frames,
    counters: Vec<Arc<Counters>>,
}

/// A round of one way: gives the cycles, and how many bursts there were.
type Way<T> = (&'static str, fn(&mut T, usize, &mut u64) -> Result<(u64, u64), Failure>);

impl Landing {
    pub(super) const WAYS: [Way<Self>; 2] =
        [("io-forward", Self::forward), ("whole turn, sealed data passed on", Self::pass_on)];

    pub(super) fn start(eal: &Eal, pool: &Pool, name: &str) -> Result<Self, Failure> {
        let mut keeper = keeper(LANDING, 1, 1, vec![fleet(Family::V4)])?;
        let state = keeper.state(0);
        let frames = Frames::new(pool, &state)?;
        let counters = keeper.counters().to_vec();
        let rings = (Vec::new(), vec![None]);
        let server = Server::start(eal, pool, name, (&mut keeper, state), rings)?;
        Ok(Self { server, frames, counters })
    }

    pub(super) fn round(&mut self, burst: usize) -> Result<Round, Failure> {
        self.frames.round(burst, Frames::sealed_elsewhere)
    }

    /// From the wire's ring to the local one, nothing else: the reference.
    fn forward(&mut self, burst: usize, allocations: &mut u64) -> Result<(u64, u64), Failure> {
        let mut bursts = self.round(burst)?;
        let mut taken = 0;
        for packets in &mut bursts {
            let Server { worker, wire, local, .. } = &mut self.server;
            wire.transmit(packets);
            let queues = worker.queues_mut();
            let from = queues.wires.first_mut().and_then(|wire| wire.queue.as_mut());
            let (from, to) = from.zip(queues.local.as_mut()).ok_or("the worker has no queues")?;
            taken += timed(allocations, || {
                from.receive(packets);
                to.transmit(packets);
            });
            local.receive(packets);
        }
        done(&mut bursts, burst, taken)
    }

    /// Sealed data of other servers, from the wire to the wire.
    pub(super) fn pass_on(
        &mut self,
        burst: usize,
        allocations: &mut u64,
    ) -> Result<(u64, u64), Failure> {
        let mut bursts = self.round(burst)?;
        let mut taken = 0;
        for packets in &mut bursts {
            self.server.wire.transmit(packets);
            taken += timed(allocations, || self.server.turn());
            self.server.wire.receive(packets);
        }
        done(&mut bursts, burst, taken)
    }

    /// The books of the whole run.
    pub(super) fn totals(&self) -> Totals {
        Totals::of(self.counters.iter().map(Arc::as_ref))
    }
}

/// Frees a round that came through whole.
pub(super) fn done(bursts: &mut Round, burst: usize, taken: u64) -> Result<(u64, u64), Failure> {
    if bursts.iter().any(|packets| packets.len() != burst) {
        return Err("packets did not come out where they should".into());
    }
    bursts.iter_mut().for_each(mbuf::free_bulk);
    Ok((taken, bursts.len() as u64))
}
