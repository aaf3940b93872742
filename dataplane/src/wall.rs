//! The wall clock beside the workers' clock: Unix time for TAI64N labels and cookie epochs. The binary sets it
//! right now and then, so that it does not drift away with the cycle counter.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wireguard::time::Instant;

/// Unix time as a distance from [`Instant::ZERO`].
#[derive(Debug)]
pub struct WallClock {
    /// Nanoseconds; 64 bits last until the year 2554.
    unix_at_zero: AtomicU64,
}

impl WallClock {
    /// A clock that shows `unix` at `now`.
    pub fn new(unix: Duration, now: Instant) -> Self {
        let clock = Self { unix_at_zero: AtomicU64::new(0) };
        clock.set(unix, now);
        clock
    }

    /// Sets it right.
    pub fn set(&self, unix: Duration, now: Instant) {
        let zero = unix.saturating_sub(now.since(Instant::ZERO));
        let nanos = u64::try_from(zero.as_nanos()).unwrap_or(u64::MAX);
        self.unix_at_zero.store(nanos, Ordering::Relaxed);
    }

    /// The Unix time at `now`.
    pub fn unix(&self, now: Instant) -> Duration {
        Duration::from_nanos(self.unix_at_zero.load(Ordering::Relaxed)) + now.since(Instant::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_instant_and_takes_corrections() {
        let start = Instant(5_000_000_000);
        let clock = WallClock::new(Duration::from_secs(1_700_000_000), start);
        let later = start + Duration::from_mins(1);
        assert_eq!(clock.unix(later), Duration::from_secs(1_700_000_060));
        clock.set(Duration::from_secs(1_700_000_061), later);
        assert_eq!(clock.unix(later), Duration::from_secs(1_700_000_061));
    }
}
