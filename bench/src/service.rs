//! Service time: cycles per packet of a worker's turn on one core, in blocks that take turns with plain
//! forwarding on the same rings and with the bare AEAD.

mod boringtun;
pub(crate) mod client;
mod report;
pub(crate) mod server;
pub(crate) mod stages;
mod ways;

use clap::Args;
use dataplane::limits::{BURST_LEN_MAX, DATA_ROOM};
use dpdk::clock::Clock;
use dpdk::eal::{Memory, Options};
use dpdk::{Eal, Pool};
use serde::Serialize;

use crate::Failure;
use crate::machine::{Machine, Weather};
use boringtun::Boringtun;
use report::{Measured, Report};
use server::{CLIENTS, Keys, Server};
use stages::{Laps, Stages};
use ways::{Rig, Shape, Way};

/// What to measure, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Octets of the inner packets.
    #[arg(long, value_delimiter = ',', default_value = "64,512,1420")]
    sizes: Vec<usize>,
    /// Packets of a burst: multiples of the 16 clients, up to 64.
    #[arg(long, value_delimiter = ',', default_value = "32,64")]
    bursts: Vec<usize>,
    /// Sessions that the walk through the stages takes its packets from. Whole turns and the bare AEAD keep their 16.
    #[arg(long, default_value_t = CLIENTS)]
    sessions: u32,
    /// Blocks of each way, size and burst.
    #[arg(long, default_value_t = 300)]
    blocks: usize,
    /// Least length of a block, in microseconds.
    #[arg(long, default_value_t = 150)]
    block_us: u64,
    /// The core to measure on.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Put packets into hugepages.
    #[arg(long)]
    hugepages: bool,
    /// A few short blocks, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

/// Sessions of one worker with room for renewals.
const SESSIONS_MAX: u32 = 200_000;

/// Blocks before the first that counts.
const WARM_UP: usize = 10;

/// MiB for pool and rings in ordinary memory.
const MEGABYTES: u32 = 64;
const BUFFERS: u32 = 2047;

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = self.clone();
        if plan.quick {
            plan.blocks = plan.blocks.min(10);
            plan.block_us = plan.block_us.min(50);
        }
        let clients = CLIENTS as usize;
        let burst_fits = |len: &usize| (1..=BURST_LEN_MAX / clients).any(|n| n * clients == *len);
        if !plan.bursts.iter().all(burst_fits) {
            return Err(
                format!("--bursts takes multiples of {clients} up to {BURST_LEN_MAX}").into()
            );
        }
        if !plan.sizes.iter().all(|len| (28..=1420).contains(len)) {
            return Err("--sizes takes 28..=1420: the smallest UDP packet, and what the path to a client carries".into());
        }
        if !(CLIENTS..=SESSIONS_MAX).contains(&plan.sessions) {
            return Err(format!("--sessions takes {CLIENTS} to {SESSIONS_MAX}").into());
        }
        if plan.blocks == 0 {
            return Err("--blocks takes 1 and more".into());
        }
        Ok(plan)
    }
}

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let eal = start(&plan, verbose)?;
    let clock = Clock::calibrate();
    let machine = Machine::observe(&clock, eal.version(), plan.hugepages, plan.core);
    let mut rig = rig(&eal, plan.sessions)?;
    let before = Weather::observe();
    let mut measured = Vec::new();
    for len in &plan.sizes {
        for burst in &plan.bursts {
            let shape = Shape { len: *len, burst: *burst };
            measured.push(measure(&mut rig, &plan, &clock, shape)?);
        }
    }
    let after = Weather::observe();
    check(&rig)?;
    Ok(Report::new(plan, machine, (before, after), measured))
}

fn start(plan: &Plan, verbose: bool) -> Result<Eal, Failure> {
    let memory = if plan.hugepages {
        Memory::Hugepages { megabytes: None }
    } else {
        Memory::Ordinary { megabytes: MEGABYTES }
    };
    let options = Options { main_core: Some(plan.core), memory, verbose, ..Options::default() };
    Ok(Eal::start(&options)?)
}

fn rig(eal: &Eal, sessions: u32) -> Result<Rig, Failure> {
    let pool = Pool::new(eal, "bench", BUFFERS, u16::try_from(DATA_ROOM)?)?;
    let mut keys = Keys::draw(CLIENTS);
    let mut server = Server::start(eal, &pool, &mut keys.keeper()?, "")?;
    let clients = server.connect(&mut keys)?;
    let mut many = Keys::draw(sessions);
    let stages = Stages::new(&server, &mut many.keeper()?, &mut many, sessions)?;
    let boringtun = Boringtun::new(&mut keys)?;
    let mut rig = Rig { server, clients, stages, boringtun, allocations: 0 };
    // The sessions of the walk prove themselves by their first packets, then they may send.
    let shape = Shape { len: 64, burst: CLIENTS as usize };
    for _ in 0..rig.stages.clients.len().div_ceil(shape.burst) {
        rig.open_laps(shape)?;
    }
    Ok(rig)
}

/// All ways and walks of one shape, block by block in turn.
fn measure(rig: &mut Rig, plan: &Plan, clock: &Clock, shape: Shape) -> Result<Measured, Failure> {
    let least = clock.hz() / 1_000_000 * plan.block_us;
    let mut measured = Measured::new(shape);
    for block in 0..WARM_UP.min(plan.blocks) + plan.blocks {
        let counts = block >= WARM_UP.min(plan.blocks);
        for (place, way) in Way::ALL.into_iter().enumerate() {
            let (mut taken, mut bursts) = (0, 0);
            while taken < least {
                let round = rig.round(way, shape)?;
                taken += round.0;
                bursts += round.1;
            }
            if counts {
                measured.way(place, taken, bursts);
            }
        }
        let open = laps(least, || rig.open_laps(shape))?;
        let seal = laps(least, || rig.seal_laps(shape))?;
        if counts {
            measured.walks(open, seal);
        }
    }
    Ok(measured)
}

/// Rounds of walks until a block is long enough; gives the sum of the laps and how many bursts walked.
fn laps(
    least: u64,
    mut round: impl FnMut() -> Result<(Laps, u64), Failure>,
) -> Result<(Laps, u64), Failure> {
    let (mut sums, mut bursts) = (Laps::default(), 0);
    while sums.iter().sum::<u64>() < least {
        let (laps, walked) = round()?;
        sums.iter_mut().zip(laps).for_each(|(sum, lap)| *sum += lap);
        bursts += walked;
    }
    Ok((sums, bursts))
}

/// Figures of a run that allocated, lost or dropped something are of no use.
fn check(rig: &Rig) -> Result<(), Failure> {
    if rig.allocations > 0 {
        return Err(format!(
            "the allocator was called {} times while time was taken",
            rig.allocations
        )
        .into());
    }
    let totals = rig.server.totals();
    if totals.dropped_all() > 0 || totals.unaccounted() != 0 {
        return Err(format!("packets were lost:\n{totals}").into());
    }
    Ok(())
}
