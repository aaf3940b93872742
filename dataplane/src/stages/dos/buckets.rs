//! Token buckets by prefix in a table of fixed size. An entry is one stamp, the time up to which its tokens are
//! spent. Once that is over it says no more than no entry would, so whoever comes next may have it: nothing is
//! ever searched for, aged or moved, and a flood of new sources holds an entry for the time of one packet each.

use wireguard::prefetch::prefetch;
use wireguard::time::Instant;

use super::rate::{DEPTH_MAX, Rate};
use crate::packet::Address;
use crate::table::{Key as _, mix};

/// Lengths of the prefixes that share a bucket, as masks.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    v4: Address,
    v6: Address,
}

impl Scope {
    /// Prefixes of `v4_len` and `v6_len` bits; what is longer than an address is as long as it.
    pub fn new(v4_len: u8, v6_len: u8) -> Self {
        let mask = |bits: u8, len: u8| {
            let rest = u32::from(bits.saturating_sub(len));
            Address::from(u128::MAX.checked_shl(rest).unwrap_or(0))
        };
        Self { v4: mask(32, v4_len), v6: mask(128, v6_len) }
    }

    /// The prefix around an address.
    #[inline]
    pub const fn around(self, address: Address) -> Address {
        address.masked(if address.is_v4() { self.v4 } else { self.v6 })
    }
}

/// Entries of a set: a line of memory.
const WAYS: usize = 8;

/// An entry is `[tag 16 | stamp 48]`: which prefix, and until when its tokens are spent; or [`NOTHING`].
type Entry = u64;
const NOTHING: Entry = 0;

/// Bits of a stamp: 26 days, after which stamps begin anew. Long before that [`Buckets::expire`] has cleared one
/// that is over, or it would seem to lie ahead.
const STAMP_BITS: u32 = 48;
const STAMP: u64 = (1 << STAMP_BITS) - 1;

/// A unit of stamps is 2^3 ns: at a million packets per second a packet has 125 of them.
const UNIT_BITS: u32 = 3;

/// A stamp that lies further ahead is none that a rate has set.
#[expect(clippy::cast_possible_truncation, reason = "ten minutes have 40 bits")]
const AHEAD_MAX: u64 = (DEPTH_MAX.as_nanos() as u64 >> UNIT_BITS) + 2;

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Set([Entry; WAYS]);

/// The table.
#[derive(Clone)]
pub struct Buckets {
    /// What the seed was made into.
    words: [u64; 4],
    mask: u64,
    sets: Box<[Set]>,
    /// The set that is next to be looked at by [`Buckets::expire`].
    next: usize,
}

/// Sets that are looked at in one go. Once a second, even the four million sets of 2^25 entries are all
/// seen within a day.
const EXPIRED_AT_ONCE: usize = 64;

/// Where the bucket of a prefix is, and its mark there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    set: u32,
    tag: u16,
}

/// What a bucket says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its tokens were there.
    Within,
    /// They were not; none is taken.
    Over,
    /// All entries that the prefix could have are in use by others.
    Full,
}

impl std::fmt::Debug for Buckets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buckets").field("sets", &self.sets.len()).finish_non_exhaustive()
    }
}

impl Buckets {
    /// A table of at least so many entries, each touched, under a secret seed.
    pub fn new(entries: usize, seed: u64) -> Self {
        let sets = entries.div_ceil(WAYS).next_power_of_two();
        let sets = vec![Set([NOTHING; WAYS]); sets].into_boxed_slice();
        // Words that have nothing in common with each other, nor with those of a seed nearly the same.
        let words = [0, 1, 2, 3].map(|word: u64| word.hash(seed).hash(seed));
        Self { words, mask: sets.len() as u64 - 1, sets, next: 0 }
    }

    /// Octets of memory.
    pub fn octets(&self) -> usize {
        size_of_val(&*self.sets)
    }

    /// The place of a prefix under the rule with this id.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the hash is cut up")]
    pub fn place(&self, prefix: Address, rule: u32) -> Place {
        let bits = prefix.bits();
        let [low, high, first, second] = self.words;
        let halves = mix(bits as u64 ^ low, (bits >> 64) as u64 ^ high);
        let hash = mix(halves ^ first, u64::from(rule) ^ second);
        Place { set: (hash & self.mask) as u32, tag: (hash >> STAMP_BITS) as u16 }
    }

    /// Begins to fetch what [`Buckets::take`] will need.
    #[inline]
    pub fn ahead(&self, place: Place) {
        self.sets.get(place.set as usize).into_iter().for_each(prefetch);
    }

    /// Takes the tokens of a packet of `len` octets.
    #[inline]
    pub fn take(&mut self, place: Place, rate: &Rate, len: u32, now: Instant) -> Verdict {
        let Some(set) = self.sets.get_mut(place.set as usize) else { return Verdict::Full };
        let now = now.0 >> UNIT_BITS;
        let depth = rate.depth_in(UNIT_BITS) + 1;
        let Some(entry) = set.entry(place.tag, now) else { return Verdict::Full };
        let is_ours = tag(*entry) == place.tag && is_live(*entry, now);
        let spent = if is_ours { ahead_of(*entry, now) } else { 0 };
        // No bucket of this rate is ever spent for longer: that is a stamp from before time went back.
        let spent = if spent > depth { 0 } else { spent };
        let spent = spent + rate.cost_in(UNIT_BITS, len);
        if spent > depth {
            return Verdict::Over;
        }
        *entry = u64::from(place.tag) << STAMP_BITS | now.wrapping_add(spent) & STAMP;
        Verdict::Within
    }

    /// Clears what is over in a few of the sets. Not needed for anybody's tokens; called about once a second it
    /// keeps stamps from growing so old that time comes round to them.
    pub fn expire(&mut self, now: Instant) {
        let now = now.0 >> UNIT_BITS;
        let end = (self.next + EXPIRED_AT_ONCE).min(self.sets.len());
        for set in self.sets.get_mut(self.next..end).unwrap_or_default() {
            for entry in set.0.iter_mut().filter(|entry| !is_live(**entry, now)) {
                *entry = NOTHING;
            }
        }
        self.next = if end < self.sets.len() { end } else { 0 };
    }
}

#[inline]
const fn tag(entry: Entry) -> u16 {
    (entry >> STAMP_BITS) as u16
}

/// How long tokens are spent from now on.
#[inline]
const fn ahead_of(entry: Entry, now: u64) -> u64 {
    entry.wrapping_sub(now) & STAMP
}

/// Whether the entry says anything.
#[inline]
const fn is_live(entry: Entry, now: u64) -> bool {
    let ahead = ahead_of(entry, now);
    entry != NOTHING && ahead != 0 && ahead <= AHEAD_MAX
}

impl Set {
    /// The entry of a tag, or else one that says nothing, if there is one.
    #[inline]
    fn entry(&mut self, wanted: u16, now: u64) -> Option<&mut Entry> {
        let mut row = None;
        for (way, entry) in self.0.iter().enumerate() {
            if tag(*entry) == wanted && *entry != NOTHING {
                row = Some(way);
                break;
            }
            if !is_live(*entry, now) {
                row = row.or(Some(way));
            }
        }
        self.0.get_mut(row?)
    }
}

#[cfg(test)]
mod tests;
