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
use super::schedule::{self, Blocks, CHUNK_LEN, Costs, SLICE_LEN, Walk};
use super::{Job, TAG_LEN};
use chacha::{Keys, Places};
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
    for slice in jobs.chunks_mut(SLICE_LEN) {
        let mut lens = [0; SLICE_LEN];
        let (mut least, mut most) = (usize::MAX, 0);
        for (len, job) in lens.iter_mut().zip(slice.iter()) {
            *len = job.len;
            least = least.min(job.len);
            most = most.max(job.len);
        }
        let sorted = if least == most { IN_ORDER } else { schedule::longest_first(&lens, slice.len()) };
        let mut order = sorted.get(..slice.len()).unwrap_or_default();
        while !order.is_empty() {
            let len_of = |position: &u8| lens.get(usize::from(*position)).copied().unwrap_or(0);
            let count = schedule::chunk_len(order.iter().map(len_of));
            let Some((now, later)) = order.split_at_checked(count) else { break };
            let mut chunk = Chunk::new(slice, now);
            let accepted = if SEAL {
                chunk.seal(&mut keys, &mut rows);
                u32::MAX
            } else {
                chunk.open(&mut keys, &mut rows)
            };
            for (bit, position) in now.iter().enumerate() {
                if let Some(job) = slice.get_mut(usize::from(*position)) {
                    job.accepted = accepted >> bit & 1 == 1;
                }
            }
            order = later;
        }
    }
    keys.wipe();
    rows.wipe(CHUNK_LEN.min(jobs.len()), jobs.len());
}

const ROWS_LEN: usize = 2 * CHUNK_LEN + 1;

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

/// Room for blocks that are no text: block 0 of each packet, whose first half is its one-time key,
/// behind them the key stream of text that is not verified yet, and at the end the row that takes
/// the blocks which nobody wants.
#[repr(align(64))]
struct Rows([MaybeUninit<__m512i>; ROWS_LEN]);

impl Rows {
    fn start(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }

    /// Makes the first rows of each half zero, so that a block that is added to them stays as it is.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn clear(&mut self, keys: usize, stash: usize) {
        let (one, other) = self.0.split_at_mut(CHUNK_LEN);
        for row in one.iter_mut().take(keys).chain(other.iter_mut().take(stash)) {
            row.write(_mm512_setzero_si512());
        }
        if let Some(dump) = other.last_mut() {
            dump.write(_mm512_setzero_si512());
        }
    }

    /// As `clear`, and the compiler must not leave it out.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn wipe(&mut self, keys: usize, stash: usize) {
        self.clear(keys, stash);
        chacha::keep(self);
    }
}

/// Up to 32 packets, the longest first.
struct Chunk {
    count: usize,
    texts: [*mut u8; CHUNK_LEN],
    lens: [usize; CHUNK_LEN],
    keys: [*const u8; CHUNK_LEN],
    counters: [u64; CHUNK_LEN],
}

impl Chunk {
    #[inline]
    fn new(jobs: &mut [Job<'_>], order: &[u8]) -> Self {
        let mut chunk = Self {
            count: order.len(),
            texts: [core::ptr::null_mut(); CHUNK_LEN],
            lens: [0; CHUNK_LEN],
            keys: [core::ptr::null(); CHUNK_LEN],
            counters: [0; CHUNK_LEN],
        };
        for (place, position) in order.iter().enumerate().take(CHUNK_LEN) {
            if let Some(job) = jobs.get_mut(usize::from(*position)) {
                chunk.texts[place] = job.octets.as_mut_ptr();
                chunk.lens[place] = job.len;
                chunk.keys[place] = job.key.octets().as_ptr();
                chunk.counters[place] = job.counter;
            }
        }
        chunk
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn seal(&mut self, keys: &mut Keys, rows: &mut Rows) {
        let mut walk = Walk::new(&self.lens, self.count);
        let mut places = Places::new(&self.texts, rows.start());
        rows.clear(self.count, 0);
        // SAFETY: `self` has the texts and keys of `count` jobs.
        unsafe { keys.load(&self.keys, &self.counters, self.count, walk.left()) };
        self.passes(keys, &mut walk, &mut places);
        let mut tags = [[0; 2]; CHUNK_LEN];
        self.tags(rows, &mut tags);
        for packet in 0..self.count {
            // SAFETY: a job has room for the tag behind its text.
            unsafe {
                let at = self.texts[packet].add(self.lens[packet]);
                at.cast::<[u64; 2]>().write_unaligned(tags[packet]);
            }
        }
    }

    /// Which packets were right, one bit for each.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn open(&mut self, keys: &mut Keys, rows: &mut Rows) -> u32 {
        let mut walk = Walk::new(&self.lens, self.count);
        let mut places = Places::new(&self.texts, rows.start());
        // SAFETY: `self` has the texts and keys of `count` jobs.
        unsafe { keys.load(&self.keys, &self.counters, self.count, walk.left()) };
        // The pass that makes block 0 of the last packets has room for the first blocks of text.
        // Their key stream is put by until the tags are verified.
        let mut blocks = Blocks { packet: [0; CHUNK_LEN + 16], number: [0; CHUNK_LEN + 16] };
        let wanted = if self.count > 16 { 32 } else { schedule::pass_len(walk.left()) };
        let taken = walk.take(wanted, &mut blocks);
        let stashed = taken - self.count;
        rows.clear(self.count, stashed);
        places.stash(&blocks, taken, self.count, rows.start());
        // SAFETY: places has a row or a dump for each block.
        unsafe { keys.pass(&blocks, wanted, &mut places) };
        let mut tags = [[0; 2]; CHUNK_LEN];
        self.tags(rows, &mut tags);
        let mut accepted = 0;
        for packet in 0..self.count {
            // SAFETY: a job has a tag behind its text.
            let theirs = unsafe {
                let at = self.texts[packet].add(self.lens[packet]);
                at.cast::<[u64; TAG_LEN / 8]>().read_unaligned()
            };
            let difference = (theirs[0] ^ tags[packet][0]) | (theirs[1] ^ tags[packet][1]);
            accepted |= u32::from(difference == 0) << packet;
        }
        for stash in 0..stashed {
            let (packet, number) = (blocks.packet[self.count + stash], blocks.number[self.count + stash]);
            if accepted >> packet & 1 == 1 {
                // SAFETY: the block belongs to the text of that packet.
                unsafe { places.unstash(packet, number, rows.start().add(64 * (CHUNK_LEN + stash))) };
            }
        }
        if accepted.count_ones() as usize != self.count {
            walk.keep(|packet| accepted >> packet & 1 == 1);
        }
        self.passes(keys, &mut walk, &mut places);
        accepted
    }

    /// Makes all blocks that are left and adds them to their places.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn passes(&self, keys: &mut Keys, walk: &mut Walk, places: &mut Places) {
        let mut blocks = Blocks { packet: [0; CHUNK_LEN + 16], number: [0; CHUNK_LEN + 16] };
        while walk.left() > 0 {
            let wanted = schedule::pass_len(walk.left());
            let taken = walk.take(wanted, &mut blocks);
            places.find(&blocks, taken);
            // SAFETY: places has a block of text, a row or a dump for each block.
            unsafe { keys.pass(&blocks, wanted, places) };
        }
    }

    /// The tags of all packets, whose one-time keys are in the rows.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    fn tags(&self, rows: &mut Rows, tags: &mut [[u64; 2]; CHUNK_LEN]) {
        let rows = rows.start().cast_const();
        let lens = self.lens.get(..self.count).unwrap_or_default();
        let alone = COSTS.alone_count(lens);
        for packet in 0..alone {
            let text = self.text(packet);
            // SAFETY: the row of a packet has been written, and its text has its length.
            tags[packet] = unsafe {
                let key = rows.add(64 * packet).cast::<[u64; 4]>().read();
                if COSTS.prefers_wide(text.len) {
                    poly::wide(&key, text)
                } else {
                    poly1305::tag(&key, core::slice::from_raw_parts(text.start, text.len))
                }
            };
        }
        let mut from = alone;
        while from < self.count {
            // SAFETY: the rows of all packets have been written.
            unsafe {
                if self.count - from > 8 {
                    self.group_tags::<2>(rows, from, tags);
                    from += 16;
                } else {
                    self.group_tags::<1>(rows, from, tags);
                    from += 8;
                }
            }
        }
    }

    #[inline]
    fn text(&self, packet: usize) -> Text {
        Text { start: self.texts[packet].cast_const(), len: self.lens[packet] }
    }

    /// The tags of up to `8 * GROUPS` packets from `from` on.
    ///
    /// # Safety
    ///
    /// The rows have been written.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512ifma,avx512vbmi2,bmi2")]
    unsafe fn group_tags<const GROUPS: usize>(
        &self,
        rows: *const u8,
        from: usize,
        tags: &mut [[u64; 2]; CHUNK_LEN],
    ) {
        let mut keys = [[rows; 8]; GROUPS];
        let mut texts = [[Text { start: rows, len: 0 }; 8]; GROUPS];
        for lane in 0..8 * GROUPS {
            // Lanes without a packet do the work of the last one again.
            let packet = (from + lane).min(self.count - 1);
            keys[lane / 8][lane % 8] = rows.wrapping_add(64 * packet);
            texts[lane / 8][lane % 8] = self.text(packet);
        }
        // SAFETY: the keys are rows, the texts those of the jobs.
        let found = unsafe { Lanes::new(&keys).tags(&texts) };
        for (group, [low, high]) in found.into_iter().enumerate() {
            let mut words = [[0_u64; 8]; 2];
            // SAFETY: arrays of 64 octets.
            unsafe {
                _mm512_storeu_si512(words[0].as_mut_ptr().cast(), low);
                _mm512_storeu_si512(words[1].as_mut_ptr().cast(), high);
            }
            let left = self.count.saturating_sub(from + 8 * group).min(8);
            for lane in 0..left {
                tags[from + 8 * group + lane] = [words[0][lane], words[1][lane]];
            }
        }
    }
}
