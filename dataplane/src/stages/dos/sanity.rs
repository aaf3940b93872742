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

    /// These but this one.
    #[inline]
    pub(super) const fn without(self, check: Check) -> Self {
        Self(self.0 & !(1 << check as u8))
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
        .and(Failed::when(Check::Bogon, is_bogon(source)));
    if ip.fragment {
        return (Class::Fragment, bogus.and(fragment(ip, packet, upper)));
    }
    let (class, failed) = match ip.protocol {
        tcp::PROTOCOL => segment(upper),
        udp::PROTOCOL => datagram(upper),
        icmp::v4::PROTOCOL | icmp::v6::PROTOCOL => {
            (Class::Icmp, Failed::when(Check::Transport, upper.len() < least(ip.protocol)))
        }
        _ => (Class::Other, Failed::NONE),
    };
    (class, bogus.and(failed))
}

/// The checks that a `WireGuard` message fails. From which port it comes is for the client's router to choose.
#[inline]
pub(super) fn look_at_message(source: Address) -> Failed {
    Failed::when(Check::Bogon, is_bogon(source))
}

/// Octets that a transport header has at least; of ICMPv6 some messages are their type, code and checksum (RFC 4286).
const fn least(protocol: u8) -> usize {
    match protocol {
        tcp::PROTOCOL => tcp::HEADER_LEN,
        udp::PROTOCOL => udp::HEADER_LEN,
        icmp::v4::PROTOCOL => icmp::HEADER_LEN,
        icmp::v6::PROTOCOL => icmp::HEADER_LEN / 2,
        _ => 0,
    }
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

/// What stands behind the datagram in its packet is nobody's business but the receiver's (RFC 9868).
fn datagram(upper: &[u8]) -> (Class, Failed) {
    let failed = match udp::parse_start(upper) {
        Ok(header) => {
            let udp::Ports { source, destination } = header.ports;
            let is_cut = header.payload_len > upper.len() - udp::HEADER_LEN;
            Failed::when(Check::Transport, destination == 0 || is_cut)
                .and(Failed::when(Check::Reflection, is_reflector(source)))
        }
        Err(_) => Failed::of(Check::Transport),
    };
    (Class::Udp, failed)
}

/// An empty fragment, a first one too short for the header that filters look at (RFC 1858 3), one that would overwrite that
/// header (RFC 3128 2), and one that asks for a connection, which never needs two. What reaches beyond the largest packet,
/// and what lies between two others without being a multiple of eight octets, was refused when it was parsed.
fn fragment(ip: &Ip, packet: &[u8], upper: &[u8]) -> Failed {
    let Ok((offset, header)) = part(packet) else { return Failed::of(Check::Fragment) };
    let (is_first, is_tcp) = (offset == 0, ip.protocol == tcp::PROTOCOL);
    let is_tiny = is_first && upper.len() < least(ip.protocol) || is_tcp && offset == 8;
    let asks = is_tcp && is_first && tcp::parse(upper).is_ok_and(|header| is_syn(header.flags));
    Failed::when(Check::Fragment, is_tiny || asks || packet.len() <= header)
}

/// Where a part begins in octets, and the octets before what is divided.
fn part(packet: &[u8]) -> Result<(usize, usize), Malformed> {
    if packet.first().is_some_and(|octet| octet >> 4 == 4) {
        let header = ipv4::parse_unverified(packet)?;
        return Ok((header.fragment_offset(), header.payload_offset));
    }
    let header = ipv6::parse(packet)?;
    let fragment = header.fragment.ok_or(Malformed::Fragment)?;
    Ok((fragment.offset, header.payload_offset))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::packets;
    use std::net::IpAddr;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
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
            assert_eq!(is_bogon(address(text).into()), bogus, "{text}");
        }
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

    const SOURCE: [u8; 4] = [198, 51, 100, 7];
    const TARGET: [u8; 4] = [203, 0, 113, 9];

    /// What the checks but that of bogons say of a packet, which the parser lets through.
    fn judged(packet: &[u8]) -> (Class, Failed) {
        let mut ip = Ip::NONE;
        let source = ip.read(packet).unwrap();
        let (class, Failed(failed)) = look(&ip, source, packet);
        (class, Failed(failed & !Failed::of(Check::Bogon).0))
    }

    /// An IPv4 packet, perhaps a part: of more with 0x2000, and where it begins in eights of octets.
    fn v4(protocol: u8, part: u16, payload: &[u8]) -> Vec<u8> {
        let mut packet =
            packets::Ip::new(IpAddr::from(SOURCE), IpAddr::from(TARGET)).packet(protocol, payload);
        packet[6..8].copy_from_slice(&part.to_be_bytes());
        packet[10..12].fill(0);
        let sum = wire::checksum::Sum::of(&packet[..ipv4::HEADER_LEN]).finish();
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    /// An IPv6 packet with a fragment header.
    fn v6(protocol: u8, part: u16, payload: &[u8]) -> Vec<u8> {
        let [first, second] = part.to_be_bytes();
        let header = [protocol, 0, first, second, 0, 0, 0, 1];
        let payload = [&header, payload].concat();
        packets::Ip::new(address("2600::7"), address("2600::9")).packet(44, &payload)
    }

    fn segment_of(flags: Flags) -> [u8; tcp::HEADER_LEN] {
        let mut octets = [0; tcp::HEADER_LEN];
        (octets[1], octets[3], octets[12], octets[13]) = (9, 80, 5 << 4, flags.0);
        octets
    }

    fn datagram_of(length: u16, payload_len: usize) -> Vec<u8> {
        let mut octets = vec![0; udp::HEADER_LEN + payload_len];
        (octets[1], octets[3]) = (9, 99);
        octets[4..6].copy_from_slice(&length.to_be_bytes());
        octets
    }

    #[test]
    fn what_honest_senders_send_passes_every_check() {
        let (more, atomic) = (0x2000, 0);
        let syn = segment_of(Flags::SYN);
        let opened = [&syn[..], b"fast open"].concat();
        for (name, class, packet) in [
            ("SYN", Class::Syn, v4(6, 0, &syn)),
            ("SYN with data", Class::Syn, v4(6, 0, &opened)),
            ("SYN-ACK", Class::Tcp, v4(6, 0, &segment_of(Flags::SYN | Flags::ACK))),
            ("RST", Class::Tcp, v4(6, 0, &segment_of(Flags::RST))),
            ("datagram", Class::Udp, v4(17, 0, &datagram_of(8, 0))),
            ("datagram with options behind it", Class::Udp, v4(17, 0, &datagram_of(9, 13))),
            ("ping", Class::Icmp, v4(1, 0, &[8; 8])),
            (
                "ICMPv6 of four octets",
                Class::Icmp,
                packets::Ip::new(address("2600::7"), address("2600::9"))
                    .packet(58, &[152, 0, 0, 0]),
            ),
            ("GRE", Class::Other, v4(47, 0, &[0; 4])),
            ("first part of a datagram", Class::Fragment, v4(17, more, &datagram_of(2_000, 1_000))),
            ("last part", Class::Fragment, v4(17, 126, b"x")),
            (
                "first part of a segment",
                Class::Fragment,
                v4(6, more, &[&segment_of(Flags::ACK)[..], &[0; 12]].concat()),
            ),
            ("part of GRE", Class::Fragment, v4(47, more, &[0; 8])),
            ("first part, IPv6", Class::Fragment, v6(17, 1, &datagram_of(2_000, 1_000))),
            ("last part, IPv6", Class::Fragment, v6(17, 126 << 3, b"x")),
            ("atomic fragment", Class::Syn, v6(6, atomic, &syn)),
            ("last octets of the largest datagram", Class::Fragment, v6(17, 8_189 << 3, &[0; 22])),
        ] {
            assert_eq!(judged(&packet), (class, Failed::NONE), "{name}");
        }
    }

    #[test]
    fn what_no_honest_sender_sends_fails_its_check_and_no_other() {
        let more = 0x2000;
        let syn = segment_of(Flags::SYN);
        let mut no_port = segment_of(Flags::ACK);
        no_port[3] = 0;
        let long = [&syn[..], &[0; 12]].concat();
        for (name, check, packet) in [
            ("a cut TCP header", Check::Transport, v4(6, 0, &syn[..19])),
            ("a header that says it is longer", Check::Transport, {
                let mut octets = syn;
                octets[12] = 6 << 4;
                v4(6, 0, &octets)
            }),
            ("no port", Check::Transport, v4(6, 0, &no_port)),
            ("a datagram longer than its packet", Check::Transport, v4(17, 0, &datagram_of(9, 0))),
            ("a datagram shorter than its header", Check::Transport, v4(17, 0, &datagram_of(7, 0))),
            ("a cut ping", Check::Transport, v4(1, 0, &[8; 7])),
            ("SYN and FIN", Check::Flags, v4(6, 0, &segment_of(Flags::SYN | Flags::FIN))),
            ("nothing set", Check::Flags, v4(6, 0, &segment_of(Flags(0)))),
            ("a first part without its header", Check::Fragment, v4(6, more, &syn[..16])),
            ("a part over the header", Check::Fragment, v4(6, 1, b"flags")),
            ("a divided SYN", Check::Fragment, v4(6, more, &long)),
            ("the same in IPv6", Check::Fragment, v6(6, 1, &long)),
        ] {
            assert_eq!(judged(&packet).1, Failed::of(check), "{name}");
        }
        let to_itself =
            packets::Ip::new(IpAddr::from(TARGET), IpAddr::from(TARGET)).udp(9, 99, b"");
        assert_eq!(judged(&to_itself).1, Failed::of(Check::Land));
        let answer = packets::Ip::new(IpAddr::from(SOURCE), IpAddr::from(TARGET)).udp(53, 99, b"");
        assert_eq!(judged(&answer).1, Failed::of(Check::Reflection));
    }
}
