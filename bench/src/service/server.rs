//! The server under measurement: a real worker on real DPDK rings, with tables from a real keeper, and the
//! other end of every ring.

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
use dataplane::worker::{Queues, Wire, Worker};
use dpdk::{Eal, Mbuf, Pool, Queue, vdev};
use rand_chacha::rand_core::{Rng, SeedableRng};
use shm::message::{Peer, PublicKey};
use shm::transaction::Transaction;
use wireguard::message::ClientId;
use wireguard::noise::{Identity, PeerKeys};
use wireguard::secret::Secret;
use wireguard::time::Instant;
use wireguard::tunnel::{self, Event, SCRATCH_LEN, Tunnel, Turn};

use super::client::{
    self, Client, Clients, GATEWAY, KERNEL_LINK, LISTEN_PORT, LOCAL, MESSAGE_AT, PORT_LINK, SERVER,
};
use crate::Failure;
use crate::turns::{check_calls, timed};

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

/// A server's rings and their far ends. DPDK has room for few ports and keeps them, so servers that follow each other share them.
pub(crate) struct Rings {
    queues: Queues<Dpdk>,
    wire: Queue,
    kernel: Queue,
    local: Queue,
}

impl Rings {
    /// Of this name, and for so many packets.
    pub(crate) fn open(eal: &Eal, pool: &Pool, (name, len): (&str, u32)) -> Result<Self, Failure> {
        let (wire_near, wire) = ring_of(eal, pool, &format!("wire{name}"), len)?;
        let (kernel_near, kernel) = ring_of(eal, pool, &format!("kernel{name}"), len)?;
        let (local_near, local) = ring_of(eal, pool, &format!("local{name}"), len)?;
        let queues = Queues {
            wires: vec![Wire { queue: Some(wire_near), relay: 0, kernel: Some(kernel_near) }],
            local: Some(local_near),
            inbound: Vec::new(),
            outbound: vec![None],
            pool: pool.clone(),
        };
        Ok(Self { queues, wire, kernel, local })
    }
}

/// A server while its worker is on another thread.
pub(crate) struct Outside {
    wire: Queue,
    kernel: Queue,
    local: Queue,
    pool: Pool,
    handshaker: Handshaker,
    counters: Vec<Arc<dataplane::counters::Counters>>,
    allocations: u64,
}

impl Outside {
    pub(crate) const fn end(&mut self, end: End) -> &mut Queue {
        match end {
            End::Wire => &mut self.wire,
            End::Kernel => &mut self.kernel,
            End::Local => &mut self.local,
        }
    }

    /// The worker is back, and this was the time of its last turn.
    pub(crate) fn join(self, worker: Worker<Dpdk>, now: Instant) -> Server {
        let Self { wire, kernel, local, pool, handshaker, counters, allocations } = self;
        Server { worker, pool, wire, kernel, local, now, handshaker, counters, allocations }
    }
}

/// A far end of the worker's rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    pub(crate) fn on(rings: Rings, keeper: &mut Keeper, state: State) -> Result<Self, Failure> {
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
        let none = Queues {
            wires: Vec::new(),
            local: None,
            inbound: Vec::new(),
            outbound: Vec::new(),
            pool: self.pool.clone(),
        };
        let queues = std::mem::replace(self.worker.queues_mut(), none);
        Rings { queues, wire: self.wire, kernel: self.kernel, local: self.local }
    }

    /// The gateway's question, by which the server learns where the gateway is.
    pub(crate) fn greeting(&self) -> Result<Mbuf, Failure> {
        let mut packet = self.pool.allocate().ok_or("the pool is empty")?;
        client::greet(&mut packet)?;
        Ok(packet)
    }

    /// One turn of the worker, a moment after the last.
    #[inline]
    pub(crate) fn turn(&mut self) {
        self.now = self.now + TURN;
        self.worker.turn(self.now);
    }

    /// Gives the worker away.
    pub(crate) fn part(self) -> (Worker<Dpdk>, Outside) {
        let Self { worker, pool, wire, kernel, local, handshaker, counters, allocations, .. } =
            self;
        let outside = Outside { wire, kernel, local, pool, handshaker, counters, allocations };
        (worker, outside)
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

    /// Lets the handshake thread do so many jobs; gives how many there were.
    pub(crate) fn shake(&mut self, jobs: usize) -> usize {
        self.handshaker.turn(self.now, jobs)
    }

    /// Says how long the handshake thread has worked.
    pub(crate) fn spend(&mut self, time: Duration) {
        self.handshaker.spend(time, self.now);
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
    pub(super) fn timed_turn(&mut self) -> u64 {
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

    /// Every client's handshake, through the worker's ring and the handshake thread's work.
    pub(super) fn connect(&mut self, keys: &mut Keys) -> Result<Clients, Failure> {
        let count = keys.clients.len();
        self.connect_first(count, keys)
    }

    /// The handshakes of so many clients, anew if they have been here.
    pub(crate) fn connect_first(
        &mut self,
        count: usize,
        keys: &mut Keys,
    ) -> Result<Clients, Failure> {
        let server = keys.public();
        let secrets: Vec<Secret> = keys.clients.iter().take(count).cloned().collect();
        let mut all = Vec::with_capacity(secrets.len());
        for (number, secret) in (0..).zip(secrets) {
            all.push(self.handshake(number, secret, server, &mut keys.random)?);
        }
        Ok(Clients::new(all))
    }

    fn handshake(
        &mut self,
        number: u32,
        secret: Secret,
        server: [u8; 32],
        random: &mut Random,
    ) -> Result<Client, Failure> {
        let mut tunnel = tunnel(number, secret, server, self.now)?;
        let mut scratch = vec![0; SCRATCH_LEN];
        let unix = unix(self.now);
        let mut turn =
            Turn { now: self.now, unix, rng: random, scratch: &mut scratch, cookies: None };
        let mut out = Vec::new();
        tunnel
            .send(&[], &mut turn, &mut |event| transmitted(event, &mut out))
            .map_err(|refused| format!("no initiation: {refused:?}"))?;
        let response = self.exchange(number, &out)?.ok_or("an initiation was not answered")?;
        tunnel
            .receive(&response, (SERVER, LISTEN_PORT).into(), &mut turn, &mut |event| {
                transmitted(event, &mut out);
            })
            .map_err(|refused| format!("a response was refused: {refused:?}"))?;
        // The keepalive confirms the session: from now on the server may send on it.
        self.exchange(number, &out)?;
        let session = tunnel.current(self.now).ok_or("no session after the handshake")?;
        let index = session.remote_index();
        let client = Client::new(number, session.send_key(), index, session.sent_count());
        Ok(client.hearing(session.receive_key()))
    }

    /// Brings a message of a client's to the worker; gives the message that comes back, if one does.
    fn exchange(&mut self, number: u32, message: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let mut packet = self.pool.allocate().ok_or("the pool is empty")?;
        client::carry(&mut packet, number, message)?;
        let mut packets = Batch::<Mbuf>::new();
        packets.push(packet);
        self.wire.transmit(&mut packets);
        self.turn();
        self.handshaker.turn(self.now, 16);
        self.turn();
        self.wire.receive(&mut packets);
        Ok(packets.pop().and_then(|packet| packet.frame().get(MESSAGE_AT..).map(<[u8]>::to_vec)))
    }

    /// The books of the whole run.
    pub(crate) fn totals(&self) -> Totals {
        Totals::of(self.counters.iter().map(Arc::as_ref))
    }
}

/// The Unix time of a moment.
pub(crate) fn unix(now: Instant) -> Duration {
    UNIX + now.since(START)
}

/// The number of the client that has given the server such an index.
pub(crate) const fn client_of(index: u32) -> u32 {
    index >> INDEX_BITS
}

/// Bits of a client's indices that tell its sessions apart.
const INDEX_BITS: u32 = 8;

pub(crate) fn tunnel(
    number: u32,
    secret: Secret,
    server: [u8; 32],
    now: Instant,
) -> Result<Tunnel<16>, Failure> {
    let identity = Arc::new(Identity::new(secret));
    let peer =
        PeerKeys::new(&identity, server, Secret::zero()).map_err(|_| "a weak key was drawn")?;
    let config = tunnel::Config {
        identity,
        peer,
        endpoint: Some((SERVER, LISTEN_PORT).into()),
        client_id: None,
        persistent: Duration::ZERO,
        index_base: number << INDEX_BITS,
        mtu: 1420,
    };
    Ok(Tunnel::new(config, now))
}

/// Keeps the message that a tunnel wants sent.
pub(crate) fn transmitted(event: Event<'_>, out: &mut Vec<u8>) {
    if let Event::Transmit { octets, .. } = event {
        out.clear();
        out.extend_from_slice(octets);
    }
}

/// The near and the far end of a ring that the worker takes for a device.
pub(crate) fn ring(eal: &Eal, pool: &Pool, name: &str) -> Result<(Queue, Queue), Failure> {
    ring_of(eal, pool, name, RING_LEN)
}

fn ring_of(eal: &Eal, pool: &Pool, name: &str, len: u32) -> Result<(Queue, Queue), Failure> {
    let (near, far) = vdev::ring_pair(eal, name, 1, len, pool)?;
    let queues = near.take_queue(0).zip(far.take_queue(0));
    Ok(queues.ok_or("a fresh port has no queue")?)
}
