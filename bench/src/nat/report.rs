//! What was measured: all blocks, and the record that they become.

use results::{Record, Section};

use super::Plan;
use super::rig::Way;
use crate::turns::Ways;

/// A whole run.
pub(crate) type Report = crate::report::Report<Plan, Measured>;

/// One number of flows and length of burst.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(super) flows: u32,
    pub(super) burst: usize,
    pub(super) ways: Ways<Way>,
}

/// Nanoseconds of a packet that were wanted at most, while the caches hold the flows and when they do not.
const WANTED: [(u32, f64); 2] = [(10_000, 60.0), (1_000_000, 150.0)];

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let Report { plan, conditions, measured } = report;
        let mut record = Self::new("nat", "Translation", plan, conditions.clone());
        for Measured { flows, burst, ways } in measured {
            let wanted = WANTED.into_iter().find(|(wanted, _)| wanted == flows);
            let wanted =
                |way| wanted.filter(|_| way != Way::Forward && plan.size == 64).map(|(_, ns)| ns);
            let [turns, laps] = ways.tables(conditions, wanted);
            let size = plan.size;
            let title = format!("{flows} flows, bursts of {burst}, {size} octets");
            let section = Section::new(title).table(turns).table(laps);
            record.section(section.plot(ways.plot(conditions)));
        }
        record
    }
}
