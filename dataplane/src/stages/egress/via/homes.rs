//! Whose an IPv6 address of a guest's is: it has no port by which a reply would find its flow, so the address itself leads back, as
//! long as the guest has sent something from it a while ago.

use wireguard::time::Instant;

use crate::limits::{HOME_TIME, HOMES_PER_GUEST, PINS_PER_TURN};
use crate::packet::Address;
use crate::table::{self, Table};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key(u128);

impl table::Key for Key {
    fn hash(self, seed: u64) -> u64 {
        self.0.hash(seed)
    }
}

#[derive(Clone, Copy, Debug)]
struct Home {
    address: Address,
    /// The guest's number in the flow table.
    guest: u32,
    until: Instant,
}

/// Those of one worker.
#[derive(Debug)]
pub struct Homes {
    rows: Box<[Option<Home>]>,
    free: Vec<u32>,
    /// Rows from here on were never used.
    fresh: u32,
    swept: u32,
    by_address: Table<Key, u32>,
    counts: Table<u32, u32>,
}

/// Why an address does not lead to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is another guest's.
    Taken,
    /// There is no room, for this guest or at all.
    Full,
}

/// The worker that has an address.
pub fn worker_of(address: Address, workers: usize) -> u8 {
    let hash = table::Key::hash(Key(address.bits()), 0);
    u8::try_from(hash % workers.max(1) as u64).unwrap_or(0)
}

impl Homes {
    /// Room for so many.
    pub fn new(count: u32, seed: u64) -> Self {
        Self {
            rows: vec![None; count as usize].into_boxed_slice(),
            free: (0..count).rev().collect(),
            fresh: 0,
            swept: 0,
            by_address: Table::new(count as usize, seed),
            counts: Table::new(count as usize, seed),
        }
    }

    /// The guest that has an address.
    pub fn find(&self, address: Address, now: Instant) -> Option<u32> {
        let row = self.by_address.get(Key(address.bits()))?;
        let home = self.rows.get(row as usize)?.as_ref()?;
        (home.until > now).then_some(home.guest)
    }

    /// Whether an address leads to this guest.
    pub fn is_any(&self, guest: u32) -> bool {
        self.counts.get(guest).is_some()
    }

    /// A guest has sent something from an address, which leads to it from now on.
    pub fn keep(&mut self, address: Address, guest: u32, now: Instant) -> Result<(), Refused> {
        let home = Home { address, guest, until: now + HOME_TIME };
        let before = self.by_address.get(Key(address.bits()));
        if let Some(Some(place)) = before.and_then(|row| self.rows.get_mut(row as usize)) {
            if place.guest == guest {
                *place = home;
                return Ok(());
            }
            if place.until > now {
                return Err(Refused::Taken);
            }
            self.end(before.unwrap_or(0));
        }
        let count = self.counts.get(guest).unwrap_or(0);
        if count >= HOMES_PER_GUEST {
            return Err(Refused::Full);
        }
        let row = self.free.pop().ok_or(Refused::Full)?;
        self.fresh = self.fresh.max(row + 1);
        if let Some(place) = self.rows.get_mut(row as usize) {
            *place = Some(home);
        }
        // Both have room for as many as there are rows.
        let entered = self.by_address.insert(Key(address.bits()), row).map(|_| ());
        let counted = self.counts.insert(guest, count + 1).map(|_| ());
        entered.and(counted).map_err(|table::Full| Refused::Full)
    }

    fn end(&mut self, row: u32) {
        let Some(place) = self.rows.get_mut(row as usize) else { return };
        let Some(home) = place.take() else { return };
        self.by_address.remove(Key(home.address.bits()));
        self.free.push(row);
        match self.counts.get(home.guest).unwrap_or(0) {
            0 | 1 => drop(self.counts.remove(home.guest)),
            // It is there, so it finds its place again.
            count => drop(self.counts.insert(home.guest, count - 1)),
        }
    }

    /// Looks at the next ones, and ends those that are over.
    pub fn sweep(&mut self, now: Instant) {
        for _ in 0..PINS_PER_TURN.min(self.fresh) {
            let row = self.swept;
            self.swept = if row + 1 < self.fresh { row + 1 } else { 0 };
            let home = self.rows.get(row as usize).copied().flatten();
            if home.is_some_and(|home| home.until <= now) {
                self.end(row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;
    use std::time::Duration;

    fn address(host: u16) -> Address {
        Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, host).into()
    }

    const NOW: Instant = Instant::ZERO;

    #[test]
    fn an_address_is_one_guests_until_it_has_been_silent_for_a_while() {
        let mut homes = Homes::new(4, 7);
        assert_eq!(homes.keep(address(1), 100, NOW), Ok(()));
        assert_eq!(homes.keep(address(1), 101, NOW), Err(Refused::Taken));
        assert_eq!(homes.find(address(1), NOW), Some(100));
        let later = NOW + HOME_TIME;
        assert_eq!(homes.find(address(1), later), None);
        assert_eq!(homes.keep(address(1), 101, later), Ok(()));
        assert_eq!((homes.is_any(100), homes.is_any(101)), (false, true));
        (0..8).for_each(|_| homes.sweep(later + HOME_TIME));
        assert!(!homes.is_any(101) && homes.by_address.is_empty());
    }

    #[test]
    fn one_guest_does_not_take_all_room() {
        let mut homes = Homes::new(HOMES_PER_GUEST * 2, 7);
        let most = u16::try_from(HOMES_PER_GUEST).unwrap();
        assert!((0..most).all(|host| homes.keep(address(host), 100, NOW).is_ok()));
        assert_eq!(homes.keep(address(most), 100, NOW), Err(Refused::Full));
        assert_eq!(homes.keep(address(most), 101, NOW + Duration::from_secs(1)), Ok(()));
    }
}
