//! Wire formats: one file per protocol, each with a checked parse, an emit and a golden packet.
//!
//! Octets from the network are proven here once. A parse returns a `Located` (or a `Message`): plain
//! values and offsets relative to the slice that was parsed, which later stages trust without looking
//! again. Nothing allocates, nothing panics on any input, nothing knows time, ports or DPDK.
//!
//! `emit` functions whose checksum covers a payload expect that payload in place behind the header,
//! so that a packet is built without copying.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    expect(clippy::doc_markdown, reason = "addresses are names in sentences, not code")
)]

pub mod arp;
pub mod checksum;
pub mod ecn;
pub mod ethernet;
pub mod exit;
pub mod fleet;
pub mod gre;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod nd;
pub mod tcp;
pub mod udp;

use core::fmt;

/// Why a packet is refused. A variant says what is wrong, the parse that returned it says where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// Fewer octets than the fixed header, or than the header says it has.
    Truncated,
    /// The version field is not the protocol's.
    Version,
    /// A header length field below the minimum, or past the end.
    HeaderLength,
    /// A total or payload length that exceeds the octets present or is below its own header.
    TotalLength,
    /// UDP says that it is shorter than the IP payload that carries it: a lying length.
    TrailingOctets,
    /// The checksum does not match.
    Checksum,
    /// No checksum where one is required: UDP over IPv6 (RFC 8200 8.1).
    ChecksumMissing,
    /// A second VLAN tag, or a service tag (802.1ad).
    StackedTags,
    /// More IPv6 extension headers, or more octets of them, than `ipv6` walks, or a repeated fragment header.
    ExtensionHeaders,
    /// A hop-by-hop options header that is not the first one (RFC 8200 4.1).
    ExtensionOrder,
    /// IPv6 routing header of type 0 (RFC 5095).
    RoutingType0,
    /// A fragment that cannot be part of any datagram: not a multiple of 8 octets, or past 65,535.
    Fragment,
    /// An IPv4, TCP or neighbour discovery option with an impossible length.
    Options,
    /// A bit, code or id that the specification reserves and tells receivers to refuse.
    Reserved,
    /// Well formed, but of a kind that this parser does not read (ARP for another hardware, other ICMPv6 types in `nd`).
    Kind,
    /// An address that must not stand where it stands, such as a multicast one as the sender's.
    Address,
    /// Neighbour discovery that passed a router: hop limit below 255 (RFC 4861 7.1).
    HopLimit,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "truncated",
            Self::Version => "wrong version",
            Self::HeaderLength => "impossible header length",
            Self::TotalLength => "impossible total length",
            Self::TrailingOctets => "octets behind the stated length",
            Self::Checksum => "wrong checksum",
            Self::ChecksumMissing => "missing checksum",
            Self::StackedTags => "stacked VLAN tags",
            Self::ExtensionHeaders => "too many extension headers",
            Self::ExtensionOrder => "hop-by-hop options not first",
            Self::RoutingType0 => "routing header type 0",
            Self::Fragment => "impossible fragment",
            Self::Options => "impossible option length",
            Self::Reserved => "reserved value",
            Self::Kind => "not of the kind read here",
            Self::Address => "address out of place",
            Self::HopLimit => "hop limit below 255",
        })
    }
}

impl core::error::Error for Malformed {}

/// The buffer given to an `emit` is shorter than what it writes, or longer than the length field can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the buffer does not fit what is to be written")
    }
}

impl core::error::Error for NoRoom {}

/// The packet has no hop left: it must not be forwarded (RFC 1812 5.3.1, RFC 8200 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired;
