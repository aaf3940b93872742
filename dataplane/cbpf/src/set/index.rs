//! A hash table from the values of a few fields to the rules that packets with these values can match.

use crate::facts::Field;

/// Which fields of a packet make its key, and under which seed.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) fields: Vec<Field>,
    pub(super) seed: u64,
}

/// The table. Keys are hashes: fields with other values and the same key cost a program its run and change no verdict.
#[derive(Debug)]
pub(super) struct Index {
    recipe: Recipe,
    /// One bit for each key among 16 to 32 times as many: most packets are done with it, and it stays in the cache.
    filter: Vec<u64>,
    filter_mask: u64,
    /// Open addressing with linear probing, half full at most.
    rows: Vec<Row>,
    mask: u64,
    /// The rules of each key, ascending, one key after the other.
    rules: Vec<u32>,
}

/// A key and where its rules are; none of them: an empty row.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    key: u64,
    start: u32,
    count: u32,
}

/// 2^64 divided by the golden ratio, odd: an even spread of consecutive words.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Folds the 128-bit product, which mixes every bit of both words into the result.
#[inline]
const fn mix(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are wanted")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

impl Recipe {
    /// The key after one more field.
    #[inline]
    pub(super) const fn with(&self, key: u64, value: u32) -> u64 {
        mix(key ^ value as u64, SPREAD ^ self.seed.rotate_left(32))
    }

    /// The key of a packet that has all the fields.
    #[inline]
    fn key(&self, packet: &[u8]) -> Option<u64> {
        let mut key = self.seed;
        for field in &self.fields {
            key = self.with(key, field.read(packet)?);
        }
        Some(key)
    }
}

impl Index {
    /// A table of these keys with their rules.
    pub(super) fn new(recipe: Recipe, mut keys: Vec<(u64, u32)>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        let distinct = keys.chunk_by(|one, another| one.0 == another.0).count();
        let rows = (distinct.max(1) * 2).next_power_of_two();
        let words = (distinct.max(4) * 16).next_power_of_two() / 64;
        let mut index = Self {
            recipe,
            filter: vec![0; words],
            filter_mask: words as u64 * 64 - 1,
            rows: vec![Row::default(); rows],
            mask: rows as u64 - 1,
            rules: keys.iter().map(|(_, rule)| *rule).collect(),
        };
        let mut start = 0;
        for same in keys.chunk_by(|one, another| one.0 == another.0) {
            let count = super::count(same.len());
            if let Some((key, _)) = same.first() {
                index.insert(Row { key: *key, start, count });
            }
            start += count;
        }
        index
    }

    fn insert(&mut self, row: Row) {
        let (word, bit) = self.filter_bit(row.key);
        if let Some(word) = self.filter.get_mut(word) {
            *word |= bit;
        }
        let mut at = row.key & self.mask;
        while let Some(place) = self.rows.get_mut(place(at)) {
            if place.count == 0 {
                *place = row;
                return;
            }
            at = (at + 1) & self.mask;
        }
    }

    /// The rules that the packet can match.
    #[inline]
    pub(super) fn lookup(&self, packet: &[u8]) -> &[u32] {
        let Some(key) = self.recipe.key(packet) else { return &[] };
        let (word, bit) = self.filter_bit(key);
        match self.filter.get(word) {
            Some(word) if word & bit != 0 => self.rules_of(key),
            _ => &[],
        }
    }

    #[inline(never)]
    fn rules_of(&self, key: u64) -> &[u32] {
        let mut at = key & self.mask;
        while let Some(row) = self.rows.get(place(at)) {
            if row.count == 0 {
                break;
            }
            if row.key == key {
                let start = row.start as usize;
                return self.rules.get(start..start + row.count as usize).unwrap_or_default();
            }
            at = (at + 1) & self.mask;
        }
        &[]
    }

    /// Where the filter has the key, by other bits than the rows use.
    #[inline]
    const fn filter_bit(&self, key: u64) -> (usize, u64) {
        let bit = (key >> 24) & self.filter_mask;
        (place(bit / 64), 1 << (bit % 64))
    }

    pub(super) fn octets(&self) -> usize {
        size_of::<Self>()
            + self.recipe.fields.capacity() * size_of::<Field>()
            + self.filter.capacity() * size_of::<u64>()
            + self.rows.capacity() * size_of::<Row>()
            + self.rules.capacity() * size_of::<u32>()
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "masked to the length of a list")]
const fn place(masked: u64) -> usize {
    masked as usize
}
