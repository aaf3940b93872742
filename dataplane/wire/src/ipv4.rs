//! IPv4 headers (RFC 791): checked parse, emit, and the changes that forwarding makes.

pub mod fragment;

use crate::checksum::{Delta, Sum};
use crate::ecn::Ecn;
use crate::{Expired, Malformed, NoRoom};
use core::net::Ipv4Addr;
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The ethertype of IPv4.
pub const ETHERTYPE: u16 = 0x0800;
/// The protocol number of IPv4 inside IP.
pub const PROTOCOL: u8 = 4;
/// Octets of a header without options.
pub const HEADER_LEN: usize = 20;

const VERSION_4: u8 = 0x40;
const VERSION_4_WITHOUT_OPTIONS: u8 = 0x45;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;
const LEN_MAX: usize = 65_535;

/// The header without options.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Version 4 in the high half, header length in 32-bit words in the low half.
    pub version_ihl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Octets of header and payload.
    pub total_length: U16,
    /// Names the datagram that a fragment belongs to.
    pub identification: U16,
    /// Three flags, then the offset in units of 8 octets.
    pub flags_fragment_offset: U16,
    /// Hops left.
    pub ttl: u8,
    /// The payload's protocol.
    pub protocol: u8,
    /// Over the header alone.
    pub checksum: U16,
    /// Where the packet comes from.
    pub source: [u8; 4],
    /// Where it goes.
    pub destination: [u8; 4],
}
const _: () = assert!(size_of::<Header>() == HEADER_LEN);

impl Header {
    /// The header at the start of a packet that was parsed before, to be changed in place.
    #[inline]
    pub fn of(octets: &mut [u8]) -> Result<&mut Self, Malformed> {
        Self::mut_from_prefix(octets).map(|(header, _)| header).map_err(|_| Malformed::Truncated)
    }

    /// Whether it is of version 4, has no options, and is of no fragment.
    #[inline]
    pub const fn is_plain(&self) -> bool {
        let fragment = u16::from_be_bytes(self.flags_fragment_offset.to_bytes());
        self.version_ihl == VERSION_4_WITHOUT_OPTIONS && fragment & !DONT_FRAGMENT == 0
    }

    /// Takes one hop off and returns the TTL left; a packet without any is left unchanged (RFC 1812 5.3.1).
    #[inline]
    pub fn decrement_ttl(&mut self) -> Result<u8, Expired> {
        if self.ttl <= 1 {
            return Err(Expired);
        }
        self.ttl -= 1;
        self.mend(Delta::of_word(0x0100, 0));
        Ok(self.ttl)
    }

    /// Replaces the ECN field.
    #[inline]
    pub fn set_ecn(&mut self, ecn: Ecn) {
        let tos = ecn.within(self.tos);
        self.mend(Delta::of_word(u16::from(self.tos), u16::from(tos)));
        self.tos = tos;
    }

    /// Whether the packet is no fragment and must not become one, and so may bear any identification (RFC 6864 4.1).
    #[inline]
    pub const fn is_atomic(&self) -> bool {
        let flags = self.flags_fragment_offset.get();
        flags & DONT_FRAGMENT != 0 && flags & (MORE_FRAGMENTS | OFFSET_MASK) == 0
    }

    /// Replaces the identification.
    #[inline]
    pub fn set_identification(&mut self, identification: u16) {
        self.mend(Delta::of_word(self.identification.get(), identification));
        self.identification = identification.into();
    }

    /// Replaces the source; the difference is returned for the upper protocol's checksum.
    #[inline]
    pub fn set_source(&mut self, source: Ipv4Addr) -> Delta {
        let delta = Delta::of_v4(self.source.into(), source);
        self.source = source.octets();
        self.mend(delta);
        delta
    }

    /// Replaces the destination; the difference is returned for the upper protocol's checksum.
    #[inline]
    pub fn set_destination(&mut self, destination: Ipv4Addr) -> Delta {
        let delta = Delta::of_v4(self.destination.into(), destination);
        self.destination = destination.octets();
        self.mend(delta);
        delta
    }

    #[inline]
    fn mend(&mut self, delta: Delta) {
        self.checksum = delta.apply(self.checksum.get()).into();
    }
}

/// The fields of a checked header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// Where the packet comes from.
    pub source: Ipv4Addr,
    /// Where it goes.
    pub destination: Ipv4Addr,
    /// The payload's protocol.
    pub protocol: u8,
    /// Hops left.
    pub ttl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Names the datagram that a fragment belongs to.
    pub identification: u16,
    /// Flags and offset as on the wire; the methods read them.
    pub flags_fragment_offset: u16,
    /// Octets of the header with its options, 20..=60.
    pub payload_offset: usize,
    /// Octets behind the header, without the padding of the link.
    pub payload_len: usize,
}

impl Located {
    /// Whether this is a part of a datagram: not at its start, or not at its end.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.flags_fragment_offset & (MORE_FRAGMENTS | OFFSET_MASK) != 0
    }

    /// Whether the upper protocol's header is elsewhere.
    #[inline]
    pub fn is_later_fragment(&self) -> bool {
        self.flags_fragment_offset & OFFSET_MASK != 0
    }

    /// Whether fragments follow.
    #[inline]
    pub fn has_more_fragments(&self) -> bool {
        self.flags_fragment_offset & MORE_FRAGMENTS != 0
    }

    /// Octets of the datagram's payload before this fragment.
    #[inline]
    pub fn fragment_offset(&self) -> usize {
        usize::from(self.flags_fragment_offset & OFFSET_MASK) * 8
    }

    /// Whether routers must not fragment it.
    #[inline]
    pub fn dont_fragment(&self) -> bool {
        self.flags_fragment_offset & DONT_FRAGMENT != 0
    }

    /// Whether options stand between header and payload.
    #[inline]
    pub fn has_options(&self) -> bool {
        self.payload_offset != HEADER_LEN
    }

    /// Octets of header and payload.
    #[inline]
    pub fn total_len(&self) -> usize {
        self.payload_offset + self.payload_len
    }
}

/// Reads the header at the start of `octets`; what follows the total length is link padding and ignored.
///
/// Errors: `Truncated`, `Version`, `HeaderLength`, `TotalLength`, `Fragment`, `Checksum`.
#[expect(clippy::inline_always, reason = "what is called hands its result back through memory")]
#[inline(always)]
pub fn parse(octets: &[u8]) -> Result<Located, Malformed> {
    let located = parse_unverified(octets)?;
    let header = octets.first_chunk::<HEADER_LEN>().ok_or(Malformed::Truncated)?;
    let mut sum = Sum::of_header(header);
    if located.has_options() {
        let options = octets.get(HEADER_LEN..located.payload_offset).ok_or(Malformed::Truncated)?;
        sum = sum.plus(Sum::of(options));
    }
    if sum.is_intact() { Ok(located) } else { Err(Malformed::Checksum) }
}

/// As `parse`, for a packet whose header checksum the NIC has verified already.
#[expect(clippy::inline_always, reason = "what is called hands its result back through memory")]
#[inline(always)]
pub fn parse_unverified(octets: &[u8]) -> Result<Located, Malformed> {
    let (located, total_len) = locate(octets)?;
    if total_len > octets.len() {
        return Err(Malformed::Truncated);
    }
    if located.is_fragment() { check_fragment(&located) } else { Ok(located) }
}

/// Reads the start of a packet as an ICMP error quotes it: its end may be missing, and `payload_len` counts only
/// what is there. The checksum is not verified, since routers may quote the header as they changed it.
#[inline]
pub fn parse_quoted(octets: &[u8]) -> Result<Located, Malformed> {
    let (located, total_len) = locate(octets)?;
    let end = total_len.min(octets.len());
    let payload_len = end.checked_sub(located.payload_offset).ok_or(Malformed::Truncated)?;
    Ok(Located { payload_len, ..located })
}

/// The fields and the total length, which may exceed `octets`.
#[expect(clippy::inline_always, reason = "what is called hands its result back through memory")]
#[inline(always)]
fn locate(octets: &[u8]) -> Result<(Located, usize), Malformed> {
    let (header, _) = Header::ref_from_prefix(octets).map_err(|_| Malformed::Truncated)?;
    let payload_offset = header_len(header.version_ihl)?;
    let total_len = usize::from(header.total_length.get());
    let payload_len = total_len.checked_sub(payload_offset).ok_or(Malformed::TotalLength)?;
    let located = Located {
        source: header.source.into(),
        destination: header.destination.into(),
        protocol: header.protocol,
        ttl: header.ttl,
        tos: header.tos,
        identification: header.identification.get(),
        flags_fragment_offset: header.flags_fragment_offset.get(),
        payload_offset,
        payload_len,
    };
    Ok((located, total_len))
}

#[inline]
fn header_len(version_ihl: u8) -> Result<usize, Malformed> {
    if version_ihl == VERSION_4_WITHOUT_OPTIONS {
        return Ok(HEADER_LEN);
    }
    if version_ihl & 0xf0 != VERSION_4 {
        return Err(Malformed::Version);
    }
    let len = usize::from(version_ihl & 0x0f) * 4;
    if len < HEADER_LEN { Err(Malformed::HeaderLength) } else { Ok(len) }
}

/// All fragments but the last are multiples of 8 octets, and none ends past the longest datagram (RFC 791 3.2).
#[cold]
fn check_fragment(located: &Located) -> Result<Located, Malformed> {
    let end = located.payload_offset + located.fragment_offset() + located.payload_len;
    let ragged = located.has_more_fragments()
        && (located.payload_len == 0 || !located.payload_len.is_multiple_of(8));
    if ragged || end > LEN_MAX { Err(Malformed::Fragment) } else { Ok(*located) }
}

/// What `emit` writes: a whole datagram's header without options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Where the packet comes from.
    pub source: Ipv4Addr,
    /// Where it goes.
    pub destination: Ipv4Addr,
    /// The payload's protocol.
    pub protocol: u8,
    /// Hops to live.
    pub ttl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// May be 0 when `dont_fragment` is set (RFC 6864 4.1).
    pub identification: u16,
    /// Whether routers must not fragment it.
    pub dont_fragment: bool,
    /// Octets behind the header.
    pub payload_len: usize,
}

/// Writes the header with its checksum at the start of `out` and returns its length, 20.
///
/// Errors: `NoRoom` also for a payload that no length field can express; the payload itself may lie elsewhere.
#[inline]
pub fn emit(out: &mut [u8], fields: &Fields) -> Result<usize, NoRoom> {
    let total_len = u16::try_from(HEADER_LEN + fields.payload_len).map_err(|_| NoRoom)?;
    let mut header = Header {
        version_ihl: VERSION_4_WITHOUT_OPTIONS,
        tos: fields.tos,
        total_length: total_len.into(),
        identification: fields.identification.into(),
        flags_fragment_offset: if fields.dont_fragment { DONT_FRAGMENT } else { 0 }.into(),
        ttl: fields.ttl,
        protocol: fields.protocol,
        checksum: 0.into(),
        source: fields.source.octets(),
        destination: fields.destination.octets(),
    };
    header.checksum = Sum::of(header.as_bytes()).finish().into();
    header.write_to_prefix(out).map_err(|_| NoRoom)?;
    Ok(HEADER_LEN)
}

#[cfg(test)]
mod tests;
