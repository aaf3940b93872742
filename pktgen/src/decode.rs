//! Frames for people: one line for each layer. Total on arbitrary octets: what is broken is said to be, and where.

mod upper;

use std::net::IpAddr;
use std::ops::Range;

use wire::ethernet::{self, Mac};
use wire::{Malformed, arp, ipv4, ipv6};

/// Packets within packets that are followed.
const DEPTH_MAX: usize = 4;
/// Tags that are followed.
const TAGS_MAX: usize = 4;

/// The layers of an Ethernet frame.
pub fn frame(octets: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let Some((macs, mut rest)) = octets.split_first_chunk::<12>() else {
        return vec![format!("Ethernet broken: {} octets", octets.len())];
    };
    let (to, from) = macs.split_at(6);
    lines.push(format!("Ethernet {} > {}, {} octets", station(from), station(to), octets.len()));
    for _ in 0..=TAGS_MAX {
        let Some((kind, payload)) = word(rest) else {
            lines.push("Ethernet broken: ends before its type".to_owned());
            return lines;
        };
        if !matches!(kind, ethernet::ETHERTYPE_VLAN | ethernet::ETHERTYPE_SERVICE_VLAN) {
            payload_of(kind, payload, &mut lines, 0);
            return lines;
        }
        let Some((control, inner)) = word(payload) else {
            lines.push("VLAN broken: ends within the tag".to_owned());
            return lines;
        };
        let kind = if kind == ethernet::ETHERTYPE_VLAN { "VLAN" } else { "service VLAN" };
        lines.push(format!("{kind} {}, priority {}", control & 0x0fff, control >> 13));
        rest = inner;
    }
    lines.push("more VLAN tags than are followed".to_owned());
    lines
}

/// What stands behind an `EtherType`.
fn payload_of(kind: u16, octets: &[u8], lines: &mut Vec<String>, depth: usize) {
    match kind {
        arp::ETHERTYPE => lines.push(neighbour(octets)),
        ipv4::ETHERTYPE => v4(octets, lines, depth),
        ipv6::ETHERTYPE => v6(octets, lines, depth),
        _ => lines.push(format!("type 0x{kind:04x}, {} octets", octets.len())),
    }
}

fn neighbour(octets: &[u8]) -> String {
    match arp::parse(octets) {
        Ok(arp::Message {
            operation: arp::Operation::Request, sender, sender_mac, target, ..
        }) => {
            format!("ARP who has {target}? tell {sender} ({})", station(&sender_mac))
        }
        Ok(arp::Message { sender, sender_mac, .. }) => {
            format!("ARP {sender} is at {}", station(&sender_mac))
        }
        Err(why) => broken("ARP", why),
    }
}

fn v4(octets: &[u8], lines: &mut Vec<String>, depth: usize) {
    let (located, checksum) = match (ipv4::parse(octets), ipv4::parse_unverified(octets)) {
        (Ok(located), _) => (located, ""),
        (Err(_), Ok(located)) => (located, ", header checksum wrong"),
        (Err(why), Err(_)) => return lines.push(broken("IPv4", why)),
    };
    let ipv4::Located { source, destination, ttl, tos, protocol, identification, .. } = located;
    let fragment = if located.is_fragment() {
        piece(identification.into(), located.fragment_offset(), located.has_more_fragments())
    } else {
        String::new()
    };
    let (class, len) = (class(tos), located.total_len());
    lines.push(format!(
        "IPv4 {source} > {destination}, ttl {ttl}{class}{fragment}, length {len}{checksum}"
    ));
    let (ends, place) = ((source.into(), destination.into()), located.payload_offset..len);
    let part = (located.is_fragment(), located.is_later_fragment());
    below(octets, (protocol, ends, place), part, lines, depth);
}

fn v6(octets: &[u8], lines: &mut Vec<String>, depth: usize) {
    let located = match ipv6::parse(octets) {
        Ok(located) => located,
        Err(why) => return lines.push(broken("IPv6", why)),
    };
    let ipv6::Located { source, destination, hop_limit, traffic_class, protocol, .. } = located;
    let fragment = located.fragment.map_or_else(String::new, |fragment| {
        piece(fragment.identification, fragment.offset, fragment.more)
    });
    let (class, len) = (class(traffic_class), located.total_len());
    lines.push(format!(
        "IPv6 {source} > {destination}, hops {hop_limit}{class}{fragment}, length {len}"
    ));
    let (ends, place) = ((source.into(), destination.into()), located.payload_offset..len);
    let part = (located.is_fragment(), located.is_later_fragment());
    below(octets, (protocol, ends, place), part, lines, depth);
}

/// What an IP header carries.
struct Below<'a> {
    protocol: u8,
    ends: (IpAddr, IpAddr),
    payload: &'a [u8],
    /// Whether checksums can be verified.
    is_whole: bool,
}

/// What lies at this place of a packet, which is a fragment, and a later one, or neither.
fn below(
    octets: &[u8],
    (protocol, ends, place): (u8, (IpAddr, IpAddr), Range<usize>),
    (is_fragment, is_later): (bool, bool),
    lines: &mut Vec<String>,
    depth: usize,
) {
    let payload = octets.get(place).unwrap_or_default();
    if is_later {
        lines.push(format!("{} octets of protocol {protocol}", payload.len()));
    } else if depth < DEPTH_MAX {
        let below = Below { protocol, ends, payload, is_whole: !is_fragment };
        upper::decode(&below, lines, depth + 1);
    } else {
        lines.push("packets within packets, deeper than are followed".to_owned());
    }
}

/// Which part of a datagram it is.
fn piece(identification: u32, offset: usize, has_more: bool) -> String {
    let more = if has_more { " and more" } else { "" };
    format!(", fragment of {identification} at {offset}{more}")
}

fn class(tos: u8) -> String {
    if tos == 0 { String::new() } else { format!(", dscp {} ecn {}", tos >> 2, tos & 3) }
}

fn broken(layer: &str, why: Malformed) -> String {
    format!("{layer} broken: {why}")
}

/// The first 16 bits, and what follows.
fn word(octets: &[u8]) -> Option<(u16, &[u8])> {
    let (word, rest) = octets.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*word), rest))
}

/// A link address as people write it.
pub(crate) fn station(octets: &[u8]) -> String {
    let mac: Mac = octets.first_chunk().copied().unwrap_or_default();
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

#[cfg(test)]
mod tests;
