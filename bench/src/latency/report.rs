//! The latencies, and the record that they become.

use results::{Axis, Cell, Column, Figure, Plot, Point, Record, Section, Series, Table};

use super::{Measured, Plan, SHARES};

/// A whole run.
pub(crate) type Report = crate::report::Report<Plan, Measured>;

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let Report { plan, conditions, measured } = report;
        let title = "Latency in virtual time";
        let mut record = Self::new("latency", title, plan, conditions.clone());
        for size in &plan.sizes {
            for way in &plan.ways {
                let is_it = |one: &&Measured| one.way == *way && one.size.name == size.name;
                let measured: Vec<&Measured> = measured.iter().filter(is_it).collect();
                let title = format!("{}, {}", way.name(), size.name);
                record.section(section(title, &measured));
            }
        }
        record.keep("loads", measured);
        record
    }
}

fn section(title: String, measured: &[&Measured]) -> Section {
    let mut columns = vec![Column::label("load"), Column::of("Mpps", "Mpps", 3)];
    columns.extend(SHARES.map(|share| Column::of(&format!("{}, us", percentile(share)), "us", 2)));
    columns.extend([
        Column::of("longest, us", "us", 2),
        Column::of("packets", "packets", 0),
        Column::of("lost", "packets", 0),
        Column::of("turns clipped", "turns", 0),
    ]);
    let mut table = Table::new("", columns);
    let plot_title = format!("Latency, {title}");
    let plot = Plot::lines(&plot_title, Axis::nines("percentile"), Axis::logarithmic("us"));
    let mut plot = plot.saying("Percentiles of the latency, a line for each load.");
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
    row.extend(SHARES.map(|share| {
        let known = one.points.iter().find(|(other, _)| other.total_cmp(&share).is_eq());
        let figure = known.map(|(_, ns)| Figure::single(us(*ns)).of(one.packets));
        // Of the tail nothing is judged: it moves from run to run.
        Cell::from(if share <= 0.99 { figure.map(Figure::lower) } else { figure })
    }));
    let counts = [one.packets, one.lost, one.clips].map(|count| Figure::single(count as f64));
    row.push(Figure::single(us(one.max_ns)).into());
    row.extend(counts.map(Cell::from));
    row
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
