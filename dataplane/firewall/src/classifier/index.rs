//! Numbers for equal things: what was seen before keeps the number it got first.

use std::hash::{BuildHasher as _, RandomState};

/// Which numbers have which hash; the things themselves are kept, and compared, by whoever asks.
#[derive(Debug)]
pub(super) struct Index {
    seed: u64,
    /// Open addressing with linear probing, half full at most: upper half of the hash, number + 1; 0 where none is.
    slots: Vec<(u32, u32)>,
    count: u32,
}

/// 2^64 divided by the golden ratio, odd: an even spread of consecutive words.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Index {
    /// An empty index. The seed is random lest someone writes rules that collide; what number a thing gets depends on the
    /// order of asking alone.
    pub(super) fn new() -> Self {
        Self { seed: RandomState::new().hash_one(0_u8) | 1, slots: vec![(0, 0); 64], count: 0 }
    }

    /// The hash of these words.
    #[inline]
    pub(super) fn hash(&self, words: impl Iterator<Item = u64>) -> u64 {
        words.fold(self.seed, |hash, word| mix(hash ^ word, SPREAD ^ self.seed.rotate_left(32)))
    }

    /// The number of the thing with this hash, of which `equal` knows whether a number is its own; the next number if it
    /// is new. Second, whether it is.
    #[inline]
    pub(super) fn number(&mut self, hash: u64, equal: impl Fn(u32) -> bool) -> (u32, bool) {
        let (upper, mask) = ((hash >> 32) as u32, self.slots.len() - 1);
        let mut position = usize::try_from(hash & mask as u64).unwrap_or_default();
        while let Some((found, held)) = self.slots.get(position).copied()
            && held != 0
        {
            if found == upper && equal(held - 1) {
                return (held - 1, false);
            }
            position = (position + 1) & mask;
        }
        self.count += 1;
        if let Some(slot) = self.slots.get_mut(position) {
            *slot = (upper, self.count);
        }
        (self.count - 1, true)
    }

    /// Whether the next number needs more room.
    pub(super) fn is_full(&self) -> bool {
        self.count as usize * 2 >= self.slots.len()
    }

    /// Makes room for twice as many numbers, of which `hash` tells the hashes.
    pub(super) fn grow(&mut self, hash: impl Fn(&Self, u32) -> u64) {
        let slots = vec![(0, 0); self.slots.len() * 2];
        let mut grown = Self { seed: self.seed, slots, count: 0 };
        for number in 0..self.count {
            grown.number(hash(self, number), |_| false);
        }
        *self = grown;
    }
}

/// Folds the 128-bit product, which mixes every bit of both words into the result.
#[inline]
const fn mix(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are wanted")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}
