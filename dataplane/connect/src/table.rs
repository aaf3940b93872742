//! A hash table of fixed capacity, as set-ups are found by their legs and counted by who asked for them: open addressing,
//! linear probing, keyed hash. It allocates once, at its making.

use core::net::{IpAddr, SocketAddr};

use crate::segment::Leg;

/// A key that can be hashed under a secret seed.
pub(crate) trait Key: Copy + Eq {
    /// A well-mixed word that depends on all of the key and of the seed.
    fn hash(&self, seed: u64) -> u64;
}

/// Folds the 128-bit product, which mixes every bit of both words into the result.
#[inline]
const fn mix(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are wanted")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

/// 2^64 divided by the golden ratio, odd: an even spread of consecutive words.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// An address as two words.
#[inline]
fn words(address: IpAddr) -> (u64, u64) {
    match address {
        IpAddr::V4(address) => (u64::from(address.to_bits()), 0),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            #[expect(clippy::cast_possible_truncation, reason = "both halves are wanted")]
            let (low, high) = (bits as u64, (bits >> 64) as u64);
            (low, high ^ SPREAD)
        }
    }
}

impl Key for Leg {
    #[inline]
    fn hash(&self, seed: u64) -> u64 {
        let (ours, ours_high) = words(self.ours.ip());
        let (theirs, theirs_high) = words(self.theirs.ip());
        let ports = u64::from(self.ours.port()) << 16 | u64::from(self.theirs.port());
        let near = mix(ours ^ seed, theirs ^ SPREAD ^ seed.rotate_left(32));
        let far = mix(ours_high ^ seed.rotate_left(16), theirs_high ^ SPREAD);
        mix(near ^ far.rotate_left(7), (u64::from(self.client) << 32 | ports) ^ seed)
    }
}

impl Key for SocketAddr {
    #[inline]
    fn hash(&self, seed: u64) -> u64 {
        let (low, high) = words(self.ip());
        let port = u64::from(self.port());
        mix(low ^ seed, port ^ SPREAD) ^ mix(high ^ seed.rotate_left(32), SPREAD)
    }
}

/// Whose set-ups are counted together: a client, or an address outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) client: u32,
    pub(crate) address: Option<IpAddr>,
}

impl Key for Holder {
    #[inline]
    fn hash(&self, seed: u64) -> u64 {
        let (low, high) = self.address.map_or((0, 0), words);
        mix(low ^ seed, u64::from(self.client) ^ SPREAD) ^ mix(high ^ seed.rotate_left(32), SPREAD)
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    seed: u64,
    mask: usize,
    count: usize,
    rows: Vec<Option<(K, V)>>,
}

impl<K: Key, V: Copy> Table<K, V> {
    /// A table for `capacity` entries; twice as many rows keep the probes short. Its owner never enters more.
    pub(crate) fn new(capacity: usize, seed: u64) -> Self {
        let rows = (capacity.max(1) * 2).next_power_of_two();
        Self { seed, mask: rows - 1, count: 0, rows: vec![None; rows] }
    }

    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the mask keeps the low bits only")]
    fn home(&self, key: &K) -> usize {
        key.hash(self.seed) as usize & self.mask
    }

    /// The row of the key, or the empty row where its probe ends.
    #[inline]
    fn find(&self, key: &K) -> (usize, Option<V>) {
        let mut row = self.home(key);
        loop {
            match self.rows.get(row) {
                Some(Some((found, value))) if found == key => return (row, Some(*value)),
                Some(Some(_)) => row = (row + 1) & self.mask,
                Some(None) | None => return (row, None),
            }
        }
    }

    #[inline]
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.find(key).1
    }

    /// Sets the value of a key.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        let (row, before) = self.find(&key);
        self.count += usize::from(before.is_none());
        assert!(self.count <= self.mask, "the owner enters no more than the capacity");
        if let Some(place) = self.rows.get_mut(row) {
            *place = Some((key, value));
        }
    }

    /// Takes a key out and closes the gap, so that no probe ends early.
    pub(crate) fn remove(&mut self, key: &K) {
        let (mut gap, value) = self.find(key);
        if value.is_none() {
            return;
        }
        self.count -= 1;
        let mut row = gap;
        loop {
            row = (row + 1) & self.mask;
            let Some(Some(entry)) = self.rows.get(row).copied() else { break };
            let home = self.home(&entry.0);
            // The entry may move into the gap unless its home lies behind the gap.
            if (row.wrapping_sub(home) & self.mask) >= (row.wrapping_sub(gap) & self.mask) {
                if let Some(place) = self.rows.get_mut(gap) {
                    *place = Some(entry);
                }
                gap = row;
            }
        }
        if let Some(place) = self.rows.get_mut(gap) {
            *place = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn behaves_like_a_map_under_any_sequence_of_operations() {
        for seed in 0..50_u64 {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_add(SPREAD);
                mix(state, 0xd6e8_feb8_6659_fd93)
            };
            let mut table = Table::<Holder, u64>::new(100, seed);
            let mut model = HashMap::new();
            for _ in 0..2_000 {
                let client = u32::try_from(next() % 100).unwrap();
                let key = Holder { client, address: None };
                if next().is_multiple_of(3) {
                    table.remove(&key);
                    model.remove(&client);
                } else {
                    let value = next();
                    table.insert(key, value);
                    model.insert(client, value);
                }
                assert_eq!(table.len(), model.len(), "seed {seed}");
            }
            for client in 0..100 {
                let found = table.get(&Holder { client, address: None });
                assert_eq!(found, model.get(&client).copied(), "seed {seed}");
            }
        }
    }
}
