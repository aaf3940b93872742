//! Changes of the book, judged as a whole: every rule that peers, routes and next hops must obey, each with its remedy.

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Arc;

use ipnet::IpNet;
use shm::limits::{ADDRESSES_PER_PEER_MAX, ITEMS_MAX};

use super::difference::Touched;
use super::{
    Book, Cause, Change, Hop, HopNamed, LOCAL, NextHop, Origin, Peer, PublicKey, REJECT, Refused,
    Route, RouteTo, key,
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
        let mut applying = Applying {
            book: self.clone(),
            by,
            limits,
            touched: Touched::default(),
            taken_out: HashSet::new(),
        };
        // First all that goes or is replaced, so that what it held is free for the rest.
        for change in changes {
            applying.take_out(change)?;
        }
        for change in changes {
            applying.put_in(change)?;
        }
        applying.touched.tidy();
        applying.check_whole()?;
        let Applying { book, touched, .. } = applying;
        *self = book;
        Ok(touched)
    }
}

/// What a change was about that has been taken out in the first pass.
#[derive(PartialEq, Eq, Hash)]
enum Thing {
    Peer(PublicKey),
    Route(IpNet),
}

struct Applying<'a> {
    book: Book,
    by: Origin,
    limits: &'a Limits,
    touched: Touched,
    taken_out: HashSet<Thing>,
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
            // Next hops hold nothing that somebody else may want, and routes need them meanwhile.
            Change::RemoveNextHop(_)
            | Change::PutNextHop(_)
            | Change::AddPeer(_)
            | Change::AddRoute(_)
            | Change::AddNextHop(_)
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
        self.check_room()
    }

    fn check_room(&self) -> Result<(), Refused> {
        let full = |what: String| Err(Refused::new(Cause::Full, what));
        let (peers, peers_max) = (self.book.peers.len(), self.limits.peers_max);
        if peers > peers_max {
            return full(format!(
                "{peers} peers, and the dataplane takes {peers_max}; remove some"
            ));
        }
        let hops = self.book.hops.len();
        if hops > NEXT_HOPS_MAX {
            return full(format!("{hops} next hops, and {NEXT_HOPS_MAX} are taken; remove some"));
        }
        let messages = self.book.messages;
        if messages > ITEMS_MAX as u64 {
            return full(format!(
                "peers and routes take {messages} messages, and the dataplane takes {ITEMS_MAX}; \
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

    fn add_peer(&mut self, peer: &Peer, put: bool) -> Result<(), Refused> {
        let origin = self.origin(peer.origin);
        if let Some(old) = self.book.peers.get(&peer.public_key).cloned() {
            let (same, both) = (old.says_the_same(peer), old.origin.is_declared());
            if put && same && both == self.by.is_declared() {
                self.move_peer(&old, origin);
                return Ok(());
            }
            if put && same && both {
                // What a source declares and somebody says again.
                return Ok(());
            }
            if !put || both != self.by.is_declared() {
                let what = format!(
                    "is that of {} already ({}); each peer has its own",
                    old.title(),
                    self.book.place(old.origin)
                );
                return Err(self.wrong(Cause::Conflict, peer.origin, "public_key", what));
            }
            self.remove_peer(&old);
        }
        self.check_peer(peer)?;
        self.insert_peer(Arc::new(Peer { origin, ..peer.clone() }))
    }

    /// The same peer from another line of the source.
    fn move_peer(&mut self, old: &Arc<Peer>, origin: Origin) {
        if old.origin != origin && origin.is_declared() {
            let moved = Peer { origin, ..Peer::clone(old) };
            self.book.peers.insert(old.public_key, Arc::new(moved));
        }
    }

    fn check_peer(&self, peer: &Peer) -> Result<(), Refused> {
        let wrong = |field, what: String| Err(self.wrong(Cause::Invalid, peer.origin, field, what));
        if key::is_weak(&peer.public_key) {
            let what = "is no usable key; make one with `wg pubkey`".to_owned();
            return wrong("public_key", what);
        }
        if self.limits.own == Some(peer.public_key) {
            return wrong("public_key", "is this server's own; name the client's".to_owned());
        }
        if let Some(name) = &peer.name
            && let Some(what) = wrong_name(name)
        {
            return wrong("name", what);
        }
        if peer.preshared_key.as_ref().is_some_and(|key| key.is_zero()) {
            return wrong("preshared_key", "is all zeros; leave it out for none".to_owned());
        }
        if let Some(endpoint) = peer.endpoint
            && (endpoint.port() == 0
                || endpoint.ip().is_unspecified()
                || endpoint.ip().is_multicast())
        {
            return wrong("endpoint", format!("{endpoint} is nobody's; name address and port"));
        }
        let count = peer.allowed_ips.len();
        if count > ADDRESSES_PER_PEER_MAX {
            return wrong(
                "allowed_ips",
                format!("{count} prefixes, and {ADDRESSES_PER_PEER_MAX} are taken; merge some"),
            );
        }
        let net = peer.allowed_ips.iter().find_map(wrong_prefix);
        net.map_or(Ok(()), |what| wrong("allowed_ips", what))
    }

    fn insert_peer(&mut self, peer: Arc<Peer>) -> Result<(), Refused> {
        let key = peer.public_key;
        let title = peer.title();
        if let Some(name) = &peer.name
            && let Some(other) = self.book.names.insert(Arc::clone(name), key)
        {
            return Err(self.taken(&peer, "name", name, &other));
        }
        if peer.client_id.0 != [0; 3]
            && let Some(other) = self.book.client_ids.insert(peer.client_id.0, key)
        {
            return Err(self.taken(&peer, "client_id", &"the id", &other));
        }
        for net in &peer.allowed_ips {
            if let Some(other) = self.book.allowed.insert(*net, key) {
                if other == key {
                    let what = format!("{net} of {title} is there twice; keep one");
                    return Err(self.wrong(Cause::Invalid, peer.origin, "allowed_ips", what));
                }
                return Err(self.taken(&peer, "allowed_ips", net, &other));
            }
            if let Some(route) = self.book.routes.get(net) {
                let place = self.book.place(route.origin);
                let what =
                    format!("{net} of {title} is a route already ({place}); keep one of them");
                return Err(self.wrong(Cause::Conflict, peer.origin, "allowed_ips", what));
            }
        }
        self.book.messages += messages_of(&peer.allowed_ips);
        self.book.declared.peers += usize::from(peer.origin.is_declared());
        self.touched.peer(key);
        self.book.peers.insert(key, peer);
        Ok(())
    }

    fn taken(&self, peer: &Peer, field: &str, what: &dyn Display, other: &PublicKey) -> Refused {
        let other = self.book.peers.get(other);
        let title = other.map_or_else(String::new, |other| other.title());
        let place = other.map_or_else(String::new, |other| self.book.place(other.origin));
        let own = peer.title();
        let what = format!("{what} of {own} is {title}'s already ({place}); give {own} another");
        self.wrong(Cause::Conflict, peer.origin, field, what)
    }

    fn remove_peer(&mut self, peer: &Peer) {
        let key = peer.public_key;
        self.taken_out.insert(Thing::Peer(key));
        self.touched.peer(key);
        if let Some(name) = &peer.name {
            self.book.names.remove(name);
        }
        self.book.client_ids.remove(&peer.client_id.0);
        for net in &peer.allowed_ips {
            self.book.allowed.remove(net);
        }
        self.book.messages -= messages_of(&peer.allowed_ips);
        self.book.declared.peers -= usize::from(peer.origin.is_declared());
        self.book.peers.remove(&key);
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
        self.book.routes.insert(prefix, Route { next_hop: id, origin });
        self.book.uses.insert(id, self.book.uses(id) + 1);
        self.book.messages += 1;
        self.book.declared.routes += usize::from(origin.is_declared());
        self.touched.route(prefix);
        Ok(())
    }

    fn remove_route(&mut self, prefix: IpNet, route: Route) {
        self.taken_out.insert(Thing::Route(prefix));
        self.touched.route(prefix);
        self.book.routes.remove(&prefix);
        self.book.uses.insert(route.next_hop, self.book.uses(route.next_hop).saturating_sub(1));
        self.book.messages -= 1;
        self.book.declared.routes -= usize::from(route.origin.is_declared());
    }

    fn add_next_hop(&mut self, wanted: &HopNamed, put: bool) -> Result<(), Refused> {
        let HopNamed { name, hop, .. } = wanted;
        let origin = self.origin(wanted.origin);
        let old = self.book.next_hop_named(name).cloned();
        if let Some(old) = &old {
            let may_repeat = old.origin.is_declared() || !self.by.is_declared();
            if put && old.hop == *hop && (may_repeat || is_fixed(old.id)) {
                if self.by.is_declared() && !is_fixed(old.id) {
                    self.book
                        .hops
                        .insert(old.id, Arc::new(NextHop { origin, ..NextHop::clone(old) }));
                }
                return Ok(());
            }
            if !put || is_fixed(old.id) {
                let what = if is_fixed(old.id) {
                    format!("{name} is always there; choose another name")
                } else {
                    let place = self.book.place(old.origin);
                    format!("there is a next hop {name} already ({place}); choose another name")
                };
                return Err(self.wrong(Cause::Conflict, wanted.origin, "name", what));
            }
            self.may_change(old.origin, || format!("next hop {name}")).map_err(|refused| {
                if self.by.is_declared() {
                    refused.at(self.book.place(wanted.origin))
                } else {
                    refused
                }
            })?;
        }
        self.check_hop(wanted)?;
        let id = match &old {
            Some(old) => {
                self.forget_hop(old);
                old.id
            }
            None => self.book.next_id(),
        };
        if let Hop::Client(key) = hop {
            self.book.hops_to.insert((*key, id), ());
        }
        let entry = NextHop { name: Arc::clone(name), id, hop: *hop, origin };
        self.book.hop_names.insert(Arc::clone(name), id);
        self.book.hops.insert(id, Arc::new(entry));
        self.book.messages += 1;
        self.book.declared.next_hops += usize::from(origin.is_declared());
        self.touched.next_hop(id);
        Ok(())
    }

    fn check_hop(&self, wanted: &HopNamed) -> Result<(), Refused> {
        let wrong = |cause, field, what: String| Err(self.wrong(cause, wanted.origin, field, what));
        if let Some(what) = wrong_name(&wanted.name) {
            return wrong(Cause::Invalid, "name", what);
        }
        match wanted.hop {
            Hop::Client(key) if !self.book.peers.contains(&key) => {
                let what = format!("there is no peer {}; add it first", key::title(&key));
                wrong(Cause::Unknown, "peer", what)
            }
            Hop::Gre { local, remote, .. } if local.is_ipv4() != remote.is_ipv4() => {
                let what = format!("{local} and {remote} are of two families; take one");
                wrong(Cause::Invalid, "remote", what)
            }
            Hop::Gre { remote, .. } | Hop::Via { remote, .. }
                if remote.is_unspecified() || remote.is_multicast() =>
            {
                let what = format!("{remote} is nobody's address; name the other end's");
                wrong(Cause::Invalid, "remote", what)
            }
            Hop::Reject
            | Hop::Local
            | Hop::Direct
            | Hop::Client(_)
            | Hop::Gre { .. }
            | Hop::Via { .. } => Ok(()),
        }
    }

    fn remove_next_hop(&mut self, name: &str) -> Result<(), Refused> {
        let Some(old) = self.book.next_hop_named(name).cloned() else {
            return Err(unknown("name", "next hop", name));
        };
        if is_fixed(old.id) {
            let what = format!("{name} is always there and cannot be removed");
            return Err(Refused::new(Cause::Invalid, what).at("name"));
        }
        self.may_change(old.origin, || format!("next hop {name}"))?;
        let uses = self.book.uses(old.id);
        if uses > 0 {
            let what = format!("next hop {name} is used by {uses} routes; remove these first");
            return Err(self.refused(Cause::Conflict, old.origin, what));
        }
        self.forget_hop(&old);
        Ok(())
    }

    fn forget_hop(&mut self, old: &NextHop) {
        if let Hop::Client(key) = old.hop {
            self.book.hops_to.remove(&(key, old.id));
        }
        self.touched.next_hop(old.id);
        self.book.hop_names.remove(&*old.name);
        self.book.hops.remove(&old.id);
        self.book.messages -= 1;
        self.book.declared.next_hops -= usize::from(old.origin.is_declared());
    }
}

fn is_fixed(id: u32) -> bool {
    id == LOCAL || id == REJECT
}

fn unknown(field: &str, what: &str, which: impl Display) -> Refused {
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
