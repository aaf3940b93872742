//! Datagrams in pieces, of which only the first says whose they are: which worker that is, and which pieces wait until it has
//! come (RFC 4787 REQ-14).

use std::collections::VecDeque;

use wireguard::time::Instant;

use crate::limits::{NAT_EARLY_MAX, NAT_EARLY_TIME, NAT_PIECES};

/// What is known of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its first piece was at this worker's.
    At(u8),
    /// Others have come before it, and wait until then at most.
    Early(Instant),
}

/// One place for each name modulo their number, and the newest datagram keeps it.
#[derive(Debug)]
pub(super) struct Pieces {
    places: Box<[(u64, State)]>,
    /// Places whose datagrams have pieces that wait, in the order of their times.
    early: VecDeque<(u32, Instant)>,
    /// Places whose pieces need not wait any more.
    ready: VecDeque<u32>,
}

impl Default for Pieces {
    fn default() -> Self {
        Self {
            places: vec![(0, State::At(0)); NAT_PIECES].into_boxed_slice(),
            early: VecDeque::with_capacity(NAT_EARLY_MAX),
            ready: VecDeque::with_capacity(NAT_EARLY_MAX),
        }
    }
}

impl Pieces {
    fn place(&self, datagram: u64) -> u32 {
        let places = self.places.len().max(1) as u64;
        u32::try_from(datagram % places).unwrap_or(0)
    }

    fn entry(&mut self, place: u32) -> Option<&mut (u64, State)> {
        self.places.get_mut(place as usize)
    }

    /// At which worker a datagram's first piece was.
    pub(super) fn find(&self, datagram: u64) -> Option<u8> {
        match self.places.get(self.place(datagram) as usize) {
            Some((name, State::At(worker))) if *name == datagram => Some(*worker),
            Some(_) | None => None,
        }
    }

    /// The first piece is here, and its worker is known.
    pub(super) fn remember(&mut self, datagram: u64, worker: u8) {
        let place = self.place(datagram);
        let Some(entry) = self.entry(place) else { return };
        let before = std::mem::replace(entry, (datagram, State::At(worker)));
        // Those of another datagram look for a place again.
        if matches!(before, (_, State::Early(_))) && self.ready.len() < NAT_EARLY_MAX {
            self.ready.push_back(place);
        }
    }

    /// The id under which a piece waits whose datagram has not begun yet; none when there is no room.
    pub(super) fn wait(&mut self, datagram: u64, now: Instant) -> Option<u32> {
        let place = self.place(datagram);
        let until = now + NAT_EARLY_TIME;
        let room = self.early.len() < NAT_EARLY_MAX;
        let entry = self.entry(place)?;
        match *entry {
            (name, State::Early(_)) => (name == datagram).then_some(place),
            (_, State::At(_)) if room => {
                *entry = (datagram, State::Early(until));
                self.early.push_back((place, until));
                Some(place)
            }
            (_, State::At(_)) => None,
        }
    }

    /// What has waited, and whether its first piece has come; nothing is to wait under the id from now on.
    pub(super) fn next_over(&mut self, now: Instant) -> Option<(u32, bool)> {
        if let Some(place) = self.ready.pop_front() {
            return Some((place, true));
        }
        while let Some((place, until)) = self.early.front().copied()
            && until <= now
        {
            self.early.pop_front();
            let entry = self.entry(place)?;
            if entry.1 == State::Early(until) {
                *entry = (0, State::At(0));
                return Some((place, false));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: Instant = Instant::ZERO;

    #[test]
    fn pieces_wait_for_the_first_one_and_no_longer_than_their_time() {
        let mut pieces = Pieces::default();
        let id = pieces.wait(7, NOW).unwrap();
        assert_eq!(pieces.wait(7, NOW), Some(id));
        assert_eq!((pieces.find(7), pieces.next_over(NOW)), (None, None));
        pieces.remember(7, 3);
        assert_eq!((pieces.find(7), pieces.next_over(NOW)), (Some(3), Some((id, true))));
        assert_eq!(pieces.next_over(NOW + NAT_EARLY_TIME), None, "it waits no more");
        let late = NOW + Duration::from_secs(1);
        let id = pieces.wait(8, late).unwrap();
        assert_eq!(pieces.next_over(NOW + NAT_EARLY_TIME), None);
        assert_eq!(pieces.next_over(late + NAT_EARLY_TIME), Some((id, false)));
        assert_eq!(pieces.find(8), None);
    }

    #[test]
    fn two_datagrams_of_one_place_do_not_wait_under_one_id() {
        let mut pieces = Pieces::default();
        let (one, other) = (5, 5 + NAT_PIECES as u64);
        let id = pieces.wait(one, NOW).unwrap();
        assert_eq!(pieces.wait(other, NOW), None);
        pieces.remember(other, 1);
        assert_eq!(pieces.next_over(NOW), Some((id, true)), "they look again");
        assert_eq!((pieces.find(one), pieces.find(other)), (None, Some(1)));
        assert_eq!(pieces.wait(one, NOW), Some(id));
    }

    #[test]
    fn a_flood_of_pieces_finds_no_more_room_than_there_is() {
        let mut pieces = Pieces::default();
        let taken = (1..100_000).filter(|name| pieces.wait(*name, NOW).is_some()).count();
        // Names of places that are taken already meet others.
        assert!(taken >= NAT_EARLY_MAX && pieces.early.len() == NAT_EARLY_MAX);
        let over = NOW + NAT_EARLY_TIME;
        let ended = std::iter::from_fn(|| pieces.next_over(over)).count();
        assert_eq!(ended, NAT_EARLY_MAX);
        assert!(pieces.wait(100_001, over).is_some());
    }
}
