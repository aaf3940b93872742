//! Buckets against exact ones in a map, and under attack.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;
const SEED: u64 = 0x5eed;

/// An exact bucket: tokens times the second, so that nothing is rounded.
#[derive(Clone, Copy)]
struct Exact {
    per_second: u64,
    depth: u128,
    tokens: u128,
    at: u64,
}

impl Exact {
    fn new(per_second: u64, burst: u64) -> Self {
        let depth = u128::from(burst) * u128::from(SECOND);
        Self { per_second, depth, tokens: depth, at: 0 }
    }

    fn refill(&mut self, now: u64) {
        let came = u128::from(now - self.at) * u128::from(self.per_second);
        (self.tokens, self.at) = ((self.tokens + came).min(self.depth), now);
    }

    fn take(&mut self, len: u64, now: u64) -> bool {
        self.refill(now);
        let left = self.tokens.checked_sub(u128::from(len) * u128::from(SECOND));
        self.tokens = left.unwrap_or(self.tokens);
        left.is_some()
    }
}

fn source(number: u32) -> Address {
    Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

/// Packets that pass of those that come `offered` times per second, for ten bursts and more.
fn share(rate: Rate, len: u32, offered: u64, start: u64) -> (u64, u64) {
    let mut buckets = Buckets::new(64, SEED);
    let place = buckets.place(source(1), 1);
    let count = 200_000;
    let at = |n: u64| Instant(start + n * SECOND / offered);
    let taken = (0..count).filter(|n| buckets.take(place, &rate, len, at(*n)) == Verdict::Within);
    (taken.count() as u64, count * SECOND / offered)
}

proptest! {
    #[test]
    fn a_source_alone_gets_what_its_rate_gives_and_less_than_a_percent_more(
        per_second in 1..=1_000_000_u64,
        burst in 1..100_u64,
        start in prop_oneof![0..SECOND, Just((1 << 51) - SECOND), Just(u64::MAX / 2)],
        gaps in vec(0..2_000_u64, 1..500),
    ) {
        let rate = Rate::packets(per_second, burst).unwrap();
        let mut buckets = Buckets::new(8, SEED);
        let place = buckets.place(source(1), 1);
        let mut exact = Exact::new(per_second, burst);
        let (mut now, mut passed) = (start, 0_u64);
        for gap in gaps {
            now += gap * SECOND / 1_000 / per_second;
            // What ours lets pass costs the exact one as well, as far as it has it.
            exact.refill(now);
            let ours = buckets.take(place, &rate, 64, Instant(now)) == Verdict::Within;
            prop_assert!(ours || exact.tokens < u128::from(SECOND), "stricter at {}", now);
            if ours {
                passed += 1;
                exact.tokens = exact.tokens.saturating_sub(u128::from(SECOND));
            }
        }
        let came = u128::from(now - start) * u128::from(per_second) / u128::from(SECOND);
        let due = u128::from(burst) + came;
        prop_assert!(u128::from(passed) * 100 <= due * 101 + 200, "{} of {}", passed, due);
    }

    #[test]
    fn sources_beside_each_other_get_what_exact_buckets_give(
        packets in vec((0..200_u32, 1..3_u16, 64..1_500_u32, 0..2_000_000_u64), 1..1_000),
    ) {
        // The seed and the sources are always the same, so no two of them ever share an entry by chance.
        let mut buckets = Buckets::new(1 << 14, SEED);
        let mut model = HashMap::new();
        let rates = [(100, Rate::packets(100, 5)), (20_000, Rate::octets(20_000, 4_000))];
        let mut now = SECOND;
        for (number, slot, len, gap) in packets {
            now += gap;
            let (per_second, rate) = rates[usize::from(slot - 1)];
            let (burst, cost) = if slot == 1 { (5, 1) } else { (4_000, u64::from(len)) };
            let exact = model.entry((number, slot)).or_insert_with(|| Exact::new(per_second, burst));
            let place = buckets.place(source(number), slot.into());
            let ours = buckets.take(place, &rate.unwrap(), len, Instant(now));
            let near = |exact: &mut Exact| {
                // Within the rounding of one stamp, either is right.
                exact.refill(now);
                let missing = u128::from(cost * SECOND).saturating_sub(exact.tokens);
                missing > 0 && missing <= u128::from(per_second) * 1_000
            };
            if near(exact) {
                exact.tokens = if ours == Verdict::Within { 0 } else { exact.tokens };
                continue;
            }
            let theirs = if exact.take(cost, now) { Verdict::Within } else { Verdict::Over };
            prop_assert_eq!(ours, theirs, "source {} slot {} at {}", number, slot, now);
        }
    }

    #[test]
    fn no_jump_of_time_locks_a_source_for_longer_than_its_burst_takes(
        jumps in vec((any::<u64>(), 0..40_usize), 1..20),
    ) {
        let rate = Rate::packets(1_000, 10).unwrap();
        let mut buckets = Buckets::new(8, SEED);
        let place = buckets.place(source(1), 1);
        for (start, packets) in jumps {
            // Far from the end of time, so that there is a later.
            let start = start / 2;
            let mut take = |now| buckets.take(place, &rate, 64, Instant(now)) == Verdict::Within;
            let within = (0..packets).filter(|_| take(start)).count();
            prop_assert!(within <= 10);
            let later = start + 10_000_000 + 100;
            prop_assert_eq!((0..20).filter(|_| take(later)).count(), 10);
        }
    }
}

#[test]
fn is_precise_at_all_rates_that_a_source_may_have() {
    for per_second in [1, 3, 100, 1_500, 99_999, 333_333, 700_001, 1_000_000] {
        let rate = Rate::packets(per_second, 10).unwrap();
        let (passed, nanos) = share(rate, 64, per_second * 3, SECOND);
        let due = nanos * per_second / SECOND + 10;
        assert!(passed + 2 >= due && passed * 100 <= due * 101, "{per_second}: {passed} of {due}");
    }
    for (per_second, len) in [(10_000, 1_500), (125_000_000, 64), (1_250_000_000, 1_500)] {
        let rate = Rate::octets(per_second, 100_000).unwrap();
        let (passed, nanos) = share(rate, len, per_second * 3 / u64::from(len), SECOND);
        let due = nanos * per_second / SECOND + 100_000;
        let octets = passed * u64::from(len);
        assert!(
            octets + 4_000 >= due && octets * 100 <= due * 102,
            "{per_second}: {octets} of {due}"
        );
    }
}

#[test]
fn what_is_over_takes_no_token() {
    let rate = Rate::octets(1_000, 3_000).unwrap();
    let mut buckets = Buckets::new(8, SEED);
    let place = buckets.place(source(1), 1);
    let mut take = |len, ms: u64| buckets.take(place, &rate, len, Instant(SECOND + ms * 1_000_000));
    assert_eq!(take(2_000, 0), Verdict::Within);
    for _ in 0..100 {
        assert_eq!(take(1_500, 0), Verdict::Over);
    }
    assert_eq!(take(1_000, 0), Verdict::Within, "the smaller one still has its octets");
    assert_eq!(take(1_000, 999), Verdict::Over);
    assert_eq!(take(1_000, 1_001), Verdict::Within);
}

#[test]
fn a_full_set_refuses_nobody_and_leaves_those_in_it_alone() {
    let rate = Rate::packets(10, 2).unwrap();
    let mut buckets = Buckets::new(8, SEED);
    assert_eq!(buckets.octets(), 64);
    let place = |buckets: &Buckets, number| buckets.place(source(number), 1);
    for number in 0..8 {
        let place = place(&buckets, number);
        assert_eq!(buckets.take(place, &rate, 64, Instant(SECOND)), Verdict::Within, "{number}");
    }
    for number in 8..1_000 {
        let place = place(&buckets, number);
        assert_eq!(buckets.take(place, &rate, 64, Instant(SECOND)), Verdict::Full, "{number}");
    }
    for number in 0..8 {
        let place = place(&buckets, number);
        assert_eq!(buckets.take(place, &rate, 64, Instant(SECOND)), Verdict::Within, "{number}");
        assert_eq!(buckets.take(place, &rate, 64, Instant(SECOND)), Verdict::Over, "{number}");
    }
    // When their tokens are back they say nothing any more, and make room.
    let later = Instant(SECOND + SECOND / 5 + 100);
    let newcomer = place(&buckets, 77);
    assert_eq!(buckets.take(newcomer, &rate, 64, later), Verdict::Within);
}

#[test]
fn a_source_keeps_its_entry_when_one_before_it_is_over() {
    let (short, long) = (Rate::packets(1_000, 1).unwrap(), Rate::packets(1, 1).unwrap());
    let mut buckets = Buckets::new(8, SEED);
    let (first, second) = (buckets.place(source(1), 1), buckets.place(source(2), 2));
    assert_eq!(buckets.take(first, &short, 64, Instant(SECOND)), Verdict::Within);
    assert_eq!(buckets.take(second, &long, 64, Instant(SECOND)), Verdict::Within);
    let later = Instant(SECOND + SECOND / 2);
    assert_eq!(buckets.take(second, &long, 64, later), Verdict::Over);
}

#[test]
fn a_step_back_of_time_beyond_the_burst_gives_all_tokens_back() {
    let rate = Rate::packets(10, 3).unwrap();
    let mut buckets = Buckets::new(8, SEED);
    let place = buckets.place(source(1), 1);
    // A minute, which another rate could have spent.
    for second in [120, 60] {
        let mut take = || buckets.take(place, &rate, 64, Instant(second * SECOND));
        assert_eq!([take(), take(), take()], [Verdict::Within; 3], "at {second} s");
        assert_eq!(take(), Verdict::Over, "at {second} s");
    }
}

#[test]
fn a_stamp_from_before_time_went_back_counts_for_nothing() {
    let rate = Rate::packets(10, 1).unwrap();
    let mut buckets = Buckets::new(8, SEED);
    let day = 86_400 * SECOND;
    for number in 0..8 {
        let place = buckets.place(source(number), 1);
        assert_eq!(buckets.take(place, &rate, 64, Instant(day)), Verdict::Within);
    }
    // All entries lie a day ahead now, and are free for others and for their own.
    for number in 4..12 {
        let place = buckets.place(source(number), 1);
        assert_eq!(buckets.take(place, &rate, 64, Instant(SECOND)), Verdict::Within, "{number}");
        assert_eq!(buckets.take(place, &rate, 64, Instant(SECOND)), Verdict::Over, "{number}");
    }
}

#[test]
fn what_is_over_does_not_come_back_when_stamps_begin_anew() {
    let rate = Rate::packets(10, 2).unwrap();
    let mut buckets = Buckets::new(8 * 100, SEED);
    let full = |buckets: &mut Buckets, sources: std::ops::Range<u32>, now| {
        let places: Vec<Place> = sources.map(|number| buckets.place(source(number), 1)).collect();
        let take = |place: &&Place| buckets.take(**place, &rate, 64, Instant(now)) == Verdict::Full;
        places.iter().filter(take).count()
    };
    let at_first = full(&mut buckets, 0..2_000, SECOND);
    assert!((900..1_100).contains(&at_first), "{at_first}");
    let mut lazy = buckets.clone();
    for second in [2, 3] {
        buckets.expire(Instant(second * SECOND));
    }
    let again = SECOND + (1 << (STAMP_BITS + UNIT_BITS)) - SECOND / 20;
    assert!(full(&mut lazy, 10_000..12_000, again) > 1_990, "without it old stamps fill the table");
    assert!((900..1_100).contains(&full(&mut buckets, 10_000..12_000, again)));
    // What is not over stays.
    for _ in 0..2 {
        buckets.expire(Instant(again));
    }
    assert!(full(&mut buckets, 20_000..22_000, again) > 1_990);
}

#[test]
fn sources_that_meet_under_a_guessed_seed_spread_under_the_true_one() {
    let sets = |seed: u64, sources: &[u32]| -> Vec<Place> {
        let buckets = Buckets::new(8 << 10, seed);
        sources.iter().map(|number| buckets.place(source(*number), 1)).collect()
    };
    let all: Vec<u32> = (0..1_000_000).collect();
    let guessed = sets(SEED, &all);
    let alike: Vec<u32> = all.iter().copied().filter(|n| guessed[*n as usize].set == 77).collect();
    assert!(alike.len() > 800);
    // One wrong bit in the guess is enough.
    for bit in 0..64 {
        let mut counts = HashMap::<u32, usize>::new();
        let places = sets(SEED ^ 1 << bit, &alike);
        for place in places {
            *counts.entry(place.set).or_default() += 1;
        }
        let most = counts.values().max().unwrap();
        assert!(counts.len() > 550 && *most < 12, "bit {bit}: {most} in one of {}", counts.len());
    }
}

#[test]
fn no_word_of_an_address_makes_the_rest_of_it_count_for_nothing() {
    // Constants of the hash must not be addresses under which everything meets.
    let buckets = Buckets::new(8 << 16, SEED);
    for word in [0, u64::MAX, 0x9e37_79b9_7f4a_7c15, 0x2001_0db8_0000_0000] {
        let places: HashSet<(u32, u16)> = (0..1_000_u128)
            .flat_map(|n| [u128::from(word) << 64 | n, n << 64 | u128::from(word)])
            .map(|bits| buckets.place(bits.into(), 1))
            .map(|place| (place.set, place.tag))
            .collect();
        assert!(places.len() >= 1_999, "{word:#x}: {}", places.len());
    }
}

#[test]
fn a_scope_is_the_prefix_of_each_family() {
    let around = |scope: Scope, text: &str| {
        IpAddr::from(scope.around(text.parse::<IpAddr>().unwrap().into())).to_string()
    };
    let scope = Scope::new(24, 56);
    assert_eq!(around(scope, "10.1.2.3"), "10.1.2.0");
    assert_eq!(around(scope, "2001:db8:1:2345::6"), "2001:db8:1:2300::");
    assert_eq!(around(Scope::new(0, 0), "10.1.2.3"), "0.0.0.0");
    assert_eq!(around(Scope::new(0, 0), "2001:db8::1"), "::");
    assert_eq!(around(Scope::new(32, 128), "10.1.2.3"), "10.1.2.3");
    assert_eq!(around(Scope::new(99, 200), "2001:db8::1"), "2001:db8::1");
}

#[test]
fn rules_do_not_share_buckets() {
    let buckets = Buckets::new(1 << 10, SEED);
    let places: HashSet<_> = (0..500)
        .map(|slot| buckets.place(source(1), slot))
        .map(|place| (place.set, place.tag))
        .collect();
    assert_eq!(places.len(), 500);
}
