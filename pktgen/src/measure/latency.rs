//! Durations in a histogram of high dynamic range: three significant digits from a nanosecond to a minute.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest duration that is told from longer ones, nanoseconds.
const LONGEST_NS: u64 = 60_000_000_000;
const DIGITS: u8 = 3;

/// The usual points of a distribution, in nanoseconds; all zero when nothing was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// Half are shorter.
    pub p50_ns: u64,
    /// 90 %.
    pub p90_ns: u64,
    /// 99 %.
    pub p99_ns: u64,
    /// 99.9 %.
    pub p99_9_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

impl Percentiles {
    /// Point by point the longer of the two: an upper bound for both together.
    #[must_use]
    pub fn worse(&self, other: &Self) -> Self {
        Self {
            p50_ns: self.p50_ns.max(other.p50_ns),
            p90_ns: self.p90_ns.max(other.p90_ns),
            p99_ns: self.p99_ns.max(other.p99_ns),
            p99_9_ns: self.p99_9_ns.max(other.p99_9_ns),
            max_ns: self.max_ns.max(other.max_ns),
        }
    }
}

/// A distribution of durations.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Option<Histogram<u64>>,
}

impl Latency {
    /// Nothing recorded.
    pub fn new() -> Self {
        // The bounds are constants that the histogram takes; without one nothing would be recorded, which the
        // tests would show.
        Self { histogram: Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).ok() }
    }

    /// Records one duration; longer ones than a minute count as a minute.
    pub fn record(&mut self, duration: Duration) {
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, Histogram::len)
    }

    /// The duration that this share (0..=1) does not exceed, nanoseconds.
    pub fn quantile_ns(&self, share: f64) -> u64 {
        self.histogram.as_ref().map_or(0, |histogram| histogram.value_at_quantile(share))
    }

    /// The usual points.
    pub fn percentiles(&self) -> Percentiles {
        let [p50_ns, p90_ns, p99_ns, p99_9_ns, max_ns] =
            [0.5, 0.9, 0.99, 0.999, 1.0].map(|share| self.quantile_ns(share));
        Percentiles { p50_ns, p90_ns, p99_ns, p99_9_ns, max_ns }
    }

    /// Adds what another recorded.
    pub fn add(&mut self, other: &Self) {
        if let (Some(histogram), Some(other)) = (&mut self.histogram, &other.histogram) {
            // Both have the same bounds, so it fits.
            let _ = histogram.add(other);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        if let Some(histogram) = &mut self.histogram {
            histogram.reset();
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_three_digits_and_the_tail() {
        let mut latency = Latency::new();
        for micros in 1..=1000 {
            latency.record(Duration::from_micros(micros));
        }
        latency.record(Duration::from_secs(100));
        let points = latency.percentiles();
        assert!((500_000..=502_000).contains(&points.p50_ns), "{points:?}");
        assert!((990_000..=993_000).contains(&points.p99_ns), "{points:?}");
        assert!(points.max_ns >= 60_000_000_000, "saturates and is not forgotten");
        assert_eq!(latency.count(), 1001);
    }

    #[test]
    fn two_halves_make_the_whole() {
        let (mut one, mut two) = (Latency::new(), Latency::new());
        one.record(Duration::from_nanos(10));
        two.record(Duration::from_micros(1));
        one.add(&two);
        assert_eq!((one.count(), one.quantile_ns(0.5)), (2, 10));
        one.clear();
        assert_eq!((one.count(), one.percentiles()), (0, Percentiles::default()));
    }
}
