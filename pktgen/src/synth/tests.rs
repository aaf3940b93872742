//! Synthetic packets: each is right by a reader that verifies all checksums, and as its pattern says.

use std::collections::HashSet;

use proptest::prelude::*;
use wire::checksum::Sum;
use wireguard::time::Instant;

use super::*;
use crate::packet::{Content, Located};
use wire::{ipv4, ipv6};

const STATIONS: Stations = Stations { source: [2, 0, 0, 0, 0, 1], to: [2, 0, 0, 0, 0, 9] };

fn plan(protocol: Protocol, v6: bool) -> Plan {
    let text = if v6 {
        ("2001:db8::1+3", "2001:db8:1::1+2 random")
    } else {
        ("192.0.2.1+3", "198.51.100.1+2 random")
    };
    Plan {
        protocol,
        source: Addresses::parse(text.0).unwrap(),
        destination: Addresses::parse(text.1).unwrap(),
        source_port: Ports::parse("1000..1004").unwrap(),
        destination_port: Ports::parse("53+8 random").unwrap(),
        sizes: Sizes::list(&[100, 87, 600]).unwrap(),
        ttl: 9,
        dscp: 46,
        vlan: Some(7),
        measure: true,
    }
}

const PROTOCOLS: [Protocol; 4] = [
    Protocol::Udp,
    Protocol::Tcp(Flags::SYN),
    Protocol::Icmp,
    Protocol::Gre { ethertype: 0x88b5, key: Some(5) },
];

fn packet(frame: &[u8]) -> &[u8] {
    let header = ethernet::parse(frame).unwrap();
    assert_eq!((header.source, header.destination), (STATIONS.source, STATIONS.to));
    &frame[header.payload_offset..]
}

fn verify_tcp(located: &Located<'_>) {
    let len = u16::try_from(located.payload.len()).unwrap();
    let sum = match (located.source, located.destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Sum::pseudo_v4(from, to, tcp::PROTOCOL, len),
        (IpAddr::V6(from), IpAddr::V6(to)) => Sum::pseudo_v6(from, to, tcp::PROTOCOL, len),
        _ => unreachable!(),
    };
    tcp::verify(sum, located.payload).unwrap();
}

#[test]
fn every_protocol_in_both_families_has_right_checksums_and_comes_back() {
    for (protocol, v6) in PROTOCOLS.into_iter().flat_map(|p| [(p, false), (p, true)]) {
        let mut synth = Synth::new(plan(protocol, v6), STATIONS, 1).unwrap();
        let mut room = [0xaa; 1600];
        for number in 0..200_usize {
            assert!(synth.measures_next());
            let trailer = Trailer { stream: 9, sequence: number as u64, planned: Instant(77) };
            let len = synth.build(Some(trailer), &mut room);
            let frame = &room[..len];
            assert_eq!(len, 18 + [100, 87, 600][number % 3]);
            assert_eq!(returned(frame), Some(trailer), "{protocol:?}");
            let located = packet::read(packet(frame)).unwrap();
            let source = synth.plan().source.range.at(u32::try_from(number).unwrap());
            assert_eq!(located.source, source);
            match (protocol, located.content) {
                (Protocol::Udp, Content::Udp(ports)) => {
                    assert_eq!(usize::from(ports.source), 1000 + number % 5);
                    assert!((53..61).contains(&ports.destination));
                }
                (Protocol::Icmp, Content::EchoRequest(echo)) => {
                    assert_eq!(usize::from(echo.sequence), number);
                }
                (Protocol::Tcp(flags), Content::Other) => {
                    verify_tcp(&located);
                    assert_eq!(tcp::parse(located.payload).unwrap().flags, flags);
                }
                (Protocol::Gre { key, ethertype }, Content::Other) => {
                    let header = gre::parse(located.payload).unwrap();
                    assert_eq!((header.key, header.protocol), (key, ethertype));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn time_to_live_class_and_tag_are_as_asked() {
    for v6 in [false, true] {
        let mut synth = Synth::new(plan(Protocol::Udp, v6), STATIONS, 1).unwrap();
        let mut room = [0; 1600];
        let len = synth.build(None, &mut room);
        assert_eq!(ethernet::parse(&room).unwrap().vlan_id, Some(7));
        let (hops, tos) = if v6 {
            let ip = ipv6::parse(packet(&room[..len])).unwrap();
            (ip.hop_limit, ip.traffic_class)
        } else {
            let ip = ipv4::parse(packet(&room[..len])).unwrap();
            (ip.ttl, ip.tos)
        };
        assert_eq!((hops, tos), (9, 46 << 2));
    }
}

#[test]
fn random_rows_are_used_up_and_the_seed_decides() {
    let frames = |seed| {
        let mut synth = Synth::new(plan(Protocol::Udp, false), STATIONS, seed).unwrap();
        let mut room = [0; 1600];
        (0..300)
            .map(|_| {
                let len = synth.build(None, &mut room);
                room[..len].to_vec()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(frames(1), frames(1));
    assert_ne!(frames(1), frames(2));
    let ports: HashSet<_> = frames(1)
        .iter()
        .map(|frame| match packet::read(packet(frame)).unwrap().content {
            Content::Udp(ports) => ports.destination,
            other @ (Content::EchoRequest(_) | Content::EchoReply(_) | Content::Other) => {
                panic!("{other:?}")
            }
        })
        .collect();
    assert_eq!(ports.len(), 8);
}

#[test]
fn a_stream_in_which_nothing_varies_is_prepared() {
    let mut constant = plan(Protocol::Udp, false);
    constant.source = Addresses::parse("192.0.2.1").unwrap();
    constant.destination = Addresses::parse("198.51.100.1").unwrap();
    (constant.source_port, constant.destination_port) = (Ports::one(5), Ports::one(6));
    constant.sizes = Sizes::list(&[46]).unwrap();
    constant.vlan = None;
    let synth = Synth::new(constant.clone(), STATIONS, 1).unwrap();
    let frame = synth.prepared().unwrap();
    assert_eq!(frame.len(), 60);
    assert!(packet::read(packet(frame)).is_some());
    assert!(!synth.measures_next(), "46 octets have no room for a trailer");
    let measured = Plan { sizes: Sizes::list(&[52]).unwrap(), ..constant.clone() };
    assert!(Synth::new(measured, STATIONS, 1).unwrap().prepared().is_none());
    let varied = Plan { source_port: Ports::parse("1..2").unwrap(), ..constant.clone() };
    assert!(Synth::new(varied, STATIONS, 1).unwrap().prepared().is_none());
    let short = Plan { sizes: Sizes::list(&[27]).unwrap(), ..constant };
    assert!(Synth::new(short, STATIONS, 1).is_none());
}

#[test]
fn rows_are_read_and_mistakes_are_none() {
    let ports = |text| Ports::parse(text).map(|ports| (ports.first, ports.count, ports.order));
    assert_eq!(ports("1024..65535"), Some((1024, 64_512, Order::InTurn)));
    assert_eq!(ports("0+65536 random"), Some((0, 65_536, Order::Random)));
    assert_eq!(ports("53"), Some((53, 1, Order::InTurn)));
    for wrong in ["", "5..4", "1+65536", "70000", "1+0", "random", "a..b"] {
        assert_eq!(Ports::parse(wrong), None, "{wrong}");
    }
    assert_eq!(Addresses::parse("2001:db8::+9 random").unwrap().order, Order::Random);
    for wrong in ["", "192.0.2.1+0", "192.0.2.300", "192.0.2.1-192.0.2.9", "random"] {
        assert_eq!(Addresses::parse(wrong), None, "{wrong}");
    }
}

proptest! {
    #[test]
    fn a_packet_of_any_length_is_right(len in 28..1500_usize, v6: bool, sequence: u64, planned: u64) {
        let mut plan = plan(Protocol::Udp, v6);
        plan.sizes = Sizes::list(&[len.max(plan.len_min())]).unwrap();
        let mut synth = Synth::new(plan, STATIONS, sequence).unwrap();
        let mut room = [0xff; 1600];
        let trailer = Trailer { stream: 1, sequence, planned: Instant(planned) };
        let is_measured = synth.measures_next();
        let len = synth.build(Some(trailer), &mut room);
        prop_assert!(packet::read(packet(&room[..len])).is_some());
        prop_assert_eq!(returned(&room[..len]), is_measured.then_some(trailer));
    }

    #[test]
    fn any_octets_come_back_as_nothing_or_a_trailer(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let _: Option<Trailer> = returned(&octets);
    }
}
