//! A client's packet that does not fit the way to the server that has it: the client is told the size that does
//! (RFC 1191, RFC 8201), and has to be set to a smaller MTU.

use std::net::IpAddr;

use wire::{icmp, ipv4, ipv6, udp};
use wireguard::time::Instant;

use crate::fate::{DropReason, Fate};
use crate::frame::{Endpoint, Frame, Kind};
use crate::limiter::Limiter;
use crate::stages::route::icmp as turn;

const LOST: Fate = Fate::Drop(DropReason::SteerTooBig);

/// Turns the packet into the error about it, from the address it was sent to. Inner packets get theirs where they are
/// routed, for no packet to a client may be larger than this way takes.
#[cold]
pub(super) fn answer(
    frame: &mut Frame<'_>,
    mtu: usize,
    limiter: &mut Limiter,
    now: Instant,
) -> Result<(), Fate> {
    let is_inner = frame.note.passage.is_none_or(|passage| passage.inner);
    // No error is sent about an error (RFC 1122 3.2.2, RFC 4443 2.4 (e)): only messages are answered.
    let is_message = !is_inner && frame.note.ip.protocol == udp::PROTOCOL;
    // What came by way of another server was measured there, and nothing is left of the station that sent it.
    if !is_message || frame.sender().is_none() || !limiter.take(now) {
        return Err(LOST);
    }
    let (source, destination) = addresses(frame).ok_or(LOST)?;
    let turned = match (source, destination) {
        (IpAddr::V4(client), IpAddr::V4(own)) => {
            let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
            turn::write_v4(frame, icmp::v4::Error::FragmentationNeeded { mtu }, own, client)
        }
        (IpAddr::V6(client), IpAddr::V6(own)) => {
            let mtu = u32::try_from(mtu).unwrap_or(u32::MAX);
            turn::write_v6(frame, icmp::v6::Error::PacketTooBig { mtu }, own, client)
        }
        _ => None,
    };
    turned.ok_or(LOST)?;
    let port = frame.note.endpoint.port;
    frame.note.endpoint = Endpoint::new((source, 0).into(), destination, port);
    frame.note.kind = Kind::Outer;
    frame.note.passage = None;
    // The source is not proven: the answer goes back to the station that sent the packet.
    frame.note.turned = true;
    Ok(())
}

fn addresses(frame: &Frame<'_>) -> Option<(IpAddr, IpAddr)> {
    if let Ok(ip) = ipv4::parse_unverified(frame.data()) {
        return Some((ip.source.into(), ip.destination.into()));
    }
    let ip = ipv6::parse(frame.data()).ok()?;
    Some((ip.source.into(), ip.destination.into()))
}
