//! What the trials at one load say about it (6.1 and 6.2 of the draft).

use serde::Serialize;

use crate::{Goal, Trial};

/// What is known of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// It is carried, whatever further trials of the missing time would say.
    Lower,
    /// It is not, whatever they would say.
    Upper,
    /// They decide.
    Undecided,
}

/// Seconds of trials at one load.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    full_low: f64,
    full_high: f64,
    short_low: f64,
    short_high: f64,
}

impl Sums {
    fn of<'a>(goal: &Goal, trials: impl IntoIterator<Item = &'a Trial>) -> Self {
        let mut sums = Self::default();
        for trial in trials {
            let is_full = trial.duration >= goal.final_trial;
            let is_high = trial.loss > goal.loss_ratio;
            let sum = match (is_full, is_high) {
                (true, false) => &mut sums.full_low,
                (true, true) => &mut sums.full_high,
                (false, false) => &mut sums.short_low,
                (false, true) => &mut sums.short_high,
            };
            *sum += trial.effective;
        }
        sums
    }
}

/// What the trials, all at one load, say about it. Short ones are held against each other first, and only what then is left of
/// the lossy ones counts.
pub fn classify<'a>(goal: &Goal, trials: impl IntoIterator<Item = &'a Trial>) -> Bound {
    let sums = Sums::of(goal, trials);
    let balancing = sums.short_low * goal.exceed_ratio / (1.0 - goal.exceed_ratio);
    let high = sums.full_high + (sums.short_high - balancing).max(0.0);
    let whole = (high + sums.full_low).max(goal.duration_sum);
    let missing = whole - (high + sums.full_low);
    if high / whole > goal.exceed_ratio {
        Bound::Upper
    } else if (high + missing) / whole <= goal.exceed_ratio {
        Bound::Lower
    } else {
        Bound::Undecided
    }
}

/// What the load's full-length trials have carried, in packets per second: the worst of them that have to be good. 0 when there is
/// none.
pub fn conditional_throughput<'a>(
    goal: &Goal,
    load: f64,
    trials: impl IntoIterator<Item = &'a Trial>,
) -> f64 {
    let is_full = |trial: &&Trial| trial.duration >= goal.final_trial;
    let mut full: Vec<&Trial> = trials.into_iter().filter(is_full).collect();
    full.sort_by(|one, other| one.loss.total_cmp(&other.loss));
    let sum: f64 = full.iter().map(|trial| trial.effective).sum();
    let mut remaining = sum * (1.0 - goal.exceed_ratio);
    let mut loss = 1.0;
    for trial in full {
        if remaining <= 0.0 {
            break;
        }
        loss = trial.loss;
        remaining -= trial.effective;
    }
    load * (1.0 - loss)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOAL: Goal = Goal {
        final_trial: 1.0,
        duration_sum: 21.0,
        loss_ratio: 0.005,
        exceed_ratio: 0.5,
        width: 0.005,
    };

    fn trials(
        full_good: usize,
        full_bad: usize,
        short_good: usize,
        short_bad: usize,
    ) -> Vec<Trial> {
        let trial = |duration, loss| Trial { load: 1000.0, duration, effective: duration, loss };
        let kinds = [
            (full_good, trial(1.0, 0.001)),
            (full_bad, trial(1.0, 0.1)),
            (short_good, trial(0.5, 0.001)),
            (short_bad, trial(0.5, 0.1)),
        ];
        kinds.into_iter().flat_map(|(count, trial)| vec![trial; count]).collect()
    }

    #[test]
    fn half_of_the_sum_decides_either_way() {
        assert_eq!(classify(&GOAL, &trials(10, 0, 0, 0)), Bound::Undecided);
        assert_eq!(classify(&GOAL, &trials(11, 0, 0, 0)), Bound::Lower);
        assert_eq!(classify(&GOAL, &trials(10, 10, 0, 0)), Bound::Undecided);
        assert_eq!(classify(&GOAL, &trials(10, 11, 0, 0)), Bound::Upper);
        assert_eq!(classify(&GOAL, &[]), Bound::Undecided);
    }

    #[test]
    fn short_trials_are_balanced_and_never_enough_for_a_lower_bound() {
        assert_eq!(classify(&GOAL, &trials(0, 0, 100, 0)), Bound::Undecided);
        assert_eq!(classify(&GOAL, &trials(0, 0, 20, 41)), Bound::Undecided);
        assert_eq!(classify(&GOAL, &trials(0, 0, 20, 42)), Bound::Upper);
    }

    #[test]
    fn one_lossy_minute_is_the_end_of_rfc_2544_and_not_of_tst009() {
        let bad = Trial { load: 1.0, duration: 60.0, effective: 60.0, loss: 1e-6 };
        let good = Trial { loss: 0.0, ..bad };
        assert_eq!(classify(&Goal::rfc2544(0.01), &[bad]), Bound::Upper);
        assert_eq!(classify(&Goal::rfc2544(0.01), &[good]), Bound::Lower);
        assert_eq!(classify(&Goal::tst009(0.01), &[good]), Bound::Lower);
        assert_eq!(classify(&Goal::tst009(0.01), &[bad]), Bound::Undecided);
        assert_eq!(classify(&Goal::tst009(0.01), &[bad, good]), Bound::Lower);
        assert_eq!(classify(&Goal::tst009(0.01), &[bad, bad]), Bound::Upper);
    }

    #[test]
    fn throughput_is_that_of_the_worst_trial_that_has_to_be_good() {
        let trial = |loss| Trial { load: 1000.0, duration: 1.0, effective: 1.0, loss };
        let trials = [0.3, 0.002, 0.0, 0.004].map(trial);
        let carried = conditional_throughput(&GOAL, 1000.0, &trials);
        assert!((carried - 998.0).abs() < 1e-9, "{carried}");
        assert!(conditional_throughput(&GOAL, 1000.0, &[]).abs() < 1e-9);
    }
}
