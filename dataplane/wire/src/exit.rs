//! The header between a client's data centre and the one by which its packets leave: a whole IP packet in GRE in UDP (RFC 8086),
//! with key and sequence number.
//!
//! The key says which client it is, by a handle that its own server has made, and which way the packet goes. The sequence field
//! carries a proof that a data centre of ours has sent it, which is made and checked elsewhere.
//!
//! ```text
//! key       back 1 | handle 31
//! sequence  proof 32
//! ```

use crate::{Malformed, NoRoom, fleet};

pub use crate::fleet::{HEADER_LEN, PORT};

const BACK: u32 = 1 << 31;

/// The greatest handle.
pub const HANDLE_MAX: u32 = BACK - 1;

/// What stands before the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// From the exit to the client's server, and not to the exit.
    pub back: bool,
    /// The client, by its server's name for it; at most [`HANDLE_MAX`].
    pub handle: u32,
    /// Keyed hash that no outsider can make.
    pub proof: u32,
}

impl Header {
    /// The key field.
    #[inline]
    pub const fn key(&self) -> u32 {
        let back = if self.back { BACK } else { 0 };
        self.handle & HANDLE_MAX | back
    }

    /// The header with these two fields. Every key means something.
    #[inline]
    pub const fn from_key(key: u32, proof: u32) -> Self {
        Self { back: key & BACK != 0, handle: key & HANDLE_MAX, proof }
    }
}

/// Reads the payload of a datagram to `PORT`, and says where the carried packet starts. The proof is not checked, nor is the
/// carried packet beyond its version.
///
/// Errors: as [`fleet::parse`].
#[inline]
pub fn parse(udp_payload: &[u8]) -> Result<(Header, usize), Malformed> {
    let ([key, proof], _) = fleet::parse_fields(udp_payload)?;
    Ok((Header::from_key(key, proof), fleet::GRE_LEN))
}

/// Writes UDP and GRE headers before the packet that stands at `out[HEADER_LEN..]`. The UDP checksum stays zero, as
/// RFC 8086 5.1 and 5.2 allow.
///
/// Errors: `NoRoom` also when nothing is carried, or more than a datagram's 65,535 octets.
#[inline]
pub fn emit(out: &mut [u8], source_port: u16, header: &Header) -> Result<(), NoRoom> {
    fleet::emit_fields(out, source_port, [header.key(), header.proof])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From port 50,000 back to client 0x102.
    const GOLDEN: [u8; 22] = [
        0xc3, 0x50, 0x12, 0x92, 0, 22, 0, 0, // UDP
        0x30, 0, 0x08, 0x00, 0x80, 0, 0x01, 0x02, 0xde, 0xad, 0xbe, 0xef, // GRE
        0x45, 0x00,
    ];
    const HEADER: Header = Header { back: true, handle: 0x102, proof: 0xdead_beef };

    #[test]
    fn a_golden_header_goes_both_ways() {
        assert_eq!(parse(&GOLDEN[8..]), Ok((HEADER, 12)));
        let mut out = [0xff; 22];
        out[20..].copy_from_slice(&GOLDEN[20..]);
        assert_eq!(emit(&mut out, 50_000, &HEADER), Ok(()));
        assert_eq!(out, GOLDEN);
    }

    #[test]
    fn the_way_has_a_bit_of_its_own() {
        let there = Header { back: false, handle: HANDLE_MAX, proof: 0 };
        assert_eq!(there.key(), 0x7fff_ffff);
        assert_eq!(Header { back: true, handle: 0, proof: 7 }.key(), 0x8000_0000);
        let too_great = Header { handle: u32::MAX, ..there };
        assert!(!Header::from_key(too_great.key(), 0).back, "a handle does not change the way");
    }

    proptest! {
        #[test]
        fn every_key_is_read_and_written_alike(key: u32, proof: u32) {
            let header = Header::from_key(key, proof);
            prop_assert_eq!((header.key(), header.proof), (key, proof));
        }
    }
}
