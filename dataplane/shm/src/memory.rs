//! Memory that somebody else may write at any moment: words, read and written one at a time, atomically.
//!
//! Rings, headers and counters are safe code over these words. So a neighbour who writes while we read can
//! give us any value, but never a torn word or undefined behaviour, and the same code runs over a mapped
//! file, over a boxed slice in tests and over loom's words.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Octets of a word.
pub const WORD_LEN: usize = size_of::<u64>();

/// Words of the unit in which caches of different cores meet: two lines, as the adjacent one is prefetched.
pub const LINE_WORDS: usize = 16;

/// A word that several threads or processes see.
pub trait Word {
    /// Reads it.
    fn load(&self, order: Ordering) -> u64;
    /// Writes it.
    fn store(&self, value: u64, order: Ordering);
}

impl Word for AtomicU64 {
    #[inline]
    fn load(&self, order: Ordering) -> u64 {
        Self::load(self, order)
    }

    #[inline]
    fn store(&self, value: u64, order: Ordering) {
        Self::store(self, value, order);
    }
}

/// A run of such words whose place and length do not change.
pub trait Memory {
    /// What it consists of.
    type Word: Word;

    /// All of its words.
    fn words(&self) -> &[Self::Word];

    /// Reads a word; one that is not there reads as zero.
    #[inline]
    fn load(&self, at: usize, order: Ordering) -> u64 {
        self.words().get(at).map_or(0, |word| word.load(order))
    }

    /// Writes a word; one that is not there stays so.
    #[inline]
    fn store(&self, at: usize, value: u64, order: Ordering) {
        if let Some(word) = self.words().get(at) {
            word.store(value, order);
        }
    }

    /// The words `at..at + len`, or none when they are not all there.
    #[inline]
    fn run(&self, at: usize, len: usize) -> &[Self::Word] {
        at.checked_add(len).and_then(|end| self.words().get(at..end)).unwrap_or_default()
    }
}

impl<W: Word> Memory for Arc<[W]> {
    type Word = W;

    #[inline]
    fn words(&self) -> &[W] {
        self
    }
}

/// So many words of this process alone, all zero: for tests, and for both sides in one process.
pub fn private(len: usize) -> Arc<[AtomicU64]> {
    (0..len).map(|_| AtomicU64::new(0)).collect()
}

/// A word as an index; more than the address space holds becomes an index that is nowhere.
#[inline]
pub(crate) fn index(word: u64) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}
