//! The keeper: holds the master tables, builds what workers look at aside, and gives it to them without stopping
//! anybody.

mod border;
mod centres;
mod claims;
mod dials;
mod filters;
mod detection;
mod fleet;
mod health;
mod install;
mod numbers;
mod paths;
mod plan;
mod probing;
mod rules;
mod setup;
mod survey;
mod tables;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::connect::targets::Targets;
use ::flows::Flows;
use rand_chacha::rand_core::{Rng, SeedableRng};
use shm::message::Event;
use shm::transaction::Transaction;
use wireguard::cookie::Secrets;
use wireguard::index::{Layout, Permutation};
use wireguard::noise::Identity;
use wireguard::secret::Secret;
use wireguard::time::Instant;

use crate::config::{Config, NatConfig};
use crate::counters::Counters;
use crate::exchange::Exchange;
use crate::fleet::{Fleet, Holdings, Keys, Membership, Shared};
use crate::handshake::{Directory, Handshaker, Random};
use crate::limiter::Limiter;
use crate::limits::{
    ICMP_ERRORS_BURST, ICMP_ERRORS_PER_SECOND, NAT_PIECES, PEERS_SPARE, SLOTS_PER_PEER, SLOTS_SPARE,
};
use crate::neighbours::Neighbours;
use crate::pipeline::State;
use crate::registry::Registry;
use crate::site::{Nat, Site, local_number, owner};
use crate::stages::dos::{Defence, Filter, Rules};
use crate::stages::egress::connect::{EXIT_ACCOUNTS, Splicer};
use crate::stages::egress::dials::Dials;
use crate::stages::egress::meter::Meter;
use crate::stages::egress::nat::Translator;
use crate::stages::egress::path_mtus::PathMtus;
use crate::stages::egress::via::{self, Share, Via};
use crate::stages::route::{Limits, Routes, Unbuildable};
use crate::stages::steer::{Owner, Prompts};
use crate::stages::tenant::Tenancy;
use crate::stages::wireguard::sessions::{Room, Sessions, Setup};
use crate::wall::WallClock;

use filters::Filters;
use fleet::FleetTables;
use install::{Installation, Progress, Versions};
use paths::Paths;
use plan::Plan;
use probing::Prober;
use rules::{Counts, Seen};
use setup::setup_of;
use tables::{Entered, Scene, Tables};

pub use border::Border;
pub use tables::Refused;

/// Why tables could not be built from a configuration that is well-formed.
#[derive(Debug)]
pub enum Error {
    /// This machine's own inner addresses do not fit the routes.
    Routes(Unbuildable),
    /// More peers than receiver indices.
    TooManyPeers(u32),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Routes(Unbuildable::TooManyLongPrefixes) => f.write_str(
                "local.addresses hold more than 32768 different /24 with longer prefixes in them",
            ),
            Self::Routes(Unbuildable::TooManyNextHops) => {
                f.write_str("local.addresses hold too many prefixes; merge them")
            }
            Self::TooManyPeers(count) => write!(
                f,
                "{count} peers need more receiver indices than there are; lower capacity.peers or add workers"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// When and with what randomness a server starts: the same start gives the same run.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Seed of all randomness.
    pub seed: [u8; 32],
    /// Now, on the workers' clock.
    pub now: Instant,
    /// The Unix time now.
    pub unix: Duration,
}

/// Every table of one server.
#[derive(Debug)]
pub struct Keeper {
    site: Arc<Site>,
    directory: Arc<Directory>,
    tables: Tables,
    routes: Arc<Routes>,
    /// The transaction under way.
    installation: Option<Installation>,
    exchange: Arc<Exchange>,
    room: Room,
    peers_max: u32,
    /// Percent of a handshake thread's time.
    handshake_budget: u32,
    counters: Vec<Arc<Counters>>,
    fleet: FleetTables,
    rules: Arc<Rules>,
    counts: Counts,
    seen: Seen,
    prober: Prober,
    filters: Filters,
    nat: Option<NatConfig>,
    targets: Targets,
    paths: Paths,
    wall: Arc<WallClock>,
    random: Random,
    start: Start,
}

impl Keeper {
    /// A server that knows itself and nobody else yet.
    pub fn new(config: &Config, site: Site, start: Start) -> Result<Self, Error> {
        let mut random = Random::from_seed(start.seed);
        let (workers, threads) = (config.workers.len(), config.handshake_threads);
        let local: Vec<_> = config.local.iter().flat_map(|local| local.addresses.clone()).collect();
        let keys = Arc::new(keys(config, &mut random));
        let fleet = fleet(config);
        let directory = directory(config, &keys, &fleet);
        let tables = Tables::new(&local, (config.peers_max, config.routes_max), random.next_u64())
            .map_err(Error::Routes)?;
        let room = room(config.peers_max, workers, threads)?;
        Ok(Self {
            site: Arc::new(site),
            directory: Arc::new(directory),
            routes: tables.rib.publish(),
            tables,
            installation: None,
            exchange: Arc::new(Exchange::new(
                workers,
                threads,
                room.slots,
                apart(start.seed, 1).next_u64(),
            )),
            room,
            peers_max: config.peers_max,
            nat: config.nat.clone(),
            targets: targets(config),
            paths: Paths::new(apart(start.seed, APART_TENANCY - 2).next_u32()),
            handshake_budget: config.handshake_budget,
            counters: (0..workers + threads).map(|_| Arc::default()).collect(),
            prober: prober(config, &keys, start.seed),
            fleet: FleetTables::new(config, keys, fleet),
            rules: Arc::default(),
            counts: Counts::new(workers),
            seen: Seen::new(workers, server(config)),
            filters: Filters::new(config, &mut apart(start.seed, 2)),
            wall: Arc::new(WallClock::new(start.unix, start.now)),
            random,
            start,
        })
    }

    /// Enters a transaction before the first worker is there.
    pub fn load(&mut self, transaction: Transaction) -> Result<(), Refused> {
        let plan = self.plan(transaction, (self.start.now, self.start.unix))?;
        let Entered { fleet, rules, .. } = self.tables.enter(plan, &self.directory.registry)?;
        self.routes = self.tables.rib.publish();
        self.follow_centres(self.start.now);
        if let Some(rules) = rules {
            self.rules = self.chosen(rules, self.start.now);
            self.seen.follow(&self.tables.book);
            self.counts.follow(&self.tables.book, self.start.unix);
        }
        if let Some(membership) = fleet {
            self.directory.fleet.replace(membership);
        }
        Ok(())
    }

    /// Begins to install a transaction; all of it, or nothing and why.
    ///
    /// # Panics
    /// When the one before is not done.
    pub fn begin(&mut self, transaction: Transaction, now: Instant) -> Result<(), Refused> {
        assert!(self.installation.is_none(), "one transaction after the other");
        let unix = self.wall.unix(now);
        let plan = self.plan(transaction, (now, unix))?;
        let centres_change = plan.centres.is_some();
        let routes_change = centres_change || !plan.changes.is_empty();
        let Entered { set, gone, fleet, rules } =
            self.tables.enter(plan, &self.directory.registry)?;
        if centres_change {
            self.follow_centres(now);
        }
        let routes = routes_change.then(|| {
            let routes = self.tables.rib.publish();
            let former = std::mem::replace(&mut self.routes, Arc::clone(&routes));
            (routes, former)
        });
        let fleet = fleet.map(|membership| {
            let former = self.directory.fleet.replace(membership.clone());
            (membership, former)
        });
        let rules = rules.map(|rules| {
            self.counts.follow(&self.tables.book, unix);
            self.seen.follow(&self.tables.book);
            let rules = self.chosen(rules, now);
            (Arc::clone(&rules), std::mem::replace(&mut self.rules, rules))
        });
        let versions = Versions { routes, fleet, rules };
        self.installation = Some(Installation::new(set, versions, gone, &self.exchange));
        Ok(())
    }

    fn follow_centres(&mut self, now: Instant) {
        let (site, has_key) = (&self.site, self.fleet.keys.centres.is_some());
        // One that cannot be asked is not silent.
        let is_asked = |machine: SocketAddr| {
            let connect = site.connect.as_ref().filter(|_| has_key);
            let is_ours = connect.is_some_and(|connect| connect.lets_in(machine.ip().into()));
            is_ours && site.path_to(machine).is_some()
        };
        self.paths.follow(&self.tables.centres, is_asked, now);
    }

    /// Takes rules out of force whose time is over; true when that changes anything.
    fn expire(&mut self, now: Instant) -> bool {
        let unix = self.wall.unix(now);
        if self.installation.is_some() || !self.counts.expire(&self.tables.book, unix) {
            return false;
        }
        let rules = self.tables.rules(&self.site, (now, unix));
        let rules = self.chosen(rules, now);
        let former = std::mem::replace(&mut self.rules, Arc::clone(&rules));
        let versions = Versions { rules: Some((rules, former)), ..Versions::default() };
        self.installation =
            Some(Installation::new(Vec::new(), versions, Vec::new(), &self.exchange));
        true
    }

    fn plan(
        &mut self,
        transaction: Transaction,
        now: (Instant, Duration),
    ) -> Result<Plan, Refused> {
        let scene = Scene {
            now,
            site: &self.site,
            identity: &self.directory.identity,
            registry: &self.directory.registry,
        };
        self.tables.plan(transaction, scene, &mut self.fleet)
    }

    /// Goes on with the transaction under way; true when it is in force from now on.
    pub fn turn(&mut self) -> bool {
        let Some(installation) = &mut self.installation else { return false };
        match installation.turn(&self.exchange) {
            Progress::Waiting => false,
            Progress::InForce => true,
            Progress::Done => {
                for number in installation.removed.drain(..) {
                    self.tables.numbers.release(number);
                }
                self.installation = None;
                false
            }
        }
    }

    /// Goes on with what the fleet asks of the keeper; gives how this server sees the fleet.
    fn fleet_turn(&mut self, now: Instant) -> Option<Event> {
        let fleet = self.directory.fleet.get();
        let view = fleet.view().map(Arc::as_ref);
        self.fleet.turn(view, &self.wall, now);
        self.fleet.event(view)
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.installation.is_none()
    }

    /// The public key of the peer with a number.
    pub fn key_of(&self, number: u32) -> Option<[u8; 32]> {
        self.directory.registry.by_number(number).map(|peer| peer.public_key)
    }

    /// The rings between threads.
    pub fn exchange(&self) -> Arc<Exchange> {
        Arc::clone(&self.exchange)
    }

    /// The counters of all threads: workers first, then handshake threads.
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// The wall clock, for the binary to set right.
    pub fn wall(&self) -> Arc<WallClock> {
        Arc::clone(&self.wall)
    }

    /// Session slots of each worker.
    pub fn slots(&self) -> u32 {
        self.room.slots
    }

    /// The state of worker number `worker`, before it starts.
    pub fn state(&mut self, worker: usize) -> State {
        let now = self.start.now;
        State {
            site: Arc::clone(&self.site),
            routes: Arc::clone(&self.routes),
            counters: self.counters.get(worker).map(Arc::clone).unwrap_or_default(),
            owner: Owner {
                permutation: self.directory.permutation.clone(),
                server: self.directory.server,
                worker: u8::try_from(worker).unwrap_or(u8::MAX),
                workers: self.site.workers,
            },
            fleet: self.directory.fleet.get(),
            prompts: Prompts::new(Arc::clone(&self.exchange), self.random.next_u64()),
            too_big: Limiter::new(ICMP_ERRORS_PER_SECOND, ICMP_ERRORS_BURST),
            sessions: self.sessions(worker, now),
            neighbours: Neighbours::new(self.random.next_u64(), now),
            filter: self.filter(worker),
            tenancy: self.tenancy(worker),
            path_mtus: PathMtus::default(),
            probing: self.prober.of_worker(worker),
            translator: self.translator(worker),
            limits: Limits::default(),
            seed: self.random.next_u64(),
        }
    }

    /// A worker's filter, with the rules that are known by now.
    fn filter(&mut self, worker: usize) -> Filter {
        let secrets = Secrets::new(self.fleet.keys.cookie_master.clone(), self.start.unix);
        let defence = Defence::new(
            secrets,
            Random::from_rng(&mut self.random),
            Arc::clone(&self.wall),
            Arc::clone(&self.directory),
            Arc::clone(&self.exchange),
        );
        let mut random = apart(self.start.seed, 3 + worker as u64);
        let tables = self.filters.tables(&self.fleet.keys, &mut random, self.start);
        let tallies = self.counts.tallies().of_worker(worker);
        Filter::new(Arc::clone(&self.rules), tallies, tables, defence)
    }

    /// What a worker translates clients' IPv4 with; the configuration was checked.
    fn translator(&mut self, worker: usize) -> Option<Translator> {
        let (config, nat) = (self.nat.as_ref()?, self.site.nat.as_ref()?);
        if nat.addresses().is_empty() {
            return None;
        }
        let machine = self.room.peers;
        let worker = u8::try_from(worker).unwrap_or(u8::MAX);
        let addresses: Vec<IpAddr> = nat.addresses().iter().copied().map(IpAddr::from).collect();
        let limit = config.flows_per_client;
        let first_guest = machine + 1 + EXIT_ACCOUNTS;
        let is_exit = self.site.connect.is_some();
        let key = self.fleet.keys.exits.filter(|_| is_exit);
        let flows = Flows::new(&flows::Config {
            flows: config.flows,
            clients: first_guest + if key.is_some() { via::guests_of(config.flows) } else { 0 },
            fragments: u32::try_from(NAT_PIECES).unwrap_or(u32::MAX),
            limits: flows::Limits { flows: limit, ports: limit, setups: limit / 4 + 1 },
            timeouts: flows::Timeouts::default(),
            addresses: &addresses,
            ports: nat.ports(worker),
            // The same at all workers, who name the datagrams of fragments alike.
            seed: apart(self.start.seed, APART_NAT).next_u64(),
        });
        let random = Random::from_rng(&mut self.random);
        let dials = Dials::new(Arc::clone(&self.exchange), worker.into());
        let seed = self.random.next_u64();
        // Only an exit has origins to keep alive.
        let kept = if is_exit { config.flows } else { 0 };
        let splicer = Splicer::new((config.setups, kept), self.targets.clone(), dials, seed);
        let meter_key = self.fleet.keys.centres.filter(|_| is_exit);
        let meter = Meter::new(meter_key, Arc::clone(&self.exchange), self.paths.rows());
        let share = Share {
            worker: (worker, self.site.workers),
            flows: (config.flows, limit),
            first_guest,
            seed: apart(self.start.seed, APART_NAT).next_u64() ^ 1,
        };
        let via = key.map(|key| Via::new(key, &share));
        let aside = (splicer, meter, via);
        flows.ok().map(|flows| Translator::new(flows, aside, (machine, worker), random))
    }

    fn tenancy(&self, worker: usize) -> Tenancy {
        let mut random = apart(self.start.seed, APART_TENANCY + worker as u64);
        Tenancy::new(random.next_u64(), self.seen.tallies().of_worker(worker))
    }

    /// A worker's sessions, with the peers that it owns by now.
    fn sessions(&mut self, worker: usize, now: Instant) -> Sessions {
        let random = Random::from_rng(&mut self.random);
        let sessions = Sessions::new(worker, self.room, self.surroundings(), (random, now));
        let every_clients = self.site.nat.as_ref().and_then(Nat::every_clients);
        let mut sessions = sessions.with_every_clients(every_clients);
        let workers = self.site.workers;
        self.directory.registry.for_each(|peer| {
            if owner(peer.number, workers) == worker {
                let setup = setup_of(peer, &self.site);
                sessions.set(local_number(peer.number, workers), &setup, now);
            }
        });
        sessions
    }

    fn surroundings(&self) -> (Arc<Exchange>, Fleet) {
        (Arc::clone(&self.exchange), self.directory.fleet.get())
    }

    /// The state of handshake thread number `thread`.
    pub fn handshaker(&mut self, thread: usize) -> Handshaker {
        let counters =
            self.counters.get(self.site.workers + thread).map(Arc::clone).unwrap_or_default();
        Handshaker::new(
            thread,
            Arc::clone(&self.directory),
            Arc::clone(&self.exchange),
            (counters, Arc::clone(&self.wall)),
            (Random::from_rng(&mut self.random), self.handshake_budget),
        )
    }

    /// A seed for a worker's own tables.
    pub fn seed(&mut self) -> u64 {
        self.random.next_u64()
    }
}

/// Where other data centres may have this server connect to.
fn targets(config: &Config) -> Targets {
    let Some(connect) = &config.connect else { return Targets::default() };
    let ports: Vec<_> = connect.forbidden_ports.iter().map(|port| *port..=*port).collect();
    Targets::new(&[], &ports, connect.private_targets)
}

/// This server's number in its fleet.
fn server(config: &Config) -> u8 {
    config.fleet.as_ref().map_or(0, |fleet| fleet.server)
}

/// Streams of randomness that begin here are of tenants.
const APART_TENANCY: u64 = 1 << 16;
const APART_NAT: u64 = 1 << 17;

fn prober(config: &Config, keys: &Keys, seed: [u8; 32]) -> Prober {
    let mut random = apart(seed, APART_TENANCY - 1);
    Prober::new(
        config.workers.len(),
        server(config),
        (keys.probes, keys.tunnels, random.next_u64()),
    )
}

/// The fleet's keys, or those of a server that is alone, which nobody else needs to know.
fn keys(config: &Config, random: &mut Random) -> Keys {
    let connect = config.connect.as_ref().and_then(|connect| connect.key.as_ref());
    if let Some(fleet) = &config.fleet {
        return Keys::new(&fleet.key, connect.or(Some(&fleet.key)));
    }
    let mut own = Secret::zero();
    random.fill_bytes(own.octets_mut());
    Keys::new(&own, connect)
}

fn fleet(config: &Config) -> Fleet {
    if config.fleet.is_none() {
        return Fleet::alone();
    }
    Fleet { membership: Membership::Untold, holdings: Arc::new(Holdings::new()) }
}

fn directory(config: &Config, keys: &Keys, fleet: &Fleet) -> Directory {
    Directory {
        identity: Identity::new(config.private_key.clone()),
        registry: Registry::default(),
        permutation: Permutation::new(keys.permutation, Layout::default()),
        server: server(config),
        fleet: Shared::new(fleet.clone()),
    }
}

/// Room for the peers of the fullest worker, and slots for their sessions: as many for each handshake thread as its
/// fullest one needs, with some to rest, if there are so many indices.
fn room(peers_max: u32, workers: usize, threads: usize) -> Result<Room, Error> {
    let peers = (peers_max as usize).div_ceil(workers.max(1));
    let slots = (peers.div_ceil(threads.max(1)) * SLOTS_PER_PEER + SLOTS_SPARE) * threads;
    let there_are = Layout::default().slot_count();
    let slots = u32::try_from(slots as u64).unwrap_or(u32::MAX);
    let slots = u32::try_from(u64::from(slots).min(there_are)).unwrap_or(u32::MAX);
    // One session for each peer is the least.
    if peers as u64 > u64::from(slots) {
        return Err(Error::TooManyPeers(peers_max));
    }
    let rows = (peers_max.saturating_add(PEERS_SPARE) as usize).div_ceil(workers.max(1));
    Ok(Room { slots, peers: u32::try_from(rows).unwrap_or(u32::MAX) })
}

/// Randomness of its own, so that all else that is drawn stays as it was for a seed.
fn apart(seed: [u8; 32], stream: u64) -> Random {
    let mut random = Random::from_seed(seed);
    random.set_stream(stream);
    random
}
