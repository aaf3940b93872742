//! Translation: whole turns of a worker that sends to the Internet by the server's address, and takes answers back, among many
//! flows at random; in blocks that take turns with plain forwarding on the same rings, and the same stage by stage.
//!
//! What is sent comes from this machine's kernel and goes back to it: a client's packet would be opened and sealed as well, which
//! `service` measures, and everything else on its way is the same.

mod report;
mod rig;
pub(crate) mod servers;

use clap::Args;
use serde::Serialize;

use crate::Failure;
use crate::machine::{Conditions, Weather};
use crate::turns::{self, Timing};
use report::Measured;
pub(crate) use report::Report;
use rig::Rig;

/// What to measure, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Flows, of which each packet is of a random one.
    #[arg(long, value_delimiter = ',', default_value = "10000,1000000")]
    flows: Vec<u32>,
    /// Octets of the packets.
    #[arg(long, default_value_t = 64)]
    size: usize,
    #[command(flatten)]
    #[serde(flatten)]
    timing: Timing,
}

/// The headers of a datagram with an octet for its number, and what fits every client.
const SIZES: std::ops::RangeInclusive<usize> = 32..=1_420;
/// What one address has ports for, with as many remote addresses as a flow's number names.
const FLOWS: std::ops::RangeInclusive<u32> = 1..=4_000_000;
const QUICK_FLOWS: u32 = 1_000;

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = Self { timing: self.timing.checked()?, ..self.clone() };
        if plan.timing.quick {
            plan.flows = vec![QUICK_FLOWS];
        }
        if !SIZES.contains(&plan.size) {
            return Err("--size takes 32..=1420".into());
        }
        if !plan.flows.iter().all(|flows| FLOWS.contains(flows)) {
            return Err("--flows takes 1 to 4000000".into());
        }
        Ok(plan)
    }
}

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let setting = plan.timing.start(verbose)?;
    let before = Weather::observe();
    let least = plan.timing.least(&setting.clock);
    let mut measured = Vec::new();
    for flows in &plan.flows {
        let mut rig = Rig::new(&setting, (*flows, plan.size))?;
        for burst in &plan.timing.bursts {
            let ways = turns::measure(&mut rig, &plan.timing, (least, *burst))?;
            measured.push(Measured { flows: *flows, burst: *burst, ways });
        }
        rig.check()?;
    }
    let after = Weather::observe();
    let conditions = Conditions::new(setting.machine, (before, after));
    Ok(Report::new(plan, conditions, measured))
}
