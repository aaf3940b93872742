//! Handshakes: what it costs a worker to judge an initiation, and a handshake thread to answer it.

mod judging;
pub(crate) mod letters;
mod report;
mod thread;

use clap::Args;
use dpdk::clock::Clock;
use serde::Serialize;

use crate::machine::{Machine, Weather};
use crate::{Failure, pin};
use judging::{Judge, Way};
use report::{Measured, Report};
use thread::{Kind, Thread};

/// What to measure, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Bursts of 64 that a worker judges, of each kind.
    #[arg(long, default_value_t = 300)]
    bursts: usize,
    /// Rounds of a thread, an initiation of each of 128 peers in each.
    #[arg(long, default_value_t = 60)]
    rounds: usize,
    /// The core to measure on.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// A few of both, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = self.clone();
        if plan.quick {
            (plan.bursts, plan.rounds) = (plan.bursts.min(20), plan.rounds.min(3));
        }
        if plan.bursts == 0 || plan.rounds == 0 {
            return Err("--bursts and --rounds take 1 and more".into());
        }
        Ok(plan)
    }
}

/// Measures everything, the kinds in turn.
pub(crate) fn run(plan: &Plan) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let clock = Clock::calibrate();
    let machine = Machine::observe(&clock, "no DPDK in it".to_owned(), false, plan.core);
    pin(plan.core)?;
    let before = Weather::observe();
    let mut judge = Judge::new()?;
    let mut judged = Way::ALL.map(|way| Measured::new(way.name()));
    for _ in 0..plan.bursts {
        for (way, measured) in Way::ALL.into_iter().zip(&mut judged) {
            measured.blocks.push(judge.burst(way)?);
        }
    }
    let mut thread = Thread::new()?;
    let mut answered = Kind::ALL.map(|kind| Measured::new(kind.name()));
    for _ in 0..plan.rounds {
        for (kind, measured) in Kind::ALL.into_iter().zip(&mut answered) {
            measured.blocks.push(thread.round(kind)?);
        }
    }
    let after = Weather::observe();
    Ok(Report::new(plan, machine, (before, after), (judged.into(), answered.into())))
}
