//! The compiled rules of one family, as packets are looked up in them.

use std::fmt;

use super::dimension::Dimension;
use super::lines::{Line, half};
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
    /// The line where its rows begin: for each class the words of a summary, then the numbers of all blocks as half words.
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

/// What stands for no rule.
pub(super) const NONE: u16 = u16::MAX;

/// What one bit of a summary stands for: so many rules, by their logarithm to the base 2. It is set if there is one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grain {
    pub(super) bits: u32,
    /// Words of a summary, at most four.
    pub(super) words: u32,
}

impl Grain {
    /// As fine as a summary has bits for so many rules, but a whole lane.
    pub(super) fn of(rules: usize) -> Self {
        let rules = u32::try_from(rules).unwrap_or(u32::MAX);
        let bits = rules.div_ceil(128).next_power_of_two().trailing_zeros().max(5);
        Self { bits, words: rules.div_ceil(32 << bits) }
    }

    /// The logarithm of the bits of a summary for a block.
    #[inline]
    pub(super) const fn bits_per_block(self) -> u32 {
        BLOCK.trailing_zeros() - self.bits
    }
}

/// The rules of one family.
#[derive(PartialEq, Eq)]
pub(super) struct Form {
    pub(super) lookups: Few<Lookup, 12>,
    pub(super) products: Few<Product, 11>,
    /// None of them: the last result is the rule itself.
    pub(super) roots: Few<Root, 12>,
    /// How fine the summaries of roots are.
    pub(super) grain: Grain,
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
    /// Whether a dimension is looked at.
    pub(super) fn asks(&self, dimension: Dimension) -> bool {
        self.lookups.items().iter().any(|lookup| lookup.dimension == dimension)
    }

    /// How many rules of this family have a lower index in the ruleset.
    pub(super) fn position(&self, from: u32) -> Option<u32> {
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
