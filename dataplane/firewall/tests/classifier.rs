//! The classifier against a walk that asks every rule for every condition.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[cfg(test)]
#[path = "classifier/naive.rs"]
mod naive;
#[cfg(test)]
#[path = "classifier/random.rs"]
mod random;

use firewall::classifier::{Asked, Classifier, OCTETS_MAX, Sets, Unbuildable};
use firewall::facts::{Facts, Family};
use firewall::rules::{Condition, Field, PASSING_MAX, RULES_MAX, Rule, Ruleset, Values, Verdict};
use firewall::{Decision, Members, walk};
use proptest::prelude::*;

/// What each set class is in, and the sets' names by number.
type Lists = Vec<Vec<u16>>;

fn build(ruleset: &Ruleset, lists: &Lists) -> Result<Classifier, Unbuildable> {
    let sets = Sets {
        count: lists.len(),
        lists: &|class| &lists[class],
        number: &|name| random::SETS.iter().find(|(_, known)| *known == name).map(|set| set.0),
    };
    Classifier::build(ruleset, &sets)
}

/// Follows a packet through the rules as the dataplane does: on behind each rule that lets it pass.
fn agree(ruleset: &Ruleset, lists: &Lists, packets: &[(Facts, (u16, u16))]) {
    let classifier = build(ruleset, lists).unwrap();
    for (facts, classes) in packets {
        let mut from = 0;
        loop {
            let expected = naive::first(ruleset, lists, facts, *classes, from);
            let found = classifier.first(facts, *classes, from);
            assert_eq!(found, expected, "{facts:?} {classes:?} from rule {from}");
            match found {
                Some(rule) if ruleset.rules[rule as usize].is_passing() => from = rule + 1,
                _ => break,
            }
        }
    }
}

/// The sets of one packet's addresses.
struct Held<'a> {
    lists: &'a Lists,
    source: u128,
    classes: (u16, u16),
}

impl Members for Held<'_> {
    fn holds(&self, set: &str, _: Family, address: u128) -> bool {
        let class = if address == self.source { self.classes.0 } else { self.classes.1 };
        let number = random::SETS.iter().find(|(_, known)| *known == set).unwrap().0;
        self.lists.get(usize::from(class)).is_some_and(|list| list.contains(&number))
    }
}

/// What becomes of a packet by the classifier, where each limit says the same.
fn decide(
    classifier: &Classifier,
    ruleset: &Ruleset,
    (facts, classes): (&Facts, (u16, u16)),
    is_within: bool,
) -> Decision {
    let (mut passed, mut from) = (Vec::new(), 0);
    while let Some(found) = classifier.first(facts, classes, from) {
        let rule = &ruleset.rules[found as usize];
        let is_met = rule.limit.is_none_or(|limit| is_within != limit.over);
        match rule.verdict {
            Some(verdict) if is_met => {
                return Decision { rule: Some(found as usize), verdict, passed };
            }
            None if is_met => passed.push(found as usize),
            Some(_) | None => {}
        }
        from = found + 1;
    }
    Decision { rule: None, verdict: ruleset.policy, passed }
}

/// Whether people are told of each packet what becomes of it: `walk` and the classifier decide the same.
fn agree_with_walk(ruleset: &Ruleset, lists: &Lists, packets: &[(Facts, (u16, u16))]) {
    let classifier = build(ruleset, lists).unwrap();
    for (facts, (source, destination)) in packets {
        // An address is of one class, wherever it stands.
        let is_same = facts.source == facts.destination;
        let classes = (*source, if is_same { *source } else { *destination });
        let held = Held { lists, source: facts.source, classes };
        for is_within in [true, false] {
            let told = walk(ruleset, facts, &held, |_| is_within);
            let found = decide(&classifier, ruleset, (facts, classes), is_within);
            assert_eq!(found, told, "{facts:?} {classes:?}, within limits: {is_within}");
        }
    }
}

/// Whether bursts find what single packets do: of both families by turns, and of one on end.
fn agree_in_bursts(ruleset: &Ruleset, lists: &Lists, packets: &[(Facts, (u16, u16))]) {
    let classifier = build(ruleset, lists).unwrap();
    let mut packets = packets.to_vec();
    for _ in 0..2 {
        let asked = |(facts, classes)| Asked { classifier: &classifier, facts, classes };
        let asked: Vec<_> =
            packets.iter().map(|(facts, classes)| asked((facts, *classes))).collect();
        let mut found = vec![Some(u32::MAX); packets.len()];
        Classifier::first_burst(&asked, &mut found);
        for ((facts, classes), found) in packets.iter().zip(found) {
            assert_eq!(found, classifier.first(facts, *classes, 0), "{facts:?} {classes:?}");
        }
        packets.sort_by_key(|(facts, _)| facts.family);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn finds_what_the_naive_walk_finds(
        ruleset in random::ruleset(0..40),
        lists in random::lists(),
        packets in prop::collection::vec(random::packet(), 200),
    ) {
        agree(&ruleset, &lists, &packets);
        agree_with_walk(&ruleset, &lists, &packets);
        agree_in_bursts(&ruleset, &lists, &packets);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    #[test]
    fn finds_it_among_hundreds_of_rules(
        ruleset in random::ruleset(100..400),
        lists in random::lists(),
        packets in prop::collection::vec(random::packet(), 300),
    ) {
        agree(&ruleset, &lists, &packets);
        agree_with_walk(&ruleset, &lists, &packets);
        agree_in_bursts(&ruleset, &lists, &packets);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12, max_shrink_iters: 100, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn finds_it_among_rules_of_several_blocks(
        ruleset in random::ruleset(600..2200),
        lists in random::lists(),
        packets in prop::collection::vec(random::packet(), 300),
    ) {
        agree(&ruleset, &lists, &packets);
        agree_with_walk(&ruleset, &lists, &packets);
        agree_in_bursts(&ruleset, &lists, &packets);
    }

    #[test]
    fn builds_the_same_tables_from_the_same_rules(
        ruleset in random::ruleset(0..700),
        lists in random::lists(),
    ) {
        prop_assert!(build(&ruleset, &lists) == build(&ruleset, &lists));
    }
}

fn rule(conditions: Vec<Condition>, verdict: Option<Verdict>) -> Rule {
    Rule { conditions, limit: None, counter: false, verdict, comment: None }
}

fn within(field: Field, ranges: &[(u128, u128)]) -> Condition {
    Condition { field, negated: false, values: Values::Ranges(ranges.into()) }
}

fn accepting(rules: Vec<Rule>) -> Ruleset {
    Ruleset { policy: Verdict::Drop, rules }
}

const PACKET: Facts = Facts {
    family: Family::V4,
    source: 0xc633_6401,
    destination: 0xcb00_7164,
    protocol: 6,
    source_port: 40_000,
    destination_port: 21,
    tcp_flags: 2,
    icmp: 0,
    length: 60,
    dscp: 0,
};

#[test]
fn finds_nothing_where_there_are_no_rules() {
    let classifier = build(&accepting(Vec::new()), &Vec::new()).unwrap();
    assert_eq!(classifier.first(&PACKET, (0, 0), 0), None);
    assert_eq!(classifier.uses_sets(), (false, false));
}

#[test]
fn goes_on_behind_rules_that_let_packets_pass() {
    let all = |verdict| rule(Vec::new(), verdict);
    let rules = vec![all(None), all(None), all(Some(Verdict::Accept)), all(None)];
    let classifier = build(&accepting(rules), &Vec::new()).unwrap();
    let found: Vec<_> = (0..5).map(|from| classifier.first(&PACKET, (0, 0), from)).collect();
    assert_eq!(found, [Some(0), Some(1), Some(2), Some(3), None]);
}

#[test]
fn uses_set_classes_only_where_rules_name_sets() {
    let named = |field| Condition { field, negated: true, values: Values::Set("bots".into()) };
    let source = accepting(vec![rule(vec![named(Field::Ip6Saddr)], Some(Verdict::Drop))]);
    let destination = accepting(vec![rule(vec![named(Field::IpDaddr)], Some(Verdict::Drop))]);
    assert_eq!(build(&source, &Vec::new()).unwrap().uses_sets(), (true, false));
    assert_eq!(build(&destination, &Vec::new()).unwrap().uses_sets(), (false, true));
}

#[test]
fn refuses_a_set_that_is_not_there() {
    let values = Values::Set("nobody".into());
    let condition = Condition { field: Field::IpSaddr, negated: false, values };
    let rules = vec![rule(Vec::new(), None), rule(vec![condition], Some(Verdict::Drop))];
    let refused = build(&accepting(rules), &Vec::new()).unwrap_err();
    assert_eq!(refused, Unbuildable::UnknownSet(1, "nobody".into()));
}

#[test]
fn refuses_more_rules_than_there_may_be() {
    let rules = vec![rule(Vec::new(), Some(Verdict::Drop)); RULES_MAX + 1];
    let refused = build(&accepting(rules), &Vec::new()).unwrap_err();
    assert_eq!(refused, Unbuildable::TooManyRules(RULES_MAX + 1));
}

#[test]
fn refuses_more_passing_rules_than_there_may_be() {
    let most = accepting(vec![rule(Vec::new(), None); PASSING_MAX]);
    assert!(build(&most, &Vec::new()).is_ok());
    let more = accepting(vec![rule(Vec::new(), None); PASSING_MAX + 1]);
    let refused = build(&more, &Vec::new()).unwrap_err();
    assert_eq!(refused, Unbuildable::TooManyPassing(PASSING_MAX + 1));
}

/// In every block each field is met by half of the rules, and both by none but one: summaries say yes for all blocks, and
/// each has to be looked into. The one, in every block at another place, is for a protocol of its own.
#[test]
fn finds_the_rule_behind_blocks_that_only_seem_to_have_one() {
    for count in [1500, 4000, 8000, RULES_MAX] {
        let one = |index: usize| {
            let (step, block) = (index as u128, index / 512);
            let is_met = index % 512 == block * 37 % 200;
            let (source, port) =
                (is_met || step.is_multiple_of(2), is_met || !step.is_multiple_of(2));
            let (from, to) = if source { (step, 1 << 31) } else { (1 << 31, 1 << 32) };
            let (low, high) = if port { (step % 20_000, 30_000) } else { (30_000, 50_000) };
            let mut conditions = vec![
                within(Field::IpSaddr, &[(from + step, to + step - 1)]),
                within(Field::ThDport, &[(low, high + step % 9973)]),
            ];
            if is_met {
                let protocol = u128::from(firewall::rules::WITH_PORTS[block % 5]);
                conditions.push(within(Field::IpProtocol, &[(protocol, protocol)]));
                conditions.push(within(Field::IpLength, &[(block as u128, block as u128)]));
            }
            rule(conditions, Some(Verdict::Accept))
        };
        let ruleset = accepting((0..count).map(one).collect());
        let packets: Vec<_> = (0_u16..=32)
            .map(|block| {
                let protocol = firewall::rules::WITH_PORTS[usize::from(block) % 5];
                let (source, destination_port) = (1 << 30, 25_000);
                let facts = Facts { protocol, source, destination_port, length: block, ..PACKET };
                (facts, (0, 0))
            })
            .collect();
        let met = packets
            .iter()
            .filter(|(facts, classes)| naive::first(&ruleset, &[], facts, *classes, 0).is_some());
        assert_eq!(met.count(), count.div_ceil(512), "of {count} rules");
        agree(&ruleset, &Vec::new(), &packets);
        agree_in_bursts(&ruleset, &Vec::new(), &packets);
    }
}

/// As many rules as there may be, each with other ranges that overlap those of all others, in every dimension that has
/// room for them: the worst that bounds have to hold for.
#[test]
fn bounds_the_memory_of_the_worst_rules() {
    let spread = |index: usize, step: usize| (index * step % RULES_MAX) as u128;
    let worst = |index: usize| {
        let address = |step| (spread(index, step) << 14, (spread(index, step) << 14) + (1 << 27));
        let port = |step| (spread(index, step) * 2, spread(index, step) * 2 + 30_000);
        let conditions = vec![
            within(Field::IpSaddr, &[address(7919)]),
            within(Field::IpDaddr, &[address(104_729)]),
            within(Field::ThSport, &[port(1_299_709)]),
            within(Field::ThDport, &[port(15_485_863)]),
            within(Field::Length, &[port(32_452_843)]),
        ];
        rule(conditions, Some(Verdict::Accept))
    };
    let ruleset = accepting((0..RULES_MAX).map(worst).collect());
    let classifier = build(&ruleset, &Vec::new()).unwrap();
    assert!(classifier.octets() <= OCTETS_MAX, "{} octets", classifier.octets());
    let packet = Facts { source: 1 << 27, destination: 1 << 27, ..PACKET };
    let expected = naive::first(&ruleset, &Vec::new(), &packet, (0, 0), 0);
    assert_eq!(classifier.first(&packet, (0, 0), 0), expected);
}

#[test]
fn refuses_rules_that_tell_too_many_values_apart() {
    // In each part of the addresses the rules begin in another order.
    let many = |index: u128| {
        let first = |part: u128| ((part << 20) + index * (part * 2 + 3) % 10_007) << 8;
        let ranges: Vec<_> = (0..8).map(|part| (first(part), first(part) + (1 << 17))).collect();
        rule(vec![within(Field::IpSaddr, &ranges)], Some(Verdict::Accept))
    };
    let refused = build(&accepting((0..10_000).map(many).collect()), &Vec::new()).unwrap_err();
    assert!(matches!(refused, Unbuildable::TooManyClasses(_)), "{refused}");
}
