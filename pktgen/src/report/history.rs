//! The intervals of a run, however long it is: when they become too many, two make one.

use super::Interval;

/// Intervals that are kept: more than a plot has dots across.
const LEN_MAX: usize = 2048;

/// The course of a run.
#[derive(Debug)]
pub struct History {
    intervals: Vec<Interval>,
    /// Intervals that make one, a power of two.
    stride: usize,
    /// The one that is being made, and of how many it is made so far.
    open: Option<(Interval, usize)>,
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl History {
    /// Nothing so far.
    pub const fn new() -> Self {
        Self { intervals: Vec::new(), stride: 1, open: None }
    }

    /// Adds what came next.
    pub fn push(&mut self, interval: &Interval) {
        let (whole, count) = match self.open.take() {
            Some((before, count)) => (joined(&before, count, interval, 1), count + 1),
            None => (*interval, 1),
        };
        if count < self.stride {
            self.open = Some((whole, count));
            return;
        }
        self.intervals.push(whole);
        if self.intervals.len() == LEN_MAX {
            let pairs = self.intervals.chunks_exact(2);
            self.intervals =
                pairs.filter_map(|pair| Some(joined(pair.first()?, 1, pair.last()?, 1))).collect();
            self.stride *= 2;
        }
    }

    /// The whole run so far, at most some two thousand intervals, the last perhaps shorter.
    pub fn intervals(&self) -> Vec<Interval> {
        let open = self.open.iter().map(|(interval, _)| *interval);
        self.intervals.iter().copied().chain(open).collect()
    }
}

/// Two neighbours as one: rates by their weights, percentiles by the worse.
fn joined(first: &Interval, first_weight: usize, second: &Interval, weight: usize) -> Interval {
    let weights = [first_weight, weight].map(|weight| u32::try_from(weight).unwrap_or(u32::MAX));
    let [one, two] = weights.map(f64::from);
    let mean = |pick: fn(&Interval) -> f64| {
        (pick(first) * one + pick(second) * two) / (one + two).max(1.0)
    };
    Interval {
        at_secs: second.at_secs,
        intended_pps: mean(|interval| interval.intended_pps),
        sent_pps: mean(|interval| interval.sent_pps),
        received_pps: mean(|interval| interval.received_pps),
        attack_intended_pps: mean(|interval| interval.attack_intended_pps),
        attack_pps: mean(|interval| interval.attack_pps),
        stream_intended_pps: mean(|interval| interval.stream_intended_pps),
        stream_pps: mean(|interval| interval.stream_pps),
        latency: first.latency.worse(&second.latency),
        lateness: first.lateness.worse(&second.lateness),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Percentiles;

    fn interval(second: u32) -> Interval {
        Interval {
            at_secs: f64::from(second),
            intended_pps: f64::from(second),
            sent_pps: 3.0,
            latency: Percentiles { max_ns: second.into(), ..Percentiles::default() },
            ..Interval::default()
        }
    }

    #[test]
    fn a_long_run_stays_bounded_and_keeps_its_sums_its_end_and_its_worst() {
        let mut history = History::new();
        let seconds = 10_001;
        (1..=seconds).for_each(|second| history.push(&interval(second)));
        let intervals = history.intervals();
        assert!((512..=LEN_MAX).contains(&intervals.len()), "{}", intervals.len());
        let last = intervals.last().unwrap();
        assert!((last.at_secs - f64::from(seconds)).abs() < 1e-9);
        assert_eq!(last.latency.max_ns, u64::from(seconds));
        let mut begin = 0.0;
        let packets: f64 = intervals
            .iter()
            .map(|interval| {
                let secs = interval.at_secs - begin;
                begin = interval.at_secs;
                interval.intended_pps * secs
            })
            .sum();
        let wanted = f64::from(seconds) * f64::from(seconds + 1) / 2.0;
        assert!((packets - wanted).abs() < 1e-3 * wanted, "{packets} {wanted}");
    }

    #[test]
    fn a_short_run_is_kept_as_it_was() {
        let mut history = History::new();
        (1..=9).for_each(|second| history.push(&interval(second)));
        let times: Vec<f64> = history.intervals().iter().map(|i| i.at_secs).collect();
        assert_eq!(times, (1..=9).map(f64::from).collect::<Vec<_>>());
    }
}
