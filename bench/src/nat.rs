//! Translation: whole turns of a worker that sends to the Internet by the server's address, and takes answers back, among many
//! flows at random; in blocks that take turns with plain forwarding on the same rings, and the same stage by stage.
//!
//! What is sent comes from this machine's kernel and goes back to it: a client's packet would be opened and sealed as well, which
//! `service` measures, and everything else on its way is the same.

mod report;
mod rig;
mod servers;

use clap::Args;
use dataplane::limits::{BURST_LEN_MAX, DATA_ROOM};
use dpdk::clock::Clock;
use dpdk::eal::{Memory, Options};
use dpdk::{Eal, Pool};
use serde::Serialize;

use crate::Failure;
use crate::machine::{Machine, Weather};
use crate::service::stages::Laps;
use report::Measured;
pub(crate) use report::Report;
use rig::{Rig, Way};

/// What to measure, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Flows, of which each packet is of a random one.
    #[arg(long, value_delimiter = ',', default_value = "10000,1000000")]
    flows: Vec<u32>,
    /// Packets of a burst, up to 64.
    #[arg(long, value_delimiter = ',', default_value = "32,64")]
    bursts: Vec<usize>,
    /// Octets of the packets.
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Blocks of each way, number of flows and burst.
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
    /// A few short blocks and few flows, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

/// Blocks before the first that counts.
const WARM_UP: usize = 10;

/// MiB for pool and rings in ordinary memory.
const MEGABYTES: u32 = 64;
const BUFFERS: u32 = 2047;

/// The headers of a datagram with an octet for its number, and what fits every client.
const SIZES: std::ops::RangeInclusive<usize> = 32..=1_420;
/// What one address has ports for, with as many remote addresses as a flow's number names.
const FLOWS: std::ops::RangeInclusive<u32> = 1..=4_000_000;
const QUICK_FLOWS: u32 = 1_000;

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = self.clone();
        if plan.quick {
            plan.blocks = plan.blocks.min(10);
            plan.block_us = plan.block_us.min(50);
            plan.flows = vec![QUICK_FLOWS];
        }
        if !SIZES.contains(&plan.size) {
            return Err("--size takes 32..=1420".into());
        }
        if !plan.flows.iter().all(|flows| FLOWS.contains(flows)) {
            return Err("--flows takes 1 to 4000000".into());
        }
        if !plan.bursts.iter().all(|burst| (1..=BURST_LEN_MAX).contains(burst)) {
            return Err(format!("--bursts takes 1 to {BURST_LEN_MAX}").into());
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
    let before = Weather::observe();
    let least = clock.hz() / 1_000_000 * plan.block_us;
    let mut measured = Vec::new();
    for flows in &plan.flows {
        let mut rig = Rig::new(&eal, &pool, (*flows, plan.size))?;
        for burst in &plan.bursts {
            measured.push(measure(&mut rig, plan.blocks, least, *burst)?);
        }
        rig.check()?;
    }
    let after = Weather::observe();
    Ok(Report::new(plan, machine, (before, after), measured))
}

/// All ways and walks with bursts of this length, block by block in turn.
fn measure(rig: &mut Rig, blocks: usize, least: u64, burst: usize) -> Result<Measured, Failure> {
    let mut measured = Measured::new(rig.flows(), burst);
    let warm_up = WARM_UP.min(blocks);
    for block in 0..warm_up + blocks {
        for way in Way::ALL {
            // The first round, which finds the caches as another way has left them, does not count.
            rig.round(way, burst)?;
            let (mut taken, mut bursts) = (0, 0);
            while taken < least {
                taken += rig.round(way, burst)?;
                bursts += rig::BURSTS as u64;
            }
            let (laps, walks) = laps(rig, (way, burst), least)?;
            if block >= warm_up {
                measured.add(way, (taken, bursts), (laps, walks));
            }
        }
    }
    Ok(measured)
}

/// Rounds of walks until a block is long enough; gives the sum of the laps and how many bursts walked.
fn laps(rig: &mut Rig, (way, burst): (Way, usize), least: u64) -> Result<(Laps, u64), Failure> {
    let (mut sums, mut bursts) = (Laps::default(), 0);
    if way == Way::Forward {
        return Ok((sums, bursts));
    }
    rig.laps(way, burst)?;
    while sums.iter().sum::<u64>() < least {
        let laps = rig.laps(way, burst)?;
        sums.iter_mut().zip(laps).for_each(|(sum, lap)| *sum += lap);
        bursts += rig::BURSTS as u64;
    }
    Ok((sums, bursts))
}
