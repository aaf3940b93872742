//! Searches against servers of any rate that lose packets now and then: they end, find the rate, and never claim more than they saw.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's plans are sound, or the test is wrong"
)]

use mlrsearch::{Bound, Goal, Plan, Search, classify};
use proptest::prelude::*;

const TRIALS_MAX: usize = 20_000;

/// A server with a rate that wavers, and that now and then loses more.
#[derive(Clone, Copy, Debug)]
struct Server {
    rate: f64,
    /// By which part the rate is lower at times.
    waver: f64,
    /// In which part of the trials something else is lost.
    spikes: f64,
    state: u64,
}

impl Server {
    fn next_share(&mut self) -> f64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        f64::from(u32::try_from(self.state >> 32).unwrap()) / f64::from(u32::MAX)
    }

    fn loss(&mut self, load: f64) -> f64 {
        let rate = self.rate * (1.0 - self.waver * self.next_share());
        let spike = if self.next_share() < self.spikes { 0.1 } else { 0.0 };
        (1.0 - rate / load).max(spike)
    }
}

fn goals(exceed_ratio: f64, width: f64) -> Vec<Goal> {
    let ndr = Goal { final_trial: 1.0, duration_sum: 21.0, loss_ratio: 0.0, exceed_ratio, width };
    vec![ndr, Goal { loss_ratio: 0.005, ..ndr }]
}

fn search(mut server: Server, plan: Plan) -> Search {
    let mut search = Search::new(plan).unwrap();
    for _ in 0..TRIALS_MAX {
        let Some(ask) = search.next_trial() else { return search };
        search.record(server.loss(ask.load), ask.duration);
    }
    panic!("no end after {TRIALS_MAX} trials with {server:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn finds_a_wavering_rate(
        rate in 2e4..3.9e7,
        waver in 0.0..0.01,
        spikes in 0.0..0.15,
        width in 0.005..0.02,
        levels in 0_u32..4,
        state: u64,
    ) {
        let server = Server { rate, waver, spikes, state };
        let plan = Plan { goals: goals(0.5, width), min: 9_001.0, max: 40e6, levels };
        let search = search(server, plan);
        for outcome in search.outcomes() {
            prop_assert!(outcome.is_met, "{outcome:?}");
            let found = outcome.throughput.unwrap();
            let least = rate * (1.0 - waver) * (1.0 - width) - 1.0;
            prop_assert!((least..=rate + 1.0).contains(&found), "{found} of {rate}: {outcome:?}");
        }
    }

    #[test]
    fn never_claims_more_than_the_lower_bound_that_its_trials_prove(
        losses in prop::collection::vec(prop_oneof![Just(0.0), 0.0..0.02, 0.0..1.0], 1..200),
        exceed in prop_oneof![Just(0.0), Just(0.5), 0.0..0.9],
        levels in 0_u32..4,
    ) {
        let goals = goals(exceed, 0.01);
        let plan = Plan { goals: goals.clone(), min: 9_001.0, max: 40e6, levels };
        let mut search = Search::new(plan).unwrap();
        let mut losses = losses.iter().cycle();
        let mut made = 0;
        while let Some(ask) = search.next_trial() {
            prop_assert!((9_001.0..=40e6).contains(&ask.load), "{ask:?}");
            search.record(*losses.next().unwrap(), ask.duration);
            made += 1;
            prop_assert!(made < TRIALS_MAX, "no end");
        }
        for (goal, outcome) in goals.iter().zip(search.outcomes()) {
            let Some(lower) = outcome.lower else { continue };
            prop_assert!(outcome.throughput.unwrap() <= lower);
            prop_assert!(outcome.upper.is_none_or(|upper| upper > lower));
            let at = search.trials().iter().filter(|trial| trial.load.total_cmp(&lower).is_eq());
            prop_assert_eq!(classify(goal, at), Bound::Lower);
        }
    }
}
