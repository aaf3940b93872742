//! Stage 8: inner packets to clients are sealed; those to clients that have no session here wait for one, or go to the
//! server that has it.

use arrayvec::ArrayVec;
use wire::ecn;
use wire::fleet::Step;
use wireguard::aead::{Job, TAG_LEN, TAILROOM};
use wireguard::limits::PADDING;
use wireguard::message::{ClientId, DATA_HEADER_LEN, DataHeader};
use wireguard::time::Instant;
use zerocopy::IntoBytes;

use super::drop;
use super::sessions::Sessions;
use crate::burst::Burst;
use crate::counters::Counters;
use crate::fate::{DropReason, Fate, Waiting};
use crate::fleet::Passage;
use crate::frame::{Entry, Frame, Kind};
use crate::limits::{ABSENCE_TIME, BURST_LEN_MAX, CALLING_TIME};
use crate::site::{Site, local_number};
use crate::stages::egress::client;
use crate::stages::route::NextHop;
use crate::stages::steer;

/// Seals every inner frame whose next hop is a client of this worker, by the AEAD or by one of the caller's around it, who
/// measures it, and puts the outer headers on it.
#[inline]
pub fn seal(
    burst: &mut Burst<'_>,
    sessions: &mut Sessions,
    site: &Site,
    (counters, now): (&Counters, Instant),
    aead: impl FnOnce(&mut [Job<'_>]),
) {
    if burst.is_outer() {
        return aead(&mut []);
    }
    if sessions.are_many() {
        prefetch_peers(burst, sessions, site);
    }
    burst.pass(|frame| match (frame.note.kind, frame.note.next_hop) {
        (Kind::Inner, NextHop::Client(number)) => {
            let local = local_number(number, site.workers);
            prepare(frame, local, sessions, site, now)?;
            if frame.note.kind == Kind::Foreign {
                return Ok(());
            }
            counters.sealed.add(1);
            counters.sealed_octets.add((frame.len() - DATA_HEADER_LEN) as u64);
            Ok(())
        }
        _ => Ok(()),
    });
    seal_all(burst, sessions, aead);
    burst.pass(|frame| if is_ready(&frame) { finish(frame, site) } else { Ok(()) });
}

/// A peer names its session, so its lines have to be there before those of the session can be asked for.
fn prefetch_peers(burst: &mut Burst<'_>, sessions: &Sessions, site: &Site) {
    let local = |frame: &Frame<'_>| match (frame.note.kind, frame.note.next_hop) {
        (Kind::Inner, NextHop::Client(number)) => Some(local_number(number, site.workers)),
        _ => None,
    };
    burst
        .undecided()
        .filter_map(|frame| local(frame))
        .for_each(|peer| sessions.prefetch_peer(peer));
    burst.undecided().filter_map(|frame| local(frame)).for_each(|peer| {
        sessions.prefetch_sending(peer);
    });
}

fn is_ready(frame: &&mut Frame<'_>) -> bool {
    frame.note.kind == Kind::Inner && matches!(frame.note.next_hop, NextHop::Client(_))
}

/// Finds the session, takes a counter, pads the packet and puts the message's header before it: what is
/// written here has reached the cache when the checksum reads it after the AEAD.
#[inline]
fn prepare(
    frame: &mut Frame<'_>,
    local: u32,
    sessions: &mut Sessions,
    site: &Site,
    now: Instant,
) -> Result<(), Fate> {
    let Some(slot) = sessions.sending(local, now) else {
        return without_session(frame, local, sessions, now);
    };
    let session = sessions.session_mut(slot).ok_or(drop(DropReason::SealExhausted))?;
    let Ok(counter) = session.reserve(now) else {
        sessions.demand(local, now);
        return Err(drop(DropReason::SealExhausted));
    };
    let remote_index = session.remote_index();
    let renew = session.wants_rekey_after_send(now);
    frame.note.slot = slot;
    frame.note.counter = counter;
    let keepalive = frame.is_empty();
    pad(frame, site)?;
    let client_id = sent(frame, (local, keepalive), sessions, now)?;
    if renew {
        sessions.demand(local, now);
    }
    let header = DataHeader::new(client_id, remote_index, counter);
    // The room was made for exactly this.
    header
        .write_to_prefix(frame.push(DATA_HEADER_LEN)?)
        .map_err(|_| drop(DropReason::ParseSegmented))
}

#[inline]
fn pad(frame: &mut Frame<'_>, site: &Site) -> Result<(), Fate> {
    let len = frame.len();
    // Padding may not make a packet larger than the path takes.
    let padded = len.next_multiple_of(PADDING).min(site.inner_mtu.max(len));
    if frame.tailroom() < TAILROOM + padded - len {
        return Err(drop(DropReason::EgressTooBig));
    }
    frame.set_len(padded)?;
    if let Some(padding) = frame.data_mut().get_mut(len..) {
        padding.fill(0);
    }
    Ok(())
}

/// What sending means for the peer's timers; notes where it is, and gives its client id.
#[inline]
fn sent(
    frame: &mut Frame<'_>,
    (local, keepalive): (u32, bool),
    sessions: &mut Sessions,
    now: Instant,
) -> Result<ClientId, Fate> {
    let peer = sessions.peer_mut(local).ok_or(drop(DropReason::SealNoPeer))?;
    frame.note.endpoint = peer.endpoint.ok_or(drop(DropReason::SealNoEndpoint))?;
    peer.sent += (frame.len() + DATA_HEADER_LEN + TAG_LEN) as u64;
    let client_id = peer.client_id;
    if keepalive {
        peer.timers.sent_any(now);
    } else {
        let rearm = peer.timers.sent_data(now);
        sessions.rearm_if(rearm, local);
    }
    Ok(client_id)
}

/// A client that has no session here has one with another server, or is called.
#[cold]
fn without_session(
    frame: &mut Frame<'_>,
    local: u32,
    sessions: &mut Sessions,
    now: Instant,
) -> Result<(), Fate> {
    let Some(peer) = sessions.peer_mut(local).filter(|peer| peer.is_known()) else {
        return Err(drop(DropReason::SealNoPeer));
    };
    let (id, has_endpoint) = (peer.id, peer.endpoint.is_some());
    let is_first = frame.note.passage.is_none_or(|came| came.step == Step::First);
    if !has_endpoint && is_first && now < peer.absent_until {
        return Err(drop(DropReason::SealNoEndpoint));
    }
    // Frames of our own are for sessions here.
    if frame.note.entry != Entry::Own {
        let verdict = sessions.fleet.walk(id, frame.note.passage, now);
        if let Some(passage) = steer::onward(verdict)? {
            frame.note.kind = Kind::Foreign;
            frame.note.passage = Some(Passage { inner: true, ..passage });
            return Ok(());
        }
    }
    if !has_endpoint {
        // Nobody has it: whoever sends it more does not have all others asked for each packet.
        if let Some(peer) = sessions.peer_mut(local) {
            peer.absent_until = now + ABSENCE_TIME;
        }
        return Err(drop(DropReason::SealNoEndpoint));
    }
    if frame.note.entry != Entry::Own {
        // Nobody else has it: from here on it is this server's.
        sessions.fleet.holdings.hold(id, now + CALLING_TIME);
    }
    sessions.demand(local, now);
    Err(Fate::Hold(Waiting::Peer(local)))
}

fn seal_all(burst: &mut Burst<'_>, sessions: &Sessions, aead: impl FnOnce(&mut [Job<'_>])) {
    let mut jobs = ArrayVec::<Job<'_>, BURST_LEN_MAX>::new();
    for frame in burst.undecided().filter(is_ready) {
        let (slot, counter) = (frame.note.slot, frame.note.counter);
        let len = frame.len() - DATA_HEADER_LEN;
        let octets = frame.data_and_room().get_mut(DATA_HEADER_LEN..).unwrap_or_default();
        let job = sessions
            .session(slot)
            .and_then(|session| Job::new(session.send_key(), counter, octets, len));
        // `prepare` has seen session and room; a frame without a job would go out in the clear.
        assert!(job.is_some(), "every prepared frame is sealed");
        jobs.extend(job);
    }
    aead(&mut jobs);
}

/// The tag belongs to the packet now; the outer headers come before it.
#[inline]
fn finish(frame: &mut Frame<'_>, site: &Site) -> Result<(), Fate> {
    frame.set_len(frame.len() + TAG_LEN)?;
    client::encap(frame, site, ecn::encap(0, frame.note.ip.tos))
}
