//! Tenants' packets: whole turns of a worker that puts them into GRE, takes them out of it, and asks the tenant's rules on the way, in
//! blocks that take turns with plain forwarding on the same rings; and the same stage by stage.

pub(crate) mod frames;
mod report;
pub(crate) mod servers;
mod ways;

use clap::Args;
use firewall::rules::RULES_MAX;
use serde::Serialize;

use crate::Failure;
use crate::machine::{Conditions, Weather};
use crate::turns::{self, Timing};
use report::Measured;
pub(crate) use report::Report;
use ways::Rig;

/// What to measure, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Octets of the inner packets.
    #[arg(long, value_delimiter = ',', default_value = "64")]
    sizes: Vec<usize>,
    /// Rules of the tenant that has some.
    #[arg(long, default_value_t = 1_000)]
    rules: u32,
    #[command(flatten)]
    #[serde(flatten)]
    timing: Timing,
}

/// The headers of a TCP segment, and what GRE over IPv4 leaves of 1500.
const SIZES: std::ops::RangeInclusive<usize> = 40..=1_476;

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let plan = Self { timing: self.timing.checked()?, ..self.clone() };
        if !plan.sizes.iter().all(|len| SIZES.contains(len)) {
            return Err("--sizes takes 40..=1476: a TCP header, and what GRE leaves of 1500".into());
        }
        if !(2..=RULES_MAX).contains(&(plan.rules as usize)) {
            return Err(format!("--rules takes 2 to {RULES_MAX}").into());
        }
        Ok(plan)
    }
}

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let setting = plan.timing.start(verbose)?;
    let mut rig = Rig::new(&setting, plan.rules)?;
    let before = Weather::observe();
    let least = plan.timing.least(&setting.clock);
    let mut measured = Vec::new();
    for len in &plan.sizes {
        rig.len = *len;
        for burst in &plan.timing.bursts {
            let ways = turns::measure(&mut rig, &plan.timing, (least, *burst))?;
            measured.push(Measured { len: *len, burst: *burst, ways });
        }
    }
    let after = Weather::observe();
    rig.check()?;
    let conditions = Conditions::new(setting.machine, (before, after));
    Ok(Report::new(plan, conditions, measured))
}
