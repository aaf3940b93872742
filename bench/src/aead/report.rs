//! What was measured: each block, and the record that they become.

use results::{Axis, Cell, Column, Figure, Plot, Record, Section, Series, Table};

use super::{Plan, Size};
use crate::machine::{Conditions, Machine, Weather};
use crate::sample::{p10, per_packet};

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report {
    plan: Plan,
    conditions: Conditions,
    rows: Vec<Row>,
}

/// One way, size, batch and number of keys.
#[derive(Debug)]
pub(super) struct Row {
    seal: bool,
    size: Size,
    batch: usize,
    keys: usize,
    contestants: Vec<Blocks>,
}

/// Cycles per packet, one figure for each block.
#[derive(Debug)]
struct Blocks {
    name: String,
    blocks: Vec<f64>,
}

/// How many times quicker than the best other the implementation with AVX-512 was wanted in batches of 64.
const WANTED: [(Size, f64); 8] = [
    (Size::Uniform(0), 6.0),
    (Size::Uniform(64), 4.0),
    (Size::Uniform(128), 3.0),
    (Size::Uniform(256), 2.5),
    (Size::Uniform(512), 1.8),
    (Size::Uniform(1024), 1.4),
    (Size::Uniform(1420), 1.25),
    (Size::Imix, 1.5),
];
const WANTED_OF: &str = "millrace avx512";
const WANTED_BATCH: usize = 64;

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

    fn others(&self) -> impl Iterator<Item = &Blocks> {
        self.contestants.iter().filter(|one| !one.ours())
    }

    /// The fastest of the others. Others that are kept from AVX-512 count only where ours is, too, and those are the only ones
    /// with AVX-512 that do not count there.
    fn best(&self, avx2: bool) -> Option<&Blocks> {
        let counts =
            |one: &&Blocks| one.name.ends_with("avx2") == avx2 || !one.name.starts_with("ipsec-mb");
        let others = self.others().filter(counts);
        others.min_by(|one, other| p10(&one.blocks).total_cmp(&p10(&other.blocks)))
    }

    /// Ours and how many times quicker it is than the best other.
    fn beside(&self, ours: &Blocks, conditions: &Conditions) -> [Cell; 2] {
        let figure = Figure::p10(&conditions.all_ns(&ours.blocks)).lower();
        let Some(best) = self.best(ours.name.ends_with("avx2")) else {
            return [figure.into(), Cell::empty()];
        };
        let figure = figure.beside(&best.name, &conditions.all_ns(&best.blocks));
        let ratio = figure.peer.as_ref().map(|peer| {
            let ratio = Figure {
                interval: peer.interval,
                n: figure.n,
                ..Figure::single(peer.ratio).higher()
            };
            self.wanted(ours).map_or_else(|| ratio.clone(), |wanted| ratio.clone().at_least(wanted))
        });
        [figure.into(), ratio.into()]
    }

    fn wanted(&self, ours: &Blocks) -> Option<f64> {
        let judged = ours.name == WANTED_OF && self.batch == WANTED_BATCH;
        let found = WANTED.into_iter().find(|(size, _)| judged && *size == self.size);
        found.map(|(_, wanted)| wanted)
    }

    fn cells(&self, conditions: &Conditions) -> Vec<Cell> {
        let Self { seal, size, batch, keys, .. } = self;
        let way = if *seal { "seal" } else { "open" };
        let mut row = vec![Cell::from(way), size.to_string().into()];
        row.extend([batch, keys].map(|count| Cell::from(count.to_string())));
        for ours in self.ours() {
            row.extend(self.beside(ours, conditions));
        }
        row.push(self.best(false).map_or_else(Cell::empty, |best| Cell::from(best.name.as_str())));
        row.extend(self.others().map(|other| Cell::from(conditions.ns(p10(&other.blocks)))));
        row
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
        Self { plan, conditions, rows }
    }

    fn table(&self, first: &Row) -> Table {
        let mut columns: Vec<Column> = ["way", "octets", "batch", "keys"].map(Column::label).into();
        for ours in first.ours() {
            let name = &ours.name;
            let ratio = Column::of(&format!("ratio of {name}"), "ratio", 2);
            columns.extend([Column::of(name, "ns", 1), ratio]);
        }
        columns.push(Column::label("best other"));
        columns.extend(first.others().map(|other| Column::of(&other.name, "ns", 1)));
        let mut table = Table::new("", columns);
        self.rows.iter().for_each(|row| table.row(row.cells(&self.conditions)));
        table
    }

    /// All contestants with the greatest batch, opening.
    fn plot(&self, first: &Row) -> Plot {
        let batch = self.plan.batches.iter().copied().max().unwrap_or_default();
        let keys = first.keys;
        let rows: Vec<&Row> = self
            .rows
            .iter()
            .filter(|row| !row.seal && row.batch == batch && row.keys == keys)
            .collect();
        let sizes = rows.iter().map(|row| row.size.to_string());
        let axis = Axis::names("octets of text", sizes);
        let title = format!("Opening in batches of {batch}");
        let mut plot = Plot::lines(&title, axis, Axis::logarithmic("ns a packet"));
        // A plot of ours and the quickest others; the table has all.
        let mut contestants: Vec<(usize, &Blocks)> = first.contestants.iter().enumerate().collect();
        contestants.sort_by(|one, other| p10(&one.1.blocks).total_cmp(&p10(&other.1.blocks)));
        for (place, contestant) in contestants.into_iter().take(8) {
            let heights = rows.iter().map(|row| {
                row.contestants.get(place).map_or(0.0, |one| self.conditions.ns(p10(&one.blocks)))
            });
            plot = plot.with(Series::by_name(&contestant.name, heights));
        }
        plot.saying("Nanoseconds per packet of each implementation of ours and of the quickest libraries, by size.")
    }
}

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let conditions = report.conditions.clone();
        let mut record = Self::new("aead", "The AEAD alone", &report.plan, conditions);
        let Some(first) = report.rows.first() else { return record };
        for (library, installed) in super::LIBRARIES {
            if !installed {
                record
                    .leave_out(library, "its headers were not installed when the bench was built");
            }
        }
        let section = Section::default()
            .note("Nanoseconds per packet (10th percentile of the blocks); ratio: the best other to ours.")
            .table(report.table(first));
        record.section(section.plot(report.plot(first)));
        record
    }
}
