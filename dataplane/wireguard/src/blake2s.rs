//! Keyed BLAKE2s (RFC 7693) with 16 octets of output, the MAC of handshake messages, over many messages at once.
//!
//! What follows from a key alone is computed once. All that a flood of handshake messages costs at first is this MAC, so vector
//! implementations put one message in each lane. Which one runs is chosen together with the AEAD's.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use core::fmt;

use zeroize::Zeroize;

use crate::aead::Implementation;

/// Octets of a MAC.
pub const MAC_LEN: usize = 16;
/// Octets of a block.
pub(crate) const BLOCK_LEN: usize = 64;
/// Messages longer than a datagram can be are none of ours: no lane waits for them.
const LANE_LEN_MAX: usize = u16::MAX as usize;

/// The chaining value between two blocks.
type Chain = [u32; 8];

/// The initial chaining value (RFC 7693 2.6).
const INITIAL: Chain = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Which word of the block each half of each step of a round takes (RFC 7693 2.7).
const SCHEDULE: [[usize; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

/// The words of the state that each step of a round mixes, in lanes: columns, then diagonals (RFC 7693 3.2).
#[cfg(target_arch = "x86_64")]
const STEPS: [[usize; 4]; 8] = [
    [0, 4, 8, 12],
    [1, 5, 9, 13],
    [2, 6, 10, 14],
    [3, 7, 11, 15],
    [0, 5, 10, 15],
    [1, 6, 11, 12],
    [2, 7, 8, 13],
    [3, 4, 9, 14],
];

/// The chaining value before the first block under a key of so many octets (RFC 7693 2.5).
#[expect(clippy::cast_possible_truncation, reason = "a key has at most 32 octets, a MAC 16")]
const fn before_key(len: usize) -> Chain {
    let mut chain = INITIAL;
    chain[0] ^= 0x0101_0000 ^ (len as u32) << 8 ^ MAC_LEN as u32;
    chain
}

/// What all MACs under a key begin with: the key's block is done. Whoever has this can do what the key's holder can, so
/// it is zeroised on drop.
#[derive(Clone)]
pub struct Keyed {
    chain: Chain,
    /// The MAC of an empty message, of which the key's block is the last.
    of_nothing: [u8; MAC_LEN],
}

impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyed(..)")
    }
}

impl Drop for Keyed {
    fn drop(&mut self) {
        self.chain.zeroize();
        self.of_nothing.zeroize();
    }
}

impl Keyed {
    /// Takes in a key of 1 to 32 octets.
    pub fn new<const N: usize>(key: &[u8; N]) -> Self {
        const { assert!(0 < N && N <= 32, "BLAKE2s takes keys of at most 32 octets") };
        let mut block = [0; BLOCK_LEN];
        if let Some(place) = block.first_chunk_mut() {
            *place = *key;
        }
        let (mut chain, mut only) = (before_key(N), before_key(N));
        let counted = BLOCK_LEN as u64;
        portable::compress(&mut chain, &block, counted, false);
        portable::compress(&mut only, &block, counted, true);
        let keyed = Self { chain, of_nothing: first_octets(&only) };
        block.zeroize();
        chain.zeroize();
        only.zeroize();
        keyed
    }

    /// The MAC of one message.
    pub fn mac(&self, message: &[u8]) -> [u8; MAC_LEN] {
        let mut job = Job::new(self, message);
        portable::mac(&mut job);
        job.mac
    }
}

/// The MAC that a chaining value ends in.
fn first_octets(chain: &Chain) -> [u8; MAC_LEN] {
    let mut octets = [0; MAC_LEN];
    for (place, word) in octets.as_chunks_mut().0.iter_mut().zip(chain) {
        *place = word.to_le_bytes();
    }
    octets
}

/// A message of which the MAC is wanted.
pub struct Job<'a> {
    before: &'a Chain,
    /// Octets that went before the message.
    counted: u64,
    message: &'a [u8],
    mac: [u8; MAC_LEN],
}

/// A block of a message, the last one without the zeros that fill it.
struct Block<'a> {
    octets: &'a [u8],
    /// Octets up to its end.
    counted: u64,
    is_last: bool,
}

impl<'a> Job<'a> {
    /// A message under a key that serves many.
    pub const fn new(key: &'a Keyed, message: &'a [u8]) -> Self {
        Self { before: &key.chain, counted: BLOCK_LEN as u64, message, mac: key.of_nothing }
    }

    /// A message whose key of [`MAC_LEN`] octets serves it alone: the key, zeros up to a block, and the message.
    pub(crate) const fn behind_key(octets: &'a [u8]) -> Self {
        const BEFORE: &Chain = &before_key(MAC_LEN);
        Self { before: BEFORE, counted: 0, message: octets, mac: [0; MAC_LEN] }
    }

    /// The MAC, once it was computed.
    pub const fn mac(&self) -> &[u8; MAC_LEN] {
        &self.mac
    }

    /// Zeroises a MAC that is a secret.
    pub(crate) fn forget(&mut self) {
        self.mac.zeroize();
    }

    fn block(&self, number: usize) -> Option<Block<'_>> {
        let start = number * BLOCK_LEN;
        let rest = self.message.get(start..).filter(|rest| !rest.is_empty())?;
        let octets = rest.get(..BLOCK_LEN).unwrap_or(rest);
        let counted = self.counted + (start + octets.len()) as u64;
        Some(Block { octets, counted, is_last: rest.len() <= BLOCK_LEN })
    }
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("len", &self.message.len()).finish_non_exhaustive()
    }
}

/// Computes the MAC of every job.
pub fn macs(jobs: &mut [Job<'_>]) {
    macs_with(Implementation::chosen(), jobs);
}

/// [`macs`] by a given implementation; by the portable one where the processor cannot do that.
pub fn macs_with(implementation: Implementation, jobs: &mut [Job<'_>]) {
    match implementation {
        #[cfg(target_arch = "x86_64")]
        Implementation::Avx512 => in_lanes::<16>(jobs, FEWEST_AVX512, avx512::macs),
        #[cfg(target_arch = "x86_64")]
        Implementation::Avx2 => in_lanes::<8>(jobs, FEWEST_AVX2, avx2::macs),
        #[cfg(not(target_arch = "x86_64"))]
        Implementation::Avx512 | Implementation::Avx2 => one_by_one(jobs),
        Implementation::Portable => one_by_one(jobs),
    }
}

fn one_by_one(jobs: &mut [Job<'_>]) {
    for job in jobs {
        portable::mac(job);
    }
}

/// From so many jobs on lanes are faster than one job after the other; measured on Zen 5.
#[cfg(target_arch = "x86_64")]
const FEWEST_AVX512: usize = 3;
#[cfg(target_arch = "x86_64")]
const FEWEST_AVX2: usize = 3;

/// Does as many jobs at a time as there are lanes, by code that says false when this processor cannot.
#[cfg(target_arch = "x86_64")]
#[inline]
fn in_lanes<const LANES: usize>(
    jobs: &mut [Job<'_>],
    fewest: usize,
    macs: fn(&mut [Job<'_>]) -> bool,
) {
    for group in jobs.chunks_mut(LANES) {
        // Octets are counted in one word there.
        let too_long = group.iter().any(|job| job.message.len() > LANE_LEN_MAX);
        if group.len() < fewest || too_long || !macs(group) {
            one_by_one(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7693 appendix B: BLAKE2s-256 of "abc" without a key.
    #[test]
    fn every_implementation_gives_the_octets_of_rfc_7693() {
        let mut before = INITIAL;
        before[0] ^= 0x0101_0000 ^ 32;
        let digest: [u32; 4] = [0x8c5e_8c50, 0xe214_7c32, 0xa32b_a7e1, 0x2f45_eb4e];
        for implementation in Implementation::ALL.into_iter().filter(|one| one.available()) {
            for count in 1..=17 {
                let mut jobs: Vec<Job<'_>> = (0..count)
                    .map(|_| Job { before: &before, counted: 0, message: b"abc", mac: [0; 16] })
                    .collect();
                macs_with(implementation, &mut jobs);
                for job in &jobs {
                    assert_eq!(job.mac.as_chunks().0, digest.map(u32::to_le_bytes));
                }
            }
        }
    }

    #[test]
    fn a_key_before_its_message_is_the_same_key() {
        let key = [7; MAC_LEN];
        let octets = [&key[..], &[0; BLOCK_LEN - MAC_LEN], &[5; 100]].concat();
        let mut job = [Job::behind_key(&octets)];
        macs_with(Implementation::Portable, &mut job);
        assert_eq!(*job[0].mac(), Keyed::new(&key).mac(&[5; 100]));
    }

    #[test]
    fn debug_prints_neither_key_nor_message() {
        let keyed = Keyed::new(&[201; 32]);
        assert_eq!(format!("{keyed:?}"), "Keyed(..)");
        assert!(!format!("{:?}", Job::new(&keyed, &[202; 9])).contains("202"));
    }
}
