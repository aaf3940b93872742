//! The twenty rounds of `ChaCha20` (RFC 8439 2.3) over 32 blocks at once, and over rows of four blocks.

use core::arch::asm;
use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::Job;
use super::super::beside::{Beside, KEY_AT_END, KEY_SOON};
use super::super::one_block::OneBlock;
use super::wide::Powers;

/// The instruction on the registers of four quarter rounds of one set of 16 registers.
macro_rules! four {
    ($op:literal: $($to:literal $from:literal),+) => {
        concat!($($op, " zmm", $to, ", zmm", $to, ", zmm", $from, "\n"),+)
    };
}

/// As `four`, for the rotation of each register in place.
macro_rules! rotate {
    ($count:literal: $($to:literal),+) => {
        concat!($("vprold zmm", $to, ", zmm", $to, ", ", $count, "\n"),+)
    };
}

/// Four quarter rounds on both sets, whose instructions alternate: one set alone is bound by the
/// latency of its chains, and two fill all 32 registers.
macro_rules! quarter_rounds {
    ($($a:literal $b:literal $c:literal $d:literal),+ ; $($e:literal $f:literal $g:literal $h:literal),+) => {
        concat!(
            four!("vpaddd": $($a $b),+),
            four!("vpxord": $($d $a),+), four!("vpaddd": $($e $f),+),
            rotate!(16: $($d),+), four!("vpxord": $($h $e),+),
            four!("vpaddd": $($c $d),+), rotate!(16: $($h),+),
            four!("vpxord": $($b $c),+), four!("vpaddd": $($g $h),+),
            rotate!(12: $($b),+), four!("vpxord": $($f $g),+),
            four!("vpaddd": $($a $b),+), rotate!(12: $($f),+),
            four!("vpxord": $($d $a),+), four!("vpaddd": $($e $f),+),
            rotate!(8: $($d),+), four!("vpxord": $($h $e),+),
            four!("vpaddd": $($c $d),+), rotate!(8: $($h),+),
            four!("vpxord": $($b $c),+), four!("vpaddd": $($g $h),+),
            rotate!(7: $($b),+), four!("vpxord": $($f $g),+),
            rotate!(7: $($f),+),
        )
    };
}

/// The rounds over two sets of 16 blocks, without the final addition.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn two_sets(one: &mut [__m512i; 16], other: &mut [__m512i; 16]) {
    let [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15] = one;
    let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15] = other;
    // SAFETY: the instructions touch the named registers only, and the features they need are
    // enabled for this function. In asm because all 32 registers are live all the time, and the
    // compiler's allocator keeps some of them in memory.
    unsafe {
        asm!(
            "2:",
            quarter_rounds!(
                0 4 8 12, 1 5 9 13, 2 6 10 14, 3 7 11 15;
                16 20 24 28, 17 21 25 29, 18 22 26 30, 19 23 27 31
            ),
            quarter_rounds!(
                0 5 10 15, 1 6 11 12, 2 7 8 13, 3 4 9 14;
                16 21 26 31, 17 22 27 28, 18 23 24 29, 19 20 25 30
            ),
            "dec {left:e}",
            "jnz 2b",
            left = inout(reg) 10 => _,
            inout("zmm0") *a0, inout("zmm1") *a1, inout("zmm2") *a2, inout("zmm3") *a3,
            inout("zmm4") *a4, inout("zmm5") *a5, inout("zmm6") *a6, inout("zmm7") *a7,
            inout("zmm8") *a8, inout("zmm9") *a9, inout("zmm10") *a10, inout("zmm11") *a11,
            inout("zmm12") *a12, inout("zmm13") *a13, inout("zmm14") *a14, inout("zmm15") *a15,
            inout("zmm16") *b0, inout("zmm17") *b1, inout("zmm18") *b2, inout("zmm19") *b3,
            inout("zmm20") *b4, inout("zmm21") *b5, inout("zmm22") *b6, inout("zmm23") *b7,
            inout("zmm24") *b8, inout("zmm25") *b9, inout("zmm26") *b10, inout("zmm27") *b11,
            inout("zmm28") *b12, inout("zmm29") *b13, inout("zmm30") *b14, inout("zmm31") *b15,
            options(pure, nomem, nostack),
        );
    }
}

/// The rounds over one set of 16 blocks.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn one_set(words: &mut [__m512i; 16]) {
    mixed_sets(words, &mut []);
}

/// Two blocks in the halves of four registers, one for each row of the state. Costs half of four
/// blocks where wide registers are worked on in two parts.
pub(super) type Pair = [__m256i; 4];

/// The rounds over one set of 16 blocks, `SETS` sets of four in rows, and `PAIRS` pairs, which fill
/// the gaps that the latency of the larger set leaves.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn mixed_sets<const SETS: usize>(
    words: &mut [__m512i; 16],
    sets: &mut [[__m512i; 4]; SETS],
) {
    let mut lanes = [*words];
    for _ in 0..10 {
        lane_columns(&mut lanes);
        row_round(sets, &mut [], true);
        lane_diagonals(&mut lanes);
        row_round(sets, &mut [], false);
    }
    [*words] = lanes;
}

/// As `mixed_sets`, with or without the larger set, and something beside after each round.
///
/// # Safety
///
/// What `beside` has planned can be authenticated.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) unsafe fn beside<
    const LANES: usize,
    const SETS: usize,
    const PAIRS: usize,
    const KEY: u8,
>(
    lanes: &mut [[__m512i; 16]; LANES],
    sets: &mut [[__m512i; 4]; SETS],
    pairs: &mut [Pair; PAIRS],
    (job, beside, powers): (&Job<'_>, &mut Beside, Option<&mut MaybeUninit<Powers>>),
) {
    let mut block = OneBlock::new(job);
    for _ in 0..5 {
        lane_columns(lanes);
        row_round(sets, pairs, true);
        // SAFETY: the caller's promise.
        unsafe { beside.early_round::<KEY, true>(&mut block) };
        lane_diagonals(lanes);
        row_round(sets, pairs, false);
        // SAFETY: the caller's promise.
        unsafe { beside.early_round::<KEY, false>(&mut block) };
    }
    if KEY == KEY_SOON {
        beside.note_key(&block);
    }
    let mut powers = powers.map(|powers| powers.write(Powers::start(beside.factor())));
    for step in 0..5 {
        if let Some(powers) = &mut powers {
            powers.step(step);
        }
        lane_columns(lanes);
        row_round(sets, pairs, true);
        // SAFETY: the caller's promise.
        unsafe { beside.late_round::<KEY, true>(&mut block) };
        lane_diagonals(lanes);
        row_round(sets, pairs, false);
        // SAFETY: the caller's promise.
        unsafe { beside.late_round::<KEY, false>(&mut block) };
    }
    if KEY == KEY_AT_END {
        beside.note_key(&block);
    }
}

/// A round on the columns of sets of 16 blocks.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn lane_columns<const LANES: usize>(lanes: &mut [[__m512i; 16]; LANES]) {
    for words in lanes {
        let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3] = *words;
        let (mut a, mut b) = ([a0, a1, a2, a3], [b0, b1, b2, b3]);
        let (mut c, mut d) = ([c0, c1, c2, c3], [d0, d1, d2, d3]);
        four_quarters(&mut a, &mut b, &mut c, &mut d);
        let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (a, b);
        let ([c0, c1, c2, c3], [d0, d1, d2, d3]) = (c, d);
        *words = [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3];
    }
}

/// And one on their diagonals.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn lane_diagonals<const LANES: usize>(lanes: &mut [[__m512i; 16]; LANES]) {
    for words in lanes {
        let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3] = *words;
        let (mut a, mut b) = ([a0, a1, a2, a3], [b1, b2, b3, b0]);
        let (mut c, mut d) = ([c2, c3, c0, c1], [d3, d0, d1, d2]);
        four_quarters(&mut a, &mut b, &mut c, &mut d);
        let ([a0, a1, a2, a3], [b1, b2, b3, b0]) = (a, b);
        let ([c2, c3, c0, c1], [d3, d0, d1, d2]) = (c, d);
        *words = [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3];
    }
}

/// Four quarter rounds side by side.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn four_quarters(
    a: &mut [__m512i; 4],
    b: &mut [__m512i; 4],
    c: &mut [__m512i; 4],
    d: &mut [__m512i; 4],
) {
    mix::<16>(a, b, d);
    mix::<12>(c, d, b);
    mix::<8>(a, b, d);
    mix::<7>(c, d, b);
}

/// Adds `from` to `to`, and that to `other` without carry, which turns by `BITS`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn mix<const BITS: i32>(to: &mut [__m512i; 4], from: &[__m512i; 4], other: &mut [__m512i; 4]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = _mm512_add_epi32(*to, *from);
    }
    for (other, to) in other.iter_mut().zip(&*to) {
        *other = _mm512_xor_si512(*other, *to);
    }
    for other in other {
        *other = _mm512_rol_epi32::<BITS>(*other);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn row_quarter(row: &mut [__m512i; 4]) {
    let [mut a, mut b, mut c, mut d] = *row;
    a = _mm512_add_epi32(a, b);
    d = _mm512_rol_epi32::<16>(_mm512_xor_si512(d, a));
    c = _mm512_add_epi32(c, d);
    b = _mm512_rol_epi32::<12>(_mm512_xor_si512(b, c));
    a = _mm512_add_epi32(a, b);
    d = _mm512_rol_epi32::<8>(_mm512_xor_si512(d, a));
    c = _mm512_add_epi32(c, d);
    b = _mm512_rol_epi32::<7>(_mm512_xor_si512(b, c));
    *row = [a, b, c, d];
}

/// The rounds over `SETS` sets of four blocks, which lie in the quarters of four registers, one for
/// each row of the state, and `PAIRS` pairs. Least latency for few blocks.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn row_sets<const SETS: usize>(sets: &mut [[__m512i; 4]; SETS]) {
    for _ in 0..10 {
        row_round(sets, &mut [], true);
        row_round(sets, &mut [], false);
    }
}

/// A round over sets of four blocks and pairs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn row_round<const SETS: usize, const PAIRS: usize>(
    sets: &mut [[__m512i; 4]; SETS],
    pairs: &mut [Pair; PAIRS],
    columns: bool,
) {
    half_double_round(sets, columns);
    pair_round(pairs, columns);
}

/// A round over sets in rows, and the move to the diagonals or back.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn half_double_round<const SETS: usize>(sets: &mut [[__m512i; 4]; SETS], columns: bool) {
    for set in sets.iter_mut() {
        row_quarter(set);
    }
    // Row b is the last to be known, so the others move.
    for [a, _, c, d] in sets.iter_mut() {
        (*a, *c) = if columns {
            (_mm512_shuffle_epi32::<0x93>(*a), _mm512_shuffle_epi32::<0x39>(*c))
        } else {
            (_mm512_shuffle_epi32::<0x39>(*a), _mm512_shuffle_epi32::<0x93>(*c))
        };
        *d = _mm512_shuffle_epi32::<0x4e>(*d);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn pair_quarter(pair: &mut Pair) {
    let [mut a, mut b, mut c, mut d] = *pair;
    a = _mm256_add_epi32(a, b);
    d = _mm256_rol_epi32::<16>(_mm256_xor_si256(d, a));
    c = _mm256_add_epi32(c, d);
    b = _mm256_rol_epi32::<12>(_mm256_xor_si256(b, c));
    a = _mm256_add_epi32(a, b);
    d = _mm256_rol_epi32::<8>(_mm256_xor_si256(d, a));
    c = _mm256_add_epi32(c, d);
    b = _mm256_rol_epi32::<7>(_mm256_xor_si256(b, c));
    *pair = [a, b, c, d];
}

/// As `half_double_round`, over pairs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn pair_round<const PAIRS: usize>(pairs: &mut [Pair; PAIRS], columns: bool) {
    for pair in pairs {
        pair_quarter(pair);
        let [a, _, c, d] = pair;
        (*a, *c) = if columns {
            (_mm256_shuffle_epi32::<0x93>(*a), _mm256_shuffle_epi32::<0x39>(*c))
        } else {
            (_mm256_shuffle_epi32::<0x39>(*a), _mm256_shuffle_epi32::<0x93>(*c))
        };
        *d = _mm256_shuffle_epi32::<0x4e>(*d);
    }
}
