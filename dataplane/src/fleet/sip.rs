//! `SipHash` (Aumasson and Bernstein, 2012) of messages whose length is known beforehand: that costs a third of what a
//! hasher for any length takes.

/// What the key leaves before the first block: of `SipHash-1-3`, unless other numbers of rounds are said.
#[derive(Clone, Copy)]
pub(crate) struct Sip<const BLOCK: usize = 1, const LAST: usize = 3>([u64; 4]);

impl<const BLOCK: usize, const LAST: usize> Sip<BLOCK, LAST> {
    #[inline]
    pub(crate) fn new(key: [u8; 16]) -> Self {
        let key = u128::from_le_bytes(key);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of the key")]
        let (k0, k1) = (key as u64, (key >> 64) as u64);
        Self([
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ])
    }

    /// The hash of the low `len` octets of `message`, at most seven, little end first; those above must be zero.
    #[inline]
    pub(crate) fn hash(self, message: u64, len: u8) -> u64 {
        Self::finish(Self::absorb(self.0, message | u64::from(len) << 56))
    }

    /// The hash of whole words, at most 31, little end first.
    #[inline]
    pub(crate) fn hash_words<const N: usize>(self, words: [u64; N]) -> u64 {
        let absorbed = words.into_iter().fold(self.0, Self::absorb);
        Self::finish(Self::absorb(absorbed, (N as u64 * 8) << 56))
    }

    #[inline]
    fn absorb([v0, v1, v2, v3]: [u64; 4], word: u64) -> [u64; 4] {
        let [v0, v1, v2, v3] = rounds::<BLOCK>([v0, v1, v2, v3 ^ word]);
        [v0 ^ word, v1, v2, v3]
    }

    #[inline]
    fn finish([v0, v1, v2, v3]: [u64; 4]) -> u64 {
        let [v0, v1, v2, v3] = rounds::<LAST>([v0, v1, v2 ^ 0xff, v3]);
        v0 ^ v1 ^ v2 ^ v3
    }
}

#[inline]
fn rounds<const N: usize>(state: [u64; 4]) -> [u64; 4] {
    (0..N).fold(state, |state, _| round(state))
}

#[inline]
fn round([mut v0, mut v1, mut v2, mut v3]: [u64; 4]) -> [u64; 4] {
    v0 = v0.wrapping_add(v1);
    v2 = v2.wrapping_add(v3);
    v1 = v1.rotate_left(13) ^ v0;
    v3 = v3.rotate_left(16) ^ v2;
    v0 = v0.rotate_left(32).wrapping_add(v3);
    v2 = v2.wrapping_add(v1);
    v1 = v1.rotate_left(17) ^ v2;
    v3 = v3.rotate_left(21) ^ v0;
    [v0, v1, v2.rotate_left(32), v3]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use siphasher::sip::{SipHasher13, SipHasher24};

    proptest! {
        #[test]
        fn is_the_siphash_of_the_library(key: [u8; 16], octets: [u8; 7], len in 0_u8..=7) {
            let octets = &octets[..usize::from(len)];
            let mut message = [0; 8];
            message[..octets.len()].copy_from_slice(octets);
            let hash = Sip::<1, 3>::new(key).hash(u64::from_le_bytes(message), len);
            prop_assert_eq!(hash, SipHasher13::new_with_key(&key).hash(octets));
        }

        #[test]
        fn is_the_siphash_of_the_library_for_words_too(key: [u8; 16], words: [u64; 5]) {
            let octets: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let hash = Sip::<1, 3>::new(key).hash_words(words);
            prop_assert_eq!(hash, SipHasher13::new_with_key(&key).hash(&octets));
            let hash = Sip::<2, 4>::new(key).hash_words(words);
            prop_assert_eq!(hash, SipHasher24::new_with_key(&key).hash(&octets));
        }
    }
}
