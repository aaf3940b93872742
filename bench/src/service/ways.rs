//! The ways under measurement: each is fed one burst, timed over it, and emptied again.

use arrayvec::ArrayVec;
use dataplane::fate::Fate;
use dataplane::frame::Entry;
use dataplane::limits::BURST_LEN_MAX;
use dataplane::port::Batch;
use dpdk::clock::cycles;
use dpdk::{Mbuf, Pool, Queue, mbuf};
use wireguard::aead::{self, Job, TAG_LEN};

use super::client::{Checksum, Client, TEXT_AT};
use super::server::Server;
use super::stages::{Laps, Stages};
use crate::{Failure, allocator};

/// One way of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the wire's ring to the kernel's ring, nothing else: the reference.
    Forward,
    /// A frame of the kernel's through a worker's turn, to the wire as it is: what the turn itself costs.
    Pass,
    /// A sealed packet through a worker's turn to the kernel, its UDP checksum verified elsewhere.
    Open,
    /// The same with the UDP checksum verified by the worker.
    OpenChecked,
    /// The AEAD of `Open` alone.
    AeadOpen,
    /// A packet of the kernel's through a worker's turn, sealed, to the wire.
    Seal,
    /// The AEAD of `Seal` alone.
    AeadSeal,
}

impl Way {
    /// In the order in which blocks are interleaved: what is compared stands side by side.
    pub(super) const ALL: [Self; 7] = [
        Self::Forward,
        Self::Pass,
        Self::Open,
        Self::AeadOpen,
        Self::OpenChecked,
        Self::Seal,
        Self::AeadSeal,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Forward => "io-forward",
            Self::Pass => "pass",
            Self::Open => "open",
            Self::OpenChecked => "open, UDP checksum verified",
            Self::AeadOpen => "bare AEAD, open",
            Self::Seal => "seal",
            Self::AeadSeal => "bare AEAD, seal",
        }
    }

    /// The AEAD that is in a way.
    pub(super) const fn floor(self) -> Option<Self> {
        match self {
            Self::Open | Self::OpenChecked => Some(Self::AeadOpen),
            Self::Seal => Some(Self::AeadSeal),
            Self::Forward | Self::Pass | Self::AeadOpen | Self::AeadSeal => None,
        }
    }
}

/// Octets of the inner packets, and packets of a burst.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) len: usize,
    pub(super) burst: usize,
}

/// A server with its clients, and a walk with clients of its own.
pub(super) struct Rig {
    pub(super) server: Server,
    pub(super) clients: Vec<Client>,
    pub(super) stages: Stages,
    /// Calls of the allocator while time was taken.
    pub(super) allocations: u64,
}

impl Rig {
    /// One burst of this way; gives the cycles that it took.
    pub(super) fn burst(&mut self, way: Way, shape: Shape) -> Result<u64, Failure> {
        match way {
            Way::Forward => self.forward(shape),
            Way::Pass => self.pass(shape),
            Way::Open => self.open(shape, Checksum::None),
            Way::OpenChecked => self.open(shape, Checksum::Full),
            Way::Seal => self.seal(shape),
            Way::AeadOpen => self.aead(shape, aead::open),
            Way::AeadSeal => self.aead(shape, aead::seal),
        }
    }

    fn forward(&mut self, shape: Shape) -> Result<u64, Failure> {
        let mut packets = plain(&self.server.pool, &self.clients, shape)?;
        self.server.wire.transmit(&mut packets);
        let queues = self.server.worker.queues_mut();
        let from = queues.wires.first_mut().and_then(|wire| wire.queue.as_mut());
        let (from, to) = from.zip(queues.local.as_mut()).ok_or("the worker has no queues")?;
        let taken = timed(&mut self.allocations, || {
            from.receive(&mut packets);
            to.transmit(&mut packets);
        });
        came_through(&mut self.server.local, shape)?;
        Ok(taken)
    }

    fn pass(&mut self, shape: Shape) -> Result<u64, Failure> {
        let mut packets = plain(&self.server.pool, &self.clients, shape)?;
        self.server.kernel.transmit(&mut packets);
        let taken = timed(&mut self.allocations, || self.server.turn());
        came_through(&mut self.server.wire, shape)?;
        Ok(taken)
    }

    fn open(&mut self, shape: Shape, checksum: Checksum) -> Result<u64, Failure> {
        let mut packets = sealed(&self.server.pool, &mut self.clients, shape, checksum)?;
        self.server.wire.transmit(&mut packets);
        let taken = timed(&mut self.allocations, || self.server.turn());
        came_through(&mut self.server.local, shape)?;
        Ok(taken)
    }

    fn seal(&mut self, shape: Shape) -> Result<u64, Failure> {
        let mut packets = plain(&self.server.pool, &self.clients, shape)?;
        self.server.local.transmit(&mut packets);
        let taken = timed(&mut self.allocations, || self.server.turn());
        came_through(&mut self.server.wire, shape)?;
        Ok(taken)
    }

    /// The AEAD over a burst as `Open` gets it; what it makes of the octets is of no interest to sealing.
    fn aead(&mut self, shape: Shape, run: fn(&mut [Job<'_>])) -> Result<u64, Failure> {
        let first = self.clients.first().map_or(0, Client::counter);
        let mut packets = sealed(&self.server.pool, &mut self.clients, shape, Checksum::None)?;
        let rounds =
            (first..).flat_map(|counter| self.clients.iter().map(move |client| (client, counter)));
        let mut jobs = ArrayVec::<Job<'_>, BURST_LEN_MAX>::new();
        for (packet, (client, counter)) in packets.iter_mut().zip(rounds) {
            let text = packet.start() + TEXT_AT;
            let text = packet.octets_mut().get_mut(text..).unwrap_or_default();
            jobs.extend(Job::new(client.key(), counter, text, shape.len));
        }
        let taken = timed(&mut self.allocations, || run(&mut jobs));
        if jobs.len() != shape.burst || !jobs.iter().all(Job::accepted) {
            return Err("the AEAD did not accept a packet".into());
        }
        drop(jobs);
        mbuf::free_bulk(&mut packets);
        Ok(taken)
    }

    /// The laps of a burst that is opened.
    pub(super) fn open_laps(&mut self, shape: Shape) -> Result<Laps, Failure> {
        let pool = &self.server.pool;
        let mut packets = sealed(pool, &mut self.stages.clients, shape, Checksum::None)?;
        let before = allocator::calls();
        let laps = self.stages.walk(&mut packets, Entry::Wire(0), Fate::Local)?;
        self.allocations += allocator::calls() - before;
        mbuf::free_bulk(&mut packets);
        Ok(laps)
    }

    /// The laps of a burst that is sealed.
    pub(super) fn seal_laps(&mut self, shape: Shape) -> Result<Laps, Failure> {
        let mut packets = plain(&self.server.pool, &self.stages.clients, shape)?;
        let before = allocator::calls();
        let laps = self.stages.walk(&mut packets, Entry::Local, Fate::Transmit(0))?;
        self.allocations += allocator::calls() - before;
        mbuf::free_bulk(&mut packets);
        Ok(laps)
    }
}

/// Cycles of `work`, whose calls of the allocator are added to `allocations`.
#[inline]
fn timed(allocations: &mut u64, work: impl FnOnce()) -> u64 {
    let before = allocator::calls();
    let start = cycles();
    work();
    let taken = cycles() - start;
    *allocations += allocator::calls() - before;
    taken
}

/// Fresh sealed frames of all clients in turn.
fn sealed(
    pool: &Pool,
    clients: &mut [Client],
    shape: Shape,
    checksum: Checksum,
) -> Result<Batch<Mbuf>, Failure> {
    let mut packets = fresh(pool, shape)?;
    // As many from each, so that all counters stay alike.
    for (number, packet) in packets.iter_mut().enumerate() {
        let place = number % clients.len().max(1);
        clients.get_mut(place).ok_or("there is no client")?.seal(packet, shape.len, checksum)?;
    }
    Ok(packets)
}

/// Frames of the kernel's to all clients in turn, each as long as a sealed packet's inner one.
fn plain(pool: &Pool, clients: &[Client], shape: Shape) -> Result<Batch<Mbuf>, Failure> {
    let mut packets = fresh(pool, shape)?;
    for (packet, client) in packets.iter_mut().zip(clients.iter().cycle()) {
        client.address(packet, shape.len)?;
    }
    Ok(packets)
}

fn fresh(pool: &Pool, shape: Shape) -> Result<Batch<Mbuf>, Failure> {
    let mut packets = Batch::new();
    if pool.allocate_bulk(&mut packets, shape.burst) != shape.burst {
        return Err("the pool is empty".into());
    }
    Ok(packets)
}

/// Every packet has come to the far end of a ring; they go back to their pool.
fn came_through(far: &mut Queue, shape: Shape) -> Result<(), Failure> {
    let mut packets = Batch::new();
    far.receive(&mut packets);
    let count = packets.len();
    mbuf::free_bulk(&mut packets);
    if count == shape.burst {
        Ok(())
    } else {
        Err(format!("{count} of {} packets came through", shape.burst).into())
    }
}

/// What a sealed frame is longer than its inner packet.
pub(super) const FRAME_OVERHEAD: usize = TEXT_AT + TAG_LEN;
