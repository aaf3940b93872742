//! Echoes and errors through the translator (RFC 5508).

use std::net::Ipv4Addr;

use crate::world::{
    ACK, EGRESS, Ends, INNER, OTHER, SERVER, SYN, SYN_ACK, World, assert_intact, datagram, echo,
    ends, ends_of, error, identifier_of, numbers, segment,
};
use flows::{Refusal, State, Verdict};
use wire::{icmp, ipv4};

const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

/// The packet that an error quotes.
fn quote_of(packet: &[u8]) -> &[u8] {
    &packet[ipv4::HEADER_LEN + icmp::HEADER_LEN..]
}

fn addresses(packet: &[u8]) -> (Ipv4Addr, Ipv4Addr) {
    let ip = ipv4::parse(packet).unwrap();
    (ip.source, ip.destination)
}

/// RFC 5508 REQ-1 and 2.
#[test]
fn an_echo_is_told_by_its_identifier_for_a_minute() {
    let mut world = World::new();
    let request = echo(INNER, SERVER, 7, true);
    let (out, _) = world.sent(3, &request);
    let outer = identifier_of(&out);
    assert_eq!(addresses(&out), (EGRESS, SERVER));
    let (second, _) = world.sent(4, &request);
    assert_ne!(identifier_of(&second), outer);
    let reply = echo(SERVER, EGRESS, outer, false);
    let (back, client) = world.taken(&reply);
    assert_eq!((addresses(&back), identifier_of(&back), client), ((SERVER, INNER), 7, 3));
    world.wait(59.9);
    world.taken(&reply);
    world.wait(0.4);
    assert_eq!(world.refused_back(&reply), Refusal::NoMapping);
}

#[test]
fn an_echo_has_one_outer_identifier_for_all_servers() {
    let mut world = World::new();
    let (one, _) = world.sent(3, &echo(INNER, SERVER, 7, true));
    let (other, _) = world.sent(3, &echo(INNER, OTHER, 7, true));
    assert_eq!(identifier_of(&one), identifier_of(&other));
}

#[test]
fn replies_that_nobody_asked_for_open_nothing() {
    let mut world = World::new();
    assert_eq!(world.refused(1, &echo(INNER, SERVER, 7, false)), Refusal::Icmp);
    assert_eq!(world.refused_back(&echo(SERVER, EGRESS, 1024, true)), Refusal::NoMapping);
}

#[test]
fn other_messages_are_refused_by_name() {
    let mut world = World::new();
    let mut timestamp = echo(INNER, SERVER, 7, true);
    timestamp[20] = 13;
    assert_eq!(world.refused(1, &timestamp), Refusal::Icmp);
}

#[test]
fn other_protocols_are_refused_by_name() {
    let mut world = World::new();
    let mut packet = datagram(ends(INNER, 1, SERVER, 2), b"");
    packet[9] = 132;
    packet[10..12].copy_from_slice(&[0, 0]);
    let sum = wire::checksum::Sum::of(&packet[..20]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(world.refused(1, &packet), Refusal::Protocol);
}

/// RFC 5508 REQ-4: both addresses, the quoted packet's headers and all checksums.
#[test]
fn an_error_about_a_datagram_comes_back_about_what_was_sent() {
    let mut world = World::new();
    for quoted in [28, 33, 60] {
        let packet = datagram(ends(INNER, 5000, SERVER, 53), b"a question");
        let (out, _) = world.sent(3, &packet);
        let (back, client) = world.taken(&error(ROUTER, EGRESS, &out, quoted));
        assert_eq!((addresses(&back), client), ((ROUTER, INNER), 3));
        let quote = quote_of(&back);
        assert_eq!(quote, &packet[..quoted.min(packet.len())], "as it was sent");
    }
}

#[test]
fn an_error_about_a_segment_comes_back_about_what_was_sent() {
    for quoted in [28, 36, 40, 60] {
        let mut world = World::new();
        let packet = segment(ends(INNER, 4000, SERVER, 443), numbers(SYN, 99, 0), b"");
        let (out, flow) = world.sent(1, &packet);
        let (back, _) = world.taken(&error(ROUTER, EGRESS, &out, quoted));
        assert_eq!(quote_of(&back), &packet[..quoted.min(packet.len())]);
        let state = world.flows.flow(flow).unwrap().state();
        assert_eq!(state, State::Opening, "RFC 5382 REQ-10: no error ends a flow");
    }
}

#[test]
fn an_error_about_an_echo_comes_back_about_what_was_sent() {
    let mut world = World::new();
    let packet = echo(INNER, SERVER, 7, true);
    let (out, _) = world.sent(3, &packet);
    let (back, client) = world.taken(&error(ROUTER, EGRESS, &out, 28));
    assert_eq!((quote_of(&back), client), (&packet[..28], 3));
}

/// RFC 5508 REQ-5: from the client's side, by its outer address.
#[test]
fn an_error_of_the_client_goes_out_by_its_outer_address() {
    let mut world = World::new();
    let (out, _) = world.sent(3, &datagram(ends(INNER, 5000, SERVER, 53), b""));
    let answer = datagram(ends(SERVER, 53, EGRESS, ends_of(&out).0.1), b"a long answer");
    let (back, _) = world.taken(&answer);
    for from in [INNER, ROUTER] {
        let (report, _) = world.sent(3, &error(from, SERVER, &back, 41));
        assert_eq!(addresses(&report), (EGRESS, SERVER));
        assert_eq!(quote_of(&report), &answer[..]);
    }
    // RFC 7857, of outbound refresh and error packets: nor does one keep a flow alive.
    world.wait(299.0);
    world.sent(3, &error(INNER, SERVER, &back, 41));
    world.wait(2.0);
    assert_eq!(world.refused(3, &error(INNER, SERVER, &back, 41)), Refusal::ErrorUnmatched);
}

/// RFC 5508 REQ-7, with RFC 4787 REQ-9.
#[test]
fn an_error_between_two_clients_turns_round() {
    let mut world = World::new();
    let mut outer = |client, to, to_port| {
        let (out, _) = world.sent(client, &datagram(ends(INNER, 5000, to, to_port), b""));
        ends_of(&out).0.1
    };
    let (one, other) = (outer(1, SERVER, 53), outer(2, SERVER, 53));
    outer(2, EGRESS, one);
    let packet = datagram(ends(INNER, 5000, EGRESS, other), b"");
    let (out, _) = world.sent(1, &packet);
    let (back, _) = world.taken(&out);
    let mut report = error(INNER, EGRESS, &back, 28);
    let verdict = world.out(2, &mut report);
    assert!(matches!(verdict, Verdict::Carried { hairpin: true, .. }), "{verdict:?}");
    assert_intact(&report);
    let (report, client) = world.taken(&report);
    assert_eq!((addresses(&report), client), ((EGRESS, INNER), 1));
    assert_eq!(quote_of(&report), &packet[..28]);
}

/// RFC 5508 REQ-4: only about packets of live flows.
#[test]
fn an_error_about_nothing_of_ours_is_refused() {
    let mut world = World::new();
    let (out, _) = world.sent(3, &datagram(ends(INNER, 5000, SERVER, 53), b""));
    let (ours, theirs): Ends = ends_of(&out);
    let about =
        |source, destination| error(ROUTER, EGRESS, &datagram((source, destination), b""), 28);
    world.taken(&about(ours, theirs));
    let wrong = [
        about((EGRESS.into(), ours.1 ^ 1), theirs),
        about(ours, (OTHER.into(), 53)),
        about((OTHER.into(), ours.1), theirs),
        error(ROUTER, EGRESS, &out, 27),
        error(ROUTER, EGRESS, &echo(EGRESS, SERVER, ours.1, true), 28),
        error(ROUTER, EGRESS, &error(EGRESS, SERVER, &out, 28), 56),
    ];
    for packet in wrong {
        assert_eq!(world.refused_back(&packet), Refusal::ErrorUnmatched);
    }
    world.wait(301.0);
    assert_eq!(world.refused_back(&about(ours, theirs)), Refusal::ErrorUnmatched);
}

/// RFC 5508 REQ-3.
#[test]
fn an_error_with_a_wrong_checksum_is_refused() {
    let mut world = World::new();
    let (out, _) = world.sent(3, &datagram(ends(INNER, 5000, SERVER, 53), b""));
    let mut packet = error(ROUTER, EGRESS, &out, 28);
    packet[27] ^= 1;
    assert_eq!(world.refused_back(&packet), Refusal::ErrorChecksum);
}

/// RFC 5927 4: who only guesses at addresses and ports does not know the numbers.
#[test]
fn an_error_about_a_segment_that_cannot_be_under_way_is_refused() {
    let mut world = World::new();
    let out = ends(INNER, 4000, SERVER, 443);
    let (packet, _) = world.sent(1, &segment(out, numbers(SYN, 99, 0), b""));
    let outer = ends_of(&packet).0.1;
    world.taken(&segment(ends(SERVER, 443, EGRESS, outer), numbers(SYN_ACK, 499, 100), b""));
    world.sent(1, &segment(out, numbers(ACK, 100, 500), b""));
    let about = |sequence| {
        let packet = segment(ends(EGRESS, outer, SERVER, 443), numbers(ACK, sequence, 500), b"");
        error(ROUTER, EGRESS, &packet, 28)
    };
    world.taken(&about(100));
    world.taken(&about(1100));
    for sequence in [1102, 1 << 31, 100_u32.wrapping_sub(200_000)] {
        assert_eq!(world.refused_back(&about(sequence)), Refusal::ErrorImplausible, "{sequence}");
    }
}

#[test]
fn an_error_in_pieces_is_refused() {
    let mut world = World::new();
    let (out, _) = world.sent(3, &datagram(ends(INNER, 5000, SERVER, 53), b""));
    let mut packet = error(ROUTER, EGRESS, &out, 28);
    packet[6] = 0x20;
    packet.truncate(20 + 32);
    packet[2..4].copy_from_slice(&52_u16.to_be_bytes());
    packet[10..12].fill(0);
    let sum = wire::checksum::Sum::of(&packet[..20]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(world.refused_back(&packet), Refusal::Icmp);
}
