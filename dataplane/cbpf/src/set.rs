//! Many programs at once: what a packet must look like for each to match is looked up in a few hash tables, and
//! only the programs found there are run.

mod index;
mod plan;

use std::fmt;

use crate::Program;
use crate::op::{MEMORY, Op};
use crate::program::run;
use index::Index;
use plan::{Entry, Plan};

/// Instructions that a single packet can cost at most, whatever it looks like. At 1.4 nanoseconds each
/// (bench/README.md) that is 5.7 microseconds of a core; a set whose worst packet costs more is refused.
pub const INSTRUCTIONS_MAX: u32 = 4_096;

/// Hash tables of a family at most. Each costs every packet of the family a few nanoseconds.
const INDEXES_MAX: usize = 8;

/// All that a packet can cost is more than [`INSTRUCTIONS_MAX`]: too many programs have to be run for the same packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyInstructions {
    /// The rule that does not fit beside those with lower slots.
    pub slot: u16,
    /// What the worst packet would cost with it.
    pub instructions: u32,
}

impl fmt::Display for TooManyInstructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rule {}: one packet could cost {} instructions, more than {INSTRUCTIONS_MAX}; name an address, port or length with \"=\" in it, or remove rules like it",
            self.slot, self.instructions
        )
    }
}

impl std::error::Error for TooManyInstructions {}

/// Programs, each with the slot of its rule, ready for packets. It never changes.
#[derive(Debug, Default)]
pub struct Set {
    /// In the order of slots.
    rules: Vec<Rule>,
    /// The programs of all rules, one after the other.
    ops: Vec<Op>,
    four: Family,
    six: Family,
}

#[derive(Clone, Copy, Debug)]
struct Rule {
    slot: u16,
    len: u16,
    start: u32,
}

/// What is looked up for packets of one version. Rules are known by their place in the list.
#[derive(Debug, Default)]
struct Family {
    indexes: Vec<Index>,
    /// Rules that any packet can match, ascending.
    always: Vec<u32>,
    /// What the worst packet costs.
    instructions: u32,
}

/// Rules that a packet can match: ascending lists, with a rule perhaps in several of them.
struct Candidates<'a> {
    lists: [&'a [u32]; INDEXES_MAX + 1],
    count: usize,
}

impl Set {
    /// A set of verified programs with the slots of their rules. The seed is secret: who knows it can find packets that
    /// look alike to the tables.
    pub fn build(rules: &[(u16, &Program)], seed: u64) -> Result<Self, TooManyInstructions> {
        let mut sorted = rules.to_vec();
        sorted.sort_by_key(|(slot, _)| *slot);
        let four = Family::build(&sorted, seed, |program| &program.clauses4)?;
        let six = Family::build(&sorted, seed.rotate_left(1), |program| &program.clauses6)?;
        let mut set = Self { rules: Vec::with_capacity(sorted.len()), ops: Vec::new(), four, six };
        for (slot, program) in sorted {
            let start = count(set.ops.len());
            set.ops.extend_from_slice(&program.ops);
            let len = u16::try_from(program.ops.len()).unwrap_or(u16::MAX);
            set.rules.push(Rule { slot, len, start });
        }
        set.ops.shrink_to_fit();
        Ok(set)
    }

    /// Whether there is no program.
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many programs there are.
    pub const fn len(&self) -> usize {
        self.rules.len()
    }

    /// Memory that the set takes.
    pub fn octets(&self) -> usize {
        self.rules.capacity() * size_of::<Rule>()
            + self.ops.capacity() * size_of::<Op>()
            + self.four.octets()
            + self.six.octets()
    }

    /// The most instructions that a packet can cost, at most [`INSTRUCTIONS_MAX`].
    pub fn instructions(&self) -> u32 {
        self.four.instructions.max(self.six.instructions)
    }

    /// Calls with the slot of each rule whose program matches the packet, in the order of slots, as long as the answer is
    /// to go on. The packet begins at its IP header and ends where IP says; what is not IP matches nothing.
    #[inline]
    pub fn for_each_match(&self, packet: &[u8], on_match: impl FnMut(u16) -> bool) {
        let family = match packet.first().map(|first| first >> 4) {
            Some(4) => &self.four,
            Some(6) => &self.six,
            _ => return,
        };
        if family.has_candidates(packet) {
            self.judge(family.candidates(packet), packet, on_match);
        }
    }

    #[inline(never)]
    fn judge(
        &self,
        mut candidates: Candidates<'_>,
        packet: &[u8],
        mut on_match: impl FnMut(u16) -> bool,
    ) {
        let mut memory = [0; MEMORY];
        while let Some(number) = candidates.next() {
            let Some(rule) = self.rules.get(number as usize) else { return };
            let start = rule.start as usize;
            let Some(ops) = self.ops.get(start..start + usize::from(rule.len)) else { return };
            if run(ops, packet, &mut memory) && !on_match(rule.slot) {
                return;
            }
        }
    }
}

impl Family {
    fn build<'a>(
        rules: &[(u16, &'a Program)],
        seed: u64,
        clauses: impl Fn(&'a Program) -> &'a [crate::facts::Clause],
    ) -> Result<Self, TooManyInstructions> {
        let numbered = (0u32..).zip(rules);
        let entries = numbered.flat_map(|(rule, (_, program))| {
            clauses(program).iter().map(move |clause| Entry { rule, clause })
        });
        let plan = Plan::of(entries.collect(), seed);
        let instructions = plan.instructions(rules)?;
        let mut always = plan.always;
        always.sort_unstable();
        always.dedup();
        let indexes = plan.indexes.into_iter();
        Ok(Self {
            indexes: indexes.map(|found| Index::new(found.recipe, found.keys)).collect(),
            always,
            instructions,
        })
    }

    fn octets(&self) -> usize {
        self.always.capacity() * size_of::<u32>()
            + self.indexes.iter().map(Index::octets).sum::<usize>()
    }

    /// Whether any rule has to be run. Most packets end here, so no list is made before.
    #[inline]
    fn has_candidates(&self, packet: &[u8]) -> bool {
        !self.always.is_empty() || self.indexes.iter().any(|index| !index.lookup(packet).is_empty())
    }

    fn candidates(&self, packet: &[u8]) -> Candidates<'_> {
        let mut found = Candidates { lists: [&[]; INDEXES_MAX + 1], count: 0 };
        found.add(&self.always);
        for index in &self.indexes {
            found.add(index.lookup(packet));
        }
        found
    }
}

impl<'a> Candidates<'a> {
    #[inline]
    fn add(&mut self, list: &'a [u32]) {
        if list.is_empty() {
            return;
        }
        if let Some(place) = self.lists.get_mut(self.count) {
            *place = list;
            self.count += 1;
        }
    }

    /// The lowest number of all lists, which is taken out of each.
    #[inline]
    fn next(&mut self) -> Option<u32> {
        let lists = self.lists.get_mut(..self.count)?;
        let lowest = lists.iter().filter_map(|list| list.first()).min().copied()?;
        for list in lists {
            if let Some((first, rest)) = list.split_first()
                && *first == lowest
            {
                *list = rest;
            }
        }
        Some(lowest)
    }
}

/// A place in a list that is far shorter than 2^32.
fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
