//! Rules compiled for packets: the first one that matches is found by as many steps for one packet as for another.
//!
//! Every dimension (an address, a port, a protocol) is parted into classes of values that the same rules accept. A packet's
//! classes are found by trees and tables, combined through tables of pairs, and where those would be too large the rules
//! that accept each class are intersected, 512 at a time.

mod burst;
mod dimension;
mod form;
mod index;
mod lines;
mod partition;
mod plan;
mod search;
mod tree;
mod walk;

use std::fmt;

use crate::facts::{Facts, Family};
use crate::rules::{PASSING_MAX, RULES_MAX, Ruleset};

use burst::TOGETHER;
use dimension::{Dimension, Named};
use form::Form;
use lines::LINE;
use walk::Walk;

/// Memory of one classifier, in octets.
pub const OCTETS_MAX: usize = 64 << 20;

/// How many packets of one tenant on end it takes, on an average, for steps to be taken by all of them together.
const RUN: usize = 4;

/// What the classifier has to know of named sets. Addresses are looked up in one table of all sets, which tells the class
/// of each: which of the sets hold it.
#[derive(Clone, Copy)]
pub struct Sets<'a> {
    /// Classes; those beyond are in no set.
    pub count: usize,
    /// The numbers of the sets that hold the addresses of a class.
    pub lists: &'a dyn Fn(usize) -> &'a [u16],
    /// The number of a set.
    pub number: &'a dyn Fn(&str) -> Option<u16>,
}

impl fmt::Debug for Sets<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sets").field("count", &self.count).finish_non_exhaustive()
    }
}

/// Why rules cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unbuildable {
    /// More than `RULES_MAX` rules: so many.
    TooManyRules(usize),
    /// More than `PASSING_MAX` rules that let packets go on to the next: so many.
    TooManyPassing(usize),
    /// The rule of this index names a set that is not there.
    UnknownSet(usize, Box<str>),
    /// The rules name so many ranges of one field that sorting them would take too long.
    TooManyRanges(usize),
    /// The rules tell more than so many kinds of values of one field apart.
    TooManyClasses(usize),
    /// The rules would take more than `OCTETS_MAX`: at least so many.
    TooLarge(usize),
}

impl fmt::Display for Unbuildable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyRules(count) => write!(formatter, "{count} rules, more than {RULES_MAX}"),
            Self::TooManyPassing(count) => write!(
                formatter,
                "{count} rules let packets go on to the next, more than {PASSING_MAX}"
            ),
            Self::UnknownSet(rule, name) => {
                write!(formatter, "rule {rule} names @{name}, and there is no such set")
            }
            Self::TooManyRanges(count) => write!(formatter, "{count} ranges of one field"),
            Self::TooManyClasses(most) => {
                write!(formatter, "more than {most} kinds of values of one field are told apart")
            }
            Self::TooLarge(octets) => {
                write!(
                    formatter,
                    "the rules take {octets} octets or more, at most {OCTETS_MAX} fit"
                )
            }
        }
    }
}

impl std::error::Error for Unbuildable {}

/// One packet of a burst.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The classifier to ask.
    pub classifier: &'a Classifier,
    /// What rules can see of the packet.
    pub facts: &'a Facts,
    /// The set classes of its source and destination.
    pub classes: (u16, u16),
}

impl<'a> Asked<'a> {
    #[inline]
    const fn form(&self) -> &'a Form {
        self.classifier.form(self.facts.family)
    }
}

/// The rules of one tenant, compiled.
#[derive(Debug, PartialEq, Eq)]
pub struct Classifier {
    v4: Form,
    v6: Form,
}

impl Classifier {
    /// Compiles rules. The same rules and sets give the same tables.
    pub fn build(ruleset: &Ruleset, sets: &Sets<'_>) -> Result<Self, Unbuildable> {
        if ruleset.rules.len() > RULES_MAX {
            return Err(Unbuildable::TooManyRules(ruleset.rules.len()));
        }
        let passing = ruleset.rules.iter().filter(|rule| rule.is_passing()).count();
        if passing > PASSING_MAX {
            return Err(Unbuildable::TooManyPassing(passing));
        }
        let named = Named::collect(ruleset, sets)?;
        let v4 = plan::build(ruleset, Family::V4, &named, OCTETS_MAX)?;
        let left = OCTETS_MAX - v4.lines.len() * LINE;
        let v6 = plan::build(ruleset, Family::V6, &named, left)?;
        Ok(Self { v4, v6 })
    }

    /// Whether the set class of a packet's source is looked at, and that of its destination.
    pub fn uses_sets(&self) -> (bool, bool) {
        let uses = |dimension| self.v4.asks(dimension) || self.v6.asks(dimension);
        (uses(Dimension::SourceSets), uses(Dimension::DestinationSets))
    }

    /// The first rule whose conditions the packet meets, of those with at least the index `from`: 0, or one more than that
    /// of a rule that was found before and let the packet go on. `classes` are the set classes of source and destination.
    #[inline]
    pub fn first(&self, facts: &Facts, classes: (u16, u16), from: u32) -> Option<u32> {
        let mut walk = Walk::new(self.form(facts.family));
        walk.classify(facts, classes)?;
        walk.combine()?;
        walk.answer(from)
    }

    /// The first rule for each of several packets, of whatever tenants: `found` gets what `first` tells from 0 on. Packets on
    /// end that are of one tenant and family cost least.
    pub fn first_burst(packets: &[Asked<'_>], found: &mut [Option<u32>]) {
        for (packets, found) in packets.chunks(TOGETHER).zip(found.chunks_mut(TOGETHER)) {
            let is_same =
                |one: &Asked<'_>, other: &Asked<'_>| std::ptr::eq(one.form(), other.form());
            if packets.chunk_by(is_same).count() * RUN > packets.len() {
                walk::first(packets, found);
                continue;
            }
            let mut found = found.iter_mut();
            for packets in packets.chunk_by(is_same) {
                burst::first(packets, &mut found);
            }
        }
    }

    #[inline]
    const fn form(&self, family: Family) -> &Form {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// Memory that it takes, in octets.
    pub fn octets(&self) -> usize {
        size_of::<Self>() + (self.v4.lines.len() + self.v6.lines.len()) * LINE
    }
}
