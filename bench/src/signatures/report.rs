//! The record of what was measured: nanoseconds per packet, what a set weighs, and how long it takes to build.

use results::{Axis, Cell, Column, Figure, Plot, Point, Record, Section, Series, Table};

use super::programs::Kind;
use super::{Measured, Plan};
use crate::machine::Conditions;
use crate::sample::p10;

/// A whole run.
pub(crate) type Report = crate::report::Report<Plan, Measured>;

const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Ports => "udp and src port N",
        Kind::Hosts => "ip dst host N",
        Kind::Payloads => "udp and udp[8:4] = N",
        Kind::Mixed => "the three above in turn",
        Kind::Unindexable => "udp and udp[8:4] > N",
    }
}

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let Report { plan, conditions, measured } = report;
        let mut record = Self::new("signatures", "Signatures", plan, conditions.clone());
        record.seed("packets", super::SEED);
        let columns = [
            Column::label("rules"),
            Column::label("count"),
            Column::of("clean", "ns", 1),
            Column::of("like them, no match", "ns", 1),
            Column::of("matches one", "ns", 1),
            Column::of("instructions at most", "instructions", 0),
            Column::of("KiB", "KiB", 1),
            Column::of("ms to build", "ms", 2),
        ];
        let mut table = Table::new("", columns);
        for measured in measured {
            table.row(row(measured, conditions));
        }
        let note = format!("Nanoseconds per packet, 10th percentile of {} blocks.", plan.blocks);
        let section = Section::default().note(note).table(table);
        record.section(section.plot(plot(report)));
        record
    }
}

#[expect(clippy::cast_precision_loss, reason = "octets far below 2^52")]
fn row(measured: &Measured, conditions: &Conditions) -> Vec<Cell> {
    let Measured { kind, count, refused, octets, instructions, build, .. } = measured;
    let mut row = vec![Cell::from(name(*kind)), count.to_string().into()];
    if let Some(refused) = refused {
        row.push(format!("refused: {refused}").into());
        return row;
    }
    for blocks in [&measured.clean, &measured.near, &measured.hit] {
        let figure = (!blocks.is_empty()).then(|| Figure::p10(&conditions.all_ns(blocks)).lower());
        row.push(figure.into());
    }
    row.push(Figure::single(f64::from(*instructions)).lower().into());
    row.push(Figure::single(*octets as f64 / 1024.0).lower().into());
    row.push(Cell::from(conditions.ns(*build) / 1e6));
    row
}

/// What a clean packet costs by the number of rules.
#[expect(clippy::cast_precision_loss, reason = "a few thousand rules")]
fn plot(report: &Report) -> Plot {
    let mut plot = Plot::lines(
        "A packet that no rule matches",
        Axis::linear("rules"),
        Axis::linear("ns a packet"),
    )
    .saying("Nanoseconds per packet hardly grow with the number of rules.");
    for kind in Kind::ALL {
        let of_kind =
            report.measured.iter().filter(|one| one.kind == kind && one.refused.is_none());
        let points =
            of_kind.map(|one| Point::new(one.count as f64, report.conditions.ns(p10(&one.near))));
        plot = plot.with(Series::new(name(kind), points.collect()));
    }
    plot
}
