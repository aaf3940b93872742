//! Inner packets: headers of a kind before zeros and the trailer, with checksums summed over what is not zero.

use std::net::{IpAddr, SocketAddr};

use wire::checksum::Sum;
use wire::{NoRoom, icmp, ipv4, ipv6, tcp, udp};
use zerocopy::IntoBytes;

use super::plan::Kind;
use crate::measure::{TRAILER_LEN, Trailer};
use crate::packet::{self, Located};

/// Hops that every packet of ours starts with.
const HOP_LIMIT: u8 = 64;
/// The window of every segment: nothing flows back that it would hold up.
const WINDOW: u16 = 0xffff;
/// The type of an echo request over IPv4 (RFC 792) and IPv6 (RFC 4443 4.1).
const ECHO_REQUEST: (u8, u8) = (8, 128);
/// The identifier of echo requests: which of 65,536 clients in turn.
const IDENTIFIERS: u32 = 1 << 16;

/// Who sends a packet to whom, and for TCP where in its stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) source: SocketAddr,
    pub(super) to: SocketAddr,
    /// The number of the segment's first octet.
    pub(super) sequence_number: u32,
    pub(super) flags: tcp::Flags,
}

/// Octets of the header between the IP header and the payload.
pub(super) const fn header_len(kind: Kind) -> usize {
    match kind {
        Kind::Echo | Kind::Ping | Kind::OneWay => udp::HEADER_LEN,
        Kind::Tcp => tcp::HEADER_LEN,
    }
}

/// Writes the inner packet over all of `inner`, whatever stood there.
///
/// Errors: `NoRoom` when it is shorter than its headers and the trailer.
pub(super) fn write(
    inner: &mut [u8],
    kind: Kind,
    flow: &Flow,
    trailer: Trailer,
) -> Result<(), NoRoom> {
    let (source, to) = (flow.source.ip(), flow.to.ip());
    let message = inner.get_mut(packet::ip_header_len(source)..).ok_or(NoRoom)?;
    let (header, payload) = message.split_at_mut_checked(header_len(kind)).ok_or(NoRoom)?;
    let zeros = payload.len().checked_sub(TRAILER_LEN).ok_or(NoRoom)?;
    payload.iter_mut().take(zeros).for_each(|octet| *octet = 0);
    trailer.write(payload);
    let tail = payload.get(zeros..).ok_or(NoRoom)?;
    let tail = if zeros.is_multiple_of(2) { Sum::of(tail) } else { swapped(Sum::of(tail)) };
    let len = u16::try_from(header.len() + payload.len()).map_err(|_| NoRoom)?;
    let protocol = match (kind, source) {
        (Kind::Echo | Kind::OneWay, _) => udp::PROTOCOL,
        (Kind::Tcp, _) => tcp::PROTOCOL,
        (Kind::Ping, IpAddr::V4(_)) => icmp::v4::PROTOCOL,
        (Kind::Ping, IpAddr::V6(_)) => icmp::v6::PROTOCOL,
    };
    let pseudo = match (source, to) {
        // ICMP over IPv4 sums no pseudo header (RFC 792).
        (IpAddr::V4(_), IpAddr::V4(_)) if kind == Kind::Ping => Sum::ZERO,
        (IpAddr::V4(from), IpAddr::V4(to)) => Sum::pseudo_v4(from, to, protocol, len),
        (IpAddr::V6(from), IpAddr::V6(to)) => Sum::pseudo_v6(from, to, protocol, len),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return Err(NoRoom),
    };
    let rest = pseudo.plus(tail);
    match kind {
        Kind::Echo | Kind::OneWay => write_udp(header, flow, (len, rest)),
        Kind::Tcp => write_tcp(header, flow, rest),
        Kind::Ping => write_ping(header, source, trailer, rest),
    }
    packet::emit_ip(inner, (source, to), protocol, HOP_LIMIT)
}

fn write_udp(header: &mut [u8], flow: &Flow, (len, rest): (u16, Sum)) {
    let mut fields = udp::Header {
        source_port: flow.source.port().into(),
        destination_port: flow.to.port().into(),
        length: len.into(),
        checksum: 0.into(),
    };
    // Zero means no checksum (RFC 768).
    fields.checksum = match rest.plus(Sum::of(fields.as_bytes())).finish() {
        0 => 0xffff,
        checksum => checksum,
    }
    .into();
    header.copy_from_slice(fields.as_bytes());
}

fn write_tcp(header: &mut [u8], flow: &Flow, rest: Sum) {
    let is_answer = flow.flags.has(tcp::Flags::ACK);
    let mut fields = tcp::Header {
        source_port: flow.source.port().into(),
        destination_port: flow.to.port().into(),
        sequence_number: flow.sequence_number.into(),
        acknowledgment_number: u32::from(is_answer).into(),
        data_offset: 0x50,
        flags: flow.flags.0,
        window: WINDOW.into(),
        checksum: 0.into(),
        urgent_pointer: 0.into(),
    };
    fields.checksum = rest.plus(Sum::of(fields.as_bytes())).finish().into();
    header.copy_from_slice(fields.as_bytes());
}

fn write_ping(header: &mut [u8], source: IpAddr, trailer: Trailer, rest: Sum) {
    let kind = match source {
        IpAddr::V4(_) => ECHO_REQUEST.0,
        IpAddr::V6(_) => ECHO_REQUEST.1,
    };
    let low = |value: u64| u16::try_from(value % u64::from(IDENTIFIERS)).unwrap_or(0).to_be_bytes();
    let ([a, b], [c, d]) = (low(trailer.stream.into()), low(trailer.sequence));
    let mut fields = [kind, 0, 0, 0, a, b, c, d];
    let [high, low] = rest.plus(Sum::of(&fields)).finish().to_be_bytes();
    (fields[2], fields[3]) = (high, low);
    header.copy_from_slice(&fields);
}

/// The sum of octets that begin in the middle of a word (RFC 1071 2 (B)).
fn swapped(sum: Sum) -> Sum {
    Sum::ZERO.plus_word((!sum.finish()).swap_bytes())
}

/// Whether a packet that was read holds a whole TCP segment.
pub(super) fn is_tcp(octets: &[u8], inner: &Located<'_>) -> bool {
    let Some(segment) = octets.get(inner.header_len..inner.len) else { return false };
    let Ok(len) = u16::try_from(segment.len()) else { return false };
    let (protocol, pseudo) = match (inner.source, inner.destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (
            ipv4::parse(octets).map(|ip| ip.protocol),
            Sum::pseudo_v4(from, to, tcp::PROTOCOL, len),
        ),
        (IpAddr::V6(from), IpAddr::V6(to)) => (
            ipv6::parse(octets).map(|ip| ip.protocol),
            Sum::pseudo_v6(from, to, tcp::PROTOCOL, len),
        ),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    protocol == Ok(tcp::PROTOCOL)
        && tcp::parse(segment).is_ok()
        && tcp::verify(pseudo, segment).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Content;
    use proptest::prelude::*;
    use wireguard::time::Instant;

    proptest! {
        /// The readers verify every checksum over every octet.
        #[test]
        fn whatever_stood_there_the_packet_is_whole(
            len in 20_usize..200, v6: bool, stream: u32, sequence: u64, ports: (u16, u16),
            sequence_number: u32,
        ) {
            let hosts = if v6 { ["fd07::2", "fd07::1"] } else { ["10.7.0.2", "10.7.0.1"] };
            let [from, to]: [IpAddr; 2] = hosts.map(|host| host.parse().unwrap());
            let flow = Flow {
                source: (from, ports.0).into(),
                to: (to, ports.1).into(),
                sequence_number,
                flags: tcp::Flags(0x18),
            };
            let trailer = Trailer { stream, sequence, planned: Instant(sequence / 3) };
            for kind in [Kind::Echo, Kind::OneWay, Kind::Ping, Kind::Tcp] {
                let mut inner = vec![0xa5; len];
                let fits = len >= packet::ip_header_len(from) + header_len(kind) + TRAILER_LEN;
                prop_assert_eq!(write(&mut inner, kind, &flow, trailer).is_ok(), fits);
                if fits {
                    let read = packet::read(&inner).unwrap();
                    prop_assert_eq!(Trailer::read(read.payload), Some(trailer));
                    prop_assert_eq!((read.source, read.destination, read.len), (from, to, len));
                    prop_assert_eq!(is_tcp(&inner, &read), kind == Kind::Tcp);
                    let is_echo = matches!(read.content, Content::EchoRequest(_));
                    prop_assert_eq!(is_echo, kind == Kind::Ping);
                    inner[len - 1] ^= 1;
                    let broken = packet::read(&inner);
                    prop_assert!(broken.is_none_or(|read| !is_tcp(&inner, &read)));
                }
            }
        }
    }
}
