//! Statistics of blocks: the 10th percentile, which noise from outside hardly moves, and how sure it is.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

/// How often the blocks are drawn anew for an interval.
const RESAMPLES: usize = 1_000;

/// A figure and where 95 of 100 resamples have it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Of all trials.
    pub value: f64,
    /// Below it lie 25 of 1,000 resamples.
    pub low: f64,
    /// Above it lie as many.
    pub high: f64,
}

/// The value below which a tenth of the blocks lie; 0 for none.
pub fn p10(blocks: &[f64]) -> f64 {
    quantile(blocks.to_vec(), 0.1)
}

/// The middle value; 0 for none.
pub fn median(blocks: &[f64]) -> f64 {
    quantile(blocks.to_vec(), 0.5)
}

/// The value below which this share of the values lies; 0 for none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a small count"
)]
pub fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    let place = (values.len().saturating_sub(1) as f64 * share).round() as usize;
    if place >= values.len() {
        return 0.0;
    }
    *values.select_nth_unstable_by(place, f64::total_cmp).1
}

/// What 5 of 100 trials do not exceed, a quarter, half, three quarters, and 95 of 100; none of fewer than five trials.
pub fn spread(trials: &[f64]) -> Option<[f64; 5]> {
    let shares = [0.05, 0.25, 0.5, 0.75, 0.95];
    (trials.len() >= 5).then(|| shares.map(|share| quantile(trials.to_vec(), share)))
}

/// `combine(p10 of ours, p10 of theirs)`, with its bootstrap interval. Blocks of the same number were
/// measured one after the other, so they are drawn together.
pub fn compared(ours: &[f64], theirs: &[f64], combine: fn(f64, f64) -> f64) -> Interval {
    compared_at(0.1, (ours, theirs), combine)
}

/// The same of another quantile.
pub fn compared_at(
    share: f64,
    (ours, theirs): (&[f64], &[f64]),
    combine: impl Fn(f64, f64) -> f64,
) -> Interval {
    let count = ours.len().min(theirs.len());
    let at = |blocks: Vec<f64>| quantile(blocks, share);
    let value = combine(at(ours.to_vec()), at(theirs.to_vec()));
    let draws = bootstrap(|random| {
        let picks = picks(random, count);
        let drawn = |blocks| at(resample(blocks, &picks));
        combine(drawn(ours), drawn(theirs))
    });
    interval(value, draws)
}

/// The value below which this share of the trials lies, with its bootstrap interval.
pub fn resampled(trials: &[f64], share: f64) -> Interval {
    let value = quantile(trials.to_vec(), share);
    let draws = bootstrap(|random| {
        let picks = picks(random, trials.len());
        quantile(resample(trials, &picks), share)
    });
    interval(value, draws)
}

/// `combine` of the same quantile of two runs, with its bootstrap interval: their trials have nothing to do with each other, so
/// each run's are drawn by themselves.
pub fn apart(
    share: f64,
    (one, other): (&[f64], &[f64]),
    combine: impl Fn(f64, f64) -> f64,
) -> Interval {
    let at = |blocks: Vec<f64>| quantile(blocks, share);
    let value = combine(at(one.to_vec()), at(other.to_vec()));
    let draws = bootstrap(|random| {
        let mut drawn = |blocks: &[f64]| {
            let picks = picks(random, blocks.len());
            at(resample(blocks, &picks))
        };
        combine(drawn(one), drawn(other))
    });
    interval(value, draws)
}

/// The same seed each time: the same trials give the same interval.
fn bootstrap(mut draw: impl FnMut(&mut ChaCha8Rng) -> f64) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    (0..RESAMPLES).map(|_| draw(&mut random)).collect()
}

fn picks(random: &mut ChaCha8Rng, count: usize) -> Vec<usize> {
    (0..count).map(|_| random.next_u32() as usize % count).collect()
}

fn resample(blocks: &[f64], picks: &[usize]) -> Vec<f64> {
    picks.iter().filter_map(|pick| blocks.get(*pick).copied()).collect()
}

fn interval(value: f64, draws: Vec<f64>) -> Interval {
    Interval { value, low: quantile(draws.clone(), 0.025), high: quantile(draws, 0.975) }
}

/// Cycles of each of so many packets.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
pub fn per_packet(cycles: u64, packets: u64) -> f64 {
    cycles as f64 / packets.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_10th_percentile_ignores_a_disturbed_half() {
        let calm: Vec<f64> = (0..100).map(|n| 100.0 + f64::from(n) / 100.0).collect();
        let disturbed: Vec<f64> =
            calm.iter().enumerate().map(|(n, v)| if n % 2 == 0 { v * 3.0 } else { *v }).collect();
        assert!((p10(&calm) - p10(&disturbed)).abs() < 0.2);
        assert!(median(&disturbed) > 100.0);
    }

    #[test]
    fn the_interval_holds_its_value_and_narrows_with_more_blocks() {
        let blocks = |count: u32| -> Vec<f64> {
            (0..count).map(|n| 50.0 + f64::from(n * 7919 % 101) / 10.0).collect()
        };
        let width = |count| {
            let found = compared(&blocks(count), &blocks(count / 2 * 2), |ours, _| ours);
            assert!(found.low <= found.value && found.value <= found.high);
            found.high - found.low
        };
        assert!(width(1000) < width(20));
    }

    #[test]
    fn a_spread_is_told_of_five_trials_and_more() {
        let trials: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(spread(&trials), Some([5.0, 25.0, 50.0, 75.0, 95.0]));
        assert_eq!(spread(&[1.0; 4]), None);
    }

    #[test]
    fn nothing_measured_is_zero() {
        let found = compared(&[], &[], |ours, theirs| ours - theirs);
        assert!(found.value.abs() < f64::EPSILON);
    }
}
