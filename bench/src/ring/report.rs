//! The record of what was measured: rates of messages, and a snapshot.

use results::{Anchor, Cell, Column, Figure, Record, Section, Table};

use super::{BATCH, Figures, Plan};
use crate::machine::{Conditions, Machine, Weather};

/// Rates of undisturbed runs: nine of ten are slower.
const QUICK_RUNS: f64 = 0.9;

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

    fn messages(&self) -> Section {
        let rate = "M messages/s";
        let columns =
            [Column::label("messages"), Column::of(rate, rate, 1), Column::of("median", rate, 1)];
        let mut table = Table::new("", columns);
        let Figures { single, batches, alone, .. } = &self.figures;
        let batched = format!("batches of {BATCH}, ");
        for (name, rates) in [
            ("one by one, two threads".to_owned(), single),
            (format!("{batched}two threads"), batches),
            (format!("{batched}one thread"), alone),
        ] {
            let (most, middle) =
                (Figure::quantile(rates, QUICK_RUNS).higher(), Figure::also(rates, 0.5));
            table.row([Cell::from(name), most.into(), middle.into()]);
        }
        Section::default()
            .note("Commands of control through the ring, from one core to another: the 90th percentile of the runs, and their median.")
            .table(table)
    }

    fn snapshot(&self) -> Section {
        let columns = [Column::label("snapshot"), Column::of("ms", "ms", 0)];
        let mut table = Table::new("", columns);
        let Figures { snapshots, routes, .. } = &self.figures;
        let name = format!("{routes} routes, written and gathered on one thread");
        table.row([Cell::from(name), Figure::median(snapshots).lower().into()]);
        Section::new("A snapshot").table(table)
    }
}

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let conditions = report.conditions.clone();
        let mut record = Self::new("ring", "The commands ring", &report.plan, conditions);
        let [before, after] = report.figures.trips.clone();
        let name = "a cache line there and back".to_owned();
        record.anchor(Anchor { name, unit: "ns".to_owned(), before, after });
        record.section(report.messages());
        record.section(report.snapshot());
        record
    }
}
