//! How each data centre is reached: straight, or through one other.

use std::collections::HashMap;

use super::damping::{Standing, is_better, is_worth_leaving};
use super::paths::{Path, Paths};
use super::ticks::MS;

/// What a relay costs beside its paths: a server more through which each packet goes.
const RELAY: u32 = 2 * MS;

/// How a centre can be reached now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nothing was heard of late.
    Unknown,
    /// Nothing comes through.
    Down,
    /// By a way of this cost.
    By {
        /// The cost in ticks.
        cost: u32,
        /// The number of the centre in between; 0 for straight.
        relay: u16,
    },
}

impl Reach {
    /// Its cost, if there is a way.
    pub fn cost(self) -> Option<u32> {
        match self {
            Self::By { cost, .. } => Some(cost),
            Self::Unknown | Self::Down => None,
        }
    }
}

/// The ways to all centres.
#[derive(Debug, Default)]
pub struct Ways {
    standing: HashMap<u16, Standing<u16>>,
}

impl Ways {
    /// The relay to a centre; 0 for straight.
    pub fn relay(&self, centre: u16) -> u16 {
        self.standing.get(&centre).map_or(0, |standing| standing.choice)
    }

    /// Since when a centre is reached so; 0 for always.
    pub fn since(&self, centre: u16) -> u32 {
        self.standing.get(&centre).map_or(0, |standing| standing.since)
    }

    /// A relay as it was kept.
    pub fn restore(&mut self, centre: u16, relay: u16) {
        let standing = self.standing.entry(centre).or_default();
        standing.choice = relay;
    }

    /// How a centre is reached now.
    pub fn reach(&self, paths: &Paths, centre: u16, now: u32) -> Reach {
        let relay = self.relay(centre);
        if let Some(cost) = cost_by(paths, (centre, relay), now) {
            return Reach::By { cost, relay };
        }
        match paths.from_here(centre, now) {
            Path::Down => Reach::Down,
            Path::Unknown | Path::Up { .. } => Reach::Unknown,
        }
    }

    /// Chooses a relay for each centre, at the end of a round or, when `is_round` is not set, only where a way has
    /// failed; gives the centres whose relay is another one now.
    pub fn choose(&mut self, paths: &Paths, now: u32, is_round: bool) -> Vec<(u16, u16)> {
        let mut centres: Vec<u16> = paths.others().collect();
        centres.sort_unstable();
        self.standing.retain(|centre, _| centres.binary_search(centre).is_ok());
        let mut changes = Vec::new();
        for centre in &centres {
            let standing = self.standing.entry(*centre).or_default();
            let before = standing.choice;
            if let Some(choice) = chosen((paths, &centres), *centre, is_round, standing, now) {
                standing.take(choice, now);
            }
            if standing.choice != before {
                changes.push((*centre, standing.choice));
            }
        }
        changes
    }
}

/// What is to be chosen instead, if anything.
fn chosen(
    (paths, centres): (&Paths, &[u16]),
    centre: u16,
    is_round: bool,
    standing: &mut Standing<u16>,
    now: u32,
) -> Option<u16> {
    let straight = paths.from_here(centre, now);
    // All others are looked at for it, so only where it matters.
    let best = || best_relay(paths, centre, centres, now);
    let Some(current) = cost_by(paths, (centre, standing.choice), now) else {
        // What is not known is no reason for a detour.
        let choice = match straight {
            Path::Down => best().map_or(0, |(_, relay)| relay),
            Path::Unknown | Path::Up { .. } => 0,
        };
        return (choice != standing.choice).then_some(choice);
    };
    if !is_round {
        return None;
    }
    let straight = straight.cost();
    let relayed = best().filter(|(cost, _)| straight.is_none_or(|s| is_worth_leaving(s, *cost)));
    let other = relayed.into_iter().chain(straight.map(|cost| (cost, 0))).min();
    let other = other.filter(|(cost, way)| *way != standing.choice && is_better(current, *cost));
    standing.press(other.map(|(_, way)| way), now).then_some(standing.challenger)
}

/// The best relay to a centre with its cost.
fn best_relay(paths: &Paths, centre: u16, centres: &[u16], now: u32) -> Option<(u32, u16)> {
    let relays = centres.iter().filter(|relay| **relay != centre);
    relays.filter_map(|relay| Some((cost_by(paths, (centre, *relay), now)?, *relay))).min()
}

/// The cost of a way to a centre: straight or through a relay.
fn cost_by(paths: &Paths, (centre, relay): (u16, u16), now: u32) -> Option<u32> {
    if relay == 0 {
        return paths.from_here(centre, now).cost();
    }
    Some(paths.from_here(relay, now).cost()? + paths.between(relay, centre, now).cost()? + RELAY)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shm::message::Path as Told;

    use super::*;

    fn paths(straight: u64, here: u64, there: u64, now: u32) -> Paths {
        let mut paths = Paths::default();
        paths.follow(1, &[1, 7, 9]);
        let ms = |ms| Some(Duration::from_millis(ms));
        paths.probe(7, ms(here), now);
        paths.probe(9, ms(straight), now);
        paths.tell(7, Told { to: 9, rtt: ms(there), lost: 0 }, now);
        paths
    }

    #[test]
    fn a_relay_is_taken_after_three_rounds_and_left_when_it_is_worth_nothing_any_more() {
        let mut ways = Ways::default();
        let detour = paths(100, 20, 30, 1000);
        assert_eq!(ways.choose(&detour, 1000, true), []);
        assert_eq!(ways.choose(&detour, 1010, true), []);
        assert_eq!(ways.reach(&detour, 9, 1010), Reach::By { cost: 100 * MS, relay: 0 });
        assert_eq!(ways.choose(&detour, 1020, true), [(9, 7)]);
        assert_eq!(ways.reach(&detour, 9, 1020), Reach::By { cost: 52 * MS, relay: 7 });
        let again = |at: u32| paths(30, 20, 30, at);
        let rounds = (103..110).map(|at| at * 10);
        let left: Vec<u32> =
            rounds.filter(|now| !ways.choose(&again(*now), *now, true).is_empty()).collect();
        assert_eq!(left, [1080], "it is held for a minute");
    }

    #[test]
    fn a_relay_is_not_taken_for_less_than_five_milliseconds() {
        let mut ways = Ways::default();
        for (there, is_taken) in [(27, false), (26, true)] {
            for round in 0..3 {
                let paths = paths(53, 20, there, 1000);
                let changed = !ways.choose(&paths, 1000, true).is_empty();
                assert_eq!(changed, is_taken && round == 2, "{there}");
            }
        }
    }

    #[test]
    fn a_way_that_fails_is_left_at_once_but_for_what_is_not_known() {
        let mut ways = Ways::default();
        let mut lost = paths(100, 20, 90, 1000);
        assert_eq!(ways.choose(&lost, 1000, false), []);
        for _ in 0..3 {
            lost.probe(9, None, 1001);
        }
        assert_eq!(ways.choose(&lost, 1001, false), [(9, 7)]);
        for _ in 0..3 {
            lost.probe(7, None, 1001);
        }
        assert_eq!(ways.choose(&lost, 1001, false), [(9, 0)]);
        assert_eq!(ways.reach(&lost, 9, 1001), Reach::Down);
        assert_eq!(ways.choose(&lost, 2000, false), []);
        assert_eq!(ways.reach(&lost, 9, 2000), Reach::Unknown);
    }
}
