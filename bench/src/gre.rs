//! Tenants' packets: whole turns of a worker that puts them into GRE, takes them out of it, and asks the tenant's rules on the way, in
//! blocks that take turns with plain forwarding on the same rings; and the same stage by stage.

mod frames;
mod report;
mod servers;
mod ways;

use clap::Args;
use dataplane::limits::{BURST_LEN_MAX, DATA_ROOM};
use dpdk::clock::Clock;
use dpdk::eal::{Memory, Options};
use dpdk::{Eal, Pool};
use firewall::rules::RULES_MAX;
use serde::Serialize;

use crate::Failure;
use crate::machine::{Machine, Weather};
use crate::service::stages::Laps;
use report::Measured;
pub(crate) use report::Report;
use ways::{Rig, Shape, Way};

/// What to measure, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Octets of the inner packets.
    #[arg(long, value_delimiter = ',', default_value = "64")]
    sizes: Vec<usize>,
    /// Packets of a burst, up to 64.
    #[arg(long, value_delimiter = ',', default_value = "32,64")]
    bursts: Vec<usize>,
    /// Rules of the tenant that has some.
    #[arg(long, default_value_t = 1_000)]
    rules: u32,
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

/// Blocks before the first that counts.
const WARM_UP: usize = 10;

/// MiB for pool and rings in ordinary memory.
const MEGABYTES: u32 = 64;
const BUFFERS: u32 = 2047;

/// The headers of a TCP segment, and what GRE over IPv4 leaves of 1500.
const SIZES: std::ops::RangeInclusive<usize> = 40..=1_476;

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = self.clone();
        if plan.quick {
            plan.blocks = plan.blocks.min(10);
            plan.block_us = plan.block_us.min(50);
        }
        if !plan.sizes.iter().all(|len| SIZES.contains(len)) {
            return Err("--sizes takes 40..=1476: a TCP header, and what GRE leaves of 1500".into());
        }
        if !plan.bursts.iter().all(|burst| (1..=BURST_LEN_MAX).contains(burst)) {
            return Err(format!("--bursts takes 1 to {BURST_LEN_MAX}").into());
        }
        if !(2..=RULES_MAX).contains(&(plan.rules as usize)) {
            return Err(format!("--rules takes 2 to {RULES_MAX}").into());
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
    let memory = if plan.hugepages {
        Memory::Hugepages { megabytes: None }
    } else {
        Memory::Ordinary { megabytes: MEGABYTES }
    };
    let main_core = Some(plan.core);
    let eal = Eal::start(&Options { main_core, memory, verbose, ..Options::default() })?;
    let clock = Clock::calibrate();
    let machine = Machine::observe(&clock, eal.version(), plan.hugepages, plan.core);
    let pool = Pool::new(&eal, "bench", BUFFERS, u16::try_from(DATA_ROOM)?)?;
    let mut rig = Rig::new(&eal, &pool, plan.rules)?;
    let before = Weather::observe();
    let least = clock.hz() / 1_000_000 * plan.block_us;
    let mut measured = Vec::new();
    for len in &plan.sizes {
        for burst in &plan.bursts {
            let shape = Shape { len: *len, burst: *burst };
            measured.push(measure(&mut rig, plan.blocks, least, shape)?);
        }
    }
    let after = Weather::observe();
    rig.check()?;
    Ok(Report::new(plan, machine, (before, after), measured))
}

/// All ways and walks of one shape, block by block in turn.
fn measure(rig: &mut Rig, blocks: usize, least: u64, shape: Shape) -> Result<Measured, Failure> {
    let mut measured = Measured::new(shape);
    let warm_up = WARM_UP.min(blocks);
    for block in 0..warm_up + blocks {
        for way in Way::ALL {
            // The first round, which finds the caches as another way has left them, does not count.
            rig.round(way, shape)?;
            let (mut taken, mut bursts) = (0, 0);
            while taken < least {
                taken += rig.round(way, shape)?;
                bursts += ways::BURSTS as u64;
            }
            let (laps, walks) = laps(rig, (way, shape), least)?;
            if block >= warm_up {
                measured.add(way, (taken, bursts), (laps, walks));
            }
        }
    }
    Ok(measured)
}

/// Rounds of walks until a block is long enough; gives the sum of the laps and how many bursts walked.
fn laps(rig: &mut Rig, (way, shape): (Way, Shape), least: u64) -> Result<(Laps, u64), Failure> {
    let (mut sums, mut bursts) = (Laps::default(), 0);
    if way == Way::Forward {
        return Ok((sums, bursts));
    }
    rig.laps(way, shape)?;
    while sums.iter().sum::<u64>() < least {
        let laps = rig.laps(way, shape)?;
        sums.iter_mut().zip(laps).for_each(|(sum, lap)| *sum += lap);
        bursts += ways::BURSTS as u64;
    }
    Ok((sums, bursts))
}
