//! What is full: bounded, told by name, and nobody else is harmed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect has failed"
)]

mod network;

use connect::limits::Limits;
use connect::{Dropped, Refusal, Why};
use network::frame::Frame;
use network::hand::{ANSWER_OPTIONS, CLIENT_ISN, FAR_ISN, Hand, OK, OPTIONS};
use network::host::Service;
use network::pop::{CONNECT_PORT, Pop};
use network::scene::{Way, net};
use network::tcp::MS;
use network::{CLIENT_IP, EXIT_IP, INGRESS_IP, ORIGIN_IP, RELAY_IP, hop, ip};
use wire::tcp::Flags;

const CLIENT_FIRST: u32 = CLIENT_ISN.wrapping_add(1);
const FAR_FIRST: u32 = FAR_ISN + 1 + 19;

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
        hand.exit_answers(b"CONNECT 198.51.100.1:80 HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 503")
    );
    assert_eq!(hand.pop.whys(), [Why::PortsExhausted]);
}

#[test]
fn without_room_for_the_flow_a_client_is_reset_and_an_exit_answers_503() {
    let mut hand = Hand::ingress(&[hop(EXIT_IP, false)]);
    hand.pop.around.has_room = false;
    hand.asked();
    let sent = hand.far(Flags::ACK, (FAR_ISN + 1, CLIENT_FIRST), &[], OK);
    let resets = sent.iter().filter(|frame| frame.header().flags.has(Flags::RST));
    assert_eq!((sent.len(), resets.count()), (2, 2), "to both ends");
    assert_eq!(hand.pop.whys(), [Why::FlowsFull]);
    assert!(hand.is_clean() && hand.pop.around.taken.is_empty());
    let mut hand = Hand::exit();
    hand.pop.around.has_room = false;
    let request = b"CONNECT 198.51.100.1:80 HTTP/1.1\r\n\r\n";
    assert_eq!(hand.exit_answers(request), "");
    let first = CLIENT_FIRST.wrapping_add(u32::try_from(request.len()).unwrap());
    let sent = hand.far(Flags::SYN | Flags::ACK, (FAR_ISN, first), ANSWER_OPTIONS, &[]);
    assert!(sent.iter().any(|frame| frame.payload().starts_with(b"HTTP/1.1 503")), "{sent:?}");
    assert_eq!(hand.pop.whys(), [Why::FlowsFull]);
    assert!(hand.pop.around.taken.is_empty());
}

#[test]
fn without_a_place_an_exit_answers_503_to_a_request_in_the_syn_and_keeps_nothing() {
    let request = b"CONNECT 198.51.100.1:80 HTTP/1.1\r\n\r\n";
    let limits = Limits { setups: 0, ..network::limits() };
    let mut hand = Hand::exit();
    hand.pop.connect = connect::Connect::new(limits, 1);
    let sent = hand.near(Flags::SYN, (CLIENT_ISN, 0), OPTIONS, request);
    let header = sent[0].header();
    let first = CLIENT_FIRST.wrapping_add(u32::try_from(request.len()).unwrap());
    assert_eq!((header.flags, header.acknowledgment_number), (Flags(0x12), first));
    assert!(sent[0].payload().starts_with(b"HTTP/1.1 503 "));
    assert!(hand.near(Flags::SYN, (CLIENT_ISN, 0), OPTIONS, &[]).is_empty());
    hand.pop.is_peer = false;
    assert!(hand.near(Flags::SYN, (CLIENT_ISN, 0), OPTIONS, request).is_empty());
    assert_eq!(hand.pop.refused, [Refusal::SetupsFull; 3]);
    assert!(hand.is_clean());
}

/// It does not wait for it to be silent.
#[test]
fn an_ingress_takes_the_next_route_at_once_when_an_exit_is_full() {
    let mut net = net(Way::Borne, 5, Service::Echo);
    let limits = Limits { setups: 0, ..network::limits() };
    let admit = Box::new(network::to_target);
    let full = Pop::new(ip(RELAY_IP), limits, admit);
    net.nodes.insert(ip(RELAY_IP), network::Node::Pop(full.into()));
    net.pop(INGRESS_IP).routes.insert(0, hop(RELAY_IP, true));
    let now = net.now;
    let ends = net.host(CLIENT_IP).open((ip(ORIGIN_IP), 80).into(), now);
    assert!(net.run_to(100, |net| net.host(CLIENT_IP).tcp(ends).is_open()));
    net.assert_nothing_is_left();
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
