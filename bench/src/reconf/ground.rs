//! The server that changes: the lane of other measurements with more room, the keeper that made its tables, and control.

use std::net::{IpAddr, Ipv4Addr};

use dataplane::keeper::{Border, Keeper};
use dataplane::testing::control::{Control, Private, Regions};
use dpdk::Pool;
use firewall::rules::Verdict;
use ipnet::{IpNet, Ipv4Net};
use shm::limits::RULESET_TEXT_PER_ITEM_MAX;
use shm::message::{Item, NextHop, Peer, PublicKey, Scope};
use shm::transaction::Transaction;
use wireguard::message::ClientId;
use wireguard::secret::Secret;

use super::{Event, Plan};
use crate::Failure;
use crate::gre::servers::{ID, KIND, TENANT};
use crate::load::lane::{self, Lane};
use crate::rules::rulesets::Five;
use crate::scale::routes;
use crate::service::client::inner_address;
use crate::service::server::{self, CLIENTS, Keys};
use crate::turns::Setting;

/// The keeper and control, who work on a core of their own.
pub(super) struct Keeping {
    pub(super) keeper: Keeper,
    pub(super) border: Border<Private>,
    pub(super) regions: Regions,
    pub(super) control: Control,
    pub(super) next_id: u64,
}

impl Keeping {
    /// With a control that has just started.
    pub(super) fn new(keeper: Keeper) -> Self {
        let (regions, border) = Regions::new(1, 1);
        let control = regions.attach();
        Self { keeper, border, regions, control, next_id: 2 }
    }
}

/// A server with all that changes.
pub(super) struct Ground {
    pub(super) lane: Lane,
    pub(super) keeping: Keeping,
    /// The Internet's, or a few invented ones.
    pub(super) routes: Vec<IpNet>,
    /// What control has told of clients, the tenant and the way out.
    base: Vec<Item>,
    storm: u32,
    rules: u32,
    /// Which next hop routes lead to, and which rules the tenant has: two of each take turns.
    version: u32,
}

/// Room for peers and routes beside those that are named.
const SPARE: u32 = 16;
/// Peers that come and go have numbers, and so addresses, beyond those of clients.
const STORM_FROM: u32 = 2_000_000;
/// Prefixes of a short run, and the first of them.
const QUICK_ROUTES: u32 = 5_000;
const QUICK_FIRST: Ipv4Addr = Ipv4Addr::new(20, 0, 0, 0);

impl Ground {
    /// Started, and why it has only a few routes, if it has.
    pub(super) fn start(
        (setting, pool): (&Setting, &Pool),
        plan: &Plan,
    ) -> Result<(Self, Option<String>), Failure> {
        let (routes, hole) = if plan.search.place.quick {
            (invented()?, Some("--quick takes 5,000 invented prefixes".to_owned()))
        } else {
            match routes::read(&plan.table) {
                Ok(routes) => (routes, None),
                Err(why) => (invented()?, Some(why)),
            }
        };
        let keys = Keys::draw(CLIENTS + plan.wave);
        let mut base = lane::told(&keys)?;
        base.push(Item::NextHop { id: 2, hop: NextHop::Direct });
        let mut config = lane::config(&keys)?;
        config.peers_max += plan.storm + SPARE;
        config.routes_max = u32::try_from(routes.len())? + SPARE;
        let rules = plan.rules;
        let items = [base.clone(), ruleset(0, rules), routes_to(&routes, 0)].concat();
        let (scope, count) = (Scope::Snapshot, items.len() as u64);
        let mut keeper = server::keeper(&config, Transaction { id: 1, scope, count, items })?;
        let lane = Lane::on(setting, (pool, plan.search.place.ring), keys, &mut keeper)?;
        let keeping = Keeping::new(keeper);
        let storm = plan.storm;
        Ok((Self { lane, keeping, routes, base, storm, rules, version: 0 }, hole))
    }

    /// What control tells to make this happen.
    pub(super) fn told(&mut self, event: Event) -> Option<(Scope, Vec<Item>)> {
        match event {
            Event::Nothing | Event::Rekey | Event::Drain => None,
            Event::PeersCome => Some((Scope::Delta, (0..self.storm).map(peer).collect())),
            Event::PeersGo => {
                let gone = (0..self.storm).map(|number| Item::PeerRemove(key(number)));
                Some((Scope::Delta, gone.collect()))
            }
            Event::Table => {
                self.version += 1;
                Some((Scope::Delta, routes_to(&self.routes, self.version)))
            }
            Event::Rules => {
                self.version += 1;
                Some((Scope::Delta, ruleset(self.version, self.rules)))
            }
            Event::Restart => {
                self.keeping.control = self.keeping.regions.attach();
                let routes = routes_to(&self.routes, self.version);
                let rules = ruleset(self.version, self.rules);
                Some((Scope::Snapshot, [self.base.clone(), rules, routes].concat()))
            }
        }
    }
}

fn invented() -> Result<Vec<IpNet>, Failure> {
    let first = QUICK_FIRST.to_bits();
    let net = |place: u32| Ok(Ipv4Net::new(Ipv4Addr::from_bits(first + (place << 8)), 24)?.into());
    (0..QUICK_ROUTES).map(net).collect()
}

/// All of them to one of two next hops.
fn routes_to(routes: &[IpNet], version: u32) -> Vec<Item> {
    let next_hop = 1 + version % 2;
    routes.iter().map(|prefix| Item::Route { prefix: *prefix, next_hop }).collect()
}

/// The tenant's rules: everything else is let through, so that nothing is dropped by any of them.
fn ruleset(version: u32, count: u32) -> Vec<Item> {
    let first = version % 2 * count;
    let rule = |place| KIND.rule(TENANT, (first + place, u32::MAX));
    let all: Vec<Five> = (0..count).map(rule).collect();
    let mut ruleset = KIND.ruleset(&all);
    ruleset.policy = Verdict::Accept;
    let text = ruleset.to_string();
    let pieces = text.as_bytes().chunks(RULESET_TEXT_PER_ITEM_MAX);
    let pieces = pieces.map(|text| Item::RulesetText { tenant: ID, text: text.into() });
    std::iter::once(Item::Ruleset(ID)).chain(pieces).collect()
}

/// Octets that will do as a key: nobody of them shakes hands.
fn key(number: u32) -> PublicKey {
    let mut key = [0x5a; 32];
    if let Some(place) = key.first_chunk_mut() {
        *place = number.to_be_bytes();
    }
    PublicKey(key)
}

fn peer(number: u32) -> Item {
    Item::Peer(Box::new(Peer {
        public_key: key(number),
        preshared_key: Secret::zero(),
        client_id: ClientId::ZERO,
        endpoint: None,
        persistent_keepalive: None,
        allowed_ips: vec![IpAddr::from(inner_address(STORM_FROM + number)).into()],
    }))
}
