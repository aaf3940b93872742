//! A token bucket in one stamp: the time up to which its tokens are spent.

use std::time::Duration;

use wireguard::time::Instant;

/// A limit of so many per second, with so many at once.
#[derive(Clone, Copy, Debug)]
pub struct Limiter {
    spent_until: Instant,
    cost: Duration,
    depth: Duration,
}

impl Limiter {
    /// A full bucket of `burst` tokens that come back at `per_second`.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        let cost = Duration::from_nanos(1_000_000_000 / per_second as u64);
        Self { spent_until: Instant::ZERO, cost, depth: cost.saturating_mul(burst - 1) }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        if self.spent_until > now {
            return false;
        }
        self.spent_until = self.spent_until.max(now - self.depth) + self.cost;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_a_burst_and_then_the_rate() {
        let mut limiter = Limiter::new(100, 50);
        let start = Instant(1_000_000_000_000);
        assert_eq!((0..1000).filter(|_| limiter.take(start)).count(), 50);
        let later = |ms| start + Duration::from_millis(ms);
        assert_eq!((1..=1000).filter(|ms| limiter.take(later(*ms))).count(), 100);
        assert_eq!(
            (0..1000).filter(|_| limiter.take(later(10_000))).count(),
            50,
            "it never grows over"
        );
    }
}
