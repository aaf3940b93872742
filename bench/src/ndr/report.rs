//! The rates that were found, and the record that they become.

use mlrsearch::Outcome;
use results::{Cell, Column, Figure, Point, Record, Section, Series, Table};

use super::{Measured, Plan};
use crate::load::goals::Found;
use crate::load::tally::{self, Tally};

/// A whole run.
pub(crate) type Report = crate::report::Report<Plan, Measured>;

/// Packets, bits and shares as a person reads them.
const MILLION: f64 = 1e6;
const BILLION: f64 = 1e9;
const PERCENT: f64 = 100.0;

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let Report { plan, conditions, measured } = report;
        let title = "No-drop rate in virtual time";
        let mut record = Self::new("ndr", title, plan, conditions.clone());
        for size in &plan.sizes {
            let of_size = |one: &&Measured| one.size.name == size.name;
            let measured: Vec<&Measured> = measured.iter().filter(of_size).collect();
            record.section(section(&size.name, &measured));
        }
        for Measured { way, size, found, .. } in measured {
            if found.is_cut {
                let what = format!("{}, {}", way.name(), size.name);
                record.leave_out(&what, "the search took longer than --budget-secs");
            }
        }
        record.keep("trials", measured);
        record
    }
}

fn section(size: &str, measured: &[&Measured]) -> Section {
    let mut table = Table::new(
        "",
        [
            Column::label("way"),
            Column::of("NDR, Mpps", "Mpps", 3),
            Column::of("PDR, Mpps", "Mpps", 3),
            Column::of("NDR, Gbit/s inside", "Gbit/s", 2),
            Column::of("NDR's bounds, Mpps", "Mpps", 3),
            Column::of("and", "Mpps", 3),
            Column::of("trials", "trials", 0),
            Column::of("turns clipped, %", "%", 3),
        ],
    );
    for one in measured {
        table.row(row(one));
    }
    let plot = tally::plot(size)
        .saying("Each trial of the search: what came in and what came through in time.");
    let plot = measured
        .iter()
        .fold(plot, |plot, one| plot.with(Series::new(one.way.name(), points(&one.found))));
    Section::new(size).table(table).plot(plot)
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn row(Measured { way, octets, found, .. }: &Measured) -> Vec<Cell> {
    let rate = |value: Option<f64>| value.map(|value| Figure::single(value / MILLION));
    let bits = found.ndr().map(|ndr| Figure::single(ndr * *octets as f64 * 8.0 / BILLION));
    let ndr: Option<&Outcome> = found.outcomes.first();
    let (turns, clips) = found
        .trials
        .iter()
        .fold((0, 0), |(turns, clips), trial| (turns + trial.turns, clips + trial.clips));
    let whole = |figure: Option<Figure>| if found.is_cut { None } else { figure };
    vec![
        way.name().into(),
        whole(rate(found.ndr()).map(Figure::higher)).into(),
        whole(rate(found.pdr()).map(Figure::higher)).into(),
        whole(bits).into(),
        whole(rate(ndr.and_then(|ndr| ndr.lower))).into(),
        whole(rate(ndr.and_then(|ndr| ndr.upper))).into(),
        Figure::single(found.trials.len() as f64).into(),
        Figure::single(clips as f64 * PERCENT / f64::max(1.0, turns as f64)).into(),
    ]
}

fn points(found: &Found) -> Vec<Point> {
    let mut trials: Vec<_> = found.trials.iter().collect();
    trials.sort_by(|one, other| one.load.total_cmp(&other.load));
    trials.into_iter().map(Tally::point).collect()
}
