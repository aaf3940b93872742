//! The filter: what the stage costs for what clients and attackers send, and what of good traffic survives attacks; what it costs to look sources up in millions of
//! listed prefixes and to count their tokens, how long a change of a list takes, and what the tables weigh.

mod buckets;
mod lists;
mod report;
mod stage;
mod survival;

use clap::Args;
use dpdk::clock::Clock;
use serde::Serialize;

use crate::machine::{Machine, Weather};
use crate::{Failure, pin};
use lists::Family;
pub(crate) use report::Report;

/// What to measure, and how large.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Prefixes of the lists, all of one family at a time.
    #[arg(long, value_delimiter = ',', default_value = "1000000,8000000")]
    prefixes: Vec<usize>,
    /// Buckets, as powers of two; as many sources use them.
    #[arg(long, value_delimiter = ',', default_value = "20,25")]
    buckets: Vec<u32>,
    /// How often each table is built and changed.
    #[arg(long, default_value_t = 5)]
    builds: usize,
    /// Blocks of each way, 65,536 packets in each.
    #[arg(long, default_value_t = 200)]
    blocks: usize,
    /// The core to measure on.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Small tables and few blocks, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

/// Packets of a block, and of a burst in it.
const BLOCK: usize = 1 << 16;
const BURST: usize = dataplane::limits::BURST_LEN_MAX;

/// Blocks before the first that counts.
const WARM_UP: usize = 10;

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = self.clone();
        if plan.quick {
            plan.prefixes = vec![20_000];
            plan.buckets = vec![16];
            plan.builds = plan.builds.min(2);
            plan.blocks = plan.blocks.min(3);
        }
        if !plan.prefixes.iter().all(|count| (1_000..=8_000_000).contains(count)) {
            return Err("--prefixes takes 1000 to 8000000".into());
        }
        if !plan.buckets.iter().all(|bits| (10..=25).contains(bits)) {
            return Err("--buckets takes 10 to 25".into());
        }
        if plan.builds == 0 || plan.blocks == 0 {
            return Err("--builds and --blocks take 1 and more".into());
        }
        Ok(plan)
    }
}

/// Measures everything.
pub(crate) fn run(plan: &Plan) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let clock = Clock::calibrate();
    let machine = Machine::observe(&clock, "no DPDK in it".to_owned(), false, plan.core);
    pin(plan.core)?;
    let before = Weather::observe();
    let mut tables = Vec::new();
    for count in &plan.prefixes {
        for family in Family::ALL {
            tables.push(lists::measure(family, *count, &plan)?);
        }
    }
    let buckets = plan
        .buckets
        .iter()
        .map(|bits| buckets::measure(*bits, &plan))
        .collect::<Result<Vec<_>, _>>()?;
    let listed = plan.prefixes.iter().copied().min().unwrap_or(1_000);
    let stage = stage::measure(listed, &plan)?;
    let survival = survival::measure(listed, &plan)?;
    let after = Weather::observe();
    Ok(Report::new(plan, machine, (before, after), ((stage, survival), tables, buckets)))
}
