//! Connections through data centres: whole turns of a worker that splices, both ways among many connections at random, in blocks
//! that take turns with plain forwarding on the same rings, and the same stage by stage; and how many connections a worker begins
//! in a second.
//!
//! What clients send through an ingress comes from this machine's kernel and goes back to it, as in `nat`.

mod ends;
mod opening;
mod rig;
mod servers;
mod setups;

use results::Record;

use crate::Failure;
use crate::among::{Measured, Plan};
use rig::{Rig, Way};
use setups::Setups;

/// A whole run.
pub(crate) type Report = crate::report::Report<Plan, Part>;

/// What was measured.
#[derive(Debug)]
pub(crate) enum Part {
    Setups(Setups),
    Flows(Measured<Way>),
}

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked::<Rig>()?;
    let (conditions, measured) = plan.run(verbose, |setting| {
        let mut parts = vec![Part::Setups(setups::measure(setting, &plan.timing)?)];
        parts.extend(plan.measure::<Rig>(setting)?.into_iter().map(Part::Flows));
        Ok(parts)
    })?;
    Ok(Report::new(plan, conditions, measured))
}

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let Report { plan, conditions, measured } = report;
        let mut record = Self::new("splice", "Splices", plan, conditions.clone());
        for part in measured {
            record.section(match part {
                Part::Setups(setups) => setups.section(conditions),
                Part::Flows(measured) => measured.section(conditions),
            });
        }
        record
    }
}
