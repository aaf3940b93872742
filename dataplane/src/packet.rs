//! An IP packet of either family as the stages need it, read once; its addresses are integers.

pub mod own;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::checksum::Sum;
use wire::{Malformed, ipv4, ipv6, tcp, udp};

use crate::fate::{DropReason, Fate};

/// An IP address of either family in two words, which are moved and compared in registers. IPv4 stands where
/// RFC 4291 2.5.5.2 maps it; [`Ip::read`] refuses IPv6 packets that bear a mapped address, so that no packet
/// passes for one of the other family.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    high: u64,
    low: u64,
}

/// The words above an IPv4 address.
const MAPPED: u64 = 0xffff;

impl Address {
    /// The unspecified IPv4 address.
    pub const UNSPECIFIED: Self = Self { high: 0, low: MAPPED << 32 };

    /// The IPv4 address, when it is one.
    #[inline]
    pub const fn v4(self) -> Option<Ipv4Addr> {
        if self.is_v4() { Some(Ipv4Addr::from_bits(self.low_bits())) } else { None }
    }

    /// Whether it is an IPv4 address.
    #[inline]
    pub const fn is_v4(self) -> bool {
        self.high == 0 && self.low >> 32 == MAPPED
    }

    /// The last 32 bits, which of an IPv4 address are all.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the others are not asked for")]
    pub const fn low_bits(self) -> u32 {
        self.low as u32
    }

    /// All 128 bits.
    #[inline]
    pub fn bits(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }

    /// The address as IPv6 has it.
    #[inline]
    pub fn v6(self) -> Ipv6Addr {
        self.bits().into()
    }

    /// The bits that `mask` has as well.
    #[inline]
    #[must_use]
    pub const fn masked(self, mask: Self) -> Self {
        Self { high: self.high & mask.high, low: self.low & mask.low }
    }

    /// Whether it names nobody, in its family.
    #[inline]
    pub fn is_unspecified(self) -> bool {
        self == Self::UNSPECIFIED || self.high == 0 && self.low == 0
    }

    /// Whether it names a group, in its family (RFC 5771 2, RFC 4291 2.7).
    #[inline]
    pub const fn is_multicast(self) -> bool {
        if self.is_v4() { self.low >> 28 & 0xf == 0xe } else { self.high >> 56 == 0xff }
    }

    /// Whether it is an IPv6 address of its link alone (RFC 4291 2.5.6).
    #[inline]
    pub const fn is_link_local(self) -> bool {
        self.high >> 54 == 0xfe80 >> 6
    }
}

impl From<u128> for Address {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "both halves are kept")]
    fn from(bits: u128) -> Self {
        Self { high: (bits >> 64) as u64, low: bits as u64 }
    }
}

impl From<Ipv4Addr> for Address {
    #[inline]
    fn from(address: Ipv4Addr) -> Self {
        Self { high: 0, low: MAPPED << 32 | u64::from(address.to_bits()) }
    }
}

impl From<Ipv6Addr> for Address {
    #[inline]
    fn from(address: Ipv6Addr) -> Self {
        address.to_bits().into()
    }
}

impl From<IpAddr> for Address {
    #[inline]
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => address.into(),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        address.v4().map_or_else(|| address.v6().into(), Self::from)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

/// The checked outline of an IP packet. Its source is judged when it is read and not needed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Where it goes.
    pub destination: Address,
    /// The upper protocol, behind any extension headers.
    pub protocol: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// Whether it is a part of a datagram.
    pub fragment: bool,
    /// Octets before the upper protocol's header.
    pub payload_offset: u16,
    /// Octets of the packet, without the link's padding.
    pub len: u16,
}

const HEADER_V4: u16 = 20;
const HEADER_V6: u16 = 40;
const _: () = assert!(HEADER_V4 as usize == ipv4::HEADER_LEN);
const _: () = assert!(HEADER_V6 as usize == ipv6::HEADER_LEN);

impl Ip {
    /// Nothing read yet.
    pub const NONE: Self = Self {
        destination: Address::UNSPECIFIED,
        protocol: 0,
        tos: 0,
        hop_limit: 0,
        fragment: false,
        payload_offset: 0,
        len: 0,
    };

    /// Reads the header at the start of `octets` into its place, and gives the packet's source. Handed back
    /// through memory the header would be written and read in different widths, for which the core has to
    /// wait. After an error it means nothing. The IPv4 header checksum is always verified: it costs less
    /// than to ask what the device has done.
    ///
    /// Errors: as `wire` has them; `Address` for an IPv4-mapped address in an IPv6 header, `TotalLength` for
    /// a packet above 65,535 octets.
    #[inline]
    pub fn read(&mut self, octets: &[u8]) -> Result<Address, Malformed> {
        match self.read_plain_v4(octets) {
            Some(source) => Ok(source),
            None => self.read_any(octets),
        }
    }

    /// Reads the header that nearly all packets have: of IPv4, without options and of a whole datagram. Of any other, and of a
    /// broken one, it writes nothing.
    #[expect(clippy::inline_always, reason = "what is called hands its result back through memory")]
    #[inline(always)]
    fn read_plain_v4(&mut self, octets: &[u8]) -> Option<Address> {
        let header_octets = octets.first_chunk::<{ ipv4::HEADER_LEN }>()?;
        let header: &ipv4::Header = zerocopy::transmute_ref!(header_octets);
        let len = header.total_length.get();
        let is_plain = header.is_plain()
            && len >= HEADER_V4
            && usize::from(len) <= octets.len()
            && Sum::of_header(header_octets).is_intact();
        if !is_plain {
            return None;
        }
        *self = Self::plain_v4(header);
        Some(Ipv4Addr::from(header.source).into())
    }

    /// The outline of a packet with this header, which [is plain](ipv4::Header::is_plain).
    #[inline]
    pub fn plain_v4(header: &ipv4::Header) -> Self {
        Self {
            destination: Ipv4Addr::from(header.destination).into(),
            protocol: header.protocol,
            tos: header.tos,
            hop_limit: header.ttl,
            fragment: false,
            payload_offset: HEADER_V4,
            len: header.total_length.get(),
        }
    }

    /// The outline of a packet with this header, whose version is known and which is followed by the upper protocol; none for a
    /// packet above 65,535 octets.
    #[inline]
    pub fn plain_v6(header: &ipv6::Header) -> Option<Self> {
        let [tos, ..] = (header.version_class_flow.get() << 4).to_be_bytes();
        Some(Self {
            destination: u128::from_be_bytes(header.destination).into(),
            protocol: header.next_header,
            tos,
            hop_limit: header.hop_limit,
            fragment: false,
            payload_offset: HEADER_V6,
            len: header.payload_length.get().checked_add(HEADER_V6)?,
        })
    }

    fn read_any(&mut self, octets: &[u8]) -> Result<Address, Malformed> {
        match octets.first().map(|octet| octet >> 4) {
            Some(4) => self.read_v4(octets),
            Some(6) => self.read_v6(octets),
            Some(_) => Err(Malformed::Version),
            None => Err(Malformed::Truncated),
        }
    }

    /// The source of the packet at the start of `octets`, which has been read. The source is read again where it is asked
    /// for again, as it costs less than to carry it there.
    #[inline]
    pub fn source_in(&self, octets: &[u8]) -> Option<Address> {
        if self.destination.is_v4() {
            let octets = octets.get(12..16)?.try_into().ok()?;
            Some(Ipv4Addr::from_bits(u32::from_be_bytes(octets)).into())
        } else {
            let octets = octets.get(8..24)?.try_into().ok()?;
            Some(u128::from_be_bytes(octets).into())
        }
    }

    /// The destination of the packet at the start of `octets`, which was of the same family when it was read.
    #[inline]
    pub fn destination_in(&self, octets: &[u8]) -> Option<Address> {
        if self.destination.is_v4() {
            let octets = octets.get(16..20)?.try_into().ok()?;
            Some(Ipv4Addr::from_bits(u32::from_be_bytes(octets)).into())
        } else {
            let octets = octets.get(24..40)?.try_into().ok()?;
            Some(u128::from_be_bytes(octets).into())
        }
    }

    #[inline]
    fn read_v4(&mut self, octets: &[u8]) -> Result<Address, Malformed> {
        let located = ipv4::parse(octets)?;
        self.destination = located.destination.into();
        self.protocol = located.protocol;
        self.tos = located.tos;
        self.hop_limit = located.ttl;
        self.fragment = located.is_fragment();
        self.payload_offset = short(located.payload_offset)?;
        self.len = short(located.total_len())?;
        Ok(located.source.into())
    }

    #[inline]
    fn read_v6(&mut self, octets: &[u8]) -> Result<Address, Malformed> {
        let located = ipv6::parse(octets)?;
        self.destination = located.destination.into();
        self.protocol = located.protocol;
        self.tos = located.traffic_class;
        self.hop_limit = located.hop_limit;
        self.fragment = located.is_fragment();
        self.payload_offset = short(located.payload_offset)?;
        self.len = short(located.total_len())?;
        let source = Address::from(located.source);
        let mapped = source.is_v4() || self.destination.is_v4();
        if mapped { Err(Malformed::Address) } else { Ok(source) }
    }
}

#[inline]
fn short(len: usize) -> Result<u16, Malformed> {
    u16::try_from(len).map_err(|_| Malformed::TotalLength)
}

/// The name under which a broken IP header is counted.
pub const fn broken(malformed: Malformed) -> Fate {
    Fate::Drop(match malformed {
        Malformed::Truncated | Malformed::TotalLength => DropReason::ParseIpTotalLength,
        Malformed::Version => DropReason::ParseIpVersion,
        Malformed::HeaderLength => DropReason::ParseIpHeaderLength,
        Malformed::Checksum | Malformed::ChecksumMissing => DropReason::ParseIpChecksum,
        Malformed::Fragment => DropReason::ParseFragment,
        Malformed::Address => DropReason::ParseIpSource,
        Malformed::ExtensionHeaders
        | Malformed::ExtensionOrder
        | Malformed::RoutingType0
        | Malformed::TrailingOctets
        | Malformed::StackedTags
        | Malformed::Options
        | Malformed::Reserved
        | Malformed::Kind
        | Malformed::HopLimit => DropReason::ParseIpExtension,
    })
}

/// Whether an address can be no packet's source: multicast, loopback, unspecified or limited broadcast
/// (RFC 1122 3.2.1.3, RFC 4291 2.5.2, 2.5.3 and 2.7).
#[inline]
pub fn is_no_source(address: Address) -> bool {
    if let Some(address) = address.v4() {
        let first = address.octets()[0];
        // 0/8, 127/8, and everything from 224/4 on, the reserved 240/4 and broadcast included.
        return first == 0 || first == 127 || first >= 224;
    }
    let multicast = address.high >> 56 == 0xff;
    let unspecified_or_loopback = address.high == 0 && address.low <= 1;
    multicast || unspecified_or_loopback
}

/// A word that is the same for all packets of a flow: of its addresses, and of the ports where every packet has them. It is
/// no secret: who chooses the headers chooses it.
#[inline]
pub fn flow_hash(octets: &[u8], ip: &Ip) -> u32 {
    let eight = |at: usize| {
        let octets = octets.get(at..at + 8).and_then(|octets| octets.try_into().ok());
        octets.map_or(0, u64::from_le_bytes)
    };
    let addresses = if octets.first().is_some_and(|octet| octet >> 4 == 4) {
        eight(12)
    } else {
        eight(8) ^ eight(16).rotate_left(16) ^ eight(24).rotate_left(32) ^ eight(32)
    };
    let has_ports = matches!(ip.protocol, udp::PROTOCOL | tcp::PROTOCOL) && !ip.fragment;
    let ports = if has_ports {
        let at = usize::from(ip.payload_offset);
        let octets = octets.get(at..at + 4).and_then(|octets| octets.try_into().ok());
        octets.map_or(0, u32::from_le_bytes)
    } else {
        0
    };
    let mixed = (addresses ^ u64::from(ports) << 16).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The upper half is the better mixed one.
    (mixed >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_plain_header_reads_as_any_other(
            mut octets in prop::collection::vec(any::<u8>(), 0..64),
            first in prop::sample::select(&[0x45_u8, 0x46, 0x44, 0x65][..]),
            flags in prop::sample::select(&[0_u16, 0x4000, 0x2000, 0x8000, 0x4001][..]),
            len in 0..70_u16,
            mended: bool,
        ) {
            if let Some(header) = octets.first_chunk_mut::<20>() {
                header[0] = first;
                header[2..4].copy_from_slice(&len.to_be_bytes());
                header[6..8].copy_from_slice(&flags.to_be_bytes());
                if mended {
                    header[10..12].fill(0);
                    let sum = Sum::of_header(header).finish();
                    header[10..12].copy_from_slice(&sum.to_be_bytes());
                }
            }
            let [mut one, mut other] = [Ip::NONE; 2];
            let [read, any] = [one.read(&octets), other.read_any(&octets)];
            prop_assert_eq!(read, any);
            if read.is_ok() {
                prop_assert_eq!(one, other);
            }
        }
    }

    proptest! {
        #[test]
        fn an_address_is_what_it_was_made_of(v4: u32, v6: u128) {
            for address in [IpAddr::from(v4.to_be_bytes()), IpAddr::from(v6.to_be_bytes())] {
                let whole = Address::from(address);
                prop_assert_eq!(IpAddr::from(whole), address);
                prop_assert_eq!(whole.is_v4(), address.is_ipv4());
                prop_assert_eq!(whole.is_multicast(), address.is_multicast());
            }
        }
    }

    #[test]
    fn classifies_addresses_as_the_standard_library_does() {
        let texts = [
            "::",
            "::1",
            "::2",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fe7f::1",
            "ff02::1",
            "fd00::1",
            "2001:db8::1",
        ];
        for address in texts.map(|text| text.parse::<Ipv6Addr>().unwrap()) {
            let own = Address::from(address);
            let no_source =
                address.is_multicast() || address.is_loopback() || address.is_unspecified();
            assert_eq!(is_no_source(own), no_source, "{address}");
            assert_eq!(own.is_multicast(), address.is_multicast(), "{address}");
            assert_eq!(own.is_link_local(), address.is_unicast_link_local(), "{address}");
            assert_eq!(own.is_unspecified(), address.is_unspecified(), "{address}");
        }
        assert!(Address::from(Ipv4Addr::UNSPECIFIED).is_unspecified());
        assert!(!Address::from(Ipv4Addr::LOCALHOST).is_unspecified());
    }

    #[test]
    fn refuses_a_mapped_address_on_the_wire() {
        let fields = |source: &str, destination: &str| ipv6::Fields {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            protocol: ipv6::PROTOCOL_NONE,
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 0,
            payload_len: 0,
        };
        let parse = |fields: &ipv6::Fields| {
            let mut octets = [0; ipv6::HEADER_LEN];
            ipv6::emit(&mut octets, fields).unwrap();
            let mut ip = Ip::NONE;
            ip.read(&octets)
        };
        assert!(parse(&fields("fd00::1", "fd00::2")).is_ok());
        for (source, destination) in
            [("::ffff:10.0.0.7", "fd00::2"), ("fd00::1", "::ffff:10.0.0.7")]
        {
            assert_eq!(parse(&fields(source, destination)), Err(Malformed::Address));
        }
    }
}
