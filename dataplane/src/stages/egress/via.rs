//! The way through another data centre of what is no TCP connection: a client's packet goes unchanged in GRE in UDP (RFC 8086)
//! to one machine there, its exit, is translated there as a client's of that machine, and what is answered comes back the same
//! way. Here is what both sides keep of it; what they do with packets is done where packets are translated.

mod guests;
mod handles;
mod homes;
mod outer;
mod pins;
mod seal;
mod ways;

use flows::Query;
use wireguard::time::Instant;

use crate::counters::Counters;
use crate::frame::Frame;
use crate::limits::{GUESTS_MAX, PINS_INTERVAL, PINS_MAX};
use crate::packet::Address;
use crate::stages::egress::nat::Outside;
use crate::stages::route::Limits;
use crate::stages::route::icmp::{self, Why};

pub use guests::{Guest, Guests, worker_of as worker_of_guest};
pub use handles::{Handles, worker_of as worker_of_handle};
pub use homes::{Homes, Refused as HomeRefused, worker_of as worker_of_home};
pub use outer::{End, dress, inner_v6_source, open, overhead, peek};
pub use pins::{Key as PinKey, Pin, Pins, span};
pub use seal::Seal;
pub use ways::Ways;

/// What one worker keeps of clients whose packets leave elsewhere, and of guests, whose packets leave here.
#[derive(Debug)]
pub struct Via {
    /// What makes and checks proofs.
    pub seal: Seal,
    /// How exits know our clients.
    pub handles: Handles,
    /// By which exits their addresses and ports leave.
    pub pins: Pins,
    /// The ways of datagrams in pieces.
    pub ways: Ways,
    /// Whose packets leave here.
    pub guests: Guests,
    /// Which IPv6 addresses lead to them.
    pub homes: Homes,
    /// The limits of what is told about packets that do not go on.
    errors: Limits,
    /// When it is looked again what is over.
    due: Instant,
}

/// How many guests a worker with room for so many flows has room for.
pub const fn guests_of(flows: u32) -> u32 {
    if flows < GUESTS_MAX { flows } else { GUESTS_MAX }
}

/// What a worker's share is made of.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// The worker, and how many there are.
    pub worker: (u8, usize),
    /// Room for flows, and how many one client may have.
    pub flows: (u32, u32),
    /// The flow table's number of the first guest.
    pub first_guest: u32,
    /// Keys the tables.
    pub seed: u64,
}

impl Via {
    /// With the data centres' key.
    pub fn new(key: [u8; 16], share: &Share) -> Self {
        let Share { worker, flows: (flows, each), first_guest, seed } = *share;
        // A mapping has some flows, if the Internet is reached straight.
        let pins = (flows / 4).clamp(16, PINS_MAX);
        Self {
            seal: Seal::new(key),
            handles: Handles::new(worker, (pins, each), seed),
            pins: Pins::new(pins, seed),
            ways: Ways::default(),
            guests: Guests::new(first_guest, guests_of(flows), seed),
            homes: Homes::new(guests_of(flows), seed),
            errors: Limits::default(),
            due: Instant::ZERO,
        }
    }

    /// By which exit a client's address and port leaves, as long as it has sent something a while ago.
    pub fn pinned(&self, handle: u32, query: &Query, now: Instant) -> Option<Address> {
        self.pins.find(PinKey::of(handle, query), now).map(|pin| pin.exit)
    }

    /// A packet that does not go on between data centres becomes the error about it; none when its sender is owed none now.
    #[cold]
    pub(in crate::stages) fn turn(
        &mut self,
        frame: &mut Frame<'_>,
        why: Why,
        outside: Outside<'_>,
    ) -> Option<()> {
        let from = icmp::router_address(frame, outside.site);
        icmp::replace(frame, (why, from), &mut self.errors, outside.now)?;
        outside.counters.icmp_errors.add(1);
        Some(())
    }

    /// A client is no more: who gets its number gets none of its answers.
    pub fn forget(&mut self, client: u32) {
        self.handles.forget(client);
    }

    /// Takes back what is over; tells of each mapping that lives, within seconds, whose it is and until when.
    pub fn advance(
        &mut self,
        (counters, now): (&Counters, Instant),
        mut live: impl FnMut(u32, Instant),
    ) {
        counters.via_mappings.set(self.pins.len() as u64);
        counters.guests.set(self.guests.len() as u64);
        if now < self.due {
            return;
        }
        self.due = now + PINS_INTERVAL;
        let Self { pins, handles, homes, .. } = self;
        homes.sweep(now);
        pins.sweep(now, |pin, is_over| {
            if is_over {
                handles.lose(pin.key.handle());
            } else if let Some(client) = handles.client(pin.key.handle()) {
                live(client, pin.until);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PINS_PER_TURN;

    #[test]
    fn mappings_are_looked_at_as_time_goes_by_and_not_with_every_turn() {
        let share = Share { worker: (0, 1), flows: (1024, 8), first_guest: 100, seed: 7 };
        let mut via = Via::new([7; 16], &share);
        let until = Instant::ZERO + PINS_INTERVAL * 1000;
        for client in 0..PINS_PER_TURN * 2 {
            let handle = via.handles.make(client, || client * 7).unwrap();
            let key = PinKey::of(handle, &Query::NONE);
            via.pins.put(Pin { key, exit: Address::UNSPECIFIED, until }).unwrap();
        }
        let counters = Counters::default();
        let mut told = Vec::new();
        for turn in 0..20 {
            let now = Instant::ZERO + PINS_INTERVAL / 10 * turn;
            via.advance((&counters, now), |client, _| told.push(client));
        }
        assert_eq!(told, (0..PINS_PER_TURN * 2).collect::<Vec<_>>());
        assert_eq!(counters.via_mappings.value(), u64::from(PINS_PER_TURN) * 2);
    }
}
