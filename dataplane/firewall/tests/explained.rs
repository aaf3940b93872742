//! What rules make of packets, and how it is explained.

#![expect(clippy::expect_used, reason = "a test ends where it fails")]

use firewall::facts::{Facts, Family};
use firewall::rules::{Ruleset, Verdict};
use firewall::{Decision, Members, explain, packet, parse, sets, walk};

/// One set with one address of each family.
struct Bad;

impl Members for Bad {
    fn holds(&self, set: &str, family: Family, address: u128) -> bool {
        set == "bad" && address == if family == Family::V4 { 0xc633_6401 } else { 1 }
    }
}

const RULES: &str = "policy drop
ip saddr @bad drop
ip daddr 203.0.113.100 counter
ip daddr 203.0.113.100 tcp dport 20-21 limit rate over 100/second drop
ip daddr 203.0.113.100 tcp dport 20-21 accept
ip6 saddr != @bad icmpv6 type echo-request accept
meta length > 1500 drop
";

fn rules() -> Ruleset {
    parse(RULES).expect(RULES)
}

fn facts(text: &str) -> Facts {
    packet(text).expect(text)
}

fn decide(text: &str, is_within: bool) -> Decision {
    let mut asked = Vec::new();
    let decision = walk(&rules(), &facts(text), &Bad, |rule| {
        asked.push(rule);
        is_within
    });
    assert!(asked.iter().all(|rule| *rule == 2), "rules without a limit are asked: {asked:?}");
    decision
}

const FTP: &str = "ip saddr 192.0.2.1 ip daddr 203.0.113.100 tcp sport 40000 tcp dport 21";
const BAD: &str = "ip saddr 198.51.100.1 ip daddr 203.0.113.100 udp sport 53 udp dport 53";
const PING: &str = "ip6 saddr ::2 ip6 daddr ::3 icmpv6 type echo-request";

#[test]
fn lets_ftp_through_and_nothing_else() {
    let accepted = Decision { rule: Some(3), verdict: Verdict::Accept, passed: vec![1] };
    assert_eq!(decide(FTP, true), accepted);
    let other = decide(&FTP.replace("dport 21", "dport 22"), true);
    assert_eq!(other, Decision { rule: None, verdict: Verdict::Drop, passed: vec![1] });
    let udp = decide(&FTP.replace("tcp", "udp"), true);
    assert_eq!(udp, Decision { rule: None, verdict: Verdict::Drop, passed: vec![1] });
}

#[test]
fn drops_what_is_over_a_limit() {
    let dropped = Decision { rule: Some(2), verdict: Verdict::Drop, passed: vec![1] };
    assert_eq!(decide(FTP, false), dropped);
}

#[test]
fn asks_sets_for_the_family_of_the_packet() {
    assert_eq!(decide(BAD, true).rule, Some(0));
    assert_eq!(decide(PING, true).rule, Some(4));
    assert_eq!(decide(&PING.replace("::2", "::1"), true).rule, None);
}

#[test]
fn a_negation_asks_for_the_field_as_well() {
    let ruleset = parse("tcp dport != 80 drop\nip saddr != 192.0.2.1 drop").expect("rules");
    let v6_udp = facts("ip6 saddr ::2 ip6 daddr ::3 udp sport 1 udp dport 2");
    let decision = walk(&ruleset, &v6_udp, &Bad, |_| true);
    assert_eq!((decision.rule, decision.verdict), (None, Verdict::Accept));
}

#[test]
fn says_which_condition_of_each_rule_fails() {
    let lines = explain(&rules(), &facts(FTP), &Bad);
    assert_eq!(lines, [(0, Some(0)), (1, None), (2, None), (3, None)]);
    let other = facts(&FTP.replace("dport 21", "dport 22"));
    let failing = [Some(0), None, Some(1), Some(1), Some(0), Some(0)];
    let expected: Vec<(usize, Option<usize>)> = failing.into_iter().enumerate().collect();
    assert_eq!(explain(&rules(), &other, &Bad), expected);
}

#[test]
fn names_the_sets_that_are_used() {
    assert_eq!(sets(&rules()).collect::<Vec<&str>>(), ["bad", "bad"]);
}

#[test]
fn reads_a_packet_and_adds_what_goes_without_saying() {
    let syn = facts(FTP);
    assert_eq!((syn.tcp_flags, syn.length, syn.dscp), (0x02, 40, 0));
    let whole = facts(&format!("{FTP} tcp flags syn,ack meta length 1500 ip dscp ef"));
    assert_eq!((whole.tcp_flags, whole.length, whole.dscp), (0x12, 1500, 46));
    let ping = facts(&format!("{PING} icmpv6 code 3"));
    assert_eq!((ping.protocol, ping.icmp, ping.length), (58, 0x8003, 48));
    let gre = facts("ip saddr 192.0.2.1 ip daddr 192.0.2.2 ip protocol gre ip length 24");
    assert_eq!((gre.protocol, gre.length, gre.source_port), (47, 24, 0));
}
