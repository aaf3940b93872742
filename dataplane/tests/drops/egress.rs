//! Packets to the Internet by the server's address, and back.
#![expect(clippy::wildcard_enum_match_arm, reason = "the root of the test sorts the reasons")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::counters::Totals;
use dataplane::fate::DropReason as Why;
use dataplane::limits::{ICMP_ERRORS_BURST, NAT_EARLY_TIME};
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::{STRANGER, STRANGER_V6};
use dataplane::testing::scene::Scene;
use dataplane::testing::site::{self, CENTRE_V4, CONNECT_PORT, EVERY_CLIENTS, Nat, OUTSIDE_V4};
use dataplane::testing::transit;
use dataplane::testing::via::sealed;
use shm::message::{Centre, Item, Machine, NextHop};
use wire::tcp::{self, Flags};

/// Room that is used up by what provokes a reason.
pub(super) fn nat(reason: Why) -> Nat {
    let (flows, flows_per_client) = match reason {
        Why::EgressNatClient | Why::EgressViaFull => (8, 2),
        Why::EgressNatFull => (2, 8),
        _ => (8192, 8192),
    };
    Nat { flows, flows_per_client, setups: 4 }
}

pub(super) fn provoke(reason: Why, scene: &mut Scene) -> Totals {
    let prefix = IpAddr::from(STRANGER).into();
    let is_via = !reason.name().starts_with("egress_nat_");
    let hop = if is_via { NextHop::Via { centre: 7, remote: None } } else { NextHop::Direct };
    let machine = Machine { address: CENTRE_V4.into(), port: 443, weight: 1 };
    let machines = if reason == Why::EgressConnectRoute { vec![] } else { vec![machine] };
    let centre = Box::new(Centre { number: 7, is_here: false, relay: 0, machines });
    scene.change(vec![
        Item::Centre(centre),
        Item::NextHop { id: 3, hop },
        Item::Route { prefix, next_hop: 3 },
    ]);
    if reason == Why::EgressNatPrefix {
        return untranslatable(scene);
    }
    if reason == Why::EgressNatFiltered {
        return filtered(scene);
    }
    let mut all = asked(reason);
    let last = all.pop().expect("there is one");
    for packet in all {
        scene.send(0, &packet);
    }
    // As many as may be are answered instead.
    let answered = [Why::EgressNatProtocol, Why::EgressNatClient, Why::EgressNatFull];
    if reason == Why::EgressViaTarget {
        (0..ICMP_ERRORS_BURST).for_each(|_| scene.arrive(&last));
    }
    if answered.contains(&reason) || reason == Why::EgressNatPorts {
        (0..ICMP_ERRORS_BURST).for_each(|_| scene.send(0, &last));
    }
    let before = scene.server.totals();
    match reason {
        Why::EgressNatUnknown
        | Why::EgressNatError
        | Why::EgressConnectSource
        | Why::EgressViaSource
        | Why::EgressViaHeader
        | Why::EgressViaTarget
        | Why::EgressViaUnknown
        | Why::EgressViaAddress => scene.arrive(&last),
        _ => scene.send(0, &last),
    }
    if reason == Why::EgressNatFragment {
        scene.wait(NAT_EARLY_TIME);
    }
    scene.strays();
    before
}

/// Somebody to whom the client has sent nothing finds its port.
fn filtered(scene: &mut Scene) -> Totals {
    scene.send(0, &out().udp(1, 53, b"ask"));
    let sent = scene.strays();
    let (from, ..) = sent.iter().find_map(|(_, frame)| packets::datagram_in(frame)).unwrap();
    assert_eq!(from.ip(), OUTSIDE_V4);
    let before = scene.server.totals();
    let another = Ipv4Addr::from_bits(STRANGER.to_bits() + 1);
    scene.arrive(&Ip::new(another, OUTSIDE_V4).udp(53, from.port(), b"answer"));
    before
}

/// From the one subnet that has no other under another prefix (RFC 6296 3.4).
fn untranslatable(scene: &mut Scene) -> Totals {
    let address = Ipv6Addr::new(0xfd07, 0, 0, 0xffff, 0, 0, 0, 1);
    let mut peer = site::peer(0);
    peer.allowed_ips.push(IpAddr::from(address).into());
    scene.change(vec![Item::Peer(Box::new(peer))]);
    scene.change(transit::internet());
    let before = scene.server.totals();
    scene.send(0, &Ip::new(address, STRANGER_V6).udp(1, 53, b"ask"));
    scene.change(vec![Item::Peer(Box::new(site::peer(0)))]);
    before
}

/// From the client, by the address that every client has.
fn out() -> Ip {
    Ip::new(EVERY_CLIENTS, STRANGER)
}

/// The packets of which the last is dropped; all others are the client's.
fn asked(reason: Why) -> Vec<Vec<u8>> {
    let flows = |count: u16| (1..=count).map(|port| out().udp(port, 53, b"ask")).collect();
    match reason {
        Why::EgressNatHeader => vec![out().packet(wire::udp::PROTOCOL, &[0; 4])],
        Why::EgressNatProtocol => vec![out().packet(132, &[0; 16])],
        Why::EgressNatState => {
            // What is not answered with its like.
            vec![out().tcp(&segment(9, 80, Flags::RST), &[], &[])]
        }
        Why::EgressNatUnknown => vec![Ip::new(STRANGER, OUTSIDE_V4).udp(53, 9999, b"answer")],
        Why::EgressNatError => {
            let quoted = Ip::new(OUTSIDE_V4, STRANGER).udp(9999, 53, b"ask");
            vec![Ip::new(STRANGER, OUTSIDE_V4).error(&quoted)]
        }
        Why::EgressNatFragment => {
            let mut packet = out().udp(1, 53, &[0; 32]);
            transit::fragment(&mut packet, 7, 64, false);
            vec![packet]
        }
        Why::EgressNatClient | Why::EgressNatFull | Why::EgressViaFull => flows(3),
        Why::EgressNatPorts => flows(64512 / 16 + 1),
        Why::EgressConnectUntimely => vec![syn(1, Flags::SYN, &[]), syn(1, Flags::SYN, &[])],
        Why::EgressConnectSegment => {
            vec![syn(1, Flags::SYN, &[]), syn(1, Flags::SYN | Flags::FIN, &[])]
        }
        Why::EgressConnectFull => (1..=3).map(|port| syn(port, Flags::SYN, &[])).collect(),
        Why::EgressConnectRoute => vec![syn(1, Flags::SYN, &[])],
        // A signature of MD5 (RFC 2385 3.0).
        Why::EgressConnectRefused => {
            let mut option = [1; 20];
            (option[0], option[1]) = (19, 18);
            vec![syn(1, Flags::SYN, &option)]
        }
        Why::EgressConnectSource => {
            let fields = segment(1, CONNECT_PORT, Flags::SYN);
            vec![Ip::new(STRANGER, site::SERVER_V4).tcp(&fields, &[], &[])]
        }
        Why::EgressViaSource => vec![between(STRANGER, false, STRANGER)],
        Why::EgressViaHeader => {
            let mut packet = between(CENTRE_V4, false, STRANGER);
            // The first octet of GRE: no key, no proof.
            packet[28] = 0;
            vec![packet]
        }
        Why::EgressViaTarget => vec![between(CENTRE_V4, false, Ipv4Addr::new(192, 168, 1, 1))],
        Why::EgressViaUnknown => vec![between(CENTRE_V4, true, EVERY_CLIENTS)],
        Why::EgressViaAddress => {
            let packet = Ip::new(site::inner_v6(0), STRANGER_V6).udp(1, 53, b"ask");
            vec![sealed((CENTRE_V4.into(), site::SERVER_V4.into()), (false, 7), &packet)]
        }
        _ => unreachable!("no packet's end"),
    }
}

/// Somebody's datagram from another data centre, on its way to its exit or back.
fn between(from: Ipv4Addr, back: bool, to: Ipv4Addr) -> Vec<u8> {
    let packet = Ip::new(EVERY_CLIENTS, to).udp(1, 53, b"ask");
    sealed((from.into(), site::SERVER_V4.into()), (back, 7), &packet)
}

fn segment(source_port: u16, destination_port: u16, flags: Flags) -> tcp::Fields {
    let (sequence_number, acknowledgment_number, window) = (1, u32::from(flags == Flags::ACK), 9);
    tcp::Fields {
        source_port,
        destination_port,
        sequence_number,
        acknowledgment_number,
        flags,
        window,
    }
}

/// What opens a connection of the client's, or looks like it.
fn syn(port: u16, flags: Flags, options: &[u8]) -> Vec<u8> {
    out().tcp(&segment(port, 80, flags), options, &[])
}
