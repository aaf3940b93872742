//! The table against the stupidest thing that could say the same: all dials in lists, all sums in floating point.

use std::collections::HashMap;

use super::*;
use crate::argo::rows::Seed;

const EXITS: [u16; 8] = [0, 2, 3, 4, 5, 6, 7, 8];

/// Prefix and exit, with the times of all dials in milliseconds; none for one that failed.
#[derive(Default)]
struct Naive {
    dials: HashMap<(IpNet, u16), Vec<Option<u32>>>,
    ways: HashMap<u16, u32>,
}

impl Naive {
    fn hear(&mut self, prefixes: &[IpNet], dial: (IpAddr, u16), time: Option<u32>) {
        for prefix in prefixes.iter().filter(|prefix| prefix.contains(&dial.0)) {
            self.dials.entry((*prefix, dial.1)).or_default().push(time);
        }
    }

    /// What a prefix costs by an exit, in milliseconds; none when it is not known.
    fn cost(&self, prefixes: &[IpNet], prefix: IpNet, exit: u16) -> Option<f64> {
        let way = *self.ways.get(&exit)?;
        let mut around: Vec<&IpNet> =
            prefixes.iter().filter(|other| other.contains(&prefix)).collect();
        around.sort_by_key(|other| std::cmp::Reverse(other.prefix_len()));
        let answered = |dials: &[Option<u32>]| dials.iter().flatten().count();
        let known = around.iter().find_map(|other| {
            self.dials.get(&(**other, exit)).filter(|dials| answered(dials) >= 20)
        })?;
        let last: Vec<Option<u32>> = known.iter().rev().take(32).copied().collect();
        let mut times: Vec<u32> = last.iter().flatten().copied().collect();
        times.sort_unstable();
        let quantile = |q: usize| f64::from(times[(times.len() * q).div_ceil(100) - 1]);
        let (half, most) = (quantile(50), quantile(90));
        let missing = f64::from(u32::try_from(last.len() - times.len()).unwrap());
        Some(f64::from(way) + half + (most - half) / 4.0 + missing * 1000.0 / 32.0)
    }
}

/// Prefixes of a few lengths, some within others.
fn prefixes(random: &mut Random) -> Vec<IpNet> {
    let mut prefixes: Vec<IpNet> = (0..60)
        .map(|_| {
            let len = [8, 12, 16, 20, 24][usize::try_from(random.below(5)).unwrap()];
            let address = 0x0a00_0000 | u32::try_from(random.below(1 << 18)).unwrap() << 6;
            IpNet::from(Ipv4Net::new(Ipv4Addr::from(address), len).unwrap()).trunc()
        })
        .collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}

#[test]
fn costs_are_those_of_a_naive_table() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let prefixes = prefixes(&mut random);
        let mut table = Table::new(BEGIN, ROUND);
        let seeds = prefixes.iter().map(|prefix| Seed { prefix: *prefix, group: 0, choice: 0 });
        table.follow(Subject {
            here: 1,
            centres: EXITS.into_iter().skip(1).chain([1]).map(centre).collect(),
            groups: vec![Group::new(5, EXITS.into())],
            seeds: seeds.collect(),
        });
        let mut naive = Naive::default();
        naive.ways.insert(0, 0);
        // Of the last one nothing is known.
        for exit in &EXITS[1..7] {
            let rtt = 10 + random.below(90);
            (0..3).for_each(|_| probes(&mut table, *exit, rtt, LATER));
            naive.ways.insert(*exit, u32::try_from(rtt).unwrap());
        }
        for _ in 0..6000 {
            let to = IpAddr::from(Ipv4Addr::from(
                0x0a00_0000 | u32::try_from(random.below(1 << 24)).unwrap(),
            ));
            let exit = EXITS[usize::try_from(random.below(8)).unwrap()];
            let way = u64::from(naive.ways.get(&exit).copied().unwrap_or(0));
            // Whole milliseconds, and never three failures in a row.
            let time = (random.below(20) > 0).then(|| 1 + random.below(400));
            let twice = naive.dials.values().any(|dials| dials.ends_with(&[None, None]));
            if time.is_none() && twice {
                continue;
            }
            let answer = time.map(|time| ms(way + time)).ok_or(DialFailure::TimedOut);
            table.dial(&Dial { to, exit, relay: 0, answer }, LATER);
            naive.hear(&prefixes, (to, exit), time.map(|time| u32::try_from(time).unwrap()));
        }
        let mut known = 0;
        for prefix in &prefixes {
            let row = table.row(prefix).unwrap();
            let seen = table.explain(row, LATER).unwrap();
            for exit in &seen.exits {
                let cost = naive.cost(&prefixes, *prefix, exit.exit);
                let ours = exit.cost.map(|cost| cost.as_secs_f64() * 1000.0);
                // What is cut off: a tick of the spread, and less than one of each failure.
                let close = match (cost, ours) {
                    (Some(cost), Some(ours)) => (cost - ours).abs() < 0.2,
                    (cost, ours) => cost.is_none() && ours.is_none(),
                };
                assert!(close, "seed {seed}: {prefix} by {}: {cost:?}, {ours:?}", exit.exit);
                known += usize::from(cost.is_some());
            }
        }
        assert!(known > 50, "seed {seed}: {known}");
    }
}

#[test]
fn in_the_end_each_prefix_has_an_exit_that_none_is_better_than() {
    for seed in 0..10 {
        let mut random = Random::new(seed);
        let mut table = Table::new(BEGIN, ROUND);
        table.follow(Subject { centres: EXITS.map(centre).into(), ..subject(&EXITS, 100) });
        let best: Vec<Vec<u64>> =
            (0..100).map(|_| EXITS.iter().map(|_| 1 + random.below(200)).collect()).collect();
        for (number, times) in (0..).zip(&best) {
            for (exit, time) in EXITS.iter().zip(times) {
                let way = if *exit == 0 { 0 } else { 10 };
                dials(&mut table, (*exit, way), number, &[*time; 20], LATER);
            }
        }
        let changes = rounds(&mut table, LATER, 90, |table, now| {
            EXITS.iter().skip(1).for_each(|exit| probes(table, *exit, 10, now));
        });
        assert!(changes.iter().all(|changes| changes.led.len() <= 10), "seed {seed}: a tenth");
        for (number, times) in (0..).zip(&best) {
            let cost = |lane: usize| times[lane] + if lane == 0 { 0 } else { 10 };
            let row = table.row(&prefix(number)).unwrap();
            let exit = table.explain(row, LATER + 900).unwrap().exit;
            let lane = EXITS.iter().position(|other| *other == exit).unwrap();
            let least = (0..8).map(cost).min().unwrap();
            let margin = (cost(lane) / 20).max(3).max(if lane == 0 { 5 } else { 0 });
            assert!(
                cost(lane) <= least + margin,
                "seed {seed}: {number} goes by {exit}: {times:?}"
            );
            assert!(lane == 0 || cost(lane) + 5 <= cost(0), "seed {seed}: {number}: {times:?}");
        }
    }
}
