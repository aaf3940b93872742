//! What came out of contests, in one record: a row for each time that another did the same work, and the tables that they come from.

use results::{Cell, Column, Figure, Peer, Record, Section, Table, others};

/// Every figure that has another's beside it.
pub(super) fn overview(record: &mut Record, records: &[Record]) {
    let columns = [
        Column::label("work"),
        Column::label("unit"),
        Column::of("ours", "any", 2),
        Column::of("best other", "any", 2),
        Column::of("times better", "ratio", 2).with_intervals(),
        Column::label("who"),
    ];
    let mut table = Table::new("", columns);
    for found in records {
        for (name, unit, figure) in found.figures() {
            let Some(peer) = figure.peer.as_ref().filter(|peer| peer.elsewhere.is_none()) else {
                continue;
            };
            table.row(row(&name, unit, (figure, peer)));
        }
    }
    if table.rows.is_empty() {
        return;
    }
    let section = Section::new("All others of this run")
        .note("The best other for the same work; above 1 ours is better.")
        .table(table);
    record.section(others::plots(records).into_iter().fold(section, Section::plot));
}

fn row(name: &str, unit: &str, (figure, peer): (&Figure, &Peer)) -> Vec<Cell> {
    let ratio = Figure { interval: peer.interval, n: figure.n, ..Figure::single(peer.ratio) };
    vec![
        Cell::from(name.replace(" / ", ": ")),
        unit.into(),
        figure.value.into(),
        peer.value.into(),
        ratio.into(),
        peer.name.as_str().into(),
    ]
}

/// The tables of a contest in which another stands, not judged a second time.
pub(super) fn add(record: &mut Record, found: &Record) {
    for section in &found.sections {
        let tables: Vec<Table> =
            section.tables.iter().filter(|table| has_other(table)).map(quoted).collect();
        if tables.is_empty() {
            continue;
        }
        let parts = [found.title.as_str(), section.title.as_str()];
        let title =
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
        let section = Section::new(title).note(format!("`{}`", command(found)));
        record.section(tables.into_iter().fold(section, Section::table));
    }
}

fn has_other(table: &Table) -> bool {
    table.figures().any(|(_, _, figure)| figure.peer.is_some())
}

/// The figures alone: their trials and targets stand in the record that they come from.
fn quoted(table: &Table) -> Table {
    let plain = |cell: &Cell| match cell {
        Cell::Text(text) => Cell::Text(text.clone()),
        Cell::Figure(figure) => {
            let quoted =
                Figure { interval: figure.interval, n: figure.n, ..Figure::single(figure.value) };
            Cell::Figure(Box::new(quoted))
        }
    };
    let rows = table.rows.iter().map(|row| row.iter().map(plain).collect()).collect();
    Table { title: table.title.clone(), columns: table.columns.clone(), rows }
}

/// How a contest was asked for, without the place of its record, which is gone by now.
pub(super) fn command(found: &Record) -> String {
    let command = found.command();
    command.split_once(" --json").map_or_else(|| command.clone(), |(asked, _)| asked.to_owned())
}
