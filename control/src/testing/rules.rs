//! Rules, tenants, their tunnels and their rules as the dataplane for tests has them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use shm::message::{Item, Matter, Reach, Rule, Tenant, Tunnel};
use shm::transaction::Obstacle;

use crate::model::dos::Prefixes;
use crate::model::{self, Book};

/// An address of the server: no tunnel leads there.
const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// What control has told of the filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Rules.
    pub rules: BTreeMap<u32, Rule>,
    /// The prefixes of lists.
    pub lists: BTreeMap<u32, BTreeSet<IpNet>>,
    /// Tenants.
    pub tenants: BTreeMap<u32, Tenant>,
    /// Tunnels.
    pub tunnels: BTreeMap<u32, Tunnel>,
    /// The rules of tenants; of those that have none, nothing.
    pub texts: BTreeMap<u32, Vec<u8>>,
    /// Prefixes that came into lists, and that went out of them, one by one, since the last snapshot.
    pub moved: (usize, usize),
}

impl Filter {
    /// Whether it says what a book says.
    pub fn agrees_with(&self, book: &Book) -> bool {
        let counts = book.counts();
        let lists = book.rules_after(0).filter(|rule| rule.prefixes().is_some()).count();
        counts.rules == self.rules.len()
            && counts.tenants == self.tenants.len()
            && lists == self.lists.len()
            && book
                .rules_after(0)
                .all(|rule| self.rules.get(&rule.id) == rule.message(book).as_ref())
            && book.rules_after(0).all(|rule| self.has(rule.id, rule.prefixes()))
            && book
                .tenants_after(0)
                .all(|tenant| self.tenants.get(&tenant.id) == Some(&tenant.message()))
            && counts.tunnels == self.tunnels.len()
            && book.tenants_after(0).all(|tenant| self.has_all_of(tenant))
    }

    fn has_all_of(&self, tenant: &model::Tenant) -> bool {
        let told = tenant.told();
        let text = told.as_ref().map_or(&[][..], |told| told.text.as_bytes());
        self.texts.get(&tenant.id).map_or(&[][..], Vec::as_slice) == text
            && tenant
                .tunnels
                .iter()
                .all(|tunnel| self.tunnels.get(&tunnel.id) == Some(&tunnel.message(tenant.id)))
    }

    fn has(&self, id: u32, prefixes: Option<&Prefixes>) -> bool {
        let told = self.lists.get(&id).into_iter().flatten();
        told.eq(prefixes.map_or(&[][..], Prefixes::as_slice))
    }

    /// Prefixes on all lists.
    pub fn listed(&self) -> usize {
        self.lists.values().map(BTreeSet::len).sum()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn apply(&mut self, item: Item) {
        match item {
            Item::Tenant(tenant) => drop(self.tenants.insert(tenant.id, *tenant)),
            Item::TenantRemove(id) => {
                self.tenants.remove(&id);
                self.texts.remove(&id);
            }
            Item::Tunnel(tunnel) => drop(self.tunnels.insert(tunnel.id, *tunnel)),
            Item::TunnelRemove(id) => drop(self.tunnels.remove(&id)),
            Item::Ruleset(tenant) => drop(self.texts.insert(tenant, Vec::new())),
            Item::RulesetText { tenant, text } => {
                self.texts.entry(tenant).or_default().extend(text);
            }
            Item::Rule(rule) => self.put(*rule),
            Item::RuleRemove(id) => {
                self.rules.remove(&id);
                self.lists.remove(&id);
            }
            Item::Listed { rule, prefixes } => {
                self.moved.0 += prefixes.len();
                self.lists.entry(rule).or_default().extend(prefixes);
            }
            Item::Unlisted { rule, prefixes } => {
                self.moved.1 += prefixes.len();
                let list = self.lists.entry(rule).or_default();
                for prefix in prefixes {
                    list.remove(&prefix);
                }
            }
            Item::Peer(_)
            | Item::PeerRemove(_)
            | Item::Route { .. }
            | Item::RouteRemove(_)
            | Item::NextHop { .. }
            | Item::NextHopRemove(_)
            | Item::Centre(_)
            | Item::Machines { .. }
            | Item::CentreRemove(_)
            | Item::Fleet(_)
            | Item::FleetRemove => {}
        }
    }

    /// A list of the same kind keeps its prefixes.
    fn put(&mut self, rule: Rule) {
        let is_list = matches!(rule.matter, Matter::Block | Matter::Allow | Matter::Set);
        let same = self.rules.get(&rule.id).is_some_and(|old| old.matter == rule.matter);
        if !is_list {
            self.lists.remove(&rule.id);
        } else if !same {
            self.lists.insert(rule.id, BTreeSet::new());
        }
        self.rules.insert(rule.id, rule);
    }

    /// What no filter can be built from.
    pub(super) fn obstacle(&self) -> Option<(Obstacle, Item)> {
        let lost = self.rules.values().find(|rule| match rule.reach {
            Reach::Tenant(id) => !self.tenants.contains_key(&id),
            Reach::All | Reach::Own => false,
        });
        lost.map(|rule| (Obstacle::NoTenant, Item::Rule(Box::new(rule.clone()))))
            .or_else(|| self.obstacle_of_tunnels())
            .or_else(|| self.obstacle_of_texts())
    }

    fn obstacle_of_tunnels(&self) -> Option<(Obstacle, Item)> {
        let mut ends = BTreeSet::new();
        self.tunnels.values().find_map(|tunnel| {
            let obstacle = if !self.tenants.contains_key(&tunnel.tenant) {
                Obstacle::NoTenant
            } else if !ends.insert((tunnel.local, tunnel.remote, tunnel.key)) {
                Obstacle::TunnelTaken
            } else if tunnel.remote == OWN {
                Obstacle::TunnelEnds
            } else {
                return None;
            };
            Some((obstacle, Item::Tunnel(Box::new(tunnel.clone()))))
        })
    }

    /// Rules that are not read, name what is no set, or are of nobody.
    fn obstacle_of_texts(&self) -> Option<(Obstacle, Item)> {
        let is_set = |name: &str| {
            let rule = name.parse().ok().and_then(|id: u32| self.rules.get(&id));
            rule.is_some_and(|rule| rule.matter == Matter::Set)
        };
        self.texts.iter().find_map(|(tenant, text)| {
            let read =
                std::str::from_utf8(text).ok().and_then(|text| firewall::parse::parse(text).ok());
            let is_good = read.is_some_and(|ruleset| firewall::walk::sets(&ruleset).all(is_set));
            let obstacle = if !self.tenants.contains_key(tenant) {
                Obstacle::NoTenant
            } else if is_good {
                return None;
            } else {
                Obstacle::BadRules
            };
            Some((obstacle, Item::Ruleset(*tenant)))
        })
    }
}
