//! What was measured: all blocks for the record, the figures drawn from them for a person.

use std::fmt;

use serde::Serialize;

use super::Plan;
use super::rig::Way;
use crate::machine::{Conditions, Machine, Weather};
use crate::sample::{compared, median, p10, per_packet};
use crate::service::stages::{LAPS, Laps};

/// The layout of the JSON; raised when a field changes its meaning.
const SCHEMA: u32 = 1;

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: u32,
    plan: Plan,
    #[serde(flatten)]
    conditions: Conditions,
    measured: Vec<Measured>,
}

/// One number of flows and length of burst. All figures are cycles per packet, one for each block.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    flows: u32,
    burst: usize,
    ways: Vec<Blocks>,
}

/// A way in whole turns, and walked through the stages.
#[derive(Debug, Serialize)]
struct Blocks {
    way: Way,
    turns: Vec<f64>,
    stages: Vec<f64>,
    laps: Vec<(&'static str, Vec<f64>)>,
}

impl Measured {
    pub(super) fn new(flows: u32, burst: usize) -> Self {
        let ways = Way::ALL.map(|way| {
            let laps = LAPS.map(|name| (name, Vec::new())).into();
            Blocks { way, turns: Vec::new(), stages: Vec::new(), laps }
        });
        Self { flows, burst, ways: ways.into() }
    }

    /// Adds a block: cycles of whole turns, laps of walks, each with how many bursts they were.
    pub(super) fn add(&mut self, way: Way, turns: (u64, u64), walks: (Laps, u64)) {
        let burst = self.burst as u64;
        for blocks in self.ways.iter_mut().filter(|blocks| blocks.way == way) {
            blocks.turns.push(per_packet(turns.0, turns.1 * burst));
            let (laps, packets) = (&walks.0, walks.1 * burst);
            blocks.stages.push(per_packet(laps.iter().sum(), packets));
            for ((_, blocks), lap) in blocks.laps.iter_mut().zip(laps) {
                blocks.push(per_packet(*lap, packets));
            }
        }
    }
}

impl Report {
    pub(super) fn new(
        plan: Plan,
        machine: Machine,
        weather: (Weather, Weather),
        measured: Vec<Measured>,
    ) -> Self {
        let conditions = Conditions::new(machine, weather);
        Self { schema: SCHEMA, plan, conditions, measured }
    }

    fn write_turns(&self, f: &mut fmt::Formatter<'_>, measured: &Measured) -> fmt::Result {
        writeln!(f, "| way | cycles | median | ns | of io-forward | stages alone, ns |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        let forward = measured.ways.iter().find(|blocks| blocks.way == Way::Forward);
        let forward = forward.map_or(&[][..], |blocks| &blocks.turns);
        for Blocks { way, turns, stages, .. } in &measured.ways {
            let (cycles, middle) = (p10(turns), median(turns));
            let ratio = compared(turns, forward, |ours, theirs| ours / theirs);
            let (value, low, high) = (ratio.value, ratio.low, ratio.high);
            let (whole, alone) = (self.conditions.ns(cycles), self.conditions.ns(p10(stages)));
            write!(f, "| {} | {cycles:.1} | {middle:.1} | {whole:.1} |", way.name())?;
            writeln!(f, " {value:.2} ({low:.2}..{high:.2}) | {alone:.1} |")?;
        }
        Ok(())
    }

    fn write_laps(&self, f: &mut fmt::Formatter<'_>, measured: &Measured) -> fmt::Result {
        let walked = || measured.ways.iter().filter(|blocks| blocks.way != Way::Forward);
        write!(f, "\n| stage, ns |")?;
        walked().try_for_each(|blocks| write!(f, " {} |", blocks.way.name()))?;
        writeln!(f, "\n|---|{}", "---|".repeat(walked().count()))?;
        for (place, name) in LAPS.into_iter().enumerate() {
            write!(f, "| {name} |")?;
            for blocks in walked() {
                let lap = blocks.laps.get(place).map_or(0.0, |(_, blocks)| p10(blocks));
                write!(f, " {:.1} |", self.conditions.ns(lap))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.conditions)?;
        for measured in &self.measured {
            let Measured { flows, burst, .. } = measured;
            let size = self.plan.size;
            writeln!(f, "\n## {flows} flows, bursts of {burst}, {size} octets\n")?;
            self.write_turns(f, measured)?;
            self.write_laps(f, measured)?;
        }
        Ok(())
    }
}
