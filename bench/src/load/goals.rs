//! What is searched for: no loss, and half a percent, or RFC 2544's minute.

use std::time::{Duration, Instant};

use clap::Args;
use mlrsearch::{Ask, Goal, Outcome, Plan, Search};
use serde::Serialize;

use super::tally::Tally;
use crate::Failure;

/// How a search is made.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Goals {
    /// Milliseconds of a trial.
    #[arg(long, default_value_t = 20)]
    pub(crate) trial_ms: u32,
    /// Milliseconds of trials at one load that decide about it in any case.
    #[arg(long, default_value_t = 420)]
    sum_ms: u32,
    /// The part of that time in which more may be lost.
    #[arg(long, default_value_t = 0.5)]
    exceed: f64,
    /// How far the bounds may be apart, as a part of the upper one.
    #[arg(long, default_value_t = 0.005)]
    width: f64,
    /// As RFC 2544 wants it: trials of a minute, one at each load. Takes hours.
    #[arg(long)]
    strict: bool,
    /// Seconds by the clock after which a search is cut off.
    #[arg(long, default_value_t = 90)]
    budget_secs: u64,
}

/// The ratios of loss of the two goals: NDR and PDR.
const NDR: f64 = 0.0;
pub(crate) const PDR: f64 = 0.005;
/// Quicker and coarser steps before a goal.
const LEVELS: u32 = 2;

impl Goals {
    /// The same for a short run, if it shall be one.
    pub(crate) fn checked(&self, is_quick: bool) -> Result<Self, Failure> {
        let mut goals = self.clone();
        if is_quick {
            goals = Self { trial_ms: 2, sum_ms: 6, width: 0.02, budget_secs: 10, ..goals };
        }
        if goals.strict {
            goals = Self { trial_ms: 60_000, sum_ms: 60_000, exceed: 0.0, ..goals };
            goals.budget_secs = goals.budget_secs.max(24 * 3600);
        }
        goals.goals().iter().try_for_each(Goal::check)?;
        Ok(goals)
    }

    pub(crate) const fn is_strict(&self) -> bool {
        self.strict
    }

    /// NDR's and PDR's.
    pub(crate) fn goals(&self) -> [Goal; 2] {
        let seconds = |ms: u32| f64::from(ms) / 1_000.0;
        [NDR, PDR].map(|loss_ratio| Goal {
            final_trial: seconds(self.trial_ms),
            duration_sum: seconds(self.sum_ms),
            loss_ratio,
            exceed_ratio: self.exceed,
            width: self.width,
        })
    }
}

/// What a search has found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Found {
    /// NDR's and PDR's.
    pub(crate) outcomes: Vec<Outcome>,
    /// Every trial, the warm-up first.
    pub(crate) trials: Vec<Tally>,
    /// Whether the time was used up before both were met.
    pub(crate) is_cut: bool,
}

impl Found {
    /// Packets per second without loss, and with half a percent of it; none where not even the least load was carried.
    pub(crate) fn throughput(&self, place: usize) -> Option<f64> {
        self.outcomes.get(place).and_then(|outcome| outcome.throughput)
    }

    pub(crate) fn ndr(&self) -> Option<f64> {
        self.throughput(0)
    }

    pub(crate) fn pdr(&self) -> Option<f64> {
        self.throughput(1)
    }
}

/// Searches between these loads.
pub(crate) fn search(
    goals: &Goals,
    (min, max): (f64, f64),
    mut trial: impl FnMut(Ask) -> Result<Tally, Failure>,
) -> Result<Found, Failure> {
    let plan = Plan { goals: goals.goals().to_vec(), min, max, levels: LEVELS };
    let levels = if goals.strict { 0 } else { LEVELS };
    let mut search = Search::new(Plan { levels, ..plan })?;
    let (start, budget) = (Instant::now(), Duration::from_secs(goals.budget_secs));
    let (mut trials, mut is_cut) = (Vec::new(), false);
    while let Some(ask) = search.next_trial() {
        if start.elapsed() > budget {
            is_cut = true;
            break;
        }
        let tally = trial(ask)?;
        search.record(tally.loss(), ask.duration);
        trials.push(tally);
    }
    Ok(Found { outcomes: search.outcomes(), trials, is_cut })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        goals: Goals,
    }

    fn goals(line: &[&str]) -> Goals {
        Line::parse_from([&["bench"], line].concat()).goals
    }

    #[test]
    fn strict_is_a_minute_without_loss_and_half_a_percent() {
        let goals = goals(&["--strict", "--width", "0.01"]).checked(false).unwrap();
        let [ndr, pdr] = goals.goals();
        assert_eq!(ndr, Goal::rfc2544(0.01));
        assert_eq!(pdr, Goal { loss_ratio: 0.005, ..Goal::rfc2544(0.01) });
    }

    #[test]
    fn a_search_that_takes_too_long_says_so() {
        let goals = goals(&["--budget-secs", "0"]);
        let found = search(&goals, (1.0, 2.0), |_| Ok(Tally::default())).unwrap();
        assert!(found.is_cut && found.ndr().is_none() && found.trials.is_empty());
    }
}
