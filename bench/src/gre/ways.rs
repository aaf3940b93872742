//! The ways under measurement: each is fed one burst, timed over it, and emptied again.

use std::collections::HashMap;

use arrayvec::ArrayVec;
use dataplane::fate::Fate;
use dataplane::frame::Entry;
use dataplane::port::Batch;
use dpdk::clock::cycles;
use dpdk::{Eal, Mbuf, Pool, mbuf};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;
use wire::{ethernet, gre, ipv4};

use super::frames::{self, Inside};
use super::servers::Landing;
use crate::service::stages::Laps;
use crate::{Failure, allocator};

/// One way of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// From the wire's ring to the kernel's ring, nothing else: the reference.
    Forward,
    /// To a tenant without rules, into GRE.
    Encap,
    /// From a tenant's router, out of GRE.
    Decap,
    /// To a tenant with rules, of which the last holds the packet, into GRE.
    TransitLast,
    /// The same with packets that any of the rules holds.
    TransitAny,
}

impl Way {
    /// In the order in which blocks are interleaved.
    pub(super) const ALL: [Self; 5] =
        [Self::Forward, Self::Encap, Self::Decap, Self::TransitLast, Self::TransitAny];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Forward => "io-forward",
            Self::Encap => "GRE encap, no rules",
            Self::Decap => "GRE decap",
            Self::TransitLast => "transit, last rule",
            Self::TransitAny => "transit, any rule",
        }
    }

    /// Octets of what comes out, with so many inside.
    const fn frame_len(self, len: usize) -> usize {
        let gre = match self {
            Self::Encap | Self::TransitLast | Self::TransitAny => {
                ipv4::HEADER_LEN + gre::HEADER_LEN
            }
            Self::Forward | Self::Decap => 0,
        };
        ethernet::HEADER_LEN + gre + len
    }
}

/// Octets of the inner packets, and packets of a burst.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) len: usize,
    pub(super) burst: usize,
}

/// Bursts that are made ahead of a round: enough that a turn finds its code where the last one left it, and
/// few enough that packets stay in the core's own cache.
pub(super) const BURSTS: usize = 4;

type Round = ArrayVec<Batch<Mbuf>, BURSTS>;

/// A server whose tenant has no rules, and one whose tenant has some.
pub(super) struct Rig {
    open: Landing,
    ruled: Landing,
    rules: u32,
    pool: Pool,
    random: ChaCha8Rng,
    /// The frames of each kind with so many octets inside, and how many of them have gone.
    made: HashMap<(Inside, usize), (Vec<Vec<u8>>, usize)>,
    /// Calls of the allocator while time was taken.
    allocations: u64,
}

impl Rig {
    pub(super) fn new(eal: &Eal, pool: &Pool, rules: u32) -> Result<Self, Failure> {
        Ok(Self {
            open: Landing::start(eal, pool, ("open", 0))?,
            ruled: Landing::start(eal, pool, ("ruled", rules))?,
            rules,
            pool: pool.clone(),
            random: ChaCha8Rng::seed_from_u64(5),
            made: HashMap::new(),
            allocations: 0,
        })
    }

    /// Cycles of whole turns with a round of bursts.
    pub(super) fn round(&mut self, way: Way, shape: Shape) -> Result<u64, Failure> {
        let mut bursts = self.bursts(way, shape)?;
        let mut taken = 0;
        for packets in &mut bursts {
            taken +=
                if way == Way::Forward { self.forward(packets)? } else { self.turn(way, packets) };
            let wanted = way.frame_len(shape.len);
            let right = packets.iter().filter(|packet| packet.frame().len() == wanted).count();
            if right != shape.burst {
                let (all, name) = (shape.burst, way.name());
                let totals = self.landing(way).server.totals();
                return Err(
                    format!("{name}: {right} of {all} packets came through\n{totals}").into()
                );
            }
        }
        bursts.iter_mut().for_each(mbuf::free_bulk);
        Ok(taken)
    }

    /// The laps of walks through the stages with a round of bursts.
    pub(super) fn laps(&mut self, way: Way, shape: Shape) -> Result<Laps, Failure> {
        let mut bursts = self.bursts(way, shape)?;
        let mut laps = Laps::default();
        for packets in &mut bursts {
            let before = allocator::calls();
            let stages = &mut self.landing(way).stages;
            let walked = stages.walk(packets, Entry::Wire(0), Fate::Transmit(0))?;
            self.allocations += allocator::calls() - before;
            laps.iter_mut().zip(walked).for_each(|(sum, lap)| *sum += lap);
        }
        bursts.iter_mut().for_each(mbuf::free_bulk);
        Ok(laps)
    }

    fn bursts(&mut self, way: Way, shape: Shape) -> Result<Round, Failure> {
        let inside = match way {
            Way::Forward | Way::Encap | Way::TransitLast => Inside::Last(self.rules),
            Way::TransitAny => Inside::Any(self.rules),
            Way::Decap => Inside::Reply,
        };
        let (random, pool) = (&mut self.random, &self.pool);
        let new = || (frames::made(inside, shape.len, random), 0);
        let (made, gone) = self.made.entry((inside, shape.len)).or_insert_with(new);
        let make = || {
            let next = made.iter().cycle().skip(*gone % frames::FRAMES);
            *gone += shape.burst;
            frames::burst(pool, shape.burst, next)
        };
        std::iter::repeat_with(make).take(BURSTS).collect()
    }

    const fn landing(&mut self, way: Way) -> &mut Landing {
        match way {
            Way::Forward | Way::Encap | Way::Decap => &mut self.open,
            Way::TransitLast | Way::TransitAny => &mut self.ruled,
        }
    }

    fn forward(&mut self, packets: &mut Batch<Mbuf>) -> Result<u64, Failure> {
        let server = &mut self.open.server;
        server.wire.transmit(packets);
        let wire = server.worker.queues_mut().wires.first_mut().ok_or("the worker has no wire")?;
        let ends = wire.queue.as_mut().zip(wire.kernel.as_mut());
        let (from, to) = ends.ok_or("the worker has no queues")?;
        let taken = timed(&mut self.allocations, || {
            from.receive(packets);
            to.transmit(packets);
        });
        server.kernel.receive(packets);
        Ok(taken)
    }

    fn turn(&mut self, way: Way, packets: &mut Batch<Mbuf>) -> u64 {
        let mut allocations = 0;
        let server = &mut self.landing(way).server;
        server.wire.transmit(packets);
        let taken = timed(&mut allocations, || server.turn());
        server.wire.receive(packets);
        self.allocations += allocations;
        taken
    }

    /// Figures of a run that allocated, lost or dropped something are of no use.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let calls = self.allocations;
        if calls > 0 {
            return Err(
                format!("the allocator was called {calls} times while time was taken").into()
            );
        }
        for landing in [&self.open, &self.ruled] {
            let totals = landing.server.totals();
            if totals.dropped_all() > 0 || totals.unaccounted() != 0 {
                return Err(format!("packets were lost:\n{totals}").into());
            }
        }
        Ok(())
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
