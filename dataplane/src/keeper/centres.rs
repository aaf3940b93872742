//! Data centres as control has told them: what leads there, and who is probed, follows from them.

use std::collections::BTreeMap;

use shm::limits::{CENTRES_MAX, MACHINES_MAX};
use shm::message::{Centre, Machine};
use shm::transaction::Obstacle;

/// The centres by their numbers.
pub(super) type Centres = BTreeMap<u16, Centre>;

/// What a transaction asks for: centres, or none where one shall go.
#[derive(Debug, Default)]
pub(super) struct Wanted(BTreeMap<u16, Option<Centre>>);

impl Wanted {
    /// A centre in the place of the one with its number.
    pub(super) fn put(&mut self, centre: Centre) {
        self.0.insert(centre.number, Some(centre));
    }

    /// More machines of a centre; whether it was said before and takes them.
    pub(super) fn add(&mut self, number: u16, machines: Vec<Machine>) -> bool {
        let Some(Some(centre)) = self.0.get_mut(&number) else { return false };
        let fits = centre.machines.len() + machines.len() <= MACHINES_MAX;
        if fits {
            centre.machines.extend(machines);
        }
        fits
    }

    /// A centre shall go; whether it is there.
    pub(super) fn remove(&mut self, number: u16, before: &Centres) -> bool {
        let was_there = before.contains_key(&number);
        self.0.insert(number, None).map_or(was_there, |centre| centre.is_some())
    }

    /// The centres in the end, if they are others than before; `anew` when what is not named goes.
    pub(super) fn after(self, before: &Centres, anew: bool) -> Result<Option<Centres>, Obstacle> {
        if self.0.is_empty() && !anew {
            return Ok(None);
        }
        let mut centres = if anew { Centres::new() } else { before.clone() };
        for (number, centre) in self.0 {
            match centre {
                Some(centre) => drop(centres.insert(number, centre)),
                None => drop(centres.remove(&number)),
            }
        }
        if centres.len() > CENTRES_MAX {
            return Err(Obstacle::TooManyCentres);
        }
        Ok(Some(centres).filter(|centres| centres != before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn centre(number: u16, machines: usize) -> Centre {
        let machine = Machine { address: [192, 0, 2, 1].into(), port: 443, weight: 100 };
        Centre { number, is_here: false, relay: 0, machines: vec![machine; machines] }
    }

    fn after(before: &Centres, anew: bool, ask: impl FnOnce(&mut Wanted)) -> Vec<(u16, usize)> {
        let mut wanted = Wanted::default();
        ask(&mut wanted);
        let centres = wanted.after(before, anew).unwrap().unwrap_or_else(|| before.clone());
        centres.values().map(|centre| (centre.number, centre.machines.len())).collect()
    }

    #[test]
    fn centres_come_change_and_go_and_a_snapshot_is_all() {
        let before = Centres::from([(7, centre(7, 1)), (9, centre(9, 1))]);
        let changed = after(&before, false, |wanted| {
            wanted.put(centre(7, 8));
            assert!(wanted.add(7, centre(7, 3).machines));
            assert!(wanted.remove(9, &before));
        });
        assert_eq!(changed, [(7, 11)]);
        assert_eq!(after(&before, true, |wanted| wanted.put(centre(5, 2))), [(5, 2)]);
        assert_eq!(after(&before, false, |_| {}), [(7, 1), (9, 1)]);
        assert_eq!(after(&before, true, |_| {}), []);
    }

    #[test]
    fn what_says_the_same_changes_nothing() {
        let before = Centres::from([(7, centre(7, 1))]);
        for anew in [false, true] {
            let mut wanted = Wanted::default();
            wanted.put(centre(7, 1));
            assert_eq!(wanted.after(&before, anew), Ok(None));
        }
        assert_eq!(Wanted::default().after(&before, false), Ok(None));
    }

    #[test]
    fn what_is_not_there_gets_no_machines_and_does_not_go() {
        let before = Centres::from([(7, centre(7, 1))]);
        let mut wanted = Wanted::default();
        assert!(!wanted.add(7, centre(7, 1).machines), "it was not said in this transaction");
        wanted.put(centre(7, 60));
        assert!(!wanted.add(7, centre(7, 5).machines), "too many");
        assert!(!wanted.remove(8, &before));
        assert!(wanted.remove(7, &before));
        assert!(!wanted.remove(7, &before));
    }
}
