//! Ours and the best other side by side, as plots: what both take, and how many times better ours is, with the interval of that.

use crate::figure::{Figure, Peer};
use crate::plot::{Axis, Plot, Point, ROWS_MAX, Series};
use crate::record::{Placed, Record};
use crate::text::short;

/// What stands under one column of a record.
struct Group<'a> {
    title: String,
    unit: &'a str,
    rows: Vec<Row<'a>>,
    /// How many rows of how many these are, unless they are all.
    part: String,
}

struct Row<'a> {
    name: String,
    ours: &'a Figure,
    other: &'a Peer,
    void: bool,
}

/// Two plots for each column of a record in which figures stand beside others of the same run.
pub fn plots<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<Plot> {
    let groups = records.into_iter().flat_map(groups);
    groups.flat_map(|group| [group.bars(), group.ratios()]).collect()
}

fn groups(record: &Record) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for place in record.placed() {
        let Placed { section, table, row, column, figure, .. } = place;
        let Some(other) = figure.peer.as_ref().filter(|peer| peer.elsewhere.is_none()) else {
            continue;
        };
        let parts = [section, &table.title, &table.name_of(row)];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let void = !record.counts();
        let row = Row { name: parts.join(": "), ours: figure, other, void };
        let title = format!("{}: {}", record.title, column.name);
        match groups.iter_mut().find(|group| group.title == title) {
            Some(group) => group.rows.push(row),
            None => {
                groups.push(Group {
                    title,
                    unit: &column.unit,
                    rows: vec![row],
                    part: String::new(),
                });
            }
        }
    }
    // One column needs no name.
    if let [only] = &mut groups[..] {
        only.title.clone_from(&record.title);
    }
    groups.iter_mut().for_each(Group::choose);
    groups
}

impl Group<'_> {
    /// Leaves so many rows that they can be seen: evenly from the least ratio to the greatest, in the order of the tables.
    fn choose(&mut self) {
        let count = self.rows.len();
        if count <= ROWS_MAX {
            return;
        }
        let mut order: Vec<usize> = (0..count).collect();
        let ratio = |place: &usize| self.rows.get(*place).map_or(0.0, |row| row.other.ratio);
        order.sort_by(|one, other| ratio(one).total_cmp(&ratio(other)));
        let nth = |n: usize| order.get(n * (count - 1) / (ROWS_MAX - 1)).copied();
        let chosen: Vec<usize> = (0..ROWS_MAX).filter_map(nth).collect();
        let mut place = 0..;
        self.rows.retain(|_| place.next().is_some_and(|place| chosen.contains(&place)));
        self.part = format!(" ({ROWS_MAX} of {count} rows)");
    }

    fn names(&self) -> Axis {
        Axis::names("work", self.rows.iter().map(|row| row.name.as_str()))
    }

    fn bars(&self) -> Plot {
        let mark = |point: Point, row: &Row<'_>| if row.void { point.void() } else { point };
        let ours = self
            .rows
            .iter()
            .map(|row| mark(Point::new(0.0, row.ours.value).between(row.ours.interval), row));
        let theirs = self
            .rows
            .iter()
            .map(|row| mark(Point::new(0.0, row.other.value).noted(row.other.name.as_str()), row));
        let unit = if crate::targets::has_unit(self.unit) { self.unit } else { "value" };
        let title = format!("{}{}", self.title, self.part);
        Plot::bars(&title, self.names(), Axis::linear(unit))
            .with(Series::in_order("millrace", ours))
            .with(Series::in_order("the best other", theirs))
            .saying(format!("{}: ours and the best other of the same run.", self.title))
    }

    fn ratios(&self) -> Plot {
        let title = format!("{}, times better{}", self.title, self.part);
        let points = self.rows.iter().map(|row| {
            let Peer { ratio, interval, name, .. } = row.other;
            let ends = interval.map(|[low, high]| format!("{}..{}, ", short(low), short(high)));
            let note = format!("{}{name}", ends.unwrap_or_default());
            let point = Point::new(0.0, *ratio).between(*interval).noted(note);
            if row.void { point.void() } else { point }
        });
        Plot::boxes(&title, self.names(), Axis::logarithmic("times better than the best other"))
            .with(Series::in_order("the ratio, and where 95 of 100 resamples have it", points))
            .level("alike", 1.0)
            .saying(format!("{title}: above 1 ours is better."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cell, Column, Conditions, Section, Table};

    fn record(count: u32) -> Record {
        let columns = [Column::label("work"), Column::of("ours, ns", "ns", 1)];
        let mut table = Table::new("", columns);
        for n in 1..=count {
            let figure = Figure::single(10.0).lower();
            let figure = figure.beside_one("ring", f64::from(n) * 10.0, None);
            table.row([Cell::from(format!("row {n}.")), figure.into()]);
        }
        table.row([Cell::from("alone"), Figure::single(5.0).into()]);
        let mut record = Record::new("aead", "AEAD", &(), Conditions::default());
        record.section(Section::default().table(table));
        record
    }

    #[test]
    fn each_row_beside_another_is_drawn_with_both_values_and_the_ratio() {
        let drawn = plots([&record(2)]);
        let [bars, ratios] = &drawn[..] else { panic!("{drawn:?}") };
        assert_eq!((bars.title.as_str(), &bars.across.names), ("AEAD", &ratios.across.names));
        assert_eq!(bars.across.names, ["row 1.", "row 2."]);
        let heights = |plot: &Plot, series: usize| -> Vec<f64> {
            plot.series[series].points.iter().map(|point| point.up).collect()
        };
        assert_eq!([heights(bars, 0), heights(bars, 1)], [[10.0, 10.0], [10.0, 20.0]]);
        assert_eq!(heights(ratios, 0), [1.0, 2.0]);
        assert!(plots([&record(0)]).is_empty());
    }

    #[test]
    fn of_many_rows_the_worst_and_the_best_are_among_those_that_are_drawn() {
        let drawn = plots([&record(100)]);
        let names = &drawn[0].across.names;
        assert_eq!(names.len(), ROWS_MAX);
        assert!(names.contains(&"row 1.".to_owned()) && names.contains(&"row 100.".to_owned()));
        assert_eq!(drawn[0].title, "AEAD (12 of 100 rows)");
    }

    #[test]
    fn what_was_measured_elsewhere_is_not_drawn() {
        let mut record = record(1);
        let figure = Figure::single(1.0).lower().beside_one("VPP", 2.0, Some("another machine"));
        record.sections[0].tables[0].rows[0][1] = figure.into();
        assert!(plots([&record]).is_empty());
    }
}
