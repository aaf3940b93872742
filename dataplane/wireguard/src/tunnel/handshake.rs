//! The tunnel's handshakes: initiate, answer, complete, and the cookies about them.

use super::{Event, Refused, Tunnel, Turn, jitter};
use crate::cookie::Checker;
use crate::limits::INITIATIONS_PER_SECOND;
use crate::message::{ClientId, CookieReply, Initiation, Response, put_client_id};
use crate::noise::{Identity, Keys, Pending, identify, initiate};
use crate::secret::Secret;
use crate::session::{Indices, Role};
use crate::time::{Instant, Tai64n};
use core::net::SocketAddr;
use core::time::Duration;
use rand_core::CryptoRng;
use zerocopy::{FromBytes, IntoBytes};

/// The least time between two initiations that are taken from the peer.
const INITIATION_INTERVAL: Duration =
    Duration::from_nanos(1_000_000_000 / INITIATIONS_PER_SECOND as u64);

impl<const WORDS: usize> Tunnel<WORDS> {
    /// Sends an initiation, instead of any that is pending.
    pub(super) fn initiate<R: CryptoRng>(
        &mut self,
        turn: &mut Turn<'_, R>,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        let made = self.initiation(turn);
        let (Some(to), Some((mut message, pending))) = (self.endpoint, made) else { return };
        self.pending = Some(pending);
        self.withdraw_rival();
        self.transmit_stamped(message.as_mut_bytes(), to, turn.now, emit);
        self.timers.initiated(turn.now, jitter(turn.rng));
    }

    /// A fresh initiation, labelled with the time.
    pub(super) fn initiation<R: CryptoRng>(
        &mut self,
        turn: &mut Turn<'_, R>,
    ) -> Option<(Initiation, Pending)> {
        let index = self.fresh_index();
        let label = Tai64n::new(turn.unix.as_secs(), turn.unix.subsec_nanos());
        initiate(&self.identity, &self.peer, index, label, random(turn.rng)).ok()
    }

    /// Answers an initiation.
    pub(super) fn receive_initiation<R: CryptoRng>(
        &mut self,
        datagram: &[u8],
        source: SocketAddr,
        turn: &mut Turn<'_, R>,
        emit: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Refused> {
        let mut message = Initiation::read_from_bytes(datagram).map_err(|_| Refused::Malformed)?;
        let id = core::mem::take(&mut message.client_id);
        admit(&self.identity, message.as_bytes(), (source, id), turn, emit)?;
        let admitted = identify(&self.identity, &message)
            .and_then(|identified| identified.admit(&self.peer))
            .map_err(|_| Refused::Invalid)?;
        self.gate(admitted.timestamp(), turn.now)?;
        let (index, remote) = (self.fresh_index(), admitted.remote_index());
        let (mut response, keys) =
            admitted.respond(&self.peer, index, random(turn.rng)).map_err(|_| Refused::Invalid)?;
        self.install(&keys, Role::Responder, Indices { local: index, remote }, turn.now);
        self.timers.received_any(turn.now);
        self.heard(source, id);
        self.transmit_stamped(response.as_mut_bytes(), source, turn.now, emit);
        self.timers.sent_any(turn.now);
        Ok(())
    }

    /// Completes the pending handshake and confirms it at once: with what is staged, else with a
    /// keepalive.
    pub(super) fn receive_response<R: CryptoRng>(
        &mut self,
        datagram: &[u8],
        source: SocketAddr,
        turn: &mut Turn<'_, R>,
        emit: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Refused> {
        let mut message = Response::read_from_bytes(datagram).map_err(|_| Refused::Malformed)?;
        let id = core::mem::take(&mut message.client_id);
        let remote = message.sender_index.get();
        admit(&self.identity, message.as_bytes(), (source, id), turn, emit)?;
        let index = message.receiver_index.get();
        let pending = self.rival_pending(index).or(self.pending.as_ref());
        let pending = pending.ok_or(Refused::Invalid)?;
        let keys =
            pending.complete(&self.identity, &self.peer, &message).map_err(|_| Refused::Invalid)?;
        let decides = self.decides(index);
        self.install(&keys, Role::Initiator, Indices { local: index, remote }, turn.now);
        self.timers.confirmed();
        self.timers.received_any(turn.now);
        if decides {
            self.heard(source, id);
        }
        emit(Event::Established(Role::Initiator));
        if !self.flush(turn, emit) {
            self.keepalive(turn, emit);
        }
        Ok(())
    }

    /// Keeps a cookie for the next retransmission. It proves nothing about where the peer is.
    pub(super) fn receive_cookie(&mut self, datagram: &[u8], now: Instant) -> Result<(), Refused> {
        let reply = CookieReply::ref_from_bytes(datagram).map_err(|_| Refused::Malformed)?;
        let own = self.jar.receive(self.peer.checker(), reply, now);
        own.or_else(|invalid| self.receive_rival_cookie(reply, now).ok_or(invalid))
            .map_err(|_| Refused::Invalid)
    }

    /// Refuses a replayed initiation and a flood of true ones (5.1).
    fn gate(&mut self, timestamp: Tai64n, now: Instant) -> Result<(), Refused> {
        if timestamp <= self.admitted {
            return Err(Refused::Stale);
        }
        if self.admitted_at.is_armed() && now.since(self.admitted_at) < INITIATION_INTERVAL {
            return Err(Refused::TooOften);
        }
        self.admitted = timestamp;
        self.admitted_at = now;
        Ok(())
    }

    /// Puts a session into a free slot. When all three are taken, both roles retire the previous
    /// one, so its slot serves.
    fn install(&mut self, keys: &Keys, role: Role, indices: Indices, now: Instant) {
        let free = (0..3).find(|slot| self.ring.slots().all(|used| used != *slot));
        let Some(slot) = free.or_else(|| self.ring.previous()) else { return };
        let retired = match role {
            Role::Initiator => self.ring.install_initiator(slot),
            Role::Responder => self.ring.install_responder(slot),
        };
        self.retire(retired, Some(slot));
        if let Some(session) = self.sessions.get_mut(slot as usize) {
            session.establish(keys, role, indices, now);
        }
        self.timers.derived(now);
    }

    /// An index of ours that no session and no pending handshake has.
    fn fresh_index(&mut self) -> u32 {
        loop {
            let index = self.index_base.wrapping_add(u32::from(self.index_next));
            self.index_next = self.index_next.wrapping_add(1);
            let pending = self.pending.as_ref().is_some_and(|p| p.local_index() == index)
                || self.rival_pending(index).is_some();
            let used = self.sessions.iter().any(|s| s.is_live() && s.local_index() == index);
            if !pending && !used {
                return index;
            }
        }
    }

    /// MACs first, then the client id, which they do not cover.
    fn transmit_stamped(
        &mut self,
        message: &mut [u8],
        to: SocketAddr,
        now: Instant,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        self.jar.stamp(self.peer.checker(), message, now);
        put_client_id(message, self.client_id);
        emit(Event::Transmit { octets: message, to });
    }
}

/// Checks the MACs of a handshake message whose client id was taken. Under load, a message
/// without a valid `mac2` gets a cookie instead.
fn admit<R: CryptoRng>(
    identity: &Identity,
    message: &[u8],
    (source, id): (SocketAddr, ClientId),
    turn: &mut Turn<'_, R>,
    emit: &mut impl FnMut(Event<'_>),
) -> Result<(), Refused> {
    let checker: &Checker = identity.checker();
    if !checker.mac1_valid(message) {
        return Err(Refused::Mac);
    }
    let Some(secrets) = turn.cookies else { return Ok(()) };
    if checker.mac2_valid(message, secrets, source) {
        return Ok(());
    }
    let mut nonce = [0; 24];
    turn.rng.fill_bytes(&mut nonce);
    let mut reply =
        checker.reply(message, secrets, source, nonce).map_err(|_| Refused::Malformed)?;
    put_client_id(reply.as_mut_bytes(), id);
    emit(Event::Transmit { octets: reply.as_bytes(), to: source });
    Err(Refused::NoCookie)
}

/// 32 fresh random octets.
fn random(rng: &mut impl CryptoRng) -> Secret {
    let mut secret = Secret::zero();
    rng.fill_bytes(secret.octets_mut());
    secret
}
