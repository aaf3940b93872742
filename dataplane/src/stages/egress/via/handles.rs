//! How exits know our clients: each has a handle, which is random, so that none of before a restart, and none of a client that is
//! gone, is another's. Which worker has the client, it says itself.

use wire::exit::HANDLE_MAX;

use crate::table::Table;

/// The handles of one worker's clients.
#[derive(Debug)]
pub struct Handles {
    worker: u32,
    workers: u32,
    /// How many mappings one client may have.
    pins_max: u32,
    rows: Box<[Row]>,
    /// Rows that nobody has.
    free: Vec<u32>,
    /// Where room is looked for next when there is none.
    hand: u32,
    by_client: Table<u32, u32>,
    by_handle: Table<u32, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    client: u32,
    handle: u32,
    pins: u32,
}

/// Rows that are looked at for one that is not used any more.
const LOOKED_AT: u32 = 32;

/// Random numbers that are tried for one that nobody has: of two billion hardly one is taken.
const TRIED: u32 = 8;

/// Whose handle it is by the way that it was made.
pub fn worker_of(handle: u32, workers: usize) -> u8 {
    let workers = u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
    u8::try_from(handle % workers).unwrap_or(u8::MAX)
}

impl Handles {
    /// For so many clients of a worker, of which each may have so many mappings.
    pub fn new((worker, workers): (u8, usize), (clients, pins_max): (u32, u32), seed: u64) -> Self {
        let nothing = Row { client: 0, handle: 0, pins: 0 };
        let count = clients as usize;
        Self {
            worker: worker.into(),
            workers: u32::try_from(workers.max(1)).unwrap_or(u32::MAX),
            pins_max,
            rows: vec![nothing; count].into_boxed_slice(),
            free: (0..clients).rev().collect(),
            hand: 0,
            by_client: Table::new(count, seed),
            by_handle: Table::new(count, seed.rotate_left(32)),
        }
    }

    /// A client's handle, if it has one.
    pub fn of(&self, client: u32) -> Option<u32> {
        self.row_of(client).map(|row| row.handle)
    }

    fn row_of(&self, client: u32) -> Option<&Row> {
        self.rows.get(self.by_client.get(client)? as usize)
    }

    /// The client of a handle, by its number on the worker.
    pub fn client(&self, handle: u32) -> Option<u32> {
        self.rows.get(self.by_handle.get(handle)? as usize).map(|row| row.client)
    }

    /// A client's handle, which it gets now if it has none; `random` gives numbers that nobody can guess. None when there is no
    /// room.
    pub fn make(&mut self, client: u32, random: impl FnMut() -> u32) -> Option<u32> {
        if let Some(handle) = self.of(client) {
            return Some(handle);
        }
        let handle = self.unused(random)?;
        let number = self.free.pop().or_else(|| self.take_back())?;
        // Both tables have room for as many as there are rows.
        self.by_client.insert(client, number).ok()?;
        self.by_handle.insert(handle, number).ok()?;
        *self.rows.get_mut(number as usize)? = Row { client, handle, pins: 0 };
        Some(handle)
    }

    fn unused(&self, mut random: impl FnMut() -> u32) -> Option<u32> {
        (0..TRIED).map(|_| self.own(random())).find(|handle| self.by_handle.get(*handle).is_none())
    }

    /// A handle that names this worker, near a number.
    fn own(&self, number: u32) -> u32 {
        let number = number & HANDLE_MAX;
        let own = number - number % self.workers + self.worker;
        if own > HANDLE_MAX { own - self.workers } else { own }
    }

    /// The row of a client that has no mapping any more.
    fn take_back(&mut self) -> Option<u32> {
        for _ in 0..LOOKED_AT {
            let number = self.hand;
            let row = *self.rows.get(number as usize)?;
            self.hand = if (number as usize) + 1 < self.rows.len() { number + 1 } else { 0 };
            if row.pins == 0 {
                self.by_client.remove(row.client);
                self.by_handle.remove(row.handle);
                return Some(number);
            }
        }
        None
    }

    /// A client has one mapping more, if it may.
    pub fn gain(&mut self, handle: u32) -> bool {
        let most = self.pins_max;
        let row = self.by_handle.get(handle).and_then(|row| self.rows.get_mut(row as usize));
        row.filter(|row| row.pins < most).map(|row| row.pins += 1).is_some()
    }

    /// A client has one mapping less.
    pub fn lose(&mut self, handle: u32) {
        let row = self.by_handle.get(handle).and_then(|row| self.rows.get_mut(row as usize));
        if let Some(row) = row {
            row.pins = row.pins.saturating_sub(1);
        }
    }

    /// A client is no more.
    pub fn forget(&mut self, client: u32) {
        if let Some(number) = self.by_client.remove(client) {
            let handle = self.rows.get(number as usize).map_or(0, |row| row.handle);
            self.by_handle.remove(handle);
            self.free.push(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> impl FnMut() -> u32 {
        let mut last = 1_u32;
        move || {
            last = last.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            last
        }
    }

    #[test]
    fn a_handle_names_its_worker_and_its_client_until_that_is_gone() {
        for workers in [1, 2, 3, 16] {
            for worker in 0..u8::try_from(workers).unwrap() {
                let mut handles = Handles::new((worker, workers), (64, 8), 7);
                let mut random = numbers();
                let made: Vec<_> =
                    (0..64).map(|client| handles.make(client, &mut random).unwrap()).collect();
                for (client, handle) in (0..).zip(&made) {
                    assert_eq!(worker_of(*handle, workers), worker);
                    assert!(*handle <= HANDLE_MAX);
                    assert_eq!(handles.client(*handle), Some(client));
                    assert_eq!(handles.make(client, || unreachable!()), Some(*handle));
                }
                handles.forget(5);
                assert_eq!((handles.client(made[5]), handles.of(5)), (None, None));
                let again = handles.make(5, &mut random).unwrap();
                assert_ne!(again, made[5], "its answers are not the next one's");
            }
        }
        let greatest = Handles::new((1, 3), (1, 1), 7);
        assert_eq!(greatest.own(u32::MAX), HANDLE_MAX, "2^31 - 1 is 1 modulo 3");
    }

    #[test]
    fn room_is_made_by_those_without_mappings_alone() {
        let mut handles = Handles::new((0, 1), (2, 8), 7);
        let mut random = numbers();
        let [one, two] = [1, 2].map(|client| handles.make(client, &mut random).unwrap());
        assert!(handles.gain(one) && handles.gain(two));
        assert_eq!(handles.make(3, &mut random), None);
        handles.lose(one);
        assert!(handles.make(3, &mut random).is_some());
        assert_eq!((handles.client(one), handles.client(two)), (None, Some(2)));
    }

    #[test]
    fn nobody_has_more_mappings_than_one_may() {
        let mut handles = Handles::new((0, 1), (2, 3), 7);
        let handle = handles.make(1, numbers()).unwrap();
        assert_eq!([(); 4].map(|()| handles.gain(handle)), [true, true, true, false]);
    }
}
