//! What was measured: all blocks for the record, the figures drawn from them for a person.

use std::fmt;

use serde::Serialize;

use super::Plan;
use super::cores::Cores;
use super::hand_over::HandOver;
use super::servers::Landing;
use crate::machine::{Conditions, Machine, Weather};
use crate::sample::{Interval, compared, median, p10, per_packet};
use crate::turns::Timing;

/// The layout of the JSON; raised when a field changes its meaning.
const SCHEMA: u32 = 1;

/// By how much the way from core to core may change before figures of both mean nothing.
const ROUND_TRIP_DRIFT: f64 = 1.25;

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: u32,
    plan: Plan,
    #[serde(flatten)]
    conditions: Conditions,
    measured: Vec<Measured>,
    cores: Option<Cores>,
}

/// One length of bursts. All figures are cycles per packet, one for each block.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    burst: usize,
    ways: Vec<Blocks>,
}

#[derive(Debug, Serialize)]
struct Blocks {
    name: String,
    blocks: Vec<f64>,
}

impl Measured {
    pub(super) const fn new(burst: usize) -> Self {
        Self { burst, ways: Vec::new() }
    }

    /// Adds a block.
    pub(super) fn add(&mut self, name: String, cycles: u64, packets: u64) {
        let block = per_packet(cycles, packets);
        match self.ways.iter_mut().find(|way| way.name == name) {
            Some(way) => way.blocks.push(block),
            None => self.ways.push(Blocks { name, blocks: vec![block] }),
        }
    }

    fn blocks(&self, name: &str) -> &[f64] {
        self.ways.iter().find(|way| way.name == name).map_or(&[], |way| &way.blocks)
    }

    /// The sum of `steer::claim` and `steer::pass_on`, block by block, of every set that is passed on.
    fn steered(&self) -> Vec<(&str, Vec<f64>)> {
        let claimed = self.ways.iter().filter_map(|way| {
            let set = way.name.strip_suffix(" | steer::claim")?;
            Some((set, &way.blocks))
        });
        let sum = |(set, claim): (_, &Vec<f64>)| {
            let pass_on = self.blocks(&format!("{set} | steer::pass_on"));
            (set, claim.iter().zip(pass_on).map(|(one, two)| one + two).collect())
        };
        claimed.map(sum).collect()
    }
}

impl Report {
    pub(super) fn new(
        plan: Plan,
        machine: Machine,
        weather: (Weather, Weather),
        (measured, cores): (Vec<Measured>, Option<Cores>),
    ) -> Self {
        let conditions = Conditions::new(machine, weather);
        Self { schema: SCHEMA, plan, conditions, measured, cores }
    }

    fn write_ways(&self, f: &mut fmt::Formatter<'_>, measured: &Measured) -> fmt::Result {
        writeln!(f, "| way | cycles | median | ns | of io-forward |")?;
        writeln!(f, "|---|---|---|---|---|")?;
        let forward = measured.blocks(Landing::WAYS[0].0);
        for Blocks { name, blocks } in &measured.ways {
            self.write_way(f, &name.replace(" | ", ", "), blocks, forward)?;
        }
        for (set, blocks) in measured.steered() {
            let name = format!("**{}, claim and pass_on**", set.replace(" | ", ", "));
            self.write_way(f, &name, &blocks, forward)?;
        }
        Ok(())
    }

    fn write_way(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        blocks: &[f64],
        forward: &[f64],
    ) -> fmt::Result {
        let cycles = p10(blocks);
        let ratio = compared(blocks, forward, |ours, theirs| ours / theirs);
        let (median, ns) = (median(blocks), self.conditions.ns(cycles));
        let Interval { value, low, high } = ratio;
        writeln!(
            f,
            "| {name} | {cycles:.1} | {median:.1} | {ns:.1} | {value:.2} ({low:.2}..{high:.2}) |"
        )
    }

    /// What handing over adds: both workers' turns, less the second's without it and an empty one of the first.
    fn write_hand_over(&self, f: &mut fmt::Formatter<'_>, measured: &Measured) -> fmt::Result {
        let [_, idle, handed, direct] = HandOver::WAYS.map(|(name, _)| measured.blocks(name));
        let without: Vec<f64> = direct.iter().zip(idle).map(|(one, two)| one + two).collect();
        let Interval { value, low, high } =
            compared(handed, &without, |ours, theirs| ours - theirs);
        let [value, low, high] = [value, low, high].map(|cycles| self.conditions.ns(cycles));
        writeln!(
            f,
            "\nHanding over adds {value:.1} ns ({low:.1}..{high:.1}) to a packet, both workers together."
        )
    }

    fn write_cores(f: &mut fmt::Formatter<'_>, cores: &Cores) -> fmt::Result {
        let [before, after] = cores.round_trip_ns;
        writeln!(
            f,
            "\n## Two cores\n\nA cache line's round trip: {before:.0} ns before, {after:.0} ns after.\n"
        )?;
        if before.max(after) > before.min(after) * ROUND_TRIP_DRIFT {
            writeln!(f, "**Void:** the two cores did not stay as near to each other.\n")?;
        }
        writeln!(f, "| burst | one worker, Mpps | two workers, Mpps | together |")?;
        writeln!(f, "|---|---|---|---|")?;
        for rate in &cores.rates {
            let [one, two] = rate.together;
            let (burst, alone, sum) = (rate.burst, rate.alone, one + two);
            writeln!(f, "| {burst} | {alone:.2} | {one:.2} and {two:.2} | {sum:.2} |")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "# Steering\n\n{}", self.conditions)?;
        let Timing { blocks, block_us, .. } = self.plan.timing;
        writeln!(
            f,
            "- {blocks} blocks of {block_us} us or one round; 10th percentiles, cycles per packet"
        )?;
        writeln!(f, "- no call of the allocator while time was taken")?;
        for measured in &self.measured {
            writeln!(f, "\n## Bursts of {}\n", measured.burst)?;
            self.write_ways(f, measured)?;
            self.write_hand_over(f, measured)?;
        }
        self.cores.as_ref().map_or(Ok(()), |cores| Self::write_cores(f, cores))
    }
}
