//! The blocks of all ways, and the figures drawn from them for a person.

use std::fmt;

use serde::Serialize;

use super::Way;
use crate::machine::Conditions;
use crate::sample::{Interval, compared, median, p10, per_packet};
use crate::service::stages::{LAPS, Laps};

/// All ways. All figures are cycles per packet, one for each block.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Ways<W>(Vec<Blocks<W>>);

/// A way in whole turns, and walked through the stages.
#[derive(Debug, Serialize)]
struct Blocks<W> {
    way: W,
    turns: Vec<f64>,
    stages: Vec<f64>,
    laps: Vec<(&'static str, Vec<f64>)>,
}

impl<W: Way> Ways<W> {
    pub(super) fn new() -> Self {
        let blocks = |way| {
            let laps = LAPS.map(|name| (name, Vec::new())).into();
            Blocks { way, turns: Vec::new(), stages: Vec::new(), laps }
        };
        Self(W::ALL.iter().copied().map(blocks).collect())
    }

    /// Adds a block with bursts of this length: cycles of whole turns, laps of walks, each with how many bursts they were.
    pub(super) fn add(&mut self, (way, burst): (W, usize), turns: (u64, u64), walks: (Laps, u64)) {
        let burst = burst as u64;
        for blocks in self.0.iter_mut().filter(|blocks| blocks.way == way) {
            blocks.turns.push(per_packet(turns.0, turns.1 * burst));
            let (laps, packets) = (&walks.0, walks.1 * burst);
            blocks.stages.push(per_packet(laps.iter().sum(), packets));
            for ((_, blocks), lap) in blocks.laps.iter_mut().zip(laps) {
                blocks.push(per_packet(*lap, packets));
            }
        }
    }

    /// Writes a table of the ways and one of the stages.
    pub(crate) fn write(&self, f: &mut fmt::Formatter<'_>, conditions: &Conditions) -> fmt::Result {
        self.write_turns(f, conditions)?;
        self.write_laps(f, conditions)
    }

    fn write_turns(&self, f: &mut fmt::Formatter<'_>, conditions: &Conditions) -> fmt::Result {
        writeln!(f, "| way | cycles | median | ns | of io-forward | stages alone, ns |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        let forward = self.0.iter().find(|blocks| blocks.way == W::FORWARD);
        let forward = forward.map_or(&[][..], |blocks| &blocks.turns);
        for Blocks { way, turns, stages, .. } in &self.0 {
            let (cycles, middle) = (p10(turns), median(turns));
            let Interval { value, low, high } =
                compared(turns, forward, |ours, theirs| ours / theirs);
            let (whole, alone) = (conditions.ns(cycles), conditions.ns(p10(stages)));
            write!(f, "| {} | {cycles:.1} | {middle:.1} | {whole:.1} |", way.name())?;
            writeln!(f, " {value:.2} ({low:.2}..{high:.2}) | {alone:.1} |")?;
        }
        Ok(())
    }

    fn write_laps(&self, f: &mut fmt::Formatter<'_>, conditions: &Conditions) -> fmt::Result {
        let walked = || self.0.iter().filter(|blocks| blocks.way != W::FORWARD);
        write!(f, "\n| stage, ns |")?;
        walked().try_for_each(|blocks| write!(f, " {} |", blocks.way.name()))?;
        writeln!(f, "\n|---|{}", "---|".repeat(walked().count()))?;
        for (place, name) in LAPS.into_iter().enumerate() {
            write!(f, "| {name} |")?;
            for blocks in walked() {
                let lap = blocks.laps.get(place).map_or(0.0, |(_, blocks)| p10(blocks));
                write!(f, " {:.1} |", conditions.ns(lap))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
