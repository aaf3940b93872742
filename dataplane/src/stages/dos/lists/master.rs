//! The keeper's copy of the lists: every prefix of every one, in the order in which tables are built.

use std::collections::HashMap;
use std::mem::take;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Lists, Prefix, TooManySets};

/// All prefixes of all lists. Changes gather and are sorted in at once, by [`Master::settle`]. A clone shares
/// what neither side changes, so one that turns out to be unbuildable is dropped and leaves nothing.
#[derive(Clone, Debug, Default)]
pub struct Master {
    v4: Ordered<Four>,
    v6: Ordered<Six>,
    counts: HashMap<u16, usize>,
}

impl Master {
    /// Puts prefixes into the list of a slot; those that are there stay.
    pub fn add(&mut self, slot: u16, prefixes: &[IpNet]) {
        self.change(slot, prefixes, true);
    }

    /// Takes prefixes out of the list of a slot; those that are not there do not matter.
    pub fn remove(&mut self, slot: u16, prefixes: &[IpNet]) {
        self.change(slot, prefixes, false);
    }

    fn change(&mut self, slot: u16, prefixes: &[IpNet], is_there: bool) {
        for prefix in prefixes {
            match prefix.trunc() {
                IpNet::V4(net) => {
                    let prefix = (net.network().to_bits(), net.prefix_len());
                    self.v4.changes.push((Four::new(prefix, slot), is_there));
                }
                IpNet::V6(net) => {
                    let prefix = (net.network().to_bits(), net.prefix_len());
                    self.v6.changes.push((Six::new(prefix, slot), is_there));
                }
            }
        }
        if self.v4.is_due() || self.v6.is_due() {
            self.settle();
        }
    }

    /// Empties the list of a slot.
    pub fn clear(&mut self, slot: u16) {
        self.settle();
        if self.counts.remove(&slot).is_some() {
            self.v4.retain(|entry| entry.parts().1 != slot);
            self.v6.retain(|entry| entry.parts().1 != slot);
        }
    }

    /// Sorts in what has changed, so that counts are exact.
    pub fn settle(&mut self) {
        let counts = &mut self.counts;
        let mut count = |slot: u16, is_there: bool| {
            let count = counts.entry(slot).or_default();
            *count = if is_there { *count + 1 } else { count.saturating_sub(1) };
        };
        self.v4.settle(|entry, is_there| count(entry.parts().1, is_there));
        self.v6.settle(|entry, is_there| count(entry.parts().1, is_there));
        self.counts.retain(|_, count| *count > 0);
    }

    /// Prefixes of all lists, as of the last [`Master::settle`]; one that two lists have counts twice.
    pub fn len(&self) -> usize {
        self.v4.all.len() + self.v6.all.len()
    }

    /// Whether there is none, as of the last [`Master::settle`].
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Prefixes of the list of a slot, as of the last [`Master::settle`].
    pub fn count(&self, slot: u16) -> usize {
        self.counts.get(&slot).copied().unwrap_or(0)
    }

    /// Settles, and builds what workers read.
    ///
    /// Errors: the lists overlap in too many ways. What has changed stays changed.
    pub fn build(&mut self) -> Result<Lists, TooManySets> {
        self.settle();
        Lists::build(
            self.v4.all.iter().map(|entry| entry.parts()),
            self.v6.all.iter().map(|entry| entry.parts()),
        )
    }

    /// Octets of memory.
    pub fn octets(&self) -> usize {
        self.v4.octets() + self.v6.octets()
    }
}

/// An IPv4 prefix in the list of a slot: `[first 32 | length 8 | slot 16]`. What encloses a prefix is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Four(u64);

impl Four {
    fn new((first, len): Prefix<u32>, slot: u16) -> Self {
        Self(u64::from(first) << 24 | u64::from(len) << 16 | u64::from(slot))
    }

    #[expect(clippy::cast_possible_truncation, reason = "each part is cut out")]
    fn parts(self) -> (Prefix<u32>, u16) {
        (((self.0 >> 24) as u32, (self.0 >> 16) as u8), self.0 as u16)
    }
}

/// An IPv6 prefix in the list of a slot, in words that leave no gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Six {
    high: u64,
    low: u64,
    len: u8,
    slot: u16,
}

impl Six {
    fn new((first, len): Prefix<u128>, slot: u16) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "both halves are kept")]
        let (high, low) = ((first >> 64) as u64, first as u64);
        Self { high, low, len, slot }
    }

    fn parts(self) -> (Prefix<u128>, u16) {
        ((u128::from(self.high) << 64 | u128::from(self.low), self.len), self.slot)
    }
}

/// Changes that may wait however few there are otherwise.
const WAITING: usize = 1 << 16;

/// Entries in order, and what has changed since.
#[derive(Clone, Debug)]
struct Ordered<E> {
    all: Arc<Vec<E>>,
    /// In the order of their coming: the last one that names an entry holds.
    changes: Vec<(E, bool)>,
}

impl<E> Default for Ordered<E> {
    fn default() -> Self {
        Self { all: Arc::default(), changes: Vec::new() }
    }
}

impl<E: Copy + Ord> Ordered<E> {
    /// Whether more wait than what it costs to sort them in is worth.
    fn is_due(&self) -> bool {
        self.changes.len() > WAITING.max(self.all.len() / 2)
    }

    /// Merges the changes in, and tells of each that was one whether the entry is there now.
    fn settle(&mut self, mut tell: impl FnMut(E, bool)) {
        if self.changes.is_empty() {
            return;
        }
        let mut changes = take(&mut self.changes);
        changes.sort_by_key(|(entry, _)| *entry);
        let added = changes.iter().filter(|(_, is_there)| *is_there).count();
        let mut merged = Vec::with_capacity(self.all.len() + added);
        let mut rest = self.all.as_slice();
        for same in changes.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((entry, is_there)) = same.last().copied() else { continue };
            let (before, from) = rest.split_at(run(rest, &entry));
            merged.extend_from_slice(before);
            let was_there = from.first() == Some(&entry);
            rest = from.get(usize::from(was_there)..).unwrap_or_default();
            if is_there {
                merged.push(entry);
            }
            if is_there != was_there {
                tell(entry, is_there);
            }
        }
        merged.extend_from_slice(rest);
        merged.shrink_to_fit();
        self.all = Arc::new(merged);
    }

    fn retain(&mut self, is_kept: impl Fn(E) -> bool) {
        self.all = Arc::new(self.all.iter().copied().filter(|entry| is_kept(*entry)).collect());
    }

    fn octets(&self) -> usize {
        self.all.capacity() * size_of::<E>() + self.changes.capacity() * size_of::<(E, bool)>()
    }
}

/// How many entries stand before this one: in steps that double, as it is near when many change.
fn run<E: Ord>(entries: &[E], entry: &E) -> usize {
    let mut reach = 1;
    while entries.get(reach).is_some_and(|other| other < entry) {
        reach *= 2;
    }
    let near = entries.get(..entries.len().min(reach + 1)).unwrap_or_default();
    near.partition_point(|other| other < entry)
}
