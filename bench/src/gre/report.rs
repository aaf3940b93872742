//! What was measured: all blocks for the record, the figures drawn from them for a person.

use std::fmt;

use serde::Serialize;

use super::Plan;
use super::ways::Way;
use crate::turns::Ways;

/// A whole run.
pub(crate) type Report = crate::report::Report<Plan, Measured>;

/// One size of packet and burst.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(super) len: usize,
    pub(super) burst: usize,
    pub(super) ways: Ways<Way>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.conditions)?;
        for Measured { len, burst, ways } in &self.measured {
            let rules = self.plan.rules;
            writeln!(f, "\n## {len} octets inside, bursts of {burst}, {rules} rules\n")?;
            ways.write(f, &self.conditions)?;
        }
        Ok(())
    }
}
