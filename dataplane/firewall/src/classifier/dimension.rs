//! The dimensions in which packets are told apart, and which part of each a rule asks for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::facts::{Facts, Family};
use crate::rules::{Condition, Field, Rule, Ruleset, Values};

use super::{Sets, Unbuildable};

/// One thing that packets differ in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Dimension {
    #[default]
    Source,
    Destination,
    SourcePort,
    DestinationPort,
    Protocol,
    TcpFlags,
    IcmpType,
    IcmpCode,
    Length,
    Dscp,
    /// The set class of the source: which of the named sets hold it.
    SourceSets,
    /// The set class of the destination.
    DestinationSets,
}

/// All of them, each at its own number.
pub(super) const DIMENSIONS: [Dimension; 12] = [
    Dimension::Source,
    Dimension::Destination,
    Dimension::SourcePort,
    Dimension::DestinationPort,
    Dimension::Protocol,
    Dimension::TcpFlags,
    Dimension::IcmpType,
    Dimension::IcmpCode,
    Dimension::Length,
    Dimension::Dscp,
    Dimension::SourceSets,
    Dimension::DestinationSets,
];

impl Dimension {
    /// Its greatest value.
    pub(super) const fn last(self, family: Family) -> u128 {
        match self {
            Self::Source | Self::Destination => match family {
                Family::V4 => u32::MAX as u128,
                Family::V6 => u128::MAX,
            },
            Self::SourcePort
            | Self::DestinationPort
            | Self::Length
            | Self::SourceSets
            | Self::DestinationSets => u16::MAX as u128,
            Self::Protocol | Self::TcpFlags | Self::IcmpType | Self::IcmpCode | Self::Dscp => {
                u8::MAX as u128
            }
        }
    }

    /// A packet's value; of an address its low 32 bits, which for IPv6 is not all.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
    pub(super) const fn value(self, facts: &Facts, classes: (u16, u16)) -> u32 {
        let [kind, code] = facts.icmp.to_be_bytes();
        match self {
            Self::Source => facts.source as u32,
            Self::Destination => facts.destination as u32,
            Self::SourcePort => facts.source_port as u32,
            Self::DestinationPort => facts.destination_port as u32,
            Self::Protocol => facts.protocol as u32,
            Self::TcpFlags => facts.tcp_flags as u32,
            Self::IcmpType => kind as u32,
            Self::IcmpCode => code as u32,
            Self::Length => facts.length as u32,
            Self::Dscp => facts.dscp as u32,
            Self::SourceSets => classes.0 as u32,
            Self::DestinationSets => classes.1 as u32,
        }
    }

    /// The whole of an address.
    #[inline]
    pub(super) const fn address(self, facts: &Facts) -> u128 {
        if matches!(self, Self::Source) { facts.source } else { facts.destination }
    }
}

/// A packet's values by dimension, in an array that any four bits can index.
#[inline]
pub(super) fn values(facts: &Facts, classes: (u16, u16)) -> [u32; 16] {
    let mut values = [0; 16];
    for (value, dimension) in values.iter_mut().zip(DIMENSIONS) {
        *value = dimension.value(facts, classes);
    }
    values
}

/// Ranges with both ends, ascending and apart.
pub(super) type Ranges<'a> = Cow<'a, [(u128, u128)]>;

/// What one rule asks for.
#[derive(Debug)]
pub(super) struct Demand<'a> {
    /// The rule's index in its ruleset.
    pub(super) rule: u16,
    /// The ranges by dimension; none where it takes every value.
    pub(super) ranges: [Option<Ranges<'a>>; 12],
}

/// The set classes in each set that rules name, as ranges.
#[derive(Debug)]
pub(super) struct Named<'a>(BTreeMap<&'a str, Vec<(u128, u128)>>);

impl<'a> Named<'a> {
    /// Collects the classes of the sets that these rules name.
    pub(super) fn collect(ruleset: &'a Ruleset, sets: &Sets<'_>) -> Result<Self, Unbuildable> {
        let mut numbers = BTreeMap::new();
        for (index, rule) in ruleset.rules.iter().enumerate() {
            for condition in &rule.conditions {
                if let Values::Set(name) = &condition.values
                    && !numbers.contains_key(&**name)
                {
                    let unknown = || Unbuildable::UnknownSet(index, name.clone());
                    numbers.insert(&**name, (sets.number)(name).ok_or_else(unknown)?);
                }
            }
        }
        let mut by_number: BTreeMap<u16, Vec<(u128, u128)>> =
            numbers.values().map(|number| (*number, Vec::new())).collect();
        let classes = if numbers.is_empty() { 0 } else { sets.count };
        for class in 0..classes {
            for number in (sets.lists)(class) {
                if let Some(ranges) = by_number.get_mut(number) {
                    append(ranges, class as u128);
                }
            }
        }
        let ranges = |number| by_number.get(number).cloned().unwrap_or_default();
        Ok(Self(numbers.iter().map(|(name, number)| (*name, ranges(number))).collect()))
    }
}

/// Adds a value above all others, to the last range if it touches it.
fn append(ranges: &mut Vec<(u128, u128)>, value: u128) {
    match ranges.last_mut() {
        Some((_, end)) if *end + 1 >= value => *end = value,
        _ => ranges.push((value, value)),
    }
}

impl<'a> Demand<'a> {
    /// What the rule asks of packets of this family; nothing if it can match none of them.
    pub(super) fn of(
        (index, rule): (u16, &'a Rule),
        family: Family,
        named: &'a Named<'_>,
    ) -> Option<Self> {
        let mut demand = Self { rule: index, ranges: Default::default() };
        for condition in &rule.conditions {
            if condition.field.family().is_some_and(|needed| needed != family) {
                return None;
            }
            if let Some(protocols) = condition.field.protocols() {
                let each = protocols.iter().map(|one| (u128::from(*one), u128::from(*one)));
                demand.narrow(Dimension::Protocol, Cow::Owned(each.collect()))?;
            }
            match place(condition) {
                Some(dimension) => {
                    let ranges = wanted(condition, dimension.last(family), named);
                    demand.narrow(dimension, ranges)?;
                }
                None => nfproto(condition, family).then_some(())?,
            }
        }
        Some(demand)
    }

    /// Takes what is in these ranges too; nothing if nothing is left.
    fn narrow(&mut self, dimension: Dimension, ranges: Ranges<'a>) -> Option<()> {
        let held = self.ranges.get_mut(dimension as usize)?;
        let narrowed = match held.take() {
            None => ranges,
            Some(before) => Cow::Owned(intersection(&before, &ranges)),
        };
        if narrowed.is_empty() {
            return None;
        }
        *held = Some(narrowed);
        Some(())
    }
}

/// The dimension that a condition is about; none for the family, which is known before any packet.
fn place(condition: &Condition) -> Option<Dimension> {
    let by_set = matches!(condition.values, Values::Set(_));
    Some(match condition.field {
        Field::IpSaddr | Field::Ip6Saddr if by_set => Dimension::SourceSets,
        Field::IpDaddr | Field::Ip6Daddr if by_set => Dimension::DestinationSets,
        Field::IpSaddr | Field::Ip6Saddr => Dimension::Source,
        Field::IpDaddr | Field::Ip6Daddr => Dimension::Destination,
        Field::Nfproto => return None,
        Field::IpProtocol | Field::Ip6Nexthdr | Field::L4proto => Dimension::Protocol,
        Field::TcpSport | Field::UdpSport | Field::ThSport => Dimension::SourcePort,
        Field::TcpDport | Field::UdpDport | Field::ThDport => Dimension::DestinationPort,
        Field::TcpFlags => Dimension::TcpFlags,
        Field::IcmpType | Field::Icmpv6Type => Dimension::IcmpType,
        Field::IcmpCode | Field::Icmpv6Code => Dimension::IcmpCode,
        Field::Length | Field::IpLength => Dimension::Length,
        Field::IpDscp | Field::Ip6Dscp => Dimension::Dscp,
    })
}

/// Whether packets of this family meet a condition on `meta nfproto`.
fn nfproto(condition: &Condition, family: Family) -> bool {
    let number = match family {
        Family::V4 => 2,
        Family::V6 => 10,
    };
    let held = match &condition.values {
        Values::Ranges(ranges) => {
            ranges.iter().any(|(first, end)| (*first..=*end).contains(&number))
        }
        Values::Set(_) | Values::Bits { .. } => false,
    };
    held != condition.negated
}

/// The values that meet a condition.
fn wanted<'a>(condition: &'a Condition, last: u128, named: &'a Named<'_>) -> Ranges<'a> {
    let held = match &condition.values {
        Values::Ranges(ranges) => Cow::Borrowed(&**ranges),
        Values::Set(name) => {
            Cow::Borrowed(named.0.get(&**name).map_or(&[][..], |ranges| ranges.as_slice()))
        }
        Values::Bits { mask, value } => {
            let mut ranges = Vec::new();
            for bits in (0..=u8::MAX).filter(|bits| bits & mask == *value) {
                append(&mut ranges, bits.into());
            }
            Cow::Owned(ranges)
        }
    };
    match condition.negated {
        true => Cow::Owned(complement(&held, last)),
        false if held.last().is_some_and(|(_, end)| *end > last) => {
            Cow::Owned(intersection(&held, &[(0, last)]))
        }
        false => held,
    }
}

/// The values up to the last that are in none of the ranges.
fn complement(ranges: &[(u128, u128)], last: u128) -> Vec<(u128, u128)> {
    let mut gaps = Vec::with_capacity(ranges.len() + 1);
    let mut next = Some(0);
    for (first, end) in ranges.iter().take_while(|(first, _)| *first <= last) {
        if let Some(start) = next
            && start < *first
        {
            gaps.push((start, first - 1));
        }
        next = end.checked_add(1);
    }
    if let Some(start) = next.filter(|start| *start <= last) {
        gaps.push((start, last));
    }
    gaps
}

/// The values that are in both.
fn intersection(one: &[(u128, u128)], other: &[(u128, u128)]) -> Vec<(u128, u128)> {
    let mut both = Vec::with_capacity(one.len().max(other.len()));
    let (mut left, mut right) = (one.iter().peekable(), other.iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let (first, end) = (a.0.max(b.0), a.1.min(b.1));
        if first <= end {
            both.push((first, end));
        }
        if a.1 <= b.1 {
            left.next();
        } else {
            right.next();
        }
    }
    both
}
