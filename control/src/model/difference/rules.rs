//! What lies between the rules and tenants of two books. A list that has changed is told by what has come and what has
//! gone, not anew.

use std::sync::Arc;

use shm::message::Item;

use super::Difference;
use crate::model::dos::{Prefixes, Reach, Rule};
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

/// The item at a place among those of all listings.
fn item(listings: &[Listing], at: usize) -> Option<(u32, Vec<ipnet::IpNet>)> {
    let mut left = at;
    for Listing { rule, prefixes } in listings {
        let items = prefixes.items();
        if left < items {
            return Some((*rule, prefixes.item(left)?.to_vec()));
        }
        left -= items;
    }
    None
}

impl Difference {
    /// How many items rules and tenants take.
    pub(super) fn items_of_filter(&self) -> usize {
        self.rules_removed.len()
            + self.tenants_removed.len()
            + self.tenants.len()
            + self.rules.len()
            + items(&self.unlisted)
            + items(&self.listed)
    }

    /// How many messages.
    pub(super) fn messages_of_filter(&self) -> u64 {
        let removed = self.rules_removed.len() + self.tenants_removed.len();
        let tenants: u64 = self.tenants.iter().map(|tenant| tenant.messages()).sum();
        let rules: u64 = self.rules.iter().map(dos::messages_of).sum();
        removed as u64 + tenants + rules + messages(&self.unlisted) + messages(&self.listed)
    }

    /// The item at a place among them. A rule goes before its tenant, and comes after it.
    pub(super) fn item_of_filter(&self, at: usize) -> Option<Item> {
        let removed = self.rules_removed.iter().map(|id| Item::RuleRemove(*id));
        let mut removed =
            removed.chain(self.tenants_removed.iter().map(|id| Item::TenantRemove(*id)));
        let few = self.rules_removed.len() + self.tenants_removed.len();
        let Some(at) = at.checked_sub(few) else { return removed.nth(at) };
        let Some(behind) = at.checked_sub(self.tenants.len()) else {
            return self.tenants.get(at).map(|tenant| Item::Tenant(Box::new(tenant.message())));
        };
        let Some(at) = behind.checked_sub(self.rules.len()) else {
            return self.rules.get(behind).map(|rule| Item::Rule(Box::new(rule.clone())));
        };
        let Some(behind) = at.checked_sub(items(&self.unlisted)) else {
            let (rule, prefixes) = item(&self.unlisted, at)?;
            return Some(Item::Unlisted { rule, prefixes });
        };
        let (rule, prefixes) = item(&self.listed, behind)?;
        Some(Item::Listed { rule, prefixes })
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
        match (from, to) {
            (Some(_), None) => self.tenants_removed.push(id),
            (None, Some(new)) => self.tenants.push(Arc::clone(new)),
            (Some(old), Some(new)) if !Arc::ptr_eq(old, new) && old.message() != new.message() => {
                self.tenants.push(Arc::clone(new));
            }
            _ => {}
        }
    }
}

/// Whether the tenant of a rule goes, also when another one of that name comes.
fn tenant_is_gone(rule: &Rule, from: &Book, to: &Book) -> bool {
    let Reach::Tenant(name) = &rule.reach else { return false };
    from.tenant_named(name).is_some_and(|tenant| !to.tenants.contains(&tenant.id))
}
