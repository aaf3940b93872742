//! What came through, and the record that it becomes.

use results::{Axis, Cell, Column, Figure, Plot, Point, Record, Section, Series, Table};

use super::{Curve, Measured, Plan, Step};
use crate::load::course::CALLS_SEED;
use crate::load::tally::Tally;
use crate::sample::median;

/// A whole run.
pub(crate) type Report = crate::report::Report<Plan, Measured>;

const MILLION: f64 = 1e6;
const PERCENT: f64 = 100.0;
/// Series that a plot has colours for.
const SERIES_MAX: usize = 8;

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let Report { plan, conditions, measured } = report;
        let mut record = Self::new("overload", "Overload", plan, conditions.clone());
        record.seed("attacks", 1);
        record.seed("moments of calls", CALLS_SEED);
        for size in plan.sizes.iter().map(|size| size.name.as_str()) {
            let of_size = |curves: &'_ [Curve]| -> Vec<usize> {
                let places = curves.iter().enumerate().filter(|(_, curve)| curve.size == size);
                places.map(|(place, _)| place).collect()
            };
            for Measured { ways, attacks, calls } in measured {
                let pick = |curves| -> Vec<&Curve> {
                    of_size(curves).into_iter().filter_map(|place| curves.get(place)).collect()
                };
                record.section(of_ways(size, &pick(ways)));
                record.section(of_attacks((size, plan), &pick(attacks)));
                record.section(of_calls((size, plan), &pick(calls)));
            }
        }
        record.keep("trials", measured);
        record
    }
}

/// The goodput of each trial of a step.
fn goodputs(step: &Step) -> Vec<f64> {
    step.trials.iter().map(|trial| trial.goodput() / MILLION).collect()
}

/// The part of good traffic that came through in each trial.
fn parts(step: &Step) -> Vec<f64> {
    let part = |trial: &Tally| trial.goodput() / trial.load.max(1.0);
    step.trials.iter().map(part).collect()
}

fn of_ways(size: &str, curves: &[&Curve]) -> Section {
    let mut columns = vec![Column::label("way"), Column::of("NDR, Mpps", "Mpps", 3)];
    let steps = curves.first().map_or(&[][..], |curve| &curve.steps);
    columns.extend(
        steps
            .iter()
            .map(|step| Column::of(&format!("goodput at {} NDR, Mpps", step.factor), "Mpps", 3)),
    );
    let mut table = Table::new("", columns);
    let title = format!("Goodput against offered load, {size}");
    let across = Axis::logarithmic("offered, times NDR");
    let mut plot = Plot::lines(&title, across, Axis::linear("goodput, times NDR"));
    for curve in curves {
        let mut row: Vec<Cell> =
            vec![curve.name.into(), Figure::single(curve.ndr / MILLION).into()];
        let overloaded = |step: &Step| step.factor > 1.0;
        row.extend(curve.steps.iter().map(|step| {
            let figure = Figure::median(&goodputs(step));
            if overloaded(step) { figure.higher().into() } else { figure.into() }
        }));
        table.row(row);
        let points = curve
            .steps
            .iter()
            .map(|step| Point::new(step.factor, median(&goodputs(step)) * MILLION / curve.ndr));
        plot = plot.with(Series::new(curve.name, points.collect()));
    }
    let plot = plot.upright("NDR", 1.0).saying("What comes through of more and more that comes.");
    Section::new(format!("Too much traffic, {size}")).table(table).plot(plot)
}

fn of_attacks((size, plan): (&str, &Plan), curves: &[&Curve]) -> Section {
    let mut columns = vec![Column::label("attack")];
    columns.extend(
        plan.attack_factors
            .iter()
            .map(|factor| Column::of(&format!("good traffic through at {factor} NDR, %"), "%", 1)),
    );
    // No label: which names come first may differ from run to run.
    columns
        .extend([Column::of("dropped as", "", 0), Column::of("attack dropped, Mpps", "Mpps", 3)]);
    let mut table = Table::new("", columns);
    let title = format!("Good traffic beside attacks, {size}");
    let across = Axis::logarithmic("attack, times NDR");
    let mut plot = Plot::lines(&title, across, Axis::linear("good traffic through"));
    for (place, curve) in curves.iter().enumerate() {
        let percents = |step| parts(step).iter().map(|part| part * PERCENT).collect::<Vec<_>>();
        let mut row: Vec<Cell> = vec![curve.name.into()];
        row.extend(
            curve.steps.iter().map(|step| Cell::from(Figure::median(&percents(step)).higher())),
        );
        let last = curve.steps.last();
        row.push(last.map_or(String::new(), names).into());
        row.push(last.map(|step| Figure::median(&refused(step))).into());
        table.row(row);
        if place < SERIES_MAX {
            let points = curve.steps.iter();
            let points = points.map(|step| Point::new(step.factor, median(&parts(step))));
            plot = plot.with(Series::new(curve.name, points.collect()));
        }
    }
    let good = plan.good;
    let note = format!(
        "Good traffic is {good} of its no-drop rate, from client to client. It shares the receive queue with the attack: where both \
         are more than the worker can take, the queue loses of both alike."
    );
    Section::new(format!("Beside attacks, {size}")).note(note).table(table).plot(plot)
}

/// Under which names most was dropped.
fn names(step: &Step) -> String {
    let Some(trial) = step.trials.first() else { return String::new() };
    if trial.drops.is_empty() {
        return "nothing: the kernel gets it".to_owned();
    }
    let mut drops = trial.drops.clone();
    drops.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let names: Vec<&str> = drops.iter().take(2).map(|(name, _)| *name).collect();
    names.join(", ")
}

/// Packets of the attack that were taken from the queue and dropped, millions a second.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 packets")]
fn refused(step: &Step) -> Vec<f64> {
    let rate = |trial: &Tally| {
        let dropped: u64 = trial.drops.iter().map(|(_, count)| count).sum();
        dropped as f64 / trial.seconds / MILLION
    };
    step.trials.iter().map(rate).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a few calls")]
fn of_calls((size, plan): (&str, &Plan), curves: &[&Curve]) -> Section {
    let mut table = Table::new(
        "",
        [
            Column::label("flood"),
            Column::label("times NDR"),
            Column::of("clients that called", "clients", 0),
            Column::of("that have a session", "clients", 0),
            Column::of("good traffic through, %", "%", 1),
        ],
    );
    for curve in curves {
        for step in &curve.steps {
            let Some(trial) = step.trials.first() else { continue };
            let part = trial.goodput() / trial.load.max(1.0);
            let name = if step.factor > 0.0 { curve.name } else { "none" };
            table.row([
                name.into(),
                Cell::from(format!("{}", step.factor)),
                Figure::single(trial.calls as f64).into(),
                Figure::single(trial.answered as f64).higher().into(),
                Figure::single(part * PERCENT).into(),
            ]);
        }
    }
    let note = format!(
        "Real clients begin one after the other in the first fifth of {} seconds, beside good traffic, and ask again as the protocol \
         says. The handshake thread works beside the worker, on a core of its own.",
        plan.flood_secs
    );
    Section::new(format!("Handshakes in a flood, {size}")).note(note).table(table)
}
