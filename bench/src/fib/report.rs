//! The record of what was measured: building, and lookups of both.

use results::{Cell, Column, Figure, Record, Section, Table};

use super::{Built, Measured, Plan, Set};
use crate::machine::{Conditions, Machine, Weather};
use crate::sample::p10;

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report {
    plan: Plan,
    conditions: Conditions,
    built: Built,
    measured: Vec<Measured>,
}

impl Report {
    pub(super) fn new(
        plan: Plan,
        machine: Machine,
        weather: (Weather, Weather),
        (built, measured): (Built, Vec<Measured>),
    ) -> Self {
        Self { plan, conditions: Conditions::new(machine, weather), built, measured }
    }

    fn building(&self) -> Table {
        let columns = [
            Column::label("building"),
            Column::of("ours, ms", "ms", 0),
            Column::of("rte_fib, ms", "ms", 0),
        ];
        let mut table = Table::new("", columns);
        let [ours, theirs] =
            [self.built.ours, self.built.fib].map(|taken| self.conditions.ns(taken) / 1e6);
        let figure = Figure::single(ours).lower().beside_one("rte_fib", theirs, None);
        table.row([Cell::from("all prefixes, from nothing"), figure.into(), theirs.into()]);
        table
    }

    fn lookups(&self) -> Table {
        let mut columns = vec![Column::label("addresses"), Column::of("ours, ns", "ns", 1)];
        let ways = self.measured.first().map(|one| one.fib.as_slice()).unwrap_or_default();
        columns
            .extend(ways.iter().map(|(name, _)| Column::of(&format!("rte_fib, {name}"), "ns", 1)));
        columns.push(Column::of("ratio", "ratio", 2).with_intervals());
        let mut table = Table::new("", columns);
        for Measured { set, ours, fib } in &self.measured {
            let best = fib.iter().min_by(|one, other| p10(&one.1).total_cmp(&p10(&other.1)));
            let mut figure = Figure::p10(&self.conditions.all_ns(ours)).lower();
            if let Some((name, blocks)) = best {
                figure =
                    figure.beside(&format!("rte_fib, {name}"), &self.conditions.all_ns(blocks));
            }
            let ratio = figure.peer.as_ref().map(|peer| Figure {
                interval: peer.interval,
                n: figure.n,
                ..Figure::single(peer.ratio)
            });
            let mut row = vec![Cell::from(set.name()), figure.into()];
            row.extend(
                fib.iter().map(|(_, blocks)| {
                    Cell::from(Figure::also(&self.conditions.all_ns(blocks), 0.1))
                }),
            );
            row.push(ratio.into());
            table.row(row);
        }
        table
    }
}

impl Set {
    const fn name(self) -> &'static str {
        match self {
            Self::Random => "random in random prefixes",
            Self::Hot => "20,000 of them",
        }
    }
}

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let Report { plan, conditions, built, .. } = report;
        let title = "IPv4 routes beside rte_fib";
        let mut record = Self::new("fib", title, plan, conditions.clone());
        record.seed("addresses", super::SEED);
        let dpdk = &conditions.machine.dpdk;
        record.peer(
            "rte_fib",
            &format!("{dpdk}; DIR24_8, next hops of two octets, called in the same process"),
        );
        let note = format!(
            "{} prefixes; `rte_fib` is asked for {} addresses a call.",
            built.prefixes, plan.burst
        );
        let section = Section::default()
            .note(note)
            .note("Nanoseconds of a lookup, 10th percentile of the blocks; both found the same next hops; how many times ours the quickest way of `rte_fib` takes.")
            .table(report.lookups())
            .table(report.building());
        record.section(section);
        record
    }
}
