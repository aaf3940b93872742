//! Sets of lists: each different one is kept once and has a number.

use std::collections::HashMap;

/// The number of a set of lists, in one version of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SetId(pub(super) u16);

impl SetId {
    /// The empty set: no list holds the address.
    pub const NONE: Self = Self(0);

    /// The set with a number.
    pub fn of(index: usize) -> Option<Self> {
        u16::try_from(index).ok().map(Self)
    }

    /// The number.
    #[inline]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The number, to keep something for each set.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The prefixes of lists overlap in more ways than can be numbered: 65,536 different sets, or
/// [`SLOTS_MAX`] members of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManySets;

impl std::fmt::Display for TooManySets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the lists overlap in too many different ways")
    }
}

impl std::error::Error for TooManySets {}

/// Members of all sets together, 8 MiB: few lists overlap in practice, but thousands could.
const SLOTS_MAX: usize = 1 << 22;

/// The sets, one behind the other.
#[derive(Clone, Debug)]
pub(super) struct Sets {
    /// Where each ends; the one before ends where it begins.
    ends: Vec<u32>,
    slots: Vec<u16>,
}

impl Default for Sets {
    fn default() -> Self {
        Self { ends: vec![0], slots: Vec::new() }
    }
}

impl Sets {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    #[inline]
    pub(super) fn slots(&self, id: SetId) -> &[u16] {
        let end = |index: usize| self.ends.get(index).map_or(0, |end| *end as usize);
        let start = id.index().checked_sub(1).map_or(0, end);
        self.slots.get(start..end(id.index())).unwrap_or_default()
    }

    pub(super) fn octets(&self) -> usize {
        size_of_val(self.ends.as_slice()) + size_of_val(self.slots.as_slice())
    }
}

/// The sets while they are found.
#[derive(Debug, Default)]
pub(super) struct Interner {
    sets: Sets,
    ids: HashMap<Vec<u16>, u16>,
    /// The set that a set becomes by one more list.
    steps: HashMap<(u16, u16), u16>,
    /// The step asked for last: neighbours often take the same.
    last: Option<((u16, u16), u16)>,
    is_full: bool,
}

impl Interner {
    /// The set with one more list. When there are too many, any; [`Interner::finish`] tells.
    #[inline]
    pub(super) fn with(&mut self, around: u16, slot: u16) -> u16 {
        let step = (around, slot);
        if let Some((last, id)) = self.last
            && last == step
        {
            return id;
        }
        let id = match self.steps.get(&step) {
            Some(id) => *id,
            None => self.step(step),
        };
        self.last = Some((step, id));
        id
    }

    fn step(&mut self, (around, slot): (u16, u16)) -> u16 {
        let mut set = self.sets.slots(SetId(around)).to_vec();
        if let Err(place) = set.binary_search(&slot) {
            set.insert(place, slot);
        }
        let id = match self.ids.get(&set) {
            Some(id) => *id,
            None => self.number(set),
        };
        self.steps.insert((around, slot), id);
        id
    }

    fn number(&mut self, set: Vec<u16>) -> u16 {
        let end = self.sets.slots.len() + set.len();
        let (Ok(id), Ok(end), true) =
            (u16::try_from(self.sets.len()), u32::try_from(end), end <= SLOTS_MAX)
        else {
            self.is_full = true;
            return 0;
        };
        self.sets.slots.extend_from_slice(&set);
        self.sets.ends.push(end);
        self.ids.insert(set, id);
        id
    }

    /// The sets, if there was room for all.
    pub(super) fn finish(mut self) -> Result<Sets, TooManySets> {
        if self.is_full {
            return Err(TooManySets);
        }
        self.sets.ends.shrink_to_fit();
        self.sets.slots.shrink_to_fit();
        Ok(self.sets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_one_number_however_it_comes_about() {
        let mut sets = Interner::default();
        let (a, b) = (sets.with(0, 7), sets.with(0, 3));
        let (ab, ba) = (sets.with(a, 3), sets.with(b, 7));
        assert_eq!(ab, ba);
        assert_eq!(sets.with(ab, 3), ab);
        let sets = sets.finish().unwrap();
        assert_eq!(sets.slots(SetId(ab)), [3, 7]);
        assert_eq!(sets.slots(SetId(a)), [7]);
        assert_eq!(sets.slots(SetId::NONE), []);
        assert_eq!(sets.slots(SetId(9)), []);
        assert_eq!(sets.len(), 4);
    }

    #[test]
    fn more_sets_than_numbers_are_refused() {
        let mut sets = Interner::default();
        for slot in 0..u16::MAX {
            sets.with(0, slot);
        }
        assert!(!sets.is_full);
        sets.with(0, u16::MAX);
        assert_eq!(sets.finish().unwrap_err(), TooManySets);
    }

    #[test]
    fn more_members_than_there_is_room_for_are_refused() {
        let mut sets = Interner::default();
        let mut around = 0;
        for slot in 0..4_000 {
            around = sets.with(around, slot);
        }
        assert_eq!(sets.finish().unwrap_err(), TooManySets);
    }
}
