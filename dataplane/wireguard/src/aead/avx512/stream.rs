//! The key stream of one packet: the same key in every lane.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::schedule::CONSTANTS;
use super::chacha::{add, constants, row_blocks};
use super::rounds::{self, Pair};
use super::transpose;

/// Most blocks that [`blocks`] makes at once.
pub(super) const LONE_LEN: usize = 32;

/// The key stream of one packet.
pub(super) type Stream = [MaybeUninit<__m512i>; LONE_LEN];

/// Blocks of one packet from `number` on; `len` is 4, 8, 10, 12, 16, 18, 20, 24 or 32.
///
/// # Safety
///
/// 32 octets can be read at `key`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) unsafe fn blocks(
    key: *const u8,
    counter: u64,
    number: u32,
    len: usize,
    to: &mut Stream,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match len {
            32 => {
                let state = lone_state(key, counter, number);
                let mut later = state;
                later[12] = _mm512_add_epi32(later[12], _mm512_set1_epi32(16));
                let (mut a, mut b) = (state, later);
                rounds::two_sets(&mut a, &mut b);
                add(&mut a, &state);
                add(&mut b, &later);
                note(to, 0, &transpose::blocks(&a));
                note(to, 16, &transpose::blocks(&b));
            }
            24 => lone_mixed::<2, 0>(key, counter, number, to),
            20 => lone_mixed::<1, 0>(key, counter, number, to),
            18 => lone_mixed::<0, 1>(key, counter, number, to),
            16 => {
                let state = lone_state(key, counter, number);
                let mut words = state;
                rounds::one_set(&mut words);
                add(&mut words, &state);
                note(to, 0, &transpose::blocks(&words));
            }
            12 => lone_rows::<3, 0>(key, counter, number, to),
            10 => lone_rows::<2, 1>(key, counter, number, to),
            8 => lone_rows::<2, 0>(key, counter, number, to),
            _ => lone_rows::<1, 0>(key, counter, number, to),
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn lone_mixed<const SETS: usize, const PAIRS: usize>(
    key: *const u8,
    counter: u64,
    number: u32,
    to: &mut Stream,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let state = lone_state(key, counter, number);
        let row_state = lone_row_states::<SETS>(key, counter, number.wrapping_add(16));
        let pair_state = pair_states::<PAIRS>(key, counter, number.wrapping_add(16));
        let (mut words, mut sets, mut pairs) = (state, row_state, pair_state);
        rounds::mixed_sets(&mut words, &mut sets, &mut pairs);
        add(&mut words, &state);
        note(to, 0, &transpose::blocks(&words));
        note_rows(to, 16, (&sets, &row_state), (&pairs, &pair_state));
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn lone_rows<const SETS: usize, const PAIRS: usize>(
    key: *const u8,
    counter: u64,
    number: u32,
    to: &mut Stream,
) {
    // SAFETY: the caller's promise.
    let (row_state, pair_state) = unsafe {
        let after = u32::try_from(4 * SETS).unwrap_or_default();
        let pairs = pair_states::<PAIRS>(key, counter, number.wrapping_add(after));
        (lone_row_states::<SETS>(key, counter, number), pairs)
    };
    let (mut sets, mut pairs) = (row_state, pair_state);
    rounds::row_sets(&mut sets, &mut pairs);
    note_rows(to, 0, (&sets, &row_state), (&pairs, &pair_state));
}

/// Notes sets of four blocks, then pairs, of which the rows after the rounds and before are given.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn note_rows<const SETS: usize, const PAIRS: usize>(
    to: &mut Stream,
    from: usize,
    (sets, set_states): (&[[__m512i; 4]; SETS], &[[__m512i; 4]; SETS]),
    (pairs, pair_states): (&[Pair; PAIRS], &[Pair; PAIRS]),
) {
    for (set, (words, state)) in sets.iter().zip(set_states).enumerate() {
        note(to, from + 4 * set, &row_blocks(words, state));
    }
    for (pair, (words, state)) in pairs.iter().zip(pair_states).enumerate() {
        note(to, from + 4 * SETS + 2 * pair, &pair_blocks(words, state));
    }
}

/// Two blocks from their rows after the rounds and before.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn pair_blocks(words: &Pair, state: &Pair) -> [__m512i; 2] {
    let mut sums = *words;
    for (sum, first) in sums.iter_mut().zip(state) {
        *sum = _mm256_add_epi32(*sum, *first);
    }
    let [a, b, c, d] = sums;
    let whole = |low, high| _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
    [
        whole(_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x20>(c, d)),
        whole(_mm256_permute2x128_si256::<0x31>(a, b), _mm256_permute2x128_si256::<0x31>(c, d)),
    ]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn note<const N: usize>(to: &mut Stream, from: usize, rows: &[__m512i; N]) {
    for (to, row) in to[from..from + N].iter_mut().zip(rows) {
        to.write(*row);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn lone_state(key: *const u8, counter: u64, number: u32) -> [__m512i; 16] {
    let mut state = [_mm512_setzero_si512(); 16];
    for (word, constant) in state.iter_mut().zip(CONSTANTS) {
        *word = _mm512_set1_epi32(constant);
    }
    for word in 0..8 {
        // SAFETY: the caller's promise.
        state[4 + word] =
            _mm512_set1_epi32(unsafe { key.add(4 * word).cast::<i32>().read_unaligned() });
    }
    let iota = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    state[12] = _mm512_add_epi32(_mm512_set1_epi32(number.cast_signed()), iota);
    let pair = _mm512_set1_epi64(counter.cast_signed());
    state[14] = _mm512_shuffle_epi32::<0xa0>(pair);
    state[15] = _mm512_shuffle_epi32::<0xf5>(pair);
    state
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn lone_row_states<const SETS: usize>(
    key: *const u8,
    counter: u64,
    number: u32,
) -> [[__m512i; 4]; SETS] {
    let mut states = [[_mm512_setzero_si512(); 4]; SETS];
    // SAFETY: the caller's promise.
    let (one, other) =
        unsafe { (_mm_loadu_si128(key.cast()), _mm_loadu_si128(key.add(16).cast())) };
    let first = _mm_set_epi64x(counter.cast_signed(), i64::from(number));
    let mut last = _mm512_add_epi32(
        _mm512_broadcast_i32x4(first),
        _mm512_setr_epi32(0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0),
    );
    for state in &mut states {
        *state = [constants(), _mm512_broadcast_i32x4(one), _mm512_broadcast_i32x4(other), last];
        last = _mm512_add_epi32(last, _mm512_broadcast_i32x4(_mm_setr_epi32(4, 0, 0, 0)));
    }
    states
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn pair_states<const PAIRS: usize>(
    key: *const u8,
    counter: u64,
    number: u32,
) -> [Pair; PAIRS] {
    let mut states = [[_mm256_setzero_si256(); 4]; PAIRS];
    // SAFETY: the caller's promise.
    let [four] = unsafe { lone_row_states::<1>(key, counter, number) };
    let [constants, one, other, mut last] = four.map(|row| _mm512_castsi512_si256(row));
    for state in &mut states {
        *state = [constants, one, other, last];
        last = _mm256_add_epi32(last, _mm256_broadcastsi128_si256(_mm_setr_epi32(2, 0, 0, 0)));
    }
    states
}
