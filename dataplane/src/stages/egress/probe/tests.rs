//! Claims about probes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const KEY: [u8; 16] = *b"the fleet's key.";
const STAMP: Stamp =
    Stamp { server: 5, tunnel: 0x0102_0304, sequence: 0x0a0b_0c0d, sent_us: 0x0011_2233_4455_6677 };

fn inside(local: &str, remote: &str) -> Inside {
    let [local, remote] = [local, remote].map(|text| text.parse::<IpAddr>().unwrap().into());
    Inside::new(local, remote).unwrap()
}

fn v4() -> Inside {
    inside("10.255.0.1", "10.255.0.2")
}

fn v6() -> Inside {
    inside("fd00::1", "fd00::2")
}

fn written(style: Style, inside: &Inside, stamp: &Stamp) -> Vec<u8> {
    let mut out = [0xee; LEN_MAX];
    let len = write(&mut out, style, inside, stamp, &Seal::new(KEY)).unwrap();
    assert!(out[len..].iter().all(|octet| *octet == 0xee));
    out[..len].to_vec()
}

/// What the other end makes of a request.
fn answered(packet: &[u8]) -> Vec<u8> {
    let mut answer = packet.to_vec();
    if packet[0] >> 4 == 4 {
        answer[12..16].copy_from_slice(&packet[16..20]);
        answer[16..20].copy_from_slice(&packet[12..16]);
        icmp::v4::answer_echo(&mut answer[ipv4::HEADER_LEN..]).unwrap();
        ipv4::Header::of(&mut answer).unwrap().decrement_ttl().unwrap();
    } else {
        answer[8..24].copy_from_slice(&packet[24..40]);
        answer[24..40].copy_from_slice(&packet[8..24]);
        icmp::v6::answer_echo(&mut answer[ipv6::HEADER_LEN..]).unwrap();
        ipv6::Header::of(&mut answer).unwrap().decrement_hop_limit().unwrap();
    }
    answer
}

fn reads(packet: &[u8], inside: &Inside) -> Option<Stamp> {
    read(packet, inside, &Seal::new(KEY))
}

/// From 10.255.0.1 to .2, an echo request.
const REQUEST_V4: &str = "
    45c0003c 00004000 40012401 0aff0001 0aff0002
    0800d5ce 06040c0d
    01020304 0a0b0c0d 00112233 44556677 05000000 00000000 f0986068 8f9b4354";
/// From 10.255.0.2 to .1, an echo reply.
const REPLY_V4: &str = "
    45c0003c 00004000 40012401 0aff0002 0aff0001
    0000ddce 06040c0d
    01020304 0a0b0c0d 00112233 44556677 05000000 00000000 f0986068 8f9b4354";
/// From `fd00::1` to `fd00::2`, an echo request.
const REQUEST_V6: &str = "
    6c000000 00283a40 fd000000 00000000 00000000 00000001 fd000000 00000000 00000000 00000002
    80001292 06040c0d
    01020304 0a0b0c0d 00112233 44556677 05000000 00000000 2836c7de 10da73d7";
/// From `fd00::2` to `fd00::1`, an echo reply.
const REPLY_V6: &str = "
    6c000000 00283a40 fd000000 00000000 00000000 00000002 fd000000 00000000 00000000 00000001
    81001192 06040c0d
    01020304 0a0b0c0d 00112233 44556677 05000000 00000000 2836c7de 10da73d7";

fn golden(text: &str) -> Vec<u8> {
    let words = text.split_whitespace().map(|word| u32::from_str_radix(word, 16).unwrap());
    words.flat_map(u32::to_be_bytes).collect()
}

#[test]
fn golden_probes_of_both_families_and_styles_are_written_and_read() {
    let cases = [(v4(), REQUEST_V4, REPLY_V4), (v6(), REQUEST_V6, REPLY_V6)];
    for (inside, request, reply) in cases {
        assert_eq!(written(Style::Request, &inside, &STAMP), golden(request));
        assert_eq!(written(Style::Reply, &inside, &STAMP), golden(reply));
        assert_eq!(reads(&golden(reply), &inside), Some(STAMP));
        assert_eq!(reads(&golden(request), &inside), None, "it is no answer");
        assert_eq!(reads(&answered(&golden(request)), &inside), Some(STAMP));
    }
}

#[test]
fn an_answer_with_options_and_padding_of_the_link_is_one() {
    let mut packet = golden(REPLY_V4);
    packet.splice(20..20, [1; 4]);
    packet[0] = 0x46;
    packet[3] += 4;
    packet[10..12].fill(0);
    let checksum = wire::checksum::Sum::of(&packet[..24]).finish();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    assert_eq!(reads(&packet, &v4()), Some(STAMP));
    packet.extend([0; 6]);
    assert_eq!(reads(&packet, &v4()), Some(STAMP));
}

#[test]
fn a_probe_of_another_tunnel_or_fleet_proves_nothing() {
    for (packet, own, other) in [
        (golden(REPLY_V4), v4(), inside("10.255.0.1", "10.255.0.3")),
        (golden(REPLY_V6), v6(), inside("fd00::1", "fd00::3")),
    ] {
        assert_eq!(reads(&packet, &other), None);
        assert_eq!(read(&packet, &own, &Seal::new([0; 16])), None);
    }
    // The same seal under addresses for which it was not made.
    let other = inside("10.255.0.3", "10.255.0.2");
    let mut moved = golden(REPLY_V4);
    ipv4::Header::of(&mut moved).unwrap().set_destination(Ipv4Addr::new(10, 255, 0, 3));
    assert!(ipv4::parse(&moved).is_ok());
    assert_eq!(reads(&moved, &other), None);
    assert_eq!(reads(&written(Style::Reply, &other, &STAMP), &other), Some(STAMP));
}

#[test]
fn ends_of_two_families_are_none_and_a_short_buffer_has_no_room() {
    let [four, six] = [v4(), v6()];
    assert_eq!(Inside::new(four.local(), six.remote()), None);
    for (inside, needed) in [(four, 60), (six, LEN_MAX)] {
        for len in 0..needed {
            let mut out = vec![0; len];
            let wrote = write(&mut out, Style::Reply, &inside, &STAMP, &Seal::new(KEY));
            assert_eq!(wrote, Err(NoRoom), "{len} octets");
        }
    }
}

#[test]
fn a_seal_shows_nothing_of_its_key() {
    assert_eq!(format!("{:?}", Seal::new(KEY)), "Seal(..)");
}

fn stamps() -> impl Strategy<Value = Stamp> {
    any::<(u8, u32, u32, u64)>().prop_map(|(server, tunnel, sequence, sent_us)| Stamp {
        server,
        tunnel,
        sequence,
        sent_us,
    })
}

fn insides() -> impl Strategy<Value = Inside> {
    let v4 = any::<(u32, u32)>().prop_map(|ends| <[u32; 2]>::from(ends).map(Ipv4Addr::from_bits));
    let v6 =
        any::<(u128, u128)>().prop_map(|ends| <[u128; 2]>::from(ends).map(Ipv6Addr::from_bits));
    let whole = |[local, remote]: [Address; 2]| Inside::new(local, remote).unwrap();
    prop_oneof![
        v4.prop_map(move |ends| whole(ends.map(Address::from))),
        v6.prop_map(move |ends| whole(ends.map(Address::from))),
    ]
}

/// Mends the checksum of the message, as who forges one would.
fn mend(packet: &mut [u8], inside: &Inside) {
    let is_v4 = inside.local().is_v4();
    let message = &mut packet[if is_v4 { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN }..];
    let rest: [u8; 4] = message[4..8].try_into().unwrap();
    let word = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
    let echo = icmp::Echo { identifier: word(0), sequence: word(2) };
    if is_v4 {
        icmp::v4::emit_echo_reply(message, echo).unwrap();
    } else {
        let (from, to) = (inside.remote().v6(), inside.local().v6());
        icmp::v6::emit_echo_reply(message, echo, from, to).unwrap();
    }
}

proptest! {
    #[test]
    fn what_is_written_comes_back_whichever_way(stamp in stamps(), inside in insides()) {
        let reply = written(Style::Reply, &inside, &stamp);
        prop_assert_eq!(reads(&reply, &inside), Some(stamp));
        let answer = answered(&written(Style::Request, &inside, &stamp));
        prop_assert_eq!(reads(&answer, &inside), Some(stamp));
    }

    #[test]
    fn a_changed_stamp_or_seal_is_refused_even_with_a_right_checksum(
        stamp in stamps(),
        inside in insides(),
        at in 0..PAYLOAD_LEN,
        change in 1..=u8::MAX,
    ) {
        let mut packet = written(Style::Reply, &inside, &stamp);
        let start = packet.len() - PAYLOAD_LEN;
        packet[start + at] ^= change;
        prop_assert_eq!(reads(&packet, &inside), None, "the checksum is wrong");
        mend(&mut packet, &inside);
        prop_assert_eq!(reads(&packet, &inside), None);
        packet[start + at] ^= change;
        mend(&mut packet, &inside);
        prop_assert_eq!(reads(&packet, &inside), Some(stamp));
    }

    #[test]
    fn any_octets_are_read_without_harm(
        octets in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 0..LEN_MAX,
        at in 0..LEN_MAX,
        value: u8,
    ) {
        for inside in [v4(), v6()] {
            prop_assert_eq!(reads(&octets, &inside), None);
            let whole = written(Style::Reply, &inside, &STAMP);
            let short = &whole[..cut.min(whole.len() - 1)];
            prop_assert_eq!(reads(short, &inside), None);
            let mut spoiled = whole;
            let at = at % spoiled.len();
            spoiled[at] = value;
            // What routers may change is no part of the proof.
            prop_assert!(reads(&spoiled, &inside).is_none_or(|stamp| stamp == STAMP));
        }
    }
}
