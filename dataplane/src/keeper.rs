//! The keeper: builds every table of the dataplane from its configuration, aside, before workers see them.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
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
use crate::stages::route::{Limits, NextHop, Routes, Unbuildable};
use crate::stages::steer::Owner;
use crate::stages::wireguard::sessions::{Sessions, Setup};
use crate::wall::WallClock;

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
    /// No port leads to a peer's endpoint.
    Unreachable(String, SocketAddr),
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
            Self::Unreachable(name, endpoint) => write!(
                f,
                "no port leads to endpoint {endpoint} of {name}; add an address or gateway of its family"
            ),
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
    wall: Arc<WallClock>,
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
        let directory = directory(config, &mut random)?;
        let routes = Routes::build(&routes(config), random.next_u64()).map_err(Error::Routes)?;
        let mut setups = vec![Vec::new(); workers];
        for (number, peer) in (0_u32..).zip(&config.peers) {
            if let Some(setups) = setups.get_mut(owner(number, workers)) {
                setups.push(setup(peer, &site)?);
            }
        }
        let slots = slots_for(config.peers.len(), workers, config.handshake_threads)?;
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
            wall: Arc::new(WallClock::new(start.unix, start.now)),
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

    /// The wall clock, for the binary to set right.
    pub fn wall(&self) -> Arc<WallClock> {
        Arc::clone(&self.wall)
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
        let secrets = Secrets::new(self.cookie_master.clone(), self.start.unix);
        State {
            site: Arc::clone(&self.site),
            routes: Arc::clone(&self.routes),
            counters: self.counters.get(worker).map(Arc::clone).unwrap_or_default(),
            owner: Owner {
                permutation: self.directory.permutation.clone(),
                server: SERVER,
                worker: u8::try_from(worker).unwrap_or(u8::MAX),
                workers: self.site.workers,
            },
            neighbours: Neighbours::new(self.random.next_u64(), now),
            defence: Defence::new(
                secrets,
                Random::from_rng(&mut self.random),
                Arc::clone(&self.wall),
                Arc::clone(&self.directory),
                Arc::clone(&self.exchange),
            ),
            sessions,
            limits: Limits::default(),
            seed: self.random.next_u64(),
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
            (counters, Arc::clone(&self.wall)),
            Random::from_rng(&mut self.random),
        )
    }

    /// A seed for a worker's own tables.
    pub fn seed(&mut self) -> u64 {
        self.random.next_u64()
    }
}

fn directory(config: &Config, random: &mut Random) -> Result<Directory, Error> {
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
    })
}

fn routes(config: &Config) -> Vec<(IpNet, NextHop)> {
    let local = config.local.iter().flat_map(|local| &local.addresses);
    let clients = (0_u32..).zip(&config.peers).flat_map(|(number, peer)| {
        peer.allowed_ips.iter().map(move |net| (*net, NextHop::Client(number)))
    });
    // Our own address within a prefix stays ours, whatever prefix a client has around it.
    let own = local.clone().map(|net| (IpNet::from(net.addr()), NextHop::Local));
    local.map(|net| (*net, NextHop::Local)).chain(clients).chain(own).collect()
}

fn setup(peer: &PeerConfig, site: &Site) -> Result<Setup, Error> {
    let path = |endpoint| {
        site.path_to(endpoint).ok_or_else(|| Error::Unreachable(peer.name.clone(), endpoint))
    };
    Ok(Setup {
        endpoint: peer.endpoint.map(path).transpose()?,
        persistent: peer.persistent_keepalive.unwrap_or_default(),
        client_id: peer.client_id,
    })
}

/// Slots for the peers of the fullest worker: as many for each handshake thread as its fullest one needs,
/// with some to rest.
fn slots_for(peers: usize, workers: usize, threads: usize) -> Result<u32, Error> {
    let per_thread = peers.div_ceil(workers.max(1)).div_ceil(threads.max(1));
    let slots = (per_thread * SLOTS_PER_PEER + SLOTS_SPARE) * threads;
    u32::try_from(slots)
        .ok()
        .filter(|slots| u64::from(*slots) <= Layout::default().slot_count())
        .ok_or(Error::TooManyPeers(peers))
}
