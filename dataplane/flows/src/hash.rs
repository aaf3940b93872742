//! Keyed hashes: who does not know the words cannot choose which keys meet.

/// Folds the 128-bit product, which mixes every bit of both words into the result.
#[inline]
pub(crate) const fn mix(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "both halves are wanted, one after the other"
    )]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

/// 2^64 divided by the golden ratio, odd: an even spread of consecutive words.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Secret words, made out of a seed.
#[derive(Clone, Copy)]
pub(crate) struct Words([u64; 4]);

impl Words {
    /// Words that have nothing in common with each other, nor with those of a seed nearly the same.
    pub(crate) fn new(seed: u64) -> Self {
        let word = |number: u64| {
            let once = mix(number ^ seed, SPREAD ^ seed.rotate_left(32));
            mix(once ^ SPREAD, number.wrapping_add(seed) | 1) ^ once
        };
        Self([1, 2, 3, 4].map(word))
    }

    /// The hash of four words.
    #[inline]
    pub(crate) const fn hash(&self, a: u64, b: u64, c: u64) -> u64 {
        let [first, second, third, fourth] = self.0;
        mix(mix(a ^ first, b ^ second) ^ third, c ^ fourth)
    }
}
