//! Time as an argument, and the coarse stamps that flows keep of it.

use core::time::Duration;

/// Nanoseconds since a start that the caller chooses; only differences carry meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

/// A stamp counts units of 2^26 ns, 67 ms: 32 bits last for nine years.
const UNIT_BITS: u32 = 26;

/// A moment, coarse. A flow is over once its deadline is not above the present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(pub(crate) u32);

/// A time-out in units of ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(u32);

impl Instant {
    #[inline]
    pub(crate) fn tick(self) -> Tick {
        Tick(u32::try_from(self.0 >> UNIT_BITS).unwrap_or(u32::MAX))
    }
}

impl Tick {
    /// A deadline that is never reached before the whole span is over, and less than two units after that.
    #[inline]
    pub(crate) const fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The beginning of the unit.
    pub(crate) const fn instant(self) -> Instant {
        Instant((self.0 as u64) << UNIT_BITS)
    }
}

impl Span {
    pub(crate) fn of(duration: Duration) -> Self {
        let units = duration.as_nanos().div_ceil(1 << UNIT_BITS) + 1;
        Self(u32::try_from(units).unwrap_or(u32::MAX))
    }
}
