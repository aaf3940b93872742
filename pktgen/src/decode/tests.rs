//! Decoding: each layer has its line, and no octets break it.

use proptest::prelude::*;

use super::*;
use crate::attack::{Attack, Builder, Link, ROOM, Scene};
use crate::synth::{self, Addresses, Ports, Protocol, Stations, Synth};
use wire::tcp::Flags;

fn synthetic(protocol: Protocol, v6: bool) -> Vec<String> {
    let ends = if v6 { ("2001:db8::1", "2001:db8::2") } else { ("192.0.2.1", "192.0.2.2") };
    let plan = synth::Plan {
        protocol,
        source: Addresses::parse(ends.0).unwrap(),
        destination: Addresses::parse(ends.1).unwrap(),
        source_port: Ports::one(1000),
        destination_port: Ports::one(53),
        sizes: crate::size::Sizes::list(&[60]).unwrap(),
        ttl: 9,
        dscp: 46,
        vlan: Some(7),
        measure: false,
    };
    let stations = Stations { source: [2, 0, 0, 0, 0, 1], to: [2, 0, 0, 0, 0, 9] };
    let mut room = [0; 100];
    let len = Synth::new(plan, stations, 1).unwrap().build(None, &mut room);
    frame(&room[..len])
}

#[test]
fn each_layer_has_its_line() {
    let lines = synthetic(Protocol::Udp, false);
    let wanted = [
        "Ethernet 02:00:00:00:00:01 > 02:00:00:00:00:09, 78 octets",
        "VLAN 7, priority 0",
        "IPv4 192.0.2.1 > 192.0.2.2, ttl 9, dscp 46 ecn 0, length 60",
        "UDP 1000 > 53, 32 octets",
    ];
    assert_eq!(lines, wanted);
    let last = |protocol, v6| synthetic(protocol, v6).pop().unwrap();
    let flags = Flags(Flags::SYN.0 | Flags::ACK.0);
    assert_eq!(
        last(Protocol::Tcp(flags), true),
        "TCP 1000 > 53 [syn,ack], seq 0, ack 0, window 64240, 0 octets"
    );
    assert_eq!(last(Protocol::Icmp, false), "ICMP echo request, id 1000, seq 0");
    assert_eq!(last(Protocol::Icmp, true), "ICMPv6 echo request, id 1000, seq 0");
    let gre = Protocol::Gre { ethertype: 0x88b5, key: Some(5) };
    assert_eq!(last(gre, false), "GRE 0x88b5, key 5, 32 octets");
}

#[test]
fn messages_of_wireguard_are_named_with_their_indices() {
    let link = Link { server: [2, 0, 0, 0, 0, 1], station: [2, 0, 0, 0, 0, 2], vlan: None };
    let mut scene = Scene::new(link, [9; 32], 51_820, 1);
    scene.target_v4 = Some([192, 0, 2, 1].into());
    let mut room = vec![0; ROOM];
    let mut lines = |attack| {
        let mut builder = Builder::new(attack, &scene).unwrap();
        let len = builder.build(&mut room);
        frame(&room[..len])
    };
    let initiation = lines(Attack::DosMac1);
    assert!(
        initiation.iter().any(|line| line.starts_with("WireGuard initiation, sender 0x")),
        "{initiation:?}"
    );
    let data = lines(Attack::UnknownIndex);
    assert!(data.iter().any(|line| line.starts_with("WireGuard data, receiver 0x") && line.contains("counter")), "{data:?}");
}

#[test]
fn every_attack_is_decoded_and_faults_are_named() {
    let link = Link { server: [2, 0, 0, 0, 0, 1], station: [2, 0, 0, 0, 0, 2], vlan: None };
    let mut scene = Scene::new(link, [9; 32], 51_820, 1);
    scene.target_v4 = Some([192, 0, 2, 1].into());
    let mut room = vec![0; ROOM];
    let mut all = |attack| {
        let Ok(mut builder) = Builder::new(attack, &scene) else { return String::new() };
        let mut lines = Vec::new();
        for _ in 0..20 {
            let len = builder.build(&mut room);
            lines.extend(frame(&room[..len]));
        }
        lines.join("\n")
    };
    for (attack, words) in [
        (Attack::ParseTruncated, "Ethernet broken"),
        (Attack::ParseIpChecksum, "header checksum wrong"),
        (Attack::ParseUdpChecksum, "checksum wrong"),
        (Attack::ParseFragment, "fragment of"),
        (Attack::ParseUdpLength, "UDP broken"),
        (Attack::GreWrongSource, "GRE 0x0800, key"),
        (Attack::ParseNeighbourMessage, "ARP"),
        (Attack::SynFlood, "[syn]"),
    ] {
        let lines = all(attack);
        assert!(lines.contains(words), "{attack}: {lines}");
    }
}

/// The layers of octets that claim to be an IP packet.
fn packet(octets: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let is_v6 = octets.first().is_some_and(|first| first >> 4 == 6);
    let kind = if is_v6 { ipv6::ETHERTYPE } else { ipv4::ETHERTYPE };
    payload_of(kind, octets, &mut lines, 0);
    lines
}

proptest! {
    #[test]
    fn any_octets_have_lines(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(!frame(&octets).is_empty());
        prop_assert!(!packet(&octets).is_empty());
    }

    /// Behind good link and IP headers, random octets reach every layer.
    #[test]
    fn any_octets_behind_headers_have_lines(
        octets in prop::collection::vec(any::<u8>(), 0..120), v6: bool,
        protocol in prop::sample::select(vec![4_u8, 1, 6, 17, 41, 47, 58, 44, 0])
    ) {
        let head = if v6 { 40 } else { 20 };
        let mut whole = vec![0; 14 + head];
        whole[12..14].copy_from_slice(if v6 { &[0x86, 0xdd] } else { &[8, 0] });
        whole.extend(&octets);
        let total = u16::try_from(octets.len() + if v6 { 0 } else { 20 }).unwrap().to_be_bytes();
        if v6 {
            (whole[14], whole[20]) = (0x60, protocol);
            whole[18..20].copy_from_slice(&total);
        } else {
            (whole[14], whole[23]) = (0x45, protocol);
            whole[16..18].copy_from_slice(&total);
        }
        prop_assert!(frame(&whole).len() >= 2);
    }
}
