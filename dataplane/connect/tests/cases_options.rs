//! Cases that break a splice, 11 to 16, 29, 31 to 33, 36 and 43: what the two ends agree on, and who is in the way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect has failed"
)]

mod network;

use connect::{Refusal, Why};
use network::frame::Frame;
use network::hand::{ANSWER_OPTIONS, CLIENT_ISN, FAR_ISN, Hand, OK, OPTIONS};
use network::host::Service;
use network::scene::{Way, net, noise, spoil};
use network::tcp::{MS, Speaks};
use network::{CLIENT_IP, EXIT_IP, INGRESS_IP, Net, ORIGIN_IP, hop, ip};
use std::net::SocketAddr;
use wire::tcp::{Flags, OptionField, Options};

const SYN_ACK: Flags = Flags(0x12);
const CLIENT_FIRST: u32 = CLIENT_ISN.wrapping_add(1);

fn plain() -> Hand {
    Hand::ingress(&[hop(EXIT_IP, false)])
}

fn open(net: &mut Net) -> (SocketAddr, SocketAddr) {
    let now = net.now;
    net.host(CLIENT_IP).open((ip(ORIGIN_IP), 80).into(), now)
}

fn kinds(frame: &Frame) -> Vec<u8> {
    Options::of(frame.options())
        .map(|option| match option.unwrap() {
            OptionField::MaximumSegmentSize(_) => 2,
            OptionField::WindowScale(_) => 3,
            OptionField::SackPermitted => 4,
            OptionField::Sack(_) => 5,
            OptionField::Timestamps { .. } => 8,
            OptionField::Other { kind, .. } => kind,
        })
        .collect()
}

fn mss(frame: &Frame) -> u16 {
    let found = Options::of(frame.options()).find_map(|option| match option.unwrap() {
        OptionField::MaximumSegmentSize(mss) => Some(mss),
        _ => None,
    });
    found.unwrap()
}

/// Echoes so many octets through a network; what both ends have agreed on comes back.
fn echo(net: &mut Net, len: usize, what: &str) -> (Speaks, Speaks) {
    let text = noise(len, 11);
    let ends = open(net);
    net.host(CLIENT_IP).tcp(ends).send(&text);
    net.host(CLIENT_IP).tcp(ends).close();
    let is_done = net.run_to(60_000, |net| net.host(CLIENT_IP).tcp(ends).is_closed());
    let tcp = net.host(CLIENT_IP).tcp(ends);
    assert!(is_done, "{what}: {} of {len} octets, {:?}", tcp.received.len(), tcp.state);
    assert!(tcp.received == text, "{what}");
    assert_eq!((tcp.paws_drops, tcp.impossible, tcp.oversized), (0, 0, 0), "{what}");
    let client = agreed(tcp);
    let origin = net.host(ORIGIN_IP).accepted(80);
    assert_eq!((origin.paws_drops, origin.impossible, origin.oversized), (0, 0, 0), "{what}");
    (client, agreed(origin))
}

fn agreed(tcp: &network::tcp::Tcp) -> Speaks {
    Speaks {
        window_scale: tcp.scales.map(|(_, theirs)| theirs),
        sack: tcp.sack,
        timestamps: tcp.timestamps,
        ..Speaks::default()
    }
}

#[test]
fn case_11_each_side_is_told_the_smaller_segment_size() {
    let mut hand = plain();
    assert_eq!(mss(&hand.syn()), 1400, "the path to the next hop");
    let mut hand = plain();
    assert_eq!(mss(&hand.answered()), 1380, "the tunnel to the client");
    let mut hand = plain();
    let sent = hand.near(Flags::SYN, (CLIENT_ISN, 0), &[], &[]);
    assert_eq!(mss(&sent[0]), 536, "what a SYN without the option says");
    for way in [Way::Proxy, Way::Plain, Way::Borne, Way::PlainRelay] {
        let mut net = net(way, 5, Service::Echo);
        net.host(ORIGIN_IP).speaks.mss = 1300;
        net.host(CLIENT_IP).speaks.mss = 1200;
        echo(&mut net, 50_000, &format!("{way:?}"));
    }
}

#[test]
fn case_12_an_origin_that_takes_less_than_was_promised_is_asked_again_with_its_own_size() {
    for way in [Way::Plain, Way::PlainRelay] {
        let mut net = net(way, 5, Service::Echo);
        net.host(ORIGIN_IP).speaks.mss = 500;
        echo(&mut net, 50_000, &format!("{way:?}"));
        assert_eq!(net.pop(EXIT_IP).whys(), [Why::Promised]);
        net.assert_nothing_is_left();
    }
}

/// The milliseconds until a connection of the client's is open.
fn opens_within(net: &mut Net) -> u64 {
    let (ends, begun) = (open(net), net.now);
    assert!(net.run_to(2000, |net| net.host(CLIENT_IP).tcp(ends).is_open()));
    (net.now - begun) / MS
}

/// To ask again takes a handshake, a request and a dial, here 10 ms each; the next connections need not.
#[test]
fn case_12_what_an_origin_takes_is_remembered_for_the_next_connections() {
    let mut net = net(Way::Plain, 5, Service::Echo);
    net.host(ORIGIN_IP).speaks.mss = 500;
    let times = [(); 3].map(|()| opens_within(&mut net));
    assert_eq!(net.pop(EXIT_IP).whys(), [Why::Promised], "only once");
    assert_eq!((times[0] - times[1], times[1]), (30, times[2]), "{times:?}");
    net.run(600_000);
    assert_eq!(opens_within(&mut net), times[0], "it may take more by now");
    net.assert_nothing_is_left();
}

/// RFC 8200 5: no link of IPv6 carries less than 1280 octets, so that its origins take 1220 at least.
#[test]
fn case_12_an_origin_at_the_end_of_the_smallest_link_is_promised_no_more_than_it_takes() {
    let mut net = net(Way::Plain, 5, Service::Echo);
    net.host(ORIGIN_IP).speaks.mss = 1220;
    echo(&mut net, 50_000, "1220");
    assert_eq!(net.pop(EXIT_IP).whys(), []);
}

/// It would be kept from connections that do offer it.
#[test]
fn case_15_a_hint_does_not_deny_what_the_origin_was_not_offered() {
    let mut hand = Hand::exit();
    let request = b"CONNECT 198.51.100.1:80 HTTP/1.1\r\n\r\n";
    assert_eq!(hand.exit_answers(request), "");
    let first = CLIENT_FIRST.wrapping_add(u32::try_from(request.len()).unwrap());
    let sent = hand.far(SYN_ACK, (FAR_ISN, first), &[2, 4, 1, 244], &[]);
    let text = sent.iter().map(|frame| String::from_utf8_lossy(frame.payload()));
    let text: String = text.collect();
    assert!(text.contains("Exit-Tcp-Options: sack=1 ws=none mss=500\r\n"), "{text}");
}

#[test]
fn case_13_window_scales_are_mirrored_by_an_ingress_and_translated_by_an_exit() {
    for (client, origin) in [(0, 14), (14, 0), (7, 7), (2, 8), (8, 2)] {
        for way in [Way::Proxy, Way::Plain, Way::Borne, Way::PlainRelay] {
            let what = format!("{way:?}, {client} and {origin}");
            let mut net = net(way, 5, Service::Echo);
            net.host(CLIENT_IP).speaks.window_scale = Some(client);
            net.host(ORIGIN_IP).speaks.window_scale = Some(origin);
            net.host(ORIGIN_IP).speaks.window = 65_000;
            net.host(CLIENT_IP).speaks.window = 65_000;
            let (of_client, of_origin) = echo(&mut net, 100_000, &what);
            if way == Way::Borne {
                assert_eq!(of_client.window_scale, Some(origin), "{what}");
            }
            if way != Way::Proxy {
                assert_eq!(of_origin.window_scale, Some(client), "{what}");
            }
            let splice = net.pop(INGRESS_IP).around.spliced[0];
            assert_eq!((splice.to_far.window_shift, splice.to_near.window_shift), (0, 0));
            if way == Way::Plain {
                let splice = net.pop(EXIT_IP).around.spliced[0];
                let shifts = (splice.to_far.window_shift, splice.to_near.window_shift);
                assert_eq!(shifts, (0, origin.cast_signed() - 8), "{what}: the exit has said 8");
            }
        }
    }
}

#[test]
fn case_14_without_window_scale_at_one_end_windows_are_clamped_and_never_closed() {
    for (client, origin) in [(None, Some(7)), (Some(7), None), (None, None)] {
        for way in [Way::Proxy, Way::Plain, Way::Borne, Way::PlainRelay] {
            let what = format!("{way:?}, {client:?} and {origin:?}");
            let mut net = net(way, 5, Service::Echo);
            net.host(CLIENT_IP).speaks.window_scale = client;
            net.host(ORIGIN_IP).speaks.window_scale = origin;
            let (_, of_origin) = echo(&mut net, 100_000, &what);
            if way != Way::Proxy {
                assert_eq!(of_origin.window_scale, client.and(origin), "{what}");
            }
            if (way, client, origin) == (Way::Plain, Some(7), None) {
                let splice = net.pop(EXIT_IP).around.spliced[0];
                let shifts = (splice.to_far.window_shift, splice.to_near.window_shift);
                assert_eq!(shifts, (7, -8), "expanded for the origin, in the exit's units back");
            }
        }
    }
}

#[test]
fn case_15_selective_acknowledgments_are_mirrored_or_not_promised() {
    for (way, mirrored) in
        [(Way::Proxy, true), (Way::Borne, true), (Way::Plain, false), (Way::PlainRelay, false)]
    {
        for (client, origin) in [(true, true), (true, false), (false, true)] {
            let what = format!("{way:?}, {client} and {origin}");
            let mut net = net(way, 5, Service::Echo);
            spoil(&mut net, 5, 0, 0);
            net.host(CLIENT_IP).speaks.sack = client;
            net.host(ORIGIN_IP).speaks.sack = origin;
            let (of_client, of_origin) = echo(&mut net, 100_000, &what);
            if way != Way::Proxy {
                let both = mirrored && client && origin;
                assert_eq!((of_client.sack, of_origin.sack), (both, both), "{what}");
            }
        }
    }
}

#[test]
fn case_15_a_promise_that_the_origin_cannot_keep_is_taken_back_by_a_hint() {
    for origin_has in [true, false] {
        let mut net = net(Way::Plain, 5, Service::Echo);
        net.host(ORIGIN_IP).speaks.sack = origin_has;
        let limits = connect::limits::Limits { exit_promises_sack: true, ..network::limits() };
        let admit = Box::new(network::to_target);
        let exit = network::pop::Pop::new(ip(EXIT_IP), limits, admit);
        net.nodes.insert(ip(EXIT_IP), network::Node::Pop(exit.into()));
        spoil(&mut net, 10, 0, 0);
        let (of_client, of_origin) = echo(&mut net, 100_000, "a promise");
        assert_eq!((of_client.sack, of_origin.sack), (origin_has, origin_has));
        let whys = if origin_has { vec![] } else { vec![Why::Promised] };
        assert_eq!(net.pop(EXIT_IP).whys(), whys);
        let splice = net.pop(EXIT_IP).around.spliced[0];
        assert_ne!(splice.to_far.acknowledgment, 0, "blocks count as the origin does");
    }
}

#[test]
fn case_16_timestamps_pass_or_are_not_agreed_on() {
    for (way, passes) in
        [(Way::Proxy, true), (Way::Borne, true), (Way::BorneRelay, true), (Way::Plain, false)]
    {
        let mut net = net(way, 5, Service::Echo);
        let (of_client, of_origin) = echo(&mut net, 50_000, &format!("{way:?}"));
        assert_eq!(of_client.timestamps, passes, "{way:?}");
        assert_eq!(of_origin.timestamps, passes || way == Way::Proxy, "{way:?}");
        assert_eq!(net.pop(INGRESS_IP).around.spliced[0].timestamps.is_some(), passes);
    }
}

#[test]
fn case_16_our_own_segments_have_the_clients_stamp_and_echo_the_last_one() {
    let mut hand = plain();
    let request = hand.asked();
    let stamp = |frame: &Frame| match Options::of(frame.options()).next().unwrap().unwrap() {
        OptionField::Timestamps { value, echo } => (value, echo),
        other => panic!("{other:?}"),
    };
    assert_eq!(stamp(&request), (1000, 5000));
    let later = [1, 1, 8, 10, 0, 0, 19, 140, 0, 0, 3, 232];
    let sent = hand.far(Flags::ACK, (FAR_ISN + 1, CLIENT_FIRST), &later, OK);
    let acknowledgment = sent.iter().find(|frame| frame.destination == ip(EXIT_IP)).unwrap();
    assert_eq!(stamp(acknowledgment), (1000, 5004));
}

#[test]
fn case_43_the_answer_echoes_the_last_syn_so_that_no_wait_is_taken_for_the_paths() {
    let later = |value: u8| [OPTIONS[..10].to_vec(), vec![value], OPTIONS[11..].to_vec()].concat();
    let echo = |frame: &Frame| {
        let mut options = Options::of(frame.options());
        options.find_map(|option| match option.unwrap() {
            OptionField::Timestamps { echo, .. } => Some(echo),
            _ => None,
        })
    };
    let mut hand = plain();
    let isn = hand.syn().header().sequence_number;
    // One that was held up on its way is older than what is known.
    for value in [7, 5] {
        hand.near(Flags::SYN, (CLIENT_ISN, 0), &later(value), &[]);
    }
    let syn_ack = Flags::SYN | Flags::ACK;
    hand.far(syn_ack, (FAR_ISN, isn.wrapping_add(1)), ANSWER_OPTIONS, &[]);
    let sent = hand.far(Flags::ACK, (FAR_ISN + 1, CLIENT_ISN.wrapping_add(1)), &[], OK);
    let answer = sent.iter().find(|frame| frame.header().flags.has(Flags::SYN)).unwrap();
    assert_eq!(echo(answer), Some(0x7e8), "of the second SYN");
    // The answer is lost.
    let again = hand.near(Flags::SYN, (CLIENT_ISN, 0), &later(9), &[]);
    assert_eq!(echo(&again[0]), Some(0x9e8), "of the fourth SYN");
}

#[test]
fn case_29_our_own_syn_and_request_fit_the_smallest_segment() {
    let mut hand = Hand::ingress(&[hop(EXIT_IP, true)]);
    let syn = hand.syn();
    assert!(syn.payload().starts_with(b"CONNECT") && syn.payload().len() < 536);
    // A next hop that takes less gets the request in pieces.
    let mut hand = plain();
    let isn = hand.syn().header().sequence_number;
    let small = [2, 4, 0, 100];
    let sent = hand.far(SYN_ACK, (FAR_ISN, isn.wrapping_add(1)), &small, &[]);
    assert_eq!(sent[0].payload().len(), 100);
    assert!(sent.len() > 1 && sent.iter().all(|frame| frame.payload().len() <= 100));
}

#[test]
fn case_31_payload_in_a_clients_syn_is_not_acknowledged() {
    let cookie = [OPTIONS, &[34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1]].concat();
    let mut hand = plain();
    let sent = hand.near(Flags::SYN, (CLIENT_ISN, 0), &cookie, b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(kinds(&sent[0]), [2, 4, 8, 3]);
    let isn = sent[0].header().sequence_number;
    hand.far(SYN_ACK, (FAR_ISN, isn.wrapping_add(1)), ANSWER_OPTIONS, &[]);
    let sent = hand.far(Flags::ACK, (FAR_ISN + 1, CLIENT_FIRST), &[], OK);
    let syn_ack = sent.iter().find(|frame| frame.header().flags == SYN_ACK).unwrap();
    assert_eq!(syn_ack.header().acknowledgment_number, CLIENT_FIRST);
}

#[test]
fn case_32_multipath_and_the_unknown_are_stripped_and_signed_segments_refused() {
    let strange = [OPTIONS, &[30, 4, 0, 1, 253, 4, 9, 9]].concat();
    let mut hand = plain();
    let sent = hand.near(Flags::SYN, (CLIENT_ISN, 0), &strange, &[]);
    assert_eq!(kinds(&sent[0]), [2, 4, 8, 3]);
    let isn = sent[0].header().sequence_number;
    let answer = [ANSWER_OPTIONS, &[30, 4, 0, 1]].concat();
    hand.far(SYN_ACK, (FAR_ISN, isn.wrapping_add(1)), &answer, &[]);
    let sent = hand.far(Flags::ACK, (FAR_ISN + 1, CLIENT_FIRST), &[], OK);
    let syn_ack = sent.iter().find(|frame| frame.header().flags == SYN_ACK).unwrap();
    assert_eq!(kinds(syn_ack), [2, 4, 8, 3]);
    let md5 = [&[19, 18][..], &[7; 16], &[1, 1]].concat();
    let authentication = [29, 4, 1, 1];
    for options in [&md5[..], &authentication] {
        let mut hand = plain();
        assert!(hand.near(Flags::SYN, (CLIENT_ISN, 0), options, &[]).is_empty());
        assert_eq!(hand.pop.refused, [Refusal::Authenticated]);
        let isn = hand.syn().header().sequence_number;
        hand.far(SYN_ACK, (FAR_ISN, isn.wrapping_add(1)), options, &[]);
        assert_eq!(hand.pop.whys(), [Why::FarOptions]);
        assert!(hand.is_clean());
    }
    let mut hand = plain();
    hand.near(Flags::SYN, (CLIENT_ISN, 0), &[2, 40, 1, 1], &[]);
    assert_eq!(hand.pop.refused, [Refusal::Malformed]);
}

#[test]
fn case_33_congestion_notification_is_offered_on_and_answered_as_the_next_hop_does() {
    let ecn = Flags::ECE | Flags::CWR;
    for (offers, takes) in [(true, true), (true, false), (false, true)] {
        let mut hand = plain();
        let flags = if offers { Flags::SYN | ecn } else { Flags::SYN };
        let sent = hand.near(flags, (CLIENT_ISN, 0), OPTIONS, &[]);
        assert_eq!(sent[0].header().flags, flags, "as the client offers");
        let isn = sent[0].header().sequence_number;
        let answer = if takes { SYN_ACK | Flags::ECE } else { SYN_ACK };
        hand.far(answer, (FAR_ISN, isn.wrapping_add(1)), ANSWER_OPTIONS, &[]);
        let sent = hand.far(Flags::ACK, (FAR_ISN + 1, CLIENT_FIRST), &[], OK);
        let wanted = if offers && takes { SYN_ACK | Flags::ECE } else { SYN_ACK };
        assert!(sent.iter().any(|frame| frame.header().flags == wanted), "{offers}, {takes}");
    }
    // Who answers before the origin is known has none.
    let mut hand = Hand::exit();
    let sent = hand.near(Flags::SYN | ecn, (CLIENT_ISN, 0), OPTIONS, &[]);
    assert_eq!(sent[0].header().flags, SYN_ACK);
    let request = b"CONNECT 198.51.100.1:80 HTTP/1.1\r\n\r\n";
    let numbers = (CLIENT_FIRST, sent[0].header().sequence_number.wrapping_add(1));
    let sent = hand.near(Flags::ACK, numbers, &[], request);
    assert!(sent.iter().any(|frame| frame.header().flags == Flags::SYN));
}

#[test]
fn case_36_only_our_own_may_bear_a_request_in_the_syn() {
    let request = b"CONNECT 198.51.100.1:80 HTTP/1.1\r\nHost: 198.51.100.1:80\r\n\r\n";
    let mut hand = Hand::exit();
    let sent = hand.near(Flags::SYN, (CLIENT_ISN, 0), OPTIONS, request);
    assert_eq!(sent[0].destination, ip(ORIGIN_IP), "the origin is dialled");
    let mut hand = Hand::exit();
    hand.pop.is_peer = false;
    let sent = hand.near(Flags::SYN, (CLIENT_ISN, 0), OPTIONS, request);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].header().flags, SYN_ACK);
    assert_eq!(sent[0].header().acknowledgment_number, CLIENT_FIRST, "its payload is not taken");
    assert!(hand.pop.around.taken.is_empty());
}
