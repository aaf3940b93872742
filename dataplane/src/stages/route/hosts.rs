//! Single addresses with their next hops, any number of them: a hash table in shards that versions share.

mod shard;

use std::collections::HashMap;
use std::sync::Arc;

use super::grid::Grid;
use super::next_hop::NextHop;
use crate::table::Key;
use shard::Shard;

/// Rows and columns of the grid of shards.
const SIDE: usize = 64;
/// Bits of the hash that name a shard: a million hosts are 244 in each, so a change copies 4 to 8 KiB.
const SHARD_BITS: u32 = 12;

/// An address that can be a host.
pub(super) trait Host: Key + Default {
    /// A few bits that hosts in one network share.
    fn region(self, seed: u64) -> u16;
}

impl Host for u32 {
    #[inline]
    fn region(self, _: u64) -> u16 {
        (self >> 16) as u16
    }
}

/// An IPv6 address in two words, which an entry holds without padding.
pub(super) type Halves = [u64; 2];

impl Key for Halves {
    #[inline]
    fn hash(self, seed: u64) -> u64 {
        let [high, low] = self;
        (u128::from(high) << 64 | u128::from(low)).hash(seed)
    }
}

impl Host for Halves {
    /// Any /48 can be anybody's, so its bits are hashed.
    #[inline]
    fn region(self, seed: u64) -> u16 {
        let [high, _] = self;
        ((high >> 16).hash(seed) >> 48) as u16
    }
}

/// One bit for each region.
type Regions = [u64; 1 << 10];

/// A finished table.
#[derive(Clone, Debug)]
pub(super) struct Hosts<K> {
    seed: u64,
    shards: Grid<Shard<K>, SIDE>,
    /// Regions that hold a host. Most of what is looked up lies in none, and need not look further.
    regions: Arc<Regions>,
}

impl<K: Host> Hosts<K> {
    fn new(seed: u64) -> Self {
        Self { seed, shards: Grid::of(&Shard::default()), regions: Arc::new([0; 1 << 10]) }
    }

    /// The next hop of a host.
    #[inline]
    pub(super) fn get(&self, key: K) -> Option<NextHop> {
        if !self.has_near(key) {
            return None;
        }
        let hash = key.hash(self.seed);
        self.shards.get(shard_of(hash))?.get(key, hash, self.seed)
    }

    /// Begins to fetch what a lookup of this host reads.
    #[inline]
    pub(super) fn prefetch(&self, key: K) {
        if self.has_near(key) {
            let hash = key.hash(self.seed);
            self.shards.get(shard_of(hash)).into_iter().for_each(|shard| shard.prefetch(hash));
        }
    }

    /// Whether there are hosts in the region of this one.
    #[inline]
    pub(super) fn has_near(&self, key: K) -> bool {
        let region = key.region(self.seed);
        let word = self.regions.get(usize::from(region / 64)).copied().unwrap_or(0);
        word >> (region % 64) & 1 != 0
    }

    /// Every host, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (K, NextHop)> {
        (0..SIDE * SIDE).filter_map(|shard| self.shards.get(shard)).flat_map(Shard::iter)
    }

    fn mark(&mut self, region: u16, is_used: bool) {
        if let Some(word) = Arc::make_mut(&mut self.regions).get_mut(usize::from(region / 64)) {
            let bit = 1 << (region % 64);
            *word = if is_used { *word | bit } else { *word & !bit };
        }
    }
}

#[inline]
const fn shard_of(hash: u64) -> usize {
    (hash >> (64 - SHARD_BITS)) as usize
}

/// The table while it is changed, with counts.
#[derive(Debug)]
pub(super) struct Draft<K> {
    table: Hosts<K>,
    len: usize,
    /// Hosts in each region.
    regions: HashMap<u16, usize>,
}

impl<K: Host> Draft<K> {
    pub(super) fn new(seed: u64) -> Self {
        Self { table: Hosts::new(seed), len: 0, regions: HashMap::new() }
    }

    /// Builds the table of many hosts: each shard is made once, in its final size.
    pub(super) fn build(hosts: &[(K, NextHop)], seed: u64) -> Self {
        let mut draft = Self::new(seed);
        let mut counts = vec![0_usize; SIDE * SIDE];
        for (key, _) in hosts {
            if let Some(count) = counts.get_mut(shard_of(key.hash(seed))) {
                *count += 1;
            }
        }
        for (number, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            if let Some(shard) = draft.table.shards.get_mut(number) {
                *shard = Shard::for_count(count);
            }
        }
        for (key, next_hop) in hosts {
            draft.insert(*key, *next_hop);
        }
        draft
    }

    /// The table as it is now.
    pub(super) fn table(&self) -> &Hosts<K> {
        &self.table
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: K) -> Option<NextHop> {
        self.table.get(key)
    }

    pub(super) fn insert(&mut self, key: K, next_hop: NextHop) -> Option<NextHop> {
        let (seed, hash) = (self.table.seed, key.hash(self.table.seed));
        let before = self.table.shards.get_mut(shard_of(hash))?.insert(key, next_hop, (hash, seed));
        if before.is_none() {
            self.len += 1;
            let region = key.region(seed);
            let count = self.regions.entry(region).or_insert(0);
            *count += 1;
            if *count == 1 {
                self.table.mark(region, true);
            }
        }
        before
    }

    pub(super) fn remove(&mut self, key: K) -> Option<NextHop> {
        let before = self.get(key)?;
        let (seed, hash) = (self.table.seed, key.hash(self.table.seed));
        self.table.shards.get_mut(shard_of(hash))?.remove(key, hash, seed);
        self.len -= 1;
        let region = key.region(seed);
        if let Some(count) = self.regions.get_mut(&region) {
            *count -= 1;
            if *count == 0 {
                self.regions.remove(&region);
                self.table.mark(region, false);
            }
        }
        Some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator, so that the operations depend on nothing but the seed.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.hash(0x5eed)
    }

    #[test]
    fn behaves_like_a_map_and_older_versions_stay_as_they_were() {
        for seed in 0..20_u64 {
            let mut state = seed;
            let mut draft = Draft::<u32>::new(seed);
            let mut model = HashMap::new();
            let mut versions = Vec::new();
            for step in 0..3_000_u32 {
                // The key 0 is among them, which free rows have as well.
                let key = u32::try_from(next(&mut state) % 500).unwrap() << 11;
                if next(&mut state).is_multiple_of(3) {
                    assert_eq!(draft.remove(key), model.remove(&key), "seed {seed}");
                } else {
                    let next_hop = NextHop::Client(step);
                    assert_eq!(
                        draft.insert(key, next_hop),
                        model.insert(key, next_hop),
                        "seed {seed}"
                    );
                }
                assert_eq!(draft.len(), model.len(), "seed {seed}");
                if step % 500 == 0 {
                    versions.push((draft.table().clone(), model.clone()));
                }
            }
            versions.push((draft.table().clone(), model));
            for (table, model) in versions {
                for key in (0..500).map(|key| key << 11) {
                    assert_eq!(table.get(key), model.get(&key).copied(), "seed {seed} key {key}");
                }
                assert_eq!(table.iter().collect::<HashMap<_, _>>(), model, "seed {seed}");
            }
        }
    }

    #[test]
    fn the_last_of_equal_hosts_wins_in_a_bulk_as_well() {
        let hosts =
            [([1, 2], NextHop::Local), ([1, 3], NextHop::Local), ([1, 2], NextHop::Client(4))];
        let draft = Draft::<Halves>::build(&hosts, 9);
        assert_eq!(draft.get([1, 2]), Some(NextHop::Client(4)));
        assert_eq!(draft.get([1, 3]), Some(NextHop::Local));
        assert_eq!(draft.get([2, 2]), None);
        assert_eq!(draft.len(), 2);
    }

    #[test]
    fn a_region_is_left_when_its_last_host_goes() {
        let mut draft = Draft::<u32>::new(1);
        draft.insert(0x0a00_0001, NextHop::Local);
        draft.insert(0x0a00_0002, NextHop::Local);
        draft.remove(0x0a00_0001);
        assert!(draft.table.regions.iter().any(|word| *word != 0));
        draft.remove(0x0a00_0002);
        assert!(draft.table.regions.iter().all(|word| *word == 0));
    }

    #[test]
    fn consecutive_addresses_spread_over_all_shards() {
        for seed in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let mut counts = [0_u32; SIDE * SIDE];
            (0..100 * 4096_u32)
                .for_each(|host| counts[shard_of((0x0a00_0000 + host).hash(seed))] += 1);
            let (least, most) = (counts.iter().min(), counts.iter().max());
            assert!(least > Some(&50) && most < Some(&200), "seed {seed}: {least:?} to {most:?}");
        }
    }
}
