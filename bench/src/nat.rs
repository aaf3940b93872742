//! Translation: whole turns of a worker that sends to the Internet by the server's address, and takes answers back, among many
//! flows at random; in blocks that take turns with plain forwarding on the same rings, and the same stage by stage.
//!
//! What is sent comes from this machine's kernel and goes back to it: a client's packet would be opened and sealed as well, which
//! `service` measures, and everything else on its way is the same.

mod rig;
pub(crate) mod servers;

use results::Record;

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

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let Report { plan, conditions, measured } = report;
        let mut record = Self::new("nat", "Translation", plan, conditions.clone());
        for measured in measured {
            record.section(measured.section(conditions));
        }
        record
    }
}
