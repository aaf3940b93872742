//! The handshakes that we begin: make an initiation, take the response or the cookie.

use std::sync::Arc;

use wireguard::message::{ClientId, CookieReply, Response};
use wireguard::noise::initiate;
use wireguard::session::{Indices, Role};
use wireguard::time::{Instant, Tai64n};
use zerocopy::IntoBytes;

use super::{Ended, Established, Handshaker, Row};
use crate::exchange::{Message, Order};
use crate::fate::DropReason;
use crate::frame::Endpoint;
use crate::limits::PROMPTS_PER_ID;
use crate::site::{local_number, owner};

impl Handshaker {
    /// Makes an initiation and lets the peer's worker send it. A failure is silent here: the worker's
    /// timer asks again.
    pub(super) fn initiate(&mut self, number: u32, endpoint: Endpoint, now: Instant) {
        let Some(keys) = self.row(number).map(|row| Arc::clone(&row.keys)) else { return };
        self.abandon(number);
        let workers = self.exchange.workers();
        let worker = owner(number, workers);
        let Some(slot) = self.exchange.take_slot(worker, self.thread) else {
            self.counters.orders_lost.add(1);
            return;
        };
        let local_index = self.index(worker, slot);
        let unix = self.wall.unix(now).max(self.newest_label);
        self.newest_label = unix;
        let stamp = Tai64n::new(unix.as_secs(), unix.subsec_nanos());
        let ephemeral = self.secret();
        let Ok((mut initiation, pending)) =
            initiate(&self.directory.identity, &keys, local_index, stamp, ephemeral)
        else {
            self.exchange.free_slot(worker, slot);
            return;
        };
        let Some(row) = self.rows.get_mut(&number) else {
            self.exchange.free_slot(worker, slot);
            return;
        };
        row.jar.stamp(keys.checker(), initiation.as_mut_bytes(), now);
        row.pending = Some((pending, slot));
        let client_id = row.client_id;
        self.await_index(number, (local_index, slot));
        if let Some(message) = Message::new(initiation.as_bytes(), endpoint, client_id) {
            let order = Order::Send(local_number(number, workers), message);
            if !self.exchange.order(worker, order) {
                self.counters.orders_lost.add(1);
            }
        }
    }

    /// Lets the workers of the peers with this id call them where somebody has spoken in their name.
    pub(super) fn prompt(&self, id: ClientId, endpoint: Endpoint) {
        let workers = self.exchange.workers();
        for number in self.directory.registry.by_client(id, PROMPTS_PER_ID) {
            let order = Order::Call(local_number(number, workers), endpoint);
            if !self.exchange.order(owner(number, workers), order) {
                self.counters.orders_lost.add(1);
            }
        }
    }

    /// Forgets the initiation under way.
    pub(super) fn abandon(&mut self, number: u32) {
        let Some((pending, slot)) = self.rows.get_mut(&number).and_then(|row| row.pending.take())
        else {
            return;
        };
        self.forget_index(number, (pending.local_index(), slot));
        self.exchange.free_slot(owner(number, self.exchange.workers()), slot);
    }

    /// The answer to an initiation of ours.
    pub(super) fn response(
        &mut self,
        response: &Response,
        message: &Message,
    ) -> Result<Ended, DropReason> {
        let local_index = response.receiver_index.get();
        let number = *self.waiting.get(&local_index).ok_or(DropReason::HandshakeUnexpected)?;
        let directory = Arc::clone(&self.directory);
        let row = self.row(number).ok_or(DropReason::HandshakeUnexpected)?;
        let (pending, slot) = row.pending.as_ref().ok_or(DropReason::HandshakeUnexpected)?;
        let keys = pending
            .complete(&directory.identity, &row.keys, response)
            .map_err(|_| DropReason::HandshakeInvalid)?;
        let slot = *slot;
        row.pending = None;
        row.client_id = message.client_id;
        self.forget_index(number, (local_index, slot));
        let indices = Indices { local: local_index, remote: response.sender_index.get() };
        let session = Established { role: Role::Initiator, slot, indices, keys, reply: None };
        self.install(number, session, message)
    }

    /// A cookie for what we sent last: the next message to this peer bears it.
    pub(super) fn cookie(
        &mut self,
        reply: &CookieReply,
        now: Instant,
    ) -> Result<Ended, DropReason> {
        let number = *self
            .waiting
            .get(&reply.receiver_index.get())
            .ok_or(DropReason::HandshakeUnexpected)?;
        let row = self.row(number).ok_or(DropReason::HandshakeUnexpected)?;
        let Row { jar, keys, .. } = row;
        jar.receive(keys.checker(), reply, now).map_err(|_| DropReason::HandshakeInvalid)?;
        Ok(Ended::Here)
    }
}
