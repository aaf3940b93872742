//! What is refused, by name and with an honest answer, and what is full: bounded, and nobody else is harmed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect has failed"
)]

mod network;

use std::net::SocketAddr;
use std::time::Duration;

use connect::head::{Host as Named, Status};
use connect::limits::Limits;
use connect::targets::{Forbidden, Targets};
use connect::{Decision, Dropped, Refusal, Why};
use network::frame::Frame;
use network::hand::{ANSWER_OPTIONS, CLIENT_ISN, FAR_ISN, Hand, OK, OPTIONS};
use network::host::Service;
use network::pop::{CONNECT_PORT, Pop};
use network::scene::{Way, net};
use network::tcp::{MS, State};
use network::{CLIENT_IP, EXIT_IP, INGRESS_IP, Net, Node, ORIGIN_IP, RELAY_IP, hop, ip};
use wire::tcp::Flags;

const SYN_ACK: Flags = Flags(0x12);
const CLIENT_FIRST: u32 = CLIENT_ISN.wrapping_add(1);
const FAR_FIRST: u32 = FAR_ISN + 1 + 19;

fn open(net: &mut Net) -> (SocketAddr, SocketAddr) {
    let now = net.now;
    net.host(CLIENT_IP).open((ip(ORIGIN_IP), 80).into(), now)
}

#[test]
fn setups_that_only_linger_make_room_for_new_ones() {
    let limits = Limits { setups: 1, ..network::limits() };
    let mut hand = Hand::ingress(&[hop(EXIT_IP, false)]);
    let mut pop = Pop::new(ip(INGRESS_IP), limits, Box::new(network::to_target));
    pop.routes = vec![hop(EXIT_IP, false)];
    hand.pop = pop;
    hand.answered();
    let other = |hand: &mut Hand| {
        let ends = ((ip(CLIENT_IP), 9).into(), (ip(ORIGIN_IP), 80).into());
        let frame = Frame::new(ends, (Flags::SYN, 1000), (CLIENT_ISN, 0), OPTIONS, &[]);
        hand.pop.take(&frame, true, hand.now);
    };
    other(&mut hand);
    assert_eq!(hand.pop.refused, [Refusal::SetupsFull], "the client has not acknowledged yet");
    hand.near(Flags::ACK, (CLIENT_FIRST, FAR_FIRST), &[], &[]);
    other(&mut hand);
    assert_eq!(hand.pop.refused.len(), 1);
    assert_eq!(hand.pop.connect.counts().setups, 1);
}

#[test]
fn a_setup_that_is_under_way_never_makes_room() {
    let limits = Limits { setups: 2, ..network::limits() };
    let mut hand = Hand::ingress(&[hop(EXIT_IP, false)]);
    let routes = hand.pop.routes.clone();
    hand.pop = Pop::new(ip(INGRESS_IP), limits, Box::new(network::to_target));
    hand.pop.routes = routes;
    let syn = |hand: &mut Hand, port: u16| {
        let ends = ((ip(CLIENT_IP), port).into(), (ip(ORIGIN_IP), 80).into());
        let frame = Frame::new(ends, (Flags::SYN, 1000), (CLIENT_ISN, 0), OPTIONS, &[]);
        hand.pop.take(&frame, true, hand.now);
    };
    for round in 0..4 {
        // One lingers until its time is over, and its place is taken twice.
        hand.answered();
        hand.near(Flags::ACK, (CLIENT_FIRST, FAR_FIRST), &[], &[]);
        hand.wait(1100);
        assert!(hand.is_clean());
        for port in 1..=3 {
            syn(&mut hand, port);
        }
        assert_eq!(hand.pop.refused.len(), round + 1, "the third finds no room");
        hand.wait(21_000);
        assert_eq!(hand.pop.whys(), vec![Why::FarSilent; 2 * (round + 1)]);
        let leg = connect::Leg {
            client: network::pop::CLIENT,
            ours: (ip(ORIGIN_IP), 80).into(),
            theirs: (ip(CLIENT_IP), 40_000).into(),
        };
        assert!(!hand.pop.connect.knows(&leg));
        hand.pop.forget_flows();
    }
}

#[test]
fn without_a_port_a_client_is_refused_by_name_and_an_exit_answers_503() {
    let mut hand = Hand::ingress(&[hop(EXIT_IP, false)]);
    hand.pop.around.ports.clear();
    assert!(hand.near(Flags::SYN, (CLIENT_ISN, 0), OPTIONS, &[]).is_empty());
    assert_eq!(hand.pop.refused, [Refusal::PortsExhausted]);
    assert!(hand.is_clean());
    let mut hand = Hand::exit();
    hand.pop.around.ports.clear();
    assert!(
        asked(&mut hand, b"CONNECT 198.51.100.1:80 HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 503")
    );
    assert_eq!(hand.pop.whys(), [Why::PortsExhausted]);
}

#[test]
fn without_a_buffer_a_piece_is_dropped_and_a_whole_head_is_read() {
    let limits = Limits { buffers: 0, ..network::limits() };
    let mut hand = Hand::exit();
    hand.pop = Pop::new(ip(EXIT_IP), limits, Box::new(network::to_target));
    let ack = hand.syn().header().sequence_number.wrapping_add(1);
    let request = b"CONNECT 198.51.100.1:80 HTTP/1.1\r\n\r\n";
    hand.near(Flags::ACK, (CLIENT_FIRST, ack), &[], &request[..9]);
    assert_eq!(hand.pop.dropped, [Dropped::BuffersFull]);
    let sent = hand.near(Flags::ACK, (CLIENT_FIRST, ack), &[], request);
    assert!(sent.iter().any(|frame| frame.destination == ip(ORIGIN_IP)));
}

/// What an exit answers to a request behind the SYN.
fn asked(hand: &mut Hand, request: &[u8]) -> String {
    let ack = hand.syn().header().sequence_number.wrapping_add(1);
    let mut at = CLIENT_FIRST;
    let mut sent = Vec::new();
    for piece in request.chunks(1240) {
        sent.extend(hand.near(Flags::ACK, (at, ack), &[], piece));
        at = at.wrapping_add(u32::try_from(piece.len()).unwrap());
    }
    let answer = sent.iter().find(|frame| frame.payload().starts_with(b"HTTP"));
    answer.map_or_else(String::new, |frame| String::from_utf8(frame.payload().to_vec()).unwrap())
}

#[test]
fn bad_requests_are_answered_by_their_status_in_plain_and_in_borne_form() {
    let long =
        [b"CONNECT 198.51.100.1:80 HTTP/1.1\r\nX: ", &[b'a'; 9000][..], b"\r\n\r\n"].concat();
    let cases: Vec<(&[u8], u16)> = vec![
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"CONNECT http://a/ HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT a HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
        (b"CONNECT 198.51.100.1:80 HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 400),
        (b"CONNECT 198.51.100.1:80 HTTP/1.1\r\nHost: 198.51.100.2:80\r\n\r\n", 400),
        (b"CONNECT 198.51.100.9:25 HTTP/1.1\r\n\r\n", 403),
        (&long, 400),
    ];
    for (request, status) in cases {
        for is_borne in [false, true] {
            let mut hand = Hand::exit();
            hand.pop.around.admit = Box::new(|request| match request.target.port {
                25 => Decision::Refuse(Status::Forbidden),
                _ => network::to_target(request),
            });
            let text = if is_borne && request.len() < 1400 {
                let sent = hand.near(Flags::SYN, (CLIENT_ISN, 0), OPTIONS, request);
                assert_eq!(sent[0].header().flags, SYN_ACK);
                String::from_utf8(sent[0].payload().to_vec()).unwrap()
            } else {
                asked(&mut hand, request)
            };
            let start = format!("HTTP/1.1 {status} ");
            assert!(
                text.starts_with(&start),
                "{text:?} for {:?}",
                String::from_utf8_lossy(request)
            );
            assert_eq!(text.contains("Allow: CONNECT"), status == 405);
            hand.wait(21_000);
            assert!(hand.is_clean() && hand.pop.around.taken.is_empty());
        }
    }
}

#[test]
fn an_origin_that_refuses_or_is_silent_is_told_to_who_asked() {
    for way in [Way::Plain, Way::Borne, Way::BorneRelay, Way::PlainRelay] {
        for (refuses, why, whys) in [(true, 502, Why::FarRefused), (false, 504, Why::FarSilent)] {
            let mut net = net(way, 5, Service::Echo);
            let origin = net.host(ORIGIN_IP);
            origin.services.clear();
            origin.refuses = refuses;
            // The client waits longer than an exit does.
            let exit = Limits { setup_time: Duration::from_secs(5), ..network::limits() };
            net.nodes.insert(
                ip(EXIT_IP),
                Node::Pop(Pop::new(ip(EXIT_IP), exit, Box::new(network::to_target)).into()),
            );
            let ends = open(&mut net);
            net.run(8000);
            assert_eq!(net.pop(EXIT_IP).whys(), [whys], "{way:?}");
            assert_eq!(net.pop(INGRESS_IP).whys(), [Why::Answered(why)], "{way:?}");
            assert_eq!(net.host(CLIENT_IP).tcp(ends).state, State::Reset, "{way:?}");
            net.assert_nothing_is_left();
        }
    }
}

#[test]
fn requests_that_go_round_between_relays_end_with_403() {
    for is_borne in [true, false] {
        let mut net = net(Way::BorneRelay, 5, Service::Echo);
        let leads_to = |at: &'static str| {
            Box::new(move |_: &connect::head::Request<'_>| Decision::Relay(hop(at, is_borne)))
        };
        net.pop(INGRESS_IP).routes = vec![hop(RELAY_IP, is_borne)];
        net.pop(RELAY_IP).around.admit = leads_to(EXIT_IP);
        net.pop(EXIT_IP).around.admit = leads_to(RELAY_IP);
        let ends = open(&mut net);
        net.run(3000);
        assert_eq!(net.host(CLIENT_IP).tcp(ends).state, State::Reset);
        assert_eq!(net.pop(EXIT_IP).whys(), [Why::HopsUsedUp]);
        assert_eq!(net.pop(INGRESS_IP).whys(), [Why::Answered(403)]);
        net.assert_nothing_is_left();
    }
}

#[test]
fn a_relay_passes_on_as_many_octets_as_it_takes() {
    let mut hand = Hand::exit();
    hand.pop.around.admit = Box::new(|request| {
        assert_eq!(request.target.host, Named::Address(ip("198.51.100.1")));
        Decision::Relay(hop(RELAY_IP, true))
    });
    hand.far_at = hop(RELAY_IP, true).address;
    let request = b"CONNECT 198.51.100.1:80 HTTP/1.1\r\nHost: 198.51.100.1:80\r\n\
        Exit-Tcp-Keepalive-Duration: 15\r\nApplication: warp\r\nExit-Hops: 1\r\n\r\n";
    let sent = hand.near(Flags::SYN, (CLIENT_ISN, 0), OPTIONS, request);
    let syn = &sent[0];
    assert_eq!(syn.payload().len(), request.len());
    assert!(syn.payload().ends_with(b"Exit-Hops: 0\r\n\r\n"));
    assert_eq!(syn.header().sequence_number, CLIENT_ISN, "plain address translation");
    let end = CLIENT_FIRST.wrapping_add(u32::try_from(request.len()).unwrap());
    let sent = hand.far(SYN_ACK, (FAR_ISN, end), ANSWER_OPTIONS, OK);
    assert_eq!((sent[0].header().sequence_number, sent[0].payload()), (FAR_ISN, OK));
    let splice = hand.pop.around.spliced[0];
    assert!(splice.to_far.is_aligned() && splice.to_near.is_aligned());
}

#[test]
fn a_flood_of_half_open_connections_from_one_address_leaves_room_for_others() {
    let limits = Limits { setups_per_stranger: 8, setups: 32, ..network::limits() };
    let mut pop = Pop::new(ip(EXIT_IP), limits, Box::new(network::to_target));
    pop.is_peer = false;
    for port in 1..1000 {
        let ends = ((ip("203.0.113.1"), port).into(), (ip(EXIT_IP), CONNECT_PORT).into());
        let frame = Frame::new(ends, (Flags::SYN, 1000), (7, 0), OPTIONS, &[]);
        pop.take(&frame, false, MS);
    }
    assert_eq!(pop.connect.counts().setups, 8);
    let ends = ((ip(INGRESS_IP), 5).into(), (ip(EXIT_IP), CONNECT_PORT).into());
    let frame = Frame::new(ends, (Flags::SYN, 1000), (7, 0), OPTIONS, &[]);
    pop.refused.clear();
    pop.take(&frame, false, MS);
    assert_eq!((pop.refused.len(), pop.connect.counts().setups), (0, 9));
}

#[test]
fn targets_that_are_ours_or_nobodys_are_forbidden() {
    let own = [(ip("198.51.100.0"), 24), (ip("2001:db8::"), 32)];
    let targets = Targets::new(&own, &[25..=25], false);
    let judge = |address: &str, port| targets.judge(ip(address), port);
    for address in [
        "127.0.0.1",
        "0.1.2.3",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
    ] {
        assert_eq!(judge(address, 80), Err(Forbidden::Special), "{address}");
    }
    for address in
        ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "::ffff:10.0.0.1"]
    {
        assert_eq!(judge(address, 80), Err(Forbidden::Private), "{address}");
    }
    assert_eq!(judge("198.51.100.77", 80), Err(Forbidden::Prefix));
    assert_eq!(judge("2001:db8::1", 80), Err(Forbidden::Prefix));
    assert_eq!(judge("203.0.113.1", 25), Err(Forbidden::Port));
    assert_eq!(judge("203.0.113.1", 443), Ok(()));
    assert_eq!(judge("2606:4700::1111", 443), Ok(()));
    assert_eq!(Targets::new(&[], &[], true).judge(ip("10.1.2.3"), 80), Ok(()));
}

#[test]
fn who_never_acknowledges_an_answer_counts_until_he_is_given_up() {
    let limits = Limits { setups_per_client: 1, ..network::limits() };
    let mut hand = Hand::ingress(&[hop(EXIT_IP, false)]);
    let mut pop = Pop::new(ip(INGRESS_IP), limits, Box::new(network::to_target));
    pop.routes = vec![hop(EXIT_IP, false)];
    hand.pop = pop;
    hand.answered();
    let ends = ((ip(CLIENT_IP), 9).into(), (ip(ORIGIN_IP), 80).into());
    let frame = Frame::new(ends, (Flags::SYN, 1000), (CLIENT_ISN, 0), OPTIONS, &[]);
    hand.pop.take(&frame, true, hand.now);
    assert_eq!(hand.pop.refused, [Refusal::HolderFull]);
    hand.near(Flags::ACK, (CLIENT_FIRST, FAR_FIRST), &[], &[]);
    hand.pop.take(&frame, true, hand.now);
    assert_eq!(hand.pop.refused.len(), 1, "one that is connected counts no longer");
}

#[test]
fn the_other_version_of_ip_is_refused_by_name() {
    let other =
        connect::NextHop { address: (ip("2001:db8::3"), 3128).into(), ..hop(EXIT_IP, true) };
    let mut hand = Hand::ingress(&[other]);
    hand.near(Flags::SYN, (CLIENT_ISN, 0), OPTIONS, &[]);
    assert_eq!(hand.pop.refused, [Refusal::OtherFamily]);
    let mut hand = Hand::ingress(&[other, hop(EXIT_IP, true)]);
    assert_eq!(hand.syn().destination, ip(EXIT_IP), "the next route is taken");
    let mut hand = Hand::exit();
    let text = asked(&mut hand, b"CONNECT [2606:4700::1]:80 HTTP/1.1\r\n\r\n");
    assert!(text.starts_with("HTTP/1.1 502 "));
    assert_eq!(hand.pop.whys(), [Why::OtherFamily]);
}

#[test]
fn strangers_must_name_the_host() {
    for is_ours in [true, false] {
        let mut hand = Hand::exit();
        hand.pop.is_peer = is_ours;
        let text = asked(&mut hand, b"CONNECT 198.51.100.1:80 HTTP/1.1\r\n\r\n");
        assert_eq!(text.starts_with("HTTP/1.1 400 "), !is_ours, "{text}");
    }
}

#[test]
fn connections_over_ipv6_are_opened_alike() {
    let client: SocketAddr = (ip("2001:db8:1::7"), 40_000).into();
    let origin: SocketAddr = (ip("2606:4700::1"), 443).into();
    let next = connect::NextHop { address: (ip("2001:db8::3"), 3128).into(), ..hop(EXIT_IP, true) };
    let mut pop = Pop::new(ip("2001:db8::1"), network::limits(), Box::new(network::to_target));
    pop.routes = vec![next];
    let frame = Frame::new((client, origin), (Flags::SYN, 1000), (CLIENT_ISN, 0), &[], &[]);
    pop.take(&frame, true, MS);
    let syn = pop.around.sent.pop().unwrap();
    assert!(syn.payload().starts_with(b"CONNECT [2606:4700::1]:443 HTTP/1.1\r\n"));
    assert_eq!(syn.options()[..4], [2, 4, 4, 196], "1220 octets where the client says nothing");
    let frame =
        Frame::new((syn.to(), syn.from()), (SYN_ACK, 500), (FAR_ISN, CLIENT_FIRST), &[], OK);
    pop.take(&frame, false, 2 * MS);
    let syn_ack = pop.around.sent.pop().unwrap();
    assert_eq!((syn_ack.from(), syn_ack.to()), (origin, client));
    assert_eq!(syn_ack.header().sequence_number, FAR_FIRST - 1);
}
