//! The way from a key's hash to a flow: buckets of one line of memory, each with ten entries of a tag and a number. What the
//! numbers mean, and whether the key is theirs, is the asker's to say.

use crate::prefetch::prefetch;
use crate::table::filled;

/// Entries of a bucket: with the count they fill a line.
const WAYS: usize = 10;

/// Entries for which a bucket is made. Of buckets with six on average one in 23 has more than ten, and then the next is
/// looked at as well.
const ENTRIES_PER_BUCKET: usize = 6;

/// The tag of no entry.
const NOTHING: u16 = 0;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    tags: [u16; WAYS],
    /// Entries of this bucket or of one before that found no place up to here.
    passed: u32,
    entries: [u32; WAYS],
}
const _: () = assert!(size_of::<Bucket>() == 64);

const EMPTY: Bucket = Bucket { tags: [NOTHING; WAYS], passed: 0, entries: [0; WAYS] };

/// The index.
pub(crate) struct Index {
    buckets: Box<[Bucket]>,
}

/// No bucket has room: there are more entries than the index was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are the tag")]
const fn tag(hash: u64) -> u16 {
    let tag = hash as u16;
    if tag == NOTHING { 1 } else { tag }
}

impl Bucket {
    /// Which entries have the tag, as bits.
    #[inline]
    fn tagged(&self, tag: u16) -> u32 {
        let bits = self.tags.iter().enumerate();
        bits.fold(0, |bits, (way, other)| bits | u32::from(*other == tag) << way)
    }

    #[inline]
    fn entry(&self, way: u32) -> u32 {
        self.entries.get(way as usize).copied().unwrap_or_default()
    }

    fn set(&mut self, way: u32, tag: u16, entry: u32) {
        if let (Some(to_tag), Some(to_entry)) =
            (self.tags.get_mut(way as usize), self.entries.get_mut(way as usize))
        {
            (*to_tag, *to_entry) = (tag, entry);
        }
    }
}

impl Index {
    /// An index for so many entries, each bucket touched.
    pub(crate) fn new(entries: usize) -> Self {
        let buckets = entries.div_ceil(ENTRIES_PER_BUCKET).max(2);
        Self { buckets: filled(buckets, EMPTY) }
    }

    /// Octets of memory.
    pub(crate) fn octets(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        // The upper half of the hash as a fraction of all buckets.
        let place = (u128::from(hash) * self.buckets.len() as u128) >> 64;
        usize::try_from(place).unwrap_or_default()
    }

    #[inline]
    fn after(&self, bucket: usize) -> usize {
        if bucket + 1 < self.buckets.len() { bucket + 1 } else { 0 }
    }

    /// Begins to fetch the bucket of a hash.
    #[inline]
    pub(crate) fn ahead(&self, hash: u64) {
        self.buckets.get(self.home(hash)).into_iter().for_each(prefetch);
    }

    /// The entry that is most likely the hash's own: the first of its bucket that has its tag.
    #[inline]
    pub(crate) fn first(&self, hash: u64) -> Option<u32> {
        let bucket = self.buckets.get(self.home(hash))?;
        let tagged = bucket.tagged(tag(hash));
        (tagged != 0).then(|| bucket.entry(tagged.trailing_zeros()))
    }

    /// The entry of this hash that `is_it`.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut place = self.home(hash);
        for _ in 0..self.buckets.len() {
            let bucket = self.buckets.get(place)?;
            let mut tagged = bucket.tagged(tag(hash));
            while tagged != 0 {
                let entry = bucket.entry(tagged.trailing_zeros());
                if is_it(entry) {
                    return Some(entry);
                }
                tagged &= tagged - 1;
            }
            if bucket.passed == 0 {
                return None;
            }
            place = self.after(place);
        }
        None
    }

    /// Adds an entry; the asker has made sure that its key is new.
    pub(crate) fn insert(&mut self, hash: u64, entry: u32) -> Result<(), Full> {
        let home = self.home(hash);
        let mut place = home;
        loop {
            let bucket = self.buckets.get_mut(place).ok_or(Full)?;
            let free = bucket.tagged(NOTHING);
            if free != 0 {
                bucket.set(free.trailing_zeros(), tag(hash), entry);
                break;
            }
            place = self.after(place);
            if place == home {
                return Err(Full);
            }
        }
        self.count_passing(home, place, |passed| passed + 1);
        Ok(())
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, hash: u64, entry: u32) {
        if let Some(place) = self.change(hash, entry, NOTHING, 0) {
            self.count_passing(self.home(hash), place, |passed| passed.saturating_sub(1));
        }
    }

    /// Puts another entry in the place of one.
    pub(crate) fn replace(&mut self, hash: u64, entry: u32, by: u32) {
        self.change(hash, entry, tag(hash), by);
    }

    /// Changes an entry of this hash, and says in which bucket it was.
    fn change(&mut self, hash: u64, entry: u32, new_tag: u16, by: u32) -> Option<usize> {
        let mut place = self.home(hash);
        for _ in 0..self.buckets.len() {
            let bucket = self.buckets.get_mut(place)?;
            let tagged = bucket.tagged(tag(hash));
            let way = (0..32).find(|way| tagged >> way & 1 == 1 && bucket.entry(*way) == entry);
            if let Some(way) = way {
                bucket.set(way, new_tag, by);
                return Some(place);
            }
            if bucket.passed == 0 {
                return None;
            }
            place = self.after(place);
        }
        None
    }

    /// Counts in all buckets from `home` up to before `place`.
    fn count_passing(&mut self, home: usize, place: usize, count: impl Fn(u32) -> u32) {
        let mut passing = home;
        while passing != place {
            if let Some(bucket) = self.buckets.get_mut(passing) {
                bucket.passed = count(bucket.passed);
            }
            passing = self.after(passing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Numbers from a seed (an odd multiplier and a fold).
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        crate::hash::mix(*state, 0xd6e8_feb8_6659_fd93)
    }

    #[test]
    fn behaves_like_a_map_under_any_sequence_of_operations() {
        for seed in 0..20 {
            let mut state = seed;
            // 16 buckets hold 160 entries; nearly as many keys make most of them pass on.
            let mut index = Index::new(96);
            let mut model = HashSet::new();
            let hashes: Vec<u64> = (0..150).map(|_| next(&mut state)).collect();
            for _ in 0..5_000 {
                let key = u32::try_from(next(&mut state) % 150).unwrap();
                let hash = hashes[key as usize];
                if model.remove(&key) {
                    index.remove(hash, key);
                } else {
                    index.insert(hash, key).unwrap();
                    model.insert(key);
                }
                let key = u32::try_from(next(&mut state) % 150).unwrap();
                let found = index.find(hashes[key as usize], |entry| entry == key);
                assert_eq!(found.is_some(), model.contains(&key), "seed {seed}");
            }
            for key in model {
                index.remove(hashes[key as usize], key);
            }
            assert!(index.buckets.iter().all(|bucket| bucket.passed == 0), "seed {seed}");
            assert!(index.buckets.iter().all(|bucket| bucket.tags == [NOTHING; WAYS]));
        }
    }

    #[test]
    fn is_full_when_every_bucket_is() {
        let mut index = Index::new(1);
        for entry in 0..20 {
            index.insert(7, entry).unwrap();
        }
        assert_eq!(index.insert(7, 20), Err(Full));
        assert_eq!(index.find(7, |entry| entry == 19), Some(19));
    }
}
