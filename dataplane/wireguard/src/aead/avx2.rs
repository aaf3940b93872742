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
pub(super) mod lone;
mod poly;

use core::arch::x86_64::*;

use super::chunk::{Chunk, Tags};
use super::costs::Costs;
use super::schedule::{self, BLOCK_LEN, Blocks, LIST_LEN, SLICE_LEN, Walk};
use super::{Job, poly1305};
use chacha::Keys;
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
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Opens every job, see [`super::open`]; false when this processor cannot.
pub(super) fn open(jobs: &mut [Job<'_>]) -> bool {
    let able = available();
    if able {
        // SAFETY: the feature is there.
        unsafe { run::<false>(jobs) };
    }
    able
}

/// Seals every job, see [`super::seal`]; false when this processor cannot.
pub(super) fn seal(jobs: &mut [Job<'_>]) -> bool {
    let able = available();
    if able {
        // SAFETY: the feature is there.
        unsafe { run::<true>(jobs) };
    }
    able
}

#[target_feature(enable = "avx2")]
fn run<const SEAL: bool>(jobs: &mut [Job<'_>]) {
    // Few packets do not fill lanes, least of all when one is long and the others wait for it.
    let uneven = || {
        let longest = jobs.iter().map(|job| job.len).max().unwrap_or(0);
        longest > 300 && jobs.iter().any(|job| 2 * job.len < longest)
    };
    if jobs.len() < 3 || jobs.len() < 6 && uneven() {
        return lone::run::<SEAL>(jobs);
    }
    let mut bench = Bench {
        chunk: &mut Chunk::new(),
        walk: &mut Walk::new(),
        blocks: &mut Blocks::new(),
        tags: &mut [[0; LIST_LEN]; 2],
        keys: &mut Keys::new(),
        rows: &mut Rows([[0; BLOCK_LEN]; ROWS]),
    };
    let mut lens = [0; SLICE_LEN];
    for slice in jobs.chunks_mut(SLICE_LEN) {
        let likeness = schedule::lens(slice, &mut lens);
        if likeness.too_long {
            lone::run::<SEAL>(slice);
            continue;
        }
        let sorted = if likeness.alike {
            &schedule::IN_ORDER
        } else {
            &schedule::longest_first(&lens, slice.len())
        };
        for order in sorted.get(..slice.len()).unwrap_or_default().chunks(PACKETS) {
            bench.chunk.load(slice, order, SEAL);
            if SEAL {
                bench.seal();
            } else {
                let accepted = bench.open();
                schedule::judge(slice, order, accepted);
            }
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
    #[target_feature(enable = "avx2")]
    fn start(&mut self) {
        let Chunk { count, texts, lens, .. } = &*self.chunk;
        self.walk.start(texts, lens, *count, self.rows.at(0));
        // SAFETY: the chunk has the keys of its jobs, and repeats the last.
        unsafe { self.keys.load(self.chunk, self.walk.left()) };
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn seal(&mut self) {
        self.rows.0 = [[0; BLOCK_LEN]; ROWS];
        self.start();
        self.passes();
        self.find_tags();
        self.chunk.write(self.tags);
    }

    /// Which packets were right, one bit for each.
    #[inline]
    #[target_feature(enable = "avx2")]
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
    #[target_feature(enable = "avx2")]
    fn pass(&mut self, taken: usize, wanted: usize) {
        self.blocks.place[taken..wanted].fill(self.rows.at(DUMP));
        // SAFETY: each place is a row, or a block of text with what follows it.
        unsafe { self.keys.pass(self.blocks, wanted) };
    }

    /// Makes all blocks that are left and adds them to their places.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn passes(&mut self) {
        while self.walk.left() > 0 {
            let wanted = chacha::pass_len(self.walk.left());
            let taken = self.walk.take(wanted, self.blocks);
            self.pass(taken, wanted);
        }
    }

    /// The tags of all packets, whose one-time keys are in the rows.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn find_tags(&mut self) {
        let count = self.chunk.count;
        let alone = COSTS.alone_count(&self.chunk.lens[..count]);
        for packet in 0..alone {
            // SAFETY: the row of a packet, and a text that has its length.
            let tag = unsafe {
                let key = self.rows.at(packet).cast::<[u64; 4]>().read_unaligned();
                let start = self.chunk.texts[packet].cast_const();
                poly1305::tag(&key, core::slice::from_raw_parts(start, self.chunk.lens[packet]))
            };
            [self.tags[0][packet], self.tags[1][packet]] = tag;
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
    #[target_feature(enable = "avx2")]
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
    #[target_feature(enable = "avx2")]
    fn wipe(&mut self) {
        self.rows.0 = [[0; BLOCK_LEN]; ROWS];
        self.keys.wipe();
        zeroize::optimization_barrier(self.rows);
    }
}
