//! The way of a packet through a form, in steps that several packets can take together, so that none waits alone for memory.

use crate::facts::Facts;

use super::dimension::values;
use super::form::{Form, NONE, Root};
use super::lines::{half, word};
use super::partition::BLOCK;
use super::tree::Keys;

/// Rules of a block.
const RULES: u32 = 512;
const _: () = assert!(RULES as usize == BLOCK);

/// Where a packet is on its way.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    form: &'a Form,
    /// The results of lookups, then of products, each at its number: at most 12 and 11, so that five bits index them.
    results: [u16; 32],
    /// Where the block numbers of each root begin, in words, and where, by their summaries, all of them may have rules.
    rows: [u32; 12],
    summary: [u32; 4],
}

impl<'a> Walk<'a> {
    /// At the beginning.
    #[inline]
    pub(super) const fn new(form: &'a Form) -> Self {
        Self { form, results: [0; 32], rows: [0; 12], summary: [0; 4] }
    }

    /// Reads where searches begin, to have it in the cache when they do.
    #[inline]
    pub(super) fn approach(&self) -> u32 {
        let lookups = self.form.lookups.items().iter();
        lookups
            .filter_map(|lookup| word(&self.form.lines, lookup.root(), 0))
            .fold(0, |any, one| any | one)
    }

    /// Finds the class in every dimension.
    #[inline]
    pub(super) fn classify(&mut self, facts: &Facts, classes: (u16, u16)) -> Option<()> {
        let (values, keys) = (values(facts, classes), Keys::lanes());
        let lines = &*self.form.lines;
        for (result, lookup) in self.results.iter_mut().zip(self.form.lookups.items()) {
            *result = if lookup.is_wide {
                let address = if lookup.dimension == 0 { facts.source } else { facts.destination };
                lookup.class_wide(lines, address)?
            } else {
                let value = values.get(usize::from(lookup.dimension & 15))?;
                lookup.class(lines, keys, *value)?
            };
        }
        Some(())
    }

    /// Combines classes, and finds the rows of those that are not combined further.
    #[inline]
    pub(super) fn combine(&mut self) -> Option<()> {
        for (next, product) in (self.form.lookups.items().len()..).zip(self.form.products.items()) {
            let (left, right) = (self.result(product.left), self.result(product.right));
            let class = half(&self.form.lines, product.at, left * product.width + right)?;
            *self.results.get_mut(next & 31)? = class;
        }
        self.locate()
    }

    #[inline]
    fn locate(&mut self) -> Option<()> {
        let words = self.form.grain.words;
        for (number, root) in self.form.roots.items().iter().enumerate() {
            let row = self.result(root.result) * root.stride;
            *self.rows.get_mut(number)? = row + words;
            for (index, bits) in (0..words).zip(&mut self.summary) {
                let others = word(&self.form.lines, root.rows, row + index)?;
                *bits = if number == 0 { others } else { *bits & others };
            }
        }
        Some(())
    }

    /// The rule: the last result itself, or the first one that the blocks of all roots have.
    #[inline]
    pub(super) fn answer(&self, from: u32) -> Option<u32> {
        let roots = self.form.roots.items();
        if roots.is_empty() {
            let last = self.form.lookups.items().len() + self.form.products.items().len();
            let rule = *self.results.get(last.checked_sub(1)?)?;
            return (rule != NONE && u32::from(rule) >= from).then(|| rule.into());
        }
        let from = if from == 0 { 0 } else { self.form.position(from)? };
        let grain = self.form.grain;
        let bits = self.summary.iter().rev().fold(0, |bits, word| (bits << 32) | u128::from(*word));
        let mut left = bits & u128::MAX.checked_shl(from >> grain.bits).unwrap_or(0);
        while left != 0 {
            let block = left.trailing_zeros() >> grain.bits_per_block();
            let both = self.intersect(roots, block)?;
            if let Some(bit) = first_bit(&both, from.saturating_sub(block * RULES)) {
                return half(&self.form.lines, self.form.rules.1, block * RULES + bit)
                    .map(u32::from);
            }
            let next = (block + 1) << grain.bits_per_block();
            left &= u128::MAX.checked_shl(next).unwrap_or(0);
        }
        None
    }

    /// Which rules of a block all roots have.
    #[inline]
    fn intersect(&self, roots: &[Root], block: u32) -> Option<[u32; 16]> {
        let mut both = [u32::MAX; 16];
        for (row, root) in self.rows.iter().zip(roots) {
            let number = half(&self.form.lines, root.rows, *row * 2 + block)?;
            let line = self.form.lines.get((root.pool + u32::from(number)) as usize)?;
            both.iter_mut().zip(line.0).for_each(|(lane, other)| *lane &= other);
        }
        Some(both)
    }

    #[inline]
    fn result(&self, number: u8) -> u32 {
        self.results.get(usize::from(number & 31)).copied().unwrap_or_default().into()
    }
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
