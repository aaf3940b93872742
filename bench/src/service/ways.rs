//! The ways under measurement: each is fed one burst, timed over it, and emptied again.

use arrayvec::ArrayVec;
use dataplane::fate::Fate;
use dataplane::frame::Entry;
use dataplane::limits::BURST_LEN_MAX;
use dataplane::port::Batch;
use dpdk::{Mbuf, Pool, mbuf};
use wireguard::aead::{self, Job, TAG_LEN};

use super::boringtun::Boringtun;
use super::client::{self, Checksum, Clients, TEXT_AT};
use super::server::{End, Server};
use super::stages::{Laps, Stages};
use crate::Failure;
use crate::turns::{BURSTS, round, timed};

/// One way of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the wire's ring to the kernel's ring, nothing else: the reference.
    Forward,
    /// A worker's turn that finds nothing, for every burst.
    Idle,
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
    /// boringtun, from datagram to inner packet.
    TheirOpen,
    /// boringtun, from inner packet to datagram.
    TheirSeal,
}

impl Way {
    /// In the order in which blocks are interleaved: what is compared stands side by side.
    pub(super) const ALL: [Self; 10] = [
        Self::Forward,
        Self::Idle,
        Self::Pass,
        Self::Open,
        Self::AeadOpen,
        Self::OpenChecked,
        Self::Seal,
        Self::AeadSeal,
        Self::TheirOpen,
        Self::TheirSeal,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Forward => "io-forward",
            Self::Idle => "empty turn, shared by the burst",
            Self::Pass => "pass",
            Self::Open => "open",
            Self::OpenChecked => "open, UDP checksum verified",
            Self::AeadOpen => "bare AEAD, open",
            Self::Seal => "seal",
            Self::AeadSeal => "bare AEAD, seal",
            Self::TheirOpen => "boringtun, decapsulate",
            Self::TheirSeal => "boringtun, encapsulate",
        }
    }

    /// The AEAD that is in a way.
    pub(super) const fn floor(self) -> Option<Self> {
        match self {
            Self::Open | Self::OpenChecked => Some(Self::AeadOpen),
            Self::Seal => Some(Self::AeadSeal),
            Self::Forward
            | Self::Idle
            | Self::Pass
            | Self::AeadOpen
            | Self::AeadSeal
            | Self::TheirOpen
            | Self::TheirSeal => None,
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
    pub(super) clients: Clients,
    pub(super) stages: Stages,
    pub(super) boringtun: Boringtun,
}

impl Rig {
    /// A round of bursts of this way; gives the cycles that they took and how many there were.
    pub(super) fn round(&mut self, way: Way, shape: Shape) -> Result<(u64, u64), Failure> {
        if matches!(way, Way::TheirOpen | Way::TheirSeal) {
            let theirs = &mut self.boringtun;
            let run = if way == Way::TheirOpen { Boringtun::open } else { Boringtun::seal };
            return Ok((run(theirs, shape)?, 1));
        }
        let pool = &self.server.pool;
        let mut bursts = round(|| match way {
            Way::Forward | Way::Idle | Way::Pass | Way::Seal | Way::TheirOpen | Way::TheirSeal => {
                plain(pool, &mut self.clients, shape)
            }
            Way::Open | Way::AeadOpen | Way::AeadSeal => {
                sealed(pool, &mut self.clients, shape, Checksum::None)
            }
            Way::OpenChecked => sealed(pool, &mut self.clients, shape, Checksum::Full),
        })?;
        let mut taken = 0;
        for packets in &mut bursts {
            taken += match way {
                Way::Forward => self.server.forward(packets)?,
                Way::Idle => self.server.timed_turn(),
                Way::Pass => self.server.carry(packets, (End::Kernel, End::Wire)),
                Way::Open | Way::OpenChecked => self.server.carry(packets, (End::Wire, End::Local)),
                Way::Seal => self.server.carry(packets, (End::Local, End::Wire)),
                Way::AeadOpen => self.aead(packets, shape, aead::open)?,
                Way::AeadSeal => self.aead(packets, shape, aead::seal)?,
                // Those made no frames.
                Way::TheirOpen | Way::TheirSeal => 0,
            };
            if packets.len() != shape.burst {
                return Err(
                    format!("{} of {} packets came through", packets.len(), shape.burst).into()
                );
            }
        }
        bursts.iter_mut().for_each(mbuf::free_bulk);
        Ok((taken, BURSTS as u64))
    }

    /// The AEAD over sealed packets, as a worker's turn would run it; that sealing seals what is sealed
    /// already makes no difference to it.
    fn aead(
        &mut self,
        packets: &mut Batch<Mbuf>,
        shape: Shape,
        run: fn(&mut [Job<'_>]),
    ) -> Result<u64, Failure> {
        let mut jobs = ArrayVec::<Job<'_>, BURST_LEN_MAX>::new();
        for (packet, key) in packets.iter_mut().zip(self.clients.keys().cycle()) {
            let counter = client::counter(packet).ok_or("a frame is too short")?;
            let text = packet.start() + TEXT_AT;
            let text = packet.octets_mut().get_mut(text..).unwrap_or_default();
            jobs.extend(Job::new(key, counter, text, shape.len));
        }
        let taken = timed(&mut self.server.allocations, || run(&mut jobs));
        if jobs.len() == shape.burst && jobs.iter().all(Job::accepted) {
            Ok(taken)
        } else {
            Err("the AEAD did not accept a packet".into())
        }
    }

    /// The laps of a round that is opened.
    pub(super) fn open_laps(&mut self, shape: Shape) -> Result<Laps, Failure> {
        let (pool, clients) = (&self.server.pool, &mut self.stages.clients);
        let bursts = round(|| sealed(pool, clients, shape, Checksum::None))?;
        self.stages.round(bursts, Entry::Wire(0), Fate::Local)
    }

    /// The laps of a round that is sealed.
    pub(super) fn seal_laps(&mut self, shape: Shape) -> Result<Laps, Failure> {
        let (pool, clients) = (&self.server.pool, &mut self.stages.clients);
        let bursts = round(|| plain(pool, clients, shape))?;
        self.stages.round(bursts, Entry::Local, Fate::Transmit(0))
    }
}

/// Fresh sealed frames of all clients in turn.
fn sealed(
    pool: &Pool,
    clients: &mut Clients,
    shape: Shape,
    checksum: Checksum,
) -> Result<Batch<Mbuf>, Failure> {
    let mut packets = fresh(pool, shape)?;
    for packet in &mut packets {
        clients.next().ok_or("there is no client")?.seal(packet, shape.len, checksum)?;
    }
    Ok(packets)
}

/// Frames of the kernel's to all clients in turn, each as long as a sealed packet's inner one.
fn plain(pool: &Pool, clients: &mut Clients, shape: Shape) -> Result<Batch<Mbuf>, Failure> {
    let mut packets = fresh(pool, shape)?;
    for packet in &mut packets {
        clients.next().ok_or("there is no client")?.address(packet, shape.len)?;
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

/// What a sealed frame is longer than its inner packet.
pub(super) const FRAME_OVERHEAD: usize = TEXT_AT + TAG_LEN;
