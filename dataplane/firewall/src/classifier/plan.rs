//! The building of a family's form: each dimension is parted into classes, then pairs are combined while their tables are
//! small (recursive flow classification), and what remains is intersected for each packet.

use crate::facts::Family;
use crate::rules::{Rule, Ruleset};

use super::Unbuildable;
use super::dimension::{DIMENSIONS, Demand, Dimension, Named};
use super::form::{Few, Form, Grain, NONE, Product, Root};
use super::lines::Writer;
use super::partition::{BLOCK, Block, Borders, NUMBERS_MAX, Partition};
use super::tree::Lookup;

/// Ends of ranges in one dimension, at which rules begin or cease to accept: more would take too long to sweep.
const FLIPS_MAX: usize = 1 << 21;

/// Entries of a product's table: so many, and so many for each rule, up to a bound that the build's time sets.
const ENTRIES: usize = 4096;
const ENTRIES_PER_RULE: usize = 64;
const ENTRIES_MAX: usize = 1 << 17;

/// A form before it is written down.
#[derive(Debug, Default)]
struct Plan {
    lookups: Vec<(Dimension, Borders)>,
    products: Vec<Table>,
    /// Partitions that are not combined, with the numbers of their results.
    parts: Vec<(u8, Partition)>,
}

/// A product: the numbers of the results that it combines, entries of a row, and all rows.
#[derive(Debug)]
struct Table {
    left: u8,
    right: u8,
    width: usize,
    entries: Vec<u16>,
}

/// Compiles the rules that can match packets of this family, in at most so many octets.
pub(super) fn build(
    ruleset: &Ruleset,
    family: Family,
    named: &Named<'_>,
    octets_max: usize,
) -> Result<Form, Unbuildable> {
    let (mut demands, mut count) = (Vec::new(), 0);
    for rule in (0..).zip(&ruleset.rules) {
        let Some(demand) = Demand::of(rule, family, named) else { continue };
        // Before there are more than memory is for.
        count += demand.ranges.iter().flatten().map(|ranges| ranges.len()).sum::<usize>();
        if count > FLIPS_MAX {
            return Err(Unbuildable::TooManyRanges(count));
        }
        demands.push(demand);
    }
    let mut plan = Plan::default();
    if !demands.is_empty() {
        plan.part(&demands, family)?;
        plan.reduce(demands.len());
    }
    let may_pass = |demand: &Demand<'_>| {
        ruleset.rules.get(usize::from(demand.rule)).is_some_and(Rule::is_passing)
    };
    if !demands.iter().any(may_pass) {
        plan.decide(&demands);
    }
    plan.write(family, &demands, octets_max)
}

impl Plan {
    /// Parts every dimension that a rule asks for; if none does, one, that all rules accept whole.
    fn part(&mut self, demands: &[Demand<'_>], family: Family) -> Result<(), Unbuildable> {
        for dimension in DIMENSIONS {
            let asked = demands.iter().any(|demand| ranges(demand, dimension).is_some());
            let is_last = dimension == Dimension::DestinationSets;
            if asked || (is_last && self.parts.is_empty()) {
                let (partition, borders) = sweep(demands, dimension, family)?;
                self.parts.push((number(self.lookups.len()), partition));
                self.lookups.push((dimension, borders));
            }
        }
        Ok(())
    }

    /// Combines the pair with the smallest table, while it is small enough.
    fn reduce(&mut self, rules: usize) {
        let most = (ENTRIES + rules * ENTRIES_PER_RULE).min(ENTRIES_MAX);
        while let Some((left, right)) = self.smallest_pair(most) {
            let (Some((a, one)), Some((b, other))) = (self.parts.get(left), self.parts.get(right))
            else {
                return;
            };
            let Some((product, entries)) = one.product(other) else {
                return;
            };
            let table = Table { left: *a, right: *b, width: other.count(), entries };
            self.parts.remove(right);
            self.parts.remove(left);
            self.parts.push((number(self.lookups.len() + self.products.len()), product));
            self.products.push(table);
        }
    }

    fn smallest_pair(&self, most: usize) -> Option<(usize, usize)> {
        let size = |part: usize| self.parts.get(part).map_or(usize::MAX, |(_, part)| part.count());
        (0..self.parts.len())
            .flat_map(|right| (0..right).map(move |left| (left, right)))
            .map(|(left, right)| (size(left) * size(right), (left, right)))
            .min()
            .filter(|(entries, _)| *entries <= most)
            .map(|(_, pair)| pair)
    }

    /// Replaces the classes of the only part by the first rules that accept them: enough where no rule lets packets pass.
    fn decide(&mut self, demands: &[Demand<'_>]) {
        let [(_, part)] = self.parts.as_slice() else {
            return;
        };
        let rule = |class| {
            let first = first(part, class)?;
            demands.get(first).map(|demand| demand.rule)
        };
        let rules: Vec<u16> = (0..part.count()).map(|class| rule(class).unwrap_or(NONE)).collect();
        let last = self.products.last_mut().map(|table| &mut table.entries);
        let lookup = self.lookups.last_mut().map(|(_, borders)| &mut borders.classes);
        for class in last.or(lookup).into_iter().flatten() {
            *class = rules.get(usize::from(*class)).copied().unwrap_or(NONE);
        }
        self.parts.clear();
    }

    /// Writes everything down.
    fn write(
        &self,
        family: Family,
        demands: &[Demand<'_>],
        octets_max: usize,
    ) -> Result<Form, Unbuildable> {
        let mut writer = Writer::new(octets_max);
        let (mut lookups, mut products, mut roots) = (Few::new(), Few::new(), Few::new());
        for (dimension, borders) in &self.lookups {
            let last = dimension.last(family);
            lookups.push(Lookup::write(*dimension, last, borders, &mut writer)?);
        }
        for table in &self.products {
            let at = writer.halves(&table.entries)?;
            let width = u32::try_from(table.width).unwrap_or_default();
            products.push(Product { at, width, left: table.left, right: table.right });
        }
        let grain = Grain::of(demands.len());
        for (result, part) in &self.parts {
            roots.push(write_root(*result, part, grain, &mut writer)?);
        }
        let rules: Vec<u16> = demands.iter().map(|demand| demand.rule).collect();
        let count = u32::try_from(rules.len()).unwrap_or_default();
        let at = if self.parts.is_empty() { 0 } else { writer.halves(&rules)? };
        Ok(Form { lookups, products, roots, grain, rules: (count, at), lines: writer.finish() })
    }
}

/// The number of a result, of which there are fewer than 24.
fn number(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}

fn ranges<'a>(demand: &'a Demand<'_>, dimension: Dimension) -> Option<&'a [(u128, u128)]> {
    demand.ranges.get(dimension as usize)?.as_deref()
}

/// Parts one dimension.
fn sweep(
    demands: &[Demand<'_>],
    dimension: Dimension,
    family: Family,
) -> Result<(Partition, Borders), Unbuildable> {
    let last = dimension.last(family);
    let width = demands.len().div_ceil(BLOCK);
    let mut accepting: Vec<Block> = vec![[0; 16]; width];
    let whole = [(0, last)];
    let count =
        demands.iter().map(|demand| ranges(demand, dimension).map_or(0, <[_]>::len)).sum::<usize>()
            * 2;
    if count > FLIPS_MAX {
        return Err(Unbuildable::TooManyRanges(count / 2));
    }
    let mut flips = Vec::with_capacity(count);
    for (rule, demand) in (0..).zip(demands) {
        for (first, end) in ranges(demand, dimension).unwrap_or(&whole) {
            match first {
                0 => accept(&mut accepting, rule),
                _ => flips.push((*first, rule)),
            }
            if *end < last {
                flips.push((end + 1, rule));
            }
        }
    }
    flips.sort_unstable();
    Partition::sweep(width, &accepting, &flips).ok_or(Unbuildable::TooManyClasses(NUMBERS_MAX))
}

fn accept(blocks: &mut [Block], rule: u16) {
    let (block, bit) = (usize::from(rule) / BLOCK, usize::from(rule) % BLOCK);
    if let Some(lane) = blocks.get_mut(block).and_then(|block| block.get_mut(bit / 32)) {
        *lane |= 1 << (bit % 32);
    }
}

/// The first rule that accepts a class.
fn first(part: &Partition, class: usize) -> Option<usize> {
    let mut lanes = part.blocks(class).flatten().enumerate();
    let (number, lane) = lanes.find(|(_, lane)| **lane != 0)?;
    Some(number * 32 + lane.trailing_zeros() as usize)
}

/// Writes the rows and blocks of a part that is not combined.
fn write_root(
    result: u8,
    part: &Partition,
    grain: Grain,
    writer: &mut Writer,
) -> Result<Root, Unbuildable> {
    let mut bases = Vec::new();
    let mut blocks = 0;
    for pool in &part.pools {
        bases.push(blocks);
        blocks += pool.blocks.len() - 1;
    }
    if blocks > NUMBERS_MAX {
        return Err(Unbuildable::TooManyClasses(NUMBERS_MAX));
    }
    let stride = grain.words as usize + part.pools.len().div_ceil(2);
    let mut words = Vec::with_capacity(part.count() * stride);
    writer.fits((part.count() * stride).div_ceil(16) + blocks)?;
    for class in 0..part.count() {
        let summary = part.blocks(class).zip(0..).fold(0, |bits, (block, number)| {
            bits | (u128::from(summary(block, grain)) << (number << grain.bits_per_block()))
        });
        words.extend((0..grain.words).map(|word| low_word(summary >> (word * 32))));
        let numbers = part.row(class).iter().zip(&bases);
        let mut numbers = numbers.map(|(number, base)| place(*number, *base));
        while let Some(low) = numbers.next() {
            words.push(low | (numbers.next().unwrap_or(0) << 16));
        }
    }
    let rows = writer.words(&words)?;
    let pool = writer.reserve(blocks)?;
    for block in part.pools.iter().flat_map(|pool| pool.blocks.iter().skip(1)) {
        writer.push(*block);
    }
    Ok(Root { rows, stride: u32::try_from(stride).unwrap_or_default(), pool, result })
}

/// Where a block stands among those of all pools, of which the empty ones are left out: nobody asks for them.
fn place(number: u16, base: usize) -> u32 {
    u32::try_from(base).unwrap_or_default() + u32::from(number.saturating_sub(1))
}

/// The part of a summary for a block.
fn summary(block: &Block, grain: Grain) -> u32 {
    let lanes = 1 << (grain.bits - 5);
    let bits = block.chunks(lanes).map(|lanes| u32::from(lanes.iter().any(|lane| *lane != 0)));
    bits.zip(0..).fold(0, |all, (bit, number)| all | (bit << number))
}

#[expect(clippy::cast_possible_truncation, reason = "the word that is wanted")]
const fn low_word(bits: u128) -> u32 {
    bits as u32
}
