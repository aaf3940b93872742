//! A hash table of fixed capacity: open addressing, linear probing, keyed hash. It allocates once, at its
//! making; full is an answer, not a growth.

/// A key that can be hashed under a secret seed.
pub trait Key: Copy + Eq {
    /// A well-mixed word that depends on all of the key and of the seed.
    fn hash(self, seed: u64) -> u64;
}

/// Folds the 128-bit product, which mixes every bit of both words into the result.
#[inline]
pub(crate) const fn mix(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "both halves are wanted, one after the other"
    )]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

/// 2^64 divided by the golden ratio, odd: an even spread of consecutive words.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Key for u32 {
    #[inline]
    fn hash(self, seed: u64) -> u64 {
        mix(u64::from(self) ^ seed, SPREAD ^ seed.rotate_left(32))
    }
}

impl Key for u64 {
    #[inline]
    fn hash(self, seed: u64) -> u64 {
        mix(self ^ seed, SPREAD ^ seed.rotate_left(32))
    }
}

impl Key for u128 {
    #[inline]
    fn hash(self, seed: u64) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
        let (low, high) = (self as u64, (self >> 64) as u64);
        mix(low ^ seed, high ^ SPREAD) ^ mix(high ^ seed.rotate_left(32), SPREAD)
    }
}

/// The table.
#[derive(Clone, Debug)]
pub struct Table<K, V> {
    seed: u64,
    mask: usize,
    count: usize,
    capacity: usize,
    rows: Vec<Option<(K, V)>>,
}

/// Why an insertion was refused: all of the capacity is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl<K: Key, V: Copy> Table<K, V> {
    /// A table for `capacity` entries; twice as many rows keep the probes short.
    pub fn new(capacity: usize, seed: u64) -> Self {
        let rows = (capacity.max(1) * 2).next_power_of_two();
        Self { seed, mask: rows - 1, count: 0, capacity, rows: vec![None; rows] }
    }

    /// Entries in the table.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the mask keeps the low bits only")]
    fn home(&self, key: K) -> usize {
        key.hash(self.seed) as usize & self.mask
    }

    /// The row of the key, or the empty row where its probe ends.
    #[inline]
    fn find(&self, key: K) -> (usize, Option<V>) {
        let mut row = self.home(key);
        loop {
            match self.rows.get(row) {
                Some(Some((found, value))) if *found == key => return (row, Some(*value)),
                Some(Some(_)) => row = (row + 1) & self.mask,
                Some(None) | None => return (row, None),
            }
        }
    }

    /// The value of a key.
    #[inline]
    pub fn get(&self, key: K) -> Option<V> {
        self.find(key).1
    }

    /// Sets the value of a key; gives back the value before.
    pub fn insert(&mut self, key: K, value: V) -> Result<Option<V>, Full> {
        let (row, before) = self.find(key);
        if before.is_none() {
            if self.count >= self.capacity {
                return Err(Full);
            }
            self.count += 1;
        }
        if let Some(slot) = self.rows.get_mut(row) {
            *slot = Some((key, value));
        }
        Ok(before)
    }

    /// Takes a key out and closes the gap, so that no probe ends early.
    pub fn remove(&mut self, key: K) -> Option<V> {
        let (mut gap, value) = self.find(key);
        value?;
        self.count -= 1;
        let mut row = gap;
        loop {
            row = (row + 1) & self.mask;
            let Some(Some(entry)) = self.rows.get(row).copied() else { break };
            let home = self.home(entry.0);
            // The entry may move into the gap unless its home lies behind the gap.
            if (row.wrapping_sub(home) & self.mask) >= (row.wrapping_sub(gap) & self.mask) {
                if let Some(slot) = self.rows.get_mut(gap) {
                    *slot = Some(entry);
                }
                gap = row;
            }
        }
        if let Some(slot) = self.rows.get_mut(gap) {
            *slot = None;
        }
        value
    }

    /// Every entry, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (K, V)> {
        self.rows.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// A small generator, so that the operations depend on nothing but the seed.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_add(SPREAD);
        mix(*state, 0xd6e8_feb8_6659_fd93)
    }

    #[test]
    fn behaves_like_a_map_under_any_sequence_of_operations() {
        for seed in 0..50_u64 {
            let mut state = seed;
            let mut table = Table::<u32, u64>::new(64, seed);
            let mut model = HashMap::new();
            for _ in 0..2_000 {
                let key = u32::try_from(next(&mut state) % 100).unwrap();
                let value = next(&mut state);
                if next(&mut state).is_multiple_of(3) {
                    assert_eq!(table.remove(key), model.remove(&key), "seed {seed}");
                } else if model.len() < 64 || model.contains_key(&key) {
                    assert_eq!(
                        table.insert(key, value),
                        Ok(model.insert(key, value)),
                        "seed {seed}"
                    );
                } else {
                    assert_eq!(table.insert(key, value), Err(Full), "seed {seed}");
                }
                assert_eq!(table.len(), model.len());
            }
            for key in 0..100 {
                assert_eq!(table.get(key), model.get(&key).copied(), "seed {seed} key {key}");
            }
            assert_eq!(table.iter().collect::<HashMap<_, _>>(), model);
        }
    }

    #[test]
    fn spreads_keys_that_differ_in_high_bits_only() {
        let mut homes = std::collections::HashSet::new();
        for high in 0..1_000_u128 {
            homes.insert((high << 100).hash(7) & 0xffff);
        }
        assert!(homes.len() > 900, "{} homes", homes.len());
    }
}
