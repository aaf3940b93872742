//! What was measured: every round for the record, nanoseconds and milliseconds for a person.

use std::fmt;

use serde::Serialize;

use super::{Counted, Figures, Pace, Plan, Set};
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
    figures: Figures,
}

impl Report {
    pub(super) fn new(
        plan: Plan,
        machine: Machine,
        weather: (Weather, Weather),
        figures: Figures,
    ) -> Self {
        let conditions = Conditions::new(machine, weather);
        Self { schema: SCHEMA, plan, conditions, figures }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn write_worker(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { passed, paces, sheet, .. } = &self.figures;
        let ns = |cycles| self.conditions.ns(cycles);
        writeln!(
            f,
            "\nA worker, nanoseconds per packet that comes: 10th percentile and median of the rounds.\n"
        )?;
        writeln!(f, "| packets | sampled in a round | ns | ns, median |\n|---|---|---|---|")?;
        writeln!(f, "| none sampled | 0 | {:.3} | {:.3} |", ns(p10(passed)), ns(median(passed)))?;
        for Pace { packets, rounds, written } in paces {
            let each = *written as f64 / rounds.len().max(1) as f64;
            let (least, middle) = (ns(p10(rounds)), ns(median(rounds)));
            writeln!(f, "| {packets} a round | {each:.0} | {least:.3} | {middle:.3} |")?;
        }
        writeln!(f, "\nA sheet has {:.1} KiB; two for each worker.", *sheet as f64 / 1024.0)
    }

    fn write_keeper(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nThe keeper, full sheets of a round until it is known who is heavy: 10th percentile and median.\n"
        )?;
        writeln!(f, "| packets | workers | told | ms | ms, median |\n|---|---|---|---|---|")?;
        for Counted { set, workers, rounds, told } in &self.figures.tallies {
            let ms = |cycles| self.conditions.ns(cycles) / 1e6;
            let name = match set {
                Set::Flood => "flood of invented sources",
                Set::Mixed => "3,000 clients, 100 destinations",
            };
            let (least, middle) = (ms(p10(rounds)), ms(median(rounds)));
            writeln!(f, "| {name} | {workers} | {told} | {least:.2} | {middle:.2} |")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.conditions)?;
        self.write_worker(f)?;
        self.write_keeper(f)
    }
}
