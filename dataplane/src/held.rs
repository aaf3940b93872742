//! Packets that wait for a session, a neighbour or the rest of their datagram: few, bounded, and not for long.

mod chains;

use std::collections::VecDeque;

use wireguard::time::Instant;

use crate::fate::Waiting;
use crate::limits::{
    FRAGMENTS_HELD_MAX, HELD_MAX, HELD_PER_KEY_MAX, HELD_TIME, NAT_EARLY_HELD_MAX,
};
use crate::table::{Key, Table};

use chains::Chains;

impl Key for Waiting {
    fn hash(self, seed: u64) -> u64 {
        match self {
            Self::Peer(number) => u64::from(number).hash(seed),
            Self::Neighbour(id) => (u64::from(id) | 1 << 32).hash(seed),
            Self::Datagram(id) => (u64::from(id) | 2 << 32).hash(seed),
            Self::First(id) => (u64::from(id) | 3 << 32).hash(seed),
        }
    }
}

struct Row<P> {
    key: Waiting,
    until: Instant,
    packet: P,
}

/// The waiting packets of one worker.
pub struct Held<P> {
    /// Those that wait for sessions and neighbours, oldest first.
    rows: VecDeque<Row<P>>,
    counts: Table<Waiting, usize>,
    /// Of these, how many wait for sessions.
    for_peers: usize,
    fragments: Chains<P>,
    /// Fragments that wait for the first of their datagram.
    early: Chains<P>,
}

impl<P> std::fmt::Debug for Held<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<P> Held<P> {
    /// Room for [`HELD_MAX`] packets that wait for sessions and as many that wait for neighbours, and for
    /// [`FRAGMENTS_HELD_MAX`] and [`NAT_EARLY_HELD_MAX`] fragments.
    pub fn new(seed: u64) -> Self {
        Self {
            rows: VecDeque::with_capacity(2 * HELD_MAX),
            counts: Table::new(2 * HELD_MAX, seed),
            for_peers: 0,
            fragments: Chains::new(FRAGMENTS_HELD_MAX, seed),
            early: Chains::new(NAT_EARLY_HELD_MAX, seed),
        }
    }

    /// How many packets wait.
    pub fn len(&self) -> usize {
        self.rows.len() + self.fragments.len() + self.early.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps a packet; gives it back when too many wait already. Of fragments only all together are counted here: who gives out
    /// the ids counts those of each datagram.
    pub fn push(&mut self, key: Waiting, packet: P, now: Instant) -> Result<(), P> {
        if let Waiting::Datagram(id) = key {
            return self.fragments.push(id, packet);
        }
        if let Waiting::First(id) = key {
            return self.early.push(id, packet);
        }
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
        if let Waiting::Datagram(id) = key {
            return self.fragments.take(id);
        }
        if let Waiting::First(id) = key {
            return self.early.take(id);
        }
        self.counts.get(key)?;
        let position = self.rows.iter().position(|row| row.key == key)?;
        let row = self.rows.remove(position)?;
        self.uncount(key);
        Some(row.packet)
    }

    /// Takes a packet that has waited too long for a session or a neighbour. When a datagram's time is over its id is told by
    /// who has given it out.
    pub fn take_expired(&mut self, now: Instant) -> Option<P> {
        if self.rows.front()?.until > now {
            return None;
        }
        self.take_oldest()
    }

    /// Takes any packet, when all go.
    pub fn take_any(&mut self) -> Option<P> {
        let oldest = self.take_oldest();
        let fragments = || self.fragments.take_any().or_else(|| self.early.take_any());
        oldest.or_else(fragments)
    }

    fn take_oldest(&mut self) -> Option<P> {
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
    fn fragments_have_room_of_their_own_and_come_back_by_datagram_in_order() {
        let mut held = Held::new(1);
        for number in 0..10_000 {
            let _ = held.push(Waiting::Peer(number), 0, Instant::ZERO);
            let _ = held.push(Waiting::Neighbour(number), 0, Instant::ZERO);
        }
        for number in 0..usize::from(FRAGMENTS_HELD_MAX) {
            let id = u32::try_from(number % 7).unwrap();
            held.push(Waiting::Datagram(id), number, Instant::ZERO).expect("there is room");
        }
        assert_eq!(held.push(Waiting::Datagram(3), 9, Instant::ZERO), Err(9));
        assert_eq!(held.len(), 2 * HELD_MAX + usize::from(FRAGMENTS_HELD_MAX));
        while held.take_expired(Instant::NEVER).is_some() {}
        for id in [3, 0, 6, 1, 2, 5] {
            let taken: Vec<_> = std::iter::from_fn(|| held.take(Waiting::Datagram(id))).collect();
            let of_id: Vec<_> = (0..usize::from(FRAGMENTS_HELD_MAX))
                .filter(|number| number % 7 == usize::try_from(id).unwrap())
                .collect();
            assert_eq!(taken, of_id);
            held.push(Waiting::Datagram(7), 0, Instant::ZERO).expect("their room is free");
        }
        assert!(std::iter::from_fn(|| held.take_any()).count() > 100);
        assert!(held.is_empty());
    }

    #[test]
    fn what_waits_for_its_datagram_does_not_wait_for_a_peer_of_that_number() {
        let mut held = Held::new(1);
        held.push(Waiting::Datagram(7), 1, Instant::ZERO).unwrap();
        assert_eq!(held.take(KEY), None);
        assert_eq!(held.take(Waiting::Neighbour(7)), None);
        assert_eq!(held.take_expired(Instant::NEVER), None);
        assert_eq!(held.take(Waiting::Datagram(7)), Some(1));
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
