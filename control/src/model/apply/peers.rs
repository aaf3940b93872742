//! The rules of peers.

use std::fmt::Display;
use std::sync::Arc;

use shm::limits::ADDRESSES_PER_PEER_MAX;

use super::{Applying, Thing, messages_of, wrong_name, wrong_prefix};
use crate::model::{Cause, Origin, Peer, PublicKey, Refused, key};

impl Applying<'_> {
    pub(super) fn add_peer(&mut self, peer: &Peer, put: bool) -> Result<(), Refused> {
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
    pub(super) fn move_peer(&mut self, old: &Arc<Peer>, origin: Origin) {
        if old.origin != origin && origin.is_declared() {
            let moved = Peer { origin, ..Peer::clone(old) };
            self.book.peers.insert(old.public_key, Arc::new(moved));
        }
    }

    pub(super) fn check_peer(&self, peer: &Peer) -> Result<(), Refused> {
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

    pub(super) fn insert_peer(&mut self, peer: Arc<Peer>) -> Result<(), Refused> {
        let key = peer.public_key;
        let title = peer.title();
        if let Some(name) = &peer.name
            && let Some(other) = self.book.names.insert(Arc::clone(name), key)
        {
            let other = self.book.peers.get(&other).map(|other| self.book.place(other.origin));
            let place = other.unwrap_or_default();
            let what = format!("{name} is another peer's already ({place}); choose another");
            return Err(self.wrong(Cause::Conflict, peer.origin, "name", what));
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

    pub(super) fn taken(
        &self,
        peer: &Peer,
        field: &str,
        what: &dyn Display,
        other: &PublicKey,
    ) -> Refused {
        let other = self.book.peers.get(other);
        let title = other.map_or_else(String::new, |other| other.title());
        let place = other.map_or_else(String::new, |other| self.book.place(other.origin));
        let own = peer.title();
        let what = format!("{what} of {own} is {title}'s already ({place}); give {own} another");
        self.wrong(Cause::Conflict, peer.origin, field, what)
    }

    pub(super) fn remove_peer(&mut self, peer: &Peer) {
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
}
