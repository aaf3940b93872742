//! What was measured, and the record that it becomes: a table and two curves of each kind.

use results::{Axis, Cell, Column, Figure, Plot, Point, Record, Section, Series, Table};

use super::field::Way;
use super::{Hole, Kind, Measured, Plan};
use crate::machine::Conditions;
use crate::sample::{compared, p10, resampled};

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report {
    plan: Plan,
    conditions: Conditions,
    measured: Vec<Measured>,
    holes: Vec<Hole>,
}

/// Nanoseconds of a packet that were wanted at most, with so many.
const WANTED: [(Way, u32, f64); 5] = [
    (Way::Out, 10_000, 60.0),
    (Way::Back, 10_000, 60.0),
    (Way::Out, 1_000_000, 150.0),
    (Way::Back, 1_000_000, 150.0),
    (Way::Transit, 1_000, 80.0),
];

impl Report {
    pub(super) fn new(
        plan: Plan,
        conditions: Conditions,
        (measured, holes): (Vec<Measured>, Vec<Hole>),
    ) -> Self {
        Self { plan, conditions, measured, holes }
    }

    fn section(&self, kind: Kind) -> Section {
        let name = kind.name();
        let all: Vec<&Measured> = self.measured.iter().filter(|one| one.kind == kind).collect();
        let mut table = Table::new(
            "",
            [
                Column::label(name),
                Column::label("way"),
                Column::of("ns", "ns", 1),
                Column::of("cycles", "cycles", 1),
                Column::of("median", "cycles", 1),
                Column::of("of io-forward", "ratio", 1).with_intervals(),
                Column::of("octets each", "octets", 1),
            ],
        );
        let mut plot = Plot::lines(
            &format!("A packet's cost with more and more {name}"),
            Axis::logarithmic(name),
            Axis::linear("ns a packet"),
        )
        .saying("Nanoseconds of a whole turn for each packet.");
        for one in &all {
            for row in self.rows(one) {
                table.row(row);
            }
        }
        for way in kind.ways() {
            plot = plot.with(Series::new(way.name(), self.points(&all, *way)));
        }
        let weight = Plot::lines(
            &format!("What one of them weighs, with more and more {name}"),
            Axis::logarithmic(name),
            Axis::logarithmic("octets each"),
        )
        .saying("Octets of the server's heap beside one that has one of them.");
        let points = all
            .iter()
            .filter(|one| one.count > 1 && one.octets_each > 0.0)
            .map(|one| Point::new(f64::from(one.count), one.octets_each));
        let weight = weight.with(Series::new("octets each", points.collect()));
        Section::new(title(kind)).note(note(kind)).table(table).plot(plot).plot(weight)
    }

    fn rows(&self, one: &Measured) -> Vec<Vec<Cell>> {
        let row = |(way, blocks): &(Way, Vec<f64>)| {
            let ns = Figure::p10(&self.conditions.all_ns(blocks)).lower();
            let wanted = WANTED.iter().find(|(of, count, _)| of == way && *count == one.count);
            let ns =
                wanted.map_or_else(|| ns.clone(), |(_, _, wanted)| ns.clone().at_most(*wanted));
            let ratio = compared(blocks, &one.blocks.forward, |ours, theirs| ours / theirs);
            let is_first = one.blocks.ways.first().is_some_and(|(first, _)| first == way);
            let weight = Figure::single(one.octets_each).lower();
            vec![
                Cell::from(one.count.to_string()),
                way.name().into(),
                ns.into(),
                Figure::also(blocks, 0.1).into(),
                Figure::also(blocks, 0.5).into(),
                Figure::compared(ratio, blocks.len()).into(),
                (is_first && one.count > 1).then_some(weight).into(),
            ]
        };
        one.blocks.ways.iter().map(row).collect()
    }

    fn points(&self, all: &[&Measured], way: Way) -> Vec<Point> {
        let mut points = Vec::new();
        for one in all {
            for (_, blocks) in one.blocks.ways.iter().filter(|(of, _)| *of == way) {
                let ns = self.conditions.all_ns(blocks);
                let interval = resampled(&ns, 0.1);
                let point = Point::new(f64::from(one.count), p10(&ns));
                points.push(point.between(Some([interval.low, interval.high])));
            }
        }
        points
    }
}

fn title(kind: Kind) -> String {
    let name = kind.name();
    name.get(..1).map_or_else(String::new, str::to_uppercase) + name.get(1..).unwrap_or_default()
}

const fn note(kind: Kind) -> &'static str {
    match kind {
        Kind::Peers => {
            "Each packet is of another session, in an order that no prefetcher follows. A peer has an address and a session; its slots for \
             renewals weigh as well."
        }
        Kind::Routes => {
            "Prefixes of the Internet at even distances; packets go to random addresses in random ones of them. The last row is the whole \
             table."
        }
        Kind::Flows => "Each packet is of a random flow. The table is made for exactly so many.",
        Kind::Tenants => {
            "Each packet is for a random tenant, each of which has a prefix and a tunnel and no rules."
        }
        Kind::Rules => {
            "Each packet is drawn from a random rule of one tenant, out of 1,024 that are made ahead."
        }
    }
}

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let Report { plan, conditions, holes, .. } = report;
        let mut record = Self::new("scale", "Scale", plan, conditions.clone());
        record.seed("packets", 5);
        for kind in &plan.of {
            if report.measured.iter().any(|one| one.kind == *kind) {
                record.section(report.section(*kind));
            }
        }
        for Hole { what, why } in holes {
            record.leave_out(what, why);
        }
        record
    }
}
