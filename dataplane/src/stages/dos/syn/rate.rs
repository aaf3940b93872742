//! How many SYNs a tenant gets, and whether its guard is to act.

use wireguard::time::Instant;

use crate::limits::{SYN_GUARD_HOLD, SYN_RATE_TIME};

/// Steps of one time constant.
const STEPS: u64 = 8;
#[expect(clippy::cast_possible_truncation, reason = "a second")]
const STEP: u64 = SYN_RATE_TIME.as_nanos() as u64 / STEPS;
/// From so many steps on nothing is left that matters.
const STEPS_MAX: u64 = 64;
/// Parts of a SYN that the level counts, so that low rates do not vanish in the rounding.
const PARTS: u64 = 256;

/// A level that each SYN raises and that decays by an eighth each eighth of a second: it settles at the rate per second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    step: u64,
    level: u64,
    acts_until: Instant,
}

impl Rate {
    /// Counts a SYN; whether the guard acts at this rate. Once it does, it does for [`SYN_GUARD_HOLD`].
    #[inline]
    pub(super) fn count(&mut self, above: u32, now: Instant) -> bool {
        self.decay(now);
        self.level = self.level.saturating_add(PARTS);
        if self.level >= u64::from(above) * PARTS {
            self.acts_until = now + SYN_GUARD_HOLD;
        }
        self.acts(now)
    }

    /// Whether the guard acts.
    #[inline]
    pub(super) fn acts(&self, now: Instant) -> bool {
        now < self.acts_until
    }

    #[inline]
    fn decay(&mut self, now: Instant) {
        let step = now.0 / STEP;
        let steps = step.saturating_sub(self.step);
        if steps == 0 {
            return;
        }
        self.step = step;
        if steps >= STEPS_MAX {
            self.level = 0;
            return;
        }
        for _ in 0..steps {
            self.level -= self.level / STEPS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const START: Instant = Instant(5_000_000_000_000);

    /// Whether the guard acts at the end of ten seconds at this rate.
    fn acts_at(per_second: u64, above: u32) -> bool {
        let mut rate = Rate::default();
        let gap = 1_000_000_000 / per_second;
        (0..per_second * 10).map(|n| rate.count(above, Instant(START.0 + n * gap))).last().unwrap()
    }

    #[test]
    fn acts_above_the_threshold_and_not_below() {
        for above in [10, 1_000, 50_000] {
            let above_wide = u64::from(above);
            assert!(acts_at(above_wide * 12 / 10, above), "120 % of {above}");
            assert!(!acts_at(above_wide * 8 / 10, above), "80 % of {above}");
        }
    }

    #[test]
    fn acts_always_at_a_threshold_of_nothing_and_rests_some_time_after_the_flood() {
        assert!(Rate::default().count(0, START));
        let mut rate = Rate::default();
        let flood = (0..2_000).map(|n| rate.count(1_000, START + Duration::from_micros(n * 100)));
        assert!(flood.last().unwrap(), "ten times the rate, within a fifth of a second");
        let end = START + Duration::from_millis(200);
        assert!(rate.acts(end + SYN_GUARD_HOLD / 2));
        assert!(!rate.count(1_000, end + SYN_GUARD_HOLD + SYN_RATE_TIME));
    }

    #[test]
    fn a_clock_that_steps_back_neither_panics_nor_sticks() {
        let mut rate = Rate::default();
        rate.count(10, START);
        rate.count(10, Instant::ZERO);
        assert!(!rate.count(10, START + Duration::from_mins(1)));
    }
}
