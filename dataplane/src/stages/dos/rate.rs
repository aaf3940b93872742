//! Rates of packets and octets, and the bucket of one: how much of its tokens is spent.

use std::time::Duration;

use shm::limits::DEPTH_MAX_S;
pub use shm::limits::{BURST_OCTETS_MIN, PER_SECOND_MAX};
use shm::message::Unit;
use wireguard::time::Instant;

/// So many packets or octets per second, with so many at once. Tokens are counted in the time that they take to
/// come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The time of a packet and of each of its octets; one of them is zero.
    packet: Ticks,
    octet: Ticks,
    /// The time in which an empty bucket fills.
    depth: Ticks,
}

/// Time in 2^-20 ns: a trillion tokens per second have a thousand each.
type Ticks = u64;

const TICK_BITS: u32 = 20;

/// Why a rate is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfBounds {
    /// The rate is not within 1 to [`PER_SECOND_MAX`].
    PerSecond,
    /// The burst does not hold the largest packet: one packet, or [`BURST_OCTETS_MIN`].
    BurstTooSmall,
    /// The burst takes longer than [`DEPTH_MAX`] to come back.
    BurstTooLarge,
}

impl std::fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PerSecond => "the rate is not within 1 to 10^12 per second",
            Self::BurstTooSmall => "the burst holds less than one packet or 2048 octets",
            Self::BurstTooLarge => "the burst takes more than ten minutes to come back",
        })
    }
}

impl std::error::Error for OutOfBounds {}

/// Longest time in which an empty bucket may fill. What claims to be spent for longer is a stamp from another time.
pub const DEPTH_MAX: Duration = Duration::from_secs(DEPTH_MAX_S);

/// Longest time in which an empty [`Bucket`] of a tenant's rule may fill: three quarters of what a word holds.
pub use ::firewall::rules::DEPTH_MAX as LONGEST_DEPTH;

const _: () = assert!(LONGEST_DEPTH.as_nanos() < (u64::MAX >> TICK_BITS) as u128);

#[expect(clippy::cast_possible_truncation, reason = "ten minutes in nanoseconds have 40 bits")]
const DEPTH_TICKS: Ticks = ticks(DEPTH_MAX.as_nanos() as u64);

/// As many as fit.
#[inline]
const fn ticks(nanos: u64) -> Ticks {
    if nanos > Ticks::MAX >> TICK_BITS { Ticks::MAX } else { nanos << TICK_BITS }
}

impl Rate {
    /// So many packets per second, and so many at once.
    pub fn packets(per_second: u64, burst: u64) -> Result<Self, OutOfBounds> {
        let (packet, depth) = Self::bounded(per_second, burst, 1)?;
        Ok(Self { packet, octet: 0, depth })
    }

    /// So many octets of IP packets per second, and so many at once.
    pub fn octets(per_second: u64, burst: u64) -> Result<Self, OutOfBounds> {
        let (octet, depth) = Self::bounded(per_second, burst, BURST_OCTETS_MIN)?;
        Ok(Self { packet: 0, octet, depth })
    }

    /// So many packets or octets in each period, and so many at once: a burst that comes back within [`LONGEST_DEPTH`], for a
    /// [`Bucket`] alone.
    pub fn in_period(
        unit: Unit,
        (count, period): (u64, Duration),
        burst: u64,
    ) -> Result<Self, OutOfBounds> {
        let period = u128::from(ticks(1_000_000_000)) * u128::from(period.as_secs());
        // Beyond what fits, it is beyond all bounds as well.
        let of = |tokens: u64| period.saturating_mul(tokens.into()) / u128::from(count.max(1));
        if count == 0 || of(PER_SECOND_MAX) < u128::from(ticks(1_000_000_000)) {
            return Err(OutOfBounds::PerSecond);
        }
        if burst == 0 {
            return Err(OutOfBounds::BurstTooSmall);
        }
        let longest = u128::from(ticks(1_000_000_000)) * u128::from(LONGEST_DEPTH.as_secs());
        let depth = of(burst);
        let (Ok(token), Ok(depth)) =
            (Ticks::try_from(of(1)), Ticks::try_from(depth.min(longest + 1)))
        else {
            return Err(OutOfBounds::BurstTooLarge);
        };
        if u128::from(depth) > longest {
            return Err(OutOfBounds::BurstTooLarge);
        }
        Ok(match unit {
            Unit::Packets => Self { packet: token, octet: 0, depth },
            Unit::Octets => Self { packet: 0, octet: token, depth },
        })
    }

    /// The time of a token and of the burst.
    fn bounded(per_second: u64, burst: u64, least: u64) -> Result<(Ticks, Ticks), OutOfBounds> {
        if per_second == 0 || per_second > PER_SECOND_MAX {
            return Err(OutOfBounds::PerSecond);
        }
        if burst < least {
            return Err(OutOfBounds::BurstTooSmall);
        }
        let second = u128::from(ticks(1_000_000_000));
        let depth = second * u128::from(burst) / u128::from(per_second);
        match Ticks::try_from(depth) {
            Ok(depth) if depth <= DEPTH_TICKS => Ok((ticks(1_000_000_000) / per_second, depth)),
            Ok(_) | Err(_) => Err(OutOfBounds::BurstTooLarge),
        }
    }

    /// The part of one of so many that share it evenly. Each can still take the largest packet at once, if that
    /// comes back within [`DEPTH_MAX`].
    #[must_use]
    pub fn divided(self, by: u32) -> Self {
        let by = u64::from(by.max(1));
        let (packet, octet) = (self.packet.saturating_mul(by), self.octet.saturating_mul(by));
        let largest = packet.max(octet.saturating_mul(BURST_OCTETS_MIN));
        // A depth beyond what this could make of it was asked for.
        let depth = self.depth.max(largest).min(DEPTH_TICKS.max(self.depth));
        Self { packet, octet, depth }
    }

    /// The time of a packet of `len` octets.
    #[inline]
    const fn cost(self, len: u32) -> Ticks {
        self.packet + self.octet.saturating_mul(len as u64)
    }

    /// The time of a packet of `len` octets in units of 2^`bits` ns, rounded in its favour.
    #[inline]
    pub(super) const fn cost_in(self, bits: u32, len: u32) -> u64 {
        self.cost(len) >> (TICK_BITS + bits)
    }

    /// The time in which an empty bucket fills, in units of 2^`bits` ns, rounded up.
    #[inline]
    pub(super) const fn depth_in(self, bits: u32) -> u64 {
        (self.depth >> (TICK_BITS + bits)) + 1
    }
}

/// The bucket of one rate: exact at any rate, and at home with any clock. When time goes back nothing comes back
/// and nothing is lost.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: Rate,
    /// The time until all is there again, as of `at`.
    spent: Ticks,
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub const fn new(rate: Rate) -> Self {
        Self { rate, spent: 0, at: Instant::ZERO }
    }

    /// The rate.
    #[inline]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Changes the rate and leaves what is spent.
    pub fn set(&mut self, rate: Rate) {
        self.spent = self.spent.min(rate.depth);
        self.rate = rate;
    }

    /// Takes the tokens of a packet of `len` octets, if they are there. Who is refused takes none.
    #[inline]
    pub fn take(&mut self, len: u32, now: Instant) -> bool {
        // What has passed fills the bucket at most, so the shift loses nothing.
        let passed = now.0.saturating_sub(self.at.0).min((self.rate.depth >> TICK_BITS) + 1);
        self.spent = self.spent.saturating_sub(ticks(passed));
        self.at = now;
        let spent = self.spent.saturating_add(self.rate.cost(len));
        let is_there = spent <= self.rate.depth;
        if is_there {
            self.spent = spent;
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    /// Packets of `len` octets that pass when they come at `offered` per second for a while.
    fn passed(bucket: &mut Bucket, len: u32, offered: u64, count: u64) -> u64 {
        let start = 5 * SECOND;
        let at = |n: u64| {
            let nanos = u128::from(n) * u128::from(SECOND) / u128::from(offered);
            Instant(start + u64::try_from(nanos).unwrap())
        };
        (0..count).map(|n| u64::from(bucket.take(len, at(n)))).sum()
    }

    #[test]
    fn lets_a_burst_pass_and_then_the_rate_up_to_the_highest_rates() {
        // Offered twice the rate for the time of ten bursts: the burst, and ten times as much. A burst takes some
        // nanoseconds at least, or the clock is too coarse for it.
        let check = |rate: Rate, len: u32, offered: u64, burst: u64| {
            let passed = passed(&mut Bucket::new(rate), len, offered, burst * 20);
            assert!(
                (burst * 1_098..=burst * 1_105).contains(&(passed * 100)),
                "{rate:?}: {passed}"
            );
        };
        for per_second in [1, 7, 1_000, 999_999, 14_880_952, 1_000_000_000] {
            check(Rate::packets(per_second, 500).unwrap(), 64, per_second * 2, 500);
        }
        check(Rate::packets(PER_SECOND_MAX, 100_000).unwrap(), 64, PER_SECOND_MAX * 2, 100_000);
        for (per_second, len) in [(100_000, 1_500), (12_500_000_000, 64), (12_500_000_000, 1_500)] {
            let rate = Rate::octets(per_second, u64::from(len) * 500).unwrap();
            check(rate, len, per_second * 2 / u64::from(len), 500);
        }
    }

    #[test]
    fn refuses_what_is_out_of_bounds_by_its_name() {
        assert_eq!(Rate::packets(0, 1), Err(OutOfBounds::PerSecond));
        assert_eq!(Rate::octets(PER_SECOND_MAX + 1, 1), Err(OutOfBounds::PerSecond));
        assert_eq!(Rate::packets(1, 0), Err(OutOfBounds::BurstTooSmall));
        assert_eq!(Rate::octets(1, BURST_OCTETS_MIN - 1), Err(OutOfBounds::BurstTooSmall));
        assert_eq!(Rate::packets(1, 601), Err(OutOfBounds::BurstTooLarge));
        assert_eq!(Rate::packets(1, u64::MAX), Err(OutOfBounds::BurstTooLarge));
        assert!(Rate::packets(1, 600).is_ok() && Rate::packets(PER_SECOND_MAX, 1).is_ok());
    }

    #[test]
    fn the_parts_of_a_divided_rate_let_as_much_pass_as_the_whole() {
        let whole = Rate::packets(1_000_000, 1_000).unwrap();
        let sum: u64 =
            (0..4).map(|_| passed(&mut Bucket::new(whole.divided(4)), 64, 1_000_000, 10_000)).sum();
        assert!((10_990..=11_010).contains(&sum), "{sum}");
        // A burst of one cannot be divided.
        let one = Rate::packets(1_000, 1).unwrap().divided(16);
        assert!(Bucket::new(one).take(64, Instant(0)));
    }

    #[test]
    fn jumps_of_time_neither_lock_it_nor_overfill_it() {
        let mut bucket = Bucket::new(Rate::packets(10, 5).unwrap());
        let mut taken = |now: u64| (0..100).filter(|_| bucket.take(1_500, Instant(now))).count();
        assert_eq!(taken(u64::MAX), 5);
        assert_eq!(taken(0), 0, "back: nothing comes back");
        assert_eq!(taken(SECOND / 10), 1, "and it goes on from there");
        assert_eq!(taken(u64::MAX - 1), 5, "forth: full, and not more");
        assert_eq!(taken(u64::MAX - 2), 0);
    }

    proptest! {
        /// Against a bucket in rational numbers: tokens times the rate's second.
        #[test]
        fn agrees_with_an_exact_bucket_but_for_the_rounding_of_its_cost(
            per_second in 1..2_000_000_u64,
            burst in 1..50_u64,
            gaps in vec(0..3_000_000_u64, 1..300),
        ) {
            let burst = burst.min(per_second * 600);
            let mut bucket = Bucket::new(Rate::packets(per_second, burst).unwrap());
            let (mut tokens, mut now) = (u128::from(burst * SECOND), 0_u64);
            for gap in gaps {
                // As many bursts again as the rate gives, on average.
                let gap = gap * 1_000 / per_second;
                now += gap;
                let came = u128::from(gap) * u128::from(per_second);
                tokens = (tokens + came).min(u128::from(burst * SECOND));
                let exact = tokens >= u128::from(SECOND);
                let ours = bucket.take(64, Instant(now));
                prop_assert!(ours || !exact, "stricter at {}", now);
                if ours && !exact {
                    // By how much: the rounding of all costs so far.
                    let missing = u128::from(SECOND) - tokens;
                    prop_assert!(missing * 1_000_000 < u128::from(SECOND), "{}", missing);
                }
                tokens = if ours { tokens.saturating_sub(u128::from(SECOND)) } else { tokens };
            }
        }
    }

    #[test]
    fn a_rate_of_any_period_lets_its_burst_and_then_its_rate_through() {
        let minute = Duration::from_mins(1);
        let rate = Rate::in_period(Unit::Packets, (6, minute), 3).unwrap();
        let mut bucket = Bucket::new(rate);
        let start = Instant(1 << 40);
        let taken = |bucket: &mut Bucket, now| (0..10).filter(|_| bucket.take(100, now)).count();
        assert_eq!(taken(&mut bucket, start), 3);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(9)), 0);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(10)), 1);
        assert_eq!(taken(&mut bucket, start + Duration::from_hours(1)), 3);
        let octets = Rate::in_period(Unit::Octets, (1000, Duration::from_secs(1)), 250).unwrap();
        assert_eq!(taken(&mut Bucket::new(octets), start), 2);
        for (count, burst) in [(0, 1), (1, 0), (1, 5), (u64::MAX, 1), (1, u64::MAX)] {
            let week = Duration::from_hours(7 * 24);
            assert!(Rate::in_period(Unit::Packets, (count, week), burst).is_err());
        }
        assert!(Rate::in_period(Unit::Packets, (1, minute), 240).is_ok(), "four hours");
        assert!(Rate::in_period(Unit::Packets, (1, minute), 241).is_err());
    }
}
