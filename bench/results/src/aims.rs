//! What was wanted: one list of all figures of the design that something depends on, each with where it is measured. Records are
//! judged by it, and the document's table is made of it.

mod list;

use crate::counts::is_time;
use crate::figure::{Figure, Verdict};
use crate::record::{Placed, Record};
use crate::table::{Cell, Column, Table};
use crate::targets;
pub use list::AIMS;

/// Something that was wanted.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    /// What a person calls it.
    pub name: &'static str,
    /// At least or at most this.
    pub bound: Bound,
    /// How it is found out.
    pub place: Place,
}

/// A bound and its side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// Where an aim is measured: by which measurement, in which section, row and column; the section is empty where it has no title.
#[derive(Clone, Copy, Debug)]
pub struct Place(pub &'static str, pub &'static str, pub &'static str, pub &'static str);

/// Judges the figures of a record that something was wanted of. A figure that a measurement judges by itself must be judged alike;
/// one that it calls void stays void, and so is each time of a run during which the core's pace changed.
pub fn judge(record: &mut Record) -> Result<(), String> {
    let is_steady = !record.conditions.pace_changed();
    for aim in &AIMS {
        for (place, unit) in aim.places(record) {
            let Some(figure) = record.figure_mut(place) else { continue };
            let judged = aim.bound.judge(figure);
            if figure.target.is_some_and(|own| Some(own) != judged.target) {
                return Err(format!(
                    "{}: {} is wanted here, and {} where it is measured",
                    aim.name,
                    judged.wanted().unwrap_or_default(),
                    figure.wanted().unwrap_or_default()
                ));
            }
            let counts = figure.verdict != Some(Verdict::Void) && (is_steady || !is_time(&unit));
            *figure = if counts { judged } else { judged.void() };
        }
    }
    Ok(())
}

impl Bound {
    fn judge(self, figure: &Figure) -> Figure {
        match self {
            Self::AtMost(most) => figure.clone().at_most(most),
            Self::AtLeast(least) => figure.clone().at_least(least),
        }
    }

    fn words(self) -> String {
        let figure = Figure::single(0.0);
        self.judge(&figure).wanted().unwrap_or_default()
    }
}

impl Aim {
    /// Whether a figure of this measurement with this section, row and column is the one.
    pub fn is(&self, measure: &str, [section, row, column]: [&str; 3]) -> bool {
        let Place(of, in_section, in_row, in_column) = self.place;
        (of, in_section, in_row, in_column) == (measure, section, row, column)
    }

    /// Where it stands in a record: section, table, row and cell; with its unit.
    fn places(&self, record: &Record) -> Vec<((usize, usize, usize, usize), String)> {
        let mut found = Vec::new();
        for (number, section) in record.sections.iter().enumerate() {
            for (place, table) in section.tables.iter().enumerate() {
                for (row, cells) in table.rows.iter().enumerate() {
                    let name = table.name_of(cells);
                    for (cell, column) in table.columns.iter().enumerate() {
                        if self.is(&record.measure, [&section.title, &name, &column.name]) {
                            found.push(((number, place, row, cell), column.unit.clone()));
                        }
                    }
                }
            }
        }
        found
    }

    /// The figure in the first record that has it and is not void, else in one that has it.
    fn found<'a>(&self, records: &'a [Record]) -> Option<(&'a Record, Placed<'a>)> {
        let all = || {
            records.iter().filter_map(|record| {
                let mut placed = record.placed();
                let is = |place: &Placed<'_>| {
                    let name = place.table.name_of(place.row);
                    self.is(&record.measure, [place.section, &name, &place.column.name])
                };
                placed.find(is).map(|place| (record, place))
            })
        };
        all().find(|(record, _)| record.void.is_none()).or_else(|| all().next())
    }

    /// As its record has judged it, or else as the list does.
    fn judged(&self, place: &Placed<'_>) -> Figure {
        let is_judged = place.figure.verdict.is_some();
        if is_judged { place.figure.clone() } else { self.bound.judge(place.figure) }
    }

    fn row(&self, records: &[Record]) -> [Cell; 7] {
        let (name, wanted) = (Cell::from(self.name), self.bound.words());
        if let Some((record, place)) = self.found(records) {
            let verdict = record.verdict(&self.judged(&place)).map_or("", Verdict::marked).into();
            let [_, measured, _, _, peer, ratio, command] =
                targets::row(record, &place, wanted.clone());
            let wanted = with_unit(&wanted, &place.column.unit);
            return [name, measured, wanted, verdict, peer, ratio, command];
        }
        let command = format!("`millrace-bench {}`", self.place.0).into();
        let verdict = "not measured here".into();
        [name, Cell::empty(), wanted.into(), verdict, Cell::empty(), Cell::empty(), command]
    }
}

fn with_unit(wanted: &str, unit: &str) -> Cell {
    if targets::has_unit(unit) { format!("{wanted} {unit}").into() } else { wanted.into() }
}

/// Every aim, whether these records have it or not, and behind them what measurements want besides.
pub fn table(records: &[Record]) -> Table {
    let columns = ["target", "measured", "wanted", "verdict", "best other", "ratio", "command"];
    let mut table = Table::new("", columns.map(Column::label));
    for aim in &AIMS {
        table.row(aim.row(records));
    }
    for record in records {
        let besides = record.placed().filter(|place| {
            let name = place.table.name_of(place.row);
            !AIMS
                .iter()
                .any(|aim| aim.is(&record.measure, [place.section, &name, &place.column.name]))
        });
        let wanted =
            besides.filter_map(|place| Some(targets::row(record, &place, place.figure.wanted()?)));
        wanted.for_each(|row| table.row(row));
    }
    table
}

/// How many were met, missed, void or not measured here, in a sentence.
pub fn tally(records: &[Record]) -> String {
    let verdict = |aim: &Aim| {
        let (record, place) = aim.found(records)?;
        record.verdict(&aim.judged(&place))
    };
    let count = |wanted: Option<Verdict>| AIMS.iter().filter(|aim| verdict(aim) == wanted).count();
    let [met, missed, void, open] =
        [Some(Verdict::Met), Some(Verdict::Missed), Some(Verdict::Void), None].map(count);
    format!(
        "Of {} targets {met} are met and {missed} **missed**; {void} were measured in a run that does not count, {open} were not measured here.",
        AIMS.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conditions, Section};

    fn record(ns: f64, target: Option<f64>) -> Record {
        let mut record = Record::new("nat", "Translation", &(), Conditions::default());
        let mut table = Table::new("", [Column::label("way"), Column::of("ns", "ns", 1)]);
        let figure = Figure::single(ns).lower();
        let figure = target.map_or_else(|| figure.clone(), |target| figure.clone().at_most(target));
        table.row([Cell::from("NAT44 out"), figure.into()]);
        let title = "10000 flows, bursts of 64, 64 octets";
        record.section(Section::new(title).table(table));
        record
    }

    fn verdicts(record: &Record) -> Vec<Option<Verdict>> {
        record.figures().iter().map(|(_, _, figure)| figure.verdict).collect()
    }

    #[test]
    fn a_figure_is_judged_by_the_list_where_it_stands() {
        let [mut good, mut bad] = [record(59.0, None), record(61.0, None)];
        judge(&mut good).unwrap();
        judge(&mut bad).unwrap();
        assert_eq!(verdicts(&good), [Some(Verdict::Met)]);
        assert_eq!(verdicts(&bad), [Some(Verdict::Missed)]);
    }

    #[test]
    fn a_time_is_void_where_the_cores_pace_changed_and_a_ratio_is_not() {
        let mut changed = record(59.0, None);
        changed.conditions.before.probe.p10 = 2.0;
        changed.conditions.after.probe.p10 = 2.2;
        judge(&mut changed).unwrap();
        assert_eq!(verdicts(&changed), [Some(Verdict::Void)]);
        changed.conditions.after.probe.p10 = 2.02;
        let mut steady = record(59.0, None);
        steady.conditions = changed.conditions;
        judge(&mut steady).unwrap();
        assert_eq!(verdicts(&steady), [Some(Verdict::Met)]);
        assert!(!is_time("ratio") && !is_time("octets") && is_time("Mpps"));
    }

    #[test]
    fn two_opinions_of_what_is_wanted_are_an_error() {
        assert!(judge(&mut record(59.0, Some(60.0))).is_ok());
        let error = judge(&mut record(59.0, Some(70.0))).unwrap_err();
        assert!(error.contains("≤ 60") && error.contains("≤ 70"), "{error}");
    }

    #[test]
    fn what_falls_short_or_is_missing_says_so() {
        let mut missed = record(61.0, None);
        judge(&mut missed).unwrap();
        let text = table(&[missed]).to_string();
        assert_eq!(text.matches("**missed**").count(), 1, "{text}");
        assert_eq!(text.matches("not measured here").count(), AIMS.len() - 1);
    }

    #[test]
    fn no_place_and_no_name_stands_twice() {
        for (number, aim) in AIMS.iter().enumerate() {
            for other in AIMS.iter().skip(number + 1) {
                assert_ne!(aim.name, other.name);
                let Place(measure, section, row, column) = other.place;
                assert!(!aim.is(measure, [section, row, column]), "{}, {}", aim.name, other.name);
            }
        }
    }
}
