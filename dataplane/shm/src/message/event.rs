//! Events: what the dataplane tells control, 112 octets each.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use zerocopy::transmute_ref;

use super::choice::TunnelState;
use super::heavy::{self, Heavy, HeavyWire};
use super::measured::{
    DIALS_PER_EVENT, Dial, DialsWire, PATHS_PER_EVENT, Path, PathsWire, ProbedWire, Run,
};
use super::rule::CountWire;
use super::ruleset::TenantCountWire;
use super::tunnel::{TunnelCountWire, TunnelStateWire};
use super::{Malformed, PublicKey, kind};
use crate::transaction::Reason;

/// Words of an event.
pub const EVENT_WORDS: usize = 14;

/// An event as it travels.
type Words = [u64; EVENT_WORDS];

const APPLIED: u16 = 256;
const REFUSED: u16 = 257;
const DESYNCHRONISED: u16 = 258;
const HEARTBEAT: u16 = 259;
const LOST: u16 = 260;
const SURVEYED: u16 = 261;
const SERVER: u16 = 262;
const FLEET: u16 = 263;
pub(super) const RULE_COUNT: u16 = 264;
pub(super) const HEAVY: u16 = 265;
const SWEPT: u16 = 266;
const HANDSHAKE: u16 = 272;
const ENDPOINT_MOVED: u16 = 273;
const PEER_EXPIRED: u16 = 274;
const PEER_STATE: u16 = 275;
pub(super) const TUNNEL: u16 = 288;
pub(super) const TUNNEL_COUNT: u16 = 289;
pub(super) const TENANT_COUNT: u16 = 290;
pub(super) const DIALS: u16 = 304;
pub(super) const PROBED: u16 = 305;
pub(super) const PATHS: u16 = 306;

/// A message from the dataplane. Times are since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A transaction is in force.
    Applied {
        /// Its number.
        id: u64,
        /// How many messages its items took.
        count: u64,
    },
    /// A transaction has changed nothing.
    Refused {
        /// Its number; 0 when an item came without a beginning.
        id: u64,
        /// Why.
        reason: Reason,
        /// The number of the offending message among its items, from 0: a peer with many addresses has several, of
        /// which the first stands for it with [`Reason::Unbuildable`].
        item: u64,
        /// With [`Reason::Malformed`], [`Malformed::code`]; with [`Reason::Unbuildable`], the code of the
        /// [`Obstacle`](crate::transaction::Obstacle); else 0.
        detail: u16,
    },
    /// The dataplane finds the commands ring corrupt and waits for control to attach again.
    Desynchronised,
    /// The dataplane lives.
    Heartbeat {
        /// Its time.
        at: Duration,
        /// The number of the last transaction in force, 0 before the first: tells a control that has come
        /// back what there is.
        transaction: u64,
    },
    /// So many events found the ring full and are lost.
    Lost(u64),
    /// A peer has completed a handshake.
    Handshake {
        /// Which.
        public_key: PublicKey,
        /// From where.
        endpoint: SocketAddr,
        /// When.
        at: Duration,
    },
    /// A peer speaks from elsewhere.
    EndpointMoved {
        /// Which.
        public_key: PublicKey,
        /// From where.
        endpoint: SocketAddr,
        /// Since when.
        at: Duration,
    },
    /// A peer's last session is too old to be used.
    PeerExpired {
        /// Which.
        public_key: PublicKey,
        /// Since when.
        at: Duration,
    },
    /// How a peer stands, as a survey found it. Peers that have never been heard of and have no endpoint are not
    /// told.
    PeerState {
        /// Which.
        public_key: PublicKey,
        /// Where it is.
        endpoint: Option<SocketAddr>,
        /// When its last session began; zero when there was none.
        handshake: Duration,
        /// Octets of its packets that were accepted, from outer message to outer message, since it was added.
        received: u64,
        /// Octets of the messages to it.
        sent: u64,
    },
    /// A survey is complete: all its [`Event::PeerState`]s were told before.
    Surveyed {
        /// The number that control gave it.
        id: u64,
    },
    /// Who the dataplane is; the first thing that a control is told.
    Server {
        /// Its public key.
        public_key: PublicKey,
        /// Where it listens.
        listen_port: u16,
        /// How many peers it has room for.
        peers_max: u32,
    },
    /// How the dataplane sees its fleet: told to a new control, on change, and every few seconds while what is held
    /// changes. A dataplane without a fleet says nothing of it.
    Fleet {
        /// Its own number.
        server: u8,
        /// The generation in force; 0 when none has been told.
        generation: u16,
        /// The digest over the owner table, by which servers can be compared; 0 when there is none.
        digest: u64,
        /// Client ids that are held here, counted while this server drains; [`u64::MAX`] when they are not counted.
        held: u64,
    },
    /// What a rule has matched since it was added, over all workers: told at most once a second while it changes.
    RuleCount {
        /// Its id.
        rule: u32,
        /// Packets that it matched.
        packets: u64,
        /// Their octets.
        octets: u64,
        /// How many of them were dropped for it.
        dropped: u64,
        /// Its time is over: it is out of force.
        expired: bool,
    },
    /// Something is heavy in the traffic: rates per second, estimated from samples.
    Heavy {
        /// When.
        at: Duration,
        /// Packets.
        packets: u64,
        /// Their octets.
        octets: u64,
        /// How many of the packets were dropped.
        dropped: u64,
        /// What.
        what: Heavy,
    },
    /// A round of [`Event::Heavy`] is complete; there are several a second while there is traffic.
    Swept {
        /// When.
        at: Duration,
        /// Its number.
        round: u64,
    },
    /// How a tunnel stands: told to a new control, on change, and every few seconds while probes go.
    Tunnel {
        /// Its id.
        id: u32,
        /// How.
        state: TunnelState,
        /// From a probe to its answer, in whole microseconds; zero while it is not known.
        rtt: Duration,
        /// Probes sent.
        sent: u64,
        /// Probes answered.
        answered: u64,
        /// Since when it stands so, in whole seconds.
        since: Duration,
    },
    /// What a tunnel has carried since it was added, over all workers: told at most once a second while it changes.
    TunnelCount {
        /// Its id.
        id: u32,
        /// Packets to its other end, and their octets without what the tunnel adds.
        sent: [u64; 2],
        /// Packets from there that were taken, likewise.
        received: [u64; 2],
    },
    /// What a counted rule of a tenant has matched since the tenant's rules are these, or what has come to the tenant in all:
    /// told at most once a second while it changes.
    TenantCount {
        /// The tenant's id.
        tenant: u32,
        /// The index of the rule; [`ALL_RULES`](super::ALL_RULES) for all that has come, whatever decided.
        rule: u32,
        /// Packets that it matched.
        packets: u64,
        /// Their octets.
        octets: u64,
        /// How many of them were dropped for it.
        dropped: u64,
    },
    /// How connections to destinations came about, or did not: those of clients whose routes name several exits. The
    /// first of them is there.
    Dials(Run<Dial, DIALS_PER_EVENT>),
    /// How a probe to another data centre went.
    Probed {
        /// Its number.
        centre: u16,
        /// The machine of it.
        machine: IpAddr,
        /// The round trip, in whole microseconds; none when no answer came in time.
        answer: Option<Duration>,
    },
    /// How data centres stand from another one, as that has told. The first of them is there.
    Paths {
        /// The number of the one that tells.
        from: u16,
        /// What it tells.
        paths: Run<Path, PATHS_PER_EVENT>,
    },
}

impl Event {
    /// Writes a message.
    pub fn encode(&self) -> [u64; EVENT_WORDS] {
        match *self {
            Self::Applied { id, count } => notice(APPLIED, (0, 0), [id, count]),
            Self::Refused { id, reason, item, detail } => {
                notice(REFUSED, (reason.code(), detail), [id, item])
            }
            Self::Desynchronised => notice(DESYNCHRONISED, (0, 0), [0, 0]),
            Self::Heartbeat { at, transaction } => {
                notice(HEARTBEAT, (0, 0), [transaction, nanoseconds(at)])
            }
            Self::Lost(count) => notice(LOST, (0, 0), [0, count]),
            Self::Handshake { public_key, endpoint, at } => {
                of_peer(HANDSHAKE, public_key, (Some(endpoint), at), [0, 0])
            }
            Self::EndpointMoved { public_key, endpoint, at } => {
                of_peer(ENDPOINT_MOVED, public_key, (Some(endpoint), at), [0, 0])
            }
            Self::PeerExpired { public_key, at } => {
                of_peer(PEER_EXPIRED, public_key, (None, at), [0, 0])
            }
            Self::PeerState { public_key, endpoint, handshake, received, sent } => {
                of_peer(PEER_STATE, public_key, (endpoint, handshake), [received, sent])
            }
            Self::Surveyed { id } => notice(SURVEYED, (0, 0), [id, 0]),
            Self::Server { public_key, listen_port, peers_max } => {
                server(public_key, listen_port, peers_max)
            }
            Self::Fleet { server, generation, digest, held } => {
                fleet(server, generation, [digest, held])
            }
            Self::RuleCount { rule, packets, octets, dropped, expired } => {
                CountWire::encode(rule, [packets, octets, dropped], expired)
            }
            Self::Heavy { at, packets, octets, dropped, what } => {
                heavy::encode(at, [packets, octets, dropped], what)
            }
            Self::Swept { at, round } => notice(SWEPT, (0, 0), [round, nanoseconds(at)]),
            Self::Tunnel { id, state, rtt, sent, answered, since } => {
                TunnelStateWire::encode((id, state), [sent, answered], [rtt, since])
            }
            Self::TunnelCount { id, sent, received } => TunnelCountWire::encode(id, sent, received),
            Self::TenantCount { tenant, rule, packets, octets, dropped } => {
                TenantCountWire::encode(tenant, rule, [packets, octets, dropped])
            }
            Self::Dials(dials) => DialsWire::encode(&dials),
            Self::Probed { centre, machine, answer } => ProbedWire::encode(centre, machine, answer),
            Self::Paths { from, paths } => PathsWire::encode(from, &paths),
        }
    }

    /// Reads a message: every octet is checked here, once.
    pub fn decode(words: &[u64; EVENT_WORDS]) -> Result<Self, Malformed> {
        let event = match kind(words) {
            HANDSHAKE | ENDPOINT_MOVED | PEER_EXPIRED | PEER_STATE => {
                read_peer(transmute_ref!(words))
            }
            SERVER => read_server(transmute_ref!(words)),
            FLEET => Ok(read_fleet(transmute_ref!(words))),
            RULE_COUNT => CountWire::read(transmute_ref!(words)),
            HEAVY => HeavyWire::read(transmute_ref!(words)),
            TUNNEL => TunnelStateWire::read(transmute_ref!(words)),
            TUNNEL_COUNT => Ok(TunnelCountWire::read(transmute_ref!(words))),
            TENANT_COUNT => Ok(TenantCountWire::read(transmute_ref!(words))),
            DIALS => DialsWire::read(transmute_ref!(words)),
            PROBED => ProbedWire::read(transmute_ref!(words)),
            PATHS => PathsWire::read(transmute_ref!(words)),
            _ => read_notice(transmute_ref!(words)),
        }?;
        // What an event does not name must be zero; writing it again says so for each kind.
        if event.encode() == *words { Ok(event) } else { Err(Malformed::Reserved) }
    }
}

/// Nanoseconds, up to the year 2554.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

mod wire;

pub(super) use wire::SHAPE;
use wire::{fleet, notice, of_peer, read_fleet, read_notice, read_peer, read_server, server};
