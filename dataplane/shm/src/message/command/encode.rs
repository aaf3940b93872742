//! Commands to words. Keys are written straight into the words, which the caller wipes.

use zerocopy::transmute_mut;

use super::super::centre::{self, CentreRemoveWire};
use super::super::rule::{self, RuleRemoveWire};
use super::super::ruleset::{self, RulesetWire};
use super::super::tenant::TenantRemoveWire;
use super::super::tunnel::TunnelRemoveWire;
use super::fleet::{MembersWire, PastWire, RemoveWire};
use super::{
    ABORT, ADDRESSES_PER_PEER_MAX, Address, BEGIN, BoundaryWire, COMMAND_WORDS, COMMIT, Command,
    Endpoint, FLEET, FLEET_MEMBERS, FLEET_PAST, FLEET_REMOVE, Fleet, Item, LISTED, MORE_PREFIXES,
    NEXT_HOP, NEXT_HOP_REMOVE, NextHop, NextHopWire, PEER, PEER_ADDRESSES, PEER_PREFIXES,
    PEER_REMOVE, Peer, PeerAddressesWire, PeerRemoveWire, PeerWire, Prefix, ROUTE, ROUTE_REMOVE,
    RouteWire, SURVEY, Scope, TooMany, UNLISTED, Words, fleet, put_all,
};

/// The octets of [`NextHopWire::hop`].
pub(super) mod hop {
    pub(in super::super) const REJECT: u8 = 1;
    pub(in super::super) const LOCAL: u8 = 2;
    pub(in super::super) const CLIENT: u8 = 3;
    pub(in super::super) const GRE: u8 = 4;
    pub(in super::super) const DIRECT: u8 = 5;
    pub(in super::super) const VIA: u8 = 6;
    /// Flags of a GRE tunnel.
    pub(in super::super) const KEY: u8 = 1;
    pub(in super::super) const CHECKSUM: u8 = 2;
}

impl Scope {
    /// Its number in a message and in the digest.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Snapshot => 1,
            Self::Delta => 2,
        }
    }
}

impl Command {
    /// The words of a beginning.
    pub fn begin(id: u64, scope: Scope) -> [u64; COMMAND_WORDS] {
        boundary(BEGIN, scope.code(), [id, 0, 0])
    }

    /// The words of a commit of `count` messages with this digest.
    pub fn commit(id: u64, count: u64, digest: u64) -> [u64; COMMAND_WORDS] {
        boundary(COMMIT, 0, [id, count, digest])
    }

    /// The words of an abort.
    pub fn abort(id: u64) -> [u64; COMMAND_WORDS] {
        boundary(ABORT, 0, [id, 0, 0])
    }

    /// The words of a survey.
    pub fn survey(id: u64) -> [u64; COMMAND_WORDS] {
        boundary(SURVEY, 0, [id, 0, 0])
    }
}

fn boundary(kind: u16, scope: u8, [id, count, digest]: [u64; 3]) -> Words {
    let mut words = [0; COMMAND_WORDS];
    let wire: &mut BoundaryWire = transmute_mut!(&mut words);
    wire.kind = kind;
    wire.scope = scope;
    wire.id = id;
    wire.count = count;
    wire.digest = digest;
    words
}

impl Item {
    /// How many messages it takes.
    pub fn message_count(&self) -> Result<usize, TooMany> {
        match self {
            Self::Peer(peer) => match peer.allowed_ips.len() {
                count if count > ADDRESSES_PER_PEER_MAX => Err(TooMany::Addresses(count)),
                count => Ok(1 + count.saturating_sub(PEER_PREFIXES).div_ceil(MORE_PREFIXES)),
            },
            Self::Fleet(fleet) => fleet.message_count(),
            Self::Tenant(tenant) => tenant.message_count(),
            Self::Rule(rule) => rule.message_count(),
            Self::Listed { prefixes, .. } | Self::Unlisted { prefixes, .. } => {
                rule::message_count(prefixes)
            }
            Self::RulesetText { text, .. } => ruleset::message_count(text),
            Self::Centre(centre) => centre.message_count(),
            Self::Machines { machines, .. } => centre::message_count(machines),
            Self::PeerRemove(_)
            | Self::Route { .. }
            | Self::RouteRemove(_)
            | Self::NextHop { .. }
            | Self::NextHopRemove(_)
            | Self::FleetRemove
            | Self::TenantRemove(_)
            | Self::RuleRemove(_)
            | Self::Tunnel(_)
            | Self::TunnelRemove(_)
            | Self::Ruleset(_)
            | Self::CentreRemove(_) => Ok(1),
        }
    }

    /// Appends its messages.
    pub fn encode(&self, into: &mut Vec<[u64; COMMAND_WORDS]>) -> Result<(), TooMany> {
        into.reserve(self.message_count()?);
        match self {
            Self::Peer(peer) => peer_messages(peer, into),
            Self::PeerRemove(key) => {
                let mut words = [0; COMMAND_WORDS];
                let wire: &mut PeerRemoveWire = transmute_mut!(&mut words);
                wire.kind = PEER_REMOVE;
                wire.public_key = key.0;
                into.push(words);
            }
            Self::Route { prefix, next_hop } => into.push(route(ROUTE, *prefix, *next_hop)),
            Self::RouteRemove(prefix) => into.push(route(ROUTE_REMOVE, *prefix, 0)),
            Self::NextHop { id, hop } => into.push(next_hop(*id, *hop)),
            Self::NextHopRemove(id) => {
                let mut words = [0; COMMAND_WORDS];
                let wire: &mut NextHopWire = transmute_mut!(&mut words);
                wire.kind = NEXT_HOP_REMOVE;
                wire.id = *id;
                into.push(words);
            }
            Self::Fleet(fleet) => fleet_messages(fleet, into),
            Self::FleetRemove => {
                let mut words = [0; COMMAND_WORDS];
                let wire: &mut RemoveWire = transmute_mut!(&mut words);
                wire.kind = FLEET_REMOVE;
                into.push(words);
            }
            Self::Tenant(tenant) => tenant.encode(into),
            Self::TenantRemove(id) => into.push(TenantRemoveWire::encode(*id)),
            Self::Rule(rule) => rule.encode(into),
            Self::RuleRemove(id) => into.push(RuleRemoveWire::encode(*id)),
            Self::Listed { rule, prefixes } => rule::list(LISTED, *rule, prefixes, into),
            Self::Unlisted { rule, prefixes } => rule::list(UNLISTED, *rule, prefixes, into),
            Self::Tunnel(tunnel) => into.push(tunnel.encode()),
            Self::TunnelRemove(id) => into.push(TunnelRemoveWire::encode(*id)),
            Self::Ruleset(tenant) => into.push(RulesetWire::encode(*tenant)),
            Self::RulesetText { tenant, text } => ruleset::encode(*tenant, text, into),
            Self::Centre(centre) => centre.encode(into),
            Self::Machines { centre, machines } => centre::more(*centre, machines, into),
            Self::CentreRemove(number) => into.push(CentreRemoveWire::encode(*number)),
        }
        Ok(())
    }
}

fn route(kind: u16, prefix: ipnet::IpNet, next_hop: u32) -> Words {
    let mut words = [0; COMMAND_WORDS];
    let wire: &mut RouteWire = transmute_mut!(&mut words);
    wire.kind = kind;
    wire.next_hop = next_hop;
    wire.prefix = Prefix::from(prefix);
    words
}

fn peer_messages(peer: &Peer, into: &mut Vec<Words>) {
    let mut words = [0; COMMAND_WORDS];
    let (first, mut rest) =
        peer.allowed_ips.split_at_checked(PEER_PREFIXES).unwrap_or((&peer.allowed_ips, &[]));
    let wire: &mut PeerWire = transmute_mut!(&mut words);
    wire.kind = PEER;
    wire.more = u8::from(!rest.is_empty());
    wire.client_id = peer.client_id.0;
    wire.keepalive_s = peer
        .persistent_keepalive
        .map_or(0, |interval| u16::try_from(interval.as_secs()).unwrap_or(u16::MAX));
    wire.endpoint = Endpoint::from(peer.endpoint);
    wire.public_key = peer.public_key.0;
    wire.preshared_key.copy_from_slice(peer.preshared_key.octets());
    wire.prefix_count = put_all(&mut wire.prefixes, first);
    into.push(words);
    zeroize::Zeroize::zeroize(&mut words);
    while !rest.is_empty() {
        let (some, left) = rest.split_at_checked(MORE_PREFIXES).unwrap_or((rest, &[]));
        let mut words = [0; COMMAND_WORDS];
        let wire: &mut PeerAddressesWire = transmute_mut!(&mut words);
        wire.kind = PEER_ADDRESSES;
        wire.more = u8::from(!left.is_empty());
        wire.public_key = peer.public_key.0;
        wire.prefix_count = put_all(&mut wire.prefixes, some);
        into.push(words);
        rest = left;
    }
}

fn fleet_messages(fleet: &Fleet, into: &mut Vec<Words>) {
    // All but the last say that more follows; which that is shows when all are written.
    let begin = into.len();
    let mut kind = FLEET;
    for members in fleet.member_runs() {
        let mut words = [0; COMMAND_WORDS];
        let wire: &mut MembersWire = transmute_mut!(&mut words);
        (wire.kind, wire.more, wire.generation) = (kind, 1, fleet.generation);
        wire.put(members);
        into.push(words);
        kind = FLEET_MEMBERS;
    }
    for past in &fleet.past {
        for (at, weights) in past.weight_runs().enumerate() {
            let mut words = [0; COMMAND_WORDS];
            let wire: &mut PastWire = transmute_mut!(&mut words);
            (wire.kind, wire.more, wire.generation) = (FLEET_PAST, 1, fleet.generation);
            wire.past = past.generation;
            wire.continued = u8::from(at > 0);
            wire.put(weights);
            into.push(words);
        }
    }
    if let Some(last) = into.get_mut(begin..).and_then(<[Words]>::last_mut) {
        let wire: &mut fleet::HeadWire = transmute_mut!(last);
        wire.more = 0;
    }
}

fn next_hop(id: u32, hop: NextHop) -> Words {
    let mut words = [0; COMMAND_WORDS];
    let wire: &mut NextHopWire = transmute_mut!(&mut words);
    wire.kind = NEXT_HOP;
    wire.id = id;
    wire.hop = match hop {
        NextHop::Reject => hop::REJECT,
        NextHop::Local => hop::LOCAL,
        NextHop::Client(key) => {
            wire.public_key = key.0;
            hop::CLIENT
        }
        NextHop::Gre { local, remote, key, checksum } => {
            wire.local = Address::from(local);
            wire.remote = Address::from(remote);
            wire.number = key.unwrap_or(0);
            wire.flags = if key.is_some() { hop::KEY } else { 0 };
            wire.flags |= if checksum { hop::CHECKSUM } else { 0 };
            hop::GRE
        }
        NextHop::Direct => hop::DIRECT,
        NextHop::Via { centre, remote } => {
            wire.number = centre;
            wire.remote = remote.map_or(Address::NONE, Address::from);
            hop::VIA
        }
    };
    words
}
