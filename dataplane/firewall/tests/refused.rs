//! Mistakes, each with its place and the sentence that is said about it.

use firewall::{packet, parse};

/// Rules, the column, and what is said.
const RULES: &[(&str, u32, &str)] = &[
    (
        "tcp dport 20-10 accept",
        11,
        "the range ends before it begins: write the smaller value first",
    ),
    ("tcp dport accept", 11, "`accept` is not the name of a port: write its number"),
    ("tcp dport", 10, "expected a port, found the end of the rule"),
    ("tcp dport 70000 accept", 11, "`70000` is too much for a port: the most is 65535"),
    ("tcp dport 0x accept", 11, "`0x` is not a port: write its number"),
    ("tcp dport 010 accept", 11, "`010` is octal in nft: write it without the 0"),
    ("tcp dport 22,80 accept", 13, "several values stand in braces: write `tcp dport { a, b }`"),
    ("tcp dport ssh-http accept", 11, "`ssh-http` is not the name of a port: write its number"),
    ("tcp dport {} accept", 12, "the braces are empty: write a value in them"),
    ("tcp dport { 22 80 } accept", 16, "expected `,` or `}`, found `80`"),
    ("tcp dport { 22, 80 accept", 20, "expected `,` or `}`, found `accept`"),
    (
        "tcp dport vmap { 22 : accept }",
        11,
        "`vmap` is not to be had here: write a rule for each value",
    ),
    ("tcp dport @web accept", 11, "a named set holds addresses: write a port or a list in braces"),
    (
        "tcp dport < { 1, 2 } accept",
        13,
        "`<`, `>`, `<=` and `>=` take one value: write `==` or `!=`",
    ),
    (
        "tcp dport < 1-2 accept",
        13,
        "`<`, `>`, `<=` and `>=` take one value: write the range without them",
    ),
    ("tcp dport < 0 accept", 13, "this can never match: a port cannot be there"),
    ("tcp dport > 65535 accept", 13, "this can never match: a port cannot be there"),
    (
        "tcp dport != 0-65535 accept",
        1,
        "this can never match: `tcp dport` is left no value; leave the condition out",
    ),
    ("tcp dport ! 80 accept", 11, "`!` is for flags only: write `!=`"),
    (
        "tcp dport & 1 == 1 accept",
        11,
        "only `tcp flags` is masked with `&`: write a prefix or a range instead",
    ),
    ("tcp dport $web accept", 11, "variables are unknown here: write the value"),
    (
        "ip saddr . tcp dport { 192.0.2.1 . 80 } accept",
        10,
        "fields are not joined with `.`: write one condition behind the other",
    ),
    ("tcp dport *", 11, "expected a port, found '*'"),
    (
        "tcp sequence 1 accept",
        5,
        "`tcp sequence` is not among what rules see here: write `sport` or `dport` or `flags`",
    ),
    (
        "ip saddr 2001:db8::1 accept",
        10,
        "`2001:db8::1` is an IPv6 address: write `ip6` instead of `ip`",
    ),
    (
        "ip6 saddr 192.0.2.1 accept",
        11,
        "`192.0.2.1` is an IPv4 address: write `ip` instead of `ip6`",
    ),
    (
        "ip saddr example.com accept",
        10,
        "`example.com` is not an IPv4 address: write one like 198.51.100.7",
    ),
    ("ip saddr 192.0.2.0/33 accept", 20, "expected the length of a prefix, 0 to 32, found `33`"),
    (
        "ip saddr 192.0.2.0/255.255.255.0 accept",
        20,
        "expected the length of a prefix, 0 to 32, found `255.255.255.0`",
    ),
    ("ip saddr @ accept", 10, "the name of the set is missing: write it right behind the `@`"),
    (
        "ip saddr 192.0.2.1 ip6 daddr ::1 accept",
        20,
        "this can never match: `ip6 daddr` is of another version of IP than the rest of the rule; write two rules",
    ),
    (
        "tcp dport 80 udp sport 53 accept",
        14,
        "this can never match: `udp sport` is of another protocol than the rest of the rule; write two rules",
    ),
    (
        "meta l4proto udp tcp dport 53 accept",
        18,
        "this can never match: `tcp dport` is of another protocol than the rest of the rule; write two rules",
    ),
    (
        "meta nfproto ipv6 ip saddr 192.0.2.1 accept",
        19,
        "this can never match: `ip saddr` is of another version of IP than the rest of the rule; write two rules",
    ),
    (
        "ip6 saddr ::1 icmp type echo-request accept",
        15,
        "this can never match: `icmp type` is of another version of IP than the rest of the rule; write two rules",
    ),
    (
        "tcp dport 80 tcp dport 443 accept",
        14,
        "this can never match: the rule asks for another `tcp dport` already; write both in braces",
    ),
    (
        "meta nfproto != { ipv4, ipv6 } accept",
        1,
        "this can never match: `meta nfproto` is of another version of IP than the rest of the rule; write two rules",
    ),
    (
        "ip protocol != tcp tcp dport 1 accept",
        20,
        "this can never match: `tcp dport` is of another protocol than the rest of the rule; write two rules",
    ),
    (
        "ip ttl 1 accept",
        4,
        "`ip ttl` is not among what rules see here: write `saddr` or `daddr` or `protocol` or `length` or `dscp`",
    ),
    (
        "ip6 length 1 accept",
        5,
        "`ip6 length` is not among what rules see here: write `meta length`, which counts from the IP header on",
    ),
    (
        "meta mark 1 accept",
        6,
        "`meta mark` is not among what rules see here: write `l4proto` or `nfproto` or `length`",
    ),
    (
        "reject",
        1,
        "`reject` is not to be had here: packets are dropped without an answer: write `drop`",
    ),
    (
        "tcp dport 80 reject with tcp reset",
        14,
        "`reject` is not to be had here: packets are dropped without an answer: write `drop`",
    ),
    (
        r#"log prefix "x" accept"#,
        1,
        "`log` is not to be had here: packets are not logged: write `counter`",
    ),
    (
        "ct state established accept",
        1,
        "`ct` is not to be had here: connections are not followed, since answers do not come this way: write `tcp flags`",
    ),
    (
        "queue",
        1,
        "`queue` is not to be had here: there is no program to ask: write `accept` or `drop`",
    ),
    (
        "jump other",
        1,
        "`jump` is not to be had here: there are no chains, and a rule without a verdict goes on to the next one: write the rules one below the other",
    ),
    (
        "return",
        1,
        "`return` is not to be had here: there are no chains, and a rule without a verdict goes on to the next one: write the rules one below the other",
    ),
    (
        r#"iifname "eth0" accept"#,
        1,
        "`iifname` is not to be had here: rules see no interfaces and no routes: write `ip saddr` or `ip daddr`",
    ),
    (
        "dnat to 192.0.2.1",
        1,
        "`dnat` is not to be had here: addresses are not changed: write `accept` or `drop`",
    ),
    (
        "sctp dport 80 accept",
        1,
        "`sctp` is not to be had here: write `meta l4proto` with the protocol, and `th sport` or `th dport`",
    ),
    (
        "@th,0,16 80 accept",
        1,
        "octets by their place are not seen, and a set stands behind what is looked for in it: write for example `ip saddr @name`",
    ),
    (
        "add rule inet filter input accept",
        1,
        "`add` is not to be had here: a tenant has one chain: write its rules alone, one on each line",
    ),
    (
        "table inet filter { }",
        1,
        "`table` is not to be had here: a tenant has one chain: write its rules alone, one on each line",
    ),
    ("l4proto tcp accept", 1, "`l4proto` is not to be had here: write `meta` in front of it"),
    (
        "frobnicate accept",
        1,
        "`frobnicate` begins neither a condition nor a statement: write for example `ip saddr`, `tcp dport`, `meta l4proto`, `counter`, `limit`, `accept` or `drop`",
    ),
    ("tcp dport 80", 1, "the rule does nothing: write `accept`, `drop` or `counter` at its end"),
    (r#"comment "x""#, 1, "the rule does nothing: write `accept`, `drop` or `counter` at its end"),
    (
        "limit rate 1/second",
        1,
        "the rule does nothing: write `accept`, `drop` or `counter` at its end",
    ),
    (
        "accept drop",
        8,
        "nothing but a comment stands behind `accept` or `drop`: write this in front of it, or on a line of its own",
    ),
    (
        "accept tcp dport 80",
        8,
        "nothing but a comment stands behind `accept` or `drop`: write this in front of it, or on a line of its own",
    ),
    (
        "counter tcp dport 80 accept",
        9,
        "conditions stand in front of `counter` and `limit`, which in nft would see what this one keeps out: write it first",
    ),
    (
        "counter limit rate 1/second accept",
        9,
        "`counter` in front of `limit` would count what the limit keeps out: write it behind `limit`, or in a rule of its own",
    ),
    ("counter counter", 9, "the rule counts already: write `counter` once"),
    (
        "limit rate 1/second limit rate 2/second accept",
        21,
        "a rule has one limit: write another rule for this one",
    ),
    (r#"accept comment "a" comment "b""#, 20, "a rule has one comment: leave this one out"),
    (r#"accept comment "open"#, 16, "the quote is not closed: write `\"` at its end"),
    (
        r#"comment "a" accept"#,
        13,
        "nothing stands behind a comment: write it at the end of the rule",
    ),
    ("accept comment 5,", 17, "nothing stands behind a comment: write it at the end of the rule"),
    ("limit 1/second accept", 7, "expected `rate`, found `1`"),
    ("limit rate 0/second accept", 12, "the amount is 0 or too much: write at least 1"),
    (
        "limit rate 1/day accept",
        12,
        "a rate is at least one packet or octet in four hours: write a higher one",
    ),
    (
        "limit rate 1/hour burst 5 packets accept",
        25,
        "a burst must come back within four hours: write up to 4 packets at this rate",
    ),
    ("limit rate 1000000000001/second accept", 12, "a rate is up to 1000000000000 in a second"),
    (
        "limit rate 1/fortnight accept",
        14,
        "expected `second`, `minute`, `hour`, `day` or `week`, found `fortnight`",
    ),
    (
        "limit rate 1 gbytes/second accept",
        14,
        "expected `/second`, `bytes`, `kbytes` or `mbytes`, found `gbytes`",
    ),
    (
        "limit rate 1/second burst 1 accept",
        29,
        "expected `packets`, `bytes`, `kbytes` or `mbytes`, found `accept`",
    ),
    (
        "limit rate 1/second burst 1 mbytes accept",
        27,
        "a burst is of what the rate is of: write both in octets, or both in packets",
    ),
    (
        "limit rate 1 mbytes/second burst 1 packets accept",
        34,
        "a burst is of what the rate is of: write both in octets, or both in packets",
    ),
    (
        "limit rate 99999999999999999999/second accept",
        12,
        "`99999999999999999999` is too much: the most is 18446744073709551615",
    ),
    (
        "limit rate 18446744073709551615 mbytes/second accept",
        12,
        "the amount is 0 or too much: write at least 1",
    ),
    ("counter packets x accept", 17, "expected a number, found `x`"),
    (
        "tcp flags & syn|ack != 0 accept",
        16,
        "several flags of a mask stand in brackets: write `& (syn|ack)`",
    ),
    ("tcp flags & (syn,ack) != 0 accept", 17, "expected `|` or `)`, found `,`"),
    ("tcp flags & (syn|ack == 0 accept", 22, "expected `|` or `)`, found `==`"),
    (
        "tcp flags & syn == ack accept",
        11,
        "this can never match: a flag is asked for that is not in the mask; add it to the mask",
    ),
    ("tcp flags & 0 == 0 accept", 11, "no flag is asked for: write at least one"),
    ("tcp flags < 5 accept", 11, "flags are neither more nor less: write `==` or `!=`"),
    ("tcp flags 0 accept", 11, "no flag is asked for: write at least one"),
    ("tcp flags ns accept", 11, "`ns` is not the name of a flag of TCP: write its number"),
    ("tcp flags 0x1ff accept", 11, "`0x1ff` is too much for a flag of TCP: the most is 255"),
    ("policy reject", 8, "expected `accept` or `drop`, found `reject`"),
    ("policy accept accept", 15, "expected the end of the line behind the policy, found `accept`"),
    ("policy drop; policy drop", 14, "there is a policy already: leave this one out"),
    ("tcp dport 80 é accept", 14, "expected a condition or a statement, found 'é'"),
    (
        r"tcp dport 80 accept \ x",
        21,
        "nothing but a comment stands behind `accept` or `drop`: write this in front of it, or on a line of its own",
    ),
    ("ip saddr", 9, "expected an IPv4 address, found the end of the rule"),
    ("icmp type 300 accept", 11, "`300` is too much for a type of ICMP: the most is 255"),
    ("ip dscp 64 accept", 9, "`64` is too much for a DSCP: the most is 63"),
    ("}", 1, "expected a condition or a statement, found `}`"),
    (
        "ip saddr 192.0.2.1/24-192.0.2.9 accept",
        22,
        "expected a condition or a statement, found `-`",
    ),
    ("ip saddr { @bad, @worse } drop", 12, "a named set stands alone: write a rule for each"),
    (
        "ip saddr 192.0.2.1 accept extra",
        27,
        "nothing but a comment stands behind `accept` or `drop`: write this in front of it, or on a line of its own",
    ),
];

/// Packets, likewise.
const PACKETS: &[(&str, u32, &str)] = &[
    ("", 1, "the packet is not complete: write `ip saddr` or `ip6 saddr`"),
    ("ip saddr 192.0.2.1", 19, "the packet is not complete: write `ip daddr`"),
    ("ip6 daddr ::1", 14, "the packet is not complete: write `ip6 saddr`"),
    (
        "ip saddr 192.0.2.1 ip daddr 192.0.2.2",
        38,
        "the packet is not complete: write `meta l4proto` with the protocol",
    ),
    (
        "ip saddr 192.0.2.1 ip daddr 192.0.2.2 th sport 1 th dport 2",
        60,
        "the packet is not complete: write `meta l4proto` with the protocol",
    ),
    (
        "ip saddr 192.0.2.1 ip daddr 192.0.2.2 meta l4proto tcp",
        55,
        "the packet is not complete: write `tcp sport`, `udp sport` or `th sport`",
    ),
    (
        "ip saddr 192.0.2.1 ip daddr 192.0.2.2 udp sport 53",
        51,
        "the packet is not complete: write `tcp dport`, `udp dport` or `th dport`",
    ),
    (
        "ip saddr 192.0.2.1 ip daddr 192.0.2.2 icmp code 3",
        50,
        "the packet is not complete: write `icmp type` or `icmpv6 type`",
    ),
    (
        "ip saddr 192.0.2.1 ip6 daddr ::1",
        20,
        "`ip6 daddr` contradicts what stands before it: leave it out",
    ),
    ("tcp dport 3 udp sport 4", 13, "`udp sport` contradicts what stands before it: leave it out"),
    ("tcp dport 3 tcp dport 4", 13, "`tcp dport` contradicts what stands before it: leave it out"),
    ("ip saddr 192.0.2.0/24", 10, "a packet has one `ip saddr`: write one value"),
    ("tcp dport { 1 }", 11, "a packet has one `tcp dport`: write one value"),
    ("tcp dport != 1", 11, "expected a port, found `!=`"),
    ("meta nfproto 3", 1, "a packet is `ipv4` or `ipv6`: write one"),
    ("tcp dport 3 accept", 13, "a packet has only fields: leave `accept` out"),
    ("tcp dport 3\n", 12, "a packet is written on one line: leave the line end out"),
];

#[test]
fn says_what_is_wrong_with_a_rule_and_where() {
    for (text, column, what) in RULES {
        let wrong = parse(text).expect_err(text);
        assert_eq!((wrong.line, wrong.column, &*wrong.what), (1, *column, *what), "{text}");
    }
}

#[test]
fn says_what_is_wrong_with_a_packet_and_where() {
    for (text, column, what) in PACKETS {
        let wrong = packet(text).expect_err(text);
        assert_eq!((wrong.line, wrong.column, &*wrong.what), (1, *column, *what), "{text}");
    }
}

#[test]
fn counts_lines_and_characters_not_octets() {
    let wrong = parse("accept # größer\n\n  ip saddr 192.0.2.1 accept \\\n comment \"größer\" x\n");
    let expected =
        "line 4, column 19: nothing stands behind a comment: write it at the end of the rule";
    assert_eq!(wrong.expect_err("x").to_string(), expected);
}
