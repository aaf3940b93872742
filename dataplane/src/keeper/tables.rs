//! The master tables: what control has told, and the routes that follow from it. A transaction is planned against
//! them as a whole, changing nothing; then the plan is entered as a whole.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use shm::message::{self, NextHop as Hop};
use shm::transaction::{Obstacle, Transaction};
use wireguard::message::ClientId;
use wireguard::noise::Identity;
use wireguard::time::Instant;

use super::Setup;
use super::centres::Centres;
use super::fleet::FleetTables;
use super::numbers::Numbers;
use super::plan::{Changes, Plan};
use super::rules::{Book, Surroundings};
use crate::fleet::{Membership, id_of_key};
use crate::limits::PEERS_SPARE;
use crate::registry::{Peer, Registry};
use crate::site::Site;
use crate::stages::dos::Rules;
use crate::stages::route::{self, Change, NextHop, Rib, Unbuildable};

/// Why a transaction changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The message among its items that is in the way, from 0; the number of messages when it is all of them together.
    pub item: u64,
    /// What is in the way.
    pub obstacle: Obstacle,
}

/// The master tables.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) rib: Rib,
    /// Routes that control has told, with their next hops' ids; those of peers are with the peers.
    pub(super) routes: BTreeMap<IpNet, u32>,
    /// Next hops, and how many routes lead there.
    pub(super) hops: HashMap<u32, (Hop, usize)>,
    /// Data centres.
    pub(super) centres: Centres,
    pub(super) numbers: Numbers,
    /// How many peers there may be.
    pub(super) peers_max: usize,
    /// How many routes there may be.
    pub(super) routes_max: usize,
    /// That of the next new peers: another one with each transaction, and no number comes twice in one.
    pub(super) incarnation: u32,
    /// The fleet as it was told last.
    pub(super) fleet: Option<Box<message::Fleet>>,
    /// Tenants and rules.
    pub(super) book: Book,
    /// Secret, for tables that strangers' packets are looked up in.
    seed: u64,
}

/// What a transaction is planned with beside the tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) site: &'a Site,
    pub(super) identity: &'a Identity,
    pub(super) registry: &'a Registry,
    /// The time now, and the Unix time.
    pub(super) now: (Instant, Duration),
}

impl Scene<'_> {
    /// What rules are drafted for.
    pub(super) fn surroundings(&self, tables: &Tables) -> Surroundings<'_> {
        let (now, unix) = self.now;
        Surroundings { site: self.site, seed: tables.seed, unix, now }
    }
}

/// What workers have to learn of a plan that was entered.
#[derive(Debug)]
pub(super) struct Entered {
    /// Numbers of peers that are new or set up anew.
    pub(super) set: Vec<(u32, Setup)>,
    /// Numbers of those that go.
    pub(super) gone: Vec<u32>,
    /// The fleet, when it is another.
    pub(super) fleet: Option<Membership>,
    /// The rules, when they are others.
    pub(super) rules: Option<Arc<Rules>>,
}

/// Data centres as workers know them.
fn known(centres: &Centres) -> route::Centres {
    let here = centres.values().find(|centre| centre.is_here).map(|centre| centre.number);
    let others = centres.values().filter(|centre| !centre.is_here).map(|centre| {
        let machines = centre.machines.iter().map(|machine| route::Machine {
            address: SocketAddr::new(machine.address, machine.port),
            weight: machine.weight,
        });
        let (number, relay) = (centre.number, centre.relay);
        route::Centre { number, relay, machines: machines.collect() }
    });
    route::Centres::new(others, here)
}

impl Tables {
    /// This machine's own inner addresses, and room for so many peers and routes.
    pub(super) fn new(
        local: &[IpNet],
        (peers_max, routes_max): (u32, u32),
        seed: u64,
    ) -> Result<Self, Unbuildable> {
        let mut rib = Rib::new(seed);
        // Our own address within a prefix stays ours, whatever prefix a client has around it.
        let own = local.iter().map(|net| IpNet::from(net.addr()));
        let own = local.iter().map(IpNet::trunc).chain(own);
        let own: Vec<Change> = own.map(|net| (net, Some(NextHop::Local))).collect();
        rib.change(&own)?;
        let (routes, hops) = (BTreeMap::new(), HashMap::new());
        Ok(Self {
            rib,
            routes,
            hops,
            centres: Centres::new(),
            numbers: Numbers::new(peers_max.saturating_add(PEERS_SPARE)),
            peers_max: peers_max as usize,
            routes_max: routes_max as usize,
            incarnation: 1,
            fleet: None,
            book: Book::default(),
            seed,
        })
    }

    /// What a transaction comes to.
    pub(super) fn plan(
        &self,
        transaction: Transaction,
        scene: Scene<'_>,
        fleet: &mut FleetTables,
    ) -> Result<Plan, Refused> {
        Changes::gather(self, transaction, scene.registry)?.plan(self, scene, fleet)
    }

    /// What workers read of the rules at a time.
    pub(super) fn rules(&self, site: &Site, (now, unix): (Instant, Duration)) -> Arc<Rules> {
        self.book.rules(Surroundings { site, seed: self.seed, unix, now })
    }

    /// Enters a plan; all of it or, where the routes do not fit, nothing.
    pub(super) fn enter(&mut self, plan: Plan, registry: &Registry) -> Result<Entered, Refused> {
        let Plan { set, removed, changes, routes, hops, centres, count, fleet, rules } = plan;
        self.rib.change(&changes).map_err(|error| Refused {
            item: count,
            obstacle: match error {
                Unbuildable::TooManyLongPrefixes => Obstacle::TooManyLongPrefixes,
                Unbuildable::TooManyNextHops => Obstacle::TooManyNextHops,
            },
        })?;
        // New next hops before the routes that lead there, and those that go after them.
        for (id, hop) in &hops {
            if let Some(hop) = hop {
                self.hops.entry(*id).or_insert((*hop, 0)).0 = *hop;
            }
        }
        for (net, hop) in routes {
            self.enter_route(net, hop);
        }
        for (id, _) in hops.iter().filter(|(_, hop)| hop.is_none()) {
            self.hops.remove(id);
        }
        if let Some(centres) = centres {
            self.rib.set_centres(known(&centres));
            self.centres = centres;
        }
        let gone = removed.iter().filter_map(|key| registry.remove(key)).map(|peer| peer.number);
        let gone = gone.collect();
        let set = set.into_iter().map(|(number, peer, setup)| {
            self.enter_peer(number, peer, setup.incarnation, registry);
            (number, setup)
        });
        let set = set.collect();
        self.incarnation = self.incarnation.wrapping_add(1);
        let fleet = fleet.map(|(told, membership)| {
            self.fleet = told;
            membership
        });
        let rules = rules.map(|(book, rules)| {
            self.book = book;
            rules
        });
        Ok(Entered { set, gone, fleet, rules })
    }

    fn enter_route(&mut self, net: IpNet, hop: Option<u32>) {
        let before = match hop {
            Some(hop) => self.routes.insert(net, hop),
            None => self.routes.remove(&net),
        };
        for (hop, by) in [(before, -1_isize), (hop, 1)] {
            if let Some((_, uses)) = hop.and_then(|hop| self.hops.get_mut(&hop)) {
                *uses = uses.saturating_add_signed(by);
            }
        }
    }

    fn enter_peer(
        &mut self,
        number: u32,
        peer: message::Peer,
        incarnation: u32,
        registry: &Registry,
    ) {
        if registry.by_key(&peer.public_key.0).is_none() {
            assert_eq!(self.numbers.take(), Some(number), "the plan has seen which are free");
        }
        let id = id_of(&peer);
        registry.insert(Peer {
            number,
            incarnation,
            public_key: peer.public_key.0,
            preshared_key: (!peer.preshared_key.is_zero()).then(|| Box::new(peer.preshared_key)),
            client_id: peer.client_id,
            id,
            endpoint: peer.endpoint,
            persistent_s: seconds(peer.persistent_keepalive),
            allowed_ips: peer.allowed_ips.into_boxed_slice(),
        });
    }
}

/// The id by which the fleet finds a peer's server.
pub(super) fn id_of(peer: &message::Peer) -> ClientId {
    if peer.client_id == ClientId::ZERO { id_of_key(&peer.public_key.0) } else { peer.client_id }
}

/// Whole seconds; the messages hold no more than fit.
pub(super) fn seconds(interval: Option<Duration>) -> u16 {
    u16::try_from(interval.unwrap_or_default().as_secs()).unwrap_or(u16::MAX)
}
