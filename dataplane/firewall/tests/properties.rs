//! Any rules are read as they were printed, no text is a surprise, and conditions mean what they say.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "tests may, and seeds make few different things"
)]

mod random;

use std::fmt::Write as _;

use firewall::facts::{Facts, Family};
use firewall::rules::{Condition, Field, Ruleset, Values, WITH_PORTS};
use firewall::{Members, Wrong, holds, packet, parse, walk};
use proptest::prelude::*;
use random::Random;

/// Sets by the parity of their name and the address.
struct Parity;

impl Members for Parity {
    fn holds(&self, set: &str, family: Family, address: u128) -> bool {
        address % 2 == u128::from(set.len().is_multiple_of(2))
            && (family == Family::V4 || set != "bad")
    }
}

/// The value of a packet's field, if the packet has it, and whether it is among those of the condition.
fn is_met(condition: &Condition, facts: &Facts) -> bool {
    let Facts { family, protocol, .. } = *facts;
    let (v4, v6) = (family == Family::V4, family == Family::V6);
    let (tcp, udp) = (protocol == 6, protocol == 17);
    let with_ports = WITH_PORTS.contains(&protocol);
    let family_number: u8 = if v4 { 2 } else { 10 };
    let (has_field, value) = match condition.field {
        Field::IpSaddr => (v4, facts.source),
        Field::IpDaddr => (v4, facts.destination),
        Field::Ip6Saddr => (v6, facts.source),
        Field::Ip6Daddr => (v6, facts.destination),
        Field::Nfproto => (true, family_number.into()),
        Field::IpProtocol => (v4, protocol.into()),
        Field::Ip6Nexthdr => (v6, protocol.into()),
        Field::L4proto => (true, protocol.into()),
        Field::TcpSport => (tcp, facts.source_port.into()),
        Field::TcpDport => (tcp, facts.destination_port.into()),
        Field::UdpSport => (udp, facts.source_port.into()),
        Field::UdpDport => (udp, facts.destination_port.into()),
        Field::ThSport => (with_ports, facts.source_port.into()),
        Field::ThDport => (with_ports, facts.destination_port.into()),
        Field::TcpFlags => (tcp, facts.tcp_flags.into()),
        Field::IcmpType => (v4 && protocol == 1, (facts.icmp >> 8).into()),
        Field::IcmpCode => (v4 && protocol == 1, (facts.icmp & 0xff).into()),
        Field::Icmpv6Type => (v6 && protocol == 58, (facts.icmp >> 8).into()),
        Field::Icmpv6Code => (v6 && protocol == 58, (facts.icmp & 0xff).into()),
        Field::Length => (true, facts.length.into()),
        Field::IpLength => (v4, facts.length.into()),
        Field::IpDscp => (v4, facts.dscp.into()),
        Field::Ip6Dscp => (v6, facts.dscp.into()),
    };
    let is_among = match &condition.values {
        Values::Ranges(ranges) => ranges.iter().any(|(from, to)| value >= *from && value <= *to),
        Values::Set(name) => Parity.holds(name, family, value),
        Values::Bits { mask, value } => (0..8).all(|bit| {
            let is_set = |octet: u8| octet >> bit & 1 == 1;
            !is_set(*mask) || is_set(facts.tcp_flags) == is_set(*value)
        }),
    };
    has_field && if condition.negated { !is_among } else { is_among }
}

/// The packet in words.
fn words(facts: &Facts) -> String {
    let mut ruleset = parse("meta length 1 counter").unwrap();
    let mut text = String::new();
    let mut put = |field, value: u128| {
        let values = Values::Ranges([(value, value)].into());
        ruleset.rules[0].conditions = vec![Condition { field, negated: false, values }];
        write!(text, "{} ", ruleset.rules[0].to_string().trim_end_matches("counter")).unwrap();
    };
    let v4 = facts.family == Family::V4;
    put(if v4 { Field::IpSaddr } else { Field::Ip6Saddr }, facts.source);
    put(if v4 { Field::IpDaddr } else { Field::Ip6Daddr }, facts.destination);
    put(Field::L4proto, facts.protocol.into());
    put(Field::Length, facts.length.into());
    put(if v4 { Field::IpDscp } else { Field::Ip6Dscp }, facts.dscp.into());
    if WITH_PORTS.contains(&facts.protocol) {
        put(Field::ThSport, facts.source_port.into());
        put(Field::ThDport, facts.destination_port.into());
    }
    let [icmp_type, icmp_code] = facts.icmp.to_be_bytes();
    match (facts.protocol, v4) {
        (1, true) => {
            put(Field::IcmpType, icmp_type.into());
            put(Field::IcmpCode, icmp_code.into());
        }
        (58, false) => {
            put(Field::Icmpv6Type, icmp_type.into());
            put(Field::Icmpv6Code, icmp_code.into());
        }
        (6, _) => write!(text, "tcp flags {}", facts.tcp_flags).unwrap(),
        _ => {}
    }
    text
}

fn check_place(text: &str, wrong: &Wrong) {
    let line = text.split('\n').nth(usize::try_from(wrong.line).unwrap() - 1).unwrap();
    assert!(usize::try_from(wrong.column).unwrap() <= line.chars().count() + 1, "{wrong}");
    assert!(!wrong.what.is_empty() && wrong.what.len() < 400, "{wrong}");
}

/// Whatever the text is: what is read is printed as text of the same meaning, and mistakes have a place in it.
fn check_text(text: &str) {
    match parse(text) {
        Ok(ruleset) => assert_eq!(parse(&ruleset.to_string()), Ok(ruleset), "{text}"),
        Err(wrong) => check_place(text, &wrong),
    }
    if let Err(wrong) = packet(text) {
        check_place(text, &wrong);
    }
}

/// The text with a few of its words replaced by others of it, lost, or doubled.
fn spoiled(random: &mut Random, ruleset: &Ruleset) -> String {
    let text = ruleset.to_string();
    let mut words: Vec<&str> = text.split_inclusive([' ', '\n']).collect();
    for _ in 0..=random.below(3) {
        if words.is_empty() {
            break;
        }
        let (one, other) = (random.below(words.len()), random.below(words.len()));
        match random.below(3) {
            0 => words[one] = words[other],
            1 => drop(words.remove(one)),
            _ => words.insert(one, words[other]),
        }
    }
    words.concat()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn reads_what_it_printed(seed: u64) {
        let ruleset = random::ruleset(&mut Random(seed));
        let text = ruleset.to_string();
        prop_assert_eq!(parse(&text), Ok(ruleset), "{}", text);
    }

    #[test]
    fn reads_or_refuses_spoiled_rules(seed: u64) {
        let mut random = Random(seed);
        let ruleset = random::ruleset(&mut random);
        check_text(&spoiled(&mut random, &ruleset));
    }

    #[test]
    fn reads_or_refuses_any_text(text: String, octets: Vec<u8>) {
        check_text(&text);
        check_text(&String::from_utf8_lossy(&octets));
    }

    #[test]
    fn reads_or_refuses_any_signs(text in "([a-f0-9@{}(),/&|!=<>\"#;.:\n\\\\ -]|ip |saddr |tcp |flags |dport |accept |limit rate ){0,24}") {
        check_text(&text);
    }

    #[test]
    fn conditions_mean_what_they_say(seed: u64) {
        let mut random = Random(seed);
        let ruleset = random::ruleset(&mut random);
        for _ in 0..20 {
            let facts = random::packet(&mut random);
            for condition in ruleset.rules.iter().flat_map(|rule| &rule.conditions) {
                let (found, expected) =
                    (holds(condition, &facts, &Parity), is_met(condition, &facts));
                prop_assert_eq!(found, expected, "{} of {:?}", condition, facts);
            }
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides(seed: u64) {
        let mut random = Random(seed);
        let ruleset = random::ruleset(&mut random);
        let facts = random::packet(&mut random);
        let within = |index: usize| seed >> (index % 64) & 1 == 1;
        let matching: Vec<usize> = (0..ruleset.rules.len()).filter(|index| {
            let rule = &ruleset.rules[*index];
            rule.conditions.iter().all(|condition| is_met(condition, &facts))
                && rule.limit.is_none_or(|limit| within(*index) != limit.over)
        }).collect();
        let first = matching.iter().position(|index| ruleset.rules[*index].verdict.is_some());
        let decision = walk(&ruleset, &facts, &Parity, within);
        prop_assert_eq!(decision.rule, first.map(|first| matching[first]));
        prop_assert_eq!(&decision.passed, &matching[..first.unwrap_or(matching.len())]);
        let verdict = decision.rule.map_or(Some(ruleset.policy), |rule| ruleset.rules[rule].verdict);
        prop_assert_eq!(Some(decision.verdict), verdict);
    }

    #[test]
    fn reads_packets_from_words(seed: u64) {
        let facts = random::packet(&mut Random(seed));
        let text = words(&facts);
        // ICMP of the other family has no fields by which it could be told.
        let has_words = !matches!((facts.family, facts.protocol), (Family::V4, 58) | (Family::V6, 1));
        let icmp = if has_words { facts.icmp } else { 0 };
        prop_assert_eq!(packet(&text), Ok(Facts { icmp, ..facts }), "{}", text);
    }
}
