//! Plots: what is drawn, apart from how. Each becomes an SVG that stands in the page or is a file of its own.

mod bars;
mod boxes;
mod canvas;
mod lines;
mod scale;
mod stacks;

use serde::{Deserialize, Serialize};

use crate::table::{Column, Table};
use crate::text::short;
pub(crate) use canvas::style;

/// Rows that are drawn of many: more can neither be told apart nor scrolled through.
pub(crate) const ROWS_MAX: usize = 12;

/// One plot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// What it shows, in a sentence: for who cannot see it.
    pub summary: String,
    /// How it is drawn.
    pub shape: Shape,
    /// What lies along the ground; of bars, what names them.
    pub across: Axis,
    /// What the height says; of bars, their length.
    pub up: Axis,
    /// What is drawn, the first at the bottom of stacks.
    pub series: Vec<Series>,
    /// Lines that a reader shall see the rest against.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
}

/// How a plot is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A line from point to point.
    Lines,
    /// A column for each name, the series on top of each other.
    Stacks,
    /// A row for each name, the series below each other.
    Bars,
    /// The same rows, each value where it lies, with its interval or the trials that it was drawn from.
    Boxes,
}

/// One axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Axis {
    /// What it says, with the unit.
    pub label: String,
    /// How values are spread over it.
    pub scale: Scale,
    /// Of a scale of names, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Evenly from 0.
    Linear,
    /// By decades.
    Logarithmic,
    /// Shares of 1, by the decades of what is missing to 1, to 99.9999 %.
    Nines,
    /// One place for each name; values are their numbers from 0.
    Names,
}

/// What belongs to one name in the legend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// In the legend.
    pub name: String,
    /// From left to right.
    pub points: Vec<Point>,
    /// Of stacks: a level that the others are seen against, and no part of the stack.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub level: bool,
}

/// One value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Along the ground.
    pub across: f64,
    /// The height.
    pub up: f64,
    /// Where 95 of 100 resamples have the height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// Of its trials: what 5 of 100 do not exceed, a quarter, half, three quarters, and 95 of 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<[f64; 5]>,
    /// Drawn hollow: the trial does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub void: bool,
    /// Beside a bar.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// A line across the plot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// What stands beside it.
    pub label: String,
    /// Its place on its axis.
    pub at: f64,
    /// On the axis along the ground, and so an upright line.
    pub upright: bool,
}

impl Plot {
    /// Lines without series yet.
    pub fn lines(title: &str, across: Axis, up: Axis) -> Self {
        Self::new(Shape::Lines, title, (across, up))
    }

    /// Columns for these names.
    pub fn stacks(title: &str, across: Axis, up: Axis) -> Self {
        Self::new(Shape::Stacks, title, (across, up))
    }

    /// Rows for these names.
    pub fn bars(title: &str, across: Axis, up: Axis) -> Self {
        Self::new(Shape::Bars, title, (across, up))
    }

    /// Rows of intervals or boxes for these names.
    pub fn boxes(title: &str, across: Axis, up: Axis) -> Self {
        Self::new(Shape::Boxes, title, (across, up))
    }

    fn new(shape: Shape, title: &str, (across, up): (Axis, Axis)) -> Self {
        let summary = format!("{}, by {}", up.label, across.label);
        let title = title.to_owned();
        Self { title, summary, shape, across, up, series: Vec::new(), marks: Vec::new() }
    }

    /// Says what it shows, for who cannot see it.
    #[must_use]
    pub fn saying(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    /// Adds a series.
    #[must_use]
    pub fn with(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// Adds a line at a height.
    #[must_use]
    pub fn level(mut self, label: &str, at: f64) -> Self {
        self.marks.push(Mark { label: label.to_owned(), at, upright: false });
        self
    }

    /// Adds an upright line.
    #[must_use]
    pub fn upright(mut self, label: &str, at: f64) -> Self {
        self.marks.push(Mark { label: label.to_owned(), at, upright: true });
        self
    }

    /// As a file of its own, with its title in it.
    pub fn svg(&self) -> String {
        canvas::draw(self, "plot", true)
    }

    /// As a part of a page, whose caption bears the title; `name` is unlike all others there.
    pub fn inline(&self, name: &str) -> String {
        canvas::draw(self, name, false)
    }

    /// The same as a table.
    pub fn table(&self) -> Table {
        let unit = if self.up.label.is_empty() { "value" } else { &self.up.label };
        let columns = std::iter::once(Column::label(&self.across.label))
            .chain(self.series.iter().map(|series| Column::of(&series.name, unit, 2)));
        let mut table = Table::new("", columns.collect::<Vec<_>>());
        let mut places: Vec<f64> = Vec::new();
        for point in self.series.iter().flat_map(|series| &series.points) {
            if !places.iter().any(|place| same(*place, point.across)) {
                places.push(point.across);
            }
        }
        places.sort_by(f64::total_cmp);
        for place in places {
            let named = std::iter::once(self.across.name_of(place).into());
            let values = self.series.iter().map(|series| {
                let found = series.points.iter().find(|point| same(point.across, place));
                found.map_or_else(|| "".into(), |point| point.up.into())
            });
            table.row(named.chain(values).collect::<Vec<_>>());
        }
        table
    }
}

/// The same place on an axis.
fn same(one: f64, other: f64) -> bool {
    one.total_cmp(&other).is_eq()
}

impl Axis {
    /// Evenly from 0.
    pub fn linear(label: &str) -> Self {
        Self { label: label.to_owned(), scale: Scale::Linear, names: Vec::new() }
    }

    /// By decades.
    pub fn logarithmic(label: &str) -> Self {
        Self { scale: Scale::Logarithmic, ..Self::linear(label) }
    }

    /// Percentiles to 99.9999 %, as shares of 1.
    pub fn nines(label: &str) -> Self {
        Self { scale: Scale::Nines, ..Self::linear(label) }
    }

    /// A place for each name.
    pub fn names<N: Into<String>>(label: &str, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        Self { scale: Scale::Names, names, ..Self::linear(label) }
    }

    /// What stands at a place.
    fn name_of(&self, value: f64) -> String {
        match self.scale {
            Scale::Names => {
                let found = (0_u32..).zip(&self.names).find(|(n, _)| same(f64::from(*n), value));
                found.map(|(_, name)| name.clone()).unwrap_or_default()
            }
            Scale::Nines => format!("{:.4} %", value * 100.0),
            Scale::Linear | Scale::Logarithmic => short(value),
        }
    }
}

impl Series {
    /// A series of points.
    pub fn new(name: impl Into<String>, points: Vec<Point>) -> Self {
        Self { name: name.into(), points, level: false }
    }

    /// A height for each name of the axis, in their order.
    pub fn by_name(name: impl Into<String>, heights: impl IntoIterator<Item = f64>) -> Self {
        Self::in_order(name, heights.into_iter().map(|up| Point::new(0.0, up)))
    }

    /// A point for each name of the axis, in their order, wherever it was said to lie.
    pub fn in_order(name: impl Into<String>, points: impl IntoIterator<Item = Point>) -> Self {
        let points = (0_u32..).zip(points);
        Self::new(name, points.map(|(n, point)| Point { across: n.into(), ..point }).collect())
    }

    /// The same as a level over stacks.
    #[must_use]
    pub fn as_level(self) -> Self {
        Self { level: true, ..self }
    }
}

impl Point {
    /// A value without anything else.
    pub fn new(across: f64, up: f64) -> Self {
        Self { across, up, ..Self::default() }
    }

    /// With its interval.
    #[must_use]
    pub fn between(self, interval: Option<[f64; 2]>) -> Self {
        Self { interval, ..self }
    }

    /// With what lies about it.
    #[must_use]
    pub fn spread(self, spread: Option<[f64; 5]>) -> Self {
        Self { spread, ..self }
    }

    /// With words behind its value.
    #[must_use]
    pub fn noted(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// Of a trial that does not count.
    #[must_use]
    pub fn void(self) -> Self {
        Self { void: true, ..self }
    }

    /// What stands behind it in a row: the value, and what there is to say.
    fn words(&self) -> String {
        let value = short(self.up);
        if self.note.is_empty() { value } else { format!("{value} · {}", self.note) }
    }
}
