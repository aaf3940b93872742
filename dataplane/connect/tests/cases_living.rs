//! Cases that break a splice, 20 to 22, 26, 28 and 45: how connections live and end.

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

use connect::keepalive::{Due, Ends, Probing};
use connect::limits::Limits;
use connect::time::Instant;
use connect::{Dropped, Refusal, Why};
use network::frame::Frame;
use network::hand::{CLIENT_ISN, FAR_ISN, Hand, OK, OPTIONS};
use network::host::Service;
use network::pop::{CONNECT_PORT, Pop};
use network::scene::{WAYS, Way, net, noise};
use network::tcp::{MS, State};
use network::{CLIENT_IP, EXIT_IP, INGRESS_IP, Net, ORIGIN_IP, hop, ip};
use wire::tcp::Flags;

const CLIENT_FIRST: u32 = CLIENT_ISN.wrapping_add(1);
const FAR_FIRST: u32 = FAR_ISN + 1 + 19;

fn open(net: &mut Net) -> (SocketAddr, SocketAddr) {
    let now = net.now;
    net.host(CLIENT_IP).open((ip(ORIGIN_IP), 80).into(), now)
}

#[test]
fn case_20_either_side_may_close_first_and_still_be_told_everything() {
    for way in WAYS {
        // The client closes, the origin goes on.
        let banner = noise(30_000, 2);
        let mut net = net(way, 5, Service::Banner(banner.clone()));
        let ends = open(&mut net);
        net.host(CLIENT_IP).tcp(ends).close();
        let is_done = net.run_to(5000, |net| net.host(CLIENT_IP).tcp(ends).is_closed());
        assert!(is_done && net.host(CLIENT_IP).tcp(ends).received == banner, "{way:?}");
        // The origin closes, the client goes on.
        let mut net = network::scene::net(way, 5, Service::CloseFirst);
        let ends = open(&mut net);
        net.host(CLIENT_IP).tcp(ends).send(b"request");
        let is_told = net.run_to(5000, |net| net.host(CLIENT_IP).tcp(ends).fin_received);
        assert!(is_told && net.host(CLIENT_IP).tcp(ends).received == b"bye", "{way:?}");
        net.host(CLIENT_IP).tcp(ends).send(&banner);
        net.host(CLIENT_IP).tcp(ends).close();
        assert!(net.run_to(5000, |net| net.host(CLIENT_IP).tcp(ends).is_closed()), "{way:?}");
        let origin = net.host(ORIGIN_IP).accepted(80);
        assert!(origin.received.ends_with(&banner), "{way:?}");
        net.assert_nothing_is_left();
    }
}

#[test]
fn case_20_a_server_that_closes_before_the_client_is_there_is_heard_to_the_end() {
    let mut hand = Hand::ingress(&[hop(EXIT_IP, false)]);
    hand.asked();
    let text = [OK, b"busy\r\n"].concat();
    hand.far(Flags::ACK | Flags::FIN, (FAR_ISN + 1, CLIENT_FIRST), &[], &text);
    let sent = hand.near(Flags::ACK, (CLIENT_FIRST, FAR_FIRST), &[], &[]);
    let held = sent.iter().find(|frame| frame.destination == ip(CLIENT_IP)).unwrap();
    assert_eq!(held.payload(), b"busy\r\n");
    assert!(held.header().flags.has(Flags::FIN));
}

#[test]
fn case_21_a_reset_of_either_side_reaches_the_other() {
    for way in WAYS {
        for wait in [60, 300, 1500] {
            let mut net = net(way, 5, Service::Echo);
            let ends = open(&mut net);
            net.run(wait);
            if !net.host(CLIENT_IP).tcp(ends).is_open() {
                continue;
            }
            net.host(CLIENT_IP).tcp(ends).send(b"hello");
            net.run(40);
            let now = net.now;
            net.host(CLIENT_IP).reset(ends, now);
            net.run(200);
            assert_eq!(net.host(ORIGIN_IP).accepted(80).state, State::Reset, "{way:?} {wait}");
            let mut net = network::scene::net(way, 5, Service::Echo);
            let ends = open(&mut net);
            net.run(wait);
            let now = net.now;
            let host = net.host(ORIGIN_IP);
            let accepted = *host.connections.keys().next().unwrap();
            host.reset(accepted, now);
            net.run(200);
            assert_eq!(net.host(CLIENT_IP).tcp(ends).state, State::Reset, "{way:?} {wait}");
            net.assert_nothing_is_left();
        }
    }
}

#[test]
fn case_21_only_a_reset_that_fits_ends_a_setup() {
    let mut hand = Hand::ingress(&[hop(EXIT_IP, false)]);
    let isn = hand.syn().header().sequence_number;
    hand.far(Flags::RST, (0, 0), &[], &[]);
    hand.far(Flags::RST | Flags::ACK, (0, isn.wrapping_add(2)), &[], &[]);
    hand.near(Flags::RST, (CLIENT_FIRST.wrapping_add(1), 0), &[], &[]);
    assert_eq!(hand.pop.dropped, [Dropped::ResetElsewhere; 3]);
    assert_eq!(hand.pop.whys(), []);
    hand.near(Flags::RST, (CLIENT_FIRST, 0), &[], &[]);
    assert_eq!(hand.pop.whys(), [Why::NearReset]);
    let mut hand = Hand::ingress(&[hop(EXIT_IP, false)]);
    hand.asked();
    hand.far(Flags::RST, (FAR_ISN + 2, 0), &[], &[]);
    assert_eq!(hand.pop.dropped, [Dropped::ResetElsewhere]);
    hand.far(Flags::RST, (FAR_ISN + 1, 0), &[], &[]);
    assert_eq!(hand.pop.whys(), [Why::FarReset]);
    assert!(hand.is_clean());
    let mut hand = Hand::exit();
    let ack = hand.syn().header().sequence_number.wrapping_add(1);
    let request = b"CONNECT 198.51.100.1:80 HTTP/1.1\r\n\r\n";
    hand.near(Flags::ACK, (CLIENT_FIRST, ack), &[], request);
    hand.near(Flags::RST, (CLIENT_FIRST, 0), &[], &[]);
    assert_eq!(hand.pop.dropped, [Dropped::ResetElsewhere], "before the request");
    hand.near(Flags::RST, (CLIENT_FIRST.wrapping_add(36), 0), &[], &[]);
    assert_eq!(hand.pop.whys(), [Why::NearReset]);
}

#[test]
fn case_23_a_port_that_is_used_again_at_once_owes_nothing_to_what_lingers() {
    let mut hand = Hand::ingress(&[hop(EXIT_IP, false)]);
    hand.answered();
    hand.near(Flags::ACK, (CLIENT_FIRST, FAR_FIRST), &[], &[]);
    // Both ends have closed, and the flow is gone.
    hand.pop.forget_flows();
    let again = CLIENT_ISN.wrapping_add(1 << 16);
    assert_eq!(hand.near(Flags::SYN, (again, 0), OPTIONS, &[]).len(), 1, "it is dialled");
    assert_eq!(hand.pop.connect.counts().setups, 1);
    // Longer than anything lingers.
    hand.wait(1_500);
    assert!(hand.near(Flags::SYN, (again, 0), OPTIONS, &[]).is_empty());
    assert_eq!(hand.pop.dropped, [Dropped::Repeated], "it is still known");
    hand.near(Flags::RST, (again.wrapping_add(1), 0), &[], &[]);
    assert!(hand.is_clean());
}

#[test]
fn case_21_our_own_resets_are_believed_by_both_ends_when_a_client_is_no_more() {
    let mut phases = [0; 2];
    for wait in 6..60 {
        for way in [Way::Proxy, Way::Plain, Way::Borne] {
            let mut net = net(way, 5, Service::Echo);
            let ends = open(&mut net);
            net.run(wait);
            let now = Instant(net.now);
            let pop = net.pop(INGRESS_IP);
            if pop.connect.counts().holders == 0 {
                continue;
            }
            phases[pop.around.spliced.len()] += 1;
            pop.connect.forget(network::pop::CLIENT + 1, &mut pop.around, now);
            assert_eq!(pop.whys(), [], "another one's are left alone");
            pop.connect.forget(network::pop::CLIENT, &mut pop.around, now);
            assert_eq!(pop.whys(), [Why::ClientGone], "{way:?} {wait}");
            net.run(200);
            assert_eq!(net.host(CLIENT_IP).tcp(ends).state, State::Reset, "{way:?} {wait}");
            // What a proxy says to the origin then is its own.
            let (far, port) =
                if way == Way::Proxy { (EXIT_IP, CONNECT_PORT) } else { (ORIGIN_IP, 80) };
            let mut live =
                net.host(far).connections.iter().filter(|(ends, _)| ends.0.port() == port);
            assert!(live.all(|(_, one)| one.tcp.state == State::Reset), "{way:?} {wait}");
            net.pop(INGRESS_IP).around.ended.clear();
            net.run(25_000);
            assert_eq!(net.pop(INGRESS_IP).connect.counts(), connect::Counts::default());
        }
    }
    assert!(phases[0] > 30 && phases[1] > 10, "before and after the splice: {phases:?}");
}

#[test]
fn case_22_a_challenge_passes_through() {
    let mut net = net(Way::Plain, 5, Service::Echo);
    let ends = open(&mut net);
    net.run(1500);
    // A blind reset within the window: the client asks, the origin answers, nothing breaks.
    let tcp = net.host(CLIENT_IP).tcp(ends);
    let near = tcp.irs.wrapping_add(100);
    let frame = Frame::new((ends.1, ends.0), (Flags::RST, 0), (near, 0), &[], &[]);
    net.inject(INGRESS_IP, frame);
    net.host(CLIENT_IP).tcp(ends).send(b"still here");
    net.run(200);
    assert_eq!(net.host(CLIENT_IP).tcp(ends).received, b"still here");
}

#[test]
fn case_26_an_exit_probes_a_silent_origin_and_forgets_one_that_is_gone() {
    for way in [Way::Plain, Way::Borne] {
        let mut net = net(way, 5, Service::Echo);
        let ends = open(&mut net);
        net.host(CLIENT_IP).tcp(ends).send(b"hello");
        net.run(1000);
        let splice = net.pop(EXIT_IP).around.spliced[0];
        assert_eq!(splice.keepalive, Some(Duration::from_secs(15)));
        assert_eq!(net.pop(INGRESS_IP).around.spliced[0].keepalive, None);
        let expected = net.host(ORIGIN_IP).accepted(80).irs.wrapping_add(6);
        let acknowledged = net.host(ORIGIN_IP).accepted(80).iss.wrapping_add(6);
        let ends = Ends { leg: splice.far, expected, acknowledged, window: 500, timestamps: None };
        assert_eq!(splice.timestamps.is_some(), way == Way::Borne);
        let mut probe = None;
        ends.probe(|segment| {
            probe = Some(Frame::new(
                (segment.leg.ours, segment.leg.theirs),
                (segment.flags, segment.window),
                (segment.sequence_number, segment.acknowledgment_number),
                segment.options,
                segment.payload,
            ));
        });
        let before = net.between(ORIGIN_IP, EXIT_IP).len();
        net.inject(EXIT_IP, probe.unwrap());
        net.run(50);
        let answers = net.between(ORIGIN_IP, EXIT_IP);
        assert_eq!(answers.len(), before + 1, "{way:?}: the origin answers");
        assert_eq!(answers[before].frame.header().acknowledgment_number, expected);
    }
    let secs = |secs: u64| Instant(secs * 1000 * MS);
    let mut probing = Probing::new(Duration::from_secs(15), secs(100));
    assert_eq!(probing.expire(secs(110)), Due::Wait(secs(115)));
    assert_eq!(probing.expire(secs(115)), Due::Probe(secs(130)));
    probing.heard(secs(116));
    assert_eq!(probing.expire(secs(130)), Due::Wait(secs(131)));
    assert_eq!(probing.expire(secs(131)), Due::Probe(secs(146)));
    assert_eq!(probing.expire(secs(146)), Due::Probe(secs(161)));
    assert_eq!(probing.expire(secs(500)), Due::Probe(secs(515)), "who asks late waits as long");
    assert_eq!(probing.expire(secs(515)), Due::Gone);
}

#[test]
fn case_28_half_open_connections_to_an_exit_are_forgotten_after_six_seconds() {
    let mut hand = Hand::exit();
    hand.syn();
    hand.wait(5_900);
    assert!(!hand.is_clean());
    hand.wait(200);
    assert_eq!(hand.pop.whys(), [Why::NearSilent]);
    assert!(hand.is_clean());
}

#[test]
fn case_28_a_request_that_does_not_come_whole_is_answered_408_after_ten_seconds() {
    let mut hand = Hand::exit();
    let ack = hand.syn().header().sequence_number.wrapping_add(1);
    hand.near(Flags::ACK, (CLIENT_FIRST, ack), &[], b"CONNECT 198.51");
    assert_eq!(hand.pop.connect.counts().buffers, 1);
    let sent = hand.wait(10_100);
    let answer = sent.iter().find(|frame| frame.payload().starts_with(b"HTTP/1.1 408 ")).unwrap();
    assert!(answer.header().flags.has(Flags::FIN));
    assert_eq!(hand.pop.whys(), [Why::RequestLate]);
    assert_eq!(hand.pop.connect.counts().buffers, 0, "nothing more is read");
    let end = ack.wrapping_add(u32::try_from(answer.payload().len()).unwrap()).wrapping_add(1);
    hand.near(Flags::ACK | Flags::FIN, (CLIENT_FIRST.wrapping_add(14), end), &[], &[]);
    assert!(hand.is_clean());
}

#[test]
fn case_45_a_client_has_so_many_setups_and_no_more_and_others_are_unharmed() {
    let limits = Limits { setups_per_client: 3, setups: 8, ..network::limits() };
    let mut pop = Pop::new(ip(INGRESS_IP), limits, Box::new(network::to_target));
    pop.routes = vec![hop(EXIT_IP, false)];
    let syn = |port: u16| {
        let ends = ((ip(CLIENT_IP), port).into(), (ip(ORIGIN_IP), 80).into());
        Frame::new(ends, (Flags::SYN, 1000), (CLIENT_ISN, 0), OPTIONS, &[])
    };
    for port in 1..=10 {
        pop.take(&syn(port), true, MS);
    }
    assert_eq!(pop.refused, [Refusal::HolderFull; 7]);
    assert_eq!(pop.connect.counts().setups, 3);
    // Another one, here a PoP that asks, still finds room, until all is taken.
    pop.refused.clear();
    for host in 1..=6 {
        let from = (ip(&format!("203.0.113.{host}")), 5000).into();
        let ends = (from, (ip(INGRESS_IP), CONNECT_PORT).into());
        let frame = Frame::new(ends, (Flags::SYN, 1000), (CLIENT_ISN, 0), OPTIONS, &[]);
        pop.take(&frame, false, MS);
    }
    assert_eq!(pop.refused, [Refusal::SetupsFull]);
    pop.expire(30_000 * MS);
    pop.expire(60_000 * MS);
    assert_eq!(pop.connect.counts(), connect::Counts::default());
}
