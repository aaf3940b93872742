//! Changes of the book, judged as a whole: every rule that peers, routes and next hops must obey, each with its remedy.

mod centres;
mod firewalls;
mod fleet;
mod next_hops;
mod overlaps;
mod peers;
mod rules;
mod tenants;
mod tunnels;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Display;
use std::sync::Arc;

use ipnet::IpNet;
use shm::limits::ITEMS_MAX;

use super::difference::Touched;
use super::{
    BY_SOURCE, Book, Cause, Change, LOCAL, Origin, PublicKey, REJECT, Refused, Route, RouteTo,
    Thing, key,
};

/// Longest name of a peer or next hop, octets.
const NAME_LEN_MAX: usize = 64;

/// Next hops that the dataplane's 16-bit route ids can tell apart, with room to change all of them at once.
const NEXT_HOPS_MAX: usize = 32_000;

/// What the dataplane takes, as far as it has said so.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The server's own key, which is no peer's.
    pub own: Option<PublicKey>,
    /// How many peers there may be.
    pub peers_max: usize,
}

impl Default for Limits {
    /// Before a dataplane was heard: what one transaction holds.
    fn default() -> Self {
        Self { own: None, peers_max: ITEMS_MAX }
    }
}

impl Book {
    /// Makes all of the changes or none; says what they touched. Those of [`Origin::Declared`] keep the origin that
    /// each bears, others get `by`.
    pub fn apply(
        &mut self,
        by: Origin,
        changes: &[Change],
        limits: &Limits,
    ) -> Result<Touched, Refused> {
        let (book, touched) = made(self.clone(), by, changes, limits)?;
        *self = book;
        Ok(touched)
    }

    /// Adds what was kept, each with its own origin, to a book that nobody else holds: nothing is copied, and after a
    /// refusal nothing is left.
    pub(crate) fn restore(&mut self, changes: &[Change]) -> Result<(), Refused> {
        let book = std::mem::take(self);
        let (book, _) = made(book, BY_SOURCE, changes, &Limits::default())?;
        *self = book;
        Ok(())
    }
}

/// The book with the changes made, and what they touched.
fn made(
    book: Book,
    by: Origin,
    changes: &[Change],
    limits: &Limits,
) -> Result<(Book, Touched), Refused> {
    let before = book.peers.len();
    let (touched, taken_out, sets) = (Touched::default(), HashSet::new(), BTreeSet::new());
    let freed = HashMap::new();
    let mut applying = Applying { book, by, limits, before, touched, taken_out, sets, freed };
    // First all that goes or is replaced, so that what it held is free for the rest.
    for change in changes {
        applying.take_out(change)?;
    }
    for change in changes {
        applying.put_in(change)?;
    }
    applying.forget_rules_of_nobody();
    applying.reset_relays();
    applying.touched.tidy();
    applying.name_sets()?;
    applying.check_whole()?;
    let Applying { book, touched, .. } = applying;
    Ok((book, touched))
}

struct Applying<'a> {
    book: Book,
    by: Origin,
    limits: &'a Limits,
    /// How many peers there were.
    before: usize,
    touched: Touched,
    /// What changes were about that has been taken out in the first pass.
    taken_out: HashSet<Thing>,
    /// The names of sets that come, go or change.
    sets: BTreeSet<Arc<str>>,
    /// Next hop and relay of centres that were taken out: one of the same number has them again.
    freed: HashMap<u16, (u32, u16)>,
}

impl Applying<'_> {
    fn take_out(&mut self, change: &Change) -> Result<(), Refused> {
        match change {
            Change::PutPeer(peer) => {
                if let Some(old) = self.book.peers.get(&peer.public_key).cloned()
                    && !old.says_the_same(peer)
                {
                    self.may_change(old.origin, || old.title())?;
                    self.remove_peer(&old);
                }
            }
            Change::RemovePeer(key) => {
                if let Some(old) = self.book.peers.get(key).cloned() {
                    self.may_change(old.origin, || old.title())?;
                    self.remove_peer(&old);
                }
            }
            Change::PutRoute(route) => {
                if let Some(old) = self.book.routes.get(&route.prefix).copied() {
                    let same = self.named(old.next_hop) == Some(&route.next_hop);
                    if !same {
                        self.may_change(old.origin, || route.prefix.to_string())?;
                        self.remove_route(route.prefix, old);
                    }
                }
            }
            Change::RemoveRoute(prefix) => {
                if let Some(old) = self.book.routes.get(prefix).copied() {
                    self.may_change(old.origin, || prefix.to_string())?;
                    self.remove_route(*prefix, old);
                }
            }
            Change::PutTenant(tenant) => self.free_tenant(&tenant.name)?,
            Change::RemoveTenant(name) => self.free_tenant(name)?,
            // Next hops hold nothing that somebody else may want, and routes need them meanwhile; so rules and tenants.
            Change::RemoveNextHop(_)
            | Change::PutNextHop(_)
            | Change::AddPeer(_)
            | Change::AddRoute(_)
            | Change::AddNextHop(_)
            | Change::PutFleet(_)
            | Change::RemoveFleet
            | Change::AddRule(_)
            | Change::PutRule(_)
            | Change::RemoveRule(_)
            | Change::ExpireRule { .. }
            | Change::ListPrefixes { .. }
            | Change::AddTenant(_)
            | Change::SetRules { .. }
            | Change::PutCentre(_)
            | Change::RemoveCentre(_)
            | Change::Lead(_)
            | Change::Relay(_)
            | Change::PutDetect(_)
            | Change::Record { .. } => {}
        }
        Ok(())
    }

    fn put_in(&mut self, change: &Change) -> Result<(), Refused> {
        match change {
            Change::AddPeer(peer) => self.add_peer(peer, false),
            Change::PutPeer(peer) => self.add_peer(peer, true),
            Change::RemovePeer(key) => match self.book.peers.get(key).cloned() {
                Some(old) => {
                    self.remove_peer(&old);
                    Ok(())
                }
                None if self.taken_out.contains(&Thing::Peer(*key)) => Ok(()),
                None => Err(unknown("public_key", "peer", key::title(key))),
            },
            Change::AddRoute(route) => self.add_route(route, false),
            Change::PutRoute(route) => self.add_route(route, true),
            Change::RemoveRoute(prefix) => match self.book.routes.get(prefix).copied() {
                Some(old) => {
                    self.remove_route(*prefix, old);
                    Ok(())
                }
                None if self.taken_out.contains(&Thing::Route(*prefix)) => Ok(()),
                None => Err(unknown("prefix", "route", prefix)),
            },
            Change::AddNextHop(hop) => self.add_next_hop(hop, false),
            Change::PutNextHop(hop) => self.add_next_hop(hop, true),
            Change::RemoveNextHop(name) => self.remove_next_hop(name),
            Change::PutFleet(fleet) => self.put_fleet(fleet),
            Change::RemoveFleet => self.remove_fleet(),
            Change::AddRule(rule) => self.add_rule(rule, false),
            Change::PutRule(rule) => self.add_rule(rule, true),
            Change::RemoveRule(name) => self.remove_rule(name),
            Change::ExpireRule { id, now } => {
                self.expire_rule(*id, *now);
                Ok(())
            }
            Change::ListPrefixes { list, add, remove } => self.list_prefixes(list, add, remove),
            Change::AddTenant(tenant) => self.add_tenant(tenant),
            Change::PutTenant(tenant) => self.put_tenant(tenant),
            Change::SetRules { tenant, rules } => self.set_rules(tenant, rules.as_ref()),
            Change::RemoveTenant(name) => self.remove_tenant(name),
            Change::PutCentre(centre) => self.put_centre(centre),
            Change::RemoveCentre(name) => self.remove_centre(name),
            Change::Lead(led) => {
                self.lead(led);
                Ok(())
            }
            Change::Relay(relays) => {
                self.relay(relays);
                Ok(())
            }
            Change::PutDetect(detect) => {
                self.put_detect(*detect);
                Ok(())
            }
            Change::Record { .. } => Ok(()),
        }
    }

    /// What concerns no single change: uses of what is gone, and room.
    fn check_whole(&self) -> Result<(), Refused> {
        for key in self.touched.peers() {
            if self.book.peers.contains(key) {
                continue;
            }
            let from = (*key, 0);
            let used = self.book.hops_to.get(&from).map(|()| 0);
            let used = used.or_else(|| {
                let (next, ()) = self.book.hops_to.after(&from).next()?;
                (next.0 == *key).then_some(next.1)
            });
            if let Some(hop) = used.and_then(|id| self.book.hops.get(&id)) {
                let what = format!(
                    "peer {} is where next hop {} leads; remove that first",
                    key::title(key),
                    hop.name
                );
                return Err(self.refused(Cause::Conflict, hop.origin, what));
            }
        }
        for id in self.touched.next_hops() {
            let uses = self.book.uses(*id);
            if uses > 0 && !self.book.hops.contains(id) {
                let what = format!("next hop is used by {uses} routes; remove these first");
                return Err(Refused::new(Cause::Conflict, what).at("next_hop"));
            }
        }
        self.check_centres()?;
        self.check_rules()?;
        self.check_room()
    }

    fn check_room(&self) -> Result<(), Refused> {
        let full = |what: String| Err(Refused::new(Cause::Full, what));
        let (peers, peers_max) = (self.book.peers.len(), self.limits.peers_max);
        // Where there are too many already, for another dataplane had more room, they may become fewer one by one.
        if peers > peers_max.max(self.before) {
            return full(format!(
                "{peers} peers, and the dataplane takes {peers_max}; remove some, or raise its capacity.peers"
            ));
        }
        let hops = self.book.hops.len();
        if hops > NEXT_HOPS_MAX {
            return full(format!("{hops} next hops, and {NEXT_HOPS_MAX} are taken; remove some"));
        }
        let messages = self.book.messages;
        if messages > ITEMS_MAX as u64 {
            return full(format!(
                "peers, routes and rules take {messages} messages, and the dataplane takes {ITEMS_MAX}; \
                 remove some"
            ));
        }
        Ok(())
    }

    /// At run time nothing is changed that a source declares.
    fn may_change(&self, origin: Origin, title: impl FnOnce() -> String) -> Result<(), Refused> {
        match (origin, self.by) {
            (Origin::Declared(_), Origin::Declared(_)) => Ok(()),
            (Origin::Declared(_), _) => {
                let (title, place) = (title(), self.book.place(origin));
                let what = format!("{title} is declared in {place}; change it there");
                Err(Refused::new(Cause::Declared, what))
            }
            (kept, Origin::Declared(_)) => {
                let (title, place) = (title(), self.book.place(kept));
                let what = format!("{title} is also {place}; remove the one or the other");
                Err(Refused::new(Cause::Conflict, what))
            }
            _ => Ok(()),
        }
    }

    fn origin(&self, own: Origin) -> Origin {
        if self.by.is_declared() { own } else { self.by }
    }

    /// A refusal at the place of what is declared, else at none.
    fn refused(&self, cause: Cause, origin: Origin, what: impl Into<String>) -> Refused {
        let refused = Refused::new(cause, what);
        if origin.is_declared() { refused.at(self.book.place(origin)) } else { refused }
    }

    /// The same about a field of something that comes by this change.
    fn wrong(&self, cause: Cause, own: Origin, field: &str, what: impl Display) -> Refused {
        if self.by.is_declared() {
            Refused::new(cause, format!("{field}: {what}")).at(self.book.place(own))
        } else {
            Refused::new(cause, what.to_string()).at(field)
        }
    }

    fn named(&self, id: u32) -> Option<&Arc<str>> {
        self.book.hops.get(&id).map(|hop| &hop.name)
    }

    fn add_route(&mut self, wanted: &RouteTo, put: bool) -> Result<(), Refused> {
        let prefix = wanted.prefix;
        let origin = self.origin(wanted.origin);
        if let Some(what) = wrong_prefix(&prefix) {
            return Err(self.wrong(Cause::Invalid, wanted.origin, "prefix", what));
        }
        let Some(id) = self.book.hop_names.get(&*wanted.next_hop).copied() else {
            let what = format!("there is no next hop {}; add it first", wanted.next_hop);
            return Err(self.wrong(Cause::Unknown, wanted.origin, "next_hop", what));
        };
        if let Some(old) = self.book.routes.get(&prefix).copied() {
            let (same, declared) = (old.next_hop == id, old.origin.is_declared());
            if put && same && (declared || !self.by.is_declared()) {
                // The same route, perhaps from another line of the source.
                if self.by.is_declared() {
                    self.book.routes.insert(prefix, Route { origin, ..old });
                }
                return Ok(());
            }
            if !put || declared != self.by.is_declared() {
                let place = self.book.place(old.origin);
                let what = format!("{prefix} is a route already ({place}); keep one of them");
                return Err(self.wrong(Cause::Conflict, wanted.origin, "prefix", what));
            }
            self.remove_route(prefix, old);
        }
        if let Some(holder) = self.book.holder(&prefix) {
            let (title, place) = (holder.title(), self.book.place(holder.origin));
            let what = format!("{prefix} is in allowed_ips of {title} ({place}); keep one of them");
            return Err(self.wrong(Cause::Conflict, wanted.origin, "prefix", what));
        }
        self.book.routes.insert(prefix, Route { next_hop: id, exit: 0, origin });
        self.argo_follows(id);
        self.book.uses.insert(id, self.book.uses(id) + 1);
        self.book.messages += 1;
        self.book.declared.routes += usize::from(origin.is_declared());
        self.touched.route(prefix);
        Ok(())
    }

    fn remove_route(&mut self, prefix: IpNet, route: Route) {
        self.taken_out.insert(Thing::Route(prefix));
        self.touched.route(prefix);
        self.argo_follows(route.next_hop);
        self.book.routes.remove(&prefix);
        self.book.uses.insert(route.next_hop, self.book.uses(route.next_hop).saturating_sub(1));
        self.book.messages -= 1;
        self.book.declared.routes -= usize::from(route.origin.is_declared());
    }
}

fn is_fixed(id: u32) -> bool {
    id == LOCAL || id == REJECT
}

/// A refusal of what is not there, with the command that lists what is.
pub(crate) fn unknown(field: &str, what: &str, which: impl Display) -> Refused {
    let list = what.replace(' ', "-");
    let what = format!("there is no {what} {which}; `millrace {list} list` shows what there is");
    Refused::new(Cause::Unknown, what).at(field)
}

fn wrong_name(name: &str) -> Option<String> {
    let fits = (1..=NAME_LEN_MAX).contains(&name.len())
        && !name.chars().any(|c| c.is_control() || c.is_whitespace());
    if !fits {
        return Some(format!("a name is 1 to {NAME_LEN_MAX} octets without blanks; shorten it"));
    }
    let is_key = key::decode::<32>(name).is_some();
    is_key.then(|| "a name must not look like a key; choose another".to_owned())
}

fn wrong_prefix(net: &IpNet) -> Option<String> {
    if *net != net.trunc() {
        return Some(format!("{net} has bits behind its prefix; write {}", net.trunc()));
    }
    net.addr()
        .is_multicast()
        .then(|| format!("{net} is multicast, which is not served; leave it out"))
}

/// Messages that a peer takes in the ring: four prefixes fit the first, seven each further one.
pub(super) fn messages_of(allowed_ips: &[IpNet]) -> u64 {
    let more = allowed_ips.len().saturating_sub(4);
    1 + more.div_ceil(7) as u64
}
