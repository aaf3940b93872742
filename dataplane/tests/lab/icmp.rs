//! Echo requests and answers as octets, written without the crates under test.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Which addresses an inner packet bears: host numbers of `10.7.0.0/24` or `fd00:7::/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

pub(crate) const BOTH: [Family; 2] = [Family::V4, Family::V6];

fn v4(host: u8) -> [u8; 4] {
    Ipv4Addr::new(10, 7, 0, host).octets()
}

fn v6(host: u8) -> [u8; 16] {
    Ipv6Addr::new(0xfd00, 7, 0, 0, 0, 0, 0, u16::from(host)).octets()
}

/// The Internet checksum (RFC 1071) of pieces that all but the last have even length.
fn checksum(pieces: &[&[u8]]) -> [u8; 2] {
    let mut sum: u64 = 0;
    for piece in pieces {
        for pair in piece.chunks(2) {
            sum += u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u64::from(low));
        }
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    let [.., high, low] = (!sum).to_be_bytes();
    [high, low]
}

fn echo(kind: u8, sequence: u16, payload: &[u8], pseudo: &[&[u8]]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0x17, 0x11];
    message.extend(sequence.to_be_bytes());
    message.extend(payload);
    let mut pieces = pseudo.to_vec();
    pieces.push(&message);
    let sum = checksum(&pieces);
    message[2..4].copy_from_slice(&sum);
    message
}

fn packet(family: Family, request: bool, hosts: (u8, u8), body: (u16, &[u8])) -> Vec<u8> {
    let ((source, destination), (sequence, payload)) = (hosts, body);
    let len = u16::try_from(payload.len() + 8).unwrap();
    match family {
        Family::V4 => {
            let message = echo(if request { 8 } else { 0 }, sequence, payload, &[]);
            let mut packet = vec![0x45, 0];
            packet.extend((len + 20).to_be_bytes());
            packet.extend([0, 0, 0x40, 0, 64, 1, 0, 0]);
            packet.extend(v4(source));
            packet.extend(v4(destination));
            let sum = checksum(&[&packet]);
            packet[10..12].copy_from_slice(&sum);
            packet.extend(message);
            packet
        }
        Family::V6 => {
            let (source, destination) = (v6(source), v6(destination));
            let mut trailer = u32::from(len).to_be_bytes().to_vec();
            trailer.extend([0, 0, 0, 58]);
            let pseudo: [&[u8]; 3] = [&source, &destination, &trailer];
            let kind = if request { 128 } else { 129 };
            let message = echo(kind, sequence, payload, &pseudo);
            let mut packet = vec![0x60, 0, 0, 0];
            packet.extend(len.to_be_bytes());
            packet.extend([58, 64]);
            packet.extend(source);
            packet.extend(destination);
            packet.extend(message);
            packet
        }
    }
}

/// An echo request between two hosts of the inner network.
pub(crate) fn request(family: Family, hosts: (u8, u8), sequence: u16, payload: &[u8]) -> Vec<u8> {
    packet(family, true, hosts, (sequence, payload))
}

/// The sequence number and payload, if this is an echo answer.
pub(crate) fn answer(packet: &[u8]) -> Option<(u16, &[u8])> {
    let message = match (packet.first()? >> 4, packet) {
        (4, _) if packet.get(9) == Some(&1) => packet.get(20..)?,
        (6, _) if packet.get(6) == Some(&58) => packet.get(40..)?,
        _ => return None,
    };
    let kind = *message.first()?;
    let sequence = u16::from_be_bytes([*message.get(6)?, *message.get(7)?]);
    (kind == 0 || kind == 129).then_some((sequence, message.get(8..)?))
}

/// The answer to an echo request, as a host gives it: addresses exchanged, payload untouched.
pub(crate) fn reply(packet: &[u8]) -> Option<Vec<u8>> {
    let (mut reply, at) = match packet.first()? >> 4 {
        4 => (packet.to_vec(), 20),
        6 => (packet.to_vec(), 40),
        _ => return None,
    };
    let kind = *packet.get(at)?;
    let answer = match (at, kind) {
        (20, 8) => 0,
        (40, 128) => 129,
        _ => return None,
    };
    let addresses = if at == 20 { 12 } else { 8 };
    let len = (at - addresses) / 2;
    let (source, destination) = reply[addresses..at].split_at_mut(len);
    source.swap_with_slice(destination);
    reply[at] = answer;
    // RFC 1624: only the type has changed, so the sum changes by the difference of the first word.
    let old = u32::from(u16::from_be_bytes([reply[at + 2], reply[at + 3]]));
    let mut sum = (!old & 0xffff) + (!(u32::from(kind) << 8) & 0xffff) + (u32::from(answer) << 8);
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    let [.., high, low] = (!sum).to_be_bytes();
    reply[at + 2..at + 4].copy_from_slice(&[high, low]);
    Some(reply)
}
