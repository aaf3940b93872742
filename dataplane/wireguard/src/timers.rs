//! The timers of one peer (whitepaper 6) as stamps: a packet writes a stamp or two, the deadlines
//! follow from them only when somebody asks.
//!
//! The owner keeps one wheel entry per peer. When it fires, [`Timers::expire`] says what is due,
//! usually nothing because stamps have moved, and [`Timers::deadline`] says when to ask again.
//! Methods that return [`Rearm`] may have moved the deadline nearer.
//!
//! **Persistent keepalive and absent peers.** A keepalive without a session starts a handshake, as
//! in the kernel. When that gives up after 90 s, the next try comes one interval later there, for
//! ever. Here the pause doubles with each series that gave up, from the interval up to
//! [`FORGET_TIME`], so that a server with a hundred thousand absent peers is not kept busy by
//! them. Any packet of ours from a user, and any sign of life of the peer, ends the pause.

use crate::limits::{
    FORGET_TIME, JITTER_MAX, KEEPALIVE_TIMEOUT, REKEY_ATTEMPT_TIME, REKEY_TIMEOUT,
    UNANSWERED_TIMEOUT,
};
use crate::time::Instant;
use core::time::Duration;

/// Whether the deadline may be nearer than before: ask [`Timers::deadline`] and reschedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a nearer deadline needs rescheduling"]
pub enum Rearm {
    /// The deadline is where it was, or later: a wheel entry set earlier still does.
    No,
    /// The deadline may be nearer.
    Yes,
}

/// What [`Timers::expire`] found due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions(u8);

impl Actions {
    const INITIATE: u8 = 1;
    const KEEPALIVE: u8 = 2;
    const GIVE_UP: u8 = 4;
    const FORGET: u8 = 8;

    /// Send an initiation and call [`Timers::initiated`].
    pub const fn initiate(self) -> bool {
        self.0 & Self::INITIATE != 0
    }

    /// Send an empty packet and call [`Timers::sent_any`]; without a session that sends, ask
    /// [`Timers::attempt`].
    pub const fn keepalive(self) -> bool {
        self.0 & Self::KEEPALIVE != 0
    }

    /// The peer does not answer: drop what is staged for it.
    pub const fn give_up(self) -> bool {
        self.0 & Self::GIVE_UP != 0
    }

    /// Zeroise all sessions of the peer and its pending handshake.
    pub const fn forget(self) -> bool {
        self.0 & Self::FORGET != 0
    }

    /// Whether nothing is due.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The timer state of one peer.
#[derive(Clone, Debug)]
pub struct Timers {
    /// The first data sent since anything authentic came.
    unanswered_since: Instant,
    /// The first data received since anything was sent.
    owed_since: Instant,
    /// When the persistent keepalive is due.
    persistent_at: Instant,
    /// The last initiation.
    initiated_at: Instant,
    /// The start of the series of attempts under way.
    attempt_since: Instant,
    /// The next attempt of the series.
    retry_at: Instant,
    /// When all keys go.
    forget_at: Instant,
    persistent: Duration,
    jitter: Duration,
    absences: u32,
}

impl Default for Timers {
    fn default() -> Self {
        Self::new()
    }
}

impl Timers {
    /// Nothing armed, no persistent keepalive.
    pub const fn new() -> Self {
        Self {
            unanswered_since: Instant::NEVER,
            owed_since: Instant::NEVER,
            persistent_at: Instant::NEVER,
            initiated_at: Instant::NEVER,
            attempt_since: Instant::NEVER,
            retry_at: Instant::NEVER,
            forget_at: Instant::NEVER,
            persistent: Duration::ZERO,
            jitter: Duration::ZERO,
            absences: 0,
        }
    }

    /// Sets the persistent keepalive, zero for off. The first one is due at once.
    pub fn set_persistent(&mut self, interval: Duration, now: Instant) -> Rearm {
        self.persistent = interval;
        self.absences = 0;
        self.persistent_at = if interval.is_zero() { Instant::NEVER } else { now };
        Rearm::Yes
    }

    /// The persistent keepalive, zero for off.
    pub const fn persistent(&self) -> Duration {
        self.persistent
    }

    /// A packet with data was sent. Implies [`Timers::sent_any`].
    pub fn sent_data(&mut self, now: Instant) -> Rearm {
        self.sent_any(now);
        if self.unanswered_since.is_armed() {
            return Rearm::No;
        }
        self.unanswered_since = now;
        Rearm::Yes
    }

    /// A keepalive or a handshake message was sent.
    pub fn sent_any(&mut self, now: Instant) {
        self.owed_since = Instant::NEVER;
        self.traverse(now);
    }

    /// A packet with data was received and authentic. Implies [`Timers::received_any`].
    pub fn received_data(&mut self, now: Instant) -> Rearm {
        self.received_any(now);
        if self.owed_since.is_armed() {
            return Rearm::No;
        }
        self.owed_since = now;
        Rearm::Yes
    }

    /// A keepalive or a handshake message was received and authentic. It owes the peer nothing,
    /// so keepalives do not answer keepalives.
    pub fn received_any(&mut self, now: Instant) {
        self.unanswered_since = Instant::NEVER;
        self.absences = 0;
        self.traverse(now);
    }

    /// Either direction keeps the path through a NAT open.
    fn traverse(&mut self, now: Instant) {
        if !self.persistent.is_zero() {
            self.persistent_at = now + self.persistent;
        }
    }

    /// A user's packet wants a session, or a session wants renewal while data flows. True: send
    /// an initiation now. Either way the series of attempts lasts 90 s from now (6.4), and the
    /// deadline may be nearer.
    #[must_use = "an initiation is due"]
    pub fn demand(&mut self, now: Instant) -> bool {
        self.absences = 0;
        self.attempt_since = now;
        self.ready(now)
    }

    /// As [`Timers::demand`], on our own account: a series under way is not prolonged.
    #[must_use = "an initiation is due"]
    pub fn attempt(&mut self, now: Instant) -> bool {
        if !self.attempt_since.is_armed() {
            self.attempt_since = now;
        }
        self.ready(now)
    }

    /// As [`Timers::demand`] for a caller that cannot send now: [`Timers::expire`] will say
    /// when.
    pub fn request(&mut self, now: Instant) -> Rearm {
        if self.demand(now) {
            self.retry_at = now;
        }
        Rearm::Yes
    }

    /// As [`Timers::attempt`] for a caller that cannot send now.
    pub fn wish(&mut self, now: Instant) -> Rearm {
        if self.attempt(now) {
            self.retry_at = now;
        }
        Rearm::Yes
    }

    /// Whether to initiate now; else a retry is armed for when it is allowed.
    fn ready(&mut self, now: Instant) -> bool {
        let ready = self.may_initiate(now);
        if !ready && !self.retry_at.is_armed() {
            self.retry_at = self.initiated_at + REKEY_TIMEOUT;
        }
        ready
    }

    /// The initiation that was due could not be made: it is due again after `delay`.
    pub fn postpone(&mut self, now: Instant, delay: Duration) {
        self.retry_at = now + delay;
    }

    /// Whether the last initiation is at least [`REKEY_TIMEOUT`] ago.
    pub fn may_initiate(&self, now: Instant) -> bool {
        !self.initiated_at.is_armed() || now.since(self.initiated_at) >= REKEY_TIMEOUT
    }

    /// An initiation was sent; the next follows after 5 s and `jitter` (at most
    /// [`JITTER_MAX`], longer ones are cut).
    pub fn initiated(&mut self, now: Instant, jitter: Duration) {
        self.jitter = jitter.min(JITTER_MAX);
        self.initiated_at = now;
        if !self.attempt_since.is_armed() {
            self.attempt_since = now;
        }
        self.retry_at = now + REKEY_TIMEOUT + self.jitter;
        self.sent_any(now);
    }

    /// Keys were agreed, in either role: they are forgotten 540 s from now.
    pub fn derived(&mut self, now: Instant) {
        self.forget_at = now + FORGET_TIME;
    }

    /// A session may send: as initiator with the response, as responder with the first data. The
    /// attempts end.
    pub const fn confirmed(&mut self) {
        self.rest();
        self.absences = 0;
    }

    /// The attempts end because the peer is not ours to call.
    pub const fn rest(&mut self) {
        self.attempt_since = Instant::NEVER;
        self.retry_at = Instant::NEVER;
    }

    /// When to call [`Timers::expire`]; `None` while nothing is armed.
    pub fn deadline(&self) -> Option<Instant> {
        self.unanswered_at()
            .min(self.owed_since + KEEPALIVE_TIMEOUT)
            .min(self.persistent_at)
            .min(self.retry_at)
            .min(self.attempt_since + REKEY_ATTEMPT_TIME)
            .min(self.forget_at)
            .armed()
    }

    fn unanswered_at(&self) -> Instant {
        self.unanswered_since + UNANSWERED_TIMEOUT + self.jitter
    }

    /// What is due at `now`. Each thing is said once; `jitter` spreads the next retransmission.
    pub fn expire(&mut self, now: Instant, jitter: Duration) -> Actions {
        let mut due = 0;
        if self.forget_at <= now {
            self.forget_at = Instant::NEVER;
            due |= Actions::FORGET;
        }
        if self.unanswered_at() <= now {
            self.unanswered_since = Instant::NEVER;
            if self.attempt(now) {
                due |= Actions::INITIATE;
            }
        }
        due |= self.expire_attempt(now);
        if due & Actions::INITIATE != 0 {
            self.retry_at = now + REKEY_TIMEOUT + jitter.min(JITTER_MAX);
        }
        if self.owed_since + KEEPALIVE_TIMEOUT <= now {
            self.owed_since = Instant::NEVER;
            due |= Actions::KEEPALIVE;
        }
        if self.persistent_at <= now {
            self.persistent_at = now + self.persistent;
            due |= Actions::KEEPALIVE;
        }
        Actions(due)
    }

    fn expire_attempt(&mut self, now: Instant) -> u8 {
        if self.attempt_since + REKEY_ATTEMPT_TIME <= now {
            self.give_up(now);
            Actions::GIVE_UP
        } else if self.retry_at <= now {
            Actions::INITIATE
        } else {
            0
        }
    }

    fn give_up(&mut self, now: Instant) {
        self.attempt_since = Instant::NEVER;
        self.retry_at = Instant::NEVER;
        self.owed_since = Instant::NEVER;
        self.unanswered_since = Instant::NEVER;
        self.forget_at = self.forget_at.min(now + FORGET_TIME);
        if !self.persistent.is_zero() {
            let pause = self.persistent.saturating_mul(1 << self.absences.min(16));
            self.persistent_at = now + pause.min(FORGET_TIME.max(self.persistent));
            self.absences = self.absences.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    const NONE: Duration = Duration::ZERO;

    /// Expires at the deadline, which must be `millis`.
    fn expire(timers: &mut Timers, millis: u64) -> Actions {
        assert_eq!(timers.deadline(), Some(at(millis)));
        assert!(timers.expire(Instant(at(millis).0 - 1), NONE).is_empty(), "early");
        timers.expire(at(millis), NONE)
    }

    fn only(what: u8) -> Actions {
        Actions(what)
    }

    #[test]
    fn an_idle_peer_has_no_deadline() {
        assert_eq!(Timers::new().deadline(), None);
    }

    #[test]
    fn received_data_is_answered_after_ten_seconds() {
        let mut timers = Timers::new();
        assert_eq!(timers.received_data(at(1000)), Rearm::Yes);
        assert_eq!(timers.received_data(at(5000)), Rearm::No);
        assert_eq!(expire(&mut timers, 11_000), only(Actions::KEEPALIVE));
        assert_eq!(timers.deadline(), None);
    }

    #[test]
    fn anything_sent_answers_received_data() {
        let mut timers = Timers::new();
        let _ = timers.received_data(at(1000));
        timers.sent_any(at(2000));
        assert_eq!(timers.deadline(), None);
    }

    #[test]
    fn a_keepalive_owes_no_keepalive() {
        let mut timers = Timers::new();
        timers.received_any(at(1000));
        assert_eq!(timers.deadline(), None);
    }

    #[test]
    fn unanswered_data_starts_a_handshake_after_fifteen_seconds() {
        let mut timers = Timers::new();
        assert_eq!(timers.sent_data(at(1000)), Rearm::Yes);
        assert_eq!(timers.sent_data(at(9000)), Rearm::No);
        assert_eq!(expire(&mut timers, 16_000), only(Actions::INITIATE));
    }

    #[test]
    fn any_answer_disarms_the_handshake() {
        let mut timers = Timers::new();
        let _ = timers.sent_data(at(1000));
        timers.received_any(at(2000));
        assert_eq!(timers.deadline(), None);
    }

    #[test]
    fn initiations_are_repeated_with_jitter_until_ninety_seconds() {
        let mut timers = Timers::new();
        assert!(timers.demand(at(0)));
        timers.initiated(at(0), Duration::from_millis(333));
        let mut sent = vec![0];
        loop {
            let deadline = timers.deadline().unwrap();
            let actions = timers.expire(deadline, Duration::from_secs(9));
            if actions.give_up() {
                assert_eq!(deadline, at(90_000));
                assert!(!actions.initiate());
                break;
            }
            assert_eq!(actions, only(Actions::INITIATE));
            timers.initiated(deadline, Duration::from_secs(9));
            sent.push(deadline.0);
        }
        assert_eq!(sent.len(), 17);
        for pair in sent.windows(2) {
            assert_eq!(pair[1] - pair[0], 5_333_000_000, "jitter is cut at its maximum");
        }
    }

    #[test]
    fn a_users_packet_prolongs_the_attempts_but_does_not_hasten_them() {
        let mut timers = Timers::new();
        assert!(timers.demand(at(0)));
        timers.initiated(at(0), NONE);
        assert!(!timers.demand(at(4999)));
        assert_eq!(timers.deadline(), Some(at(5000)));
        assert!(timers.demand(at(5000)));
        let mut gave_up = None;
        while gave_up.is_none() {
            let deadline = timers.deadline().unwrap();
            if timers.expire(deadline, NONE).give_up() {
                gave_up = Some(deadline);
            }
        }
        assert_eq!(gave_up, Some(at(95_000)));
    }

    #[test]
    fn a_handshake_wished_too_early_comes_when_allowed() {
        let mut timers = Timers::new();
        assert!(timers.demand(at(0)));
        timers.initiated(at(0), NONE);
        timers.confirmed();
        assert!(!timers.attempt(at(1000)));
        assert_eq!(expire(&mut timers, 5000), only(Actions::INITIATE));
    }

    #[test]
    fn a_request_is_due_at_once() {
        let mut timers = Timers::new();
        assert_eq!(timers.request(at(1000)), Rearm::Yes);
        assert_eq!(expire(&mut timers, 1000), only(Actions::INITIATE));
        assert_eq!(timers.deadline(), Some(at(6000)));
    }

    #[test]
    fn keys_are_forgotten_540_seconds_after_the_last_session() {
        let mut timers = Timers::new();
        timers.derived(at(0));
        timers.derived(at(100_000));
        assert_eq!(expire(&mut timers, 640_000), only(Actions::FORGET));
        assert_eq!(timers.deadline(), None);
    }

    #[test]
    fn the_persistent_keepalive_counts_from_the_last_packet_of_either_direction() {
        let mut timers = Timers::new();
        let _ = timers.set_persistent(Duration::from_secs(25), at(1000));
        assert_eq!(expire(&mut timers, 1000), only(Actions::KEEPALIVE));
        timers.sent_any(at(1000));
        timers.received_any(at(20_000));
        assert_eq!(expire(&mut timers, 45_000), only(Actions::KEEPALIVE));
        let _ = timers.set_persistent(NONE, at(46_000));
        assert_eq!(timers.deadline(), None);
    }

    #[test]
    fn an_absent_peer_is_asked_ever_more_rarely_until_somebody_wants_it() {
        let mut timers = Timers::new();
        let _ = timers.set_persistent(Duration::from_secs(25), at(0));
        let mut pauses = Vec::new();
        let mut gave_up_at = at(0);
        let mut running = false;
        while pauses.len() < 7 {
            let now = timers.deadline().unwrap();
            let actions = timers.expire(now, NONE);
            if actions.give_up() {
                (gave_up_at, running) = (now, false);
            }
            if actions.initiate() || actions.keepalive() && timers.attempt(now) {
                timers.initiated(now, NONE);
                if !running {
                    pauses.push(now.since(gave_up_at).as_secs());
                    running = true;
                }
            }
        }
        assert_eq!(pauses, [0, 25, 50, 100, 200, 400, 540]);
        timers.received_any(gave_up_at);
        assert_eq!(timers.persistent_at, gave_up_at + Duration::from_secs(25));
    }
}
