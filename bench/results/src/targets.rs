//! All figures that something was wanted of, side by side: for the page, and for the document.

use crate::figure::Figure;
use crate::record::Record;
use crate::table::{Cell, Column, Table};
use crate::text::short;

/// A row for each.
pub fn table(records: &[Record]) -> Table {
    let columns = ["figure", "wanted", "measured", "best other", "ratio", "verdict", "command"];
    let mut table = Table::new("", columns.map(Column::label));
    for record in records {
        for (name, unit, figure) in record.figures() {
            if let Some(wanted) = figure.wanted() {
                let verdict = record.verdict(figure).map_or("", |verdict| verdict.marked());
                let [peer, ratio] = beside(figure, unit);
                let (name, measured) = (name.replace(" / ", ": "), of_unit(figure.value, unit));
                let cells = [
                    name,
                    wanted,
                    measured,
                    peer,
                    ratio,
                    verdict.to_owned(),
                    format!("`{}`", record.command()),
                ];
                table.row(cells.map(Cell::from));
            }
        }
    }
    table
}

/// A ratio has no unit to say.
fn of_unit(value: f64, unit: &str) -> String {
    if unit == "ratio" { short(value) } else { format!("{} {unit}", short(value)) }
}

fn beside(figure: &Figure, unit: &str) -> [String; 2] {
    let Some(peer) = &figure.peer else { return [String::new(), String::new()] };
    let place = peer.elsewhere.as_ref().map(|place| format!(" (measured elsewhere: {place})"));
    let name = format!("{} {}{}", of_unit(peer.value, unit), peer.name, place.unwrap_or_default());
    let ratio = match peer.interval {
        Some([low, high]) => format!("{:.2} ({low:.2}..{high:.2})", peer.ratio),
        None => format!("{:.2}", peer.ratio),
    };
    [name, ratio]
}
