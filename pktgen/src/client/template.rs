//! Inner packets: headers of a kind before zeros and the trailer, with checksums summed over what is not zero.

use std::net::IpAddr;

use wire::checksum::Sum;
use wire::{NoRoom, icmp, tcp, udp};

use super::plan::Kind;
use crate::measure::{TRAILER_LEN, Trailer};
use crate::packet::{self, Located, sum_of};

/// The window of every segment: nothing flows back that it would hold up.
const WINDOW: u16 = 0xffff;
/// The type of an echo request over IPv4 (RFC 792) and IPv6 (RFC 4443 4.1).
const ECHO_REQUEST: (u8, u8) = (8, 128);
/// The identifier of echo requests: which of 65,536 clients in turn.
const IDENTIFIERS: u64 = 1 << 16;

/// Who sends a packet to whom, and for TCP where in its stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) source: IpAddr,
    pub(super) to: IpAddr,
    /// Of UDP and TCP.
    pub(super) ports: udp::Ports,
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
    let (source, to) = (flow.source, flow.to);
    let message = inner.get_mut(packet::ip_header_len(source)..).ok_or(NoRoom)?;
    let (header, payload) = message.split_at_mut_checked(header_len(kind)).ok_or(NoRoom)?;
    let zeros = payload.len().checked_sub(TRAILER_LEN).ok_or(NoRoom)?;
    let (padding, tail) = payload.split_at_mut_checked(zeros).ok_or(NoRoom)?;
    padding.fill(0);
    let words = trailer.words();
    tail.copy_from_slice(words.map(u64::to_be_bytes).as_flattened());
    let tail = words.iter().fold(Sum::ZERO, |sum, &word| sum.plus(sum_of(word)));
    let tail = if zeros.is_multiple_of(2) { tail } else { swapped(tail) };
    let len = u16::try_from(header.len() + payload.len()).map_err(|_| NoRoom)?;
    let protocol = match (kind, source) {
        (Kind::Echo | Kind::OneWay, _) => udp::PROTOCOL,
        (Kind::Tcp, _) => tcp::PROTOCOL,
        (Kind::Ping, IpAddr::V4(_)) => icmp::v4::PROTOCOL,
        (Kind::Ping, IpAddr::V6(_)) => icmp::v6::PROTOCOL,
    };
    let pseudo = match source {
        // ICMP over IPv4 sums no pseudo header (RFC 792).
        IpAddr::V4(_) if kind == Kind::Ping => Sum::ZERO,
        IpAddr::V4(_) | IpAddr::V6(_) => packet::pseudo(source, to, protocol, len)?,
    };
    let rest = pseudo.plus(tail);
    match kind {
        Kind::Echo | Kind::OneWay => {
            packet::emit_udp_header(header, flow.ports, (len, rest));
        }
        Kind::Tcp => write_tcp(header, flow, rest),
        Kind::Ping => write_ping(header, source, trailer, rest),
    }
    packet::emit_ip(inner, (source, to), protocol, packet::HOP_LIMIT)
}

/// A header without options (RFC 9293 3.1).
fn write_tcp(header: &mut [u8], flow: &Flow, rest: Sum) {
    let acknowledgment_number = u64::from(flow.flags.has(tcp::Flags::ACK));
    let head = (u64::from(flow.ports.source) << 48)
        | (u64::from(flow.ports.destination) << 32)
        | u64::from(flow.sequence_number);
    let middle = (acknowledgment_number << 32)
        | (0x50 << 24)
        | (u64::from(flow.flags.0) << 16)
        | u64::from(WINDOW);
    let checksum = rest.plus(sum_of(head)).plus(sum_of(middle)).finish();
    let tail = u32::from(checksum) << 16;
    for (place, octets) in header.chunks_mut(8).zip([head, middle, u64::from(tail) << 32]) {
        let octets = octets.to_be_bytes();
        place.copy_from_slice(octets.get(..place.len()).unwrap_or_default());
    }
}

fn write_ping(header: &mut [u8], source: IpAddr, trailer: Trailer, rest: Sum) {
    let kind = match source {
        IpAddr::V4(_) => ECHO_REQUEST.0,
        IpAddr::V6(_) => ECHO_REQUEST.1,
    };
    let identifier = u64::from(trailer.stream) % IDENTIFIERS;
    let fields = (u64::from(kind) << 56) | (identifier << 16) | (trailer.sequence % IDENTIFIERS);
    let checksum = rest.plus(sum_of(fields)).finish();
    header.copy_from_slice(&(fields | (u64::from(checksum) << 32)).to_be_bytes());
}

/// The sum of octets that begin in the middle of a word (RFC 1071 2 (B)).
fn swapped(sum: Sum) -> Sum {
    Sum::ZERO.plus_word((!sum.finish()).swap_bytes())
}

/// Whether a packet that was read holds a whole TCP segment.
pub(super) fn is_tcp(octets: &[u8], inner: &Located<'_>) -> bool {
    let Some(segment) = octets.get(inner.header_len..inner.len) else { return false };
    let Ok(len) = u16::try_from(segment.len()) else { return false };
    let pseudo = packet::pseudo(inner.source, inner.destination, tcp::PROTOCOL, len);
    inner.protocol == tcp::PROTOCOL
        && tcp::parse(segment).is_ok()
        && pseudo.is_ok_and(|pseudo| tcp::verify(pseudo, segment).is_ok())
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
                source: from,
                to,
                ports: udp::Ports { source: ports.0, destination: ports.1 },
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
