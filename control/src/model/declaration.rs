//! What sources declare, all of it at one moment, and what of the book is to be changed for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::{
    Book, Cause, Centre, Change, Detect, Fleet, HopNamed, Limits, Origin, Peer, Place, Refused,
    RouteTo, Rule, Tenant, Touched,
};

/// All that a source declares. Origins are [`Origin::Declared`], their files numbers into `files`.
#[derive(Clone, Debug, Default)]
pub struct Declaration {
    /// The names of its files.
    pub files: Vec<String>,
    /// Peers.
    pub peers: Vec<Peer>,
    /// Data centres.
    pub centres: Vec<Centre>,
    /// Next hops.
    pub next_hops: Vec<HopNamed>,
    /// Routes.
    pub routes: Vec<RouteTo>,
    /// The fleet.
    pub fleet: Option<Fleet>,
    /// Rules.
    pub rules: Vec<Rule>,
    /// Tenants.
    pub tenants: Vec<Tenant>,
    /// When detection makes rules.
    pub detect: Option<Detect>,
}

impl Book {
    /// Makes a declaration the declared layer, whole or not at all.
    pub fn declare(
        &mut self,
        declaration: Declaration,
        limits: &Limits,
    ) -> Result<Touched, Refused> {
        let mut book = self.clone();
        let changes = declaration.changes(&mut book)?;
        let touched = book.apply(BY_SOURCE, &changes, limits)?;
        *self = book;
        Ok(touched)
    }
}

impl Declaration {
    /// The changes that make it the declared layer of a book. Files get their numbers in the book.
    pub fn changes(mut self, book: &mut Book) -> Result<Vec<Change>, Refused> {
        self.number(book)?;
        // In order they go into the book faster, and take less of it.
        self.peers.sort_unstable_by_key(|peer| peer.public_key);
        self.routes.sort_unstable_by_key(|route| route.prefix);
        let peers = distinct(
            book,
            &self.peers,
            |peer| (&peer.public_key, peer.origin),
            |peer| format!("public_key: peer {}", peer.title()),
        )?;
        let hops = distinct(
            book,
            &self.next_hops,
            |hop| (&*hop.name, hop.origin),
            |hop| format!("name: next hop {}", hop.name),
        )?;
        let routes = distinct(
            book,
            &self.routes,
            |route| (&route.prefix, route.origin),
            |route| format!("prefix: route {}", route.prefix),
        )?;
        let gone = book
            .peers
            .iter()
            .filter(|(key, peer)| peer.origin.is_declared() && !peers.contains_key(key));
        let mut changes: Vec<Change> = gone.map(|(key, _)| Change::RemovePeer(*key)).collect();
        let gone = book
            .routes
            .iter()
            .filter(|(prefix, route)| route.origin.is_declared() && !routes.contains_key(prefix));
        changes.extend(gone.map(|(prefix, _)| Change::RemoveRoute(*prefix)));
        let gone = book.hop_names.iter().filter(|(name, id)| {
            let declared = book.hops.get(id).is_some_and(|hop| hop.origin.is_declared());
            declared && !hops.contains_key(&***name)
        });
        let hops_gone: Vec<Arc<str>> = gone.map(|(name, _)| Arc::clone(name)).collect();
        drop((peers, hops, routes));
        changes_of_centres(book, self.centres, &mut changes)?;
        // What names follows what is named, and goes before it.
        let new = self.peers.into_iter().filter(|peer| !is_there(book, peer)).map(Change::PutPeer);
        changes.extend(new);
        changes.extend(self.next_hops.into_iter().map(Change::PutNextHop));
        let new = self.routes.into_iter().filter(|route| !leads_there(book, route));
        changes.extend(new.map(Change::PutRoute));
        changes.extend(hops_gone.into_iter().map(Change::RemoveNextHop));
        changes_of_rules(book, self.rules, self.tenants, &mut changes)?;
        if book.detect != self.detect {
            changes.push(Change::PutDetect(self.detect));
        }
        match self.fleet {
            Some(fleet) => changes.push(Change::PutFleet(Arc::new(fleet))),
            None => changes.extend(book.fleet.is_some().then_some(Change::RemoveFleet)),
        }
        Ok(changes)
    }

    /// The change that makes its fleet that of a book, whatever else it declares. Files get their numbers in the book.
    pub fn change_of_fleet(self, book: &mut Book) -> Result<Vec<Change>, Refused> {
        let mut alone = Self { files: self.files, fleet: self.fleet, ..Self::default() };
        alone.number(book)?;
        Ok(alone.fleet.map(|fleet| Change::PutFleet(Arc::new(fleet))).into_iter().collect())
    }

    /// From numbers of our own files to the book's.
    fn number(&mut self, book: &mut Book) -> Result<(), Refused> {
        let mut numbers = Vec::new();
        for name in &self.files {
            numbers.push(book.file(name).ok_or_else(|| {
                Refused::new(Cause::Full, "more than 65536 files were declared; restart control")
            })?);
        }
        let renumber = |origin: &mut Origin| {
            if let Origin::Declared(place) = origin {
                place.file = numbers.get(usize::from(place.file)).copied().unwrap_or_default();
            }
        };
        self.peers.iter_mut().for_each(|peer| renumber(&mut peer.origin));
        self.centres.iter_mut().for_each(|centre| renumber(&mut centre.origin));
        self.next_hops.iter_mut().for_each(|hop| renumber(&mut hop.origin));
        self.routes.iter_mut().for_each(|route| renumber(&mut route.origin));
        self.fleet.iter_mut().for_each(|fleet| renumber(&mut fleet.origin));
        self.rules.iter_mut().for_each(|rule| renumber(&mut rule.origin));
        for tenant in &mut self.tenants {
            renumber(&mut tenant.origin);
            tenant.tunnels.iter_mut().for_each(|tunnel| renumber(&mut tunnel.origin));
            tenant.firewall.iter_mut().for_each(|firewall| renumber(&mut firewall.origin));
        }
        self.detect.iter_mut().for_each(|detect| renumber(&mut detect.origin));
        Ok(())
    }
}

/// The changes that make centres those of the declared layer: those that go make room for others of their numbers.
fn changes_of_centres(
    book: &Book,
    centres: Vec<Centre>,
    changes: &mut Vec<Change>,
) -> Result<(), Refused> {
    let named = distinct(
        book,
        &centres,
        |centre| (&*centre.name, centre.origin),
        |centre| format!("name: centre {}", centre.name),
    )?;
    distinct(
        book,
        &centres,
        |centre| (&centre.number, centre.origin),
        |centre| format!("number: centre {}", centre.number),
    )?;
    let gone = book
        .centres()
        .filter(|centre| centre.origin.is_declared() && !named.contains_key(&*centre.name));
    changes.extend(gone.map(|centre| Change::RemoveCentre(Arc::clone(&centre.name))));
    drop(named);
    changes.extend(centres.into_iter().map(Change::PutCentre));
    Ok(())
}

/// The changes that make rules and tenants those of the declared layer.
fn changes_of_rules(
    book: &Book,
    rules: Vec<Rule>,
    tenants: Vec<Tenant>,
    changes: &mut Vec<Change>,
) -> Result<(), Refused> {
    let named = distinct(
        book,
        &rules,
        |rule| (&*rule.name, rule.origin),
        |rule| format!("name: rule {}", rule.name),
    )?;
    let owners = distinct(
        book,
        &tenants,
        |tenant| (&*tenant.name, tenant.origin),
        |tenant| format!("name: tenant {}", tenant.name),
    )?;
    let gone = book
        .rules
        .iter()
        .filter(|(_, rule)| rule.origin.is_declared() && !named.contains_key(&*rule.name));
    changes.extend(gone.map(|(_, rule)| Change::RemoveRule(Arc::clone(&rule.name))));
    let gone = book
        .tenants
        .iter()
        .filter(|(_, tenant)| tenant.origin.is_declared() && !owners.contains_key(&*tenant.name));
    changes.extend(gone.map(|(_, tenant)| Change::RemoveTenant(Arc::clone(&tenant.name))));
    drop((named, owners));
    let is_same = |tenant: &Tenant| {
        let old = book.tenant_named(&tenant.name);
        old.is_some_and(|old| has_same_origins(old, tenant) && old.says_the_same(tenant))
    };
    let new = tenants.into_iter().filter(|tenant| !is_same(tenant));
    changes.extend(new.map(Change::PutTenant));
    let is_same = |rule: &Rule| {
        let old = book.rule_named(&rule.name);
        old.is_some_and(|old| {
            let prefixes = match (old.prefixes(), rule.prefixes()) {
                (Some(old), Some(new)) => old.are(new),
                (old, new) => old.is_none() && new.is_none(),
            };
            prefixes && old.origin == rule.origin && old.says_the_same(rule)
        })
    };
    changes.extend(rules.into_iter().filter(|rule| !is_same(rule)).map(Change::PutRule));
    Ok(())
}

/// Whether all of a tenant stands where it did, so that refusals name the right lines.
fn has_same_origins(old: &Tenant, new: &Tenant) -> bool {
    let [old_tunnels, new_tunnels] =
        [old, new].map(|tenant| tenant.tunnels.iter().map(|tunnel| tunnel.origin));
    let rules = |tenant: &Tenant| tenant.firewall.as_ref().map(|firewall| firewall.origin);
    old.origin == new.origin && old_tunnels.eq(new_tunnels) && rules(old) == rules(new)
}

fn is_there(book: &Book, peer: &Peer) -> bool {
    let old = book.peers.get(&peer.public_key);
    old.is_some_and(|old| old.origin == peer.origin && old.says_the_same(peer))
}

fn leads_there(book: &Book, wanted: &RouteTo) -> bool {
    book.routes.get(&wanted.prefix).is_some_and(|old| {
        let hop = book.hops.get(&old.next_hop);
        old.origin == wanted.origin && hop.is_some_and(|hop| hop.name == wanted.next_hop)
    })
}

/// All by their keys, if no two have the same.
fn distinct<'a, T, K: Hash + Eq + ?Sized>(
    book: &Book,
    all: &'a [T],
    key: impl Fn(&'a T) -> (&'a K, Origin),
    title: impl Fn(&T) -> String,
) -> Result<HashMap<&'a K, Origin>, Refused> {
    let mut seen = HashMap::with_capacity(all.len());
    for one in all {
        let (key, origin) = key(one);
        if let Some(other) = seen.insert(key, origin) {
            let other = book.place(other);
            let what = format!("{} is there already ({other}); keep one of them", title(one));
            return Err(Refused::new(Cause::Conflict, what).at(book.place(origin)));
        }
    }
    Ok(seen)
}

/// The origin of what a source's change concerns as a whole.
pub(crate) const BY_SOURCE: Origin = Origin::Declared(Place { file: 0, line: 0 });
