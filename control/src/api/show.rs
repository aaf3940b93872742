//! What is in the book, as it is shown.

use std::sync::Arc;

use super::message::{DifferenceShown, FleetShown, HopText, MemberShown, PeerShown, RouteShown};
use crate::desk::FleetSeen;
use crate::live::Live;
use crate::model::fleet::{Member, MemberState};
use crate::model::{Book, Decision, Difference, Fleet, Hop, Listing, NextHop, Peer, key};

pub(super) fn peer(book: &Book, peer: &Peer, live: Option<Live>) -> PeerShown {
    let live = live.unwrap_or_default();
    PeerShown {
        public_key: key::encode(&peer.public_key.0),
        name: peer.name.as_deref().map(str::to_owned),
        allowed_ips: peer.allowed_ips.to_vec(),
        endpoint: live.endpoint.or(peer.endpoint),
        persistent_keepalive: peer.persistent_keepalive,
        preshared_key: peer.preshared_key.is_some(),
        client_id: None,
        handshake: live.handshake.as_secs(),
        received: live.received,
        sent: live.sent,
        origin: book.place(peer.origin),
    }
}

pub(super) fn next_hop(book: &Book, hop: &NextHop) -> HopText {
    let shown = HopText {
        name: hop.name.to_string(),
        uses: book.uses(hop.id),
        origin: if hop.id > crate::model::LOCAL { book.place(hop.origin) } else { "always".into() },
        ..HopText::default()
    };
    if hop.exits.len() > 1 {
        let exits = hop.exits.iter().map(|exit| book.exit_name(*exit)).collect();
        return HopText { kind: "argo".into(), exits, ..shown };
    }
    match hop.hop {
        Hop::Reject => HopText { kind: "reject".into(), ..shown },
        Hop::Local => HopText { kind: "local".into(), ..shown },
        Hop::Direct => HopText { kind: "direct".into(), ..shown },
        Hop::Client(key) => {
            let peer = book.peer(&key).and_then(|peer| peer.name.as_deref().map(str::to_owned));
            let peer = Some(peer.unwrap_or_else(|| key::encode(&key.0)));
            HopText { kind: "client".into(), peer, ..shown }
        }
        Hop::Gre { local, remote, key, checksum } => HopText {
            kind: "gre".into(),
            local: Some(local),
            remote: Some(remote),
            key,
            checksum,
            ..shown
        },
        Hop::Via { centre, remote } => {
            let centre =
                u16::try_from(centre).map_or_else(|_| centre.to_string(), |n| book.exit_name(n));
            HopText { kind: "via".into(), centre: Some(centre), remote, ..shown }
        }
    }
}

pub(super) fn fleet(book: &Book, fleet: &Fleet, seen: Option<FleetSeen>) -> FleetShown {
    let held = seen.map(|seen| seen.held).filter(|held| *held != u64::MAX);
    FleetShown {
        generation: fleet.generation,
        past: fleet.past.iter().map(|past| past.generation).collect(),
        server: seen.map(|seen| seen.server),
        in_force: seen.map(|seen| seen.generation),
        digest: seen.filter(|seen| seen.digest != 0).map(|seen| format!("{:016x}", seen.digest)),
        held,
        trouble: None,
        origin: book.place(fleet.origin),
        members: fleet.members.iter().map(member).collect(),
    }
}

fn member(member: &Member) -> MemberShown {
    let (state, deadline) = match member.state {
        MemberState::Active => ("active", None),
        MemberState::Draining { deadline } => ("draining", deadline),
        MemberState::Down => ("down", None),
    };
    let addresses = [member.v4.map(Into::into), member.v6.map(Into::into)];
    MemberShown {
        server: member.server,
        addresses: addresses.into_iter().flatten().collect(),
        weight: member.weight,
        state: state.to_owned(),
        deadline: deadline.map(|deadline| deadline.as_secs()),
    }
}

pub(super) fn decision(book: &Book, decision: &Decision) -> RouteShown {
    match decision {
        Decision::Peer { prefix, peer } => RouteShown {
            prefix: prefix.to_string(),
            next_hop: None,
            peer: Some(
                peer.name.as_deref().map_or_else(|| key::encode(&peer.public_key.0), str::to_owned),
            ),
            origin: book.place(peer.origin),
        },
        Decision::Route { prefix, route, next_hop } => RouteShown {
            prefix: prefix.to_string(),
            next_hop: Some(next_hop.name.to_string()),
            peer: None,
            origin: book.place(route.origin),
        },
    }
}

/// A line for each of at most `max` changes.
pub(super) fn difference(
    from: &Book,
    to: &Book,
    difference: &Difference,
    max: usize,
) -> DifferenceShown {
    let mark = |old: bool| if old { '~' } else { '+' };
    let peers = difference.peers.iter().map(|peer| {
        format!("{} peer {}", mark(from.peer(&peer.public_key).is_some()), peer.title())
    });
    let peers_removed = difference.peers_removed.iter().map(|key| {
        format!("- peer {}", from.peer(key).map_or_else(|| key::title(key), |peer| peer.title()))
    });
    let hops = difference
        .next_hops
        .iter()
        .map(|hop| format!("{} next hop {}", mark(from.next_hop(hop.id).is_some()), hop.name));
    let hops_removed = difference
        .next_hops_removed
        .iter()
        .filter_map(|id| Some(format!("- next hop {}", from.next_hop(*id)?.name)));
    let routes = difference.routes.iter().filter_map(|(prefix, route)| {
        let hop = to.next_hop(*route).map(|hop| hop.name.to_string());
        let hop = hop.or_else(|| {
            let centre = to.centres().find(|centre| centre.hop == *route)?;
            Some(centre.name.to_string())
        })?;
        Some(format!("{} route {prefix} to {hop}", mark(from.route(prefix).is_some())))
    });
    let centres = difference.centres.iter().map(|(centre, _)| {
        format!("{} centre {}", mark(from.centre(centre.number).is_some()), centre.name)
    });
    let centres_removed =
        difference.centres_removed.iter().map(|centre| format!("- centre {}", centre.name));
    let routes_removed = difference.routes_removed.iter().map(|prefix| format!("- route {prefix}"));
    let generation = |book: &Book| book.fleet().map_or(0, |fleet| fleet.generation);
    let fleet = difference.fleet_removed.then(|| "- fleet".to_owned());
    let fleet = fleet.or_else(|| {
        let new = difference.fleet.as_ref()?.generation;
        Some(match generation(from) {
            0 => format!("+ fleet of generation {new}"),
            old => format!("~ fleet from generation {old} to {new}"),
        })
    });
    let lines = peers_removed
        .chain(peers)
        .chain(centres_removed)
        .chain(centres)
        .chain(hops_removed)
        .chain(hops)
        .chain(routes_removed)
        .chain(routes)
        .chain(fleet)
        .chain(rules(from, to, difference))
        .take(max);
    let declared = to.declared();
    DifferenceShown {
        declared: [declared.peers, declared.routes, declared.next_hops],
        declared_rules: [declared.rules, declared.tenants],
        declared_tunnels: declared.tunnels,
        lines: lines.collect(),
        changes: difference.len(),
    }
}

/// A line for each change of rules, lists and tenants.
fn rules(from: &Book, to: &Book, difference: &Difference) -> impl Iterator<Item = String> {
    let mark = |old: bool| if old { '~' } else { '+' };
    let name = |book: &Book, id| book.rule(id).map(|rule| Arc::clone(&rule.name));
    let removed = difference.rules_removed.iter().filter(|id| to.rule(**id).is_none());
    let removed = removed.filter_map(move |id| Some(format!("- rule {}", name(from, *id)?)));
    let come = difference.rules.iter().filter_map(move |rule| {
        Some(format!("{} rule {}", mark(from.rule(rule.id).is_some()), name(to, rule.id)?))
    });
    let lists = |listings: &[Listing], sign: char| {
        let line = |listing: &Listing| {
            let (list, count) = (name(to, listing.rule)?, listing.prefixes.len());
            Some(format!("{sign} {count} prefixes of list {list}"))
        };
        listings.iter().filter_map(line).collect::<Vec<_>>()
    };
    let (unlisted, listed) = (lists(&difference.unlisted, '-'), lists(&difference.listed, '+'));
    let gone = difference.tenants_removed.iter();
    let gone = gone.filter_map(|id| Some(format!("- tenant {}", from.tenant(*id)?.name)));
    let tenants = difference.tenants.iter().map(move |tenant| {
        format!("{} tenant {}", mark(from.tenant(tenant.id).is_some()), tenant.name)
    });
    removed.chain(come).chain(unlisted).chain(listed).chain(gone).chain(tenants)
}
