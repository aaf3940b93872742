//! Handshakes: what it costs a worker to judge an initiation, and a handshake thread to answer it; and how many known peers get
//! their sessions in a flood of initiations.

mod flood;
mod judging;
pub(crate) mod letters;
mod macs;
mod report;
mod thread;

use clap::Args;
use serde::Serialize;

use crate::Failure;
use crate::load::Place;
use crate::machine::{Conditions, Weather};
use crate::sample::p10;
use crate::turns::Setting;
use judging::{Judge, Way};
use macs::Macs;
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
    /// Known peers that renew their sessions within a second of a flood.
    #[arg(long, default_value_t = 1_000)]
    peers: u32,
    /// Initiations of the flood, in parts of what a thread answers of known peers.
    #[arg(long, value_delimiter = ',', default_value = "0,1,2,5,10")]
    floods: Vec<f64>,
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
            (plan.peers, plan.floods) = (plan.peers.min(30), vec![0.0, 1.0]);
        }
        if !(1..=100_000).contains(&plan.peers) {
            return Err("--peers takes 1 to 100000".into());
        }
        if !plan.floods.iter().all(|flood| (0.0..=1_000.0).contains(flood)) {
            return Err("--floods takes 0 to 1000".into());
        }
        if plan.bursts == 0 || plan.rounds == 0 {
            return Err("--bursts and --rounds take 1 and more".into());
        }
        Ok(plan)
    }
}

/// Measures everything, the kinds in turn.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let place = Place::on(plan.core, plan.quick);
    let setting = place.start(verbose)?;
    let before = Weather::observe();
    let mut judge = Judge::new()?;
    let mut judged = Way::ALL.map(|way| Measured::new(way.name()));
    let mut macs = Macs::new();
    for _ in 0..plan.bursts {
        macs.round()?;
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
    let floods = flood::measure((&setting, &place), &plan, rate(&answered, &setting))?;
    let after = Weather::observe();
    let conditions = Conditions::new(setting.machine, (before, after));
    Ok(Report::new(plan, conditions, (judged.into(), macs, answered.into()), floods))
}

/// Known peers that a thread answers in a second.
#[expect(clippy::cast_precision_loss, reason = "a clock has fewer than 2^52 Hz")]
fn rate(answered: &[Measured], setting: &Setting) -> f64 {
    let whole = answered.first().map_or(&[][..], |whole| &whole.blocks);
    setting.clock.hz() as f64 / p10(whole).max(1.0)
}
