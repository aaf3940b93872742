//! The compiled rules of one family, as packets are looked up in them.

use std::fmt;

use crate::facts::Facts;

use super::dimension::values;
use super::lines::{Line, half, word};
use super::partition::BLOCK;
use super::tree::Lookup;

/// A class found by those of two things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Product {
    /// The line where its table begins.
    pub(super) at: u32,
    /// Entries of a row, of which there is one for each class on the left.
    pub(super) width: u32,
    /// Which results it combines.
    pub(super) left: u8,
    pub(super) right: u8,
}

/// Where the rules of a class are found that is not combined further.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Root {
    /// The line where its rows begin: for each class a word of bits for blocks that are not empty, then the numbers of all
    /// blocks as half words.
    pub(super) rows: u32,
    /// Words of a row.
    pub(super) stride: u32,
    /// The line of block number 0.
    pub(super) pool: u32,
    /// Whose classes they are.
    pub(super) result: u8,
}

/// A list of at most so many, inside what holds it: to follow a pointer would cost a cache miss.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Few<T, const MAX: usize> {
    items: [T; MAX],
    count: u8,
}

impl<T: Copy + Default, const MAX: usize> Few<T, MAX> {
    /// An empty list.
    pub(super) fn new() -> Self {
        Self { items: [T::default(); MAX], count: 0 }
    }

    /// Adds an item; what is beyond MAX is lost, and no caller has more.
    pub(super) fn push(&mut self, item: T) {
        if let Some(place) = self.items.get_mut(usize::from(self.count)) {
            *place = item;
            self.count += 1;
        }
    }

    /// The items.
    #[inline]
    pub(super) fn items(&self) -> &[T] {
        self.items.get(..usize::from(self.count)).unwrap_or_default()
    }
}

/// The results of lookups, then of products, each at its number: at most 12 and 11, so that five bits index them.
type Results = [u16; 32];

/// What stands for no rule.
pub(super) const NONE: u16 = u16::MAX;

/// The rules of one family.
#[derive(PartialEq, Eq)]
pub(super) struct Form {
    pub(super) lookups: Few<Lookup, 12>,
    pub(super) products: Few<Product, 11>,
    /// None of them: the last result is the rule itself.
    pub(super) roots: Few<Root, 12>,
    /// Rules of this family, and the line where their indices in the ruleset begin.
    pub(super) rules: (u32, u32),
    pub(super) lines: Box<[Line]>,
}

impl fmt::Debug for Form {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut form = formatter.debug_struct("Form");
        form.field("lookups", &self.lookups.items());
        form.field("products", &self.products.items());
        form.field("roots", &self.roots.items()).finish_non_exhaustive()
    }
}

impl Form {
    /// The first rule, of those with at least the index `from`, whose conditions the packet meets.
    #[inline]
    pub(super) fn first(&self, facts: &Facts, classes: (u16, u16), from: u32) -> Option<u32> {
        let mut results = [0; 32];
        self.look_up(&mut results, facts, classes)?;
        self.combine(&mut results)?;
        self.answer(&results, from)
    }

    #[inline]
    fn look_up(&self, results: &mut Results, facts: &Facts, classes: (u16, u16)) -> Option<()> {
        let values = values(facts, classes);
        for (result, lookup) in results.iter_mut().zip(self.lookups.items()) {
            *result = if lookup.is_wide {
                let address = if lookup.dimension == 0 { facts.source } else { facts.destination };
                lookup.class_wide(&self.lines, address)?
            } else {
                let value = values.get(usize::from(lookup.dimension & 15))?;
                lookup.class(&self.lines, *value)?
            };
        }
        Some(())
    }

    #[inline]
    fn combine(&self, results: &mut Results) -> Option<()> {
        let mut next = self.lookups.items().len();
        for product in self.products.items() {
            let left = u32::from(result(results, product.left)?);
            let right = u32::from(result(results, product.right)?);
            let class = half(&self.lines, product.at, left * product.width + right)?;
            *results.get_mut(next)? = class;
            next += 1;
        }
        Some(())
    }

    #[inline]
    fn answer(&self, results: &Results, from: u32) -> Option<u32> {
        if !self.roots.items().is_empty() {
            return self.search(results, from);
        }
        let last = self.lookups.items().len() + self.products.items().len();
        let rule = *results.get(last.checked_sub(1)?)?;
        (rule != NONE && u32::from(rule) >= from).then(|| rule.into())
    }

    /// Goes through the blocks in which every root has a rule.
    #[inline]
    fn search(&self, results: &Results, from: u32) -> Option<u32> {
        let from = if from == 0 { 0 } else { self.position(from)? };
        let mut rows = [0; 12];
        let mut summary = u32::MAX.checked_shl(from / BLOCK as u32).unwrap_or(0);
        for (row, root) in rows.iter_mut().zip(self.roots.items()) {
            *row = u32::from(result(results, root.result)?) * root.stride;
            summary &= word(&self.lines, root.rows, *row)?;
        }
        while summary != 0 {
            let block = summary.trailing_zeros();
            summary &= summary - 1;
            let mut both = [u32::MAX; 16];
            for (row, root) in rows.iter().zip(self.roots.items()) {
                let number = half(&self.lines, root.rows, (*row + 1) * 2 + block)?;
                let line = self.lines.get((root.pool + u32::from(number)) as usize)?;
                both.iter_mut().zip(line.0).for_each(|(lane, other)| *lane &= other);
            }
            let first = from.saturating_sub(block * BLOCK as u32);
            if let Some(bit) = first_bit(&both, first) {
                return half(&self.lines, self.rules.1, block * BLOCK as u32 + bit).map(u32::from);
            }
        }
        None
    }

    /// How many rules of this family have a lower index in the ruleset.
    fn position(&self, from: u32) -> Option<u32> {
        let (mut low, mut high) = (0, self.rules.0);
        while low < high {
            let middle = low.midpoint(high);
            if u32::from(half(&self.lines, self.rules.1, middle)?) < from {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Some(low)
    }
}

/// The result of this number.
#[inline]
fn result(results: &Results, number: u8) -> Option<u16> {
    results.get(usize::from(number & 31)).copied()
}

/// The first bit set, from this one on.
#[inline]
fn first_bit(block: &[u32; 16], from: u32) -> Option<u32> {
    if block.iter().fold(0, |any, lane| any | lane) == 0 {
        return None;
    }
    for (number, lane) in (0..).zip(block) {
        let from = from.saturating_sub(number * 32);
        let left = lane & u32::MAX.checked_shl(from).unwrap_or(0);
        if left != 0 {
            return Some(number * 32 + left.trailing_zeros());
        }
    }
    None
}
