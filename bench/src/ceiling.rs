//! The generator's own ceiling on one core, as `millrace-pktgen self-test` tells it: frames into devices that only count them or
//! give them back, and its clients beside the bare AEAD.

use clap::Args;
use dpdk::clock::Clock;
use pktgen::selftest::{Figure as Own, measure};
use pktgen::stop::Stop;
use results::{Cell, Column, Figure, Record, Section, Table};
use serde::Serialize;

use crate::machine::{Conditions, Machine, Weather};
use crate::peers::roster;
use crate::{Failure, pin};

/// What to measure.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Seconds of each figure.
    #[arg(long, default_value_t = 2.0)]
    secs: f64,
    /// The core to measure on.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// A moment of each, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

/// Seconds of each figure in a quick run.
const QUICK_SECS: f64 = 0.02;
/// Seconds that a plan may ask for.
const SECS: std::ops::RangeInclusive<f64> = 0.01..=60.0;

/// Measures everything.
pub(crate) fn run(plan: &Plan) -> Result<Record, Failure> {
    if !SECS.contains(&plan.secs) {
        return Err("--secs takes 0.01 to 60 seconds".into());
    }
    let secs = if plan.quick { plan.secs.min(QUICK_SECS) } else { plan.secs };
    let plan = Plan { secs, ..plan.clone() };
    pin(plan.core)?;
    let clock = Clock::calibrate();
    let before = Weather::observe();
    let figures = measure(Some(plan.core), plan.secs, &Stop::new())?;
    let after = Weather::observe();
    let machine = Machine::observe(&clock, roster::packaged("dpdk"), false, plan.core);
    let conditions = Conditions::new(machine, (before, after));
    let mut record = Record::new("ceiling", "The generator's own ceiling", &plan, conditions);
    record.section(
        Section::default()
            .note("On one core, blocks of all in turn: 10th percentile of each one's times, its rate, and the median. The AEAD seals and opens 64 octets with 16 keys.")
            .table(table(&figures)),
    );
    Ok(record)
}

fn table(figures: &[Own]) -> Table {
    let columns = [
        Column::label("packets"),
        Column::of("Mpps", "Mpps", 1),
        Column::of("ns", "ns", 1),
        Column::of("ns, median", "ns", 1),
        Column::of("times the AEAD", "ratio", 2),
    ];
    let mut table = Table::new("", columns);
    for Own { what, p10_ns, p50_ns, per_sec, of_aead, .. } in figures {
        let of_aead = of_aead.map_or(Cell::empty(), |times| Figure::single(times).lower().into());
        table.row([
            Cell::from(*what),
            Figure::single(per_sec / 1e6).higher().into(),
            Figure::single(*p10_ns).lower().into(),
            Figure::single(*p50_ns).into(),
            of_aead,
        ]);
    }
    table
}
