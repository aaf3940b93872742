//! What was measured: every figure for the record, medians, percentiles and rates for a person.

use std::fmt;

use serde::Serialize;

use super::changes::{Changes, Kind, Transactions};
use super::lookups::{Rate, Set};
use super::{Plan, Snapshot};
use crate::machine::{Conditions, Machine, Weather};
use crate::sample::{median, p10, quantile};

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

/// Octets that the allocator was asked for.
#[derive(Debug, Default, Serialize)]
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
#[derive(Debug, Serialize)]
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

    #[expect(clippy::cast_precision_loss, reason = "octets and cycles far below 2^52")]
    fn write_sizes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { prefixes4, prefixes6, hosts, builds, builds_with_hosts, weights, .. } =
            &self.figures;
        let mib = |octets: usize| octets as f64 / f64::from(1 << 20);
        let each = |octets: usize| octets as f64 / f64::from((*hosts).max(1));
        writeln!(
            f,
            "\n{prefixes4} IPv4 and {prefixes6} IPv6 prefixes, {hosts} hosts of each family.\n"
        )?;
        writeln!(f, "| what | figure |\n|---|---|")?;
        for (what, builds) in [("prefixes", builds), ("prefixes and hosts", builds_with_hosts)] {
            let ms = |share| self.conditions.ns(quantile(builds.clone(), share)) / 1e6;
            let (least, middle, greatest) = (ms(0.0), ms(0.5), ms(1.0));
            writeln!(
                f,
                "| {what} from snapshot to published, least, middle, greatest of {} | {least:.0} {middle:.0} {greatest:.0} ms |",
                builds.len()
            )?;
        }
        writeln!(f, "| memory without any route | {:.1} KiB |", weights.empty as f64 / 1024.0)?;
        writeln!(f, "| memory of the prefixes | {:.1} MiB |", mib(weights.prefixes))?;
        for (family, octets) in [("IPv4", weights.hosts4), ("IPv6", weights.hosts6)] {
            writeln!(
                f,
                "| memory of the {family} hosts | {:.1} MiB, {:.1} octets each |",
                mib(octets),
                each(octets)
            )?;
        }
        Ok(())
    }

    fn write_changes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nOne change until the new version is there, and freeing the one before, microseconds: median, 99th percentile.\n"
        )?;
        writeln!(f, "| change | takes away | puts back | frees |\n|---|---|---|---|")?;
        for Changes { kind, insert, remove, free } in &self.figures.changes {
            write!(f, "| {} |", change_name(*kind))?;
            for times in [remove, insert, free] {
                let us = |share| self.conditions.ns(quantile(times.clone(), share)) / 1e3;
                write!(f, " {:.1} {:.1} |", us(0.5), us(0.99))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn write_transactions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nPrefixes all over the table in one transaction, milliseconds: least, middle.\n"
        )?;
        writeln!(f, "| prefixes | takes away | puts back |\n|---|---|---|")?;
        for Transactions { changes, insert, remove } in &self.figures.transactions {
            write!(f, "| {changes} |")?;
            for times in [remove, insert] {
                let ms = |share| self.conditions.ns(quantile(times.clone(), share)) / 1e6;
                write!(f, " {:.2} {:.2} |", ms(0.0), ms(0.5))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn write_lookups(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nLookups on one core: 10th percentile and median of the blocks.\n")?;
        writeln!(f, "| addresses | ns | ns, median | millions per second |\n|---|---|---|---|")?;
        for Rate { set, blocks, .. } in &self.figures.lookups {
            let (least, middle) =
                (self.conditions.ns(p10(blocks)), self.conditions.ns(median(blocks)));
            let name = set_name(*set);
            writeln!(f, "| {name} | {least:.1} | {middle:.1} | {:.1} |", 1e3 / least)?;
        }
        Ok(())
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.conditions)?;
        self.write_sizes(f)?;
        self.write_changes(f)?;
        self.write_transactions(f)?;
        self.write_lookups(f)
    }
}
