//! ChaCha20-Poly1305 (RFC 8439) over batches: many packets, each with its own key and counter.
//!
//! The batch is the unit from the start because a vector register holds the state of many packets
//! at once. An implementation is chosen once per process.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "x86_64")]
mod beside;
#[cfg(target_arch = "x86_64")]
mod chunk;
#[cfg(target_arch = "x86_64")]
mod costs;
mod implementation;
#[cfg(target_arch = "x86_64")]
mod one_block;
#[cfg(target_arch = "x86_64")]
mod poly1305;
mod portable;
#[cfg(target_arch = "x86_64")]
mod schedule;

pub use implementation::{Implementation, Refused, VARIABLE};

use crate::secret::Secret;
use core::fmt;

/// Octets of the tag that follows the text.
pub const TAG_LEN: usize = 16;

/// Octets past the end of the plaintext that must be writable: the tag, and what full-width
/// stores of a vector implementation may scribble on.
pub const TAILROOM: usize = 63;

/// A key of 32 octets, zeroised on drop.
#[derive(Debug, PartialEq, Eq)]
pub struct Key(Secret);

impl Key {
    /// Takes the key over.
    pub const fn new(key: Secret) -> Self {
        Self(key)
    }

    /// The key of an empty slot.
    pub const fn zero() -> Self {
        Self(Secret::zero())
    }

    /// The octets of the key.
    pub const fn octets(&self) -> &[u8; 32] {
        self.0.octets()
    }

    /// Copies another key into this place.
    pub const fn copy_from(&mut self, other: &Self) {
        *self.0.octets_mut() = *other.octets();
    }

    /// Overwrites the key with zeros.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// One packet of a batch. The octets start with the text, the tag follows it, and at least
/// [`TAILROOM`] octets follow the text, tag included.
pub struct Job<'a> {
    key: &'a Key,
    counter: u64,
    octets: &'a mut [u8],
    len: usize,
    accepted: bool,
}

impl<'a> Job<'a> {
    /// A job over `len` octets of text at the start of `octets`; `None` when fewer than
    /// `len + TAILROOM` octets are there.
    pub const fn new(key: &'a Key, counter: u64, octets: &'a mut [u8], len: usize) -> Option<Self> {
        match octets.len().checked_sub(TAILROOM) {
            Some(room) if len <= room => Some(Self { key, counter, octets, len, accepted: false }),
            _ => None,
        }
    }

    /// Whether [`open`] found the tag right; true for every job that [`seal`] did.
    pub const fn accepted(&self) -> bool {
        self.accepted
    }

    /// The octets of the text.
    pub fn text(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("counter", &self.counter)
            .field("len", &self.len)
            .field("accepted", &self.accepted)
            .finish_non_exhaustive()
    }
}

/// Opens every job in place: text becomes plaintext where the tag is right. Where it is wrong,
/// [`Job::accepted`] is false and the octets hold no plaintext. The octets past the text are
/// unspecified afterwards.
pub fn open(jobs: &mut [Job<'_>]) {
    open_with(Implementation::chosen(), jobs);
}

/// Seals every job in place: text becomes ciphertext, the tag is written behind it, and what
/// follows the tag up to [`TAILROOM`] is unspecified.
pub fn seal(jobs: &mut [Job<'_>]) {
    seal_with(Implementation::chosen(), jobs);
}

/// [`open`] by a given implementation; by the portable one where the processor cannot do that.
pub fn open_with(implementation: Implementation, jobs: &mut [Job<'_>]) {
    let done = match implementation {
        #[cfg(target_arch = "x86_64")]
        Implementation::Avx512 => avx512::open(jobs),
        #[cfg(target_arch = "x86_64")]
        Implementation::Avx2 => avx2::open(jobs),
        #[cfg(not(target_arch = "x86_64"))]
        Implementation::Avx512 | Implementation::Avx2 => false,
        Implementation::Portable => false,
    };
    if !done {
        portable::open(jobs);
    }
}

/// [`seal`] by a given implementation; by the portable one where the processor cannot do that.
pub fn seal_with(implementation: Implementation, jobs: &mut [Job<'_>]) {
    let done = match implementation {
        #[cfg(target_arch = "x86_64")]
        Implementation::Avx512 => avx512::seal(jobs),
        #[cfg(target_arch = "x86_64")]
        Implementation::Avx2 => avx2::seal(jobs),
        #[cfg(not(target_arch = "x86_64"))]
        Implementation::Avx512 | Implementation::Avx2 => false,
        Implementation::Portable => false,
    };
    if !done {
        portable::seal(jobs);
    }
}

/// The nonce of a counter (whitepaper 5.4.6): four zero octets, then the counter, little endian.
pub(crate) fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}

/// Seals a field of a handshake (`Aead` with counter 0, 5.4): `sealed` holds text and tag.
pub(crate) fn seal_handshake(key: &Secret, hash: &[u8; 32], text: &[u8], sealed: &mut [u8]) {
    if let Some((body, tag)) = sealed.split_last_chunk_mut() {
        body.copy_from_slice(text);
        portable::seal_text(key.octets(), 0, hash, body, tag);
    }
}

/// Opens what [`seal_handshake`] made; `None` on a wrong tag or length.
pub(crate) fn open_handshake<const N: usize>(
    key: &Secret,
    hash: &[u8; 32],
    sealed: &[u8],
) -> Option<[u8; N]> {
    let (body, tag) = sealed.split_last_chunk()?;
    let mut text = <[u8; N]>::try_from(body).ok()?;
    portable::open_text(key.octets(), 0, hash, &mut text, tag).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(octet: u8) -> Key {
        Key::new(Secret::new([octet; 32]))
    }

    #[test]
    fn a_job_needs_its_tailroom() {
        let key = key(1);
        let mut octets = [0; 100 + TAILROOM];
        assert!(Job::new(&key, 0, &mut octets, 100).is_some());
        assert!(Job::new(&key, 0, &mut octets, 101).is_none());
        assert!(Job::new(&key, 0, &mut octets, usize::MAX).is_none());
        assert!(Job::new(&key, 0, &mut octets[..TAILROOM], 0).is_some());
        assert!(Job::new(&key, 0, &mut octets[..TAILROOM - 1], 0).is_none());
    }

    proptest! {
        #[test]
        fn a_batch_is_judged_job_by_job(
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20),
            counter: u64,
            spoil: u32,
            at: prop::sample::Index,
        ) {
            let keys: Vec<Key> = (0..texts.len()).map(|n| key(n as u8)).collect();
            let mut buffers: Vec<Vec<u8>> =
                texts.iter().map(|text| [text.as_slice(), &[0; TAILROOM]].concat()).collect();
            let lens: Vec<usize> = texts.iter().map(Vec::len).collect();
            let number = |n: usize| counter.wrapping_add(n as u64);
            let mut jobs: Vec<Job<'_>> = buffers.iter_mut().enumerate()
                .map(|(n, buffer)| Job::new(&keys[n], number(n), buffer, lens[n]).unwrap())
                .collect();
            seal(&mut jobs);
            prop_assert!(jobs.iter().all(Job::accepted));
            let spoiled = |n: usize| spoil >> n & 1 == 1;
            for (n, buffer) in buffers.iter_mut().enumerate().filter(|&(n, _)| spoiled(n)) {
                let place = at.index(lens[n] + TAG_LEN);
                buffer[place] ^= 0x40;
            }
            let mut jobs: Vec<Job<'_>> = buffers.iter_mut().enumerate()
                .map(|(n, buffer)| Job::new(&keys[n], number(n), buffer, lens[n]).unwrap())
                .collect();
            open(&mut jobs);
            for (n, job) in jobs.iter().enumerate() {
                prop_assert_eq!(job.accepted(), !spoiled(n));
                if !spoiled(n) {
                    prop_assert_eq!(job.text(), &texts[n]);
                } else if lens[n] >= 8 {
                    prop_assert_ne!(job.text(), &texts[n]);
                }
            }
        }
    }
}
