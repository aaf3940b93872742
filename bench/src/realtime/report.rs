//! The rates that were found, and the record that they become.

use clap::ValueEnum as _;
use results::{Anchor, Cell, Column, Figure, Point, Record, Section, Series, Table};

use super::{All, Measured, Over, Plan};
use crate::load::goals::Found;
use crate::load::tally::{self, Tally};

/// A whole run.
pub(crate) type Report = crate::report::Report<Plan, All>;

const MILLION: f64 = 1e6;

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let Report { plan, conditions, measured } = report;
        let title = "No-drop rate in real time";
        let mut record = Self::new("realtime", title, plan, conditions.clone());
        for All { round_trip_ns: [before, after], ways, refused } in measured {
            record.anchor(Anchor {
                name: "a cache line's way to the other core and back".to_owned(),
                unit: "ns".to_owned(),
                before: vec![*before],
                after: vec![*after],
            });
            for (over, why) in refused {
                record.leave_out(over.name(), why);
            }
            for over in Over::value_variants() {
                if !plan.over.contains(over) {
                    record.leave_out(over.name(), "it was not asked for");
                }
                for size in &plan.sizes {
                    let title = over.title(&size.name);
                    let is_here = |one: &&Measured| one.title() == title;
                    let ways: Vec<&Measured> = ways.iter().filter(is_here).collect();
                    if !ways.is_empty() {
                        record.section(section(&title, &ways));
                    }
                }
            }
            for one in ways {
                let what = format!("{}, {}", one.way.name(), one.title());
                if let Some(why) = &one.refused {
                    record.leave_out(&what, why);
                }
                let why = one.why.as_deref().unwrap_or_default();
                record.discard(&what, one.voided, why);
            }
        }
        record.keep("trials", measured);
        record
    }
}

impl Measured {
    /// What it belongs to.
    fn title(&self) -> String {
        self.over.title(&self.size.name)
    }
}

fn section(title: &str, measured: &[&Measured]) -> Section {
    let mut table = Table::new(
        "",
        [
            Column::label("way"),
            Column::of("NDR, Mpps", "Mpps", 3),
            Column::of("PDR, Mpps", "Mpps", 3),
            Column::of("generator's ceiling, Mpps", "Mpps", 3),
            Column::of("trials", "trials", 0),
            Column::of("void", "trials", 0),
        ],
    );
    let mut plot = tally::plot(title);
    for one in measured {
        table.row(row(one));
        let mut points: Vec<Point> = one.voids.iter().map(|void| void.point().void()).collect();
        points.extend(one.found.iter().flat_map(|found| &found.trials).map(Tally::point));
        points.sort_by(|one, other| one.across.total_cmp(&other.across));
        plot = plot.with(Series::new(one.way.name(), points));
    }
    let plot =
        plot.saying("Each trial of the search; hollow ones were disturbed and do not count.");
    Section::new(title).table(table).plot(plot)
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn row(one: &Measured) -> Vec<Cell> {
    let found = one.found.as_ref().filter(|found| !found.is_cut);
    let rate = |value: Option<f64>| value.map(|value| Figure::single(value / MILLION).higher());
    vec![
        one.way.name().into(),
        rate(found.and_then(Found::ndr)).into(),
        rate(found.and_then(Found::pdr)).into(),
        Figure::single(one.ceiling / MILLION).into(),
        Figure::single(found.map_or(0, |found| found.trials.len()) as f64).into(),
        Figure::single(one.voided as f64).into(),
    ]
}
