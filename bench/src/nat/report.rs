//! What was measured: all blocks for the record, the figures drawn from them for a person.

use std::fmt;

use serde::Serialize;

use super::Plan;
use super::rig::Way;
use crate::turns::Ways;

/// A whole run.
pub(crate) type Report = crate::report::Report<Plan, Measured>;

/// One number of flows and length of burst.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(super) flows: u32,
    pub(super) burst: usize,
    pub(super) ways: Ways<Way>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.conditions)?;
        for Measured { flows, burst, ways } in &self.measured {
            let size = self.plan.size;
            writeln!(f, "\n## {flows} flows, bursts of {burst}, {size} octets\n")?;
            ways.write(f, &self.conditions)?;
        }
        Ok(())
    }
}
