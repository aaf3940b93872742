//! Which of a peer's sessions sends and which still receive: previous, current, next.
//!
//! Slots are opaque numbers of the owner's session table. Each operation tells which slots fall
//! out, so that the owner clears and frees them.

/// The number that stands for no slot.
const NONE: u32 = u32::MAX;

/// The slots of one peer. A slot number is any but `u32::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyring {
    previous: u32,
    current: u32,
    next: u32,
}

/// Slots that an operation dropped, at most three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the owner frees retired slots"]
pub struct Retired([u32; 3]);

impl Retired {
    /// The dropped slots.
    pub fn slots(self) -> impl Iterator<Item = u32> {
        self.0.into_iter().filter(|&slot| slot != NONE)
    }
}

impl Default for Keyring {
    fn default() -> Self {
        Self::new()
    }
}

impl Keyring {
    /// No sessions.
    pub const fn new() -> Self {
        Self { previous: NONE, current: NONE, next: NONE }
    }

    /// The session that sends.
    pub const fn current(&self) -> Option<u32> {
        some(self.current)
    }

    /// The session before it, which receives what is still on the way.
    pub const fn previous(&self) -> Option<u32> {
        some(self.previous)
    }

    /// The session that we gave as responder and the initiator has not used yet.
    pub const fn next(&self) -> Option<u32> {
        some(self.next)
    }

    /// All slots in use.
    pub fn slots(&self) -> impl Iterator<Item = u32> + use<> {
        Retired([self.previous, self.current, self.next]).slots()
    }

    /// A handshake that we initiated is complete: its session sends at once. The session we hold
    /// as next, if any, becomes the previous one instead of the current: both ends initiated at
    /// the same time, and the peer may already send on it.
    pub const fn install_initiator(&mut self, slot: u32) -> Retired {
        let retired = if self.next == NONE {
            let retired = Retired([self.previous, NONE, NONE]);
            self.previous = self.current;
            retired
        } else {
            let retired = Retired([self.previous, self.current, NONE]);
            self.previous = self.next;
            self.next = NONE;
            retired
        };
        self.current = slot;
        retired
    }

    /// We answered a handshake: its session waits for the initiator's first data. Earlier
    /// unconfirmed and previous sessions go, so that a peer has at most three.
    pub const fn install_responder(&mut self, slot: u32) -> Retired {
        let retired = Retired([self.previous, self.next, NONE]);
        self.previous = NONE;
        self.next = slot;
        retired
    }

    /// Data arrived and was authentic on `slot`. When it is the next session, it becomes the
    /// current one and true is returned with what fell out.
    pub const fn received_on(&mut self, slot: u32) -> (bool, Retired) {
        if slot == NONE || self.next != slot {
            return (false, Retired([NONE; 3]));
        }
        let retired = Retired([self.previous, NONE, NONE]);
        self.previous = self.current;
        self.current = slot;
        self.next = NONE;
        (true, retired)
    }

    /// Drops all sessions.
    pub const fn clear(&mut self) -> Retired {
        let retired = Retired([self.previous, self.current, self.next]);
        *self = Self::new();
        retired
    }
}

const fn some(slot: u32) -> Option<u32> {
    if slot == NONE { None } else { Some(slot) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn retired(retired: Retired) -> Vec<u32> {
        retired.slots().collect()
    }

    #[test]
    fn an_initiator_sends_on_its_new_session_at_once() {
        let mut ring = Keyring::new();
        assert_eq!(retired(ring.install_initiator(1)), []);
        assert_eq!(retired(ring.install_initiator(2)), []);
        assert_eq!((ring.current(), ring.previous(), ring.next()), (Some(2), Some(1), None));
        assert_eq!(retired(ring.install_initiator(3)), [1]);
    }

    #[test]
    fn a_responder_waits_for_the_first_data() {
        let mut ring = Keyring::new();
        assert_eq!(retired(ring.install_initiator(1)), []);
        assert_eq!(retired(ring.install_responder(2)), []);
        assert_eq!((ring.current(), ring.next()), (Some(1), Some(2)));
        let (promoted, dropped) = ring.received_on(1);
        assert!(!promoted && retired(dropped).is_empty());
        let (promoted, dropped) = ring.received_on(2);
        assert!(promoted && retired(dropped).is_empty());
        assert_eq!((ring.current(), ring.previous(), ring.next()), (Some(2), Some(1), None));
        assert!(!ring.received_on(2).0);
    }

    #[test]
    fn a_second_answer_replaces_the_unconfirmed_first() {
        let mut ring = Keyring::new();
        assert_eq!(retired(ring.install_responder(1)), []);
        assert_eq!(retired(ring.install_responder(2)), [1]);
        assert_eq!((ring.current(), ring.next()), (None, Some(2)));
    }

    #[test]
    fn both_ends_initiating_at_once_keep_what_the_other_sends_on() {
        let mut ring = Keyring::new();
        assert_eq!(retired(ring.install_initiator(1)), []);
        assert_eq!(retired(ring.install_responder(2)), []);
        assert_eq!(retired(ring.install_initiator(3)), [1]);
        assert_eq!((ring.current(), ring.previous(), ring.next()), (Some(3), Some(2), None));
    }

    proptest! {
        #[test]
        fn every_slot_is_retired_exactly_once(steps in prop::collection::vec(0_u8..4, 1..100)) {
            let mut ring = Keyring::new();
            let mut held = BTreeSet::new();
            for (slot, step) in (0_u32..).zip(steps) {
                let gone = match step {
                    0 => { held.insert(slot); ring.install_initiator(slot) }
                    1 => { held.insert(slot); ring.install_responder(slot) }
                    2 => ring.next().map_or(Retired([NONE; 3]), |next| ring.received_on(next).1),
                    _ => ring.clear(),
                };
                for slot in gone.slots() {
                    prop_assert!(held.remove(&slot), "{} was not held", slot);
                }
                prop_assert_eq!(&ring.slots().collect::<BTreeSet<_>>(), &held);
            }
        }
    }
}
