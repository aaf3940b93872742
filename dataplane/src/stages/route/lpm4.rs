//! Longest-prefix match for IPv4: DIR-24-8. One read for prefixes up to /24, two for longer ones. The first
//! table is cut into pages that versions share.
//!
//! After P. Gupta, S. Lin and N. `McKeown`, "Routing lookups in hardware at memory access speeds", INFOCOM 1998.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::grid::Grid;
use super::next_hops::Unbuildable;
use super::prefixes::{Prefix, Prefixes};

/// Set in a first-table entry whose low bits name a group of the second table.
const GROUP: u16 = 0x8000;

/// Entries of a page, 32 KiB: a change copies one, and a core's first cache holds the addresses of all.
const PAGE: usize = 1 << 14;
type Page = [u16; PAGE];

/// Groups that are copied together, 4 KiB.
const BLOCK: usize = 8;
type Block = [[u16; 256]; BLOCK];

/// A finished table: 2^24 entries for the first 24 bits, groups of 256 for the rest.
#[derive(Clone, Debug)]
pub(super) struct Lpm4 {
    first: Grid<Arc<Page>, 32>,
    groups: Grid<Arc<Block>, 64>,
}

impl Lpm4 {
    /// The route id of the longest prefix that holds the address; 0 when there is none.
    #[inline]
    pub(super) fn lookup(&self, address: Ipv4Addr) -> u16 {
        let bits = address.to_bits();
        self.resolve(self.first(bits), bits)
    }

    /// What the first table says of an address: its route id, or where else it stands. There is no branch in it: reads for many
    /// addresses are under way together.
    #[inline]
    pub(super) fn first(&self, address: u32) -> u16 {
        self.entry((address >> 8) as usize)
    }

    /// The route id of an address of which the first table says this.
    #[inline]
    pub(super) fn resolve(&self, entry: u16, address: u32) -> u16 {
        if entry & GROUP == 0 {
            return entry;
        }
        let group = self.group(entry);
        group.and_then(|group| group.get((address & 0xff) as usize)).copied().unwrap_or(0)
    }

    #[inline]
    fn entry(&self, index: usize) -> u16 {
        let page = self.first.get(index / PAGE);
        page.and_then(|page| page.get(index % PAGE)).copied().unwrap_or(0)
    }

    #[inline]
    fn group(&self, entry: u16) -> Option<&[u16; 256]> {
        let number = usize::from(entry & !GROUP);
        self.groups.get(number / BLOCK)?.get(number % BLOCK)
    }
}

/// The table while it is changed, and the groups that no entry names. A /24 has a group as long as a longer
/// prefix lies in it: so removing a prefix never needs one.
#[derive(Debug)]
pub(super) struct Draft {
    table: Lpm4,
    /// The page that has one id everywhere and was made last.
    uniform: (u16, Arc<Page>),
    free: Vec<u16>,
    /// Groups from here on were never used.
    fresh: u16,
}

#[expect(clippy::large_stack_arrays, reason = "32 KiB, and only the keeper makes pages")]
fn page_of(id: u16) -> Arc<Page> {
    Arc::new([id; PAGE])
}

impl Default for Draft {
    fn default() -> Self {
        let empty = page_of(0);
        let table =
            Lpm4 { first: Grid::of(&empty), groups: Grid::of(&Arc::new([[0; 256]; BLOCK])) };
        Self { table, uniform: (0, empty), free: Vec::new(), fresh: 0 }
    }
}

impl Draft {
    /// Builds the table of all prefixes.
    pub(super) fn build(prefixes: &Prefixes<u32>) -> Result<Self, Unbuildable> {
        let mut draft = Self::default();
        draft.paint(prefixes, (0, 0))?;
        Ok(draft)
    }

    /// The table as it is now.
    pub(super) fn table(&self) -> &Lpm4 {
        &self.table
    }

    /// Whether a prefix can be inserted: a /24 with the first longer prefix in it needs a group.
    pub(super) fn has_room(&self, (first, len): Prefix<u32>) -> bool {
        let has_group = || self.table.entry((first >> 8) as usize) & GROUP != 0;
        len <= 24 || !self.free.is_empty() || self.fresh < GROUP || has_group()
    }

    /// Writes what holds in `prefix` after it was inserted, removed or given another id.
    pub(super) fn paint(
        &mut self,
        prefixes: &Prefixes<u32>,
        prefix: Prefix<u32>,
    ) -> Result<(), Unbuildable> {
        let mut painted = Ok(());
        prefixes.segments(prefix, |first, last, id| {
            painted = painted.and_then(|()| self.paint_segment(first, last, id));
        });
        let (first, len) = prefix;
        let around = first & !0xff;
        if len > 24 && prefixes.within((around, 24)).next().is_none() {
            self.collapse((first >> 8) as usize);
        }
        painted
    }

    fn paint_segment(&mut self, first: u32, last: u32, id: u16) -> Result<(), Unbuildable> {
        let (mut from, mut behind) = ((first >> 8) as usize, (last >> 8) as usize + 1);
        let (low, high) = ((first & 0xff) as usize, (last & 0xff) as usize);
        if from + 1 == behind && (low, high) != (0, 0xff) {
            return self.paint_in_group(from, (low, high), id);
        }
        if low != 0 {
            self.paint_in_group(from, (low, 0xff), id)?;
            from += 1;
        }
        if high != 0xff {
            behind -= 1;
            self.paint_in_group(behind, (0, high), id)?;
        }
        self.fill(from, behind, id);
        Ok(())
    }

    /// Sets entries of the first table. Pages that have the id already stay shared.
    fn fill(&mut self, mut from: usize, behind: usize, id: u16) {
        while from < behind {
            let end = ((from | (PAGE - 1)) + 1).min(behind);
            let (number, range) = (from / PAGE, from % PAGE..from % PAGE + (end - from));
            let same = |page: &[u16]| page.iter().all(|entry| *entry == id);
            let before = self.table.first.get(number).and_then(|page| page.get(range.clone()));
            if before.is_some_and(|before| !same(before)) {
                let whole = (range.len() == PAGE).then(|| self.uniform(id));
                self.change_page(number, |page| match whole {
                    Some(whole) => *page = whole,
                    None => {
                        if let Some(range) = Arc::make_mut(page).get_mut(range) {
                            range.fill(id);
                        }
                    }
                });
            }
            from = end;
        }
    }

    fn change_page(&mut self, number: usize, change: impl FnOnce(&mut Arc<Page>)) {
        if let Some(page) = self.table.first.get_mut(number) {
            change(page);
        }
    }

    fn uniform(&mut self, id: u16) -> Arc<Page> {
        if self.uniform.0 != id {
            self.uniform = (id, page_of(id));
        }
        Arc::clone(&self.uniform.1)
    }

    fn set(&mut self, index: usize, entry: u16) {
        self.fill(index, index + 1, entry);
    }

    fn paint_in_group(
        &mut self,
        index: usize,
        (low, high): (usize, usize),
        id: u16,
    ) -> Result<(), Unbuildable> {
        let number = self.group_of(index)?;
        let block = self.table.groups.get_mut(number / BLOCK).map(Arc::make_mut);
        let group = block.and_then(|block| block.get_mut(number % BLOCK));
        if let Some(range) = group.and_then(|group| group.get_mut(low..=high)) {
            range.fill(id);
        }
        Ok(())
    }

    /// The group of a /24, made from its present id when it has none.
    fn group_of(&mut self, index: usize) -> Result<usize, Unbuildable> {
        let entry = self.table.entry(index);
        if entry & GROUP != 0 {
            return Ok(usize::from(entry & !GROUP));
        }
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.fresh < GROUP => {
                self.fresh += 1;
                self.fresh - 1
            }
            None => return Err(Unbuildable::TooManyLongPrefixes),
        };
        self.set(index, GROUP | number);
        let number = usize::from(number);
        let block = self.table.groups.get_mut(number / BLOCK).map(Arc::make_mut);
        if let Some(group) = block.and_then(|block| block.get_mut(number % BLOCK)) {
            group.fill(entry);
        }
        Ok(number)
    }

    /// Gives the group of a /24 back: without a longer prefix it has one id everywhere.
    fn collapse(&mut self, index: usize) {
        let entry = self.table.entry(index);
        if entry & GROUP == 0 {
            return;
        }
        let id = self.table.group(entry).map_or(0, |[id, ..]| *id);
        self.set(index, id);
        self.free.push(entry & !GROUP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The prefixes, one after the other, and the table that follows them.
    #[derive(Default)]
    struct Both {
        prefixes: Prefixes<u32>,
        draft: Draft,
    }

    impl Both {
        fn insert(&mut self, first: u32, len: u8, id: u16) {
            assert!(self.draft.has_room((first, len)), "{first:x}/{len}");
            self.prefixes.insert((first, len), id);
            self.draft.paint(&self.prefixes, (first, len)).unwrap();
        }

        fn remove(&mut self, first: u32, len: u8) {
            self.prefixes.remove((first, len));
            self.draft.paint(&self.prefixes, (first, len)).unwrap();
        }

        fn lookup(&self, address: u32) -> u16 {
            self.draft.table().lookup(Ipv4Addr::from_bits(address))
        }
    }

    #[test]
    fn takes_longer_prefixes_in_32768_different_24s_and_no_more() {
        let mut both = Both::default();
        for group in 0..u32::from(GROUP) {
            both.insert(0x0a00_0000 + (group << 8), 25, 1);
        }
        assert!(!both.draft.has_room((0x0b00_0000, 25)));
        assert!(both.draft.has_room((0x0b00_0000, 24)));
        assert!(both.draft.has_room((0x0a00_0080, 25)), "its /24 has a group");
        both.prefixes.insert((0x0b00_0000, 25), 1);
        assert_eq!(Draft::build(&both.prefixes).unwrap_err(), Unbuildable::TooManyLongPrefixes);
    }

    #[test]
    fn a_group_without_a_long_prefix_is_used_again() {
        let mut both = Both::default();
        both.insert(0x0a00_0000, 8, 7);
        for round in 0..1_000_u32 {
            let first = 0x0a00_0040 + ((round & 0xff) << 8);
            both.insert(first, 26, 1);
            both.insert(first, 28, 2);
            assert_eq!([both.lookup(first), both.lookup(first + 16)], [2, 1], "round {round}");
            both.remove(first, 26);
            assert_eq!([both.lookup(first), both.lookup(first + 16)], [2, 7], "round {round}");
            both.remove(first, 28);
            assert_eq!(both.lookup(first), 7, "round {round}");
        }
        assert_eq!(both.draft.fresh, 1, "one group was enough for all");
    }

    #[test]
    fn an_older_version_keeps_its_groups_when_they_are_used_again() {
        let mut both = Both::default();
        both.insert(0x0a00_0040, 26, 1);
        let older = both.draft.table().clone();
        both.remove(0x0a00_0040, 26);
        both.insert(0x0b00_0000, 25, 2);
        assert_eq!(older.lookup(Ipv4Addr::new(10, 0, 0, 0x40)), 1);
        assert_eq!(older.lookup(Ipv4Addr::new(11, 0, 0, 1)), 0);
        assert_eq!(both.lookup(0x0b00_0001), 2);
    }

    #[test]
    fn an_empty_table_is_small_and_a_wide_prefix_makes_one_page() {
        let mut both = Both::default();
        both.insert(0x8000_0000, 1, 5);
        let pages: std::collections::HashSet<_> = (0..1024)
            .map(|number| Arc::as_ptr(both.draft.table.first.get(number).unwrap()))
            .collect();
        assert_eq!(pages.len(), 2);
    }
}
