//! Packets for other servers of the fleet: carried whole in GRE-in-UDP (RFC 8086) to the server that has their client.

use wire::fleet::{self, Header};
use wire::{ipv4, ipv6, udp};
use wireguard::time::Instant;

use super::too_big;
use crate::burst::Burst;
use crate::counters::Counters;
use crate::fate::{DropReason, Fate};
use crate::fleet::{Fleet, Passage, View};
use crate::frame::{Endpoint, Entry, Frame, Kind};
use crate::limiter::Limiter;
use crate::packet::{Address, broken, flow_hash, own};
use crate::stages::egress::client;

/// What passing on needs beside the frame.
#[derive(Debug)]
pub struct Forwarding<'a> {
    /// The other servers.
    pub fleet: &'a Fleet,
    /// The UDP port of WireGuard.
    pub listen_port: u16,
    /// The limit of answers to packets that are too big for the way.
    pub limiter: &'a mut Limiter,
    /// This worker's counters.
    pub counters: &'a Counters,
}

const fn drop(reason: DropReason) -> Fate {
    Fate::Drop(reason)
}

/// Puts the fleet's headers on every frame for another server.
pub fn pass_on(burst: &mut Burst<'_>, forwarding: &mut Forwarding<'_>, now: Instant) {
    let Some(view) = forwarding.fleet.view() else { return };
    burst.pass(|frame| {
        if frame.note.kind != Kind::Foreign {
            return Ok(());
        }
        let passage = frame.note.passage.ok_or(drop(DropReason::SteerForeignServer))?;
        if frame.note.entry == Entry::Own {
            as_it_came(frame, forwarding.listen_port)?;
        }
        let path = view.path(passage.server).ok_or(drop(DropReason::SteerForeignServer))?;
        let overhead = overhead(path);
        if frame.len() + overhead > view.mtu() {
            let mtu = view.mtu() - overhead;
            return too_big::answer(frame, mtu, forwarding.limiter, now);
        }
        carry(frame, passage.server, &passage.header(), (view, path))?;
        forwarding.counters.passed_on.add(1);
        Ok(())
    });
}

/// Octets that the fleet's headers take on this way.
const fn overhead(path: &Endpoint) -> usize {
    let ip = if path.remote.is_v4() { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
    ip + fleet::HEADER_LEN
}

/// A handshake message that was looked at here becomes the packet again that it came in.
#[cold]
fn as_it_came(frame: &mut Frame<'_>, listen_port: u16) -> Result<(), Fate> {
    let Endpoint { remote, local, remote_port, .. } = frame.note.endpoint;
    let ports = udp::Ports { source: remote_port, destination: listen_port };
    client::headers(frame, (remote, local), ports, client::HANDSHAKE_TOS)?;
    frame.read_ip().map_err(broken)?;
    Ok(())
}

const NO_ROUTE: Fate = Fate::Drop(DropReason::LinkNoRoute);

#[inline]
fn carry(
    frame: &mut Frame<'_>,
    server: u8,
    header: &Header,
    (view, path): (&View, &Endpoint),
) -> Result<(), Fate> {
    let tos = frame.note.ip.tos;
    let source_port = entropy(frame);
    let proof = view.proof(header.key(), (view.own(), server), frame.data());
    let out = frame.push(fleet::HEADER_LEN)?;
    fleet::emit(out, source_port, &Header { proof, ..*header }).map_err(|_| NO_ROUTE)?;
    let payload_len = frame.len();
    match (path.local.v4(), path.remote.v4()) {
        (Some(source), Some(destination)) => {
            let fields = ipv4::Fields {
                source,
                destination,
                protocol: udp::PROTOCOL,
                ttl: own::HOP_LIMIT,
                tos,
                // Nothing is fragmented on the way, so it needs no name (RFC 6864 4.1).
                identification: 0,
                dont_fragment: true,
                payload_len,
            };
            ipv4::emit(frame.push(ipv4::HEADER_LEN)?, &fields).map_err(|_| NO_ROUTE)?;
        }
        (None, None) => {
            let fields = ipv6::Fields {
                source: path.local.v6(),
                destination: path.remote.v6(),
                protocol: udp::PROTOCOL,
                hop_limit: own::HOP_LIMIT,
                traffic_class: tos,
                flow_label: 0,
                payload_len,
            };
            ipv6::emit(frame.push(ipv6::HEADER_LEN)?, &fields).map_err(|_| NO_ROUTE)?;
        }
        (Some(_), None) | (None, Some(_)) => return Err(NO_ROUTE),
    }
    frame.note.endpoint = *path;
    frame.note.kind = Kind::Outer;
    frame.note.turned = false;
    Ok(())
}

/// The first port of those that carry entropy (RFC 8086 3.2.1 asks for the dynamic range).
const ENTROPY_BASE: u16 = 49_152;

/// A source port that is the same for all packets of a flow: queues and paths are chosen by it, and none reorders a flow.
#[inline]
pub(in crate::stages) fn entropy(frame: &Frame<'_>) -> u16 {
    let hash = flow_hash(frame.data(), &frame.note.ip);
    // The top fourteen bits.
    ENTROPY_BASE | u16::try_from(hash >> 18).unwrap_or(0)
}

/// Reads the header of a packet that another server has passed on, and moves the frame's start from the outer IP header to
/// what is carried.
#[inline]
pub fn unwrap(
    frame: &mut Frame<'_>,
    view: &View,
    (sender, receiver): (Address, Address),
) -> Result<(), Fate> {
    let outsider = drop(DropReason::SteerOutsider);
    if !view.is_own_address(receiver) {
        return Err(outsider);
    }
    let server = view.member_at(sender).filter(|server| *server != view.own()).ok_or(outsider)?;
    frame.pull(usize::from(frame.note.ip.payload_offset) + udp::HEADER_LEN)?;
    let (header, _, offset) =
        fleet::parse(frame.data()).map_err(|_| drop(DropReason::SteerHeader))?;
    frame.pull(offset)?;
    if header.proof != view.proof(header.key(), (server, view.own()), frame.data()) {
        return Err(outsider);
    }
    frame.note.passage = Some(Passage::of(server, &header));
    Ok(())
}
