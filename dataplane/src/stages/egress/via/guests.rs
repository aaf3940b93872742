//! Clients of other data centres whose packets leave here. Each counts as a client of this server's, with what one may have.

use crate::packet::Address;
use crate::table::{self, Table};

/// A guest: who knows it, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guest {
    /// The server whose client it is.
    pub ingress: Address,
    /// Our address that it speaks to: answers come from there.
    pub local: Address,
    /// Its name there.
    pub handle: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    ingress: Address,
    handle: u32,
}

impl table::Key for Key {
    fn hash(self, seed: u64) -> u64 {
        (self.ingress.bits() ^ u128::from(self.handle) << 32).hash(seed)
    }
}

/// Those of one worker.
#[derive(Debug)]
pub struct Guests {
    /// The flow table's number of the first one.
    first: u32,
    rows: Box<[Option<Guest>]>,
    free: Vec<u32>,
    hand: u32,
    by_key: Table<Key, u32>,
}

/// Guests that are looked at for one that has nothing here any more.
const LOOKED_AT: u32 = 32;

/// The worker that has a guest.
pub fn worker_of(ingress: Address, handle: u32, workers: usize) -> u8 {
    let hash = table::Key::hash(Key { ingress, handle }, 0);
    u8::try_from(hash % workers.max(1) as u64).unwrap_or(0)
}

impl Guests {
    /// Room for so many, with numbers from the first one on.
    pub fn new(first: u32, count: u32, seed: u64) -> Self {
        Self {
            first,
            rows: vec![None; count as usize].into_boxed_slice(),
            free: (0..count).rev().collect(),
            hand: 0,
            by_key: Table::new(count as usize, seed),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The guest of a number in the flow table.
    #[inline]
    pub fn get(&self, number: u32) -> Option<Guest> {
        *self.rows.get(number.checked_sub(self.first)? as usize)?
    }

    /// The number of a guest that was here before.
    pub fn find(&self, guest: &Guest) -> Option<u32> {
        let key = Key { ingress: guest.ingress, handle: guest.handle };
        self.by_key.get(key).map(|row| self.first + row)
    }

    /// A guest's number, which it gets now if it has none. `is_idle` says whether a number has nothing here any more; the one
    /// that made room is told as well. None when there is no room.
    pub fn make(
        &mut self,
        guest: Guest,
        is_idle: impl Fn(u32) -> bool,
    ) -> Option<(u32, Option<u32>)> {
        if let Some(number) = self.find(&guest) {
            *self.rows.get_mut((number - self.first) as usize)? = Some(guest);
            return Some((number, None));
        }
        let mut gone = None;
        let row = if let Some(row) = self.free.pop() {
            row
        } else {
            let row = self.take_back(is_idle)?;
            gone = Some(self.first + row);
            row
        };
        let key = Key { ingress: guest.ingress, handle: guest.handle };
        self.by_key.insert(key, row).ok()?;
        *self.rows.get_mut(row as usize)? = Some(guest);
        Some((self.first + row, gone))
    }

    fn take_back(&mut self, is_idle: impl Fn(u32) -> bool) -> Option<u32> {
        for _ in 0..LOOKED_AT {
            let row = self.hand;
            self.hand = if (row as usize) + 1 < self.rows.len() { row + 1 } else { 0 };
            let Some(guest) = *self.rows.get(row as usize)? else { continue };
            if is_idle(self.first + row) {
                self.by_key.remove(Key { ingress: guest.ingress, handle: guest.handle });
                return Some(row);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn guest(host: u8, handle: u32) -> Guest {
        let address = |host| Address::from(Ipv4Addr::new(192, 0, 2, host));
        Guest { ingress: address(host), local: address(1), handle }
    }

    #[test]
    fn the_same_handle_of_two_servers_is_two_guests() {
        let mut guests = Guests::new(100, 4, 7);
        let never = |_| false;
        let one = guests.make(guest(8, 5), never).unwrap();
        let other = guests.make(guest(9, 5), never).unwrap();
        assert_ne!(one.0, other.0);
        assert_eq!(guests.make(guest(8, 5), never), Some(one));
        assert_eq!(guests.get(one.0), Some(guest(8, 5)));
        assert_eq!((guests.get(99), guests.get(104)), (None, None));
    }

    #[test]
    fn room_is_made_by_those_with_nothing_here_alone() {
        let mut guests = Guests::new(100, 2, 7);
        let [one, two] = [1, 2].map(|handle| guests.make(guest(8, handle), |_| false).unwrap().0);
        assert_eq!(guests.make(guest(8, 3), |_| false), None);
        let made = guests.make(guest(8, 3), |number| number == two);
        assert_eq!(made, Some((two, Some(two))));
        assert_eq!(guests.find(&guest(8, 2)), None);
        assert_eq!(guests.find(&guest(8, 1)), Some(one));
    }

    #[test]
    fn guests_of_one_server_are_spread_over_all_workers() {
        let ingress = guest(8, 0).ingress;
        let mut counts = [0_u32; 4];
        for handle in 0..40_000 {
            counts[usize::from(worker_of(ingress, handle, 4))] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 500), "{counts:?}");
    }
}
