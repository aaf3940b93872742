//! A tenant's rules as workers read them: the classifier, and what each rule does with what it matches.

use ::firewall::classifier::Classifier;
use ::firewall::facts::{Facts, Family};
use ::firewall::rules::Verdict;
use wireguard::time::Instant;

use super::tallies::Tallies;
use crate::fate::DropReason;
use crate::limits::LIMITED_RULES_MAX;
use crate::packet::Address;
use crate::stages::dos::lists::Lists;
use crate::stages::dos::rate::{Bucket, Rate};

/// The limit of a rule.
#[derive(Clone, Copy, Debug)]
pub struct Limited {
    /// Where its bucket is.
    pub bucket: u16,
    /// How much one worker lets through.
    pub rate: Rate,
    /// Whether the rule matches what is beyond it.
    pub over: bool,
}

/// What a rule does with what meets its conditions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Action {
    /// What it decides; with none the next rules are asked.
    pub verdict: Option<Verdict>,
    /// Where it is counted.
    pub slot: Option<u32>,
    /// Of what meets the conditions, only what is within this or beyond it.
    pub limit: Option<Limited>,
}

/// All rules of a tenant; never changed.
#[derive(Debug)]
pub struct Firewall {
    classifier: Classifier,
    actions: Box<[Action]>,
    policy: Verdict,
    /// Whether sources and destinations are looked up in the named sets.
    uses_sets: (bool, bool),
}

/// The buckets of one worker's limited rules.
#[derive(Debug)]
pub struct Buckets(Box<[Option<Bucket>]>);

impl Default for Buckets {
    fn default() -> Self {
        Self(vec![None; LIMITED_RULES_MAX].into_boxed_slice())
    }
}

impl Buckets {
    /// Whether a packet is within a limit; who is beyond it takes nothing.
    #[inline]
    fn take(&mut self, limit: &Limited, len: u16, now: Instant) -> bool {
        let Some(bucket) = self.0.get_mut(usize::from(limit.bucket)) else { return false };
        let bucket = bucket.get_or_insert_with(|| Bucket::new(limit.rate));
        // It may have been another rule's.
        if bucket.rate() != limit.rate {
            bucket.set(limit.rate);
        }
        bucket.take(len.into(), now)
    }
}

/// What a firewall is asked with beside the packet.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The named sets.
    pub sets: &'a Lists,
    /// The state of limits.
    pub buckets: &'a mut Buckets,
    /// Where rules are counted.
    pub tallies: &'a Tallies,
    /// Now.
    pub now: Instant,
}

impl Firewall {
    /// From a classifier, with an action for each of its rules.
    pub fn new(classifier: Classifier, actions: Vec<Action>, policy: Verdict) -> Self {
        let uses_sets = classifier.uses_sets();
        Self { classifier, actions: actions.into_boxed_slice(), policy, uses_sets }
    }

    /// What becomes of a packet, and under which name it is lost if it is. The first rule that decides counts; how many are
    /// asked that do not is bounded ([`PASSING_MAX`](::firewall::rules::PASSING_MAX)).
    #[inline]
    pub fn decide(&self, facts: &Facts, asked: &mut Asked<'_>) -> (Verdict, DropReason) {
        let classes = self.classes(facts, asked.sets);
        let mut from = 0;
        while let Some(rule) = self.classifier.first(facts, classes, from) {
            let action = self.actions.get(rule as usize).copied().unwrap_or_default();
            let matches = action.limit.is_none_or(|limit| {
                asked.buckets.take(&limit, facts.length, asked.now) != limit.over
            });
            if matches {
                if let Some(tally) = action.slot.and_then(|slot| asked.tallies.rule(slot)) {
                    tally.add(facts.length.into());
                }
                if let Some(verdict) = action.verdict {
                    return (verdict, DropReason::TenantRule);
                }
            }
            from = rule + 1;
        }
        (self.policy, DropReason::TenantPolicy)
    }

    #[inline]
    fn classes(&self, facts: &Facts, sets: &Lists) -> (u16, u16) {
        let class = |uses: bool, address: u128| {
            if !uses {
                return 0;
            }
            let address = match facts.family {
                Family::V4 => Address::from(std::net::Ipv4Addr::from_bits(low(address))),
                Family::V6 => Address::from(address),
            };
            sets.lookup(address).number()
        };
        let (source, destination) = self.uses_sets;
        (class(source, facts.source), class(destination, facts.destination))
    }

    /// What each rule does.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// The rules that are counted: their indices, slots and verdicts.
    pub fn counted(&self) -> impl Iterator<Item = (u32, u32, Option<Verdict>)> {
        let numbered = (0..).zip(&self.actions);
        numbered.filter_map(|(rule, action)| Some((rule, action.slot?, action.verdict)))
    }

    /// The places of the buckets of limits.
    pub fn buckets(&self) -> impl Iterator<Item = u16> {
        self.actions.iter().filter_map(|action| Some(action.limit?.bucket))
    }

    /// Octets of memory.
    pub fn octets(&self) -> usize {
        self.classifier.octets() + size_of_val(&*self.actions)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "where IPv4 stands in the facts")]
const fn low(address: u128) -> u32 {
    address as u32
}
