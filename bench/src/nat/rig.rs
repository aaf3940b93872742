//! The ways under measurement: each is fed one burst, timed over it, and emptied again.

use arrayvec::ArrayVec;
use dataplane::fate::Fate;
use dataplane::frame::Entry;
use dataplane::port::Batch;
use dpdk::clock::cycles;
use dpdk::{Eal, Mbuf, Pool, mbuf};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;
use wire::ethernet;

use super::servers::{Landing, Whose, filled};
use crate::service::stages::Laps;
use crate::{Failure, allocator};

/// One way of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// From the wire's ring to the kernel's ring, nothing else: the reference.
    Forward,
    /// From this machine to the Internet.
    Out,
    /// An answer to it.
    Back,
}

impl Way {
    /// In the order in which blocks are interleaved.
    pub(super) const ALL: [Self; 3] = [Self::Forward, Self::Out, Self::Back];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Forward => "io-forward",
            Self::Out => "NAT44 out",
            Self::Back => "NAT44 back",
        }
    }
}

/// Bursts that are made ahead of a round: enough that a turn finds its code where the last one left it, and
/// few enough that packets stay in the core's own cache.
pub(super) const BURSTS: usize = 4;

type Round = ArrayVec<Batch<Mbuf>, BURSTS>;

/// A server with flows, and what feeds it.
pub(super) struct Rig {
    landing: Landing,
    pool: Pool,
    random: ChaCha8Rng,
    /// Calls of the allocator while time was taken.
    allocations: u64,
}

impl Rig {
    pub(super) fn new(eal: &Eal, pool: &Pool, shape: (u32, usize)) -> Result<Self, Failure> {
        let landing = Landing::start(eal, pool, shape)?;
        let random = ChaCha8Rng::seed_from_u64(5);
        Ok(Self { landing, pool: pool.clone(), random, allocations: 0 })
    }

    pub(super) const fn flows(&self) -> u32 {
        self.landing.flows()
    }

    /// Cycles of whole turns with a round of bursts.
    pub(super) fn round(&mut self, way: Way, burst: usize) -> Result<u64, Failure> {
        let mut bursts = self.bursts((way, Whose::Server), burst)?;
        let mut taken = 0;
        for packets in &mut bursts {
            taken += match way {
                Way::Forward => self.forward(packets)?,
                Way::Out => self.out(packets),
                Way::Back => self.back(packets),
            };
            let wanted = ethernet::HEADER_LEN + self.landing.size();
            let right = packets.iter().filter(|packet| packet.frame().len() == wanted).count();
            if right != burst {
                let (name, totals) = (way.name(), self.landing.server.totals());
                let what = format!("{name}: {right} of {burst} packets came through\n{totals}");
                return Err(what.into());
            }
        }
        bursts.iter_mut().for_each(mbuf::free_bulk);
        Ok(taken)
    }

    /// The laps of walks through the stages with a round of bursts.
    pub(super) fn laps(&mut self, way: Way, burst: usize) -> Result<Laps, Failure> {
        let mut bursts = self.bursts((way, Whose::Stages), burst)?;
        let mut laps = Laps::default();
        let (entry, wanted) = match way {
            Way::Out => (Entry::Local, Fate::Transmit(0)),
            Way::Forward | Way::Back => (Entry::Wire(0), Fate::Local),
        };
        for packets in &mut bursts {
            let before = allocator::calls();
            let walked = self.landing.stages.walk(packets, entry, wanted)?;
            self.allocations += allocator::calls() - before;
            laps.iter_mut().zip(walked).for_each(|(sum, lap)| *sum += lap);
        }
        bursts.iter_mut().for_each(mbuf::free_bulk);
        Ok(laps)
    }

    /// Bursts of packets, each of a random flow.
    fn bursts(&mut self, (way, whose): (Way, Whose), burst: usize) -> Result<Round, Failure> {
        let mut round = Round::new();
        for _ in 0..BURSTS {
            let mut packets = Batch::new();
            for _ in 0..burst {
                let number = self.random.next_u32();
                let frame = match way {
                    Way::Out => self.landing.outward(number),
                    Way::Forward | Way::Back => self.landing.back(number, whose)?,
                };
                packets.push(filled(&self.pool, &frame)?);
            }
            round.push(packets);
        }
        Ok(round)
    }

    fn forward(&mut self, packets: &mut Batch<Mbuf>) -> Result<u64, Failure> {
        let server = &mut self.landing.server;
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

    fn out(&mut self, packets: &mut Batch<Mbuf>) -> u64 {
        let server = &mut self.landing.server;
        server.local.transmit(packets);
        let taken = timed(&mut self.allocations, || server.turn());
        server.wire.receive(packets);
        taken
    }

    fn back(&mut self, packets: &mut Batch<Mbuf>) -> u64 {
        let server = &mut self.landing.server;
        server.wire.transmit(packets);
        let taken = timed(&mut self.allocations, || server.turn());
        server.local.receive(packets);
        taken
    }

    /// Figures of a run that allocated, lost or dropped something, or opened or ended flows, are of no use.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let calls = self.allocations;
        if calls > 0 {
            let what = format!("the allocator was called {calls} times while time was taken");
            return Err(what.into());
        }
        let totals = self.landing.server.totals();
        let flows = u64::from(self.flows());
        let is_whole = (totals.flows, totals.flows_opened) == (flows, flows);
        if totals.dropped_all() > 0 || totals.unaccounted() != 0 || !is_whole {
            return Err(format!("packets or flows were lost:\n{totals}").into());
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
