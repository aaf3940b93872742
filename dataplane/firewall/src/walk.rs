//! What rules mean, said in the plainest way: one rule after the other, one condition after the other. People are
//! told by it why a packet goes or stays, so tests hold the classifier against it.

use crate::facts::{Facts, Family};
use crate::rules::{Condition, Field, Ruleset, Values, Verdict};

/// Who knows the named sets.
pub trait Members {
    /// Whether the set holds the address; an IPv4 address in the low 32 bits.
    fn holds(&self, set: &str, family: Family, address: u128) -> bool;
}

/// What rules make of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The index of the rule that decides; none when the policy does.
    pub rule: Option<usize>,
    /// What becomes of the packet.
    pub verdict: Verdict,
    /// The indices of rules before that match without a verdict.
    pub passed: Vec<usize>,
}

/// The names of the sets that rules use, each as often as it is used.
pub fn sets(ruleset: &Ruleset) -> impl Iterator<Item = &str> {
    let conditions = ruleset.rules.iter().flat_map(|rule| &rule.conditions);
    conditions.filter_map(|condition| match &condition.values {
        Values::Set(name) => Some(&**name),
        Values::Ranges(_) | Values::Bits { .. } => None,
    })
}

/// Whether the condition holds for the packet. A packet that has no such field meets neither the condition nor its
/// negation.
pub fn holds(condition: &Condition, facts: &Facts, members: &dyn Members) -> bool {
    let Condition { field, negated, values } = condition;
    let has_field = field.family().is_none_or(|family| family == facts.family)
        && field.protocols().is_none_or(|protocols| protocols.contains(&facts.protocol));
    let value = value(*field, facts);
    let is_found = match values {
        Values::Ranges(ranges) => {
            let below = ranges.partition_point(|(_, last)| *last < value);
            ranges.get(below).is_some_and(|(first, _)| *first <= value)
        }
        Values::Set(name) => members.holds(name, facts.family, value),
        Values::Bits { mask, value: asked } => value & u128::from(*mask) == u128::from(*asked),
    };
    has_field && is_found != *negated
}

/// What a field is in the packet; of one that the packet does not have it means nothing.
pub fn value(field: Field, facts: &Facts) -> u128 {
    let [icmp_type, icmp_code] = facts.icmp.to_be_bytes();
    match field {
        Field::IpSaddr | Field::Ip6Saddr => facts.source,
        Field::IpDaddr | Field::Ip6Daddr => facts.destination,
        Field::Nfproto => match facts.family {
            Family::V4 => 2,
            Family::V6 => 10,
        },
        Field::IpProtocol | Field::Ip6Nexthdr | Field::L4proto => facts.protocol.into(),
        Field::TcpSport | Field::UdpSport | Field::ThSport => facts.source_port.into(),
        Field::TcpDport | Field::UdpDport | Field::ThDport => facts.destination_port.into(),
        Field::TcpFlags => facts.tcp_flags.into(),
        Field::IcmpType | Field::Icmpv6Type => icmp_type.into(),
        Field::IcmpCode | Field::Icmpv6Code => icmp_code.into(),
        Field::Length | Field::IpLength => facts.length.into(),
        Field::IpDscp | Field::Ip6Dscp => facts.dscp.into(),
    }
}

/// The first rule that matches and has a verdict, or the policy. Of each rule with a limit of which the conditions hold
/// it is asked by its index whether the packet is within; each time the limit is used.
pub fn walk(
    ruleset: &Ruleset,
    facts: &Facts,
    members: &dyn Members,
    mut within_limit: impl FnMut(usize) -> bool,
) -> Decision {
    let mut passed = Vec::new();
    for (index, rule) in ruleset.rules.iter().enumerate() {
        let is_met = rule.conditions.iter().all(|condition| holds(condition, facts, members))
            && rule.limit.is_none_or(|limit| within_limit(index) != limit.over);
        match rule.verdict {
            Some(verdict) if is_met => return Decision { rule: Some(index), verdict, passed },
            None if is_met => passed.push(index),
            Some(_) | None => {}
        }
    }
    Decision { rule: None, verdict: ruleset.policy, passed }
}

/// For each rule, up to the first that decides whatever its limit says: its index, and the index of its first condition
/// that does not hold; none when all hold.
pub fn explain(
    ruleset: &Ruleset,
    facts: &Facts,
    members: &dyn Members,
) -> Vec<(usize, Option<usize>)> {
    let mut lines = Vec::new();
    for (index, rule) in ruleset.rules.iter().enumerate() {
        let fails = |condition| !holds(condition, facts, members);
        let failing = rule.conditions.iter().position(fails);
        lines.push((index, failing));
        if failing.is_none() && !rule.is_passing() {
            break;
        }
    }
    lines
}
