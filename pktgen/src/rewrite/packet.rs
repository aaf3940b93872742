//! IP packets under a rewrite: addresses, ports, and every checksum that covers them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::checksum::{Delta, Sum};
use wire::{icmp, ipv4, ipv6, tcp, udp};

use super::{Rewrite, Side};

/// Octets of an ICMP header before what it quotes.
const QUOTE_AT: usize = icmp::HEADER_LEN;

/// Types of ICMPv4 that quote a packet: unreachable, time exceeded, parameter problem (RFC 792).
const V4_ERRORS: [u8; 3] = [3, 11, 12];
/// All types of ICMPv6 below quote a packet (RFC 4443 2.1).
const FIRST_INFORMATIONAL: u8 = 128;

/// What the upper protocol has to know of the header above it.
struct Upper<'a> {
    protocol: u8,
    /// The sum of its pseudo header, for a checksum that is computed anew; none when the packet is not whole.
    fresh: Option<Sum>,
    /// What the new addresses make to checksums over the pseudo header.
    delta: Delta,
    /// Who changes the source port, and who the destination's.
    sides: (&'a Side, &'a Side),
    is_v6: bool,
    /// Whether an error may be in it that quotes a packet.
    may_quote: bool,
}

/// Changes an IPv4 packet; `fresh` computes checksums anew.
pub(super) fn v4(rewrite: &Rewrite, packet: &mut [u8], fresh: bool) {
    let Ok(located) = ipv4::parse_unverified(packet) else { return };
    let sides = (&rewrite.source, &rewrite.destination);
    let Some((source, to, delta)) = move_v4(packet, (located.source, located.destination), sides)
    else {
        return;
    };
    if fresh && let Some(header) = packet.get_mut(..located.payload_offset) {
        renew(header, 10, Sum::ZERO);
    }
    let end = located.payload_offset + located.payload_len;
    let Some(segment) = packet.get_mut(located.payload_offset..end) else { return };
    if located.is_later_fragment() {
        return;
    }
    let is_whole = fresh && !located.is_fragment();
    let len = u16::try_from(segment.len()).unwrap_or(u16::MAX);
    let fresh = is_whole.then(|| Sum::pseudo_v4(source, to, located.protocol, len));
    let may_quote = !located.is_fragment();
    let protocol = located.protocol;
    Upper { protocol, fresh, delta, sides, is_v6: false, may_quote }.apply(rewrite, segment);
}

/// Changes an IPv6 packet.
pub(super) fn v6(rewrite: &Rewrite, packet: &mut [u8], fresh: bool) {
    let Ok(located) = ipv6::parse(packet) else { return };
    let sides = (&rewrite.source, &rewrite.destination);
    let Some((source, to, delta)) = move_v6(packet, &located, sides) else { return };
    let end = located.payload_offset + located.payload_len;
    let Some(segment) = packet.get_mut(located.payload_offset..end) else { return };
    if located.is_later_fragment() {
        return;
    }
    // On a routed way the pseudo header has the last address, which is elsewhere.
    let is_whole = fresh && !located.is_fragment() && located.segments_left == 0;
    let len = u16::try_from(segment.len()).unwrap_or(u16::MAX);
    let fresh = is_whole.then(|| Sum::pseudo_v6(source, to, located.protocol, len));
    let may_quote = !located.is_fragment();
    let protocol = located.protocol;
    Upper { protocol, fresh, delta, sides, is_v6: true, may_quote }.apply(rewrite, segment);
}

type Moved<A> = (A, A, Delta);

fn move_v4(
    packet: &mut [u8],
    (source, destination): (Ipv4Addr, Ipv4Addr),
    sides: (&Side, &Side),
) -> Option<Moved<Ipv4Addr>> {
    let header = ipv4::Header::of(packet).ok()?;
    let mut delta = Delta::NONE;
    let (mut new_source, mut new_to) = (source, destination);
    if let IpAddr::V4(new) = sides.0.address(source.into())
        && new != source
    {
        delta = delta.plus(header.set_source(new));
        new_source = new;
    }
    if let IpAddr::V4(new) = sides.1.address(destination.into())
        && new != destination
    {
        delta = delta.plus(header.set_destination(new));
        new_to = new;
    }
    Some((new_source, new_to, delta))
}

fn move_v6(
    packet: &mut [u8],
    located: &ipv6::Located,
    sides: (&Side, &Side),
) -> Option<Moved<Ipv6Addr>> {
    let header = ipv6::Header::of(packet).ok()?;
    let mut delta = Delta::NONE;
    let (mut source, mut to) = (located.source, located.destination);
    if let IpAddr::V6(new) = sides.0.address(source.into())
        && new != source
    {
        delta = delta.plus(Delta::of_v6(source, new));
        header.source = new.octets();
        source = new;
    }
    if let IpAddr::V6(new) = sides.1.address(to.into())
        && new != to
    {
        if located.segments_left == 0 {
            delta = delta.plus(Delta::of_v6(to, new));
        }
        header.destination = new.octets();
        to = new;
    }
    Some((source, to, delta))
}

impl Upper<'_> {
    fn apply(mut self, rewrite: &Rewrite, segment: &mut [u8]) {
        match (self.protocol, self.is_v6) {
            (udp::PROTOCOL, _) => {
                self.ports(segment);
                let has_none = segment.get(6..8) == Some(&[0, 0]) && !self.is_v6;
                if !has_none {
                    self.settle(segment, 6);
                }
            }
            (tcp::PROTOCOL, _) => {
                self.ports(segment);
                self.settle(segment, 16);
            }
            (icmp::v4::PROTOCOL, false) => {
                // ICMP for IPv4 knows no pseudo header.
                self.delta = Delta::NONE;
                self.fresh = self.fresh.map(|_| Sum::ZERO);
                self.quoted(rewrite, segment);
                self.settle(segment, 2);
            }
            (icmp::v6::PROTOCOL, true) => {
                self.quoted(rewrite, segment);
                self.settle(segment, 2);
            }
            _ => {}
        }
    }

    fn ports(&mut self, segment: &mut [u8]) {
        let Some(&[a, b, c, d]) = segment.first_chunk::<4>() else { return };
        let (old_source, old_to) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let (source, to) = (self.sides.0.port(old_source), self.sides.1.port(old_to));
        let [a, b] = source.to_be_bytes();
        let [c, d] = to.to_be_bytes();
        if let Some(place) = segment.first_chunk_mut() {
            *place = [a, b, c, d];
        }
        let changes = Delta::of_word(old_source, source).plus(Delta::of_word(old_to, to));
        self.delta = self.delta.plus(changes);
    }

    /// The packet that an error quotes went the other way: its source is who gets the error.
    fn quoted(&mut self, rewrite: &Rewrite, message: &mut [u8]) {
        let is_error = message.first().is_some_and(|kind| {
            if self.is_v6 { *kind < FIRST_INFORMATIONAL } else { V4_ERRORS.contains(kind) }
        });
        if !(is_error && self.may_quote) {
            return;
        }
        let old = Sum::of(message);
        let Some(quote) = message.get_mut(QUOTE_AT..) else { return };
        let sides = (&rewrite.destination, &rewrite.source);
        if self.is_v6 {
            quoted_v6(rewrite, quote, sides);
        } else {
            quoted_v4(rewrite, quote, sides);
        }
        self.delta = self.delta.plus(Delta::between(old, Sum::of(message)));
    }

    /// The checksum at this place of the segment follows.
    fn settle(&self, segment: &mut [u8], at: usize) {
        if let Some(pseudo) = self.fresh {
            renew(segment, at, pseudo);
            if self.protocol == udp::PROTOCOL
                && let Some(place @ &mut [0, 0]) = segment.get_mut(at..at + 2)
            {
                place.fill(0xff);
            }
            return;
        }
        let Some(place) = segment.get_mut(at..).and_then(<[u8]>::first_chunk_mut) else { return };
        let old = u16::from_be_bytes(*place);
        let is_udp = self.protocol == udp::PROTOCOL;
        let new = if is_udp { self.delta.apply_udp(old) } else { self.delta.apply(old) };
        *place = new.to_be_bytes();
    }
}

fn quoted_v4(rewrite: &Rewrite, quote: &mut [u8], sides: (&Side, &Side)) {
    let Ok(located) = ipv4::parse_quoted(quote) else { return };
    let ends = (located.source, located.destination);
    let Some((_, _, delta)) = move_v4(quote, ends, sides) else { return };
    let Some(segment) = quote.get_mut(located.payload_offset..) else { return };
    if !located.is_later_fragment() {
        let protocol = located.protocol;
        let upper = Upper { protocol, fresh: None, delta, sides, is_v6: false, may_quote: false };
        upper.apply(rewrite, segment);
    }
}

fn quoted_v6(rewrite: &Rewrite, quote: &mut [u8], sides: (&Side, &Side)) {
    let Ok(located) = ipv6::parse_quoted(quote) else { return };
    let Some((_, _, delta)) = move_v6(quote, &located, sides) else { return };
    let Some(segment) = quote.get_mut(located.payload_offset..) else { return };
    if !located.is_later_fragment() {
        let protocol = located.protocol;
        let upper = Upper { protocol, fresh: None, delta, sides, is_v6: true, may_quote: false };
        upper.apply(rewrite, segment);
    }
}

/// Computes the checksum at this place over `octets` and `pseudo`.
fn renew(octets: &mut [u8], at: usize, pseudo: Sum) {
    let Some(place) = octets.get_mut(at..at + 2) else { return };
    place.fill(0);
    let sum = pseudo.plus(Sum::of(octets)).finish();
    if let Some(place) = octets.get_mut(at..at + 2) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
}
