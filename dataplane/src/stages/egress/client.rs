//! Egress to a client: the outer UDP and IP headers around a WireGuard message.

use wire::{ipv4, ipv6, udp};

use crate::fate::{DropReason, Fate};
use crate::frame::{Endpoint, Frame, Kind};
use crate::packet::{Address, own};
use crate::site::Site;

/// Handshake messages ask for priority (DSCP AF41), as WireGuard's other implementations mark them.
pub const HANDSHAKE_TOS: u8 = 0x88;

const NO_ROUTE: Fate = Fate::Drop(DropReason::LinkNoRoute);

/// Puts UDP and IP headers before the message, from our address to `note.endpoint.remote`.
#[inline]
pub fn encap(frame: &mut Frame<'_>, site: &Site, tos: u8) -> Result<(), Fate> {
    let Endpoint { local, remote, remote_port, .. } = frame.note.endpoint;
    let ports = udp::Ports { source: site.listen_port, destination: remote_port };
    headers(frame, (local, remote), ports, tos)?;
    frame.note.kind = Kind::Outer;
    Ok(())
}

/// Puts UDP and IP headers before the message, from one address to another.
#[inline]
pub fn headers(
    frame: &mut Frame<'_>,
    (local, remote): (Address, Address),
    ports: udp::Ports,
    tos: u8,
) -> Result<(), Fate> {
    let out = frame.push(udp::HEADER_LEN)?;
    let len = out.len();
    match (local.v4(), remote.v4()) {
        (Some(source), Some(destination)) => {
            udp::emit_v4(out, ports, source, destination).map_err(|_| NO_ROUTE)?;
            let fields = ipv4::Fields {
                source,
                destination,
                protocol: udp::PROTOCOL,
                ttl: own::HOP_LIMIT,
                tos,
                // Routers may fragment data, as with WireGuard's other implementations, so each needs a name
                // of its own among its neighbours; the message counter is one (RFC 6864 4.3). Handshake
                // messages fit every path.
                identification: identification(frame.note.counter),
                dont_fragment: frame.note.kind != Kind::Inner,
                payload_len: len,
            };
            ipv4::emit(frame.push(ipv4::HEADER_LEN)?, &fields).map_err(|_| NO_ROUTE)?;
        }
        (None, None) => {
            let (source, destination) = (local.v6(), remote.v6());
            udp::emit_v6(out, ports, source, destination).map_err(|_| NO_ROUTE)?;
            let fields = ipv6::Fields {
                source,
                destination,
                protocol: udp::PROTOCOL,
                hop_limit: own::HOP_LIMIT,
                traffic_class: tos,
                flow_label: 0,
                payload_len: len,
            };
            ipv6::emit(frame.push(ipv6::HEADER_LEN)?, &fields).map_err(|_| NO_ROUTE)?;
        }
        (Some(_), None) | (None, Some(_)) => return Err(NO_ROUTE),
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "any sixteen bits that change will do")]
const fn identification(counter: u64) -> u16 {
    counter as u16
}
