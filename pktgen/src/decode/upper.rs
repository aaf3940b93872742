//! What IP carries: UDP with WireGuard inside, TCP, ICMP, GRE, and packets in packets.

use wire::checksum::Sum;
use wire::{gre, icmp, ipv4, ipv6, nd, tcp, udp};
use wireguard::message::{self, Kind};

use super::{Below, broken, payload_of};
use crate::measure::Trailer;
use crate::packet;

pub(super) fn decode(below: &Below<'_>, lines: &mut Vec<String>, depth: usize) {
    let payload = below.payload;
    match below.protocol {
        udp::PROTOCOL => datagram(below, lines),
        tcp::PROTOCOL => lines.push(segment(below)),
        icmp::v4::PROTOCOL if below.ends.0.is_ipv4() => lines.push(control(below)),
        icmp::v6::PROTOCOL if below.ends.0.is_ipv6() => lines.push(control(below)),
        gre::PROTOCOL => tunnel(payload, lines, depth),
        ipv4::PROTOCOL => payload_of(ipv4::ETHERTYPE, payload, lines, depth),
        ipv6::PROTOCOL => payload_of(ipv6::ETHERTYPE, payload, lines, depth),
        protocol => lines.push(format!("protocol {protocol}, {} octets", payload.len())),
    }
    if let Some(Trailer { stream, sequence, .. }) = Trailer::read(payload) {
        lines.push(format!("measured: stream {stream:#x}, number {sequence}"));
    }
}

/// The sum of the pseudo header.
fn pseudo(below: &Below<'_>) -> Option<Sum> {
    let len = u16::try_from(below.payload.len()).ok()?;
    packet::pseudo(below.ends.0, below.ends.1, below.protocol, len).ok()
}

/// Said only where it is wrong.
fn checksum(below: &Below<'_>, start: Option<Sum>) -> &'static str {
    let is_wrong = start.is_some_and(|start| !start.plus(Sum::of(below.payload)).is_intact());
    if below.is_whole && is_wrong { ", checksum wrong" } else { "" }
}

fn datagram(below: &Below<'_>, lines: &mut Vec<String>) {
    let located =
        if below.is_whole { udp::parse(below.payload) } else { udp::parse_start(below.payload) };
    let located = match located {
        Ok(located) => located,
        Err(why) => return lines.push(broken("UDP", why)),
    };
    let checksum =
        if located.checksum == 0 { ", no checksum" } else { checksum(below, pseudo(below)) };
    let udp::Ports { source, destination } = located.ports;
    lines.push(format!("UDP {source} > {destination}, {} octets{checksum}", located.payload_len));
    let payload = below.payload.get(udp::HEADER_LEN..).unwrap_or_default();
    lines.extend(wireguard(payload).filter(|_| below.is_whole));
}

/// A message of the protocol, if it is one.
fn wireguard(payload: &[u8]) -> Option<String> {
    let index = |at: usize| Some(u32::from_le_bytes(*payload.get(at..)?.first_chunk()?));
    let kind = message::kind(payload).ok()?;
    let client = match payload.get(1..4) {
        Some([0, 0, 0]) | None => String::new(),
        Some(id) => {
            let id = id.iter().fold(0_u32, |id, octet| id << 8 | u32::from(*octet));
            format!(", client id {id}")
        }
    };
    Some(match kind {
        Kind::Initiation => format!("WireGuard initiation, sender {:#010x}{client}", index(4)?),
        Kind::Response => {
            format!(
                "WireGuard response, sender {:#010x}, receiver {:#010x}{client}",
                index(4)?,
                index(8)?
            )
        }
        Kind::CookieReply => {
            format!("WireGuard cookie reply, receiver {:#010x}{client}", index(4)?)
        }
        Kind::Data => {
            let counter = u64::from_le_bytes(*payload.get(8..)?.first_chunk()?);
            let sealed = payload.len().saturating_sub(message::DATA_LEN_MIN);
            let what = if sealed == 0 {
                "keepalive".to_owned()
            } else {
                format!("{sealed} octets sealed")
            };
            format!(
                "WireGuard data, receiver {:#010x}, counter {counter}, {what}{client}",
                index(4)?
            )
        }
    })
}

fn segment(below: &Below<'_>) -> String {
    let located = match tcp::parse(below.payload) {
        Ok(located) => located,
        Err(why) => return broken("TCP", why),
    };
    let set = packet::CONTROL_BITS.iter().filter(|(bit, _)| located.flags.has(*bit));
    let flags = set.map(|(_, name)| *name).collect::<Vec<_>>().join(",");
    let tcp::Located { source_port, destination_port, sequence_number, .. } = located;
    let tcp::Located { acknowledgment_number, window, payload_len, .. } = located;
    format!(
        "TCP {source_port} > {destination_port} [{flags}], seq {sequence_number}, ack {acknowledgment_number}, window {window}, {payload_len} octets{}",
        checksum(below, pseudo(below))
    )
}

fn control(below: &Below<'_>) -> String {
    let is_v4 = below.ends.0.is_ipv4();
    let name = if is_v4 { "ICMP" } else { "ICMPv6" };
    let Some(&[kind, code, _, _, a, b, c, d]) = below.payload.first_chunk::<8>() else {
        return format!("{name} broken: {} octets", below.payload.len());
    };
    let checksum = checksum(below, if is_v4 { Some(Sum::ZERO) } else { pseudo(below) });
    let (identifier, sequence) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let what = match (kind, is_v4) {
        (8, true) | (128, false) => format!("echo request, id {identifier}, seq {sequence}"),
        (0, true) | (129, false) => format!("echo reply, id {identifier}, seq {sequence}"),
        (3, true) | (1, false) => format!("unreachable, code {code}"),
        (11, true) | (3, false) => format!("time exceeded, code {code}"),
        (2, false) => format!("too big, mtu {}", u32::from_be_bytes([a, b, c, d])),
        (135 | 136, false) => discovery(kind, below.payload),
        _ => format!("type {kind}, code {code}"),
    };
    format!("{name} {what}{checksum}")
}

fn discovery(kind: u8, payload: &[u8]) -> String {
    let target =
        payload.get(8..nd::HEADER_LEN).and_then(|octets| <[u8; 16]>::try_from(octets).ok());
    let Some(target) = target.map(std::net::Ipv6Addr::from) else {
        return "neighbour discovery, broken".to_owned();
    };
    if kind == 135 { format!("who has {target}?") } else { format!("{target} is here") }
}

fn tunnel(payload: &[u8], lines: &mut Vec<String>, depth: usize) {
    let located = match gre::parse(payload) {
        Ok(located) => located,
        Err(why) => return lines.push(broken("GRE", why)),
    };
    let key = located.key.map_or_else(String::new, |key| format!(", key {key}"));
    let number = located.sequence.map_or_else(String::new, |number| format!(", number {number}"));
    let inner = payload.get(located.payload_offset..).unwrap_or_default();
    lines.push(format!("GRE 0x{:04x}{key}{number}, {} octets", located.protocol, inner.len()));
    if matches!(located.protocol, ipv4::ETHERTYPE | ipv6::ETHERTYPE) && !inner.is_empty() {
        payload_of(located.protocol, inner, lines, depth);
    }
}
