//! When the frames of a stream are due.

use rand_chacha::ChaCha20Rng;
use wireguard::time::Instant;

use crate::pace::{Pacer, Pattern, Rate};
use crate::replay::Recorded;

/// The times of a stream.
#[derive(Debug)]
pub enum Plan {
    /// At a rate, so many frames.
    Paced(Pacer, u64),
    /// As they were recorded.
    Recorded(Recorded),
}

impl Plan {
    /// At a rate, without end.
    pub fn paced(rate: Rate, pattern: Pattern, now: Instant) -> Self {
        Self::Paced(Pacer::new(rate, pattern, now), u64::MAX)
    }

    #[inline]
    pub(super) fn take(
        &mut self,
        now: Instant,
        len: usize,
        rng: &mut ChaCha20Rng,
    ) -> Option<Instant> {
        match self {
            Self::Paced(pacer, total) if pacer.planned() < *total => pacer.take(now, len, rng),
            Self::Paced(..) => None,
            Self::Recorded(recorded) => recorded.take(now),
        }
    }

    pub(super) const fn end(&mut self, until: Instant) {
        match self {
            Self::Paced(pacer, _) => pacer.end(until),
            Self::Recorded(recorded) => recorded.end(until),
        }
    }

    pub(super) fn owed(&self, now: Instant, len: usize) -> u64 {
        match self {
            Self::Paced(pacer, total) => {
                pacer.owed(now, len).min(total.saturating_sub(pacer.planned()))
            }
            Self::Recorded(recorded) => recorded.owed(now),
        }
    }

    pub(super) const fn left(&self) -> Option<u64> {
        let (total, taken) = match self {
            Self::Paced(pacer, total) => (*total, pacer.planned()),
            Self::Recorded(recorded) => recorded.progress(),
        };
        if total == u64::MAX { None } else { Some(total.saturating_sub(taken)) }
    }

    pub(super) const fn is_over(&self) -> bool {
        match self {
            Self::Paced(pacer, total) => pacer.planned() >= *total,
            Self::Recorded(recorded) => recorded.is_over(),
        }
    }
}
