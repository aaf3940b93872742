//! Rules and packets at random, out of few values, so that packets meet the borders of rules.

use std::ops::Range;

use firewall::facts::{Facts, Family};
use firewall::rules::{
    Condition, Field, Limit, PASSING_MAX, Period, Rule, Ruleset, Unit, Values, Verdict,
};
use proptest::prelude::*;
use proptest::sample::select;

/// Sets by number and name.
pub(crate) const SETS: [(u16, &str); 4] = [(2, "bots"), (3, "friends"), (500, "12"), (9000, "far")];

/// Values up to the last: a few that are close to each other, both ends, and some from all over.
fn value(last: u128) -> BoxedStrategy<u128> {
    let near = (0..60_u128).prop_map(move |step| (last / 3 + step).min(last));
    let far = (0..400_u128).prop_map(move |step| last / 400 * step);
    let ends = select(vec![0, 1, last - 1, last]);
    prop_oneof![6 => near, 3 => far, 1 => ends].boxed()
}

fn protocol() -> BoxedStrategy<u128> {
    prop_oneof![8 => select(vec![1, 6, 17, 33, 58, 132, 136]), 1 => value(255)].boxed()
}

fn values_of(field: Field) -> BoxedStrategy<u128> {
    match field {
        Field::IpSaddr | Field::IpDaddr => value(u32::MAX.into()),
        Field::Ip6Saddr | Field::Ip6Daddr => value(u128::MAX),
        Field::Nfproto => select(vec![2, 10]).boxed(),
        Field::IpProtocol | Field::Ip6Nexthdr | Field::L4proto => protocol(),
        Field::TcpFlags
        | Field::IcmpType
        | Field::IcmpCode
        | Field::Icmpv6Type
        | Field::Icmpv6Code => value(255),
        Field::IpDscp | Field::Ip6Dscp => value(63),
        Field::Length
        | Field::IpLength
        | Field::TcpSport
        | Field::TcpDport
        | Field::UdpSport
        | Field::UdpDport
        | Field::ThSport
        | Field::ThDport => value(0xffff),
    }
}

/// Ranges between these values, in order and apart.
fn ranges(mut ends: Vec<u128>) -> Values {
    ends.sort_unstable();
    let mut ranges: Vec<(u128, u128)> = Vec::new();
    for pair in ends.chunks(2) {
        match ranges.last_mut() {
            Some(last) if last.1.saturating_add(1) >= pair[0] => last.1 = pair[pair.len() - 1],
            _ => ranges.push((pair[0], pair[pair.len() - 1])),
        }
    }
    Values::Ranges(ranges.into())
}

fn condition() -> impl Strategy<Value = Condition> {
    let values = |field| {
        let count = prop_oneof![6 => 1..4_usize, 1 => 4..20_usize];
        let some = count
            .prop_flat_map(move |count| prop::collection::vec(values_of(field), count))
            .prop_map(ranges);
        let set = select(&SETS[..]).prop_map(|set| Values::Set(set.1.into()));
        let bits = (any::<u8>(), any::<u8>())
            .prop_map(|(mask, value)| Values::Bits { mask, value: mask & value });
        let is_address =
            matches!(field, Field::IpSaddr | Field::IpDaddr | Field::Ip6Saddr | Field::Ip6Daddr);
        if is_address {
            prop_oneof![3 => some, 1 => set].boxed()
        } else if field == Field::TcpFlags {
            prop_oneof![some, bits].boxed()
        } else {
            some.boxed()
        }
    };
    (select(&Field::ALL[..]), prop::bool::weighted(0.2)).prop_flat_map(move |(field, negated)| {
        values(field).prop_map(move |values| Condition { field, negated, values })
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let count = prop_oneof![1 => 0..1_usize, 60 => 1..3_usize, 30 => 3..5_usize];
    let conditions = count.prop_flat_map(|count| prop::collection::vec(condition(), count));
    let verdict = prop_oneof![
        1 => Just(None),
        9 => select(vec![Some(Verdict::Accept), Some(Verdict::Drop)]),
    ];
    (conditions, verdict, prop::bool::weighted(0.05)).prop_map(|(conditions, verdict, limited)| {
        let limit = limited.then_some(Limit {
            over: false,
            rate: 1,
            per: Period::Second,
            unit: Unit::Packets,
            burst: 1,
        });
        Rule { conditions, limit, counter: false, verdict, comment: None }
    })
}

/// So many rules; in half of the cases none lets packets pass, in others as many as may.
pub(crate) fn ruleset(count: Range<usize>) -> impl Strategy<Value = Ruleset> {
    (prop::collection::vec(rule(), count), any::<bool>()).prop_map(|(mut rules, may_pass)| {
        let mut left = if may_pass { PASSING_MAX } else { 0 };
        for rule in rules.iter_mut().filter(|rule| rule.is_passing()) {
            if left == 0 {
                (rule.verdict, rule.limit) = (Some(Verdict::Accept), None);
            } else {
                left -= 1;
            }
        }
        Ruleset { policy: Verdict::Drop, rules }
    })
}

/// Which sets each class is in.
pub(crate) fn lists() -> impl Strategy<Value = Vec<Vec<u16>>> {
    let numbers: Vec<u16> = SETS.iter().map(|set| set.0).collect();
    prop::collection::vec(prop::sample::subsequence(numbers, 0..=SETS.len()), 1..30)
}

/// A packet and its set classes.
#[expect(clippy::cast_possible_truncation, reason = "values are drawn below their fields' bounds")]
pub(crate) fn packet() -> impl Strategy<Value = (Facts, (u16, u16))> {
    let addresses = any::<bool>().prop_flat_map(|is_old| {
        let (family, last) =
            if is_old { (Family::V4, u32::MAX.into()) } else { (Family::V6, u128::MAX) };
        (Just(family), value(last), value(last))
    });
    let ports = (value(0xffff), value(0xffff), value(0xffff));
    let octets = (value(255), value(255), value(255), value(63));
    let classes = (0..32_u16, 0..32_u16);
    (addresses, protocol(), ports, octets, classes).prop_map(
        |((family, source, destination), protocol, ports, octets, classes)| {
            let facts = Facts {
                family,
                source,
                destination,
                protocol: protocol as u8,
                source_port: ports.0 as u16,
                destination_port: ports.1 as u16,
                tcp_flags: octets.0 as u8,
                icmp: (octets.1 as u16) << 8 | octets.2 as u16,
                length: ports.2 as u16,
                dscp: octets.3 as u8,
            };
            (facts, classes)
        },
    )
}
