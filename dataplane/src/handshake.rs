//! What a handshake thread does: Noise off the fast path (D7). It keeps the handshakes of its peers and
//! sends finished sessions to the worker that owns the peer.

mod initiator;
mod load;
mod responder;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::rand_core::Rng;
use wireguard::cookie::Jar;
use wireguard::index::{Permutation, Place};
use wireguard::limits::INITIATIONS_PER_SECOND;
use wireguard::message::{ClientId, CookieReply, Initiation, Kind, Response, kind};
use wireguard::noise::{Identity, Keys, PeerKeys, Pending, identify};
use wireguard::secret::Secret;
use wireguard::session::{Indices, Role};
use wireguard::time::{Instant, Tai64n};
use zerocopy::FromBytes;

use crate::counters::Counters;
use crate::exchange::{Exchange, Install, Job, Message, Order};
use crate::fate::DropReason;
use crate::fleet::Shared;
use crate::limiter::Limiter;
use crate::registry::{Peer, Registry};
use crate::site::{local_number, owner};
use crate::wall::WallClock;

use load::{Load, Turn};

/// Random octets; seeded by the caller, so that the same seed gives the same run.
pub type Random = rand_chacha::ChaCha20Rng;

/// The moving part of a peer's handshakes; made at the first of them, so that a peer that never comes costs no
/// key agreement.
struct Row {
    peer: Arc<Peer>,
    keys: Arc<PeerKeys>,
    newest: Tai64n,
    /// The limit of its initiations (5.1).
    gate: Limiter,
    jar: Jar,
    /// The initiation under way, with its slot.
    pending: Option<(Pending, u32)>,
    /// Index and slot of the last response, for which the initiator may ask a cookie.
    answered: Option<(u32, u32)>,
    client_id: ClientId,
}

/// What all handshake threads share.
#[derive(Debug)]
pub struct Directory {
    /// Our static key.
    pub identity: Identity,
    /// The peers.
    pub registry: Registry,
    /// How receiver indices are made.
    pub permutation: Permutation,
    /// This server's number in the fleet.
    pub server: u8,
    /// The other servers.
    pub fleet: Shared,
}

/// One handshake thread's state.
pub struct Handshaker {
    thread: usize,
    directory: Arc<Directory>,
    exchange: Arc<Exchange>,
    counters: Arc<Counters>,
    wall: Arc<WallClock>,
    /// The newest Unix time that a label was made of; labels do not go back when the wall clock does.
    newest_label: Duration,
    random: Random,
    load: Load,
    rows: HashMap<u32, Row>,
    /// Which peer a message under this index is from: a response, or a cookie for what we sent under it.
    waiting: HashMap<u32, u32>,
}

impl std::fmt::Debug for Handshaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshaker").field("thread", &self.thread).finish_non_exhaustive()
    }
}

impl Handshaker {
    /// The state of thread number `thread`, of whose time strangers may have `budget_percent`.
    pub fn new(
        thread: usize,
        directory: Arc<Directory>,
        exchange: Arc<Exchange>,
        (counters, wall): (Arc<Counters>, Arc<WallClock>),
        (random, budget_percent): (Random, u32),
    ) -> Self {
        Self {
            thread,
            directory,
            exchange,
            counters,
            wall,
            newest_label: Duration::ZERO,
            random,
            load: Load::new(budget_percent),
            rows: HashMap::new(),
            waiting: HashMap::new(),
        }
    }

    /// Does up to `max` waiting jobs, either of strangers or of all others; gives how many it did.
    pub fn turn(&mut self, now: Instant, max: usize) -> usize {
        self.exchange.set_over_budget(self.thread, self.load.is_over_budget(now));
        let known = self.exchange.jobs_waiting(self.thread) > 0;
        let strangers = self.exchange.strangers_waiting(self.thread) > 0;
        let Some(turn) = self.load.next(known, strangers, now) else { return 0 };
        for done in 0..max {
            let Some(job) = self.next_job(turn) else { return done };
            self.work(job, now);
        }
        max
    }

    /// Says how long the last turn took, for the thread's account. A thread that others keep from its core has less time
    /// for handshakes, so that is the time between two looks at the clock.
    pub fn spend(&mut self, time: Duration, now: Instant) {
        self.load.spend(time, now);
    }

    fn next_job(&self, turn: Turn) -> Option<Job> {
        match turn {
            Turn::Known => self.exchange.next_job(self.thread),
            Turn::Strangers => self.exchange.next_stranger(self.thread),
        }
    }

    /// Ends the thread: messages that still wait are dropped by name, so that the books are closed.
    pub fn close(&mut self) {
        let next = || self.next_job(Turn::Known).or_else(|| self.next_job(Turn::Strangers));
        while let Some(job) = next() {
            if matches!(job, Job::Arrived(_) | Job::Identified(_)) {
                self.counters.taken_over.add(1);
                self.counters.drop_one(DropReason::Stopped);
            }
        }
    }

    fn work(&mut self, job: Job, now: Instant) {
        let outcome = match job {
            Job::Arrived(message) => {
                self.counters.taken_over.add(1);
                self.arrived(&message, now)
            }
            Job::Identified(both) => {
                self.counters.taken_over.add(1);
                let (identified, message) = *both;
                self.identified(identified, &message, now)
            }
            Job::Initiate(peer, endpoint) => return self.initiate(peer, endpoint, now),
            Job::Prompt(id, endpoint) => return self.prompt(id, endpoint),
            Job::Abandon(peer) => return self.abandon(peer),
            Job::Forget(peers, _token) => {
                return peers.iter().for_each(|peer| self.forget(*peer));
            }
        };
        match outcome {
            Ok(Ended::Here) => self.counters.consumed.add(1),
            Ok(Ended::Elsewhere) => self.counters.handed_over.add(1),
            Err(reason) => self.counters.drop_one(reason),
        }
    }

    fn arrived(&mut self, message: &Message, now: Instant) -> Result<Ended, DropReason> {
        let invalid = DropReason::HandshakeInvalid;
        let octets = message.octets();
        match kind(octets).map_err(|_| invalid)? {
            Kind::Initiation => {
                let initiation = Initiation::ref_from_bytes(octets).map_err(|_| invalid)?;
                let identified =
                    identify(&self.directory.identity, initiation).map_err(|_| invalid)?;
                self.identified(identified, message, now)
            }
            Kind::Response => {
                let response = Response::ref_from_bytes(octets).map_err(|_| invalid)?;
                self.response(response, message)
            }
            Kind::CookieReply => {
                let reply = CookieReply::ref_from_bytes(octets).map_err(|_| invalid)?;
                self.cookie(reply, now)
            }
            Kind::Data => Err(invalid),
        }
    }

    /// Sends the session to the peer's worker; its slot is free again when the worker's inbox is full.
    fn install(
        &mut self,
        number: u32,
        session: Established,
        message: &Message,
    ) -> Result<Ended, DropReason> {
        let workers = self.exchange.workers();
        let worker = owner(number, workers);
        let Established { role, slot, indices, keys, reply } = session;
        let install = Install {
            peer: local_number(number, workers),
            slot,
            indices,
            role,
            keys,
            reply,
            endpoint: message.endpoint,
            client_id: message.client_id,
        };
        if self.exchange.order(worker, Order::Install(Box::new(install))) {
            return Ok(Ended::Here);
        }
        self.exchange.free_slot(worker, slot);
        self.counters.orders_lost.add(1);
        Err(DropReason::HandshakeFull)
    }

    /// From now on messages under this index are this peer's.
    fn await_index(&mut self, number: u32, (index, slot): (u32, u32)) {
        self.waiting.insert(index, number);
        self.exchange.expect(owner(number, self.exchange.workers()), slot, true);
    }

    /// A slot may have come back to use since then: an index that stands for something newer stays.
    fn forget_index(&mut self, number: u32, (index, slot): (u32, u32)) {
        let newer = self.rows.get(&number).is_some_and(|row| {
            row.pending.as_ref().is_some_and(|(pending, _)| pending.local_index() == index)
                || row.answered.is_some_and(|(answered, _)| answered == index)
        });
        if newer || self.waiting.get(&index) != Some(&number) {
            return;
        }
        self.waiting.remove(&index);
        self.exchange.expect(owner(number, self.exchange.workers()), slot, false);
    }

    /// The row of a peer as it is known now; none when there is no such peer, or when its key is of low order, so
    /// that anybody could agree with it.
    fn row(&mut self, number: u32) -> Option<&mut Row> {
        let Some(peer) = self.directory.registry.by_number(number) else {
            self.forget(number);
            return None;
        };
        match self.rows.get(&number) {
            Some(row) if Arc::ptr_eq(&row.peer, &peer) => {}
            Some(row) if row.peer.public_key == peer.public_key => self.renew(number, peer)?,
            Some(_) | None => {
                self.forget(number);
                let keys = self.keys_of(&peer)?;
                self.rows.insert(number, Row::new(peer, keys));
            }
        }
        self.rows.get_mut(&number)
    }

    /// The peer was told anew: what it has shown of itself stays.
    fn renew(&mut self, number: u32, peer: Arc<Peer>) -> Option<()> {
        let row = self.rows.get(&number)?;
        if row.peer.preshared_key == peer.preshared_key {
            self.rows.get_mut(&number)?.peer = peer;
            return Some(());
        }
        let keys = self.keys_of(&peer)?;
        let row = self.rows.get_mut(&number)?;
        (row.peer, row.keys) = (peer, keys);
        // What was begun with the old key cannot end with the new one.
        self.abandon(number);
        Some(())
    }

    fn keys_of(&self, peer: &Peer) -> Option<Arc<PeerKeys>> {
        let preshared = peer.preshared_key.as_deref().cloned().unwrap_or_else(Secret::zero);
        PeerKeys::new(&self.directory.identity, peer.public_key, preshared).ok().map(Arc::new)
    }

    /// Everything about a peer that is no more.
    fn forget(&mut self, number: u32) {
        self.abandon(number);
        let Some(row) = self.rows.remove(&number) else { return };
        if let Some(answered) = row.answered {
            self.forget_index(number, answered);
        }
    }

    fn index(&self, worker: usize, slot: u32) -> u32 {
        let worker = u8::try_from(worker).unwrap_or(u8::MAX);
        self.directory.permutation.index(Place {
            server: self.directory.server.into(),
            worker: worker.into(),
            slot,
        })
    }

    fn secret(&mut self) -> Secret {
        let mut secret = Secret::zero();
        self.random.fill_bytes(secret.octets_mut());
        secret
    }
}

impl Row {
    fn new(peer: Arc<Peer>, keys: Arc<PeerKeys>) -> Self {
        let client_id = peer.client_id;
        Self {
            peer,
            keys,
            newest: Tai64n::default(),
            gate: Limiter::new(INITIATIONS_PER_SECOND, INITIATIONS_PER_SECOND),
            jar: Jar::new(),
            pending: None,
            answered: None,
            client_id,
        }
    }
}

/// Where a message that was not dropped has ended.
enum Ended {
    /// This thread has done what it asked for.
    Here,
    /// Another thread goes on with it.
    Elsewhere,
}

/// What a handshake has agreed on.
struct Established {
    role: Role,
    slot: u32,
    indices: Indices,
    keys: Keys,
    reply: Option<Message>,
}
