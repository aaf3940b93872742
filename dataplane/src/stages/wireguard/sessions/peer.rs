//! A peer as its worker knows it.

use std::time::Duration;

use wireguard::keyring::Keyring;
use wireguard::message::ClientId;
use wireguard::time::Instant;
use wireguard::timers::Timers;

use crate::exchange::{PeerId, Standing};
use crate::frame::Endpoint;
use crate::limits::KNOWN_MOVE_INTERVAL;
use crate::packet::Address;
use crate::stages::dos::Known;

/// How a peer is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where it is reached from now on; none leaves it where it is.
    pub endpoint: Option<Endpoint>,
    /// Interval of unasked keepalives; zero for none.
    pub persistent: Duration,
    /// Which of the peers that had its number.
    pub incarnation: u32,
    /// Its client id, until it shows one.
    pub client_id: ClientId,
    /// The id by which the fleet finds its server.
    pub id: ClientId,
}

/// A peer as its worker knows it.
#[derive(Debug)]
pub(in super::super) struct Peer {
    pub(in super::super) keyring: Keyring,
    pub(in super::super) timers: Timers,
    pub(in super::super) endpoint: Option<Endpoint>,
    /// What it shows, and is shown.
    pub(in super::super) client_id: ClientId,
    /// The id by which the fleet finds its server.
    pub(in super::super) id: ClientId,
    /// Until when nobody is asked again whether it is there.
    pub(in super::super) absent_until: Instant,
    /// When it was called last at an address that was not proven.
    pub(super) called_at: Instant,
    /// The peer's number on the server, which routes name.
    pub(in super::super) number: u32,
    /// Which of the peers that had the number.
    pub(super) incarnation: u32,
    /// The last source that the routes have shown to be this peer's, while these routes hold.
    proven: Address,
    proven_by: u32,
    /// Octets of accepted messages, and of messages to it.
    pub(in super::super) received: u64,
    pub(in super::super) sent: u64,
    /// When its last handshake was complete; [`Instant::NEVER`] before the first.
    pub(super) handshake_at: Instant,
    /// When it last made its source known; [`Instant::NEVER`] before the first time.
    vouched_at: Instant,
    /// When the wheel will ask for this peer; never later than its timers' deadline.
    pub(super) armed: Instant,
    /// It stands in the list of those that are ready.
    pub(super) ready: bool,
    /// There is such a peer; else the place is free.
    pub(super) known: bool,
}

impl Peer {
    /// A free place.
    pub(super) const fn vacant(number: u32) -> Self {
        Self {
            keyring: Keyring::new(),
            timers: Timers::new(),
            endpoint: None,
            client_id: ClientId::ZERO,
            id: ClientId::ZERO,
            absent_until: Instant::ZERO,
            called_at: Instant::NEVER,
            number,
            incarnation: 0,
            proven: Address::UNSPECIFIED,
            proven_by: 0,
            received: 0,
            sent: 0,
            handshake_at: Instant::NEVER,
            vouched_at: Instant::NEVER,
            armed: Instant::NEVER,
            ready: false,
            known: false,
        }
    }

    /// How the keeper is told of it.
    pub(super) const fn id(&self) -> PeerId {
        PeerId { number: self.number, incarnation: self.incarnation }
    }

    /// Makes its source known to the defence of handshakes, but not one after the other.
    pub(super) fn vouch(&mut self, endpoint: Endpoint, known: &Known, now: Instant) {
        if !self.vouched_at.is_armed() || now.since(self.vouched_at) >= KNOWN_MOVE_INTERVAL {
            self.vouched_at = now;
            known.add(endpoint.remote, now);
        }
    }

    pub(super) fn standing(&self) -> Standing {
        Standing {
            peer: self.id(),
            endpoint: self.endpoint,
            handshake_at: Some(self.handshake_at).filter(|at| at.is_armed()),
            received: self.received,
            sent: self.sent,
        }
    }

    /// Whether there is such a peer.
    pub(in super::super) const fn is_known(&self) -> bool {
        self.known
    }

    /// The routes `epoch` have shown that a source is this peer's.
    #[inline]
    pub(in super::super) fn prove(&mut self, source: Address, epoch: u32) {
        (self.proven, self.proven_by) = (source, epoch);
    }

    #[inline]
    pub(in super::super) fn has_proven(&self, source: Address, epoch: u32) -> bool {
        self.proven == source && self.proven_by == epoch
    }
}
