//! The origin: HTTP/1.1 and raw echo over TCP, on any address whose packets it is given. One small stack per
//! connection, found by the connection's ends, so that a segment costs the same beside one neighbour or ten thousand.

mod cable;
mod connection;
mod http;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;
use wire::Malformed;
use wire::checksum::Sum;
use wire::tcp::{self, Flags};
use wireguard::time::Instant;
use wireguard::wheel::Wheel;

use super::{ECHO_PORT, Via};
use crate::packet::Located;
use cable::Cable;
use connection::{Connection, End, Service, refuse};

/// Connections at most that a profile may ask for.
pub const CONNECTIONS_MAX: u32 = 100_000;
/// Timers that fire in one turn at most; the others wait for the next.
const TIMERS_PER_TURN: usize = 256;

/// The origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where HTTP is spoken; raw echo is always on port 7.
    pub ports: Vec<u16>,
    /// Connections at the same time, 1..=[`CONNECTIONS_MAX`].
    pub connections_max: u32,
    /// Octets of each connection's two buffers.
    pub buffer: usize,
}

/// The counts of the origin, beside the responder's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Connections begun: a SYN that was answered.
    pub opened: u64,
    /// Of them ended in order by both sides.
    pub closed: u64,
    /// Of them reset, or silent for too long.
    pub aborted: u64,
    /// Of them never completed by the other side.
    pub abandoned: u64,
    /// Of them there now.
    pub live: u64,
    /// The most there were at a time.
    pub live_max: u64,
    /// SYNs without an answer: as many connections as the profile allows were there.
    pub refused: u64,
    /// Segments of no connection, and SYNs to ports where nobody listens; answered with a reset, but for resets.
    pub stray: u64,
    /// Requests that were answered as asked.
    pub requests: u64,
    /// Requests that were answered with an error.
    pub bad_requests: u64,
    /// Octets that connections delivered to the service.
    pub octets_received: u64,
    /// Octets that the service gave to connections.
    pub octets_sent: u64,
}

impl Tally {
    /// Connections in no count; always zero.
    pub const fn unaccounted(&self) -> u64 {
        self.opened.abs_diff(self.closed + self.aborted + self.abandoned + self.live)
    }
}

/// Where a connection's packets go and come.
type Ends = (SocketAddr, SocketAddr, Option<u32>);

/// A segment that has come.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    octets: &'a [u8],
    remote: SocketAddr,
    local: SocketAddr,
    flags: Flags,
    /// The way back.
    via: Via,
    /// The longest packet that fits it.
    mtu: usize,
}

impl<'a> Segment<'a> {
    /// Reads the segment in a packet of exactly these octets.
    ///
    /// # Errors
    /// `Truncated`, `HeaderLength`, `Checksum`.
    pub fn read(
        octets: &'a [u8],
        packet: &Located<'_>,
        (via, mtu): (Via, usize),
    ) -> Result<Self, Malformed> {
        let segment = packet.payload;
        let len = u16::try_from(segment.len()).map_err(|_| Malformed::TotalLength)?;
        let header = tcp::parse(segment)?;
        let pseudo = match (packet.source, packet.destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => Sum::pseudo_v4(from, to, tcp::PROTOCOL, len),
            (IpAddr::V6(from), IpAddr::V6(to)) => Sum::pseudo_v6(from, to, tcp::PROTOCOL, len),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Sum::ZERO,
        };
        tcp::verify(pseudo, segment)?;
        let remote = (packet.source, header.source_port).into();
        let local = (packet.destination, header.destination_port).into();
        Ok(Self { octets, remote, local, flags: header.flags, via, mtu })
    }

    fn ends(&self) -> Ends {
        (self.remote, self.local, self.via.tunnel)
    }

    fn opens(&self) -> bool {
        self.flags.has(Flags::SYN) && !self.flags.has(Flags::ACK) && !self.flags.has(Flags::RST)
    }
}

/// What takes the packets that the origin sends; false when one was not taken.
pub type Out<'a> = dyn FnMut(Via, &[u8]) -> bool + 'a;

/// The origin and its connections.
pub struct Origin {
    plan: Plan,
    connections: Vec<Option<Box<Connection>>>,
    free: Vec<u32>,
    by_ends: HashMap<Ends, u32>,
    wheel: Wheel,
    tally: Tally,
    /// Of initial sequence numbers.
    random: ChaCha20Rng,
    /// Where packets are made.
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin").field("tally", &self.tally).finish_non_exhaustive()
    }
}

impl Origin {
    /// An origin without connections.
    pub fn new(plan: Plan, seed: u64, now: Instant) -> Self {
        let count = plan.connections_max.min(CONNECTIONS_MAX);
        Self {
            connections: (0..count).map(|_| None).collect(),
            free: (0..count).rev().collect(),
            by_ends: HashMap::new(),
            wheel: Wheel::new(count as usize, now),
            tally: Tally::default(),
            random: ChaCha20Rng::seed_from_u64(seed ^ 2),
            buffer: Vec::new(),
            plan,
        }
    }

    /// Its counts.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Takes a segment that has come, and sends what follows from it.
    pub fn receive(&mut self, segment: &Segment<'_>, now: Instant, out: &mut Out<'_>) {
        let known = self.by_ends.get(&segment.ends()).copied();
        // A client may use its port again while our side still waits (RFC 9293 3.6.1).
        let again = known.filter(|&slot| segment.opens() && self.rests(slot));
        if let Some(slot) = again {
            self.close(slot, End::Closed);
        }
        if let Some(slot) = known.filter(|_| again.is_none()) {
            self.run(slot, Some(segment), now, out);
        } else if let Some(service) = self.service(segment.local.port()).filter(|_| segment.opens())
        {
            match self.open(segment, service, now) {
                Some(slot) => self.run(slot, Some(segment), now, out),
                None => self.tally.refused += 1,
            }
        } else {
            self.tally.stray += 1;
            let (way, octets) = ((segment.via, segment.mtu), Some(segment.octets));
            refuse(segment, now, &mut Cable::new(&mut self.buffer, way, octets, out));
        }
    }

    /// Does what is due: retransmissions, and the end of silent connections. Returns how much that was.
    pub fn turn(&mut self, now: Instant, out: &mut Out<'_>) -> usize {
        let mut due = [0; TIMERS_PER_TURN];
        let mut count = 0;
        let _more = self.wheel.expire(now, TIMERS_PER_TURN, |slot| {
            if let Some(place) = due.get_mut(count) {
                *place = slot;
            }
            count += 1;
        });
        for &slot in due.get(..count).unwrap_or_default() {
            self.run(slot, None, now, out);
        }
        count
    }

    /// What is offered on a port.
    fn service(&self, port: u16) -> Option<Service> {
        match port {
            ECHO_PORT => Some(Service::Echo),
            port if self.plan.ports.contains(&port) => Some(Service::Http(http::Talk::default())),
            _ => None,
        }
    }

    fn rests(&self, slot: u32) -> bool {
        let connection = self.connections.get(slot as usize).and_then(Option::as_ref);
        connection.is_some_and(|connection| connection.rests())
    }

    fn open(&mut self, segment: &Segment<'_>, service: Service, now: Instant) -> Option<u32> {
        let slot = self.free.pop()?;
        let place = self.connections.get_mut(slot as usize)?;
        let (seed, buffer) = (self.random.next_u64(), self.plan.buffer);
        *place = Some(Box::new(Connection::new(segment, service, (seed, buffer), now)));
        self.by_ends.insert(segment.ends(), slot);
        self.tally.opened += 1;
        self.tally.live += 1;
        self.tally.live_max = self.tally.live_max.max(self.tally.live);
        Some(slot)
    }

    fn run(&mut self, slot: u32, segment: Option<&Segment<'_>>, now: Instant, out: &mut Out<'_>) {
        let is_crowded = self.free.len() < self.connections.len() / 2;
        let Some(connection) = self.connections.get_mut(slot as usize).and_then(Option::as_mut)
        else {
            return;
        };
        if let Some(segment) = segment {
            connection.turn_to(segment.via);
        }
        let octets = segment.map(|segment| segment.octets);
        let mut cable = Cable::new(&mut self.buffer, connection.way(), octets, out);
        connection.run(now, &mut cable, &mut self.tally);
        match connection.end() {
            Some(end) => self.close(slot, end),
            // Waiting for stray segments is worth a place only while there are many.
            None if is_crowded && connection.rests() => self.close(slot, End::Closed),
            None => {
                let deadline = connection.deadline(now);
                self.wheel.schedule(slot, deadline);
            }
        }
    }

    fn close(&mut self, slot: u32, end: End) {
        let Some(connection) = self.connections.get_mut(slot as usize).and_then(Option::take)
        else {
            return;
        };
        self.by_ends.remove(&connection.ends());
        self.wheel.cancel(slot);
        self.free.push(slot);
        self.tally.live -= 1;
        match end {
            End::Closed => self.tally.closed += 1,
            End::Aborted => self.tally.aborted += 1,
            End::Abandoned => self.tally.abandoned += 1,
        }
    }
}
