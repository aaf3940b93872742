//! UDP headers (RFC 768, RFC 8200 8.1).

use crate::checksum::Sum;
use crate::{Malformed, NoRoom};
use core::net::{Ipv4Addr, Ipv6Addr};
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The protocol number of UDP.
pub const PROTOCOL: u8 = 17;
/// Octets of the header.
pub const HEADER_LEN: usize = 8;

/// The header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Port of the sender, 0 when it wants no answer.
    pub source_port: U16,
    /// Port of the receiver.
    pub destination_port: U16,
    /// Octets of header and payload.
    pub length: U16,
    /// Over pseudo header, header and payload; 0 for none.
    pub checksum: U16,
}
const _: () = assert!(size_of::<Header>() == HEADER_LEN);

/// Both ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ports {
    /// Port of the sender.
    pub source: u16,
    /// Port of the receiver.
    pub destination: u16,
}

/// The fields of a checked header; the payload starts at `HEADER_LEN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// Both ports.
    pub ports: Ports,
    /// Octets behind the header.
    pub payload_len: usize,
    /// As on the wire, not verified; 0 for none.
    pub checksum: u16,
}

/// Reads the header of a whole datagram: `octets` is all of an IP packet's payload.
///
/// Errors: `Truncated`; `TotalLength` for a length below 8 or beyond the payload; `TrailingOctets` for one that
/// leaves octets uncovered, which firewalls and endpoints would see differently.
#[inline]
pub fn parse(octets: &[u8]) -> Result<Located, Malformed> {
    let (header, payload) = Header::ref_from_prefix(octets).map_err(|_| Malformed::Truncated)?;
    let len = usize::from(header.length.get());
    if len < HEADER_LEN || len > octets.len() {
        return Err(Malformed::TotalLength);
    }
    if len < octets.len() {
        return Err(Malformed::TrailingOctets);
    }
    Ok(located(*header, payload.len()))
}

/// Reads the header of a datagram whose end is elsewhere: in a first fragment, or quoted in an ICMP error.
/// `payload_len` is what the header says, beyond what is there.
#[inline]
pub fn parse_start(octets: &[u8]) -> Result<Located, Malformed> {
    let (header, _) = Header::ref_from_prefix(octets).map_err(|_| Malformed::Truncated)?;
    let len = usize::from(header.length.get());
    let payload_len = len.checked_sub(HEADER_LEN).ok_or(Malformed::TotalLength)?;
    Ok(located(*header, payload_len))
}

#[inline]
fn located(header: Header, payload_len: usize) -> Located {
    let ports =
        Ports { source: header.source_port.get(), destination: header.destination_port.get() };
    Located { ports, payload_len, checksum: header.checksum.get() }
}

/// Verifies a parsed datagram over IPv4; one without a checksum passes.
#[inline]
pub fn verify_v4(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    datagram: &[u8],
) -> Result<(), Malformed> {
    let (located, len) = whole(datagram)?;
    if located.checksum == 0 {
        return Ok(());
    }
    verify(Sum::pseudo_v4(source, destination, PROTOCOL, len), datagram)
}

/// Verifies a parsed datagram over IPv6, which must have a checksum (RFC 8200 8.1).
#[inline]
pub fn verify_v6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    datagram: &[u8],
) -> Result<(), Malformed> {
    let (located, len) = whole(datagram)?;
    if located.checksum == 0 {
        return Err(Malformed::ChecksumMissing);
    }
    verify(Sum::pseudo_v6(source, destination, PROTOCOL, len), datagram)
}

#[inline]
fn whole(datagram: &[u8]) -> Result<(Located, u16), Malformed> {
    let len = u16::try_from(datagram.len()).map_err(|_| Malformed::TotalLength)?;
    Ok((parse(datagram)?, len))
}

#[inline]
fn verify(pseudo: Sum, datagram: &[u8]) -> Result<(), Malformed> {
    let sum = pseudo.plus(Sum::of(datagram));
    if sum.is_intact() { Ok(()) } else { Err(Malformed::Checksum) }
}

/// Writes the header before the payload that stands at `datagram[8..]`, with the checksum over IPv4.
///
/// Errors: `NoRoom` for a datagram below 8 or above 65,535 octets.
#[inline]
pub fn emit_v4(
    datagram: &mut [u8],
    ports: Ports,
    source: Ipv4Addr,
    destination: Ipv4Addr,
) -> Result<(), NoRoom> {
    let len = write(datagram, ports)?;
    seal(datagram, Sum::pseudo_v4(source, destination, PROTOCOL, len))
}

/// Writes the header before the payload that stands at `datagram[8..]`, with the checksum over IPv6.
///
/// Errors: `NoRoom` for a datagram below 8 or above 65,535 octets.
#[inline]
pub fn emit_v6(
    datagram: &mut [u8],
    ports: Ports,
    source: Ipv6Addr,
    destination: Ipv6Addr,
) -> Result<(), NoRoom> {
    let len = write(datagram, ports)?;
    seal(datagram, Sum::pseudo_v6(source, destination, PROTOCOL, len))
}

/// Writes the header without a checksum: over IPv4, and for tunnels over IPv6 that RFC 6935 excepts.
///
/// Errors: `NoRoom` for a datagram below 8 or above 65,535 octets.
#[inline]
pub fn emit_without_checksum(datagram: &mut [u8], ports: Ports) -> Result<(), NoRoom> {
    write(datagram, ports).map(|_| ())
}

/// Writes the header with checksum 0 and returns the length field.
#[inline]
fn write(datagram: &mut [u8], ports: Ports) -> Result<u16, NoRoom> {
    let len = u16::try_from(datagram.len()).map_err(|_| NoRoom)?;
    let header = Header {
        source_port: ports.source.into(),
        destination_port: ports.destination.into(),
        length: len.into(),
        checksum: 0.into(),
    };
    header.write_to_prefix(datagram).map_err(|_| NoRoom)?;
    Ok(len)
}

/// Sets the checksum; a computed zero is sent as 0xffff, since zero means none (RFC 768).
#[inline]
fn seal(datagram: &mut [u8], pseudo: Sum) -> Result<(), NoRoom> {
    let checksum = match pseudo.plus(Sum::of(datagram)).finish() {
        0 => 0xffff,
        checksum => checksum,
    };
    let (header, _) = Header::mut_from_prefix(datagram).map_err(|_| NoRoom)?;
    header.checksum = checksum.into();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 192.0.2.1:4660 to 198.51.100.2:53, "abc".
    const GOLDEN: [u8; 11] = [0x12, 0x34, 0, 53, 0, 11, 0x3c, 0xd5, b'a', b'b', b'c'];
    const PORTS: Ports = Ports { source: 0x1234, destination: 53 };
    const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const DESTINATION: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

    fn v6() -> (Ipv6Addr, Ipv6Addr) {
        ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap())
    }

    #[test]
    fn a_golden_datagram_goes_both_ways() {
        let want = Located { ports: PORTS, payload_len: 3, checksum: 0x3cd5 };
        assert_eq!(parse(&GOLDEN), Ok(want));
        assert_eq!(verify_v4(SOURCE, DESTINATION, &GOLDEN), Ok(()));
        let mut out = *b"........abc";
        emit_v4(&mut out, PORTS, SOURCE, DESTINATION).unwrap();
        assert_eq!(out, GOLDEN);
    }

    #[test]
    fn refuses_every_truncation_and_every_lying_length() {
        for len in 0..11 {
            let want = if len < 8 { Malformed::Truncated } else { Malformed::TotalLength };
            assert_eq!(parse(&GOLDEN[..len]), Err(want), "len {len}");
        }
        for (length, want) in [
            (7, Malformed::TotalLength),
            (10, Malformed::TrailingOctets),
            (12, Malformed::TotalLength),
        ] {
            let mut octets = GOLDEN;
            octets[5] = length;
            assert_eq!(parse(&octets), Err(want), "length {length}");
        }
    }

    #[test]
    fn reads_the_start_of_a_longer_datagram() {
        let mut octets = GOLDEN;
        octets[4] = 5;
        assert_eq!(parse_start(&octets[..8]).unwrap().payload_len, 5 * 256 + 3);
        octets[4..6].copy_from_slice(&[0, 7]);
        assert_eq!(parse_start(&octets), Err(Malformed::TotalLength));
    }

    #[test]
    fn a_zero_checksum_passes_over_ipv4_and_is_refused_over_ipv6() {
        let mut out = *b"........abc";
        emit_without_checksum(&mut out, PORTS).unwrap();
        assert_eq!(verify_v4(SOURCE, DESTINATION, &out), Ok(()));
        assert_eq!(verify_v6(v6().0, v6().1, &out), Err(Malformed::ChecksumMissing));
    }

    #[test]
    fn a_computed_zero_is_sent_as_all_ones() {
        // The payload word is chosen so that the sum becomes 0xffff and its complement zero.
        let mut out = [0; 10];
        emit_v4(&mut out, PORTS, SOURCE, DESTINATION).unwrap();
        let complement = [out[6], out[7]];
        out[8..].copy_from_slice(&complement);
        emit_v4(&mut out, PORTS, SOURCE, DESTINATION).unwrap();
        assert_eq!(out[6..8], [0xff, 0xff]);
        assert_eq!(verify_v4(SOURCE, DESTINATION, &out), Ok(()));
    }

    #[test]
    fn refuses_to_emit_what_no_length_field_can_say() {
        assert_eq!(emit_v4(&mut [0; 7], PORTS, SOURCE, DESTINATION), Err(NoRoom));
        assert_eq!(emit_without_checksum(&mut vec![0; 65_536], PORTS), Err(NoRoom));
        assert_eq!(emit_without_checksum(&mut vec![0; 65_535], PORTS), Ok(()));
    }

    proptest! {
        #[test]
        fn what_is_emitted_verifies_and_any_flipped_bit_does_not(
            mut out in prop::collection::vec(any::<u8>(), 8..100),
            source: u16, destination: u16, bit in any::<prop::sample::Index>(),
        ) {
            let ports = Ports { source, destination };
            emit_v6(&mut out, ports, v6().0, v6().1).unwrap();
            prop_assert_eq!(verify_v6(v6().0, v6().1, &out), Ok(()));
            prop_assert_eq!(parse(&out).unwrap().ports, ports);
            let bit = bit.index(out.len() * 8);
            out[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(verify_v6(v6().0, v6().1, &out).is_err());
        }
    }
}
