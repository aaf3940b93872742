//! Stage 3: sealed packets of clients are opened, and believed only when everything about them is right.

use arrayvec::ArrayVec;
use wire::{ecn, ipv4, ipv6};
use wireguard::aead::{Job, TAG_LEN, TAILROOM};
use wireguard::message::{ClientId, DATA_HEADER_LEN, DataHeader};
use wireguard::session::Refused;
use wireguard::time::Instant;
use wireguard::timers::Rearm;
use zerocopy::FromBytes;

use super::drop;
use super::sessions::{Peer, Sessions};
use crate::burst::{Burst, Kinds};
use crate::counters::Counters;
use crate::fate::{DropReason, Fate};
use crate::frame::{Frame, Kind};
use crate::limits::BURST_LEN_MAX;
use crate::packet::{Address, is_no_source};
use crate::stages::route::{NextHop, Routes};

/// Opens every sealed frame of the burst that belongs to a session here, by the AEAD or by one of the caller's around it, who
/// measures it; what does not prove itself in every respect leaves.
#[inline]
pub fn open(
    burst: &mut Burst<'_>,
    sessions: &mut Sessions,
    routes: &Routes,
    (counters, now): (&Counters, Instant),
    aead: impl FnOnce(&mut [Job<'_>]),
) {
    if !burst.has_any(Kinds::of([Kind::Sealed])) {
        // Clients roam by handshakes as well.
        tell_roamed(sessions, counters);
        return aead(&mut []);
    }
    let are_many = sessions.are_many();
    if are_many {
        burst.undecided().filter(is_sealed).for_each(|frame| prefetch_session(frame, sessions));
    }
    burst.pass(
        |frame| {
            if frame.note.kind == Kind::Sealed { check(frame, sessions, now) } else { Ok(()) }
        },
    );
    if are_many {
        // The AEAD gives them time to come.
        burst.undecided().filter(is_sealed).for_each(|frame| {
            sessions.prefetch_owner(frame.note.slot);
        });
    }
    let verdicts = open_all(burst, sessions, aead);
    for (frame, accepted) in burst.undecided().filter(is_sealed).zip(verdicts) {
        if !accepted {
            if let Err(fate) = refuse(frame, sessions) {
                frame.fate = fate;
            }
            continue;
        }
        match accept(frame, sessions, routes, now) {
            Ok(()) => {
                counters.opened.add(1);
                counters.opened_octets.add(frame.len() as u64);
            }
            Err(fate) => frame.fate = fate,
        }
    }
    tell_roamed(sessions, counters);
}

#[inline]
fn tell_roamed(sessions: &mut Sessions, counters: &Counters) {
    if sessions.roamed > 0 {
        counters.roamed.add(std::mem::take(&mut sessions.roamed));
    }
}

fn is_sealed(frame: &&mut Frame<'_>) -> bool {
    frame.note.kind == Kind::Sealed
}

#[inline]
fn prefetch_session(frame: &Frame<'_>, sessions: &Sessions) {
    if let Ok((header, _)) = DataHeader::ref_from_prefix(frame.data()) {
        sessions.prefetch_receiving(frame.note.slot, header.counter.get());
    }
}

/// What can be known before the tag is: is there a session, is it young enough, is the counter new.
#[inline]
fn check(frame: &mut Frame<'_>, sessions: &Sessions, now: Instant) -> Result<(), Fate> {
    let (header, _) =
        DataHeader::ref_from_prefix(frame.data()).map_err(|_| drop(DropReason::ParseTruncated))?;
    let counter = header.counter.get();
    let receivable = match sessions.session(frame.note.slot) {
        Some(session) => session.receivable(counter, now),
        None => Err(Refused::Vacant),
    };
    if let Err(refused) = receivable {
        return without_key(frame, refused, sessions);
    }
    if frame.tailroom() + TAG_LEN < TAILROOM {
        return Err(drop(DropReason::ParseSegmented));
    }
    frame.note.counter = counter;
    Ok(())
}

/// In a fleet whoever has a slot without a session may have lost it with all others: see [`steer::revive`].
///
/// [`steer::revive`]: crate::stages::steer::revive
#[cold]
fn without_key(frame: &mut Frame<'_>, refused: Refused, sessions: &Sessions) -> Result<(), Fate> {
    if refused == Refused::Vacant {
        return orphan(frame, reason(refused), sessions);
    }
    Err(drop(reason(refused)))
}

/// One that shows whose it is may find its client's server; outside of a fleet it is lost under this name.
fn orphan(frame: &mut Frame<'_>, reason: DropReason, sessions: &Sessions) -> Result<(), Fate> {
    if frame.note.client_id == ClientId::ZERO || sessions.fleet.view().is_none() {
        return Err(drop(reason));
    }
    frame.note.kind = Kind::Orphan;
    Ok(())
}

const fn reason(refused: Refused) -> DropReason {
    match refused {
        Refused::Vacant => DropReason::WireguardUnknownIndex,
        Refused::Expired | Refused::Exhausted => DropReason::WireguardExpired,
        Refused::Replayed => DropReason::WireguardReplay,
    }
}

/// Runs the AEAD over all sealed frames; a verdict for each, in order.
fn open_all(
    burst: &mut Burst<'_>,
    sessions: &Sessions,
    aead: impl FnOnce(&mut [Job<'_>]),
) -> ArrayVec<bool, BURST_LEN_MAX> {
    let mut jobs = ArrayVec::<Job<'_>, BURST_LEN_MAX>::new();
    for frame in burst.undecided().filter(is_sealed) {
        let text_len = frame.len() - DATA_HEADER_LEN - TAG_LEN;
        let (slot, counter) = (frame.note.slot, frame.note.counter);
        let octets = frame.data_and_room().get_mut(DATA_HEADER_LEN..).unwrap_or_default();
        let job = sessions
            .session(slot)
            .and_then(|session| Job::new(session.receive_key(), counter, octets, text_len));
        // `check` has seen session and room. A frame without a job would get its neighbour's verdict, and a
        // forged one might pass.
        assert!(job.is_some(), "every checked frame is opened");
        jobs.extend(job);
    }
    aead(&mut jobs);
    jobs.iter().map(Job::accepted).collect()
}

/// A forged message; or, when it shows another id than the client of this session, perhaps one of a session that had the
/// slot before the server was started again.
#[cold]
fn refuse(frame: &mut Frame<'_>, sessions: &Sessions) -> Result<(), Fate> {
    let client = sessions.owner(frame.note.slot).and_then(|local| sessions.peer(local));
    if client.is_none_or(|peer| peer.client_id == frame.note.client_id) {
        return Err(drop(DropReason::WireguardTag));
    }
    orphan(frame, DropReason::WireguardTag, sessions)
}

/// What an authentic packet does, and what may still be wrong with it.
#[inline]
fn accept(
    frame: &mut Frame<'_>,
    sessions: &mut Sessions,
    routes: &Routes,
    now: Instant,
) -> Result<(), Fate> {
    let (slot, counter) = (frame.note.slot, frame.note.counter);
    let unknown = drop(DropReason::WireguardUnknownIndex);
    let session = sessions.session_mut(slot).ok_or(unknown)?;
    // A replay within this very burst has passed the check before.
    session.commit(counter).map_err(|refused| drop(reason(refused)))?;
    let renew = session.wants_rekey_after_receive(now);
    let local = sessions.owner(slot).ok_or(unknown)?;
    let text_len = frame.len() - DATA_HEADER_LEN - TAG_LEN;
    frame.pull(DATA_HEADER_LEN)?;
    frame.set_len(text_len)?;
    authentic(frame, sessions, (local, slot), now).ok_or(unknown)?;
    if renew {
        sessions.demand(local, now);
    }
    if frame.is_empty() {
        return Err(Fate::Consumed);
    }
    let (epoch, every_clients) = (sessions.routes_epoch(), sessions.every_clients);
    let peer = sessions.peer_mut(local).ok_or(unknown)?;
    unwrap_inner(frame, peer, (routes, epoch), every_clients)
}

/// Moves session, endpoint and timers on.
#[inline]
fn authentic(
    frame: &Frame<'_>,
    sessions: &mut Sessions,
    (local, slot): (u32, u32),
    now: Instant,
) -> Option<()> {
    let peer = sessions.peer_mut(local)?;
    let moved = peer.endpoint != Some(frame.note.endpoint);
    if moved {
        peer.endpoint = Some(frame.note.endpoint);
    }
    peer.received += (frame.len() + DATA_HEADER_LEN + TAG_LEN) as u64;
    let rearm = if frame.is_empty() {
        peer.timers.received_any(now);
        Rearm::No
    } else {
        peer.timers.received_data(now)
    };
    let (confirmed, retired) = peer.keyring.received_on(slot);
    if confirmed {
        peer.timers.confirmed();
        sessions.retire(retired);
        sessions.announce(local, false, now);
    }
    if moved {
        sessions.moved(local, frame.note.endpoint, now);
    }
    sessions.rearm_if(rearm, local);
    Some(())
}

/// The inner packet must be whole and its source the peer's own (cryptokey routing, and exact: the address
/// must lead back to this peer, not to one with a longer prefix), or the one that all have.
#[inline]
fn unwrap_inner(
    frame: &mut Frame<'_>,
    peer: &mut Peer,
    (routes, epoch): (&Routes, u32),
    every_clients: Option<Address>,
) -> Result<(), Fate> {
    let source = frame.read_ip().map_err(|_| drop(DropReason::WireguardInner))?;
    if !peer.has_proven(source, epoch) {
        let is_peers = || routes.lookup(source) == NextHop::Client(peer.number);
        if is_no_source(source) || every_clients != Some(source) && !is_peers() {
            return Err(drop(DropReason::WireguardSource));
        }
        peer.prove(source, epoch);
    }
    frame.set_len(frame.note.ip.len.into())?;
    frame.note.kind = Kind::Inner;
    frame.note.set_client(Some(peer.number));
    // The message was passed on to here; what was in it begins a way of its own.
    frame.note.passage = None;
    if frame.note.tos & ecn::MASK == ecn::Ecn::Ce.bits() {
        mark_congestion(frame)?;
    }
    Ok(())
}

/// The outer path met congestion: so says the inner packet from now on (RFC 6040 4.2).
pub(in crate::stages) fn mark_congestion(frame: &mut Frame<'_>) -> Result<(), Fate> {
    let tos = ecn::decap(frame.note.tos, frame.note.ip.tos)
        .map_err(|_| drop(DropReason::WireguardEcn))?;
    frame.note.ip.tos = tos;
    let octets = frame.data_mut();
    let inner = drop(DropReason::WireguardInner);
    if octets.first().is_some_and(|octet| octet >> 4 == 4) {
        ipv4::Header::of(octets).map_err(|_| inner)?.set_ecn(ecn::Ecn::of(tos));
    } else {
        ipv6::Header::of(octets).map_err(|_| inner)?.set_ecn(ecn::Ecn::of(tos));
    }
    Ok(())
}
