//! One client: its tunnel, its flows, where it is, and whether its sessions go as the protocol has it.

use std::net::SocketAddr;
use std::time::Duration;

use dataplane::testing::client::Client;
use dataplane::testing::{fleet, site};
use wireguard::limits::{REKEY_AFTER_TIME, REKEY_ATTEMPT_TIME};
use wireguard::message::{ClientId, INITIATION, RESPONSE};
use wireguard::time::Instant;

use super::dice::Dice;
use super::flow::{Mark, Segment};
use super::plan::Life;

/// How long what is under way still reaches a client where it was before it moved: one round trip by way of
/// another server.
const AFTERGLOW: Duration = Duration::from_millis(300);
/// Flows of one client.
const FLOWS_MAX: usize = 4;

/// A flow, as its client sees it.
#[derive(Clone, Copy, Debug)]
struct Stream {
    flow: u64,
    requests: u32,
    /// A reply has come.
    is_open: bool,
}

/// How a session came to its end before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// The client had to shake hands again at this age of its session.
    Early(Duration),
    /// Nobody answered the initiation before.
    Unanswered,
}

/// A client whose server has gone with its session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orphan {
    /// When all other servers know of it.
    pub(crate) known_at: Instant,
    /// The first datagram that it has sent since then, or since the server went if it shows no id.
    pub(crate) spoke: Option<Instant>,
}

pub(crate) struct Caller {
    pub(crate) client: Client,
    pub(crate) life: Life,
    /// The server that its session is with.
    pub(crate) home: Option<u16>,
    /// The server that has called it last.
    called_by: Option<u16>,
    /// When its talk ends or begins.
    pub(crate) turns_at: Instant,
    pub(crate) is_talking: bool,
    /// Its server has gone, and it has not been served since.
    pub(crate) orphan: Option<Orphan>,
    /// What it has sent before then may be lost.
    pub(crate) excused_until: Instant,
    /// The event that is to wake it.
    pub(crate) tick_at: Instant,
    /// The last datagram that it sent.
    pub(crate) sent_at: Instant,
    streams: Vec<Stream>,
    next_flow: u64,
    /// Where it was, and until when that is still heard.
    former: Option<(SocketAddr, Instant)>,
    /// When its last session began.
    established: Option<Instant>,
    sessions: usize,
    /// The initiation that waits for an answer.
    initiated: Option<Instant>,
}

impl Caller {
    pub(crate) fn new(number: u32, life: Life, now: Instant) -> Self {
        let address = if life.is_v6 { site::outer_v6(number) } else { site::outer_v4(number) };
        Self {
            client: Client::new(number, address, life.options(), now),
            life,
            home: None,
            called_by: None,
            turns_at: now,
            is_talking: false,
            orphan: None,
            excused_until: Instant::ZERO,
            tick_at: Instant::NEVER,
            sent_at: Instant::ZERO,
            streams: Vec::new(),
            next_flow: u64::from(number) << 32,
            former: None,
            established: None,
            sessions: 0,
            initiated: None,
        }
    }

    /// Whether a datagram to this address reaches it now.
    pub(crate) fn hears(&self, address: SocketAddr, now: Instant) -> bool {
        let former = |(former, until)| former == address && now <= until;
        self.client.address == address || self.former.is_some_and(former)
    }

    /// Another port, another address, or the other family.
    pub(crate) fn roam(&mut self, dice: &mut Dice, now: Instant) {
        let mut address = self.client.address;
        let host = self.client.number + 1000 * u32::try_from(1 + dice.below(8)).unwrap();
        match dice.below(4) {
            0 | 1 => {}
            2 => address = site::outer_v4(host),
            _ => address = site::outer_v6(host),
        }
        address.set_port(1024 + u16::try_from(dice.below(60_000)).unwrap());
        self.former = Some((self.client.address, now + AFTERGLOW));
        self.client.roam(address);
    }

    /// The next request: on a flow that lives, or on a new one. With `is_last` all flows end, one with each call.
    pub(crate) fn request(&mut self, dice: &mut Dice, is_last: bool) -> Option<Segment> {
        if is_last {
            // What nobody has answered yet is given up.
            self.streams.retain(|stream| stream.is_open);
        }
        let is_new =
            self.streams.is_empty() || self.streams.len() < FLOWS_MAX && dice.permille(150);
        if is_new && !is_last {
            self.next_flow += 1;
            let flow = self.next_flow;
            self.streams.push(Stream { flow, requests: 0, is_open: false });
        }
        let count = self.streams.len();
        let at = if is_last || is_new { count.checked_sub(1)? } else { dice.index(count) };
        // The first stream of a spell lasts as long as that.
        let ends = is_last || at > 0 && self.streams[at].is_open && dice.permille(150);
        let stream = &mut self.streams[at];
        let mark = match (stream.is_open, ends) {
            (_, true) => Mark::Ending,
            (false, false) => Mark::Opening,
            (true, false) => Mark::Going,
        };
        let segment =
            Segment { flow: stream.flow, is_request: true, number: stream.requests, mark };
        stream.requests += 1;
        if ends {
            self.streams.remove(at);
        }
        Some(segment)
    }

    /// A reply has come.
    pub(crate) fn take(&mut self, reply: &Segment) {
        if reply.mark == Mark::Reset {
            self.streams.retain(|stream| stream.flow != reply.flow);
        }
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.flow == reply.flow) {
            stream.is_open = true;
        }
    }

    /// Looks at a datagram that it sends: an initiation has its time, or something is broken.
    pub(crate) fn judge(&mut self, octets: &[u8], now: Instant) -> Option<Breach> {
        self.note_session(now);
        self.sent_at = now;
        let expected = self.life.sends.unwrap_or(ClientId::ZERO);
        assert_eq!(octets[1..4], expected.0, "a client stamps what it was told to");
        if octets.first() != Some(&INITIATION) {
            return None;
        }
        let before = self.initiated.replace(now);
        if before.is_some_and(|at| now.since(at) < REKEY_ATTEMPT_TIME) {
            return Some(Breach::Unanswered);
        }
        let age = now.since(self.established?);
        (age < REKEY_AFTER_TIME).then_some(Breach::Early(age))
    }

    /// Takes a datagram; says whether a session has begun with it.
    pub(crate) fn receive(&mut self, octets: &[u8], from: SocketAddr, now: Instant) -> bool {
        self.client.receive(octets, from, now);
        let began = self.note_session(now);
        // Both messages name their sender, and with it the server.
        let sender = |octets: &[u8]| u32::from_le_bytes(*octets[4..].first_chunk().unwrap());
        let server = |octets| Some(fleet::permutation().place(sender(octets)).server);
        match octets[0] {
            INITIATION => self.called_by = server(octets),
            RESPONSE if began => self.home = server(octets),
            _ if began => self.home = self.called_by,
            _ => {}
        }
        began
    }

    /// Takes note of a session that began; says whether one did.
    fn note_session(&mut self, now: Instant) -> bool {
        if self.client.tally.sessions == self.sessions {
            return false;
        }
        self.sessions = self.client.tally.sessions;
        self.established = Some(now);
        self.initiated = None;
        true
    }
}
