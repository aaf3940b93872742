//! What was measured: all blocks for the record, the figures drawn from them for a person.

use std::fmt;

use serde::Serialize;

use super::Plan;
use crate::machine::{Machine, Weather};
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
    machine: Machine,
    before: Weather,
    after: Weather,
    /// What disturbed the run; empty when it was calm.
    disturbances: Vec<String>,
    judged: Vec<Measured>,
    answered: Vec<Measured>,
}

impl Report {
    pub(super) fn new(
        plan: Plan,
        machine: Machine,
        (before, after): (Weather, Weather),
        (judged, answered): (Vec<Measured>, Vec<Measured>),
    ) -> Self {
        let disturbances = after.disturbances(&before);
        Self { schema: SCHEMA, plan, machine, before, after, disturbances, judged, answered }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, all: &[Measured]) -> fmt::Result {
        writeln!(f, "| initiation | cycles | median | ns | a second |\n|---|---|---|---|---|")?;
        for Measured { name, blocks } in all {
            let (cycles, median) = (p10(blocks), median(blocks));
            let ns = self.machine.ns(cycles);
            writeln!(f, "| {name} | {cycles:.0} | {median:.0} | {ns:.0} | {:.0} |", 1e9 / ns)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, before, after, .. } = self;
        writeln!(f, "# Handshakes\n\n{machine}- before: {before}\n- after: {after}")?;
        writeln!(
            f,
            "- 10th percentiles of {} bursts and {} rounds",
            self.plan.bursts, self.plan.rounds
        )?;
        for disturbance in &self.disturbances {
            writeln!(f, "- **disturbed:** {disturbance}")?;
        }
        writeln!(f, "\n## A worker's judgement\n")?;
        self.write(f, &self.judged)?;
        writeln!(f, "\n## A handshake thread's work\n")?;
        self.write(f, &self.answered)
    }
}
