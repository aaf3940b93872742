//! A fragment as it is read from its packet.

use wire::{Malformed, icmp, ipv4, ipv6, tcp, udp};

use crate::packet::Address;
use crate::table::Key;

/// DCCP, SCTP and UDP-Lite, whose header begins with two ports as well.
const DCCP: u8 = 33;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

/// What all fragments of a datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// Where it comes from.
    pub source: Address,
    /// Where it goes.
    pub destination: Address,
    /// The number that its sender has given it.
    pub identification: u32,
    /// The upper protocol of an IPv4 datagram, whose numbers may be given anew for each (RFC 791 2.3). In IPv6 only the first
    /// fragment has a say in it (RFC 8200 4.5), so that it is 0 here.
    pub protocol: u8,
}

impl Key for Name {
    #[inline]
    fn hash(self, seed: u64) -> u64 {
        let ends = self.destination.bits().hash(self.source.bits().hash(seed));
        (u64::from(self.identification) | u64::from(self.protocol) << 32).hash(ends)
    }
}

/// What the upper protocol's header says. What a protocol does not have is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper {
    /// The protocol, behind any extension headers.
    pub protocol: u8,
    /// The source port of TCP, UDP, UDP-Lite, DCCP and SCTP.
    pub source_port: u16,
    /// Their destination port.
    pub destination_port: u16,
    /// The eight control bits of TCP.
    pub tcp_flags: u8,
    /// Type and code of ICMP or ICMPv6, the type in the upper octet.
    pub icmp: u16,
}

impl Upper {
    /// Of which nothing is known but the protocol.
    pub const fn none(protocol: u8) -> Self {
        Self { protocol, source_port: 0, destination_port: 0, tcp_flags: 0, icmp: 0 }
    }

    /// Reads the header at the start of `octets`; none when that is too short for what is read.
    #[inline]
    pub fn read(protocol: u8, octets: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            let octets = octets.get(at..at + 2)?.try_into().ok()?;
            Some(u16::from_be_bytes(octets))
        };
        let mut upper =
            Self { protocol, source_port: 0, destination_port: 0, tcp_flags: 0, icmp: 0 };
        match protocol {
            tcp::PROTOCOL | udp::PROTOCOL | DCCP | SCTP | UDP_LITE => {
                (upper.source_port, upper.destination_port) = (word(0)?, word(2)?);
            }
            icmp::v4::PROTOCOL | icmp::v6::PROTOCOL => upper.icmp = word(0)?,
            _ => (),
        }
        if protocol == tcp::PROTOCOL {
            upper.tcp_flags = *octets.first_chunk::<{ tcp::HEADER_LEN }>()?.get(13)?;
        }
        Some(upper)
    }
}

/// What only the first fragment says, of the whole datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// The upper header.
    pub upper: Upper,
    /// DSCP and ECN.
    pub tos: u8,
    /// Octets of the datagram before what was divided.
    pub header_len: u16,
}

/// One fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Whose it is.
    pub name: Name,
    /// Octets of the datagram before it, of those that were divided.
    pub offset: u16,
    /// Octets of those that it has.
    pub len: u16,
    /// Whether others follow.
    pub more: bool,
    /// What the first one says; none also where its upper header is cut off.
    pub first: Option<First>,
}

impl Piece {
    /// Reads the packet at the start of `octets`, which was parsed before and is a fragment.
    ///
    /// Errors: `Fragment` for one that is none; as `wire` has them.
    pub fn read(octets: &[u8]) -> Result<Self, Malformed> {
        if octets.first().is_some_and(|octet| octet >> 4 == 4) {
            Self::read_v4(octets)
        } else {
            Self::read_v6(octets)
        }
    }

    fn read_v4(octets: &[u8]) -> Result<Self, Malformed> {
        let located = ipv4::parse_unverified(octets)?;
        if !located.is_fragment() {
            return Err(Malformed::Fragment);
        }
        let upper = octets.get(located.payload_offset..located.total_len()).unwrap_or_default();
        let first = Upper::read(located.protocol, upper)
            .filter(|_| !located.is_later_fragment())
            .zip(short(located.payload_offset).ok())
            .map(|(upper, header_len)| First { upper, tos: located.tos, header_len });
        let name = Name {
            source: located.source.into(),
            destination: located.destination.into(),
            identification: located.identification.into(),
            protocol: located.protocol,
        };
        let offset = short(located.fragment_offset())?;
        let more = located.has_more_fragments();
        Ok(Self { name, offset, len: short(located.payload_len)?, more, first })
    }

    fn read_v6(octets: &[u8]) -> Result<Self, Malformed> {
        let located = ipv6::parse(octets)?;
        let fragment =
            located.fragment.filter(|_| located.is_fragment()).ok_or(Malformed::Fragment)?;
        let upper = octets.get(located.payload_offset..located.total_len()).unwrap_or_default();
        // The fragment header is none of the datagram's.
        let header_len = located.total_len() - fragment.len - FRAGMENT_HEADER_LEN;
        let first = Upper::read(located.protocol, upper)
            .filter(|_| !located.is_later_fragment())
            .zip(short(header_len).ok())
            .map(|(upper, header_len)| First { upper, tos: located.traffic_class, header_len });
        let name = Name {
            source: located.source.into(),
            destination: located.destination.into(),
            identification: fragment.identification,
            protocol: 0,
        };
        let (offset, len) = (short(fragment.offset)?, short(fragment.len)?);
        Ok(Self { name, offset, len, more: fragment.more, first })
    }
}

const FRAGMENT_HEADER_LEN: usize = 8;

#[inline]
fn short(len: usize) -> Result<u16, Malformed> {
    u16::try_from(len).map_err(|_| Malformed::Fragment)
}
