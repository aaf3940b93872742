//! The record of what was measured: rates of messages, and a snapshot.

use results::{Anchor, Cell, Column, Figure, Record, Section, Table};

use super::{BATCH, Figures, Plan};
use crate::machine::Conditions;

/// Rates of undisturbed runs: nine of ten are slower.
const QUICK_RUNS: f64 = 0.9;

/// A whole run.
pub(super) fn record(plan: &Plan, conditions: Conditions, figures: Figures) -> Record {
    let mut record = Record::new("ring", "The commands ring", plan, conditions);
    record.section(messages(&figures));
    record.section(snapshot(&figures));
    let ([before, after], name) = (figures.trips, "a cache line there and back".to_owned());
    record.anchor(Anchor { name, unit: "ns".to_owned(), before, after });
    record
}

fn messages(figures: &Figures) -> Section {
    let rate = "M messages/s";
    let columns =
        [Column::label("messages"), Column::of(rate, rate, 1), Column::of("median", rate, 1)];
    let mut table = Table::new("", columns);
    let Figures { single, batches, alone, .. } = figures;
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

fn snapshot(figures: &Figures) -> Section {
    let columns = [Column::label("snapshot"), Column::of("ms", "ms", 0)];
    let mut table = Table::new("", columns);
    let Figures { snapshots, routes, .. } = figures;
    let name = format!("{routes} routes, written and gathered on one thread");
    table.row([Cell::from(name), Figure::median(snapshots).lower().into()]);
    Section::new("A snapshot").table(table)
}
