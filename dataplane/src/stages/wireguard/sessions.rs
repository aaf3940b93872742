//! The sessions and peers that one worker owns: their slots, keys in use, timers and endpoints.

mod calls;
mod peer;
mod told;

use std::sync::Arc;

use arrayvec::ArrayVec;
use wireguard::keyring::Retired;
use wireguard::limits::REJECT_AFTER_TIME;
use wireguard::message::{INITIATION_LEN, RESPONSE_LEN};
use wireguard::prefetch::prefetch;
use wireguard::session::{Role, Session};
use wireguard::time::Instant;
use wireguard::timers::Rearm;
use wireguard::wheel::Wheel;

use crate::exchange::{Exchange, Install, Job, Message, News};
use crate::fleet::{Fleet, Membership};
use crate::frame::Endpoint;
use crate::handshake::Random;
use crate::limiter::Limiter;
use crate::limits::{
    FLOW_HELD_TIME, OWN_INITIATIONS_BURST, OWN_INITIATIONS_PER_SECOND, OWN_PER_TURN, PREFETCH_FROM,
    TIMERS_PER_TURN,
};
use crate::packet::Address;
use crate::site::keeper_thread;

pub(super) use peer::Peer;
pub use peer::Setup;

/// A peer that has got a session that sends.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Its number on the worker.
    pub peer: u32,
    /// We began the handshake: the peer may send only after it has got a packet of ours.
    pub initiated: bool,
}

/// What timers ask the worker to do.
#[derive(Debug, Default)]
pub struct Due {
    /// Peers that shall get an empty packet.
    pub keepalives: ArrayVec<u32, OWN_PER_TURN>,
    /// Peers that did not answer: what waits for them is lost.
    pub given_up: ArrayVec<u32, OWN_PER_TURN>,
}

/// What a worker has room for; nothing is touched before it is used.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Session slots.
    pub slots: u32,
    /// Peers.
    pub peers: u32,
}

/// Octets of a peer with its worker, however idle it is.
pub const PEER_ROW_LEN: usize = size_of::<Peer>();

/// All sessions and peers of one worker.
pub struct Sessions {
    /// Up to the greatest slot that was ever in use.
    slots: Vec<Session>,
    owners: Vec<u32>,
    room: Room,
    /// Up to the greatest number that was ever in use.
    peers: Vec<Peer>,
    /// Which routes hold: another number after each change.
    routes_epoch: u32,
    wheel: Wheel,
    exchange: Arc<Exchange>,
    worker: usize,
    random: Random,
    /// Endpoints that have moved since the last count.
    pub(super) roamed: u64,
    /// Peers that have got a session that sends, each once, so that what waits for them can go.
    ready: Vec<Ready>,
    /// The limit of handshakes that we begin.
    limiter: Limiter,
    /// The other servers, and what this one holds.
    pub(super) fleet: Fleet,
    /// An inner address that every client may have.
    pub(super) every_clients: Option<Address>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions")
            .field("slots", &self.slots.len())
            .field("peers", &self.peers.len())
            .finish_non_exhaustive()
    }
}

impl Sessions {
    /// Empty slots and places for peers.
    pub fn new(
        worker: usize,
        room: Room,
        (exchange, fleet): (Arc<Exchange>, Fleet),
        (random, now): (Random, Instant),
    ) -> Self {
        Self {
            slots: Vec::with_capacity(room.slots as usize),
            owners: Vec::with_capacity(room.slots as usize),
            peers: Vec::with_capacity(room.peers as usize),
            routes_epoch: 1,
            wheel: Wheel::new(room.peers as usize, now),
            worker,
            random,
            roamed: 0,
            ready: Vec::with_capacity(room.peers as usize),
            limiter: Limiter::new(OWN_INITIATIONS_PER_SECOND, OWN_INITIATIONS_BURST),
            room,
            exchange,
            fleet,
            every_clients: None,
        }
    }

    /// The sessions of clients who all may have this inner address, beside those of their own.
    #[must_use]
    pub fn with_every_clients(self, address: Option<Address>) -> Self {
        Self { every_clients: address, ..self }
    }

    /// A peer has flows here until then: its id stays with this server, if it is of a fleet and the id is still held here.
    pub fn has_flows(&self, local: u32, until: Instant, now: Instant) {
        if matches!(self.fleet.membership, Membership::Alone) {
            return;
        }
        if let Some(peer) = self.peers.get(local as usize).filter(|peer| peer.known) {
            self.fleet.holdings.extend(peer.id, until.min(now + FLOW_HELD_TIME), now);
        }
    }

    /// The fleet is another.
    pub fn set_fleet(&mut self, membership: Membership) {
        self.fleet.membership = membership;
    }

    /// The session in a slot.
    #[inline]
    pub(super) fn session(&self, slot: u32) -> Option<&Session> {
        self.slots.get(slot as usize)
    }

    #[inline]
    pub(super) fn session_mut(&mut self, slot: u32) -> Option<&mut Session> {
        self.slots.get_mut(slot as usize)
    }

    /// Whether there are so many that the core's caches do not hold them.
    pub(super) fn are_many(&self) -> bool {
        self.peers.len() > PREFETCH_FROM
    }

    /// Begins to fetch what opening a packet on this slot touches before its tag is known.
    #[inline]
    pub(super) fn prefetch_receiving(&self, slot: u32, counter: u64) {
        if let Some((session, owner)) =
            self.slots.get(slot as usize).zip(self.owners.get(slot as usize))
        {
            session.prefetch_receiving(counter);
            prefetch(owner);
        }
    }

    /// Begins to fetch the peer whose session a slot holds.
    #[inline]
    pub(super) fn prefetch_owner(&self, slot: u32) {
        if let Some(local) = self.owner(slot) {
            self.prefetch_peer(local);
        }
    }

    /// Begins to fetch a peer.
    #[inline]
    pub(super) fn prefetch_peer(&self, local: u32) {
        if let Some(peer) = self.peers.get(local as usize) {
            prefetch(peer);
        }
    }

    /// Begins to fetch the session that sends to a peer.
    #[inline]
    pub(super) fn prefetch_sending(&self, local: u32) {
        let slot = self.peers.get(local as usize).and_then(|peer| peer.keyring.current());
        if let Some(session) = slot.and_then(|slot| self.session(slot)) {
            session.prefetch_sending();
        }
    }

    /// The peer whose session a slot holds.
    #[inline]
    pub(super) fn owner(&self, slot: u32) -> Option<u32> {
        self.owners.get(slot as usize).copied()
    }

    pub(super) fn peer(&self, local: u32) -> Option<&Peer> {
        self.peers.get(local as usize)
    }

    #[inline]
    pub(super) fn peer_mut(&mut self, local: u32) -> Option<&mut Peer> {
        self.peers.get_mut(local as usize)
    }

    /// A peer speaks from elsewhere.
    pub(super) fn moved(&mut self, local: u32, endpoint: Endpoint, now: Instant) {
        let Some(peer) = self.peers.get_mut(local as usize) else { return };
        self.roamed += 1;
        peer.vouch(endpoint, self.exchange.known(), now);
        self.exchange.tell(News::Moved(peer.id(), endpoint, now));
    }

    /// The slot of the session that sends to a peer, while it may.
    #[inline]
    pub(super) fn sending(&self, local: u32, now: Instant) -> Option<u32> {
        let slot = self.peers.get(local as usize)?.keyring.current()?;
        self.session(slot)?.is_fresh(now).then_some(slot)
    }

    /// Begins the session that a handshake has made; gives the reply to be sent.
    pub fn install(&mut self, install: Install, now: Instant) -> Option<Message> {
        let Install { peer: local, slot, .. } = install;
        self.touch(slot);
        let (Some(owner), Some(session)) =
            (self.owners.get_mut(slot as usize), self.slots.get_mut(slot as usize))
        else {
            return None;
        };
        let Some(peer) = self.peers.get_mut(local as usize).filter(|peer| peer.known) else {
            self.exchange.free_slot(self.worker, slot);
            return None;
        };
        *owner = local;
        self.fleet.holdings.hold(peer.id, now + REJECT_AFTER_TIME);
        session.establish(&install.keys, install.role, install.indices, now);
        let before = peer.endpoint.replace(install.endpoint);
        self.roamed += u64::from(before.is_some_and(|before| before != install.endpoint));
        peer.client_id = install.client_id;
        peer.timers.derived(now);
        peer.timers.received_any(now);
        let retired = match install.role {
            Role::Initiator => {
                peer.timers.confirmed();
                peer.received += RESPONSE_LEN as u64;
                peer.keyring.install_initiator(slot)
            }
            Role::Responder => {
                peer.timers.sent_any(now);
                peer.received += INITIATION_LEN as u64;
                peer.sent += RESPONSE_LEN as u64;
                peer.keyring.install_responder(slot)
            }
        };
        self.retire(retired);
        if install.role == Role::Initiator {
            self.announce(local, true, now);
        }
        self.rearm(local);
        install.reply
    }

    /// Makes room up to a slot; slots are issued in ascending order, so this is a step or a few.
    fn touch(&mut self, slot: u32) {
        while self.slots.len() <= slot as usize && self.slots.len() < self.room.slots as usize {
            // Within the capacity, so this does not allocate.
            self.slots.push(Session::vacant());
            self.owners.push(0);
        }
    }

    /// A handshake message goes to this peer, which may be no more.
    pub fn sent_message(&mut self, local: u32, len: usize) {
        if let Some(peer) = self.peers.get_mut(local as usize).filter(|peer| peer.known) {
            peer.sent += len as u64;
        }
    }

    /// A handshake is complete: what waits for this peer can go. Each peer stands in the list once, so that it never
    /// grows.
    pub(super) fn announce(&mut self, local: u32, initiated: bool, now: Instant) {
        let Some(peer) = self.peers.get_mut(local as usize) else { return };
        peer.handshake_at = now;
        if let Some(endpoint) = peer.endpoint {
            peer.vouch(endpoint, self.exchange.known(), now);
            self.exchange.tell(News::Handshake(peer.id(), endpoint, now));
        }
        if std::mem::replace(&mut peer.ready, true) {
            for ready in self.ready.iter_mut().filter(|ready| ready.peer == local) {
                ready.initiated |= initiated;
            }
        } else {
            self.ready.push(Ready { peer: local, initiated });
        }
    }

    /// A peer that has got a session that sends.
    pub fn next_ready(&mut self) -> Option<Ready> {
        let ready = self.ready.pop()?;
        if let Some(peer) = self.peers.get_mut(ready.peer as usize) {
            peer.ready = false;
        }
        Some(ready)
    }

    pub(super) fn retire(&mut self, retired: Retired) {
        for slot in retired.slots() {
            if let Some(session) = self.slots.get_mut(slot as usize) {
                session.clear();
                self.exchange.free_slot(self.worker, slot);
            }
        }
    }

    /// Makes sure that the wheel asks no later than the peer's timers want.
    pub(super) fn rearm(&mut self, local: u32) {
        let Some(peer) = self.peers.get_mut(local as usize) else { return };
        if let Some(deadline) = peer.timers.deadline()
            && deadline < peer.armed
        {
            peer.armed = deadline;
            self.wheel.schedule(local, deadline);
        }
    }

    #[inline]
    pub(super) fn rearm_if(&mut self, rearm: Rearm, local: u32) {
        if rearm == Rearm::Yes {
            self.rearm(local);
        }
    }

    /// Serves due timers, a bounded number of them.
    pub fn tick(&mut self, now: Instant, due: &mut Due) {
        let mut peers = ArrayVec::<u32, TIMERS_PER_TURN>::new();
        self.wheel.expire(now, TIMERS_PER_TURN, |local| peers.push(local));
        for local in peers {
            self.expire(local, now, due);
        }
    }

    fn expire(&mut self, local: u32, now: Instant, due: &mut Due) {
        let jitter = self.jitter();
        let Some(peer) = self.peers.get_mut(local as usize) else { return };
        peer.armed = Instant::NEVER;
        let actions = peer.timers.expire(now, jitter);
        let (number, id) = (peer.number, peer.id());
        if actions.forget() {
            let retired = peer.keyring.clear();
            self.retire(retired);
            self.abandon(number);
            self.exchange.tell(News::Expired(id, now));
        }
        if actions.give_up() {
            self.abandon(number);
            // A full list is told the next time; what is held expires by itself.
            let _ = due.given_up.try_push(local);
        }
        let mut initiate = actions.initiate();
        if actions.keepalive() {
            if self.sending(local, now).is_some() {
                let _ = due.keepalives.try_push(local);
            } else if let Some(peer) = self.peers.get_mut(local as usize) {
                initiate |= peer.endpoint.is_some()
                    && self.fleet.may_call(peer.id, now)
                    && peer.timers.attempt(now);
            }
        }
        if initiate {
            self.initiate(local, now);
        }
        self.rearm(local);
    }

    fn abandon(&self, number: u32) {
        // Lost in a full ring, it only delays the freeing of one slot until the next handshake.
        let thread = keeper_thread(number, self.exchange.workers(), self.exchange.threads());
        self.exchange.submit(thread, Job::Abandon(number));
    }

    /// Live sessions, for the end's report.
    pub fn live(&self) -> usize {
        self.slots.iter().filter(|session| session.is_live()).count()
    }
}
