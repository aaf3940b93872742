//! BLAKE2s of up to 16 messages, each in a lane of 512-bit vectors.
#![expect(
    unsafe_code,
    reason = "vector loads and stores, and calls of vector code after detection"
)]
#![expect(
    clippy::indexing_slicing,
    clippy::many_single_char_names,
    reason = "indices are constants or counts of lanes; words have the specification's names"
)]
#![cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "dozens of intrinsics"))]

use core::arch::x86_64::*;

use super::{INITIAL, Job, MAC_LEN, SCHEDULE, STEPS};
use crate::aead::avx512::{available, transpose};

/// Messages at a time.
const LANES: usize = 16;

/// Computes the MACs of up to 16 jobs, of fewer than 2^32 octets each; false when this processor cannot.
pub(super) fn macs(jobs: &mut [Job<'_>]) -> bool {
    let able = available() && jobs.len() <= LANES;
    if able {
        // SAFETY: the features are there.
        unsafe { run(jobs) };
    }
    able
}

/// One block of each message, word by word: lane `i` belongs to message `i`.
struct Blocks {
    words: [__m512i; 16],
    counted: __m512i,
    /// Lanes whose message ends here, and lanes that have a block at all.
    last: __mmask16,
    present: __mmask16,
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn run(jobs: &mut [Job<'_>]) {
    let mut chain = chains(jobs);
    let mut number = 0;
    loop {
        let blocks = blocks(jobs, number);
        if blocks.present == 0 {
            break;
        }
        chain = compress(&chain, &blocks);
        number += 1;
    }
    settle(jobs, &chain);
}

/// The chaining values before the messages.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn chains(jobs: &[Job<'_>]) -> [__m512i; 8] {
    let mut rows = [_mm256_setzero_si256(); LANES];
    for (row, job) in rows.iter_mut().zip(jobs) {
        // SAFETY: a chaining value has 32 octets.
        *row = unsafe { _mm256_loadu_si256(job.before.as_ptr().cast()) };
    }
    let mut pairs = [_mm512_setzero_si512(); 8];
    for (lane, pair) in pairs.iter_mut().enumerate() {
        *pair = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(rows[lane]), rows[lane + 8]);
    }
    transpose::keys(&pairs)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn blocks(jobs: &[Job<'_>], number: usize) -> Blocks {
    let mut rows = [_mm512_setzero_si512(); LANES];
    let mut counted = [0_u32; LANES];
    let (mut last, mut present) = (0, 0);
    for (lane, job) in jobs.iter().enumerate() {
        let Some(block) = job.block(number) else { continue };
        let mask = u64::MAX >> (64 - block.octets.len());
        // SAFETY: as many octets are read as there are.
        rows[lane] = unsafe { _mm512_maskz_loadu_epi8(mask, block.octets.as_ptr().cast()) };
        #[expect(clippy::cast_possible_truncation, reason = "messages have fewer octets")]
        let octets = block.counted as u32;
        counted[lane] = octets;
        last |= __mmask16::from(block.is_last) << lane;
        present |= 1 << lane;
    }
    // SAFETY: 16 words of 32 bits.
    let counted = unsafe { _mm512_loadu_si512(counted.as_ptr().cast()) };
    Blocks { words: transpose::blocks(&rows), counted, last, present }
}

/// The compression (RFC 7693 3.2) in all lanes; those without a block keep their value.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn compress(chain: &[__m512i; 8], blocks: &Blocks) -> [__m512i; 8] {
    let mut state = [_mm512_setzero_si512(); 16];
    state[..8].copy_from_slice(chain);
    for (word, initial) in state[8..].iter_mut().zip(INITIAL) {
        *word = _mm512_set1_epi32(initial.cast_signed());
    }
    state[12] = _mm512_xor_si512(state[12], blocks.counted);
    let ones = _mm512_set1_epi32(-1);
    state[14] = _mm512_mask_xor_epi32(state[14], blocks.last, state[14], ones);
    round::<0>(&mut state, &blocks.words);
    round::<1>(&mut state, &blocks.words);
    round::<2>(&mut state, &blocks.words);
    round::<3>(&mut state, &blocks.words);
    round::<4>(&mut state, &blocks.words);
    round::<5>(&mut state, &blocks.words);
    round::<6>(&mut state, &blocks.words);
    round::<7>(&mut state, &blocks.words);
    round::<8>(&mut state, &blocks.words);
    round::<9>(&mut state, &blocks.words);
    let mut after = *chain;
    for (place, word) in after.iter_mut().enumerate() {
        let change = _mm512_xor_si512(state[place], state[place + 8]);
        *word = _mm512_mask_xor_epi32(*word, blocks.present, *word, change);
    }
    after
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn round<const NUMBER: usize>(state: &mut [__m512i; 16], words: &[__m512i; 16]) {
    let taken = &SCHEDULE[NUMBER];
    // Step by step, as compilers do not unroll so long a loop, and lanes are registers only by constant numbers.
    mix(state, &STEPS[0], words[taken[0]], words[taken[1]]);
    mix(state, &STEPS[1], words[taken[2]], words[taken[3]]);
    mix(state, &STEPS[2], words[taken[4]], words[taken[5]]);
    mix(state, &STEPS[3], words[taken[6]], words[taken[7]]);
    mix(state, &STEPS[4], words[taken[8]], words[taken[9]]);
    mix(state, &STEPS[5], words[taken[10]], words[taken[11]]);
    mix(state, &STEPS[6], words[taken[12]], words[taken[13]]);
    mix(state, &STEPS[7], words[taken[14]], words[taken[15]]);
}

/// The mixing function (RFC 7693 3.1).
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn mix(state: &mut [__m512i; 16], &[a, b, c, d]: &[usize; 4], x: __m512i, y: __m512i) {
    state[a] = _mm512_add_epi32(_mm512_add_epi32(state[a], x), state[b]);
    state[d] = _mm512_ror_epi32::<16>(_mm512_xor_si512(state[d], state[a]));
    state[c] = _mm512_add_epi32(state[c], state[d]);
    state[b] = _mm512_ror_epi32::<12>(_mm512_xor_si512(state[b], state[c]));
    state[a] = _mm512_add_epi32(_mm512_add_epi32(state[a], y), state[b]);
    state[d] = _mm512_ror_epi32::<8>(_mm512_xor_si512(state[d], state[a]));
    state[c] = _mm512_add_epi32(state[c], state[d]);
    state[b] = _mm512_ror_epi32::<7>(_mm512_xor_si512(state[b], state[c]));
}

/// Gives each job its MAC; an empty message has it already.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn settle(jobs: &mut [Job<'_>], chain: &[__m512i; 8]) {
    let [a, b, c, d, ..] = *chain;
    let mut macs = [[[0; MAC_LEN]; 4]; 4];
    for (four, row) in macs.iter_mut().zip(transpose::quads(&[a, b, c, d])) {
        // SAFETY: 64 octets.
        unsafe { _mm512_storeu_si512(four.as_mut_ptr().cast(), row) };
    }
    for (lane, job) in jobs.iter_mut().enumerate().filter(|(_, job)| !job.message.is_empty()) {
        job.mac = macs[lane % 4][lane / 4];
    }
}
