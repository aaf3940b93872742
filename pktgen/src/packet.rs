//! IP packets, as both the outer and the inner side build and read them: a header before a payload that lies in
//! place, and back from a packet to its parts with every checksum verified.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use wire::checksum::Sum;
use wire::tcp::Flags;
use wire::{NoRoom, ethernet, icmp, ipv4, ipv6, udp};

/// Hops that every packet of ours starts with.
pub(crate) const HOP_LIMIT: u8 = 64;

/// The control bits of TCP (RFC 9293 3.1), by the names that people write.
pub(crate) const CONTROL_BITS: [(Flags, &str); 8] = [
    (Flags::SYN, "syn"),
    (Flags::FIN, "fin"),
    (Flags::RST, "rst"),
    (Flags::PSH, "psh"),
    (Flags::ACK, "ack"),
    (Flags::URG, "urg"),
    (Flags::ECE, "ece"),
    (Flags::CWR, "cwr"),
];

/// Octets of the IP header of an address's family.
pub const fn ip_header_len(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(_) => ipv4::HEADER_LEN,
        IpAddr::V6(_) => ipv6::HEADER_LEN,
    }
}

/// Octets of IP and UDP headers, which are those of IP and ICMP echo headers as well.
pub const fn overhead(address: IpAddr) -> usize {
    ip_header_len(address) + udp::HEADER_LEN
}

/// Writes an IP header before the payload that follows it in `packet`. Both addresses are of one family.
pub fn emit_ip(
    packet: &mut [u8],
    (source, destination): (IpAddr, IpAddr),
    protocol: u8,
    hop_limit: u8,
) -> Result<(), NoRoom> {
    let payload_len = packet.len().checked_sub(ip_header_len(source)).ok_or(NoRoom)?;
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            emit_v4(packet, (source, destination), (protocol, hop_limit))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let fields = ipv6::Fields {
                source,
                destination,
                protocol,
                hop_limit,
                traffic_class: 0,
                flow_label: 0,
                payload_len,
            };
            ipv6::emit(packet, &fields).map(|_| ())
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Err(NoRoom),
    }
}

/// The sum of 8 octets that are still in a register. Summing octets right after they were written in other widths
/// makes the processor wait until they are in the cache.
pub(crate) fn sum_of(octets: u64) -> Sum {
    Sum::of(&octets.to_be_bytes())
}

/// An IPv4 header without options (RFC 791 3.1), which must not be fragmented.
fn emit_v4(
    packet: &mut [u8],
    (source, destination): (Ipv4Addr, Ipv4Addr),
    (protocol, hop_limit): (u8, u8),
) -> Result<(), NoRoom> {
    let len = u16::try_from(packet.len()).map_err(|_| NoRoom)?;
    let head = (0x4500 << 48) | (u64::from(len) << 32) | 0x4000;
    let middle =
        (u64::from(hop_limit) << 56) | (u64::from(protocol) << 48) | u64::from(source.to_bits());
    let tail = destination.to_bits();
    let sum = sum_of(head).plus(sum_of(middle)).plus(Sum::of_v4(destination));
    let middle = middle | (u64::from(sum.finish()) << 32);
    let header = packet.first_chunk_mut::<{ ipv4::HEADER_LEN }>().ok_or(NoRoom)?;
    header[..8].copy_from_slice(&head.to_be_bytes());
    header[8..16].copy_from_slice(&middle.to_be_bytes());
    header[16..].copy_from_slice(&tail.to_be_bytes());
    Ok(())
}

/// The sum of the pseudo header (RFC 768, RFC 8200 8.1); an error for addresses of two families.
pub(crate) fn pseudo(source: IpAddr, to: IpAddr, protocol: u8, len: u16) -> Result<Sum, NoRoom> {
    match (source, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Ok(Sum::pseudo_v4(from, to, protocol, len)),
        (IpAddr::V6(from), IpAddr::V6(to)) => Ok(Sum::pseudo_v6(from, to, protocol, len)),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Err(NoRoom),
    }
}

/// Writes a UDP header before a payload whose sum, with that of the pseudo header, is `rest`. `len` counts both.
pub(crate) fn emit_udp_header(header: &mut [u8], ports: udp::Ports, (len, rest): (u16, Sum)) {
    let fields = (u64::from(ports.source) << 48)
        | (u64::from(ports.destination) << 32)
        | (u64::from(len) << 16);
    // Zero means no checksum (RFC 768).
    let checksum = match rest.plus(sum_of(fields)).finish() {
        0 => 0xffff,
        checksum => checksum,
    };
    let octets = (fields | u64::from(checksum)).to_be_bytes();
    if let Some(place) = header.first_chunk_mut() {
        *place = octets;
    }
}

/// Writes IP and UDP headers before the payload that starts at [`overhead`].
pub fn emit_udp(packet: &mut [u8], source: SocketAddr, to: SocketAddr) -> Result<(), NoRoom> {
    let datagram = packet.get_mut(ip_header_len(source.ip())..).ok_or(NoRoom)?;
    let len = u16::try_from(datagram.len()).map_err(|_| NoRoom)?;
    let (header, payload) = datagram.split_at_mut_checked(udp::HEADER_LEN).ok_or(NoRoom)?;
    let rest = pseudo(source.ip(), to.ip(), udp::PROTOCOL, len)?.plus(Sum::of(payload));
    let ports = udp::Ports { source: source.port(), destination: to.port() };
    emit_udp_header(header, ports, (len, rest));
    emit_ip(packet, (source.ip(), to.ip()), udp::PROTOCOL, HOP_LIMIT)
}

/// Writes IP and echo request headers before the data that starts at [`overhead`].
#[cfg(test)]
pub(crate) fn emit_echo(
    packet: &mut [u8],
    source: IpAddr,
    to: IpAddr,
    echo: icmp::Echo,
) -> Result<(), NoRoom> {
    let message = packet.get_mut(ip_header_len(source)..).ok_or(NoRoom)?;
    let protocol = match (source, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => {
            icmp::v4::emit_echo_request(message, echo)?;
            icmp::v4::PROTOCOL
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            icmp::v6::emit_echo_request(message, echo, from, to)?;
            icmp::v6::PROTOCOL
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return Err(NoRoom),
    };
    emit_ip(packet, (source, to), protocol, HOP_LIMIT)
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A UDP datagram.
    Udp(udp::Ports),
    /// An echo request.
    EchoRequest(icmp::Echo),
    /// An echo reply.
    EchoReply(icmp::Echo),
    /// Something else that is well formed as far as it was looked at.
    Other,
}

/// A packet that was read and found whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located<'a> {
    /// Its sender.
    pub source: IpAddr,
    /// Its receiver.
    pub destination: IpAddr,
    /// What its payload is, as an IP protocol number.
    pub protocol: u8,
    /// The protocol's message.
    pub content: Content,
    /// What lies behind the 8 octets of the UDP or echo header; all of the IP payload of others.
    pub payload: &'a [u8],
    /// Octets before the IP payload.
    pub header_len: usize,
    /// Octets of the packet; the frame may have padding behind them.
    pub len: usize,
}

/// Reads the packet in an Ethernet frame, as [`read`].
pub fn in_frame(frame: &[u8]) -> Option<Located<'_>> {
    let header = ethernet::parse(frame).ok()?;
    let is_ip = matches!(header.ethertype, ipv4::ETHERTYPE | ipv6::ETHERTYPE);
    read(frame.get(header.payload_offset..).filter(|_| is_ip)?)
}

/// Reads a packet and verifies all checksums of what [`Content`] names; none when it is broken or a fragment.
pub fn read(packet: &[u8]) -> Option<Located<'_>> {
    match packet.first()? >> 4 {
        4 => {
            let ip = ipv4::parse(packet).ok().filter(|ip| !ip.is_fragment())?;
            let all = packet.get(ip.payload_offset..ip.payload_offset + ip.payload_len)?;
            let ends = (ip.source.into(), ip.destination.into());
            locate(ends, (ip.payload_offset, ip.protocol), all)
        }
        6 => {
            let ip = ipv6::parse(packet).ok().filter(|ip| !ip.is_fragment())?;
            let all = packet.get(ip.payload_offset..ip.payload_offset + ip.payload_len)?;
            let ends = (ip.source.into(), ip.destination.into());
            locate(ends, (ip.payload_offset, ip.protocol), all)
        }
        _ => None,
    }
}

fn locate(
    (source, destination): (IpAddr, IpAddr),
    (header_len, protocol): (usize, u8),
    all: &[u8],
) -> Option<Located<'_>> {
    let content = match (source, destination, protocol) {
        (IpAddr::V4(from), IpAddr::V4(to), udp::PROTOCOL) => {
            udp::verify_v4(from, to, all).ok()?;
            Content::Udp(udp::parse(all).ok()?.ports)
        }
        (IpAddr::V6(from), IpAddr::V6(to), udp::PROTOCOL) => {
            udp::verify_v6(from, to, all).ok()?;
            Content::Udp(udp::parse(all).ok()?.ports)
        }
        (IpAddr::V4(_), _, icmp::v4::PROTOCOL) => {
            let message = icmp::v4::parse(all).ok()?;
            echo(message.echo_request_v4(), message.echo_reply_v4())
        }
        (IpAddr::V6(from), IpAddr::V6(to), icmp::v6::PROTOCOL) => {
            let message = icmp::v6::parse(from, to, all).ok()?;
            echo(message.echo_request_v6(), message.echo_reply_v6())
        }
        _ => Content::Other,
    };
    let skip = if content == Content::Other { 0 } else { udp::HEADER_LEN };
    let len = header_len + all.len();
    let payload = all.get(skip..)?;
    Some(Located { source, destination, protocol, content, payload, header_len, len })
}

fn echo(request: Option<icmp::Echo>, reply: Option<icmp::Echo>) -> Content {
    request
        .map(Content::EchoRequest)
        .or_else(|| reply.map(Content::EchoReply))
        .unwrap_or(Content::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(v6: bool) -> (SocketAddr, SocketAddr) {
        let text = if v6 { ("[fd07::2]:9", "[fd07::1]:7") } else { ("10.7.0.2:9", "10.7.0.1:7") };
        (text.0.parse().unwrap(), text.1.parse().unwrap())
    }

    #[test]
    fn what_is_emitted_is_read_back_in_both_families() {
        for v6 in [false, true] {
            let (from, to) = ends(v6);
            let mut packet = vec![b'p'; overhead(from.ip()) + 33];
            emit_udp(&mut packet, from, to).unwrap();
            packet.extend([0; 6]);
            let located = read(&packet).unwrap();
            assert_eq!((located.source, located.destination), (from.ip(), to.ip()));
            assert_eq!(located.content, Content::Udp(udp::Ports { source: 9, destination: 7 }));
            assert_eq!((located.payload, located.len), (&[b'p'; 33][..], packet.len() - 6));

            let ping = icmp::Echo { identifier: 3, sequence: 4 };
            let mut packet = vec![b'q'; overhead(from.ip()) + 1];
            emit_echo(&mut packet, from.ip(), to.ip(), ping).unwrap();
            let located = read(&packet).unwrap();
            assert_eq!((located.content, located.payload), (Content::EchoRequest(ping), &b"q"[..]));
        }
    }

    #[test]
    fn a_changed_octet_is_noticed_and_families_do_not_mix() {
        for v6 in [false, true] {
            let (from, to) = ends(v6);
            let mut packet = vec![0; 100];
            emit_udp(&mut packet, from, to).unwrap();
            packet[99] ^= 1;
            assert!(read(&packet).is_none());
            assert_eq!(emit_udp(&mut packet, from, ends(!v6).1), Err(NoRoom));
        }
        assert!(read(&[]).is_none());
    }
}
