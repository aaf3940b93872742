//! What lies between the rules and tenants of two books. A list that has changed is told by what has come and what has
//! gone, not anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use shm::message::{self, Item};

use super::Difference;
use crate::model::dos::{Prefixes, Reach, Rule, Told};
use crate::model::{Book, Tenant, dos};

/// Prefixes of a list.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The id of the list.
    pub rule: u32,
    /// Which.
    pub prefixes: Prefixes,
}

impl Listing {
    fn new(rule: u32, prefixes: Prefixes) -> Option<Self> {
        (!prefixes.is_empty()).then_some(Self { rule, prefixes })
    }
}

/// How many items listings take.
fn items(listings: &[Listing]) -> usize {
    listings.iter().map(|listing| listing.prefixes.items()).sum()
}

/// How many messages.
fn messages(listings: &[Listing]) -> u64 {
    listings.iter().map(|listing| listing.prefixes.messages()).sum()
}

/// How many items texts of rules take.
fn items_of_texts(rulesets: &[Told]) -> usize {
    rulesets.iter().map(Told::items).sum()
}

/// Of several with so many items each, the one that has the item at a place among all, and the place in it.
fn holder<T>(all: &[T], items: impl Fn(&T) -> usize, at: usize) -> Option<(&T, usize)> {
    let mut left = at;
    for one in all {
        let items = items(one);
        if left < items {
            return Some((one, left));
        }
        left -= items;
    }
    None
}

/// The item at a place among those of all listings.
fn item(listings: &[Listing], at: usize) -> Option<(u32, Vec<ipnet::IpNet>)> {
    let (listing, at) = holder(listings, |listing| listing.prefixes.items(), at)?;
    Some((listing.rule, listing.prefixes.item(at)?.to_vec()))
}

/// The item at a place among those of all texts.
fn item_of_texts(rulesets: &[Told], at: usize) -> Option<Item> {
    let (told, at) = holder(rulesets, Told::items, at)?;
    told.item(at)
}

impl Difference {
    /// How many items rules and tenants take.
    pub(super) fn items_of_filter(&self) -> usize {
        self.rules_removed.len()
            + self.tunnels_removed.len()
            + self.tenants_removed.len()
            + self.tenants.len()
            + self.tunnels.len()
            + self.rules.len()
            + items(&self.unlisted)
            + items(&self.listed)
            + items_of_texts(&self.rulesets)
    }

    /// How many messages.
    pub(super) fn messages_of_filter(&self) -> u64 {
        let removed =
            self.rules_removed.len() + self.tunnels_removed.len() + self.tenants_removed.len();
        let tenants: u64 = self.tenants.iter().map(|tenant| tenant.own_messages()).sum();
        let rules: u64 = self.rules.iter().map(dos::messages_of).sum();
        let texts: u64 = self.rulesets.iter().map(Told::messages).sum();
        let alone = (removed + self.tunnels.len()) as u64;
        alone + tenants + rules + messages(&self.unlisted) + messages(&self.listed) + texts
    }

    /// The item at a place among them. What is of a tenant goes before it, and comes after it; sets and what they hold
    /// come before the rules that name them.
    pub(super) fn item_of_filter(&self, at: usize) -> Option<Item> {
        let mut at = at;
        // Whether the place is in a list of this length; else it is behind it.
        let mut within = |len: usize| {
            let place = at;
            at = at.wrapping_sub(len);
            (place < len).then_some(place)
        };
        if let Some(place) = within(self.rules_removed.len()) {
            return self.rules_removed.get(place).copied().map(Item::RuleRemove);
        }
        if let Some(place) = within(self.tunnels_removed.len()) {
            return self.tunnels_removed.get(place).copied().map(Item::TunnelRemove);
        }
        if let Some(place) = within(self.tenants_removed.len()) {
            return self.tenants_removed.get(place).copied().map(Item::TenantRemove);
        }
        if let Some(place) = within(self.tenants.len()) {
            return self.tenants.get(place).map(|tenant| Item::Tenant(Box::new(tenant.message())));
        }
        if let Some(place) = within(self.tunnels.len()) {
            return self.tunnels.get(place).map(|tunnel| Item::Tunnel(Box::new(tunnel.clone())));
        }
        if let Some(place) = within(self.rules.len()) {
            return self.rules.get(place).map(|rule| Item::Rule(Box::new(rule.clone())));
        }
        if let Some(place) = within(items(&self.unlisted)) {
            let (rule, prefixes) = item(&self.unlisted, place)?;
            return Some(Item::Unlisted { rule, prefixes });
        }
        if let Some(place) = within(items(&self.listed)) {
            let (rule, prefixes) = item(&self.listed, place)?;
            return Some(Item::Listed { rule, prefixes });
        }
        item_of_texts(&self.rulesets, within(usize::MAX)?)
    }

    pub(super) fn add_rule(&mut self, id: u32, books: (&Book, &Book)) {
        let (from, to) = books;
        let (old, new) = (from.rules.get(&id), to.rules.get(&id));
        let Some(new) = new else {
            self.rules_removed.extend(old.map(|_| id));
            return;
        };
        // One whose tenant goes is gone before that, and comes again.
        let mut old = old;
        if old.is_some_and(|old| tenant_is_gone(old, from, to)) {
            self.rules_removed.push(id);
            old = None;
        }
        let Some(message) = new.message(to) else { return };
        if old.and_then(|old| old.message(from)).as_ref() != Some(&message) {
            self.rules.push(message);
        }
        let Some(prefixes) = new.prefixes() else { return };
        let before = old.and_then(|old| old.prefixes()).cloned().unwrap_or_default();
        if !prefixes.are(&before) {
            self.unlisted.extend(Listing::new(id, before.without(prefixes)));
            self.listed.extend(Listing::new(id, prefixes.without(&before)));
        }
    }

    pub(super) fn add_tenant(
        &mut self,
        id: u32,
        from: Option<&Arc<Tenant>>,
        to: Option<&Arc<Tenant>>,
    ) {
        if from.zip(to).is_some_and(|(old, new)| Arc::ptr_eq(old, new)) {
            return;
        }
        match (from, to) {
            (Some(_), None) => self.tenants_removed.push(id),
            (None, Some(new)) => self.tenants.push(Arc::clone(new)),
            (Some(old), Some(new)) if old.message() != new.message() => {
                self.tenants.push(Arc::clone(new));
            }
            _ => {}
        }
        self.add_tunnels(id, from, to);
        let told = |tenant: Option<&Arc<Tenant>>| tenant.and_then(|tenant| tenant.told());
        // They go with their tenant.
        if to.is_some() && told(from) != told(to) {
            let none = || Told { tenant: id, text: "".into() };
            self.rulesets.push(told(to).unwrap_or_else(none));
        }
    }

    fn add_tunnels(&mut self, id: u32, from: Option<&Arc<Tenant>>, to: Option<&Arc<Tenant>>) {
        let all = |tenant: Option<&Arc<Tenant>>| -> BTreeMap<u32, message::Tunnel> {
            let tunnels = tenant.into_iter().flat_map(|tenant| &tenant.tunnels);
            tunnels.map(|tunnel| (tunnel.id, tunnel.message(id))).collect()
        };
        let (old, new) = (all(from), all(to));
        self.tunnels_removed.extend(old.keys().filter(|id| !new.contains_key(id)));
        let changed = new.into_iter().filter(|(id, tunnel)| old.get(id) != Some(tunnel));
        self.tunnels.extend(changed.map(|(_, tunnel)| tunnel));
    }
}

/// Whether the tenant of a rule goes, also when another one of that name comes.
fn tenant_is_gone(rule: &Rule, from: &Book, to: &Book) -> bool {
    let Reach::Tenant(name) = &rule.reach else { return false };
    from.tenant_named(name).is_some_and(|tenant| !to.tenants.contains(&tenant.id))
}
