//! Neighbour discovery over Ethernet: solicitation and advertisement (RFC 4861 4.3, 4.4, RFC 2464).

use crate::checksum::Sum;
use crate::ethernet::{self, Mac};
use crate::icmp::v6::{PROTOCOL, pseudo};
use crate::{Malformed, NoRoom, ipv6};
use core::net::Ipv6Addr;
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Every node on the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The hop limit that all messages are sent with and must arrive with (RFC 4861 7.1).
pub const HOP_LIMIT: u8 = 255;
/// Octets of a message without options.
pub const HEADER_LEN: usize = 24;
/// Octets of a message with a link-layer address.
pub const LEN_MAX: usize = HEADER_LEN + LINK_OPTION_LEN;

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOURCE_LINK: u8 = 1;
const TARGET_LINK: u8 = 2;
const LINK_OPTION_LEN: usize = 8;
const ROUTER: u32 = 0x8000_0000;
const SOLICITED: u32 = 0x4000_0000;
const OVERRIDE: u32 = 0x2000_0000;

/// What both messages begin with.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// 135 solicits, 136 advertises ("type" in the RFC).
    pub kind: u8,
    /// 0.
    pub code: u8,
    /// Over pseudo header and message.
    pub checksum: U16,
    /// Router, solicited, override in an advertisement; the rest reserved.
    pub flags: U32,
    /// The address in question, never multicast.
    pub target: [u8; 16],
}
const _: () = assert!(size_of::<Header>() == HEADER_LEN);

/// An option with an Ethernet address.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct LinkOption {
    kind: u8,
    /// In units of 8 octets: 1.
    length: u8,
    link: Mac,
}
const _: () = assert!(size_of::<LinkOption>() == LINK_OPTION_LEN);

/// A checked message, or one to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Who has `target`?
    Solicitation {
        /// The address in question.
        target: Ipv6Addr,
        /// Link-layer address of the asker; absent when it has no address yet.
        source_link: Option<Mac>,
    },
    /// `target` is at `target_link`.
    Advertisement {
        /// The address in question.
        target: Ipv6Addr,
        /// Where it is; may be absent in an answer to a unicast solicitation.
        target_link: Option<Mac>,
        /// Whether the sender is a router.
        is_router: bool,
        /// Whether it answers a solicitation, and so proves that the neighbour is reachable.
        is_solicited: bool,
        /// Whether it replaces what is cached.
        is_override: bool,
    },
}

impl Message {
    /// The question who has `target`, to be sent to `solicited_node(target)`, or to `target` to confirm it.
    #[inline]
    pub fn solicit(target: Ipv6Addr, link: Mac) -> Self {
        Self::Solicitation { target, source_link: Some(link) }
    }

    /// Our answer to a solicitation from `asker` for an address of ours, and where to send it: an asker without an
    /// address is answered at all nodes, unsolicited (RFC 4861 7.2.4).
    #[inline]
    pub fn answer(
        asker: Ipv6Addr,
        target: Ipv6Addr,
        link: Mac,
        is_router: bool,
    ) -> (Ipv6Addr, Self) {
        let is_solicited = !asker.is_unspecified();
        let message = Self::Advertisement {
            target,
            target_link: Some(link),
            is_router,
            is_solicited,
            is_override: true,
        };
        (if is_solicited { asker } else { ALL_NODES }, message)
    }
}

/// The multicast address that the owner of `target` listens on (RFC 4291 2.7.1).
#[inline]
pub fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = target.octets();
    let [b, c] = [b, c].map(u16::from);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), b << 8 | c)
}

/// The Ethernet address that a multicast packet is sent to (RFC 2464 7).
#[inline]
pub fn multicast_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

/// Reads a message and makes all checks of RFC 4861 7.1.1 and 7.1.2; `octets` is the payload of the packet `ip`.
///
/// Errors: `Kind` for other messages, `HopLimit`, `Truncated`, `Checksum`, `Reserved` (a code other than 0),
/// `Options`, `Address` (a multicast target or link-layer address, or a message that does not suit its addresses).
#[inline]
pub fn parse(ip: &ipv6::Located, octets: &[u8]) -> Result<Message, Malformed> {
    let (header, options) = Header::ref_from_prefix(octets).map_err(|_| Malformed::Truncated)?;
    if !matches!(header.kind, SOLICITATION | ADVERTISEMENT) || ip.protocol != PROTOCOL {
        return Err(Malformed::Kind);
    }
    if ip.hop_limit != HOP_LIMIT {
        return Err(Malformed::HopLimit);
    }
    if header.code != 0 {
        return Err(Malformed::Reserved);
    }
    let pseudo = pseudo(ip.source, ip.destination, octets.len()).ok_or(Malformed::TotalLength)?;
    if !pseudo.plus(Sum::of(octets)).is_intact() {
        return Err(Malformed::Checksum);
    }
    let message = read(header, options)?;
    if suits(&message, ip) { Ok(message) } else { Err(Malformed::Address) }
}

#[inline]
fn read(header: &Header, options: &[u8]) -> Result<Message, Malformed> {
    let target = Ipv6Addr::from(header.target);
    if header.kind == SOLICITATION {
        let source_link = link(options, SOURCE_LINK)?;
        return Ok(Message::Solicitation { target, source_link });
    }
    let flags = header.flags.get();
    Ok(Message::Advertisement {
        target,
        target_link: link(options, TARGET_LINK)?,
        is_router: flags & ROUTER != 0,
        is_solicited: flags & SOLICITED != 0,
        is_override: flags & OVERRIDE != 0,
    })
}

/// The first link-layer address of the kind; all options must be well formed.
#[inline]
fn link(mut options: &[u8], kind: u8) -> Result<Option<Mac>, Malformed> {
    let mut found = None;
    while let [option_kind, length, ..] = *options {
        let len = usize::from(length) * 8;
        let (option, rest) = options.split_at_checked(len).ok_or(Malformed::Options)?;
        if len == 0 {
            return Err(Malformed::Options);
        }
        if option_kind == kind && found.is_none() {
            let option = LinkOption::ref_from_bytes(option).map_err(|_| Malformed::Options)?;
            found = Some(option.link);
        }
        options = rest;
    }
    if options.is_empty() { Ok(found) } else { Err(Malformed::Options) }
}

/// Whether the message may travel between its packet's addresses, and names no group as a neighbour.
#[inline]
fn suits(message: &Message, ip: &ipv6::Located) -> bool {
    match *message {
        Message::Solicitation { target, source_link } => {
            let from_nobody = ip.source.is_unspecified();
            let suits_nobody = source_link.is_none() && ip.destination == solicited_node(target);
            (!from_nobody || suits_nobody) && is_neighbour(target, source_link)
        }
        Message::Advertisement { target, target_link, is_solicited, .. } => {
            let suits_many = !is_solicited || !ip.destination.is_multicast();
            suits_many && is_neighbour(target, target_link)
        }
    }
}

#[inline]
fn is_neighbour(target: Ipv6Addr, link: Option<Mac>) -> bool {
    !target.is_multicast() && !link.is_some_and(ethernet::is_multicast)
}

/// Writes the message with its checksum and returns its length, 24 or 32; the packet's hop limit must be 255.
#[inline]
pub fn emit(
    out: &mut [u8],
    source: Ipv6Addr,
    destination: Ipv6Addr,
    message: &Message,
) -> Result<usize, NoRoom> {
    let (header, option) = layout(message);
    let len = HEADER_LEN + if option.is_some() { LINK_OPTION_LEN } else { 0 };
    let octets = out.get_mut(..len).ok_or(NoRoom)?;
    header.write_to_prefix(octets).map_err(|_| NoRoom)?;
    if let Some(option) = option {
        option.write_to_suffix(octets).map_err(|_| NoRoom)?;
    }
    let pseudo = pseudo(source, destination, len).ok_or(NoRoom)?;
    let checksum = pseudo.plus(Sum::of(octets)).finish();
    let (header, _) = Header::mut_from_prefix(octets).map_err(|_| NoRoom)?;
    header.checksum = checksum.into();
    Ok(len)
}

/// Header, with checksum 0, and option.
#[inline]
fn layout(message: &Message) -> (Header, Option<LinkOption>) {
    let (kind, flags, target, option_kind, link) = match *message {
        Message::Solicitation { target, source_link } => {
            (SOLICITATION, 0, target, SOURCE_LINK, source_link)
        }
        Message::Advertisement { target, target_link, is_router, is_solicited, is_override } => {
            let flags = [(is_router, ROUTER), (is_solicited, SOLICITED), (is_override, OVERRIDE)];
            let flags = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum();
            (ADVERTISEMENT, flags, target, TARGET_LINK, target_link)
        }
    };
    let header =
        Header { kind, code: 0, checksum: 0.into(), flags: flags.into(), target: target.octets() };
    (header, link.map(|link| LinkOption { kind: option_kind, length: 1, link }))
}

#[cfg(test)]
mod tests;
