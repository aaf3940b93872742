//! Longest-prefix match for IPv6: the prefixes flattened to disjoint ranges, cut into chunks that versions
//! share, found by binary search.

mod chunk;

use std::net::Ipv6Addr;
use std::sync::Arc;

use super::prefixes::{Prefix, Prefixes, Word as _};
use chunk::{Chunk, RANGES_MAX, Range};

/// Ranges of a chunk when many are cut at once: some room, so that the next insertion does not cut again.
const RANGES_FRESH: usize = RANGES_MAX * 3 / 4;

/// A chunk with fewer ranges takes its neighbour's in, so that removals do not leave crumbs.
const RANGES_MIN: usize = RANGES_MAX / 4;

/// A finished table. Each range holds from its start to the start of the next one.
#[derive(Clone, Debug)]
pub(super) struct Lpm6 {
    top: Arc<Top>,
}

/// The chunks in order, and where each begins; the first one begins at the lowest address.
#[derive(Clone, Debug)]
struct Top {
    starts: Vec<u128>,
    chunks: Vec<Arc<Chunk>>,
}

impl Default for Lpm6 {
    fn default() -> Self {
        Self::of(&[(0, 0)])
    }
}

impl Lpm6 {
    fn of(ranges: &[Range]) -> Self {
        let (starts, chunks) = cut(ranges).unzip();
        Self { top: Arc::new(Top { starts, chunks }) }
    }

    /// Builds the table of all prefixes.
    pub(super) fn build(prefixes: &Prefixes<u128>) -> Self {
        let mut ranges = Vec::with_capacity(prefixes.len() * 2 + 1);
        prefixes.segments((0, 0), |first, _, id| push(&mut ranges, (first, id)));
        Self::of(&ranges)
    }

    /// The route id of the longest prefix that holds the address; 0 when there is none.
    #[inline]
    pub(super) fn lookup(&self, address: Ipv6Addr) -> u16 {
        let bits = address.to_bits();
        self.top.chunks.get(self.top.chunk_of(bits)).map_or(0, |chunk| chunk.lookup(bits))
    }

    /// Writes what holds in `prefix` after it was inserted, removed or given another id.
    pub(super) fn paint(&mut self, prefixes: &Prefixes<u128>, prefix: Prefix<u128>) {
        let (first, len) = prefix;
        let behind = first.last_of(len).behind().map(|start| (start, self.lookup(start.into())));
        let (from, to) = (self.top.chunk_of(first), self.top.chunk_of(first.last_of(len)));
        let mut ranges = Vec::with_capacity(2 * RANGES_MAX);
        ranges.extend(self.top.ranges(from).take_while(|(start, _)| *start < first));
        prefixes.segments(prefix, |first, _, id| push(&mut ranges, (first, id)));
        // What begins behind `to` begins a chunk of its own.
        let next = self.top.starts.get(to + 1).copied();
        if let Some((start, id)) = behind.filter(|(start, _)| Some(*start) != next) {
            push(&mut ranges, (start, id));
            let rest = self.top.ranges(to).skip_while(|(found, _)| *found <= start);
            rest.for_each(|range| push(&mut ranges, range));
        }
        Arc::make_mut(&mut self.top).replace((from, to), ranges);
    }
}

impl Top {
    /// The chunk that an address lies in.
    #[inline]
    fn chunk_of(&self, bits: u128) -> usize {
        self.starts.partition_point(|start| *start <= bits).saturating_sub(1)
    }

    fn ranges(&self, chunk: usize) -> impl Iterator<Item = Range> {
        self.chunks.get(chunk).into_iter().flat_map(|chunk| chunk.ranges())
    }

    /// Puts new ranges in place of the chunks `from` to `to`.
    fn replace(&mut self, (mut from, mut to): (usize, usize), mut ranges: Vec<Range>) {
        if ranges.len() < RANGES_MIN && to + 1 < self.chunks.len() {
            to += 1;
            self.ranges(to).for_each(|range| push(&mut ranges, range));
        } else if ranges.len() < RANGES_MIN && from > 0 {
            from -= 1;
            let mut both: Vec<Range> = self.ranges(from).collect();
            for range in ranges {
                push(&mut both, range);
            }
            ranges = both;
        }
        let (starts, chunks): (Vec<_>, Vec<_>) = cut(&ranges).unzip();
        self.starts.splice(from..=to, starts);
        self.chunks.splice(from..=to, chunks);
    }
}

/// Neighbours with the same id are one range.
fn push(ranges: &mut Vec<Range>, range: Range) {
    if ranges.last().is_none_or(|(_, id)| *id != range.1) {
        ranges.push(range);
    }
}

/// Chunks of about the same length, and where each begins.
fn cut(ranges: &[Range]) -> impl Iterator<Item = (u128, Arc<Chunk>)> {
    let pieces = if ranges.len() <= RANGES_MAX { 1 } else { ranges.len().div_ceil(RANGES_FRESH) };
    ranges
        .chunks(ranges.len().div_ceil(pieces).max(1))
        .filter_map(|piece| Some((piece.first()?.0, Arc::new(Chunk::of(piece)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The prefixes, one after the other, and the table that follows them.
    #[derive(Default)]
    struct Both {
        prefixes: Prefixes<u128>,
        table: Lpm6,
    }

    impl Both {
        fn insert(&mut self, first: u128, len: u8, id: u16) {
            self.prefixes.insert((first, len), id);
            self.table.paint(&self.prefixes, (first, len));
        }

        fn remove(&mut self, first: u128, len: u8) {
            self.prefixes.remove((first, len));
            self.table.paint(&self.prefixes, (first, len));
        }

        fn check(&self) {
            let top = &self.table.top;
            assert_eq!(top.starts.first(), Some(&0));
            for (start, chunk) in top.starts.iter().zip(&top.chunks) {
                let ranges: Vec<_> = chunk.ranges().collect();
                assert_eq!(ranges.first().map(|(start, _)| start), Some(start));
                assert!(ranges.is_sorted_by(|(a, _), (b, _)| a < b));
            }
            assert!(top.starts.is_sorted_by(|a, b| a < b));
        }
    }

    const NET: u128 = 0x2001_0db8 << 96;

    #[test]
    fn chunks_are_cut_as_prefixes_come_and_joined_as_they_go() {
        let mut both = Both::default();
        for subnet in 0..2_000_u128 {
            // Every second /64, so that the gaps between are ranges as well.
            both.insert(NET | subnet << 65, 64, 1 + u16::try_from(subnet).unwrap());
        }
        both.check();
        assert!((15..60).contains(&both.table.top.chunks.len()), "{}", both.table.top.chunks.len());
        for subnet in 0..2_000_u128 {
            let found = both.table.lookup((NET | subnet << 65 | 5).into());
            assert_eq!(usize::from(found), 1 + usize::try_from(subnet).unwrap());
            assert_eq!(both.table.lookup((NET | subnet << 65 | 1 << 64).into()), 0);
        }
        for subnet in (0..2_000_u128).rev() {
            both.remove(NET | subnet << 65, 64);
        }
        both.check();
        assert_eq!(both.table.top.chunks.len(), 1);
        assert_eq!(both.table.top.ranges(0).collect::<Vec<_>>(), [(0, 0)]);
    }

    #[test]
    fn a_prefix_around_many_chunks_leaves_what_lies_within() {
        let mut both = Both::default();
        for subnet in 0..2_000_u128 {
            both.insert(NET | subnet << 65, 64, 1);
        }
        both.insert(NET, 32, 2);
        both.check();
        for subnet in 0..2_000_u128 {
            assert_eq!(both.table.lookup((NET | subnet << 65 | 5).into()), 1);
            assert_eq!(both.table.lookup((NET | subnet << 65 | 1 << 64).into()), 2);
        }
        assert_eq!(both.table.lookup((NET - 1).into()), 0);
        assert_eq!(both.table.lookup((NET + (1 << 96)).into()), 0);
    }

    #[test]
    fn a_change_copies_the_chunks_that_it_touches_alone() {
        let mut both = Both::default();
        for subnet in 0..2_000_u128 {
            both.insert(NET | subnet << 65, 64, 1);
        }
        let older = both.table.clone();
        both.insert(NET | 1_000 << 65 | 1 << 64, 64, 3);
        let kept = older.top.chunks.iter();
        let kept = kept.filter(|old| both.table.top.chunks.iter().any(|new| Arc::ptr_eq(old, new)));
        assert_eq!(kept.count(), older.top.chunks.len() - 1);
        assert_eq!(older.lookup((NET | 1_000 << 65 | 1 << 64).into()), 0);
    }
}
