//! Which flow a packet asks for: its addresses and ports as they came in, where it came from, and the hash of all that.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::{icmp, tcp, udp};

use crate::hash::Words;
use crate::line::NONE;
use crate::refusal::Refusal;

pub(crate) mod fragment;
pub(crate) mod quote;

/// Where a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Realm {
    /// Out of a client's tunnel. Clients may have the same addresses.
    Client(u32),
    /// From the network: to one of our egress addresses, or from another server's CONNECT.
    Network,
}

impl Realm {
    /// The realm as a number: clients keep theirs, of which none is so high.
    #[inline]
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Client(number) => number,
            Self::Network => NONE,
        }
    }
}

/// What was read of a packet's IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The upper protocol, behind any extension headers.
    pub protocol: u8,
    /// Octets before the upper protocol's header.
    pub payload_offset: u16,
    /// Octets of the packet, without the link's padding.
    pub len: u16,
    /// Whether it is a part of a datagram.
    pub fragment: bool,
}

/// What kind of packet asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole one, or the first fragment of one.
    Segment,
    /// A later fragment.
    Later,
    /// An ICMP error; the key is that of a packet in the opposite direction to the quoted one.
    Error,
}

/// What a flow is looked up by. It lives as long as its burst.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// Four words each of source and destination, octets as on the wire.
    pub(crate) addresses: [[u32; 4]; 2],
    pub(crate) hash: u64,
    /// Names the datagram that a fragment belongs to; 0 of whole ones.
    pub(crate) datagram: u64,
    pub(crate) realm: u32,
    /// The entry of the index that is most likely the flow's.
    pub(crate) likely: u32,
    /// Source and destination; of an ICMP query its identifier at the side that is ours to change. UDP has no port of the
    /// remote side here: its flows are one for all ports of an address, which is how they are filtered (RFC 4787 REQ-8).
    pub(crate) ports: [u16; 2],
    pub(crate) at: u16,
    pub(crate) len: u16,
    pub(crate) protocol: u8,
    pub(crate) v6: bool,
    pub(crate) kind: Kind,
    /// Of ICMP: whether it is an echo request.
    pub(crate) asks: bool,
}

/// An address in four words, octets as on the wire.
#[inline]
pub(crate) const fn words_of(address: IpAddr) -> [u32; 4] {
    match address {
        IpAddr::V4(address) => [u32::from_ne_bytes(address.octets()), 0, 0, 0],
        IpAddr::V6(address) => words_of_v6(address.octets()),
    }
}

#[inline]
const fn words_of_v6(octets: [u8; 16]) -> [u32; 4] {
    let ([first, second, third, fourth], _) = octets.as_chunks::<4>() else { return [0; 4] };
    [
        u32::from_ne_bytes(*first),
        u32::from_ne_bytes(*second),
        u32::from_ne_bytes(*third),
        u32::from_ne_bytes(*fourth),
    ]
}

/// An address out of its words.
#[inline]
pub(crate) fn address_of(words: [u32; 4], v6: bool) -> IpAddr {
    if v6 { v6_of(words).into() } else { v4_of(words).into() }
}

#[inline]
pub(crate) fn v4_of([word, ..]: [u32; 4]) -> Ipv4Addr {
    word.to_ne_bytes().into()
}

#[inline]
pub(crate) fn v6_of(words: [u32; 4]) -> Ipv6Addr {
    let mut octets = [0; 16];
    let (chunks, _) = octets.as_chunks_mut::<4>();
    chunks.iter_mut().zip(words).for_each(|(chunk, word)| *chunk = word.to_ne_bytes());
    octets.into()
}

/// The hash of a key.
#[inline]
pub(crate) fn hash(
    words: &Words,
    [source, destination]: &[[u32; 4]; 2],
    [source_port, destination_port]: [u16; 2],
    (realm, protocol, v6): (u32, u8, bool),
) -> u64 {
    let two = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let [s0, s1, s2, s3] = *source;
    let [d0, d1, d2, d3] = *destination;
    let ports = u64::from(source_port) << 16 | u64::from(destination_port);
    let (rest, protocol) = (ports | u64::from(realm) << 32, u64::from(protocol));
    if v6 {
        let source = words.hash(two(s0, s1), two(s2, s3), protocol);
        let destination = words.hash(two(d0, d1), two(d2, d3), rest);
        words.hash(source, destination, 1)
    } else {
        words.hash(two(s0, d0), rest, protocol)
    }
}

/// Ports as keys have them: without the remote one of UDP.
#[inline]
pub(crate) const fn known_ports(protocol: u8, realm: u32, ports: [u16; 2]) -> [u16; 2] {
    let [source, destination] = ports;
    if protocol == tcp::PROTOCOL {
        ports
    } else if realm == NONE {
        [0, destination]
    } else {
        [source, 0]
    }
}

/// Source and destination of a packet, and whether it is one of IPv6.
#[inline]
pub(crate) fn read_addresses(octets: &[u8]) -> Option<([[u32; 4]; 2], bool)> {
    let word = |octets: [u8; 4]| [u32::from_ne_bytes(octets), 0, 0, 0];
    if octets.first()? >> 4 == 4 {
        let (_, octets) = octets.split_at_checked(12)?;
        let (source, octets) = octets.split_first_chunk()?;
        let destination = octets.first_chunk()?;
        return Some(([word(*source), word(*destination)], false));
    }
    let (_, octets) = octets.split_at_checked(8)?;
    let (source, octets) = octets.split_first_chunk()?;
    let destination = octets.first_chunk()?;
    Some(([words_of_v6(*source), words_of_v6(*destination)], true))
}

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
/// The same of ICMPv6 (RFC 4443 4).
const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;

/// The ports in the first octets of the upper protocol's header, and whether it is an echo request.
#[inline]
fn read_ports(octets: &[u8], protocol: u8, realm: u32) -> Result<([u16; 2], bool), Refusal> {
    match protocol {
        tcp::PROTOCOL | udp::PROTOCOL => {
            let [a, b, c, d] = *octets.first_chunk::<4>().ok_or(Refusal::Truncated)?;
            let ports = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
            Ok((known_ports(protocol, realm, ports), false))
        }
        icmp::v4::PROTOCOL | icmp::v6::PROTOCOL => {
            let header = *octets.first_chunk::<8>().ok_or(Refusal::Truncated)?;
            let [kind, code, _, _, high, low, ..] = header;
            let [reply, request] = echoes(protocol);
            if !(kind == reply || kind == request) || code != 0 {
                return Err(Refusal::Icmp);
            }
            let identifier = u16::from_be_bytes([high, low]);
            Ok((known_ports(protocol, realm, [identifier; 2]), kind == request))
        }
        _ => Err(Refusal::Protocol),
    }
}

/// The types of an echo's reply and request.
const fn echoes(protocol: u8) -> [u8; 2] {
    if protocol == icmp::v4::PROTOCOL {
        [ECHO_REPLY, ECHO_REQUEST]
    } else {
        [ECHO_REPLY_V6, ECHO_REQUEST_V6]
    }
}

/// The least octets of the upper protocol's header.
#[inline]
const fn header_len(protocol: u8) -> usize {
    if protocol == tcp::PROTOCOL { tcp::HEADER_LEN } else { udp::HEADER_LEN }
}

impl Query {
    /// The port at the egress address that a packet from the network is for, or that an ICMP error quotes; of an echo its
    /// identifier. Later fragments have none.
    #[inline]
    pub const fn port(&self) -> u16 {
        let [_, port] = self.ports;
        port
    }

    /// The name of the datagram that a fragment belongs to: the same for all of its fragments, and never the same for two.
    #[inline]
    pub const fn datagram(&self) -> Option<u64> {
        if self.datagram == 0 { None } else { Some(self.datagram) }
    }

    /// The client's address and port: those that a client sends from, or that a packet to it names; of an error those of the
    /// packet that it quotes. Later fragments have no port.
    #[inline]
    pub fn client_end(&self) -> (IpAddr, u16) {
        let ([source, destination], [from, to]) = (self.addresses, self.ports);
        let (words, port) = if self.realm == NONE { (destination, to) } else { (source, from) };
        (address_of(words, self.v6), port)
    }

    /// The upper protocol; of an error that of the packet that it quotes.
    #[inline]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Whether it is an ICMP error about another packet.
    #[inline]
    pub const fn is_error(&self) -> bool {
        matches!(self.kind, Kind::Error)
    }

    /// Whether it is a fragment without an upper header.
    #[inline]
    pub const fn is_later(&self) -> bool {
        matches!(self.kind, Kind::Later)
    }

    /// A query that asks for nothing, to be filled by [`crate::Flows::ask`].
    pub const NONE: Self = Self {
        addresses: [[0; 4]; 2],
        hash: 0,
        datagram: 0,
        realm: NONE,
        likely: NONE,
        ports: [0; 2],
        at: 0,
        len: 0,
        protocol: 0,
        v6: false,
        kind: Kind::Segment,
        asks: false,
    };

    /// Reads a packet's key into its place. Handed back through memory it would be written and read in different widths, for
    /// which the core has to wait.
    #[inline]
    pub(crate) fn read(
        &mut self,
        words: &Words,
        octets: &[u8],
        outline: Outline,
        realm: Realm,
    ) -> Result<(), Refusal> {
        let octets = octets.get(..usize::from(outline.len)).ok_or(Refusal::Truncated)?;
        let upper = octets.get(usize::from(outline.payload_offset)..).ok_or(Refusal::Truncated)?;
        let realm = realm.number();
        let (addresses, v6) = read_addresses(octets).ok_or(Refusal::Truncated)?;
        (self.addresses, self.v6) = (addresses, v6);
        (self.realm, self.protocol) = (realm, outline.protocol);
        (self.at, self.len) = (outline.payload_offset, outline.len);
        (self.likely, self.kind, self.datagram, self.asks) = (NONE, Kind::Segment, 0, false);
        let is_plain = matches!(outline.protocol, tcp::PROTOCOL | udp::PROTOCOL);
        if !is_plain || outline.fragment {
            return self.read_rare(words, octets, outline.fragment);
        }
        let Some(first) = upper.first_chunk::<{ udp::HEADER_LEN }>() else {
            return Err(Refusal::Truncated);
        };
        if upper.len() < header_len(outline.protocol) {
            return Err(Refusal::Truncated);
        }
        let [a, b, c, d, ..] = *first;
        let ports = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
        let ports = known_ports(outline.protocol, realm, ports);
        self.ports = ports;
        self.hash = hash(words, &addresses, ports, (realm, outline.protocol, v6));
        Ok(())
    }

    /// Reads the rest of what is neither a whole segment nor a whole datagram.
    #[cold]
    fn read_rare(&mut self, words: &Words, octets: &[u8], fragment: bool) -> Result<(), Refusal> {
        if fragment && fragment::read(self, words, octets)? {
            return Ok(());
        }
        let upper = octets.get(usize::from(self.at)..).ok_or(Refusal::Truncated)?;
        if upper.len() < header_len(self.protocol) {
            return Err(Refusal::Truncated);
        }
        if quote::is_error(self.protocol, upper) {
            quote::read(self, upper)?;
        } else {
            (self.ports, self.asks) = read_ports(upper, self.protocol, self.realm)?;
        }
        let about = (self.realm, self.protocol, self.v6);
        self.hash = hash(words, &self.addresses, self.ports, about);
        Ok(())
    }
}
