//! Words to commands: every octet is checked here, once.

use std::time::Duration;

use wireguard::message::ClientId;
use wireguard::secret::Secret;
use zerocopy::{IntoBytes, transmute_ref};

use super::super::centre::{CentreRemoveWire, CentreWire};
use super::super::rule::{InstructionsWire, ListedWire, RuleRemoveWire, RuleWire};
use super::super::ruleset::{RulesetWire, TextWire};
use super::super::tenant::{TenantPrefixesWire, TenantRemoveWire, TenantWire};
use super::super::tunnel::{TunnelRemoveWire, TunnelWire};
use super::encode::hop;
use super::fleet::{MembersWire, PastWire, RemoveWire};
use super::{
    ABORT, BEGIN, BoundaryWire, CENTRE, CENTRE_MACHINES, CENTRE_REMOVE, COMMAND_WORDS, COMMIT,
    Command, FLEET, FLEET_MEMBERS, FLEET_PAST, FLEET_REMOVE, Fleet, Item, LISTED, Malformed,
    NEXT_HOP, NEXT_HOP_REMOVE, NextHop, NextHopWire, PEER, PEER_ADDRESSES, PEER_REMOVE, Peer,
    PeerAddressesWire, PeerRemoveWire, PeerWire, ROUTE, ROUTE_REMOVE, RULE, RULE_INSTRUCTIONS,
    RULE_REMOVE, RULESET, RULESET_TEXT, RouteWire, SURVEY, Scope, TENANT, TENANT_PREFIXES,
    TENANT_REMOVE, TUNNEL, TUNNEL_REMOVE, UNLISTED, Words, flag, kind, public_key, read_all,
    reserved,
};

impl Command {
    /// Reads a message.
    pub fn decode(words: &[u64; COMMAND_WORDS]) -> Result<Self, Malformed> {
        match kind(words) {
            BEGIN | COMMIT | ABORT | SURVEY => boundary(words),
            PEER => peer(words),
            PEER_ADDRESSES => addresses(words),
            FLEET | FLEET_MEMBERS => members(transmute_ref!(words)),
            FLEET_PAST => past(transmute_ref!(words)),
            TENANT => TenantWire::read(transmute_ref!(words)),
            TENANT_PREFIXES => TenantPrefixesWire::read(transmute_ref!(words)),
            RULE => RuleWire::read(transmute_ref!(words)),
            RULE_INSTRUCTIONS => InstructionsWire::read(transmute_ref!(words)),
            kind => item(kind, words).map(|item| Self::Item { item, more: false }),
        }
    }
}

fn item(kind: u16, words: &Words) -> Result<Item, Malformed> {
    match kind {
        PEER_REMOVE => {
            let wire: &PeerRemoveWire = transmute_ref!(words);
            reserved(&wire.rest)?;
            public_key(&wire.public_key).map(Item::PeerRemove)
        }
        ROUTE | ROUTE_REMOVE => route(transmute_ref!(words)),
        NEXT_HOP | NEXT_HOP_REMOVE => next_hop(transmute_ref!(words)),
        FLEET_REMOVE => {
            let wire: &RemoveWire = transmute_ref!(words);
            reserved(&wire.rest).map(|()| Item::FleetRemove)
        }
        TENANT_REMOVE => TenantRemoveWire::read(transmute_ref!(words)),
        RULE_REMOVE => RuleRemoveWire::read(transmute_ref!(words)),
        LISTED | UNLISTED => ListedWire::read(transmute_ref!(words)),
        TUNNEL => TunnelWire::read(transmute_ref!(words)),
        TUNNEL_REMOVE => TunnelRemoveWire::read(transmute_ref!(words)),
        RULESET => RulesetWire::read(transmute_ref!(words)),
        RULESET_TEXT => TextWire::read(transmute_ref!(words)),
        CENTRE | CENTRE_MACHINES => CentreWire::read(transmute_ref!(words)),
        CENTRE_REMOVE => CentreRemoveWire::read(transmute_ref!(words)),
        other => Err(Malformed::Kind(other)),
    }
}

fn boundary(words: &Words) -> Result<Command, Malformed> {
    let wire: &BoundaryWire = transmute_ref!(words);
    let &BoundaryWire { id, count, digest, .. } = wire;
    reserved(&wire.reserved)?;
    reserved(&wire.rest)?;
    match wire.kind {
        COMMIT => reserved(&[wire.scope]).map(|()| Command::Commit { id, count, digest }),
        _ if (count, digest) != (0, 0) => Err(Malformed::Reserved),
        BEGIN => match wire.scope {
            scope if scope == Scope::Snapshot.code() => Ok(Scope::Snapshot),
            scope if scope == Scope::Delta.code() => Ok(Scope::Delta),
            other => Err(Malformed::Scope(other)),
        }
        .map(|scope| Command::Begin { id, scope }),
        SURVEY => reserved(&[wire.scope]).map(|()| Command::Survey { id }),
        _ => reserved(&[wire.scope]).map(|()| Command::Abort { id }),
    }
}

fn peer(words: &Words) -> Result<Command, Malformed> {
    let wire: &PeerWire = transmute_ref!(words);
    reserved(&[wire.reserved])?;
    reserved(&wire.rest)?;
    let mut preshared_key = Secret::zero();
    preshared_key.octets_mut().copy_from_slice(&wire.preshared_key);
    let peer = Peer {
        public_key: public_key(&wire.public_key)?,
        preshared_key,
        client_id: ClientId(wire.client_id),
        endpoint: wire.endpoint.read()?,
        persistent_keepalive: Some(wire.keepalive_s)
            .filter(|seconds| *seconds != 0)
            .map(|seconds| Duration::from_secs(seconds.into())),
        allowed_ips: read_all(&wire.prefixes, wire.prefix_count)?,
    };
    Ok(Command::Item { item: Item::Peer(Box::new(peer)), more: flag(wire.more)? })
}

fn addresses(words: &Words) -> Result<Command, Malformed> {
    let wire: &PeerAddressesWire = transmute_ref!(words);
    reserved(&wire.rest)?;
    Ok(Command::Addresses {
        public_key: public_key(&wire.public_key)?,
        allowed_ips: read_all(&wire.prefixes, wire.prefix_count)?,
        more: flag(wire.more)?,
    })
}

fn members(wire: &MembersWire) -> Result<Command, Malformed> {
    let (generation, members, more) = (wire.generation, wire.read()?, flag(wire.more)?);
    Ok(match wire.kind {
        FLEET => {
            let fleet = Fleet { generation, members, past: Vec::new() };
            Command::Item { item: Item::Fleet(Box::new(fleet)), more }
        }
        _ => Command::Members { generation, members, more },
    })
}

fn past(wire: &PastWire) -> Result<Command, Malformed> {
    Ok(Command::Past {
        generation: wire.generation,
        past: wire.read()?,
        continued: flag(wire.continued)?,
        more: flag(wire.more)?,
    })
}

fn route(wire: &RouteWire) -> Result<Item, Malformed> {
    reserved(&wire.reserved)?;
    reserved(&wire.rest)?;
    let prefix = wire.prefix.required()?;
    match wire.kind {
        ROUTE => Ok(Item::Route { prefix, next_hop: wire.next_hop }),
        _ => reserved(&wire.next_hop.to_ne_bytes()).map(|()| Item::RouteRemove(prefix)),
    }
}

fn next_hop(wire: &NextHopWire) -> Result<Item, Malformed> {
    let item = match wire.kind {
        NEXT_HOP => Item::NextHop { id: wire.id, hop: hop_of(wire)? },
        _ => Item::NextHopRemove(wire.id),
    };
    // A next hop has fields that belong to other kinds of it: what it does not name must be zero. Writing
    // it again and comparing says that for each kind without saying it twice.
    let mut again = Vec::with_capacity(1);
    item.encode(&mut again).map_err(|_| Malformed::Reserved)?;
    match again.first() {
        Some(words) if words.as_bytes() == wire.as_bytes() => Ok(item),
        _ => Err(Malformed::Reserved),
    }
}

fn hop_of(wire: &NextHopWire) -> Result<NextHop, Malformed> {
    match wire.hop {
        hop::REJECT => Ok(NextHop::Reject),
        hop::LOCAL => Ok(NextHop::Local),
        hop::CLIENT => public_key(&wire.public_key).map(NextHop::Client),
        hop::GRE => {
            let (local, remote) = (wire.local.required()?, wire.remote.required()?);
            if local.is_ipv4() != remote.is_ipv4() {
                return Err(Malformed::Families);
            }
            let key = (wire.flags & hop::KEY != 0).then_some(wire.number);
            Ok(NextHop::Gre { local, remote, key, checksum: wire.flags & hop::CHECKSUM != 0 })
        }
        hop::DIRECT => Ok(NextHop::Direct),
        hop::VIA => Ok(NextHop::Via { centre: wire.number, remote: wire.remote.read()? }),
        other => Err(Malformed::NextHop(other)),
    }
}
