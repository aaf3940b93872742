//! A dataplane for tests: takes transactions through real shared memory into tables that the test sees, answers them,
//! and misbehaves when it is told to.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use shm::attach::Sizes;
use shm::counters::Block;
use shm::events::Teller;
use shm::limits::ITEMS_MAX;
use shm::mapping::Mapping;
use shm::message::{Centre, Event, Fleet, Item, NextHop, Peer, PublicKey, Scope};
use shm::transaction::{Obstacle, Reader, Reason, Received, Transaction};
use shm::{Dataplane, Error, Place};

use crate::model::{Book, peer_message};

mod fleet;
mod rules;

pub use rules::Filter;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// From one heartbeat to the next.
const HEARTBEAT: Duration = Duration::from_millis(20);

/// What the dataplane knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Peers.
    pub peers: HashMap<PublicKey, Peer>,
    /// Next hops.
    pub next_hops: BTreeMap<u32, NextHop>,
    /// Routes.
    pub routes: BTreeMap<IpNet, u32>,
    /// Data centres.
    pub centres: BTreeMap<u16, Centre>,
    /// The fleet.
    pub fleet: Option<Fleet>,
    /// Rules and tenants.
    pub filter: Filter,
    /// The last transaction in force.
    pub transaction: u64,
    /// How many snapshots were put in force.
    pub snapshots: u64,
    /// How many deltas.
    pub deltas: u64,
    /// How many surveys were answered.
    pub surveys: u64,
}

impl Tables {
    /// Whether they say what a book says.
    pub fn agree_with(&self, book: &Book) -> bool {
        let counts = book.counts();
        counts.peers == self.peers.len()
            && counts.routes == self.routes.len()
            && counts.next_hops + book.centres().count() == self.next_hops.len()
            && self.has_centres_of(book)
            && book
                .peers_after(None)
                .all(|peer| self.peers.get(&peer.public_key) == Some(&peer_message(peer)))
            && book.next_hops().all(|hop| self.next_hops.get(&hop.id) == Some(&hop.hop))
            && book
                .routes_after(None)
                .all(|(prefix, route)| self.routes.get(prefix) == Some(&book.told_hop(route)))
            && self.fleet == book.fleet().map(|fleet| fleet.message())
            && self.filter.agrees_with(book)
    }

    fn has_centres_of(&self, book: &Book) -> bool {
        let here = book.here().map(|here| here.number);
        let mut told = book.centres().map(|centre| centre.message(here == Some(centre.number)));
        self.centres.len() == book.centres().count()
            && told.all(|centre| self.centres.get(&centre.number) == Some(&centre))
            && book.centres().all(|centre| self.next_hops.contains_key(&centre.hop))
    }

    pub(crate) fn apply(&mut self, transaction: Transaction) {
        if transaction.scope == Scope::Snapshot {
            self.peers.clear();
            self.next_hops.clear();
            self.routes.clear();
            self.centres.clear();
            self.fleet = None;
            self.filter.clear();
            self.snapshots += 1;
        } else {
            self.deltas += 1;
        }
        for item in transaction.items {
            match item {
                Item::Peer(peer) => drop(self.peers.insert(peer.public_key, *peer)),
                Item::PeerRemove(key) => drop(self.peers.remove(&key)),
                Item::Route { prefix, next_hop } => drop(self.routes.insert(prefix, next_hop)),
                Item::RouteRemove(prefix) => drop(self.routes.remove(&prefix)),
                Item::NextHop { id, hop } => drop(self.next_hops.insert(id, hop)),
                Item::NextHopRemove(id) => drop(self.next_hops.remove(&id)),
                Item::Centre(centre) => drop(self.centres.insert(centre.number, *centre)),
                Item::Machines { centre, machines } => {
                    if let Some(centre) = self.centres.get_mut(&centre) {
                        centre.machines.extend(machines);
                    }
                }
                Item::CentreRemove(number) => drop(self.centres.remove(&number)),
                Item::Fleet(fleet) => self.fleet = Some(*fleet),
                Item::FleetRemove => self.fleet = None,
                Item::Tenant(_)
                | Item::TenantRemove(_)
                | Item::Rule(_)
                | Item::RuleRemove(_)
                | Item::Listed { .. }
                | Item::Unlisted { .. }
                | Item::Tunnel(_)
                | Item::TunnelRemove(_)
                | Item::Ruleset(_)
                | Item::RulesetText { .. } => self.filter.apply(item),
            }
        }
        self.transaction = transaction.id;
    }

    /// What no tables can be built from: entries that name what is not there, and other data centres, to
    /// which nothing leads.
    fn obstacle(&self) -> Option<(Obstacle, Item)> {
        let hop = self.next_hops.iter().find_map(|(id, hop)| {
            let obstacle = match hop {
                NextHop::Client(key) if !self.peers.contains_key(key) => Obstacle::NoPeer,
                // Such as are declared are served, to others nothing leads.
                NextHop::Via { centre, remote: None }
                    if u16::try_from(*centre).is_ok_and(|n| self.centres.contains_key(&n)) =>
                {
                    return None;
                }
                NextHop::Via { .. } => Obstacle::NoEgress,
                NextHop::Client(_)
                | NextHop::Reject
                | NextHop::Local
                | NextHop::Direct
                | NextHop::Gre { .. } => return None,
            };
            Some((obstacle, Item::NextHop { id: *id, hop: *hop }))
        });
        hop.or_else(|| {
            let lost = |id: &u32| !self.next_hops.contains_key(id);
            let (prefix, id) = self.routes.iter().find(|(_, id)| lost(id))?;
            Some((Obstacle::NoNextHop, Item::Route { prefix: *prefix, next_hop: *id }))
        })
        .or_else(|| self.filter.obstacle())
    }
}

/// What the test has the dataplane do.
#[derive(Debug, Default)]
struct Orders {
    stop: AtomicBool,
    stall: AtomicBool,
    /// Transactions to refuse.
    refuse: AtomicU64,
    /// Peers whose transactions are refused.
    hated: Mutex<HashSet<PublicKey>>,
    /// Surveys are not answered.
    withhold: AtomicBool,
    /// Those that are not answered yet.
    surveys: Mutex<Vec<u64>>,
    /// It has no section for the fleet.
    alone: AtomicBool,
}

/// The dataplane, in a thread of its own.
#[derive(Debug)]
pub struct FakeDataplane {
    tables: Arc<Mutex<Tables>>,
    orders: Arc<Orders>,
    events: Sender<Event>,
    thread: Option<JoinHandle<()>>,
}

impl FakeDataplane {
    /// Begins in a place, with rings of ordinary size.
    pub fn start(place: &Place) -> Result<Self, Error> {
        Self::start_with(place, Sizes::default())
    }

    /// The same with rings of another size.
    pub fn start_with(place: &Place, sizes: Sizes) -> Result<Self, Error> {
        let generation = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| now.as_secs() ^ u64::from(now.subsec_nanos()));
        let dataplane = Dataplane::create(place, sizes, generation)?;
        let (tables, orders) = (Arc::<Mutex<Tables>>::default(), Arc::<Orders>::default());
        let (events, told) = channel();
        let running =
            Running { tables: Arc::clone(&tables), orders: Arc::clone(&orders), told, dataplane };
        let thread = Some(std::thread::spawn(move || running.run()));
        Ok(Self { tables, orders, events, thread })
    }

    /// What it knows now.
    pub fn tables(&self) -> Tables {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until what it knows fulfils a condition; false when that does not come to be.
    pub fn wait_for(&self, condition: impl Fn(&Tables) -> bool) -> bool {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if condition(&self.tables.lock().unwrap_or_else(PoisonError::into_inner)) {
                return true;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        false
    }

    /// Refuses so many of the next transactions as unbuildable.
    pub fn refuse(&self, count: u64) {
        self.orders.refuse.store(count, Ordering::Relaxed);
    }

    /// Refuses all transactions with this peer, because nothing leads there.
    pub fn hate(&self, key: PublicKey) {
        self.orders.hated.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }

    /// Is in no fleet, or is again. A control that is attached hears nothing of it.
    pub fn leave_fleet(&self, alone: bool) {
        self.orders.alone.store(alone, Ordering::Relaxed);
    }

    /// Takes nothing from the ring any more, or does so again.
    pub fn stall(&self, stalled: bool) {
        self.orders.stall.store(stalled, Ordering::Relaxed);
    }

    /// Answers no survey any more, or does so again, also those that have come meanwhile.
    pub fn withhold_surveys(&self, withheld: bool) {
        self.orders.withhold.store(withheld, Ordering::Relaxed);
    }

    /// Tells an event.
    pub fn tell(&self, event: Event) {
        // A dataplane that has ended tells nothing.
        let _told = self.events.send(event);
    }
}

impl Drop for FakeDataplane {
    fn drop(&mut self) {
        self.orders.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

struct Running {
    tables: Arc<Mutex<Tables>>,
    orders: Arc<Orders>,
    told: Receiver<Event>,
    dataplane: Dataplane,
}

/// Names that the counters page of the real dataplane has too.
const COUNTERS: [&str; 5] =
    ["received", "transmitted", "dropped", "drop.parse_truncated", "drop.dos_blocked"];

impl Running {
    fn run(self) {
        let Self { tables, orders, told, dataplane } = self;
        let Dataplane { owner: _owner, commands, events, mut counters } = dataplane;
        let blocks = counters.lay_out(&COUNTERS, &["worker0", "keeper"]).unwrap_or_default();
        let (mut reader, mut teller) = (Reader::new(commands, ITEMS_MAX), Teller::new(events));
        let (mut met, mut beaten) = (0, Instant::now());
        while !orders.stop.load(Ordering::Relaxed) {
            count(&blocks);
            for event in told.try_iter() {
                teller.tell(&event);
            }
            let epoch = teller.ring().consumer_epoch();
            if epoch != met && epoch != 0 {
                met = epoch;
                let public_key = PublicKey([0xee; 32]);
                let server = Event::Server { public_key, listen_port: 51820, peers_max: 1 << 21 };
                teller.tell(&server);
                fleet::tell(&tables, &orders, &mut teller);
            }
            if beaten.elapsed() > HEARTBEAT {
                beaten = Instant::now();
                let transaction = tables.lock().unwrap_or_else(PoisonError::into_inner).transaction;
                teller.tell(&Event::Heartbeat { at: Duration::from_secs(1), transaction });
            }
            let received =
                if orders.stall.load(Ordering::Relaxed) { None } else { reader.poll(256) };
            if !orders.withhold.load(Ordering::Relaxed) {
                answer_surveys(&tables, &orders, &mut teller);
            }
            match received {
                Some(received) => take(received, &tables, &orders, &mut teller),
                None => std::thread::sleep(Duration::from_micros(20)),
            }
        }
    }
}

fn count(blocks: &[Block<Arc<Mapping>>]) {
    for block in blocks {
        block.add(0, 2);
        block.add(1, 1);
        block.add(2, 1);
        block.add(3, 1);
        block.add(4, 1);
    }
}

fn take(
    received: Received,
    tables: &Mutex<Tables>,
    orders: &Orders,
    teller: &mut Teller<Arc<Mapping>>,
) {
    match received {
        Received::Transaction(transaction) => {
            let (id, count) = (transaction.id, transaction.count);
            let event = match weigh(transaction, tables, orders) {
                Ok(()) => Event::Applied { id, count },
                Err((obstacle, item)) => {
                    let (reason, detail) = (Reason::Unbuildable, obstacle.code());
                    Event::Refused { id, reason, item, detail }
                }
            };
            teller.tell(&event);
            fleet::tell(tables, orders, teller);
        }
        Received::Refused(refusal) => {
            let detail = refusal.malformed.map_or(0, shm::message::Malformed::code);
            let (id, reason, item) = (refusal.id, refusal.reason, refusal.item);
            teller.tell(&Event::Refused { id, reason, item, detail });
        }
        Received::Survey(id) => {
            orders.surveys.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        }
        Received::Corrupt(_) => drop(teller.tell(&Event::Desynchronised)),
    }
}

fn answer_surveys(tables: &Mutex<Tables>, orders: &Orders, teller: &mut Teller<Arc<Mapping>>) {
    for id in orders.surveys.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        let mut tables = tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.surveys += 1;
        for peer in tables.peers.values() {
            teller.tell(&Event::PeerState {
                public_key: peer.public_key,
                endpoint: Some(([192, 0, 2, 1], 1000).into()),
                handshake: Duration::from_secs(7),
                received: 100,
                sent: 200,
            });
        }
        teller.tell(&Event::Surveyed { id });
    }
}

/// The message with which an item begins; behind all of them when there is no such item.
fn message_of(items: &[Item], is_it: impl FnMut(&Item) -> bool) -> u64 {
    let at = items.iter().position(is_it).unwrap_or(items.len());
    let before = items.iter().take(at);
    before.map(|item| item.message_count().unwrap_or(1) as u64).sum()
}

/// Puts a transaction in force; else says what is in the way, and with which message it begins.
fn weigh(
    transaction: Transaction,
    tables: &Mutex<Tables>,
    orders: &Orders,
) -> Result<(), (Obstacle, u64)> {
    let count = transaction.count;
    let refused = orders.refuse.load(Ordering::Relaxed);
    if refused > 0 {
        orders.refuse.store(refused - 1, Ordering::Relaxed);
        return Err((Obstacle::TooManyLongPrefixes, count));
    }
    let hated = orders.hated.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let is_hated =
        |item: &Item| matches!(item, Item::Peer(peer) if hated.contains(&peer.public_key));
    if transaction.items.iter().any(is_hated) {
        return Err((Obstacle::Unreachable, message_of(&transaction.items, is_hated)));
    }
    let mut tables = tables.lock().unwrap_or_else(PoisonError::into_inner);
    let alone = orders.alone.load(Ordering::Relaxed);
    if let Some(obstacle) = fleet::obstacle(&transaction, &tables, alone) {
        let is_fleet = |item: &Item| matches!(item, Item::Fleet(_) | Item::FleetRemove);
        return Err((obstacle, message_of(&transaction.items, is_fleet)));
    }
    let listed = tables.filter.listed();
    let items = transaction.items.len();
    let large = items + listed + tables.peers.len() + tables.routes.len() > 100_000;
    if large {
        // Nothing is copied for the test of what is too large to be one.
        tables.apply(transaction);
        return Ok(());
    }
    let (before, items) = (tables.clone(), transaction.items.clone());
    tables.apply(transaction);
    let Some((obstacle, wrong)) = tables.obstacle() else { return Ok(()) };
    *tables = before;
    Err((obstacle, message_of(&items, |item| *item == wrong)))
}

/// A place of shared memory beneath a directory of the test's own.
pub fn place_beneath(root: &Path) -> Result<Place, Error> {
    Place::beneath(root, "test")
}
