//! The blocks of all ways, and the tables and plots drawn from them.

use results::{Axis, Cell, Column, Figure, Plot, Series, Table};

use super::Way;
use crate::machine::Conditions;
use crate::sample::{compared, p10, per_packet};
use crate::service::stages::{LAPS, Laps};

/// All ways. All figures are cycles per packet, one for each block.
#[derive(Debug)]
pub(crate) struct Ways<W>(Vec<Blocks<W>>);

/// A way in whole turns, and walked through the stages.
#[derive(Debug)]
struct Blocks<W> {
    way: W,
    turns: Vec<f64>,
    stages: Vec<f64>,
    laps: Vec<Vec<f64>>,
}

/// Parts of a plot that have a colour of their own; the rest is put together.
const PARTS_MAX: usize = 7;

impl<W: Way> Ways<W> {
    pub(super) fn new() -> Self {
        let blocks = |way| {
            let laps = LAPS.map(|_| Vec::new()).into();
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
            for (blocks, lap) in blocks.laps.iter_mut().zip(laps) {
                blocks.push(per_packet(*lap, packets));
            }
        }
    }

    /// A table of the ways and one of the stages, with how many nanoseconds of a way were wanted at most.
    pub(crate) fn tables(
        &self,
        conditions: &Conditions,
        wanted: impl Fn(W) -> Option<f64>,
    ) -> [Table; 2] {
        [self.turns_table(conditions, wanted), self.laps_table(conditions)]
    }

    fn turns_table(&self, conditions: &Conditions, wanted: impl Fn(W) -> Option<f64>) -> Table {
        let columns = [
            Column::label("way"),
            Column::of("cycles", "cycles", 1),
            Column::of("median", "cycles", 1),
            Column::of("ns", "ns", 1),
            Column::of("of io-forward", "ratio", 2).with_intervals(),
            Column::of("stages alone, ns", "ns", 1),
        ];
        let mut table = Table::new("", columns);
        let forward = self.0.iter().find(|blocks| blocks.way == W::FORWARD);
        let forward = forward.map_or(&[][..], |blocks| &blocks.turns);
        for Blocks { way, turns, stages, .. } in &self.0 {
            let ns = Figure::p10(&conditions.all_ns(turns)).lower();
            let ratio = compared(turns, forward, |ours, theirs| ours / theirs);
            table.row([
                Cell::from(way.name()),
                Figure::also(turns, 0.1).into(),
                Figure::also(turns, 0.5).into(),
                wanted(*way).map_or_else(|| ns.clone(), |wanted| ns.clone().at_most(wanted)).into(),
                Figure::compared(ratio, turns.len()).lower().into(),
                Figure::also(&conditions.all_ns(stages), 0.1).into(),
            ]);
        }
        table
    }

    fn walked(&self) -> impl Iterator<Item = &Blocks<W>> {
        self.0.iter().filter(|blocks| blocks.way != W::FORWARD)
    }

    fn laps_table(&self, conditions: &Conditions) -> Table {
        let ways = self.walked().map(|blocks| Column::of(blocks.way.name(), "ns", 1));
        let columns: Vec<_> = std::iter::once(Column::label("stage, ns")).chain(ways).collect();
        let mut table = Table::new("", columns);
        for (place, name) in LAPS.into_iter().enumerate() {
            let laps = self.walked().map(|blocks| {
                let lap = blocks.laps.get(place).map_or(&[][..], |lap| lap);
                Figure::p10(&conditions.all_ns(lap)).lower().into()
            });
            table.row(std::iter::once(name.into()).chain(laps).collect::<Vec<_>>());
        }
        table
    }

    /// Where the time of each way goes.
    pub(crate) fn plot(&self, conditions: &Conditions) -> Plot {
        let names = self.walked().map(|blocks| blocks.way.name());
        let of_lap = |place: usize| {
            let figures = self.walked().map(move |blocks| {
                conditions.ns(blocks.laps.get(place).map_or(0.0, |lap| p10(lap)))
            });
            figures.collect::<Vec<f64>>()
        };
        let parts = LAPS.into_iter().enumerate().map(|(place, name)| (name, of_lap(place)));
        let plot = Plot::stacks(
            "Where the time goes",
            Axis::names("way", names),
            Axis::linear("ns a packet, stages alone"),
        );
        stacked(plot, parts.collect())
            .saying("Nanoseconds a packet of each way, divided among the stages of the pipeline.")
    }
}

/// The greatest parts as series of their own, in the order in which they come, and the rest as one.
pub(crate) fn stacked(plot: Plot, parts: Vec<(&str, Vec<f64>)>) -> Plot {
    let total = |heights: &[f64]| heights.iter().sum::<f64>();
    let mut totals: Vec<f64> = parts.iter().map(|(_, heights)| total(heights)).collect();
    totals.sort_by(|one, other| other.total_cmp(one));
    let least = totals.get(PARTS_MAX).copied().unwrap_or(0.0);
    let mut rest = vec![0.0; plot.across.names.len()];
    let mut plot = plot;
    for (name, heights) in parts {
        if total(&heights) > least {
            plot = plot.with(Series::by_name(name, heights));
        } else {
            rest.iter_mut().zip(heights).for_each(|(sum, height)| *sum += height);
        }
    }
    plot.with(Series::by_name("all other", rest))
}
