//! What a flow does to a packet's octets: addresses, ports, checksums by difference (RFC 1624 3), and what splices shift.

use wire::checksum::Delta;
use wire::{icmp, ipv4, ipv6, tcp, udp};

use crate::line::{Cold, End, Line, SHIFTED, SPLICED, V6, addresses_at};

mod shift;

pub(crate) use shift::of_number;

/// Source, destination, source port and destination port with which a packet leaves that has come in at a side: those of the
/// other side, turned round.
#[inline]
const fn leaving<T: Copy>([a, b, c, d]: [T; 4], from: End) -> [T; 4] {
    match from {
        End::Near => [d, c, b, a],
        End::Far => [b, a, d, c],
    }
}

/// Rewrites a packet of IPv4 whose numbers are not shifted.
#[inline]
pub(crate) fn plain_v4(line: &Line, from: End, octets: &mut [u8], at: u16) -> Option<()> {
    let (ip, upper) = octets.split_at_mut_checked(at.into())?;
    let [source, destination, ..] = leaving(line.addresses, from);
    addresses_v4(ip, [source, destination], toward(line.header, from))?;
    ports(line, from, upper, toward(line.upper, from))
}

/// Rewrites any packet of a flow.
#[inline]
pub(crate) fn any(
    (line, cold): (&Line, &Cold),
    from: End,
    octets: &mut [u8],
    (at, len): (u16, u16),
) -> Option<()> {
    addresses((line, cold), from, octets)?;
    let upper = octets.get_mut(usize::from(at)..usize::from(len))?;
    let mut delta = toward(line.upper, from);
    if line.has(SHIFTED) && line.protocol == tcp::PROTOCOL {
        delta = delta.plus(shift::segment(upper, from, (line.number_shifts(cold), line.shifts))?);
    }
    ports(line, from, upper, delta)
}

/// Rewrites the addresses alone.
#[inline]
pub(crate) fn addresses((line, cold): (&Line, &Cold), from: End, octets: &mut [u8]) -> Option<()> {
    let [to_destination, to_source] = addresses_at(line, cold, from.other());
    if line.has(V6) {
        return addresses_v6(octets, [to_source, to_destination]);
    }
    addresses_v4(octets, [to_source[0], to_destination[0]], toward(line.header, from))
}

/// The difference on the way that a packet goes.
#[inline]
const fn toward(delta: Delta, from: End) -> Delta {
    match from {
        End::Near => delta,
        End::Far => delta.reversed(),
    }
}

#[inline]
fn addresses_v4(octets: &mut [u8], [source, destination]: [u32; 2], delta: Delta) -> Option<()> {
    let header = ipv4::Header::of(octets).ok()?;
    header.source = source.to_ne_bytes();
    header.destination = destination.to_ne_bytes();
    header.checksum = delta.apply(header.checksum.get()).into();
    Some(())
}

/// Where IPv6 has its addresses.
const V6_ADDRESSES: usize = 8;

#[inline]
pub(crate) fn addresses_v6(octets: &mut [u8], words: [[u32; 4]; 2]) -> Option<()> {
    let places = octets.get_mut(V6_ADDRESSES..ipv6::HEADER_LEN)?;
    let (places, _) = places.as_chunks_mut::<4>();
    let words = words.as_flattened();
    places.iter_mut().zip(words).for_each(|(place, word)| *place = word.to_ne_bytes());
    Some(())
}

/// Rewrites ports, or the identifier of an ICMP query, and the checksum.
#[inline]
fn ports(line: &Line, from: End, upper: &mut [u8], delta: Delta) -> Option<()> {
    let [source, destination, ..] = leaving(line.ports, from);
    match line.protocol {
        tcp::PROTOCOL => {
            let header = upper.first_chunk_mut::<{ tcp::HEADER_LEN }>()?;
            put(header, [(0, source), (2, destination)]);
            let checksum = u16::from_be_bytes([header[16], header[17]]);
            put(header, [(16, delta.apply(checksum))]);
        }
        udp::PROTOCOL => {
            let header = upper.first_chunk_mut::<{ udp::HEADER_LEN }>()?;
            put_own(line, from, header, [source, destination]);
            let checksum = u16::from_be_bytes([header[6], header[7]]);
            put(header, [(6, delta.apply_udp(checksum))]);
        }
        _ => {
            let header = upper.first_chunk_mut::<{ icmp::HEADER_LEN }>()?;
            let identifier = if from.other() == End::Far { source } else { destination };
            let checksum = u16::from_be_bytes([header[2], header[3]]);
            put(header, [(4, identifier), (2, delta.apply(checksum))]);
        }
    }
    Some(())
}

/// The one port that UDP flows know, unless they are spliced.
#[inline]
fn put_own(line: &Line, from: End, header: &mut [u8; 8], [source, destination]: [u16; 2]) {
    if line.has(SPLICED) {
        put(header, [(0, source), (2, destination)]);
    } else if from == End::Near {
        put(header, [(0, source)]);
    } else {
        put(header, [(2, destination)]);
    }
}

/// Writes words in network order.
#[inline]
pub(crate) fn put<const N: usize>(octets: &mut [u8], words: [(usize, u16); N]) {
    for (at, word) in words {
        if let Some(place) = octets.get_mut(at..at + 2) {
            place.copy_from_slice(&word.to_be_bytes());
        }
    }
}
