//! Events about the rings, peers, the server and the fleet to words and back.

use std::net::SocketAddr;
use std::time::Duration;

use zerocopy::transmute_mut;

use super::super::address::Endpoint;
use super::super::{Malformed, PublicKey, public_key, reserved};
use super::{
    APPLIED, DESYNCHRONISED, ENDPOINT_MOVED, EVENT_WORDS, Event, FLEET, HANDSHAKE, HEARTBEAT, LOST,
    PEER_STATE, REFUSED, SERVER, SURVEYED, SWEPT, Words, nanoseconds,
};
use crate::layout::{self, wire};
use crate::transaction::Reason;

wire! {
    /// What became of a transaction, and what concerns the rings.
    struct NoticeWire {
        kind: u16,
        reason: u16,
        detail: u16,
        reserved: [u8; 2],
        id: u64,
        number: u64,
        rest: [u8; 88],
    }

    /// What concerns a peer.
    struct PeerEventWire {
        kind: u16,
        reserved: [u8; 2],
        endpoint: Endpoint,
        at_ns: u64,
        public_key: [u8; 32],
        received: u64,
        sent: u64,
        rest: [u8; 32],
    }

    /// Who the dataplane is.
    struct ServerWire {
        kind: u16,
        listen_port: u16,
        peers_max: u32,
        public_key: [u8; 32],
        rest: [u8; 72],
    }

    /// How the dataplane sees its fleet.
    struct FleetWire {
        kind: u16,
        generation: u16,
        server: u8,
        reserved: [u8; 3],
        digest: u64,
        held: u64,
        rest: [u8; 88],
    }
}

/// The shapes in this file, hashed.
pub(in super::super) const SHAPE: u64 = {
    let hash = layout::number(layout::EMPTY, NoticeWire::SHAPE);
    let hash = layout::number(hash, PeerEventWire::SHAPE);
    let hash = layout::number(hash, ServerWire::SHAPE);
    layout::number(hash, FleetWire::SHAPE)
};

pub(super) fn notice(kind: u16, (reason, detail): (u16, u16), [id, number]: [u64; 2]) -> Words {
    let mut words = [0; EVENT_WORDS];
    let wire: &mut NoticeWire = transmute_mut!(&mut words);
    wire.kind = kind;
    wire.reason = reason;
    wire.detail = detail;
    wire.id = id;
    wire.number = number;
    words
}

pub(super) fn of_peer(
    kind: u16,
    key: PublicKey,
    (endpoint, at): (Option<SocketAddr>, Duration),
    [received, sent]: [u64; 2],
) -> Words {
    let mut words = [0; EVENT_WORDS];
    let wire: &mut PeerEventWire = transmute_mut!(&mut words);
    wire.kind = kind;
    wire.endpoint = Endpoint::from(endpoint);
    wire.at_ns = nanoseconds(at);
    wire.public_key = key.0;
    wire.received = received;
    wire.sent = sent;
    words
}

pub(super) fn server(key: PublicKey, listen_port: u16, peers_max: u32) -> Words {
    let mut words = [0; EVENT_WORDS];
    let wire: &mut ServerWire = transmute_mut!(&mut words);
    wire.kind = SERVER;
    wire.listen_port = listen_port;
    wire.peers_max = peers_max;
    wire.public_key = key.0;
    words
}

pub(super) fn fleet(server: u8, generation: u16, [digest, held]: [u64; 2]) -> Words {
    let mut words = [0; EVENT_WORDS];
    let wire: &mut FleetWire = transmute_mut!(&mut words);
    wire.kind = FLEET;
    wire.generation = generation;
    wire.server = server;
    wire.digest = digest;
    wire.held = held;
    words
}

pub(super) fn read_notice(wire: &NoticeWire) -> Result<Event, Malformed> {
    let &NoticeWire { kind, reason, detail, id, number, .. } = wire;
    reserved(&wire.rest)?;
    Ok(match kind {
        APPLIED => Event::Applied { id, count: number },
        REFUSED => {
            let reason = Reason::from_code(reason).ok_or(Malformed::Reason(reason))?;
            Event::Refused { id, reason, item: number, detail }
        }
        DESYNCHRONISED => Event::Desynchronised,
        HEARTBEAT => Event::Heartbeat { at: Duration::from_nanos(number), transaction: id },
        LOST => Event::Lost(number),
        SURVEYED => Event::Surveyed { id },
        SWEPT => Event::Swept { at: Duration::from_nanos(number), round: id },
        other => return Err(Malformed::Kind(other)),
    })
}

pub(super) fn read_peer(wire: &PeerEventWire) -> Result<Event, Malformed> {
    reserved(&wire.rest)?;
    let public_key = public_key(&wire.public_key)?;
    let at = Duration::from_nanos(wire.at_ns);
    Ok(match wire.kind {
        HANDSHAKE => Event::Handshake { public_key, endpoint: wire.endpoint.required()?, at },
        ENDPOINT_MOVED => {
            Event::EndpointMoved { public_key, endpoint: wire.endpoint.required()?, at }
        }
        PEER_STATE => Event::PeerState {
            public_key,
            endpoint: wire.endpoint.read()?,
            handshake: at,
            received: wire.received,
            sent: wire.sent,
        },
        _ => Event::PeerExpired { public_key, at },
    })
}

pub(super) fn read_server(wire: &ServerWire) -> Result<Event, Malformed> {
    let &ServerWire { listen_port, peers_max, .. } = wire;
    Ok(Event::Server { public_key: public_key(&wire.public_key)?, listen_port, peers_max })
}

pub(super) fn read_fleet(wire: &FleetWire) -> Event {
    let &FleetWire { generation, server, digest, held, .. } = wire;
    Event::Fleet { server, generation, digest, held }
}
