//! What was measured: each block for the record, nanoseconds and ratios for a person.

use std::fmt;

use serde::Serialize;

use super::{Plan, Size};
use crate::machine::{Conditions, Machine, Weather};
use crate::sample::{p10, per_packet};

/// The layout of the JSON; raised when a field changes its meaning.
const SCHEMA: u32 = 1;

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: u32,
    plan: Plan,
    #[serde(flatten)]
    conditions: Conditions,
    rows: Vec<Row>,
}

/// One way, size, batch and number of keys.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    seal: bool,
    size: Size,
    batch: usize,
    keys: usize,
    contestants: Vec<Blocks>,
}

/// Cycles per packet, one figure for each block.
#[derive(Debug, Serialize)]
struct Blocks {
    name: String,
    blocks: Vec<f64>,
}

impl Row {
    pub(super) fn new(seal: bool, size: Size, batch: usize, keys: usize, names: &[String]) -> Self {
        let contestants =
            names.iter().map(|name| Blocks { name: name.clone(), blocks: Vec::new() }).collect();
        Self { seal, size, batch, keys, contestants }
    }

    /// Adds a block of the contestant at this place.
    pub(super) fn add(&mut self, place: usize, cycles: u64, packets: usize) {
        if let Some(one) = self.contestants.get_mut(place) {
            one.blocks.push(per_packet(cycles, packets as u64));
        }
    }

    fn ours(&self) -> impl Iterator<Item = &Blocks> {
        self.contestants.iter().filter(|one| one.ours())
    }

    /// The fastest of the others: its name and cycles. Others that are kept from AVX-512 count only
    /// where ours is, too, and those are the only ones with AVX-512 that do not count there.
    fn best(&self, avx2: bool) -> Option<(&str, f64)> {
        let counts = |one: &&Blocks| {
            !one.ours() && (one.name.ends_with("avx2") == avx2 || !one.name.starts_with("ipsec-mb"))
        };
        let others = self.contestants.iter().filter(counts);
        let figures = others.map(|one| (one.name.as_str(), p10(&one.blocks)));
        figures.min_by(|one, other| one.1.total_cmp(&other.1))
    }
}

impl Blocks {
    fn ours(&self) -> bool {
        self.name.starts_with("millrace")
    }
}

impl Report {
    pub(super) fn new(
        plan: Plan,
        machine: Machine,
        weather: (Weather, Weather),
        rows: Vec<Row>,
    ) -> Self {
        let conditions = Conditions::new(machine, weather);
        Self { schema: SCHEMA, plan, conditions, rows }
    }

    fn write_row(&self, f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
        let Row { size, batch, keys, .. } = row;
        write!(f, "| {} | {size} | {batch} | {keys} |", if row.seal { "seal" } else { "open" })?;
        for ours in row.ours() {
            let figure = p10(&ours.blocks);
            let best = row.best(ours.name.ends_with("avx2"));
            write!(f, " {:.1} |", self.conditions.ns(figure))?;
            match best {
                Some((_, least)) => write!(f, " {:.2} |", least / figure)?,
                None => write!(f, " |")?,
            }
        }
        match row.best(false) {
            Some((name, least)) => write!(f, " {:.1} {name} |", self.conditions.ns(least))?,
            None => write!(f, " |")?,
        }
        for other in row.contestants.iter().filter(|one| !one.ours()) {
            write!(f, " {:.1} |", self.conditions.ns(p10(&other.blocks)))?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.conditions)?;
        let Some(first) = self.rows.first() else { return Ok(()) };
        writeln!(
            f,
            "\nNanoseconds per packet (10th percentile of the blocks); ratio: the best other to ours.\n"
        )?;
        let mut columns: Vec<String> = ["way", "octets", "batch", "keys"].map(str::to_owned).into();
        for ours in first.ours() {
            columns.extend([ours.name.clone(), "ratio".to_owned()]);
        }
        columns.push("best other".to_owned());
        columns
            .extend(first.contestants.iter().filter(|one| !one.ours()).map(|one| one.name.clone()));
        writeln!(f, "| {} |", columns.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(columns.len()))?;
        self.rows.iter().try_for_each(|row| self.write_row(f, row))
    }
}
