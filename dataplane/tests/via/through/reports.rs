//! ICMP through another data centre: echoes, errors of routers beyond and of clients, and those that either server owes.

use std::net::Ipv4Addr;

use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::STRANGER;
use dataplane::testing::server::Place;
use dataplane::testing::site::{self, CENTRE_V4, EVERY_CLIENTS};
use wire::icmp::v4::Error;
use wire::{icmp, ipv4};

use crate::NEAR;
use crate::world::{ASKED, ASKS, EXIT_V4, World, answer, error, out, question};

/// A router on the way.
const ROUTER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 3);

/// Ends of the UDP datagram of which an error quotes the beginning.
fn quoted(quote: &[u8]) -> ((Ipv4Addr, u16), (Ipv4Addr, u16)) {
    let ip = ipv4::parse_quoted(quote).unwrap();
    let port = |at: usize| u16::from_be_bytes([quote[at], quote[at + 1]]);
    let at = ip.payload_offset;
    ((ip.source, port(at)), (ip.destination, port(at + 2)))
}

#[test]
fn echoes_go_both_ways() {
    for workers in [1, 2] {
        let mut world = World::new(workers, 2);
        for client in 0..2 {
            let echo = world.sends_one(client, &out().echo(3, b"hallo"));
            let outline = packets::outline(&echo).unwrap();
            assert_eq!(outline.source, EXIT_V4);
            let message = icmp::v4::parse(&echo[outline.payload_offset..]).unwrap();
            let mut octets = vec![0; icmp::HEADER_LEN];
            octets.extend(b"hallo");
            let request = message.echo_request_v4().unwrap();
            icmp::v4::emit_echo_reply(&mut octets, request).unwrap();
            world.arrives(&Ip::new(STRANGER, EXIT_V4).packet(icmp::v4::PROTOCOL, &octets));
            let got = world.got(client);
            let message = icmp::v4::parse(&got[0][ipv4::HEADER_LEN..]).unwrap();
            assert_eq!(message.echo_reply_v4().unwrap().identifier, 0x6d6c, "as it had asked");
        }
        world.end();
    }
}

#[test]
fn a_router_beyond_tells_the_client_of_what_the_client_had_sent() {
    for workers in [1, 2] {
        let mut world = World::new(workers, 3);
        for client in 0..3 {
            let sent = world.sends_one(client, &question());
            let what = Error::FragmentationNeeded { mtu: 1300 };
            world.arrives(&Ip::new(ROUTER, EXIT_V4).error_about(what, &sent));
            let got = world.got(client);
            let (outline, message, quote) = error(&got[0]);
            assert_eq!(
                (outline.source, outline.destination),
                (ROUTER.into(), EVERY_CLIENTS.into())
            );
            assert_eq!(message.mtu_v4(), Some(1300));
            assert_eq!(quoted(&quote), ((EVERY_CLIENTS, ASKS), (STRANGER, ASKED)));
            assert!(world.is_answered(client), "an error ends nothing (RFC 5508 REQ-6)");
        }
        world.end();
    }
}

#[test]
fn a_client_tells_a_stranger_of_what_the_stranger_had_sent() {
    let mut world = World::new(2, 2);
    let from = world.asks(1);
    world.arrives(&answer(from));
    let got = world.got(1);
    let report = out().error_about(Error::PortUnreachable, &got[0]);
    let left = world.sends_one(1, &report);
    let (outline, message, quote) = error(&left);
    assert_eq!((outline.source, outline.destination), (EXIT_V4.into(), STRANGER.into()));
    assert_eq!((message.kind, message.code), (3, 3));
    assert_eq!(quoted(&quote), ((STRANGER, ASKED), (EXIT_V4, from.port())));
    // About what it was never sent it says nothing.
    let forged = out()
        .error_about(Error::PortUnreachable, &Ip::new(STRANGER, EVERY_CLIENTS).udp(1, 2, b"?"));
    assert!(world.sends(1, &forged).is_empty());
    world.end();
}

/// Both servers are routers on the client's way.
#[test]
fn a_client_sees_both_servers_on_its_way() {
    let mut world = World::new(2, 1);
    for hops in [1, 2] {
        let packet = Ip { hop_limit: hops, ..out() }.udp(ASKS, ASKED, b"a question");
        assert!(world.sends(0, &packet).is_empty());
        let got = world.got(0);
        let (outline, message, quote) = error(&got[0]);
        assert_eq!(outline.destination, EVERY_CLIENTS);
        assert_eq!((message.kind, message.code), (11, 0));
        assert_eq!(quoted(&quote), ((EVERY_CLIENTS, ASKS), (STRANGER, ASKED)));
        assert_eq!(world.crossed.len(), usize::from(hops - 1) * 2);
    }
    world.end();
}

#[test]
fn a_stranger_whose_answer_does_not_get_to_its_client_hears_of_it_as_it_has_sent_it() {
    let mut world = World::new(2, 2);
    let from = world.asks(1);
    let back = Ip::new(STRANGER, EXIT_V4);
    let long = back.udp(ASKED, from.port(), &[7; 1421 - 28]);
    // Of the latter the last hop is taken at the client's own server.
    let few = [1, 2].map(|hop_limit| Ip { hop_limit, ..back }.udp(ASKED, from.port(), b"late"));
    let [none, one] = few;
    for (packet, kind, reporter) in
        [(long, 3, CENTRE_V4), (none, 11, CENTRE_V4), (one, 11, EXIT_V4)]
    {
        let left = world.arrives(&packet);
        assert_eq!(world.got(1), Vec::<Vec<u8>>::new());
        let (outline, message, quote) = error(&left[0]);
        assert_eq!((outline.source, outline.destination), (reporter.into(), STRANGER.into()));
        assert_eq!(message.kind, kind);
        assert_eq!(
            quoted(&quote),
            ((STRANGER, ASKED), (EXIT_V4, from.port())),
            "nothing inner is told"
        );
    }
    assert!(world.is_answered(1));
    world.end();
}

#[test]
fn what_does_not_fit_the_way_to_its_exit_is_answered_with_what_does() {
    let mut world = World::new(2, 1);
    let long = Ip::new(site::LOCAL_V4, STRANGER).udp(ASKS, ASKED, &[7; 1461 - 28]);
    world.here.put(Place::Local { worker: 0 }, &packets::from_local(&long));
    world.here.settle();
    assert!(world.cross().is_empty());
    let strays = world.here.strays();
    let (_, packet) = packets::packet_in(&strays[0].1).unwrap();
    let (outline, message, _) = error(packet);
    assert_eq!((outline.destination, message.mtu_v4()), (site::LOCAL_V4.into(), Some(1460)));
    world.end();
}

#[test]
fn an_exit_sends_nothing_where_it_would_not_connect_to_and_says_so() {
    let mut world = World::new(2, 1);
    world.lead_all();
    let to = |address: Ipv4Addr, port| Ip::new(EVERY_CLIENTS, address).udp(ASKS, port, b"?");
    let forbidden = [
        to(CENTRE_V4, 53),
        to(Ipv4Addr::new(192, 168, 1, 1), 53),
        to(Ipv4Addr::new(169, 254, 169, 254), 80),
        // A machine of a third data centre: a question in our name.
        to(Ipv4Addr::new(192, 0, 2, 200), site::CONNECT_PORT),
        to(NEAR, 0),
    ];
    for packet in forbidden {
        assert!(world.sends(0, &packet).is_empty(), "{packet:?}");
        let got = world.got(0);
        let (_, message, quote) = error(&got[0]);
        assert_eq!((message.kind, message.code), (3, 13), "administratively prohibited");
        assert_eq!(
            quote[..20],
            Ip {
                hop_limit: 63,
                ..Ip::new(EVERY_CLIENTS, packets::outline(&packet).unwrap().destination)
            }
            .udp(ASKS, 1, b"?")[..20]
        );
    }
    assert_eq!(world.totals()[1].flows, 0);
    world.end();
}

#[test]
fn what_cannot_be_translated_there_is_refused_here() {
    let mut world = World::new(1, 1);
    assert!(world.sends(0, &out().packet(132, &[0; 16])).is_empty());
    let got = world.got(0);
    let (_, message, _) = error(&got[0]);
    assert_eq!((message.kind, message.code), (3, 2), "protocol unreachable");
    assert!(world.crossed.is_empty());
    world.end();
}
