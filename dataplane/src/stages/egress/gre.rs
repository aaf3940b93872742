//! Egress to a tenant's router and ingress from it: GRE (RFC 2784, RFC 2890). No state: any server may do it for any tunnel.

mod report;
mod size;

use wire::{ecn, gre, ipv4, ipv6};

use super::tunnels::{Ends, Own, Tunnel, Tunnels};
use crate::fate::{DropReason, Fate};
use crate::frame::{Endpoint, Frame, Kind, Note};
use crate::packet::{Address, Ip};
use crate::site::Site;
use crate::stages::dos::{OWN, Tenants};

pub use report::{Report, translate};
pub use size::{Size, clamp, fits};

const fn drop(reason: DropReason) -> Fate {
    Fate::Drop(reason)
}

/// Puts a tunnel's headers before an inner packet that fits it. By `hash`, of the inner flow, routers choose among equal
/// ways (RFC 6438); `identification` tells the packet from those sent shortly before and after it, where the outer packet
/// may be fragmented (RFC 6864 4.3). Sequence numbers are not sent: any server may send, and none knows those of the
/// others.
#[inline]
pub fn encap(
    frame: &mut Frame<'_>,
    tunnel: &Tunnel,
    hash: u32,
    identification: u16,
) -> Result<(), Fate> {
    let inner = &frame.note.ip;
    let own = Own {
        // The inner packet's DSCP, and its ECN in normal mode (RFC 6040 4.1).
        tos: ecn::encap(inner.tos, inner.tos),
        ethertype: if inner.destination.is_v4() { ipv4::ETHERTYPE } else { ipv6::ETHERTYPE },
        flow_label: hash,
        // What is not fragmented needs no name (RFC 6864 4.1).
        identification: if tunnel.clears_df { identification } else { 0 },
    };
    let packet = frame.push(tunnel.overhead().into())?;
    tunnel.outer.emit(packet, &own).ok_or(drop(DropReason::EgressTooBig))?;
    address(frame.note, tunnel);
    Ok(())
}

/// The packet is an outer one, to the tunnel's router.
#[inline]
fn address(note: &mut Note, tunnel: &Tunnel) {
    let Ends { local, remote, .. } = tunnel.ends;
    note.endpoint = Endpoint { remote, local, remote_port: 0, port: tunnel.port };
    note.kind = Kind::Outer;
    // An error that we made goes to the router as any packet, not to the station from which its cause came.
    note.turned = false;
}

/// What was in an outer packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decapped {
    /// An inner packet, from its IP header on, with the number of its tunnel. Whether its source may send it is still to
    /// be asked: [`admit_source`].
    Inner(u16),
    /// The router's question whether the tunnel works, which is its own answer: now an outer packet to the router.
    Keepalive(u16),
}

/// Takes the outer headers off a packet to one of our addresses that `note.endpoint` tells. Sequence numbers are not looked
/// at: packets of one flow come to many servers, and none sees all of them.
#[inline]
pub fn decap(frame: &mut Frame<'_>, tunnels: &Tunnels, site: &Site) -> Result<Decapped, Fate> {
    let Ip { tos, fragment, payload_offset, len, .. } = frame.note.ip;
    let broken = drop(DropReason::EgressGreHeader);
    if fragment {
        return Err(broken);
    }
    frame.set_len(len.into())?;
    frame.pull(payload_offset.into())?;
    let header = gre::parse(frame.data()).map_err(|_| broken)?;
    let Endpoint { local, remote, .. } = frame.note.endpoint;
    let ends = Ends { local, remote, key: header.key };
    let (number, tunnel) = tunnels.of(&ends).ok_or(drop(DropReason::EgressGreTunnel))?;
    frame.pull(header.payload_offset)?;
    let source = read_inner(frame, header.protocol)?;
    if source == local && is_keepalive(frame, remote) {
        address(frame.note, tunnel);
        return Ok(Decapped::Keepalive(number));
    }
    let ip = &frame.note.ip;
    if ip.protocol == gre::PROTOCOL && site.owns(ip.destination) {
        return Err(drop(DropReason::EgressGreRecursion));
    }
    mark_congestion(frame, tos)?;
    frame.note.kind = Kind::Inner;
    Ok(Decapped::Inner(number))
}

/// The inner packet must be whole, and of the family that the GRE header says. Gives its source.
#[inline]
fn read_inner(frame: &mut Frame<'_>, ethertype: u16) -> Result<Address, Fate> {
    let broken = drop(DropReason::EgressGrePayload);
    let version = frame.data().first().map(|octet| octet >> 4);
    if !matches!((ethertype, version), (ipv4::ETHERTYPE, Some(4)) | (ipv6::ETHERTYPE, Some(6))) {
        return Err(broken);
    }
    let source = frame.read_ip().map_err(|_| broken)?;
    frame.set_len(frame.note.ip.len.into())?;
    Ok(source)
}

/// Whether an inner packet from our end of its tunnel is a keepalive: a packet that leads back to the router, in which
/// nothing is carried (protocol type 0). So routers of Cisco and others ask, and any far end answers that routes it.
#[cold]
fn is_keepalive(frame: &Frame<'_>, remote: Address) -> bool {
    let ip = &frame.note.ip;
    if ip.destination != remote || ip.protocol != gre::PROTOCOL || ip.fragment {
        return false;
    }
    let payload = frame.data().get(usize::from(ip.payload_offset)..).unwrap_or_default();
    gre::parse(payload).is_ok_and(|header| header.protocol == 0)
}

/// What the outer path says of congestion becomes the inner packet's (RFC 6040 4.2).
#[inline]
pub(super) fn mark_congestion(frame: &mut Frame<'_>, outer_tos: u8) -> Result<(), Fate> {
    let ip = &mut frame.note.ip;
    let congested = drop(DropReason::EgressGreEcn);
    let tos = ecn::decap(outer_tos, ip.tos).map_err(|_| congested)?;
    if tos == ip.tos {
        return Ok(());
    }
    ip.tos = tos;
    let (is_v4, ecn) = (ip.destination.is_v4(), ecn::Ecn::of(tos));
    let broken = drop(DropReason::EgressGrePayload);
    if is_v4 {
        ipv4::Header::of(frame.data_mut()).map_err(|_| broken)?.set_ecn(ecn);
    } else {
        ipv6::Header::of(frame.data_mut()).map_err(|_| broken)?.set_ecn(ecn);
    }
    Ok(())
}

/// A tenant's router sends what is the tenant's own, and nothing else; its probes ([`Tunnel::inside`]) are the caller's to
/// know before.
#[inline]
pub fn admit_source(frame: &Frame<'_>, tunnel: &Tunnel, tenants: &Tenants) -> Result<(), Fate> {
    let tenant = frame.note.ip.source_in(frame.data()).map_or(OWN, |source| tenants.of(source));
    if tenant == OWN || tenant != tunnel.tenant {
        return Err(drop(DropReason::EgressGreSource));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
