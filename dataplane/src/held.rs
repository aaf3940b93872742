//! Packets that wait for a session or a neighbour: few, bounded, and not for long.

use std::collections::VecDeque;

use wireguard::time::Instant;

use crate::fate::Waiting;
use crate::limits::{HELD_MAX, HELD_PER_KEY_MAX, HELD_TIME};
use crate::table::{Key, Table};

impl Key for Waiting {
    fn hash(self, seed: u64) -> u64 {
        match self {
            Self::Peer(number) => u64::from(number).hash(seed),
            Self::Neighbour(id) => (u64::from(id) | 1 << 32).hash(seed),
        }
    }
}

struct Row<P> {
    key: Waiting,
    until: Instant,
    packet: P,
}

/// The waiting packets of one worker, oldest first.
pub struct Held<P> {
    rows: VecDeque<Row<P>>,
    counts: Table<Waiting, usize>,
    /// Of these, how many wait for sessions.
    for_peers: usize,
}

impl<P> std::fmt::Debug for Held<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("len", &self.rows.len()).finish_non_exhaustive()
    }
}

impl<P> Held<P> {
    /// Room for [`HELD_MAX`] packets that wait for sessions and as many that wait for neighbours.
    pub fn new(seed: u64) -> Self {
        Self {
            rows: VecDeque::with_capacity(2 * HELD_MAX),
            counts: Table::new(2 * HELD_MAX, seed),
            for_peers: 0,
        }
    }

    /// How many packets wait.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Keeps a packet; gives it back when too many wait already.
    pub fn push(&mut self, key: Waiting, packet: P, now: Instant) -> Result<(), P> {
        let count = self.counts.get(key).unwrap_or(0);
        let peers = matches!(key, Waiting::Peer(_));
        let like = if peers { self.for_peers } else { self.rows.len() - self.for_peers };
        if count >= HELD_PER_KEY_MAX || like >= HELD_MAX {
            return Err(packet);
        }
        if self.counts.insert(key, count + 1).is_err() {
            return Err(packet);
        }
        self.for_peers += usize::from(peers);
        self.rows.push_back(Row { key, until: now + HELD_TIME, packet });
        Ok(())
    }

    /// Takes the oldest packet that waits for `key`.
    pub fn take(&mut self, key: Waiting) -> Option<P> {
        self.counts.get(key)?;
        let position = self.rows.iter().position(|row| row.key == key)?;
        let row = self.rows.remove(position)?;
        self.uncount(key);
        Some(row.packet)
    }

    /// Takes a packet that has waited too long.
    pub fn take_expired(&mut self, now: Instant) -> Option<P> {
        if self.rows.front()?.until > now {
            return None;
        }
        self.take_any()
    }

    /// Takes the oldest packet of all.
    pub fn take_any(&mut self) -> Option<P> {
        let row = self.rows.pop_front()?;
        self.uncount(row.key);
        Some(row.packet)
    }

    fn uncount(&mut self, key: Waiting) {
        self.for_peers -= usize::from(matches!(key, Waiting::Peer(_)));
        match self.counts.get(key) {
            Some(count) if count > 1 => {
                // The key is there, so nothing has to be added.
                let _ = self.counts.insert(key, count - 1);
            }
            Some(_) | None => {
                self.counts.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const KEY: Waiting = Waiting::Peer(7);

    #[test]
    fn gives_back_in_order_what_waits_for_a_key() {
        let mut held = Held::new(1);
        let now = Instant::ZERO;
        for number in 0..4 {
            held.push(KEY, number, now).unwrap();
            held.push(Waiting::Neighbour(7), 100 + number, now).unwrap();
        }
        assert_eq!(std::iter::from_fn(|| held.take(KEY)).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(held.len(), 4);
    }

    #[test]
    fn refuses_more_than_its_share_for_one_key_and_more_than_its_room_for_all() {
        let mut held = Held::new(1);
        let taken = (0..100).filter(|n| held.push(KEY, *n, Instant::ZERO).is_ok()).count();
        assert_eq!(taken, HELD_PER_KEY_MAX);
        for number in 0..10_000 {
            let _ = held.push(Waiting::Peer(number), 0, Instant::ZERO);
        }
        assert_eq!(held.len(), HELD_MAX);
        held.push(Waiting::Neighbour(0), 0, Instant::ZERO)
            .expect("peers leave room for neighbours");
        while held.take_any().is_some() {}
        assert!(held.counts.is_empty());
    }

    #[test]
    fn lets_go_after_the_holding_time() {
        let mut held = Held::new(1);
        held.push(KEY, 1, Instant::ZERO).unwrap();
        assert_eq!(held.take_expired(Instant::ZERO + HELD_TIME - Duration::from_nanos(1)), None);
        assert_eq!(held.take_expired(Instant::ZERO + HELD_TIME), Some(1));
        assert_eq!(held.take(KEY), None);
    }
}
