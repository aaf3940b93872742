//! Poly1305 (RFC 8439 2.5) of one text with ordinary instructions: what a packet that stands alone,
//! and is short, gets. Over an empty associated text, as the AEAD (2.8) composes it.

use super::TAG_LEN;

/// Clears the bits of `r` that the specification wants clear.
pub(super) const CLAMP: [u64; 2] = [0x0fff_fffc_0fff_ffff, 0x0fff_fffc_0fff_fffc];

/// The accumulator, in three words of which the last has a few bits.
struct Accumulator {
    h: [u64; 3],
    r: [u64; 2],
}

impl Accumulator {
    /// Adds a block, whose bit 128 is `top`, and multiplies by `r`.
    #[inline]
    fn absorb(&mut self, block: [u64; 2], top: u64) {
        let [h0, h1, h2] = self.h;
        let [r0, r1] = self.r;
        let (h0, carry) = h0.overflowing_add(block[0]);
        let (h1, carry) = h1.carrying_add_u64(block[1], carry);
        let h2 = h2 + top + u64::from(carry);
        // r1 is a multiple of 4, so r1 * 2^128 = r1 / 4 * 5 modulo 2^130 - 5.
        let s1 = r1 + (r1 >> 2);
        let low = wide(h0, r0) + wide(h1, s1);
        let high = wide(h0, r1) + wide(h1, r0) + u128::from(h2 * s1) + (low >> 64);
        let top = h2 * r0 + upper(high);
        let folded = (top & !3) + (top >> 2);
        let (h0, carry) = lower(low).overflowing_add(folded);
        let (h1, carry) = lower(high).overflowing_add(u64::from(carry));
        self.h = [h0, h1, (top & 3) + u64::from(carry)];
    }

    /// The accumulator modulo 2^130 - 5, plus `pad` modulo 2^128.
    fn tag(&self, pad: [u64; 2]) -> [u64; 2] {
        let [h0, h1, h2] = self.h;
        let (g0, carry) = h0.overflowing_add(5);
        let (g1, carry) = h1.overflowing_add(u64::from(carry));
        let reached = (h2 + u64::from(carry)) >> 2;
        let mask = reached.wrapping_neg();
        let (h0, h1) = (h0 ^ (mask & (h0 ^ g0)), h1 ^ (mask & (h1 ^ g1)));
        let (low, carry) = h0.overflowing_add(pad[0]);
        [low, h1.wrapping_add(pad[1]).wrapping_add(u64::from(carry))]
    }
}

trait Carry {
    fn carrying_add_u64(self, other: u64, carry: bool) -> (u64, bool);
}

impl Carry for u64 {
    #[inline]
    fn carrying_add_u64(self, other: u64, carry: bool) -> (u64, bool) {
        let (sum, one) = self.overflowing_add(other);
        let (sum, two) = sum.overflowing_add(Self::from(carry));
        (sum, one | two)
    }
}

#[inline]
fn wide(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
const fn lower(value: u128) -> u64 {
    value as u64
}

#[inline]
const fn upper(value: u128) -> u64 {
    (value >> 64) as u64
}

#[inline]
const fn words(block: &[u8; TAG_LEN]) -> [u64; 2] {
    let value = u128::from_le_bytes(*block);
    [lower(value), upper(value)]
}

/// The tag over a sealed text, by the one-time key `r` and `s`, each of two words.
#[inline]
pub(super) fn tag(key: &[u64; 4], text: &[u8]) -> [u64; 2] {
    let [r0, r1, pad @ ..] = *key;
    let mut state = Accumulator { h: [0; 3], r: [r0 & CLAMP[0], r1 & CLAMP[1]] };
    let (blocks, rest) = text.as_chunks::<TAG_LEN>();
    for block in blocks {
        state.absorb(words(block), 1);
    }
    if !rest.is_empty() {
        let mut last = [0; TAG_LEN];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        state.absorb(words(&last), 1);
    }
    state.absorb([0, text.len() as u64], 1);
    let tag = state.tag(pad);
    // The accumulator and r live in registers, or are overwritten by the next packet.
    core::hint::black_box(&mut state).r = [0; 2];
    tag
}

/// Keys and texts at the edges of the arithmetic, for every implementation of it.
#[cfg(test)]
pub(super) mod edges {
    use super::TAG_LEN;
    use poly1305::Poly1305;
    use poly1305::universal_hash::KeyInit;

    /// Keys whose parts are all zeros, all ones, or little.
    pub(in super::super) fn keys() -> Vec<[u64; 4]> {
        let r = [[0, 0], [u64::MAX; 2], [1, 0], [0, 4], [u64::MAX, 0], [0, u64::MAX], [5, 1 << 59]];
        let s = [[0, 0], [u64::MAX; 2], [u64::MAX - 4, u64::MAX], [1, u64::MAX]];
        let pairs = r.into_iter().flat_map(|r| s.map(|s| [r[0], r[1], s[0], s[1]]));
        pairs.collect()
    }

    /// Texts of this length that drive the accumulator to its borders.
    pub(in super::super) fn texts(len: usize) -> Vec<Vec<u8>> {
        // With r = 1 blocks are simply added: these make sums just below and above 2^130 - 5.
        let near =
            |last: u8| (0..len).map(|n| if n % TAG_LEN == 0 { last } else { 0xff }).collect();
        let counting = (0..len).map(|n| n as u8).collect();
        vec![
            vec![0; len],
            vec![0xff; len],
            near(0xfa),
            near(0xfb),
            near(0xfc),
            near(0xfe),
            counting,
        ]
    }

    /// The tag by the library.
    pub(in super::super) fn expected(key: &[u64; 4], text: &[u8]) -> [u64; 2] {
        let mut octets = text.to_vec();
        octets.resize(text.len().next_multiple_of(TAG_LEN), 0);
        octets.extend_from_slice(&0_u64.to_le_bytes());
        octets.extend_from_slice(&(text.len() as u64).to_le_bytes());
        let key: Vec<u8> = key.iter().flat_map(|word| word.to_le_bytes()).collect();
        let key = <[u8; 32]>::try_from(key).unwrap();
        let tag: [u8; TAG_LEN] = Poly1305::new(&key.into()).compute_unpadded(&octets).into();
        super::words(&tag)
    }

    /// Lengths around blocks, rows and steps.
    pub(in super::super) const LENS: [usize; 18] =
        [0, 1, 15, 16, 17, 31, 32, 48, 63, 64, 65, 127, 128, 240, 255, 256, 257, 1000];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_library_at_the_edges() {
        for len in edges::LENS {
            for (key, text) in edges::keys()
                .iter()
                .flat_map(|key| edges::texts(len).into_iter().map(move |text| (key, text)))
            {
                assert_eq!(tag(key, &text), edges::expected(key, &text), "{key:x?}, {len} octets");
            }
        }
    }
}
