//! The addresses from which peers have spoken lately: all workers write them, all workers read them, nobody waits.

use std::sync::atomic::{AtomicU64, Ordering};

use wireguard::time::Instant;

use crate::limits::KNOWN_TIME;
use crate::packet::Address;
use crate::table::Key;

/// What counts as one source: an IPv4 address, or the /64 of an IPv6 address, as who has one has all of it. Hashed
/// under a secret, so that nobody outside can choose sources that meet in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source(u64);

/// The interface's part of an IPv6 address.
const INTERFACE: u128 = (1 << 64) - 1;

impl Source {
    pub(super) const fn place(self, mask: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "the mask keeps the low bits only")]
        let place = self.0 as usize & mask;
        place
    }

    /// What tells it from others in its place: bits that no place is made of, and never zero.
    pub(super) const fn mark(self) -> u32 {
        (self.0 >> 32) as u32 | 1
    }
}

/// Entries that may hold a source: one line of the cache.
const WAYS: usize = 8;

/// One line: in each entry the source's mark above, and below the second of this dataplane's life in which it spoke.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; WAYS]);

/// The table. Sources that have not spoken for [`KNOWN_TIME`] are not in it any more.
#[derive(Debug)]
pub struct Known {
    seed: u64,
    lines: Box<[Line]>,
}

impl Known {
    /// A table in which so many sources fill every fourth entry, so that hardly any line is ever full.
    pub(crate) fn new(sources: usize, seed: u64) -> Self {
        let lines = (sources.max(1) * 4).div_ceil(WAYS).next_power_of_two();
        Self { seed, lines: (0..lines).map(|_| Line::default()).collect() }
    }

    /// The source that an address belongs to.
    #[inline]
    pub(super) fn source(&self, address: Address) -> Source {
        let bits = address.bits();
        Source(if address.is_v4() { bits } else { bits & !INTERFACE }.hash(self.seed))
    }

    /// An index of ours, to be counted like a source.
    #[inline]
    pub(super) fn index(&self, index: u32) -> Source {
        Source(index.hash(self.seed))
    }

    fn line(&self, source: Source) -> &[AtomicU64] {
        self.lines.get(source.place(self.lines.len() - 1)).map_or(&[], |line| &line.0)
    }

    /// A peer has spoken from there. In a full line the source that was silent for longest gives way. When two workers
    /// write one entry at once, one of the two sources is forgotten until it speaks again.
    pub fn add(&self, address: Address, now: Instant) {
        let source = self.source(address);
        let (mark, now) = (source.mark(), second(now));
        let line = self.line(source);
        let own = |entry: &&AtomicU64| mark_of(entry.load(Ordering::Relaxed)) == mark;
        let oldest = || line.iter().min_by_key(|entry| spoken_at(entry.load(Ordering::Relaxed)));
        if let Some(entry) = line.iter().find(own).or_else(oldest) {
            entry.store(u64::from(mark) << 32 | u64::from(now), Ordering::Relaxed);
        }
    }

    /// Whether a peer has spoken from this source lately.
    #[inline]
    pub(super) fn holds(&self, source: Source, now: Instant) -> bool {
        let (mark, now) = (source.mark(), second(now));
        let since = |entry: u64| u64::from(now.saturating_sub(spoken_at(entry)));
        self.line(source)
            .iter()
            .map(|entry| entry.load(Ordering::Relaxed))
            .any(|entry| mark_of(entry) == mark && since(entry) < KNOWN_TIME.as_secs())
    }
}

/// 32 bits last for 136 years.
fn second(now: Instant) -> u32 {
    u32::try_from(now.since(Instant::ZERO).as_secs()).unwrap_or(u32::MAX)
}

const fn mark_of(entry: u64) -> u32 {
    (entry >> 32) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
const fn spoken_at(entry: u64) -> u32 {
    entry as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    const START: Instant = Instant(1_000_000_000_000);

    fn v4(number: u32) -> Address {
        Ipv4Addr::from_bits(number).into()
    }

    fn v6(text: &str) -> Address {
        text.parse::<Ipv6Addr>().unwrap().into()
    }

    fn holds(known: &Known, address: Address, now: Instant) -> bool {
        known.holds(known.source(address), now)
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_a_64_of_ipv6_and_is_forgotten_in_time() {
        let known = Known::new(16, 7);
        known.add(v4(1), START);
        known.add(v6("2001:db8::1"), START);
        assert!(holds(&known, v4(1), START) && !holds(&known, v4(2), START));
        assert!(holds(&known, v6("2001:db8::ffff:0:0:2"), START));
        assert!(!holds(&known, v6("2001:db8:0:1::1"), START));
        let last = START + KNOWN_TIME.checked_sub(Duration::from_secs(1)).unwrap();
        assert!(holds(&known, v4(1), last) && !holds(&known, v4(1), START + KNOWN_TIME));
        known.add(v4(1), last);
        assert!(holds(&known, v4(1), START + KNOWN_TIME), "it has spoken again");
    }

    #[test]
    fn remembers_all_that_it_was_made_for_and_hardly_any_other() {
        for seed in 0..20 {
            let known = Known::new(10_000, seed);
            (0..10_000).for_each(|number| known.add(v4(number), START));
            let held = (0..10_000).filter(|number| holds(&known, v4(*number), START)).count();
            assert!(held >= 9_990, "{held} of 10,000, seed {seed}");
            let strange = (10_000..1_000_000).filter(|n| holds(&known, v4(*n), START)).count();
            assert!(strange <= 1, "{strange} strangers of 990,000, seed {seed}");
        }
    }

    #[test]
    fn whoever_spoke_last_stays_in_a_full_table() {
        let known = Known::new(1, 3);
        let later = START + Duration::from_secs(1);
        (0..1_000).for_each(|number| known.add(v4(number), START));
        known.add(v4(1_000), later);
        (0..7).for_each(|number| known.add(v4(number), START));
        assert!(holds(&known, v4(1_000), later));
    }
}
