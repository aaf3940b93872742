//! Commands: what control tells the dataplane, 176 octets each.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use wireguard::message::ClientId;
use wireguard::secret::Secret;

use super::address::{Address, Endpoint, Prefix, put_all, read_all};
use super::centre::{Centre, Machine};
use super::fleet::{self, Fleet, Member, Past};
use super::rule::{Instruction, Rule};
use super::tenant::Tenant;
use super::tunnel::Tunnel;
use super::{Malformed, PublicKey, flag, kind, public_key, reserved};
use crate::layout::{self, wire};
use crate::limits::ADDRESSES_PER_PEER_MAX;

pub use too_many::TooMany;

/// Words of a command.
pub const COMMAND_WORDS: usize = 22;

/// A command as it travels.
type Words = [u64; COMMAND_WORDS];

const BEGIN: u16 = 1;
const COMMIT: u16 = 2;
const ABORT: u16 = 3;
const SURVEY: u16 = 4;
const PEER: u16 = 16;
const PEER_ADDRESSES: u16 = 17;
const PEER_REMOVE: u16 = 18;
const ROUTE: u16 = 32;
const ROUTE_REMOVE: u16 = 33;
const NEXT_HOP: u16 = 48;
const NEXT_HOP_REMOVE: u16 = 49;
pub(super) const TENANT: u16 = 64;
pub(super) const TENANT_PREFIXES: u16 = 65;
pub(super) const TENANT_REMOVE: u16 = 66;
pub(super) const RULE: u16 = 80;
pub(super) const RULE_INSTRUCTIONS: u16 = 81;
pub(super) const RULE_REMOVE: u16 = 82;
pub(super) const LISTED: u16 = 83;
pub(super) const UNLISTED: u16 = 84;
const FLEET: u16 = 96;
const FLEET_MEMBERS: u16 = 97;
const FLEET_PAST: u16 = 98;
const FLEET_REMOVE: u16 = 99;
pub(super) const TUNNEL: u16 = 112;
pub(super) const TUNNEL_REMOVE: u16 = 113;
pub(super) const RULESET: u16 = 114;
pub(super) const RULESET_TEXT: u16 = 115;
pub(super) const CENTRE: u16 = 128;
pub(super) const CENTRE_MACHINES: u16 = 129;
pub(super) const CENTRE_REMOVE: u16 = 130;

/// Prefixes in a peer's first message, and in each that continues it.
const PEER_PREFIXES: usize = 4;
const MORE_PREFIXES: usize = 7;

wire! {
    /// Begin, commit and abort; and a survey, which belongs to no transaction.
    struct BoundaryWire {
        kind: u16,
        scope: u8,
        reserved: [u8; 5],
        id: u64,
        count: u64,
        digest: u64,
        rest: [u8; 144],
    }

    /// A peer with the first of its prefixes; `more` says that a continuation follows.
    struct PeerWire {
        kind: u16,
        more: u8,
        prefix_count: u8,
        client_id: [u8; 3],
        reserved: u8,
        keepalive_s: u16,
        endpoint: Endpoint,
        rest: [u8; 10],
        public_key: [u8; 32],
        preshared_key: [u8; 32],
        prefixes: [Prefix; PEER_PREFIXES],
    }

    /// More prefixes of the peer before.
    struct PeerAddressesWire {
        kind: u16,
        more: u8,
        prefix_count: u8,
        public_key: [u8; 32],
        prefixes: [Prefix; MORE_PREFIXES],
        rest: [u8; 14],
    }

    /// The end of a peer.
    struct PeerRemoveWire {
        kind: u16,
        public_key: [u8; 32],
        rest: [u8; 142],
    }

    /// A route or its end.
    struct RouteWire {
        kind: u16,
        reserved: [u8; 2],
        next_hop: u32,
        prefix: Prefix,
        rest: [u8; 150],
    }

    /// A next hop or its end.
    struct NextHopWire {
        kind: u16,
        hop: u8,
        flags: u8,
        id: u32,
        number: u32,
        local: Address,
        remote: Address,
        public_key: [u8; 32],
        rest: [u8; 98],
    }
}

/// The shapes in this file, hashed.
pub(super) const SHAPE: u64 = {
    let hash = layout::number(layout::EMPTY, BoundaryWire::SHAPE);
    let hash = layout::number(hash, PeerWire::SHAPE);
    let hash = layout::number(hash, PeerAddressesWire::SHAPE);
    let hash = layout::number(hash, PeerRemoveWire::SHAPE);
    let hash = layout::number(hash, RouteWire::SHAPE);
    layout::number(hash, NextHopWire::SHAPE)
};

/// What a transaction's items stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All there is: what is not among them goes.
    Snapshot,
    /// Changes to what there is.
    Delta,
}

/// A client.
#[derive(Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its public key, by which it is known.
    pub public_key: PublicKey,
    /// The preshared key; zeros when there is none.
    pub preshared_key: Secret,
    /// Its client id; zeros when its client has none.
    pub client_id: ClientId,
    /// Where it is reached before it has spoken.
    pub endpoint: Option<SocketAddr>,
    /// Interval of unasked keepalives, in whole seconds up to 65535.
    pub persistent_keepalive: Option<Duration>,
    /// Its inner prefixes, at most [`ADDRESSES_PER_PEER_MAX`].
    pub allowed_ips: Vec<IpNet>,
}

impl fmt::Debug for Peer {
    /// Neither keys nor the client id nor addresses: this may end in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("allowed_ips", &self.allowed_ips.len()).finish_non_exhaustive()
    }
}

/// Where routes lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// Nowhere, with an ICMP error.
    Reject,
    /// This machine's kernel.
    Local,
    /// A peer, in the tunnel.
    Client(PublicKey),
    /// A GRE tunnel (RFC 2784, RFC 2890).
    Gre {
        /// Our end.
        local: IpAddr,
        /// The other end, of the same family.
        remote: IpAddr,
        /// The key, when the tunnel has one.
        key: Option<u32>,
        /// Whether checksums are sent.
        checksum: bool,
    },
    /// The Internet, from here.
    Direct,
    /// The Internet, from another data centre.
    Via {
        /// Its number.
        centre: u32,
        /// The machine that takes our packets; none for those of the [`Centre`] with that number, by the relay that
        /// it has.
        remote: Option<IpAddr>,
    },
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A peer, new or changed.
    Peer(Box<Peer>),
    /// A peer no more.
    PeerRemove(PublicKey),
    /// A route, new or changed.
    Route {
        /// To where.
        prefix: IpNet,
        /// The id of its next hop.
        next_hop: u32,
    },
    /// A route no more.
    RouteRemove(IpNet),
    /// A next hop, new or changed.
    NextHop {
        /// By which routes name it.
        id: u32,
        /// What it is.
        hop: NextHop,
    },
    /// A next hop no more.
    NextHopRemove(u32),
    /// The fleet as a whole, in place of what there was.
    Fleet(Box<Fleet>),
    /// No fleet any more.
    FleetRemove,
    /// A tenant, new or changed.
    Tenant(Box<Tenant>),
    /// A tenant no more.
    TenantRemove(u32),
    /// A rule: new, or in place of the one with its id, which keeps its counts and, when both are lists of one kind,
    /// its prefixes. In a snapshot a list begins empty.
    Rule(Box<Rule>),
    /// A rule no more.
    RuleRemove(u32),
    /// Prefixes into a list, at most [`LISTED_PER_ITEM_MAX`](crate::limits::LISTED_PER_ITEM_MAX): each message of them comes out as an item of its own.
    Listed {
        /// The list.
        rule: u32,
        /// Which.
        prefixes: Vec<IpNet>,
    },
    /// Prefixes out of a list, as they went into it.
    Unlisted {
        /// The list.
        rule: u32,
        /// Which.
        prefixes: Vec<IpNet>,
    },
    /// A tunnel, new or changed.
    Tunnel(Box<Tunnel>),
    /// A tunnel no more. Those of a tenant go before it does.
    TunnelRemove(u32),
    /// The rules of the tenant with this id begin anew, and are empty: everything is accepted. They go with their tenant.
    Ruleset(u32),
    /// More of the text of a tenant's rules, at most
    /// [`RULESET_TEXT_PER_ITEM_MAX`](crate::limits::RULESET_TEXT_PER_ITEM_MAX) octets: each message of them comes out as
    /// an item of its own. Sets are named in it by the ids of their rules: `@12`.
    RulesetText {
        /// The tenant.
        tenant: u32,
        /// A piece of a text in UTF-8, which may end within a character.
        text: Box<[u8]>,
    },
    /// A data centre, new or changed, in place of what was said of it before.
    Centre(Box<Centre>),
    /// More machines of the data centre with this number, which was said before.
    Machines {
        /// Its number.
        centre: u16,
        /// Which.
        machines: Vec<Machine>,
    },
    /// A data centre no more. Next hops that lead there go before it does.
    CentreRemove(u16),
}

/// A message from control, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A transaction begins.
    Begin {
        /// Its number, chosen by control.
        id: u64,
        /// What its items stand for.
        scope: Scope,
    },
    /// It is complete.
    Commit {
        /// The number that it began with.
        id: u64,
        /// How many messages its items took.
        count: u64,
        /// The digest over them.
        digest: u64,
    },
    /// It shall not be.
    Abort {
        /// The number that it began with.
        id: u64,
    },
    /// The states of all peers shall be told, whatever transaction is open.
    Survey {
        /// Its number, chosen by control.
        id: u64,
    },
    /// A change; with `more`, one that goes on in the next message.
    Item {
        /// The change.
        item: Item,
        /// Whether what continues it follows: [`Command::Addresses`] a peer, [`Command::Members`] and
        /// [`Command::Past`] a fleet, [`Command::Prefixes`] a tenant, [`Command::Instructions`] a rule.
        more: bool,
    },
    /// Further prefixes of the peer in the message before.
    Addresses {
        /// Whose.
        public_key: PublicKey,
        /// Which.
        allowed_ips: Vec<IpNet>,
        /// Whether there are yet more.
        more: bool,
    },
    /// Further members of the fleet in the message before.
    Members {
        /// The fleet's generation.
        generation: u16,
        /// Which.
        members: Vec<Member>,
        /// Whether anything of the fleet follows.
        more: bool,
    },
    /// An earlier generation of the fleet in the message before.
    Past {
        /// The fleet's generation.
        generation: u16,
        /// The earlier one.
        past: Past,
        /// Whether these are further weights of the one in the message before.
        continued: bool,
        /// Whether anything of the fleet follows.
        more: bool,
    },
    /// Further prefixes of the tenant in the message before.
    Prefixes {
        /// Its id.
        tenant: u32,
        /// Which.
        prefixes: Vec<IpNet>,
        /// Whether there are yet more.
        more: bool,
    },
    /// Further instructions of the rule in the message before.
    Instructions {
        /// Its id.
        rule: u32,
        /// Which.
        instructions: Vec<Instruction>,
        /// Whether there are yet more.
        more: bool,
    },
}

mod decode;
mod encode;
mod too_many;
