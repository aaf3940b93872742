//! The key stream of one packet: the same key in every lane.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::chacha::{CONSTANTS, add, constants, row_blocks};
use super::{rounds, transpose};

/// Most blocks that [`blocks`] makes at once.
pub(super) const LONE_LEN: usize = 32;

/// The key stream of one packet.
pub(super) type Stream = [MaybeUninit<__m512i>; LONE_LEN];

/// Blocks of one packet from `number` on; `len` is 4, 8, 12, 16, 20, 24 or 32.
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
            24 => lone_mixed::<2>(key, counter, number, to),
            20 => lone_mixed::<1>(key, counter, number, to),
            16 => {
                let state = lone_state(key, counter, number);
                let mut words = state;
                rounds::one_set(&mut words);
                add(&mut words, &state);
                note(to, 0, &transpose::blocks(&words));
            }
            12 => lone_rows::<3>(key, counter, number, to),
            8 => lone_rows::<2>(key, counter, number, to),
            _ => lone_rows::<1>(key, counter, number, to),
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn lone_mixed<const SETS: usize>(
    key: *const u8,
    counter: u64,
    number: u32,
    to: &mut Stream,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let state = lone_state(key, counter, number);
        let row_state = lone_row_states::<SETS>(key, counter, number.wrapping_add(16));
        let (mut words, mut sets) = (state, row_state);
        rounds::mixed_sets(&mut words, &mut sets);
        add(&mut words, &state);
        note(to, 0, &transpose::blocks(&words));
        for (set, (words, state)) in sets.iter().zip(&row_state).enumerate() {
            note(to, 16 + 4 * set, &row_blocks(words, state));
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn lone_rows<const SETS: usize>(key: *const u8, counter: u64, number: u32, to: &mut Stream) {
    // SAFETY: the caller's promise.
    let row_state = unsafe { lone_row_states::<SETS>(key, counter, number) };
    let mut sets = row_state;
    rounds::row_sets(&mut sets);
    for (set, (words, state)) in sets.iter().zip(&row_state).enumerate() {
        note(to, 4 * set, &row_blocks(words, state));
    }
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
        *word = _mm512_set1_epi32(constant.cast_signed());
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
