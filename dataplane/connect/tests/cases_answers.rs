//! Cases that break a splice, 6 to 10, 23 to 27 and 35: what a next hop may answer, and what may come
//! twice, late or never.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect has failed"
)]

mod network;

use connect::{Dropped, Why};
use network::frame::Frame;
use network::hand::{ANSWER_OPTIONS, CLIENT_ISN, FAR_ISN, Hand, OK};
use network::host::{Host, Service};
use network::pop::CONNECT_PORT;
use network::scene::{Way, net, noise};
use network::tcp::{MS, Speaks, State};
use network::{CLIENT_IP, EXIT_IP, INGRESS_IP, Net, Node, ORIGIN_IP, hop, ip};
use std::net::SocketAddr;
use wire::tcp::Flags;

const SYN_ACK: Flags = Flags(0x12);
/// Where the client's payload begins, and the next hop's behind the shortest head.
const CLIENT_FIRST: u32 = CLIENT_ISN.wrapping_add(1);
const FAR_FIRST: u32 = FAR_ISN + 1 + 19;

fn plain() -> Hand {
    Hand::ingress(&[hop(EXIT_IP, false)])
}

fn open(net: &mut Net) -> (SocketAddr, SocketAddr) {
    let now = net.now;
    net.host(CLIENT_IP).open((ip(ORIGIN_IP), 80).into(), now)
}

/// A network in which the proxy answers CONNECT with these pieces.
fn proxy(pieces: &[&[u8]], origin: Service) -> Net {
    let mut net = net(Way::Proxy, 5, origin);
    let pieces = pieces.iter().map(|piece| piece.to_vec()).collect();
    let host = Host::new(EXIT_IP, Speaks::default(), 77);
    let host = host.serving(CONNECT_PORT, Service::Proxy(pieces));
    net.nodes.insert(ip(EXIT_IP), Node::Host(host));
    net
}

#[test]
fn case_06_a_head_that_comes_again_stays_here_and_is_acknowledged_again() {
    let mut hand = plain();
    hand.answered();
    hand.near(Flags::ACK | Flags::PSH, (CLIENT_FIRST, FAR_FIRST), &[], b"hello");
    let sent = hand.far(Flags::ACK, (FAR_ISN + 1, CLIENT_FIRST), &[], OK);
    assert_eq!(hand.pop.dropped, [Dropped::Stale]);
    assert_eq!(sent.len(), 1);
    let (frame, header) = (&sent[0], sent[0].header());
    assert_eq!(frame.destination, ip(EXIT_IP));
    let numbers = (header.sequence_number, header.acknowledgment_number);
    assert_eq!(numbers, (CLIENT_FIRST + 5, FAR_FIRST), "as far as the client has come");
    // What the client has acknowledged since is acknowledged again.
    hand.far(Flags::ACK, (FAR_FIRST, CLIENT_FIRST), &[], b"four");
    hand.near(Flags::ACK, (CLIENT_FIRST.wrapping_add(5), FAR_FIRST + 4), &[], &[]);
    let sent = hand.far(Flags::ACK, (FAR_ISN + 1, CLIENT_FIRST), &[], OK);
    assert_eq!(sent[0].header().acknowledgment_number, FAR_FIRST + 4);
    // So is a SYN-ACK.
    let isn = CLIENT_FIRST;
    let sent = hand.far(SYN_ACK, (FAR_ISN, isn), ANSWER_OPTIONS, &[]);
    assert_eq!((sent.len(), sent[0].destination), (1, ip(EXIT_IP)));
}

#[test]
fn case_07_a_block_that_reports_the_request_twice_stays_here() {
    let mut hand = plain();
    let request = hand.asked();
    hand.far(Flags::ACK, (FAR_ISN + 1, CLIENT_FIRST), &[], OK);
    hand.near(Flags::ACK, (CLIENT_FIRST, FAR_FIRST), &[], &[]);
    let start = request.header().sequence_number.to_be_bytes();
    let end = CLIENT_FIRST.to_be_bytes();
    let block = [&[1, 1, 5, 10][..], &start, &end].concat();
    assert!(hand.far(Flags::ACK, (FAR_FIRST, CLIENT_FIRST), &block, &[]).is_empty());
    assert_eq!(hand.pop.dropped, [Dropped::OldBlock]);
    // A block of the client's own payload goes through.
    let (start, end) = (
        CLIENT_FIRST.wrapping_add(100).to_be_bytes(),
        CLIENT_FIRST.wrapping_add(200).to_be_bytes(),
    );
    let block = [&[1, 1, 5, 10][..], &start, &end].concat();
    assert_eq!(hand.far(Flags::ACK, (FAR_FIRST, CLIENT_FIRST), &block, &[]).len(), 1);
}

#[test]
fn case_07_a_repeated_request_does_no_harm_to_the_stream() {
    for way in [Way::Proxy, Way::Plain] {
        let mut net = net(way, 9, Service::Echo);
        // The answer is late, so the request goes twice.
        net.links.insert(
            (ip(ORIGIN_IP), ip(EXIT_IP)),
            network::Link { delay: 120 * MS, ..network::Link::default() },
        );
        net.links.insert(
            (ip(EXIT_IP), ip(INGRESS_IP)),
            network::Link { delay: 80 * MS, ..network::Link::default() },
        );
        let ends = open(&mut net);
        let text = noise(50_000, 3);
        net.host(CLIENT_IP).tcp(ends).send(&text);
        net.run(5000);
        let requests = net.between(INGRESS_IP, EXIT_IP);
        let requests = requests.iter().filter(|seen| seen.frame.payload().starts_with(b"CONN"));
        assert!(requests.count() > 1, "{way:?}");
        assert!(net.host(CLIENT_IP).tcp(ends).received == text, "{way:?}");
        assert_eq!(net.host(CLIENT_IP).tcp(ends).impossible, 0, "{way:?}");
    }
}

#[test]
fn case_08_interim_answers_are_counted_and_101_is_an_error() {
    let interim: &[u8] =
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n";
    let mut net = proxy(&[interim, OK], Service::Echo);
    let ends = open(&mut net);
    net.host(CLIENT_IP).tcp(ends).send(b"hello");
    net.run(1000);
    assert_eq!(net.host(CLIENT_IP).tcp(ends).received, b"hello");
    let mut net = proxy(&[b"HTTP/1.1 101 Switching Protocols\r\n\r\n"], Service::Echo);
    let ends = open(&mut net);
    net.run(1000);
    assert_eq!(net.host(CLIENT_IP).tcp(ends).state, State::Reset);
    assert_eq!(net.pop(INGRESS_IP).whys(), [Why::AnswerWrong]);
    let many: Vec<u8> = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(9);
    let mut net = proxy(&[&many], Service::Echo);
    open(&mut net);
    net.run(1000);
    assert_eq!(net.pop(INGRESS_IP).whys(), [Why::AnswerTooLong]);
}

/// Answers of a next hop that lead nowhere.
fn bad_answers() -> Vec<(Vec<u8>, Why)> {
    let long = [b"HTTP/1.1 200 OK\r\nX: ", &[b'a'; 9000][..], b"\r\n\r\n"].concat();
    let lines: Vec<u8> = (0..17).flat_map(|line| format!("X{line}: a\r\n").into_bytes()).collect();
    let lines = [b"HTTP/1.1 200 OK\r\n", &lines[..], b"\r\n"].concat();
    vec![
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n".to_vec(), Why::Answered(503)),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_vec(), Why::Answered(403)),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n".to_vec(), Why::Answered(302)),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n".to_vec(), Why::AnswerWrong),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), Why::AnswerWrong),
        (long, Why::AnswerTooLong),
        (lines, Why::AnswerWrong),
    ]
}

#[test]
fn case_09_a_bad_answer_resets_both_sides_and_leaves_nothing() {
    for (answer, why) in bad_answers() {
        let mut net = proxy(&[&answer], Service::Echo);
        let ends = open(&mut net);
        net.run(2000);
        assert_eq!(net.host(CLIENT_IP).tcp(ends).state, State::Reset, "{why:?}");
        assert_eq!(net.pop(INGRESS_IP).whys(), [why]);
        assert_eq!(net.host(EXIT_IP).accepted(CONNECT_PORT).state, State::Reset, "{why:?}");
        net.assert_nothing_is_left();
    }
}

#[test]
fn case_09_a_bad_answer_leads_to_the_next_route() {
    for (answer, why) in bad_answers() {
        let mut net = net(Way::Borne, 5, Service::Echo);
        let bad = Host::new("203.0.113.9", Speaks::default(), 99);
        let bad = bad.serving(CONNECT_PORT, Service::Answers(answer));
        net.nodes.insert(ip("203.0.113.9"), Node::Host(bad));
        let routes = vec![hop("203.0.113.9", false), hop(EXIT_IP, true)];
        net.pop(INGRESS_IP).routes = routes;
        let ends = open(&mut net);
        net.host(CLIENT_IP).tcp(ends).send(b"hello");
        net.run(2000);
        assert_eq!(net.host(CLIENT_IP).tcp(ends).received, b"hello", "{why:?}");
        assert_eq!(net.pop(INGRESS_IP).around.spliced[0].far.theirs.ip(), ip(EXIT_IP));
        assert_eq!(net.pop(INGRESS_IP).whys(), []);
        net.assert_nothing_is_left();
    }
}

#[test]
fn case_10_silence_leads_to_the_next_route_after_a_second() {
    let mut net = net(Way::Borne, 5, Service::Echo);
    net.pop(INGRESS_IP).routes = vec![hop("203.0.113.9", false), hop(EXIT_IP, true)];
    let ends = open(&mut net);
    assert!(!net.run_to(950, |net| net.host(CLIENT_IP).tcp(ends).is_open()));
    assert!(net.run_to(150, |net| net.host(CLIENT_IP).tcp(ends).is_open()));
    net.assert_nothing_is_left();
}

#[test]
fn case_10_silence_everywhere_is_given_up_after_twenty_seconds() {
    let mut hand = Hand::ingress(&[hop(EXIT_IP, false)]);
    hand.syn();
    let sent = hand.wait(19_900);
    let syns = sent.iter().filter(|frame| frame.header().flags == Flags::SYN);
    assert!((8..12).contains(&syns.count()), "50 ms, doubling, at most 8 s");
    let sent = hand.wait(200);
    let resets: Vec<_> = sent.iter().map(|frame| frame.destination).collect();
    assert!(resets.contains(&ip(CLIENT_IP)) && resets.contains(&ip(EXIT_IP)));
    let reset = sent.iter().find(|frame| frame.destination == ip(CLIENT_IP)).unwrap();
    assert_eq!(reset.header().acknowledgment_number, CLIENT_FIRST, "the client believes it");
    assert_eq!(hand.pop.whys(), [Why::FarSilent]);
    assert!(hand.is_clean() && hand.pop.around.taken.is_empty());
}

#[test]
fn case_23_a_new_connection_of_a_client_that_lost_its_old_one_works_at_last() {
    let mut net = net(Way::Borne, 5, Service::Echo);
    let ends = open(&mut net);
    net.run(500);
    // The client has forgotten all and uses the same port.
    net.host(CLIENT_IP).connections.clear();
    net.run(3000);
    let now = net.now;
    net.host(CLIENT_IP).iss = 0x1234_5678;
    net.host(CLIENT_IP).open_from(ends.0, ends.1, now);
    net.run(100);
    // The live flow is asked: the far end challenges, the client resets it.
    assert_eq!(net.host(CLIENT_IP).tcp(ends).impossible, 1);
    let challenge = net.between(INGRESS_IP, CLIENT_IP).pop().unwrap().frame.header();
    assert_eq!(challenge.flags, Flags::ACK);
    let numbers = (challenge.acknowledgment_number, 0);
    net.inject(CLIENT_IP, Frame::new(ends, (Flags::RST, 0), numbers, &[], &[]));
    net.run(100);
    assert_eq!(net.host(ORIGIN_IP).accepted(80).state, State::Reset);
    // A flow that was reset makes way for the next SYN.
    net.pop(INGRESS_IP).forget_flows();
    net.pop(EXIT_IP).forget_flows();
    assert!(net.run_to(3000, |net| net.host(CLIENT_IP).tcp(ends).is_open()));
    net.host(CLIENT_IP).tcp(ends).send(b"again");
    assert!(net.run_to(1000, |net| net.host(CLIENT_IP).tcp(ends).received == b"again"));
}

#[test]
fn case_24_a_syn_of_the_next_hop_is_dropped() {
    let mut hand = plain();
    hand.syn();
    assert!(hand.far(Flags::SYN, (FAR_ISN, 0), ANSWER_OPTIONS, &[]).is_empty());
    assert_eq!(hand.pop.dropped, [Dropped::SimultaneousOpen]);
}

#[test]
fn case_25_a_keepalive_of_the_client_is_answered_by_the_origin() {
    for way in [Way::Borne, Way::Plain] {
        let mut net = net(way, 5, Service::Echo);
        let ends = open(&mut net);
        net.run(200);
        let tcp = net.host(CLIENT_IP).tcp(ends);
        let numbers = (tcp.iss, tcp.irs.wrapping_add(1));
        let probe = Frame::new(ends, (Flags::ACK, 500), numbers, &[], &[]);
        let before = net.between(ORIGIN_IP, EXIT_IP).len();
        net.inject(CLIENT_IP, probe);
        net.run(100);
        let answers = net.between(ORIGIN_IP, EXIT_IP);
        assert_eq!(answers.len(), before + 1, "{way:?}");
        let answer = net.between(INGRESS_IP, CLIENT_IP).pop().unwrap();
        assert_eq!(answer.frame.header().acknowledgment_number, numbers.0.wrapping_add(1));
        assert_eq!(net.host(CLIENT_IP).tcp(ends).impossible, 0);
    }
}

/// It would have to be terminated to be spoken to; between data centres, what is below IP encrypts.
#[test]
fn case_35_a_next_hop_that_speaks_tls_is_left_for_the_next_route() {
    let mut net = net(Way::Borne, 5, Service::Echo);
    // RFC 8446 B.1 and B.2: an alert of unexpected_message, to a head that is no ClientHello.
    let alert = vec![21, 3, 3, 0, 2, 2, 10];
    let tls = Host::new("203.0.113.9", Speaks::default(), 99);
    let tls = tls.serving(CONNECT_PORT, Service::Answers(alert));
    net.nodes.insert(ip("203.0.113.9"), Node::Host(tls));
    net.pop(INGRESS_IP).routes.insert(0, hop("203.0.113.9", false));
    let ends = open(&mut net);
    assert!(net.run_to(200, |net| net.host(CLIENT_IP).tcp(ends).is_open()), "at once");
    net.assert_nothing_is_left();
}

#[test]
fn case_27_a_next_hop_with_a_closed_window_is_asked_when_it_opens() {
    let mut hand = plain();
    let isn = hand.syn().header().sequence_number;
    let port = *hand.pop.around.taken.last().unwrap();
    let to = SocketAddr::new(hand.pop.around.ip, port);
    let numbers = (FAR_ISN, isn.wrapping_add(1));
    let frame = Frame::new((hand.far_at, to), (SYN_ACK, 0), numbers, &[], &[]);
    hand.pop.take(&frame, false, hand.now);
    assert!(hand.sent().iter().all(|frame| frame.payload().is_empty()));
    let probes = hand.wait(60);
    assert_eq!(probes.iter().map(|probe| probe.payload().len()).collect::<Vec<_>>(), [1]);
    let numbers = (FAR_ISN + 1, isn.wrapping_add(1));
    let frame = Frame::new((hand.far_at, to), (Flags::ACK, 1000), numbers, &[], &[]);
    hand.pop.take(&frame, false, hand.now);
    assert!(hand.sent()[0].payload().ends_with(b"\r\n\r\n"), "all of it at once");
}

#[test]
fn case_07_a_request_that_comes_again_after_the_splice_does_not_reach_the_origin() {
    let request: &[u8] = b"CONNECT 198.51.100.1:80 HTTP/1.1\r\n\r\n";
    let mut hand = Hand::exit();
    let own = hand.syn().header().sequence_number;
    let sent = hand.near(Flags::ACK, (CLIENT_FIRST, own.wrapping_add(1)), &[], request);
    let dialled = sent.iter().find(|frame| frame.destination == ip(ORIGIN_IP)).unwrap().header();
    let ack = dialled.sequence_number.wrapping_add(1);
    hand.far(SYN_ACK, (FAR_ISN, ack), ANSWER_OPTIONS, &[]);
    let end = own.wrapping_add(1 + 19);
    // Before the answer is acknowledged it says so, afterwards it says nothing new.
    assert!(hand.near(Flags::ACK, (CLIENT_FIRST, own.wrapping_add(1)), &[], request).is_empty());
    let passed = hand.near(Flags::ACK, (CLIENT_FIRST.wrapping_add(36), end), &[], &[]);
    assert_eq!((passed.len(), passed[0].destination), (1, ip(ORIGIN_IP)));
    assert!(hand.near(Flags::ACK, (CLIENT_FIRST, end), &[], request).is_empty());
    assert_eq!(hand.pop.dropped, [Dropped::BelowHead, Dropped::Stale]);
}

#[test]
fn case_09_who_says_yes_to_half_a_request_is_not_believed() {
    let mut hand = plain();
    let isn = hand.syn().header().sequence_number;
    hand.far(SYN_ACK, (FAR_ISN, isn.wrapping_add(1)), ANSWER_OPTIONS, OK);
    assert_eq!(hand.pop.whys(), [Why::AnswerWrong]);
    let mut hand = plain();
    let request = hand.asked();
    let half = request.header().sequence_number.wrapping_add(50);
    hand.far(Flags::ACK, (FAR_ISN + 1, half), &[], OK);
    assert_eq!(hand.pop.whys(), [Why::AnswerWrong]);
    assert!(hand.is_clean() && hand.pop.around.taken.is_empty());
}
