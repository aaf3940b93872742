//! What was measured: all blocks, and the record that they become.

use results::{Record, Section};

use super::Plan;
use super::ways::Way;
use crate::turns::Ways;

/// A whole run.
pub(crate) type Report = crate::report::Report<Plan, Measured>;

/// One size of packet and burst.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(super) len: usize,
    pub(super) burst: usize,
    pub(super) ways: Ways<Way>,
}

/// The packets, the bursts and the rules that nanoseconds were wanted for.
const JUDGED: (usize, usize, u32) = (64, 64, 1_000);

/// Nanoseconds of a packet that were wanted at most.
const fn wanted(way: Way) -> Option<f64> {
    match way {
        Way::Forward => None,
        Way::Encap => Some(30.0),
        Way::Decap => Some(35.0),
        Way::TransitLast | Way::TransitAny => Some(80.0),
    }
}

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let Report { plan, conditions, measured } = report;
        let mut record = Self::new("transit", "Tenants' packets", plan, conditions.clone());
        for Measured { len, burst, ways } in measured {
            let judged = (*len, *burst, plan.rules) == JUDGED;
            let tables = ways.tables(conditions, |way| wanted(way).filter(|_| judged));
            let [turns, laps] = tables;
            let rules = plan.rules;
            let title = format!("{len} octets inside, bursts of {burst}, {rules} rules");
            let section = Section::new(title).table(turns).table(laps);
            record.section(section.plot(ways.plot(conditions)));
        }
        record
    }
}
