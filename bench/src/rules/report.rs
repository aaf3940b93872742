//! The record of what was measured: swaps, what both contestants have built, and their lookups.

use results::{Axis, Cell, Column, Figure, Plot, Point, Record, Section, Series, Table};

use super::Plan;
use super::contest::Measured;
use super::rulesets::Kind;
use super::swap::Swap;
use super::tenants::{Built, Tenants};
use crate::machine::{Conditions, Machine, Weather};
use crate::sample::p10;

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report {
    plan: Plan,
    conditions: Conditions,
    swaps: Vec<Swap>,
    tables: Vec<Contest>,
}

/// Rules of both contestants, and how long they took to be found.
#[derive(Debug)]
pub(super) struct Contest {
    kind: Kind,
    rules: u32,
    ours: Built,
    acl: Built,
    measured: Vec<Measured>,
}

impl Contest {
    pub(super) fn new(tenants: Tenants, measured: Vec<Measured>) -> Self {
        let Tenants { kind, rules, built: [ours, acl], .. } = tenants;
        Self { kind, rules, ours, acl, measured }
    }
}

/// So many rules were wanted to be swapped in so many milliseconds.
const SWAP_RULES: u32 = 10_000;
const SWAP_MS: f64 = 100.0;

impl Report {
    pub(super) fn new(
        plan: Plan,
        machine: Machine,
        weather: (Weather, Weather),
        (swaps, tables): (Vec<Swap>, Vec<Contest>),
    ) -> Self {
        let conditions = Conditions::new(machine, weather);
        Self { plan, conditions, swaps, tables }
    }

    fn ms(&self, cycles: &[f64]) -> Vec<f64> {
        cycles.iter().map(|cycles| self.conditions.ns(*cycles) / 1e6).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "octets far below 2^52")]
    fn swaps(&self) -> Section {
        let columns = [
            Column::label("rules"),
            Column::label("count"),
            Column::of("text, KiB", "KiB", 0),
            Column::of("read, ms", "ms", 1),
            Column::of("built, ms", "ms", 1),
            Column::of("both, ms", "ms", 1),
        ];
        let mut table = Table::new("", columns);
        for Swap { kind, rules, text, parse, build, refused } in &self.swaps {
            let mut row = vec![Cell::from(kind.name()), rules.to_string().into()];
            row.push((*text as f64 / 1024.0).into());
            if let Some(refused) = refused {
                row.push(format!("refused: {refused}").into());
                table.row(row);
                continue;
            }
            let both: Vec<f64> = parse.iter().zip(build).map(|(one, other)| one + other).collect();
            let whole = Figure::median(&self.ms(&both)).lower();
            let whole = if *rules == SWAP_RULES { whole.at_most(SWAP_MS) } else { whole };
            let parts = [parse, build].map(|times| Figure::also(&self.ms(times), 0.5));
            row.extend(parts.into_iter().chain([whole]).map(Cell::from));
            table.row(row);
        }
        Section::new("Swaps")
            .note("From text to what packets are looked up in: the middle of all.")
            .table(table)
    }

    fn built(&self) -> Section {
        let columns = [
            Column::label("rules"),
            Column::label("count"),
            Column::of("ours, tenants", "count", 0),
            Column::of("ms", "ms", 2),
            Column::of("KiB each", "KiB", 1),
            Column::of("rte_acl, tenants", "count", 0),
            Column::of("its ms", "ms", 2),
            Column::of("its KiB each", "KiB", 1),
            Column::label("remark"),
        ];
        let mut table = Table::new("", columns);
        for contest in &self.tables {
            let mut row = vec![Cell::from(contest.kind.name()), contest.rules.to_string().into()];
            row.extend(self.one(&contest.ours, true));
            row.extend(self.one(&contest.acl, false));
            row.push(remark(&contest.acl).into());
            table.row(row);
        }
        Section::new("Building").note("A tenant's rules, the middle of all.").table(table)
    }

    #[expect(clippy::cast_precision_loss, reason = "octets far below 2^52")]
    fn one(&self, built: &Built, ours: bool) -> [Cell; 3] {
        let Built { tenants, octets, times, refused, .. } = built;
        if refused.is_some() {
            return [Cell::empty(), Cell::empty(), Cell::empty()];
        }
        let ms = Figure::median(&self.ms(times));
        let each = Figure::single(*octets as f64 / f64::from((*tenants).max(1)) / 1024.0);
        let [ms, each] = if ours { [ms.lower(), each.lower()] } else { [ms, each] };
        [f64::from(*tenants).into(), ms.into(), each.into()]
    }

    fn contest(&self) -> Section {
        let labels = ["rules", "count", "tenants", "packets", "on end"].map(Column::label);
        let figures = [
            Column::of("ours, ns", "ns", 1),
            Column::of("median", "ns", 1),
            Column::of("rte_acl, ns", "ns", 1),
            Column::of("ratio", "ratio", 2).with_intervals(),
            Column::label("its algorithm"),
        ];
        let mut table = Table::new("", labels.into_iter().chain(figures).collect::<Vec<_>>());
        for one in self.tables.iter().flat_map(|contest| &contest.measured) {
            table.row(self.lookups(one));
        }
        Section::new("Lookups")
            .note("Nanoseconds per packet, 10th percentile and median of the blocks; rte_acl with the algorithm that was quickest there; how many times ours its time is.")
            .table(table)
            .plot(self.plot())
    }

    fn lookups(&self, one: &Measured) -> Vec<Cell> {
        let Measured { kind, rules, tenants, run, traffic, ours, acl } = one;
        let texts =
            [rules.to_string(), tenants.to_string(), traffic.name().to_owned(), run.to_string()];
        let mut row = vec![Cell::from(kind.name())];
        row.extend(texts.map(Cell::from));
        let ns = self.conditions.all_ns(ours);
        let figure = Figure::p10(&ns).lower();
        let best = acl.iter().min_by(|one, other| p10(&one.1).total_cmp(&p10(&other.1)));
        let Some((name, blocks)) = best else {
            row.extend([figure.into(), Cell::from(Figure::also(&ns, 0.5))]);
            return row;
        };
        let figure = figure.beside("rte_acl", &self.conditions.all_ns(blocks));
        let ratio = figure.peer.as_ref().map(|peer| Figure {
            interval: peer.interval,
            n: figure.n,
            ..Figure::single(peer.ratio).higher()
        });
        let theirs = Figure::also(&self.conditions.all_ns(blocks), 0.1);
        row.extend([figure.into(), Figure::also(&ns, 0.5).into(), theirs.into(), ratio.into()]);
        row.push(Cell::from(*name));
        row
    }

    /// One tenant, packets that any rule may hold, by the number of rules.
    fn plot(&self) -> Plot {
        let mut plot = Plot::lines(
            "One tenant, random packets",
            Axis::logarithmic("rules"),
            Axis::logarithmic("ns a packet"),
        )
        .saying("Nanoseconds per packet of both, by the number of rules of one tenant.");
        let all = || self.tables.iter().flat_map(|contest| &contest.measured);
        for kind in Kind::ALL {
            let of_kind = || {
                all().filter(move |one| {
                    one.kind == kind && one.tenants == 1 && one.traffic.name() == "random"
                })
            };
            let ours = of_kind()
                .map(|one| Point::new(f64::from(one.rules), self.conditions.ns(p10(&one.ours))));
            let theirs = of_kind().filter_map(|one| {
                let least = one.acl.iter().map(|(_, blocks)| p10(blocks)).reduce(f64::min)?;
                Some(Point::new(f64::from(one.rules), self.conditions.ns(least)))
            });
            plot = plot.with(Series::new(kind.name(), ours.collect()));
            plot = plot.with(Series::new(format!("{}, rte_acl", kind.name()), theirs.collect()));
        }
        plot
    }
}

fn remark(built: &Built) -> String {
    match &built.refused {
        Some(refused) => format!("rte_acl refused: {refused}"),
        None if built.small => "rte_acl with small tries".to_owned(),
        None => String::new(),
    }
}

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let conditions = report.conditions.clone();
        let mut record = Self::new("rules", "The firewall", &report.plan, conditions);
        record.section(report.swaps());
        record.section(report.built());
        record.section(report.contest());
        record
    }
}
