//! Claims about fragments as they are read from packets.

use super::*;
use crate::testing::packets;
use wire::{Malformed, ipv4};

fn v6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    packets::Ip::new(address("2600::7"), address("2600::9")).packet(next_header, payload)
}

/// An IPv6 fragment header.
fn header(next_header: u8, offset: u16, more: bool) -> Vec<u8> {
    let [high, low] = (offset | u16::from(more)).to_be_bytes();
    vec![next_header, 0, high, low, 0, 1, 0x86, 0xa0]
}

#[test]
fn what_was_split_is_put_together() {
    let addresses = [[198, 51, 100, 7], [203, 0, 113, 9]].map(IpAddr::from);
    let mut packet = packets::Ip::new(addresses[0], addresses[1]).udp(9, 99, &[7; 5_000]);
    packet[4..6].copy_from_slice(&[0x12, 0x34]);
    packet[10..12].fill(0);
    let checksum = wire::checksum::Sum::of(&packet[..20]).finish();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    for mtu in [200, 576, 1_499] {
        let pieces: Vec<_> = ipv4::fragment::pieces(&packet, mtu)
            .unwrap()
            .map(|piece| {
                let mut out = vec![0; piece.len() + 9];
                ipv4::fragment::emit(&mut out, &packet, &piece).unwrap();
                Piece::read(&out).unwrap()
            })
            .collect();
        assert_eq!(pieces[1].name.identification, 0x1234);
        let (_, end) = take_all(&mut Fragments::new(7), &pieces);
        let datagram = end.unwrap().unwrap();
        assert_eq!(usize::from(datagram.len), packet.len(), "mtu {mtu}");
        assert_eq!((datagram.upper.source_port, datagram.upper.destination_port), (9, 99));
    }
}

#[test]
fn ipv6_options_behind_the_fragment_header_are_part_of_what_was_divided() {
    let hop_by_hop = [44, 0, 1, 4, 0, 0, 0, 0];
    let options = [17, 0, 1, 4, 0, 0, 0, 0];
    let datagram = [0, 9, 0, 99, 0, 20, 0, 0];
    let first = [&hop_by_hop[..], &header(60, 0, true), &options, &datagram].concat();
    let first = Piece::read(&v6(0, &first)).unwrap();
    assert_eq!((first.offset, first.len, first.more), (0, 16, true));
    assert_eq!(first.first.unwrap().header_len, 48);
    assert_eq!(first.name.identification, 100_000);
    // What a later one says of the protocol is nothing (RFC 8200 4.5).
    let last = [&hop_by_hop[..], &header(6, 16, false), &[7; 12]].concat();
    let last = Piece::read(&v6(0, &last)).unwrap();
    assert_eq!((last.offset, last.len, last.more, last.first), (16, 12, false, None));
    let (_, end) = take_all(&mut Fragments::new(7), &[last, first]);
    let datagram = end.unwrap().unwrap();
    assert_eq!((datagram.len, datagram.upper.protocol), (40 + 8 + 8 + 20, 17));
    assert_eq!(datagram.upper.destination_port, 99);
}

#[test]
fn ipv4_datagrams_of_different_protocols_are_different() {
    let mut fragments = Fragments::new(7);
    let (udp, mut other) = (piece(1, (0, 8, true)), piece(1, (8, 8, false)));
    other.name.protocol = 6;
    let ids = [udp, other].map(|piece| fragments.take(&piece, 1, START).unwrap());
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ended(&mut fragments, START), []);
}

#[test]
fn what_is_whole_is_no_piece() {
    let whole = [IpAddr::from([198, 51, 100, 7]), IpAddr::from([203, 0, 113, 9])];
    let whole = packets::Ip::new(whole[0], whole[1]).udp(9, 99, b"");
    assert_eq!(Piece::read(&whole), Err(Malformed::Fragment));
    let atomic = v6(44, &[&header(17, 0, false)[..], &[0; 8]].concat());
    assert_eq!(Piece::read(&atomic), Err(Malformed::Fragment));
    assert_eq!(Piece::read(&[]), Err(Malformed::Truncated));
}

#[test]
fn reads_what_rules_ask_for_and_no_cut_header() {
    let segment = [0, 9, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x12, 0, 0, 0, 0, 0, 0];
    let upper = Upper::read(6, &segment).unwrap();
    assert_eq!((upper.source_port, upper.destination_port, upper.tcp_flags), (9, 80, 0x12));
    assert_eq!(Upper::read(6, &segment[..16]), None);
    for protocol in [17, 33, 132, 136] {
        let upper = Upper::read(protocol, &segment[..4]).unwrap();
        assert_eq!((upper.source_port, upper.destination_port), (9, 80));
        assert_eq!((upper.tcp_flags, upper.icmp), (0, 0));
    }
    for protocol in [1, 58] {
        assert_eq!(Upper::read(protocol, &[3, 4, 0, 0]).unwrap().icmp, 0x0304);
        assert_eq!(Upper::read(protocol, &[3]), None);
    }
    assert_eq!(Upper::read(47, &[]).unwrap().protocol, 47);
}
