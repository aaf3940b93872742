//! The defence of the handshake (D7): what is asked of a message before anybody computes for it.
//!
//! First the proof that its sender knows our key. Under load also that it receives at its address (a cookie), and then
//! each source may come only so often. Where peers have spoken from lately is known: these sources have limits, cookies
//! and a ring to the handshake threads of their own, so that no crowd of strangers takes theirs.

mod buckets;
mod known;
mod proofs;

use std::sync::Arc;
use std::time::Duration;

use rand_chacha::rand_core::Rng;
use wireguard::cookie::Secrets;
use wireguard::message::{self, ClientId, CookieReply, Kind as MessageKind};
use wireguard::time::Instant;
use zerocopy::IntoBytes;

use crate::burst::Burst;
use crate::counters::Counters;
use crate::exchange::Exchange;
use crate::fate::{DropReason, Fate};
use crate::fleet::Membership;
use crate::frame::{Frame, Kind, Note};
use crate::handshake::{Directory, Random};
use crate::limiter::Limiter;
use crate::limits::{
    ANSWER_BURST, ANSWER_INTERVAL, ANSWERS_REMEMBERED, BURST_LEN_MAX, COOKIES_BURST,
    COOKIES_PER_SECOND, KNOWN_BURST, KNOWN_INTERVAL, KNOWN_REMEMBERED, STRANGER_BURST,
    STRANGER_INTERVAL, STRANGERS_REMEMBERED, UNDER_LOAD_HOLD,
};
use crate::wall::WallClock;

use buckets::{Buckets, Grant};
pub use known::Known;
use known::Source;

/// Who has sent a handshake message, as far as its source tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A peer has spoken from there lately, or it answers us.
    Known,
    /// Nobody known, who has not come for a while.
    Newcomer,
    /// Nobody known, who has come just before.
    Eager,
}

/// What a worker needs to judge handshake messages without any state of the sender's.
#[derive(Debug)]
pub struct Defence {
    secrets: Secrets,
    random: Random,
    wall: Arc<WallClock>,
    directory: Arc<Directory>,
    exchange: Arc<Exchange>,
    under_load_until: Instant,
    is_under_load: bool,
    in_fleet: bool,
    limits: Limits,
}

/// How often anybody may come under load.
#[derive(Debug)]
struct Limits {
    known: Buckets,
    strangers: Buckets,
    /// By the index that they answer: whoever has seen it could send answers without end.
    answers: Buckets,
    cookies_for_known: Limiter,
    cookies_for_strangers: Limiter,
}

impl Limits {
    fn new() -> Self {
        let cookies = Limiter::new(COOKIES_PER_SECOND, COOKIES_BURST);
        Self {
            known: Buckets::new(KNOWN_REMEMBERED, KNOWN_INTERVAL, KNOWN_BURST),
            strangers: Buckets::new(STRANGERS_REMEMBERED, STRANGER_INTERVAL, STRANGER_BURST),
            answers: Buckets::new(ANSWERS_REMEMBERED, ANSWER_INTERVAL, ANSWER_BURST),
            cookies_for_known: cookies,
            cookies_for_strangers: cookies,
        }
    }

    /// Whether a source may ask for a cookie. It is not proven yet, so this is no matter of single sources.
    fn may_have_cookie(&mut self, is_known: bool, now: Instant) -> bool {
        let cookies =
            if is_known { &mut self.cookies_for_known } else { &mut self.cookies_for_strangers };
        cookies.take(now)
    }

    /// Whether a proven source may initiate now.
    fn grant(&mut self, source: Source, is_known: bool, now: Instant) -> Result<Sender, Fate> {
        let buckets = if is_known { &mut self.known } else { &mut self.strangers };
        match buckets.take(source, now) {
            Grant::Refused => Err(Fate::Drop(DropReason::DosHandshakeLimit)),
            // So many known sources at once are more than the ring of their jobs takes; that decides then.
            Grant::First | Grant::Further | Grant::NoRoom if is_known => Ok(Sender::Known),
            Grant::First => Ok(Sender::Newcomer),
            Grant::Further => Ok(Sender::Eager),
            Grant::NoRoom => Err(Fate::Drop(DropReason::DosHandshakeBudget)),
        }
    }

    fn may_answer(&mut self, index: Source, now: Instant) -> Result<(), Fate> {
        match self.answers.take(index, now) {
            Grant::Refused => Err(Fate::Drop(DropReason::DosHandshakeLimit)),
            Grant::First | Grant::Further | Grant::NoRoom => Ok(()),
        }
    }
}

impl Defence {
    /// Cookies follow from `secrets`, so all workers and servers that share them take each other's.
    pub fn new(
        secrets: Secrets,
        random: Random,
        wall: Arc<WallClock>,
        directory: Arc<Directory>,
        exchange: Arc<Exchange>,
    ) -> Self {
        let in_fleet = !matches!(directory.fleet.get().membership, Membership::Alone);
        let under_load_until = Instant::ZERO;
        let (is_under_load, limits) = (false, Limits::new());
        Self {
            secrets,
            random,
            wall,
            directory,
            exchange,
            under_load_until,
            is_under_load,
            in_fleet,
            limits,
        }
    }

    /// Follows the time and the load, once per turn; gives the Unix time.
    pub fn advance(&mut self, now: Instant) -> Duration {
        let unix = self.wall.unix(now);
        self.secrets.advance(unix);
        if self.exchange.is_busy() {
            self.under_load_until = now + UNDER_LOAD_HOLD;
        }
        self.is_under_load = now < self.under_load_until;
        unix
    }

    /// Whether strangers have to prove their address, and come only so often.
    pub(crate) const fn is_under_load(&self) -> bool {
        self.is_under_load
    }

    /// Refuses what is no handshake message, and answers to an index under which no handshake thread waits for one;
    /// whether one of another server does is for that server to say.
    fn expects(&self, message: &[u8]) -> Result<(), Fate> {
        let index = match message::kind(message) {
            Ok(MessageKind::Initiation) => return Ok(()),
            Ok(MessageKind::Response) => index(message, RESPONSE_INDEX)?,
            Ok(MessageKind::CookieReply) => index(message, COOKIE_REPLY_INDEX)?,
            Ok(MessageKind::Data) | Err(_) => return Err(Fate::Drop(DropReason::DosMessage)),
        };
        let place = self.directory.permutation.place(index);
        let expected = if place.server == u16::from(self.directory.server) {
            self.exchange.is_expected(usize::from(place.worker), place.slot)
        } else {
            self.in_fleet
        };
        expected.then_some(()).ok_or(Fate::Drop(DropReason::HandshakeUnexpected))
    }
}

/// Where the receiver index stands in a response and in a cookie reply.
const RESPONSE_INDEX: usize = 8;
const COOKIE_REPLY_INDEX: usize = 4;

/// The index at this offset of an answer.
fn index(message: &[u8], offset: usize) -> Result<u32, Fate> {
    let octets = message.get(offset..).and_then(<[u8]>::first_chunk);
    let octets = octets.ok_or(Fate::Drop(DropReason::HandshakeUnexpected))?;
    Ok(u32::from_le_bytes(*octets))
}

/// Lets handshake messages through that prove to know our key and, under load, their own address, and do not come too
/// often.
pub(super) fn admit(
    burst: &mut Burst<'_>,
    defence: &mut Defence,
    counters: &Counters,
    now: Instant,
) {
    burst.pass(|frame| {
        if frame.note.kind != Kind::Handshake {
            return Ok(());
        }
        defence.expects(frame.data())
    });
    let checker = defence.directory.identity.checker();
    proofs::know_us(burst, checker);
    let proven = if defence.is_under_load {
        proofs::cookies(burst, checker, &defence.secrets)
    } else {
        [false; BURST_LEN_MAX]
    };
    for (frame, is_proven) in burst.frames().iter_mut().zip(proven) {
        if frame.fate == Fate::Undecided
            && frame.note.kind == Kind::Handshake
            && let Err(fate) = judge(frame, is_proven, defence, (counters, now))
        {
            frame.fate = fate;
        }
    }
}

/// Judges a message that knows us, or is an expected cookie reply.
fn judge(
    frame: &mut Frame<'_>,
    is_proven: bool,
    defence: &mut Defence,
    (counters, now): (&Counters, Instant),
) -> Result<(), Fate> {
    match message::kind(frame.data()) {
        Ok(MessageKind::Initiation) => initiation(frame, is_proven, defence, (counters, now)),
        Ok(MessageKind::Response) if defence.is_under_load && !is_proven => {
            // We have begun it, so its sender is no stranger.
            give_cookie(frame, defence, (true, now), counters)
        }
        Ok(MessageKind::Response) => answer(frame, defence, RESPONSE_INDEX, now),
        Ok(MessageKind::CookieReply) => answer(frame, defence, COOKIE_REPLY_INDEX, now),
        Ok(MessageKind::Data) | Err(_) => Err(Fate::Drop(DropReason::DosMessage)),
    }
}

fn initiation(
    frame: &mut Frame<'_>,
    is_proven: bool,
    defence: &mut Defence,
    (counters, now): (&Counters, Instant),
) -> Result<(), Fate> {
    let known = defence.exchange.known();
    let source = known.source(frame.note.endpoint.remote);
    let is_known = known.holds(source, now);
    frame.note.sender = if is_known { Sender::Known } else { Sender::Newcomer };
    if !defence.is_under_load {
        return Ok(());
    }
    if !is_proven {
        return give_cookie(frame, defence, (is_known, now), counters);
    }
    frame.note.sender = defence.limits.grant(source, is_known, now)?;
    Ok(())
}

/// An answer to us, which names an index of ours at this offset.
fn answer(
    frame: &mut Frame<'_>,
    defence: &mut Defence,
    offset: usize,
    now: Instant,
) -> Result<(), Fate> {
    frame.note.sender = Sender::Known;
    if defence.is_under_load {
        let index = defence.exchange.known().index(index(frame.data(), offset)?);
        defence.limits.may_answer(index, now)?;
    }
    Ok(())
}

/// Turns the message into the cookie reply to it, in place.
fn give_cookie(
    frame: &mut Frame<'_>,
    defence: &mut Defence,
    (is_known, now): (bool, Instant),
    counters: &Counters,
) -> Result<(), Fate> {
    if !defence.limits.may_have_cookie(is_known, now) {
        return Err(Fate::Drop(DropReason::DosHandshakeBudget));
    }
    counters.cookies.add(1);
    let broken = Fate::Drop(DropReason::DosMessage);
    let mut nonce = [0; 24];
    defence.random.fill_bytes(&mut nonce);
    let reply: CookieReply = defence
        .directory
        .identity
        .checker()
        .reply(frame.data(), &defence.secrets, frame.note.endpoint.remote_socket(), nonce)
        .map_err(|_| broken)?;
    frame.set_len(message::COOKIE_REPLY_LEN)?;
    frame.data_mut().copy_from_slice(reply.as_bytes());
    let client_id = shown_id(frame.note);
    message::put_client_id(frame.data_mut(), client_id);
    frame.note.kind = Kind::Datagram;
    // The source is not proven: the answer goes back to the station that sent the question, and asks for no
    // neighbour. Where another server has passed it on, the way to the client is this server's own.
    frame.note.turned = frame.note.passage.is_none();
    frame.note.passage = None;
    Ok(())
}

/// The client id that the client has shown, and shall see in answers: none when another server has put its peer's there.
pub fn shown_id(note: &Note) -> ClientId {
    if note.passage.is_some_and(|passage| passage.named) { ClientId::ZERO } else { note.client_id }
}
