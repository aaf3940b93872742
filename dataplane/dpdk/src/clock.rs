//! Time from the processor's cycle counter: one instruction to read, nanoseconds by a
//! multiplication.

use std::time::{Duration, Instant};

/// The calling core's cycle counter; it runs at a constant rate, alike on all cores, on every
/// processor of the last decade.
#[inline]
pub fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction, and it only reads.
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: reads the generic timer's counter.
    unsafe {
        dpdk_sys::rte_rdtsc()
    }
}

/// How long calibration measures: with readings 50 ns wide this leaves an error of a few
/// millionths.
const CALIBRATION: Duration = Duration::from_millis(20);
/// Bits behind the point in `multiplier`.
const SHIFT: u32 = 32;

/// Nanoseconds since its own calibration; copies agree with each other on all cores.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: u64,
    hz: u64,
    /// Nanoseconds per cycle, times 2^SHIFT.
    multiplier: u64,
}

impl Clock {
    /// Measures the counter against the kernel's monotonic clock; takes 20 ms.
    pub fn calibrate() -> Self {
        let (first_instant, first) = reading();
        while first_instant.elapsed() < CALIBRATION {
            std::hint::spin_loop();
        }
        let (last_instant, last) = reading();
        let nanoseconds = last_instant.duration_since(first_instant).as_nanos().max(1);
        let hz = u128::from(last.saturating_sub(first).max(1)) * 1_000_000_000 / nanoseconds;
        Self::with_hz(u64::try_from(hz).unwrap_or(u64::MAX), last)
    }

    /// A clock of the given rate that reads 0 at counter `base`.
    fn with_hz(hz: u64, base: u64) -> Self {
        let hz = hz.max(1);
        let multiplier = (1_000_000_000_u128 << SHIFT) / u128::from(hz);
        Self { base, hz, multiplier: u64::try_from(multiplier).unwrap_or(u64::MAX) }
    }

    /// Cycles per second.
    pub fn hz(&self) -> u64 {
        self.hz
    }

    /// Nanoseconds since calibration; never runs backwards on a core.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.nanoseconds(cycles())
    }

    /// What `now_ns` said, or would say, at this reading of `cycles()`.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "2^64 ns are 584 years of running")]
    pub fn nanoseconds(&self, cycles: u64) -> u64 {
        let since = u128::from(cycles.saturating_sub(self.base));
        ((since * u128::from(self.multiplier)) >> SHIFT) as u64
    }
}

/// An instant and the counter at it: of several tries the one that took the fewest cycles.
fn reading() -> (Instant, u64) {
    let mut best = (Instant::now(), cycles());
    let mut narrowest = u64::MAX;
    for _ in 0..16 {
        let before = cycles();
        let instant = Instant::now();
        let width = cycles().wrapping_sub(before);
        if width < narrowest {
            narrowest = width;
            best = (instant, before + width / 2);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_pace_with_the_kernels_clock() {
        let clock = Clock::calibrate();
        let (start, start_ns) = (Instant::now(), clock.now_ns());
        while start.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        let (kernel, ours) = (start.elapsed().as_nanos(), u128::from(clock.now_ns() - start_ns));
        // Wide, as the machine may take the core away between the two readings.
        assert!(ours.abs_diff(kernel) < kernel / 20, "kernel {kernel} ns, ours {ours} ns");
    }

    #[test]
    fn never_runs_backwards() {
        let clock = Clock::calibrate();
        let mut last = 0;
        for _ in 0..100_000 {
            let now = clock.now_ns();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn converts_without_overflow_for_centuries() {
        let clock = Clock::with_hz(3_000_000_000, 1000);
        assert_eq!(
            clock.nanoseconds(999),
            0,
            "a reading before the base is zero, not the far future"
        );
        let (year, exact) = (3_000_000_000 * 31_557_600_u64, 1_000_000_000 * 31_557_600_u64);
        assert!(clock.nanoseconds(1000 + year).abs_diff(exact) < exact / 1_000_000_000);
        assert!(clock.nanoseconds(1000 + 60 * year) > 59 * exact);
    }
}
