//! How often who may ask: so often per source, per neighbourhood of sources, and in total, in tables of fixed size.
//!
//! Each limit is a token bucket, kept as the one moment at which it will be full again (GCRA). Sources find their
//! buckets by a keyed hash, one in each of four rows; the emptiest bucket that a source shares with nobody tells the
//! truth, so the fullest of the four is believed. A stranger is starved only when others have emptied all four of
//! its buckets. They cannot keep many empty: that takes admitted requests, and the total bounds those. With the rates
//! below 2,000 of 65,536 buckets of a row at the worst, which starves one source in a million.

use std::net::IpAddr;
use std::time::Duration;

use siphasher::sip::SipHasher13;

use crate::http::prefix;

/// Buckets in each row; a row's place is 16 bits of the hash.
const ROW_LEN: usize = 1 << 16;

/// Rows of a table.
const ROWS: usize = 4;

/// A token bucket's measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// Time in which one token comes, nanoseconds.
    interval: u64,
    /// How long an empty bucket takes until it is full, less one token's time.
    tolerance: u64,
}

impl Rate {
    /// So many in a period, and as many at once.
    pub(super) fn new(count: u32, period: Duration) -> Self {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        let interval = (period / u64::from(count.max(1))).max(1);
        Self { interval, tolerance: interval.saturating_mul(u64::from(count.max(1)) - 1) }
    }

    /// How long to wait until the bucket that is full at `full_at` has a token; zero when it has one.
    fn wait(self, full_at: u64, now: u64) -> u64 {
        full_at.saturating_sub(self.tolerance).saturating_sub(now)
    }

    /// When it will be full after a token is taken.
    fn taken(self, full_at: u64, now: u64) -> u64 {
        full_at.max(now).saturating_add(self.interval)
    }
}

/// The limits that a request must pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rates {
    /// For one IPv4 address or IPv6 /64: what one customer has.
    pub(super) source: Rate,
    /// For one IPv4 /24 or IPv6 /48: what somebody has who has many.
    pub(super) neighbourhood: Rate,
    /// For all together.
    pub(super) total: Rate,
}

struct Table {
    rate: Rate,
    rows: Vec<[u64; ROWS]>,
}

impl Table {
    fn new(rate: Rate) -> Self {
        Self { rate, rows: vec![[0; ROWS]; ROW_LEN] }
    }

    fn places(hash: u64) -> [usize; ROWS] {
        [0, 16, 32, 48].map(|shift| usize::try_from(hash >> shift & 0xffff).unwrap_or(0))
    }

    fn full_at(&self, hash: u64) -> u64 {
        let at = |(row, place): (usize, usize)| self.rows.get(place)?.get(row).copied();
        Self::places(hash).into_iter().enumerate().filter_map(at).min().unwrap_or(0)
    }

    fn take(&mut self, hash: u64, now: u64) {
        let taken = self.rate.taken(self.full_at(hash), now);
        for (row, place) in Self::places(hash).into_iter().enumerate() {
            if let Some(bucket) = self.rows.get_mut(place).and_then(|buckets| buckets.get_mut(row))
            {
                *bucket = (*bucket).max(taken);
            }
        }
    }
}

/// The buckets of one kind of request.
pub(super) struct Limiter {
    hash: SipHasher13,
    sources: Table,
    neighbourhoods: Table,
    total: (Rate, u64),
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").finish_non_exhaustive()
    }
}

impl Limiter {
    /// All buckets full. Nobody else may know the key.
    pub(super) fn new(rates: Rates, key: &[u8; 16]) -> Self {
        Self {
            hash: SipHasher13::new_with_key(key),
            sources: Table::new(rates.source),
            neighbourhoods: Table::new(rates.neighbourhood),
            total: (rates.total, 0),
        }
    }

    /// Takes a token from each bucket of a source, or none of any and tells how long to wait at least. `now` counts
    /// from any moment and does not go back.
    pub(super) fn admit(&mut self, source: IpAddr, now: Duration) -> Result<(), Duration> {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let own = self.hash.hash(&prefix(source).to_le_bytes());
        let near = self.hash.hash(&neighbourhood(source).to_le_bytes());
        let (rate, full_at) = self.total;
        let wait = self
            .sources
            .rate
            .wait(self.sources.full_at(own), now)
            .max(self.neighbourhoods.rate.wait(self.neighbourhoods.full_at(near), now))
            .max(rate.wait(full_at, now));
        if wait > 0 {
            return Err(Duration::from_nanos(wait));
        }
        self.sources.take(own, now);
        self.neighbourhoods.take(near, now);
        self.total.1 = rate.taken(full_at, now);
        Ok(())
    }
}

/// The first 24 bits of IPv4, the first 48 of IPv6.
fn neighbourhood(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(_) => prefix(address) & !0xff,
        IpAddr::V6(_) => prefix(address) & (u128::MAX << 80),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// A token bucket as it is defined: credit that grows with time up to a bound.
    struct Bucket {
        credit: u128,
        at: u64,
    }

    #[derive(Default)]
    struct Model(HashMap<(u8, u128), Bucket>);

    impl Model {
        fn bucket(&mut self, key: (u8, u128), count: u32, interval: u64, now: u64) -> &mut Bucket {
            let bound = u128::from(count) * u128::from(interval);
            let bucket = self.0.entry(key).or_insert(Bucket { credit: bound, at: now });
            bucket.credit = (bucket.credit + u128::from(now - bucket.at)).min(bound);
            bucket.at = now;
            bucket
        }

        fn admit(&mut self, keys: [((u8, u128), u32, u64); 3], now: u64) -> bool {
            let enough = keys.iter().all(|(key, count, interval)| {
                self.bucket(*key, *count, *interval, now).credit >= u128::from(*interval)
            });
            if enough {
                for (key, count, interval) in keys {
                    self.bucket(key, count, interval, now).credit -= u128::from(interval);
                }
            }
            enough
        }
    }

    fn address(number: u16) -> IpAddr {
        let [high, low] = number.to_be_bytes();
        if number.is_multiple_of(3) {
            return Ipv4Addr::new(192, 0, high % 2, low % 8).into();
        }
        let segments = [0x2001, 0xdb8, u16::from(high % 2), u16::from(low % 8), number, 1, 2, 3];
        Ipv6Addr::from(segments).into()
    }

    proptest! {
        /// Few sources share no four buckets, so the tables must say what exact ones do.
        #[test]
        fn admits_what_exact_buckets_admit(
            requests in proptest::collection::vec((any::<u16>(), 0_u64..3_000), 1..400),
            counts in (1_u32..6, 1_u32..12, 1_u32..24),
            key in any::<[u8; 16]>(),
        ) {
            let period = Duration::from_micros(12);
            let rate = |count| Rate::new(count, period);
            let interval = |count: u32| 12_000 / u64::from(count);
            let (source, near, total) = counts;
            let rates = Rates { source: rate(source), neighbourhood: rate(near), total: rate(total) };
            let (mut limiter, mut model) = (Limiter::new(rates, &key), Model::default());
            let mut now = 0;
            for (number, later) in requests {
                now += later;
                let from = address(number);
                let keys = [
                    ((0, prefix(from)), source, interval(source)),
                    ((1, neighbourhood(from)), near, interval(near)),
                    ((2, 0), total, interval(total)),
                ];
                let expected = model.admit(keys, now);
                let got = limiter.admit(from, Duration::from_nanos(now));
                prop_assert_eq!(got.is_ok(), expected, "{} at {}", from, now);
                if let Err(wait) = got {
                    prop_assert!(wait > Duration::ZERO);
                }
            }
        }

        /// However crowded the tables are, nobody gets more than its own bucket has.
        #[test]
        fn a_crowd_gives_nobody_more(sources in proptest::collection::vec(0_u32..40, 1..800)) {
            let many = Rate::new(1_000_000, Duration::from_secs(1));
            let rates = Rates { source: Rate::new(3, Duration::from_mins(1)), neighbourhood: many, total: many };
            let mut limiter = Limiter::new(rates, &[1; 16]);
            // Rows so short that all buckets are shared.
            limiter.sources.rows.truncate(1);
            limiter.sources.rows.resize(ROW_LEN, [0; ROWS]);
            let mut admitted = HashMap::new();
            for source in sources {
                let from = Ipv4Addr::from_bits(source << 8).into();
                if limiter.admit(from, Duration::ZERO).is_ok() {
                    *admitted.entry(source).or_insert(0) += 1;
                }
            }
            prop_assert!(admitted.values().all(|count| *count <= 3), "{admitted:?}");
        }
    }

    #[test]
    fn a_flood_from_everywhere_leaves_room_for_the_rest() {
        let rates = Rates {
            source: Rate::new(30, Duration::from_mins(1)),
            neighbourhood: Rate::new(300, Duration::from_mins(1)),
            total: Rate::new(1000, Duration::from_secs(1)),
        };
        let mut limiter = Limiter::new(rates, &[9; 16]);
        let mut admitted = 0;
        // 100 s of 10,000 requests a second, each source as often as it may and more, from 20,000 sources.
        for number in 0..1_000_000_u32 {
            let now = Duration::from_micros(100) * number;
            let from = Ipv4Addr::from_bits(0x0a00_0000 + (number % 20_000) * 256).into();
            admitted += u32::from(limiter.admit(from, now).is_ok());
        }
        assert!((100_000..=101_000).contains(&admitted), "{admitted}");
        let now = Duration::from_secs(102);
        let starved = (0..500_u32)
            .filter(|number| {
                let from = Ipv4Addr::from_bits(0xc000_0000 + number * 256).into();
                limiter.admit(from, now).is_err()
            })
            .count();
        assert_eq!(starved, 0);
    }

    #[test]
    fn an_address_counts_the_same_in_either_notation() {
        let rate = Rate::new(1, Duration::from_secs(1));
        let mut limiter = Limiter::new(
            Rates {
                source: rate,
                neighbourhood: Rate::new(9, Duration::from_secs(1)),
                total: Rate::new(9, Duration::from_secs(1)),
            },
            &[0; 16],
        );
        limiter.admit("192.0.2.1".parse().unwrap(), Duration::ZERO).unwrap();
        let again = limiter.admit("::ffff:192.0.2.1".parse().unwrap(), Duration::ZERO);
        assert_eq!(again, Err(Duration::from_secs(1)));
        limiter.admit("192.0.2.2".parse().unwrap(), Duration::ZERO).unwrap();
    }
}
