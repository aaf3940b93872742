//! Reading a counters page that somebody else writes: nothing in it is believed before it is checked.

use std::fmt;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::fence;

use super::{EPOCH, NAME_WORDS, SHAPE, is_name};
use crate::limits::{BLOCKS_MAX, COUNTERS_MAX};
use crate::memory::{Memory, WORD_LEN, Word, index};

/// Why a page cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Nothing is laid out yet; come again.
    Empty,
    /// It is being laid out; come again.
    Changing,
    /// It names places that it does not have.
    Shape,
    /// A name is none.
    Name,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the counters page is empty yet; try again",
            Self::Changing => "the counters page is changing; try again",
            Self::Shape => "the counters page names places outside of it; restart the dataplane",
            Self::Name => "the counters page has a name that is none; restart the dataplane",
        })
    }
}

impl std::error::Error for Unreadable {}

/// All counters at about one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The epoch of the layout: values of different epochs are not to be subtracted.
    pub epoch: u64,
    /// The counters' names.
    pub counters: Vec<String>,
    /// The blocks' names.
    pub blocks: Vec<String>,
    /// Block after block, as many values as there are counters.
    pub values: Vec<u64>,
}

impl Table {
    /// The values of a block.
    pub fn block(&self, number: usize) -> &[u64] {
        let len = self.counters.len();
        let start = number.saturating_mul(len);
        self.values.get(start..start.saturating_add(len)).unwrap_or_default()
    }

    /// The sum of a counter over all blocks; none when no counter has the name.
    pub fn total(&self, name: &str) -> Option<u64> {
        let at = self.counters.iter().position(|counter| counter == name)?;
        let of = |block| self.block(block).get(at).copied().unwrap_or(0);
        Some((0..self.blocks.len()).fold(0, |sum: u64, block| sum.wrapping_add(of(block))))
    }
}

/// Where things stand in the page, checked.
#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    counters: usize,
    blocks: usize,
    names: usize,
    block_names: usize,
    values: usize,
    stride: usize,
}

/// Reads a counters page. Relaxed loads and fences only: the memory may be one that cannot be written.
#[derive(Debug)]
pub struct Reader<M> {
    memory: M,
    shape: Shape,
    table: Table,
}

impl<M: Memory> Reader<M> {
    /// Reads the page in this memory.
    pub fn new(memory: M) -> Self {
        Self { memory, shape: Shape::default(), table: Table::default() }
    }

    /// All counters now. Names are read again only when the epoch is another one.
    pub fn read(&mut self) -> Result<&Table, Unreadable> {
        let epoch = self.epoch()?;
        if epoch != self.table.epoch {
            self.table = Table::default();
            let shape = self.shape()?;
            let counters = self.names(shape.names, shape.counters)?;
            let blocks = self.names(shape.block_names, shape.blocks)?;
            self.shape = shape;
            self.table = Table { epoch, counters, blocks, values: Vec::new() };
        }
        let Shape { counters, blocks, values, stride, .. } = self.shape;
        self.table.values.clear();
        for block in 0..blocks {
            let words = self.memory.run(values + block * stride, counters);
            self.table.values.extend(words.iter().map(|word| word.load(Relaxed)));
        }
        // The epoch again, after all the loads above.
        fence(Acquire);
        if self.memory.load(EPOCH, Relaxed) != epoch {
            self.table = Table::default();
            return Err(Unreadable::Changing);
        }
        Ok(&self.table)
    }

    fn epoch(&self) -> Result<u64, Unreadable> {
        let epoch = self.memory.load(EPOCH, Relaxed);
        // The loads that follow are of this epoch or of a later one.
        fence(Acquire);
        match epoch {
            0 => Err(Unreadable::Empty),
            epoch if epoch % 2 == 1 => Err(Unreadable::Changing),
            epoch => Ok(epoch),
        }
    }

    fn shape(&self) -> Result<Shape, Unreadable> {
        let mut words = (SHAPE..).map(|at| index(self.memory.load(at, Relaxed)));
        let mut next = || words.next().unwrap_or(usize::MAX);
        let shape = Shape {
            counters: next(),
            blocks: next(),
            names: next(),
            block_names: next(),
            values: next(),
            stride: next(),
        };
        let len = self.memory.words().len();
        let Shape { counters, blocks, names, block_names, values, stride } = shape;
        let fits = |start: usize, count: usize, each: usize| {
            let words = count.checked_mul(each);
            words.and_then(|words| start.checked_add(words)).is_some_and(|end| end <= len)
        };
        let sound = counters <= COUNTERS_MAX
            && blocks <= BLOCKS_MAX
            && counters <= stride
            && fits(names, counters, NAME_WORDS)
            && fits(block_names, blocks, NAME_WORDS)
            && fits(values, blocks, stride);
        if sound { Ok(shape) } else { Err(Unreadable::Shape) }
    }

    fn names(&self, at: usize, count: usize) -> Result<Vec<String>, Unreadable> {
        (0..count).map(|number| self.name(at + number * NAME_WORDS)).collect()
    }

    fn name(&self, at: usize) -> Result<String, Unreadable> {
        let mut octets = [[0; WORD_LEN]; NAME_WORDS];
        for (octets, word) in octets.iter_mut().zip(self.memory.run(at, NAME_WORDS)) {
            *octets = word.load(Relaxed).to_ne_bytes();
        }
        let octets = octets.as_flattened();
        let len = octets.iter().position(|octet| *octet == 0).unwrap_or(octets.len());
        let (name, rest) = octets.split_at_checked(len).ok_or(Unreadable::Name)?;
        if !is_name(name) || rest.iter().any(|octet| *octet != 0) {
            return Err(Unreadable::Name);
        }
        String::from_utf8(name.to_vec()).map_err(|_| Unreadable::Name)
    }
}
