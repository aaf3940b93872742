//! IPv6 headers (RFC 8200): checked parse with a bounded walk of extension headers, emit, hop limit.

mod extensions;

pub use extensions::{EXTENSION_COUNT_MAX, EXTENSION_LEN_MAX, Fragment};

use crate::ecn::Ecn;
use crate::{Expired, Malformed, NoRoom};
use core::net::Ipv6Addr;
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The ethertype of IPv6.
pub const ETHERTYPE: u16 = 0x86dd;
/// The protocol number of IPv6 inside IP.
pub const PROTOCOL: u8 = 41;
/// "No next header": nothing follows that anybody should read.
pub const PROTOCOL_NONE: u8 = 59;
/// Octets of the fixed header.
pub const HEADER_LEN: usize = 40;

/// The fixed header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Version 4 bits, traffic class 8, flow label 20.
    pub version_class_flow: U32,
    /// Octets behind this header, extension headers included.
    pub payload_length: U16,
    /// The first extension header or the upper protocol.
    pub next_header: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// Where the packet comes from.
    pub source: [u8; 16],
    /// Where it goes.
    pub destination: [u8; 16],
}
const _: () = assert!(size_of::<Header>() == HEADER_LEN);

impl Header {
    /// The header at the start of a packet that was parsed before, to be changed in place.
    #[inline]
    pub fn of(octets: &mut [u8]) -> Result<&mut Self, Malformed> {
        Self::mut_from_prefix(octets).map(|(header, _)| header).map_err(|_| Malformed::Truncated)
    }

    /// Takes one hop off and returns the hops left; a packet without any is left unchanged (RFC 8200 3).
    #[inline]
    pub fn decrement_hop_limit(&mut self) -> Result<u8, Expired> {
        if self.hop_limit <= 1 {
            return Err(Expired);
        }
        self.hop_limit -= 1;
        Ok(self.hop_limit)
    }

    /// Replaces the ECN field, the low two bits of the traffic class.
    #[inline]
    pub fn set_ecn(&mut self, ecn: Ecn) {
        let cleared = self.version_class_flow.get() & !(0b11 << 20);
        self.version_class_flow = (cleared | u32::from(ecn.bits()) << 20).into();
    }
}

/// The fields of a checked header and what its extension headers lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// Where the packet comes from.
    pub source: Ipv6Addr,
    /// Where it goes next; while `segments_left` is above 0 that is not its final destination.
    pub destination: Ipv6Addr,
    /// The protocol behind the extension headers that were walked. 59 when nothing follows. In a later
    /// fragment it is what the fragment header says, perhaps an extension header of the whole packet.
    pub protocol: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// 20 bits.
    pub flow_label: u32,
    /// The fragment header, if there is one.
    pub fragment: Option<Fragment>,
    /// Of the routing header; 0 without one.
    pub segments_left: u8,
    /// Octets of the fixed header and the extension headers, 40..=296.
    pub payload_offset: usize,
    /// Octets behind them, without the padding of the link.
    pub payload_len: usize,
}

impl Located {
    /// Whether this is a part of a packet. An atomic fragment (RFC 6946) is whole.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.fragment.is_some_and(|fragment| fragment.offset != 0 || fragment.more)
    }

    /// Whether the upper protocol's header is elsewhere.
    #[inline]
    pub fn is_later_fragment(&self) -> bool {
        self.fragment.is_some_and(|fragment| fragment.offset != 0)
    }

    /// Octets of all headers and the payload.
    #[inline]
    pub fn total_len(&self) -> usize {
        self.payload_offset + self.payload_len
    }
}

/// Reads the headers at the start of `octets`; what follows the payload length is link padding and ignored.
///
/// The walk ends at the first header that is not hop-by-hop options, routing, destination options,
/// fragment or authentication; options are not read. Jumbograms (RFC 2675) are not supported.
///
/// Errors: `Truncated`, `Version`, `ExtensionHeaders`, `ExtensionOrder`, `RoutingType0`, `Fragment`,
/// `HeaderLength` (an authentication header too short for its fixed part).
#[inline]
pub fn parse(octets: &[u8]) -> Result<Located, Malformed> {
    let (mut located, rest) = locate(octets)?;
    let payload = rest.get(..located.payload_len).ok_or(Malformed::Truncated)?;
    if extensions::is_walked(located.protocol) {
        extensions::walk(&mut located, payload, true)?;
    }
    Ok(located)
}

/// Reads the start of a packet as an ICMPv6 error quotes it: its end may be missing, and `payload_len` counts
/// only what is there.
#[inline]
pub fn parse_quoted(octets: &[u8]) -> Result<Located, Malformed> {
    let (mut located, rest) = locate(octets)?;
    let payload = rest.get(..located.payload_len).unwrap_or(rest);
    located.payload_len = payload.len();
    extensions::walk(&mut located, payload, false)?;
    Ok(located)
}

/// The fields of the fixed header, whose payload may exceed the octets behind it, and those octets.
#[inline]
fn locate(octets: &[u8]) -> Result<(Located, &[u8]), Malformed> {
    let (header, rest) = Header::ref_from_prefix(octets).map_err(|_| Malformed::Truncated)?;
    let first_word = header.version_class_flow.get();
    if first_word >> 28 != 6 {
        return Err(Malformed::Version);
    }
    let [traffic_class, ..] = (first_word << 4).to_be_bytes();
    let located = Located {
        source: header.source.into(),
        destination: header.destination.into(),
        protocol: header.next_header,
        hop_limit: header.hop_limit,
        traffic_class,
        flow_label: first_word & 0x000f_ffff,
        fragment: None,
        segments_left: 0,
        payload_offset: HEADER_LEN,
        payload_len: usize::from(header.payload_length.get()),
    };
    Ok((located, rest))
}

/// What `emit` writes: the fixed header, directly followed by the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Where the packet comes from.
    pub source: Ipv6Addr,
    /// Where it goes.
    pub destination: Ipv6Addr,
    /// The payload's protocol.
    pub protocol: u8,
    /// Hops to live.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// The low 20 bits count.
    pub flow_label: u32,
    /// Octets behind the header.
    pub payload_len: usize,
}

/// Writes the fixed header at the start of `out` and returns its length, 40.
///
/// Errors: `NoRoom` also for a payload that no length field can express; the payload itself may lie elsewhere.
#[inline]
pub fn emit(out: &mut [u8], fields: &Fields) -> Result<usize, NoRoom> {
    let payload_len = u16::try_from(fields.payload_len).map_err(|_| NoRoom)?;
    let class = u32::from(fields.traffic_class) << 20;
    let header = Header {
        version_class_flow: (6 << 28 | class | fields.flow_label & 0x000f_ffff).into(),
        payload_length: payload_len.into(),
        next_header: fields.protocol,
        hop_limit: fields.hop_limit,
        source: fields.source.octets(),
        destination: fields.destination.octets(),
    };
    header.write_to_prefix(out).map_err(|_| NoRoom)?;
    Ok(HEADER_LEN)
}

#[cfg(test)]
mod tests;
