//! The segments: of invented sources, or of flows that are under way.

use std::net::IpAddr;

use dataplane::frame::{Entry, Frame, Note};
use dataplane::packet::Address;
use dataplane::stages::dos::syn::Segment;
use dataplane::testing::packets::Ip;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use wire::tcp::{Fields, Flags};

use super::{BUFFER, HEADROOM};

/// Flows have this many different sources and ports at most.
pub(super) const FLOWS_LIMIT: u32 = 1 << 24;

/// Where segments come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// SYNs of invented IPv4 sources.
    Syn4,
    /// SYNs of invented IPv6 sources.
    Syn6,
    /// ACKs of invented IPv4 sources.
    Stray,
    /// Random ones of so many flows: ACKs, or SYNs of their sources.
    Known { flows: u32, syn: bool },
}

/// The options of a Linux client's SYN, and of its other segments.
const SYN_OPTIONS: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];
const ACK_OPTIONS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 7];

const SEED: u64 = 0x5e65_e6e5;

/// Segments without end.
pub(super) struct Stream {
    source: Source,
    random: ChaCha8Rng,
}

impl Stream {
    pub(super) fn new(source: Source) -> Self {
        Self { source, random: ChaCha8Rng::seed_from_u64(SEED) }
    }

    /// One segment of each flow that is under way.
    pub(super) fn under_way(&self) -> impl Iterator<Item = Vec<u8>> + use<> {
        let count = if let Source::Known { flows, .. } = self.source { flows } else { 0 };
        (0..count).map(|number| packet(flow(number), (Flags::ACK, 1, 1)))
    }

    fn next(&mut self) -> Vec<u8> {
        let [one, two, three] = [(); 3].map(|()| self.random.next_u32());
        let invented = (IpAddr::from((one | 0x0100_0000).to_be_bytes()), low(two));
        match self.source {
            Source::Syn4 => packet(invented, (Flags::SYN, three, 0)),
            Source::Syn6 => {
                let bits = 0x2001_0db8_u128 << 96 | u128::from(one) << 64 | u128::from(three);
                packet((bits.to_be_bytes().into(), low(two)), (Flags::SYN, three, 0))
            }
            Source::Stray => packet(invented, (Flags::ACK, three, one)),
            Source::Known { flows, syn } => {
                let flags = if syn { Flags::SYN } else { Flags::ACK };
                packet(flow(one % flows), (flags, two, three))
            }
        }
    }

    /// Fills buffers with segments and lends them as frames, each with its source.
    pub(super) fn fill<'a>(
        &mut self,
        buffers: &'a mut [[u8; BUFFER]],
        notes: &'a mut [Note],
    ) -> Vec<(Frame<'a>, Address)> {
        let pairs = buffers.iter_mut().zip(notes);
        let mut frames = Vec::with_capacity(pairs.len());
        for (buffer, note) in pairs {
            let packet = self.next();
            let room = buffer.get_mut(HEADROOM..).unwrap_or_default();
            for (place, octet) in room.iter_mut().zip(&packet) {
                *place = *octet;
            }
            note.begin(Entry::Wire(0), false);
            let mut frame = Frame::new(buffer, HEADROOM, packet.len(), note);
            if let Ok(source) = frame.read_ip() {
                frames.push((frame, source));
            }
        }
        frames
    }
}

/// What the stage reads of a frame.
pub(super) fn read(frame: &mut Frame<'_>) -> Option<Segment> {
    let source = frame.read_ip().ok()?;
    Segment::read(frame.data(), &frame.note.ip, source).ok()
}

/// Source and port of a flow: each flow has its own of both.
fn flow(number: u32) -> (IpAddr, u16) {
    (IpAddr::from((0x0a00_0000 | number).to_be_bytes()), low(number | 0x400))
}

fn low(word: u32) -> u16 {
    let [a, b, ..] = word.to_le_bytes();
    u16::from_le_bytes([a, b])
}

fn packet(
    (source, source_port): (IpAddr, u16),
    (flags, sequence_number, acknowledgment_number): (Flags, u32, u32),
) -> Vec<u8> {
    let destination = match source {
        IpAddr::V4(_) => IpAddr::from([203, 0, 113, 9]),
        IpAddr::V6(_) => IpAddr::from((0x2001_0db8_u128 << 96 | 9).to_be_bytes()),
    };
    let fields = Fields {
        source_port,
        destination_port: 443,
        sequence_number,
        acknowledgment_number,
        flags,
        window: 64_240,
    };
    let options: &[u8] = if flags.has(Flags::SYN) { &SYN_OPTIONS } else { &ACK_OPTIONS };
    Ip::new(source, destination).tcp(&fields, options, b"")
}
