//! One peer, both roles, complete: handshakes, cookies, sessions, timers and roaming, composed of
//! the other modules and still without I/O.
//!
//! This is the client of the packet generator and of the simulations, and what the fuzzers drive.
//! The dataplane does not use it: there workers and handshake threads share the work.
//! A call may emit several [`Event`]s; after each call, ask [`Tunnel::deadline`].

mod batch;
mod handshake;
mod race;

pub use batch::{Incoming, Outgoing, Ticket};

use crate::aead::{Job, TAILROOM, open, seal};
use crate::cookie::{Jar, Secrets};
use crate::keyring::{Keyring, Retired};
use crate::limits::{INNER_LEN_MAX, JITTER_MAX, STAGED_COUNT_MAX, WINDOW_WORDS};
use crate::message::{ClientId, DATA_HEADER_LEN, DATA_LEN_MIN, Kind, inner_len, kind, padded_len};
use crate::noise::{Identity, PeerKeys, Pending};
use crate::session::{self, Role, Session};
use crate::time::{Instant, Tai64n};
use crate::timers::{Rearm, Timers};
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use rand_core::CryptoRng;
use std::collections::VecDeque;
use std::sync::Arc;
use zerocopy::IntoBytes;

/// Octets of scratch that serve every packet that IP allows.
pub const SCRATCH_LEN: usize = DATA_HEADER_LEN + INNER_LEN_MAX + 1 + TAILROOM;

/// What a tunnel is made of.
#[derive(Debug)]
pub struct Config {
    /// Our static key; tunnels may share it.
    pub identity: Arc<Identity>,
    /// The peer's keys, made with the same identity.
    pub peer: PeerKeys,
    /// Where the peer is; `None` waits for it to call.
    pub endpoint: Option<SocketAddr>,
    /// The id to stamp on all we send; `None` echoes what the peer sent last.
    pub client_id: Option<ClientId>,
    /// The persistent keepalive, zero for off.
    pub persistent: Duration,
    /// The receiver indices are this plus 0..=255 in turn: the low octet belongs to the tunnel.
    pub index_base: u32,
    /// Inner packets are not padded past this length.
    pub mtu: u16,
}

/// What the world gives to one call: time, randomness, memory.
pub struct Turn<'a, R> {
    /// The monotonic time.
    pub now: Instant,
    /// The Unix time, for the labels of initiations.
    pub unix: Duration,
    /// The source of ephemeral keys, nonces and jitter.
    pub rng: &'a mut R,
    /// Where packets are sealed and opened; [`SCRATCH_LEN`] serves all.
    pub scratch: &'a mut [u8],
    /// Present while under load: initiations and responses must then prove their address.
    pub cookies: Option<&'a Secrets>,
}

impl<R> fmt::Debug for Turn<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("now", &self.now).finish_non_exhaustive()
    }
}

/// What a call wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Send this datagram there.
    Transmit {
        /// The datagram.
        octets: &'a [u8],
        /// Its destination.
        to: SocketAddr,
    },
    /// An inner packet arrived, padding removed.
    Deliver(&'a [u8]),
    /// A session began to send, in this role.
    Established(Role),
    /// The peer did not answer for 90 s; what was staged is gone.
    GaveUp,
    /// All keys were zeroised for lack of a new session.
    Forgotten,
}

/// Why a packet went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No message of the protocol.
    Malformed,
    /// `mac1` is wrong: not meant for us, or its reserved octets were stamped before the MAC.
    Mac,
    /// A handshake message or a cookie that proves nothing.
    Invalid,
    /// An initiation that is not newer than the last one.
    Stale,
    /// Initiations come faster than [`crate::limits::INITIATIONS_PER_SECOND`].
    TooOften,
    /// Under load, without a valid `mac2`; a cookie was sent.
    NoCookie,
    /// No session has this receiver index.
    UnknownIndex,
    /// The session refuses.
    Session(session::Refused),
    /// The tag is wrong.
    Tag,
    /// The text is no whole IP packet.
    Inner,
    /// Longer than an IP packet or than the scratch memory allows.
    TooLong,
    /// The peer's address is not known yet.
    NoEndpoint,
}

/// One peer. Its size is that of three windows and 1 KiB; a `WORDS` of 16 makes it small
/// enough for a hundred thousand clients.
pub struct Tunnel<const WORDS: usize = WINDOW_WORDS> {
    sessions: [Session<WORDS>; 3],
    timers: Timers,
    ring: Keyring,
    endpoint: Option<SocketAddr>,
    client_id: ClientId,
    client_id_fixed: bool,
    index_next: u8,
    index_base: u32,
    mtu: u16,
    identity: Arc<Identity>,
    peer: PeerKeys,
    pending: Option<Pending>,
    jar: Jar,
    rival: Option<Box<race::Rival>>,
    /// The label of the last initiation admitted, and when that was.
    admitted: Tai64n,
    admitted_at: Instant,
    staged: VecDeque<Box<[u8]>>,
}

impl<const WORDS: usize> Tunnel<WORDS> {
    /// A tunnel without sessions. With a persistent keepalive, [`Tunnel::deadline`] is `now`.
    pub fn new(config: Config, now: Instant) -> Self {
        let mut timers = Timers::new();
        let _: Rearm = timers.set_persistent(config.persistent, now);
        Self {
            sessions: [Session::vacant(), Session::vacant(), Session::vacant()],
            timers,
            ring: Keyring::new(),
            endpoint: config.endpoint,
            client_id: config.client_id.unwrap_or(ClientId::ZERO),
            client_id_fixed: config.client_id.is_some(),
            index_next: 0,
            index_base: config.index_base,
            mtu: config.mtu,
            identity: config.identity,
            peer: config.peer,
            pending: None,
            jar: Jar::new(),
            rival: None,
            admitted: Tai64n([0; 12]),
            admitted_at: Instant::NEVER,
            staged: VecDeque::new(),
        }
    }

    /// Seals and transmits an inner packet, or stages it and starts a handshake. An empty one is
    /// a keepalive.
    pub fn send<R: CryptoRng>(
        &mut self,
        inner: &[u8],
        turn: &mut Turn<'_, R>,
        emit: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Refused> {
        match self.seal_on_current(inner, turn, emit) {
            Err(Refused::Session(_)) => {
                self.stage(inner);
                if self.timers.demand(turn.now) {
                    self.initiate(turn, emit);
                }
                Ok(())
            }
            Ok(()) if self.rekey_due(turn.now) && self.timers.demand(turn.now) => {
                self.initiate(turn, emit);
                Ok(())
            }
            verdict => verdict,
        }
    }

    /// Takes a datagram from the peer, or from anybody who sends to our port.
    pub fn receive<R: CryptoRng>(
        &mut self,
        datagram: &[u8],
        source: SocketAddr,
        turn: &mut Turn<'_, R>,
        emit: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Refused> {
        match kind(datagram).map_err(|_| Refused::Malformed)? {
            Kind::Data => self.receive_data(datagram, source, turn, emit),
            Kind::Initiation => self.receive_initiation(datagram, source, turn, emit),
            Kind::Response => self.receive_response(datagram, source, turn, emit),
            Kind::CookieReply => self.receive_cookie(datagram, turn.now),
        }
    }

    /// Does what is due at `turn.now`.
    pub fn tick<R: CryptoRng>(&mut self, turn: &mut Turn<'_, R>, emit: &mut impl FnMut(Event<'_>)) {
        let actions = self.timers.expire(turn.now, jitter(turn.rng));
        if actions.forget() {
            self.forget();
            emit(Event::Forgotten);
        }
        if actions.give_up() {
            self.staged.clear();
            self.pending = None;
            self.withdraw_rival();
            emit(Event::GaveUp);
        }
        if actions.keepalive() {
            self.keepalive(turn, emit);
        }
        // A keepalive without a session has begun a handshake already; a second one with the same label would
        // make the first useless.
        if actions.initiate() && self.timers.may_initiate(turn.now) {
            self.initiate(turn, emit);
        }
    }

    /// When to call [`Tunnel::tick`].
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    /// Where the peer was last heard.
    pub const fn endpoint(&self) -> Option<SocketAddr> {
        self.endpoint
    }

    /// Moves the peer.
    pub const fn set_endpoint(&mut self, endpoint: SocketAddr) {
        self.endpoint = Some(endpoint);
    }

    /// The session that sends, if it is young enough.
    pub fn current(&self, now: Instant) -> Option<&Session<WORDS>> {
        self.slot(self.ring.current()).filter(|session| session.is_fresh(now))
    }

    fn slot(&self, slot: Option<u32>) -> Option<&Session<WORDS>> {
        self.sessions.get(slot? as usize)
    }

    fn rekey_due(&self, now: Instant) -> bool {
        self.slot(self.ring.current()).is_some_and(|session| session.wants_rekey_after_send(now))
    }

    fn stage(&mut self, inner: &[u8]) {
        if inner.is_empty() {
            return;
        }
        if self.staged.len() == STAGED_COUNT_MAX {
            self.staged.pop_front();
        }
        self.staged.push_back(inner.into());
    }

    /// Sends what waited for the session that now is current; says whether there was any.
    fn flush<R: CryptoRng>(
        &mut self,
        turn: &mut Turn<'_, R>,
        emit: &mut impl FnMut(Event<'_>),
    ) -> bool {
        let any = !self.staged.is_empty();
        while let Some(inner) = self.staged.pop_front() {
            // A refusal here drops the packet: the session is new, so it is about its length.
            let _: Result<(), Refused> = self.seal_on_current(&inner, turn, emit);
        }
        any
    }

    fn keepalive<R: CryptoRng>(
        &mut self,
        turn: &mut Turn<'_, R>,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        let sent = self.seal_on_current(&[], turn, emit).is_ok();
        let due = !sent || self.rekey_due(turn.now);
        if due && self.timers.attempt(turn.now) {
            self.initiate(turn, emit);
        }
    }

    fn seal_on_current<R>(
        &mut self,
        inner: &[u8],
        turn: &mut Turn<'_, R>,
        emit: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Refused> {
        let len = padded_len(inner.len(), usize::from(self.mtu));
        if len > INNER_LEN_MAX || turn.scratch.len() < DATA_HEADER_LEN + len + TAILROOM {
            return Err(Refused::TooLong);
        }
        let Outgoing { key, header, to, .. } = self.reserve(turn.now)?;
        let (head, text) = turn.scratch.split_at_mut(DATA_HEADER_LEN);
        head.copy_from_slice(header.as_bytes());
        let (body, rest) = text.split_at_mut(inner.len());
        body.copy_from_slice(inner);
        rest.iter_mut().take(len - inner.len()).for_each(|octet| *octet = 0);
        let job = Job::new(key, header.counter.get(), text, len).ok_or(Refused::TooLong)?;
        seal(&mut [job]);
        let datagram = turn.scratch.get(..DATA_LEN_MIN + len).ok_or(Refused::TooLong)?;
        emit(Event::Transmit { octets: datagram, to });
        if inner.is_empty() {
            self.timers.sent_any(turn.now);
        } else {
            let _: Rearm = self.timers.sent_data(turn.now);
        }
        Ok(())
    }

    fn receive_data<R: CryptoRng>(
        &mut self,
        datagram: &[u8],
        source: SocketAddr,
        turn: &mut Turn<'_, R>,
        emit: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Refused> {
        let incoming = self.incoming(datagram, turn.now)?;
        let ticket = incoming.ticket;
        let len = ticket.len();
        let sealed = datagram.get(DATA_HEADER_LEN..).ok_or(Refused::Malformed)?;
        open_into(&incoming, sealed, turn.scratch)?;
        let promoted = self.opened(ticket, source, turn.now)?;
        let text = turn.scratch.get(..len).unwrap_or_default();
        let delivered = if len == 0 { Ok(()) } else { deliver(text, emit) };
        if promoted {
            emit(Event::Established(Role::Responder));
            self.flush(turn, emit);
        }
        delivered
    }

    fn retire(&mut self, retired: Retired, but: Option<u32>) {
        for slot in retired.slots().filter(|&slot| Some(slot) != but) {
            if let Some(session) = self.sessions.get_mut(slot as usize) {
                session.clear();
            }
        }
    }

    /// The peer proved itself with this source: it is where it is now (roaming).
    const fn heard(&mut self, source: SocketAddr, client_id: ClientId) {
        self.endpoint = Some(source);
        if !self.client_id_fixed {
            self.client_id = client_id;
        }
    }

    fn forget(&mut self) {
        let retired = self.ring.clear();
        self.retire(retired, None);
        self.pending = None;
        self.withdraw_rival();
    }
}

/// Opens a sealed text (tag included) into `scratch`.
fn open_into(incoming: &Incoming<'_>, sealed: &[u8], scratch: &mut [u8]) -> Result<(), Refused> {
    let len = incoming.ticket.len();
    let place = scratch.get_mut(..len + TAILROOM).ok_or(Refused::TooLong)?;
    place.get_mut(..sealed.len()).ok_or(Refused::TooLong)?.copy_from_slice(sealed);
    let job = Job::new(incoming.key, incoming.counter, place, len).ok_or(Refused::TooLong)?;
    let mut jobs = [job];
    open(&mut jobs);
    if jobs.iter().all(Job::accepted) { Ok(()) } else { Err(Refused::Tag) }
}

fn deliver(text: &[u8], emit: &mut impl FnMut(Event<'_>)) -> Result<(), Refused> {
    let inner = inner_len(text).and_then(|len| text.get(..len)).ok_or(Refused::Inner)?;
    emit(Event::Deliver(inner));
    Ok(())
}

/// Up to [`JITTER_MAX`]. The remainder's bias is far below what jitter is for.
fn jitter(rng: &mut impl CryptoRng) -> Duration {
    let millis = u32::try_from(JITTER_MAX.as_millis()).unwrap_or(0);
    Duration::from_millis(u64::from(rng.next_u32() % (millis + 1)))
}

impl<const WORDS: usize> fmt::Debug for Tunnel<WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("ring", &self.ring)
            .field("timers", &self.timers)
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}
