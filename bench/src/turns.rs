//! Whole turns of a worker, and walks through its stages: what measurements of a server's ways have in common. Blocks of all ways
//! take turns with plain forwarding on the same rings.

mod report;

use arrayvec::ArrayVec;
use clap::Args;
use dataplane::fate::Fate;
use dataplane::frame::Entry;
use dataplane::keeper::Keeper;
use dataplane::limits::{BURST_LEN_MAX, DATA_ROOM};
use dataplane::port::Batch;
use dpdk::clock::Clock;
use dpdk::eal::{Memory, Options};
use dpdk::{Eal, Mbuf, Pool, mbuf};
use serde::Serialize;

use crate::machine::Machine;
use crate::service::client;
use crate::service::server::{End, Keys, Server};
use crate::service::stages::{Laps, Stages};
use crate::{Failure, allocator};
pub(crate) use report::{Ways, stacked};

/// For how long to measure, and where.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Timing {
    /// Packets of a burst, up to 64; for `service` multiples of its 16 clients.
    #[arg(long, value_delimiter = ',', default_value = "32,64")]
    pub(crate) bursts: Vec<usize>,
    /// Blocks of each way and burst, and of whatever else differs.
    #[arg(long, default_value_t = 300)]
    pub(crate) blocks: usize,
    /// Least length of a block, in microseconds.
    #[arg(long, default_value_t = 150)]
    pub(crate) block_us: u64,
    /// The core to measure on.
    #[arg(long, default_value_t = 0)]
    pub(crate) core: usize,
    /// Put packets into hugepages.
    #[arg(long)]
    hugepages: bool,
    /// A few short blocks, to see that it works; the figures mean little.
    #[arg(long)]
    pub(crate) quick: bool,
}

/// Blocks before the first that counts.
const WARM_UP: usize = 10;

/// MiB for pools and rings in ordinary memory.
const MEGABYTES: u32 = 64;
const BUFFERS: u32 = 2047;

/// What is there before anything is measured.
pub(crate) struct Setting {
    pub(crate) machine: Machine,
    pub(crate) clock: Clock,
    pub(crate) pool: Pool,
    pub(crate) eal: Eal,
}

impl Timing {
    /// Only where to measure, for what has no blocks.
    pub(crate) const fn on(core: usize, hugepages: bool) -> Self {
        Self { bursts: Vec::new(), blocks: 0, block_us: 0, core, hugepages, quick: false }
    }

    /// The same with fewer blocks if it shall be quick; refuses what cannot be.
    pub(crate) fn checked(&self) -> Result<Self, Failure> {
        let mut timing = self.clone();
        if timing.quick {
            timing.blocks = timing.blocks.min(10);
            timing.block_us = timing.block_us.min(50);
        }
        if !timing.bursts.iter().all(|burst| (1..=BURST_LEN_MAX).contains(burst)) {
            return Err(format!("--bursts takes 1 to {BURST_LEN_MAX}").into());
        }
        if timing.blocks == 0 {
            return Err("--blocks takes 1 and more".into());
        }
        Ok(timing)
    }

    /// Starts DPDK on the core, with buffers for packets.
    pub(crate) fn start(&self, verbose: bool) -> Result<Setting, Failure> {
        let memory = if self.hugepages {
            Memory::Hugepages { megabytes: None }
        } else {
            Memory::Ordinary { megabytes: MEGABYTES }
        };
        let main_core = Some(self.core);
        let eal = Eal::start(&Options { main_core, memory, verbose, ..Options::default() })?;
        let clock = Clock::calibrate();
        let machine = Machine::observe(&clock, eal.version(), self.hugepages, self.core);
        let pool = pool(&eal, "bench")?;
        Ok(Setting { machine, clock, pool, eal })
    }

    /// Least length of a block, in cycles.
    pub(crate) fn least(&self, clock: &Clock) -> u64 {
        clock.hz() / 1_000_000 * self.block_us
    }

    /// How many blocks do not count, of how many.
    pub(crate) fn rounds(&self) -> (usize, usize) {
        let warm_up = WARM_UP.min(self.blocks);
        (warm_up, warm_up + self.blocks)
    }
}

/// Buffers for packets.
pub(crate) fn pool(eal: &Eal, name: &str) -> Result<Pool, Failure> {
    Ok(Pool::new(eal, name, BUFFERS, u16::try_from(DATA_ROOM)?)?)
}

/// Bursts that are made ahead of a round: enough that a turn finds its code where the last one left it, and
/// few enough that packets stay in the core's own cache.
pub(crate) const BURSTS: usize = 4;

/// Bursts that are timed one after the other.
pub(crate) type Round = ArrayVec<Batch<Mbuf>, BURSTS>;

/// A round of bursts that are made so.
pub(crate) fn round(make: impl FnMut() -> Result<Batch<Mbuf>, Failure>) -> Result<Round, Failure> {
    std::iter::repeat_with(make).take(BURSTS).collect()
}

/// A packet buffer with these octets.
pub(crate) fn filled(pool: &Pool, octets: &[u8]) -> Result<Mbuf, Failure> {
    let mut packet = pool.allocate().ok_or("the pool is empty")?;
    client::write(&mut packet, |room| {
        room.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(octets.len())
    })?;
    Ok(packet)
}

/// Rounds until a block is long enough: cycles, and how many bursts.
pub(crate) fn until(
    least: u64,
    mut round: impl FnMut() -> Result<(u64, u64), Failure>,
) -> Result<(u64, u64), Failure> {
    let (mut taken, mut bursts) = (0, 0);
    while taken < least {
        let (cycles, count) = round()?;
        taken += cycles;
        bursts += count;
    }
    Ok((taken, bursts))
}

/// Rounds of walks until a block is long enough: the sum of the laps, and how many bursts.
pub(crate) fn walked(
    least: u64,
    mut round: impl FnMut() -> Result<Laps, Failure>,
) -> Result<(Laps, u64), Failure> {
    let (mut sums, mut bursts) = (Laps::default(), 0);
    while sums.iter().sum::<u64>() < least {
        let laps = round()?;
        sums.iter_mut().zip(laps).for_each(|(sum, lap)| *sum += lap);
        bursts += BURSTS as u64;
    }
    Ok((sums, bursts))
}

/// One way of a packet through a server.
pub(crate) trait Way: Copy + Eq + 'static {
    /// In the order in which blocks are interleaved.
    const ALL: &'static [Self];
    /// Plain forwarding: the reference.
    const FORWARD: Self;

    fn name(self) -> &'static str;

    /// Where its packets come in, and where they leave.
    fn ends(self) -> (End, End);
}

/// Whose flows a packet is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Server,
    Stages,
}

/// A whole worker, and the state of another one that is walked from outside.
pub(crate) struct Landing {
    pub(crate) server: Server,
    pub(crate) stages: Stages,
}

impl Landing {
    /// Both with tables from such a keeper, and with rings that bear this name.
    pub(crate) fn start(
        Setting { eal, pool, .. }: &Setting,
        name: &str,
        keeper: impl Fn() -> Result<Keeper, Failure>,
    ) -> Result<Self, Failure> {
        let server = Server::start(eal, pool, &mut keeper()?, name)?;
        let stages = Stages::new(&server, &mut keeper()?, &mut Keys::draw(0), 0)?;
        Ok(Self { server, stages })
    }

    /// Figures of a run that allocated, lost or dropped something are of no use.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.stages.check()?;
        self.server.check()
    }
}

/// What is measured, with what feeds it.
pub(crate) trait Rig {
    type Way: Way;

    /// So many packets of a way.
    fn burst(&mut self, way: Self::Way, whose: Whose, count: usize)
    -> Result<Batch<Mbuf>, Failure>;

    /// Octets of what comes out.
    fn frame_len(&self, way: Self::Way) -> usize;

    /// Where the packets of a way land.
    fn landing(&mut self, way: Self::Way) -> &mut Landing;
}

/// Passes so many packets by each way and walk, before anything is measured among many flows: the first look at a page of
/// memory since it was filled may take a hypervisor microseconds, and the sample of what came is densest in the beginning.
pub(crate) fn warm<R: Rig>(rig: &mut R, packets: usize) -> Result<(), Failure> {
    for way in R::Way::ALL.iter().copied().filter(|way| *way != R::Way::FORWARD) {
        for _ in 0..packets.div_ceil(BURST_LEN_MAX * BURSTS) {
            turned(rig, way, BURST_LEN_MAX)?;
            laps(rig, way, BURST_LEN_MAX)?;
        }
    }
    Ok(())
}

/// All ways and walks with bursts of this length, block by block in turn.
pub(crate) fn measure<R: Rig>(
    rig: &mut R,
    timing: &Timing,
    (least, burst): (u64, usize),
) -> Result<Ways<R::Way>, Failure> {
    let mut ways = Ways::new();
    let (warm_up, count) = timing.rounds();
    for block in 0..count {
        for way in R::Way::ALL.iter().copied() {
            // The first round, which finds the caches as another way has left them, does not count.
            turned(rig, way, burst)?;
            let turns = until(least, || Ok((turned(rig, way, burst)?, BURSTS as u64)))?;
            let walks = if way == R::Way::FORWARD {
                (Laps::default(), 0)
            } else {
                laps(rig, way, burst)?;
                walked(least, || laps(rig, way, burst))?
            };
            if block >= warm_up {
                ways.add((way, burst), turns, walks);
            }
        }
    }
    Ok(ways)
}

/// Cycles of whole turns with a round of bursts.
fn turned<R: Rig>(rig: &mut R, way: R::Way, burst: usize) -> Result<u64, Failure> {
    let mut bursts = round(|| rig.burst(way, Whose::Server, burst))?;
    let wanted = rig.frame_len(way);
    let server = &mut rig.landing(way).server;
    let mut taken = 0;
    for packets in &mut bursts {
        taken += if way == R::Way::FORWARD {
            server.forward(packets)?
        } else {
            server.carry(packets, way.ends())
        };
        let right = packets.iter().filter(|packet| packet.frame().len() == wanted).count();
        if right != burst {
            let (name, totals) = (way.name(), server.totals());
            let what = format!("{name}: {right} of {burst} packets came through\n{totals}");
            return Err(what.into());
        }
    }
    bursts.iter_mut().for_each(mbuf::free_bulk);
    Ok(taken)
}

/// The laps of walks through the stages with a round of bursts.
fn laps<R: Rig>(rig: &mut R, way: R::Way, burst: usize) -> Result<Laps, Failure> {
    let bursts = round(|| rig.burst(way, Whose::Stages, burst))?;
    let (from, to) = way.ends();
    let entry = if from == End::Local { Entry::Local } else { Entry::Wire(0) };
    let wanted = if to == End::Local { Fate::Local } else { Fate::Transmit(0) };
    rig.landing(way).stages.round(bursts, entry, wanted)
}

/// Cycles of `work`, whose calls of the allocator are added to `allocations`.
#[inline]
pub(crate) fn timed(allocations: &mut u64, work: impl FnOnce()) -> u64 {
    let before = allocator::calls();
    let start = dpdk::clock::cycles();
    work();
    let taken = dpdk::clock::cycles() - start;
    *allocations += allocator::calls() - before;
    taken
}

/// Figures of a run that allocated are of no use.
pub(crate) fn check_calls(allocations: u64) -> Result<(), Failure> {
    if allocations > 0 {
        let what = format!("the allocator was called {allocations} times while time was taken");
        return Err(what.into());
    }
    Ok(())
}
