//! The twenty rounds of `ChaCha20` (RFC 8439 2.3) over eight blocks in lanes, or over two, four or six
//! in rows.

use core::arch::asm;
use core::arch::x86_64::*;

/// The shuffles that turn each word by 16 and by 8 bits.
pub(super) type Turns = (__m256i, __m256i);

/// Makes them behind the compiler's back, which would put two shuffles of halves in place of one that
/// it knows.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(super) fn turns() -> Turns {
    let by_16 = _mm_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    let by_8 = _mm_setr_epi8(3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14);
    let mut all = (_mm256_broadcastsi128_si256(by_16), _mm256_broadcastsi128_si256(by_8));
    // SAFETY: no instruction at all.
    unsafe {
        asm!(
            "/* {0} {1} */",
            inout(ymm_reg) all.0,
            inout(ymm_reg) all.1,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    all
}

/// Turns words by `LEFT` bits; `RIGHT` is what is missing to 32.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn turn<const LEFT: i32, const RIGHT: i32>(words: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_slli_epi32::<LEFT>(words), _mm256_srli_epi32::<RIGHT>(words))
}

/// Twenty rounds over eight blocks in lanes.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(super) fn lane_rounds(words: &mut [__m256i; 16]) {
    let turns = turns();
    for _ in 0..10 {
        lane_columns(words, turns);
        lane_diagonals(words, turns);
    }
}

/// A round on the columns of eight blocks in lanes.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(super) fn lane_columns(words: &mut [__m256i; 16], turns: Turns) {
    let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3] = *words;
    let (mut a, mut b) = ([a0, a1, a2, a3], [b0, b1, b2, b3]);
    let (mut c, mut d) = ([c0, c1, c2, c3], [d0, d1, d2, d3]);
    four_quarters((&mut a, &mut b, &mut c, &mut d), turns);
    let ([a0, a1, a2, a3], [b0, b1, b2, b3], [c0, c1, c2, c3], [d0, d1, d2, d3]) = (a, b, c, d);
    *words = [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3];
}

/// And one on their diagonals.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(super) fn lane_diagonals(words: &mut [__m256i; 16], turns: Turns) {
    let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3] = *words;
    let (mut a, mut b) = ([a0, a1, a2, a3], [b1, b2, b3, b0]);
    let (mut c, mut d) = ([c2, c3, c0, c1], [d3, d0, d1, d2]);
    four_quarters((&mut a, &mut b, &mut c, &mut d), turns);
    let ([a0, a1, a2, a3], [b1, b2, b3, b0], [c2, c3, c0, c1], [d3, d0, d1, d2]) = (a, b, c, d);
    *words = [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3];
}

/// Four words of the state, one in each place of a quarter round.
type Quarters<'a> =
    (&'a mut [__m256i; 4], &'a mut [__m256i; 4], &'a mut [__m256i; 4], &'a mut [__m256i; 4]);

/// Four quarter rounds, two at a time: more do not fit the 16 registers.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn four_quarters((a, b, c, d): Quarters<'_>, turns: Turns) {
    for i in [0, 2] {
        let mut one = [a[i], b[i], c[i], d[i]];
        let mut other = [a[i + 1], b[i + 1], c[i + 1], d[i + 1]];
        two_quarters(&mut one, &mut other, turns);
        [a[i], b[i], c[i], d[i]] = one;
        [a[i + 1], b[i + 1], c[i + 1], d[i + 1]] = other;
    }
}

#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn two_quarters(one: &mut [__m256i; 4], other: &mut [__m256i; 4], (by_16, by_8): Turns) {
    let ([mut a, mut b, mut c, mut d], [mut e, mut f, mut g, mut h]) = (*one, *other);
    (a, e) = (_mm256_add_epi32(a, b), _mm256_add_epi32(e, f));
    (d, h) = (_mm256_xor_si256(d, a), _mm256_xor_si256(h, e));
    (d, h) = (_mm256_shuffle_epi8(d, by_16), _mm256_shuffle_epi8(h, by_16));
    (c, g) = (_mm256_add_epi32(c, d), _mm256_add_epi32(g, h));
    (b, f) = (_mm256_xor_si256(b, c), _mm256_xor_si256(f, g));
    (b, f) = (turn::<12, 20>(b), turn::<12, 20>(f));
    (a, e) = (_mm256_add_epi32(a, b), _mm256_add_epi32(e, f));
    (d, h) = (_mm256_xor_si256(d, a), _mm256_xor_si256(h, e));
    (d, h) = (_mm256_shuffle_epi8(d, by_8), _mm256_shuffle_epi8(h, by_8));
    (c, g) = (_mm256_add_epi32(c, d), _mm256_add_epi32(g, h));
    (b, f) = (_mm256_xor_si256(b, c), _mm256_xor_si256(f, g));
    (b, f) = (turn::<7, 25>(b), turn::<7, 25>(f));
    (*one, *other) = ([a, b, c, d], [e, f, g, h]);
}

/// Twenty rounds over sets of two blocks, which lie in the halves of four registers.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(super) fn row_rounds<const SETS: usize>(sets: &mut [[__m256i; 4]; SETS]) {
    let turns = turns();
    for _ in 0..10 {
        row_columns(sets, turns);
        row_diagonals(sets, turns);
    }
}

/// A round on the columns of sets in rows.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(super) fn row_columns<const SETS: usize>(sets: &mut [[__m256i; 4]; SETS], turns: Turns) {
    for set in sets.iter_mut() {
        row_quarter(set, turns);
        // Row b is the last to be known, so the others move.
        let [a, _, c, d] = set;
        *a = _mm256_shuffle_epi32::<0x93>(*a);
        *c = _mm256_shuffle_epi32::<0x39>(*c);
        *d = _mm256_shuffle_epi32::<0x4e>(*d);
    }
}

/// And one on their diagonals.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(super) fn row_diagonals<const SETS: usize>(sets: &mut [[__m256i; 4]; SETS], turns: Turns) {
    for set in sets.iter_mut() {
        row_quarter(set, turns);
        let [a, _, c, d] = set;
        *a = _mm256_shuffle_epi32::<0x39>(*a);
        *c = _mm256_shuffle_epi32::<0x93>(*c);
        *d = _mm256_shuffle_epi32::<0x4e>(*d);
    }
}

#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn row_quarter(row: &mut [__m256i; 4], (by_16, by_8): Turns) {
    let [mut a, mut b, mut c, mut d] = *row;
    a = _mm256_add_epi32(a, b);
    d = _mm256_shuffle_epi8(_mm256_xor_si256(d, a), by_16);
    c = _mm256_add_epi32(c, d);
    b = turn::<12, 20>(_mm256_xor_si256(b, c));
    a = _mm256_add_epi32(a, b);
    d = _mm256_shuffle_epi8(_mm256_xor_si256(d, a), by_8);
    c = _mm256_add_epi32(c, d);
    b = turn::<7, 25>(_mm256_xor_si256(b, c));
    *row = [a, b, c, d];
}
