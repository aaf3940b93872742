//! Poly1305 (RFC 8439 2.5) over eight lanes, with 52-bit multiplications and limbs of 44, 44 and 42 bits.
//!
//! Each lane holds a packet of its own, which needs no powers of `r` and no sum across lanes; in
//! `wide` all eight hold blocks of one packet.

use core::arch::x86_64::*;

use super::super::poly1305::CLAMP;
use super::one_time::OneTimeKeys;
use super::transpose;

/// Eight numbers modulo 2^130 - 5 in limbs.
pub(super) type Limbs = [__m512i; 3];

/// A factor: its limbs, and 20 times the upper two, which fold what exceeds 2^130.
#[derive(Clone, Copy)]
pub(super) struct Factor {
    pub(super) r: Limbs,
    pub(super) s: [__m512i; 2],
}

/// A text under authentication.
#[derive(Clone, Copy)]
pub(super) struct Text {
    /// `len` octets to read.
    pub(super) start: *const u8,
    pub(super) len: usize,
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn splat(value: u64) -> __m512i {
    _mm512_set1_epi64(value.cast_signed())
}

pub(super) const M44: u64 = (1 << 44) - 1;
const M42: u64 = (1 << 42) - 1;

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn factor(r: Limbs) -> Factor {
    // One instruction; of shifts and an addition the compiler makes a longer multiplication.
    let twenty = |limb| _mm512_madd52lo_epu64(_mm512_setzero_si512(), limb, splat(20));
    Factor { r, s: [twenty(r[1]), twenty(r[2])] }
}

/// The factor of eight one-time keys, whose first words are `low` and `high`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn clamped(low: __m512i, high: __m512i) -> Factor {
    let low = _mm512_and_si512(low, splat(CLAMP[0]));
    let high = _mm512_and_si512(high, splat(CLAMP[1]));
    let m44 = splat(M44);
    factor([
        _mm512_and_si512(low, m44),
        _mm512_and_si512(_mm512_shrdi_epi64::<44>(low, high), m44),
        _mm512_srli_epi64::<24>(high),
    ])
}

/// `h * f`, carried as far as the next step needs: the first limb below 2^51 when `f` is a clamped
/// key, the others below 2^44 and 2^42.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn times(h: Limbs, f: &Factor) -> Limbs {
    reduced(&product(h, f))
}

/// The sums of lower and upper halves of the products, by limb.
type Halves = [(__m512i, __m512i); 3];

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn product([h0, h1, h2]: Limbs, f: &Factor) -> Halves {
    let ([r0, r1, r2], [s1, s2]) = (f.r, f.s);
    let zero = _mm512_setzero_si512();
    let sum = |a: (__m512i, __m512i), b: (__m512i, __m512i), c: (__m512i, __m512i)| {
        let low = _mm512_madd52lo_epu64(zero, a.0, a.1);
        let high = _mm512_madd52hi_epu64(zero, a.0, a.1);
        let low = _mm512_madd52lo_epu64(low, b.0, b.1);
        let high = _mm512_madd52hi_epu64(high, b.0, b.1);
        let low = _mm512_madd52lo_epu64(low, c.0, c.1);
        (low, _mm512_madd52hi_epu64(high, c.0, c.1))
    };
    // The first limb is the last to be known, so it comes last in each sum.
    [
        sum((h1, s2), (h2, s1), (h0, r0)),
        sum((h1, r0), (h2, s2), (h0, r1)),
        sum((h1, r1), (h2, r0), (h0, r2)),
    ]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn reduced(halves: &Halves) -> Limbs {
    let [(low0, high0), (low1, high1), (low2, high2)] = *halves;
    let (m44, m42) = (splat(M44), splat(M42));
    // An upper half counts 2^52, which is 2^8 of the next limb.
    let d1 = _mm512_add_epi64(
        _mm512_add_epi64(low1, _mm512_slli_epi64::<8>(high0)),
        _mm512_srli_epi64::<44>(low0),
    );
    let d2 = _mm512_add_epi64(
        _mm512_add_epi64(low2, _mm512_slli_epi64::<8>(high1)),
        _mm512_srli_epi64::<44>(d1),
    );
    // 2^(88 + 52) is 2^10 times 2^130, which counts 5.
    let over = _mm512_add_epi64(_mm512_srli_epi64::<42>(d2), _mm512_slli_epi64::<10>(high2));
    let fives = _mm512_add_epi64(over, _mm512_slli_epi64::<2>(over));
    [
        _mm512_add_epi64(_mm512_and_si512(low0, m44), fives),
        _mm512_and_si512(d1, m44),
        _mm512_and_si512(d2, m42),
    ]
}

/// Adds eight blocks of two words; `top` has bit 40, which is bit 128 of a block, where there is one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn plus([h0, h1, h2]: Limbs, low: __m512i, high: __m512i) -> Limbs {
    let m44 = splat(M44);
    [
        _mm512_add_epi64(h0, _mm512_and_si512(low, m44)),
        _mm512_add_epi64(h1, _mm512_and_si512(_mm512_shrdi_epi64::<44>(low, high), m44)),
        // The funnel shift brings bit 128 along.
        _mm512_add_epi64(h2, _mm512_shrdi_epi64::<24>(high, splat(1))),
    ]
}

/// The numbers modulo 2^130 - 5, plus the pads modulo 2^128.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn finished([h0, h1, h2]: Limbs, pad: [__m512i; 2]) -> [__m512i; 2] {
    let (m44, m42) = (splat(M44), splat(M42));
    let (mut h0, mut h1, mut h2) = (h0, h1, h2);
    for _ in 0..2 {
        h1 = _mm512_add_epi64(h1, _mm512_srli_epi64::<44>(h0));
        h2 = _mm512_add_epi64(h2, _mm512_srli_epi64::<44>(h1));
        let over = _mm512_srli_epi64::<42>(h2);
        let fives = _mm512_add_epi64(over, _mm512_slli_epi64::<2>(over));
        h0 = _mm512_add_epi64(_mm512_and_si512(h0, m44), fives);
        h1 = _mm512_and_si512(h1, m44);
        h2 = _mm512_and_si512(h2, m42);
    }
    h1 = _mm512_add_epi64(h1, _mm512_srli_epi64::<44>(h0));
    h0 = _mm512_and_si512(h0, m44);
    let g0 = _mm512_add_epi64(h0, splat(5));
    let g1 = _mm512_add_epi64(h1, _mm512_srli_epi64::<44>(g0));
    let g2 = _mm512_add_epi64(h2, _mm512_srli_epi64::<44>(g1));
    let reached = _mm512_cmpge_epu64_mask(g2, splat(1 << 42));
    h0 = _mm512_mask_mov_epi64(h0, reached, _mm512_and_si512(g0, m44));
    h1 = _mm512_mask_mov_epi64(h1, reached, _mm512_and_si512(g1, m44));
    h2 = _mm512_mask_mov_epi64(h2, reached, _mm512_and_si512(g2, m42));
    // Limbs do not overlap except for a carry out of the second, which addition takes along.
    let low = _mm512_or_si512(h0, _mm512_slli_epi64::<44>(h1));
    let high = _mm512_add_epi64(_mm512_srli_epi64::<20>(h1), _mm512_slli_epi64::<24>(h2));
    let tag = _mm512_add_epi64(low, pad[0]);
    let carry = _mm512_cmplt_epu64_mask(tag, low);
    let upper = _mm512_add_epi64(high, pad[1]);
    [tag, _mm512_mask_add_epi64(upper, carry, upper, splat(1))]
}

/// `GROUPS` times eight packets, one for each lane.
pub(super) struct Lanes<const GROUPS: usize> {
    factors: [Factor; GROUPS],
    pads: [[__m512i; 2]; GROUPS],
    sums: [Limbs; GROUPS],
}

impl<const GROUPS: usize> Lanes<GROUPS> {
    /// Takes over the one-time keys of the packets from `from` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn new(keys: &OneTimeKeys, from: usize) -> Self {
        let zero = _mm512_setzero_si512();
        let mut pads = [[zero; 2]; GROUPS];
        let mut factors = [Factor { r: [zero; 3], s: [zero; 2] }; GROUPS];
        for group in 0..GROUPS {
            let [low, high, pad_low, pad_high] = keys.eight(from + 8 * group);
            factors[group] = clamped(low, high);
            pads[group] = [pad_low, pad_high];
        }
        Self { factors, pads, sums: [[zero; 3]; GROUPS] }
    }

    /// Absorbs 64 octets of each lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn absorb(&mut self, rows: &[[__m512i; 8]; GROUPS]) {
        let mut words = [[_mm512_setzero_si512(); 8]; GROUPS];
        for group in 0..GROUPS {
            words[group] = transpose::rows(&rows[group]);
        }
        self.step::<0>(&words);
        self.step::<1>(&words);
        self.step::<2>(&words);
        self.step::<3>(&words);
    }

    /// Absorbs one block of each lane; the groups take turns, so that one works while another waits.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn step<const BLOCK: usize>(&mut self, words: &[[__m512i; 8]; GROUPS]) {
        for ((sum, factor), words) in self.sums.iter_mut().zip(&self.factors).zip(words) {
            *sum = times(plus(*sum, words[2 * BLOCK], words[2 * BLOCK + 1]), factor);
        }
    }

    /// As `absorb`, but only lanes whose text of `lens` octets goes on at octet `at` take part.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn absorb_some(&mut self, rows: &[[__m512i; 8]; GROUPS], lens: &[__m512i; GROUPS], at: usize) {
        let mut words = [[_mm512_setzero_si512(); 8]; GROUPS];
        for group in 0..GROUPS {
            words[group] = transpose::rows(&rows[group]);
        }
        for block in 0..4 {
            let here = splat((at + 16 * block) as u64);
            for group in 0..GROUPS {
                let (low, high) = (words[group][2 * block], words[group][2 * block + 1]);
                let going = _mm512_cmpgt_epu64_mask(lens[group], here);
                let old = self.sums[group];
                let new = times(plus(old, low, high), &self.factors[group]);
                for limb in 0..3 {
                    self.sums[group][limb] = _mm512_mask_mov_epi64(old[limb], going, new[limb]);
                }
            }
        }
    }

    /// The tags over the texts, the lengths included: lower words, then upper ones.
    ///
    /// # Safety
    ///
    /// There is a text for each lane, which can be read for its length.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) unsafe fn tags(
        mut self,
        texts: &[*mut u8],
        lens: &[usize],
    ) -> [[__m512i; 2]; GROUPS] {
        let (texts, lens) = (&texts[..8 * GROUPS], &lens[..8 * GROUPS]);
        let least = lens.iter().copied().fold(usize::MAX, usize::min);
        let most = lens.iter().copied().fold(0, usize::max);
        let zero = _mm512_setzero_si512();
        let mut rows = [[zero; 8]; GROUPS];
        let mut at = 0;
        while at + 64 <= least {
            for group in 0..GROUPS {
                for lane in 0..8 {
                    let start = texts[8 * group + lane].wrapping_add(at);
                    // SAFETY: `at + 64` is not past the shortest text.
                    rows[group][lane] = unsafe { _mm512_loadu_si512(start.cast()) };
                }
            }
            self.absorb(&rows);
            at += 64;
        }
        let mut ends = [zero; GROUPS];
        for (group, ends) in ends.iter_mut().enumerate() {
            // SAFETY: there are eight lengths for each group.
            *ends = unsafe { _mm512_loadu_si512(lens.as_ptr().add(8 * group).cast()) };
        }
        while at < most {
            for group in 0..GROUPS {
                for lane in 0..8 {
                    let (start, len) = (texts[8 * group + lane], lens[8 * group + lane]);
                    // SAFETY: the text has its length.
                    rows[group][lane] = unsafe { part(start, at, len) };
                }
            }
            self.absorb_some(&rows, &ends, at);
            at += 64;
        }
        let mut tags = [[zero; 2]; GROUPS];
        for group in 0..GROUPS {
            let sum = plus(self.sums[group], zero, ends[group]);
            tags[group] = finished(times(sum, &self.factors[group]), self.pads[group]);
        }
        tags
    }
}

/// The octets of a text from `at`, up to 64; zeros behind its end.
///
/// # Safety
///
/// `len` octets can be read at `start`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn part(start: *const u8, at: usize, len: usize) -> __m512i {
    let mask = first(len.saturating_sub(at));
    // SAFETY: octets without their bit in the mask are not touched.
    unsafe { _mm512_maskz_loadu_epi8(mask, start.wrapping_add(at).cast()) }
}

/// The lowest `count` bits, all 64 for more.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn first(count: usize) -> u64 {
    _bzhi_u64(u64::MAX, u32::try_from(count.min(64)).unwrap_or(64))
}

#[cfg(test)]
mod tests {
    use super::super::super::poly1305::{Progress, edges, joined};
    use super::super::wide::{self, Powers};
    use super::*;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn in_lanes(keys: &[[u64; 4]; 16], texts: &mut [Vec<u8>; 16]) -> [[u64; 2]; 16] {
        let mut noted = OneTimeKeys::new();
        let mut rows = [[0_u64; 8]; 16];
        for (row, key) in rows.iter_mut().zip(keys) {
            row[..4].copy_from_slice(key);
        }
        let lens = core::array::from_fn::<_, 16, _>(|lane| texts[lane].len());
        let starts = texts.each_mut().map(Vec::as_mut_ptr);
        // SAFETY: rows of 64 octets, and texts with their lengths.
        let found = unsafe {
            noted.note_rows(0, rows.as_ptr().cast());
            noted.note_rows(8, rows[8..].as_ptr().cast());
            Lanes::<2>::new(&noted, 0).tags(&starts, &lens)
        };
        let mut tags = [[0; 2]; 16];
        for (group, words) in found.iter().enumerate() {
            for (half, word) in words.iter().enumerate() {
                let mut eight = [0_u64; 8];
                // SAFETY: 64 octets.
                unsafe { _mm512_storeu_si512(eight.as_mut_ptr().cast(), *word) };
                for (lane, value) in eight.into_iter().enumerate() {
                    tags[8 * group + lane][half] = value;
                }
            }
        }
        tags
    }

    /// The tag of one text whose own blocks fill lanes, from the start and from each block behind it.
    fn in_wide_lanes(key: &[u64; 4], text: &[u8]) -> Vec<(usize, u128)> {
        let [r0, r1, pad @ ..] = *key;
        let text = [text, &[0xee; 15]].concat();
        let len = text.len() - 15;
        let blocks = len.div_ceil(16) + 1;
        let starts = 0..(blocks + 1).saturating_sub(wide::LANES).min(20);
        let from = |block| {
            let mut progress = Progress::new(text.as_ptr(), len);
            progress.set_factor([r0, r1]);
            // SAFETY: the text has this length and 15 octets more; the features are there.
            unsafe {
                progress.go_to(16 * block);
                let powers = Powers::new(progress.factor());
                (16 * block, wide::wide(&mut progress, pad, &powers))
            }
        };
        starts.map(from).collect()
    }

    #[test]
    fn agrees_with_the_library_at_the_edges() {
        if !super::super::available() {
            println!("not run: this processor lacks AVX-512");
            return;
        }
        for len in edges::LENS {
            let mut cases = Vec::new();
            for key in edges::keys() {
                cases.extend(edges::texts(len).into_iter().map(|text| (key, text)));
                // A neighbour of another length keeps some lanes waiting.
                cases.push((key, vec![0xff; len / 2 + 1]));
            }
            for sixteen in cases.as_chunks::<16>().0 {
                let keys = sixteen.each_ref().map(|case| case.0);
                let mut texts = sixteen.each_ref().map(|case| case.1.clone());
                // SAFETY: the features are there.
                let tags = unsafe { in_lanes(&keys, &mut texts) };
                for ((key, text), tag) in sixteen.iter().zip(tags) {
                    let expected = edges::expected(key, text);
                    assert_eq!(joined(tag), expected, "lanes, {key:x?}, {} octets", text.len());
                    for (at, tag) in in_wide_lanes(key, text) {
                        assert_eq!(
                            tag,
                            expected,
                            "wide from {at}, {key:x?}, {} octets",
                            text.len()
                        );
                    }
                }
            }
        }
    }
}
