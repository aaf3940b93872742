//! Claims about what is said of a packet.

use super::*;
use crate::model::dos::{ListKind, Matter, Mode, Reach, Rule as Listed};
use crate::model::{Change, Firewall, Limits, Origin};

const FTP: &str =
    "ip saddr 198.51.100.1 ip daddr 203.0.113.100 tcp sport 40000 tcp dport 21 tcp flags syn";

fn book(rules: &str) -> Book {
    let set = |name: &str, prefixes: &[&str]| {
        let prefixes: Vec<_> = prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect();
        Change::AddRule(Listed {
            name: name.into(),
            id: 0,
            mode: Mode::Enforce,
            reach: Reach::All,
            expires: None,
            matter: Matter::List(ListKind::Set, prefixes.into()),
            origin: Origin::Cli,
        })
    };
    let tenant = |name: &str, prefix: &str, rules: Option<&str>| {
        Change::AddTenant(Tenant {
            firewall: rules.map(|rules| Firewall::read(rules, Origin::Cli).unwrap()),
            ..Tenant::new(name, [prefix.parse().unwrap()])
        })
    };
    let changes = [
        set("bad", &["198.51.100.0/30", "2001:db8:bad::/48"]),
        set("good", &["198.51.100.7/32"]),
        tenant("customer", "203.0.113.0/24", Some(rules)),
        tenant("other", "2001:db8:7::/48", None),
    ];
    let mut book = Book::default();
    book.apply(Origin::Cli, &changes, &Limits::default()).unwrap();
    book
}

fn asked(rules: &str, packet: &str) -> TestShown {
    let book = book(rules);
    let tenant = book.tenant_named("customer").unwrap();
    let ruleset = tenant.firewall.as_ref().map(|firewall| &**firewall.ruleset());
    test(&book, tenant, ruleset, &firewall::packet(packet).unwrap())
}

fn decided(shown: &TestShown) -> Vec<(Option<usize>, Option<&str>, &str)> {
    let decided = shown.deciding.iter();
    decided.map(|one| (one.rule, one.limit.as_deref(), &*one.verdict)).collect()
}

fn failing(shown: &TestShown) -> Vec<(Option<String>, Option<String>)> {
    shown.tried.iter().map(|tried| (tried.fails.clone(), tried.found.clone())).collect()
}

#[test]
fn each_rule_is_told_with_its_first_condition_that_fails_and_what_the_packet_has_there() {
    let rules = "ip6 saddr @bad drop\nudp dport 21 drop\nip saddr @good tcp dport 22 accept\n\
        tcp dport 22 drop\ntcp flags ack accept\nip saddr @bad tcp dport 21 drop\naccept\n";
    let shown = asked(rules, FTP);
    let wanted = [
        ("ip6 saddr @bad", "meta nfproto ipv4"),
        ("udp dport 21", "meta l4proto tcp"),
        ("ip saddr @good", "ip saddr 198.51.100.1"),
        ("tcp dport 22", "tcp dport 21"),
        ("tcp flags ack", "tcp flags == syn"),
    ];
    let mut wanted: Vec<_> =
        wanted.iter().map(|(one, two)| (Some((*one).into()), Some((*two).into()))).collect();
    wanted.push((None, None));
    assert_eq!(failing(&shown), wanted);
    assert_eq!(decided(&shown), [(Some(6), None, "drop")]);
    let owner = shown.owner.unwrap();
    assert_eq!((&*owner.0, &*owner.1), ("203.0.113.0/24", "customer"));
}

#[test]
fn without_a_rule_that_matches_the_policy_decides() {
    let shown = asked("policy drop\ntcp dport 22 accept\n", FTP);
    assert_eq!((decided(&shown), shown.tried.len()), (vec![(None, None, "drop")], 1));
    let shown = asked("", FTP);
    assert_eq!((decided(&shown), shown.tried.len()), (vec![(None, None, "accept")], 0));
}

#[test]
fn what_depends_on_limits_is_told_with_what_decides_else() {
    let rules = "tcp dport 21 counter\ntcp dport 21 limit rate 5/second accept\n\
        tcp dport 21 limit rate over 1 mbytes/second drop\ntcp dport 23 drop\n";
    let wanted = [
        (Some(2), Some("within"), "accept"),
        (Some(3), Some("beyond"), "drop"),
        (None, None, "accept"),
    ];
    assert_eq!(decided(&asked(rules, FTP)), wanted);
    let rules = format!("{rules}tcp dport 21 drop\ntcp dport 21 accept\n");
    let shown = asked(&rules, FTP);
    assert_eq!(decided(&shown).last(), Some(&(Some(5), None, "drop")));
    assert_eq!(shown.tried.len(), 5);
}

#[test]
fn what_decides_is_what_a_walk_through_the_rules_finds_however_the_limits_stand() {
    let rules = "policy drop\nlimit rate 1/second accept\ntcp dport 22 limit rate 1/second drop\n\
        ip saddr @bad limit rate over 1/second drop\nlimit rate 1/second counter\n\
        limit rate over 9 kbytes/day accept\n";
    let (book, facts) = (book(rules), firewall::packet(FTP).unwrap());
    let tenant = book.tenant_named("customer").unwrap();
    let ruleset = tenant.firewall.as_ref().unwrap().ruleset();
    let shown = test(&book, tenant, Some(ruleset), &facts);
    assert_eq!(shown.deciding.len(), 4);
    for limits in 0..1 << ruleset.rules.len() {
        let is_within = |index: usize| limits & 1 << index != 0;
        let walked = firewall::walk(ruleset, &facts, &Sets(&book), is_within);
        let decides = |one: &&Deciding| match (one.rule, one.limit.as_deref()) {
            (Some(number), Some(word)) => is_within(number - 1) == (word == "within"),
            (_, _) => true,
        };
        let found = shown.deciding.iter().find(decides).unwrap();
        let found = (found.rule.map(|number| number - 1), found.verdict.clone());
        assert_eq!(found, (walked.rule, walked.verdict.to_string()), "limits {limits:b}");
    }
}

#[test]
fn a_packet_that_is_not_the_tenants_is_told_as_whose_it_is() {
    let of = |packet| asked("", packet).owner;
    let to_other = "ip6 saddr 2001:db8::1 ip6 daddr 2001:db8:7::1 icmpv6 type echo-request";
    assert_eq!(of(to_other), Some(("2001:db8:7::/48".into(), "other".into())));
    let to_nobody = "ip saddr 198.51.100.1 ip daddr 192.0.2.1 icmp type echo-request";
    assert_eq!(of(to_nobody), None);
}
