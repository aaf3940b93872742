//! The keeper: builds every table of the dataplane from its configuration, aside, before workers see them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rand_chacha::rand_core::{Rng, SeedableRng};
use wireguard::cookie::Secrets;
use wireguard::index::{Layout, Permutation};
use wireguard::noise::{Identity, PeerKeys};
use wireguard::secret::Secret;
use wireguard::time::Instant;

use crate::config::{Config, PeerConfig};
use crate::counters::Counters;
use crate::exchange::Exchange;
use crate::handshake::{Directory, Handshaker, Peer, Random};
use crate::limits::{SLOTS_PER_PEER, SLOTS_SPARE};
use crate::neighbours::Neighbours;
use crate::pipeline::State;
use crate::site::{Site, owner};
use crate::stages::dos::Defence;
use crate::stages::route::{Limiter, NextHop, Routes, Unbuildable};
use crate::stages::steer::Owner;
use crate::stages::wireguard::sessions::{Sessions, Setup};

/// Why tables could not be built from a configuration that is well-formed.
#[derive(Debug)]
pub enum Error {
    /// A peer's public key is of low order: anybody could agree with it.
    WeakKey(String),
    /// A peer has the server's own public key.
    OwnKey(String),
    /// The routes do not fit their table.
    Routes(Unbuildable),
    /// More peers than receiver indices.
    TooManyPeers(usize),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WeakKey(name) => {
                write!(f, "the public key of {name} is no usable key; make one with `wg pubkey`")
            }
            Self::OwnKey(name) => {
                write!(f, "the public key of {name} is this server's own; name the client's")
            }
            Self::Routes(Unbuildable::TooManyLongPrefixes) => f.write_str(
                "allowed_ips hold more than 32768 different /24 with longer prefixes in them",
            ),
            Self::Routes(Unbuildable::TooManyNextHops) => f.write_str(
                "more than 32767 peers have prefixes wider than one address in allowed_ips",
            ),
            Self::TooManyPeers(count) => {
                write!(f, "{count} peers need more receiver indices than there are; add workers")
            }
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
    routes: Arc<Routes>,
    exchange: Arc<Exchange>,
    setups: Vec<Vec<Setup>>,
    slots: u32,
    counters: Vec<Arc<Counters>>,
    cookie_master: Secret,
    random: Random,
    start: Start,
}

/// The place of this server in its fleet, until there is one.
const SERVER: u8 = 0;

impl Keeper {
    /// Builds all tables.
    pub fn new(config: &Config, site: Site, start: Start) -> Result<Self, Error> {
        let mut random = Random::from_seed(start.seed);
        let workers = config.workers.len();
        let directory = directory(config, start, &mut random)?;
        let routes = Routes::build(&routes(config), random.next_u64()).map_err(Error::Routes)?;
        let mut setups = vec![Vec::new(); workers];
        for (number, peer) in (0_u32..).zip(&config.peers) {
            if let Some(setups) = setups.get_mut(owner(number, workers)) {
                setups.push(setup(peer, &site));
            }
        }
        let slots = slots_for(config.peers.len(), workers)?;
        let mut cookie_master = Secret::zero();
        random.fill_bytes(cookie_master.octets_mut());
        let threads = config.handshake_threads;
        Ok(Self {
            site: Arc::new(site),
            directory: Arc::new(directory),
            routes: Arc::new(routes),
            exchange: Arc::new(Exchange::new(workers, threads, slots)),
            setups,
            slots,
            counters: (0..workers + threads).map(|_| Arc::default()).collect(),
            cookie_master,
            random,
            start,
        })
    }

    /// The rings between threads.
    pub fn exchange(&self) -> Arc<Exchange> {
        Arc::clone(&self.exchange)
    }

    /// The counters of all threads: workers first, then handshake threads.
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// Session slots of each worker.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// The state of worker number `worker`.
    pub fn state(&mut self, worker: usize) -> State {
        let now = self.start.now;
        let setups = self.setups.get(worker).map(Vec::as_slice).unwrap_or_default();
        let sessions_random = Random::from_rng(&mut self.random);
        let sessions = Sessions::new(
            worker,
            self.slots,
            setups,
            Arc::clone(&self.exchange),
            (sessions_random, now),
        );
        let unix_at_zero = self.directory.unix_at_zero;
        let secrets = Secrets::new(self.cookie_master.clone(), self.start.unix);
        State {
            site: Arc::clone(&self.site),
            directory: Arc::clone(&self.directory),
            routes: Arc::clone(&self.routes),
            counters: self.counters.get(worker).map(Arc::clone).unwrap_or_default(),
            owner: Owner {
                permutation: self.directory.permutation.clone(),
                server: SERVER,
                worker: u8::try_from(worker).unwrap_or(u8::MAX),
                workers: self.site.workers,
            },
            neighbours: Neighbours::new(self.random.next_u64(), now),
            defence: Defence::new(secrets, unix_at_zero, Random::from_rng(&mut self.random)),
            sessions,
            limiter: Limiter::new(),
        }
    }

    /// The state of handshake thread number `thread`.
    pub fn handshaker(&mut self, thread: usize) -> Handshaker {
        let counters =
            self.counters.get(self.site.workers + thread).map(Arc::clone).unwrap_or_default();
        Handshaker::new(
            thread,
            Arc::clone(&self.directory),
            Arc::clone(&self.exchange),
            counters,
            Random::from_rng(&mut self.random),
        )
    }

    /// A seed for a worker's own tables.
    pub fn seed(&mut self) -> u64 {
        self.random.next_u64()
    }
}

fn directory(config: &Config, start: Start, random: &mut Random) -> Result<Directory, Error> {
    let identity = Identity::new(config.private_key.clone());
    let mut peers = Vec::with_capacity(config.peers.len());
    let mut numbers = HashMap::with_capacity(config.peers.len());
    for (number, peer) in (0_u32..).zip(&config.peers) {
        if peer.public_key == *identity.public() {
            return Err(Error::OwnKey(peer.name.clone()));
        }
        let keys = PeerKeys::new(&identity, peer.public_key, peer.preshared_key.clone())
            .map_err(|_| Error::WeakKey(peer.name.clone()))?;
        numbers.insert(peer.public_key, number);
        peers.push(Peer { keys, client_id: peer.client_id });
    }
    let mut key = [0; 8];
    random.fill_bytes(&mut key);
    Ok(Directory {
        identity,
        peers,
        numbers,
        permutation: Permutation::new(key, Layout::default()),
        server: SERVER,
        unix_at_zero: start.unix.saturating_sub(start.now.since(Instant::ZERO)),
    })
}

fn routes(config: &Config) -> Vec<(IpNet, NextHop)> {
    let local = config.local.iter().flat_map(|local| &local.addresses);
    let clients = (0_u32..).zip(&config.peers).flat_map(|(number, peer)| {
        peer.allowed_ips.iter().map(move |net| (*net, NextHop::Client(number)))
    });
    local.map(|net| (*net, NextHop::Local)).chain(clients).collect()
}

fn setup(peer: &PeerConfig, site: &Site) -> Setup {
    Setup {
        endpoint: peer.endpoint.and_then(|endpoint| site.path_to(endpoint)),
        persistent: peer.persistent_keepalive.unwrap_or_default(),
        client_id: peer.client_id,
    }
}

/// Slots for the peers of the fullest worker, with some to rest.
fn slots_for(peers: usize, workers: usize) -> Result<u32, Error> {
    let slots = peers.div_ceil(workers.max(1)) * SLOTS_PER_PEER + SLOTS_SPARE;
    u32::try_from(slots)
        .ok()
        .filter(|slots| u64::from(*slots) <= Layout::default().slot_count())
        .ok_or(Error::TooManyPeers(peers))
}
