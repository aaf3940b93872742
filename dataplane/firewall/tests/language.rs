//! Rules as people write them: what is read, and how it is printed.

#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test ends where it fails")]

use firewall::parse;
use firewall::rules::{
    CONDITIONS_MAX, Condition, Field, Limit, Period, RULES_MAX, Rule, Unit, Values, Verdict,
};

/// What the text is printed as, which must be read as the same.
fn printed(text: &str) -> String {
    let ruleset = parse(text).unwrap_or_else(|wrong| panic!("{text}: {wrong}"));
    let printed = ruleset.to_string();
    assert_eq!(parse(&printed).as_ref(), Ok(&ruleset), "{text}\nis printed as\n{printed}");
    printed.trim_end().to_owned()
}

fn only(text: &str) -> Rule {
    let mut ruleset = parse(text).unwrap_or_else(|wrong| panic!("{text}: {wrong}"));
    assert_eq!(ruleset.rules.len(), 1, "{text}");
    ruleset.rules.remove(0)
}

fn ranges(text: &str) -> Vec<(u128, u128)> {
    let rule = only(&format!("{text} accept"));
    let Values::Ranges(ranges) = &rule.conditions[0].values else { panic!("{text}: {rule:?}") };
    ranges.to_vec()
}

#[test]
fn reads_every_part_of_a_rule() {
    let text = "ip saddr != 198.51.100.0/24 tcp dport { 80, 443, 8000-8080 } limit rate over \
                10/minute burst 20 packets counter drop comment \"too many\"";
    let condition = |field, negated, ranges: &[(u128, u128)]| Condition {
        field,
        negated,
        values: Values::Ranges(ranges.into()),
    };
    let expected = Rule {
        conditions: vec![
            condition(Field::IpSaddr, true, &[(0xc633_6400, 0xc633_64ff)]),
            condition(Field::TcpDport, false, &[(80, 80), (443, 443), (8000, 8080)]),
        ],
        limit: Some(Limit {
            over: true,
            rate: 10,
            per: Period::Minute,
            unit: Unit::Packets,
            burst: 20,
        }),
        counter: true,
        verdict: Some(Verdict::Drop),
        comment: Some("too many".into()),
    };
    assert_eq!(only(text), expected);
}

#[test]
fn reads_a_file_with_comments_continued_lines_and_a_policy() {
    let text = "# Who may come.\r\n\npolicy drop # unless said otherwise\n\
                ip daddr 203.0.113.100 \\\n  tcp dport 20-21 accept; udp dport 53 accept\n\
                ip saddr { # long\n 192.0.2.1,\n 192.0.2.9,\n} accept # end";
    let expected = "policy drop\n\
                    ip daddr 203.0.113.100 tcp dport 20-21 accept\n\
                    udp dport 53 accept\n\
                    ip saddr { 192.0.2.1, 192.0.2.9 } accept";
    assert_eq!(printed(text), expected);
    assert_eq!(printed("policy accept"), "");
    assert_eq!(printed(""), "");
}

/// Each line as it is printed, and before it what else is read as the same.
#[test]
fn prints_one_way_for_each_meaning() {
    let table: &[(&[&str], &str)] = &[
        (&["ip saddr == 10.1.2.3/8 accept"], "ip saddr 10.0.0.0/8 accept"),
        (&["ip saddr 10.0.0.0-10.255.255.255 accept"], "ip saddr 10.0.0.0/8 accept"),
        (&["ip daddr { 10.128.0.0/9, 10.0.0.0/9, } accept"], "ip daddr 10.0.0.0/8 accept"),
        (&["ip saddr <= 0.0.0.9 drop"], "ip saddr 0.0.0.0-0.0.0.9 drop"),
        (&["ip saddr 0.0.0.0/0 drop"], "ip saddr 0.0.0.0/0 drop"),
        (&["ip6 saddr 2001:DB8::1/32 accept"], "ip6 saddr 2001:db8::/32 accept"),
        (
            &["ip6 saddr fe80::1 - fe80::5 accept", "ip6 saddr fe80::1-fe80::5 accept"],
            "ip6 saddr fe80::1-fe80::5 accept",
        ),
        (&["ip6 daddr ::/0 accept"], "ip6 daddr ::/0 accept"),
        (&["ip saddr != @bad-ones drop"], "ip saddr != @bad-ones drop"),
        (&["ip6 daddr @12 drop"], "ip6 daddr @12 drop"),
        (
            &["tcp dport ftp-data - ftp accept", "tcp dport 0x14-21 accept"],
            "tcp dport 20-21 accept",
        ),
        (&["tcp dport { http, https } accept"], "tcp dport { 80, 443 } accept"),
        (&["tcp sport > 1023 accept"], "tcp sport 1024-65535 accept"),
        (&["udp dport < 1024 accept", "udp dport lt 1024 accept"], "udp dport 0-1023 accept"),
        (&["th dport >= 3 drop"], "th dport 3-65535 drop"),
        (&["th sport ne domain drop"], "th sport != 53 drop"),
        (
            &["meta l4proto { 6, 17 } th dport domain accept"],
            "meta l4proto { tcp, udp } th dport 53 accept",
        ),
        (&["ip protocol ipip drop", "ip protocol 4 drop"], "ip protocol ipencap drop"),
        (&["ip6 nexthdr ipv6-icmp accept"], "ip6 nexthdr icmpv6 accept"),
        (&["ip protocol != 200 drop"], "ip protocol != 200 drop"),
        (&["meta nfproto 2 drop"], "meta nfproto ipv4 drop"),
        (
            &["meta length 1501-65535 drop", "meta length > 1500 drop"],
            "meta length 1501-65535 drop",
        ),
        (&["ip length 20 drop"], "ip length 20 drop"),
        (
            &["icmp type { 8, echo-reply } icmp code 0 accept"],
            "icmp type { echo-reply, echo-request } icmp code 0 accept",
        ),
        (
            &["icmp type destination-unreachable icmp code frag-needed accept"],
            "icmp type destination-unreachable icmp code 4 accept",
        ),
        (&["icmpv6 type mld2-listener-report accept"], "icmpv6 type mld2-listener-report accept"),
        (&["icmpv6 type 133-137 drop"], "icmpv6 type 133-137 drop"),
        (&["ip dscp { 46, 0x0a, 63 } counter"], "ip dscp { af11, ef, 63 } counter"),
        (&["ip6 dscp != be drop"], "ip6 dscp != cs0 drop"),
        (&["counter packets 7 bytes 420 accept"], "counter accept"),
        (&["accept comment web"], "accept comment \"web\""),
        (&["limit rate 4/second accept"], "limit rate 4/second burst 5 packets accept"),
        (&["limit rate 1024 kbytes/second drop"], "limit rate 1 mbytes/second burst 1 mbytes drop"),
        (
            &["limit rate 1500 bytes/hour burst 2048 bytes drop"],
            "limit rate 1500 bytes/hour burst 2 kbytes drop",
        ),
    ];
    for (texts, expected) in table {
        for text in texts.iter().chain([expected]) {
            assert_eq!(&printed(text), expected, "{text}");
        }
    }
}

/// The meanings and the shortest form of nft's own tests.
#[test]
fn reads_flags_as_nft_does() {
    let bits = |negated, mask, value| (negated, Values::Bits { mask, value });
    let table: &[(&[&str], &str, (bool, Values))] = &[
        (&["syn", "& syn != 0", "& 2 != 0"], "syn", bits(true, 0x02, 0)),
        (&["syn,ack", "& (syn|ack) != 0", "& (syn | ack) ne 0"], "syn,ack", bits(true, 0x12, 0)),
        (&["! fin,rst", "& (fin | rst) == 0"], "! fin,rst", bits(false, 0x05, 0)),
        (&["== syn", "& 0xff == syn", "eq 2"], "== syn", bits(false, 0xff, 0x02)),
        (&["!= syn"], "!= syn", bits(true, 0xff, 0x02)),
        (&["== syn|ack", "== (syn|ack)"], "== syn | ack", bits(false, 0xff, 0x12)),
        (&["== 0", "& 0xff == 0"], "== 0x0", bits(false, 0xff, 0)),
        (
            &["& (fin|syn|rst|ack) == syn", "& (fin|syn|rst|ack) syn", "syn / fin,syn,rst,ack"],
            "syn / fin,syn,rst,ack",
            bits(false, 0x17, 0x02),
        ),
        (
            &["& (fin|syn|rst|ack) != syn", "!= syn / fin,syn,rst,ack"],
            "!= syn / fin,syn,rst,ack",
            bits(true, 0x17, 0x02),
        ),
        (&["& syn == syn", "== syn / syn"], "syn / syn", bits(false, 0x02, 0x02)),
        (
            &["{ syn, syn | ack }", "== { syn | ack, 2 }"],
            "{ syn, syn | ack }",
            (false, Values::Ranges([(2, 2), (0x12, 0x12)].into())),
        ),
        (&["!= { fin, syn, 0 }"], "!= { 0x0, fin, syn }", (true, Values::Ranges([(0, 2)].into()))),
    ];
    for (texts, expected, (negated, values)) in table {
        for text in texts.iter().chain([expected]) {
            let text = format!("tcp flags {text} accept");
            let condition = &only(&text).conditions[0];
            assert_eq!((condition.negated, &condition.values), (*negated, values), "{text}");
            assert_eq!(printed(&text), format!("tcp flags {expected} accept"), "{text}");
        }
    }
}

#[test]
fn joins_ranges_that_overlap_or_adjoin() {
    assert_eq!(ranges("tcp dport { 5-9, 1-2, 3-4, 20, 9-12 }"), [(1, 12), (20, 20)]);
    assert_eq!(ranges("ip6 saddr { ::/1, 8000::/1 }"), [(0, u128::MAX)]);
    assert_eq!(ranges("ip saddr 255.255.255.255/1"), [(0x8000_0000, 0xffff_ffff)]);
}

#[test]
fn reads_as_many_rules_as_there_may_be() {
    let text = "tcp dport 80 accept\n".repeat(RULES_MAX);
    assert_eq!(parse(&text).map(|ruleset| ruleset.rules.len()), Ok(RULES_MAX));
    let wrong = parse(&(text + " drop")).unwrap_err();
    let line = u32::try_from(RULES_MAX).unwrap() + 1;
    assert_eq!((wrong.line, wrong.column), (line, 2));
    assert_eq!(wrong.what, "a tenant has at most 16384 rules: put addresses into sets");
}

#[test]
fn refuses_more_conditions_than_a_rule_needs() {
    let conditions = "tcp dport 80 ".repeat(CONDITIONS_MAX);
    assert!(parse(&format!("{conditions} accept")).is_ok());
    assert!(parse(&format!("{conditions} tcp dport 80 accept")).is_err());
}
