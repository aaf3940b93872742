//! What was measured: every figure for the record, medians and percentiles for a person.

use std::fmt;

use serde::Serialize;

use super::Plan;
use super::worker::Turns;
use crate::machine::{Conditions, Machine, Weather};
use crate::sample::{median, quantile};

/// The layout of the JSON; raised when a field changes its meaning.
const SCHEMA: u32 = 1;

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: u32,
    plan: Plan,
    #[serde(flatten)]
    conditions: Conditions,
    figures: Figures,
}

/// Times in cycles, weights in octets.
#[derive(Debug, Default, Serialize)]
pub(super) struct Figures {
    pub(super) routes: usize,
    pub(super) peers: u32,
    /// What the keeper and the handshake threads hold of a peer with two addresses.
    pub(super) peer_heap: f64,
    /// What its worker holds.
    pub(super) peer_row: u32,
    pub(super) session: usize,
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
        Self { schema: SCHEMA, plan, conditions, figures }
    }

    fn times(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        cycles: &[f64],
        unit: f64,
    ) -> fmt::Result {
        let ns = |cycles: f64| self.conditions.ns(cycles) / unit;
        let (middle, p99) = (median(cycles), quantile(cycles.to_vec(), 0.99));
        let longest = cycles.iter().copied().fold(0.0, f64::max);
        writeln!(f, "| {name} | {:.1} | {:.1} | {:.1} |", ns(middle), ns(p99), ns(longest))
    }

    fn turns(&self, f: &mut fmt::Formatter<'_>, name: &str, turns: &Turns) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "a turn is no 2^52 cycles long")]
        let us = |cycles: u64| self.conditions.ns(cycles as f64) / 1000.0;
        let Turns { count, median, p9999, longest } = turns;
        let (median, p9999, longest) = (us(*median), us(*p9999), us(*longest));
        writeln!(f, "| {name} | {count} | {median:.1} | {p9999:.1} | {longest:.1} |")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = &self.figures;
        write!(f, "{}", self.conditions)?;
        writeln!(
            f,
            "\n{} routes, {} peers with two addresses each.\n",
            figures.routes, figures.peers
        )?;
        writeln!(f, "| until the worker has it | median | p99 | longest |\n|---|--:|--:|--:|")?;
        self.times(f, "one route added, us", &figures.route_added, 1e3)?;
        self.times(f, "one route removed, us", &figures.route_removed, 1e3)?;
        self.times(f, "one peer added, us", &figures.peer_added, 1e3)?;
        self.times(f, "one peer removed, us", &figures.peer_removed, 1e3)?;
        self.times(
            f,
            "the whole table, from its first message, ms",
            &figures.table_from_begin,
            1e6,
        )?;
        self.times(f, "the whole table, from its commit, ms", &figures.table_from_commit, 1e6)?;
        self.times(f, "all peers and the whole table, ms", &figures.everything, 1e6)?;
        writeln!(
            f,
            "\n| turns of 64 packets, us | count | median | 99.99 % | longest |\n|---|--:|--:|--:|--:|"
        )?;
        self.turns(f, "quiet", &figures.quiet)?;
        for swap in &figures.swaps {
            self.turns(f, "while the table comes", swap)?;
        }
        let whole = figures.peer_heap + f64::from(figures.peer_row);
        writeln!(
            f,
            "\nidle peer: {whole:.0} octets, {:.0} with the keeper and {} with its worker; session: {} octets",
            figures.peer_heap, figures.peer_row, figures.session
        )
    }
}
