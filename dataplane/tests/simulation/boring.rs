//! boringtun as a client. Its own clock is the real one, in which a whole run takes no time, so its timers never
//! run out: handshakes are asked for from here, when the protocol would have them. All its sessions seem equally
//! old to it, so that an old packet can bring it back to a session that is past its time.

use std::net::SocketAddr;
use std::sync::Arc;

use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};
use dataplane::testing::site;
use wireguard::limits::{REKEY_AFTER_TIME, REKEY_TIMEOUT, UNANSWERED_TIMEOUT};
use wireguard::message::{INITIATION, RESPONSE};
use wireguard::time::Instant;

pub(crate) struct Boring {
    pub(crate) address: SocketAddr,
    pub(crate) outbox: Vec<Vec<u8>>,
    pub(crate) inbox: Vec<Vec<u8>>,
    /// Datagrams that it refused, in all its lives.
    pub(crate) refused: usize,
    number: u32,
    tunnel: Tunn,
    asked: Instant,
    agreed: Instant,
    /// The first packet sent since anything was heard.
    unanswered: Instant,
}

/// Larger than any datagram here.
const ROOM: usize = 2048;
/// Handshakes per second of the real clock that boringtun takes without a cookie.
const HANDSHAKES: u64 = 1_000_000;

impl Boring {
    pub(crate) fn new(number: u32, address: SocketAddr, now: Instant) -> Self {
        let (outbox, inbox) = (Vec::new(), Vec::new());
        let tunnel = tunnel(number);
        let asked = now - REKEY_TIMEOUT;
        Self {
            address,
            outbox,
            inbox,
            refused: 0,
            number,
            tunnel,
            asked,
            agreed: Instant::ZERO,
            unanswered: Instant::NEVER,
        }
    }

    pub(crate) fn restart(&mut self, now: Instant) {
        let refused = self.refused;
        *self = Self { refused, ..Self::new(self.number, self.address, now) };
    }

    pub(crate) fn send(&mut self, packet: &[u8], now: Instant) {
        let mut room = [0; ROOM];
        if let TunnResult::WriteToNetwork(octets) = self.tunnel.encapsulate(packet, &mut room) {
            self.asked = if octets.first() == Some(&INITIATION) { now } else { self.asked };
            self.outbox.push(octets.to_vec());
            self.unanswered = self.unanswered.min(now);
        }
    }

    pub(crate) fn receive(&mut self, octets: &[u8], now: Instant) {
        let mut octets = octets.to_vec();
        loop {
            let mut room = [0; ROOM];
            match self.tunnel.decapsulate(None, &octets, &mut room) {
                TunnResult::WriteToNetwork(reply) => {
                    self.outbox.push(reply.to_vec());
                    self.agreed = if octets.first() == Some(&RESPONSE) { now } else { self.agreed };
                }
                TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                    self.inbox.push(packet.to_vec());
                    self.unanswered = Instant::NEVER;
                    return;
                }
                TunnResult::Done => {
                    self.unanswered = Instant::NEVER;
                    return;
                }
                TunnResult::Err(_) => {
                    self.refused += 1;
                    return;
                }
            }
            // An empty datagram asks for what waited for the session.
            octets.clear();
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        let due = (self.agreed + REKEY_AFTER_TIME).min(self.unanswered + UNANSWERED_TIMEOUT);
        due.max(self.asked + REKEY_TIMEOUT)
    }

    pub(crate) fn tick(&mut self, now: Instant) {
        let mut room = [0; ROOM];
        let message = self.tunnel.format_handshake_initiation(&mut room, true);
        if let TunnResult::WriteToNetwork(octets) = message {
            self.outbox.push(octets.to_vec());
        }
        self.asked = now;
    }
}

fn tunnel(number: u32) -> Tunn {
    let secret = StaticSecret::from(*site::secret(number).octets());
    let limiter = RateLimiter::new(&PublicKey::from(&secret), HANDSHAKES);
    let server = PublicKey::from(site::server_public());
    Tunn::new(secret, server, None, None, number, Some(Arc::new(limiter)))
}
