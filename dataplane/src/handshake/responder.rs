//! The handshakes that peers begin: who is it, may it, answer, and the session for its worker.

use std::sync::Arc;

use wireguard::noise::Identified;
use wireguard::session::{Indices, Role};
use wireguard::time::Instant;
use zerocopy::IntoBytes;

use super::{Ended, Established, Handshaker};
use crate::exchange::{Job, Message, Order};
use crate::fate::DropReason;
use crate::fleet::{Passage, Verdict};
use crate::registry::Peer;
use crate::site::{keeper_thread, owner};

impl Handshaker {
    /// The sender has named itself: on to the thread that keeps this peer, which may be this one.
    pub(super) fn identified(
        &mut self,
        identified: Identified,
        message: &Message,
        now: Instant,
    ) -> Result<Ended, DropReason> {
        let peer = self.directory.registry.by_key(identified.initiator());
        let peer = peer.ok_or(DropReason::HandshakeUnknownPeer)?;
        if let Some(ended) = self.steer(&peer, message, now)? {
            return Ok(ended);
        }
        let number = peer.number;
        let workers = self.exchange.workers();
        let thread = keeper_thread(number, workers, self.exchange.threads());
        if thread == self.thread {
            return self.initiation(number, identified, message, now);
        }
        let job = Job::Identified(Box::new((identified, message.clone())));
        if !self.exchange.submit_of(message.sender, thread, job) {
            return Err(DropReason::HandshakeFull);
        }
        Ok(Ended::Elsewhere)
    }

    /// An initiation that has not come here by its peer's id goes to the server that has the peer.
    fn steer(
        &self,
        peer: &Peer,
        message: &Message,
        now: Instant,
    ) -> Result<Option<Ended>, DropReason> {
        if message.named || message.client_id == peer.id {
            return Ok(None);
        }
        let passage = match self.directory.fleet.get().walk(peer.id, None, now) {
            Verdict::Mine => return Ok(None),
            Verdict::Untold => return Err(DropReason::SteerUntold),
            Verdict::Lost(reason) => return Err(reason),
            Verdict::To(passage) => Passage { named: true, ..passage },
        };
        let worker = owner(peer.number, self.exchange.workers());
        let order = Order::PassOn(Box::new((message.clone(), peer.id, passage)));
        if self.exchange.order(worker, order) {
            return Ok(Some(Ended::Here));
        }
        self.counters.orders_lost.add(1);
        Err(DropReason::HandshakeFull)
    }

    fn initiation(
        &mut self,
        number: u32,
        identified: Identified,
        message: &Message,
        now: Instant,
    ) -> Result<Ended, DropReason> {
        let row = self.row(number).ok_or(DropReason::HandshakeUnknownPeer)?;
        let keys = Arc::clone(&row.keys);
        let admitted = identified.admit(&keys).map_err(|_| DropReason::HandshakeInvalid)?;
        if admitted.timestamp() <= row.newest {
            return Err(DropReason::HandshakeReplay);
        }
        if !row.gate.take(now) {
            return Err(DropReason::HandshakeFlood);
        }
        row.newest = admitted.timestamp();
        row.client_id = message.client_id;

        let worker = owner(number, self.exchange.workers());
        let slot =
            self.exchange.take_slot(worker, self.thread).ok_or(DropReason::HandshakeNoIndex)?;
        let local_index = self.index(worker, slot);
        let remote_index = admitted.remote_index();
        let ephemeral = self.secret();
        let answer = admitted.respond(&keys, local_index, ephemeral);
        let (Ok((mut response, session_keys)), Some(row)) = (answer, self.rows.get_mut(&number))
        else {
            self.exchange.free_slot(worker, slot);
            return Err(DropReason::HandshakeInvalid);
        };
        row.jar.stamp(keys.checker(), response.as_mut_bytes(), now);
        self.await_cookie(number, (local_index, slot));
        let reply = Message::new(response.as_bytes(), message.endpoint, message.client_id);
        let indices = Indices { local: local_index, remote: remote_index };
        let session =
            Established { role: Role::Responder, slot, indices, keys: session_keys, reply };
        self.install(number, session, message)
    }

    /// An initiator under load may answer our response with a cookie (5.3), which the next response bears.
    fn await_cookie(&mut self, number: u32, answered: (u32, u32)) {
        let row = self.rows.get_mut(&number);
        if let Some(before) = row.and_then(|row| row.answered.replace(answered)) {
            self.forget_index(number, before);
        }
        self.await_index(number, answered);
    }
}
