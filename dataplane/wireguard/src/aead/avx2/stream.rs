//! The key stream of one packet: the same key in every lane and row, and ordinary instructions beside.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::Job;
use super::super::beside::{Beside, KEY_AT_END, KEY_SOON};
use super::super::one_block::OneBlock;
use super::super::schedule::{BLOCK_LEN, CONSTANTS};
use super::chacha;
use super::rounds::{Lanes, row_columns, row_diagonals, turns};

/// Blocks of key stream that are put by, and what a pass may make behind the last.
pub(super) const STREAM_LEN: usize = 48;

/// Key stream in blocks of two halves each.
pub(super) type Stream = [MaybeUninit<[__m256i; 2]>; STREAM_LEN];

/// Most blocks that a pass makes.
pub(super) const PASS_LEN: usize = 8;

/// How many blocks the next pass makes when so many are left.
pub(super) const fn pass_len(left: usize) -> usize {
    match left {
        7.. => 8,
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
    /// Adds a block to the text, or puts it by.
    ///
    /// # Safety
    ///
    /// The blocks of the text and what follows it can be read and written.
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    unsafe fn take(&mut self, block: usize, low: __m256i, high: __m256i) {
        match &mut self.rows {
            Some(rows) => {
                rows[block].write([low, high]);
            }
            // SAFETY: the caller's promise.
            None if block < self.blocks => unsafe {
                chacha::put(self.text.add(BLOCK_LEN * block), low, high);
            },
            None => {}
        }
    }

    /// Adds the blocks that were put by to the text.
    ///
    /// # Safety
    ///
    /// The first `count` were, and can be read and written in the text.
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    pub(super) unsafe fn add_rows(&mut self, count: usize) {
        for (block, row) in
            self.rows.take().iter().flat_map(|rows| rows.iter()).take(count).enumerate()
        {
            // SAFETY: the caller's promise.
            unsafe {
                let [low, high] = row.assume_init();
                chacha::put(self.text.add(BLOCK_LEN * block), low, high);
            }
        }
    }
}

/// Makes `len` blocks of text, one of those that `pass_len` gives, from number `from` on. In the first
/// pass of a packet its one-time key is made, too, as `KEY` tells.
///
/// # Safety
///
/// What `beside` has planned can be authenticated, and the sink's text can be read and written.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(super) unsafe fn pass<const KEY: u8>(
    job: &Job<'_>,
    from: usize,
    len: usize,
    sink: &mut Sink<'_>,
    beside: &mut Beside,
) {
    // SAFETY: the caller's promises.
    unsafe {
        match len {
            8 => mixed::<1, 0, KEY>(job, from, sink, beside),
            6 => mixed::<0, 3, KEY>(job, from, sink, beside),
            4 => mixed::<0, 2, KEY>(job, from, sink, beside),
            _ => mixed::<0, 1, KEY>(job, from, sink, beside),
        }
    }
}

/// `LANES` times eight blocks in lanes, and `SETS` times two in rows.
#[inline(never)]
#[target_feature(enable = "avx2,bmi2")]
unsafe fn mixed<const LANES: usize, const SETS: usize, const KEY: u8>(
    job: &Job<'_>,
    from: usize,
    sink: &mut Sink<'_>,
    beside: &mut Beside,
) {
    // Block 0 has no text.
    let number = u32::try_from(from + 1).unwrap_or_default();
    let first = [lane_state(job, number); LANES];
    let row_first = row_states::<SETS>(job, number);
    let (mut lanes, mut sets) =
        ([(); LANES].map(|()| Lanes::new(&lane_state(job, number))), row_first);
    // SAFETY: the caller's promises.
    unsafe { rounds::<LANES, SETS, KEY>(&mut lanes, &mut sets, (job, beside)) };
    for (lanes, first) in lanes.iter_mut().zip(&first) {
        let mut words = lanes.take();
        for (word, first) in words.iter_mut().zip(first) {
            *word = _mm256_add_epi32(*word, *first);
        }
        for (block, (low, high)) in chacha::blocks(&words).into_iter().enumerate() {
            // SAFETY: the caller's promises.
            unsafe { sink.take(from + block, low, high) };
        }
    }
    for (set, (words, first)) in sets.iter().zip(&row_first).enumerate() {
        for (block, [low, high]) in chacha::row_pair(words, first).into_iter().enumerate() {
            // SAFETY: the caller's promises.
            unsafe { sink.take(from + 2 * set + block, low, high) };
        }
    }
}

/// Twenty rounds, and something beside after each.
///
/// # Safety
///
/// What `beside` has planned can be authenticated.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
unsafe fn rounds<const LANES: usize, const SETS: usize, const KEY: u8>(
    lanes: &mut [Lanes; LANES],
    sets: &mut [[__m256i; 4]; SETS],
    (job, beside): (&Job<'_>, &mut Beside),
) {
    let mut block = OneBlock::new(job);
    let turns = turns();
    for _ in 0..5 {
        for lanes in lanes.iter_mut() {
            lanes.columns();
        }
        row_columns(sets, turns);
        // SAFETY: the caller's promise.
        unsafe { beside.early_round::<KEY, true>(&mut block) };
        for lanes in lanes.iter_mut() {
            lanes.diagonals();
        }
        row_diagonals(sets, turns);
        // SAFETY: the caller's promise.
        unsafe { beside.early_round::<KEY, false>(&mut block) };
    }
    if KEY == KEY_SOON {
        beside.note_key(&block);
    }
    for _ in 0..5 {
        for lanes in lanes.iter_mut() {
            lanes.columns();
        }
        row_columns(sets, turns);
        // SAFETY: the caller's promise.
        unsafe { beside.late_round::<KEY, true>(&mut block) };
        for lanes in lanes.iter_mut() {
            lanes.diagonals();
        }
        row_diagonals(sets, turns);
        // SAFETY: the caller's promise.
        unsafe { beside.late_round::<KEY, false>(&mut block) };
    }
    if KEY == KEY_AT_END {
        beside.note_key(&block);
    }
}

/// The key as eight words.
#[inline]
fn key_words(job: &Job<'_>) -> [i32; 8] {
    let mut words = [0; 8];
    for (word, octets) in words.iter_mut().zip(job.key.octets().as_chunks::<4>().0) {
        *word = i32::from_le_bytes(*octets);
    }
    words
}

#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn lane_state(job: &Job<'_>, number: u32) -> [__m256i; 16] {
    let mut state = [_mm256_setzero_si256(); 16];
    for (word, value) in state.iter_mut().zip(CONSTANTS.into_iter().chain(key_words(job))) {
        *word = _mm256_set1_epi32(value);
    }
    let iota = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    state[12] = _mm256_add_epi32(_mm256_set1_epi32(number.cast_signed()), iota);
    let nonce = _mm256_set1_epi64x(job.counter.cast_signed());
    state[14] = _mm256_shuffle_epi32::<0xa0>(nonce);
    state[15] = _mm256_shuffle_epi32::<0xf5>(nonce);
    state
}

#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn row_states<const SETS: usize>(job: &Job<'_>, number: u32) -> [[__m256i; 4]; SETS] {
    let [a, b, c, d] = CONSTANTS;
    let constants = _mm256_broadcastsi128_si256(_mm_setr_epi32(a, b, c, d));
    // SAFETY: the key has 32 octets.
    let (one, other) = unsafe {
        let key = job.key.octets().as_ptr();
        (_mm_loadu_si128(key.cast()), _mm_loadu_si128(key.add(16).cast()))
    };
    let (one, other) = (_mm256_broadcastsi128_si256(one), _mm256_broadcastsi128_si256(other));
    let own = _mm_set_epi64x(job.counter.cast_signed(), i64::from(number));
    let own = _mm256_broadcastsi128_si256(own);
    let mut last = _mm256_add_epi32(own, _mm256_setr_epi32(0, 0, 0, 0, 1, 0, 0, 0));
    let mut states = [[constants, one, other, last]; SETS];
    for state in &mut states {
        state[3] = last;
        last = _mm256_add_epi32(last, _mm256_setr_epi32(2, 0, 0, 0, 2, 0, 0, 0));
    }
    states
}
