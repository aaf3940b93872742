//! What is known of each peer beside the book: where it is, when it was heard, how much it has sent and received.
//!
//! The dataplane tells it, by events as they happen and by surveys when somebody asks. What is here may be of peers
//! that the book has not, and is nothing that anybody decides by.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use ipnet::IpNet;
use shm::message::Event;

use crate::model::PublicKey;

/// What is known of one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Where it is.
    pub endpoint: Option<SocketAddr>,
    /// When its last session began, since the Unix epoch; zero when it never had one.
    pub handshake: Duration,
    /// Octets received from it, as of the last survey.
    pub received: u64,
    /// Octets sent to it, as of the last survey.
    pub sent: u64,
}

/// Which of some prefixes have one of these addresses in them; a look for each length of prefix that there is, however
/// many prefixes have it.
pub(crate) fn around(
    prefixes: &HashSet<IpNet>,
    addresses: impl Iterator<Item = IpAddr>,
) -> HashSet<IpNet> {
    let mut lens: Vec<u8> = prefixes.iter().map(IpNet::prefix_len).collect();
    lens.sort_unstable();
    lens.dedup();
    let mut found = HashSet::new();
    for address in addresses {
        let around = lens.iter().filter_map(|len| IpNet::new(address, *len).ok());
        let around = around.map(|prefix| prefix.trunc());
        found.extend(around.filter(|prefix| prefixes.contains(prefix)));
    }
    found
}

/// All peers that were heard of.
#[derive(Debug, Default)]
pub struct Lives {
    peers: RwLock<HashMap<PublicKey, Live>>,
}

impl Lives {
    /// What is known of a peer; nothing when it was never heard of.
    pub fn of(&self, key: &PublicKey) -> Option<Live> {
        self.read(|peers| peers.get(key).copied())
    }

    /// Gives what is known of many peers, in their order, for one lock: ask for some hundreds at a time.
    pub fn of_all<'a>(&self, keys: impl IntoIterator<Item = &'a PublicKey>) -> Vec<Option<Live>> {
        self.read(|peers| keys.into_iter().map(|key| peers.get(key).copied()).collect())
    }

    /// How many peers were heard of.
    pub fn len(&self) -> usize {
        self.read(HashMap::len)
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes in what events say, all for one lock.
    pub(crate) fn hear(&self, events: &[Event]) {
        let of_peer = |event: &Event| {
            matches!(
                event,
                Event::Handshake { .. } | Event::EndpointMoved { .. } | Event::PeerState { .. }
            )
        };
        if !events.iter().any(of_peer) {
            return;
        }
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            match *event {
                Event::Handshake { public_key, endpoint, at } => {
                    let live = peers.entry(public_key).or_default();
                    live.endpoint = Some(endpoint);
                    live.handshake = at;
                }
                Event::EndpointMoved { public_key, endpoint, .. } => {
                    peers.entry(public_key).or_default().endpoint = Some(endpoint);
                }
                Event::PeerState { public_key, endpoint, handshake, received, sent } => {
                    peers.insert(public_key, Live { endpoint, handshake, received, sent });
                }
                Event::Applied { .. }
                | Event::Refused { .. }
                | Event::Desynchronised
                | Event::Heartbeat { .. }
                | Event::Lost(_)
                | Event::PeerExpired { .. }
                | Event::Surveyed { .. }
                | Event::Server { .. }
                | Event::Fleet { .. }
                | Event::Dials(_)
                | Event::Probed { .. }
                | Event::Paths { .. }
                | Event::RuleCount { .. }
                | Event::Heavy { .. }
                | Event::Swept { .. }
                | Event::Tunnel { .. }
                | Event::TunnelCount { .. }
                | Event::TenantCount { .. } => {}
            }
        }
    }

    /// Which of these prefixes somebody speaks from.
    pub(crate) fn speaking(&self, prefixes: &HashSet<IpNet>) -> HashSet<IpNet> {
        self.read(|peers| {
            around(prefixes, peers.values().filter_map(|live| Some(live.endpoint?.ip())))
        })
    }

    /// Forgets peers that are no more.
    pub(crate) fn forget<'a>(&self, keys: impl Iterator<Item = &'a PublicKey>) {
        let mut keys = keys.peekable();
        if keys.peek().is_none() {
            return;
        }
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            peers.remove(key);
        }
    }

    fn read<T>(&self, look: impl FnOnce(&HashMap<PublicKey, Live>) -> T) -> T {
        look(&self.peers.read().unwrap_or_else(PoisonError::into_inner))
    }
}
