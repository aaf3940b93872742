//! One thing of the book by its key, and which one a refusal means that only gives a number.

use ipnet::IpNet;

use super::apply::messages_of;
use super::dos::Prefixes;
use super::{Book, Change, Difference, PublicKey, dos, key};

/// The fleet, a peer, a next hop, a route, a tenant, what belongs to one, or a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Thing {
    /// There is at most one. It is the first: when several are left out, the fleet is what an operator must hear of.
    Fleet,
    /// By its key.
    Peer(PublicKey),
    /// By its id.
    NextHop(u32),
    /// By its number, with its next hop.
    Centre(u16),
    /// By its prefix.
    Route(IpNet),
    /// By its id.
    Tenant(u32),
    /// By its id, with the prefixes of a list.
    Rule(u32),
    /// By its id.
    Tunnel(u32),
    /// The rules of the tenant with this id.
    Ruleset(u32),
}

/// The thing to which a message belongs, counted from 0 over the messages that each thing takes.
fn among(message: u64, things: impl Iterator<Item = (Thing, u64)>) -> Option<Thing> {
    let mut left = message;
    for (thing, messages) in things {
        if left < messages {
            return Some(thing);
        }
        left -= messages;
    }
    None
}

impl Book {
    /// The thing to which a message of a snapshot belongs.
    pub fn thing(&self, message: u64) -> Option<Thing> {
        let peers = self.peers.iter();
        let peers = peers.map(|(key, peer)| (Thing::Peer(*key), messages_of(&peer.allowed_ips)));
        let hops = self.hops.iter().map(|(id, _)| (Thing::NextHop(*id), 1));
        let routes = self.routes.iter().map(|(prefix, _)| (Thing::Route(*prefix), 1));
        let fleet = self.fleet.iter().map(|fleet| (Thing::Fleet, fleet.messages()));
        let tenants =
            self.tenants.iter().map(|(id, tenant)| (Thing::Tenant(*id), tenant.own_messages()));
        let tunnels = self.tenants.iter().flat_map(|(_, tenant)| &tenant.tunnels);
        let tunnels = tunnels.map(|tunnel| (Thing::Tunnel(tunnel.id), 1));
        // All rules come before the prefixes of any list.
        let rules = self.rules.iter().map(|(id, rule)| {
            let prefixes = rule.prefixes().map_or(0, Prefixes::messages);
            (Thing::Rule(*id), rule.messages() - prefixes)
        });
        let listed = self
            .rules
            .iter()
            .filter_map(|(id, rule)| Some((Thing::Rule(*id), rule.prefixes()?.messages())));
        let texts = self
            .tenants
            .iter()
            .map(|(id, tenant)| (Thing::Ruleset(*id), tenant.messages_of_rules()));
        let centres =
            self.centres.iter().map(|(number, centre)| (Thing::Centre(*number), centre.messages()));
        let things = peers.chain(centres).chain(hops).chain(routes).chain(tenants).chain(tunnels);
        among(message, things.chain(rules).chain(listed).chain(texts).chain(fleet))
    }

    /// What to call a thing in messages, also when it is there no more.
    pub fn title(&self, thing: &Thing) -> String {
        match thing {
            Thing::Peer(key) => {
                let known = self.peers.get(key).map(|peer| peer.title());
                format!("peer {}", known.unwrap_or_else(|| key::title(key)))
            }
            Thing::NextHop(id) => match self.hops.get(id) {
                Some(hop) => format!("next hop {}", hop.name),
                None => format!("next hop {id}"),
            },
            Thing::Centre(number) => format!("centre {}", self.exit_name(*number)),
            Thing::Route(prefix) => format!("route {prefix}"),
            Thing::Fleet => "the fleet".to_owned(),
            Thing::Tenant(id) => match self.tenants.get(id) {
                Some(tenant) => format!("tenant {}", tenant.name),
                None => format!("tenant {id}"),
            },
            Thing::Rule(id) => match self.rules.get(id) {
                Some(rule) => format!("rule {}", rule.name),
                None => format!("rule {id}"),
            },
            Thing::Tunnel(id) => match self.tunnel(*id) {
                Some((tenant, tunnel)) => {
                    format!("tunnel {} of tenant {}", tunnel.name, tenant.name)
                }
                None => format!("tunnel {id}"),
            },
            Thing::Ruleset(id) => match self.tenants.get(id) {
                Some(tenant) => format!("the rules of tenant {}", tenant.name),
                None => format!("the rules of tenant {id}"),
            },
        }
    }

    /// Where a source declares it.
    pub fn declared_at(&self, thing: &Thing) -> Option<String> {
        let origin = match thing {
            Thing::Peer(key) => self.peers.get(key)?.origin,
            Thing::NextHop(id) => self.hops.get(id)?.origin,
            Thing::Centre(number) => self.centres.get(number)?.origin,
            Thing::Route(prefix) => self.routes.get(prefix)?.origin,
            Thing::Fleet => self.fleet.as_ref()?.origin,
            Thing::Tenant(id) => self.tenants.get(id)?.origin,
            Thing::Rule(id) => self.rules.get(id)?.origin,
            Thing::Tunnel(id) => self.tunnel(*id)?.1.origin,
            Thing::Ruleset(id) => self.tenants.get(id)?.firewall.as_ref()?.origin,
        };
        origin.is_declared().then(|| self.place(origin))
    }
}

impl Difference {
    /// The thing to which a message of its items belongs.
    pub fn thing(&self, message: u64) -> Option<Thing> {
        let routes_removed = self.routes_removed.iter().map(|prefix| (Thing::Route(*prefix), 1));
        let peers_removed = self.peers_removed.iter().map(|key| (Thing::Peer(*key), 1));
        let peers = self
            .peers
            .iter()
            .map(|peer| (Thing::Peer(peer.public_key), messages_of(&peer.allowed_ips)));
        let hops = self.next_hops.iter().map(|hop| (Thing::NextHop(hop.id), 1));
        let routes = self.routes.iter().map(|(prefix, _)| (Thing::Route(*prefix), 1));
        let hops_removed = self.next_hops_removed.iter().map(|id| (Thing::NextHop(*id), 1));
        let things = routes_removed.chain(peers_removed).chain(peers);
        let fleet_removed = self.fleet_removed.then_some((Thing::Fleet, 1));
        let fleet = self.fleet.iter().map(|fleet| (Thing::Fleet, fleet.messages()));
        let fleet = fleet_removed.into_iter().chain(fleet);
        let centres = self.centres.iter();
        let centres = centres.map(|(centre, _)| (Thing::Centre(centre.number), centre.messages()));
        let centres_removed =
            self.centres_removed.iter().map(|centre| (Thing::Centre(centre.number), 2));
        let things = things.chain(centres).chain(hops).chain(routes).chain(hops_removed);
        let things = things.chain(centres_removed);
        among(message, things.chain(self.things_of_rules()).chain(fleet))
    }

    /// Those of rules and tenants, each with its messages.
    fn things_of_rules(&self) -> impl Iterator<Item = (Thing, u64)> {
        let rules_removed = self.rules_removed.iter().map(|id| (Thing::Rule(*id), 1));
        let tenants_removed = self.tenants_removed.iter().map(|id| (Thing::Tenant(*id), 1));
        let tenants =
            self.tenants.iter().map(|tenant| (Thing::Tenant(tenant.id), tenant.own_messages()));
        let tunnels_removed = self.tunnels_removed.iter().map(|id| (Thing::Tunnel(*id), 1));
        let tunnels = self.tunnels.iter().map(|tunnel| (Thing::Tunnel(tunnel.id), 1));
        let texts = self.rulesets.iter().map(|told| (Thing::Ruleset(told.tenant), told.messages()));
        let rules = self.rules.iter().map(|rule| (Thing::Rule(rule.id), dos::messages_of(rule)));
        let listed = self.unlisted.iter().chain(&self.listed);
        let listed = listed.map(|listing| (Thing::Rule(listing.rule), listing.prefixes.messages()));
        let removed = rules_removed.chain(tunnels_removed).chain(tenants_removed);
        removed.chain(tenants).chain(tunnels).chain(rules).chain(listed).chain(texts)
    }
}

impl Change {
    /// Whether it is about a thing that a book has.
    pub fn is_about(&self, thing: &Thing, book: &Book) -> bool {
        let named = |name: &str| book.next_hop_named(name).map(|hop| Thing::NextHop(hop.id));
        let rule_named = |name: &str| book.rule_named(name).map(|rule| Thing::Rule(rule.id));
        let tenant_named =
            |name: &str| book.tenant_named(name).map(|tenant| Thing::Tenant(tenant.id));
        let about = match self {
            Self::AddPeer(peer) | Self::PutPeer(peer) => Some(Thing::Peer(peer.public_key)),
            Self::RemovePeer(key) => Some(Thing::Peer(*key)),
            Self::AddRoute(route) | Self::PutRoute(route) => Some(Thing::Route(route.prefix)),
            Self::RemoveRoute(prefix) => Some(Thing::Route(*prefix)),
            Self::AddNextHop(hop) | Self::PutNextHop(hop) => named(&hop.name),
            Self::RemoveNextHop(name) => named(name),
            Self::PutFleet(_) | Self::RemoveFleet => Some(Thing::Fleet),
            Self::AddRule(rule) | Self::PutRule(rule) => rule_named(&rule.name),
            Self::RemoveRule(name) => rule_named(name),
            Self::ListPrefixes { list, .. } => rule_named(list),
            Self::ExpireRule { id, .. } => Some(Thing::Rule(*id)),
            Self::AddTenant(tenant) | Self::PutTenant(tenant) => tenant_named(&tenant.name),
            Self::SetRules { tenant, .. } => tenant_named(tenant),
            Self::RemoveTenant(name) => tenant_named(name),
            Self::PutCentre(centre) => Some(Thing::Centre(centre.number)),
            Self::RemoveCentre(name) => {
                book.centre_named(name).map(|centre| Thing::Centre(centre.number))
            }
            Self::Lead(_) | Self::Relay(_) | Self::PutDetect(_) | Self::Record { .. } => None,
        };
        match (about, thing) {
            // A tenant is said with all that belongs to it.
            (Some(Thing::Tenant(id)), Thing::Ruleset(of)) => id == *of,
            (Some(Thing::Tenant(id)), Thing::Tunnel(tunnel)) => {
                book.tunnels.get(tunnel) == Some(&id)
            }
            (about, thing) => about.as_ref() == Some(thing),
        }
    }
}
