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

/// The best other, of the figure itself or of what it is a ratio of, which stands before it in the same row; and the ratio to it.
fn beside(Placed { table, row, column, figure, .. }: &Placed<'_>) -> [String; 2] {
    let own = figure.peer.as_ref().map(|peer| (*column, peer));
    let in_row = || {
        let cells = table.columns.iter().zip(*row);
        let before = cells.take_while(|(other, _)| other.name != column.name);
        let peers = before.filter_map(|(column, cell)| match cell {
            Cell::Figure(figure) => figure.peer.as_ref().map(|peer| (column, peer)),
            Cell::Text(_) => None,
        });
        peers.last()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conditions, Figure, Section};

    #[test]
    fn a_ratio_stands_beside_the_other_that_it_is_a_ratio_of() {
        let names = ["quick", "ratio of quick", "slow", "ratio of slow"];
        let columns = names.map(|name| Column::of(name, "ns", 1));
        let ours =
            |name: &str, peer: f64| Figure::single(10.0).lower().beside_one(name, peer, None);
        let ratio = |value: f64| Figure::single(value).at_least(2.0);
        let cells = [ours("ipsec-mb", 80.0), ratio(8.0), ours("ring", 30.0), ratio(3.0)];
        let mut table = Table::new("", columns);
        table.row(cells.map(Cell::from));
        let mut record = Record::new("aead", "AEAD", &(), Conditions::default());
        record.section(Section::default().table(table));
        let others: Vec<_> = record.placed().map(|place| beside(&place)).collect();
        let [quick, slow] = [["80 ns ipsec-mb", "8.00"], ["30 ns ring", "3.00"]];
        assert_eq!(others, [quick, quick, slow, slow]);
    }
}
