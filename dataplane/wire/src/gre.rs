//! GRE headers (RFC 2784) with key and sequence number (RFC 2890).

use crate::checksum::Sum;
use crate::{Malformed, NoRoom};
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The protocol number of GRE.
pub const PROTOCOL: u8 = 47;
/// Octets of a header without optional fields.
pub const HEADER_LEN: usize = 4;
/// Octets of a header with all optional fields.
pub const HEADER_LEN_MAX: usize = 16;

const CHECKSUM_PRESENT: u16 = 0x8000;
pub(crate) const KEY_PRESENT: u16 = 0x2000;
pub(crate) const SEQUENCE_PRESENT: u16 = 0x1000;
/// Bits 1, 4 and 5: set by RFC 1701 senders only, to be refused by others (RFC 2784 2.2). Bits 6 to 12 are ignored.
const REFUSED: u16 = 0x4c00;
const VERSION: u16 = 0x0007;

/// The part that is always there.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Which optional fields follow, and the version.
    pub flags_version: U16,
    /// The payload's ethertype.
    pub protocol: U16,
}
const _: () = assert!(size_of::<Header>() == HEADER_LEN);

/// The fields of a checked header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// The payload's ethertype; 0 in a keepalive's answer.
    pub protocol: u16,
    /// Verified, if present, but for a quoted one.
    pub checksum: Option<u16>,
    /// Names the tunnel or the traffic in it.
    pub key: Option<u32>,
    /// Of the packet in its tunnel.
    pub sequence: Option<u32>,
    /// Octets of the header, 4..=16.
    pub payload_offset: usize,
}

/// Reads the header at the start of `octets`, all of an IP packet's payload; verifies the checksum if there is one.
///
/// Errors: `Truncated`, `Version`, `Reserved` (RFC 1701 routing and its kin), `Checksum`.
#[inline]
pub fn parse(octets: &[u8]) -> Result<Located, Malformed> {
    let located = parse_quoted(octets)?;
    if located.checksum.is_some() && !Sum::of(octets).is_intact() {
        return Err(Malformed::Checksum);
    }
    Ok(located)
}

/// Reads the header as an ICMP error quotes it: the payload's end may be missing, so the checksum is not verified.
#[inline]
pub fn parse_quoted(octets: &[u8]) -> Result<Located, Malformed> {
    let (header, mut rest) = Header::ref_from_prefix(octets).map_err(|_| Malformed::Truncated)?;
    let flags = header.flags_version.get();
    if flags & VERSION != 0 {
        return Err(Malformed::Version);
    }
    if flags & REFUSED != 0 {
        return Err(Malformed::Reserved);
    }
    let checksum = take(flags & CHECKSUM_PRESENT, &mut rest)?;
    let key = take(flags & KEY_PRESENT, &mut rest)?;
    let sequence = take(flags & SEQUENCE_PRESENT, &mut rest)?;
    Ok(Located {
        protocol: header.protocol.get(),
        // The lower half is Reserved1, ignored on receipt (RFC 2784 2.4).
        checksum: checksum.map(|[high, low, ..]| u16::from_be_bytes([high, low])),
        key: key.map(u32::from_be_bytes),
        sequence: sequence.map(u32::from_be_bytes),
        payload_offset: octets.len() - rest.len(),
    })
}

/// The next optional field, if its flag is set.
#[inline]
fn take(flag: u16, rest: &mut &[u8]) -> Result<Option<[u8; 4]>, Malformed> {
    if flag == 0 {
        return Ok(None);
    }
    let (field, behind) = rest.split_first_chunk::<4>().ok_or(Malformed::Truncated)?;
    *rest = behind;
    Ok(Some(*field))
}

/// What `emit` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// The payload's ethertype.
    pub protocol: u16,
    /// Names the tunnel or the traffic in it.
    pub key: Option<u32>,
    /// Of the packet in its tunnel.
    pub sequence: Option<u32>,
    /// Whether header and payload get a checksum.
    pub with_checksum: bool,
}

impl Fields {
    /// Octets that `emit` will write, so that the payload can be put behind them.
    #[inline]
    pub fn header_len(&self) -> usize {
        let fields = usize::from(self.with_checksum)
            + usize::from(self.key.is_some())
            + usize::from(self.sequence.is_some());
        HEADER_LEN + 4 * fields
    }
}

/// Writes the header before the payload that stands at `packet[fields.header_len()..]` and returns its length.
#[inline]
pub fn emit(packet: &mut [u8], fields: &Fields) -> Result<usize, NoRoom> {
    let flags = flag(fields.with_checksum, CHECKSUM_PRESENT)
        | flag(fields.key.is_some(), KEY_PRESENT)
        | flag(fields.sequence.is_some(), SEQUENCE_PRESENT);
    let header = Header { flags_version: flags.into(), protocol: fields.protocol.into() };
    let mut rest = header.write_to_prefix(packet).map(|()| HEADER_LEN).map_err(|_| NoRoom)?;
    let checksum = if fields.with_checksum { Some(0) } else { None };
    for field in [checksum, fields.key, fields.sequence].into_iter().flatten() {
        let room = packet.get_mut(rest..).ok_or(NoRoom)?;
        U32::from(field).write_to_prefix(room).map_err(|_| NoRoom)?;
        rest += 4;
    }
    if fields.with_checksum {
        let checksum = Sum::of(packet).finish();
        let room = packet.get_mut(HEADER_LEN..).ok_or(NoRoom)?;
        U16::from(checksum).write_to_prefix(room).map_err(|_| NoRoom)?;
    }
    Ok(rest)
}

#[inline]
fn flag(is_set: bool, bit: u16) -> u16 {
    if is_set { bit } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: [u8; 6] = [0, 0, 0x08, 0x00, b'h', b'i'];
    /// Checksum, key 1, sequence 2, one octet of payload.
    const FULL: [u8; 17] = [0xb0, 0, 0x86, 0xdd, 0x60, 0x1e, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0x69];

    fn full_fields() -> Fields {
        Fields { protocol: 0x86dd, key: Some(1), sequence: Some(2), with_checksum: true }
    }

    #[test]
    fn a_golden_plain_header_goes_both_ways() {
        let want = Located {
            protocol: 0x0800,
            checksum: None,
            key: None,
            sequence: None,
            payload_offset: 4,
        };
        assert_eq!(parse(&PLAIN), Ok(want));
        let fields = Fields { protocol: 0x0800, key: None, sequence: None, with_checksum: false };
        let mut out = *b"....hi";
        assert_eq!(emit(&mut out, &fields), Ok(4));
        assert_eq!(out, PLAIN);
    }

    #[test]
    fn a_golden_full_header_goes_both_ways() {
        let want = Located {
            protocol: 0x86dd,
            checksum: Some(0x601e),
            key: Some(1),
            sequence: Some(2),
            payload_offset: 16,
        };
        assert_eq!(parse(&FULL), Ok(want));
        let mut out = [0; 17];
        out[16] = 0x69;
        assert_eq!(emit(&mut out, &full_fields()), Ok(16));
        assert_eq!(out, FULL);
    }

    #[test]
    fn refuses_every_truncation() {
        for len in 0..16 {
            assert_eq!(parse(&FULL[..len]), Err(Malformed::Truncated), "len {len}");
            assert_eq!(emit(&mut vec![0; len], &full_fields()), Err(NoRoom), "len {len}");
        }
        assert_eq!(parse(&FULL[..16]), Err(Malformed::Checksum));
    }

    #[test]
    fn reads_a_quoted_header_whose_payload_is_not_all_there() {
        assert_eq!(parse_quoted(&FULL[..16]), parse(&FULL));
        assert_eq!(parse_quoted(&FULL[..15]), Err(Malformed::Truncated));
        assert_eq!(parse_quoted(&[0x80, 1, 8, 0, 0, 0, 0, 0]), Err(Malformed::Version));
    }

    #[test]
    fn refuses_versions_and_the_bits_of_rfc_1701() {
        // Version 1 is PPTP's (RFC 2637).
        for version in 1..8 {
            assert_eq!(parse(&[0, version, 8, 0]), Err(Malformed::Version));
        }
        for bits in [0x40, 0x08, 0x04] {
            assert_eq!(parse(&[bits, 0, 8, 0, 0, 0, 0, 0]), Err(Malformed::Reserved));
        }
    }

    #[test]
    fn ignores_bits_6_to_12() {
        assert_eq!(parse(&[0x03, 0xf8, 8, 0]).unwrap().payload_offset, 4);
    }

    proptest! {
        #[test]
        fn emit_and_parse_agree(
            protocol: u16, key: Option<u32>, sequence: Option<u32>, with_checksum: bool,
            payload in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let fields = Fields { protocol, key, sequence, with_checksum };
            let mut packet = [vec![0; fields.header_len()], payload].concat();
            prop_assert_eq!(emit(&mut packet, &fields), Ok(fields.header_len()));
            let located = parse(&packet).unwrap();
            prop_assert_eq!(located.payload_offset, fields.header_len());
            prop_assert_eq!((located.protocol, located.key, located.sequence), (protocol, key, sequence));
            prop_assert_eq!(located.checksum.is_some(), with_checksum);
        }
    }
}
