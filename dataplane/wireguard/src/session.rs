//! One session: keys, counters and the replay window, laid out so that a packet touches two cache
//! lines and one word of the bitmap.

use crate::aead::Key;
use crate::limits::{
    REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME, REKEY_AFTER_MESSAGES, REKEY_AFTER_TIME,
    REKEY_ON_RECEIVE_TIME, WINDOW_WORDS,
};
use crate::noise::Keys;
use crate::prefetch::prefetch;
use crate::replay::Window;
use crate::time::Instant;

/// Who made the first message of the handshake behind a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// We initiated: rekeying by age is our duty (6.2).
    Initiator,
    /// The peer initiated; we may send only after its first data proved the session.
    Responder,
}

/// The receiver indices of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indices {
    /// The one we gave: it names this session in what we receive.
    pub local: u32,
    /// The one the peer gave: it goes into what we send.
    pub remote: u32,
}

/// Why a session takes or gives no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The slot holds no session.
    Vacant,
    /// The session is older than [`REJECT_AFTER_TIME`].
    Expired,
    /// The counter has reached [`REJECT_AFTER_MESSAGES`].
    Exhausted,
    /// The counter was seen, or is too old to know.
    Replayed,
}

/// A session in its slot. Zeroised on drop and by [`Session::clear`].
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Session<const WORDS: usize = WINDOW_WORDS> {
    send: Key,
    receive: Key,
    established_at: Instant,
    send_counter: u64,
    remote_index: u32,
    local_index: u32,
    role: Role,
    live: bool,
    rekey_asked: bool,
    window: Window<WORDS>,
}

impl<const WORDS: usize> Default for Session<WORDS> {
    fn default() -> Self {
        Self::vacant()
    }
}

impl<const WORDS: usize> Session<WORDS> {
    /// An empty slot of a table.
    pub const fn vacant() -> Self {
        Self {
            send: Key::zero(),
            receive: Key::zero(),
            established_at: Instant::ZERO,
            send_counter: 0,
            remote_index: 0,
            local_index: 0,
            role: Role::Responder,
            live: false,
            rekey_asked: false,
            window: Window::new(),
        }
    }

    /// Fills the slot in place with a fresh session: no copy of a kilobyte, no allocation.
    pub fn establish(&mut self, keys: &Keys, role: Role, indices: Indices, now: Instant) {
        self.clear();
        self.send.copy_from(&keys.send);
        self.receive.copy_from(&keys.receive);
        self.role = role;
        self.local_index = indices.local;
        self.remote_index = indices.remote;
        self.established_at = now;
        self.live = true;
    }

    /// Empties the slot and zeroises its keys.
    pub fn clear(&mut self) {
        self.send.clear();
        self.receive.clear();
        self.established_at = Instant::ZERO;
        self.send_counter = 0;
        self.remote_index = 0;
        self.local_index = 0;
        self.role = Role::Responder;
        self.live = false;
        self.rekey_asked = false;
        self.window.clear();
    }

    /// Whether the slot holds a session, of whatever age.
    pub const fn is_live(&self) -> bool {
        self.live
    }

    /// Whether a packet may still be received on it at `now`.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.live && now.since(self.established_at) < REJECT_AFTER_TIME
    }

    /// Who initiated.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The index that the peer gave, for what we send.
    pub const fn remote_index(&self) -> u32 {
        self.remote_index
    }

    /// The index that we gave, under which this session receives.
    pub const fn local_index(&self) -> u32 {
        self.local_index
    }

    /// When the handshake ended.
    pub const fn established_at(&self) -> Instant {
        self.established_at
    }

    /// Begins to fetch what opening a packet with this counter touches: keys, times, and its part of the window.
    #[inline]
    pub fn prefetch_receiving(&self, counter: u64) {
        prefetch(&self.receive);
        // Times and state share the line with the window's first word.
        self.window.prefetch(counter);
    }

    /// Begins to fetch what sealing a packet touches.
    #[inline]
    pub fn prefetch_sending(&self) {
        prefetch(&self.send);
        prefetch(&self.established_at);
    }

    /// The key that seals.
    pub const fn send_key(&self) -> &Key {
        &self.send
    }

    /// The key that opens.
    pub const fn receive_key(&self) -> &Key {
        &self.receive
    }

    /// How many messages were given a counter.
    pub const fn sent_count(&self) -> u64 {
        self.send_counter
    }

    /// Whether a packet of this counter is worth opening. Proves nothing: open it, then
    /// [`Session::commit`].
    pub fn receivable(&self, counter: u64, now: Instant) -> Result<(), Refused> {
        if !self.live {
            Err(Refused::Vacant)
        } else if !self.is_fresh(now) {
            Err(Refused::Expired)
        } else if counter >= REJECT_AFTER_MESSAGES {
            Err(Refused::Exhausted)
        } else if !self.window.check(counter) {
            Err(Refused::Replayed)
        } else {
            Ok(())
        }
    }

    /// Marks the counter of an opened packet; refuses the second of two copies in one burst.
    pub fn commit(&mut self, counter: u64) -> Result<(), Refused> {
        if self.window.commit(counter) { Ok(()) } else { Err(Refused::Replayed) }
    }

    /// The counter of the next packet to send. No counter is given twice.
    pub fn reserve(&mut self, now: Instant) -> Result<u64, Refused> {
        if !self.live {
            return Err(Refused::Vacant);
        }
        if !self.is_fresh(now) {
            return Err(Refused::Expired);
        }
        let counter = self.send_counter;
        if counter >= REJECT_AFTER_MESSAGES {
            return Err(Refused::Exhausted);
        }
        self.send_counter = counter + 1;
        Ok(counter)
    }

    /// Leaves out the next `count` counters: nobody lives to see a session run out of them, and tests have to.
    pub const fn skip(&mut self, count: u64) {
        self.send_counter = self.send_counter.saturating_add(count);
    }

    /// Whether a handshake is due after sending on this session (6.2): by count in either role,
    /// by age only for the initiator, so that both ends do not start at once.
    pub fn wants_rekey_after_send(&self, now: Instant) -> bool {
        self.live
            && (self.send_counter > REKEY_AFTER_MESSAGES
                || self.role == Role::Initiator
                    && now.since(self.established_at) >= REKEY_AFTER_TIME)
    }

    /// Whether a handshake is due after receiving on this session (6.2): true at most once.
    pub fn wants_rekey_after_receive(&mut self, now: Instant) -> bool {
        let due = self.live
            && self.role == Role::Initiator
            && !self.rekey_asked
            && now.since(self.established_at) >= REKEY_ON_RECEIVE_TIME;
        self.rekey_asked |= due;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use core::time::Duration;

    fn established(role: Role) -> Session {
        let keys =
            Keys { send: Key::new(Secret::new([1; 32])), receive: Key::new(Secret::new([2; 32])) };
        let mut session = Session::vacant();
        session.establish(&keys, role, Indices { local: 3, remote: 4 }, Instant::ZERO);
        session
    }

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }

    #[test]
    fn everything_but_the_bitmap_lies_in_two_cache_lines() {
        assert!(core::mem::offset_of!(Session, window) <= 128 - 8);
        assert_eq!(size_of::<Session>(), 1024);
        assert_eq!(size_of::<Session<16>>(), 256);
    }

    #[test]
    fn a_vacant_slot_gives_and_takes_nothing() {
        let mut session = Session::<WINDOW_WORDS>::vacant();
        assert_eq!(session.receivable(0, at(0)), Err(Refused::Vacant));
        assert_eq!(session.reserve(at(0)), Err(Refused::Vacant));
        assert!(!session.wants_rekey_after_send(at(500)));
    }

    #[test]
    fn a_session_ends_at_180_seconds() {
        let mut session = established(Role::Initiator);
        let last = Instant(at(180).0 - 1);
        assert_eq!(session.receivable(0, last), Ok(()));
        assert_eq!(session.reserve(last), Ok(0));
        assert_eq!(session.receivable(0, at(180)), Err(Refused::Expired));
        assert_eq!(session.reserve(at(180)), Err(Refused::Expired));
    }

    #[test]
    fn counters_are_given_once_and_end_before_the_window_could_wrap() {
        let mut session = established(Role::Responder);
        assert_eq!(session.reserve(at(0)), Ok(0));
        assert_eq!(session.reserve(at(0)), Ok(1));
        session.send_counter = REJECT_AFTER_MESSAGES - 1;
        assert_eq!(session.reserve(at(0)), Ok(REJECT_AFTER_MESSAGES - 1));
        assert_eq!(session.reserve(at(0)), Err(Refused::Exhausted));
        assert_eq!(session.receivable(REJECT_AFTER_MESSAGES - 1, at(0)), Ok(()));
        assert_eq!(session.receivable(REJECT_AFTER_MESSAGES, at(0)), Err(Refused::Exhausted));
        assert_eq!(session.receivable(u64::MAX, at(0)), Err(Refused::Exhausted));
    }

    #[test]
    fn drops_a_replayed_counter() {
        let mut session = established(Role::Responder);
        assert_eq!(session.receivable(7, at(0)), Ok(()));
        assert_eq!(session.commit(7), Ok(()));
        assert_eq!(session.receivable(7, at(0)), Err(Refused::Replayed));
        assert_eq!(session.commit(7), Err(Refused::Replayed));
    }

    #[test]
    fn only_the_initiator_rekeys_by_age_but_both_by_count() {
        let mut initiator = established(Role::Initiator);
        let mut responder = established(Role::Responder);
        assert!(!initiator.wants_rekey_after_send(Instant(at(120).0 - 1)));
        assert!(initiator.wants_rekey_after_send(at(120)));
        assert!(!responder.wants_rekey_after_send(at(179)));
        assert!(!initiator.wants_rekey_after_receive(at(164)));
        assert!(initiator.wants_rekey_after_receive(at(165)));
        assert!(!initiator.wants_rekey_after_receive(at(166)), "once");
        assert!(!responder.wants_rekey_after_receive(at(166)));
        responder.send_counter = REKEY_AFTER_MESSAGES;
        assert!(!responder.wants_rekey_after_send(at(1)));
        responder.send_counter += 1;
        assert!(responder.wants_rekey_after_send(at(1)));
    }

    #[test]
    fn a_cleared_slot_holds_no_key() {
        let mut session = established(Role::Initiator);
        session.clear();
        assert_eq!(session.send_key(), &Key::zero());
        assert_eq!(session.receive_key(), &Key::zero());
        assert!(!session.is_live());
    }

    #[test]
    fn debug_prints_no_key() {
        let text = format!("{:?}", established(Role::Initiator));
        assert!(!text.contains("1, 1, 1") && text.contains("Secret(..)"), "{text}");
    }
}
