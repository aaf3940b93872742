//! What a search is to find out.

use std::fmt;

use serde::Serialize;

/// When a load counts as carried, and how exactly its limit is wanted (4.6 of the draft).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Goal {
    /// Seconds of a trial that counts in full.
    pub final_trial: f64,
    /// Seconds of such trials that decide about a load in any case.
    pub duration_sum: f64,
    /// The part of a trial's packets that may be lost.
    pub loss_ratio: f64,
    /// The part of the time in which more may be lost, below 1.
    pub exceed_ratio: f64,
    /// How far the bounds may be apart in the end, as a part of the upper one.
    pub width: f64,
}

/// A goal or a plan that no search can meet, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsound(pub &'static str);

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Unsound {}

impl Goal {
    /// Throughput as RFC 2544 has it: a minute without any loss.
    pub const fn rfc2544(width: f64) -> Self {
        Self { final_trial: 60.0, duration_sum: 60.0, loss_ratio: 0.0, exceed_ratio: 0.0, width }
    }

    /// ETSI TST009's search with loss verification: a lossy minute is tried once more.
    pub const fn tst009(width: f64) -> Self {
        Self { duration_sum: 120.0, exceed_ratio: 0.5, ..Self::rfc2544(width) }
    }

    /// Refuses what no search can meet.
    pub fn check(&self) -> Result<(), Unsound> {
        let is_part = |part: f64| (0.0..1.0).contains(&part);
        if !(self.final_trial > 0.0 && self.final_trial.is_finite()) {
            return Err(Unsound("a trial lasts more than no time"));
        }
        if !(self.duration_sum >= self.final_trial && self.duration_sum.is_finite()) {
            return Err(Unsound("the sum of durations is not less than one trial's"));
        }
        if !is_part(self.loss_ratio) || !is_part(self.exceed_ratio) {
            return Err(Unsound("ratios are at least 0 and less than 1"));
        }
        if !(self.width > 0.0 && self.width < 1.0) {
            return Err(Unsound("the width is more than 0 and less than 1"));
        }
        Ok(())
    }

    /// The same, quicker and coarser: `level` of `levels` steps away from the goal itself. The last step is content with
    /// one trial at a load; each doubles the width.
    pub(crate) fn coarser(&self, level: u32, levels: u32) -> Self {
        let step = f64::from(level) / f64::from(levels.max(1));
        let factor = f64::powi(2.0, i32::try_from(level).unwrap_or(i32::MAX));
        Self {
            duration_sum: self.duration_sum * (self.final_trial / self.duration_sum).powf(step),
            width: (self.width * factor).min(0.5_f64.max(self.width)),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intermediate_goals_are_those_of_csit() {
        let goal = Goal {
            final_trial: 1.0,
            duration_sum: 21.0,
            loss_ratio: 0.0,
            exceed_ratio: 0.5,
            width: 0.005,
        };
        let [same, middle, first] = [0, 1, 2].map(|level| goal.coarser(level, 2));
        assert_eq!(same, goal);
        assert!((middle.duration_sum - 4.58).abs() < 0.01 && (middle.width - 0.01).abs() < 1e-9);
        assert!((first.duration_sum - 1.0).abs() < 1e-9 && (first.width - 0.02).abs() < 1e-9);
    }

    #[test]
    fn refuses_what_no_search_can_meet() {
        let goal = Goal::rfc2544(0.01);
        assert_eq!(goal.check(), Ok(()));
        let unsound = [
            Goal { final_trial: 0.0, ..goal },
            Goal { final_trial: f64::NAN, ..goal },
            Goal { duration_sum: 59.0, ..goal },
            Goal { loss_ratio: 1.0, ..goal },
            Goal { exceed_ratio: 1.0, ..goal },
            Goal { width: 0.0, ..goal },
        ];
        assert!(unsound.iter().all(|goal| goal.check().is_err()));
    }
}
