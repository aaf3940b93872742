//! What a `set` request means for the book: one change of it, whole.
//!
//! The request is gone through in its order, as `WireGuard` does, but on the side: an address that a later peer is
//! given leaves the earlier one silently, a peer that is removed and named again begins anew. Only where all of it
//! has led is asked of the desk.

use std::collections::HashMap;

use ipnet::IpNet;
use shm::limits::ADDRESSES_PER_PEER_MAX;

use super::set::{AllowedIp, Section, Set};
use crate::model::{Book, Cause, Change, Peer, PublicKey, Refused};

/// The changes that make the book what the request asks for; none where it is so already. A section about `own`, the
/// server's own key, means nothing, so that all servers of a mesh can be given one list.
pub(super) fn changes(
    set: Set,
    book: &Book,
    own: Option<PublicKey>,
) -> Result<Vec<Change>, Refused> {
    let mut plan = Plan {
        book,
        anew: set.replace_peers,
        peers: HashMap::with_capacity(set.sections.len()),
        holders: HashMap::new(),
    };
    for section in set.sections {
        if Some(section.public_key) != own {
            plan.section(section)?;
        }
    }
    Ok(plan.changes())
}

struct Plan<'a> {
    book: &'a Book,
    /// Whether nothing of the book's peers stays but what the request says again.
    anew: bool,
    /// The peers that the request is about, as it leaves them; none when they are gone.
    peers: HashMap<PublicKey, Planned>,
    /// Who holds prefixes that have changed hands.
    holders: HashMap<IpNet, Option<PublicKey>>,
}

struct Planned {
    /// Which of the planned peers it is, so that changes and complaints have the order of the request.
    order: usize,
    peer: Option<Peer>,
}

impl Plan<'_> {
    fn section(&mut self, section: Section) -> Result<(), Refused> {
        let key = section.public_key;
        let before = self.take(key);
        if section.remove {
            before.iter().flat_map(|peer| &peer.allowed_ips).for_each(|net| self.free(*net));
            return Ok(());
        }
        let peer = match before {
            Some(peer) => peer,
            None if section.update_only => return Ok(()),
            None => self.new_peer(key),
        };
        let peer = self.changed(peer, section)?;
        self.put(peer);
        Ok(())
    }

    /// A peer that begins anew. What `wg` has no words for stays with whoever has the key.
    fn new_peer(&self, key: PublicKey) -> Peer {
        let mut peer = Peer::new(key);
        if let Some(old) = self.book.peer(&key) {
            peer.name.clone_from(&old.name);
            peer.client_id = old.client_id;
        }
        peer
    }

    fn changed(&mut self, mut peer: Peer, section: Section) -> Result<Peer, Refused> {
        if let Some(key) = section.preshared_key {
            peer.preshared_key = (!key.is_zero()).then_some(key);
        }
        peer.endpoint = section.endpoint.or(peer.endpoint);
        peer.persistent_keepalive =
            section.persistent_keepalive.unwrap_or(peer.persistent_keepalive);
        let mut held = std::mem::take(&mut peer.allowed_ips).into_vec();
        if section.replace_allowed_ips {
            held.drain(..).for_each(|net| self.free(net));
        }
        for allowed_ip in section.allowed_ips {
            match allowed_ip {
                AllowedIp::Give(net) => self.give(peer.public_key, &mut held, net)?,
                AllowedIp::Take(net) => {
                    if let Some(at) = held.iter().position(|other| *other == net) {
                        held.remove(at);
                        self.free(net);
                    }
                }
            }
        }
        peer.allowed_ips = held.into();
        Ok(peer)
    }

    fn give(&mut self, key: PublicKey, held: &mut Vec<IpNet>, net: IpNet) -> Result<(), Refused> {
        if held.contains(&net) {
            return Ok(());
        }
        if held.len() >= ADDRESSES_PER_PEER_MAX {
            let what = format!("a peer takes {ADDRESSES_PER_PEER_MAX} prefixes; merge some");
            return Err(Refused::new(Cause::Full, what).at("allowed_ip"));
        }
        if let Some(holder) = self.holder(&net) {
            self.take_away(holder, net)?;
        }
        self.holders.insert(net, Some(key));
        held.push(net);
        Ok(())
    }

    fn holder(&self, net: &IpNet) -> Option<PublicKey> {
        let in_book = || self.book.holder(net).filter(|_| !self.anew).map(|peer| peer.public_key);
        self.holders.get(net).copied().unwrap_or_else(in_book)
    }

    /// Takes a prefix from a peer that another is given; not from one that a source declares.
    fn take_away(&mut self, holder: PublicKey, net: IpNet) -> Result<(), Refused> {
        if let Some(old) = self.book.peer(&holder).filter(|old| old.origin.is_declared()) {
            let (title, place) = (old.title(), self.book.place(old.origin));
            let what = format!("{net} is {title}'s, as declared in {place}; change it there");
            return Err(Refused::new(Cause::Declared, what).at("allowed_ip"));
        }
        if let Some(mut peer) = self.take(holder) {
            let mut held = peer.allowed_ips.into_vec();
            held.retain(|other| *other != net);
            peer.allowed_ips = held.into();
            self.put(peer);
        }
        Ok(())
    }

    fn free(&mut self, net: IpNet) {
        self.holders.insert(net, None);
    }

    /// A peer as it is by now. It is gone until it is put back.
    fn take(&mut self, key: PublicKey) -> Option<Peer> {
        let order = self.peers.len();
        let (book, anew) = (self.book, self.anew);
        let planned = self.peers.entry(key).or_insert_with(|| {
            let peer = book.peer(&key).filter(|_| !anew);
            Planned { order, peer: peer.map(|peer| Peer::clone(peer)) }
        });
        planned.peer.take()
    }

    fn put(&mut self, peer: Peer) {
        if let Some(planned) = self.peers.get_mut(&peer.public_key) {
            planned.peer = Some(peer);
        }
    }

    fn changes(self) -> Vec<Change> {
        let Self { book, anew, peers, .. } = self;
        let mut changes = Vec::new();
        if anew {
            let gone = book.peers_after(None).map(|peer| peer.public_key);
            let gone = gone.filter(|key| !peers.contains_key(key));
            changes.extend(gone.map(Change::RemovePeer));
        }
        let mut planned: Vec<_> = peers.into_iter().collect();
        planned.sort_unstable_by_key(|(_, planned)| planned.order);
        changes.extend(planned.into_iter().filter_map(|(key, planned)| {
            match (book.peer(&key), planned.peer) {
                (Some(old), Some(peer)) => {
                    let peer = in_order_of(old, peer);
                    (!old.says_the_same(&peer)).then_some(Change::PutPeer(peer))
                }
                (None, Some(peer)) => Some(Change::AddPeer(peer)),
                (Some(_), None) => Some(Change::RemovePeer(key)),
                (None, None) => None,
            }
        }));
        changes
    }
}

/// The same peer with its prefixes in the order in which they were, if they are the same.
fn in_order_of(old: &Peer, mut peer: Peer) -> Peer {
    let sorted = |nets: &[IpNet]| {
        let mut nets = nets.to_vec();
        nets.sort_unstable();
        nets
    };
    if old.allowed_ips.len() == peer.allowed_ips.len()
        && old.allowed_ips != peer.allowed_ips
        && sorted(&old.allowed_ips) == sorted(&peer.allowed_ips)
    {
        peer.allowed_ips.clone_from(&old.allowed_ips);
    }
    peer
}

#[cfg(test)]
mod tests;
