//! Batches of any mix, with spoiled packets among them: every implementation gives the octets of the
//! library, refuses what the library refuses, and touches nothing but its jobs.
#![no_main]

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use libfuzzer_sys::fuzz_target;
use wireguard::aead::{Implementation, Job, Key, TAG_LEN, TAILROOM, open_with, seal_with};
use wireguard::secret::Secret;

const MARGIN: usize = 64;

struct Packet {
    key: [u8; 32],
    counter: u64,
    text: Vec<u8>,
    /// Which octet of text and tag is spoiled before opening, and how.
    spoil: Option<(usize, u8)>,
}

impl Packet {
    /// A packet from five octets of input.
    fn new([len, scale, key, counter, spoil]: [u8; 5]) -> Self {
        // Most are short; some have the length of a whole datagram.
        let len = usize::from(len) << (scale % 4);
        let text = (0..len).map(|n| (n as u8).wrapping_mul(scale | 1)).collect();
        let counter = u64::from(counter).wrapping_sub(3);
        let place = usize::from(spoil) * 37 % (len + TAG_LEN);
        let spoil = (spoil % 4 == 3).then_some((place, 1 << (spoil >> 5)));
        Self { key: [key; 32], counter, text, spoil }
    }

    fn sealed(&self) -> Vec<u8> {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.counter.to_le_bytes());
        let mut octets = self.text.clone();
        let cipher = ChaCha20Poly1305::new(&self.key.into());
        let tag = cipher.encrypt_inout_detached(&nonce.into(), &[], octets.as_mut_slice().into());
        octets.extend_from_slice(&tag.unwrap());
        octets
    }
}

/// Lets `run` work on a batch of these texts and gives back text and tag of each.
fn batch(packets: &[Packet], texts: &[Vec<u8>], run: fn(&mut [Job<'_>])) -> Vec<(bool, Vec<u8>)> {
    let keys: Vec<Key> = packets.iter().map(|one| Key::new(Secret::new(one.key))).collect();
    let mut buffers: Vec<Vec<u8>> = Vec::new();
    for (text, packet) in texts.iter().zip(packets) {
        let mut buffer = vec![0xa5; MARGIN + packet.text.len() + TAILROOM + MARGIN];
        buffer[MARGIN..MARGIN + text.len()].copy_from_slice(text);
        buffers.push(buffer);
    }
    let mut jobs: Vec<Job<'_>> = Vec::new();
    for ((buffer, packet), key) in buffers.iter_mut().zip(packets).zip(&keys) {
        let end = buffer.len() - MARGIN;
        let octets = &mut buffer[MARGIN..end];
        jobs.push(Job::new(key, packet.counter, octets, packet.text.len()).unwrap());
    }
    run(&mut jobs);
    let accepted: Vec<bool> = jobs.iter().map(Job::accepted).collect();
    let margins = |buffer: &Vec<u8>| {
        let (before, rest) = buffer.split_at(MARGIN);
        let (_, behind) = rest.split_at(rest.len() - MARGIN);
        [before, behind].concat().iter().all(|octet| *octet == 0xa5)
    };
    assert!(buffers.iter().all(margins), "touched what is not a job's");
    let texts = buffers.iter().zip(packets).map(|(buffer, packet)| {
        buffer[MARGIN..MARGIN + packet.text.len() + TAG_LEN].to_vec()
    });
    accepted.into_iter().zip(texts).collect()
}

fn check(packets: &[Packet], open: fn(&mut [Job<'_>]), seal: fn(&mut [Job<'_>])) {
    let plain: Vec<Vec<u8>> = packets.iter().map(|one| one.text.clone()).collect();
    let mut sealed: Vec<Vec<u8>> = packets.iter().map(Packet::sealed).collect();
    for ((accepted, made), expected) in batch(packets, &plain, seal).into_iter().zip(&sealed) {
        assert!(accepted && made == *expected, "sealed otherwise");
    }
    for (octets, packet) in sealed.iter_mut().zip(packets) {
        if let Some((place, bits)) = packet.spoil {
            octets[place] ^= bits;
        }
    }
    for (n, (accepted, text)) in batch(packets, &sealed, open).iter().enumerate() {
        let packet = &packets[n];
        assert_eq!(*accepted, packet.spoil.is_none(), "judged otherwise");
        let expected = if *accepted { &packet.text } else { &sealed[n] };
        assert!(text[..packet.text.len()] == expected[..packet.text.len()], "opened otherwise");
    }
}

fuzz_target!(|octets: &[u8]| {
    let packets: Vec<Packet> =
        octets.as_chunks().0.iter().take(150).map(|five| Packet::new(*five)).collect();
    check(
        &packets,
        |jobs| open_with(Implementation::Avx512, jobs),
        |jobs| seal_with(Implementation::Avx512, jobs),
    );
    check(
        &packets,
        |jobs| open_with(Implementation::Avx2, jobs),
        |jobs| seal_with(Implementation::Avx2, jobs),
    );
});
