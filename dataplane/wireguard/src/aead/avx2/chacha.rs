//! Passes of `ChaCha20` over eight blocks in lanes, or over two, four or six in rows.

use core::arch::x86_64::*;

use super::super::chunk::Chunk;
use super::super::schedule::{Blocks, CONSTANTS};
use super::PACKETS;

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
    #[target_feature(enable = "avx2")]
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
    #[target_feature(enable = "avx2")]
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
    #[target_feature(enable = "avx2")]
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
    #[target_feature(enable = "avx2")]
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
#[target_feature(enable = "avx2")]
pub(super) unsafe fn lanes(state: &[__m256i; 16], places: &[*mut u8; 8]) {
    let mut words = *state;
    rounds(&mut words);
    for (word, first) in words.iter_mut().zip(state) {
        *word = _mm256_add_epi32(*word, *first);
    }
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = words;
    let low = transposed(&[a, b, c, d, e, f, g, h]);
    let high = transposed(&[i, j, k, l, m, n, o, p]);
    for ((low, high), at) in low.iter().zip(&high).zip(places) {
        // SAFETY: the caller's promise.
        unsafe { put(*at, *low, *high) };
    }
}

/// Pairs of blocks from their initial states in rows, each block in two halves.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn row_blocks<const SETS: usize>(
    state: &[[__m256i; 4]; SETS],
) -> [[[__m256i; 2]; 2]; SETS] {
    let mut sets = *state;
    row_rounds(&mut sets);
    let mut pairs = [[[_mm256_setzero_si256(); 2]; 2]; SETS];
    for ((pair, words), state) in pairs.iter_mut().zip(&sets).zip(state) {
        let mut sums = *words;
        for (sum, first) in sums.iter_mut().zip(state) {
            *sum = _mm256_add_epi32(*sum, *first);
        }
        let [a, b, c, d] = sums;
        *pair = [
            [_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x20>(c, d)],
            [_mm256_permute2x128_si256::<0x31>(a, b), _mm256_permute2x128_si256::<0x31>(c, d)],
        ];
    }
    pairs
}

/// Adds a block of key stream to 64 octets.
///
/// # Safety
///
/// They can be read and written.
#[inline]
#[target_feature(enable = "avx2")]
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
#[target_feature(enable = "avx2")]
pub(super) unsafe fn add_row(at: *mut u8, row: *const u8) {
    // SAFETY: the caller's promise.
    unsafe {
        put(at, _mm256_loadu_si256(row.cast()), _mm256_loadu_si256(row.add(32).cast()));
    }
}

/// Transposes 8 by 8 words of 32 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed(rows: &[__m256i; 8]) -> [__m256i; 8] {
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

/// The shuffles that turn each word by 16 and by 8 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn turns() -> (__m256i, __m256i) {
    let by_16 = _mm_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    let by_8 = _mm_setr_epi8(3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14);
    (_mm256_broadcastsi128_si256(by_16), _mm256_broadcastsi128_si256(by_8))
}

/// Turns words by `LEFT` bits; `RIGHT` is what is missing to 32.
#[inline]
#[target_feature(enable = "avx2")]
fn turn<const LEFT: i32, const RIGHT: i32>(words: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_slli_epi32::<LEFT>(words), _mm256_srli_epi32::<RIGHT>(words))
}

/// Twenty rounds over eight blocks in lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn rounds(words: &mut [__m256i; 16]) {
    let [w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15] = *words;
    let (mut a, mut b) = ([w0, w1, w2, w3], [w4, w5, w6, w7]);
    let (mut c, mut d) = ([w8, w9, w10, w11], [w12, w13, w14, w15]);
    for _ in 0..10 {
        four_quarters(&mut a, &mut b, &mut c, &mut d);
        (b, c, d) = ([b[1], b[2], b[3], b[0]], [c[2], c[3], c[0], c[1]], [d[3], d[0], d[1], d[2]]);
        four_quarters(&mut a, &mut b, &mut c, &mut d);
        (b, c, d) = ([b[3], b[0], b[1], b[2]], [c[2], c[3], c[0], c[1]], [d[1], d[2], d[3], d[0]]);
    }
    let ([a0, a1, a2, a3], [b0, b1, b2, b3], [c0, c1, c2, c3], [d0, d1, d2, d3]) = (a, b, c, d);
    *words = [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3];
}

/// Four quarter rounds, two at a time: more do not fit the 16 registers.
#[inline]
#[target_feature(enable = "avx2")]
fn four_quarters(
    a: &mut [__m256i; 4],
    b: &mut [__m256i; 4],
    c: &mut [__m256i; 4],
    d: &mut [__m256i; 4],
) {
    for i in [0, 2] {
        let mut one = [a[i], b[i], c[i], d[i]];
        let mut other = [a[i + 1], b[i + 1], c[i + 1], d[i + 1]];
        two_quarters(&mut one, &mut other);
        [a[i], b[i], c[i], d[i]] = one;
        [a[i + 1], b[i + 1], c[i + 1], d[i + 1]] = other;
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn two_quarters(one: &mut [__m256i; 4], other: &mut [__m256i; 4]) {
    let (by_16, by_8) = turns();
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
#[target_feature(enable = "avx2")]
fn row_rounds<const SETS: usize>(sets: &mut [[__m256i; 4]; SETS]) {
    for _ in 0..10 {
        for set in sets.iter_mut() {
            row_quarter(set);
            let [a, _, c, d] = set;
            *a = _mm256_shuffle_epi32::<0x93>(*a);
            *c = _mm256_shuffle_epi32::<0x39>(*c);
            *d = _mm256_shuffle_epi32::<0x4e>(*d);
        }
        for set in sets.iter_mut() {
            row_quarter(set);
            let [a, _, c, d] = set;
            *a = _mm256_shuffle_epi32::<0x39>(*a);
            *c = _mm256_shuffle_epi32::<0x93>(*c);
            *d = _mm256_shuffle_epi32::<0x4e>(*d);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn row_quarter(row: &mut [__m256i; 4]) {
    let (by_16, by_8) = turns();
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
