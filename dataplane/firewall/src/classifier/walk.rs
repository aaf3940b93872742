//! The way of a packet through a form, and of several through one each, so that none waits alone for memory.

use std::hint::black_box;

use crate::facts::Facts;

use super::Asked;
use super::burst::TOGETHER;
use super::dimension::values;
use super::form::{Form, NONE};
use super::lines::{half, word};
use super::search::Search;
use super::tree::Keys;

/// The first rules that these packets meet, each of its own form; they are at most `TOGETHER`.
pub(super) fn first(packets: &[Asked<'_>], found: &mut [Option<u32>]) {
    let mut walks: [Option<Walk<'_>>; TOGETHER] =
        std::array::from_fn(|index| Some(Walk::new(packets.get(index)?.form())));
    // What is read has no use but to be in the cache when the ways begin.
    black_box(walks.iter().flatten().fold(0, |any, walk| any | walk.approach()));
    for (walk, packet) in walks.iter_mut().flatten().zip(packets) {
        walk.classify(packet.facts, packet.classes);
    }
    for walk in walks.iter_mut().flatten() {
        walk.combine();
    }
    for (walk, found) in walks.iter().flatten().zip(found) {
        *found = walk.answer(0);
    }
}

/// Where a packet is on its way.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    form: &'a Form,
    /// The results of lookups, then of products, each at its number: at most 12 and 11, so that five bits index them.
    results: [u16; 32],
    search: Search,
}

impl<'a> Walk<'a> {
    /// At the beginning.
    #[inline]
    pub(super) fn new(form: &'a Form) -> Self {
        Self { form, results: [0; 32], search: Search::default() }
    }

    /// Reads where searches begin.
    #[inline]
    fn approach(&self) -> u32 {
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
                lookup.class_wide(lines, lookup.dimension.address(facts))?
            } else {
                let value = values.get(lookup.dimension as usize & 15)?;
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
            let place = u32::from(left) * product.width + u32::from(right);
            let class = half(&self.form.lines, product.at, place)?;
            *self.results.get_mut(next & 31)? = class;
        }
        for (number, root) in self.form.roots.items().iter().enumerate() {
            self.search.narrow(self.form, number, root, self.result(root.result))?;
        }
        Some(())
    }

    /// The rule: the last result itself, or the first one that the classes of all roots have.
    #[inline]
    pub(super) fn answer(&self, from: u32) -> Option<u32> {
        if !self.form.roots.items().is_empty() {
            return self.search.first(self.form, from);
        }
        let last = self.form.lookups.items().len() + self.form.products.items().len();
        let rule = *self.results.get(last.checked_sub(1)?)?;
        (rule != NONE && u32::from(rule) >= from).then(|| rule.into())
    }

    #[inline]
    fn result(&self, number: u8) -> u16 {
        self.results.get(usize::from(number & 31)).copied().unwrap_or_default()
    }
}
