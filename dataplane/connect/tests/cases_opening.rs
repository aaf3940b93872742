//! Cases that break a splice, 1 to 5: how a connection is opened. The number stands in the name of
//! each test.

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
use network::hand::{CLIENT_ISN, FAR_ISN, Hand, OK, OPTIONS};
use network::host::Service;
use network::scene::{WAYS, Way, net, noise};
use network::{CLIENT_IP, EXIT_IP, INGRESS_IP, Net, ORIGIN_IP, Seen, hop, ip};
use std::net::SocketAddr;
use std::time::Duration;
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

#[test]
fn case_01_a_repeated_syn_is_ignored_while_the_next_hop_is_dialled_and_answered_again_afterwards() {
    let mut hand = plain();
    hand.syn();
    assert!(hand.near(Flags::SYN, (CLIENT_ISN, 0), OPTIONS, &[]).is_empty());
    assert_eq!(hand.pop.dropped, [Dropped::Repeated]);
    let mut hand = plain();
    let first = hand.answered();
    let again = hand.near(Flags::SYN, (CLIENT_ISN, 0), OPTIONS, &[]);
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].segment, first.segment);
}

#[test]
fn case_01_a_syn_with_another_number_begins_anew() {
    for is_answered in [false, true] {
        let mut hand = plain();
        if is_answered {
            hand.answered();
        } else {
            hand.syn();
        }
        let sent = hand.near(Flags::SYN, (CLIENT_ISN - 999, 0), OPTIONS, &[]);
        let flags: Vec<_> = sent.iter().map(|frame| frame.header().flags).collect();
        assert!(flags[0].has(Flags::RST), "the old one is reset");
        assert_eq!(flags[1], Flags::SYN, "a new one is dialled");
        assert_eq!(hand.pop.whys(), [Why::NearRestarted]);
        assert_eq!(hand.pop.connect.counts().setups, 1);
    }
}

/// The first frame of each kind is lost: what is asked of it holds.
fn loses_first(net: &mut Net, is_it: fn(&Seen) -> bool) {
    let mut is_lost = false;
    net.loses = Box::new(move |seen| {
        let loses = !is_lost && is_it(seen);
        is_lost |= loses;
        loses
    });
}

#[test]
fn case_02_syn_request_and_answer_are_sent_again_within_the_paths_time() {
    let kinds: [fn(&Seen) -> bool; 4] = [
        |seen| seen.from == ip(INGRESS_IP) && seen.to == ip(EXIT_IP),
        |seen| seen.from == ip(EXIT_IP) && seen.to == ip(INGRESS_IP),
        |seen| seen.from == ip(INGRESS_IP) && seen.frame.payload().starts_with(b"CONNECT"),
        |seen| seen.from == ip(EXIT_IP) && seen.frame.payload().starts_with(b"HTTP"),
    ];
    for way in [Way::Plain, Way::Borne] {
        for (number, kind) in kinds.into_iter().enumerate() {
            let mut net = net(way, 4, Service::Echo);
            loses_first(&mut net, kind);
            let ends = open(&mut net);
            let is_open = net.run_to(250, |net| net.host(CLIENT_IP).tcp(ends).is_open());
            assert!(is_open, "{way:?}, loss {number}");
            net.host(CLIENT_IP).tcp(ends).send(b"hello");
            assert!(net.run_to(2000, |net| net.host(CLIENT_IP).tcp(ends).received == b"hello"));
            net.assert_nothing_is_left();
        }
    }
}

#[test]
fn case_02_the_second_syn_has_the_same_numbers_and_bears_nothing() {
    let mut hand = Hand::ingress(&[hop(EXIT_IP, true)]);
    let first = hand.syn();
    let again = hand.wait(60);
    assert!(first.payload().starts_with(b"CONNECT ") && again[0].payload().is_empty());
    assert_eq!(again[0].header().sequence_number, first.header().sequence_number);
    // Whoever answers the first, or the second, is understood.
    let isn = first.header().sequence_number;
    let sent = hand.far(SYN_ACK, (FAR_ISN, isn.wrapping_add(1)), OPTIONS, &[]);
    assert_eq!(sent[0].payload(), first.payload());
    let mut hand = Hand::ingress(&[hop(EXIT_IP, true)]);
    hand.syn();
    hand.wait(60);
    hand.far(SYN_ACK, (FAR_ISN, CLIENT_FIRST), OPTIONS, OK);
    assert_eq!(hand.pop.around.spliced[0].mode, connect::Mode::Borne);
}

/// The second SYN bears no request, so an answer that acknowledges one is to the first.
#[test]
fn case_02_the_time_of_an_answer_to_a_request_in_the_syn_is_known_although_a_second_syn_went() {
    let mut hand = Hand::ingress(&[hop(EXIT_IP, true)]);
    hand.syn();
    assert_eq!(hand.wait(60).len(), 1);
    hand.far(SYN_ACK, (FAR_ISN, CLIENT_FIRST), OPTIONS, OK);
    let time = hand.pop.around.spliced[0].answer_time;
    assert_eq!(time, Some(Duration::from_millis(60)));
}

const REQUEST: &[u8] = b"CONNECT 198.51.100.1:80 HTTP/1.1\r\n\r\n";

/// The milliseconds until an exit that is asked for the origin sends its second SYN there; it is answered then.
fn second_syn(hand: &mut Hand, isn: u32) -> usize {
    let sent = hand.near(Flags::SYN, (isn, 0), OPTIONS, REQUEST);
    let first = sent
        .iter()
        .find(|frame| (frame.destination, frame.header().flags) == (ip(ORIGIN_IP), Flags::SYN))
        .unwrap();
    let ack = first.header().sequence_number.wrapping_add(1);
    let waited = (1..2000).find(|_| !hand.wait(1).is_empty()).unwrap();
    hand.far(SYN_ACK, (FAR_ISN, ack), OPTIONS, &[]);
    waited
}

/// An exit asks an origin that answers after so many milliseconds.
fn dial(hand: &mut Hand, isn: u32, ms: u64) {
    let sent = hand.near(Flags::SYN, (isn, 0), OPTIONS, REQUEST);
    let ack = sent.last().unwrap().header().sequence_number.wrapping_add(1);
    assert!(hand.wait(ms).is_empty());
    hand.far(SYN_ACK, (FAR_ISN, ack), OPTIONS, &[]);
}

#[test]
fn case_02_an_origin_that_has_answered_before_is_asked_again_within_the_time_that_it_took() {
    let mut hand = Hand::exit();
    assert!((1000..1010).contains(&second_syn(&mut hand, 1)), "RFC 6298 2.1");
    // Which SYN was answered then, nobody knows.
    dial(&mut hand, 2, 40);
    let waited = second_syn(&mut hand, 3);
    assert!((120..130).contains(&waited), "{waited} ms");
    assert!((1000..1010).contains(&second_syn(&mut hand, 4)), "it has become slow");
    dial(&mut hand, 5, 40);
    hand.wait(600_000);
    assert!((1000..1010).contains(&second_syn(&mut hand, 6)), "it is long ago");
}

#[test]
fn case_02_the_answer_is_kept_after_the_splice_until_it_is_acknowledged() {
    let mut net = net(Way::Plain, 4, Service::Banner(b"first words".to_vec()));
    loses_first(&mut net, |seen| {
        seen.from == ip(EXIT_IP) && seen.frame.payload().starts_with(b"HTTP")
    });
    let ends = open(&mut net);
    net.run(3000);
    assert_eq!(net.host(CLIENT_IP).tcp(ends).received, b"first words");
    let answers = net.between(EXIT_IP, INGRESS_IP);
    let answers = answers.iter().filter(|seen| seen.frame.payload().starts_with(b"HTTP"));
    assert_eq!(answers.count(), 2);
}

#[test]
fn case_03_a_head_in_pieces_of_seven_octets_is_read() {
    let head: &[u8] = b"HTTP/1.1 200 Connection established\r\nServer: pieces\r\n\r\n";
    for way in [Way::Proxy, Way::Plain] {
        let mut hand = if way == Way::Proxy { plain() } else { Hand::exit() };
        let text = if way == Way::Proxy {
            head
        } else {
            b"CONNECT 198.51.100.1:80 HTTP/1.1\r\nHost: 198.51.100.1:80\r\n\r\n"
        };
        let (mut at, ack) = if way == Way::Proxy {
            hand.asked();
            (FAR_ISN + 1, CLIENT_FIRST)
        } else {
            (CLIENT_FIRST, hand.syn().header().sequence_number.wrapping_add(1))
        };
        for piece in text.chunks(7) {
            assert!(hand.pop.around.spliced.is_empty());
            if way == Way::Proxy {
                hand.far(Flags::ACK, (at, ack), &[], piece);
            } else {
                hand.near(Flags::ACK, (at, ack), &[], piece);
            }
            at = at.wrapping_add(u32::try_from(piece.len()).unwrap());
        }
        if way == Way::Proxy {
            let splice = hand.pop.around.spliced[0];
            assert!([splice.to_far, splice.to_near] == [connect::Rewrite::default(); 2]);
        }
        assert_eq!(hand.pop.connect.counts().buffers, 0, "{way:?}");
        assert_eq!(hand.pop.dropped, []);
    }
}

#[test]
fn case_03_a_piece_out_of_order_is_dropped_and_what_is_missing_is_asked_for() {
    let mut hand = plain();
    hand.asked();
    let sent = hand.far(Flags::ACK, (FAR_ISN + 8, CLIENT_FIRST), &[], &OK[7..]);
    assert_eq!(hand.pop.dropped, [Dropped::OutOfOrder]);
    assert_eq!(sent[0].header().acknowledgment_number, FAR_ISN + 1);
    hand.far(Flags::ACK, (FAR_ISN + 1, CLIENT_FIRST), &[], &OK[..7]);
    let sent = hand.far(Flags::ACK, (FAR_ISN + 8, CLIENT_FIRST), &[], &OK[7..]);
    assert!(sent.iter().any(|frame| frame.header().flags == SYN_ACK), "the client is answered");
}

#[test]
fn case_04_payload_in_the_segment_of_the_head_waits_for_the_client_and_comes_once() {
    let mut hand = plain();
    hand.asked();
    let text = [OK, b"220 mail\r\n"].concat();
    let sent = hand.far(Flags::ACK, (FAR_ISN + 1, CLIENT_FIRST), &[], &text);
    let syn_ack = sent.iter().find(|frame| frame.header().flags == SYN_ACK).unwrap();
    assert!(syn_ack.payload().is_empty(), "no payload before the client is connected");
    assert_eq!(syn_ack.header().sequence_number, FAR_FIRST - 1);
    let more = hand.far(Flags::ACK, (FAR_FIRST + 10, CLIENT_FIRST), &[], b"250 more\r\n");
    assert!(more.is_empty());
    let sent = hand.near(Flags::ACK, (CLIENT_FIRST, FAR_FIRST), &[], &[]);
    let held = sent.iter().find(|frame| !frame.payload().is_empty()).unwrap();
    assert_eq!(held.payload(), b"220 mail\r\n250 more\r\n");
    assert_eq!(held.header().sequence_number, FAR_FIRST);
    assert_eq!(held.header().acknowledgment_number, CLIENT_FIRST);
    let passed = sent.iter().find(|frame| frame.destination == ip(EXIT_IP)).unwrap();
    assert_eq!(passed.header().acknowledgment_number, FAR_FIRST, "nothing held is acknowledged");
    assert_eq!(hand.pop.connect.counts().buffers, 0);
}

#[test]
fn case_04_a_server_that_speaks_first_is_heard_in_every_way() {
    for way in WAYS {
        let mut net = net(way, 6, Service::Banner(b"220 ready\r\n".to_vec()));
        let ends = open(&mut net);
        net.run(1000);
        assert_eq!(net.host(CLIENT_IP).tcp(ends).received, b"220 ready\r\n", "{way:?}");
        assert_eq!(net.host(CLIENT_IP).tcp(ends).impossible, 0, "{way:?}");
    }
}

#[test]
fn case_04_an_exit_completes_the_handshake_with_the_origin_by_itself() {
    let request: &[u8] = b"CONNECT 198.51.100.1:80 HTTP/1.1\r\n\r\n";
    let mut hand = Hand::exit();
    let own = hand.syn().header().sequence_number;
    let sent = hand.near(Flags::ACK, (CLIENT_FIRST, own.wrapping_add(1)), &[], request);
    let dialled = sent.iter().find(|frame| frame.destination == ip(ORIGIN_IP)).unwrap().header();
    let first = dialled.sequence_number.wrapping_add(1);
    assert_eq!(first, CLIENT_FIRST.wrapping_add(36), "behind the request");
    let sent = hand.far(SYN_ACK, (FAR_ISN, first), OPTIONS, &[]);
    let ack = sent.iter().find(|frame| frame.destination == ip(ORIGIN_IP)).unwrap().header();
    assert_eq!((ack.sequence_number, ack.acknowledgment_number), (first, FAR_ISN + 1));
    // What the origin says at once follows the answer, whether that has come through or not.
    let sent = hand.far(Flags::ACK, (FAR_ISN + 1, first), &[], b"220 ready\r\n");
    assert_eq!(sent[0].destination, ip(INGRESS_IP));
    assert_eq!(sent[0].header().sequence_number, own.wrapping_add(1 + 19));
}

#[test]
fn case_05_the_next_hop_is_told_a_small_window_until_the_client_is_there() {
    let banner = noise(100_000, 5);
    for way in WAYS {
        let mut net = net(way, 8, Service::Banner(banner.clone()));
        let ends = open(&mut net);
        net.run(5000);
        let first = net.seen.iter().find(|seen| seen.from == ip(INGRESS_IP)).unwrap();
        assert!(first.frame.header().window <= 4 * 1460, "{way:?}");
        assert!(net.host(CLIENT_IP).tcp(ends).received == banner, "{way:?}");
    }
}

#[test]
fn case_05_what_finds_no_room_in_the_hold_is_not_lost() {
    let mut hand = plain();
    hand.answered();
    let mut at = FAR_FIRST;
    let mut held = 0;
    for _ in 0..8 {
        let before = hand.pop.dropped.len();
        hand.far(Flags::ACK, (at, CLIENT_FIRST), &[], &[b'x'; 1400]);
        held += usize::from(hand.pop.dropped.len() == before);
        at += 1400;
    }
    assert_eq!(held, 5, "8192 octets are held");
    let sent = hand.near(Flags::ACK, (CLIENT_FIRST, FAR_FIRST), &[], &[]);
    let octets: usize = sent.iter().map(|frame| frame.payload().len()).sum();
    assert_eq!(octets, 8192);
    let acknowledged = sent.iter().filter(|frame| frame.destination == ip(EXIT_IP));
    let acknowledged: Vec<_> =
        acknowledged.map(|frame| frame.header().acknowledgment_number).collect();
    assert_eq!(acknowledged, [FAR_FIRST], "the next hop sends all of it again if need be");
}
