//! The unit of all times of the Argo table: a sixteenth of a millisecond, of which four seconds fit 16 bits.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A millisecond.
pub const MS: u32 = 16;

/// The longest time; longer ones count as this.
pub const LONGEST: u16 = u16::MAX - 1;

/// What a lost SYN costs: the first retransmission comes after a second (RFC 6298 2.1).
pub const LOST_SYN: u32 = 1000 * MS;

/// A time in ticks.
pub fn of(time: Duration) -> u16 {
    let ticks = time.as_micros().saturating_mul(u128::from(MS)) / 1000;
    u16::try_from(ticks).unwrap_or(LONGEST).min(LONGEST)
}

/// Seconds of Unix time, in which the table is told when things happen.
pub(crate) fn unix_now() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}

/// Ticks as a time.
pub fn duration(ticks: u32) -> Duration {
    Duration::from_micros(u64::from(ticks) * 1000 / u64::from(MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_into_ticks_and_back_and_long_ones_are_the_longest() {
        assert_eq!(of(Duration::from_micros(12_500)), 200);
        assert_eq!(duration(200), Duration::from_micros(12_500));
        assert_eq!(of(Duration::from_mins(1)), LONGEST);
        assert_eq!(of(Duration::MAX), LONGEST);
    }
}
