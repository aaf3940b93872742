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
#[expect(clippy::cast_possible_truncation, reason = "what is left has 64 bits")]
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
