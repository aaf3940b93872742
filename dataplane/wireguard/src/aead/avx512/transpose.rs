//! Transpositions between rows, as memory has them, and lanes, as the arithmetic wants them.

use core::arch::x86_64::*;

/// The rows of 16 blocks from the 16 words of all of them: `words[w]` has word `w` of block `i` in
/// lane `i`, row `i` of the result is block `i` in order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(crate) fn blocks(words: &[__m512i; 16]) -> [__m512i; 16] {
    let mut parts = [[_mm512_setzero_si512(); 4]; 4];
    for (part, four) in parts.iter_mut().zip(words.as_chunks::<4>().0) {
        *part = quads(four);
    }
    let mut rows = [_mm512_setzero_si512(); 16];
    let [p, q, r, s] = &parts;
    for k in 0..4 {
        let low =
            (_mm512_shuffle_i32x4::<0x44>(p[k], q[k]), _mm512_shuffle_i32x4::<0x44>(r[k], s[k]));
        let high =
            (_mm512_shuffle_i32x4::<0xee>(p[k], q[k]), _mm512_shuffle_i32x4::<0xee>(r[k], s[k]));
        rows[k] = _mm512_shuffle_i32x4::<0x88>(low.0, low.1);
        rows[4 + k] = _mm512_shuffle_i32x4::<0xdd>(low.0, low.1);
        rows[8 + k] = _mm512_shuffle_i32x4::<0x88>(high.0, high.1);
        rows[12 + k] = _mm512_shuffle_i32x4::<0xdd>(high.0, high.1);
    }
    rows
}

/// Transposes 4 by 4 words in each quarter of four registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(crate) fn quads(four: &[__m512i; 4]) -> [__m512i; 4] {
    let [a, b, c, d] = *four;
    let (ab, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let (cd, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    [
        _mm512_unpacklo_epi64(ab, cd),
        _mm512_unpackhi_epi64(ab, cd),
        _mm512_unpacklo_epi64(ab_high, cd_high),
        _mm512_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// The eight words of 16 keys: `pairs[i]` has key `i` in its lower half and key `i + 8` in its
/// upper one; lane `i` of the result belongs to key `i`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(crate) fn keys(pairs: &[__m512i; 8]) -> [__m512i; 8] {
    let [a, b, c, d, e, f, g, h] = *pairs;
    let (one, other) = (quads(&[a, b, c, d]), quads(&[e, f, g, h]));
    let first = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    let second = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    let mut words = [_mm512_setzero_si512(); 8];
    for w in 0..4 {
        words[w] = _mm512_permutex2var_epi64(one[w], first, other[w]);
        words[4 + w] = _mm512_permutex2var_epi64(one[w], second, other[w]);
    }
    words
}

/// Transposes 8 by 8 words of 64 bits: word `w` of row `i` goes to lane `i` of register `w`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn rows(rows: &[__m512i; 8]) -> [__m512i; 8] {
    let mut even = [_mm512_setzero_si512(); 4];
    let mut odd = [_mm512_setzero_si512(); 4];
    for i in 0..4 {
        even[i] = _mm512_unpacklo_epi64(rows[2 * i], rows[2 * i + 1]);
        odd[i] = _mm512_unpackhi_epi64(rows[2 * i], rows[2 * i + 1]);
    }
    let (even, odd) = (quarters(&even), quarters(&odd));
    [even[0], odd[0], even[1], odd[1], even[2], odd[2], even[3], odd[3]]
}

/// Transposes 4 by 4 quarters.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn quarters(four: &[__m512i; 4]) -> [__m512i; 4] {
    let [a, b, c, d] = *four;
    let low = (_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0x44>(c, d));
    let high = (_mm512_shuffle_i32x4::<0xee>(a, b), _mm512_shuffle_i32x4::<0xee>(c, d));
    [
        _mm512_shuffle_i32x4::<0x88>(low.0, low.1),
        _mm512_shuffle_i32x4::<0xdd>(low.0, low.1),
        _mm512_shuffle_i32x4::<0x88>(high.0, high.1),
        _mm512_shuffle_i32x4::<0xdd>(high.0, high.1),
    ]
}

/// The four words of 64 bits of eight one-time keys of 32 octets, key `i` in lane `i`; `pairs[i]`
/// has key `i` in its lower half and key `i + 4` in its upper one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn one_time_keys(pairs: &[__m512i; 4]) -> [__m512i; 4] {
    let [a, b, c, d] = *pairs;
    let (ab, ab_odd) = (_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    let (cd, cd_odd) = (_mm512_unpacklo_epi64(c, d), _mm512_unpackhi_epi64(c, d));
    let first = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    let second = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    [
        _mm512_permutex2var_epi64(ab, first, cd),
        _mm512_permutex2var_epi64(ab_odd, first, cd_odd),
        _mm512_permutex2var_epi64(ab, second, cd),
        _mm512_permutex2var_epi64(ab_odd, second, cd_odd),
    ]
}
