//! Batches to seal and open, and what the library makes of them.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use wireguard::aead::{Implementation, Job, Key, TAG_LEN, TAILROOM, open_with, seal_with};
use wireguard::secret::Secret;

/// The implementations that this processor can run; says which.
pub(crate) fn implementations(test: &str) -> Vec<Implementation> {
    let all = Implementation::ALL.into_iter();
    let (able, unable): (Vec<_>, Vec<_>) = all.partition(|one| one.available());
    println!("{test}: ran {able:?}, not run on this processor: {unable:?}");
    able
}

/// A packet with its key.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) key: [u8; 32],
    pub(crate) counter: u64,
    pub(crate) text: Vec<u8>,
}

/// Octets that look random and are the same in every run.
#[derive(Clone, Debug)]
pub(crate) struct Stream(pub(crate) u64);

impl Stream {
    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn packet(&mut self, len: usize) -> Packet {
        let mut key = [0; 32];
        key.fill_with(|| self.next() as u8);
        // Small, huge and ordinary counters.
        let counter = match self.below(4) {
            0 => self.next() % 3,
            1 => u64::MAX - self.next() % 3,
            _ => self.next(),
        };
        let text = (0..len).map(|_| self.next() as u8).collect();
        Packet { key, counter, text }
    }
}

impl Packet {
    /// What the library makes of it: text and tag.
    pub(crate) fn sealed(&self) -> Vec<u8> {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.counter.to_le_bytes());
        let mut octets = self.text.clone();
        let tag = ChaCha20Poly1305::new(&self.key.into())
            .encrypt_inout_detached(&nonce.into(), &[], octets.as_mut_slice().into())
            .unwrap();
        octets.extend_from_slice(&tag);
        octets
    }
}

/// Gives `run` a batch of jobs over copies of `texts` and returns which were accepted and what lies
/// in the buffers afterwards, up to the end of the tag.
fn with_jobs(
    packets: &[Packet],
    texts: &[Vec<u8>],
    run: impl FnOnce(&mut [Job<'_>]),
) -> Vec<(bool, Vec<u8>)> {
    let keys: Vec<Key> = packets.iter().map(|one| Key::new(Secret::new(one.key))).collect();
    let mut buffers: Vec<Vec<u8>> = texts.to_vec();
    for (buffer, packet) in buffers.iter_mut().zip(packets) {
        buffer.resize(packet.text.len() + TAILROOM, 0xa5);
    }
    let mut jobs: Vec<Job<'_>> = buffers
        .iter_mut()
        .zip(packets)
        .zip(&keys)
        .map(|((buffer, one), key)| Job::new(key, one.counter, buffer, one.text.len()).unwrap())
        .collect();
    run(&mut jobs);
    let accepted: Vec<bool> = jobs.iter().map(Job::accepted).collect();
    for (buffer, packet) in buffers.iter_mut().zip(packets) {
        buffer.truncate(packet.text.len() + TAG_LEN);
    }
    accepted.into_iter().zip(buffers).collect()
}

/// Text and tag of each packet.
pub(crate) fn seal(implementation: Implementation, packets: &[Packet]) -> Vec<Vec<u8>> {
    let texts: Vec<Vec<u8>> = packets.iter().map(|one| one.text.clone()).collect();
    let sealed = with_jobs(packets, &texts, |jobs| seal_with(implementation, jobs));
    assert!(sealed.iter().all(|(accepted, _)| *accepted));
    sealed.into_iter().map(|(_, octets)| octets).collect()
}

/// Whether each of the sealed texts is right, and the text that is there afterwards.
pub(crate) fn open(
    implementation: Implementation,
    packets: &[Packet],
    sealed: &[Vec<u8>],
) -> Vec<(bool, Vec<u8>)> {
    let mut opened = with_jobs(packets, sealed, |jobs| open_with(implementation, jobs));
    for ((_, octets), packet) in opened.iter_mut().zip(packets) {
        octets.truncate(packet.text.len());
    }
    opened
}

/// Seals and opens the batch by this implementation and compares both with the library.
pub(crate) fn check(implementation: Implementation, packets: &[Packet]) {
    let expected: Vec<Vec<u8>> = packets.iter().map(Packet::sealed).collect();
    let lens = || packets.iter().map(|one| one.text.len()).collect::<Vec<_>>();
    assert!(seal(implementation, packets) == expected, "{implementation} seals {:?}", lens());
    let opened = open(implementation, packets, &expected);
    let right = opened.iter().zip(packets).all(|((yes, text), one)| *yes && *text == one.text);
    assert!(right, "{implementation} opens {:?}", lens());
}
