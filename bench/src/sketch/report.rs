//! The record of what was measured: what workers and the keeper pay.

use results::{Cell, Column, Figure, Record, Section, Table};

use super::{Counted, Figures, Pace, Plan, Set};
use crate::machine::{Conditions, Machine, Weather};

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report {
    plan: Plan,
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
        Self { plan, conditions, figures }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn worker(&self) -> Section {
        let columns = [
            Column::label("packets"),
            Column::of("sampled in a round", "count", 0),
            Column::of("ns", "ns", 3),
            Column::of("ns, median", "ns", 3),
        ];
        let mut table = Table::new("", columns);
        let mut row = |name: &str, sampled: f64, rounds: &[f64]| {
            let ns = self.conditions.all_ns(rounds);
            let (least, middle) = (Figure::p10(&ns).lower(), Figure::also(&ns, 0.5));
            table.row([Cell::from(name), sampled.into(), least.into(), middle.into()]);
        };
        let Figures { passed, paces, sheet, .. } = &self.figures;
        row("none sampled", 0.0, passed);
        for Pace { packets, rounds, written } in paces {
            let each = *written as f64 / rounds.len().max(1) as f64;
            row(&format!("{packets} a round"), each, rounds);
        }
        let kib = *sheet as f64 / 1024.0;
        Section::new("A worker")
            .note("Nanoseconds per packet that comes: 10th percentile and median of the rounds.")
            .table(table)
            .remark(format!("A sheet has {kib:.1} KiB; two for each worker."))
    }

    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn keeper(&self) -> Section {
        let columns = [
            Column::label("packets"),
            Column::label("workers"),
            Column::of("told", "count", 0),
            Column::of("ms", "ms", 2),
            Column::of("ms, median", "ms", 2),
        ];
        let mut table = Table::new("", columns);
        for Counted { set, workers, rounds, told } in &self.figures.tallies {
            let ms: Vec<f64> =
                rounds.iter().map(|cycles| self.conditions.ns(*cycles) / 1e6).collect();
            let name = match set {
                Set::Flood => "flood of invented sources",
                Set::Mixed => "3,000 clients, 100 destinations",
            };
            table.row([
                Cell::from(name),
                workers.to_string().into(),
                Cell::from(*told as f64),
                Figure::p10(&ms).lower().into(),
                Figure::also(&ms, 0.5).into(),
            ]);
        }
        Section::new("The keeper")
            .note("Full sheets of a round until it is known who is heavy: 10th percentile and median.")
            .table(table)
    }
}

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let conditions = report.conditions.clone();
        let mut record = Self::new("sketch", "The sketch", &report.plan, conditions);
        record.section(report.worker());
        record.section(report.keeper());
        record
    }
}
