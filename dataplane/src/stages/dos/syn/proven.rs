//! Sources that have shown that they receive what is sent to them, known to all workers of a server: a client's next
//! connection may well come by another queue.

use std::sync::atomic::{AtomicU64, Ordering};

use wireguard::prefetch::prefetch;
use wireguard::time::Instant;

use super::seconds;
use crate::limits::PROVEN_TIME;

/// Entries that one cache line holds: a tag in the high half, the second at which it ends in the low one.
const ENTRIES: usize = 8;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; ENTRIES]);

/// The sources, a fixed number of them. IPv4 and IPv6 have a half each, so that whoever owns many IPv6 networks takes
/// nothing from the others. An entry ends by its time alone; none is given up for another.
#[derive(Debug)]
pub struct Proven {
    sets: Box<[Set]>,
}

/// What the table says of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is proven.
    Proven,
    /// It is not.
    Unproven,
    /// It is not, and could not be: its set is full. Whoever can fill it has so many sources that are proven; those
    /// of his SYNs pass, and it would harm only others to ask them for what cannot be kept.
    Full,
}

impl Proven {
    /// Room for at least `capacity` sources.
    pub fn new(capacity: usize) -> Self {
        let sets = (capacity / ENTRIES).next_power_of_two().max(2);
        Self { sets: (0..sets).map(|_| Set::default()).collect() }
    }

    /// Octets of the table.
    pub fn octets(&self) -> usize {
        size_of_val(&*self.sets)
    }

    /// `source` is the hash of a source, the lowest bit its family.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the mask keeps the low bits only")]
    fn set(&self, source: u64) -> Option<&Set> {
        self.sets.get(source as usize & (self.sets.len() - 1))
    }

    /// Begins to fetch what is known of a source.
    #[inline]
    pub fn fetch(&self, source: u64) {
        if let Some(set) = self.set(source) {
            prefetch(set);
        }
    }

    /// What is known of a source.
    #[inline]
    pub fn standing(&self, source: u64, now: Instant) -> Standing {
        let Some(Set(entries)) = self.set(source) else { return Standing::Full };
        let now = seconds(now);
        let (mut found, mut free) = (false, false);
        for entry in entries {
            let entry = entry.load(Ordering::Relaxed);
            let live = ends(entry) > now;
            found |= live && tag(entry) == tag(source);
            free |= !live;
        }
        match (found, free) {
            (true, _) => Standing::Proven,
            (false, true) => Standing::Unproven,
            (false, false) => Standing::Full,
        }
    }

    /// Remembers a source as proven for [`PROVEN_TIME`]; false when there is no room. Two workers that do so at once may
    /// remember it twice, which only takes room.
    pub fn prove(&self, source: u64, now: Instant) -> bool {
        let Some(Set(entries)) = self.set(source) else { return false };
        let new = tag(source) << 32 | u64::from(seconds(now + PROVEN_TIME));
        let now = seconds(now);
        let known = |entry: u64| ends(entry) > now && tag(entry) == tag(source);
        let ended = |entry: u64| ends(entry) <= now;
        replace(entries, new, known) || replace(entries, new, ended)
    }
}

/// Puts an entry in the place of the first that may go.
fn replace(entries: &[AtomicU64], new: u64, may_go: impl Fn(u64) -> bool) -> bool {
    entries.iter().any(|place| {
        let entry = place.load(Ordering::Relaxed);
        may_go(entry)
            && place.compare_exchange(entry, new, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    })
}

#[inline]
const fn tag(entry: u64) -> u64 {
    entry >> 32
}

#[inline]
const fn ends(entry: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is the time")]
    let ends = entry as u32;
    ends
}

#[cfg(test)]
mod tests;
