//! Passes of `ChaCha20` over blocks of many packets: initial states out of transposed keys, rounds,
//! and the key stream added to where each block belongs.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::chunk::Chunk;
use super::super::schedule::{Blocks, CHUNK_LEN, CONSTANTS};
use super::one_time::OneTimeKeys;
use super::{rounds, transpose};

/// Words of the state that differ from packet to packet: the key, and the counter in the nonce.
const OWN: usize = 10;

/// The keys and counters of a chunk: transposed, and where the rows are.
pub(super) struct Keys {
    groups: [[MaybeUninit<__m512i>; OWN]; 2],
    transposed: usize,
    used: usize,
}

impl Keys {
    #[inline]
    pub(super) const fn new() -> Self {
        Self { groups: [[MaybeUninit::uninit(); OWN]; 2], transposed: 0, used: 0 }
    }

    /// Takes the keys and counters of a chunk with so many blocks; few blocks need no transposition.
    ///
    /// # Safety
    ///
    /// All keys in the chunk can be read as long as passes are made.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) unsafe fn load(&mut self, chunk: &Chunk, blocks: usize) {
        let Chunk { count, keys, counters, .. } = chunk;
        self.used = self.used.max(*count);
        if blocks <= 12 {
            return;
        }
        for group in 0..count.div_ceil(16) {
            let base = 16 * group;
            let mut pairs = [_mm512_setzero_si512(); 8];
            for (i, pair) in pairs.iter_mut().enumerate() {
                let one = keys[base + i];
                let other = keys[base + i + 8];
                // SAFETY: the caller's promise.
                let (one, other) =
                    unsafe { (_mm256_loadu_si256(one.cast()), _mm256_loadu_si256(other.cast())) };
                *pair = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(one), other);
            }
            for (word, own) in transpose::keys(&pairs).into_iter().zip(&mut self.groups[group]) {
                own.write(word);
            }
            // SAFETY: 16 counters lie there.
            let (low, high) = unsafe {
                let at = counters.as_ptr().add(base);
                (_mm512_loadu_si512(at.cast()), _mm512_loadu_si512(at.add(8).cast()))
            };
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
            self.groups[group][8].write(_mm512_permutex2var_epi32(low, even, high));
            self.groups[group][9].write(_mm512_permutex2var_epi32(low, odd, high));
            self.transposed = self.transposed.max(group + 1);
        }
    }

    /// Overwrites what is secret.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn wipe(&mut self) {
        for group in self.groups.iter_mut().take(self.transposed) {
            for word in group.iter_mut().take(8) {
                word.write(_mm512_setzero_si512());
            }
        }
    }

    /// Packets of the largest chunk.
    pub(super) const fn used(&self) -> usize {
        self.used
    }

    /// Makes `len` blocks (4, 8, 12, 16, 20, 24 or 32) and adds each to its place.
    ///
    /// # Safety
    ///
    /// `load` was called; each packet named in `blocks` is one of its; 64 octets can be read and
    /// written at each of their first `len` places.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) unsafe fn pass(&self, chunk: &Chunk, blocks: &Blocks, len: usize) {
        // SAFETY: the caller's promises.
        unsafe { self.pass_for(chunk, blocks, len, None) };
    }

    /// As `pass`, but of the first 16 blocks, times the number in `keys`, which are block 0 of as many packets,
    /// only the one-time keys are noted, and their places are not touched.
    ///
    /// # Safety
    ///
    /// As for `pass`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) unsafe fn first_pass(
        &self,
        chunk: &Chunk,
        blocks: &Blocks,
        len: usize,
        keys: (usize, &mut OneTimeKeys),
    ) {
        // SAFETY: the caller's promises.
        unsafe { self.pass_for(chunk, blocks, len, Some(keys)) };
    }

    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    unsafe fn pass_for(
        &self,
        chunk: &Chunk,
        blocks: &Blocks,
        len: usize,
        mut keys: Option<(usize, &mut OneTimeKeys)>,
    ) {
        // SAFETY: the caller's promises.
        unsafe {
            match len {
                32 => {
                    let (one, other) = (self.state(blocks, 0), self.state(blocks, 16));
                    let (mut a, mut b) = (one, other);
                    rounds::two_sets(&mut a, &mut b);
                    add(&mut a, &one);
                    add(&mut b, &other);
                    settle(blocks, 0, &a, &mut keys);
                    settle(blocks, 16, &b, &mut keys);
                }
                16 => {
                    let state = self.state(blocks, 0);
                    let mut words = state;
                    rounds::one_set(&mut words);
                    add(&mut words, &state);
                    settle(blocks, 0, &words, &mut keys);
                }
                24 => self.mixed::<2>(chunk, blocks, &mut keys),
                20 => self.mixed::<1>(chunk, blocks, &mut keys),
                12 => in_rows::<3>(chunk, blocks),
                8 => in_rows::<2>(chunk, blocks),
                _ => in_rows::<1>(chunk, blocks),
            }
        }
    }

    /// The initial state of 16 blocks.
    ///
    /// # Safety
    ///
    /// The groups of the packets are transposed.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    unsafe fn state(&self, blocks: &Blocks, from: usize) -> [__m512i; 16] {
        let second = usize::from(self.transposed > 1);
        let mut own = [_mm512_setzero_si512(); OWN];
        // SAFETY: both lists have 16 entries from 0 and from 16 on; the caller's promise.
        let numbers = unsafe {
            let packets = _mm512_loadu_si512(blocks.packet.as_ptr().add(from).cast());
            for (word, own) in own.iter_mut().enumerate() {
                let one = self.groups[0][word].assume_init();
                let other = self.groups[second][word].assume_init();
                *own = _mm512_permutex2var_epi32(one, packets, other);
            }
            _mm512_loadu_si512(blocks.number.as_ptr().add(from).cast())
        };
        let [a, b, c, d] = CONSTANTS;
        let [k0, k1, k2, k3, k4, k5, k6, k7, low, high] = own;
        let (a, b) = (_mm512_set1_epi32(a), _mm512_set1_epi32(b));
        let (c, d) = (_mm512_set1_epi32(c), _mm512_set1_epi32(d));
        let zero = _mm512_setzero_si512();
        [a, b, c, d, k0, k1, k2, k3, k4, k5, k6, k7, numbers, zero, low, high]
    }

    /// 16 blocks in lanes, and `SETS` times four in rows.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    unsafe fn mixed<const SETS: usize>(
        &self,
        chunk: &Chunk,
        blocks: &Blocks,
        keys: &mut Option<(usize, &mut OneTimeKeys)>,
    ) {
        // SAFETY: the caller's promises.
        unsafe {
            let state = self.state(blocks, 0);
            let mut words = state;
            let (row_state, mut sets) = row_states::<SETS>(chunk, blocks, 16);
            rounds::mixed_sets(&mut words, &mut sets);
            add(&mut words, &state);
            settle(blocks, 0, &words, keys);
            settle_rows(blocks, 16, &sets, &row_state);
        }
    }
}

/// `SETS` times four blocks in rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn in_rows<const SETS: usize>(chunk: &Chunk, blocks: &Blocks) {
    // SAFETY: the caller's promises.
    unsafe {
        let (state, mut sets) = row_states::<SETS>(chunk, blocks, 0);
        rounds::row_sets(&mut sets);
        settle_rows(blocks, 0, &sets, &state);
    }
}

/// The initial states of `SETS` times four blocks in rows, twice.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn row_states<const SETS: usize>(
    chunk: &Chunk,
    blocks: &Blocks,
    from: usize,
) -> ([[__m512i; 4]; SETS], [[__m512i; 4]; SETS]) {
    let mut state = [[_mm512_setzero_si512(); 4]; SETS];
    for (set, state) in state.iter_mut().enumerate() {
        state[0] = constants();
        let packet = |i: usize| blocks.packet[from + 4 * set + i] as usize % CHUNK_LEN;
        let own = |i| {
            let number = i64::from(blocks.number[from + 4 * set + i]);
            _mm_set_epi64x(chunk.counters[packet(i)].cast_signed(), number)
        };
        state[3] = joined([own(0), own(1), own(2), own(3)]);
        for half in 0..2 {
            // SAFETY: the caller's promises.
            let part = |i| unsafe { _mm_loadu_si128(chunk.keys[packet(i)].add(16 * half).cast()) };
            state[1 + half] = joined([part(0), part(1), part(2), part(3)]);
        }
    }
    (state, state)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn constants() -> __m512i {
    let [a, b, c, d] = CONSTANTS;
    _mm512_broadcast_i32x4(_mm_setr_epi32(a, b, c, d))
}

/// Four blocks from their rows after the rounds and before.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn row_blocks(words: &[__m512i; 4], state: &[__m512i; 4]) -> [__m512i; 4] {
    let mut sums = *words;
    for (sum, first) in sums.iter_mut().zip(state) {
        *sum = _mm512_add_epi32(*sum, *first);
    }
    transpose::quarters(&sums)
}

/// Adds blocks in rows to the places from `from` on.
///
/// # Safety
///
/// 64 octets can be read and written at each place.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn settle_rows<const SETS: usize>(
    blocks: &Blocks,
    from: usize,
    sets: &[[__m512i; 4]; SETS],
    states: &[[__m512i; 4]; SETS],
) {
    for (set, (words, state)) in sets.iter().zip(states).enumerate() {
        // SAFETY: the caller's promise.
        unsafe { put_all(blocks, from + 4 * set, &row_blocks(words, state)) };
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn joined([a, b, c, d]: [__m128i; 4]) -> __m512i {
    let low = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(a), b);
    let high = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(c), d);
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn add(words: &mut [__m512i; 16], state: &[__m512i; 16]) {
    for (word, first) in words.iter_mut().zip(state) {
        *word = _mm512_add_epi32(*word, *first);
    }
}

/// Adds a row of key stream to 64 octets.
///
/// # Safety
///
/// They can be read and written.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
pub(super) unsafe fn put(at: *mut u8, row: __m512i) {
    // SAFETY: the caller's promise.
    unsafe {
        let sum = _mm512_xor_si512(_mm512_loadu_si512(at.cast()), row);
        _mm512_storeu_si512(at.cast(), sum);
    }
}

/// Adds 16 blocks, of which the words are given, to their places, or notes the keys in them.
///
/// # Safety
///
/// 64 octets can be read and written at each place.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn settle(
    blocks: &Blocks,
    from: usize,
    words: &[__m512i; 16],
    keys: &mut Option<(usize, &mut OneTimeKeys)>,
) {
    match keys {
        Some((columns, keys)) if from < 16 * *columns => keys.note_words(from, words),
        // SAFETY: the caller's promise.
        _ => unsafe { put_all(blocks, from, &transpose::blocks(words)) },
    }
}

/// Adds rows to the places of blocks from `from` on.
///
/// # Safety
///
/// 64 octets can be read and written at each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
unsafe fn put_all<const N: usize>(blocks: &Blocks, from: usize, rows: &[__m512i; N]) {
    for (row, at) in rows.iter().zip(&blocks.place[from..from + N]) {
        // SAFETY: the caller's promise.
        unsafe { put(*at, *row) };
    }
}
