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

use std::fmt;

use serde::Serialize;

use crate::Failure;
use crate::among::{Measured, Plan};
use rig::{Rig, Way};
use setups::Setups;

/// A whole run.
pub(crate) type Report = crate::report::Report<Plan, Part>;

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(untagged)]
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.conditions)?;
        self.measured.iter().try_for_each(|part| match part {
            Part::Setups(setups) => setups.write(f, &self.conditions),
            Part::Flows(measured) => measured.write(f, &self.conditions),
        })
    }
}
