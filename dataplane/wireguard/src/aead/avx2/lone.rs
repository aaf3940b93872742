//! One packet at a time, its own blocks in the lanes: for batches too small to fill them.

use core::arch::x86_64::*;
use core::ops::Range;

use super::super::chunk::{bears_tag, write_tag};
use super::super::schedule::{BLOCK_LEN, CONSTANTS};
use super::super::{Job, poly1305};
use super::chacha::{self, pass_len};

/// Blocks of key stream in two halves each.
type Stream = [[__m256i; 2]; 8];

/// Opens or seals every job.
#[inline(never)]
#[target_feature(enable = "avx2")]
pub(in super::super) fn run<const SEAL: bool>(jobs: &mut [Job<'_>]) {
    let zero = [[_mm256_setzero_si256(); 2]; 8];
    let mut rows = zero;
    for job in jobs {
        one::<SEAL>(job, &mut rows);
    }
    rows = zero;
    zeroize::optimization_barrier(&rows);
}

#[inline]
#[target_feature(enable = "avx2")]
fn one<const SEAL: bool>(job: &mut Job<'_>, rows: &mut Stream) {
    let (text, len) = (job.octets.as_mut_ptr(), job.len);
    let all = 1 + len.div_ceil(BLOCK_LEN);
    let used = pass_len(all);
    blocks(job, 0, used, rows);
    // SAFETY: each block of text and what follows it lie in the job's octets, and so does the tag;
    // the key is the first half of a row.
    unsafe {
        let one_time = rows.as_ptr().cast::<[u64; 4]>().read();
        if SEAL {
            add(text, rows, 1..used.min(all));
            add_rest(job, used, all, rows);
            let tag = poly1305::tag(&one_time, core::slice::from_raw_parts(text, len));
            write_tag(text, len, tag);
            job.accepted = true;
        } else {
            let tag = poly1305::tag(&one_time, core::slice::from_raw_parts(text, len));
            job.accepted = bears_tag(text, len, tag);
            if job.accepted {
                add(text, rows, 1..used.min(all));
                add_rest(job, used, all, rows);
            }
        }
    }
}

/// Makes the blocks from `number` on and adds them to the text.
///
/// # Safety
///
/// The text has these blocks.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn add_rest(job: &mut Job<'_>, mut number: usize, all: usize, rows: &mut Stream) {
    let text = job.octets.as_mut_ptr();
    while number < all {
        let len = pass_len(all - number);
        blocks(job, number, len, rows);
        // SAFETY: the caller's promise.
        unsafe { add(text.add(BLOCK_LEN * (number - 1)), rows, 0..len.min(all - number)) };
        number += len;
    }
}

/// Adds key stream to blocks that lie one after the other from `text` on.
///
/// # Safety
///
/// The blocks are those of a text.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn add(text: *mut u8, rows: &Stream, which: Range<usize>) {
    for (block, [low, high]) in rows[which].iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { chacha::put(text.add(BLOCK_LEN * block), *low, *high) };
    }
}

/// Blocks of key stream from `number` on; `len` is 2, 4, 6 or 8.
#[inline]
#[target_feature(enable = "avx2")]
fn blocks(job: &Job<'_>, number: usize, len: usize, rows: &mut Stream) {
    #[expect(clippy::cast_possible_truncation, reason = "no datagram has so many blocks")]
    let number = number as u32;
    match len {
        8 => {
            *rows = [[_mm256_setzero_si256(); 2]; 8];
            let places = rows.each_mut().map(|row| core::ptr::from_mut(row).cast());
            // SAFETY: each place is a row.
            unsafe { chacha::lanes(&lane_state(job, number), &places) };
        }
        6 => in_rows::<3>(job, number, rows),
        4 => in_rows::<2>(job, number, rows),
        _ => in_rows::<1>(job, number, rows),
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn in_rows<const SETS: usize>(job: &Job<'_>, number: u32, rows: &mut Stream) {
    let pairs = chacha::row_blocks(&row_states::<SETS>(job, number));
    for (to, block) in rows.iter_mut().zip(pairs.as_flattened()) {
        *to = *block;
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
#[target_feature(enable = "avx2")]
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
#[target_feature(enable = "avx2")]
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
