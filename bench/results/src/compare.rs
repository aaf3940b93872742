//! Two runs side by side: how many times longer or larger a figure is, how sure that is, and whether it is better or worse.

mod plots;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::conditions::PACE_DRIFT;
use crate::counts;
use crate::figure::{Better, Figure, Verdict};
use crate::record::Record;
use crate::sample::{self, Interval};
use crate::table::{Cell, Column, Table};

/// What changed by less than this is no change: two runs of the same program agree no better.
pub const LEAST: f64 = 0.03;

/// The same of what was measured once, where nothing tells how sure it is.
const LEAST_OF_ONE: f64 = 0.1;

/// Nanoseconds that a look at the cycle counter cannot tell from none.
const UNSEEN_NS: f64 = 0.5;

/// All figures of two runs, or of two sets of runs.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Those that both have and that are better one way.
    pub figures: Vec<Compared>,
    /// Names of those that only one side has.
    pub unmatched: Vec<String>,
    /// What a reader must know before believing it.
    pub warnings: Vec<String>,
}

/// One figure of both.
#[derive(Clone, Debug)]
pub struct Compared {
    /// As [`Record::figures`] names it.
    pub name: String,
    /// Of the values.
    pub unit: String,
    /// The first side's value.
    pub before: f64,
    /// The second side's.
    pub after: f64,
    /// After to before.
    pub ratio: Interval,
    /// What to make of it.
    pub change: Change,
    /// The trials of both sides, as [`sample::spread`] tells them.
    pub spreads: [Option<[f64; 5]>; 2],
}

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// For the worse, beyond what chance does.
    Worse,
    /// For the better.
    Better,
    /// Neither.
    Same,
    /// One side was disturbed or only a trial, or the core's pace was another.
    Void,
}

impl Change {
    /// As words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Same => "no change",
            Self::Void => "void",
        }
    }
}

/// One side's figure, with the trials of all its runs.
struct Side {
    figure: Figure,
    unit: String,
    pace: f64,
    void: bool,
}

/// Holds the second against the first. Refused with a sentence where that would mean nothing.
pub fn compare(before: &[Record], after: &[Record], least: f64) -> Result<Comparison, String> {
    let [Some(one), Some(_)] = [before.first(), after.first()] else {
        return Err("there is nothing to compare".to_owned());
    };
    let machine = &one.conditions.machine;
    for record in before.iter().chain(after) {
        if let Some(other) = machine.differs(&record.conditions.machine) {
            return Err(format!(
                "{}: it was measured on {other}; times of two machines say nothing about each other",
                record.measure
            ));
        }
    }
    let mut comparison =
        Comparison { warnings: warnings(before.iter().chain(after)), ..Comparison::default() };
    let (before, mut after) = (sides(before), sides(after));
    for (name, one) in before {
        match after.remove(&name) {
            Some(other) => comparison.figures.extend(judge(name, &one, &other, least)),
            None => comparison.unmatched.push(format!("{name}: only before")),
        }
    }
    comparison.unmatched.extend(after.into_keys().map(|name| format!("{name}: only after")));
    Ok(comparison)
}

fn warnings<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<String> {
    let found: BTreeSet<String> = records
        .filter(|record| record.is_trial())
        .map(|record| {
            let measure = &record.measure;
            format!("{measure} was measured with --quick or without optimisation: its figures mean little")
        })
        .collect();
    found.into_iter().collect()
}

/// All figures that are better one way, by name. Runs of the same measurement count as one with all their trials.
fn sides(records: &[Record]) -> BTreeMap<String, Side> {
    let mut sides: BTreeMap<String, Side> = BTreeMap::new();
    for record in records {
        let whole = !record.counts();
        for (name, unit, figure) in record.figures() {
            if figure.better.is_none() {
                continue;
            }
            let void = figure.verdict == Some(Verdict::Void) || whole;
            let pace = record.conditions.before.probe.p10;
            if let Some(side) = sides.get_mut(&name) {
                side.add(figure, void);
            } else {
                let (figure, unit) = (figure.clone(), unit.to_owned());
                sides.insert(name, Side { figure, unit, pace, void });
            }
        }
    }
    sides
}

impl Side {
    fn add(&mut self, figure: &Figure, void: bool) {
        self.void |= void;
        self.figure.trials.extend(&figure.trials);
        if let Some(share) = self.figure.quantile {
            self.figure.value = sample::quantile(self.figure.trials.clone(), share);
        }
    }

    /// Whether its unit is one of time, which the core's pace stretches.
    fn is_time(&self) -> bool {
        counts::is_time(&self.unit)
    }
}

/// None where there is no ratio: both are nothing.
fn judge(name: String, before: &Side, after: &Side, least: f64) -> Option<Compared> {
    let ratio = ratio(&before.figure, &after.figure)?;
    let apart = (before.pace - after.pace).abs() > PACE_DRIFT * before.pace;
    let void = before.void || after.void || (apart && before.is_time());
    let (one, other) = (before.figure.value, after.figure.value);
    let unseen = before.unit == "ns" && (one - other).abs() < UNSEEN_NS;
    let better = before.figure.better.unwrap_or(Better::Lower);
    let sure = before.figure.interval.is_some() && after.figure.interval.is_some();
    let change = match direction(&ratio, if sure { least } else { least.max(LEAST_OF_ONE) }) {
        _ if void => Change::Void,
        None => Change::Same,
        Some(_) if unseen => Change::Same,
        Some(direction) if direction == better => Change::Better,
        Some(_) => Change::Worse,
    };
    let spreads = [before, after].map(|side| sample::spread(&side.figure.trials));
    let unit = before.unit.clone();
    Some(Compared { name, unit, before: one, after: other, ratio, change, spreads })
}

/// Whether the ratio is surely on one side of 1, and far enough from it to matter.
fn direction(ratio: &Interval, least: f64) -> Option<Better> {
    if ratio.high < 1.0 && ratio.value <= 1.0 - least {
        Some(Better::Lower)
    } else if ratio.low > 1.0 && ratio.value >= 1.0 + least {
        Some(Better::Higher)
    } else {
        None
    }
}

fn ratio(before: &Figure, after: &Figure) -> Option<Interval> {
    let divided = |one: f64, other: f64| other / one;
    let share = before.quantile.filter(|_| !before.trials.is_empty() && !after.trials.is_empty());
    let found = match (share, before.interval, after.interval) {
        (Some(share), ..) => sample::apart(share, (&before.trials, &after.trials), divided),
        (None, Some(one), Some(other)) => combined((before.value, one), (after.value, other)),
        _ => {
            let value = divided(before.value, after.value);
            Interval { value, low: value, high: value }
        }
    };
    [found.value, found.low, found.high].iter().all(|part| part.is_finite()).then_some(found)
}

/// The ratio of two values that are known with their intervals alone: as independent errors of their logarithms.
fn combined((before, one): (f64, [f64; 2]), (after, other): (f64, [f64; 2])) -> Interval {
    let value = after / before;
    let part = |value: f64, end: f64| (end / value).ln().powi(2);
    let down = (part(before, one[1]) + part(after, other[0])).sqrt();
    let up = (part(before, one[0]) + part(after, other[1])).sqrt();
    Interval { value, low: value * (-down).exp(), high: value * up.exp() }
}

impl Comparison {
    /// How many figures changed so.
    pub fn count(&self, change: Change) -> usize {
        self.figures.iter().filter(|one| one.change == change).count()
    }

    /// All that changed, what got worse first.
    pub fn table(&self) -> Table {
        let columns = [
            Column::label("figure"),
            Column::of("before", "any", 2),
            Column::of("after", "any", 2),
            Column::label("unit"),
            Column::of("after to before", "ratio", 3).with_intervals(),
            Column::label("verdict"),
        ];
        let mut table = Table::new("", columns);
        let changed = |one: &&Compared| matches!(one.change, Change::Worse | Change::Better);
        let mut changed: Vec<&Compared> = self.figures.iter().filter(changed).collect();
        changed.sort_by_key(|one| one.change);
        for one in changed {
            let Compared { name, unit, before, after, ratio, change, .. } = one;
            table.row([
                Cell::from(name.as_str()),
                Cell::from(*before),
                Cell::from(*after),
                unit.as_str().into(),
                Figure::compared(*ratio, 1).into(),
                change.name().into(),
            ]);
        }
        table
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.warnings.iter().try_for_each(|warning| writeln!(f, "**{warning}**\n"))?;
        let table = self.table();
        if !table.rows.is_empty() {
            writeln!(f, "{table}")?;
        }
        let [worse, better, same, void] =
            [Change::Worse, Change::Better, Change::Same, Change::Void].map(|one| self.count(one));
        writeln!(f, "{worse} worse, {better} better, {same} without change, {void} void.")?;
        if !self.unmatched.is_empty() {
            writeln!(f, "\nOnly one side has:\n")?;
        }
        self.unmatched.iter().try_for_each(|name| writeln!(f, "- {name}"))
    }
}
