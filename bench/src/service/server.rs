//! The server under measurement: a real worker on real DPDK rings, with tables from a real keeper, and the
//! other end of every ring.

mod handshakes;
mod outside;
mod rings;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dataplane::config::{Config, Idle, LocalConfig, Memory, PortConfig};
use dataplane::counters::Totals;
use dataplane::device::Dpdk;
use dataplane::handshake::{Handshaker, Random};
use dataplane::keeper::{Keeper, Start};
use dataplane::limits::{BUCKETS_MAX, FLOWS_MAX};
use dataplane::pipeline::State;
use dataplane::port::Batch;
use dataplane::site::Site;
use dataplane::testing::roll;
use dataplane::worker::Worker;
use dpdk::{Eal, Mbuf, Pool, Queue, vdev};
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use shm::message::{Peer, PublicKey};
use shm::transaction::Transaction;
use wireguard::message::ClientId;
use wireguard::noise::Identity;
use wireguard::secret::Secret;
use wireguard::time::Instant;

use super::client::{self, GATEWAY, KERNEL_LINK, LISTEN_PORT, LOCAL, PORT_LINK, SERVER};
use crate::Failure;
use crate::turns::{check_calls, timed};

pub(crate) use handshakes::{client_of, tunnel, unix};
pub(crate) use outside::Outside;
pub(crate) use rings::{Ends, Rings};

/// How many clients have a session with the worker.
pub(crate) const CLIENTS: u32 = 16;

/// The Unix time at the start; handshakes bear it.
const UNIX: Duration = Duration::from_secs(1_700_000_000);
/// Time at the start, and what a turn takes: whole runs stay far below every timer of the protocol.
pub(crate) const START: Instant = Instant(1_000_000_000);
const TURN: Duration = Duration::from_nanos(500);

/// Room of each ring, several bursts.
pub(crate) const RING_LEN: u32 = 256;

/// Everybody's keys.
pub(crate) struct Keys {
    server: Secret,
    clients: Vec<Secret>,
    pub(crate) random: Random,
}

impl Keys {
    /// Those of so many clients.
    pub(crate) fn draw(count: u32) -> Self {
        let mut random = Random::from_seed([7; 32]);
        let mut secret = || {
            let mut secret = Secret::zero();
            random.fill_bytes(secret.octets_mut());
            secret
        };
        let server = secret();
        let clients = (0..count).map(|_| secret()).collect();
        Self { server, clients, random }
    }

    /// The tables of a server with these clients, and its configuration.
    pub(super) fn keeper(&self) -> Result<Keeper, Failure> {
        keeper(&self.config()?, roll::snapshot(self.peers()))
    }

    /// The configuration of a server with room for these clients.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        config(self.server.clone(), self.clients.len())
    }

    /// What control tells of these clients.
    pub(crate) fn peers(&self) -> impl Iterator<Item = Peer> {
        (0..).zip(&self.clients).map(|(number, secret)| peer(number, secret))
    }

    /// The server's public key.
    pub(crate) fn public(&self) -> [u8; 32] {
        *Identity::new(self.server.clone()).public()
    }

    /// The private key of a client.
    pub(crate) fn secret(&self, number: u32) -> Option<&Secret> {
        self.clients.get(number as usize)
    }
}

/// The tables of a server that has been told this.
pub(crate) fn keeper(config: &Config, told: Transaction) -> Result<Keeper, Failure> {
    let site = Site::new(config, &[PORT_LINK], Some(KERNEL_LINK));
    let start = Start { seed: [8; 32], now: START, unix: UNIX };
    let mut keeper = Keeper::new(config, site, start)?;
    keeper.load(told).map_err(|refused| format!("{refused:?}"))?;
    Ok(keeper)
}

/// The configuration of a server with room for so many clients and one route.
pub(crate) fn config(private_key: Secret, clients: usize) -> Result<Config, Failure> {
    let port = PortConfig {
        name: "wire".to_owned(),
        device: "net_ring0".to_owned(),
        addresses: vec![format!("{SERVER}/24").parse()?],
        gateways: vec![GATEWAY.into()],
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
        fleet: None,
        nat: None,
        connect: None,
        private_key,
        listen_port: LISTEN_PORT,
        workers: vec![0],
        handshake_threads: 1,
        handshake_budget: dataplane::limits::HANDSHAKE_BUDGET,
        idle: Idle::Busy,
        memory: Memory { hugepages: false, megabytes: None, buffers: 1024 },
        ports: vec![port],
        local: Some(local),
        instance: "bench".to_owned(),
        peers_max: u32::try_from(clients)?,
        routes_max: 1,
        buckets: BUCKETS_MAX,
        flows: FLOWS_MAX,
    })
}

fn peer(number: u32, secret: &Secret) -> Peer {
    Peer {
        public_key: PublicKey(*Identity::new(secret.clone()).public()),
        preshared_key: Secret::zero(),
        allowed_ips: vec![IpAddr::from(client::inner_address(number)).into()],
        endpoint: None,
        persistent_keepalive: None,
        client_id: ClientId::ZERO,
    }
}

/// The worker and what surrounds it.
pub(crate) struct Server {
    pub(crate) worker: Worker<Dpdk>,
    pub(crate) pool: Pool,
    /// The far ends of the worker's rings.
    pub(crate) wire: Queue,
    pub(crate) kernel: Queue,
    pub(crate) local: Queue,
    pub(super) now: Instant,
    handshaker: Handshaker,
    counters: Vec<Arc<dataplane::counters::Counters>>,
    /// Calls of the allocator while time was taken.
    pub(crate) allocations: u64,
}

/// A far end of the worker's rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    Wire,
    Kernel,
    Local,
}

impl Server {
    /// With rings that bear this name.
    pub(crate) fn start(
        eal: &Eal,
        pool: &Pool,
        keeper: &mut Keeper,
        name: &str,
    ) -> Result<Self, Failure> {
        Self::with_rings(eal, pool, keeper, (name, RING_LEN))
    }

    /// With rings of this name and for so many packets.
    pub(crate) fn with_rings(
        eal: &Eal,
        pool: &Pool,
        keeper: &mut Keeper,
        rings: (&str, u32),
    ) -> Result<Self, Failure> {
        let state = keeper.state(0);
        Self::on(Rings::open(eal, pool, rings)?, keeper, state)
    }

    /// On these rings, with a state that the keeper has given.
    pub(crate) fn on(rings: Rings, keeper: &mut Keeper, mut state: State) -> Result<Self, Failure> {
        state.filter.expect(ROUND);
        let Rings { queues, wire, kernel, local } = rings;
        let (exchange, seed) = (keeper.exchange(), keeper.seed());
        let pool = queues.pool.clone();
        let mut server = Self {
            worker: Worker::new(state, queues, exchange, seed),
            pool,
            wire,
            kernel,
            local,
            now: START,
            handshaker: keeper.handshaker(0),
            counters: keeper.counters().to_vec(),
            allocations: 0,
        };
        let mut packets = Batch::<Mbuf>::new();
        packets.push(server.greeting()?);
        server.wire.transmit(&mut packets);
        server.turn();
        server.wire.receive(&mut packets);
        Ok(server)
    }

    /// Leaves nothing but the rings.
    pub(crate) fn dismantle(mut self) -> Rings {
        let none = Rings::none(self.pool.clone());
        let queues = std::mem::replace(self.worker.queues_mut(), none);
        Rings { queues, wire: self.wire, kernel: self.kernel, local: self.local }
    }

    /// The gateway's question, by which the server learns where the gateway is.
    pub(crate) fn greeting(&self) -> Result<Mbuf, Failure> {
        let mut packet = self.pool.allocate().ok_or("the pool is empty")?;
        client::greet(&mut packet)?;
        Ok(packet)
    }

    /// Lets time pass until the next turn.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// One turn of the worker, a moment after the last.
    #[inline]
    pub(crate) fn turn(&mut self) {
        self.now = self.now + TURN;
        self.worker.turn(self.now);
    }

    /// Cycles of a turn at this moment, which is not before that of the last.
    #[inline]
    pub(crate) fn turn_at(&mut self, now: Instant) -> u64 {
        self.now = now;
        let mut allocations = 0;
        let taken = timed(&mut allocations, || {
            self.worker.turn(now);
        });
        self.allocations += allocations;
        taken
    }

    /// The time of the last turn.
    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    pub(crate) const fn end(&mut self, end: End) -> &mut Queue {
        match end {
            End::Wire => &mut self.wire,
            End::Kernel => &mut self.kernel,
            End::Local => &mut self.local,
        }
    }

    /// Cycles of a turn to which these packets come by one end. They are what has left by the other end, then.
    pub(crate) fn carry(&mut self, packets: &mut Batch<Mbuf>, (from, to): (End, End)) -> u64 {
        self.end(from).transmit(packets);
        let taken = self.timed_turn();
        self.end(to).receive(packets);
        taken
    }

    /// Cycles of a turn.
    pub(crate) fn timed_turn(&mut self) -> u64 {
        let mut allocations = 0;
        let taken = timed(&mut allocations, || self.turn());
        self.allocations += allocations;
        taken
    }

    /// Cycles of plain forwarding, from the wire's ring to the kernel's: the reference.
    pub(crate) fn forward(&mut self, packets: &mut Batch<Mbuf>) -> Result<u64, Failure> {
        self.wire.transmit(packets);
        let wire = self.worker.queues_mut().wires.first_mut().ok_or("the worker has no wire")?;
        let ends = wire.queue.as_mut().zip(wire.kernel.as_mut());
        let (from, to) = ends.ok_or("the worker has no queues")?;
        let taken = timed(&mut self.allocations, || {
            from.receive(packets);
            to.transmit(packets);
        });
        self.kernel.receive(packets);
        Ok(taken)
    }

    /// Figures of a run that allocated, lost or dropped something are of no use.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        check_calls(self.allocations)?;
        let totals = self.totals();
        if totals.dropped_all() > 0 || totals.unaccounted() != 0 {
            return Err(format!("packets were lost:\n{totals}").into());
        }
        Ok(())
    }

    /// The books of the whole run.
    pub(crate) fn totals(&self) -> Totals {
        Totals::of(self.counters.iter().map(Arc::as_ref))
    }
}

/// Packets between two sheets of the filter's sample on a worker with five million a second.
pub(crate) const ROUND: u64 = 1_000_000;
const _: () = assert!(dataplane::limits::SKETCH_INTERVAL.as_millis() == 200);

/// The near and the far end of a ring that the worker takes for a device.
pub(crate) fn ring(eal: &Eal, pool: &Pool, name: &str) -> Result<(Queue, Queue), Failure> {
    ring_of(eal, pool, name, RING_LEN)
}

fn ring_of(eal: &Eal, pool: &Pool, name: &str, len: u32) -> Result<(Queue, Queue), Failure> {
    let (near, far) = vdev::ring_pair(eal, name, 1, len, pool)?;
    let queues = near.take_queue(0).zip(far.take_queue(0));
    Ok(queues.ok_or("a fresh port has no queue")?)
}
