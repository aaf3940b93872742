//! Which fields are looked up: as few tables as it takes, so that few rules share the values of a packet.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::index::Recipe;
use super::{INDEXES_MAX, INSTRUCTIONS_MAX, TooManyInstructions};
use crate::Program;
use crate::facts::{Clause, Field};

/// Rules that may share a key as long as there are other tables for them.
const CROWD: usize = 8;

/// Tables that are chosen for rules that do not crowd.
const SPARSE_MAX: usize = 5;

/// Keys of one clause in one table at most.
const KEYS_MAX: usize = 16;

/// Choices of fields that are tried for each table.
const CHOICES_MAX: usize = 64;

/// A rule, by its number, and one kind of packet that it can match.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) rule: u32,
    pub(super) clause: &'a Clause,
}

/// The tables of a family, and the rules in none of them.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) indexes: Vec<Planned>,
    pub(super) always: Vec<u32>,
}

/// A table to be: keys with their rules.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) recipe: Recipe,
    pub(super) keys: Vec<(u64, u32)>,
}

/// What makes one choice of fields better than another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    /// As many different keys as possible for entries that do not crowd.
    Sparse,
    /// Entries that crowd in any case, where the fewest packets meet them: by the most bits.
    Rare,
    /// All that is left and has a fact.
    Rest,
}

impl Plan {
    /// Gives each entry to a table, or to the rules that are always run.
    pub(super) fn of(entries: Vec<Entry<'_>>, seed: u64) -> Self {
        let mut plan = Self::default();
        let mut left = entries;
        let aims =
            [(Aim::Sparse, SPARSE_MAX), (Aim::Rare, INDEXES_MAX - 1), (Aim::Rest, INDEXES_MAX)];
        for (aim, count_max) in aims {
            while plan.indexes.len() < count_max {
                let seed = seed.wrapping_add(plan.indexes.len() as u64);
                let Some(choice) = Choice::best(&left, aim, seed) else { break };
                left = choice.rest;
                plan.indexes.push(Planned { recipe: choice.recipe, keys: choice.keys });
            }
        }
        plan.always = left.iter().map(|entry| entry.rule).collect();
        plan
    }

    /// What the worst packet costs: it meets the most expensive key of every table, and all that is always run.
    pub(super) fn instructions(
        &self,
        rules: &[(u16, &Program)],
    ) -> Result<u32, TooManyInstructions> {
        let tables = self.indexes.iter().map(|planned| planned.keys.clone());
        let always = self.always.iter().map(|rule| (0, *rule)).collect();
        let mut entered: Vec<(u32, usize, u64)> = Vec::new();
        for (table, keys) in tables.chain([always]).enumerate() {
            entered.extend(keys.into_iter().map(|(key, rule)| (rule, table, key)));
        }
        entered.sort_unstable();
        entered.dedup();
        let mut costs: HashMap<(usize, u64), u32> = HashMap::new();
        let mut worst = [0u32; INDEXES_MAX + 1];
        let mut total = 0;
        for (rule, table, key) in entered {
            let Some((slot, program)) = rules.get(rule as usize) else { continue };
            let cost = costs.entry((table, key)).or_default();
            *cost += u32::from(program.longest);
            if let Some(worst) = worst.get_mut(table) {
                *worst = (*worst).max(*cost);
            }
            total = worst.iter().sum();
            if total > INSTRUCTIONS_MAX {
                return Err(TooManyInstructions { slot: *slot, instructions: total });
            }
        }
        Ok(total)
    }
}

/// What the aim wants most, then few fields, then many bits.
type Score = (usize, Reverse<usize>, u32);

/// Fields of a table with the entries that it would take.
struct Choice<'a> {
    recipe: Recipe,
    keys: Vec<(u64, u32)>,
    taken: usize,
    /// Keys of the entries taken.
    distinct: usize,
    rest: Vec<Entry<'a>>,
}

impl<'a> Choice<'a> {
    /// The best table for some of the entries; None if there is none.
    fn best(entries: &[Entry<'a>], aim: Aim, seed: u64) -> Option<Self> {
        let mut best: Option<(Score, Self)> = None;
        for fields in choices(entries) {
            let bits: u32 = fields.iter().map(|field| field.mask.count_ones()).sum();
            let choice = Self::of(entries, fields, aim, seed);
            if choice.taken == 0 {
                continue;
            }
            // Of equals fewer fields, as less is read of each packet, and of those more bits, as fewer packets have them.
            let first = match aim {
                Aim::Sparse => choice.distinct,
                Aim::Rare => bits as usize,
                Aim::Rest => choice.taken,
            };
            let score = (first, Reverse(choice.recipe.fields.len()), bits);
            if best.as_ref().is_none_or(|(known, _)| score > *known) {
                best = Some((score, choice));
            }
        }
        let (_, choice) = best?;
        Some(if aim == Aim::Sparse { choice.trimmed(entries, seed) } else { choice })
    }

    fn of(entries: &[Entry<'a>], fields: Vec<Field>, aim: Aim, seed: u64) -> Self {
        let recipe = Recipe { fields, seed };
        let keys_of: Vec<Vec<u64>> =
            entries.iter().map(|entry| keys(&recipe, entry.clause)).collect();
        let mut crowds: HashMap<u64, usize> = HashMap::new();
        for key in keys_of.iter().flatten() {
            *crowds.entry(*key).or_default() += 1;
        }
        let crowded = |key: &u64| crowds.get(key).is_some_and(|count| *count > CROWD);
        let mut choice = Self { recipe, keys: Vec::new(), taken: 0, distinct: 0, rest: Vec::new() };
        for (entry, keys) in entries.iter().zip(keys_of) {
            if keys.is_empty() || (aim == Aim::Sparse && keys.iter().any(crowded)) {
                choice.rest.push(*entry);
            } else {
                choice.taken += 1;
                choice.keys.extend(keys.into_iter().map(|key| (key, entry.rule)));
            }
        }
        choice.distinct = choice.keys.iter().map(|(key, _)| key).collect::<HashSet<_>>().len();
        choice
    }

    /// Leaves out fields that are not needed to take as many, those with the fewest values first.
    fn trimmed(self, entries: &[Entry<'a>], seed: u64) -> Self {
        let values = |field: &Field| {
            let known = entries.iter().filter_map(|entry| entry.clause.values(*field));
            known.flatten().collect::<HashSet<_>>().len()
        };
        let mut fields = self.recipe.fields.clone();
        fields.sort_by_cached_key(values);
        let mut best = self;
        for field in fields {
            let kept = &best.recipe.fields;
            let fewer: Vec<Field> = kept.iter().copied().filter(|other| *other != field).collect();
            if fewer.is_empty() {
                break;
            }
            let choice = Self::of(entries, fewer, Aim::Sparse, seed);
            if choice.taken >= best.taken && choice.distinct >= best.distinct {
                best = choice;
            }
        }
        best
    }
}

/// The most frequent choices of fields: each field alone, and all that an entry knows together.
fn choices(entries: &[Entry<'_>]) -> Vec<Vec<Field>> {
    let mut counts: HashMap<Vec<Field>, usize> = HashMap::new();
    for entry in entries {
        let all = together(entry.clause);
        if all.len() > 1 {
            for field in &all {
                *counts.entry(vec![*field]).or_default() += 1;
            }
        }
        if !all.is_empty() {
            *counts.entry(all).or_default() += 1;
        }
    }
    let mut found: Vec<(Vec<Field>, usize)> = counts.into_iter().collect();
    found.sort_unstable_by(|one, another| (another.1, &one.0).cmp(&(one.1, &another.0)));
    found.truncate(CHOICES_MAX);
    found.into_iter().map(|(fields, _)| fields).collect()
}

/// As many of the clause's fields as do not make too many keys, those with few values first.
fn together(clause: &Clause) -> Vec<Field> {
    let mut facts: Vec<(usize, Field)> =
        clause.facts().iter().map(|(field, values)| (values.len(), *field)).collect();
    facts.sort_unstable();
    let mut product = 1;
    facts.retain(|(values, _)| {
        let fits = product * values <= KEYS_MAX;
        if fits {
            product *= values;
        }
        fits
    });
    let mut fields: Vec<Field> = facts.into_iter().map(|(_, field)| field).collect();
    fields.sort_unstable();
    fields
}

/// All keys of packets that the clause describes, or none where it does not know the fields, or too many.
fn keys(recipe: &Recipe, clause: &Clause) -> Vec<u64> {
    let mut keys = vec![recipe.seed];
    for field in &recipe.fields {
        let Some(values) = clause.values(*field) else { return Vec::new() };
        if keys.len() * values.len() > KEYS_MAX {
            return Vec::new();
        }
        keys = keys
            .iter()
            .flat_map(|key| values.iter().map(|value| recipe.with(*key, *value)))
            .collect();
    }
    keys
}
