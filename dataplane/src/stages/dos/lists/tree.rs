//! A static search tree over ranges of addresses, whose nodes are lines of memory. Its height depends on the
//! count of ranges alone, so no content makes it slow.

use arrayvec::ArrayVec;
use wireguard::prefetch::prefetch;

use crate::limits::BURST_LEN_MAX;

/// An address, or as much of it as tells ranges apart.
pub(super) trait Key: Copy + Ord {
    /// The highest one, which none is behind.
    const LAST: Self;
}

impl Key for u64 {
    const LAST: Self = Self::MAX;
}

impl Key for u128 {
    const LAST: Self = Self::MAX;
}

/// Children of a node. More would need fewer levels, but longer searches in each.
const FAN_OUT: usize = 8;

/// Where each child ends, but for the last one, which ends where the node does.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Node<K>([K; FAN_OUT]);

/// `N` + 1 ranges: where each but the last one ends, and its set.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Leaf<K, const N: usize> {
    ends: [K; N],
    ids: [u16; 8],
}

const _: () = assert!(size_of::<Leaf<u64, 6>>() == 64 && size_of::<Leaf<u128, 3>>() == 64);

impl<K: Key> Node<K> {
    /// The child that a key lies in: as many steps for any answer, without a branch.
    #[inline]
    fn child(&self, key: K) -> usize {
        let mut row = 0;
        for step in [FAN_OUT / 2, FAN_OUT / 4, FAN_OUT / 8] {
            let is_behind = self.0.get(row + step - 1).is_some_and(|end| *end < key);
            row += if is_behind { step } else { 0 };
        }
        row
    }
}

impl<K: Key, const N: usize> Leaf<K, N> {
    const EMPTY: Self = Self { ends: [K::LAST; N], ids: [0; 8] };

    #[inline]
    fn id(&self, key: K) -> u16 {
        let row: usize = self.ends.iter().map(|end| usize::from(*end < key)).sum();
        self.ids.get(row & 7).copied().unwrap_or(0)
    }
}

/// A finished tree.
#[derive(Clone, Debug)]
pub(super) struct Tree<K, const N: usize> {
    /// From the root down; none when there is one leaf.
    levels: Vec<Vec<Node<K>>>,
    leaves: Vec<Leaf<K, N>>,
}

impl<K: Key, const N: usize> Tree<K, N> {
    /// The set of the range that a key lies in.
    #[inline]
    pub(super) fn lookup(&self, key: K) -> u16 {
        let mut place = 0;
        for level in &self.levels {
            place = step(level, place, key);
        }
        self.leaves.get(place).map_or(0, |leaf| leaf.id(key))
    }

    /// The same for many at once: what `key` makes of the addresses, and where the answers go.
    #[inline]
    pub(super) fn lookup_burst(
        &self,
        addresses: &[(u128, u8)],
        key: impl Fn(u128) -> K,
        found: &mut impl FnMut(u8, u16),
    ) {
        let mut places: ArrayVec<(K, usize), BURST_LEN_MAX> =
            addresses.iter().map(|(bits, _)| (key(*bits), 0)).take(BURST_LEN_MAX).collect();
        for (number, level) in self.levels.iter().enumerate() {
            let below = self.levels.get(number + 1);
            for (key, place) in &mut places {
                *place = step(level, *place, *key);
                match below {
                    Some(nodes) => nodes.get(*place).into_iter().for_each(prefetch),
                    None => self.leaves.get(*place).into_iter().for_each(prefetch),
                }
            }
        }
        for ((_, number), (key, place)) in addresses.iter().zip(&places) {
            found(*number, self.leaves.get(*place).map_or(0, |leaf| leaf.id(*key)));
        }
    }

    pub(super) fn octets(&self) -> usize {
        let levels = self.levels.iter().map(|level| size_of_val(level.as_slice()));
        levels.sum::<usize>() + size_of_val(self.leaves.as_slice())
    }
}

/// The place of the child in the level below.
#[inline]
fn step<K: Key>(level: &[Node<K>], place: usize, key: K) -> usize {
    level.get(place).map_or(0, |node| place * FAN_OUT + node.child(key))
}

/// A tree while its ranges come, in order.
#[derive(Debug)]
pub(super) struct Draft<K, const N: usize> {
    leaves: Vec<Leaf<K, N>>,
    /// Where each leaf ends.
    ends: Vec<K>,
    /// Ranges of the leaf that is being filled.
    row: usize,
}

impl<K, const N: usize> Default for Draft<K, N> {
    fn default() -> Self {
        Self { leaves: Vec::new(), ends: Vec::new(), row: N + 1 }
    }
}

impl<K: Key, const N: usize> Draft<K, N> {
    /// The next range up to the key `end`; the last one ends with the highest key.
    pub(super) fn push(&mut self, end: K, id: u16) {
        if self.row > N {
            self.leaves.push(Leaf::EMPTY);
            self.ends.push(end);
            self.row = 0;
        }
        if let (Some(leaf), Some(last)) = (self.leaves.last_mut(), self.ends.last_mut()) {
            *last = end;
            leaf.ids.get_mut(self.row).into_iter().for_each(|place| *place = id);
            leaf.ends.get_mut(self.row).into_iter().for_each(|place| *place = end);
        }
        self.row += 1;
    }

    pub(super) fn finish(mut self) -> Tree<K, N> {
        self.leaves.shrink_to_fit();
        let mut levels = Vec::new();
        let mut ends = self.ends;
        while ends.len() > 1 {
            let children = ends.chunks(FAN_OUT);
            let node = |ends: &[K]| {
                Node(std::array::from_fn(|row| ends.get(row).copied().unwrap_or(K::LAST)))
            };
            levels.push(children.clone().map(node).collect());
            ends = children.filter_map(|ends| ends.last().copied()).collect();
        }
        levels.reverse();
        Tree { levels, leaves: self.leaves }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_range_of_trees_of_any_height() {
        for count in [1, 2, 7, 8, 55, 56, 57, 448, 449, 5_000_u16] {
            let mut draft = Draft::<u64, 6>::default();
            let end =
                |range: u16| if range + 1 == count { u64::MAX } else { 10 + u64::from(range) * 10 };
            (0..count).for_each(|range| draft.push(end(range), range));
            let tree = draft.finish();
            for range in 0..count {
                let first = if range == 0 { 0 } else { end(range - 1) + 1 };
                for key in [first, first + 5, end(range)] {
                    assert_eq!(tree.lookup(key), range, "{count} ranges, {key}");
                }
            }
        }
    }

    #[test]
    fn a_million_prefixes_are_seven_lines_deep() {
        let mut draft = Draft::<u64, 6>::default();
        (0..2_000_000_u64).for_each(|range| draft.push(range, 1));
        draft.push(u64::MAX, 0);
        let tree = draft.finish();
        assert_eq!(tree.levels.len() + 1, 8);
        assert!(tree.octets() < 2_000_001 * 11, "{}", tree.octets());
    }
}
