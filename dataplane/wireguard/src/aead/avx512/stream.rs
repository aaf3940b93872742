//! The key stream of one packet: the same key in every lane and row, and ordinary instructions beside.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::Job;
use super::super::beside::Beside;
use super::super::schedule::{BLOCK_LEN, CONSTANTS};
use super::chacha::{self, add, constants, row_blocks};
use super::rounds::{self, Pair};
use super::transpose;
use super::wide::Powers;

/// Most blocks that a pass makes.
pub(super) const PASS_LEN: usize = 24;

/// Key stream that is put by.
pub(super) type Stream = [MaybeUninit<__m512i>; PASS_LEN];

/// How many blocks the next pass makes when so many are left.
pub(super) const fn pass_len(left: usize) -> usize {
    match left {
        21.. => 24,
        19 | 20 => 20,
        17 | 18 => 18,
        13..=16 => 16,
        11 | 12 => 12,
        9 | 10 => 10,
        7 | 8 => 8,
        5 | 6 => 6,
        3 | 4 => 4,
        _ => 2,
    }
}

/// Where key stream goes: to the text at once, or to rows.
pub(super) struct Sink<'a> {
    pub(super) text: *mut u8,
    /// Blocks that the text has.
    pub(super) blocks: usize,
    pub(super) rows: Option<&'a mut Stream>,
}

impl Sink<'_> {
    /// Adds blocks from number `from` on to the text, or puts them by.
    ///
    /// # Safety
    ///
    /// The blocks of the text and what follows it can be read and written.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    unsafe fn take<const N: usize>(&mut self, from: usize, blocks: &[__m512i; N]) {
        if let Some(rows) = &mut self.rows {
            for (row, block) in rows[from..from + N].iter_mut().zip(blocks) {
                row.write(*block);
            }
            return;
        }
        for (number, block) in (from..self.blocks).zip(blocks) {
            // SAFETY: the caller's promise.
            unsafe { chacha::put(self.text.add(BLOCK_LEN * number), *block) };
        }
    }

    /// Adds the blocks that were put by to the text; later ones go there at once.
    ///
    /// # Safety
    ///
    /// The first `count` were, and can be read and written in the text.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) unsafe fn add_rows(&mut self, count: usize) {
        let Some(rows) = self.rows.take() else { return };
        for (number, row) in rows.iter().take(count).enumerate() {
            // SAFETY: the caller's promise.
            unsafe { chacha::put(self.text.add(BLOCK_LEN * number), row.assume_init()) };
        }
    }
}

/// Makes `len` blocks of text, one of those that `pass_len` gives, from number `from` on. In the first
/// pass of a packet its one-time key is made, too, as `KEY` tells, and the powers of its factor where they are wanted.
///
/// # Safety
///
/// What `beside` has planned can be authenticated, and the sink's text can be read and written.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) unsafe fn pass<const KEY: u8>(
    job: &Job<'_>,
    from: usize,
    len: usize,
    sink: &mut Sink<'_>,
    beside: (&mut Beside, Option<&mut MaybeUninit<Powers>>),
) {
    // SAFETY: the caller's promises.
    unsafe {
        match len {
            24 => mixed::<1, 2, 0, KEY>(job, from, sink, beside),
            20 => mixed::<1, 1, 0, KEY>(job, from, sink, beside),
            18 => mixed::<1, 0, 1, KEY>(job, from, sink, beside),
            16 => mixed::<1, 0, 0, KEY>(job, from, sink, beside),
            12 => mixed::<0, 3, 0, KEY>(job, from, sink, beside),
            10 => mixed::<0, 2, 1, KEY>(job, from, sink, beside),
            8 => mixed::<0, 2, 0, KEY>(job, from, sink, beside),
            6 => mixed::<0, 1, 1, KEY>(job, from, sink, beside),
            4 => mixed::<0, 1, 0, KEY>(job, from, sink, beside),
            _ => mixed::<0, 0, 1, KEY>(job, from, sink, beside),
        }
    }
}

/// `LANES` times 16 blocks in lanes, `SETS` times four and `PAIRS` times two in rows.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn mixed<const LANES: usize, const SETS: usize, const PAIRS: usize, const KEY: u8>(
    job: &Job<'_>,
    from: usize,
    sink: &mut Sink<'_>,
    beside: (&mut Beside, Option<&mut MaybeUninit<Powers>>),
) {
    let (key, counter) = (job.key.octets().as_ptr(), job.counter);
    // Block 0 has no text.
    let number = |block: usize| u32::try_from(from + block + 1).unwrap_or_default();
    let (after_lanes, after_sets) = (16 * LANES, 16 * LANES + 4 * SETS);
    // SAFETY: the key has 32 octets.
    let (first, row_first, pair_first) = unsafe {
        (
            [lone_state(key, counter, number(0)); LANES],
            lone_row_states::<SETS>(key, counter, number(after_lanes)),
            pair_states::<PAIRS>(key, counter, number(after_sets)),
        )
    };
    let (mut lanes, mut sets, mut pairs) = (first, row_first, pair_first);
    // SAFETY: the caller's promises.
    unsafe {
        rounds::beside::<LANES, SETS, PAIRS, KEY>(
            &mut lanes,
            &mut sets,
            &mut pairs,
            (job, beside.0, beside.1),
        );
        for (words, first) in lanes.iter_mut().zip(&first) {
            add(words, first);
            sink.take(from, &transpose::blocks(words));
        }
        for (set, (words, first)) in sets.iter().zip(&row_first).enumerate() {
            sink.take(from + after_lanes + 4 * set, &row_blocks(words, first));
        }
        for (pair, (words, first)) in pairs.iter().zip(&pair_first).enumerate() {
            sink.take(from + after_sets + 2 * pair, &pair_blocks(words, first));
        }
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
