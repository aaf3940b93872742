//! The record of what was measured: medians, percentiles and rates.

use results::{Axis, Cell, Column, Figure, Plot, Record, Section, Series, Table};

use super::changes::{Changes, Kind, Transactions};
use super::lookups::{Rate, Set};
use super::{Plan, Snapshot};
use crate::machine::{Conditions, Machine, Weather};
use crate::report::{pace, pace_columns};
use crate::sample::p10;

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report {
    plan: Plan,
    conditions: Conditions,
    figures: Figures,
}

/// Octets that the allocator was asked for.
#[derive(Debug, Default)]
pub(super) struct Weights {
    /// Without any route.
    pub(super) empty: usize,
    /// The prefixes: the keeper's list and the tables.
    pub(super) prefixes: usize,
    /// What the hosts of each family add.
    pub(super) hosts4: usize,
    pub(super) hosts6: usize,
}

/// Everything in cycles.
#[derive(Debug)]
pub(super) struct Figures {
    prefixes4: usize,
    prefixes6: usize,
    hosts: u32,
    pub(super) builds: Vec<f64>,
    pub(super) builds_with_hosts: Vec<f64>,
    pub(super) weights: Weights,
    pub(super) changes: Vec<Changes>,
    pub(super) transactions: Vec<Transactions>,
    pub(super) lookups: Vec<Rate>,
}

impl Figures {
    pub(super) fn of(prefixes: &Snapshot, plan: &Plan) -> Self {
        let prefixes4 = prefixes.iter().filter(|(net, _)| net.addr().is_ipv4()).count();
        Self {
            prefixes4,
            prefixes6: prefixes.len() - prefixes4,
            hosts: plan.hosts,
            builds: Vec::new(),
            builds_with_hosts: Vec::new(),
            weights: Weights::default(),
            changes: Vec::new(),
            transactions: Vec::new(),
            lookups: Vec::new(),
        }
    }
}

/// Milliseconds and microseconds, in nanoseconds.
const MS: f64 = 1e6;
const US: f64 = 1e3;

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

    fn times(&self, cycles: &[f64], unit: f64) -> Vec<f64> {
        cycles.iter().map(|cycles| self.conditions.ns(*cycles) / unit).collect()
    }

    fn builds(&self) -> Table {
        let columns = [
            Column::label("from snapshot to published"),
            Column::of("least, ms", "ms", 0),
            Column::of("middle", "ms", 0),
            Column::of("greatest", "ms", 0),
        ];
        let mut table = Table::new("", columns);
        let Figures { builds, builds_with_hosts, .. } = &self.figures;
        for (what, builds) in [("prefixes", builds), ("prefixes and hosts", builds_with_hosts)] {
            let ms = self.times(builds, MS);
            table.row([
                Cell::from(what),
                Figure::also(&ms, 0.0).into(),
                Figure::median(&ms).lower().into(),
                Figure::also(&ms, 1.0).into(),
            ]);
        }
        table
    }

    #[expect(clippy::cast_precision_loss, reason = "octets far below 2^52")]
    fn weights(&self) -> Table {
        let columns = [
            Column::label("memory"),
            Column::of("KiB", "KiB", 1),
            Column::of("octets each", "octets", 1),
        ];
        let mut table = Table::new("", columns);
        let Figures { prefixes4, prefixes6, hosts, weights, .. } = &self.figures;
        for (what, octets, count) in [
            ("without any route", weights.empty, 0),
            ("of the prefixes", weights.prefixes, prefixes4 + prefixes6),
            ("of the IPv4 hosts", weights.hosts4, *hosts as usize),
            ("of the IPv6 hosts", weights.hosts6, *hosts as usize),
        ] {
            let octets = octets as f64;
            let each = (count > 0).then(|| Figure::single(octets / count as f64));
            let whole = Figure::single(octets / 1024.0).lower();
            table.row([Cell::from(what), whole.into(), each.into()]);
        }
        table
    }

    fn changes(&self) -> Table {
        let columns = [
            Column::label("change"),
            Column::of("takes away", "us", 1),
            Column::of("99 %", "us", 1),
            Column::of("puts back", "us", 1),
            Column::of("99 % of it", "us", 1),
            Column::of("frees", "us", 1),
            Column::of("99 % of that", "us", 1),
        ];
        let title = "One change until the new version is there, and freeing the one before, microseconds: median, 99th percentile.";
        let mut table = Table::new(title, columns);
        for Changes { kind, insert, remove, free } in &self.figures.changes {
            let mut row = vec![Cell::from(change_name(*kind))];
            for times in [remove, insert, free] {
                let us = self.times(times, US);
                row.extend([Figure::median(&us).lower(), Figure::also(&us, 0.99)].map(Cell::from));
            }
            table.row(row);
        }
        table
    }

    fn transactions(&self) -> Table {
        let columns = [
            Column::label("prefixes"),
            Column::of("takes away", "ms", 2),
            Column::of("middle", "ms", 2),
            Column::of("puts back", "ms", 2),
            Column::of("middle of it", "ms", 2),
        ];
        let title = "Prefixes all over the table in one transaction, milliseconds: least, middle.";
        let mut table = Table::new(title, columns);
        for Transactions { changes, insert, remove } in &self.figures.transactions {
            let mut row = vec![Cell::from(changes.to_string())];
            for times in [remove, insert] {
                let ms = self.times(times, MS);
                row.extend([Figure::also(&ms, 0.0), Figure::median(&ms).lower()].map(Cell::from));
            }
            table.row(row);
        }
        table
    }

    fn lookups(&self) -> Table {
        let [ns, median, rate] = pace_columns();
        let title = "Lookups on one core: 10th percentile and median of the blocks.";
        let mut table = Table::new(title, [Column::label("addresses"), ns, median, rate]);
        for Rate { set, blocks, .. } in &self.figures.lookups {
            let [ns, median, rate] = pace(&self.conditions.all_ns(blocks));
            table.row([Cell::from(set_name(*set)), ns, median, rate]);
        }
        table
    }

    fn plot(&self) -> Plot {
        let lookups = &self.figures.lookups;
        let names = Axis::names("addresses", lookups.iter().map(|rate| set_name(rate.set)));
        let heights = lookups.iter().map(|rate| self.conditions.ns(p10(&rate.blocks)));
        Plot::bars("A lookup", names, Axis::linear("ns")).with(Series::by_name("ns", heights))
    }
}

const fn change_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Prefix4 => "IPv4 prefix",
        Kind::Prefix6 => "IPv6 prefix",
        Kind::Host4 => "IPv4 host",
        Kind::Host6 => "IPv6 host",
        Kind::Peer => "peer with both addresses",
        Kind::Redirect => "all prefixes of a next hop, redirected",
        Kind::Wide4 => "128.0.0.0/1, around all in it",
        Kind::Wide6 => "2000::/3, around all in it",
    }
}

const fn set_name(set: Set) -> &'static str {
    match set {
        Set::Random4 => "IPv4, random in random prefixes",
        Set::Hot4 => "IPv4, 20,000 of them",
        Set::Random6 => "IPv6, random in random prefixes",
        Set::Hot6 => "IPv6, 20,000 of them",
        Set::Host4 => "IPv4, random peers",
        Set::Host6 => "IPv6, random peers",
        Set::NoHost4 => "IPv4, none, beside peers",
    }
}

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let conditions = report.conditions.clone();
        let mut record = Self::new("routes", "Routes", &report.plan, conditions);
        record.seed("tables", super::SEED);
        let Figures { prefixes4, prefixes6, hosts, .. } = &report.figures;
        let note = format!(
            "{prefixes4} IPv4 and {prefixes6} IPv6 prefixes, {hosts} hosts of each family."
        );
        let section = Section::default().note(note).table(report.builds());
        let section = section.table(report.weights()).table(report.changes());
        let section = section.table(report.transactions()).table(report.lookups());
        record.section(section.plot(report.plot()));
        record
    }
}
