//! ICMP errors through the translation, and those that the server itself owes.

use std::net::Ipv4Addr;

use dataplane::fate::DropReason;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::STRANGER;
use dataplane::testing::site::{self, EVERY_CLIENTS, OUTSIDE_V4};
use wire::icmp::v4::Error;
use wire::{icmp, ipv4};

use crate::world::{ASKED, ASKS, World, answer, error, out, question};

/// A router on the way.
const ROUTER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 3);

/// Ends of the UDP datagram of which an error quotes the beginning; the quoted header's checksum is right.
fn quoted(quote: &[u8]) -> ((Ipv4Addr, u16), (Ipv4Addr, u16)) {
    let ip = ipv4::parse_quoted(quote).unwrap();
    let mut whole = quote.to_vec();
    whole.resize(ip.total_len().max(quote.len()), 0);
    assert!(ipv4::parse(&whole).is_ok(), "the quoted header's checksum is right");
    let port = |at: usize| u16::from_be_bytes([quote[at], quote[at + 1]]);
    let at = ip.payload_offset;
    ((ip.source, port(at)), (ip.destination, port(at + 2)))
}

#[test]
fn a_router_beyond_tells_the_client_of_what_the_client_had_sent() {
    for workers in [1, 2, 16] {
        for what in
            [Error::TimeExceeded, Error::FragmentationNeeded { mtu: 1300 }, Error::HostUnreachable]
        {
            let mut world = World::new(workers, 3);
            for client in 0..3 {
                let sent = world.sends_one(client, &question());
                let report = Ip::new(ROUTER, OUTSIDE_V4).error_about(what, &sent);
                world.arrives(client + 1, &report);
                let got = world.got(client);
                let (outline, message, quote) = error(&got[0]);
                assert_eq!(outline.source, ROUTER);
                assert_eq!(outline.destination, EVERY_CLIENTS);
                let is_size = what == Error::FragmentationNeeded { mtu: 1300 };
                assert_eq!(message.mtu_v4(), is_size.then_some(1300));
                assert_eq!(quoted(&quote), ((EVERY_CLIENTS, ASKS), (STRANGER, ASKED)));
                assert!(world.is_answered(client), "an error ends nothing (RFC 5508 REQ-6)");
            }
            world.end();
        }
    }
}

#[test]
fn a_client_tells_a_stranger_of_what_the_stranger_had_sent() {
    for workers in [1, 2, 16] {
        let mut world = World::new(workers, 2);
        let from = world.asks(1);
        world.arrives(0, &answer(from));
        let got = world.got(1);
        let report = out().error_about(Error::PortUnreachable, &got[0]);
        let sent = world.sends_one(1, &report);
        let (outline, _, quote) = error(&sent);
        assert_eq!((outline.source, outline.destination), (OUTSIDE_V4.into(), STRANGER.into()));
        assert_eq!(quoted(&quote), ((STRANGER, ASKED), (OUTSIDE_V4, from.port())));
        world.end();
    }
}

#[test]
fn an_error_about_nothing_that_was_sent_comes_to_nobody() {
    let mut world = World::new(2, 2);
    let sent = world.sends_one(0, &question());
    let (from, ..) = crate::world::udp(&sent);
    let other = Ipv4Addr::from_bits(STRANGER.to_bits() + 1);
    let never = Ip::new(OUTSIDE_V4, other).udp(from.port(), ASKED, b"a question");
    world.arrives(0, &Ip::new(ROUTER, OUTSIDE_V4).error_about(Error::HostUnreachable, &never));
    assert_eq!(world.dropped(DropReason::EgressNatError), 1, "RFC 5508 REQ-4");
    assert_eq!(world.got(0), Vec::<Vec<u8>>::new());
    world.end();
}

#[test]
fn a_client_whose_packet_has_no_hop_left_hears_of_it_as_it_has_sent_it() {
    let mut world = World::new(2, 2);
    for client in 0..2 {
        let packet = Ip { hop_limit: 1, ..out() }.udp(ASKS, ASKED, b"a question");
        assert!(world.sends(client, &packet).is_empty());
        let got = world.got(client);
        let (outline, message, quote) = error(&got[0]);
        assert_eq!(outline.source, site::LOCAL_V4);
        assert_eq!(outline.destination, EVERY_CLIENTS);
        assert_eq!((message.kind, message.code), (11, 0));
        assert_eq!(quote, packet);
    }
    assert_eq!(world.totals().flows, 0, "nothing was translated");
    world.end();
}

#[test]
fn a_stranger_whose_answer_has_no_hop_left_hears_of_it_as_it_has_sent_it() {
    for workers in [1, 2, 16] {
        let mut world = World::new(workers, 2);
        let from = world.asks(1);
        let packet =
            Ip { hop_limit: 1, ..Ip::new(STRANGER, OUTSIDE_V4) }.udp(ASKED, from.port(), b"late");
        world.arrives(1, &packet);
        assert_eq!(world.got(1), Vec::<Vec<u8>>::new());
        let left = world.left();
        assert_eq!(left.len(), 1, "{}", world.totals());
        let (outline, message, quote) = error(&left[0]);
        assert_eq!(
            (outline.source, outline.destination),
            (site::SERVER_V4.into(), STRANGER.into())
        );
        assert_eq!((message.kind, message.code), (11, 0));
        assert_eq!(quote, packet, "nothing inner is told");
        world.end();
    }
}

#[test]
fn an_answer_that_is_too_long_for_its_client_is_answered_with_what_fits() {
    for workers in [1, 2, 16] {
        let mut world = World::new(workers, 2);
        let from = world.asks(1);
        let long = Ip::new(STRANGER, OUTSIDE_V4).udp(ASKED, from.port(), &[7; 1421 - 28]);
        world.arrives(1, &long);
        assert_eq!(world.got(1), Vec::<Vec<u8>>::new());
        let left = world.left();
        let (outline, message, quote) = error(&left[0]);
        assert_eq!(
            (outline.source, outline.destination),
            (site::SERVER_V4.into(), STRANGER.into())
        );
        assert_eq!(message.mtu_v4(), Some(1420));
        assert_eq!(quote, long[..quote.len()], "as it was sent");
        assert!(quote.len() >= 28);
        let fits = Ip::new(STRANGER, OUTSIDE_V4).udp(ASKED, from.port(), &[7; 1420 - 28]);
        world.arrives(1, &fits);
        assert_eq!(world.got(1).len(), 1, "what fits is let through");
        world.end();
    }
}

#[test]
fn nobody_learns_by_errors_which_ports_are_in_use() {
    let mut world = World::new(1, 1);
    let from = world.asks(0);
    for port in [from.port(), from.port() ^ 1] {
        let other = Ipv4Addr::from_bits(STRANGER.to_bits() + 1);
        world.arrives(0, &Ip::new(other, OUTSIDE_V4).udp(ASKED, port, b"are you there?"));
        assert!(world.left().is_empty());
    }
    // Sizes and hops are told to those alone who were asked, and by the port that they were asked from.
    let long = |port| Ip::new(STRANGER, OUTSIDE_V4).udp(ASKED, port, &[7; 1421 - 28]);
    for (port, told) in [(from.port(), 1), (from.port() ^ 1, 0)] {
        world.arrives(0, &long(port));
        assert_eq!(world.left().len(), told);
    }
    world.end();
}

#[test]
fn quotes_of_every_protocol_are_turned_back() {
    let mut world = World::new(2, 1);
    let echo = world.sends_one(0, &out().echo(3, b"hallo"));
    world.arrives(1, &Ip::new(ROUTER, OUTSIDE_V4).error_about(Error::TimeExceeded, &echo));
    let got = world.got(0);
    let (outline, _, quote) = error(&got[0]);
    assert_eq!(outline.destination, EVERY_CLIENTS);
    let ip = ipv4::parse_quoted(&quote).unwrap();
    assert_eq!((ip.source, ip.destination), (EVERY_CLIENTS, STRANGER));
    let message = icmp::v4::parse(&quote[ip.payload_offset..]).unwrap();
    assert_eq!(message.echo_request_v4().unwrap().identifier, 0x6d6c);
    assert!(packets::outline(&got[0]).is_some());
    world.end();
}
