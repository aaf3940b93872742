//! Egress to a tenant's router and ingress from it: GRE (RFC 2784, RFC 2890). No state: any server may do it for any tunnel.

use wire::{ecn, ipv4, ipv6};

use super::tunnels::{Own, Tunnel};
use crate::fate::{DropReason, Fate};
use crate::frame::{Endpoint, Frame, Kind};

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
    tunnel.outer.emit(packet, &own).ok_or(Fate::Drop(DropReason::EgressTooBig))?;
    let note = &mut *frame.note;
    note.endpoint = Endpoint {
        remote: tunnel.ends.remote,
        local: tunnel.ends.local,
        remote_port: 0,
        port: tunnel.port,
    };
    note.kind = Kind::Outer;
    // An error that we made goes to the router as any packet, not to the station from which its cause came.
    note.turned = false;
    Ok(())
}
