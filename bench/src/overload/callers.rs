//! Clients that shake hands while something else goes on: real ones, with the protocol's timers, that start one after the other.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use dataplane::handshake::Random;
use rand_chacha::rand_core::SeedableRng;
use wireguard::time::Instant;
use wireguard::tunnel::{Event, SCRATCH_LEN, Tunnel, Turn};

use crate::Failure;
use crate::load::lane::Lane;
use crate::service::client::{
    Checksum, IP_AT, LISTEN_PORT, MESSAGE_AT, SERVER, emit_outer, outer_address,
};
use crate::service::server::{CLIENTS, tunnel, unix};

/// Where a frame's destination stands.
const DESTINATION_AT: usize = IP_AT + 16;
/// The part of a trial in which they begin; the rest is for those that have to ask again.
const BEGINNING: f64 = 0.2;

/// The labels of initiations are this much apart at least, or the later one counts as the former's replay.
const LABELS_APART: Duration = Duration::from_millis(20);

/// One of them.
struct Caller {
    number: u32,
    tunnel: Tunnel<16>,
    has_begun: bool,
    is_answered: bool,
}

/// All of them.
pub(crate) struct Callers {
    all: Vec<Caller>,
    random: Random,
    scratch: Vec<u8>,
    /// Messages that want to be sent, with whose they are.
    outbox: VecDeque<(u32, Vec<u8>)>,
    start: Instant,
    /// Between two that begin.
    interval: Duration,
    /// How many have a session, and when the last one of them got it.
    answered: usize,
    answered_at: Option<Instant>,
    /// Nobody wants anything before this moment: a look at all of them between two turns would take the worker's caches.
    wake: Instant,
}

impl Callers {
    /// So many, all of which begin in the first part of so many seconds.
    pub(crate) fn new(lane: &mut Lane, count: usize, seconds: f64) -> Result<Self, Failure> {
        let start = lane.server.now() + LABELS_APART;
        lane.server.turn_at(start);
        let server = lane.keys.public();
        let mut all = Vec::with_capacity(count);
        for number in (CLIENTS..).take(count) {
            let secret = lane.keys.secret(number).ok_or("there is no such key")?.clone();
            let tunnel = tunnel(number, secret, server, start)?;
            all.push(Caller { number, tunnel, has_begun: false, is_answered: false });
        }
        let between = u32::try_from(count.max(1))?;
        let interval = Duration::from_secs_f64(seconds * BEGINNING) / between;
        let random = Random::seed_from_u64(11);
        let (scratch, outbox) = (vec![0; SCRATCH_LEN], VecDeque::new());
        let (answered, answered_at, wake) = (0, None, start);
        Ok(Self { all, random, scratch, outbox, start, interval, answered, answered_at, wake })
    }

    /// How long after the begin the last one of those that have a session got it.
    pub(crate) fn answered_after(&self) -> Option<Duration> {
        self.answered_at.map(|at| at.since(self.start))
    }

    /// How many have begun, and how many have a session.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let count = |is: fn(&&Caller) -> bool| self.all.iter().filter(is).count() as u64;
        (count(|caller| caller.has_begun), count(|caller| caller.is_answered))
    }

    /// Whether every one of them has a session.
    pub(crate) const fn are_answered(&self) -> bool {
        self.answered == self.all.len()
    }

    /// Writes the next frame that is due and gives its length.
    pub(crate) fn next_frame(&mut self, frame: &mut [u8], now: Instant) -> Option<usize> {
        if self.outbox.is_empty() && now >= self.wake {
            self.tick(now);
        }
        let (number, message) = self.outbox.pop_front()?;
        frame.get_mut(MESSAGE_AT..MESSAGE_AT + message.len())?.copy_from_slice(&message);
        emit_outer(frame, number, message.len(), Checksum::Full)
    }

    fn tick(&mut self, now: Instant) {
        let mut due = self.start;
        let Self { all, random, scratch, outbox, wake, .. } = self;
        let mut next: Option<Instant> = None;
        let mut sooner =
            |moment: Instant| next = Some(next.map_or(moment, |next| next.min(moment)));
        for caller in all {
            let number = caller.number;
            let mut turn = Turn { now, unix: unix(now), rng: random, scratch, cookies: None };
            let mut emit = |event: Event<'_>| keep(event, number, outbox);
            if !caller.has_begun {
                if due > now {
                    sooner(due);
                    break;
                }
                caller.has_begun = true;
                // A keepalive wants a session.
                let _ = caller.tunnel.send(&[], &mut turn, &mut emit);
            } else if caller.tunnel.deadline().is_some_and(|deadline| deadline <= now) {
                caller.tunnel.tick(&mut turn, &mut emit);
            }
            caller.tunnel.deadline().into_iter().for_each(&mut sooner);
            due = due + self.interval;
        }
        // Where nobody waits for anything, somebody is heard from first.
        *wake = next.unwrap_or(now + LABELS_APART);
    }

    /// A frame that the server has sent, maybe to one of them.
    pub(crate) fn hear(&mut self, frame: &[u8], now: Instant) {
        let to = frame.get(DESTINATION_AT..).and_then(|octets| octets.first_chunk::<4>());
        let Some(to) = to.map(|to| Ipv4Addr::from(*to)) else { return };
        let SocketAddr::V4(first) = outer_address(CLIENTS) else { return };
        let place = to.to_bits().wrapping_sub(first.ip().to_bits());
        let Some(caller) = self.all.get_mut(place as usize) else { return };
        let Some(message) = frame.get(MESSAGE_AT..) else { return };
        let (number, outbox) = (caller.number, &mut self.outbox);
        let (rng, scratch) = (&mut self.random, &mut self.scratch);
        let mut turn = Turn { now, unix: unix(now), rng, scratch, cookies: None };
        let (is_answered, answered) = (&mut caller.is_answered, &mut self.answered);
        let answered_at = &mut self.answered_at;
        let from = SocketAddr::from((SERVER, LISTEN_PORT));
        // What it refuses, it would refuse in real life as well.
        let _ = caller.tunnel.receive(message, from, &mut turn, &mut |event| {
            if matches!(event, Event::Established(_)) && !*is_answered {
                *answered += 1;
                (*is_answered, *answered_at) = (true, Some(now));
            }
            keep(event, number, outbox);
        });
        self.wake = caller.tunnel.deadline().map_or(self.wake, |deadline| self.wake.min(deadline));
    }
}

/// Keeps the message that a tunnel wants sent.
fn keep(event: Event<'_>, number: u32, outbox: &mut VecDeque<(u32, Vec<u8>)>) {
    if let Event::Transmit { octets, .. } = event {
        outbox.push_back((number, octets.to_vec()));
    }
}
