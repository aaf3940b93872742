//! The prefixes of one family with their route ids, in order: what an update asks before it changes a table.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};

/// An address as an integer.
pub(in crate::stages) trait Word: Copy + Ord {
    /// Its bits, and so the length of a single address.
    const BITS: u8;
    /// The lowest address.
    const FIRST: Self;
    /// The first address of the prefix of `len` bits around this one.
    fn first_of(self, len: u8) -> Self;
    /// The last address of that prefix.
    fn last_of(self, len: u8) -> Self;
    /// The address behind; none behind the last one.
    fn behind(self) -> Option<Self>;
    /// The address before; the first one is its own.
    fn before(self) -> Self;
    /// Leading bits that both have.
    fn common(self, other: Self) -> u8;
}

macro_rules! word {
    ($word:ty) => {
        impl Word for $word {
            #[expect(clippy::cast_possible_truncation, reason = "128 at most")]
            const BITS: u8 = Self::BITS as u8;
            const FIRST: Self = 0;

            fn first_of(self, len: u8) -> Self {
                let rest = Self::MAX.checked_shr(len.into()).unwrap_or(0);
                self & !rest
            }

            fn last_of(self, len: u8) -> Self {
                self | Self::MAX.checked_shr(len.into()).unwrap_or(0)
            }

            fn behind(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn before(self) -> Self {
                self.saturating_sub(1)
            }

            #[expect(clippy::cast_possible_truncation, reason = "128 at most")]
            fn common(self, other: Self) -> u8 {
                (self ^ other).leading_zeros() as u8
            }
        }
    };
}
word!(u32);
word!(u128);

/// First address and length. In this order what encloses a prefix stands before it, what it encloses
/// stands right behind it.
pub(in crate::stages) type Prefix<W> = (W, u8);

/// The prefixes.
#[derive(Debug)]
pub(super) struct Prefixes<W> {
    ids: BTreeMap<Prefix<W>, u16>,
}

impl<W> Default for Prefixes<W> {
    fn default() -> Self {
        Self { ids: BTreeMap::new() }
    }
}

impl<W: Word> FromIterator<(Prefix<W>, u16)> for Prefixes<W> {
    /// From prefixes in any order; of equal ones the last stays. Faster than one after the other.
    fn from_iter<I: IntoIterator<Item = (Prefix<W>, u16)>>(all: I) -> Self {
        Self { ids: all.into_iter().collect() }
    }
}

impl<W: Word> Prefixes<W> {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn get(&self, prefix: Prefix<W>) -> Option<u16> {
        self.ids.get(&prefix).copied()
    }

    pub(super) fn insert(&mut self, prefix: Prefix<W>, id: u16) -> Option<u16> {
        self.ids.insert(prefix, id)
    }

    pub(super) fn remove(&mut self, prefix: Prefix<W>) -> Option<u16> {
        self.ids.remove(&prefix)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Prefix<W>, u16)> {
        self.ids.iter().map(|(prefix, id)| (*prefix, *id))
    }

    /// The prefixes that lie within this one, without itself, in order.
    pub(super) fn within(&self, (first, len): Prefix<W>) -> impl Iterator<Item = (Prefix<W>, u16)> {
        let range = (Excluded((first, len)), Included((first.last_of(len), W::BITS)));
        self.ids.range(range).map(|(prefix, id)| (*prefix, *id))
    }

    /// The longest prefix around this one, without itself.
    pub(super) fn around(&self, (first, len): Prefix<W>) -> Option<(Prefix<W>, u16)> {
        let mut below = Excluded((first, len));
        loop {
            let range = (Included((W::FIRST, 0)), below);
            let ((found, found_len), id) = self.ids.range(range).next_back()?;
            let common = found.common(first);
            if common >= *found_len {
                return Some(((*found, *found_len), *id));
            }
            // Whatever encloses ours and stands before the one found encloses that one as well.
            below = Included((first.first_of(common), common));
        }
    }

    /// Cuts the prefix into segments and names the route id that holds in each, in order; 0 is none. No
    /// segment crosses the border of a prefix. The whole address space as a prefix counts as none: the
    /// table of prefixes leaves it to the default route.
    pub(super) fn segments(&self, prefix: Prefix<W>, mut emit: impl FnMut(W, W, u16)) {
        let (_, len) = prefix;
        let own = self.get(prefix).or_else(|| self.around(prefix).filter(is_narrow).map(id_of));
        let own = if len == 0 { None } else { own };
        let mut walk = Walk::through(prefix, own.unwrap_or(0));
        for (inner, id) in self.within(prefix) {
            walk.enter(inner, &mut emit, |_| id);
        }
        walk.leave(&mut emit);
    }
}

fn is_narrow<W>(((_, len), _): &(Prefix<W>, u16)) -> bool {
    *len > 0
}

fn id_of<W>((_, id): (Prefix<W>, u16)) -> u16 {
    id
}

/// A walk over nested prefixes: how far it is, and the prefixes that it is in with their last addresses. It tells
/// of each segment, in order, its first and last address and the id that holds in it.
pub(in crate::stages) struct Walk<W> {
    at: Option<W>,
    open: Vec<(W, u16)>,
}

impl<W: Word> Walk<W> {
    /// Begins in a prefix with its id.
    pub(in crate::stages) fn through((first, len): Prefix<W>, id: u16) -> Self {
        Self { at: Some(first), open: vec![(first.last_of(len), id)] }
    }

    /// Goes on to the next prefix, whose id may depend on that of the prefix around it. One that was entered
    /// last may be entered again, for another id.
    #[inline]
    pub(in crate::stages) fn enter(
        &mut self,
        (first, len): Prefix<W>,
        emit: &mut impl FnMut(W, W, u16),
        id: impl FnOnce(u16) -> u16,
    ) {
        self.close(Some(first), emit);
        let around = self.open.last().map_or(0, |(_, id)| *id);
        self.open.push((first.last_of(len), id(around)));
    }

    /// Goes on to the end.
    pub(in crate::stages) fn leave(mut self, emit: &mut impl FnMut(W, W, u16)) {
        self.close(None, emit);
    }

    /// Emits what lies before `next`, and leaves the prefixes that end there.
    #[inline]
    fn close(&mut self, next: Option<W>, emit: &mut impl FnMut(W, W, u16)) {
        while let (Some(at), Some((last, id))) = (self.at, self.open.last().copied()) {
            match next {
                Some(next) if last >= next => {
                    if at < next {
                        emit(at, next.before(), id);
                        self.at = Some(next);
                    }
                    return;
                }
                Some(_) | None => {
                    if at <= last {
                        emit(at, last, id);
                        self.at = last.behind();
                    }
                    self.open.pop();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(list: &[(u32, u8, u16)]) -> Prefixes<u32> {
        list.iter().map(|(first, len, id)| ((*first, *len), *id)).collect()
    }

    #[test]
    fn cuts_a_prefix_where_those_within_begin_and_end() {
        let all = prefixes(&[
            (0, 0, 9),
            (0x0a00_0000, 8, 1),
            (0x0a00_0000, 16, 2),
            (0x0a00_ff00, 24, 3),
            (0x0a80_0000, 9, 4),
        ]);
        let segments = |first, len| {
            let mut found = Vec::new();
            all.segments((first, len), |first, last, id| found.push((first, last, id)));
            found
        };
        assert_eq!(
            segments(0x0a00_0000, 8),
            [
                (0x0a00_0000, 0x0a00_feff, 2),
                (0x0a00_ff00, 0x0a00_ffff, 3),
                (0x0a01_0000, 0x0a7f_ffff, 1),
                (0x0a80_0000, 0x0aff_ffff, 4),
            ]
        );
        // A prefix that is not there has what encloses it; the default route counts as nothing.
        assert_eq!(segments(0x0a00_8000, 24), [(0x0a00_8000, 0x0a00_80ff, 2)]);
        assert_eq!(segments(0x0b00_0000, 8), [(0x0b00_0000, 0x0bff_ffff, 0)]);
        assert_eq!(segments(0, 0).first(), Some(&(0, 0x09ff_ffff, 0)));
        assert_eq!(segments(0, 0).last(), Some(&(0x0b00_0000, u32::MAX, 0)));
    }

    #[test]
    fn finds_the_longest_prefix_around_past_neighbours_that_are_not() {
        let all = prefixes(&[
            (0, 0, 9),
            (0x0a00_0000, 8, 1),
            (0x0a00_0000, 16, 2),
            (0x0a01_0000, 16, 3),
            (0x0a01_8000, 17, 4),
        ]);
        assert_eq!(all.around((0x0a02_0000, 16)), Some(((0x0a00_0000, 8), 1)));
        assert_eq!(all.around((0x0a01_8000, 17)), Some(((0x0a01_0000, 16), 3)));
        assert_eq!(all.around((0x0b00_0000, 8)), Some(((0, 0), 9)));
        assert_eq!(all.around((0, 0)), None);
    }
}
