//! What lies between two books, and the items that bring the dataplane from one to the other.

mod centres;
mod rules;

use std::sync::Arc;

use ipnet::IpNet;
use shm::message::{self, Item};
use std::time::Duration;
use wireguard::secret::Secret;

use super::apply::messages_of;
use super::dos::Told;
use super::tree::Tree;
use super::{Book, Centre, Fleet, NextHop, Peer, PublicKey, Route, Tenant};
pub(crate) use centres::centre_item;
pub use rules::Listing;

/// What changes may have changed.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    peers: Vec<PublicKey>,
    routes: Vec<IpNet>,
    next_hops: Vec<u32>,
    centres: Vec<u16>,
    fleet: bool,
    rules: Vec<u32>,
    /// Rules whose prefixes are others.
    lists: Vec<u32>,
    tenants: Vec<u32>,
    detection: bool,
}

impl Touched {
    /// Puts all in order, each once.
    pub fn tidy(&mut self) {
        self.peers.sort_unstable();
        self.peers.dedup();
        self.routes.sort_unstable();
        self.routes.dedup();
        self.next_hops.sort_unstable();
        self.next_hops.dedup();
        self.centres.sort_unstable();
        self.centres.dedup();
        self.rules.sort_unstable();
        self.rules.dedup();
        self.lists.sort_unstable();
        self.lists.dedup();
        self.tenants.sort_unstable();
        self.tenants.dedup();
    }

    /// Adds what other changes have touched; [`Touched::tidy`] is to follow.
    pub fn merge(&mut self, other: Self) {
        self.peers.extend(other.peers);
        self.routes.extend(other.routes);
        self.next_hops.extend(other.next_hops);
        self.centres.extend(other.centres);
        self.fleet |= other.fleet;
        self.rules.extend(other.rules);
        self.lists.extend(other.lists);
        self.tenants.extend(other.tenants);
        self.detection |= other.detection;
    }

    /// The peers' keys.
    pub fn peers(&self) -> impl Iterator<Item = &PublicKey> {
        self.peers.iter()
    }

    /// The routes' prefixes.
    pub fn routes(&self) -> impl Iterator<Item = &IpNet> {
        self.routes.iter()
    }

    /// The next hops' ids.
    pub fn next_hops(&self) -> impl Iterator<Item = &u32> {
        self.next_hops.iter()
    }

    /// The centres' numbers.
    pub fn centres(&self) -> impl Iterator<Item = &u16> {
        self.centres.iter()
    }

    /// Whether the fleet is among it.
    pub fn fleet(&self) -> bool {
        self.fleet
    }

    /// The rules' ids.
    pub fn rules(&self) -> impl Iterator<Item = &u32> {
        self.rules.iter()
    }

    /// The ids of lists with other prefixes.
    pub fn lists(&self) -> impl Iterator<Item = &u32> {
        self.lists.iter()
    }

    /// The tenants' ids.
    pub fn tenants(&self) -> impl Iterator<Item = &u32> {
        self.tenants.iter()
    }

    /// Whether it is among it when detection makes rules.
    pub fn detection(&self) -> bool {
        self.detection
    }

    pub(super) fn the_detection(&mut self) {
        self.detection = true;
    }

    pub(super) fn rule(&mut self, id: u32) {
        self.rules.push(id);
    }

    pub(super) fn list(&mut self, id: u32) {
        self.lists.push(id);
    }

    pub(super) fn tenant(&mut self, id: u32) {
        self.tenants.push(id);
    }

    pub(super) fn centre(&mut self, number: u16) {
        self.centres.push(number);
    }

    pub(super) fn the_fleet(&mut self) {
        self.fleet = true;
    }

    pub(super) fn peer(&mut self, key: PublicKey) {
        self.peers.push(key);
    }

    pub(super) fn route(&mut self, prefix: IpNet) {
        self.routes.push(prefix);
    }

    pub(super) fn next_hop(&mut self, id: u32) {
        self.next_hops.push(id);
    }
}

/// Items from one book to another, in the order in which they are sent: what frees comes before what takes, what is
/// named before what names it.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// Routes that go.
    pub routes_removed: Vec<IpNet>,
    /// Peers that go.
    pub peers_removed: Vec<PublicKey>,
    /// Peers that come or change.
    pub peers: Vec<Arc<Peer>>,
    /// Data centres that come or change, and whether each is this one.
    pub centres: Vec<(Arc<Centre>, bool)>,
    /// Next hops that come or change.
    pub next_hops: Vec<Arc<NextHop>>,
    /// Routes that come or change, each with the next hop to which it leads now.
    pub routes: Vec<(IpNet, u32)>,
    /// Next hops that go.
    pub next_hops_removed: Vec<u32>,
    /// Data centres that go.
    pub centres_removed: Vec<Arc<Centre>>,
    /// Rules that go.
    pub rules_removed: Vec<u32>,
    /// Tenants that go.
    pub tenants_removed: Vec<u32>,
    /// Tunnels that go.
    pub tunnels_removed: Vec<u32>,
    /// Tenants that come or change.
    pub tenants: Vec<Arc<Tenant>>,
    /// Tunnels that come or change.
    pub tunnels: Vec<message::Tunnel>,
    /// Rules that come or change.
    pub rules: Vec<message::Rule>,
    /// Prefixes that go out of lists.
    pub unlisted: Vec<Listing>,
    /// Prefixes that come into lists.
    pub listed: Vec<Listing>,
    /// Rules of tenants that change.
    pub rulesets: Vec<Told>,
    /// Whether the fleet goes.
    pub fleet_removed: bool,
    /// The fleet, if it comes or changes.
    pub fleet: Option<Arc<Fleet>>,
}

impl Difference {
    /// Between two books, where only what was touched can differ.
    pub fn of_touched(from: &Book, to: &Book, touched: &Touched) -> Self {
        let mut difference = Self::default();
        for key in &touched.peers {
            difference.add_peer(*key, from.peers.get(key), to.peers.get(key));
        }
        for prefix in &touched.routes {
            let led = (from.routes.get(prefix), to.routes.get(prefix));
            difference.add_route(*prefix, led, (from, to));
        }
        for id in &touched.next_hops {
            difference.add_next_hop(*id, from.hops.get(id), to.hops.get(id));
        }
        for number in &touched.centres {
            difference.add_centre(*number, (from, to));
        }
        for id in &touched.tenants {
            difference.add_tenant(*id, from.tenants.get(id), to.tenants.get(id));
        }
        for id in &touched.rules {
            difference.add_rule(*id, (from, to));
        }
        if touched.fleet {
            difference.add_fleet(from, to);
        }
        difference
    }

    /// Between any two books.
    pub fn between(from: &Book, to: &Book) -> Self {
        let mut difference = Self::default();
        merge(&from.peers, &to.peers, |key, old, new| difference.add_peer(*key, old, new));
        merge(&from.routes, &to.routes, |prefix, old, new| {
            difference.add_route(*prefix, (old, new), (from, to));
        });
        merge(&from.centres, &to.centres, |number, _, _| {
            difference.add_centre(*number, (from, to));
        });
        merge(&from.hops, &to.hops, |id, old, new| difference.add_next_hop(*id, old, new));
        merge(&from.tenants, &to.tenants, |id, old, new| difference.add_tenant(*id, old, new));
        merge(&from.rules, &to.rules, |id, _, _| difference.add_rule(*id, (from, to)));
        difference.add_fleet(from, to);
        difference
    }

    /// Whether the dataplane would see none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items it takes.
    pub fn len(&self) -> usize {
        self.routes_removed.len()
            + self.peers_removed.len()
            + self.peers.len()
            + self.next_hops.len()
            + self.routes.len()
            + self.next_hops_removed.len()
            + 2 * (self.centres.len() + self.centres_removed.len())
            + self.items_of_filter()
            + usize::from(self.fleet_removed)
            + usize::from(self.fleet.is_some())
    }

    /// How many messages its items take.
    pub fn messages(&self) -> u64 {
        let peers: u64 = self.peers.iter().map(|peer| messages_of(&peer.allowed_ips)).sum();
        let fleet = self.fleet.as_ref().map_or(0, |fleet| fleet.messages());
        let centres: u64 = self.centres.iter().map(|(centre, _)| centre.messages()).sum();
        let alone = self.routes_removed.len()
            + 2 * self.centres_removed.len()
            + self.peers_removed.len()
            + self.next_hops.len()
            + self.routes.len()
            + self.next_hops_removed.len()
            + usize::from(self.fleet_removed);
        peers + centres + fleet + self.messages_of_filter() + alone as u64
    }

    /// As items of a transaction.
    pub fn items(&self) -> impl Iterator<Item = Item> {
        (0..self.len()).filter_map(|at| self.item(at))
    }

    /// The item at a place, so that whoever sends them may stop and go on.
    pub fn item(&self, at: usize) -> Option<Item> {
        let Self {
            routes_removed,
            peers_removed,
            peers,
            centres,
            next_hops,
            routes,
            next_hops_removed,
            centres_removed,
            fleet_removed,
            fleet,
            ..
        } = self;
        let mut at = at;
        // Whether the place is in a list of this length; else it is behind it.
        let mut within = |len: usize| {
            let place = at;
            at = at.wrapping_sub(len);
            (place < len).then_some(place)
        };
        if let Some(place) = within(routes_removed.len()) {
            return routes_removed.get(place).copied().map(Item::RouteRemove);
        }
        if let Some(place) = within(peers_removed.len()) {
            return peers_removed.get(place).copied().map(Item::PeerRemove);
        }
        if let Some(place) = within(peers.len()) {
            return peers.get(place).map(|peer| Item::Peer(Box::new(peer_message(peer))));
        }
        if let Some(place) = within(2 * centres.len()) {
            return self.item_of_centre(place);
        }
        if let Some(place) = within(next_hops.len()) {
            return next_hops.get(place).map(|hop| Item::NextHop { id: hop.id, hop: hop.hop });
        }
        if let Some(place) = within(routes.len()) {
            let (prefix, next_hop) = routes.get(place)?;
            return Some(Item::Route { prefix: *prefix, next_hop: *next_hop });
        }
        if let Some(place) = within(next_hops_removed.len()) {
            return next_hops_removed.get(place).copied().map(Item::NextHopRemove);
        }
        if let Some(place) = within(2 * centres_removed.len()) {
            return self.item_of_centre_removed(place);
        }
        if let Some(place) = within(self.items_of_filter()) {
            return self.item_of_filter(place);
        }
        if within(usize::from(*fleet_removed)).is_some() {
            return Some(Item::FleetRemove);
        }
        let fleet = fleet.as_ref().filter(|_| within(1).is_some())?;
        Some(Item::Fleet(Box::new(fleet.message())))
    }

    fn add_peer(&mut self, key: PublicKey, from: Option<&Arc<Peer>>, to: Option<&Arc<Peer>>) {
        match (from, to) {
            (Some(_), None) => self.peers_removed.push(key),
            (None, Some(new)) => self.peers.push(Arc::clone(new)),
            (Some(old), Some(new)) if !Arc::ptr_eq(old, new) && !old.is_same_to_dataplane(new) => {
                self.peers.push(Arc::clone(new));
            }
            _ => {}
        }
    }

    fn add_route(
        &mut self,
        prefix: IpNet,
        (old, new): (Option<&Route>, Option<&Route>),
        (from, to): (&Book, &Book),
    ) {
        match (old, new.map(|new| to.told_hop(new))) {
            (Some(_), None) => self.routes_removed.push(prefix),
            (None, Some(new)) => self.routes.push((prefix, new)),
            (Some(old), Some(new)) if from.told_hop(old) != new => self.routes.push((prefix, new)),
            _ => {}
        }
    }

    fn add_fleet(&mut self, from: &Book, to: &Book) {
        if !is_same_fleet(from, to) {
            self.fleet_removed = to.fleet.is_none();
            self.fleet.clone_from(&to.fleet);
        }
    }

    fn add_next_hop(&mut self, id: u32, from: Option<&Arc<NextHop>>, to: Option<&Arc<NextHop>>) {
        match (from, to) {
            (Some(_), None) => self.next_hops_removed.push(id),
            (None, Some(new)) => self.next_hops.push(Arc::clone(new)),
            (Some(old), Some(new)) if old.hop != new.hop => self.next_hops.push(Arc::clone(new)),
            _ => {}
        }
    }
}

/// Whether the dataplane would see the same fleet.
pub(super) fn is_same_fleet(from: &Book, to: &Book) -> bool {
    match (&from.fleet, &to.fleet) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new) || old.is_same_to_dataplane(new),
        (None, None) => true,
        _ => false,
    }
}

/// Walks two trees together, in the order of their keys.
fn merge<K: Ord, V>(
    one: &Tree<K, V>,
    other: &Tree<K, V>,
    mut each: impl FnMut(&K, Option<&V>, Option<&V>),
) {
    let (mut left, mut right) = (one.iter().peekable(), other.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some((key, _)), Some((other, _))) => key.cmp(other),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return,
        };
        let from = if order.is_le() { left.next() } else { None };
        let to = if order.is_ge() { right.next() } else { None };
        if let Some((key, _)) = from.or(to) {
            each(key, from.map(|(_, value)| value), to.map(|(_, value)| value));
        }
    }
}

/// A peer as the dataplane is told of it.
pub(crate) fn peer_message(peer: &Peer) -> message::Peer {
    message::Peer {
        public_key: peer.public_key,
        preshared_key: peer.preshared_key.as_deref().cloned().unwrap_or(Secret::zero()),
        client_id: peer.client_id,
        endpoint: peer.endpoint,
        persistent_keepalive: (peer.persistent_keepalive != 0)
            .then(|| Duration::from_secs(peer.persistent_keepalive.into())),
        allowed_ips: peer.allowed_ips.to_vec(),
    }
}
