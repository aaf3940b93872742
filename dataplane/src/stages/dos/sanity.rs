//! Sanity checks: what no honest sender sends, found in the packet itself.

use shm::message::{Check, Class};
use wire::tcp::Flags;
use wire::{Malformed, icmp, ipv4, ipv6, tcp, udp};

use crate::packet::{Address, Ip};

/// Checks that a packet has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Failed(u8);

impl Failed {
    /// None.
    pub(super) const NONE: Self = Self(0);

    /// This one.
    #[inline]
    pub(super) const fn of(check: Check) -> Self {
        Self(1 << check as u8)
    }

    #[inline]
    const fn when(check: Check, failed: bool) -> Self {
        Self((failed as u8) << check as u8)
    }

    #[inline]
    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it is none.
    #[inline]
    pub(super) const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether this one is among them.
    #[inline]
    pub(super) const fn has(self, check: Check) -> bool {
        self.0 & 1 << check as u8 != 0
    }
}

/// What a packet counts as, and which checks it fails; `octets` are the packet from its IP header, of which `ip` is the outline.
///
/// Fragments are settled first: the ports of a later one cannot be known, and nothing reads them.
pub(super) fn look(ip: &Ip, source: Address, octets: &[u8]) -> (Class, Failed) {
    let packet = octets.get(..usize::from(ip.len)).unwrap_or(octets);
    let upper = packet.get(usize::from(ip.payload_offset)..).unwrap_or_default();
    let bogus = Failed::when(Check::Land, source == ip.destination)
        .and(Failed::when(Check::Bogon, is_bogon(source) && !is_on_link(source, ip.destination)));
    if ip.fragment {
        return (Class::Fragment, bogus.and(fragment(ip, packet, upper)));
    }
    let (class, failed) = match ip.protocol {
        tcp::PROTOCOL => segment(upper),
        udp::PROTOCOL => datagram(upper),
        icmp::v4::PROTOCOL | icmp::v6::PROTOCOL => (Class::Icmp, short(upper, icmp::HEADER_LEN)),
        _ => (Class::Other, Failed::NONE),
    };
    (class, bogus.and(failed))
}

/// The same of a datagram whose lengths and checksum were found right.
#[inline]
pub(super) fn look_at_datagram(source: Address, source_port: u16) -> Failed {
    Failed::when(Check::Reflection, is_reflector(source_port))
        .and(Failed::when(Check::Bogon, is_bogon(source)))
}

const fn short(upper: &[u8], needed: usize) -> Failed {
    Failed::when(Check::Transport, upper.len() < needed)
}

fn segment(upper: &[u8]) -> (Class, Failed) {
    let Ok(header) = tcp::parse(upper) else { return (Class::Tcp, Failed::of(Check::Transport)) };
    let no_port = header.source_port == 0 || header.destination_port == 0;
    let failed = Failed::when(Check::Transport, no_port)
        .and(Failed::when(Check::Flags, are_impossible(header.flags)));
    (if is_syn(header.flags) { Class::Syn } else { Class::Tcp }, failed)
}

/// Whether a segment asks for a connection.
#[inline]
pub(super) fn is_syn(flags: Flags) -> bool {
    flags.has(Flags::SYN) && !flags.has(Flags::ACK)
}

/// RFC 9293 3.10: a segment has SYN, FIN or RST alone, and all but the first SYN and some RSTs acknowledge something.
fn are_impossible(flags: Flags) -> bool {
    let [fin, syn, rst] = [Flags::FIN, Flags::SYN, Flags::RST].map(|flag| flags.has(flag));
    let silent = !flags.has(Flags::ACK);
    syn && (fin || rst) || fin && rst || silent && !syn && !rst || syn && flags.has(Flags::URG)
}

fn datagram(upper: &[u8]) -> (Class, Failed) {
    let failed = match udp::parse(upper) {
        Ok(header) => {
            let udp::Ports { source, destination } = header.ports;
            Failed::when(Check::Transport, destination == 0)
                .and(Failed::when(Check::Reflection, is_reflector(source)))
        }
        Err(_) => Failed::of(Check::Transport),
    };
    (Class::Udp, failed)
}

/// The largest packet (RFC 791 3.1), which no fragment may reach beyond.
const PACKET_LEN_MAX: usize = 65_535;

/// A fragment beyond the largest packet ("ping of death"), one in the middle whose length is no multiple of eight, a first
/// one too short for the header that filters look at (RFC 1858 3), one that would overwrite that header (RFC 3128 2), and
/// one that asks for a connection, which never needs two.
fn fragment(ip: &Ip, packet: &[u8], upper: &[u8]) -> Failed {
    let Ok((offset, more, header)) = part(packet) else { return Failed::of(Check::Fragment) };
    // From the header that the whole packet has before its parts.
    let beyond = offset + packet.len().saturating_sub(header) > PACKET_LEN_MAX - ipv4::HEADER_LEN;
    let ragged = more && !packet.len().saturating_sub(header).is_multiple_of(8);
    let needed = match ip.protocol {
        tcp::PROTOCOL => tcp::HEADER_LEN,
        udp::PROTOCOL => udp::HEADER_LEN,
        icmp::v4::PROTOCOL | icmp::v6::PROTOCOL => icmp::HEADER_LEN,
        _ => 0,
    };
    let is_tcp = ip.protocol == tcp::PROTOCOL;
    let tiny = offset == 0 && upper.len() < needed || is_tcp && offset == 8;
    let asks = is_tcp && offset == 0 && tcp::parse(upper).is_ok_and(|header| is_syn(header.flags));
    let empty = packet.len() <= header;
    Failed::when(Check::Fragment, beyond || ragged || tiny || asks || empty)
}

/// Where a part begins in octets, whether others follow, and the octets before what is divided.
fn part(packet: &[u8]) -> Result<(usize, bool, usize), Malformed> {
    if packet.first().is_some_and(|octet| octet >> 4 == 4) {
        let header = ipv4::parse_unverified(packet)?;
        let at = header.fragment_offset();
        return Ok((at, header.has_more_fragments(), header.payload_offset));
    }
    let header = ipv6::parse(packet)?;
    let fragment = header.fragment.ok_or(Malformed::Fragment)?;
    Ok((fragment.offset, fragment.more, header.payload_offset))
}

/// Ports of services that answer a small question with a large answer, or anything with something, to whomever the question
/// names as its sender: chargen, quote of the day, DNS, TFTP, portmapper, NTP, `NetBIOS`, SNMP, CLDAP, SLP, RIP, IPMI, MSSQL,
/// SSDP, Apple Remote Desktop, WS-Discovery, mDNS, CoAP, Ubiquiti, memcached, game servers, Plex, Jenkins, DVRs, `OpenVPN`.
#[inline]
pub(super) const fn is_reflector(port: u16) -> bool {
    matches!(
        port,
        17 | 19
            | 53
            | 69
            | 111
            | 123
            | 137
            | 161
            | 389
            | 427
            | 520
            | 623
            | 1194
            | 1434
            | 1900
            | 3283
            | 3702
            | 5353
            | 5683
            | 10_001
            | 11_211
            | 27_015
            | 27_960
            | 32_414
            | 33_848
            | 37_810
    )
}

/// IPv4 prefixes from which nothing comes over the Internet: private, shared, link-local, protocol assignments,
/// documentation, benchmarking (RFC 6890, RFC 5737, RFC 2544). What is no source anywhere was refused before.
const BOGONS: [(u32, u8); 10] = [
    (0x0a00_0000, 8),
    (0x6440_0000, 10),
    (0xa9fe_0000, 16),
    (0xac10_0000, 12),
    (0xc000_0000, 24),
    (0xc000_0200, 24),
    (0xc0a8_0000, 16),
    (0xc612_0000, 15),
    (0xc633_6400, 24),
    (0xcb00_7100, 24),
];

/// First octets of [`BOGONS`], a bit each: most sources need no second look.
const FIRST_OCTETS: [u64; 4] = {
    let mut bits = [0; 4];
    let mut at = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
    while at < BOGONS.len() {
        let first = BOGONS[at].0 >> 24;
        bits[(first >> 6) as usize] |= 1 << (first & 63);
        // 172.16/12 and 198.18/15 stay within their first octets, as all of them do.
        at += 1;
    }
    bits
};

/// Whether nobody on the Internet has this address.
#[inline]
pub(super) fn is_bogon(address: Address) -> bool {
    let Some(v4) = address.v4() else { return is_bogon_v6(address) };
    let bits = v4.to_bits();
    let octets = FIRST_OCTETS.get((bits >> 30) as usize).copied().unwrap_or(0);
    octets >> (bits >> 24 & 63) & 1 != 0
        && BOGONS.iter().any(|(first, len)| (bits ^ first) >> (32 - len) == 0)
}

/// All of IPv6 but global unicast (RFC 4291 2.4), and of that documentation (RFC 3849, RFC 9637), the benchmarking and
/// ORCHID prefixes (RFC 5180, RFC 7343).
#[inline]
fn is_bogon_v6(address: Address) -> bool {
    let first = address.bits() >> 96;
    first >> 29 != 0b001
        || first == 0x2001_0db8
        || first >> 12 == 0x3fff0
        || first == 0x2001_0002
        || first >> 4 == 0x200_1002
}

/// Stations of one link may talk from addresses of that link, to each other and to their groups.
fn is_on_link(source: Address, destination: Address) -> bool {
    let group = destination.bits() >> 120 == 0xff;
    source.is_link_local() && (destination.is_link_local() || group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn bogons_are_what_the_registries_say() {
        for (text, bogus) in [
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("100.63.255.255", false),
            ("100.64.0.0", true),
            ("100.127.255.255", true),
            ("100.128.0.0", false),
            ("169.254.1.1", true),
            ("172.15.255.255", false),
            ("172.16.0.0", true),
            ("172.31.255.255", true),
            ("172.32.0.0", false),
            ("192.0.0.8", true),
            ("192.0.1.1", false),
            ("192.0.2.77", true),
            ("192.168.255.1", true),
            ("192.169.0.0", false),
            ("198.17.255.255", false),
            ("198.18.0.0", true),
            ("198.19.255.255", true),
            ("198.20.0.0", false),
            ("198.51.100.7", true),
            ("203.0.113.255", true),
            ("203.0.114.0", false),
            ("8.8.8.8", false),
            ("2606:4700::1111", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("2001:2::1", true),
            ("2001:20::1", true),
            ("2001:2f::1", true),
            ("2001:30::1", false),
            ("3fff:fff::1", true),
            ("3fff:1000::1", false),
            ("fd00::1", true),
            ("fe80::1", true),
            ("4000::1", true),
            ("100::1", true),
        ] {
            assert_eq!(is_bogon(address(text)), bogus, "{text}");
        }
    }

    #[test]
    fn a_station_of_the_link_is_no_bogon_on_it() {
        assert!(is_on_link(address("fe80::1"), address("ff02::1")));
        assert!(is_on_link(address("fe80::1"), address("fe80::2")));
        assert!(!is_on_link(address("fe80::1"), address("2001:db9::2")));
        assert!(!is_on_link(address("fd00::1"), address("ff02::1")));
    }

    #[test]
    fn only_flags_of_no_connection_are_impossible() {
        let [fin, syn, rst, psh, ack, urg] =
            [Flags::FIN, Flags::SYN, Flags::RST, Flags::PSH, Flags::ACK, Flags::URG];
        let (ece, cwr) = (Flags::ECE, Flags::CWR);
        for good in [
            syn,
            syn | ece | cwr,
            syn | psh,
            syn | ack,
            syn | ack | ece,
            ack,
            ack | psh,
            ack | psh | urg,
            ack | fin,
            ack | fin | psh | urg,
            rst,
            rst | ack,
            rst | psh,
        ] {
            assert!(!are_impossible(good), "{good:?}");
        }
        for bad in [
            Flags(0),
            fin,
            psh,
            urg,
            fin | psh | urg,
            syn | fin,
            syn | rst,
            syn | fin | ack,
            syn | rst | ack,
            fin | rst,
            fin | rst | ack,
            syn | urg,
            ece | cwr,
            Flags(0xff),
        ] {
            assert!(are_impossible(bad), "{bad:?}");
        }
    }
}
