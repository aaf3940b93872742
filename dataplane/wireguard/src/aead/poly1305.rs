//! Poly1305 (RFC 8439 2.5) of one text with ordinary instructions: what a packet that stands alone,
//! and is short, gets. Over an empty associated text, as the AEAD (2.8) composes it.

#![expect(unsafe_code, reason = "reads texts that are known by pointers")]
#![expect(
    clippy::inline_always,
    reason = "only inside the code for vectors does it run while vectors are busy"
)]

use super::TAG_LEN;

/// Clears the bits of `r` that the specification wants clear.
pub(super) const CLAMP: [u64; 2] = [0x0fff_fffc_0fff_ffff, 0x0fff_fffc_0fff_fffc];

/// The sum of the blocks so far, of which the last is added but not multiplied yet, in three words of
/// which the third has a few bits; and the factor.
#[derive(Clone, Copy)]
struct Accumulator {
    h: [u64; 3],
    r: [u64; 2],
}

impl Accumulator {
    /// Takes the one-time key's first half as factor.
    #[inline(always)]
    const fn set_factor(&mut self, r: [u64; 2]) {
        self.r = [r[0] & CLAMP[0], r[1] & CLAMP[1]];
    }

    /// Multiplies and adds a block.
    #[inline(always)]
    fn absorb(&mut self, block: [u64; 2]) {
        self.multiply_and_add(block, 1);
    }

    /// Multiplies what there is and adds a block, whose bit 128 is `top`. The block is added before the
    /// upper part is folded in, as each step waits for that of the last one.
    #[inline(always)]
    fn multiply_and_add(&mut self, block: [u64; 2], top: u64) {
        let [h0, h1, h2] = self.h;
        let [r0, r1] = self.r;
        // r1 is a multiple of 4, so r1 * 2^128 = r1 / 4 * 5 modulo 2^130 - 5.
        let s1 = r1 + (r1 >> 2);
        let low = wide(h0, r0) + u128::from(block[0]) + wide(h1, s1);
        let high = wide(h0, r1) + u128::from(block[1]) + wide(h1, r0);
        let high = high + u128::from(h2 * s1) + (low >> 64);
        let third = h2 * r0 + upper(high);
        let folded = (third & !3) + (third >> 2);
        let (sum, carry) = joined([lower(low), lower(high)]).overflowing_add(u128::from(folded));
        self.h = [lower(sum), upper(sum), (third & 3) + u64::from(carry) + top];
    }

    /// Multiplies, and gives the accumulator as it is between packets' parts.
    #[inline(always)]
    fn product(mut self) -> [u64; 3] {
        self.multiply_and_add([0; 2], 0);
        self.h
    }

    /// The accumulator modulo 2^130 - 5, plus `pad` modulo 2^128.
    #[inline(always)]
    fn tag(self, pad: [u64; 2]) -> u128 {
        let [h0, h1, h2] = self.product();
        let (g0, carry) = h0.overflowing_add(5);
        let (g1, carry) = h1.overflowing_add(u64::from(carry));
        let reached = (h2 + u64::from(carry)) >> 2;
        let mask = reached.wrapping_neg();
        let (h0, h1) = (h0 ^ (mask & (h0 ^ g0)), h1 ^ (mask & (h1 ^ g1)));
        joined([h0, h1]).wrapping_add(joined(pad))
    }
}

#[inline(always)]
fn wide(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
pub(super) const fn lower(value: u128) -> u64 {
    value as u64
}

/// A number of two words, the lower one first.
#[inline(always)]
pub(super) const fn joined([low, high]: [u64; 2]) -> u128 {
    low as u128 | (high as u128) << 64
}

#[inline(always)]
pub(super) const fn upper(value: u128) -> u64 {
    (value >> 64) as u64
}

/// A text on its way through an accumulator.
pub(super) struct Progress {
    accumulator: Accumulator,
    text: *const u8,
    len: usize,
    /// Octets that were absorbed.
    at: usize,
}

impl Progress {
    /// The beginning of a text, of which nothing is absorbed yet.
    #[inline(always)]
    pub(super) const fn new(text: *const u8, len: usize) -> Self {
        Self { accumulator: Accumulator { h: [0; 3], r: [0; 2] }, text, len, at: 0 }
    }

    /// Takes the one-time key's first half as factor.
    #[inline(always)]
    pub(super) const fn set_factor(&mut self, r: [u64; 2]) {
        self.accumulator.set_factor(r);
    }

    /// The factor, zero before it is known.
    #[inline(always)]
    pub(super) const fn factor(&self) -> [u64; 2] {
        self.accumulator.r
    }

    /// The text and its length.
    #[inline(always)]
    pub(super) const fn text(&self) -> (*const u8, usize) {
        (self.text, self.len)
    }

    /// Octets that were absorbed: whole blocks.
    #[inline(always)]
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Absorbs the first block, for which no factor is needed.
    ///
    /// # Safety
    ///
    /// The text has it, and can be read.
    #[inline(always)]
    pub(super) const unsafe fn begin(&mut self) {
        // SAFETY: the caller's promise.
        let first = unsafe { self.text.cast::<[u64; 2]>().read_unaligned() };
        self.accumulator.h = [first[0], first[1], 1];
        self.at = TAG_LEN;
    }

    /// Absorbs the next whole block.
    ///
    /// # Safety
    ///
    /// The text has it, and can be read; another one was absorbed before.
    #[inline(always)]
    pub(super) unsafe fn step(&mut self) {
        // SAFETY: the caller's promise.
        let block = unsafe { self.text.add(self.at).cast::<[u64; 2]>().read_unaligned() };
        self.accumulator.absorb(block);
        self.at += TAG_LEN;
    }

    /// Absorbs whole blocks up to `end`, which is a multiple of their length.
    ///
    /// # Safety
    ///
    /// The text has them, and can be read.
    #[inline(always)]
    pub(super) unsafe fn go_to(&mut self, end: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.at == 0 && end > 0 {
                self.begin();
            }
            while self.at < end {
                self.step();
            }
        }
    }

    /// What was absorbed, multiplied: the accumulator before the next block.
    #[inline(always)]
    pub(super) fn product(&self) -> [u64; 3] {
        self.accumulator.product()
    }

    /// Absorbs all that is left, and gives the tag.
    ///
    /// # Safety
    ///
    /// The text can be read for its length and 15 octets more.
    #[inline(always)]
    pub(super) unsafe fn finish(&mut self, pad: [u64; 2]) -> u128 {
        // SAFETY: the caller's promise.
        unsafe { self.go_to(self.len & !(TAG_LEN - 1)) };
        if self.at < self.len {
            // SAFETY: the caller's promise.
            let last = unsafe { self.text.add(self.at).cast::<u128>().read_unaligned() };
            let last = last & ((1 << (8 * (self.len - self.at))) - 1);
            self.add([lower(last), upper(last)]);
        }
        self.add([0, self.len as u64]);
        self.accumulator.tag(pad)
    }

    /// Overwrites what is secret.
    #[inline(always)]
    pub(super) fn wipe(&mut self) {
        self.accumulator = Accumulator { h: [0; 3], r: [0; 2] };
        zeroize::optimization_barrier(self);
    }

    /// Absorbs a block that is not whole in the text.
    #[inline(always)]
    fn add(&mut self, block: [u64; 2]) {
        if self.at == 0 {
            self.accumulator.h = [block[0], block[1], 1];
        } else {
            self.accumulator.absorb(block);
        }
        self.at += TAG_LEN;
    }
}

/// The tag over a sealed text, by the one-time key `r` and `s`, each of two words.
///
/// # Safety
///
/// The text can be read for its length and 15 octets more.
#[inline(always)]
pub(super) unsafe fn tag(key: &[u64; 4], text: *const u8, len: usize) -> u128 {
    let [r0, r1, pad @ ..] = *key;
    let mut progress = Progress::new(text, len);
    progress.set_factor([r0, r1]);
    // SAFETY: the caller's promise.
    let tag = unsafe { progress.finish(pad) };
    progress.wipe();
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
    pub(in super::super) fn expected(key: &[u64; 4], text: &[u8]) -> u128 {
        let mut octets = text.to_vec();
        octets.resize(text.len().next_multiple_of(TAG_LEN), 0);
        octets.extend_from_slice(&0_u64.to_le_bytes());
        octets.extend_from_slice(&(text.len() as u64).to_le_bytes());
        let key: Vec<u8> = key.iter().flat_map(|word| word.to_le_bytes()).collect();
        let key = <[u8; 32]>::try_from(key).unwrap();
        let tag: [u8; TAG_LEN] = Poly1305::new(&key.into()).compute_unpadded(&octets).into();
        u128::from_le_bytes(tag)
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
                let mut text = text;
                text.reserve(15);
                // SAFETY: there is room behind the text.
                let tag = unsafe { tag(key, text.as_ptr(), len) };
                assert_eq!(tag, edges::expected(key, &text), "{key:x?}, {len} octets");
            }
        }
    }
}
