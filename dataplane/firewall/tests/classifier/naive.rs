//! What the conditions of rules mean, one by one.

use firewall::facts::{Facts, Family};
use firewall::rules::{Condition, Field, Ruleset, Values};

use super::random::SETS;

/// The first rule from this one on whose conditions all hold.
pub(crate) fn first(
    ruleset: &Ruleset,
    lists: &[Vec<u16>],
    facts: &Facts,
    classes: (u16, u16),
    from: u32,
) -> Option<u32> {
    let mut rules = (0..).zip(&ruleset.rules).skip(from as usize);
    let holds = |condition| holds(condition, lists, facts, classes);
    rules.find(|(_, rule)| rule.conditions.iter().all(holds)).map(|(index, _)| index)
}

fn holds(condition: &Condition, lists: &[Vec<u16>], facts: &Facts, classes: (u16, u16)) -> bool {
    let field = condition.field;
    if field.family().is_some_and(|family| family != facts.family) {
        return false;
    }
    if field.protocols().is_some_and(|protocols| !protocols.contains(&facts.protocol)) {
        return false;
    }
    let value = value(field, facts);
    let held = match &condition.values {
        Values::Ranges(ranges) => ranges.iter().any(|range| range.0 <= value && value <= range.1),
        Values::Bits { mask, value } => facts.tcp_flags & mask == *value,
        Values::Set(name) => {
            let is_source = matches!(field, Field::IpSaddr | Field::Ip6Saddr);
            let class = if is_source { classes.0 } else { classes.1 };
            let number = SETS.iter().find(|set| set.1 == &**name).unwrap().0;
            lists.get(usize::from(class)).is_some_and(|list| list.contains(&number))
        }
    };
    held != condition.negated
}

fn value(field: Field, facts: &Facts) -> u128 {
    match field {
        Field::IpSaddr | Field::Ip6Saddr => facts.source,
        Field::IpDaddr | Field::Ip6Daddr => facts.destination,
        Field::Nfproto if facts.family == Family::V4 => 2,
        Field::Nfproto => 10,
        Field::IpProtocol | Field::Ip6Nexthdr | Field::L4proto => facts.protocol.into(),
        Field::TcpSport | Field::UdpSport | Field::ThSport => facts.source_port.into(),
        Field::TcpDport | Field::UdpDport | Field::ThDport => facts.destination_port.into(),
        Field::TcpFlags => facts.tcp_flags.into(),
        Field::IcmpType | Field::Icmpv6Type => (facts.icmp >> 8).into(),
        Field::IcmpCode | Field::Icmpv6Code => (facts.icmp & 255).into(),
        Field::Length | Field::IpLength => facts.length.into(),
        Field::IpDscp | Field::Ip6Dscp => facts.dscp.into(),
    }
}
