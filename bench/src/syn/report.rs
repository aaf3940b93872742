//! The record of what was measured: what tables weigh, and what segments cost.

use results::{Axis, Cell, Column, Figure, Plot, Record, Section, Series, Table};

use super::{Case, Plan, Rate, Weights};
use crate::machine::{Conditions, Machine, Weather};
use crate::report::{pace, pace_columns};
use crate::sample::p10;

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report {
    plan: Plan,
    conditions: Conditions,
    weights: Weights,
    rates: Vec<Rate>,
}

impl Report {
    pub(super) fn new(
        plan: Plan,
        machine: Machine,
        weather: (Weather, Weather),
        (weights, rates): (Weights, Vec<Rate>),
    ) -> Self {
        let conditions = Conditions::new(machine, weather);
        Self { plan, conditions, weights, rates }
    }

    #[expect(clippy::cast_precision_loss, reason = "octets far below 2^52")]
    fn weights(&self) -> Table {
        let Weights { proven, firsts, flows } = &self.weights;
        let mut table = Table::new("", [Column::label("table"), Column::of("MiB", "MiB", 1)]);
        for (name, octets) in [
            ("proven sources, of the server", *proven),
            ("SYNs seen first, of each worker", *firsts),
            ("flows, of each worker", *flows),
        ] {
            let mib = octets as f64 / f64::from(1 << 20);
            table.row([Cell::from(name), Figure::single(mib).lower().into()]);
        }
        table
    }

    #[expect(clippy::cast_precision_loss, reason = "a few million segments")]
    fn rates(&self) -> Table {
        let counts = ["passed", "dropped", "answered"].map(|name| Column::of(name, "count", 0));
        let columns = std::iter::once(Column::label("segments")).chain(pace_columns());
        let columns: Vec<_> = columns.chain(counts).collect();
        let title =
            "Nanoseconds per segment on one core: 10th percentile and median of the blocks.";
        let mut table = Table::new(title, columns);
        for Rate { case, blocks, passed, dropped, answered } in &self.rates {
            let mut row = vec![Cell::from(case.name(&self.plan))];
            row.extend(pace(&self.conditions.all_ns(blocks)));
            row.extend([*passed, *dropped, *answered].map(|count| Cell::from(count as f64)));
            table.row(row);
        }
        table
    }

    fn plot(&self) -> Plot {
        let names = self.rates.iter().map(|rate| rate.case.name(&self.plan));
        let heights = self.rates.iter().map(|rate| self.conditions.ns(p10(&rate.blocks)));
        Plot::bars("What a segment costs", Axis::names("segments", names), Axis::linear("ns"))
            .with(Series::by_name("ns", heights))
    }
}

impl Case {
    fn name(self, plan: &Plan) -> String {
        let flows = plan.flows;
        match self {
            Self::Read => "TCP header and place alone".to_owned(),
            Self::Answer4 => "SYN of an invented IPv4 source, answered".to_owned(),
            Self::Answer6 => "SYN of an invented IPv6 source, answered".to_owned(),
            Self::FirstDrop => "SYN of an invented source, first drop".to_owned(),
            Self::Proven => "SYN of a proven source".to_owned(),
            Self::Hot => format!("ACK of one of {} flows", super::FEW),
            Self::Many => format!("ACK of one of {flows} flows"),
            Self::ManyGuarded => format!("ACK of one of {flows} flows, guard acting"),
            Self::Stray => "ACK of no flow".to_owned(),
            Self::StrayGuarded => "ACK of no flow, guard acting".to_owned(),
        }
    }
}

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let conditions = report.conditions.clone();
        let mut record = Self::new("syn", "TCP to tenants", &report.plan, conditions);
        let section = Section::default().table(report.weights()).table(report.rates());
        record.section(section.plot(report.plot()));
        record
    }
}
