//! Cases that break a splice, 17, 18, 37 and 38: numbers and ports that somebody else remembers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect has failed"
)]

mod network;

use connect::Why;
use network::frame::Frame;
use network::hand::{CLIENT_ISN, Hand, OPTIONS};
use network::host::Service;
use network::scene::{Way, net};
use network::{CLIENT_IP, EXIT_IP, INGRESS_IP, Net, ORIGIN_IP, hop, ip};
use std::net::SocketAddr;
use wire::tcp::Flags;

fn plain() -> Hand {
    Hand::ingress(&[hop(EXIT_IP, false)])
}

fn open(net: &mut Net) -> (SocketAddr, SocketAddr) {
    let now = net.now;
    net.host(CLIENT_IP).open((ip(ORIGIN_IP), 80).into(), now)
}

/// An ingress takes the client's own number, less the request; who answers before it knows another's takes one at random.
#[test]
fn case_37_our_numbers_are_as_hard_to_guess_as_the_clients_own() {
    for isn in [CLIENT_ISN, 0x1234_5678, 0x9abc_def0] {
        let mut hand = Hand::ingress(&[hop(EXIT_IP, true)]);
        let sent = hand.near(Flags::SYN, (isn, 0), OPTIONS, &[]);
        let len = u32::try_from(sent[0].payload().len()).unwrap();
        assert_eq!(sent[0].header().sequence_number, isn.wrapping_sub(len));
    }
    let mut numbers: Vec<_> = (0..100)
        .map(|number| {
            let mut hand = Hand::exit();
            for _ in 0..number {
                connect::World::random(&mut hand.pop.around);
            }
            hand.syn().header().sequence_number
        })
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 100, "each is what chance gives");
}

/// Sequence numbers go round in less than a second on a fast path: an old segment is known by its timestamp (RFC 7323 5).
#[test]
fn case_38_between_our_own_machines_old_segments_are_known_by_their_timestamps() {
    for way in [Way::Borne, Way::BorneRelay] {
        let mut net = net(way, 5, Service::Echo);
        let ends = open(&mut net);
        net.host(CLIENT_IP).tcp(ends).send(b"one");
        net.run(1000);
        assert_eq!(net.host(CLIENT_IP).tcp(ends).received, b"one");
        // The first answer comes again when its numbers are due once more.
        let mut all = net.between(INGRESS_IP, CLIENT_IP).into_iter();
        let old = all.rfind(|seen| seen.frame.payload() == b"one").unwrap().frame;
        net.host(CLIENT_IP).tcp(ends).send(b"two");
        net.run(1000);
        let tcp = net.host(CLIENT_IP).tcp(ends);
        let (due, acked) = (tcp.irs.wrapping_add(7), old.header().acknowledgment_number);
        let again =
            Frame::new((ends.1, ends.0), (Flags::ACK, 500), (due, acked), old.options(), b"bad");
        net.inject(INGRESS_IP, again);
        net.run(100);
        let tcp = net.host(CLIENT_IP).tcp(ends);
        assert_eq!((tcp.received.as_slice(), tcp.paws_drops), (&b"onetwo"[..], 1), "{way:?}");
    }
}

#[test]
fn case_17_a_port_is_given_back_to_rest_and_not_taken_again_by_itself() {
    let mut hand = plain();
    hand.syn();
    let first = hand.pop.around.taken[0];
    hand.wait(21_000);
    assert!(hand.pop.around.taken.is_empty());
    assert_eq!(hand.pop.around.ports.back(), Some(&first), "behind all others");
}

#[test]
fn case_18_a_challenge_of_an_old_connection_is_reset_and_another_port_taken_at_once() {
    let mut hand = plain();
    let syn = hand.syn();
    let first = hand.pop.around.taken[0];
    let sent = hand.far(Flags::ACK, (0x5555_0000, 0x6666_0000), &[], &[]);
    assert_eq!(sent[0].header().flags, Flags::RST);
    assert_eq!(sent[0].header().sequence_number, 0x6666_0000, "as it acknowledges");
    assert_eq!(sent[1].header().flags, Flags::SYN);
    assert_ne!(sent[1].header().source_port, first, "another port, at once");
    assert_eq!(sent[1].header().sequence_number, syn.header().sequence_number);
    // Not for ever.
    hand.far(Flags::ACK, (0x5555_0000, 0x6666_0000), &[], &[]);
    let sent = hand.far(Flags::ACK, (0x5555_0000, 0x6666_0000), &[], &[]);
    assert_eq!(sent.len(), 2, "a reset there, and one to the client");
    assert_eq!(hand.pop.whys(), [Why::FarChallenges]);
    assert!(hand.is_clean() && hand.pop.around.taken.is_empty());
}

#[test]
fn case_18_a_live_connection_at_the_exit_does_not_stop_a_new_one() {
    let mut net = net(Way::Proxy, 5, Service::Echo);
    let first = open(&mut net);
    net.run(1500);
    // The ingress forgets its flow, and takes the same port again for the next.
    net.pop(INGRESS_IP).around.ports.push_front(20_000);
    let second = open(&mut net);
    net.host(CLIENT_IP).tcp(second).send(b"hello");
    net.run(500);
    assert_eq!(net.host(CLIENT_IP).tcp(second).received, b"hello");
    assert!(net.host(CLIENT_IP).tcp(first).received.is_empty());
    let challenges = net.between(EXIT_IP, INGRESS_IP);
    assert!(challenges.iter().any(|seen| seen.frame.to().port() == 20_000), "it was in the way");
}
