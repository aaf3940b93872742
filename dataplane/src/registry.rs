//! The peers as keeper and handshake threads know them: by key and by number. The keeper writes, handshake threads
//! read; no worker ever waits here.
#![expect(
    clippy::disallowed_types,
    reason = "handshake threads and the keeper take these locks, never a worker"
)]

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashSet};
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use ipnet::IpNet;
use wireguard::message::ClientId;
use wireguard::secret::Secret;

use crate::exchange::PeerId;

/// A peer, as it was told. Whoever holds one may compare the pointer to see whether it has changed.
#[derive(Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its number on the server, by which routes name it.
    pub number: u32,
    /// Which of the peers that had the number.
    pub incarnation: u32,
    /// Its public key.
    pub public_key: [u8; 32],
    /// The preshared key, when there is one; most have none.
    pub preshared_key: Option<Box<Secret>>,
    /// The id that we send with our initiations until it has shown one.
    pub client_id: ClientId,
    /// The id by which the fleet finds its server: the one above, or one that follows from its key.
    pub id: ClientId,
    /// Where it is reached before it has spoken.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between unasked keepalives, zero for none.
    pub persistent_s: u16,
    /// Its inner prefixes.
    pub allowed_ips: Box<[IpNet]>,
}

/// Found by its key.
#[derive(Debug)]
struct ByKey(Arc<Peer>);

impl Borrow<[u8; 32]> for ByKey {
    fn borrow(&self) -> &[u8; 32] {
        &self.0.public_key
    }
}

impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.public_key.hash(state);
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.public_key == other.0.public_key
    }
}

impl Eq for ByKey {}

/// All peers.
#[derive(Debug, Default)]
pub struct Registry {
    keys: RwLock<HashSet<ByKey>>,
    /// The peers by their ids, of which several may have one.
    ids: RwLock<BTreeSet<([u8; 3], u32)>>,
    numbers: RwLock<Vec<Option<Arc<Peer>>>>,
}

impl Registry {
    /// The peer with a key.
    pub fn by_key(&self, key: &[u8; 32]) -> Option<Arc<Peer>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(key).map(|found| Arc::clone(&found.0))
    }

    /// The peer with a number.
    pub fn by_number(&self, number: u32) -> Option<Arc<Peer>> {
        let numbers = self.numbers.read().unwrap_or_else(PoisonError::into_inner);
        numbers.get(number as usize).and_then(Clone::clone)
    }

    /// The peer that a worker has named; none when it is no more, though another may have its number.
    pub fn by_id(&self, id: PeerId) -> Option<Arc<Peer>> {
        self.by_number(id.number).filter(|peer| peer.incarnation == id.incarnation)
    }

    /// The numbers of the peers with an id, at most so many.
    pub fn by_client(&self, ClientId(id): ClientId, max: usize) -> Vec<u32> {
        let ids = self.ids.read().unwrap_or_else(PoisonError::into_inner);
        ids.range((id, 0)..=(id, u32::MAX)).take(max).map(|(_, number)| *number).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a peer in the place of the one with its key, which has the same number. Its number is its place in a
    /// list, so numbers should be small.
    pub fn insert(&self, peer: Peer) {
        let (number, peer) = (peer.number as usize, Arc::new(peer));
        let mut numbers = self.numbers.write().unwrap_or_else(PoisonError::into_inner);
        if numbers.len() <= number {
            numbers.resize(number + 1, None);
        }
        let mut ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = numbers.get_mut(number) {
            if let Some(before) = place.replace(Arc::clone(&peer)) {
                ids.remove(&(before.id.0, before.number));
            }
            ids.insert((peer.id.0, peer.number));
        }
        self.keys.write().unwrap_or_else(PoisonError::into_inner).replace(ByKey(peer));
    }

    /// Takes a peer out.
    pub fn remove(&self, key: &[u8; 32]) -> Option<Arc<Peer>> {
        let mut numbers = self.numbers.write().unwrap_or_else(PoisonError::into_inner);
        let found = self.keys.write().unwrap_or_else(PoisonError::into_inner).take(key)?;
        if let Some(place) = numbers.get_mut(found.0.number as usize) {
            *place = None;
        }
        let mut ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        ids.remove(&(found.0.id.0, found.0.number));
        Some(found.0)
    }

    /// Shows every peer, in the order of their numbers.
    pub fn for_each(&self, mut each: impl FnMut(&Arc<Peer>)) {
        let numbers = self.numbers.read().unwrap_or_else(PoisonError::into_inner);
        numbers.iter().flatten().for_each(&mut each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u32, key: u8) -> Peer {
        Peer {
            number,
            incarnation: 1,
            public_key: [key; 32],
            preshared_key: None,
            client_id: ClientId::ZERO,
            id: ClientId([key, 0, 0]),
            endpoint: None,
            persistent_s: 0,
            allowed_ips: Box::default(),
        }
    }

    #[test]
    fn a_peer_is_found_by_key_and_number_until_it_goes() {
        let registry = Registry::default();
        registry.insert(peer(3, 7));
        registry.insert(peer(0, 8));
        let before = registry.by_number(3).unwrap();
        registry.insert(Peer { persistent_s: 9, ..peer(3, 7) });
        let now = registry.by_key(&[7; 32]).unwrap();
        assert!(!Arc::ptr_eq(&before, &now) && now.persistent_s == 9);
        assert!(Arc::ptr_eq(&now, &registry.by_number(3).unwrap()));
        registry.insert(Peer { id: ClientId([7, 0, 0]), ..peer(5, 9) });
        assert_eq!(registry.by_client(ClientId([7, 0, 0]), 4), [3, 5]);
        assert_eq!(registry.by_client(ClientId([7, 0, 0]), 1), [3]);
        registry.insert(peer(5, 9));
        assert_eq!(registry.by_client(ClientId([7, 0, 0]), 4), [3]);
        registry.remove(&[9; 32]);
        assert!(registry.by_client(ClientId([9, 0, 0]), 4).is_empty());
        let mut seen = Vec::new();
        registry.for_each(|peer| seen.push(peer.number));
        assert_eq!((seen, registry.len()), (vec![0, 3], 2));
        assert_eq!(registry.remove(&[7; 32]).unwrap().number, 3);
        assert!(registry.remove(&[7; 32]).is_none() && registry.by_number(3).is_none());
        assert!(registry.by_key(&[7; 32]).is_none() && registry.by_key(&[8; 32]).is_some());
    }
}
