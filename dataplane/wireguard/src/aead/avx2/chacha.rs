//! Passes of `ChaCha20` over eight blocks in lanes, or over two, four or six in rows.

use core::arch::x86_64::*;

use super::super::chunk::Chunk;
use super::super::schedule::{Blocks, CONSTANTS};
use super::{PACKETS, rounds};

/// How many blocks the next pass makes when so many are left.
pub(super) const fn pass_len(left: usize) -> usize {
    match left {
        7.. => 8,
        5 | 6 => 6,
        3 | 4 => 4,
        _ => 2,
    }
}

/// The keys and counters of a chunk: word by word for all packets, and where each lies.
#[repr(align(64))]
pub(super) struct Keys {
    words: [[u32; PACKETS]; 10],
    rows: [*const u8; PACKETS],
    counters: [u64; PACKETS],
}

impl Keys {
    pub(super) const fn new() -> Self {
        Self {
            words: [[0; PACKETS]; 10],
            rows: [core::ptr::null(); PACKETS],
            counters: [0; PACKETS],
        }
    }

    /// Takes the keys and counters of a chunk with so many blocks.
    ///
    /// # Safety
    ///
    /// The chunk's keys can be read as long as passes are made.
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    pub(super) unsafe fn load(&mut self, chunk: &Chunk, blocks: usize) {
        self.rows.copy_from_slice(&chunk.keys[..PACKETS]);
        self.counters.copy_from_slice(&chunk.counters[..PACKETS]);
        if blocks <= 6 {
            return;
        }
        let mut keys = [_mm256_setzero_si256(); 8];
        for (key, row) in keys.iter_mut().zip(&self.rows) {
            // SAFETY: the caller's promise.
            *key = unsafe { _mm256_loadu_si256(row.cast()) };
        }
        for (words, word) in self.words.iter_mut().zip(transposed(&keys)) {
            // SAFETY: 32 octets.
            unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), word) };
        }
        #[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
        for (packet, counter) in self.counters.iter().enumerate() {
            self.words[8][packet] = *counter as u32;
            self.words[9][packet] = (*counter >> 32) as u32;
        }
    }

    /// Overwrites what is secret.
    pub(super) fn wipe(&mut self) {
        self.words = [[0; PACKETS]; 10];
        zeroize::optimization_barrier(self);
    }

    /// Makes `len` blocks (2, 4, 6 or 8) and adds each to its place.
    ///
    /// # Safety
    ///
    /// `load` was called; each packet named in `blocks` is one of its; 64 octets can be read and
    /// written at each of their first `len` places.
    #[inline(never)]
    #[target_feature(enable = "avx2,bmi2")]
    pub(super) unsafe fn pass(&self, blocks: &Blocks, len: usize) {
        // SAFETY: the caller's promises.
        unsafe {
            match len {
                8 => self.in_lanes(blocks),
                6 => self.in_rows::<3>(blocks),
                4 => self.in_rows::<2>(blocks),
                _ => self.in_rows::<1>(blocks),
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    unsafe fn in_lanes(&self, blocks: &Blocks) {
        let zero = _mm256_setzero_si256();
        let mut state = [zero; 16];
        for (word, constant) in state.iter_mut().zip(CONSTANTS) {
            *word = _mm256_set1_epi32(constant);
        }
        // SAFETY: lists of eight words of 32 bits at least.
        let packets = unsafe {
            state[12] = _mm256_loadu_si256(blocks.number.as_ptr().cast());
            _mm256_loadu_si256(blocks.packet.as_ptr().cast())
        };
        for (word, place) in self.words.iter().zip([4, 5, 6, 7, 8, 9, 10, 11, 14, 15]) {
            // SAFETY: eight words of 32 bits.
            let all = unsafe { _mm256_loadu_si256(word.as_ptr().cast()) };
            state[place] = _mm256_permutevar8x32_epi32(all, packets);
        }
        if let Some(places) = blocks.place.first_chunk() {
            // SAFETY: the caller's promise.
            unsafe { lanes(&state, places) };
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    unsafe fn in_rows<const SETS: usize>(&self, blocks: &Blocks) {
        let [a, b, c, d] = CONSTANTS;
        let mut state = [[_mm256_setzero_si256(); 4]; SETS];
        for (set, state) in state.iter_mut().enumerate() {
            let packet = |i: usize| blocks.packet[2 * set + i] as usize % PACKETS;
            state[0] = _mm256_broadcastsi128_si256(_mm_setr_epi32(a, b, c, d));
            for half in 0..2 {
                // SAFETY: the caller's promise.
                let part =
                    |i| unsafe { _mm_loadu_si128(self.rows[packet(i)].add(16 * half).cast()) };
                state[1 + half] = _mm256_set_m128i(part(1), part(0));
            }
            let own = |i| {
                let number = i64::from(blocks.number[2 * set + i]);
                _mm_set_epi64x(self.counters[packet(i)].cast_signed(), number)
            };
            state[3] = _mm256_set_m128i(own(1), own(0));
        }
        for (pair, places) in row_blocks(&state).iter().zip(blocks.place.as_chunks::<2>().0) {
            for ([low, high], at) in pair.iter().zip(places) {
                // SAFETY: the caller's promise.
                unsafe { put(*at, *low, *high) };
            }
        }
    }
}

/// Adds eight blocks, of which the initial states are given, to their places.
///
/// # Safety
///
/// 64 octets can be read and written at each place.
#[inline(never)]
#[target_feature(enable = "avx2,bmi2")]
unsafe fn lanes(state: &[__m256i; 16], places: &[*mut u8; 8]) {
    let mut words = *state;
    rounds::lane_rounds(&mut words);
    for (word, first) in words.iter_mut().zip(state) {
        *word = _mm256_add_epi32(*word, *first);
    }
    for ((low, high), at) in blocks(&words).into_iter().zip(places) {
        // SAFETY: the caller's promise.
        unsafe { put(*at, low, high) };
    }
}

/// Eight blocks in halves, from their words.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(super) fn blocks(words: &[__m256i; 16]) -> [(__m256i, __m256i); 8] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *words;
    let low = transposed(&[a, b, c, d, e, f, g, h]);
    let high = transposed(&[i, j, k, l, m, n, o, p]);
    let mut halves = [(a, i); 8];
    for (half, (low, high)) in halves.iter_mut().zip(low.into_iter().zip(high)) {
        *half = (low, high);
    }
    halves
}

/// Pairs of blocks from their initial states in rows, each block in two halves.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn row_blocks<const SETS: usize>(state: &[[__m256i; 4]; SETS]) -> [[[__m256i; 2]; 2]; SETS] {
    let mut sets = *state;
    rounds::row_rounds(&mut sets);
    let mut pairs = [[[_mm256_setzero_si256(); 2]; 2]; SETS];
    for ((pair, words), state) in pairs.iter_mut().zip(&sets).zip(state) {
        *pair = row_pair(words, state);
    }
    pairs
}

/// Two blocks in halves, from their rows after the rounds and before.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(super) fn row_pair(words: &[__m256i; 4], state: &[__m256i; 4]) -> [[__m256i; 2]; 2] {
    let mut sums = *words;
    for (sum, first) in sums.iter_mut().zip(state) {
        *sum = _mm256_add_epi32(*sum, *first);
    }
    let [a, b, c, d] = sums;
    [
        [_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x20>(c, d)],
        [_mm256_permute2x128_si256::<0x31>(a, b), _mm256_permute2x128_si256::<0x31>(c, d)],
    ]
}

/// Adds a block of key stream to 64 octets.
///
/// # Safety
///
/// They can be read and written.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(super) unsafe fn put(at: *mut u8, low: __m256i, high: __m256i) {
    // SAFETY: the caller's promise.
    unsafe {
        let one = _mm256_xor_si256(_mm256_loadu_si256(at.cast()), low);
        let other = _mm256_xor_si256(_mm256_loadu_si256(at.add(32).cast()), high);
        _mm256_storeu_si256(at.cast(), one);
        _mm256_storeu_si256(at.add(32).cast(), other);
    }
}

/// Adds a row that was put by to 64 octets.
///
/// # Safety
///
/// Both can be read, and `at` written.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(super) unsafe fn add_row(at: *mut u8, row: *const u8) {
    // SAFETY: the caller's promise.
    unsafe {
        put(at, _mm256_loadu_si256(row.cast()), _mm256_loadu_si256(row.add(32).cast()));
    }
}

/// Transposes 8 by 8 words of 32 bits.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
pub(crate) fn transposed(rows: &[__m256i; 8]) -> [__m256i; 8] {
    let zero = _mm256_setzero_si256();
    let mut quads = [[zero; 4]; 2];
    for (quad, four) in quads.iter_mut().zip(rows.as_chunks::<4>().0) {
        let [a, b, c, d] = *four;
        let (ab, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (cd, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        *quad = [
            _mm256_unpacklo_epi64(ab, cd),
            _mm256_unpackhi_epi64(ab, cd),
            _mm256_unpacklo_epi64(ab_high, cd_high),
            _mm256_unpackhi_epi64(ab_high, cd_high),
        ];
    }
    let mut columns = [zero; 8];
    for i in 0..4 {
        columns[i] = _mm256_permute2x128_si256::<0x20>(quads[0][i], quads[1][i]);
        columns[4 + i] = _mm256_permute2x128_si256::<0x31>(quads[0][i], quads[1][i]);
    }
    columns
}
