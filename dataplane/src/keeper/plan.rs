//! A transaction against the master tables: what it asks for in the end, whether that can be, and what has to change.
//! The order of its items does not matter beyond which of two for the same thing comes last.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ipnet::IpNet;
use shm::message::{Fleet, Item, NextHop as Hop, Peer, PublicKey, Scope};
use shm::transaction::{Obstacle, Transaction};

use super::Setup;
use super::centres::{Centres, Wanted};
use super::claims::{Claim, Claims};
use super::fleet::{FleetTables, ahead};
use super::rules::Book;
use super::setup::{is_same, setup};
use super::tables::{Refused, Scene, Tables};
use crate::fleet::Membership;
use crate::limits::HOPS_MAX;
use crate::registry::Registry;
use crate::stages::dos::Rules;
use crate::stages::route::{Change, NextHop};

/// What is asked for, each with the number of the message that asks; none where something shall go.
#[derive(Debug, Default)]
pub(super) struct Changes {
    peers: HashMap<PublicKey, (u64, Option<Box<Peer>>)>,
    /// The peers in the order in which they are named, so that the same transaction gives the same numbers.
    named: Vec<PublicKey>,
    /// Sorted by prefix, one for each: a whole table is as quickly walked as it was sent.
    routes: Vec<Told>,
    hops: BTreeMap<u32, (u64, Option<Hop>)>,
    fleet: Option<(u64, Option<Box<Fleet>>)>,
    /// What is said of tenants and rules, in order.
    rules: Vec<(u64, Item)>,
    centres: Wanted,
    /// Whether what is not named goes.
    anew: bool,
    /// How many messages the items take.
    count: u64,
}

/// What is asked for of a route.
#[derive(Clone, Copy, Debug)]
struct Told {
    net: IpNet,
    at: u64,
    hop: Option<u32>,
}

/// What has to change.
#[derive(Debug)]
pub(super) struct Plan {
    /// Peers to be told anew with their numbers, and what their workers shall know.
    pub(super) set: Vec<(u32, Peer, Setup)>,
    pub(super) removed: Vec<[u8; 32]>,
    pub(super) changes: Vec<Change>,
    pub(super) routes: Vec<(IpNet, Option<u32>)>,
    pub(super) hops: Vec<(u32, Option<Hop>)>,
    /// The data centres, if they are others than before.
    pub(super) centres: Option<Centres>,
    pub(super) fleet: Option<(Option<Box<Fleet>>, Membership)>,
    pub(super) rules: Option<(Book, Arc<Rules>)>,
    pub(super) count: u64,
}

impl Changes {
    /// Reads the items; what a snapshot does not name goes.
    pub(super) fn gather(
        tables: &Tables,
        transaction: Transaction,
        registry: &Registry,
    ) -> Result<Self, Refused> {
        let mut changes = Self::default();
        for item in transaction.items {
            // A peer with many prefixes takes several messages, and control counts those.
            let at = changes.count;
            changes.count += item.message_count().unwrap_or(1) as u64;
            let is_there = match item {
                Item::Peer(peer) => changes.name(at, peer.public_key, Some(peer)),
                Item::PeerRemove(key) => {
                    let is_there = changes.peers.get(&key).map_or_else(
                        || registry.by_key(&key.0).is_some(),
                        |(_, peer)| peer.is_some(),
                    );
                    changes.name(at, key, None) && is_there
                }
                Item::Route { prefix, next_hop } => {
                    changes.routes.push(Told { net: prefix, at, hop: Some(next_hop) });
                    true
                }
                Item::RouteRemove(prefix) => {
                    changes.routes.push(Told { net: prefix, at, hop: None });
                    true
                }
                Item::NextHop { id, hop } => {
                    changes.hops.insert(id, (at, Some(hop)));
                    true
                }
                Item::Centre(centre) => {
                    changes.centres.put(*centre);
                    true
                }
                Item::Machines { centre, machines } => changes.centres.add(centre, machines),
                Item::CentreRemove(number) => changes.centres.remove(number, &tables.centres),
                Item::Fleet(fleet) => {
                    changes.fleet = Some((at, Some(fleet)));
                    true
                }
                Item::Tenant(_)
                | Item::TenantRemove(_)
                | Item::Rule(_)
                | Item::RuleRemove(_)
                | Item::Listed { .. }
                | Item::Unlisted { .. }
                | Item::Tunnel(_)
                | Item::TunnelRemove(_)
                | Item::Ruleset(_)
                | Item::RulesetText { .. } => {
                    changes.rules.push((at, item));
                    true
                }
                Item::FleetRemove => match changes.fleet.replace((at, None)) {
                    None => tables.fleet.is_some(),
                    Some((_, before)) => before.is_some(),
                },
                Item::NextHopRemove(id) => changes
                    .hops
                    .insert(id, (at, None))
                    .map_or_else(|| tables.hops.contains_key(&id), |(_, hop)| hop.is_some()),
            };
            if !is_there {
                return Err(Refused { item: at, obstacle: Obstacle::NotThere });
            }
        }
        changes.sort_routes(tables)?;
        if transaction.scope == Scope::Snapshot {
            changes.anew = true;
            changes.keep_newer_fleet(tables);
            changes.drop_others(tables, registry);
        }
        Ok(changes)
    }

    /// Of two for the same prefix the last counts; each removal must find something.
    fn sort_routes(&mut self, tables: &Tables) -> Result<(), Refused> {
        // Stable, and quick where most is in order.
        self.routes.sort_by_key(|told| told.net);
        let mut last: Option<Told> = None;
        for told in &self.routes {
            let before = last.filter(|last| last.net == told.net);
            let is_there = || match before {
                Some(before) => before.hop.is_some(),
                None => tables.routes.contains_key(&told.net),
            };
            if told.hop.is_none() && !is_there() {
                return Err(Refused { item: told.at, obstacle: Obstacle::NotThere });
            }
            last = Some(*told);
        }
        self.routes.dedup_by(|later, earlier| {
            let is_same = later.net == earlier.net;
            if is_same {
                *earlier = *later;
            }
            is_same
        });
        Ok(())
    }

    /// What is asked for of the route to a prefix.
    fn told(&self, net: &IpNet) -> Option<&Told> {
        let at = self.routes.binary_search_by_key(net, |told| told.net).ok()?;
        self.routes.get(at)
    }

    fn name(&mut self, at: u64, key: PublicKey, peer: Option<Box<Peer>>) -> bool {
        if self.peers.insert(key, (at, peer)).is_none() {
            self.named.push(key);
        }
        true
    }

    /// A control that has come back may know less than it told before it ended: servers that look at an older fleet than
    /// they did would answer for clients that others have. It is told again when control has read its files.
    fn keep_newer_fleet(&mut self, tables: &Tables) {
        if let (Some((_, Some(told))), Some(before)) = (&self.fleet, &tables.fleet)
            && ahead(told, before) < 0
        {
            self.fleet = Some((self.count, tables.fleet.clone()));
        }
    }

    fn drop_others(&mut self, tables: &Tables, registry: &Registry) {
        let end = self.count;
        registry.for_each(|peer| {
            let key = PublicKey(peer.public_key);
            if !self.peers.contains_key(&key) {
                self.name(end, key, None);
            }
        });
        let gone = tables.routes.keys().filter(|net| self.told(net).is_none());
        let gone: Vec<Told> = gone.map(|net| Told { net: *net, at: end, hop: None }).collect();
        self.routes.extend(gone);
        self.routes.sort_by_key(|told| told.net);
        for id in tables.hops.keys() {
            self.hops.entry(*id).or_insert((end, None));
        }
        self.fleet.get_or_insert((end, None));
    }

    /// What has to change, if it can.
    pub(super) fn plan(
        mut self,
        tables: &Tables,
        scene: Scene<'_>,
        fleet: &mut FleetTables,
    ) -> Result<Plan, Refused> {
        self.drop_unchanged(tables, scene.registry);
        let numbers = self.numbers(tables, scene.registry)?;
        let values = self.values(tables, scene, &numbers)?;
        self.check_uses(tables)?;
        self.check_counts(tables)?;
        let changes = self.prefixes(tables, scene, (&numbers, &values))?;
        let fleet = match self.fleet.take() {
            None => None,
            Some((at, told)) => {
                let membership =
                    fleet.membership(told.as_deref(), tables.fleet.as_deref(), scene.site);
                Some((told, membership.map_err(|obstacle| Refused { item: at, obstacle })?))
            }
        };
        let rules = self.rules(tables, scene)?;
        let centres = std::mem::take(&mut self.centres).after(&tables.centres, self.anew);
        let centres = centres.map_err(|obstacle| Refused { item: self.count, obstacle })?;
        let mut set = Vec::new();
        let mut removed = Vec::new();
        for key in &self.named {
            match self.peers.remove(key) {
                Some((at, Some(peer))) => {
                    let setup = setup(&peer, scene, tables)
                        .map_err(|obstacle| Refused { item: at, obstacle })?;
                    let number = numbers.get(key).copied().unwrap_or(u32::MAX);
                    set.push((number, *peer, setup));
                }
                Some((_, None)) => removed.push(key.0),
                None => {}
            }
        }
        Ok(Plan {
            set,
            removed,
            changes,
            routes: self.routes.into_iter().map(|told| (told.net, told.hop)).collect(),
            hops: self.hops.into_iter().map(|(id, (_, hop))| (id, hop)).collect(),
            centres,
            fleet,
            rules,
            count: self.count,
        })
    }

    /// The book of rules in the end, when it may be another.
    fn rules(
        &mut self,
        tables: &Tables,
        scene: Scene<'_>,
    ) -> Result<Option<(Book, Arc<Rules>)>, Refused> {
        let items = std::mem::take(&mut self.rules);
        if items.is_empty() && (!self.anew || tables.book.is_empty()) {
            return Ok(None);
        }
        let draft = tables.book.draft(items, (self.anew, self.count), scene.surroundings(tables));
        draft.map(Some).map_err(|(item, obstacle)| Refused { item, obstacle })
    }

    /// What is as it was needs no change: a snapshot repeats everything.
    fn drop_unchanged(&mut self, tables: &Tables, registry: &Registry) {
        self.peers.retain(|key, (_, peer)| match peer {
            Some(peer) => registry.by_key(&key.0).is_none_or(|before| !is_same(peer, &before)),
            None => registry.by_key(&key.0).is_some(),
        });
        self.routes.retain(|told| tables.routes.get(&told.net).copied() != told.hop);
        self.hops.retain(|id, (_, hop)| tables.hops.get(id).map(|(hop, _)| *hop) != *hop);
        self.fleet.take_if(|(_, fleet)| *fleet == tables.fleet);
    }

    /// The numbers of the peers that are to be set up; new ones get those that are free next. Those of peers that go
    /// are free only later.
    fn numbers(
        &self,
        tables: &Tables,
        registry: &Registry,
    ) -> Result<HashMap<PublicKey, u32>, Refused> {
        let mut free = tables.numbers.upcoming();
        let mut numbers = HashMap::new();
        // Those that go were found there.
        let gone = self.peers.values().filter(|(_, peer)| peer.is_none()).count();
        let mut places = (tables.peers_max + gone).saturating_sub(registry.len());
        for key in &self.named {
            let Some((at, Some(_))) = self.peers.get(key) else { continue };
            let known = registry.by_key(&key.0).map(|peer| peer.number);
            let mut new = || {
                places = places.checked_sub(1)?;
                free.next()
            };
            let number = known
                .or_else(&mut new)
                .ok_or(Refused { item: *at, obstacle: Obstacle::TooManyPeers })?;
            numbers.insert(*key, number);
        }
        Ok(numbers)
    }

    /// Where each next hop leads that is there in the end.
    fn values(
        &self,
        tables: &Tables,
        scene: Scene<'_>,
        numbers: &HashMap<PublicKey, u32>,
    ) -> Result<HashMap<u32, NextHop>, Refused> {
        let mut values = HashMap::new();
        for id in tables.hops.keys().chain(self.hops.keys()) {
            let (at, hop) = match (self.hops.get(id), tables.hops.get(id)) {
                (Some((at, Some(hop))), _) => (*at, *hop),
                (None, Some((hop, _))) => (self.count, *hop),
                (Some((_, None)), _) | (None, None) => continue,
            };
            let client = |key: PublicKey| match self.peers.get(&key) {
                Some((_, None)) => None,
                Some((_, Some(_))) => numbers.get(&key).copied(),
                None => scene.registry.by_key(&key.0).map(|peer| peer.number),
            };
            let value = match hop {
                Hop::Reject => Ok(NextHop::Reject),
                Hop::Local => Ok(NextHop::Local),
                Hop::Client(key) => client(key).map(NextHop::Client).ok_or(Obstacle::NoPeer),
                Hop::Direct => Ok(NextHop::Direct),
                Hop::Via { centre, remote: None } if scene.site.nat.is_some() => {
                    u16::try_from(centre).map(NextHop::Via).map_err(|_| Obstacle::NoEgress)
                }
                Hop::Gre { .. } | Hop::Via { .. } => Err(Obstacle::NoEgress),
            };
            values.insert(*id, value.map_err(|obstacle| Refused { item: at, obstacle })?);
        }
        Ok(values)
    }

    /// Nothing grows without end, whatever is told in however many transactions.
    fn check_counts(&self, tables: &Tables) -> Result<(), Refused> {
        let refused = |obstacle| Err(Refused { item: self.count, obstacle });
        let new = |told: &&Told| told.hop.is_some() && !tables.routes.contains_key(&told.net);
        let gone = self.routes.iter().filter(|told| told.hop.is_none()).count();
        let routes = tables.routes.len() + self.routes.iter().filter(new).count();
        if routes.saturating_sub(gone) > tables.routes_max {
            return refused(Obstacle::TooManyRoutes);
        }
        let new = self.hops.iter().filter(|(id, _)| !tables.hops.contains_key(id)).count();
        if tables.hops.len() + new > HOPS_MAX {
            return refused(Obstacle::TooManyHops);
        }
        Ok(())
    }

    /// No next hop goes while routes lead there.
    fn check_uses(&self, tables: &Tables) -> Result<(), Refused> {
        let mut left: HashMap<u32, usize> = HashMap::new();
        for (id, _) in self.hops.iter().filter(|(_, (_, hop))| hop.is_none()) {
            left.insert(*id, tables.hops.get(id).map_or(0, |(_, uses)| *uses));
        }
        if left.is_empty() {
            return Ok(());
        }
        for Told { net, at, hop } in &self.routes {
            if let Some(uses) = tables.routes.get(net).and_then(|before| left.get_mut(before)) {
                *uses = uses.saturating_sub(1);
            }
            if hop.is_some_and(|hop| left.contains_key(&hop)) {
                return Err(Refused { item: *at, obstacle: Obstacle::NextHopInUse });
            }
        }
        match left.iter().filter(|(_, uses)| **uses > 0).map(|(id, _)| *id).min() {
            None => Ok(()),
            Some(id) => {
                let item = self.hops.get(&id).map_or(self.count, |(at, _)| *at);
                Err(Refused { item, obstacle: Obstacle::NextHopInUse })
            }
        }
    }

    /// What changes in the routes. A prefix belongs to one peer, one route or this machine: what is claimed must be
    /// free, or be given up in the same transaction.
    fn prefixes(
        &self,
        tables: &Tables,
        scene: Scene<'_>,
        (numbers, values): (&HashMap<PublicKey, u32>, &HashMap<u32, NextHop>),
    ) -> Result<Vec<Change>, Refused> {
        // A next hop to this machine that no route uses does no harm where there is no way to it.
        let leads = |hop: &u32| match values.get(hop).copied() {
            None => Err(Obstacle::NoNextHop),
            Some(NextHop::Local) if scene.site.local.is_none() => Err(Obstacle::NoLocal),
            Some(value) => Ok(value),
        };
        let mut claims = Claims::default();
        for key in &self.named {
            let (Some((at, Some(peer))), Some(number)) = (self.peers.get(key), numbers.get(key))
            else {
                continue;
            };
            let value = NextHop::Client(*number);
            claims.made.extend(peer.allowed_ips.iter().map(|net| Claim {
                net: *net,
                at: *at,
                value,
                is_peer: true,
            }));
        }
        for Told { net, at, hop } in &self.routes {
            let Some(hop) = hop else { continue };
            let value = leads(hop).map_err(|obstacle| Refused { item: *at, obstacle })?;
            claims.made.push(Claim { net: *net, at: *at, value, is_peer: false });
        }
        // Routes that stay, to a next hop that leads elsewhere from now on.
        let moved = |hop: &u32| self.hops.get(hop).is_some_and(|(_, hop)| hop.is_some());
        if self.hops.values().any(|(_, hop)| hop.is_some()) {
            let stay = tables.routes.iter().filter(|(net, _)| self.told(net).is_none());
            for (net, hop) in stay.filter(|(_, hop)| moved(hop)) {
                let at = self.hops.get(hop).map_or(self.count, |(at, _)| *at);
                let value = leads(hop).map_err(|obstacle| Refused { item: at, obstacle })?;
                claims.moved.push((*net, Some(value)));
            }
        }
        claims.given_up = self.given_up(tables, scene.registry);
        claims.changes(tables)
    }

    /// The prefixes of peers and routes that change or go.
    fn given_up(&self, tables: &Tables, registry: &Registry) -> Vec<IpNet> {
        let mut all = Vec::new();
        for key in self.peers.keys() {
            if let Some(peer) = registry.by_key(&key.0) {
                all.extend(peer.allowed_ips.iter().copied());
            }
        }
        let nets = self.routes.iter().map(|told| told.net);
        all.extend(nets.filter(|net| tables.routes.contains_key(net)));
        all
    }
}
