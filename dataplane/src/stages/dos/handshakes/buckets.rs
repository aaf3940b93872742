//! Token buckets of sources in a table of fixed size: nothing is ever pushed out of it, so nobody gets a bucket back
//! full before its time by filling the table.

use std::time::Duration;

use wireguard::time::Instant;

use super::known::Source;

/// Entries that may hold a source.
const WAYS: usize = 8;

/// What a bucket gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// A token, and the bucket was full.
    First,
    /// A token.
    Further,
    /// The bucket is empty.
    Refused,
    /// There is no room for another bucket.
    NoRoom,
}

/// A bucket, as [`crate::limiter::Limiter`] has it; one that is full again is a free entry.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    mark: u32,
    /// The time up to which its tokens are spent.
    spent_until: Instant,
}

/// Buckets of one kind.
#[derive(Debug)]
pub(super) struct Buckets {
    cost: Duration,
    depth: Duration,
    lines: Box<[[Entry; WAYS]]>,
}

impl Buckets {
    /// Room for `count` buckets of `burst` tokens, of which one comes back each `cost`.
    pub(super) fn new(count: usize, cost: Duration, burst: u32) -> Self {
        let lines = count.div_ceil(WAYS).next_power_of_two();
        let depth = cost * (burst - 1);
        Self { cost, depth, lines: vec![[Entry::default(); WAYS]; lines].into() }
    }

    /// Takes a token of a source.
    #[inline]
    pub(super) fn take(&mut self, source: Source, now: Instant) -> Grant {
        let place = source.place(self.lines.len() - 1);
        let Some(line) = self.lines.get_mut(place) else { return Grant::NoRoom };
        let mark = source.mark();
        let full_at = now - self.depth;
        if let Some(entry) = line.iter_mut().find(|entry| entry.mark == mark) {
            if entry.spent_until > now {
                return Grant::Refused;
            }
            let grant = if entry.spent_until <= full_at { Grant::First } else { Grant::Further };
            entry.spent_until = entry.spent_until.max(full_at) + self.cost;
            return grant;
        }
        let Some(entry) = line.iter_mut().find(|entry| entry.spent_until <= full_at) else {
            return Grant::NoRoom;
        };
        *entry = Entry { mark, spent_until: full_at + self.cost };
        Grant::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limiter::Limiter;
    use crate::stages::dos::Known;
    use crate::table::Key;
    use std::collections::HashMap;

    const START: Instant = Instant(1_000_000_000_000);
    const COST: Duration = Duration::from_millis(100);

    fn is_granted(grant: Grant) -> bool {
        matches!(grant, Grant::First | Grant::Further)
    }

    #[test]
    fn grants_what_a_limiter_for_each_source_grants() {
        for seed in 0..20 {
            let known = Known::new(1, seed);
            let mut buckets = Buckets::new(4096, COST, 5);
            let mut model = HashMap::new();
            let mut now = START;
            for step in 0..20_000_u64 {
                let dice = step.hash(seed);
                now = now + Duration::from_micros(dice % 2_000);
                // A quarter of the steps are of one source.
                let source = u32::try_from(dice >> 32 & 0xff).unwrap().saturating_sub(0xc0);
                let limiter = model.entry(source).or_insert_with(|| Limiter::new(10, 5));
                let granted = is_granted(buckets.take(known.index(source), now));
                assert_eq!(granted, limiter.take(now), "seed {seed} step {step}");
            }
        }
    }

    #[test]
    fn tells_who_has_not_come_for_a_while() {
        let (known, mut buckets) = (Known::new(1, 1), Buckets::new(8, COST, 3));
        let mut take = |ms| buckets.take(known.index(7), START + Duration::from_millis(ms));
        assert_eq!([take(0), take(0), take(0)], [Grant::First, Grant::Further, Grant::Further]);
        assert_eq!([take(0), take(100)], [Grant::Refused, Grant::Further]);
        assert_eq!([take(399), take(699)], [Grant::Further, Grant::First]);
    }

    #[test]
    fn a_full_table_neither_grows_nor_forgets() {
        let (known, mut buckets) = (Known::new(1, 1), Buckets::new(8, COST, 2));
        let mut take = |number, now| buckets.take(known.index(number), now);
        for number in 0..8 {
            assert_eq!(take(number, START), Grant::First);
            assert_eq!(take(number, START), Grant::Further);
        }
        assert_eq!(take(8, START), Grant::NoRoom);
        assert_eq!(take(0, START), Grant::Refused, "nobody was pushed out");
        assert_eq!(take(8, START + COST * 2), Grant::First, "a full bucket is no bucket");
    }
}
