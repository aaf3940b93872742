//! The record of what was measured: how soon changes are in force, what turns cost meanwhile, and what a peer weighs.

use results::{Cell, Column, Figure, Record, Section, Table};

use super::Plan;
use super::worker::Turns;
use crate::machine::{Conditions, Machine, Weather};

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report {
    plan: Plan,
    conditions: Conditions,
    figures: Figures,
}

/// Times in cycles, weights in octets.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) routes: usize,
    pub(super) peers: u32,
    /// What the keeper and the handshake threads hold of a peer with two addresses.
    pub(super) peer_heap: f64,
    /// What its worker holds.
    pub(super) peer_row: u32,
    pub(super) session: usize,
    /// What a worker holds of a flow.
    pub(super) flow: f64,
    pub(super) quiet: Turns,
    /// Turns from the beginning of a transaction with the whole table until it was in force.
    pub(super) swaps: Vec<Turns>,
    pub(super) table_from_begin: Vec<f64>,
    pub(super) table_from_commit: Vec<f64>,
    /// All peers and the whole table as one snapshot.
    pub(super) everything: Vec<f64>,
    pub(super) route_added: Vec<f64>,
    pub(super) route_removed: Vec<f64>,
    pub(super) peer_added: Vec<f64>,
    pub(super) peer_removed: Vec<f64>,
}

impl Report {
    pub(super) fn new(
        plan: Plan,
        machine: Machine,
        weather: (Weather, Weather),
        figures: Figures,
    ) -> Self {
        let conditions = Conditions::new(machine, weather);
        Self { plan, conditions, figures }
    }

    fn changes(&self) -> Table {
        let figures = &self.figures;
        let columns = [
            Column::label("until the worker has it"),
            Column::of("median", "time", 1),
            Column::of("p99", "time", 1),
            Column::of("longest", "time", 1),
        ];
        let mut table = Table::new("", columns);
        for (name, cycles, unit) in [
            ("one route added, us", &figures.route_added, 1e3),
            ("one route removed, us", &figures.route_removed, 1e3),
            ("one peer added, us", &figures.peer_added, 1e3),
            ("one peer removed, us", &figures.peer_removed, 1e3),
            ("the whole table, from its first message, ms", &figures.table_from_begin, 1e6),
            ("the whole table, from its commit, ms", &figures.table_from_commit, 1e6),
            ("all peers and the whole table, ms", &figures.everything, 1e6),
        ] {
            let times: Vec<f64> =
                cycles.iter().map(|cycles| self.conditions.ns(*cycles) / unit).collect();
            table.row([
                Cell::from(name),
                Figure::median(&times).lower().into(),
                Figure::also(&times, 0.99).into(),
                Figure::also(&times, 1.0).into(),
            ]);
        }
        table
    }

    #[expect(clippy::cast_precision_loss, reason = "a turn is no 2^52 cycles long")]
    fn turns(&self) -> Table {
        let columns = [
            Column::label("turns of 64 packets, us"),
            Column::of("count", "count", 0),
            Column::of("median", "us", 1),
            Column::of("99.99 %", "us", 1),
            Column::of("longest", "us", 1),
            Column::of("left out, as the core was taken", "count", 0),
        ];
        let mut table = Table::new("", columns);
        let us = |cycles: u64| self.conditions.ns(cycles as f64) / 1000.0;
        let quiet = std::iter::once(("quiet".to_owned(), &self.figures.quiet));
        let swaps = (1..).zip(&self.figures.swaps);
        let swaps = swaps.map(|(nth, turns)| (format!("while the table comes, {nth}"), turns));
        for (name, turns) in quiet.chain(swaps) {
            let Turns { count, median, p9999, longest, taken } = turns;
            table.row([
                Cell::from(name),
                Cell::from(*count as f64),
                Figure::single(us(*median)).of(*count).into(),
                Figure::single(us(*p9999)).of(*count).into(),
                Figure::single(us(*longest)).of(*count).into(),
                Cell::from(*taken as f64),
            ]);
        }
        table
    }

    /// The longest of all turns while a table came, against the longest quiet one.
    #[expect(clippy::cast_precision_loss, reason = "a turn is no 2^52 cycles long")]
    fn longest(&self) -> Table {
        let columns = [Column::label("longest turns"), Column::of("times", "ratio", 1)];
        let mut table = Table::new("", columns);
        let Figures { quiet, swaps, .. } = &self.figures;
        if let Some(longest) = swaps.iter().map(|turns| turns.longest).max() {
            let times = longest as f64 / quiet.longest.max(1) as f64;
            let name = "while a table comes, of the quiet one";
            table.row([Cell::from(name), Figure::single(times).lower().into()]);
        }
        table
    }

    #[expect(clippy::cast_precision_loss, reason = "octets far below 2^52")]
    fn weights(&self) -> Table {
        let Figures { peer_heap, peer_row, session, flow, .. } = &self.figures;
        let columns = [Column::label("what"), Column::of("octets", "octets", 0)];
        let mut table = Table::new("", columns);
        for (name, octets) in [
            ("an idle peer, with the keeper", *peer_heap),
            ("an idle peer, with its worker", f64::from(*peer_row)),
            ("an idle peer, both", *peer_heap + f64::from(*peer_row)),
            ("a session", *session as f64),
            ("a flow, with its places in the indices", *flow),
        ] {
            table.row([Cell::from(name), Figure::single(octets).lower().into()]);
        }
        table
    }
}

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let conditions = report.conditions.clone();
        let mut record = Self::new("control", "Control's changes", &report.plan, conditions);
        let Figures { routes, peers, .. } = &report.figures;
        let note = format!("{routes} routes, {peers} peers with two addresses each.");
        let section = Section::default().note(note).table(report.changes());
        record
            .section(section.table(report.turns()).table(report.longest()).table(report.weights()));
        record
    }
}
