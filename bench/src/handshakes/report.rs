//! What was measured: all blocks for the record, the figures drawn from them for a person.

use std::fmt;

use serde::Serialize;

use super::Plan;
use crate::machine::{Conditions, Machine, Weather};
use crate::sample::{median, p10};

/// The layout of the JSON; raised when a field changes its meaning.
const SCHEMA: u32 = 1;

/// One kind of initiation: cycles for each, a figure for each burst or round.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    name: &'static str,
    pub(super) blocks: Vec<f64>,
}

impl Measured {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, blocks: Vec::new() }
    }
}

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: u32,
    plan: Plan,
    #[serde(flatten)]
    conditions: Conditions,
    judged: Vec<Measured>,
    answered: Vec<Measured>,
}

impl Report {
    pub(super) fn new(
        plan: Plan,
        machine: Machine,
        weather: (Weather, Weather),
        (judged, answered): (Vec<Measured>, Vec<Measured>),
    ) -> Self {
        let conditions = Conditions::new(machine, weather);
        Self { schema: SCHEMA, plan, conditions, judged, answered }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, all: &[Measured]) -> fmt::Result {
        writeln!(f, "| initiation | cycles | median | ns | a second |\n|---|---|---|---|---|")?;
        for Measured { name, blocks } in all {
            let (cycles, median) = (p10(blocks), median(blocks));
            let ns = self.conditions.ns(cycles);
            writeln!(f, "| {name} | {cycles:.0} | {median:.0} | {ns:.0} | {:.0} |", 1e9 / ns)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "# Handshakes\n\n{}", self.conditions)?;
        writeln!(
            f,
            "- 10th percentiles of {} bursts and {} rounds",
            self.plan.bursts, self.plan.rounds
        )?;
        writeln!(f, "\n## A worker's judgement\n")?;
        self.write(f, &self.judged)?;
        writeln!(f, "\n## A handshake thread's work\n")?;
        self.write(f, &self.answered)
    }
}
