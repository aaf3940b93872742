//! BLAKE2s of up to eight messages, each in a lane of 256-bit vectors.
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

use super::{BLOCK_LEN, Block, INITIAL, Job, MAC_LEN, SCHEDULE, STEPS};
use crate::aead::avx2::{available, transposed};

/// Messages at a time.
const LANES: usize = 8;

/// Computes the MACs of up to eight jobs, of fewer than 2^32 octets each; false when this processor cannot.
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
    words: [__m256i; 16],
    counted: __m256i,
    /// All ones in the lanes whose message ends here, and in those that have a block at all.
    last: __m256i,
    present: __m256i,
    /// There is a block in any lane.
    any: bool,
}

#[target_feature(enable = "avx2,bmi2")]
fn run(jobs: &mut [Job<'_>]) {
    let mut rows = [_mm256_setzero_si256(); LANES];
    for (row, job) in rows.iter_mut().zip(&*jobs) {
        // SAFETY: a chaining value has 32 octets.
        *row = unsafe { _mm256_loadu_si256(job.before.as_ptr().cast()) };
    }
    let mut chain = transposed(&rows);
    let mut number = 0;
    loop {
        let blocks = blocks(jobs, number);
        if !blocks.any {
            break;
        }
        chain = compress(&chain, &blocks);
        number += 1;
    }
    settle(jobs, &chain);
}

#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn blocks(jobs: &[Job<'_>], number: usize) -> Blocks {
    let mut halves = [[_mm256_setzero_si256(); LANES]; 2];
    let (mut counted, mut last, mut present) = ([0_u32; LANES], [0_u32; LANES], [0_u32; LANES]);
    for (lane, job) in jobs.iter().enumerate() {
        let Some(block) = job.block(number) else { continue };
        [halves[0][lane], halves[1][lane]] = load(&block);
        #[expect(clippy::cast_possible_truncation, reason = "messages have fewer octets")]
        let octets = block.counted as u32;
        counted[lane] = octets;
        last[lane] = if block.is_last { u32::MAX } else { 0 };
        present[lane] = u32::MAX;
    }
    let mut words = [_mm256_setzero_si256(); 16];
    words[..8].copy_from_slice(&transposed(&halves[0]));
    words[8..].copy_from_slice(&transposed(&halves[1]));
    let any = present != [0; LANES];
    let [counted, last, present] = [counted, last, present].map(|list| {
        // SAFETY: eight words of 32 bits.
        unsafe { _mm256_loadu_si256(list.as_ptr().cast()) }
    });
    Blocks { words, counted, last, present, any }
}

/// The halves of a block.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn load(block: &Block<'_>) -> [__m256i; 2] {
    let mut filled = [0; BLOCK_LEN];
    let octets = block.octets.first_chunk().unwrap_or_else(|| {
        for (place, octet) in filled.iter_mut().zip(block.octets) {
            *place = *octet;
        }
        &filled
    });
    let (low, high) = octets.split_at(BLOCK_LEN / 2);
    // SAFETY: 32 octets each.
    unsafe { [_mm256_loadu_si256(low.as_ptr().cast()), _mm256_loadu_si256(high.as_ptr().cast())] }
}

/// The compression (RFC 7693 3.2) in all lanes; those without a block keep their value.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn compress(chain: &[__m256i; 8], blocks: &Blocks) -> [__m256i; 8] {
    let mut state = [_mm256_setzero_si256(); 16];
    state[..8].copy_from_slice(chain);
    for (word, initial) in state[8..].iter_mut().zip(INITIAL) {
        *word = _mm256_set1_epi32(initial.cast_signed());
    }
    state[12] = _mm256_xor_si256(state[12], blocks.counted);
    state[14] = _mm256_xor_si256(state[14], blocks.last);
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
        let change = _mm256_xor_si256(state[place], state[place + 8]);
        *word = _mm256_xor_si256(*word, _mm256_and_si256(change, blocks.present));
    }
    after
}

#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn round<const NUMBER: usize>(state: &mut [__m256i; 16], words: &[__m256i; 16]) {
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
#[target_feature(enable = "avx2,bmi2")]
fn mix(state: &mut [__m256i; 16], &[a, b, c, d]: &[usize; 4], x: __m256i, y: __m256i) {
    state[a] = _mm256_add_epi32(_mm256_add_epi32(state[a], x), state[b]);
    state[d] = by_octets::<2>(_mm256_xor_si256(state[d], state[a]));
    state[c] = _mm256_add_epi32(state[c], state[d]);
    state[b] = by_bits::<12, 20>(_mm256_xor_si256(state[b], state[c]));
    state[a] = _mm256_add_epi32(_mm256_add_epi32(state[a], y), state[b]);
    state[d] = by_octets::<1>(_mm256_xor_si256(state[d], state[a]));
    state[c] = _mm256_add_epi32(state[c], state[d]);
    state[b] = by_bits::<7, 25>(_mm256_xor_si256(state[b], state[c]));
}

/// Rotates each word right by whole octets.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn by_octets<const COUNT: usize>(words: __m256i) -> __m256i {
    let order = if COUNT == 1 {
        _mm_setr_epi8(1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12)
    } else {
        _mm_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)
    };
    _mm256_shuffle_epi8(words, _mm256_broadcastsi128_si256(order))
}

/// Rotates each word right by `RIGHT` bits, which is left by `LEFT`.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn by_bits<const RIGHT: i32, const LEFT: i32>(words: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_srli_epi32::<RIGHT>(words), _mm256_slli_epi32::<LEFT>(words))
}

/// Gives each job its MAC; an empty message has it already.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn settle(jobs: &mut [Job<'_>], chain: &[__m256i; 8]) {
    let mut octets = [[0; BLOCK_LEN / 2]; LANES];
    for (octets, row) in octets.iter_mut().zip(transposed(chain)) {
        // SAFETY: 32 octets.
        unsafe { _mm256_storeu_si256(octets.as_mut_ptr().cast(), row) };
    }
    for (octets, job) in octets.iter().zip(jobs).filter(|(_, job)| !job.message.is_empty()) {
        if let Some(mac) = octets.first_chunk::<MAC_LEN>() {
            job.mac = *mac;
        }
    }
}
