//! The record of what was measured: a worker's judgement, and a thread's work.

use results::{Axis, Cell, Column, Figure, Plot, Point, Record, Section, Series, Table};

use super::Plan;
use super::flood::Flood;
use super::macs::Macs;
use crate::machine::Conditions;
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
    macs: Macs,
    answered: Vec<Measured>,
    floods: Vec<Flood>,
}

const PERCENT: f64 = 100.0;

impl Report {
    pub(super) fn new(
        plan: Plan,
        conditions: Conditions,
        (judged, macs, answered): (Vec<Measured>, Macs, Vec<Measured>),
        floods: Vec<Flood>,
    ) -> Self {
        Self { plan, conditions, judged, macs, answered, floods }
    }

    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 handshakes")]
    fn flooded(&self) -> Section {
        let mut table = Table::new(
            "",
            [
                Column::label("flood, times what a thread answers"),
                Column::of("initiations a second", "per second", 0),
                Column::of("peers with a new session, %", "%", 1),
                Column::of("the last after, s", "s", 2),
                Column::of("handshakes completed a second", "per second", 0),
                Column::of("cookies sent", "cookies", 0),
                Column::of("data lost", "packets", 0),
            ],
        );
        let title = "Handshakes of known peers in a flood of initiations";
        let across = Axis::linear("flood, times what a thread answers");
        let mut points = Vec::new();
        for Flood { factor, rate, tally, last, cookies } in &self.floods {
            let part = tally.answered as f64 / tally.calls.max(1) as f64;
            let each = last.map(|last| tally.answered as f64 / last);
            points.push(Point::new(*factor, part * PERCENT));
            table.row([
                Cell::from(format!("{factor}")),
                Figure::single(*rate).into(),
                Figure::single(part * PERCENT).higher().into(),
                last.map(|last| Figure::single(last).lower()).into(),
                each.map(Figure::single).into(),
                Figure::single(*cookies as f64).into(),
                Figure::single((tally.offered - tally.delivered) as f64).into(),
            ]);
        }
        let plot = Plot::lines(title, across, Axis::linear("peers with a new session, %"));
        let note = format!(
            "{} peers whose sessions are there renew them, one after the other within a second, and ask again after five as the protocol \
             says. The flood's initiations have right first MACs and invented sources. Virtual time; worker and thread have a core each.",
            self.plan.peers
        );
        let plot = plot.saying("The part of the peers that got a session.");
        Section::new(title)
            .note(note)
            .table(table)
            .plot(plot.with(Series::new("with a session", points)))
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
        let Report { plan, conditions, judged, macs, answered, floods } = report;
        let mut record = Self::new("handshakes", "Handshakes", plan, conditions.clone());
        let Plan { bursts, rounds, .. } = plan;
        let note = format!("10th percentiles of {bursts} bursts and {rounds} rounds.");
        record.section(report.section("A worker's judgement", judged).note(note));
        record.section(macs.section(conditions));
        record.section(report.section("A handshake thread's work", answered));
        record.section(report.flooded());
        record.keep("floods", floods);
        record
    }
}
