//! The latencies, and the record that they become.

use results::{Axis, Cell, Column, Figure, Plot, Point, Record, Section, Series, Table};

use super::{All, Measured, Plan, SHARES};
use crate::realtime::latencies::Latencies;

/// A whole run.
pub(crate) type Report = crate::report::Report<Plan, All>;

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let Report { plan, conditions, measured } = report;
        let mut record = Self::new("latency", "Latency", plan, conditions.clone());
        for size in &plan.sizes {
            for way in &plan.ways {
                let title = format!("{}, {}", way.name(), size.name);
                for All { virtually, really, .. } in measured {
                    let is_it = |one: &&Measured| one.way == *way && one.size.name == size.name;
                    let of_virtual: Vec<&Measured> = virtually.iter().filter(is_it).collect();
                    record.section(section(format!("{title}, virtual time"), &of_virtual));
                    let is_it = |one: &&Latencies| one.way == *way && one.size.name == size.name;
                    let of_real: Vec<&Latencies> = really.iter().filter(is_it).collect();
                    if !of_real.is_empty() {
                        record.section(real_section(format!("{title}, two cores"), &of_real));
                    }
                }
            }
        }
        for All { really, left_out, .. } in measured {
            for (what, why) in left_out {
                record.leave_out(what, why);
            }
            let voided = really.iter().map(|one| one.voided).sum();
            record.discard("trials in real time", voided, "a core was lost, or the generator late");
        }
        record.keep("loads", measured);
        record
    }
}

fn section(title: String, measured: &[&Measured]) -> Section {
    let mut columns = columns("");
    columns.push(Column::of("turns clipped", "turns", 0));
    let mut table = Table::new("", columns);
    let mut plot = empty_plot(&title).saying("Percentiles of the latency, a line for each load.");
    for one in measured {
        table.row(row(one));
        let points = one.points.iter().map(|(share, ns)| Point::new(*share, us(*ns)));
        plot = plot.with(Series::new(one.load, points.collect()));
    }
    Section::new(title).table(table).plot(plot)
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn row(one: &Measured) -> Vec<Cell> {
    let mut row: Vec<Cell> = vec![one.load.into(), Figure::single(one.rate / 1e6).into()];
    row.extend(cells(&one.points, one.packets));
    let counts = [one.packets, one.lost, one.clips].map(|count| Figure::single(count as f64));
    row.push(Figure::single(us(one.max_ns)).into());
    row.extend(counts.map(Cell::from));
    row
}

/// Both kinds: a line each in the table and in the plot.
fn real_section(title: String, measured: &[&Latencies]) -> Section {
    let mut table = Table::new("", columns(" from planned or sent"));
    let mut plot = empty_plot(&title);
    for one in measured {
        for (points, kind) in [(&one.corrected, "planned"), (&one.uncorrected, "sent")] {
            let name = format!("{}, from {kind}", one.load);
            table.row(real_row(&name, one, points));
            let points = points.iter().map(|(share, ns)| Point::new(*share, us(*ns)));
            plot = plot.with(Series::new(name, points.collect()));
        }
    }
    let plot = plot.saying("From the planned moment, which hides nothing, and from the real one.");
    Section::new(title).table(table).plot(plot)
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn real_row(name: &str, one: &Latencies, points: &[(f64, u64)]) -> Vec<Cell> {
    let mut row: Vec<Cell> = vec![name.into(), Figure::single(one.rate / 1e6).into()];
    row.extend(cells(points, one.packets));
    row.push(Figure::single(us(one.max_ns)).into());
    row.extend([one.packets, one.lost].map(|count| Cell::from(Figure::single(count as f64))));
    row
}

/// The columns of both tables.
fn columns(of: &str) -> Vec<Column> {
    let mut columns = vec![Column::label(&format!("load{of}")), Column::of("Mpps", "Mpps", 3)];
    columns.extend(SHARES.map(|share| Column::of(&format!("{}, us", percentile(share)), "us", 2)));
    columns.extend([
        Column::of("longest, us", "us", 2),
        Column::of("packets", "packets", 0),
        Column::of("lost", "packets", 0),
    ]);
    columns
}

/// The percentiles of a row.
fn cells(points: &[(f64, u64)], packets: u64) -> Vec<Cell> {
    let cell = |share: f64| {
        let known = points.iter().find(|(other, _)| other.total_cmp(&share).is_eq());
        let figure = known.map(|(_, ns)| Figure::single(us(*ns)).of(packets));
        // Of the tail nothing is judged: it moves from run to run.
        Cell::from(if share <= 0.99 { figure.map(Figure::lower) } else { figure })
    };
    SHARES.map(cell).into()
}

fn empty_plot(title: &str) -> Plot {
    let title = format!("Latency, {title}");
    Plot::lines(&title, Axis::nines("percentile"), Axis::logarithmic("us"))
}

/// A share in percent.
fn percentile(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[expect(clippy::cast_precision_loss, reason = "far less than 2^52 nanoseconds")]
fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}
