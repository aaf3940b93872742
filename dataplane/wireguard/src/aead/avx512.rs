//! The AEAD with AVX-512 (F, BW, VL, IFMA, VBMI2): blocks of up to 32 packets share the lanes of
//! `ChaCha20`, one 32-bit lane each, and up to 16 packets share those of Poly1305.
//!
//! Opening verifies first: one-time keys, tags, and only then the text of the packets that are right.
#![expect(unsafe_code, reason = "vector loads and stores, and calls of vector code after detection")]

mod chacha;
mod poly;
mod rounds;
mod transpose;

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::poly1305;
use super::schedule::{self, Blocks, CHUNK_LEN, Costs, LIST_LEN, SLICE_LEN, Walk};
use super::{Job, TAG_LEN};
use chacha::Keys;
use poly::{Lanes, Text};

/// Measured on Zen 4.
const COSTS: Costs =
    Costs { narrow: (40, 13), wide: (300, 4), single: (110, 40), double: (150, 51), lanes: 8 };

/// Whether this processor has what the code here needs.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512ifma")
        && is_x86_feature_detected!("avx512vbmi2")
        && is_x86_feature_detected!("bmi2")
}

/// Opens every job, see [`super::open`]; false when this processor cannot.
pub(super) fn open(jobs: &mut [Job<'_>]) -> bool {
    let able = available();
    if able {
        // SAFETY: the features are there.
        unsafe { run::<false>(jobs) };
    }
    able
}

/// Seals every job, see [`super::seal`]; false when this processor cannot.
pub(super) fn seal(jobs: &mut [Job<'_>]) -> bool {
    let able = available();
    if able {
        // SAFETY: the features are there.
        unsafe { run::<true>(jobs) };
    }
    able
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn run<const SEAL: bool>(jobs: &mut [Job<'_>]) {
    let mut rows = Rows([const { MaybeUninit::uninit() }; ROWS_LEN]);
    let mut keys = Keys::new();
    let mut chunk = Chunk::new();
    let mut lens = [0; SLICE_LEN];
    for slice in jobs.chunks_mut(SLICE_LEN) {
        let sorted = if schedule::lens(slice, &mut lens) {
            &IN_ORDER
        } else {
            &schedule::longest_first(&lens, slice.len())
        };
        let mut order = sorted.get(..slice.len()).unwrap_or_default();
        while !order.is_empty() {
            let count = schedule::chunk_len(order, &lens);
            let Some((now, later)) = order.split_at_checked(count) else { break };
            chunk.load(slice, now);
            let accepted = if SEAL {
                chunk.seal(&mut keys, &mut rows)
            } else {
                chunk.open(&mut keys, &mut rows)
            };
            schedule::judge(slice, now, accepted);
            order = later;
        }
    }
    keys.wipe();
    rows.wipe(CHUNK_LEN.min(jobs.len()));
}

/// The order of jobs that are all alike.
const IN_ORDER: [u8; SLICE_LEN] = {
    let mut order = [0; SLICE_LEN];
    let mut position = 0;
    while position < SLICE_LEN {
        #[expect(clippy::cast_possible_truncation, reason = "below 64")]
        {
            order[position] = position as u8;
        }
        position += 1;
    }
    order
};

/// Rows of block 0; those behind the last packet of a chunk are read for lanes without one.
const KEY_ROWS: usize = LIST_LEN;
const ROWS_LEN: usize = KEY_ROWS + CHUNK_LEN + 1;

/// Room for blocks that are no text: block 0 of each packet, whose first half is its one-time key,
/// behind them the key stream of text that is not verified yet, and at the end the row that takes
/// the blocks which nobody wants.
#[repr(align(64))]
struct Rows([MaybeUninit<__m512i>; ROWS_LEN]);

impl Rows {
    #[inline]
    fn key(&mut self, packet: usize) -> *mut u8 {
        self.0.as_mut_ptr().wrapping_add(packet).cast()
    }

    #[inline]
    fn stash(&mut self, block: usize) -> *mut u8 {
        self.key(KEY_ROWS + block)
    }

    #[inline]
    fn dump(&mut self) -> *mut u8 {
        self.key(ROWS_LEN - 1)
    }

    /// Makes rows zero, so that a block that is added to them stays as it is: those of `keys`
    /// packets and of the lanes behind them, `stash` further ones, and the dump.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn clear(&mut self, keys: usize, stash: usize) {
        let zero = _mm512_setzero_si512();
        let (one, other) = self.0.split_at_mut(KEY_ROWS);
        for row in one.iter_mut().take(keys) {
            row.write(zero);
        }
        for row in one.iter_mut().skip(keys).take(16) {
            row.write(zero);
        }
        for row in other.iter_mut().take(stash) {
            row.write(zero);
        }
        if let Some(dump) = other.last_mut() {
            dump.write(zero);
        }
    }

    /// Overwrites what is secret after chunks of up to `keys` packets.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn wipe(&mut self, keys: usize) {
        self.clear(keys, CHUNK_LEN);
        chacha::keep(self);
    }
}

/// Up to 32 packets, the longest first. Entries behind the last repeat it, for lanes without a packet.
struct Chunk {
    count: usize,
    texts: [*mut u8; LIST_LEN],
    lens: [usize; LIST_LEN],
    keys: [*const u8; LIST_LEN],
    counters: [u64; LIST_LEN],
}

/// Tags: lower words, then upper ones.
type Tags = [[u64; LIST_LEN]; 2];

impl Chunk {
    const fn new() -> Self {
        Self {
            count: 0,
            texts: [core::ptr::null_mut(); LIST_LEN],
            lens: [0; LIST_LEN],
            keys: [core::ptr::null(); LIST_LEN],
            counters: [0; LIST_LEN],
        }
    }

    /// Takes the jobs at these positions, at least one.
    // Not inlined: with AVX-512 the compiler would gather, which is slower than one load at a time.
    #[inline(never)]
    fn load(&mut self, jobs: &mut [Job<'_>], order: &[u8]) {
        self.count = order.len().min(CHUNK_LEN);
        let places = self.texts.iter_mut().zip(&mut self.lens);
        let places = places.zip(&mut self.keys).zip(&mut self.counters);
        for ((((text, len), key), counter), position) in places.zip(order).take(CHUNK_LEN) {
            if let Some(job) = jobs.get_mut(usize::from(*position)) {
                *text = job.octets.as_mut_ptr();
                *len = job.len;
                *key = job.key.octets().as_ptr();
                *counter = job.counter;
            }
        }
        let (last, rest) = (self.count - 1, self.count..self.count + 16);
        let (text, len, key) = (self.texts[last], self.lens[last], self.keys[last]);
        self.texts[rest.clone()].fill(text);
        self.lens[rest.clone()].fill(len);
        self.keys[rest].fill(key);
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn seal(&mut self, keys: &mut Keys, rows: &mut Rows) -> u32 {
        let mut walk = Walk::new(&self.texts, &self.lens, self.count, rows.key(0));
        rows.clear(self.count, 0);
        // SAFETY: `self` has the keys of `count` jobs.
        unsafe { keys.load(&self.keys, &self.counters, self.count, walk.left()) };
        let mut blocks = Blocks::new();
        passes(keys, &mut walk, &mut blocks, rows);
        let mut tags = [[0; LIST_LEN]; 2];
        self.tags(rows, &mut tags);
        self.write(&tags);
        u32::MAX
    }

    /// Writes the tags behind the texts.
    #[inline(never)]
    fn write(&self, tags: &Tags) {
        for packet in 0..self.count {
            // SAFETY: a job has room for the tag behind its text.
            unsafe {
                let at = self.texts[packet].add(self.lens[packet]).cast::<u64>();
                at.write_unaligned(tags[0][packet]);
                at.add(1).write_unaligned(tags[1][packet]);
            }
        }
    }

    /// Which packets were right, one bit for each.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn open(&mut self, keys: &mut Keys, rows: &mut Rows) -> u32 {
        let mut walk = Walk::new(&self.texts, &self.lens, self.count, rows.key(0));
        // SAFETY: `self` has the keys of `count` jobs.
        unsafe { keys.load(&self.keys, &self.counters, self.count, walk.left()) };
        // The pass that makes block 0 of the packets may have room for the first blocks of text.
        // Their key stream is put by until the tags are verified.
        let mut blocks = Blocks::new();
        let wanted = if self.count > 16 { 32 } else { schedule::pass_len(walk.left()) };
        let taken = walk.take(wanted, &mut blocks);
        let stashed = taken - self.count;
        rows.clear(self.count, stashed);
        let mut texts = [core::ptr::null_mut(); CHUNK_LEN];
        for (block, text) in texts.iter_mut().enumerate().take(stashed) {
            *text = core::mem::replace(&mut blocks.place[self.count + block], rows.stash(block));
        }
        blocks.place[taken..wanted].fill(rows.dump());
        // SAFETY: each place is a row.
        unsafe { keys.pass(&blocks, wanted) };
        let mut tags = [[0; LIST_LEN]; 2];
        self.tags(rows, &mut tags);
        let accepted = self.accepted(&tags);
        for (block, text) in texts.iter_mut().enumerate().take(stashed) {
            if accepted >> blocks.packet[self.count + block] & 1 == 1 {
                // SAFETY: the place of a block of text, and a row that was written.
                unsafe { chacha::put(*text, _mm512_load_si512(rows.stash(block).cast())) };
            }
        }
        if accepted.count_ones() as usize != self.count {
            walk.keep(accepted);
        }
        passes(keys, &mut walk, &mut blocks, rows);
        accepted
    }

    /// Which packets bear these tags.
    #[inline(never)]
    fn accepted(&self, tags: &Tags) -> u32 {
        let mut accepted = 0;
        for packet in 0..self.count {
            // SAFETY: a job has a tag behind its text.
            let [low, high] = unsafe {
                let at = self.texts[packet].add(self.lens[packet]);
                at.cast::<[u64; TAG_LEN / 8]>().read_unaligned()
            };
            let difference = (low ^ tags[0][packet]) | (high ^ tags[1][packet]);
            accepted |= u32::from(difference == 0) << packet;
        }
        accepted
    }

    /// The tags of all packets, whose one-time keys are in the rows.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn tags(&self, rows: &mut Rows, tags: &mut Tags) {
        let lens = self.lens.get(..self.count).unwrap_or_default();
        let alone = COSTS.alone_count(lens);
        for packet in 0..alone {
            let text = Text { start: self.texts[packet].cast_const(), len: self.lens[packet] };
            // SAFETY: the row of a packet has been written, and its text has its length.
            let tag = unsafe {
                let key = rows.key(packet).cast::<[u64; 4]>().read();
                if COSTS.prefers_wide(text.len) {
                    poly::wide(&key, text)
                } else {
                    poly1305::tag(&key, core::slice::from_raw_parts(text.start, text.len))
                }
            };
            [tags[0][packet], tags[1][packet]] = tag;
        }
        let mut from = alone;
        while from < self.count {
            // SAFETY: rows and texts have 16 entries from any packet on.
            unsafe {
                if self.count - from > 8 {
                    self.group_tags::<2>(rows.key(from), from, tags);
                    from += 16;
                } else {
                    self.group_tags::<1>(rows.key(from), from, tags);
                    from += 8;
                }
            }
        }
    }

    /// The tags of `8 * GROUPS` packets from `from` on, whose one-time keys begin at `keys`.
    ///
    /// # Safety
    ///
    /// The rows have been written, and entries behind the last packet are there.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    unsafe fn group_tags<const GROUPS: usize>(
        &self,
        keys: *const u8,
        from: usize,
        tags: &mut Tags,
    ) {
        // SAFETY: the caller's promise; 64 octets at each place of the lists of tags.
        unsafe {
            let lanes = Lanes::<GROUPS>::new(keys);
            let found = lanes.tags(&self.texts[from..], &self.lens[from..]);
            for (group, words) in found.into_iter().enumerate() {
                for (tags, words) in tags.iter_mut().zip(words) {
                    let to = &mut tags[from + 8 * group..from + 8 * group + 8];
                    _mm512_storeu_si512(to.as_mut_ptr().cast(), words);
                }
            }
        }
    }
}

/// Makes all blocks that are left and adds them to their places.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
fn passes(keys: &Keys, walk: &mut Walk, blocks: &mut Blocks, rows: &mut Rows) {
    while walk.left() > 0 {
        let wanted = schedule::pass_len(walk.left());
        let taken = walk.take(wanted, blocks);
        blocks.place[taken..wanted].fill(rows.dump());
        // SAFETY: each place is a block of text with what follows it, or a row.
        unsafe { keys.pass(blocks, wanted) };
    }
}
