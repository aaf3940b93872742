//! SYNs seen for the first time. A client repeats one that nobody answers, after a second and with the same sequence
//! number; a flood of invented ones has no memory of what it has sent.

use wireguard::prefetch::prefetch;
use wireguard::time::Instant;

/// Entries that one cache line holds: 24 bits of a tag, eight of the time.
const ENTRIES: usize = 16;

/// What a step of an entry's time is, in nanoseconds. Eight bits of it come round after 64 seconds.
const STEP: u64 = 250_000_000;

/// A difference of three steps is more than half a second ([`crate::limits::FIRST_WAIT`]), whatever was cut off.
const WAIT: u8 = 3;

/// The last difference that is surely within [`crate::limits::FIRST_TIME`].
const TIME: u8 = 240;

/// An entry given up for another before this age shows that a client's would not be there when it asks again: after a
/// second at the earliest.
const CROWDED: u8 = 5;

const _: () = {
    assert!((WAIT as u128 - 1) * STEP as u128 >= crate::limits::FIRST_WAIT.as_nanos());
    assert!(TIME as u128 * STEP as u128 <= crate::limits::FIRST_TIME.as_nanos());
};

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Set([u32; ENTRIES]);

/// The latest of them, of one worker: the repetition comes by the same queue. When a set is full the oldest goes: it
/// belongs to nobody who is proven, and to refuse the new one would keep every client out as long as a flood lasts.
#[derive(Debug)]
pub struct First {
    sets: Box<[Set]>,
}

/// How a SYN is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// For the first time.
    First,
    /// As [`Meeting::First`], but so many others come that it will be forgotten before it can be repeated.
    Crowded,
    /// Again, but too soon for a client's repetition.
    Soon,
    /// Again, when a client repeats it.
    Again,
}

impl First {
    /// Room for at least `capacity` SYNs.
    pub fn new(capacity: usize) -> Self {
        let sets = (capacity / ENTRIES).next_power_of_two().max(1);
        Self { sets: vec![Set([0; ENTRIES]); sets].into() }
    }

    /// Octets of the table.
    pub fn octets(&self) -> usize {
        size_of_val(&*self.sets)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the mask keeps the low bits only")]
    fn place(&self, flow: u64) -> usize {
        flow as usize & (self.sets.len() - 1)
    }

    /// Begins to fetch what is known of a flow's SYN.
    #[inline]
    pub fn fetch(&self, flow: u64) {
        if let Some(set) = self.sets.get(self.place(flow)) {
            prefetch(set);
        }
    }

    /// Meets the SYN with this initial sequence number of the flow with this hash, and remembers it.
    #[inline]
    pub fn meet(&mut self, flow: u64, isn: u32, now: Instant) -> Meeting {
        let place = self.place(flow);
        let Some(Set(entries)) = self.sets.get_mut(place) else { return Meeting::Crowded };
        let step = step(now);
        let tag = tag(flow, isn);
        // What was never written is the first to go.
        let age = |entry: u32| if entry == 0 { u8::MAX } else { step.wrapping_sub(stamp(entry)) };
        let new = tag | u32::from(step);
        if let Some(entry) = entries.iter_mut().find(|entry| **entry & TAG_MASK == tag) {
            return match age(*entry) {
                ..WAIT => Meeting::Soon,
                WAIT..=TIME => Meeting::Again,
                _ => {
                    *entry = new;
                    Meeting::First
                }
            };
        }
        let Some(oldest) = entries.iter_mut().max_by_key(|entry| age(**entry)) else {
            return Meeting::Crowded;
        };
        let crowded = age(*oldest) < CROWDED;
        *oldest = new;
        if crowded { Meeting::Crowded } else { Meeting::First }
    }
}

const TAG_MASK: u32 = !0xff;

/// The high bits of the hash, which do not choose the set, with the sequence number spread over them.
#[inline]
const fn tag(flow: u64, isn: u32) -> u32 {
    ((flow >> 32) as u32 ^ isn.wrapping_mul(0x9e37_79b1)) & TAG_MASK
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are the time")]
const fn stamp(entry: u32) -> u8 {
    entry as u8
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "it comes round")]
const fn step(now: Instant) -> u8 {
    (now.0 / STEP) as u8
}

#[cfg(test)]
mod tests;
