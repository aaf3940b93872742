//! What a tenant's rules can see of a packet, read where earlier stages have proven the IP header.

use ::firewall::facts::{Facts, Family};

use super::fragments::{Datagram, Upper};
use crate::frame::Frame;
use crate::packet::Address;

/// The facts of a whole packet. Of an upper header that is cut off nothing is seen but the protocol: `dos` drops such a
/// packet unless its tenant says otherwise.
#[inline]
pub(super) fn at_packet(frame: &Frame<'_>) -> Facts {
    let (octets, ip) = (frame.data(), &frame.note.ip);
    let upper = octets.get(usize::from(ip.payload_offset)..).unwrap_or_default();
    let upper = Upper::read(ip.protocol, upper).unwrap_or_else(|| Upper::none(ip.protocol));
    let (family, source, destination) = if ip.destination.is_v4() {
        let word = |at| u32::from_be_bytes(at_or_zero(octets, at));
        (Family::V4, word(12).into(), word(16).into())
    } else {
        let word = |at| u128::from_be_bytes(at_or_zero(octets, at));
        (Family::V6, word(8), word(24))
    };
    facts((family, source, destination), upper, (ip.len, ip.tos))
}

/// The facts of a datagram that came in pieces.
pub(super) fn at_datagram(datagram: &Datagram) -> Facts {
    let family = if datagram.destination.is_v4() { Family::V4 } else { Family::V6 };
    let bits =
        |address: Address| address.v4().map_or_else(|| address.bits(), |v4| v4.to_bits().into());
    let (source, destination) = (bits(datagram.source), bits(datagram.destination));
    facts((family, source, destination), datagram.upper, (datagram.len, datagram.tos))
}

#[inline]
const fn facts(
    (family, source, destination): (Family, u128, u128),
    upper: Upper,
    (length, tos): (u16, u8),
) -> Facts {
    Facts {
        family,
        source,
        destination,
        protocol: upper.protocol,
        source_port: upper.source_port,
        destination_port: upper.destination_port,
        tcp_flags: upper.tcp_flags,
        icmp: upper.icmp,
        length,
        dscp: tos >> 2,
    }
}

#[inline]
fn at_or_zero<const N: usize>(octets: &[u8], at: usize) -> [u8; N] {
    octets.get(at..).and_then(|octets| octets.first_chunk()).copied().unwrap_or([0; N])
}
