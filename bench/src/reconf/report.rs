//! What was lost and how long it took, and the record that it becomes.

use results::{Axis, Cell, Column, Figure, Plot, Record, Section, Series, Table};

use super::{Event, Measured, Plan, SCENES, Trial, drain};
use crate::load::way::Way;
use crate::machine::Conditions;
use crate::sample::median;

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report {
    plan: Plan,
    conditions: Conditions,
    measured: Vec<Measured>,
    routes: usize,
    /// Why there are only a few routes.
    hole: Option<String>,
}

const MICRO: f64 = 1e6;
const MILLI: f64 = 1e3;
const MILLION: f64 = 1e6;
/// A table and new rules shall be in force within so many milliseconds.
const TABLE_MS: f64 = 1_000.0;
const RULES_MS: f64 = 100.0;
/// Turns while something changes, at most so many times the longest quiet one.
const LONGER: f64 = 2.0;

impl Report {
    pub(super) fn new(
        plan: Plan,
        conditions: Conditions,
        (measured, routes, hole): (Vec<Measured>, usize, Option<String>),
    ) -> Self {
        Self { plan, conditions, measured, routes, hole }
    }

    fn section(&self, way: Way) -> Section {
        let mut table = Table::new(
            "",
            [
                Column::label("what happens"),
                Column::of("blocked, us", "us", 1),
                Column::of("lost", "packets", 0),
                Column::of("offered, Mpps", "Mpps", 3),
                Column::of("in force after, ms", "ms", 2),
                Column::of("longest turn, us", "us", 1),
                Column::of("times the quiet one", "ratio", 2),
                Column::of("turns clipped", "turns", 0),
            ],
        );
        let all: Vec<&Measured> = self.measured.iter().filter(|one| one.way == way).collect();
        let quiet = all.iter().find(|one| one.event == Event::Nothing);
        let quiet = quiet.map_or(0.0, |one| median(&longest(one)));
        for one in &all {
            table.row(row(one, quiet));
        }
        let names = all.iter().map(|one| one.event.name());
        let plot = Plot::bars(
            &format!("Effective blocked time, {}", way.name()),
            Axis::names("", names),
            Axis::linear("us"),
        );
        let heights = all.iter().map(|one| median(&blocked(one)));
        let plot = plot.with(Series::by_name("blocked", heights));
        Section::new(way.name())
            .table(table)
            .plot(plot.saying("What was lost by the rate at which packets came."))
    }
}

/// Figures of each trial of a change.
fn each(one: &Measured, figure: impl Fn(&Trial) -> f64) -> Vec<f64> {
    one.trials.iter().map(figure).collect()
}

fn longest(one: &Measured) -> Vec<f64> {
    each(one, |trial| trial.tally.longest * MICRO)
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 packets")]
fn lost(one: &Measured) -> Vec<f64> {
    each(one, |trial| (trial.tally.offered - trial.tally.delivered) as f64)
}

/// Microseconds.
fn blocked(one: &Measured) -> Vec<f64> {
    lost(one).iter().map(|lost| lost / one.rate * MICRO).collect()
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 turns")]
fn row(one: &Measured, quiet: f64) -> Vec<Cell> {
    let force: Vec<f64> =
        one.trials.iter().filter_map(|trial| trial.in_force).map(|taken| taken * MILLI).collect();
    let force = (!force.is_empty()).then(|| Figure::median(&force).lower());
    let force = match one.event {
        Event::Table => force.map(|force| force.at_most(TABLE_MS)),
        Event::Rules => force.map(|force| force.at_most(RULES_MS)),
        Event::Nothing
        | Event::Rekey
        | Event::PeersCome
        | Event::PeersGo
        | Event::Restart
        | Event::Drain => force,
    };
    let blocked = Figure::median(&blocked(one)).lower();
    let times: Vec<f64> = longest(one).iter().map(|longest| longest / quiet).collect();
    let times = Figure::median(&times);
    let is_change = one.event != Event::Nothing;
    let clips: u64 = one.trials.iter().map(|trial| trial.tally.clips).sum();
    vec![
        one.event.name().into(),
        if is_change { blocked.at_most(0.0) } else { blocked }.into(),
        Figure::median(&lost(one)).into(),
        Figure::single(one.rate / MILLION).into(),
        force.into(),
        Figure::median(&longest(one)).into(),
        is_change.then(|| times.at_most(LONGER)).into(),
        Figure::single(clips as f64).into(),
    ]
}

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let Report { plan, conditions, measured, routes, hole } = report;
        let mut record = Self::new("reconf", "Changes under load", plan, conditions.clone());
        let Plan { load, wave, wave_secs, storm, rules, .. } = plan;
        for way in SCENES.iter().map(|(way, _)| *way).chain([drain::WAY]) {
            record.section(report.section(way));
        }
        let note = format!(
            "Packets come at {load} of the way's no-drop rate. {wave} peers renew their sessions, and begin within {wave_secs} s; {storm} peers come \
             in one transaction and go in another; {routes} routes change their next hop in one; control attaches anew and tells \
             all of it as a snapshot; a tenant gets {rules} other rules. Figures are medians of the trials."
        );
        if let Some(first) = record.sections.first_mut() {
            first.notes.push(note);
        }
        if let Some(why) = hole {
            record.leave_out("the Internet's whole table", why);
        }
        record.keep("trials", measured);
        record
    }
}
