//! Translation: whole turns of a worker that sends to the Internet by the server's address, and takes answers back, among many
//! flows at random; in blocks that take turns with plain forwarding on the same rings, and the same stage by stage.
//!
//! What is sent comes from this machine's kernel and goes back to it: a client's packet would be opened and sealed as well, which
//! `service` measures, and everything else on its way is the same.

mod rig;
mod servers;

use std::fmt;

use crate::Failure;
use crate::among::{Measured, Plan};
use rig::{Rig, Way};

/// A whole run.
pub(crate) type Report = crate::report::Report<Plan, Measured<Way>>;

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked::<Rig>()?;
    let (conditions, measured) = plan.run(verbose, |setting| plan.measure::<Rig>(setting))?;
    Ok(Report::new(plan, conditions, measured))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.conditions)?;
        self.measured.iter().try_for_each(|measured| measured.write(f, &self.conditions))
    }
}
