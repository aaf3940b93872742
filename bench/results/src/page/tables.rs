//! Tables as HTML. A wide one is moved within its own frame, so that the page stays as wide as the screen.

use std::fmt::{self, Write as _};

use crate::figure::Verdict;
use crate::record::Record;
use crate::table::{Cell, Column, Table};
use crate::text::escaped;

/// Words that are shown as badges when a cell holds nothing else.
const BADGES: [&str; 5] = ["met", "**missed**", "void", "better", "worse"];

/// A table that `name` tells of; in a void record no figure counts.
pub(super) fn table(
    text: &mut String,
    table: &Table,
    name: &str,
    record: Option<&Record>,
) -> fmt::Result {
    writeln!(
        text,
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{}\"><table>",
        escaped(name)
    )?;
    if !table.title.is_empty() {
        writeln!(text, "<caption>{}</caption>", escaped(&table.title))?;
    }
    write!(text, "<thead><tr>")?;
    for column in &table.columns {
        let class = if column.is_label() { "" } else { " class=\"number\"" };
        write!(text, "<th scope=\"col\"{class}>{}</th>", words(&column.name))?;
    }
    writeln!(text, "</tr></thead>\n<tbody>")?;
    for row in &table.rows {
        write!(text, "<tr>")?;
        for (place, (column, cell)) in table.columns.iter().zip(row).enumerate() {
            write_cell(text, (column, cell), place == 0, record)?;
        }
        writeln!(text, "</tr>")?;
    }
    writeln!(text, "</tbody></table></div>")
}

fn write_cell(
    text: &mut String,
    (column, cell): (&Column, &Cell),
    first: bool,
    record: Option<&Record>,
) -> fmt::Result {
    match cell {
        Cell::Text(label) if first => write!(text, "<th scope=\"row\">{}</th>", words(label)),
        Cell::Text(label) if BADGES.contains(&label.as_str()) => {
            let word = label.replace('*', "");
            write!(text, "<td><span class=\"badge {word}\">{word}</span></td>")
        }
        Cell::Text(label) => write!(text, "<td>{}</td>", words(label)),
        Cell::Figure(figure) => {
            write!(text, "<td class=\"number\">{}", column.show(figure))?;
            let verdict = record.map_or(figure.verdict, |record| record.verdict(figure));
            if let (Some(verdict), Some(wanted)) = (verdict, figure.wanted()) {
                let class = verdict.name();
                write!(text, " <span class=\"badge {class}\">{wanted} {class}</span>")?;
            } else if verdict == Some(Verdict::Void) {
                write!(text, " <span class=\"badge void\">void</span>")?;
            }
            write!(text, "</td>")
        }
    }
}

/// Words with what Markdown means by stars and backquotes, which labels and sentences are written with.
pub(super) fn words(text: &str) -> String {
    paired(&paired(&escaped(text), "**", ["<strong>", "</strong>"]), "`", ["<code>", "</code>"])
}

/// Every second of a sign closes what the one before it opens. A sign without its partner is a sign.
fn paired(text: &str, sign: &str, tags: [&str; 2]) -> String {
    let signs = text.matches(sign).count();
    let mut result = String::new();
    for (place, part) in text.split(sign).enumerate() {
        if place > 0 {
            let lone = place == signs && !signs.is_multiple_of(2);
            let [open, close] = tags;
            result.push_str(if lone {
                sign
            } else if place % 2 == 1 {
                open
            } else {
                close
            });
        }
        result.push_str(part);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_backquotes_become_tags_and_lone_ones_stay() {
        assert_eq!(words("**a** `b<c`"), "<strong>a</strong> <code>b&lt;c</code>");
        assert_eq!(words("2 ** 3"), "2 ** 3");
        assert_eq!(words("`a` and `b"), "<code>a</code> and `b");
    }
}
