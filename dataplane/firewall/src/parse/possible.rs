//! Which packets the conditions of a rule leave: those that leave none are a mistake of who wrote them.

use super::Fault;
use crate::facts::Family;
use crate::names::{Kind, words};
use crate::rules::{Condition, Field, Values};

type Range = (u128, u128);

/// What is left of families and protocols.
#[derive(Debug)]
pub(super) struct Possible {
    /// IPv4 and IPv6.
    families: [bool; 2],
    /// One bit for each protocol.
    protocols: [u128; 2],
}

impl Possible {
    /// All packets.
    pub(super) const fn new() -> Self {
        Self { families: [true; 2], protocols: [u128::MAX; 2] }
    }

    /// Takes what the condition leaves, which stands behind those given; it begins at the place given.
    pub(super) fn narrow(
        &mut self,
        before: &[Condition],
        condition: &Condition,
        at: usize,
    ) -> Result<(), Fault> {
        let refused = |why: String| Err(Fault { at, what: format!("this can never match: {why}") });
        let field = words(condition.field);
        if is_empty(condition) {
            return refused(format!("`{field}` is left no value; leave the condition out"));
        }
        self.families = pairs(self.families, families(condition), |left, right| left && right);
        if self.families == [false; 2] {
            return refused(format!(
                "`{field}` is of another version of IP than the rest of the rule; write two rules"
            ));
        }
        self.protocols = pairs(self.protocols, protocols(condition), |left, right| left & right);
        if self.protocols == [0; 2] {
            return refused(format!(
                "`{field}` is of another protocol than the rest of the rule; write two rules"
            ));
        }
        let same = before.iter().filter(|other| other.field == condition.field);
        for other in same {
            if let (Some(left), Some(right)) = (left_by(other), left_by(condition))
                && !is_met(&left, &right)
            {
                return refused(format!(
                    "the rule asks for another `{field}` already; write both in braces"
                ));
            }
        }
        Ok(())
    }
}

fn pairs<T: Copy>(left: [T; 2], right: [T; 2], both: impl Fn(T, T) -> T) -> [T; 2] {
    [both(left[0], right[0]), both(left[1], right[1])]
}

fn families(condition: &Condition) -> [bool; 2] {
    if let (Field::Nfproto, Some(left)) = (condition.field, left_by(condition)) {
        return [2, 10].map(|number| is_met(&left, &[(number, number)]));
    }
    let family = condition.field.family();
    [Family::V4, Family::V6].map(|one| family.is_none_or(|asked| asked == one))
}

fn protocols(condition: &Condition) -> [u128; 2] {
    if let (Kind::Protocol, Some(left)) = (Kind::of(condition.field), left_by(condition)) {
        let numbers = left.iter().flat_map(|(first, last)| *first..=*last);
        return numbers.filter_map(|number| u8::try_from(number).ok()).fold([0; 2], with);
    }
    let protocols = condition.field.protocols();
    protocols.map_or([u128::MAX; 2], |protocols| protocols.iter().copied().fold([0; 2], with))
}

fn with([low, high]: [u128; 2], protocol: u8) -> [u128; 2] {
    let bit = 1 << (protocol & 127);
    if protocol < 128 { [low | bit, high] } else { [low, high | bit] }
}

/// Whether no value meets the condition.
fn is_empty(condition: &Condition) -> bool {
    let Values::Ranges(ranges) = &condition.values else { return false };
    condition.negated && **ranges == [(0, Kind::of(condition.field).most())]
}

/// The values that meet the condition; none when they are not known by ranges.
fn left_by(condition: &Condition) -> Option<Vec<Range>> {
    let Values::Ranges(ranges) = &condition.values else { return None };
    if !condition.negated {
        return Some(ranges.to_vec());
    }
    let most = Kind::of(condition.field).most();
    let mut left = Vec::with_capacity(ranges.len() + 1);
    let mut next = Some(0);
    for (first, last) in ranges {
        if let (Some(from), Some(to)) = (next, first.checked_sub(1))
            && from <= to
        {
            left.push((from, to));
        }
        next = (*last < most).then(|| last + 1);
    }
    left.extend(next.map(|from| (from, most)));
    Some(left)
}

/// Whether two lists of ranges in order have a value in common.
fn is_met(left: &[Range], right: &[Range]) -> bool {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
        if one.1 < other.0 {
            left.next();
        } else if other.1 < one.0 {
            right.next();
        } else {
            return true;
        }
    }
    false
}
