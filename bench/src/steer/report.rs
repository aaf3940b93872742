//! What was measured: all blocks, and the record that they become.

use results::{Cell, Column, Figure, Record, Section, Table};

use super::Plan;
use super::cores::Cores;
use super::hand_over::HandOver;
use super::servers::Landing;
use crate::machine::{Conditions, Machine, Weather};
use crate::sample::{compared, per_packet};
use crate::turns::Timing;

/// By how much the way from core to core may change before figures of both mean nothing.
const ROUND_TRIP_DRIFT: f64 = 1.25;

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report {
    plan: Plan,
    conditions: Conditions,
    measured: Vec<Measured>,
    cores: Option<Cores>,
}

/// One length of bursts. All figures are cycles per packet, one for each block.
#[derive(Debug)]
pub(super) struct Measured {
    burst: usize,
    ways: Vec<Blocks>,
}

#[derive(Debug)]
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

    fn ways_table(&self, conditions: &Conditions) -> Table {
        let columns = [
            Column::label("way"),
            Column::of("cycles", "cycles", 1),
            Column::of("median", "cycles", 1),
            Column::of("ns", "ns", 1),
            Column::of("of io-forward", "ratio", 2).with_intervals(),
        ];
        let mut table = Table::new("", columns);
        let forward = self.blocks(Landing::WAYS[0].0);
        let mut row = |name: String, blocks: &[f64]| {
            let ratio = compared(blocks, forward, |ours, theirs| ours / theirs);
            table.row([
                Cell::from(name),
                Figure::also(blocks, 0.1).into(),
                Figure::also(blocks, 0.5).into(),
                Figure::p10(&conditions.all_ns(blocks)).lower().into(),
                Figure::compared(ratio, blocks.len()).lower().into(),
            ]);
        };
        for Blocks { name, blocks } in &self.ways {
            row(name.replace(" | ", ", "), blocks);
        }
        for (set, blocks) in self.steered() {
            row(format!("**{}, claim and pass_on**", set.replace(" | ", ", ")), &blocks);
        }
        table
    }

    /// What handing over adds: both workers' turns, less the second's without it and an empty one of the first.
    fn hand_over(&self, conditions: &Conditions) -> Table {
        let [_, idle, handed, direct] = HandOver::WAYS.map(|(name, _)| self.blocks(name));
        let without: Vec<f64> = direct.iter().zip(idle).map(|(one, two)| one + two).collect();
        let (handed, without) = (conditions.all_ns(handed), conditions.all_ns(&without));
        let added = compared(&handed, &without, |ours, theirs| ours - theirs);
        let columns =
            [Column::label("both workers together"), Column::of("ns", "ns", 1).with_intervals()];
        let mut table = Table::new("", columns);
        let added = Figure::compared(added, handed.len()).lower();
        table.row([Cell::from("what handing over adds"), added.into()]);
        table
    }
}

impl Cores {
    fn drifted(&self) -> bool {
        let [before, after] = self.round_trip_ns;
        before.max(after) > before.min(after) * ROUND_TRIP_DRIFT
    }

    fn section(&self) -> Section {
        let columns = [
            Column::label("burst"),
            Column::of("one worker, Mpps", "Mpps", 2),
            Column::of("first of two", "Mpps", 2),
            Column::of("second of two", "Mpps", 2),
            Column::of("together", "Mpps", 2),
        ];
        let mut table = Table::new("", columns);
        for rate in &self.rates {
            let [one, two] = rate.together;
            let figures = [rate.alone, one, two, one + two].map(|rate| {
                let figure = Figure::single(rate);
                if self.drifted() { figure.void() } else { figure.higher() }
            });
            let cells = figures.map(Cell::from).into_iter();
            table.row(
                std::iter::once(rate.burst.to_string().into()).chain(cells).collect::<Vec<_>>(),
            );
        }
        let [before, after] = self.round_trip_ns;
        let note =
            format!("A cache line's round trip: {before:.0} ns before, {after:.0} ns after.");
        let section = Section::new("Two cores").note(note).table(table);
        let void = "**Void:** the two cores did not stay as near to each other.";
        if self.drifted() { section.note(void) } else { section }
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
        Self { plan, conditions, measured, cores }
    }
}

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let Report { plan, conditions, measured, cores } = report;
        let mut record = Self::new("steer", "Steering", plan, conditions.clone());
        let Timing { blocks, block_us, .. } = plan.timing;
        let overview = Section::default()
            .note(format!("{blocks} blocks of {block_us} us or one round; 10th percentiles, cycles per packet."))
            .note("No call of the allocator while time was taken.");
        record.section(overview);
        for one in measured {
            let section = Section::new(format!("Bursts of {}", one.burst));
            let section = section.table(one.ways_table(conditions));
            record.section(section.table(one.hand_over(conditions)));
        }
        match cores {
            Some(cores) => {
                if cores.drifted() {
                    record.discard(
                        "rates of two cores",
                        cores.rates.len() as u64,
                        "the way from core to core changed meanwhile",
                    );
                }
                record.section(cores.section());
            }
            None => record.leave_out("two cores", "no --second-core was given"),
        }
        record
    }
}
