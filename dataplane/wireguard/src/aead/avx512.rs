//! The AEAD with AVX-512 (F, BW, VL, IFMA, VBMI2): blocks of up to 32 packets share the lanes of
//! `ChaCha20`, one 32-bit lane each, and up to 16 packets share those of Poly1305.
//!
//! Opening verifies first: one-time keys, tags, and only then the text of the packets that are right.
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

mod chacha;
mod lone;
mod one_time;
mod poly;
mod rounds;
mod stream;
pub(crate) mod transpose;
mod wide;

use core::arch::x86_64::*;
use core::mem::MaybeUninit;
use core::ops::Range;

use super::Job;
use super::chunk::{Chunk, Tags};
use super::costs::{self, Costs};
use super::poly1305::{Progress, lower, upper};
use super::schedule::{self, Blocks, CHUNK_LEN, LIST_LEN, SLICE_LEN, Walk};
use chacha::Keys;
use one_time::OneTimeKeys;
use poly::{Lanes, Text};
use wide::Powers;

/// Measured on Zen 4.
const COSTS: Costs =
    Costs { narrow: (40, 13), wide: (280, 5), single: (110, 30), double: (130, 52), lanes: 8 };

/// Whether this processor has what the code here needs.
pub(crate) fn available() -> bool {
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
    if costs::one_by_one(jobs, &COSTS) {
        return lone::run::<SEAL>(jobs, schedule::in_order(jobs.len()));
    }
    // Locals, as a structure of this size would be made elsewhere and copied.
    let mut bench = Bench {
        chunk: &mut Chunk::new(),
        walk: &mut Walk::new(),
        blocks: &mut Blocks::new(),
        tags: &mut [[0; LIST_LEN]; 2],
        keys: &mut Keys::new(),
        one_time: &mut OneTimeKeys::new(),
        rows: &mut Rows { all: [MaybeUninit::uninit(); ROWS_LEN], keys: 0, stash: 0 },
    };
    let mut lens = [0; SLICE_LEN];
    for slice in jobs.chunks_mut(SLICE_LEN) {
        let likeness = schedule::lens(slice, &mut lens);
        if likeness.too_long {
            lone::run::<SEAL>(slice, schedule::in_order(slice.len()));
            continue;
        }
        let sorted;
        let mut order = if likeness.alike {
            schedule::in_order(slice.len())
        } else {
            sorted = schedule::longest_first(&lens, slice.len());
            sorted.get(..slice.len()).unwrap_or_default()
        };
        while !order.is_empty() {
            let count = schedule::chunk_len(order, &lens);
            let Some((now, later)) = order.split_at_checked(count) else { break };
            bench.chunk.load(slice, now, SEAL);
            if SEAL {
                bench.seal();
            } else {
                let accepted = bench.open();
                schedule::judge(slice, now, accepted);
            }
            order = later;
        }
    }
    bench.wipe();
}

/// Rows of block 0 of packets, then of key stream that is put by, and one for blocks that nobody wants.
const ROWS_LEN: usize = 2 * CHUNK_LEN + 1;

/// Room for blocks that are no text.
#[repr(align(64))]
struct Rows {
    all: [MaybeUninit<__m512i>; ROWS_LEN],
    /// How many of each kind were ever used.
    keys: usize,
    stash: usize,
}

impl Rows {
    #[inline]
    fn key(&mut self, packet: usize) -> *mut u8 {
        self.all.as_mut_ptr().wrapping_add(packet).cast()
    }

    #[inline]
    fn stash(&mut self, block: usize) -> *mut u8 {
        self.key(CHUNK_LEN + block)
    }

    #[inline]
    fn dump(&mut self) -> *mut u8 {
        self.key(ROWS_LEN - 1)
    }

    /// Makes rows zero, so that a block that is added to them stays as it is.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn clear(&mut self, keys: Range<usize>, stash: usize) {
        if !keys.is_empty() {
            self.keys = self.keys.max(keys.end);
        }
        self.stash = self.stash.max(stash);
        let zero = _mm512_setzero_si512();
        let (rows, others) = self.all.split_at_mut(CHUNK_LEN);
        for row in rows.iter_mut().take(keys.end).skip(keys.start) {
            row.write(zero);
        }
        for row in others.iter_mut().take(stash) {
            row.write(zero);
        }
        if let Some(dump) = others.last_mut() {
            dump.write(zero);
        }
    }
}

/// Everything that a call works with; what is secret in it is overwritten at the end.
struct Bench<'a> {
    chunk: &'a mut Chunk,
    walk: &'a mut Walk,
    blocks: &'a mut Blocks,
    tags: &'a mut Tags,
    keys: &'a mut Keys,
    one_time: &'a mut OneTimeKeys,
    rows: &'a mut Rows,
}

impl Bench<'_> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn start(&mut self) {
        let Chunk { count, texts, lens, .. } = &*self.chunk;
        self.walk.start(texts, lens, *count, self.rows.key(0));
        // SAFETY: the chunk has the keys of its jobs, and repeats the last.
        unsafe { self.keys.load(self.chunk, self.walk.left()) };
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn seal(&mut self) {
        self.start();
        let (taken, wanted) = self.first_blocks(0);
        self.first_pass(taken, wanted);
        self.passes();
        self.find_tags();
        self.chunk.write(self.tags);
    }

    /// Which packets were right, one bit for each.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn open(&mut self) -> u32 {
        let count = self.chunk.count;
        self.start();
        // The pass that makes block 0 of the packets may have room for the first blocks of text.
        // Their key stream is put by until the tags are verified.
        let (taken, wanted) = self.first_blocks(CHUNK_LEN);
        let stashed = taken - count;
        let mut texts = [core::ptr::null_mut(); CHUNK_LEN];
        for (block, text) in texts.iter_mut().enumerate().take(stashed) {
            let row = self.rows.stash(block);
            *text = core::mem::replace(&mut self.blocks.place[count + block], row);
        }
        self.first_pass(taken, wanted);
        self.find_tags();
        let accepted = self.chunk.accepted(self.tags);
        for (block, text) in texts.iter().enumerate().take(stashed) {
            if accepted >> self.blocks.packet[count + block] & 1 == 1 {
                // SAFETY: the place of a block of text, and a row that was written.
                unsafe { chacha::put(*text, _mm512_load_si512(self.rows.stash(block).cast())) };
            }
        }
        if accepted.count_ones() as usize != count {
            self.walk.keep(accepted);
        }
        self.passes();
        accepted
    }

    /// Takes the blocks of the first pass, at least block 0 of every packet, and makes room for them
    /// and for up to `stash` others. Gives how many were taken, and how many the pass makes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn first_blocks(&mut self, stash: usize) -> (usize, usize) {
        let count = self.chunk.count;
        let wanted = if count > 16 { 32 } else { schedule::pass_len(self.walk.left()) };
        let taken = self.walk.take(wanted, self.blocks);
        let direct = if wanted >= 16 { count - count % 16 } else { 0 };
        self.rows.clear(direct..count.next_multiple_of(8), stash.min(taken - count));
        (taken, wanted)
    }

    /// The pass that makes the one-time keys.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn first_pass(&mut self, taken: usize, wanted: usize) {
        self.blocks.place[taken..wanted].fill(self.rows.dump());
        let count = self.chunk.count;
        let columns = if wanted >= 16 { count / 16 } else { 0 };
        // SAFETY: each place is a row, or a block of text with what follows it.
        unsafe { self.keys.first_pass(self.chunk, self.blocks, wanted, (columns, self.one_time)) };
        let mut from = 16 * columns;
        while from < count {
            // SAFETY: the rows up to the next multiple of eight were written.
            unsafe { self.one_time.note_rows(from, self.rows.key(from)) };
            from += 8;
        }
        // Lanes behind the last packet.
        self.one_time.clear(from);
        self.one_time.clear(from + 8);
    }

    /// Makes all blocks that are left and adds them to their places.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn passes(&mut self) {
        while self.walk.left() > 0 {
            let wanted = schedule::pass_len(self.walk.left());
            let taken = self.walk.take(wanted, self.blocks);
            self.blocks.place[taken..wanted].fill(self.rows.dump());
            // SAFETY: each place is a block of text with what follows it, or a row.
            unsafe { self.keys.pass(self.chunk, self.blocks, wanted) };
        }
    }

    /// The tags of all packets, whose one-time keys are known.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn find_tags(&mut self) {
        let Chunk { count, texts, lens, .. } = &*self.chunk;
        let count = *count;
        let alone = COSTS.alone_count(lens.get(..count).unwrap_or_default());
        for packet in 0..alone {
            let text = Text { start: texts[packet].cast_const(), len: lens[packet] };
            // SAFETY: the key of a packet was noted, and its text has its length.
            let tag = unsafe {
                let key = self.one_time.one(packet);
                let [r0, r1, pad @ ..] = key;
                let mut progress = Progress::new(text.start, text.len);
                progress.set_factor([r0, r1]);
                let tag = if COSTS.prefers_wide(text.len) {
                    let mut powers = Powers::new(progress.factor());
                    let tag = wide::wide(&mut progress, pad, &powers);
                    powers.wipe();
                    tag
                } else {
                    progress.finish(pad)
                };
                progress.wipe();
                tag
            };
            [self.tags[0][packet], self.tags[1][packet]] = [lower(tag), upper(tag)];
        }
        let mut from = alone;
        while from < count {
            if count - from > 8 {
                self.group_tags::<2>(from);
                from += 16;
            } else {
                self.group_tags::<1>(from);
                from += 8;
            }
        }
    }

    /// The tags of `8 * GROUPS` packets from `from` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn group_tags<const GROUPS: usize>(&mut self, from: usize) {
        let lanes = Lanes::<GROUPS>::new(self.one_time, from);
        // SAFETY: the chunk repeats its last packet behind it.
        let found = unsafe { lanes.tags(&self.chunk.texts[from..], &self.chunk.lens[from..]) };
        for (group, words) in found.into_iter().enumerate() {
            for (tags, words) in self.tags.iter_mut().zip(words) {
                let to = &mut tags[from + 8 * group..from + 8 * group + 8];
                // SAFETY: 64 octets.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), words) };
            }
        }
    }

    /// Overwrites what is secret.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn wipe(&mut self) {
        self.keys.wipe();
        self.rows.clear(0..self.rows.keys, self.rows.stash);
        for from in (0..self.keys.used()).step_by(8) {
            self.one_time.clear(from);
        }
        zeroize::optimization_barrier(self.keys);
        zeroize::optimization_barrier(self.one_time);
        zeroize::optimization_barrier(self.rows);
    }
}
