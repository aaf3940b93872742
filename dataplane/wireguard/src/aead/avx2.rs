//! The AEAD with 256-bit vectors (AVX2): blocks of up to eight packets share the lanes of `ChaCha20`,
//! and as many packets share those of Poly1305.
//!
//! Opening verifies first, as with AVX-512.
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
mod poly;
mod rounds;
mod stream;

use core::arch::x86_64::*;

use super::Job;
use super::chunk::{Chunk, Tags};
use super::costs::Costs;
use super::poly1305::{self, lower, upper};
use super::schedule::{self, BLOCK_LEN, Blocks, LIST_LEN, SLICE_LEN, Walk};
use chacha::Keys;
pub(crate) use chacha::transposed;
use poly::Lanes;

/// Packets of a chunk: their keys fill the lanes of one register.
const PACKETS: usize = 8;

/// Measured on Zen 4. Blocks of one packet in lanes are not worth their powers of `r`.
const COSTS: Costs = Costs {
    narrow: (40, 12),
    wide: (1 << 30, 1 << 10),
    single: (110, 42),
    double: (130, 64),
    lanes: 4,
};

/// Whether this processor has what the code here needs.
pub(crate) fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2")
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

/// Texts longer than this are done one by one in any company: authentication passes unseen beside the
/// key stream there, and in lanes it does not.
const LONG: usize = 544;

/// Cycles of a chunk in lanes besides its passes and tags, and of a pass. Measured on Zen 5.
const CHUNK_COST: usize = 500;
const PASS_COST: usize = 700;

/// Cycles of a packet that is done alone, and more for each 16 octets. Measured on Zen 5.
const LONE_COST: (usize, usize) = (560, 19);
/// As much without any text.
const EMPTY_COST: usize = 340;

/// Whether packets of such lengths, of which the first is the longest, are done faster side by side.
fn lanes_pay(lens: &[usize]) -> bool {
    if lens.len() == PACKETS {
        return true;
    }
    let (mut alone, mut blocks) = (0, 0);
    for len in lens {
        alone += if *len == 0 { EMPTY_COST } else { LONE_COST.0 + LONE_COST.1 * len.div_ceil(16) };
        blocks += 1 + len.div_ceil(BLOCK_LEN);
    }
    let tags = COSTS.side_by_side(lens.len(), lens.first().copied().unwrap_or_default());
    CHUNK_COST + blocks.div_ceil(PACKETS) * PASS_COST + tags < alone
}

#[target_feature(enable = "avx2,bmi2")]
fn run<const SEAL: bool>(jobs: &mut [Job<'_>]) {
    let mut lens = [0; SLICE_LEN];
    for slice in jobs.chunks_mut(SLICE_LEN) {
        let all = schedule::in_order(slice.len());
        if slice.len() < 3 {
            lone::run::<SEAL>(slice, all);
            continue;
        }
        let likeness = schedule::lens(slice, &mut lens);
        if likeness.too_long {
            lone::run::<SEAL>(slice, all);
            continue;
        }
        if likeness.alike {
            split::<SEAL>(slice, all, &lens);
            continue;
        }
        let order = schedule::longest_first(&lens, slice.len());
        let mut sorted = [0; SLICE_LEN];
        for (sorted, position) in sorted.iter_mut().zip(&order) {
            *sorted = lens.get(usize::from(*position)).copied().unwrap_or_default();
        }
        split::<SEAL>(slice, order.get(..slice.len()).unwrap_or_default(), &sorted);
    }
}

/// Does the long ones alone, and what is left of chunks that are too small for lanes.
#[inline]
#[target_feature(enable = "avx2,bmi2")]
fn split<const SEAL: bool>(slice: &mut [Job<'_>], order: &[u8], lens: &[usize; SLICE_LEN]) {
    let lens = &lens[..order.len()];
    let long = lens.iter().take_while(|len| **len > LONG).count();
    let rest = (order.len() - long) % PACKETS;
    let end = if lanes_pay(&lens[order.len() - rest..]) { order.len() } else { order.len() - rest };
    lone::run::<SEAL>(slice, &order[..long]);
    if end > long {
        side_by_side::<SEAL>(slice, &order[long..end]);
    }
    lone::run::<SEAL>(slice, &order[end..]);
}

/// Does the jobs at these positions in lanes.
#[inline(never)]
#[target_feature(enable = "avx2,bmi2")]
fn side_by_side<const SEAL: bool>(slice: &mut [Job<'_>], order: &[u8]) {
    let mut bench = Bench {
        chunk: &mut Chunk::new(),
        walk: &mut Walk::new(),
        blocks: &mut Blocks::new(),
        tags: &mut [[0; LIST_LEN]; 2],
        keys: &mut Keys::new(),
        rows: &mut Rows([[0; BLOCK_LEN]; ROWS]),
    };
    for order in order.chunks(PACKETS) {
        bench.chunk.load(slice, order, SEAL);
        if SEAL {
            bench.seal();
        } else {
            let accepted = bench.open();
            schedule::judge(slice, order, accepted);
        }
    }
    bench.wipe();
}

/// Rows of block 0 of packets and of lanes behind the last, then those that are put by, then waste.
const STASH: usize = 2 * PACKETS;
const DUMP: usize = STASH + PACKETS;
const ROWS: usize = DUMP + 1;

/// Room for blocks that are no text. Rows are aligned, so that keys are read at once.
#[repr(align(64))]
struct Rows([[u8; BLOCK_LEN]; ROWS]);

impl Rows {
    fn at(&mut self, row: usize) -> *mut u8 {
        self.0.as_mut_ptr().wrapping_add(row).cast()
    }
}

/// Everything that a call works with; what is secret in it is overwritten at the end.
struct Bench<'a> {
    chunk: &'a mut Chunk,
    walk: &'a mut Walk,
    blocks: &'a mut Blocks,
    tags: &'a mut Tags,
    keys: &'a mut Keys,
    rows: &'a mut Rows,
}

impl Bench<'_> {
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    fn start(&mut self) {
        let Chunk { count, texts, lens, .. } = &*self.chunk;
        self.walk.start(texts, lens, *count, self.rows.at(0));
        // SAFETY: the chunk has the keys of its jobs, and repeats the last.
        unsafe { self.keys.load(self.chunk, self.walk.left()) };
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    fn seal(&mut self) {
        self.rows.0 = [[0; BLOCK_LEN]; ROWS];
        self.start();
        self.passes();
        self.find_tags();
        self.chunk.write(self.tags);
    }

    /// Which packets were right, one bit for each.
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    fn open(&mut self) -> u32 {
        self.rows.0 = [[0; BLOCK_LEN]; ROWS];
        let count = self.chunk.count;
        self.start();
        // The first pass makes block 0 of every packet, and puts by what else it has room for.
        let wanted = chacha::pass_len(self.walk.left());
        let taken = self.walk.take(wanted, self.blocks);
        let stashed = taken - count;
        let mut texts = [core::ptr::null_mut(); PACKETS];
        for (block, text) in texts.iter_mut().enumerate().take(stashed) {
            let row = self.rows.at(STASH + block);
            *text = core::mem::replace(&mut self.blocks.place[count + block], row);
        }
        self.pass(taken, wanted);
        self.find_tags();
        let accepted = self.chunk.accepted(self.tags);
        for (block, text) in texts.iter().enumerate().take(stashed) {
            if accepted >> self.blocks.packet[count + block] & 1 == 1 {
                // SAFETY: the place of a block of text, and a row.
                unsafe { chacha::add_row(*text, self.rows.at(STASH + block)) };
            }
        }
        if accepted.count_ones() as usize != count {
            self.walk.keep(accepted);
        }
        self.passes();
        accepted
    }

    /// Makes the blocks that were taken; those that only fill the pass go nowhere.
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    fn pass(&mut self, taken: usize, wanted: usize) {
        self.blocks.place[taken..wanted].fill(self.rows.at(DUMP));
        // SAFETY: each place is a row, or a block of text with what follows it.
        unsafe { self.keys.pass(self.blocks, wanted) };
    }

    /// Makes all blocks that are left and adds them to their places.
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    fn passes(&mut self) {
        while self.walk.left() > 0 {
            let wanted = chacha::pass_len(self.walk.left());
            let taken = self.walk.take(wanted, self.blocks);
            self.pass(taken, wanted);
        }
    }

    /// The tags of all packets, whose one-time keys are in the rows.
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    fn find_tags(&mut self) {
        let count = self.chunk.count;
        let alone = COSTS.alone_count(&self.chunk.lens[..count]);
        for packet in 0..alone {
            // SAFETY: the row of a packet, and a text that has its length.
            let tag = unsafe {
                let key = self.rows.at(packet).cast::<[u64; 4]>().read_unaligned();
                poly1305::tag(&key, self.chunk.texts[packet], self.chunk.lens[packet])
            };
            [self.tags[0][packet], self.tags[1][packet]] = [lower(tag), upper(tag)];
        }
        let mut from = alone;
        while from < count {
            if count - from > 4 {
                self.group_tags::<2>(from);
                from += 8;
            } else {
                self.group_tags::<1>(from);
                from += 4;
            }
        }
    }

    /// The tags of `4 * GROUPS` packets from `from` on.
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    fn group_tags<const GROUPS: usize>(&mut self, from: usize) {
        // SAFETY: there are rows for lanes behind the last packet, and the chunk repeats that there.
        let found = unsafe {
            let lanes = Lanes::<GROUPS>::new(self.rows.at(from));
            lanes.tags(&self.chunk.texts[from..], &self.chunk.lens[from..])
        };
        for (group, words) in found.into_iter().enumerate() {
            for (tags, words) in self.tags.iter_mut().zip(words) {
                let to = &mut tags[from + 4 * group..from + 4 * group + 4];
                // SAFETY: 32 octets.
                unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), words) };
            }
        }
    }

    /// Overwrites what is secret.
    #[inline]
    #[target_feature(enable = "avx2,bmi2")]
    fn wipe(&mut self) {
        self.rows.0 = [[0; BLOCK_LEN]; ROWS];
        self.keys.wipe();
        zeroize::optimization_barrier(self.rows);
    }
}
