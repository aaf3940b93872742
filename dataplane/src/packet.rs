//! An IP packet of either family as the stages need it, read once.

use std::net::{IpAddr, Ipv4Addr};

use wire::{Malformed, ipv4, ipv6};

use crate::fate::{DropReason, Fate};

/// The checked outline of an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Where it comes from.
    pub source: IpAddr,
    /// Where it goes.
    pub destination: IpAddr,
    /// The upper protocol, behind any extension headers.
    pub protocol: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// Whether it is a part of a datagram.
    pub fragment: bool,
    /// Octets before the upper protocol's header.
    pub payload_offset: usize,
    /// Octets of the packet, without the link's padding.
    pub len: usize,
}

impl Ip {
    /// Nothing read yet.
    pub const NONE: Self = Self {
        source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        destination: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        protocol: 0,
        tos: 0,
        hop_limit: 0,
        fragment: false,
        payload_offset: 0,
        len: 0,
    };

    /// Reads the header at the start of `octets`. The IPv4 header checksum is always verified: it costs less
    /// than to ask what the device has done.
    #[inline]
    pub fn parse(octets: &[u8]) -> Result<Self, Malformed> {
        match octets.first().map(|octet| octet >> 4) {
            Some(4) => Self::parse_v4(octets),
            Some(6) => Self::parse_v6(octets),
            Some(_) => Err(Malformed::Version),
            None => Err(Malformed::Truncated),
        }
    }

    #[inline]
    fn parse_v4(octets: &[u8]) -> Result<Self, Malformed> {
        let located = ipv4::parse(octets)?;
        Ok(Self {
            source: located.source.into(),
            destination: located.destination.into(),
            protocol: located.protocol,
            tos: located.tos,
            hop_limit: located.ttl,
            fragment: located.is_fragment(),
            payload_offset: located.payload_offset,
            len: located.total_len(),
        })
    }

    #[inline]
    fn parse_v6(octets: &[u8]) -> Result<Self, Malformed> {
        let located = ipv6::parse(octets)?;
        Ok(Self {
            source: located.source.into(),
            destination: located.destination.into(),
            protocol: located.protocol,
            tos: located.traffic_class,
            hop_limit: located.hop_limit,
            fragment: located.is_fragment(),
            payload_offset: located.payload_offset,
            len: located.total_len(),
        })
    }
}

/// The name under which a broken IP header is counted.
pub const fn broken(malformed: Malformed) -> Fate {
    Fate::Drop(match malformed {
        Malformed::Truncated | Malformed::TotalLength => DropReason::ParseIpTotalLength,
        Malformed::Version => DropReason::ParseIpVersion,
        Malformed::HeaderLength => DropReason::ParseIpHeaderLength,
        Malformed::Checksum | Malformed::ChecksumMissing => DropReason::ParseIpChecksum,
        Malformed::Fragment => DropReason::ParseFragment,
        Malformed::ExtensionHeaders
        | Malformed::ExtensionOrder
        | Malformed::RoutingType0
        | Malformed::TrailingOctets
        | Malformed::StackedTags
        | Malformed::Options
        | Malformed::Reserved
        | Malformed::Kind
        | Malformed::Address
        | Malformed::HopLimit => DropReason::ParseIpExtension,
    })
}

/// Whether an address can be no packet's source: multicast, loopback, unspecified or limited broadcast
/// (RFC 1122 3.2.1.3, RFC 4291 2.5.2, 2.5.3 and 2.7).
#[inline]
pub fn is_no_source(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let first = address.octets()[0];
            // 0/8, 127/8, and everything from 224/4 on, the reserved 240/4 and broadcast included.
            first == 0 || first == 127 || first >= 224
        }
        IpAddr::V6(address) => {
            address.is_multicast() || address.is_loopback() || address.is_unspecified()
        }
    }
}
