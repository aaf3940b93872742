//! Packets of every kind, to be sent into a server in memory, and the way back from a frame to what is in it.
#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "tests build packets that fit")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use wire::checksum::Sum;
use wire::{arp, ethernet, icmp, ipv4, ipv6, nd, tcp, udp};

use super::site;
use crate::neighbours::LinkAddress;

/// What an IP header says.
#[derive(Clone, Copy, Debug)]
pub struct Ip {
    /// Where the packet comes from.
    pub source: IpAddr,
    /// Where it goes; of the same family.
    pub destination: IpAddr,
    /// DSCP and ECN.
    pub tos: u8,
    /// Hops that it may take.
    pub hop_limit: u8,
}

impl Ip {
    /// A header with 64 hops left.
    pub fn new(source: impl Into<IpAddr>, destination: impl Into<IpAddr>) -> Self {
        Self { source: source.into(), destination: destination.into(), tos: 0, hop_limit: 64 }
    }

    /// The packet with this header and payload.
    pub fn packet(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let fields = ipv4::Fields {
                    source,
                    destination,
                    protocol,
                    ttl: self.hop_limit,
                    tos: self.tos,
                    identification: 0,
                    dont_fragment: true,
                    payload_len: payload.len(),
                };
                let mut octets = vec![0; ipv4::HEADER_LEN];
                ipv4::emit(&mut octets, &fields).expect("it fits");
                octets.extend(payload);
                octets
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let fields = ipv6::Fields {
                    source,
                    destination,
                    protocol,
                    hop_limit: self.hop_limit,
                    traffic_class: self.tos,
                    flow_label: 0,
                    payload_len: payload.len(),
                };
                let mut octets = vec![0; ipv6::HEADER_LEN];
                ipv6::emit(&mut octets, &fields).expect("it fits");
                octets.extend(payload);
                octets
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Vec::new(),
        }
    }

    /// A UDP datagram under this header.
    pub fn udp(&self, source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
        let mut octets = vec![0; udp::HEADER_LEN];
        octets.extend(payload);
        let ports = udp::Ports { source, destination };
        match (self.source, self.destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => udp::emit_v4(&mut octets, ports, from, to),
            (IpAddr::V6(from), IpAddr::V6(to)) => udp::emit_v6(&mut octets, ports, from, to),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Ok(()),
        }
        .expect("it fits");
        self.packet(udp::PROTOCOL, &octets)
    }

    /// A TCP segment under this header.
    pub fn tcp(&self, fields: &tcp::Fields, options: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut octets = vec![0; tcp::HEADER_LEN + options.len()];
        octets.extend(payload);
        let len = u16::try_from(octets.len()).expect("it fits");
        let pseudo = match (self.source, self.destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => Sum::pseudo_v4(from, to, tcp::PROTOCOL, len),
            (IpAddr::V6(from), IpAddr::V6(to)) => Sum::pseudo_v6(from, to, tcp::PROTOCOL, len),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Sum::ZERO,
        };
        tcp::emit(&mut octets, fields, options, pseudo).expect("it fits");
        self.packet(tcp::PROTOCOL, &octets)
    }

    /// An echo request under this header.
    pub fn echo(&self, sequence: u16, data: &[u8]) -> Vec<u8> {
        let mut octets = vec![0; icmp::HEADER_LEN];
        octets.extend(data);
        let echo = icmp::Echo { identifier: 0x6d6c, sequence };
        if let (IpAddr::V6(from), IpAddr::V6(to)) = (self.source, self.destination) {
            icmp::v6::emit_echo_request(&mut octets, echo, from, to).expect("it fits");
            return self.packet(icmp::v6::PROTOCOL, &octets);
        }
        icmp::v4::emit_echo_request(&mut octets, echo).expect("it fits");
        self.packet(icmp::v4::PROTOCOL, &octets)
    }

    /// An ICMP error about a small packet that `destination` sent to nobody: what may not be answered with
    /// another error. It is as long as `data`, though honest ones quote less.
    pub fn error(&self, data: &[u8]) -> Vec<u8> {
        let mut octets = vec![0; icmp::HEADER_LEN + data.len()];
        if let (IpAddr::V6(from), IpAddr::V6(to)) = (self.source, self.destination) {
            let error = icmp::v6::Error::NoRoute;
            icmp::v6::emit_error(&mut octets, error, from, to, data).expect("it fits");
            return self.packet(icmp::v6::PROTOCOL, &octets);
        }
        let error = icmp::v4::Error::NetworkUnreachable;
        icmp::v4::emit_error(&mut octets, error, data).expect("it fits");
        self.packet(icmp::v4::PROTOCOL, &octets)
    }

    /// An ICMP error about this packet, which it quotes as far as it may.
    pub fn error_about(&self, error: icmp::v4::Error, offender: &[u8]) -> Vec<u8> {
        let mut octets = vec![0; icmp::HEADER_LEN + offender.len()];
        let len = icmp::v4::emit_error(&mut octets, error, offender).expect("it fits");
        octets.truncate(len);
        self.packet(icmp::v4::PROTOCOL, &octets)
    }
}

/// An Ethernet frame.
pub fn frame(to: LinkAddress, from: LinkAddress, vlan: Option<u16>, payload: &[u8]) -> Vec<u8> {
    let ethertype = match payload.first().map(|octet| octet >> 4) {
        Some(4) => ipv4::ETHERTYPE,
        Some(6) => ipv6::ETHERTYPE,
        _ => arp::ETHERTYPE,
    };
    frame_of(to, from, (vlan, ethertype), payload)
}

/// An Ethernet frame of any type.
pub fn frame_of(
    to: LinkAddress,
    from: LinkAddress,
    (vlan, ethertype): (Option<u16>, u16),
    payload: &[u8],
) -> Vec<u8> {
    let mut octets = vec![0; ethernet::TAGGED_HEADER_LEN];
    let len = ethernet::emit(&mut octets, to, from, vlan, ethertype).expect("it fits");
    octets.truncate(len);
    octets.extend(payload);
    octets
}

/// A frame from the gateway to the server's first port.
pub fn from_gateway(packet: &[u8]) -> Vec<u8> {
    frame(site::port_link(0), site::GATEWAY, None, packet)
}

/// A frame from the server's kernel to the interface for inner packets.
pub fn from_local(packet: &[u8]) -> Vec<u8> {
    frame(crate::site::ROUTER, site::KERNEL, None, packet)
}

/// A UDP datagram as it comes from the gateway.
pub fn datagram(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    datagram_with(source, destination, 0, payload)
}

/// The same with a type of service.
pub fn datagram_with(
    source: SocketAddr,
    destination: SocketAddr,
    tos: u8,
    payload: &[u8],
) -> Vec<u8> {
    let ip = Ip { tos, ..Ip::new(source.ip(), destination.ip()) };
    from_gateway(&ip.udp(source.port(), destination.port(), payload))
}

/// The question who has `target`, broadcast by `from`.
pub fn arp_request(from: (LinkAddress, Ipv4Addr), target: Ipv4Addr) -> Vec<u8> {
    let message = arp::Message::request(from.0, from.1, target);
    frame(ethernet::BROADCAST, from.0, None, &arp_octets(&message))
}

/// An unasked ARP answer.
pub fn arp_reply(from: (LinkAddress, Ipv4Addr), to: (LinkAddress, Ipv4Addr)) -> Vec<u8> {
    let reply = arp::Message::request(to.0, to.1, from.1).reply(from.0);
    frame(to.0, from.0, None, &arp_octets(&reply))
}

fn arp_octets(message: &arp::Message) -> Vec<u8> {
    let mut octets = vec![0; arp::LEN];
    arp::emit(&mut octets, message).expect("it fits");
    octets
}

/// The question who has `target`, multicast by `from`.
pub fn solicitation(from: (LinkAddress, Ipv6Addr), target: Ipv6Addr) -> Vec<u8> {
    let group = nd::solicited_node(target);
    let message = nd::Message::solicit(target, from.0);
    frame(nd::multicast_mac(group), from.0, None, &discovery(from.1, group, &message))
}

fn discovery(source: Ipv6Addr, destination: Ipv6Addr, message: &nd::Message) -> Vec<u8> {
    let mut octets = vec![0; nd::LEN_MAX];
    let len = nd::emit(&mut octets, source, destination, message).expect("it fits");
    octets.truncate(len);
    let ip = Ip { hop_limit: nd::HOP_LIMIT, ..Ip::new(source, destination) };
    ip.packet(icmp::v6::PROTOCOL, &octets)
}

/// The answer of a neighbour at `link` to a question of the server's, if the frame is one and `is_there`
/// says that somebody has that address.
pub fn answer(
    octets: &[u8],
    link: LinkAddress,
    is_there: impl Fn(IpAddr) -> bool,
) -> Option<Vec<u8>> {
    let header = ethernet::parse(octets).ok()?;
    let payload = octets.get(header.payload_offset..)?;
    if header.ethertype == arp::ETHERTYPE {
        let question = arp::parse(payload).ok()?;
        let asked =
            question.operation == arp::Operation::Request && is_there(question.target.into());
        let reply = arp_octets(&question.reply(link));
        return asked.then(|| frame(header.source, link, header.vlan_id, &reply));
    }
    if header.ethertype != ipv6::ETHERTYPE {
        return None;
    }
    let ip = ipv6::parse(payload).ok()?;
    let Ok(nd::Message::Solicitation { target, .. }) =
        nd::parse(&ip, payload.get(ip.payload_offset..)?)
    else {
        return None;
    };
    let (to, message) = nd::Message::answer(ip.source, target, link, true);
    let reply = discovery(target, to, &message);
    is_there(target.into()).then(|| frame(header.source, link, header.vlan_id, &reply))
}

/// What an IP header says about the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Where the packet comes from.
    pub source: IpAddr,
    /// Where it goes.
    pub destination: IpAddr,
    /// The payload's protocol.
    pub protocol: u8,
    /// Octets before the payload.
    pub payload_offset: usize,
    /// Octets of the packet.
    pub len: usize,
}

/// Reads and checks an IP header.
pub fn outline(packet: &[u8]) -> Option<Outline> {
    if let Ok(ip) = ipv4::parse(packet) {
        let (source, destination) = (ip.source.into(), ip.destination.into());
        let (protocol, payload_offset, len) = (ip.protocol, ip.payload_offset, ip.total_len());
        return Some(Outline { source, destination, protocol, payload_offset, len });
    }
    let ip = ipv6::parse(packet).ok()?;
    let (source, destination) = (ip.source.into(), ip.destination.into());
    let (protocol, payload_offset, len) = (ip.protocol, ip.payload_offset, ip.total_len());
    Some(Outline { source, destination, protocol, payload_offset, len })
}

/// The IP packet in a frame, checked, without the link's padding.
pub fn packet_in(octets: &[u8]) -> Option<(Outline, &[u8])> {
    let header = ethernet::parse(octets).ok()?;
    let packet = octets.get(header.payload_offset..)?;
    let outline = outline(packet)?;
    Some((outline, packet.get(..outline.len)?))
}

/// Addresses and payload of the UDP datagram in a frame; all checksums are right.
pub fn datagram_in(octets: &[u8]) -> Option<(SocketAddr, SocketAddr, &[u8])> {
    let (outline, packet) = packet_in(octets)?;
    let (ports, payload) = udp_in(&outline, packet)?;
    let ends =
        ((outline.source, ports.source).into(), (outline.destination, ports.destination).into());
    Some((ends.0, ends.1, payload))
}

/// Ports and payload of the UDP datagram in an IP packet; the checksum is right.
pub fn udp_in<'a>(outline: &Outline, packet: &'a [u8]) -> Option<(udp::Ports, &'a [u8])> {
    if outline.protocol != udp::PROTOCOL {
        return None;
    }
    let datagram = packet.get(outline.payload_offset..)?;
    let header = udp::parse(datagram).ok()?;
    match (outline.source, outline.destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => udp::verify_v4(from, to, datagram).ok()?,
        (IpAddr::V6(from), IpAddr::V6(to)) => udp::verify_v6(from, to, datagram).ok()?,
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    }
    Some((header.ports, datagram.get(udp::HEADER_LEN..)?))
}
