//! One server of the fleet, with what stands behind it.

use std::net::SocketAddr;
use std::time::Duration;

use dataplane::testing::server::{Options, Place, Server};
use dataplane::testing::{packets, site};
use wireguard::time::Instant;

use super::flow::Nat;
use super::plan::{Scenario, WORKERS};
use super::router::spread;

/// The longest that a server without anything to do is left alone.
pub(crate) const STEP: Duration = Duration::from_millis(250);

pub(crate) struct Station {
    pub(crate) number: u8,
    pub(crate) server: Server,
    pub(crate) nat: Nat,
    /// The number of the membership that it was told last.
    pub(crate) told: Option<u16>,
    /// Something has come since its last turn.
    pub(crate) is_due: bool,
    /// Frames put in and taken out.
    books: (u64, u64),
}

impl Station {
    /// A server that has just started, and knows its gateway.
    pub(crate) fn new(scenario: &Scenario, (number, life): (u8, u64), now: Instant) -> Self {
        let seed = scenario.seed << 24 | life << 8 | u64::from(number);
        let options = Options { seed, now, ..Options::default() };
        let server = Server::with(&scenario.config(number), options);
        let nat = Nat::default();
        let mut station = Self { number, server, nat, told: None, is_due: true, books: (0, 0) };
        let place = Place::Wire { port: 0, worker: 0 };
        let (v4, v6) = (site::GATEWAY_V4, site::GATEWAY_V6);
        station.put(place, &packets::arp_request((site::GATEWAY, v4), site::SERVER_V4));
        station.put(place, &packets::solicitation((site::GATEWAY, v6), site::SERVER_V6));
        station
    }

    pub(crate) fn put(&mut self, place: Place, octets: &[u8]) {
        self.server.put(place, octets);
        self.books.0 += 1;
        self.is_due = true;
    }

    /// Lets it work until it rests; gives what has left it.
    pub(crate) fn turn(&mut self, now: Instant) -> Vec<(Place, Vec<u8>)> {
        self.is_due = false;
        self.server.settle(now);
        let taken = self.server.take();
        self.books.1 += taken.len() as u64;
        self.audit();
        taken
    }

    fn audit(&self) {
        let totals = self.server.totals();
        let number = self.number;
        assert_eq!(totals.unaccounted(), 0, "server {number}\n{totals}");
        assert_eq!(totals.received, self.books.0, "frames into server {number}\n{totals}");
        let left = totals.transmitted + totals.delivered;
        assert_eq!(left, self.books.1, "frames out of server {number}\n{totals}");
        assert_eq!(self.server.buffers_held() as u64, totals.held, "server {number}\n{totals}");
        assert_eq!((totals.pool_empty, totals.orders_lost), (0, 0), "server {number}\n{totals}");
    }

    /// Ends it as a real server ends; what it has still to say is lost.
    pub(crate) fn close(&mut self, now: Instant) {
        self.turn(now);
        self.server.close();
        let totals = self.server.totals();
        assert_eq!(totals.unaccounted(), 0, "server {}\n{totals}", self.number);
        assert_eq!(self.server.buffers_held(), 0, "server {} holds buffers", self.number);
    }

    /// Sessions that live here.
    pub(crate) fn sessions(&self) -> usize {
        self.server.slots_free_and_live().1
    }
}

/// The device spreads flows over its queues.
pub(crate) fn queue_of(from: SocketAddr, to: SocketAddr) -> Place {
    Place::Wire { port: 0, worker: spread(&(from, to), WORKERS) }
}
