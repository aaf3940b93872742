//! Stage 2, steer: whose packet is it. The receiver index of sealed data names server, worker and slot (D4); the client id
//! of an initiation names its owner (D5). What another server should have goes there whole, in GRE-in-UDP (D6).

mod pass_on;
mod prompts;
mod too_big;

use arrayvec::ArrayVec;
use wire::fleet::Step;
use wire::udp;
use wireguard::index::{Permutation, Place};
use wireguard::message::{ClientId, INITIATION, RESPONSE, put_client_id};
use wireguard::time::Instant;

use crate::burst::{Burst, Kinds};
use crate::counters::Counters;
use crate::fate::{DropReason, Fate};
use crate::fleet::{Fleet, Membership, Passage, Reach, Verdict};
use crate::frame::{Entry, Frame, Kind};
use crate::limits::BURST_LEN_MAX;
use crate::site::Site;
use crate::stages::parse;

pub(in crate::stages) use pass_on::entropy;
pub use pass_on::{Forwarding, pass_on, unwrap};
pub use prompts::Prompts;

/// Who this worker is.
#[derive(Debug)]
pub struct Owner {
    /// How indices are made and read.
    pub permutation: Permutation,
    /// This server.
    pub server: u8,
    /// This worker.
    pub worker: u8,
    /// How many workers this server has.
    pub workers: usize,
}

/// What steering needs beside the frame.
#[derive(Debug)]
pub struct Steering<'a> {
    /// Who this worker is.
    pub owner: &'a Owner,
    /// The other servers.
    pub fleet: &'a Fleet,
    /// The way to call a client whose server is gone.
    pub prompts: &'a mut Prompts,
    /// The server.
    pub site: &'a Site,
    /// This worker's counters.
    pub counters: &'a Counters,
}

const fn drop(reason: DropReason) -> Fate {
    Fate::Drop(reason)
}

/// Sends sealed data to the server and worker that its index names, and initiations to the server that has their client;
/// what is ours gets its session slot, or goes to the handshake threads.
pub fn claim(burst: &mut Burst<'_>, steering: &mut Steering<'_>, now: Instant) {
    if !burst.has_any(Kinds::of([Kind::Sealed, Kind::Handshake, Kind::Report])) {
        return;
    }
    let mut indices = ArrayVec::<u32, BURST_LEN_MAX>::new();
    let mut others = false;
    for frame in burst.undecided() {
        if is_unclaimed(frame) {
            indices.push(word(frame, DATA_INDEX));
        } else {
            others |= frame.note.kind != Kind::Inner;
        }
    }
    if !indices.is_empty() {
        let mut places = [Place::default(); BURST_LEN_MAX];
        steering.owner.permutation.places(&indices, &mut places);
        let sealed = burst.undecided().filter(|frame| is_unclaimed(frame));
        for (frame, place) in sealed.zip(&places) {
            if let Err(fate) = judge(frame, *place, steering, now) {
                frame.fate = fate;
            }
        }
    }
    if others {
        burst.pass(|frame| claim_other(frame, steering, now));
    }
}

/// Whether it is sealed data of which no worker has looked at the index yet.
#[inline]
fn is_unclaimed(frame: &Frame<'_>) -> bool {
    frame.note.kind == Kind::Sealed && !matches!(frame.note.entry, Entry::Sealed(_))
}

fn claim_other(frame: &mut Frame<'_>, steering: &Steering<'_>, now: Instant) -> Result<(), Fate> {
    if let Entry::Sealed(port) = frame.note.entry {
        // It has its slot, and goes its way from here on as if it had come in here.
        frame.note.entry = Entry::Wire(port);
    }
    if frame.note.kind == Kind::Handshake {
        return handshake(frame, steering, now);
    }
    if frame.note.kind == Kind::Report { report(frame, steering, now) } else { Ok(()) }
}

/// Where the receiver index stands in sealed data, in a response and in a cookie reply.
const DATA_INDEX: usize = 4;
const RESPONSE_INDEX: usize = 8;
const COOKIE_REPLY_INDEX: usize = 4;

/// A word of a message; `parse` and `dos` have seen to it that it is there.
#[inline]
fn word(frame: &Frame<'_>, at: usize) -> u32 {
    let octets = frame.data().get(at..at + 4).and_then(|octets| octets.try_into().ok());
    octets.map_or(0, u32::from_le_bytes)
}

#[inline]
fn judge(
    frame: &mut Frame<'_>,
    place: Place,
    steering: &mut Steering<'_>,
    now: Instant,
) -> Result<(), Fate> {
    let owner = steering.owner;
    if place.server != u16::from(owner.server) {
        return elsewhere(frame, place.server, steering, now);
    }
    if place.worker == u16::from(owner.worker) {
        frame.note.slot = place.slot;
        return Ok(());
    }
    let worker =
        u8::try_from(place.worker).ok().filter(|worker| usize::from(*worker) < owner.workers);
    let Some(worker) = worker else {
        // It may have had more of them before it was started again.
        if steering.fleet.view().is_some() {
            return orphaned(frame, steering, now);
        }
        return Err(drop(DropReason::SteerForeignWorker));
    };
    let client_id = frame.note.client_id;
    put_client_id(frame.data_mut(), client_id);
    match (frame.note.entry, frame.note.passage) {
        // The owner finds all it needs before the message.
        (Entry::Wire(port), None) => {
            frame.note.entry = Entry::Sealed(port);
            frame.note.slot = place.slot;
        }
        // It reads the frame from its first octet, with the header that says how it came.
        _ => frame.rewind(),
    }
    Err(Fate::HandOver(worker))
}

/// Sealed data of another server.
#[inline]
fn elsewhere(
    frame: &mut Frame<'_>,
    server: u16,
    steering: &mut Steering<'_>,
    now: Instant,
) -> Result<(), Fate> {
    let reach = reach(server, steering.fleet)?;
    let is_direct = frame.note.passage.is_some_and(|came| came.step == Step::Direct);
    match (reach, u8::try_from(server)) {
        // Nothing is passed on twice by its index.
        _ if is_direct => Err(drop(DropReason::SteerMisdirected)),
        (Reach::Alive, Ok(server)) if frame.note.passage.is_none() => {
            foreign(frame, Passage::direct(server))
        }
        (Reach::Unknown, _) | (_, Err(_)) => Err(drop(DropReason::SteerForeignServer)),
        (Reach::Alive | Reach::Dead, _) => orphaned(frame, steering, now),
    }
}

fn reach(server: u16, fleet: &Fleet) -> Result<Reach, Fate> {
    match &fleet.membership {
        Membership::Told(view) => Ok(view.reach(server)),
        Membership::Alone => Err(drop(DropReason::SteerForeignServer)),
        Membership::Untold => Err(drop(DropReason::SteerUntold)),
    }
}

/// Takes care of sealed data whose session was lost here, as when this server was started again.
pub fn revive(burst: &mut Burst<'_>, steering: &mut Steering<'_>, now: Instant) {
    if steering.fleet.view().is_none() {
        return;
    }
    burst.pass(|frame| {
        if frame.note.kind == Kind::Orphan { orphaned(frame, steering, now) } else { Ok(()) }
    });
}

/// Sealed data whose server is gone, or was started again, and its session with it. Whoever has a session of the client
/// by now needs nothing of it; when nobody has, the owner calls the client at once, which else would notice only after
/// 15 seconds.
#[cold]
fn orphaned(frame: &mut Frame<'_>, steering: &mut Steering<'_>, now: Instant) -> Result<(), Fate> {
    let id = frame.note.client_id;
    if id == ClientId::ZERO {
        return Err(drop(DropReason::SteerDeadSession));
    }
    // What has come by its index begins its walk here.
    let came = frame.note.passage.filter(|came| came.step != Step::Direct);
    let passage = onward(steering.fleet.walk(id, came, now))?;
    if let Some(passage) = passage {
        if came.is_none() && !steering.prompts.may_walk(id, frame.note.endpoint, now) {
            return Err(drop(DropReason::SteerDeadSession));
        }
        return foreign(frame, passage);
    }
    if !steering.fleet.holdings.is_held(id, now) {
        let called = steering.prompts.call(id, frame.note.endpoint, now);
        steering.counters.prompts.add(u64::from(called));
    }
    Err(drop(DropReason::SteerDeadSession))
}

/// A handshake message that has passed its first checks.
fn handshake(frame: &mut Frame<'_>, steering: &Steering<'_>, now: Instant) -> Result<(), Fate> {
    let index = match frame.data().first().copied() {
        Some(INITIATION) => return initiation(frame, steering, now),
        Some(RESPONSE) => word(frame, RESPONSE_INDEX),
        _ => word(frame, COOKIE_REPLY_INDEX),
    };
    let place = steering.owner.permutation.place(index);
    if place.server == u16::from(steering.owner.server) {
        return Err(Fate::Handshake);
    }
    if frame.note.passage.is_some() {
        return Err(drop(DropReason::SteerMisdirected));
    }
    let reach = reach(place.server, steering.fleet)?;
    match (reach, u8::try_from(place.server)) {
        (Reach::Alive, Ok(server)) => foreign(frame, Passage::direct(server)),
        _ => Err(drop(DropReason::SteerForeignServer)),
    }
}

/// An initiation goes to who has its client. One that shows no client id is identified here first.
fn initiation(frame: &mut Frame<'_>, steering: &Steering<'_>, now: Instant) -> Result<(), Fate> {
    let id = frame.note.client_id;
    if id == ClientId::ZERO {
        return Err(Fate::Handshake);
    }
    match onward(steering.fleet.walk(id, frame.note.passage, now))? {
        None => Err(Fate::Handshake),
        Some(passage) => foreign(frame, passage),
    }
}

/// How a packet goes to another server, if it does.
pub(super) const fn onward(verdict: Verdict) -> Result<Option<Passage>, Fate> {
    match verdict {
        Verdict::Mine => Ok(None),
        Verdict::To(passage) => Ok(Some(passage)),
        Verdict::Untold => Err(drop(DropReason::SteerUntold)),
        Verdict::Lost(reason) => Err(drop(reason)),
    }
}

/// Makes the message the whole packet again that it came in, for another server.
#[inline]
fn foreign(frame: &mut Frame<'_>, passage: Passage) -> Result<(), Fate> {
    let client_id = frame.note.client_id;
    put_client_id(frame.data_mut(), client_id);
    frame.push(usize::from(frame.note.ip.payload_offset) + udp::HEADER_LEN)?;
    if frame.note.passage.is_some() {
        // The station that sent it here is no client's.
        frame.forget_link();
    }
    frame.note.kind = Kind::Foreign;
    frame.note.passage = Some(passage);
    Ok(())
}

/// An ICMP error about a message to a client goes to who has it, and there to the kernel.
#[cold]
fn report(frame: &mut Frame<'_>, steering: &Steering<'_>, now: Instant) -> Result<(), Fate> {
    let came = frame.note.passage;
    if let Some(passage) = onward(steering.fleet.walk(frame.note.client_id, came, now))? {
        frame.note.kind = Kind::Foreign;
        frame.note.passage = Some(passage);
        return Ok(());
    }
    steering.counters.reports.add(1);
    Err(parse::reported(frame, steering.site))
}
