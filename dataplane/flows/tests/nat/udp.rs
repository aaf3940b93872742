//! UDP through the translator, requirement by requirement (RFC 4787).

use crate::world::{EGRESS, INNER, OTHER, SERVER, World, datagram, ends, ends_of};
use flows::{Limits, Refusal, Verdict};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

#[test]
fn a_packet_goes_out_and_its_answer_comes_back() {
    let mut world = World::new();
    let packet = datagram(ends(INNER, 5000, SERVER, 53), b"question");
    let (out, flow) = world.sent(3, &packet);
    let ((source, port), to) = ends_of(&out);
    assert_eq!((source, to), (EGRESS.into(), (SERVER.into(), 53)));
    assert!((1024..=2047).contains(&port));
    let (back, client) = world.taken(&datagram(ends(SERVER, 53, EGRESS, port), b"answer"));
    assert_eq!((ends_of(&back), client), (ends(SERVER, 53, INNER, 5000), 3));
    assert_eq!(world.flows.flow(flow).unwrap().client(), 3);
}

/// RFC 4787 REQ-1: mapping does not depend on the endpoint.
#[test]
fn one_inner_port_has_one_outer_port_for_all_servers() {
    let mut world = World::new();
    let port = |world: &mut World, to: Ipv4Addr, to_port| {
        let (out, _) = world.sent(3, &datagram(ends(INNER, 5000, to, to_port), b""));
        ends_of(&out).0
    };
    let first = port(&mut world, SERVER, 53);
    assert_eq!(port(&mut world, OTHER, 53), first);
    assert_eq!(port(&mut world, OTHER, 3478), first);
    assert_eq!(world.flows.holding(3).ports, 1);
    assert_eq!(world.flows.len(), 2, "a flow for each address, not for each port");
}

/// D8: many clients have the same inner address.
#[test]
fn clients_with_the_same_address_are_told_apart() {
    let mut world = World::new();
    let packet = datagram(ends(INNER, 5000, SERVER, 53), b"");
    let ports: Vec<u16> =
        (0..8).map(|client| ends_of(&world.sent(client, &packet).0).0.1).collect();
    assert_eq!(ports.iter().collect::<HashSet<_>>().len(), 8);
    for (client, port) in (0..).zip(ports) {
        let (_, whose) = world.taken(&datagram(ends(SERVER, 53, EGRESS, port), b""));
        assert_eq!(whose, client);
    }
}

/// RFC 4787 REQ-2: paired.
#[test]
fn a_client_keeps_its_address() {
    let addresses: Vec<IpAddr> = (1..=8).map(|last| [192, 0, 2, last].into()).collect();
    let mut world = World::of(&crate::world::config(&addresses));
    let mut all = HashSet::new();
    for client in 0..8 {
        let mut of_client = HashSet::new();
        for port in 1..8 {
            let (out, _) = world.sent(client, &datagram(ends(INNER, port, SERVER, 53), b""));
            of_client.insert(ends_of(&out).0.0);
        }
        assert_eq!(of_client.len(), 1, "client {client}");
        all.extend(of_client);
    }
    assert!(all.len() > 2, "{all:?}");
}

/// RFC 4787 REQ-5 and 6: five minutes from the last packet that went out; what comes in does not count.
#[test]
fn only_packets_of_the_client_keep_a_flow_alive() {
    let mut world = World::new();
    let packet = datagram(ends(INNER, 5000, SERVER, 53), b"");
    let port = ends_of(&world.sent(3, &packet).0).0.1;
    let answer = datagram(ends(SERVER, 53, EGRESS, port), b"");
    world.wait(299.0);
    world.taken(&answer);
    world.sent(3, &packet);
    world.wait(299.9);
    world.taken(&answer);
    world.wait(0.4);
    assert_eq!(world.refused_back(&answer), Refusal::NoMapping);
}

/// RFC 4787 REQ-8: filtering depends on the address, not on the port.
#[test]
fn who_was_not_spoken_to_is_filtered() {
    let mut world = World::new();
    let (out, _) = world.sent(3, &datagram(ends(INNER, 5000, SERVER, 53), b""));
    let port = ends_of(&out).0.1;
    let (back, _) = world.taken(&datagram(ends(SERVER, 54, EGRESS, port), b""));
    assert_eq!(ends_of(&back), ends(SERVER, 54, INNER, 5000));
    let stranger = datagram(ends(OTHER, 53, EGRESS, port), b"");
    assert_eq!(world.refused_back(&stranger), Refusal::Filtered);
    let nobody = datagram(ends(SERVER, 53, EGRESS, port ^ 1), b"");
    assert_eq!(world.refused_back(&nobody), Refusal::NoMapping);
}

#[test]
fn what_is_to_no_egress_address_is_unknown() {
    let mut world = World::new();
    let mut packet = datagram(ends(SERVER, 53, OTHER, 1024), b"");
    assert_eq!(world.back(&mut packet), Verdict::Unknown);
    let mut packet = datagram(ends(SERVER, 53, EGRESS, 2048), b"");
    assert_eq!(world.back(&mut packet), Verdict::Unknown, "a port that is not this worker's");
}

/// RFC 4787 REQ-9: with the external source address and port.
#[test]
fn two_clients_reach_each_other_by_their_outer_addresses() {
    let mut world = World::new();
    let outer = |world: &mut World, client, to, to_port| {
        let (out, _) = world.sent(client, &datagram(ends(INNER, 5000, to, to_port), b""));
        ends_of(&out).0.1
    };
    let one = outer(&mut world, 1, SERVER, 3478);
    let other = outer(&mut world, 2, SERVER, 3478);
    // The other one opens its filter for our own address.
    outer(&mut world, 2, EGRESS, one);
    let mut packet = datagram(ends(INNER, 5000, EGRESS, other), b"hello");
    let verdict = world.out(1, &mut packet);
    assert!(matches!(verdict, Verdict::Carried { hairpin: true, .. }), "{verdict:?}");
    assert_eq!(ends_of(&packet), ends(EGRESS, one, EGRESS, other));
    let (back, client) = world.taken(&packet);
    assert_eq!((ends_of(&back), client), (ends(EGRESS, one, INNER, 5000), 2));
    // And the way back.
    let mut packet = datagram(ends(INNER, 5000, EGRESS, one), b"hello");
    world.out(2, &mut packet);
    let (back, client) = world.taken(&packet);
    assert_eq!((ends_of(&back), client), (ends(EGRESS, other, INNER, 5000), 1));
}

/// RFC 6888 REQ-8.
#[test]
fn a_port_rests_before_it_is_used_again() {
    let addresses = [EGRESS.into()];
    let mut config = crate::world::config(&addresses);
    config.ports = 1024..=1025;
    let mut world = World::of(&config);
    let packet = |port| datagram(ends(INNER, port, SERVER, 53), b"");
    world.sent(1, &packet(1));
    world.sent(1, &packet(2));
    assert_eq!(world.refused(1, &packet(3)), Refusal::PortsExhausted);
    world.wait(301.0);
    world.sweep();
    assert_eq!((world.flows.len(), world.flows.holding(1).ports), (0, 0));
    assert_eq!(world.refused(1, &packet(3)), Refusal::PortsExhausted);
    world.wait(120.0);
    world.sent(1, &packet(3));
    world.sent(1, &packet(4));
    assert_eq!(world.refused(1, &packet(5)), Refusal::PortsExhausted);
}

/// RFC 768: none stays none.
#[test]
fn a_datagram_without_checksum_stays_without() {
    let mut world = World::new();
    let mut packet = datagram(ends(INNER, 5000, SERVER, 53), b"question");
    packet[26..28].fill(0);
    let (out, _) = world.sent(3, &packet);
    assert_eq!(out[26..28], [0, 0]);
}

#[test]
fn a_client_has_only_so_many_ports_and_flows() {
    let mut world = World::new();
    let packet = |port, last| {
        let to = Ipv4Addr::new(198, 51, 100, last);
        datagram(ends(INNER, port, to, 53), b"")
    };
    for port in 0..24 {
        world.sent(1, &packet(5000 + port, 1));
    }
    assert_eq!(world.refused(1, &packet(6000, 1)), Refusal::ClientPorts);
    for last in 2..10 {
        world.sent(1, &packet(5000, last));
    }
    assert_eq!(world.refused(1, &packet(5000, 10)), Refusal::ClientFlows);
    world.sent(2, &packet(6000, 1));
    assert_eq!(world.flows.holding(1).flows, 32);
}

#[test]
fn a_full_table_refuses_and_harms_nobody() {
    let addresses = [EGRESS.into()];
    let mut config = crate::world::config(&addresses);
    config.limits = Limits { flows: 64, ports: 64, setups: 8 };
    let mut world = World::of(&config);
    let packet = |port| datagram(ends(INNER, port, SERVER, 53), b"");
    let outer: Vec<u16> =
        (0..64).map(|port| ends_of(&world.sent(1, &packet(5000 + port)).0).0.1).collect();
    assert_eq!(world.refused(2, &packet(5000)), Refusal::TableFull);
    assert_eq!(world.flows.holding(2), flows::Holding::default(), "and no port is lost");
    for (inner, port) in (5000..).zip(outer) {
        let (back, _) = world.taken(&datagram(ends(SERVER, 53, EGRESS, port), b""));
        assert_eq!(ends_of(&back), ends(SERVER, 53, INNER, inner));
    }
    // What is over makes room for its own client at once, before any sweep.
    world.wait(301.0);
    world.sent(1, &packet(7000));
    assert_eq!(world.refused(2, &packet(5000)), Refusal::TableFull);
    world.sweep();
    world.sent(2, &packet(5000));
}

#[test]
fn a_client_without_a_row_is_refused() {
    let mut world = World::new();
    let packet = datagram(ends(INNER, 5000, SERVER, 53), b"");
    assert_eq!(world.refused(16, &packet), Refusal::Client);
}

#[test]
fn without_an_egress_address_nothing_is_translated() {
    let mut world = World::of(&crate::world::config(&[]));
    let packet = datagram(ends(INNER, 5000, SERVER, 53), b"");
    assert_eq!(world.refused(1, &packet), Refusal::NoAddress);
}

#[test]
fn a_client_that_is_forgotten_leaves_its_number_to_another() {
    let mut world = World::new();
    let packet = |port| datagram(ends(INNER, port, SERVER, 53), b"");
    let outer: Vec<u16> = (1..6).map(|port| ends_of(&world.sent(1, &packet(port)).0).0.1).collect();
    let (kept, _) = world.sent(2, &packet(1));
    world.flows.forget(1, world.now);
    world.flows.forget(99, world.now);
    assert_eq!(world.flows.holding(1), flows::Holding::default());
    for port in outer {
        let answer = datagram(ends(SERVER, 53, EGRESS, port), b"");
        assert_eq!(world.refused_back(&answer), Refusal::NoMapping);
    }
    world.taken(&datagram(ends(SERVER, 53, EGRESS, ends_of(&kept).0.1), b""));
}
