//! What control's changes cost the workers: how soon they hold, how long a turn takes meanwhile, and what a peer weighs.
//!
//! A worker on a core of its own takes bursts of inner packets to addresses of the table; the keeper and a control are
//! on the other cores and speak through the border as two processes do, but in the memory of this one.

#![expect(
    clippy::cast_precision_loss,
    clippy::wildcard_enum_match_arm,
    reason = "no time is 2^52 cycles long; of events and items only those in question are looked at"
)]

mod report;
mod worker;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use clap::Args;
use dataplane::handshake::Handshaker;
use dataplane::keeper::{Border, Keeper};
use dataplane::limits::{KEEPER_HASTE, KEEPER_REST};
use dataplane::stages::wireguard::sessions::PEER_ROW_LEN;
use dataplane::testing::control::{Control, Private, Regions};
use dataplane::testing::internet;
use dpdk::clock::{Clock, cycles};
use ipnet::{IpNet, Ipv4Net};
use serde::Serialize;
use shm::message::{Event, Item, NextHop, Peer, PublicKey, Scope};
use shm::transaction::{WriteError, Writer};
use wireguard::message::ClientId;
use wireguard::secret::Secret;
use wireguard::time::Instant;

use crate::machine::{Machine, Weather};
use crate::{Failure, allocator, counts, keep_off};
use report::Figures;
pub(crate) use report::Report;
use worker::Watch;

/// What to measure.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// The prefixes: a location database of version 1 (Debian's package libloc-database).
    #[arg(long, value_name = "FILE", default_value = internet::DATABASE)]
    table: PathBuf,
    /// Peers with one IPv4 and one IPv6 address each.
    #[arg(long, default_value_t = 1_000_000)]
    peers: u32,
    /// How often each single change is made.
    #[arg(long, default_value_t = 1_000)]
    changes: usize,
    /// How often the whole table comes as a snapshot.
    #[arg(long, default_value_t = 5)]
    snapshots: usize,
    /// The worker's core.
    #[arg(long, default_value_t = 1)]
    core: usize,
    /// Few routes, peers and changes, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

/// Next hops that the prefixes lead to.
const HOPS: u32 = 1000;

/// Room that is left for peers that come and go.
const SPARE: u32 = 16;

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = self.clone();
        if plan.quick {
            plan.peers = plan.peers.min(1000);
            plan.changes = plan.changes.min(20);
            plan.snapshots = plan.snapshots.min(1);
        }
        if plan.peers == 0 || plan.peers > 4_000_000 || plan.changes == 0 || plan.snapshots == 0 {
            return Err("--peers takes 1 to 4000000, --changes and --snapshots 1 and more".into());
        }
        Ok(plan)
    }

    fn routes(&self) -> Result<Vec<Item>, Failure> {
        if self.quick {
            let net = |at: u32| Ipv4Net::new(Ipv4Addr::from_bits(0x0b00_0000 + (at << 8)), 24);
            let route = |at| Ok(Item::Route { prefix: net(at)?.into(), next_hop: 1 + at % HOPS });
            return (0..5000).map(route).collect();
        }
        let origins = internet::read(&self.table).map_err(|error| {
            format!("{}: {error}; install libloc-database (scripts/setup)", self.table.display())
        })?;
        let is_prefix = |net: &IpNet| net.prefix_len() < net.max_prefix_len();
        let routes = origins.into_iter().filter(|(net, _)| is_prefix(net));
        let hop = |origin: u32| 1 + (origin.wrapping_mul(2_654_435_761) >> 8) % HOPS;
        Ok(routes.map(|(prefix, origin)| Item::Route { prefix, next_hop: hop(origin) }).collect())
    }
}

/// The keeper's thread and control's end of the border.
struct Rig {
    control: Control,
    watch: Arc<Watch>,
    next_id: u64,
    keeper: thread::JoinHandle<()>,
    worker: thread::JoinHandle<()>,
}

/// Measures everything.
pub(crate) fn run(plan: &Plan) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let clock = Clock::calibrate();
    let machine = Machine::observe(&clock, "no DPDK in it".to_owned(), false, plan.core);
    let routes = plan.routes()?;
    let before = Weather::observe();
    let mut rig = Rig::start(&plan, &routes)?;
    let mut figures = Figures { routes: routes.len(), ..Figures::default() };
    let hops: Vec<Item> = (1..=HOPS).map(|id| Item::NextHop { id, hop: NextHop::Reject }).collect();
    rig.tell(Scope::Delta, &hops)?;
    rig.weigh(&plan, &mut figures)?;
    figures.quiet = rig.turns(Duration::from_secs(if plan.quick { 1 } else { 10 }));
    let whole: Vec<Item> = hops.iter().chain(&routes).cloned().collect();
    for _ in 0..plan.snapshots {
        rig.snapshot(&whole, &mut figures)?;
    }
    for at in 0..plan.changes {
        rig.changes(at, &mut figures)?;
    }
    rig.stop();
    let after = Weather::observe();
    Ok(Report::new(plan, machine, (before, after), figures))
}

impl Rig {
    fn start(plan: &Plan, routes: &[Item]) -> Result<Self, Failure> {
        let mut keeper = worker::keeper(plan.peers + SPARE)?;
        let destinations = routes.iter().filter_map(|item| match item {
            Item::Route { prefix: IpNet::V4(net), .. } => Some(net.addr()),
            _ => None,
        });
        let (watch, worker) = worker::start(&mut keeper, destinations.collect(), plan.core)?;
        // And with it the keeper's, which begins after this.
        keep_off(plan.core)?;
        let (regions, border) = Regions::new(1, 1);
        let control = regions.attach();
        let keeping = Arc::clone(&watch);
        let handshaker = keeper.handshaker(0);
        let keeper = thread::spawn(move || keep((keeper, handshaker), border, &keeping));
        Ok(Self { control, watch, next_id: 0, keeper, worker })
    }

    /// Tells a transaction and waits until it is in force; gives when it was committed.
    fn tell(&mut self, scope: Scope, items: &[Item]) -> Result<u64, Failure> {
        self.next_id += 1;
        let (id, writer) = (self.next_id, &mut self.control.writer);
        patiently(writer, |writer| writer.begin(id, scope))?;
        for item in items {
            patiently(writer, |writer| writer.item(item))?;
        }
        let committed = cycles();
        patiently(writer, Writer::commit)?;
        loop {
            for event in self.control.hear() {
                match event {
                    Event::Applied { id: of, .. } if of == id => return Ok(committed),
                    Event::Refused { reason, detail, .. } => {
                        return Err(
                            format!("a transaction was refused: {reason} ({detail})").into()
                        );
                    }
                    _ => {}
                }
            }
            thread::sleep(Duration::from_micros(20));
        }
    }

    /// What the peers weigh.
    fn weigh(&mut self, plan: &Plan, figures: &mut Figures) -> Result<(), Failure> {
        let mut first = 0;
        let before = allocator::octets();
        while first < plan.peers {
            let end = plan.peers.min(first + 10_000);
            let peers: Vec<Item> = (first..end).map(peer).collect();
            self.tell(Scope::Delta, &peers)?;
            first = end;
        }
        figures.peers = plan.peers;
        figures.peer_heap = (allocator::octets() - before) as f64 / f64::from(plan.peers);
        figures.peer_row = u32::try_from(PEER_ROW_LEN)?;
        figures.session = size_of::<wireguard::session::Session>();
        figures.flow = counts::flow()?;
        Ok(())
    }

    /// Turns of the worker over some time.
    fn turns(&self, time: Duration) -> worker::Turns {
        self.watch.take_turns();
        thread::sleep(time);
        self.watch.take_turns()
    }

    /// The whole table anew: it goes and comes, so that nothing of it is there before.
    fn snapshot(&mut self, whole: &[Item], figures: &mut Figures) -> Result<(), Failure> {
        let peers: Vec<Item> = (0..figures.peers).map(peer).collect();
        let without: Vec<Item> =
            whole.iter().filter(|item| !matches!(item, Item::Route { .. })).cloned().collect();
        self.tell(Scope::Snapshot, &[peers.as_slice(), without.as_slice()].concat())?;
        let routes: Vec<Item> =
            whole.iter().filter(|item| matches!(item, Item::Route { .. })).cloned().collect();
        self.watch.take_turns();
        let begun = cycles();
        let committed = self.tell(Scope::Delta, &routes)?;
        let seen = self.watch.seen_after(committed);
        figures.swaps.push(self.watch.take_turns());
        figures.table_from_begin.push(seen.saturating_sub(begun) as f64);
        figures.table_from_commit.push(seen.saturating_sub(committed) as f64);
        // All peers and all routes at once, as after a start.
        self.tell(Scope::Snapshot, without.as_slice())?;
        let all = [peers.as_slice(), whole].concat();
        let begun = cycles();
        let committed = self.tell(Scope::Snapshot, &all)?;
        let seen = self.watch.seen_after(committed);
        figures.everything.push(seen.saturating_sub(begun) as f64);
        Ok(())
    }

    /// One route and one peer, there and away.
    fn changes(&mut self, at: usize, figures: &mut Figures) -> Result<(), Failure> {
        let low = u8::try_from(at % 256).unwrap_or(0);
        let prefix: IpNet = format!("203.0.113.{}/31", low & 0xfe).parse()?;
        let added = peer(figures.peers);
        let key = PublicKey(key(figures.peers));
        for (item, times) in [
            (Item::Route { prefix, next_hop: 1 }, &mut figures.route_added),
            (Item::RouteRemove(prefix), &mut figures.route_removed),
            (added, &mut figures.peer_added),
            (Item::PeerRemove(key), &mut figures.peer_removed),
        ] {
            let committed = self.tell(Scope::Delta, &[item])?;
            let seen = self.watch.seen_after(committed);
            times.push(seen.saturating_sub(committed) as f64);
            // As changes come in life: not one upon the other.
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn stop(self) {
        self.watch.stop.store(true, Ordering::Relaxed);
        // What a thread of the bench has to say of its end, it has said by then.
        drop(self.worker.join());
        drop(self.keeper.join());
    }
}

/// The keeper's life, as in the dataplane's program, with that of the handshake thread, which has nothing to do but to
/// forget peers.
fn keep(
    (mut keeper, mut handshaker): (Keeper, Handshaker),
    mut border: Border<Private>,
    watch: &Watch,
) {
    let clock = Clock::calibrate();
    while !watch.stop.load(Ordering::Relaxed) {
        let now = Instant(clock.now_ns());
        let forgotten = handshaker.turn(now, 1024);
        if border.turn(&mut keeper, now) + forgotten == 0 {
            thread::sleep(if keeper.is_idle() { KEEPER_REST } else { KEEPER_HASTE });
        }
    }
}

fn patiently(
    writer: &mut Writer<Private>,
    mut say: impl FnMut(&mut Writer<Private>) -> Result<(), WriteError>,
) -> Result<(), Failure> {
    loop {
        match say(writer) {
            Ok(()) => return Ok(()),
            Err(WriteError::Full) => thread::yield_now(),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Octets that will do as a key: nobody shakes hands.
fn key(number: u32) -> [u8; 32] {
    let mut key = [0x5a; 32];
    if let Some(place) = key.first_chunk_mut() {
        *place = number.to_be_bytes();
    }
    key
}

fn peer(number: u32) -> Item {
    let v4 = Ipv4Addr::from_bits(0x6440_0000 + number);
    let v6 = Ipv6Addr::from_bits(0xfd09 << 112 | u128::from(number));
    Item::Peer(Box::new(Peer {
        public_key: PublicKey(key(number)),
        preshared_key: Secret::zero(),
        client_id: ClientId::ZERO,
        endpoint: None,
        persistent_keepalive: None,
        allowed_ips: vec![std::net::IpAddr::from(v4).into(), std::net::IpAddr::from(v6).into()],
    }))
}
