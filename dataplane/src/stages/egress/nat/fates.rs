//! What becomes of packets that are not a client's answer.

use flows::Refusal;
use wire::ipv4;

use crate::fate::{DropReason, Fate};
use crate::frame::Frame;
use crate::site::Site;
use crate::stages::route::{leave, spend_hop};

use super::drop;

/// A reply that may not go to its client: its sender is to hear of that as it has sent it, so the route's stage tells him, unless
/// it is a client himself.
#[cold]
pub(super) fn not_on(ip: Option<ipv4::Located>, site: &Site) -> Result<(), Fate> {
    match ip {
        Some(ip) if site.is_clients(ip.source.into()) => Err(drop(if ip.ttl <= 1 {
            DropReason::RouteHopLimit
        } else {
            DropReason::EgressTooBig
        })),
        Some(_) | None => Ok(()),
    }
}

/// From one side of a flow between data centres to the other.
pub(super) fn onward(frame: &mut Frame<'_>, site: &Site) -> Result<(), Fate> {
    let (port, face) =
        site.way_to(frame.note.ip.destination).ok_or(drop(DropReason::LinkNoRoute))?;
    if frame.len() > face.mtu {
        return Err(drop(DropReason::EgressTooBig));
    }
    spend_hop(frame).ok_or(drop(DropReason::RouteHopLimit))?;
    leave(frame, port);
    Ok(())
}

/// The name under which a packet is lost.
#[cold]
pub(super) const fn named(refusal: Refusal) -> Fate {
    drop(match refusal {
        Refusal::Truncated => DropReason::EgressNatHeader,
        Refusal::Protocol | Refusal::Icmp => DropReason::EgressNatProtocol,
        Refusal::Family | Refusal::NoAddress => DropReason::EgressNoNat,
        Refusal::NoFlow => DropReason::EgressNatState,
        Refusal::NoMapping => DropReason::EgressNatUnknown,
        Refusal::Filtered => DropReason::EgressNatFiltered,
        Refusal::Client | Refusal::ClientFlows | Refusal::ClientPorts | Refusal::ClientSetups => {
            DropReason::EgressNatClient
        }
        Refusal::TableFull => DropReason::EgressNatFull,
        Refusal::PortsExhausted | Refusal::Conflict => DropReason::EgressNatPorts,
        Refusal::ErrorUnmatched | Refusal::ErrorImplausible | Refusal::ErrorChecksum => {
            DropReason::EgressNatError
        }
        Refusal::FragmentEarly => DropReason::EgressNatFragment,
    })
}
