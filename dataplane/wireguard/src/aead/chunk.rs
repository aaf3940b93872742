//! The packets that a vector implementation works on at a time, as lists of what they are made of.
#![expect(unsafe_code, reason = "reads and writes tags behind texts that are known by pointers")]
#![expect(
    clippy::indexing_slicing,
    reason = "counts are those of a chunk, at most the lists' length"
)]

use super::Job;
use super::poly1305::{joined, lower, upper};
use super::schedule::{CHUNK_LEN, LIST_LEN};

/// Up to 32 packets, the longest first. Entries behind the last repeat it, for lanes without a packet,
/// all but the counters, as what such a lane makes goes nowhere.
pub(super) struct Chunk {
    pub(super) count: usize,
    pub(super) texts: [*mut u8; LIST_LEN],
    pub(super) lens: [usize; LIST_LEN],
    pub(super) keys: [*const u8; LIST_LEN],
    pub(super) counters: [u64; LIST_LEN],
}

/// Tags: lower words, then upper ones.
pub(super) type Tags = [[u64; LIST_LEN]; 2];

impl Chunk {
    pub(super) const fn new() -> Self {
        Self {
            count: 0,
            texts: [core::ptr::null_mut(); LIST_LEN],
            lens: [0; LIST_LEN],
            keys: [core::ptr::null(); LIST_LEN],
            counters: [0; LIST_LEN],
        }
    }

    /// Takes the jobs at these positions, at least one, and notes `accepted` in them.
    // Not inlined: with AVX-512 the compiler would gather, which is slower than one load at a time.
    #[inline(never)]
    pub(super) fn load(&mut self, jobs: &mut [Job<'_>], order: &[u8], accepted: bool) {
        self.count = order.len().min(CHUNK_LEN);
        let places = self.texts.iter_mut().zip(&mut self.lens);
        let places = places.zip(&mut self.keys).zip(&mut self.counters);
        for ((((text, len), key), counter), position) in places.zip(order).take(CHUNK_LEN) {
            if let Some(job) = jobs.get_mut(usize::from(*position)) {
                *text = job.octets.as_mut_ptr();
                *len = job.len;
                *key = job.key.octets().as_ptr();
                *counter = job.counter;
                job.accepted = accepted;
            }
        }
        let (last, rest) = (self.count - 1, self.count..self.count + 16);
        let (text, len, key) = (self.texts[last], self.lens[last], self.keys[last]);
        self.texts[rest.clone()].fill(text);
        self.lens[rest.clone()].fill(len);
        // Any packet may be named where a pass is not full.
        self.keys[self.count..].fill(key);
    }

    /// Writes the tags behind the texts.
    #[inline(never)]
    pub(super) fn write(&mut self, tags: &Tags) {
        let [low, high] = tags;
        let places = self.texts.iter().zip(&self.lens).zip(low.iter().zip(high));
        for ((text, len), (low, high)) in places.take(self.count) {
            // SAFETY: a job has room for the tag behind its text.
            unsafe { write_tag(*text, *len, joined([*low, *high])) };
        }
    }

    /// Which packets bear these tags, one bit for each.
    #[inline(never)]
    pub(super) fn accepted(&self, tags: &Tags) -> u32 {
        let [low, high] = tags;
        let places = self.texts.iter().zip(&self.lens).zip(low.iter().zip(high));
        let mut accepted = 0;
        for (packet, ((text, len), (low, high))) in places.take(self.count).enumerate() {
            // SAFETY: a job has a tag behind its text.
            let right = unsafe { bears_tag(*text, *len, joined([*low, *high])) };
            accepted |= u32::from(right) << packet;
        }
        accepted
    }
}

/// Writes a tag behind a text.
///
/// # Safety
///
/// The text of `len` octets and 16 octets behind it can be written.
#[inline]
pub(super) unsafe fn write_tag(text: *mut u8, len: usize, tag: u128) {
    // SAFETY: the caller's promise.
    unsafe { text.add(len).cast::<u128>().write_unaligned(tag) };
}

/// Whether this tag lies behind a text. All bits are compared, whatever the first ones say.
///
/// # Safety
///
/// The text of `len` octets and 16 octets behind it can be read.
#[inline]
pub(super) unsafe fn bears_tag(text: *const u8, len: usize, tag: u128) -> bool {
    // SAFETY: the caller's promise.
    let theirs = unsafe { text.add(len).cast::<u128>().read_unaligned() };
    let differences = tag ^ theirs;
    lower(differences) | upper(differences) == 0
}
