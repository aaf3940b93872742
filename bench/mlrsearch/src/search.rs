//! Which trial comes next, and what is known in the end.

use serde::Serialize;

use crate::{Bound, Goal, Trial, Unsound, classify, conditional_throughput};

/// What to search for, and where.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The goals.
    pub goals: Vec<Goal>,
    /// The least load, packets per second.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Quicker and coarser steps before each goal.
    pub levels: u32,
}

/// A trial to make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ask {
    /// Packets per second.
    pub load: f64,
    /// Seconds.
    pub duration: f64,
    /// Whether it only warms up: it is not kept.
    pub is_warm_up: bool,
}

/// What is known of a goal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The goal.
    pub goal: Goal,
    /// The greatest load below the relevant upper bound that is carried; none when not even the least one is.
    pub lower: Option<f64>,
    /// The least load that is not; none when even the greatest is carried.
    pub upper: Option<f64>,
    /// Packets per second that were carried at the lower bound.
    pub throughput: Option<f64>,
    /// Whether the bounds are as close as was asked, or the end of the range.
    pub is_met: bool,
}

/// A goal on its way to be met.
#[derive(Clone, Copy, Debug)]
struct Stage {
    goal: Goal,
    /// The stage before, of the same goal but coarser.
    before: Option<usize>,
    /// How often a bound was looked for beyond what is known.
    steps: i32,
}

/// A search under way.
#[derive(Clone, Debug)]
pub struct Search {
    plan: Plan,
    stages: Vec<Stage>,
    /// The stage that is worked on.
    stage: usize,
    trials: Vec<Trial>,
    /// Each load once of which there is a trial.
    loads: Vec<f64>,
    asked: Option<Ask>,
    is_warm: bool,
}

/// Bounds that are this much further apart than asked are close enough: loads are computed in logarithms.
const SLACK: f64 = 1e-9;

impl Search {
    /// Begins a search.
    pub fn new(plan: Plan) -> Result<Self, Unsound> {
        if !(plan.min > 0.0 && plan.max > plan.min && plan.max.is_finite()) {
            return Err(Unsound("the least load is more than 0 and less than the greatest"));
        }
        if plan.goals.is_empty() {
            return Err(Unsound("a search has a goal"));
        }
        plan.goals.iter().try_for_each(Goal::check)?;
        let count = plan.goals.len();
        let mut stages = Vec::new();
        for level in (0..=plan.levels).rev() {
            for goal in &plan.goals {
                let goal = goal.coarser(level, plan.levels);
                let before = stages.len().checked_sub(count);
                stages.push(Stage { goal, before, steps: 0 });
            }
        }
        let (trials, loads) = (Vec::new(), Vec::new());
        Ok(Self { plan, stages, stage: 0, trials, loads, asked: None, is_warm: false })
    }

    /// The next trial; none when all goals are met, as far as they can be. A trial that was asked for and not recorded is asked
    /// for again.
    pub fn next_trial(&mut self) -> Option<Ask> {
        if self.asked.is_none() {
            self.asked = self.choose();
        }
        self.asked
    }

    /// How the trial went that was asked for: which part of its packets was lost, and how many seconds it took with everything
    /// around it.
    pub fn record(&mut self, loss: f64, effective: f64) {
        let Some(ask) = self.asked.take() else { return };
        if ask.is_warm_up {
            self.is_warm = true;
            return;
        }
        let Ask { load, duration, .. } = ask;
        let (loss, effective) = (loss.clamp(0.0, 1.0), effective.max(duration));
        let trial = Trial { load, duration, effective, loss };
        self.trials.push(trial);
        if !self.loads.iter().any(|load| trial.is_at(*load)) {
            self.loads.push(load);
        }
    }

    /// All trials but the warm-up, in the order in which they were made.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// What is known of each goal.
    pub fn outcomes(&self) -> Vec<Outcome> {
        self.plan.goals.iter().map(|goal| self.outcome(goal)).collect()
    }

    fn outcome(&self, goal: &Goal) -> Outcome {
        let (lower, upper) = self.bounds(goal);
        let carried = |load| conditional_throughput(goal, load, self.at(load));
        Outcome {
            goal: *goal,
            lower,
            upper,
            throughput: lower.map(carried),
            is_met: self.is_met(goal, (lower, upper)),
        }
    }

    fn choose(&mut self) -> Option<Ask> {
        let duration = self.stages.first()?.goal.final_trial;
        if !self.is_warm {
            return Some(Ask { load: self.plan.max, duration, is_warm_up: true });
        }
        if self.trials.is_empty() {
            return Some(Ask { load: self.plan.max, duration, is_warm_up: false });
        }
        while let Some(stage) = self.stages.get(self.stage).copied() {
            if let Some(load) = self.load(&stage) {
                let duration = stage.goal.final_trial;
                return Some(Ask { load, duration, is_warm_up: false });
            }
            self.stage += 1;
        }
        None
    }

    /// The load that a stage wants a trial of; none when it is through.
    fn load(&mut self, stage: &Stage) -> Option<f64> {
        let goal = &stage.goal;
        if let Some(last) = self.trials.last()
            && self.is_open(stage, last.load)
        {
            return Some(last.load);
        }
        let bounds = self.bounds(goal);
        if self.is_met(goal, bounds) {
            return None;
        }
        Some(match bounds {
            (Some(lower), Some(upper)) => middle(lower, upper, goal.width),
            (Some(lower), None) => self.above(stage, lower),
            (None, Some(upper)) => self.below(stage, upper),
            (None, None) => self.hint(stage),
        })
    }

    /// Whether this stage has begun with a load and not decided about it.
    fn is_open(&self, stage: &Stage, load: f64) -> bool {
        let (lower, upper) = self.bounds(&stage.goal);
        let is_between =
            lower.is_none_or(|lower| load > lower) && upper.is_none_or(|upper| load < upper);
        is_between && self.classified(&stage.goal, load) == Bound::Undecided
    }

    /// The greatest load that is carried below the least that is not, and that one.
    fn bounds(&self, goal: &Goal) -> (Option<f64>, Option<f64>) {
        let loads = || self.loads.iter().copied();
        let of = |bound| loads().filter(move |load| self.classified(goal, *load) == bound);
        let upper = of(Bound::Upper).min_by(f64::total_cmp);
        let is_below = |load: &f64| upper.is_none_or(|upper| *load < upper);
        (of(Bound::Lower).filter(is_below).max_by(f64::total_cmp), upper)
    }

    fn is_met(&self, goal: &Goal, bounds: (Option<f64>, Option<f64>)) -> bool {
        match bounds {
            (Some(lower), Some(upper)) => (upper - lower) / upper <= goal.width + SLACK,
            (Some(lower), None) => lower >= self.plan.max,
            (None, Some(upper)) => upper <= self.plan.min,
            (None, None) => false,
        }
    }

    fn classified(&self, goal: &Goal, load: f64) -> Bound {
        classify(goal, self.at(load))
    }

    fn at(&self, load: f64) -> impl Iterator<Item = &Trial> {
        self.trials.iter().filter(move |trial| trial.is_at(load))
    }

    /// What the coarser stage has found.
    fn found(&self, stage: &Stage) -> (Option<f64>, Option<f64>) {
        let before = stage.before.and_then(|place| self.stages.get(place));
        before.map_or((None, None), |before| self.bounds(&before.goal))
    }

    /// Where to begin: with what the coarser stage has found, or with what came through at the greatest load.
    fn hint(&self, stage: &Stage) -> f64 {
        let forwarded = || self.trials.first().map(Trial::forwarding_rate);
        let hint = self.found(stage).0.or_else(forwarded).unwrap_or(self.plan.max);
        hint.clamp(self.plan.min, self.plan.max)
    }

    /// A load above one that is carried: the upper bound of the coarser stage, then in steps that double.
    fn above(&mut self, stage: &Stage, lower: f64) -> f64 {
        let hint = self.found(stage).1.filter(|upper| *upper > lower);
        hint.unwrap_or_else(|| (lower / self.step(stage)).min(self.plan.max))
    }

    /// A load below one that is not carried.
    fn below(&mut self, stage: &Stage, upper: f64) -> f64 {
        let hint = self.hint(stage);
        if hint < upper {
            return hint;
        }
        (upper * self.step(stage)).max(self.plan.min)
    }

    /// By what factor to go further down; each time twice as far.
    fn step(&mut self, stage: &Stage) -> f64 {
        let steps = self.stages.get_mut(self.stage).map_or(0, |stage| {
            stage.steps += 1;
            stage.steps - 1
        });
        (1.0 - stage.goal.width).powf(f64::powi(2.0, steps))
    }
}

/// A load that halves what is between two, in whole widths if there are more than two.
fn middle(lower: f64, upper: f64, width: f64) -> f64 {
    let widths = (lower / upper).ln() / (1.0 - width).ln();
    let down = if widths <= 2.0 { widths / 2.0 } else { (widths / 2.0).round() };
    upper * (1.0 - width).powf(down)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NDR: Goal = Goal {
        final_trial: 1.0,
        duration_sum: 21.0,
        loss_ratio: 0.0,
        exceed_ratio: 0.5,
        width: 0.005,
    };

    fn plan(goals: &[Goal]) -> Plan {
        Plan { goals: goals.to_vec(), min: 9_001.0, max: 40e6, levels: 2 }
    }

    /// Runs a search against a server that loses this part of each load.
    fn run(plan: Plan, mut loss: impl FnMut(f64) -> f64) -> Search {
        let mut search = Search::new(plan).unwrap();
        for _ in 0..10_000 {
            let Some(ask) = search.next_trial() else { return search };
            search.record(loss(ask.load), ask.duration);
        }
        panic!("the search does not end: {:?}", search.outcomes());
    }

    #[test]
    fn finds_the_rate_of_a_server_within_the_width() {
        let pdr = Goal { loss_ratio: 0.005, ..NDR };
        let search = run(plan(&[NDR, pdr]), |load| (1.0 - 7e6 / load).max(0.0));
        let outcomes = search.outcomes();
        let [ndr, pdr] = outcomes.as_slice() else { panic!("{outcomes:?}") };
        let found = ndr.throughput.unwrap();
        assert!(ndr.is_met && (7e6 * 0.995 - 1.0..=7e6).contains(&found), "{ndr:?}");
        assert!(pdr.is_met && pdr.lower.unwrap() > 7e6 && pdr.throughput.unwrap() <= 7e6 + 1.0);
        assert!(search.trials().len() < 400, "{}", search.trials().len());
    }

    #[test]
    fn the_first_trial_is_at_the_greatest_load_and_is_not_kept() {
        let mut search = Search::new(plan(&[NDR])).unwrap();
        let ask = search.next_trial().unwrap();
        assert!(ask.is_warm_up && ask.load >= 40e6);
        assert_eq!(search.next_trial(), Some(ask), "it was not made yet");
        search.record(0.9, 1.0);
        assert!(search.trials().is_empty());
        assert!(!search.next_trial().unwrap().is_warm_up);
    }

    #[test]
    fn a_server_that_carries_everything_has_no_upper_bound() {
        let outcome = run(plan(&[NDR]), |_| 0.0).outcomes()[0];
        assert_eq!((outcome.lower, outcome.upper, outcome.is_met), (Some(40e6), None, true));
        assert_eq!(outcome.throughput, Some(40e6));
    }

    #[test]
    fn a_server_that_always_loses_has_no_throughput() {
        let outcome = run(plan(&[NDR]), |_| 0.01).outcomes()[0];
        assert_eq!((outcome.lower, outcome.throughput), (None, None));
        assert_eq!((outcome.upper, outcome.is_met), (Some(9_001.0), true));
    }

    #[test]
    fn strict_goals_take_one_trial_at_a_load_and_a_lossy_one_ends_it() {
        let strict = Plan { levels: 0, ..plan(&[Goal::rfc2544(0.01)]) };
        let search = run(strict, |load| if load > 1e6 { 1e-6 } else { 0.0 });
        let mut loads: Vec<f64> = search.trials().iter().map(|trial| trial.load).collect();
        loads.sort_by(f64::total_cmp);
        assert!(loads.windows(2).all(|pair| pair[0] < pair[1]), "{loads:?}");
        let lower = search.outcomes()[0].lower.unwrap();
        assert!((0.99e6 - 1.0..=1e6).contains(&lower), "{lower}");
    }

    #[test]
    fn refuses_plans_that_no_search_can_follow() {
        assert!(Search::new(plan(&[])).is_err());
        assert!(Search::new(Plan { min: 0.0, ..plan(&[NDR]) }).is_err());
        assert!(Search::new(Plan { max: 9_001.0, ..plan(&[NDR]) }).is_err());
        assert!(Search::new(plan(&[Goal { width: 0.0, ..NDR }])).is_err());
    }
}
