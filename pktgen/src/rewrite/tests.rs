//! Rewrites: whatever changes, every checksum that was right is right, by a reader that verifies all of them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::prelude::*;
use wire::checksum::Sum;
use wire::{icmp, tcp, udp};

use super::*;
use crate::packet::{self as whole, Content};

const OURS: Mac = [2, 0, 0, 0, 0, 1];

fn side(addresses: &[&str], ports: &[&str]) -> Side {
    Side {
        addresses: addresses.iter().map(|text| Move::parse(text).unwrap()).collect(),
        ports: ports.iter().map(|text| PortMove::parse(text).unwrap()).collect(),
    }
}

/// Sources of `10.0.0.0/24` and `fd00::/120` move to `192.0.2.0` and `2001:db8::`, all destinations to one.
fn rewrite() -> Rewrite {
    Rewrite {
        station: Some(Station {
            source: OURS,
            to_v4: [2, 4, 4, 4, 4, 4],
            to_v6: [2, 6, 6, 6, 6, 6],
        }),
        source: side(
            &["10.0.0.0+256 -> 192.0.2.0", "fd00::+256 -> 2001:db8::"],
            &["1000+100 -> 30000"],
        ),
        destination: side(&["198.51.100.7", "2001:db8:ffff::7"], &["53"]),
        ..Rewrite::default()
    }
}

fn ends(v6: bool, host: u8, port: u16) -> (SocketAddr, SocketAddr) {
    let (from, to): (IpAddr, IpAddr) = if v6 {
        (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host.into()).into(), "fd00:1::9".parse().unwrap())
    } else {
        (Ipv4Addr::new(10, 0, 0, host).into(), "172.16.0.9".parse().unwrap())
    };
    ((from, port).into(), (to, 4000).into())
}

fn framed(packet: &[u8]) -> Vec<u8> {
    let v6 = packet[0] >> 4 == 6;
    let mut frame = vec![0; 14];
    let ethertype = if v6 { ipv6::ETHERTYPE } else { ipv4::ETHERTYPE };
    ethernet::emit(&mut frame, [2; 6], [4; 6], None, ethertype).unwrap();
    frame.extend(packet);
    frame
}

fn datagram(v6: bool, host: u8, port: u16, payload: &[u8]) -> Vec<u8> {
    let (from, to) = ends(v6, host, port);
    let mut packet = vec![0; whole::overhead(from.ip())];
    packet.extend(payload);
    whole::emit_udp(&mut packet, from, to).unwrap();
    packet
}

fn segment(v6: bool, host: u8, port: u16, payload: &[u8]) -> Vec<u8> {
    let (from, to) = ends(v6, host, port);
    let head = whole::ip_header_len(from.ip());
    let mut packet = vec![0; head + 20];
    packet.extend(payload);
    let body = &mut packet[head..];
    let fields = tcp::Fields {
        source_port: port,
        destination_port: 4000,
        sequence_number: 7,
        acknowledgment_number: 9,
        flags: tcp::Flags::ACK,
        window: 100,
    };
    let sum = pseudo(from.ip(), to.ip(), tcp::PROTOCOL, body.len());
    tcp::emit(body, &fields, &[], sum).unwrap();
    whole::emit_ip(&mut packet, (from.ip(), to.ip()), tcp::PROTOCOL, 64).unwrap();
    packet
}

fn pseudo(from: IpAddr, to: IpAddr, protocol: u8, len: usize) -> Sum {
    let len = u16::try_from(len).unwrap();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Sum::pseudo_v4(from, to, protocol, len),
        (IpAddr::V6(from), IpAddr::V6(to)) => Sum::pseudo_v6(from, to, protocol, len),
        _ => unreachable!(),
    }
}

/// The packet of a frame after the rewrite.
fn applied(rewrite: &Rewrite, packet: &[u8]) -> Vec<u8> {
    let mut frame = framed(packet);
    rewrite.apply(&mut frame, false);
    frame.split_off(14)
}

/// What the addresses and the port have to be, by a table.
fn wanted(v6: bool, host: u8, port: u16) -> (IpAddr, IpAddr, u16) {
    let (source, to): (IpAddr, IpAddr) = if v6 {
        (
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into()).into(),
            "2001:db8:ffff::7".parse().unwrap(),
        )
    } else {
        (Ipv4Addr::new(192, 0, 2, host).into(), "198.51.100.7".parse().unwrap())
    };
    let port = if (1000..1100).contains(&port) { port + 29_000 } else { port };
    (source, to, port)
}

proptest! {
    #[test]
    fn datagrams_and_segments_arrive_with_new_ends_and_right_checksums(
        v6: bool, host: u8, port in 990..1110_u16, payload in prop::collection::vec(any::<u8>(), 0..80), fresh: bool
    ) {
        let checksums = if fresh { Checksums::Fresh } else { Checksums::Mend };
        let rewrite = Rewrite { checksums, ..rewrite() };
        let (source, to, new_port) = wanted(v6, host, port);
        let packet = applied(&rewrite, &datagram(v6, host, port, &payload));
        let read = whole::read(&packet).unwrap();
        prop_assert_eq!((read.source, read.destination), (source, to));
        prop_assert_eq!(read.content, Content::Udp(udp::Ports { source: new_port, destination: 53 }));
        prop_assert_eq!(read.payload, &payload[..]);

        let packet = applied(&rewrite, &segment(v6, host, port, &payload));
        let read = whole::read(&packet).unwrap();
        prop_assert_eq!((read.source, read.destination), (source, to));
        let header = tcp::parse(read.payload).unwrap();
        prop_assert_eq!((header.source_port, header.destination_port), (new_port, 53));
        let sum = pseudo(source, to, tcp::PROTOCOL, read.payload.len());
        prop_assert!(tcp::verify(sum, read.payload).is_ok());
    }

    #[test]
    fn errors_and_what_they_quote_change_together(v6: bool, host: u8, port in 990..1110_u16) {
        // The far end of the flow was replied to: who gets the error is the source of what it quotes.
        let (client, server) = ends(v6, host, port);
        let quoted = datagram(v6, host, port, b"payload");
        let back = Rewrite { source: rewrite().destination, destination: rewrite().source, ..rewrite() };
        let head = whole::ip_header_len(client.ip());
        let mut packet = vec![0; head + 8];
        packet.extend(&quoted);
        // Destination unreachable, port.
        let kind = if v6 { [1, 4] } else { [3, 3] };
        packet[head..head + 2].copy_from_slice(&kind);
        let protocol = if v6 { icmp::v6::PROTOCOL } else { icmp::v4::PROTOCOL };
        let message_len = packet.len() - head;
        let start = if v6 { pseudo(server.ip(), client.ip(), protocol, message_len) } else { Sum::ZERO };
        let sum = start.plus(Sum::of(&packet[head..])).finish();
        packet[head + 2..head + 4].copy_from_slice(&sum.to_be_bytes());
        whole::emit_ip(&mut packet, (server.ip(), client.ip()), protocol, 64).unwrap();
        prop_assert!(whole::read(&packet).is_some(), "the test's own packet");

        let packet = applied(&back, &packet);
        let (source, to, new_port) = wanted(v6, host, port);
        let read = whole::read(&packet).unwrap();
        prop_assert_eq!((read.source, read.destination), (to, source));
        let inner = whole::read(&packet[head + 8..]).unwrap();
        prop_assert_eq!((inner.source, inner.destination), (source, to));
        prop_assert_eq!(inner.content, Content::Udp(udp::Ports { source: new_port, destination: 53 }));
    }

    #[test]
    fn fragments_make_a_right_datagram_again(host: u8, port in 990..1110_u16, payload in prop::collection::vec(any::<u8>(), 40..80)) {
        let packet = datagram(false, host, port, &payload);
        let (header, body) = packet.split_at(20);
        let mut rejoined: Vec<u8> = Vec::new();
        for (number, part) in body.chunks(24).enumerate() {
            let mut fragment = header.to_vec();
            fragment.extend(part);
            let len = u16::try_from(fragment.len()).unwrap();
            fragment[2..4].copy_from_slice(&len.to_be_bytes());
            let more = if (number + 1) * 24 < body.len() { 0x2000 } else { 0 };
            let offset = u16::try_from(number * 3).unwrap() | more;
            fragment[6..8].copy_from_slice(&offset.to_be_bytes());
            fragment[10..12].fill(0);
            let sum = Sum::of(&fragment[..20]).finish();
            fragment[10..12].copy_from_slice(&sum.to_be_bytes());
            let checksums = if number == 1 { Checksums::Fresh } else { Checksums::Mend };
            let changed = applied(&Rewrite { checksums, ..rewrite() }, &fragment);
            let located = ipv4::parse(&changed).unwrap();
            prop_assert_eq!(IpAddr::V4(located.source), wanted(false, host, port).0);
            rejoined.extend_from_slice(&changed[20..]);
        }
        let (source, to, new_port) = wanted(false, host, port);
        let mut whole_again = vec![0; 20];
        whole_again.extend(rejoined);
        whole::emit_ip(&mut whole_again, (source, to), udp::PROTOCOL, 64).unwrap();
        let read = whole::read(&whole_again).unwrap();
        prop_assert_eq!(read.content, Content::Udp(udp::Ports { source: new_port, destination: 53 }));
    }

    #[test]
    fn any_octets_are_survived(octets in prop::collection::vec(any::<u8>(), 0..120), v6: bool, is_filled: bool) {
        for tag in [Tag::Keep, Tag::Set(7), Tag::Remove] {
            let mut frame = octets.clone();
            Rewrite { tag, ..rewrite() }.apply(&mut frame, is_filled);
            let mut packet = vec![0; 12];
            packet.extend(if v6 { [0x86, 0xdd] } else { [8, 0] });
            packet.extend(&octets);
            if let Some(first) = packet.get_mut(14) {
                *first = if v6 { 0x60 } else { 0x45 };
            }
            Rewrite { tag, ..rewrite() }.apply(&mut packet, is_filled);
        }
    }
}

#[test]
fn a_wrong_checksum_stays_wrong_unless_it_is_asked_for_anew() {
    for v6 in [false, true] {
        let mut packet = datagram(v6, 1, 5, b"x");
        *packet.last_mut().unwrap() ^= 1;
        assert!(whole::read(&applied(&rewrite(), &packet)).is_none());
        let fresh = Rewrite { checksums: Checksums::Fresh, ..rewrite() };
        assert!(whole::read(&applied(&fresh, &packet)).is_some());
    }
    let mut packet = datagram(false, 1, 5, b"x");
    packet[26..28].fill(0);
    let fresh = Rewrite { checksums: Checksums::Fresh, ..rewrite() };
    assert_eq!(applied(&fresh, &packet)[26..28], [0, 0], "no checksum is no wrong checksum");
}

#[test]
fn tags_are_set_replaced_and_removed() {
    let plain = framed(&datagram(false, 1, 5, b"x"));
    let apply = |tag, frame: &[u8]| {
        let mut frame = frame.to_vec();
        Rewrite { tag, ..Rewrite::default() }.apply(&mut frame, false);
        frame
    };
    let tagged = apply(Tag::Set(7), &plain);
    assert_eq!(ethernet::parse(&tagged).unwrap().vlan_id, Some(7));
    assert_eq!(tagged.len(), plain.len() + 4);
    assert_eq!(ethernet::parse(&apply(Tag::Set(4094), &tagged)).unwrap().vlan_id, Some(4094));
    assert_eq!(apply(Tag::Remove, &tagged), plain);
    let mut stacked = tagged.clone();
    stacked.splice(12..12, [0x88, 0xa8, 0, 9]);
    assert_eq!(apply(Tag::Remove, &stacked), plain);
    assert_eq!(apply(Tag::Keep, &stacked), stacked);
}

#[test]
fn link_addresses_are_ours_and_the_next_hop_s_but_groups_stay() {
    let mut frame = framed(&datagram(true, 1, 5, b"x"));
    rewrite().apply(&mut frame, false);
    assert_eq!((&frame[..6], &frame[6..12]), (&[2, 6, 6, 6, 6, 6][..], &OURS[..]));
    let mut frame = framed(&datagram(false, 1, 5, b"x"));
    frame[..6].copy_from_slice(&ethernet::BROADCAST);
    rewrite().apply(&mut frame, false);
    assert_eq!((&frame[..6], &frame[6..12]), (&[0xff; 6][..], &OURS[..]));
}

#[test]
fn moves_are_read_and_mistakes_are_none() {
    let moved = Move::parse("10.0.0.0+256 -> 192.0.2.0").unwrap();
    assert_eq!(moved.of("10.0.0.9".parse().unwrap()), Some("192.0.2.9".parse().unwrap()));
    assert_eq!(moved.of("10.0.1.0".parse().unwrap()), None);
    assert_eq!(moved.of("::1".parse().unwrap()), None);
    for wrong in ["", "10.0.0.0+0 -> 1.1.1.1", "10.0.0.0 -> ::1", "a -> b", "1.1.1.1 ->"] {
        assert_eq!(Move::parse(wrong), None, "{wrong}");
    }
    let moved = PortMove::parse("1000+10->2000").unwrap();
    assert_eq!(
        [999, 1000, 1009, 1010].map(|port| moved.of(port)),
        [None, Some(2000), Some(2009), None]
    );
    for wrong in ["", "1000+0 -> 1", "65530+10 -> 1", "1+10 -> 65530", "70000"] {
        assert_eq!(PortMove::parse(wrong), None, "{wrong}");
    }
}
