//! The record of what was measured: a worker's judgement, and a thread's work.

use results::{Axis, Cell, Column, Figure, Plot, Record, Section, Series, Table};

use super::Plan;
use crate::machine::{Conditions, Machine, Weather};
use crate::sample::p10;

/// One kind of initiation: cycles for each, a figure for each burst or round.
#[derive(Debug)]
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
#[derive(Debug)]
pub(crate) struct Report {
    plan: Plan,
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
        Self { plan, conditions, judged, answered }
    }

    fn section(&self, title: &str, all: &[Measured]) -> Section {
        let columns = [
            Column::label("initiation"),
            Column::of("cycles", "cycles", 0),
            Column::of("median", "cycles", 0),
            Column::of("ns", "ns", 0),
            Column::of("a second", "per second", 0),
        ];
        let mut table = Table::new("", columns);
        for Measured { name, blocks } in all {
            let ns = self.conditions.all_ns(blocks);
            table.row([
                Cell::from(*name),
                Figure::also(blocks, 0.1).into(),
                Figure::also(blocks, 0.5).into(),
                Figure::p10(&ns).lower().into(),
                (1e9 / p10(&ns)).into(),
            ]);
        }
        let names = all.iter().map(|one| one.name);
        let plot = Plot::bars(title, Axis::names("initiation", names), Axis::linear("ns"));
        let heights = all.iter().map(|one| self.conditions.ns(p10(&one.blocks)));
        Section::new(title).table(table).plot(plot.with(Series::by_name("ns", heights)))
    }
}

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let Report { plan, conditions, judged, answered } = report;
        let mut record = Self::new("handshakes", "Handshakes", plan, conditions.clone());
        let Plan { bursts, rounds, .. } = plan;
        let note = format!("10th percentiles of {bursts} bursts and {rounds} rounds.");
        record.section(report.section("A worker's judgement", judged).note(note));
        record.section(report.section("A handshake thread's work", answered));
        record
    }
}
