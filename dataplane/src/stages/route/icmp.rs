//! The ICMP errors that a router owes the sender of an inner packet, made in place of the packet.

use std::net::{Ipv4Addr, Ipv6Addr};

use wire::{icmp, ipv4, ipv6};
use wireguard::time::Instant;

use super::Router;
use crate::fate::{DropReason, Fate};
use crate::frame::{Frame, Kind};
use crate::limiter::Limiter;
use crate::limits::{ICMP_ERRORS_BURST, ICMP_ERRORS_PER_SECOND};
use crate::packet::{Address, own};
use crate::site::Site;

/// What was wrong with the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stages) enum Why {
    NoRoute,
    Rejected,
    HopLimit,
    /// It is longer than this.
    TooBig(u16),
}

impl Why {
    /// The name under which the packet is counted when no error may be sent.
    pub(in crate::stages) const fn reason(self) -> DropReason {
        match self {
            Self::NoRoute => DropReason::RouteNone,
            Self::Rejected => DropReason::RouteRejected,
            Self::HopLimit => DropReason::RouteHopLimit,
            Self::TooBig(_) => DropReason::EgressTooBig,
        }
    }

    fn v4(self) -> icmp::v4::Error {
        match self {
            Self::NoRoute => icmp::v4::Error::NetworkUnreachable,
            Self::Rejected => icmp::v4::Error::Prohibited,
            Self::HopLimit => icmp::v4::Error::TimeExceeded,
            Self::TooBig(mtu) => icmp::v4::Error::FragmentationNeeded { mtu },
        }
    }

    fn v6(self) -> icmp::v6::Error {
        match self {
            Self::NoRoute => icmp::v6::Error::NoRoute,
            Self::Rejected => icmp::v6::Error::Prohibited,
            Self::HopLimit => icmp::v6::Error::TimeExceeded,
            Self::TooBig(mtu) => icmp::v6::Error::PacketTooBig { mtu: mtu.into() },
        }
    }
}

/// The limits of ICMP errors, one for each kind: who provokes one kind does not silence another
/// (RFC 4443 2.4 (f), RFC 1812 4.3.2.8).
#[derive(Debug)]
pub struct Limits {
    no_route: Limiter,
    rejected: Limiter,
    hop_limit: Limiter,
    too_big: Limiter,
    /// Errors that pass on what routers on the way of tunnels have told, which strangers can forge.
    reports: Limiter,
}

impl Default for Limits {
    fn default() -> Self {
        let each = Limiter::new(ICMP_ERRORS_PER_SECOND, ICMP_ERRORS_BURST);
        Self { no_route: each, rejected: each, hop_limit: each, too_big: each, reports: each }
    }
}

impl Limits {
    /// Whether one more report of a router on the way of a tunnel may be passed on.
    pub fn take_report(&mut self, now: Instant) -> bool {
        self.reports.take(now)
    }

    fn take(&mut self, why: Why, now: Instant) -> bool {
        match why {
            Why::NoRoute => self.no_route.take(now),
            Why::Rejected => self.rejected.take(now),
            Why::HopLimit => self.hop_limit.take(now),
            Why::TooBig(_) => self.too_big.take(now),
        }
    }
}

/// Turns the packet into the error about it, from the router to its source; or gives the name under which
/// it is lost.
pub(super) fn turn(
    frame: &mut Frame<'_>,
    why: Why,
    router: &mut Router<'_>,
    now: Instant,
) -> Result<(), Fate> {
    let lost = Fate::Drop(why.reason());
    let own = own_address(frame, router.site);
    let from = own.unwrap_or_else(|| router_address(frame, router.site));
    let sender = replace(frame, (why, from), router.limits, now).ok_or(lost)?;
    frame.note.kind = Kind::Inner;
    if frame.note.bare
        && let Some(own) = own
    {
        // To the station that it came from, as an answer to somebody unproven.
        (frame.note.endpoint.local, frame.note.endpoint.remote) = (own, sender);
        frame.note.kind = Kind::Outer;
    }
    // What another server has passed on is answered by a packet that begins a way of its own.
    frame.note.passage = None;
    Ok(())
}

/// The router's address of the family that a packet is of.
pub(in crate::stages) fn router_address(frame: &Frame<'_>, site: &Site) -> Address {
    let is_v4 = frame.note.ip.destination.is_v4();
    if is_v4 { site.router4.into() } else { site.router6.into() }
}

/// Puts the error about a packet in its place, from this address to its source; gives whom it is for, or none when nobody is owed
/// one now.
pub(in crate::stages) fn replace(
    frame: &mut Frame<'_>,
    (why, from): (Why, Address),
    limits: &mut Limits,
    now: Instant,
) -> Option<Address> {
    // An error about our own error would have its source, the router, as destination.
    if frame.note.turned {
        return None;
    }
    let sender: Address = if frame.note.ip.destination.is_v4() {
        let from = from.v4()?;
        let to = judge_v4(frame, why, limits, now)?;
        write_v4(frame, why.v4(), from, to)?;
        to.into()
    } else {
        let (error, from) = (why.v6(), from.v6());
        let to = judge_v6(frame, (why, error), (limits, from), now)?;
        write_v6(frame, error, from, to)?;
        to.into()
    };
    frame.note.turned = true;
    Some(sender)
}

/// Our address by which the network knows us where the packet came in, for one from the Internet or out of a tunnel.
fn own_address(frame: &Frame<'_>, site: &Site) -> Option<Address> {
    let note = &*frame.note;
    if !note.bare && note.tunnel == 0 {
        return None;
    }
    let own = site.face(note.endpoint.port)?.source_for(note.ip.destination)?;
    Some(own.into())
}

/// Whether the packet may be answered now, and whom.
fn judge_v4(frame: &Frame<'_>, why: Why, limits: &mut Limits, now: Instant) -> Option<Ipv4Addr> {
    let offender = ipv4::parse_unverified(frame.data()).ok()?;
    let payload = frame.data().get(offender.payload_offset..)?;
    let may = icmp::v4::may_answer(&offender, payload, false) && limits.take(why, now);
    may.then_some(offender.source)
}

fn judge_v6(
    frame: &Frame<'_>,
    (why, error): (Why, icmp::v6::Error),
    (limits, from): (&mut Limits, Ipv6Addr),
    now: Instant,
) -> Option<Ipv6Addr> {
    let offender = ipv6::parse(frame.data()).ok()?;
    let payload = frame.data().get(offender.payload_offset..)?;
    // A server without any IPv6 address has nothing to send an error from.
    let may = !from.is_unspecified()
        && icmp::v6::may_answer(error, &offender, payload, false)
        && limits.take(why, now);
    may.then_some(offender.source)
}

/// The quoted packet moves behind the headers that are put before it: IP and ICMP.
fn make_room(
    frame: &mut Frame<'_>,
    header_len: usize,
    quote_len_max: usize,
) -> Option<[u8; QUOTE]> {
    let quoted = frame.len().min(quote_len_max);
    let mut copy = [0; QUOTE];
    copy.get_mut(..quoted)?.copy_from_slice(frame.data().get(..quoted)?);
    frame.set_len(header_len + icmp::HEADER_LEN + quoted).ok()?;
    Some(copy)
}

/// The longest quote of both families.
const QUOTE: usize = icmp::v6::QUOTE_LEN_MAX;

/// Puts an error about the packet in its place.
pub(in crate::stages) fn write_v4(
    frame: &mut Frame<'_>,
    error: icmp::v4::Error,
    source: Ipv4Addr,
    destination: Ipv4Addr,
) -> Option<()> {
    let copy = make_room(frame, ipv4::HEADER_LEN, icmp::v4::QUOTE_LEN_MAX)?;
    let payload_len = frame.len() - ipv4::HEADER_LEN;
    let offender = copy.get(..payload_len - icmp::HEADER_LEN)?;
    let (header, body) = frame.data_mut().split_at_mut_checked(ipv4::HEADER_LEN)?;
    icmp::v4::emit_error(body, error, offender).ok()?;
    let ends = (source.into(), destination.into());
    own::emit(header, ends, (icmp::v4::PROTOCOL, 0), payload_len).ok()?;
    frame.read_ip().ok().map(|_| ())
}

/// Puts an error about the packet in its place.
pub(in crate::stages) fn write_v6(
    frame: &mut Frame<'_>,
    error: icmp::v6::Error,
    source: Ipv6Addr,
    destination: Ipv6Addr,
) -> Option<()> {
    let copy = make_room(frame, ipv6::HEADER_LEN, QUOTE)?;
    let payload_len = frame.len() - ipv6::HEADER_LEN;
    let offender = copy.get(..payload_len - icmp::HEADER_LEN)?;
    let (header, body) = frame.data_mut().split_at_mut_checked(ipv6::HEADER_LEN)?;
    icmp::v6::emit_error(body, error, source, destination, offender).ok()?;
    let ends = (source.into(), destination.into());
    own::emit(header, ends, (icmp::v6::PROTOCOL, 0), payload_len).ok()?;
    frame.read_ip().ok().map(|_| ())
}
