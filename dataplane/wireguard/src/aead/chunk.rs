//! The packets that a vector implementation works on at a time, as lists of what they are made of.
#![expect(unsafe_code, reason = "reads and writes tags behind texts that are known by pointers")]

use super::schedule::{CHUNK_LEN, LIST_LEN};
use super::{Job, TAG_LEN};

/// Up to 32 packets, the longest first. Entries behind the last repeat it, for lanes without a packet.
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

    /// Takes the jobs at these positions, at least one.
    // Not inlined: with AVX-512 the compiler would gather, which is slower than one load at a time.
    #[inline(never)]
    pub(super) fn load(&mut self, jobs: &mut [Job<'_>], order: &[u8]) {
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

    /// Writes the tags behind the texts.
    #[inline(never)]
    pub(super) fn write(&mut self, tags: &Tags) {
        for packet in 0..self.count {
            // SAFETY: a job has room for the tag behind its text.
            unsafe {
                let at = self.texts[packet].add(self.lens[packet]).cast::<u64>();
                at.write_unaligned(tags[0][packet]);
                at.add(1).write_unaligned(tags[1][packet]);
            }
        }
    }

    /// Which packets bear these tags.
    #[inline(never)]
    pub(super) fn accepted(&self, tags: &Tags) -> u32 {
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
}
