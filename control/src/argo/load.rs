//! How much goes out by each exit, and how much of it may be moved in a round.

use std::collections::HashMap;

use super::choice::Verdict;
use super::rows::{Group, LOAD_ONE, Rows};

/// The load of one exit.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    /// Dials of a round, times [`LOAD_ONE`].
    dials: u64,
    rows: u64,
    /// What may still be moved away in this round; none before the first that moves.
    left: Option<u64>,
    moved_max: u64,
    /// The most dials that are led there; none for as many as come.
    most: Option<u64>,
}

impl Load {
    /// A prefix without traffic weighs as one dial: it may have some in a moment.
    fn weight(&self) -> u64 {
        self.dials + self.rows * u64::from(LOAD_ONE)
    }
}

/// The loads of all exits, by the numbers of their centres; 0 is straight out.
#[derive(Debug, Default)]
pub struct Loads {
    exits: HashMap<u16, Load>,
}

impl Loads {
    /// The loads as rows have them.
    pub fn of(rows: &Rows, groups: &[Group]) -> Self {
        let mut loads = Self::default();
        for ((group, standing), load) in rows.groups.iter().zip(&rows.standing).zip(&rows.load) {
            let Some(group) = groups.get(usize::from(*group)) else { continue };
            let exit = loads.exits.entry(group.exit(standing.choice)).or_default();
            exit.dials += u64::from(*load);
            exit.rows += 1;
        }
        loads
    }

    /// Dials of a round that go to an exit, times [`LOAD_ONE`].
    pub fn dials(&self, exit: u16) -> u64 {
        self.exits.get(&exit).map_or(0, |load| load.dials)
    }

    /// Bounds the load of an exit, in dials of a round.
    pub fn bound(&mut self, exit: u16, most: Option<u64>) {
        self.exits.entry(exit).or_default().most = most.map(|most| most * u64::from(LOAD_ONE));
    }

    /// Whether a row of this load has no room at an exit.
    pub fn is_full(&self, exit: u16, load: u32) -> bool {
        let Some(Load { most: Some(most), dials, .. }) = self.exits.get(&exit) else {
            return false;
        };
        dials.saturating_add(load.into()) > *most || dials >= most
    }

    /// Prefixes that are led to an exit.
    pub fn rows(&self, exit: u16) -> u64 {
        self.exits.get(&exit).map_or(0, |load| load.rows)
    }

    /// Of all dials, those of all exits together.
    pub fn all(&self) -> u64 {
        self.exits.values().map(|load| load.dials).sum()
    }

    /// In this round one of so many may move.
    pub fn begin_round(&mut self, of: u64) {
        for load in self.exits.values_mut() {
            (load.left, load.moved_max) = (None, load.weight() / of.max(1));
        }
    }

    /// The load of a row has changed.
    pub fn weigh(&mut self, exit: u16, before: u32, after: u32) {
        let load = self.exits.entry(exit).or_default();
        load.dials = load.dials.saturating_sub(before.into()) + u64::from(after);
    }

    /// Whether a row of this load may move away in this round; if so, it counts. The first always may: a prefix that
    /// is more than its exit's share would never move else.
    pub fn may_move(&mut self, exit: u16, load: u32) -> bool {
        let exit = self.exits.entry(exit).or_default();
        let weight = u64::from(load) + u64::from(LOAD_ONE);
        let left = match exit.left {
            None => Some(exit.moved_max.saturating_sub(weight)),
            Some(left) => left.checked_sub(weight),
        };
        if left.is_some() {
            exit.left = left;
        }
        left.is_some()
    }

    /// The place of the exit to which a row goes by a verdict, as far as there is room: what may wait waits for a later
    /// round, and what has to leave goes to the default.
    pub fn permitted(
        &mut self,
        verdict: Verdict,
        group: &Group,
        (from, load): (u16, u32),
    ) -> Option<u8> {
        match verdict {
            Verdict::Stay => None,
            Verdict::Leave(to) if self.is_full(group.exit(to), load) => {
                Some(group.default).filter(|to| group.exit(*to) != from)
            }
            Verdict::Leave(to) => Some(to),
            Verdict::Move(to) => {
                let goes = !self.is_full(group.exit(to), load) && self.may_move(from, load);
                goes.then_some(to)
            }
        }
    }

    /// A row of this load is led from one exit to another.
    pub fn shift(&mut self, from: u16, to: u16, load: u32) {
        let before = self.exits.entry(from).or_default();
        before.dials = before.dials.saturating_sub(load.into());
        before.rows = before.rows.saturating_sub(1);
        let after = self.exits.entry(to).or_default();
        after.dials += u64::from(load);
        after.rows += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_a_load_moves_in_a_round_and_one_prefix_always_may() {
        let mut loads = Loads::default();
        (0..100).for_each(|_| loads.shift(9, 0, 0));
        loads.begin_round(10);
        assert_eq!((0..100).filter(|_| loads.may_move(0, 0)).count(), 10);
        loads.begin_round(10);
        assert_eq!((0..100).filter(|_| loads.may_move(0, 4 * LOAD_ONE)).count(), 2);
        loads.weigh(0, 0, 1_000_000);
        loads.begin_round(10);
        assert!(loads.may_move(0, 1_000_000));
        assert!(!loads.may_move(0, 0));
        assert_eq!((loads.dials(0), loads.rows(0)), (1_000_000, 100));
    }
}
