//! Prefix translation (RFC 6296): the example of the RFC, both ways for all lengths, and what is refused.

use super::*;
use proptest::prelude::*;
use wire::udp;

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn example() -> Prefixes {
    Prefixes::new((v6("fd01:203:405::"), 48), (v6("2001:db8:1::"), 48)).unwrap()
}

/// RFC 6296 3.6.
#[test]
fn translates_the_example_of_the_rfc() {
    let inside = v6("fd01:203:405:1::1234");
    let outside = v6("2001:db8:1:d550::1234");
    assert_eq!(example().outward(inside), Ok(outside));
    assert_eq!(example().inward(outside), Ok(inside));
}

#[test]
fn refuses_prefixes_that_cannot_be() {
    let pair = |len, other| Prefixes::new((v6("fd00::"), len), (v6("2001::"), other)).map(drop);
    assert_eq!(pair(65, 65), Err(Wrong::TooLong));
    assert_eq!(pair(64, 128), Err(Wrong::TooLong));
    assert_eq!(pair(48, 56), Err(Wrong::Lengths));
    assert_eq!(pair(4, 4), Err(Wrong::Bits));
    assert_eq!(pair(64, 64), Ok(()));
    assert_eq!(pair(16, 16), Ok(()));
}

/// RFC 6296 3.4 and 3.5: zero and 0xffff are the same to a sum.
#[test]
fn refuses_addresses_that_have_no_word_to_adjust() {
    let prefixes = example();
    assert_eq!(prefixes.outward(v6("fd01:203:405:ffff::1")), Err(Refusal::Address));
    assert_eq!(prefixes.inward(v6("2001:db8:1:ffff::1")), Err(Refusal::Address));
    assert_eq!(prefixes.outward(v6("fd02:203:405:1::1")), Err(Refusal::Prefix));
    let long = Prefixes::new((v6("fd01:203:405:6::"), 64), (v6("2001:db8:1:2::"), 64)).unwrap();
    let full = v6("fd01:203:405:6:ffff:ffff:ffff:ffff");
    assert_eq!(long.outward(full), Err(Refusal::Address));
    // The first word that is not full is the one.
    let outside = long.outward(v6("fd01:203:405:6:ffff:ffff:0:1")).unwrap();
    assert_eq!(outside.segments()[4..6], [0xffff, 0xffff]);
    assert_ne!(outside.segments()[6], 0);
}

/// RFC 6296 3.4: 65,535 subnets have 65,535 others, and 0xffff is none of them.
#[test]
fn no_two_subnets_become_one() {
    let prefixes = example();
    let mut seen = std::collections::HashSet::new();
    for subnet in 0..0xffff_u16 {
        let subnet = u128::from(subnet) << 64;
        let inside = Ipv6Addr::from(v6("fd01:203:405::1").to_bits() | subnet);
        let outside = prefixes.outward(inside).unwrap();
        assert_ne!(outside.segments()[3], 0xffff);
        assert_eq!(prefixes.inward(outside), Ok(inside));
        assert!(seen.insert(outside));
    }
}

/// A UDP packet.
fn packet(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let mut packet = vec![0; ipv6::HEADER_LEN + udp::HEADER_LEN];
    packet.extend(b"question");
    let (header, payload) = packet.split_at_mut(ipv6::HEADER_LEN);
    let fields = ipv6::Fields {
        source,
        destination,
        protocol: udp::PROTOCOL,
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        payload_len: payload.len(),
    };
    ipv6::emit(header, &fields).unwrap();
    let ports = udp::Ports { source: 5000, destination: 53 };
    udp::emit_v6(payload, ports, source, destination).unwrap();
    packet
}

fn error(source: Ipv6Addr, destination: Ipv6Addr, about: &[u8]) -> Vec<u8> {
    let mut message = [0; 1300];
    let kind = wire::icmp::v6::Error::PacketTooBig { mtu: 1300 };
    let len = wire::icmp::v6::emit_error(&mut message, kind, source, destination, about).unwrap();
    let mut packet = vec![0; ipv6::HEADER_LEN];
    let fields = ipv6::Fields {
        source,
        destination,
        protocol: wire::icmp::v6::PROTOCOL,
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        payload_len: len,
    };
    ipv6::emit(&mut packet, &fields).unwrap();
    packet.extend(&message[..len]);
    packet
}

#[test]
fn a_packet_is_intact_on_the_other_side() {
    let (client, server) = (v6("fd01:203:405:1::1234"), v6("2001:db8:99::53"));
    let mut out = packet(client, server);
    example().carry_out(&mut out, udp::PROTOCOL, ipv6::HEADER_LEN).unwrap();
    assert_eq!(out, packet(v6("2001:db8:1:d550::1234"), server));
    let mut back = packet(server, v6("2001:db8:1:d550::1234"));
    example().carry_in(&mut back, udp::PROTOCOL, ipv6::HEADER_LEN).unwrap();
    assert_eq!(back, packet(server, client));
}

#[test]
fn an_error_is_about_the_packet_as_it_was_sent() {
    let (client, server) = (v6("fd01:203:405:1::1234"), v6("2001:db8:99::53"));
    let (outer, router) = (v6("2001:db8:1:d550::1234"), v6("2001:db8:98::1"));
    let icmp = wire::icmp::v6::PROTOCOL;
    let mut back = error(router, outer, &packet(outer, server));
    example().carry_in(&mut back, icmp, ipv6::HEADER_LEN).unwrap();
    assert_eq!(back, error(router, client, &packet(client, server)));
    let mut out = error(client, server, &packet(server, client));
    example().carry_out(&mut out, icmp, ipv6::HEADER_LEN).unwrap();
    assert_eq!(out, error(outer, server, &packet(server, outer)));
}

#[test]
fn refuses_errors_about_others_and_what_is_too_short() {
    let (outer, router) = (v6("2001:db8:1:d550::1234"), v6("2001:db8:98::1"));
    let icmp = wire::icmp::v6::PROTOCOL;
    let mut foreign = error(router, outer, &packet(router, outer));
    let before = foreign.clone();
    assert_eq!(example().carry_in(&mut foreign, icmp, ipv6::HEADER_LEN), Err(Refusal::Error));
    assert_eq!(foreign, before);
    let mut short = packet(router, outer);
    short.truncate(39);
    assert_eq!(example().carry_in(&mut short, 17, 40), Err(Refusal::Truncated));
    assert_eq!(example().carry_in(&mut packet(router, outer), 17, 99), Err(Refusal::Truncated));
}

proptest! {
    #[test]
    fn every_address_comes_back_and_keeps_its_sum(inside: u128, outside: u128, rest: u128, len in 0_u8..=64) {
        let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
        let [inside, outside] = [inside & mask, outside & mask];
        let prefixes = Prefixes::new((inside.into(), len), (outside.into(), len)).unwrap();
        let address = Ipv6Addr::from(inside | rest & !mask);
        // A sum says nothing of zero and 0xffff, so it is looked at together with a word that is not zero.
        let sum = |address| Sum::of_v6(address).plus_word(0x6000).finish();
        if let Ok(outer) = prefixes.outward(address) {
            prop_assert_eq!(outer.to_bits() & mask, outside);
            prop_assert_eq!(sum(outer), sum(address));
            prop_assert_eq!(prefixes.inward(outer), Ok(address));
        }
    }
}
