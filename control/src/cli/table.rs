//! Tables for people, lines of JSON for machines.

use std::io::{self, BufWriter, Write};

/// Rows whose widths decide about the columns; later ones go as they are.
const ROWS_MEASURED: usize = 1000;

/// Where answers go.
pub(super) struct Output {
    json: bool,
    out: BufWriter<Box<dyn Write>>,
    /// Rows that are not printed yet; the first is the head.
    rows: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self::into(json, Box::new(io::stdout()))
    }

    /// The same, to somewhere else.
    pub(super) fn into(json: bool, out: Box<dyn Write>) -> Self {
        Self { json, out: BufWriter::new(out), rows: Vec::new(), widths: None }
    }

    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// A line of JSON.
    pub(super) fn json(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        self.out.write_all(b"\n")
    }

    /// A row of a table with this head.
    pub(super) fn row(&mut self, head: &[&str], row: Vec<String>) -> io::Result<()> {
        let has_head = head.iter().any(|title| !title.is_empty());
        if has_head && self.widths.is_none() && self.rows.is_empty() {
            self.rows.push(head.iter().map(|&title| title.to_owned()).collect());
        }
        self.rows.push(row);
        if self.widths.is_some() || self.rows.len() > ROWS_MEASURED { self.print() } else { Ok(()) }
    }

    /// A line between tables.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        self.end_table()?;
        writeln!(self.out, "{text}")
    }

    /// The next row begins another table.
    pub(super) fn end_table(&mut self) -> io::Result<()> {
        self.print()?;
        self.widths = None;
        Ok(())
    }

    /// Puts out what there is; the table goes on.
    pub(super) fn flush_rows(&mut self) -> io::Result<()> {
        if !self.rows.is_empty() {
            self.print()?;
        }
        self.out.flush()
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.end_table()?;
        self.out.flush()
    }

    fn print(&mut self) -> io::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let widths = self.widths.get_or_insert_with(|| widths(&rows));
        for row in rows {
            self.out.write_all(aligned(&row, widths).as_bytes())?;
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    widths
}

/// A row with two blanks between its columns; numbers stand to the right.
fn aligned(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        let blanks = " ".repeat(width.saturating_sub(cell.chars().count()));
        let is_number = cell.starts_with(|c: char| c.is_ascii_digit())
            && cell.ends_with(|c: char| c.is_ascii_digit())
            && cell.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.');
        let (before, behind) = if is_number && cell.matches('.').nth(1).is_none() {
            (blanks.as_str(), "")
        } else {
            ("", blanks.as_str())
        };
        line += before;
        line += cell;
        line += behind;
        line += "  ";
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_right() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows =
            [row(["name", "count", "what"]), row(["a", "7", "é"]), row(["bcdef", "1200", "x"])];
        let widths = widths(&rows);
        let lines: Vec<String> = rows.iter().map(|row| aligned(row, &widths)).collect();
        assert_eq!(lines, ["name   count  what", "a          7  é", "bcdef   1200  x"]);
        // An address is no number.
        assert_eq!(aligned(&["1.2.3.4".to_owned(), "x".to_owned()], &[9, 1]), "1.2.3.4    x");
    }
}
