//! What was measured: every figure for the record, percentiles and rates for a person.

use std::fmt;

use serde::Serialize;

use super::{Case, Plan, Rate, Weights};
use crate::machine::{Conditions, Machine, Weather};
use crate::sample::{median, p10};

/// The layout of the JSON; raised when a field changes its meaning.
const SCHEMA: u32 = 1;

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: u32,
    plan: Plan,
    #[serde(flatten)]
    conditions: Conditions,
    weights: Weights,
    rates: Vec<Rate>,
}

impl Report {
    pub(super) fn new(
        plan: Plan,
        machine: Machine,
        weather: (Weather, Weather),
        (weights, rates): (Weights, Vec<Rate>),
    ) -> Self {
        let conditions = Conditions::new(machine, weather);
        Self { schema: SCHEMA, plan, conditions, weights, rates }
    }
}

impl Case {
    fn name(self, plan: &Plan) -> String {
        let flows = plan.flows;
        match self {
            Self::Read => "TCP header and place alone".to_owned(),
            Self::Answer4 => "SYN of an invented IPv4 source, answered".to_owned(),
            Self::Answer6 => "SYN of an invented IPv6 source, answered".to_owned(),
            Self::FirstDrop => "SYN of an invented source, first drop".to_owned(),
            Self::Proven => "SYN of a proven source".to_owned(),
            Self::Hot => format!("ACK of one of {} flows", super::FEW),
            Self::Many => format!("ACK of one of {flows} flows"),
            Self::ManyGuarded => format!("ACK of one of {flows} flows, guard acting"),
            Self::Stray => "ACK of no flow".to_owned(),
            Self::StrayGuarded => "ACK of no flow, guard acting".to_owned(),
        }
    }
}

impl fmt::Display for Report {
    #[expect(clippy::cast_precision_loss, reason = "octets far below 2^52")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.conditions)?;
        let mib = |octets: usize| octets as f64 / f64::from(1 << 20);
        let Weights { proven, firsts, flows } = &self.weights;
        writeln!(f, "\n| table | MiB |\n|---|---|")?;
        writeln!(f, "| proven sources, of the server | {:.1} |", mib(*proven))?;
        writeln!(f, "| SYNs seen first, of each worker | {:.1} |", mib(*firsts))?;
        writeln!(f, "| flows, of each worker | {:.1} |", mib(*flows))?;
        writeln!(
            f,
            "\nNanoseconds per segment on one core: 10th percentile and median of the blocks.\n"
        )?;
        writeln!(
            f,
            "| segments | ns | ns, median | millions per second | passed, dropped, answered |"
        )?;
        writeln!(f, "|---|---|---|---|---|")?;
        for Rate { case, blocks, passed, dropped, answered } in &self.rates {
            let (least, middle) =
                (self.conditions.ns(p10(blocks)), self.conditions.ns(median(blocks)));
            let name = case.name(&self.plan);
            let rate = 1e3 / least;
            writeln!(
                f,
                "| {name} | {least:.1} | {middle:.1} | {rate:.1} | {passed} {dropped} {answered} |"
            )?;
        }
        Ok(())
    }
}
