//! The counters page: named numbers in blocks, one writer per block, read by anybody without a word to the writers.
//!
//! The page describes itself, so that a reader needs no more than the page:
//!
//! | words from [`HEADER_WORDS`] | what |
//! |---|---|
//! | 0 | epoch: odd while the page is laid out, 0 before it is |
//! | 1, 2 | how many counters a block has; how many blocks there are |
//! | 3, 4 | where the counters' and the blocks' names begin, in words of the region |
//! | 5, 6 | where the values begin, and from block to block |
//! | names | 64 octets each, of `a-z 0-9 _ . -`, zeros behind |
//! | values | the counters of a block side by side, each block on cache lines of its own |
//!
//! A new layout begins a new epoch with all values zero. Counters of one reading may be some nanoseconds apart.

mod reader;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::fence;

pub use reader::{Reader, Table, Unreadable};

use crate::header::HEADER_WORDS;
use crate::limits::{BLOCKS_MAX, COUNTERS_MAX, NAME_LEN_MAX};
use crate::memory::{LINE_WORDS, Memory, WORD_LEN, Word};
use crate::ring::TooShort;

/// Where things stand.
const EPOCH: usize = HEADER_WORDS;
const SHAPE: usize = EPOCH + 1;
const NAMES: usize = HEADER_WORDS + LINE_WORDS;
const NAME_WORDS: usize = NAME_LEN_MAX / WORD_LEN;

/// What a page has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    counters: usize,
    blocks: usize,
}

impl Room {
    /// Room for so many names and blocks, within the limits.
    pub fn new(counters: usize, blocks: usize) -> Option<Self> {
        let fits = counters <= COUNTERS_MAX && blocks <= BLOCKS_MAX;
        fits.then_some(Self { counters, blocks })
    }

    /// Words of the region.
    pub fn words(self) -> usize {
        self.values() + self.blocks * stride(self.counters)
    }

    /// The two sizes for the header.
    pub(crate) fn sizes(self) -> [u64; 2] {
        [self.counters as u64, self.blocks as u64]
    }

    fn block_names(self) -> usize {
        NAMES + self.counters * NAME_WORDS
    }

    fn values(self) -> usize {
        (self.block_names() + self.blocks * NAME_WORDS).next_multiple_of(LINE_WORDS)
    }
}

/// Words from block to block: whole cache lines, so that no two writers share one.
fn stride(counters: usize) -> usize {
    counters.next_multiple_of(LINE_WORDS)
}

/// Why a page was not laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// More counters or blocks than there is room for.
    NoRoom,
    /// No name for a counter or a block, or one that is there twice.
    Name(String),
    /// Somebody still writes by the layout before.
    InUse,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom => f.write_str("the counters page is too small; make it larger at start"),
            Self::Name(name) => write!(
                f,
                "{name:?} names no counter: take up to {NAME_LEN_MAX} of a-z, 0-9, _, . and -, once"
            ),
            Self::InUse => f.write_str("blocks of the former layout are in use; drop them first"),
        }
    }
}

impl std::error::Error for LayoutError {}

/// The page, for its one owner.
#[derive(Debug)]
pub struct Page<M> {
    memory: M,
    room: Room,
    epoch: u64,
    /// Held by every block of the present layout.
    in_use: Arc<()>,
}

impl<M: Memory + Clone> Page<M> {
    /// The page in `memory`, not laid out yet.
    pub fn new(memory: M, room: Room) -> Result<Self, TooShort> {
        if memory.words().len() < room.words() {
            return Err(TooShort);
        }
        Ok(Self { memory, room, epoch: 0, in_use: Arc::new(()) })
    }

    /// Lays the page out anew: gives a block for each of `blocks`, to be handed to its one writer.
    pub fn lay_out(
        &mut self,
        counters: &[&str],
        blocks: &[&str],
    ) -> Result<Vec<Block<M>>, LayoutError> {
        if Arc::strong_count(&self.in_use) > 1 {
            return Err(LayoutError::InUse);
        }
        if counters.len() > self.room.counters || blocks.len() > self.room.blocks {
            return Err(LayoutError::NoRoom);
        }
        check_names(counters)?;
        check_names(blocks)?;
        self.memory.store(EPOCH, self.epoch.wrapping_add(1), Relaxed);
        // Whoever sees any of the stores below sees that the page is being laid out.
        fence(Release);
        let (values, stride) = (self.room.values(), stride(counters.len()));
        let shape = [counters.len(), blocks.len(), NAMES, self.room.block_names(), values, stride];
        for (at, value) in (SHAPE..).zip(shape) {
            self.memory.store(at, value as u64, Relaxed);
        }
        self.put_names(NAMES, counters);
        self.put_names(self.room.block_names(), blocks);
        for word in self.memory.run(values, blocks.len() * stride) {
            word.store(0, Relaxed);
        }
        self.epoch = self.epoch.wrapping_add(2);
        self.memory.store(EPOCH, self.epoch, Release);
        let block = |number| Block {
            memory: self.memory.clone(),
            at: values + number * stride,
            counters: counters.len(),
            _in_use: Arc::clone(&self.in_use),
        };
        Ok((0..blocks.len()).map(block).collect())
    }

    fn put_names(&self, at: usize, names: &[&str]) {
        for (number, name) in names.iter().enumerate() {
            let mut octets = [[0; WORD_LEN]; NAME_WORDS];
            octets
                .as_flattened_mut()
                .iter_mut()
                .zip(name.bytes())
                .for_each(|(to, from)| *to = from);
            let words = self.memory.run(at + number * NAME_WORDS, NAME_WORDS);
            for (word, octets) in words.iter().zip(octets) {
                word.store(u64::from_ne_bytes(octets), Relaxed);
            }
        }
    }
}

fn check_names(names: &[&str]) -> Result<(), LayoutError> {
    let mut seen = std::collections::HashSet::new();
    match names.iter().find(|name| !is_name(name.as_bytes()) || !seen.insert(**name)) {
        Some(name) => Err(LayoutError::Name((*name).to_owned())),
        None => Ok(()),
    }
}

fn is_name(octets: &[u8]) -> bool {
    let fits = |octet: &u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-');
    (1..=NAME_LEN_MAX).contains(&octets.len()) && octets.iter().all(fits)
}

/// The counters of one writer. Not to be cloned: it is the only one that writes them.
#[derive(Debug)]
pub struct Block<M> {
    memory: M,
    at: usize,
    counters: usize,
    _in_use: Arc<()>,
}

impl<M: Memory> Block<M> {
    /// Adds to a counter, by its place in the layout; one that is not there is not counted.
    #[inline]
    pub fn add(&self, counter: usize, count: u64) {
        if let Some(word) = self.words().get(counter) {
            word.store(word.load(Relaxed).wrapping_add(count), Relaxed);
        }
    }

    /// Sets a gauge.
    #[inline]
    pub fn set(&self, counter: usize, value: u64) {
        if let Some(word) = self.words().get(counter) {
            word.store(value, Relaxed);
        }
    }

    /// Sets all counters from the first on: for a thread that publishes what others count.
    pub fn set_all(&self, values: impl IntoIterator<Item = u64>) {
        for (word, value) in self.words().iter().zip(values) {
            word.store(value, Relaxed);
        }
    }

    #[inline]
    fn words(&self) -> &[M::Word] {
        self.memory.run(self.at, self.counters)
    }
}

#[cfg(test)]
mod tests;
