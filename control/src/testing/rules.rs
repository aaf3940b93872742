//! Rules and tenants as the dataplane for tests has them.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use shm::message::{Item, Matter, Reach, Rule, Tenant};
use shm::transaction::Obstacle;

use crate::model::Book;
use crate::model::dos::Prefixes;

/// What control has told of the filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Rules.
    pub rules: BTreeMap<u32, Rule>,
    /// The prefixes of lists.
    pub lists: BTreeMap<u32, BTreeSet<IpNet>>,
    /// Tenants.
    pub tenants: BTreeMap<u32, Tenant>,
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
            Item::TenantRemove(id) => drop(self.tenants.remove(&id)),
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
            | Item::Fleet(_)
            | Item::FleetRemove
            | Item::Tunnel(_)
            | Item::TunnelRemove(_)
            | Item::Ruleset(_)
            | Item::RulesetText { .. } => {}
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
    }
}
