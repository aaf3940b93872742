//! Clients' IPv6 to the Internet and back: as it is, or under another prefix (RFC 6296). Nothing is remembered of it, so any
//! worker does it.

use flows::nptv6::Refusal;
use wire::icmp;

use crate::burst::Burst;
use crate::counters::Counters;
use crate::fate::{DropReason, Fate};
use crate::frame::{Frame, Kind};
use crate::site::{Nat, Site};
use crate::stages::egress::gre;
use crate::stages::route::{NextHop, leave};

use super::homes::is_elsewhere;
use super::{Outside, is_outward};

/// What comes from the Internet becomes what is routed to its client; what one client sends to another's outer address does not
/// even leave (RFC 6296 3.6).
pub(super) fn undress(
    burst: &mut Burst<'_>,
    (site, nat): (&Site, &Nat),
    outside: Outside<'_>,
    has_guests: bool,
) {
    burst.pass(|frame| {
        let is_reply = frame.note.kind == Kind::Reply;
        let is_inner = frame.note.kind == Kind::Inner && !frame.note.bare;
        if !(is_reply || is_inner) || frame.note.ip.destination.is_v4() {
            Ok(())
        } else if is_reply {
            if has_guests && is_elsewhere(frame.note.ip.destination, nat, outside.routes) {
                return Ok(());
            }
            back(frame, (site, nat), outside.counters)
        } else {
            turn_back(frame, nat)
        }
    });
}

fn back(
    frame: &mut Frame<'_>,
    (site, nat): (&Site, &Nat),
    counters: &Counters,
) -> Result<(), Fate> {
    let is_clients = nat.holds(frame.note.ip.destination);
    if !is_clients || frame.len() > site.inner_mtu || frame.note.ip.hop_limit <= 1 {
        // It is a segment to the CONNECT port, or its sender is to hear of that as he has sent it: the route's stage tells him.
        return Ok(());
    }
    inward(frame, nat)?;
    frame.note.kind = Kind::Inner;
    gre::clamp(frame, u16::try_from(site.inner_mtu).unwrap_or(u16::MAX));
    counters.translated_in.add(1);
    Ok(())
}

/// Leaves by a prefix of the server's.
pub(super) fn dress(burst: &mut Burst<'_>, (site, nat): (&Site, &Nat), counters: &Counters) {
    burst.pass(|frame| {
        // What goes by another data centre is translated there.
        if !is_outward(frame)
            || frame.note.ip.destination.is_v4()
            || frame.note.next_hop != NextHop::Direct
        {
            return Ok(());
        }
        outward(frame, nat)?;
        gre::clamp(frame, u16::try_from(site.inner_mtu).unwrap_or(u16::MAX));
        counters.translated_out.add(1);
        leave(frame, frame.note.endpoint.port);
        Ok(())
    });
}

#[inline]
fn turn_back(frame: &mut Frame<'_>, nat: &Nat) -> Result<(), Fate> {
    if nat.inward(frame.note.ip.destination).is_none() {
        return Ok(());
    }
    outward(frame, nat)?;
    inward(frame, nat)
}

pub(super) fn outward(frame: &mut Frame<'_>, nat: &Nat) -> Result<(), Fate> {
    let source = frame.note.ip.source_in(frame.data());
    let Some(prefixes) = source.and_then(|source| nat.outward(source)) else { return Ok(()) };
    let about = upper(frame);
    prefixes.carry_out(frame.data_mut(), about.0, about.1).map_err(named)
}

pub(super) fn inward(frame: &mut Frame<'_>, nat: &Nat) -> Result<(), Fate> {
    let Some(prefixes) = nat.inward(frame.note.ip.destination) else { return Ok(()) };
    let about = upper(frame);
    prefixes.carry_in(frame.data_mut(), about.0, about.1).map_err(named)?;
    let destination = frame.note.ip.destination_in(frame.data());
    frame.note.ip.destination = destination.ok_or(Fate::Drop(DropReason::EgressNatHeader))?;
    Ok(())
}

/// The upper protocol and where its header is; of a piece none, as errors are not in pieces (RFC 4443 2.4 (c)).
#[inline]
fn upper(frame: &Frame<'_>) -> (u8, usize) {
    let ip = &frame.note.ip;
    let is_error = ip.protocol == icmp::v6::PROTOCOL && !ip.fragment;
    (if is_error { ip.protocol } else { NO_NEXT_HEADER }, ip.payload_offset.into())
}

/// RFC 8200 4.7.
const NO_NEXT_HEADER: u8 = 59;

#[cold]
const fn named(refusal: Refusal) -> Fate {
    Fate::Drop(match refusal {
        Refusal::Prefix | Refusal::Address => DropReason::EgressNatPrefix,
        Refusal::Truncated => DropReason::EgressNatHeader,
        Refusal::Error => DropReason::EgressNatError,
    })
}
