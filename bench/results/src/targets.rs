//! All figures that something was wanted of, side by side: for the page, and for the document.

use crate::figure::Verdict;
use crate::record::{Placed, Record};
use crate::table::{Cell, Column, Table};
use crate::text::short;

/// A row for each.
pub fn table(records: &[Record]) -> Table {
    let columns = ["figure", "measured", "wanted", "verdict", "best other", "ratio", "command"];
    let mut table = Table::new("", columns.map(Column::label));
    for record in records {
        let wanted = |place: Placed<'_>| Some(row(record, &place, place.figure.wanted()?));
        record.placed().filter_map(wanted).for_each(|row| table.row(row));
    }
    table
}

pub(crate) fn row(record: &Record, place: &Placed<'_>, wanted: String) -> [Cell; 7] {
    let Placed { name, column, figure, .. } = place;
    let [peer, ratio] = beside(place);
    let verdict = record.verdict(figure).map_or("", Verdict::marked).to_owned();
    let (name, measured) = (name.replace(" / ", ": "), of_unit(figure.value, &column.unit));
    [name, measured, wanted, verdict, peer, ratio, format!("`{}`", record.command())]
        .map(Cell::from)
}

/// A ratio has no unit to say, and where a column holds several, the row's name says it.
pub(crate) fn has_unit(unit: &str) -> bool {
    !["", "ratio", "time", "any"].contains(&unit)
}

fn of_unit(value: f64, unit: &str) -> String {
    if has_unit(unit) { format!("{} {unit}", short(value)) } else { short(value) }
}

/// The best other, of the figure itself or of what it is a ratio of in the same row; and the ratio to it.
fn beside(Placed { table, row, column, figure, .. }: &Placed<'_>) -> [String; 2] {
    let own = figure.peer.as_ref().map(|peer| (*column, peer));
    let in_row = || {
        table.columns.iter().zip(*row).find_map(|(column, cell)| match cell {
            Cell::Figure(figure) => figure.peer.as_ref().map(|peer| (column, peer)),
            Cell::Text(_) => None,
        })
    };
    let Some((column, peer)) = own.or_else(in_row) else {
        return [String::new(), String::new()];
    };
    let place = peer.elsewhere.as_ref().map(|place| format!(" (measured elsewhere: {place})"));
    let value = of_unit(peer.value, &column.unit);
    let name = format!("{value} {}{}", peer.name, place.unwrap_or_default());
    let ratio = match peer.interval {
        Some([low, high]) => format!("{:.2} ({low:.2}..{high:.2})", peer.ratio),
        None => format!("{:.2}", peer.ratio),
    };
    [name, ratio]
}
