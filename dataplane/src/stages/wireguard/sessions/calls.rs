//! The handshakes that a worker asks for: with peers to which something shall be sent, and with those that were lost with
//! their server.

use std::time::Duration;

use rand_chacha::rand_core::Rng;
use wireguard::time::Instant;

use super::Sessions;
use crate::exchange::Job;
use crate::frame::Endpoint;
use crate::limits::{CALLING_TIME, JOBS_OWN_MAX, OWN_INITIATION_RETRY, PROMPT_INTERVAL};
use crate::site::keeper_thread;

impl Sessions {
    /// A packet wants a session with this peer, or its session wants renewal.
    pub(in super::super) fn demand(&mut self, local: u32, now: Instant) {
        let Some(peer) = self.peers.get_mut(local as usize) else { return };
        if peer.timers.demand(now) {
            self.initiate(local, now);
        }
        self.rearm(local);
    }

    /// Asks the peer's handshake thread for an initiation, within our own limits; else it is due again soon.
    pub(super) fn initiate(&mut self, local: u32, now: Instant) {
        let jitter = self.jitter();
        let Some(peer) = self.peers.get_mut(local as usize) else { return };
        let Some(endpoint) = peer.endpoint else { return };
        if !self.fleet.may_call(peer.id, now) {
            return peer.timers.rest();
        }
        let number = peer.number;
        let thread = keeper_thread(number, self.exchange.workers(), self.exchange.threads());
        let begun = self.exchange.jobs_waiting(thread) < JOBS_OWN_MAX
            && self.limiter.take(now)
            && self.exchange.submit(thread, Job::Initiate(number, endpoint));
        if begun {
            self.fleet.holdings.hold(peer.id, now + CALLING_TIME);
            peer.timers.initiated(now, jitter);
        } else {
            peer.timers.postpone(now, OWN_INITIATION_RETRY + jitter);
        }
    }

    /// Calls a peer at an address that is not proven, once in a while, unless it has a session here.
    pub fn call(&mut self, local: u32, endpoint: Endpoint, now: Instant) {
        if self.sending(local, now).is_some() {
            return;
        }
        let Some(peer) = self.peers.get_mut(local as usize).filter(|peer| peer.known) else {
            return;
        };
        if peer.called_at.is_armed() && now.since(peer.called_at) < PROMPT_INTERVAL {
            return;
        }
        let number = peer.number;
        let thread = keeper_thread(number, self.exchange.workers(), self.exchange.threads());
        if self.exchange.submit(thread, Job::Initiate(number, endpoint)) {
            peer.called_at = now;
        }
    }

    pub(super) fn jitter(&mut self) -> Duration {
        let max = u64::try_from(wireguard::limits::JITTER_MAX.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.random.next_u64() % max.max(1))
    }
}
