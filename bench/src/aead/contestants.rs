//! Those in Rust: ours, and the crates.

use aws_lc_rs::aead as aws;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Tag};
use dpdk::clock::cycles;
use ring::aead as ring;
use wireguard::aead::{Implementation, Job, Key, TAG_LEN, open_with, seal_with};
use wireguard::secret::Secret;

use super::frames::Packet;
use super::{POOL, libraries};
use crate::Failure;

/// Somebody who can seal and open.
pub(super) trait Contestant {
    fn name(&self) -> String;
    /// Seals or opens packets in place, in batches. What a caller has at hand anyway, lists of
    /// packets in the library's form, is made before the clock starts.
    fn run(&mut self, packets: &mut [Packet], batch: usize, seal: bool) -> Outcome;
}

/// Packets that were right, and cycles that all took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    pub(super) right: usize,
    pub(super) cycles: u64,
}

/// Times `work`, which says how many packets were right.
pub(super) fn timed(work: impl FnOnce() -> usize) -> Outcome {
    let start = cycles();
    let right = work();
    Outcome { right, cycles: cycles() - start }
}

/// All that can run here, with keys prepared; of those wanted, if any are named.
pub(super) fn all(keys: &[[u8; 32]], only: &[String]) -> Result<Vec<Box<dyn Contestant>>, Failure> {
    let mut found: Vec<Box<dyn Contestant>> = Vec::new();
    for implementation in Implementation::ALL.into_iter().filter(|one| one.available()) {
        let keys = keys.iter().map(|key| Key::new(Secret::new(*key))).collect();
        found.push(Box::new(Ours { implementation, keys }));
    }
    found.push(Box::new(Ring::new(keys)?));
    found.push(Box::new(Aws::new(keys)?));
    found.push(Box::new(RustCrypto(
        keys.iter().map(|key| ChaCha20Poly1305::new(key.into())).collect(),
    )));
    found.extend(libraries::all(keys));
    let wanted = |name: &str| only.is_empty() || only.iter().any(|part| name.contains(part));
    found.retain(|one| wanted(&one.name()));
    Ok(found)
}

struct Ours {
    implementation: Implementation,
    keys: Vec<Key>,
}

impl Contestant for Ours {
    fn name(&self) -> String {
        format!("millrace {}", self.implementation)
    }

    fn run(&mut self, packets: &mut [Packet], batch: usize, seal: bool) -> Outcome {
        let mut jobs = arrayvec::ArrayVec::<Job<'_>, POOL>::new();
        for packet in packets {
            let Some(key) = self.keys.get(packet.key) else { continue };
            jobs.extend(Job::new(key, packet.counter, packet.octets, packet.len));
        }
        let mut outcome = timed(|| {
            for jobs in jobs.chunks_mut(batch) {
                if seal {
                    seal_with(self.implementation, jobs);
                } else {
                    open_with(self.implementation, jobs);
                }
            }
            0
        });
        outcome.right = jobs.iter().filter(|job| job.accepted()).count();
        outcome
    }
}

/// Four zero octets and the counter, little endian.
fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}

struct Ring(Vec<ring::LessSafeKey>);

impl Ring {
    fn new(keys: &[[u8; 32]]) -> Result<Self, Failure> {
        let key = |key: &[u8; 32]| ring::UnboundKey::new(&ring::CHACHA20_POLY1305, key);
        let keys: Result<Vec<_>, _> = keys.iter().map(key).collect();
        let keys = keys.map_err(|_| "ring refuses the keys")?;
        Ok(Self(keys.into_iter().map(ring::LessSafeKey::new).collect()))
    }
}

impl Contestant for Ring {
    fn name(&self) -> String {
        "ring".into()
    }

    fn run(&mut self, packets: &mut [Packet], _batch: usize, seal: bool) -> Outcome {
        let one = |packet: &mut Packet| {
            let key = self.0.get(packet.key)?;
            let nonce = ring::Nonce::assume_unique_for_key(nonce(packet.counter));
            if !seal {
                let sealed = packet.octets.get_mut(..packet.len + TAG_LEN)?;
                return key.open_in_place(nonce, ring::Aad::empty(), sealed).ok().map(drop);
            }
            let (text, tail) = packet.octets.split_at_mut_checked(packet.len)?;
            let tag = key.seal_in_place_separate_tag(nonce, ring::Aad::empty(), text).ok()?;
            tail.get_mut(..TAG_LEN)?.copy_from_slice(tag.as_ref());
            Some(())
        };
        timed(|| packets.iter_mut().filter_map(one).count())
    }
}

struct Aws(Vec<aws::LessSafeKey>);

impl Aws {
    fn new(keys: &[[u8; 32]]) -> Result<Self, Failure> {
        let key = |key: &[u8; 32]| aws::UnboundKey::new(&aws::CHACHA20_POLY1305, key);
        let keys: Result<Vec<_>, _> = keys.iter().map(key).collect();
        let keys = keys.map_err(|_| "aws-lc-rs refuses the keys")?;
        Ok(Self(keys.into_iter().map(aws::LessSafeKey::new).collect()))
    }
}

impl Contestant for Aws {
    fn name(&self) -> String {
        "aws-lc-rs".into()
    }

    fn run(&mut self, packets: &mut [Packet], _batch: usize, seal: bool) -> Outcome {
        let one = |packet: &mut Packet| {
            let key = self.0.get(packet.key)?;
            let nonce = aws::Nonce::assume_unique_for_key(nonce(packet.counter));
            if !seal {
                let sealed = packet.octets.get_mut(..packet.len + TAG_LEN)?;
                return key.open_in_place(nonce, aws::Aad::empty(), sealed).ok().map(drop);
            }
            let (text, tail) = packet.octets.split_at_mut_checked(packet.len)?;
            let tag = key.seal_in_place_separate_tag(nonce, aws::Aad::empty(), text).ok()?;
            tail.get_mut(..TAG_LEN)?.copy_from_slice(tag.as_ref());
            Some(())
        };
        timed(|| packets.iter_mut().filter_map(one).count())
    }
}

struct RustCrypto(Vec<ChaCha20Poly1305>);

impl Contestant for RustCrypto {
    fn name(&self) -> String {
        "RustCrypto".into()
    }

    fn run(&mut self, packets: &mut [Packet], _batch: usize, seal: bool) -> Outcome {
        let one = |packet: &mut Packet| {
            let cipher = self.0.get(packet.key)?;
            let nonce = nonce(packet.counter).into();
            let (text, tail) = packet.octets.split_at_mut_checked(packet.len)?;
            let tag = tail.first_chunk_mut::<TAG_LEN>()?;
            if seal {
                let made = cipher.encrypt_inout_detached(&nonce, &[], text.into()).ok()?;
                *tag = made.into();
                return Some(());
            }
            let tag = Tag::from(*tag);
            cipher.decrypt_inout_detached(&nonce, &[], text.into(), &tag).ok()
        };
        timed(|| packets.iter_mut().filter_map(one).count())
    }
}
