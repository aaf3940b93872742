//! Token buckets of sources in a table of fixed size: nothing is ever pushed out of it, so nobody gets a bucket back
//! full before its time by filling the table.

use std::time::Duration;

use wireguard::time::Instant;

use super::known::Source;

/// Entries that may hold a source.
const WAYS: usize = 8;

/// What a bucket gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// A token, and the bucket was full.
    First,
    /// A token.
    Further,
    /// The bucket is empty.
    Refused,
    /// There is no room for another bucket.
    NoRoom,
}

/// A bucket, as [`crate::limiter::Limiter`] has it; one that is full again is a free entry.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    mark: u32,
    /// The time up to which its tokens are spent.
    spent_until: Instant,
}

/// Buckets of one kind.
#[derive(Debug)]
pub(super) struct Buckets {
    cost: Duration,
    depth: Duration,
    lines: Box<[[Entry; WAYS]]>,
}

impl Buckets {
    /// Room for `count` buckets of `burst` tokens, of which one comes back each `cost`.
    pub(super) fn new(count: usize, cost: Duration, burst: u32) -> Self {
        let lines = count.div_ceil(WAYS).next_power_of_two();
        let depth = cost * (burst - 1);
        Self { cost, depth, lines: vec![[Entry::default(); WAYS]; lines].into() }
    }

    /// Takes a token of a source.
    #[inline]
    pub(super) fn take(&mut self, source: Source, now: Instant) -> Grant {
        let (mask, mark) = (self.lines.len() - 1, source.mark());
        let Some(line) = self.lines.get_mut(source.place(mask)) else { return Grant::NoRoom };
        let full_at = now - self.depth;
        if let Some(entry) = line.iter_mut().find(|entry| entry.mark == mark) {
            if entry.spent_until > now {
                return Grant::Refused;
            }
            let grant = if entry.spent_until <= full_at { Grant::First } else { Grant::Further };
            entry.spent_until = entry.spent_until.max(full_at) + self.cost;
            return grant;
        }
        let Some(entry) = line.iter_mut().find(|entry| entry.spent_until <= full_at) else {
            return Grant::NoRoom;
        };
        *entry = Entry { mark, spent_until: full_at + self.cost };
        Grant::First
    }
}
