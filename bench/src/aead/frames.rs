//! The packets that all contestants work on: as a worker has them, text behind headers, not aligned.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use wireguard::aead::TAILROOM;

use super::{POOL, Size};

/// Octets from one buffer to the next, and where the text begins: behind Ethernet, IPv4, UDP and the
/// header of a data message.
const STRIDE: usize = 2240;
const TEXT_AT: usize = 14 + 20 + 8 + 16;
/// The longest text.
pub(super) const SIZE_MAX: usize = STRIDE - TEXT_AT - TAILROOM;

/// One packet to seal or open in place.
#[derive(Debug)]
pub(super) struct Packet {
    /// Its number in the list of keys.
    pub(super) key: usize,
    pub(super) counter: u64,
    pub(super) len: usize,
    /// The text and behind it at least [`TAILROOM`] octets.
    pub(super) octets: &'static mut [u8],
}

/// The pool of packets, and the keys.
pub(super) struct Frames {
    keys: Vec<[u8; 32]>,
    packets: Vec<Packet>,
    random: ChaCha8Rng,
}

impl Frames {
    pub(super) fn new(keys: usize) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut list = vec![[0; 32]; keys];
        for key in &mut list {
            random.fill_bytes(key);
        }
        // The bench ends with its process, so its buffers may live as long.
        let memory = vec![0x5a; STRIDE * POOL].leak();
        let packets = memory
            .chunks_mut(STRIDE)
            .filter_map(|buffer| buffer.get_mut(TEXT_AT..))
            .map(|octets| Packet { key: 0, counter: 0, len: 0, octets })
            .collect();
        Self { keys: list, packets, random }
    }

    pub(super) fn keys(&self) -> &[[u8; 32]] {
        &self.keys
    }

    pub(super) fn packets(&mut self) -> &mut [Packet] {
        &mut self.packets
    }

    pub(super) fn resize(&mut self, size: Size) {
        // Seven small, four middle and one large packet in mixed order, over and over.
        const MIX: [usize; 12] = [64, 576, 64, 64, 576, 64, 1420, 64, 576, 64, 576, 64];
        for (packet, mixed) in self.packets.iter_mut().zip(MIX.iter().cycle()) {
            packet.len = match size {
                Size::Uniform(len) => len,
                Size::Imix => *mixed,
            };
        }
    }

    /// Gives every packet the next counter and another key, in no order when there are many.
    pub(super) fn turn(&mut self) {
        let count = self.keys.len();
        for (number, packet) in self.packets.iter_mut().enumerate() {
            packet.counter += 1;
            let pick = if count > POOL { self.random.next_u32() as usize } else { number };
            packet.key = pick % count;
            if let Some(text) = packet.octets.get_mut(..packet.len) {
                text.fill(0x5a);
            }
        }
    }

    /// Whether every text is what it was.
    pub(super) fn restored(&self) -> bool {
        self.packets
            .iter()
            .all(|packet| packet.octets.iter().take(packet.len).all(|octet| *octet == 0x5a))
    }
}
