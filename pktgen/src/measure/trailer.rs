//! The trailer: the last 24 octets of a payload say which packet of which stream this is, and when it was planned.

use wireguard::time::Instant;
use zerocopy::byteorder::network_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Octets at the end of a payload.
pub const TRAILER_LEN: usize = size_of::<Wire>();
/// What marks it, so that foreign payloads are not taken for ours: "mill".
const MAGIC: u32 = 0x6d69_6c6c;

/// On the wire.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Wire {
    magic: U32,
    stream: U32,
    sequence: U64,
    planned: U64,
}
const _: () = assert!(TRAILER_LEN == 24);

/// What a measured packet says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Its stream.
    pub stream: u32,
    /// Its number in the stream, from 0.
    pub sequence: u64,
    /// When it was planned to leave, by the generator's clock.
    pub planned: Instant,
}

impl Trailer {
    /// Writes it at the end of a payload; false when that is too short.
    pub fn write(self, payload: &mut [u8]) -> bool {
        let wire = Wire {
            magic: MAGIC.into(),
            stream: self.stream.into(),
            sequence: self.sequence.into(),
            planned: self.planned.0.into(),
        };
        wire.write_to_suffix(payload).is_ok()
    }

    /// The same as three words, from the first octet to the last, for who sums them before they are written.
    pub(crate) fn words(self) -> [u64; 3] {
        [(u64::from(MAGIC) << 32) | u64::from(self.stream), self.sequence, self.planned.0]
    }

    /// Reads it from the end of a payload.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let (_, wire) = Wire::ref_from_suffix(payload).ok()?;
        (wire.magic.get() == MAGIC).then(|| Self {
            stream: wire.stream.get(),
            sequence: wire.sequence.get(),
            planned: Instant(wire.planned.get()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_golden_trailer_goes_both_ways() {
        let golden = *b"xmill\0\0\0\x07\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x03";
        let trailer = Trailer { stream: 7, sequence: 258, planned: Instant(3) };
        let mut payload = [b'x'; 25];
        assert!(trailer.write(&mut payload));
        assert_eq!(payload[1..], *trailer.words().map(u64::to_be_bytes).as_flattened());
        assert_eq!(payload, golden);
        assert_eq!(Trailer::read(&golden), Some(trailer));
    }

    #[test]
    fn foreign_and_short_payloads_are_none() {
        assert_eq!(Trailer::read(&[0; 64]), None);
        assert_eq!(Trailer::read(&[0; 23]), None);
        assert!(!Trailer { stream: 0, sequence: 0, planned: Instant(0) }.write(&mut [0; 23]));
    }
}
