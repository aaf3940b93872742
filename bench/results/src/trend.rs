//! The same measurement in several runs: how ratios to others, and to plain forwarding of the same run, went from run to run.

use std::collections::BTreeMap;

use crate::plot::{Axis, Plot, Point, Series};
use crate::record::Record;

/// Runs that make a trend: two are a comparison.
const RUNS_MIN: usize = 3;
/// Lines of a plot.
const LINES_MAX: usize = 6;

/// A ratio through the runs in which it was measured.
struct Line {
    name: String,
    points: Vec<Point>,
}

/// A plot for each measurement of which there are three runs and more, in the order in which they are given. Where there are many
/// ratios those that moved most are drawn.
pub fn plots(records: &[Record]) -> Vec<Plot> {
    let mut runs: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records {
        runs.entry(&record.measure).or_default().push(record);
    }
    let enough = runs.into_values().filter(|runs| runs.len() >= RUNS_MIN);
    enough.filter_map(|runs| plot(&runs)).collect()
}

fn plot(runs: &[&Record]) -> Option<Plot> {
    let mut lines: Vec<Line> = Vec::new();
    for (run, record) in (0_u32..).zip(runs) {
        let void = !record.counts();
        for (name, ratio, interval) in ratios(record) {
            let point = Point::new(run.into(), ratio).between(interval);
            let point = if void { point.void() } else { point };
            match lines.iter_mut().find(|line| line.name == name) {
                Some(line) => line.points.push(point),
                None => lines.push(Line { name, points: vec![point] }),
            }
        }
    }
    lines.retain(|line| line.points.len() >= RUNS_MIN);
    let count = lines.len();
    lines.sort_by(|one, other| other.moved().total_cmp(&one.moved()));
    lines.truncate(LINES_MAX);
    let title = &runs.first().filter(|_| count > 0)?.title;
    let of = if count > LINES_MAX {
        format!(", the {LINES_MAX} of {count} that moved most")
    } else {
        String::new()
    };
    let names = (1..).zip(runs).map(|(number, record)| run_name(number, record));
    let plot = Plot::lines(
        &format!("{title}: ratios from run to run{of}"),
        Axis::names("run", names),
        Axis::logarithmic("ratio"),
    )
    .saying("Each ratio in the runs that were given, with its interval; hollow ones do not count.");
    Some(lines.into_iter().fold(plot, |plot, line| plot.with(Series::new(line.name, line.points))))
}

/// A run by its number, and by the commit where that is known.
fn run_name(number: u32, record: &Record) -> String {
    let git: String = record.conditions.machine.git.chars().take(7).collect();
    if git.is_empty() { number.to_string() } else { format!("{number} {git}") }
}

/// What does not change with the pace of a core: ratios that are judged, and those to others of the same run.
fn ratios(record: &Record) -> Vec<(String, f64, Option<[f64; 2]>)> {
    let mut found = Vec::new();
    for (name, unit, figure) in record.figures() {
        let name = name.split_once(" / ").map_or(name.as_str(), |(_, rest)| rest);
        let name = name.replace(" / ", ": ");
        if let Some(peer) = figure.peer.as_ref().filter(|peer| peer.elsewhere.is_none()) {
            found.push((format!("{name}, times better"), peer.ratio, peer.interval));
        }
        if unit == "ratio" && figure.better.is_some() {
            found.push((name, figure.value, figure.interval));
        }
    }
    found
}

impl Line {
    /// The greatest value to the least, of the runs that count.
    fn moved(&self) -> f64 {
        let values = || self.points.iter().filter(|point| !point.void).map(|point| point.up);
        let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
        if least > 0.0 && most >= least { most / least } else { 1.0 }
    }
}
