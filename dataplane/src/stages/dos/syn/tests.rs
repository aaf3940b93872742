//! Claims about the guard, and the packets that the claims of its parts are made with.

use super::*;
use crate::testing::packets;
use crate::testing::{START, unix};
use std::net::IpAddr;
use wireguard::secret::Secret;

/// The TCP packet between these ends.
pub(in crate::stages::dos) fn packet(
    (source, source_port): (IpAddr, u16),
    (destination, destination_port): (IpAddr, u16),
    (flags, sequence_number, acknowledgment_number): (Flags, u32, u32),
    options: &[u8],
) -> Vec<u8> {
    let fields = tcp::Fields {
        source_port,
        destination_port,
        sequence_number,
        acknowledgment_number,
        flags,
        window: 64_240,
    };
    packets::Ip::new(source, destination).tcp(&fields, options, b"")
}

/// What the stages read of a packet.
pub(in crate::stages::dos) fn read(packet: &[u8]) -> Segment {
    let mut ip = Ip::NONE;
    let source = ip.read(packet).unwrap();
    Segment::read(packet, &ip, source).unwrap()
}

/// The addresses of a client and a server, of either family.
pub(in crate::stages::dos) fn ends() -> [(IpAddr, IpAddr); 2] {
    [("198.51.100.7", "203.0.113.9"), ("2001:db8:7::1", "2001:db8:9::2")]
        .map(|(client, server)| (client.parse().unwrap(), server.parse().unwrap()))
}

fn guard(firsts: usize) -> (Guard, Places) {
    let cookies = Cookies::new(&Secret::new([7; 32]), unix(START));
    (Guard::new(cookies, Arc::new(Proven::new(1 << 10)), 2, firsts), Places::new([9; 16]))
}

/// Judges a packet to tenant 1.
fn judge(
    (guard, places): &mut (Guard, Places),
    packet: &[u8],
    proof: Proof,
    now: Instant,
) -> Verdict {
    let segment = read(packet);
    let place = places.of(&segment);
    let arrival = Arrival { packet, segment: &segment, place };
    guard.judge(arrival, (1, Policy { proof, above: 0 }), false, now)
}

fn syn((client, server): (IpAddr, IpAddr), port: u16, isn: u32) -> Vec<u8> {
    packet((client, port), (server, 443), (Flags::SYN, isn, 0), &[])
}

#[test]
fn a_source_that_resets_the_challenge_is_proven_and_its_next_syn_passes() {
    for ends in ends() {
        let mut guard = guard(1 << 10);
        let asked = syn(ends, 1000, 5);
        let verdict = judge(&mut guard, &asked, Proof::CookieReset, START);
        let Verdict::Answer(Answer::SynAck { acknowledgment_number, .. }) = verdict else {
            panic!("{verdict:?}");
        };
        assert_ne!(acknowledgment_number, 6, "a client shall not take it");
        let reset = |number| packet((ends.0, 1000), (ends.1, 443), (Flags::RST, number, 0), &[]);
        let guess = reset(acknowledgment_number ^ 1);
        assert_eq!(judge(&mut guard, &guess, Proof::CookieReset, START), Verdict::Pass);
        let answer = reset(acknowledgment_number);
        assert_eq!(judge(&mut guard, &answer, Proof::CookieReset, START), Verdict::Consume);
        assert_eq!(judge(&mut guard, &asked, Proof::CookieReset, START), Verdict::Pass);
        assert_eq!(judge(&mut guard, &syn(ends, 1001, 9), Proof::FirstDrop, START), Verdict::Pass);
        assert_eq!((guard.0.tally.challenges, guard.0.tally.proven), (1, 1));
    }
}

#[test]
fn a_syn_that_comes_again_is_answered_with_a_cookie_and_its_acknowledgment_is_reset() {
    for ends in ends() {
        let mut guard = guard(1 << 10);
        let asked = syn(ends, 1000, 5);
        judge(&mut guard, &asked, Proof::CookieReset, START);
        let later = START + Duration::from_secs(1);
        let verdict = judge(&mut guard, &asked, Proof::CookieReset, later);
        let Verdict::Answer(Answer::SynAck { acknowledgment_number, cookie, .. }) = verdict else {
            panic!("{verdict:?}");
        };
        assert_eq!(acknowledgment_number, 6);
        let ack = |number| packet((ends.0, 1000), (ends.1, 443), (Flags::ACK, 6, number), &[]);
        let taken = ack(cookie.sequence_number.wrapping_add(1));
        let wrong = ack(cookie.sequence_number.wrapping_add(2));
        assert_eq!(judge(&mut guard, &wrong, Proof::CookieReset, later), Verdict::Pass);
        let reset = Verdict::Answer(Answer::Reset);
        assert_eq!(judge(&mut guard, &taken, Proof::CookieReset, later), reset);
        assert_eq!(
            judge(&mut guard, &syn(ends, 1001, 9), Proof::CookieReset, later),
            Verdict::Pass
        );
        let Tally { challenges, cookies, proven, .. } = guard.0.tally;
        assert_eq!((challenges, cookies, proven), (1, 1, 1));
    }
}

#[test]
fn a_segment_of_a_flow_that_is_known_is_never_taken_for_the_answer_to_a_cookie() {
    let mut guard = guard(1 << 10);
    let ends = ends()[0];
    let asked = syn(ends, 1000, 5);
    let verdict = judge(&mut guard, &asked, Proof::CookieReset, START);
    let Verdict::Answer(Answer::SynAck { cookie, .. }) = verdict else { panic!("{verdict:?}") };
    let number = cookie.sequence_number.wrapping_add(1);
    let ack = packet((ends.0, 1000), (ends.1, 443), (Flags::ACK, 6, number), &[]);
    let segment = read(&ack);
    let arrival = Arrival { packet: &ack, segment: &segment, place: guard.1.of(&segment) };
    let policy = Policy { proof: Proof::CookieReset, above: 0 };
    assert_eq!(guard.0.judge(arrival, (1, policy), true, START), Verdict::Pass);
    let reset = Verdict::Answer(Answer::Reset);
    assert_eq!(guard.0.judge(arrival, (1, policy), false, START), reset);
}

#[test]
fn the_first_syn_is_dropped_and_its_repetition_proves_the_source() {
    for ends in ends() {
        let mut guard = guard(1 << 10);
        let asked = syn(ends, 1000, 5);
        let dropped = Verdict::Drop(DropReason::DosSyn);
        let mut at = |packet: &[u8], ms| {
            judge(&mut guard, packet, Proof::FirstDrop, START + Duration::from_millis(ms))
        };
        assert_eq!(at(&asked, 0), dropped);
        assert_eq!(at(&asked, 400), dropped, "too soon");
        assert_eq!(at(&syn(ends, 1000, 6), 1_000), dropped, "another sequence number");
        assert_eq!(at(&syn(ends, 1001, 5), 1_000), dropped, "another port");
        assert_eq!(at(&asked, 1_000), Verdict::Pass);
        assert_eq!(at(&syn(ends, 1002, 7), 1_000), Verdict::Pass, "the source is proven");
        assert_eq!((guard.0.tally.dropped, guard.0.tally.proven), (4, 1));
    }
}

#[test]
fn a_guard_that_is_off_or_below_its_threshold_lets_everything_pass() {
    let (mut guard, places) = guard(1 << 10);
    for (proof, above) in [(Proof::Off, 0), (Proof::CookieReset, 100), (Proof::FirstDrop, 100)] {
        for port in 0..50 {
            let packet = syn(ends()[0], port, 5);
            let segment = read(&packet);
            let arrival =
                Arrival { packet: &packet, segment: &segment, place: places.of(&segment) };
            let now = START + Duration::from_millis(u64::from(port) * 20);
            let verdict = guard.judge(arrival, (1, Policy { proof, above }), false, now);
            assert_eq!(verdict, Verdict::Pass);
        }
    }
}

#[test]
fn a_full_table_of_the_proven_lets_syns_pass_and_says_so() {
    let mut guard = guard(1 << 10);
    for source in 0_u64..1 << 16 {
        guard.0.proven.prove(source << 1 | source << 40, START);
    }
    let verdict = judge(&mut guard, &syn(ends()[0], 1, 2), Proof::CookieReset, START);
    assert_eq!((verdict, guard.0.tally.unkept), (Verdict::Pass, 1));
    let verdict = judge(&mut guard, &syn(ends()[1], 1, 2), Proof::CookieReset, START);
    assert!(matches!(verdict, Verdict::Answer(_)), "the other family has its own half");
}

#[test]
fn sources_of_one_network_share_a_place_and_flows_do_not() {
    let places = Places::new([3; 16]);
    let server = ends()[1].1;
    let of = |client: &str, port| {
        let client: IpAddr = client.parse().unwrap();
        places.of(&read(&syn((client, server), port, 1)))
    };
    let one = of("2001:db8:7:7::1", 1);
    assert_eq!(one.source, of("2001:db8:7:7:ffff::9", 2).source);
    assert_ne!(one.source, of("2001:db8:7:8::1", 1).source);
    assert_ne!(one.flow, of("2001:db8:7:7::2", 1).flow);
    assert_ne!(one.flow, of("2001:db8:7:7::1", 2).flow);
    assert_ne!(one.flow, Places::new([4; 16]).of(&read(&syn((ends()[1].0, server), 1, 1))).flow);
    assert_eq!(format!("{places:?}"), "Places(..)");
}
