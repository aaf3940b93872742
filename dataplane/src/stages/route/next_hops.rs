//! Route ids: what a table of prefixes holds in 16 bits, and the next hops that they stand for.

use std::collections::HashMap;
use std::sync::Arc;

use super::next_hop::NextHop;

/// Highest route id: the last bit of an entry tells groups from ids. 0 means no route.
pub(super) const ID_MAX: u16 = 0x7fff;

/// Why a table could not be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbuildable {
    /// More than 32,768 different /24s have prefixes longer than /24 in them.
    TooManyLongPrefixes,
    /// Prefixes lead to more than 32,767 different next hops.
    TooManyNextHops,
}

/// The next hops of all ids, and how many prefixes have each id.
#[derive(Debug)]
pub(super) struct NextHops {
    by_id: Arc<Vec<NextHop>>,
    uses: Vec<u32>,
    ids: HashMap<NextHop, u16>,
    free: Vec<u16>,
    /// A next hop that was asked for, and its id: prefixes of one next hop come together.
    latest: Option<(NextHop, u16)>,
}

impl Default for NextHops {
    fn default() -> Self {
        let by_id = Arc::new(vec![NextHop::None]);
        Self { by_id, uses: vec![0], ids: HashMap::new(), free: Vec::new(), latest: None }
    }
}

impl NextHops {
    /// The next hops by their ids.
    pub(super) fn by_id(&self) -> &Arc<Vec<NextHop>> {
        &self.by_id
    }

    pub(super) fn get(&self, id: u16) -> NextHop {
        self.by_id.get(usize::from(id)).copied().unwrap_or(NextHop::None)
    }

    /// Whether a prefix with this next hop can be inserted.
    pub(super) fn has_room(&self, next_hop: NextHop) -> bool {
        !self.free.is_empty()
            || self.by_id.len() <= usize::from(ID_MAX)
            || self.ids.contains_key(&next_hop)
    }

    /// Whether one prefix alone has the id.
    pub(super) fn is_last_use(&self, id: u16) -> bool {
        self.uses.get(usize::from(id)) == Some(&1)
    }

    /// The id of a next hop for one more prefix.
    pub(super) fn acquire(&mut self, next_hop: NextHop) -> Result<u16, Unbuildable> {
        let id = match self.latest {
            Some((latest, id)) if latest == next_hop => id,
            Some(_) | None => match self.ids.get(&next_hop) {
                Some(id) => *id,
                None => self.allocate(next_hop)?,
            },
        };
        self.latest = Some((next_hop, id));
        if let Some(uses) = self.uses.get_mut(usize::from(id)) {
            *uses += 1;
        }
        Ok(id)
    }

    fn allocate(&mut self, next_hop: NextHop) -> Result<u16, Unbuildable> {
        let id = match self.free.pop() {
            Some(id) => id,
            None => u16::try_from(self.by_id.len())
                .ok()
                .filter(|id| *id <= ID_MAX)
                .ok_or(Unbuildable::TooManyNextHops)?,
        };
        self.set(id, next_hop);
        self.ids.insert(next_hop, id);
        Ok(id)
    }

    /// Takes the id from one prefix; the last one gives it back.
    pub(super) fn release(&mut self, id: u16) {
        let Some(uses) = self.uses.get_mut(usize::from(id)) else { return };
        *uses -= 1;
        if *uses > 0 {
            return;
        }
        let next_hop = self.get(id);
        if self.ids.get(&next_hop) == Some(&id) {
            self.ids.remove(&next_hop);
        }
        self.latest = None;
        self.free.push(id);
    }

    /// All prefixes that lead to `from` lead to `to`: their ids stay, so no table of prefixes changes.
    pub(super) fn redirect(&mut self, from: NextHop, to: NextHop) {
        self.ids.remove(&from);
        self.latest = None;
        // An earlier redirection may have given the next hop several ids.
        let ids = (1..).zip(self.by_id.iter().skip(1).zip(self.uses.iter().skip(1)));
        let found: Vec<u16> = ids
            .filter(|(_, (next_hop, uses))| **next_hop == from && **uses > 0)
            .map(|(id, _)| id)
            .collect();
        for id in found {
            self.set(id, to);
            self.ids.entry(to).or_insert(id);
        }
    }

    fn set(&mut self, id: u16, next_hop: NextHop) {
        let by_id = Arc::make_mut(&mut self.by_id);
        if let Some(entry) = by_id.get_mut(usize::from(id)) {
            *entry = next_hop;
        } else {
            by_id.push(next_hop);
            self.uses.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_32767_ids_and_one_back_makes_room_for_one() {
        let mut hops = NextHops::default();
        let ids: Vec<_> =
            (0..u32::from(ID_MAX)).map(|n| hops.acquire(NextHop::Client(n)).unwrap()).collect();
        assert!(ids.iter().all(|id| (1..=ID_MAX).contains(id)));
        assert_eq!(hops.acquire(NextHop::Local), Err(Unbuildable::TooManyNextHops));
        assert_eq!(hops.acquire(NextHop::Client(5)), Ok(ids[5]));
        hops.release(ids[5]);
        assert_eq!(hops.acquire(NextHop::Local), Err(Unbuildable::TooManyNextHops));
        hops.release(ids[5]);
        assert_eq!(hops.acquire(NextHop::Local), Ok(ids[5]));
        assert_eq!(hops.get(ids[5]), NextHop::Local);
    }

    #[test]
    fn a_version_keeps_the_next_hops_that_it_was_published_with() {
        let mut hops = NextHops::default();
        let id = hops.acquire(NextHop::Client(1)).unwrap();
        let older = Arc::clone(hops.by_id());
        hops.redirect(NextHop::Client(1), NextHop::Local);
        assert_eq!(older[usize::from(id)], NextHop::Client(1));
        assert_eq!(hops.get(id), NextHop::Local);
    }

    #[test]
    fn redirects_every_id_of_a_next_hop_and_gives_all_back() {
        let mut hops = NextHops::default();
        let (one, two) = (NextHop::Client(1), NextHop::Client(2));
        let ids = [hops.acquire(one).unwrap(), hops.acquire(two).unwrap()];
        hops.redirect(one, two);
        hops.redirect(two, NextHop::Local);
        assert_eq!(ids.map(|id| hops.get(id)), [NextHop::Local; 2]);
        // The old name is free for others.
        let third = hops.acquire(two).unwrap();
        assert!(!ids.contains(&third));
        for id in ids {
            hops.release(id);
        }
        assert_eq!(hops.ids.len(), 1);
        assert_eq!(hops.free.len(), 2);
    }
}
