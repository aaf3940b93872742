//! Poly1305 (RFC 8439 2.5) over four lanes, one packet in each, with 32-bit multiplications and five
//! limbs of 26 bits.

use core::arch::x86_64::*;

use super::super::poly1305::CLAMP;
use super::super::schedule::BLOCK_LEN;

/// Four numbers modulo 2^130 - 5.
type Limbs = [__m256i; 5];

const M26: i64 = (1 << 26) - 1;

/// `GROUPS` times four packets, one for each lane.
pub(super) struct Lanes<const GROUPS: usize> {
    /// The factors, and five times each but the first.
    factors: [(Limbs, [__m256i; 4]); GROUPS],
    pads: [[__m256i; 2]; GROUPS],
    sums: [Limbs; GROUPS],
}

/// Transposes 4 by 4 words of 64 bits.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn transposed(rows: &[__m256i; 4]) -> [__m256i; 4] {
    let [a, b, c, d] = *rows;
    let (ab, ab_odd) = (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    let (cd, cd_odd) = (_mm256_unpacklo_epi64(c, d), _mm256_unpackhi_epi64(c, d));
    [
        _mm256_permute2x128_si256::<0x20>(ab, cd),
        _mm256_permute2x128_si256::<0x20>(ab_odd, cd_odd),
        _mm256_permute2x128_si256::<0x31>(ab, cd),
        _mm256_permute2x128_si256::<0x31>(ab_odd, cd_odd),
    ]
}

/// The limbs of numbers of 128 bits.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn limbs(low: __m256i, high: __m256i) -> Limbs {
    let mask = _mm256_set1_epi64x(M26);
    let third = _mm256_or_si256(_mm256_srli_epi64::<52>(low), _mm256_slli_epi64::<12>(high));
    [
        _mm256_and_si256(low, mask),
        _mm256_and_si256(_mm256_srli_epi64::<26>(low), mask),
        _mm256_and_si256(third, mask),
        _mm256_and_si256(_mm256_srli_epi64::<14>(high), mask),
        _mm256_srli_epi64::<40>(high),
    ]
}

/// Adds blocks, which all have bit 128.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn plus(sum: &Limbs, low: __m256i, high: __m256i) -> Limbs {
    let mut fresh = limbs(low, high);
    fresh[4] = _mm256_or_si256(fresh[4], _mm256_set1_epi64x(1 << 24));
    for (fresh, old) in fresh.iter_mut().zip(sum) {
        *fresh = _mm256_add_epi64(*fresh, *old);
    }
    fresh
}

/// The product, with limbs of 26 bits and a little more.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn times(h: &Limbs, (r, s): &(Limbs, [__m256i; 4])) -> Limbs {
    let [h0, h1, h2, h3, h4] = *h;
    let ([r0, r1, r2, r3, r4], [s1, s2, s3, s4]) = (*r, *s);
    let sum = |factors: [(__m256i, __m256i); 5]| {
        let [a, b, c, d, e] = factors.map(|(one, other)| _mm256_mul_epu32(one, other));
        let ab = _mm256_add_epi64(a, b);
        _mm256_add_epi64(_mm256_add_epi64(ab, _mm256_add_epi64(c, d)), e)
    };
    let d0 = sum([(h0, r0), (h1, s4), (h2, s3), (h3, s2), (h4, s1)]);
    let d1 = sum([(h0, r1), (h1, r0), (h2, s4), (h3, s3), (h4, s2)]);
    let d2 = sum([(h0, r2), (h1, r1), (h2, r0), (h3, s4), (h4, s3)]);
    let d3 = sum([(h0, r3), (h1, r2), (h2, r1), (h3, r0), (h4, s4)]);
    let d4 = sum([(h0, r4), (h1, r3), (h2, r2), (h3, r1), (h4, r0)]);
    carried([d0, d1, d2, d3, d4])
}

/// Carries in two chains side by side: limbs of sums below 2^61 become at most 2^26 and a little.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn carried([d0, d1, d2, d3, d4]: Limbs) -> Limbs {
    let mask = _mm256_set1_epi64x(M26);
    let d1 = _mm256_add_epi64(d1, _mm256_srli_epi64::<26>(d0));
    let d4 = _mm256_add_epi64(d4, _mm256_srli_epi64::<26>(d3));
    let (h0, h3) = (_mm256_and_si256(d0, mask), _mm256_and_si256(d3, mask));
    let d2 = _mm256_add_epi64(d2, _mm256_srli_epi64::<26>(d1));
    let over = _mm256_srli_epi64::<26>(d4);
    let (h1, h4) = (_mm256_and_si256(d1, mask), _mm256_and_si256(d4, mask));
    // 2^130 counts 5.
    let h0 = _mm256_add_epi64(h0, _mm256_add_epi64(over, _mm256_slli_epi64::<2>(over)));
    let h3 = _mm256_add_epi64(h3, _mm256_srli_epi64::<26>(d2));
    let h2 = _mm256_and_si256(d2, mask);
    let h1 = _mm256_add_epi64(h1, _mm256_srli_epi64::<26>(h0));
    let h0 = _mm256_and_si256(h0, mask);
    let h4 = _mm256_add_epi64(h4, _mm256_srli_epi64::<26>(h3));
    [h0, h1, h2, _mm256_and_si256(h3, mask), h4]
}

/// The numbers modulo 2^130 - 5, plus the pads modulo 2^128.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn finished(h: &Limbs, pad: [__m256i; 2]) -> [__m256i; 2] {
    let mask = _mm256_set1_epi64x(M26);
    let mut h = *h;
    for _ in 0..2 {
        for limb in 0..4 {
            h[limb + 1] = _mm256_add_epi64(h[limb + 1], _mm256_srli_epi64::<26>(h[limb]));
            h[limb] = _mm256_and_si256(h[limb], mask);
        }
        let over = _mm256_srli_epi64::<26>(h[4]);
        h[4] = _mm256_and_si256(h[4], mask);
        h[0] = _mm256_add_epi64(h[0], _mm256_add_epi64(over, _mm256_slli_epi64::<2>(over)));
    }
    // Of h and h + 5 - 2^130, the one that is not negative.
    let mut g = h;
    g[0] = _mm256_add_epi64(g[0], _mm256_set1_epi64x(5));
    for limb in 0..4 {
        g[limb + 1] = _mm256_add_epi64(g[limb + 1], _mm256_srli_epi64::<26>(g[limb]));
        g[limb] = _mm256_and_si256(g[limb], mask);
        h[limb + 1] = _mm256_add_epi64(h[limb + 1], _mm256_srli_epi64::<26>(h[limb]));
        h[limb] = _mm256_and_si256(h[limb], mask);
    }
    let reached = _mm256_cmpgt_epi64(g[4], mask);
    g[4] = _mm256_and_si256(g[4], mask);
    for (h, g) in h.iter_mut().zip(g) {
        *h = _mm256_blendv_epi8(*h, g, reached);
    }
    let [h0, h1, h2, h3, h4] = h;
    let low = _mm256_or_si256(
        _mm256_or_si256(h0, _mm256_slli_epi64::<26>(h1)),
        _mm256_slli_epi64::<52>(h2),
    );
    let high = _mm256_or_si256(
        _mm256_or_si256(_mm256_srli_epi64::<12>(h2), _mm256_slli_epi64::<14>(h3)),
        _mm256_slli_epi64::<40>(h4),
    );
    let tag = _mm256_add_epi64(low, pad[0]);
    // Unsigned comparison by way of the sign bit; a true lane is -1.
    let sign = _mm256_set1_epi64x(i64::MIN);
    let carry = _mm256_cmpgt_epi64(_mm256_xor_si256(low, sign), _mm256_xor_si256(tag, sign));
    [tag, _mm256_sub_epi64(_mm256_add_epi64(high, pad[1]), carry)]
}

impl<const GROUPS: usize> Lanes<GROUPS> {
    /// Takes over the one-time keys, which lie at the start of rows.
    ///
    /// # Safety
    ///
    /// There is a row for each lane.
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    pub(super) unsafe fn new(rows: *const u8) -> Self {
        let zero = _mm256_setzero_si256();
        let mut lanes = Self {
            factors: [([zero; 5], [zero; 4]); GROUPS],
            pads: [[zero; 2]; GROUPS],
            sums: [[zero; 5]; GROUPS],
        };
        for group in 0..GROUPS {
            let mut keys = [zero; 4];
            for (lane, key) in keys.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                *key =
                    unsafe { _mm256_loadu_si256(rows.add(BLOCK_LEN * (4 * group + lane)).cast()) };
            }
            let [low, high, pad_low, pad_high] = transposed(&keys);
            let low = _mm256_and_si256(low, _mm256_set1_epi64x(CLAMP[0].cast_signed()));
            let high = _mm256_and_si256(high, _mm256_set1_epi64x(CLAMP[1].cast_signed()));
            let r = limbs(low, high);
            let five = |limb| _mm256_add_epi64(limb, _mm256_slli_epi64::<2>(limb));
            lanes.factors[group] = (r, [five(r[1]), five(r[2]), five(r[3]), five(r[4])]);
            lanes.pads[group] = [pad_low, pad_high];
        }
        lanes
    }

    /// Absorbs a block of each lane, given in words.
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    fn step(&mut self, words: &[[__m256i; 2]; GROUPS]) {
        for ((sum, factor), [low, high]) in self.sums.iter_mut().zip(&self.factors).zip(words) {
            *sum = times(&plus(sum, *low, *high), factor);
        }
    }

    /// As `step`, but only lanes whose text of `lens` octets goes on at octet `at` take part.
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    fn step_some(&mut self, words: &[[__m256i; 2]; GROUPS], lens: &[__m256i; GROUPS], at: usize) {
        let before = self.sums;
        self.step(words);
        let here = _mm256_set1_epi64x((at as u64).cast_signed());
        for group in 0..GROUPS {
            let going = _mm256_cmpgt_epi64(lens[group], here);
            for (new, old) in self.sums[group].iter_mut().zip(before[group]) {
                *new = _mm256_blendv_epi8(old, *new, going);
            }
        }
    }

    /// The tags over the texts, the lengths included: lower words, then upper ones.
    ///
    /// # Safety
    ///
    /// There is a text for each lane, which can be read for its length and 31 octets more.
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    pub(super) unsafe fn tags(
        mut self,
        texts: &[*mut u8],
        lens: &[usize],
    ) -> [[__m256i; 2]; GROUPS] {
        let (texts, lens) = (&texts[..4 * GROUPS], &lens[..4 * GROUPS]);
        let least = lens.iter().copied().fold(usize::MAX, usize::min);
        let most = lens.iter().copied().fold(0, usize::max);
        let zero = _mm256_setzero_si256();
        let mut ends = [zero; GROUPS];
        for (group, ends) in ends.iter_mut().enumerate() {
            // SAFETY: there are four lengths for each group.
            *ends = unsafe { _mm256_loadu_si256(lens.as_ptr().add(4 * group).cast()) };
        }
        let mut at = 0;
        while at < most {
            let whole = at + 32 <= least;
            let mut pairs = [[[zero; 2]; GROUPS]; 2];
            for group in 0..GROUPS {
                let mut rows = [zero; 4];
                for (lane, row) in rows.iter_mut().enumerate() {
                    let (start, len) = (texts[4 * group + lane], lens[4 * group + lane]);
                    // SAFETY: the caller's promise; behind the end of its text nothing of a lane
                    // is loaded.
                    *row = unsafe {
                        if whole {
                            _mm256_loadu_si256(start.wrapping_add(at).cast())
                        } else {
                            part(start, at, len)
                        }
                    };
                }
                let [a, b, c, d] = transposed(&rows);
                (pairs[0][group], pairs[1][group]) = ([a, b], [c, d]);
            }
            if whole {
                self.step(&pairs[0]);
                self.step(&pairs[1]);
            } else {
                self.step_some(&pairs[0], &ends, at);
                self.step_some(&pairs[1], &ends, at + 16);
            }
            at += 32;
        }
        let mut lengths = [[zero; 2]; GROUPS];
        for (words, ends) in lengths.iter_mut().zip(ends) {
            words[1] = ends;
        }
        self.step(&lengths);
        let mut tags = [[zero; 2]; GROUPS];
        for ((tag, sum), pad) in tags.iter_mut().zip(&self.sums).zip(self.pads) {
            *tag = finished(sum, pad);
        }
        tags
    }
}

/// 32 times 255, then 32 times 0: a window on it is a mask of the first octets.
static MASK: [u8; 64] = {
    let mut mask = [0; 64];
    let mut i = 0;
    while i < 32 {
        mask[i] = 0xff;
        i += 1;
    }
    mask
};

/// The octets of a text from `at`, up to 32; zeros behind its end.
///
/// # Safety
///
/// The text can be read for `len` octets and 31 more.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
unsafe fn part(start: *const u8, at: usize, len: usize) -> __m256i {
    let left = len.saturating_sub(at).min(32);
    if left == 0 {
        return _mm256_setzero_si256();
    }
    // SAFETY: at least one octet is left, so 32 end at most 31 behind the text; the window lies in
    // the mask.
    unsafe {
        let mask = _mm256_loadu_si256(MASK.as_ptr().add(32 - left).cast());
        _mm256_and_si256(_mm256_loadu_si256(start.add(at).cast()), mask)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::poly1305::{edges, joined};
    use super::*;

    #[target_feature(enable = "avx2,bmi2")]
    fn in_lanes(keys: &[[u64; 4]; 8], texts: &mut [Vec<u8>; 8]) -> [[u64; 2]; 8] {
        let mut rows = [[0_u64; 8]; 8];
        for (row, key) in rows.iter_mut().zip(keys) {
            row[..4].copy_from_slice(key);
        }
        let lens = texts.each_ref().map(Vec::len);
        let starts = texts.each_mut().map(|text| {
            text.reserve(32);
            text.as_mut_ptr()
        });
        // SAFETY: rows of 64 octets, and texts with room behind them.
        let found = unsafe { Lanes::<2>::new(rows.as_ptr().cast()).tags(&starts, &lens) };
        let mut tags = [[0; 2]; 8];
        for (group, words) in found.iter().enumerate() {
            for (half, word) in words.iter().enumerate() {
                let mut four = [0_u64; 4];
                // SAFETY: 32 octets.
                unsafe { _mm256_storeu_si256(four.as_mut_ptr().cast(), *word) };
                for (lane, value) in four.into_iter().enumerate() {
                    tags[4 * group + lane][half] = value;
                }
            }
        }
        tags
    }

    #[test]
    fn agrees_with_the_library_at_the_edges() {
        if !super::super::available() {
            println!("not run: this processor lacks AVX2");
            return;
        }
        for len in edges::LENS {
            let mut cases = Vec::new();
            for key in edges::keys() {
                cases.extend(edges::texts(len).into_iter().map(|text| (key, text)));
                // A neighbour of another length keeps some lanes waiting.
                cases.push((key, vec![0xff; len / 2 + 1]));
            }
            for eight in cases.as_chunks::<8>().0 {
                let keys = eight.each_ref().map(|case| case.0);
                let mut texts = eight.each_ref().map(|case| case.1.clone());
                // SAFETY: the feature is there.
                let tags = unsafe { in_lanes(&keys, &mut texts) };
                for ((key, text), tag) in eight.iter().zip(tags) {
                    assert_eq!(
                        joined(tag),
                        edges::expected(key, text),
                        "{key:x?}, {} octets",
                        text.len()
                    );
                }
            }
        }
    }
}
