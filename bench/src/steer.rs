//! Steering: what it costs to find the server of a packet and to pass it on, to take what another server has passed on, and
//! to hand a packet over to another worker. In blocks that take turns with plain forwarding, and on two cores at once.

mod cores;
mod frames;
mod hand_over;
mod report;
mod servers;
mod walks;

use clap::Args;
use dataplane::limits::{BURST_LEN_MAX, DATA_ROOM};
use dpdk::clock::Clock;
use dpdk::eal::{Memory, Options};
use dpdk::{Eal, Pool};
use serde::Serialize;

use crate::Failure;
use crate::machine::{Machine, Weather};
use cores::Cores;
use hand_over::HandOver;
use report::{Measured, Report};
use servers::{Family, Landing};
use walks::{Set, Walks};

/// What to measure, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Packets of a burst, up to 64.
    #[arg(long, value_delimiter = ',', default_value = "32,64")]
    bursts: Vec<usize>,
    /// Blocks of each way and burst.
    #[arg(long, default_value_t = 300)]
    blocks: usize,
    /// Least length of a block, in microseconds.
    #[arg(long, default_value_t = 150)]
    block_us: u64,
    /// The core to measure on.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// A second core: one and two workers at the same time; without it that part is left out.
    #[arg(long)]
    second_core: Option<usize>,
    /// Put packets into hugepages.
    #[arg(long)]
    hugepages: bool,
    /// A few short blocks, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

/// Blocks before the first that counts.
const WARM_UP: usize = 10;

/// MiB for pools and rings in ordinary memory.
const MEGABYTES: u32 = 64;
const BUFFERS: u32 = 2047;

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = self.clone();
        if plan.quick {
            plan.blocks = plan.blocks.min(10);
            plan.block_us = plan.block_us.min(50);
        }
        if !plan.bursts.iter().all(|burst| (1..=BURST_LEN_MAX).contains(burst)) {
            return Err(format!("--bursts takes 1 to {BURST_LEN_MAX}").into());
        }
        if plan.blocks == 0 {
            return Err("--blocks takes 1 and more".into());
        }
        if plan.second_core == Some(plan.core) {
            return Err("--second-core must be another core than --core".into());
        }
        Ok(plan)
    }
}

/// Everything that is measured on the one core.
struct Rig {
    landing: Landing,
    walks: Vec<Walks>,
    hand_over: HandOver,
    allocations: u64,
}

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let memory = if plan.hugepages {
        Memory::Hugepages { megabytes: None }
    } else {
        Memory::Ordinary { megabytes: MEGABYTES }
    };
    let options = Options { main_core: Some(plan.core), memory, verbose, ..Options::default() };
    let eal = Eal::start(&options)?;
    let clock = Clock::calibrate();
    let machine = Machine::observe(&clock, eal.version(), plan.hugepages, plan.core);
    let pool = Pool::new(&eal, "bench", BUFFERS, u16::try_from(DATA_ROOM)?)?;
    let mut rig = Rig {
        landing: Landing::start(&eal, &pool, "land")?,
        walks: [Family::V4, Family::V6]
            .map(|family| Walks::new(family, &pool))
            .into_iter()
            .collect::<Result<_, _>>()?,
        hand_over: HandOver::start(&eal, &pool)?,
        allocations: 0,
    };
    let before = Weather::observe();
    let least = clock.hz() / 1_000_000 * plan.block_us;
    let bursts = plan.bursts.clone();
    let measured = bursts
        .into_iter()
        .map(|burst| measure(&mut rig, plan.blocks, least, burst))
        .collect::<Result<Vec<_>, _>>()?;
    let cores = plan.second_core.map(|second| Cores::measure(&eal, &plan, second, &clock));
    let cores = cores.transpose()?;
    let after = Weather::observe();
    check(&rig)?;
    Ok(Report::new(plan, machine, (before, after), (measured, cores)))
}

/// All ways of one length of burst, block by block in turn.
fn measure(rig: &mut Rig, count: usize, least: u64, burst: usize) -> Result<Measured, Failure> {
    let mut measured = Measured::new(burst);
    let warm_up = WARM_UP.min(count);
    for block in 0..warm_up + count {
        let mut add = |name: String, cycles: u64, bursts: u64| {
            if block >= warm_up {
                measured.add(name, cycles, bursts * burst as u64);
            }
        };
        let Rig { landing, walks, hand_over, allocations } = rig;
        for (name, round) in Landing::WAYS {
            let (cycles, bursts) = until(least, || round(landing, burst, allocations))
                .map_err(|error| format!("{name}: {error}\n{}", landing.totals()))?;
            add(name.to_owned(), cycles, bursts);
        }
        for walk in walks {
            for set in Set::ALL {
                walk.round(set, burst, &mut walks::Laps::default(), allocations)?;
                let mut laps = walks::Laps::default();
                let mut bursts = 0;
                while laps.iter().sum::<u64>() < least {
                    bursts += walk.round(set, burst, &mut laps, allocations)?;
                }
                for (lap, cycles) in walks::LAPS.into_iter().zip(laps) {
                    add(format!("{} | {set} | {lap}", walk.family()), cycles, bursts);
                }
            }
        }
        for (name, round) in HandOver::WAYS {
            let (cycles, bursts) = until(least, || round(hand_over, burst, allocations))
                .map_err(|error| format!("{name}: {error}\n{}", hand_over.totals()))?;
            add(name.to_owned(), cycles, bursts);
        }
    }
    Ok(measured)
}

/// Rounds until a block is long enough: cycles, and how many bursts. The first round, which finds the caches as another
/// way has left them, does not count.
fn until(
    least: u64,
    mut round: impl FnMut() -> Result<(u64, u64), Failure>,
) -> Result<(u64, u64), Failure> {
    let (mut taken, mut bursts) = (0, 0);
    round()?;
    while taken < least {
        let (cycles, walked) = round()?;
        taken += cycles;
        bursts += walked;
    }
    Ok((taken, bursts))
}

/// Figures of a run that allocated, lost or dropped something are of no use.
fn check(rig: &Rig) -> Result<(), Failure> {
    if rig.allocations > 0 {
        let calls = rig.allocations;
        return Err(format!("the allocator was called {calls} times while time was taken").into());
    }
    for totals in [rig.landing.totals(), rig.hand_over.totals()] {
        if totals.dropped_all() > 0 || totals.unaccounted() != 0 {
            return Err(format!("packets were lost:\n{totals}").into());
        }
    }
    Ok(())
}
