//! The record of one run of one measurement, as it is kept in a file: what was asked for, where and when it was made, what came
//! out with all trials, and what is not in it and why.

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::conditions::Conditions;
use crate::figure::{Figure, Verdict};
use crate::plot::Plot;
use crate::table::{Cell, Column, Table};

/// The layout of the JSON; raised when a field changes its meaning. Below 3 each measurement had a layout of its own.
pub const SCHEMA: u32 = 3;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The subcommand that made it.
    pub measure: String,
    /// For a person.
    pub title: String,
    /// The command as it was given.
    pub argv: Vec<String>,
    /// What was asked for, with all defaults.
    pub plan: Value,
    /// What was drawn at random came from these.
    #[serde(default)]
    pub seeds: Vec<Seed>,
    /// The machine, and its weather before and after.
    pub conditions: Conditions,
    /// Figures that should not move, before and after.
    #[serde(default)]
    pub anchors: Vec<Anchor>,
    /// Others that were measured in the same run, with versions and commands.
    #[serde(default)]
    pub peers: Vec<[String; 2]>,
    /// What came out.
    pub sections: Vec<Section>,
    /// Trials that were made and do not count.
    #[serde(default)]
    pub voided: Vec<Voided>,
    /// What is not in it.
    #[serde(default)]
    pub left_out: Vec<Omission>,
    /// Why none of its figures may be used; none when they may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void: Option<String>,
    /// What the figures were drawn from, in full, by name; for machines.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub kept: serde_json::Map<String, Value>,
}

/// A figure where it stands.
pub(crate) struct Placed<'a> {
    pub(crate) name: String,
    pub(crate) section: &'a str,
    pub(crate) table: &'a Table,
    pub(crate) row: &'a [Cell],
    pub(crate) column: &'a Column,
    pub(crate) figure: &'a Figure,
}

/// What belongs together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Its heading; none for what belongs right below the title.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Sentences above the tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
    /// What they look like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plots: Vec<Plot>,
    /// Sentences below the tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// Where randomness came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// What was drawn with it.
    pub what: String,
    /// The seed.
    pub value: u64,
}

/// Something that should be as long after a run as before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anchor {
    /// What was measured.
    pub name: String,
    /// In which unit.
    pub unit: String,
    /// Every trial before the run.
    pub before: Vec<f64>,
    /// Every trial after it.
    pub after: Vec<f64>,
}

/// Trials that were made and do not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voided {
    /// Of what.
    pub what: String,
    /// How many.
    pub count: u64,
    /// Why.
    pub why: String,
}

/// What is not in a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Omission {
    /// The measurement, peer or part that is missing.
    pub what: String,
    /// Why it is.
    pub why: String,
}

/// By how much an anchor may move before what lies between is void.
const ANCHOR_DRIFT: f64 = 0.05;

impl Record {
    /// A record without sections yet. The command is this process's own.
    pub fn new(measure: &str, title: &str, plan: &impl Serialize, conditions: Conditions) -> Self {
        Self {
            schema: SCHEMA,
            measure: measure.to_owned(),
            title: title.to_owned(),
            argv: std::env::args().collect(),
            // What a person can type can be written down.
            plan: serde_json::to_value(plan).unwrap_or_default(),
            seeds: Vec::new(),
            conditions,
            anchors: Vec::new(),
            peers: Vec::new(),
            sections: Vec::new(),
            voided: Vec::new(),
            left_out: Vec::new(),
            void: None,
            kept: serde_json::Map::new(),
        }
    }

    /// Adds a section.
    pub fn section(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// Keeps what figures were drawn from.
    pub fn keep(&mut self, what: &str, all: &impl Serialize) {
        self.kept.insert(what.to_owned(), serde_json::to_value(all).unwrap_or_default());
    }

    /// Names a seed.
    pub fn seed(&mut self, what: &str, value: u64) {
        self.seeds.push(Seed { what: what.to_owned(), value });
    }

    /// Names another that took part, with its version and how it was run.
    pub fn peer(&mut self, name: &str, version: &str) {
        self.peers.push([name.to_owned(), version.to_owned()]);
    }

    /// Says what is not in the record, and why: the report shows the hole.
    pub fn leave_out(&mut self, what: &str, why: &str) {
        self.left_out.push(Omission { what: what.to_owned(), why: why.to_owned() });
    }

    /// Says how many trials do not count; none are not worth a line.
    pub fn discard(&mut self, what: &str, count: u64, why: &str) {
        if count > 0 {
            self.voided.push(Voided { what: what.to_owned(), count, why: why.to_owned() });
        }
    }

    /// Says that no figure of the record may be used.
    pub fn make_void(&mut self, why: &str) {
        self.void.get_or_insert_with(|| why.to_owned());
    }

    /// Adds an anchor. One that moved makes the record void.
    pub fn anchor(&mut self, anchor: Anchor) {
        if anchor.moved() {
            self.make_void(&format!("{} was {}", anchor.name, anchor.words()));
        }
        self.anchors.push(anchor);
    }

    /// All figures, each with a name that is the same in every run of the same plan, and its unit.
    pub fn figures(&self) -> Vec<(String, &str, &Figure)> {
        self.placed().map(|place| (place.name, place.column.unit.as_str(), place.figure)).collect()
    }

    /// All figures where they stand.
    pub(crate) fn placed(&self) -> impl Iterator<Item = Placed<'_>> {
        let tables = self
            .sections
            .iter()
            .flat_map(|section| section.tables.iter().map(move |table| (section, table)));
        tables.flat_map(move |(section, table)| {
            table.figures().map(move |(row, column, figure)| {
                let row_name = table.name_of(row);
                let places = [&self.measure, &section.title, &table.title, &row_name, &column.name];
                let places =
                    places.into_iter().map(String::as_str).filter(|place| !place.is_empty());
                let name = places.collect::<Vec<_>>().join(" / ");
                Placed { name, section: &section.title, table, row, column, figure }
            })
        })
    }

    /// The figure in this section, table, row and cell.
    pub(crate) fn figure_mut(
        &mut self,
        (section, table, row, cell): (usize, usize, usize, usize),
    ) -> Option<&mut Figure> {
        let table = self.sections.get_mut(section)?.tables.get_mut(table)?;
        match table.rows.get_mut(row)?.get_mut(cell)? {
            Cell::Figure(figure) => Some(figure),
            Cell::Text(_) => None,
        }
    }

    /// Whether it was only to be seen that everything works: a quick run, or a program without optimisation.
    pub fn is_trial(&self) -> bool {
        let quick = self.plan.get("quick").and_then(Value::as_bool) == Some(true);
        quick || self.conditions.machine.profile == "debug"
    }

    /// Whether its figures count: it is neither void nor a trial.
    pub fn counts(&self) -> bool {
        self.void.is_none() && !self.is_trial()
    }

    /// The command as a person would type it, without the folder that the program lay in.
    pub fn command(&self) -> String {
        let mut words = self.argv.iter().cloned();
        let program = words.next().unwrap_or_default();
        let name = program.rsplit('/').next().unwrap_or_default().to_owned();
        std::iter::once(name).chain(words).collect::<Vec<_>>().join(" ")
    }

    /// What became of a figure's target here: in a void record and in a trial nothing counts.
    pub fn verdict(&self, figure: &Figure) -> Option<Verdict> {
        if self.counts() { figure.verdict } else { figure.verdict.map(|_| Verdict::Void) }
    }

    /// As it is kept in a file.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self).map(|text| text + "\n")
    }

    /// A record from a file. What another version has written is refused with a sentence.
    pub fn from_json(text: &str) -> serde_json::Result<Self> {
        let value: Value = serde_json::from_str(text)?;
        match value.get("schema").and_then(Value::as_u64) {
            Some(schema) if schema == u64::from(SCHEMA) => serde_json::from_value(value),
            Some(schema) if schema > u64::from(SCHEMA) => Err(serde_json::Error::custom(format!(
                "schema {schema} is newer than this program's {SCHEMA}: read it with the millrace-bench that wrote it"
            ))),
            Some(schema) => Err(serde_json::Error::custom(format!(
                "schema {schema} is older than this program's {SCHEMA}, which keeps other things: measure again"
            ))),
            None => Err(serde_json::Error::custom("this is no result of millrace-bench")),
        }
    }
}

impl Section {
    /// A section with this heading.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// Adds a sentence above the tables.
    #[must_use]
    pub fn note(mut self, sentence: impl Into<String>) -> Self {
        self.notes.push(sentence.into());
        self
    }

    /// Adds a table.
    #[must_use]
    pub fn table(mut self, table: Table) -> Self {
        self.tables.push(table);
        self
    }

    /// Adds a plot.
    #[must_use]
    pub fn plot(mut self, plot: Plot) -> Self {
        self.plots.push(plot);
        self
    }

    /// Adds a sentence below the tables.
    #[must_use]
    pub fn remark(mut self, sentence: impl Into<String>) -> Self {
        self.remarks.push(sentence.into());
        self
    }
}

impl Anchor {
    fn medians(&self) -> [f64; 2] {
        [&self.before, &self.after].map(|trials| crate::sample::median(trials))
    }

    fn moved(&self) -> bool {
        let [before, after] = self.medians();
        (before - after).abs() > ANCHOR_DRIFT * before.min(after)
    }

    /// Before and after, in words.
    pub fn words(&self) -> String {
        let [before, after] = self.medians();
        let unit = &self.unit;
        format!("{before:.2} {unit} before and {after:.2} {unit} after")
    }
}

impl From<&Self> for Record {
    fn from(record: &Self) -> Self {
        record.clone()
    }
}
