//! What is refused, by name and with an honest answer.

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

use connect::head::{Host as Named, Status};
use connect::targets::{Forbidden, Targets};
use connect::{Decision, Dropped, Refusal, Why};
use network::frame::Frame;
use network::hand::{ANSWER_OPTIONS, CLIENT_ISN, FAR_ISN, Hand, OK, OPTIONS};
use network::host::Service;
use network::pop::Pop;
use network::scene::{Way, net};
use network::tcp::{MS, State};
use network::{CLIENT_IP, EXIT_IP, INGRESS_IP, Net, ORIGIN_IP, RELAY_IP, hop, ip};
use wire::tcp::Flags;

const SYN_ACK: Flags = Flags(0x12);
const CLIENT_FIRST: u32 = CLIENT_ISN.wrapping_add(1);
const FAR_FIRST: u32 = FAR_ISN + 1 + 19;

/// A request that may have one relay; as long as the one that follows from it.
const RELAYED: &[u8] = b"CONNECT 198.51.100.1:80 HTTP/1.1\r\nHost: 198.51.100.1:80\r\n\
    Exit-Tcp-Keepalive-Duration: 15\r\nApplication: warp\r\nExit-Hops: 1\r\n\r\n";

/// The number behind it.
fn request_end() -> u32 {
    CLIENT_FIRST.wrapping_add(u32::try_from(RELAYED.len()).unwrap())
}

fn open(net: &mut Net) -> (SocketAddr, SocketAddr) {
    let now = net.now;
    net.host(CLIENT_IP).open((ip(ORIGIN_IP), 80).into(), now)
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
                hand.exit_answers(request)
            };
            let start = format!("HTTP/1.1 {status} ");
            assert!(
                text.starts_with(&start),
                "{text:?} for {:?}",
                String::from_utf8_lossy(request)
            );
            assert_eq!(text.contains("Allow: CONNECT"), status == 405);
            let why = match status {
                403 => Why::Forbidden,
                _ if request.len() > 8192 => Why::RequestTooLong,
                _ => Why::RequestWrong,
            };
            assert_eq!(hand.pop.whys(), [why]);
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
            let ends = open(&mut net);
            net.run(11_000);
            assert_eq!(net.pop(EXIT_IP).whys(), [whys], "{way:?}");
            assert_eq!(net.pop(INGRESS_IP).whys(), [Why::Answered(why)], "{way:?}");
            assert_eq!(net.host(CLIENT_IP).tcp(ends).state, State::Reset, "{way:?}");
            net.assert_nothing_is_left();
        }
    }
}

/// The origin has said nothing: another way to it may be better.
#[test]
fn a_relay_says_502_only_in_the_name_of_an_origin() {
    type Happens = fn(&mut Hand);
    let refuses: Happens = |hand| drop(hand.far(Flags(0x14), (0, request_end()), &[], &[]));
    let babbles: Happens = |hand| {
        hand.far(SYN_ACK, (FAR_ISN, request_end()), ANSWER_OPTIONS, b"220 mail\r\n");
    };
    let answers: Happens = |hand| {
        hand.far(SYN_ACK, (FAR_ISN, request_end()), ANSWER_OPTIONS, b"HTTP/1.1 502 No\r\n\r\n");
    };
    let misses: Happens = |hand| {
        hand.far(SYN_ACK, (FAR_ISN, request_end()), ANSWER_OPTIONS, b"HTTP/1.1 400 No\r\n\r\n");
    };
    let is_silent: Happens = |hand| drop(hand.wait(15_100));
    let all = [(refuses, 503), (babbles, 503), (answers, 502), (misses, 503), (is_silent, 504)];
    for (happens, status) in all {
        let mut hand = Hand::exit();
        hand.pop.around.admit = Box::new(|_| Decision::Relay(hop(RELAY_IP, true)));
        hand.far_at = hop(RELAY_IP, true).address;
        hand.near(Flags::SYN, (CLIENT_ISN, 0), OPTIONS, RELAYED);
        happens(&mut hand);
        let sent = hand.near(Flags::SYN, (CLIENT_ISN, 0), OPTIONS, &[]);
        let text = sent.iter().map(|frame| String::from_utf8_lossy(frame.payload()));
        let text: String = text.collect();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text:?}, not {status}");
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
    let request = RELAYED;
    let sent = hand.near(Flags::SYN, (CLIENT_ISN, 0), OPTIONS, request);
    let syn = &sent[0];
    assert_eq!(syn.payload().len(), request.len());
    assert!(syn.payload().ends_with(b"Exit-Hops: 0\r\n\r\n"));
    assert_eq!(syn.header().sequence_number, CLIENT_ISN, "plain address translation");
    let end = CLIENT_FIRST.wrapping_add(u32::try_from(request.len()).unwrap());
    let sent = hand.far(SYN_ACK, (FAR_ISN, end), ANSWER_OPTIONS, OK);
    assert_eq!((sent[0].header().sequence_number, sent[0].payload()), (FAR_ISN, OK));
    let splice = hand.pop.around.spliced[0];
    assert!([splice.to_far, splice.to_near] == [connect::Rewrite::default(); 2]);
}

#[test]
fn no_more_relays_may_follow_than_we_ask_for_whatever_a_request_says() {
    let mut hand = Hand::exit();
    hand.pop.around.admit = Box::new(|_| Decision::Relay(hop(RELAY_IP, true)));
    hand.far_at = hop(RELAY_IP, true).address;
    let request = b"CONNECT 198.51.100.1:80 HTTP/1.1\r\nHost: 198.51.100.1:80\r\n\
        Exit-Tcp-Keepalive-Duration: 15\r\nApplication: warp\r\nExit-Hops: 9\r\n\r\n";
    let sent = hand.near(Flags::SYN, (CLIENT_ISN, 0), OPTIONS, request);
    assert!(sent[0].payload().ends_with(b"Exit-Hops: 0\r\n\r\n"), "not eight");
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
fn the_other_version_of_ip_is_refused_by_name() {
    let other =
        connect::NextHop { address: (ip("2001:db8::3"), 3128).into(), ..hop(EXIT_IP, true) };
    let mut hand = Hand::ingress(&[other]);
    hand.near(Flags::SYN, (CLIENT_ISN, 0), OPTIONS, &[]);
    assert_eq!(hand.pop.refused, [Refusal::OtherFamily]);
    let mut hand = Hand::ingress(&[other, hop(EXIT_IP, true)]);
    assert_eq!(hand.syn().destination, ip(EXIT_IP), "the next route is taken");
    let mut hand = Hand::exit();
    let text = hand.exit_answers(b"CONNECT [2606:4700::1]:80 HTTP/1.1\r\n\r\n");
    assert!(text.starts_with("HTTP/1.1 503 "));
    assert_eq!(hand.pop.whys(), [Why::OtherFamily]);
}

#[test]
fn strangers_must_name_the_host() {
    for is_ours in [true, false] {
        let mut hand = Hand::exit();
        hand.pop.is_peer = is_ours;
        let text = hand.exit_answers(b"CONNECT 198.51.100.1:80 HTTP/1.1\r\n\r\n");
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

#[test]
fn what_is_dropped_while_a_client_waits_has_a_name() {
    let mut hand = Hand::ingress(&[hop(EXIT_IP, false)]);
    hand.syn();
    hand.near(Flags::ACK, (CLIENT_FIRST, 5), &[], b"too soon");
    hand.near(Flags::ACK | Flags::FIN, (CLIENT_FIRST, 5), &[], &[]);
    hand.near(Flags(0), (CLIENT_FIRST, 5), &[], &[]);
    hand.near(Flags::SYN | Flags::FIN, (CLIENT_ISN, 0), &[], &[]);
    hand.near(Flags::SYN | Flags::RST, (CLIENT_ISN, 0), &[], &[]);
    hand.far(Flags(0), (5, 5), &[], &[]);
    let unasked = [Dropped::Unasked; 4];
    assert_eq!(
        hand.pop.dropped,
        [&[Dropped::NotYet, Dropped::CloseElsewhere][..], &unasked].concat()
    );
    // A SYN-ACK of something else is reset as it acknowledges (RFC 9293 3.10.7.3).
    let sent = hand.far(SYN_ACK, (FAR_ISN, 0x1234), &[], &[]);
    assert_eq!((sent[0].header().flags, sent[0].header().sequence_number), (Flags::RST, 0x1234));
    assert_eq!(hand.pop.dropped.last(), Some(&Dropped::Unacceptable));
    // So is an acknowledgment of a client that does not fit our answer.
    let mut hand = Hand::ingress(&[hop(EXIT_IP, false)]);
    hand.answered();
    let sent = hand.near(Flags::ACK, (CLIENT_FIRST, FAR_FIRST + 7), &[], &[]);
    assert_eq!((sent[0].destination, sent[0].header().flags), (ip(CLIENT_IP), Flags::RST));
    assert_eq!(hand.pop.dropped, [Dropped::Unacceptable]);
    hand.far(Flags::ACK, (FAR_FIRST, CLIENT_FIRST), &[], &[b'x'; 1400]);
    hand.far(Flags::ACK, (FAR_FIRST, CLIENT_FIRST), &[], &[b'x'; 9000]);
    assert_eq!(hand.pop.dropped.last(), Some(&Dropped::HoldFull));
}

#[test]
fn payload_behind_a_request_comes_again_when_the_tunnel_is_there() {
    let request: &[u8] = b"CONNECT 198.51.100.1:80 HTTP/1.1\r\n\r\n";
    let mut hand = Hand::exit();
    let own = hand.syn().header().sequence_number;
    let ack = own.wrapping_add(1);
    let text = [request, b"early"].concat();
    hand.near(Flags::ACK, (CLIENT_FIRST, ack), &[], &text);
    let behind = CLIENT_FIRST.wrapping_add(36);
    let sent = hand.near(Flags::ACK, (behind, ack), &[], b"early");
    assert_eq!(hand.pop.dropped, [Dropped::TooEarly]);
    assert_eq!(sent[0].header().acknowledgment_number, behind, "it is not acknowledged");
    hand.far(SYN_ACK, (FAR_ISN, behind), ANSWER_OPTIONS, &[]);
    let sent = hand.near(Flags::ACK, (behind, ack.wrapping_add(19)), &[], b"early");
    assert_eq!((sent[0].destination, sent[0].payload()), (ip(ORIGIN_IP), &b"early"[..]));
}

#[test]
fn who_closes_before_the_tunnel_is_there_is_reset() {
    let request: &[u8] = b"CONNECT 198.51.100.1:80 HTTP/1.1\r\n\r\n";
    for len in [0, 9, 36] {
        let mut hand = Hand::exit();
        let ack = hand.syn().header().sequence_number.wrapping_add(1);
        hand.near(Flags::ACK, (CLIENT_FIRST, ack), &[], &request[..len]);
        let at = CLIENT_FIRST.wrapping_add(u32::try_from(len).unwrap());
        let sent = hand.near(Flags::ACK | Flags::FIN, (at, ack), &[], &[]);
        assert!(sent[0].header().flags.has(Flags::RST), "after {len} octets");
        assert_eq!(hand.pop.whys(), [Why::NearClosed]);
        assert!(hand.is_clean() && hand.pop.around.taken.is_empty());
    }
}

#[test]
fn what_does_not_open_a_connection_is_refused_by_name() {
    use connect::{Accepting, Arrived, NO_CLIENT, Opening, time::Instant};
    let mut hand = Hand::ingress(&[hop(EXIT_IP, false)]);
    let ends = ((ip(CLIENT_IP), 9).into(), (ip(ORIGIN_IP), 80).into());
    for (flags, routes, refusal) in [
        (SYN_ACK, vec![hop(EXIT_IP, false)], Refusal::NotOpen),
        (Flags::SYN, vec![], Refusal::NoRoute),
    ] {
        let frame = Frame::new(ends, (flags, 1000), (CLIENT_ISN, 0), OPTIONS, &[]);
        let arrived = Arrived::of(3, frame.source, frame.destination, &frame.segment).unwrap();
        let opening =
            Opening { syn: &arrived, tag: 0, routes: &routes, mss_max: 1380, keepalive_secs: 15 };
        let pop = &mut hand.pop;
        assert_eq!(pop.connect.open(&opening, &mut pop.around, Instant(1)), Err(refusal));
    }
    let frame = Frame::new(ends, (Flags::ACK, 1000), (CLIENT_ISN, 0), OPTIONS, &[]);
    let arrived = Arrived::of(NO_CLIENT, frame.source, frame.destination, &frame.segment).unwrap();
    let accepting = Accepting { syn: &arrived, tag: 0, is_ours: true, mss_max: 1400 };
    let pop = &mut hand.pop;
    let accepted = pop.connect.accept(&accepting, &mut pop.around, Instant(1));
    assert_eq!(accepted, Err(Refusal::NotOpen));
    assert!(hand.is_clean());
}
