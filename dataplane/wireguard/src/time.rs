//! Time as an argument: a monotonic instant for timers, a TAI64N stamp for initiations.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// Nanoseconds since a start that the caller chooses; only differences carry meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// The caller's start of time.
    pub const ZERO: Self = Self(0);
    /// Later than any time-out: a stamp that means "not armed".
    pub const NEVER: Self = Self(u64::MAX);

    /// The duration since `earlier`, zero when `earlier` lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Whether this stamp is armed, that is, not [`Instant::NEVER`].
    pub const fn is_armed(self) -> bool {
        self.0 != u64::MAX
    }

    /// The stamp as an option, `None` for [`Instant::NEVER`].
    pub const fn armed(self) -> Option<Self> {
        if self.is_armed() { Some(self) } else { None }
    }
}

/// Saturates: a stamp that is never reached stays never reached.
impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Saturates at [`Instant::ZERO`].
impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, delay: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A TAI64N label (12 octets, big endian): the greatest one seen of a peer defeats replayed
/// initiations (whitepaper 5.1). Order of octets is order of time.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tai64n(pub [u8; 12]);

impl Tai64n {
    /// The label of a Unix time. The nanoseconds lose their low 24 bits (about 17 ms): a precise
    /// clock in a message would tell an eavesdropper about the load of its sender, and a peer
    /// starts fewer than 50 handshakes a second.
    pub fn new(unix_secs: u64, nanos: u32) -> Self {
        // 2^62 marks TAI seconds after 1970; TAI was 10 s ahead then.
        let seconds = (1_u64 << 62).saturating_add(10).saturating_add(unix_secs);
        let mut label = [0; 12];
        let (head, tail) = label.split_at_mut(8);
        head.copy_from_slice(&seconds.to_be_bytes());
        tail.copy_from_slice(&(nanos & !0x00ff_ffff).to_be_bytes());
        Self(label)
    }
}

impl fmt::Debug for Tai64n {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tai64n(")?;
        for octet in self.0 {
            write!(f, "{octet:02x}")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Instant::NEVER + Duration::from_secs(1), Instant::NEVER);
        assert_eq!(Instant(5) - Duration::from_secs(1), Instant::ZERO);
        assert_eq!(Instant(5).since(Instant(9)), Duration::ZERO);
        assert_eq!(Instant(9).since(Instant(5)), Duration::from_nanos(4));
        assert_eq!(Instant(1) + Duration::MAX, Instant::NEVER);
    }

    #[test]
    fn labels_are_ordered_like_the_time_they_name() {
        let early = Tai64n::new(1_700_000_000, 999_999_999);
        let late = Tai64n::new(1_700_000_001, 0);
        let later = Tai64n::new(1_700_000_001, 20_000_000);
        assert!(early < late && late < later);
    }

    #[test]
    fn the_label_of_the_unix_epoch_is_the_published_one() {
        assert_eq!(&Tai64n::new(0, 0).0, b"\x40\0\0\0\0\0\0\x0a\0\0\0\0");
    }
}
