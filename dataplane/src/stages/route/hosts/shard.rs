//! A part of the hosts: open addressing with linear probing, rows ordered by where their keys belong
//! ("Robin Hood": a full table stays quick to search, above all for what is not in it).

use std::hint::select_unpredictable;
use std::sync::Arc;

use wireguard::prefetch::prefetch;

use super::super::next_hop::NextHop;
use crate::table::Key;

/// A row without a next hop is free, whatever key it has.
type Row<K> = (K, Option<NextHop>);

/// The count of rows follows that of the entries: seven of eight rows at most are taken.
#[derive(Clone, Debug)]
pub(super) struct Shard<K> {
    rows: Arc<[Row<K>]>,
    len: usize,
}

impl<K> Default for Shard<K> {
    fn default() -> Self {
        Self { rows: Arc::new([]), len: 0 }
    }
}

/// Rows that a lookup compares at once. Of twenty keys at most one stands farther from its home.
const WINDOW: usize = 8;

/// The row that a key with this hash belongs to, among so many: the low half of the hash as a fraction.
#[inline]
const fn home(hash: u64, rows: usize) -> usize {
    ((hash & 0xffff_ffff).wrapping_mul(rows as u64) >> 32) as usize
}

/// Rows from one to another, forwards.
#[inline]
const fn distance(from: usize, to: usize, rows: usize) -> usize {
    if to >= from { to - from } else { to + rows - from }
}

#[inline]
const fn behind(row: usize, rows: usize) -> usize {
    if row + 1 < rows { row + 1 } else { 0 }
}

impl<K: Key + Default> Shard<K> {
    /// An empty shard with rows for so many entries.
    pub(super) fn for_count(count: usize) -> Self {
        Self { rows: vec![(K::default(), None); rows_for(count)].into(), len: 0 }
    }

    /// The next hop of a key. A branch that depends on where a key stands is mispredicted as often as not, and
    /// then the next lookup waits for this one's memory; so the first rows are all compared, without any.
    #[inline]
    pub(super) fn get(&self, key: K, hash: u64, seed: u64) -> Option<NextHop> {
        let rows = self.rows.len();
        let home = home(hash, rows);
        let Some(window) = self.rows.get(home..home + WINDOW) else {
            return self.get_anywhere(key, hash, seed);
        };
        let mut at = WINDOW;
        for (number, row) in window.iter().enumerate() {
            at = select_unpredictable(row.0 == key, number, at);
        }
        if let Some((_, next_hop @ Some(_))) = window.get(at) {
            return *next_hop;
        }
        // Who stands last in the window would stand behind us, had we come and found no place before.
        let (last, next_hop) = window.last()?;
        next_hop.as_ref()?;
        let is_closer =
            distance(self::home(last.hash(seed), rows), home + WINDOW - 1, rows) < WINDOW - 1;
        if is_closer { None } else { self.get_anywhere(key, hash, seed) }
    }

    /// Begins to fetch the rows that a lookup compares.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        let home = home(hash, self.rows.len());
        let window = self.rows.get(home..home + WINDOW).unwrap_or_default();
        window.first().into_iter().chain(window.last()).for_each(prefetch);
    }

    fn get_anywhere(&self, key: K, hash: u64, seed: u64) -> Option<NextHop> {
        self.find(key, hash, seed).and_then(|row| self.rows.get(row)?.1)
    }

    /// The row of a key.
    #[inline]
    fn find(&self, key: K, hash: u64, seed: u64) -> Option<usize> {
        let rows = self.rows.len();
        let mut row = home(hash, rows);
        for probed in 0..rows {
            let (found, next_hop) = self.rows.get(row)?;
            next_hop.as_ref()?;
            if *found == key {
                return Some(row);
            }
            // Keys stand in the order of their homes: had ours come, it would stand before this one.
            if distance(home(found.hash(seed), rows), row, rows) < probed {
                return None;
            }
            row = behind(row, rows);
        }
        None
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, NextHop)> {
        self.rows.iter().filter_map(|(key, next_hop)| Some((*key, (*next_hop)?)))
    }

    /// Sets the next hop of a key; gives back the one before.
    pub(super) fn insert(
        &mut self,
        key: K,
        next_hop: NextHop,
        (hash, seed): (u64, u64),
    ) -> Option<NextHop> {
        if let Some(row) = self.find(key, hash, seed) {
            let row = Arc::make_mut(&mut self.rows).get_mut(row)?;
            return row.1.replace(next_hop);
        }
        if (self.len + 1) * 8 > self.rows.len() * 7 {
            self.resize(self.len + 1, seed);
        }
        place(Arc::make_mut(&mut self.rows), (key, next_hop), seed);
        self.len += 1;
        None
    }

    /// Makes the rows anew, for so many entries.
    fn resize(&mut self, count: usize, seed: u64) {
        let mut rows = vec![(K::default(), None); rows_for(count)];
        self.iter().for_each(|entry| place(&mut rows, entry, seed));
        self.rows = rows.into();
    }

    /// Takes a key out; what stands behind it moves closer to its home.
    pub(super) fn remove(&mut self, key: K, hash: u64, seed: u64) {
        let Some(mut gap) = self.find(key, hash, seed) else { return };
        self.len -= 1;
        let rows = Arc::make_mut(&mut self.rows);
        let len = rows.len();
        loop {
            let next = behind(gap, len);
            let moved = rows
                .get(next)
                .copied()
                .filter(|(key, next_hop)| next_hop.is_some() && home(key.hash(seed), len) != next);
            if let Some(row) = rows.get_mut(gap) {
                *row = moved.unwrap_or_default();
            }
            if moved.is_none() {
                break;
            }
            gap = next;
        }
        if self.len * 2 < len && rows_for(self.len) < len {
            self.resize(self.len, seed);
        }
    }
}

/// Rows for so many entries and a few more, so that not every insertion makes them anew.
const fn rows_for(count: usize) -> usize {
    if count == 0 { 0 } else { (count + count / 4 + 2) & !1 }
}

/// Puts in a key that is not there yet; there is a free row.
fn place<K: Key>(rows: &mut [Row<K>], (mut key, mut next_hop): (K, NextHop), seed: u64) {
    let len = rows.len();
    let mut row = home(key.hash(seed), len);
    let mut far = 0;
    while let Some(found) = rows.get_mut(row) {
        let (other, Some(others)) = *found else {
            *found = (key, Some(next_hop));
            return;
        };
        // Who stands closer to home makes room.
        let distance = distance(home(other.hash(seed), len), row, len);
        if distance < far {
            *found = (key, Some(next_hop));
            (key, next_hop, far) = (other, others, distance);
        }
        row = behind(row, len);
        far += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_no_larger_than_its_key_and_next_hop() {
        assert_eq!(size_of::<Row<u32>>(), 12, "4 and 8");
        assert_eq!(size_of::<Row<[u64; 2]>>(), 24, "16 and 8");
    }

    #[test]
    fn a_shard_keeps_between_half_and_seven_eighths_of_its_rows_taken() {
        let mut shard = Shard::<u32>::default();
        let steps = (1..=600).chain((0..600).rev());
        let mut count = 0;
        for target in steps {
            let key = u32::try_from(target.max(count)).unwrap();
            let hash = key.hash(3);
            if target > count {
                assert_eq!(shard.insert(key, NextHop::Local, (hash, 3)), None);
            } else {
                assert_eq!(shard.get(key, hash, 3), Some(NextHop::Local), "{key}");
                shard.remove(key, hash, 3);
            }
            count = target;
            assert_eq!((shard.len, shard.iter().count()), (count, count));
            let rows = shard.rows.len();
            assert!(count * 8 <= rows * 7 && rows <= 2 * count + 2, "{count} in {rows}");
        }
    }

    #[test]
    fn few_keys_stand_outside_of_the_window_that_a_lookup_compares() {
        let (mut keys, mut outside) = (0, 0);
        for seed in 0..100_u64 {
            let mut shard = Shard::<u32>::default();
            for number in 0..250_u64 {
                let key = u32::try_from(number.hash(!seed) >> 32).unwrap();
                shard.insert(key, NextHop::Local, (key.hash(seed), seed));
            }
            let rows = shard.rows.len();
            for (row, (key, next_hop)) in shard.rows.iter().enumerate() {
                keys += u32::from(next_hop.is_some());
                let far = distance(home(key.hash(seed), rows), row, rows) >= WINDOW;
                outside += u32::from(next_hop.is_some() && far);
            }
        }
        assert_eq!(keys, 25_000);
        assert!(outside * 20 < keys, "{outside} of {keys}");
    }
}
