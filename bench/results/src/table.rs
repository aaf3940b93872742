//! Tables: rows of labels and figures under columns that say in which unit, and how many decimals mean something.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::figure::Figure;
use crate::text::{grouped, markdown};

/// A table with as many cells in each row as it has columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// What it shows, when its section does not say that already.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// From left to right.
    pub columns: Vec<Column>,
    /// From top to bottom.
    pub rows: Vec<Vec<Cell>>,
}

/// A column's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// As it stands above the column, with the unit where a reader needs it.
    pub name: String,
    /// Of the figures; empty for labels.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// Decimals that mean something.
    #[serde(default)]
    pub decimals: usize,
    /// Whether intervals stand beside the figures.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub intervals: bool,
}

/// What stands in a row under a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// A label or a remark; empty where there is nothing.
    Text(String),
    /// A figure.
    Figure(Box<Figure>),
}

impl Column {
    /// A column of labels, which name the row.
    pub fn label(name: &str) -> Self {
        Self { name: name.to_owned(), unit: String::new(), decimals: 0, intervals: false }
    }

    /// A column of figures.
    pub fn of(name: &str, unit: &str, decimals: usize) -> Self {
        Self { decimals, unit: unit.to_owned(), ..Self::label(name) }
    }

    /// With intervals beside the figures.
    #[must_use]
    pub fn with_intervals(self) -> Self {
        Self { intervals: true, ..self }
    }

    /// Whether it names the row.
    pub const fn is_label(&self) -> bool {
        self.unit.is_empty()
    }

    /// A figure of this column as a person reads it.
    pub fn show(&self, figure: &Figure) -> String {
        let decimals = self.decimals;
        let value = grouped(figure.value, decimals);
        match figure.interval.filter(|_| self.intervals) {
            Some([low, high]) => {
                format!("{value} ({}..{})", grouped(low, decimals), grouped(high, decimals))
            }
            None => value,
        }
    }
}

impl Table {
    /// A table without rows.
    pub fn new(title: &str, columns: impl Into<Vec<Column>>) -> Self {
        Self { title: title.to_owned(), columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row. Cells that are missing at its end are empty.
    pub fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        let mut cells = cells.into();
        cells.resize(self.columns.len(), Cell::empty());
        self.rows.push(cells);
    }

    /// What names a row: the labels before its first figure. A number is named by its column.
    pub fn name_of(&self, row: &[Cell]) -> String {
        let labels = self.columns.iter().zip(row).take_while(|(column, _)| column.is_label());
        let texts = labels.filter_map(|(column, cell)| match cell {
            Cell::Text(text) if text.parse::<f64>().is_ok() => {
                Some(format!("{} {text}", column.name))
            }
            Cell::Text(text) if !text.is_empty() => Some(text.replace("**", "")),
            Cell::Text(_) | Cell::Figure(_) => None,
        });
        texts.collect::<Vec<_>>().join(", ")
    }

    /// All figures, each with its row and its column.
    pub fn figures(&self) -> impl Iterator<Item = (&[Cell], &Column, &Figure)> {
        self.rows.iter().flat_map(|row| {
            self.columns.iter().zip(row).filter_map(|(column, cell)| match cell {
                Cell::Figure(figure) => Some((&row[..], column, &**figure)),
                Cell::Text(_) => None,
            })
        })
    }
}

impl Cell {
    /// Nothing.
    pub const fn empty() -> Self {
        Self::Text(String::new())
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// JSON has neither infinity nor NaN, and neither has a meaning in a table.
impl From<Figure> for Cell {
    fn from(figure: Figure) -> Self {
        let [low, high] = figure.interval.unwrap_or_default();
        let finite = [figure.value, low, high].iter().all(|part| part.is_finite());
        if finite { Self::Figure(Box::new(figure)) } else { Self::empty() }
    }
}

impl From<Option<Figure>> for Cell {
    fn from(figure: Option<Figure>) -> Self {
        figure.map_or_else(Self::empty, Self::from)
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Figure::single(value).into()
    }
}

/// As Markdown.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.title.is_empty() {
            writeln!(f, "{}\n", self.title)?;
        }
        write!(f, "|")?;
        self.columns.iter().try_for_each(|column| write!(f, " {} |", markdown(&column.name)))?;
        write!(f, "\n|")?;
        let rule = |column: &Column| if column.is_label() { "---|" } else { "--:|" };
        self.columns.iter().try_for_each(|column| write!(f, "{}", rule(column)))?;
        writeln!(f)?;
        for row in &self.rows {
            write!(f, "|")?;
            for (column, cell) in self.columns.iter().zip(row) {
                match cell {
                    Cell::Text(text) => write!(f, " {} |", markdown(text))?,
                    Cell::Figure(figure) => write!(f, " {} |", column.show(figure))?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_figures_with_their_decimals_and_intervals() {
        let columns =
            [Column::label("way"), Column::of("ns", "ns", 1), Column::of("ratio", "ratio", 2)];
        let mut table = Table::new("", columns.map(Column::with_intervals));
        let ratio = Figure { interval: Some([1.5, 2.5]), ..Figure::single(2.0) };
        table.row([Cell::from("a|b"), 12345.67.into(), ratio.into()]);
        table.row(["short".into()]);
        let wanted = "| way | ns | ratio |\n|---|--:|--:|\n| a\\|b | 12,345.7 | 2.00 (1.50..2.50) |\n| short |  |  |\n";
        assert_eq!(table.to_string(), wanted);
    }

    #[test]
    fn a_row_is_named_by_the_labels_before_its_figures() {
        let columns = [
            Column::label("way"),
            Column::label("batch"),
            Column::of("ns", "ns", 1),
            Column::label("quickest"),
        ];
        let mut table = Table::new("", columns);
        table.row([Cell::from("**open**"), "64".into(), 1.0.into(), "another each time".into()]);
        assert_eq!(table.name_of(&table.rows[0]), "open, batch 64");
    }

    #[test]
    fn leaves_out_what_json_cannot_say() {
        assert_eq!(Cell::from(f64::NAN), Cell::empty());
        assert_eq!(Cell::from(Figure::single(f64::INFINITY)), Cell::empty());
    }
}
