//! A ring for one producer and one consumer who do not trust each other.
//!
//! Both indices count messages since the region was made and never wrap. Each side keeps its own index to
//! itself and only publishes it; the other's it takes from shared memory, and compares before use. A value
//! that cannot be is a named [`Corrupt`], after which the side stands still until the other one starts
//! anew (a new epoch), and publishes its own index again, in case that was what went wrong.
//!
//! | words from [`HEADER_WORDS`] | what | writer |
//! |---|---|---|
//! | 0 | messages published | producer |
//! | 1 | epoch: how often a producer has started | producer |
//! | 16 | messages consumed | consumer |
//! | 17 | epoch: how often a consumer has started | consumer |
//! | 32.. | slots of `N + 2` words: complement of the message's index, producer's epoch, `N` words of message | producer; wiped by the consumer |
//!
//! A message becomes visible by the release store of the index behind it; a slot becomes free by the
//! release store of the consumer's index. Either side may be killed between any two stores: what it had not
//! published did not happen. A producer who comes back goes on behind the published messages; a consumer who
//! comes back begins at the producer's present index and finds nothing of what its predecessor left.

mod consumer;
mod producer;

use std::fmt;

pub use consumer::{Consumer, Taken};
pub use producer::{Producer, Rejected};

use crate::header::HEADER_WORDS;
use crate::limits::SLOTS_MAX;
use crate::memory::{LINE_WORDS, index};

/// Where the indices stand.
const HEAD: usize = HEADER_WORDS;
const PRODUCER_EPOCH: usize = HEAD + 1;
const TAIL: usize = HEADER_WORDS + LINE_WORDS;
const CONSUMER_EPOCH: usize = TAIL + 1;
const SLOTS: usize = HEADER_WORDS + 2 * LINE_WORDS;

/// Words of a slot before its message.
const SLOT_HEADER_WORDS: usize = 2;

/// How many slots for messages of `N` words a ring has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry<const N: usize> {
    slots: u32,
}

impl<const N: usize> Geometry<N> {
    /// Words of a slot.
    pub const STRIDE: usize = N + SLOT_HEADER_WORDS;

    /// A ring of so many slots: a power of two up to [`SLOTS_MAX`].
    pub const fn new(slots: u32) -> Option<Self> {
        if slots.is_power_of_two() && slots <= SLOTS_MAX { Some(Self { slots }) } else { None }
    }

    /// How many messages it holds.
    pub const fn slots(self) -> u32 {
        self.slots
    }

    /// Words of memory that it needs, with the region's header.
    pub const fn words(self) -> usize {
        SLOTS + self.slots as usize * Self::STRIDE
    }

    #[inline]
    fn capacity(self) -> u64 {
        u64::from(self.slots)
    }

    /// Where the slot of a message begins: within the ring, whatever the index is.
    #[inline]
    fn slot(self, message: u64) -> usize {
        SLOTS + index(message & (self.capacity() - 1)) * Self::STRIDE
    }
}

/// The memory is too short for its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooShort;

/// What cannot be in a ring whose other side is sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrupt {
    /// The other side's index went back.
    Backwards,
    /// The other side's index went further than there are slots.
    Beyond,
    /// A published slot holds another message than the one it was published for.
    Stale,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backwards => "the other side's index ran backwards",
            Self::Beyond => "the other side's index jumped beyond the ring's slots",
            Self::Stale => "a published slot holds another message than its own",
        })?;
        f.write_str("; nothing is exchanged until the other side attaches again")
    }
}

impl std::error::Error for Corrupt {}

/// How often each [`Corrupt`] was met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// [`Corrupt::Backwards`].
    pub backwards: u64,
    /// [`Corrupt::Beyond`].
    pub beyond: u64,
    /// [`Corrupt::Stale`].
    pub stale: u64,
}

impl Faults {
    fn count(&mut self, fault: Corrupt) {
        let counter = match fault {
            Corrupt::Backwards => &mut self.backwards,
            Corrupt::Beyond => &mut self.beyond,
            Corrupt::Stale => &mut self.stale,
        };
        *counter = counter.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests;
