//! The swarm: WireGuard clients in one thread, each with keys, an inner and an outer address of its own. They
//! complete handshakes, answer cookies, renew sessions, keep alive and roam; what they send carries the trailer.
//!
//! Nothing here knows a device or a clock: frames go in and out, time is an argument.

mod arrivals;
mod batch;
mod calls;
mod identity;
mod lend;
mod member;
mod places;
mod plan;
mod pool;
mod race;
mod receive;
mod tally;
mod template;
mod traffic;

pub use identity::{keys, peer_text};
pub use lend::Hostile;
pub use places::Places;
pub use plan::{CLIENTS_MAX, INNER_LEN_MAX};
pub use plan::{ClientIds, Families, Family, Kind, Plan, Roam, RoamKind, RoamTime};
pub use plan::{Order, Ports, Sealing, Spread, Target, Traffic};
pub use pool::Refused as PoolRefused;
pub use tally::{Refusals, Tally};
pub use traffic::inner_packets;

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use wire::ethernet::Mac;
use wireguard::time::Instant;
use wireguard::tunnel::{Event, Refused, SCRATCH_LEN, Turn};
use wireguard::wheel::Wheel;

use crate::link::{HEAD_LEN_MAX, Link};
use crate::measure::Meter;
use crate::pace::{Pacer, Pattern, Rate};
use arrivals::Arrivals;
use batch::Batch;
use member::{Member, Tunnel};
use pool::Pool;
use race::Races;
use traffic::{Cursor, Segments};

/// Time and the wall clock of one turn.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The monotonic time.
    pub now: Instant,
    /// The Unix time.
    pub unix: Duration,
}

/// What all calls share beside the members themselves.
struct Shared {
    plan: Plan,
    link: Link,
    places: Places,
    meter: Meter,
    tally: Tally,
    random: ChaCha20Rng,
    /// Where tunnels seal and open.
    scratch: Box<[u8]>,
    /// Where frames around their messages are made.
    frame: Box<[u8]>,
    /// The families' races, if the plan has them.
    races: Option<Races>,
    segments: Segments,
    /// Whether what a tunnel sends now is a race's second call.
    is_rival: bool,
}

/// The clients.
pub struct Swarm {
    members: Vec<Member>,
    wheel: Wheel,
    shared: Shared,
    batch: Batch,
    arrivals: Arrivals,
    /// The responder's answer on its way.
    answer: Vec<u8>,
    connects: Pacer,
    /// Members that have begun to connect.
    begun: u32,
    moves: Option<Pacer>,
    moved: u32,
    renewals: Option<Pacer>,
    renewed: u32,
    traffic: Option<Pacer>,
    /// The gaps of the traffic and nothing else, so that the plan is known ahead.
    gaps: ChaCha20Rng,
    cursor: Cursor,
    pool: Option<Pool>,
}

impl std::fmt::Debug for Swarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Swarm").field("tally", &self.shared.tally).finish_non_exhaustive()
    }
}

impl Swarm {
    /// The clients of a plan behind the link address `mac`, unconnected. They call at the plan's pace from `now` on.
    pub fn new(plan: Plan, mac: Mac, now: Instant) -> Self {
        let (count, clients) = (plan.members(), plan.clients);
        let members = (0..count).map(|_| Member::default()).collect();
        let connects = Pacer::new(Rate::Packets(plan.connects_per_sec), Pattern::Constant, now);
        let places = Places::new(&plan);
        let random = ChaCha20Rng::seed_from_u64(plan.seed);
        let is_elsewhere =
            plan.traffic.as_ref().is_some_and(|traffic| traffic.is_measured_elsewhere);
        let gaps = traffic::gaps(&plan);
        let shared = Shared {
            link: Link::new(plan.link(mac)),
            places,
            meter: Meter::new(count as usize, is_elsewhere),
            tally: Tally::default(),
            random,
            scratch: vec![0; SCRATCH_LEN].into_boxed_slice(),
            frame: vec![0; HEAD_LEN_MAX + SCRATCH_LEN].into_boxed_slice(),
            races: Races::new(&plan),
            segments: Segments::new(&plan),
            is_rival: false,
            plan,
        };
        Self {
            members,
            wheel: Wheel::new(count as usize, now),
            shared,
            batch: Batch::new(),
            arrivals: Arrivals::new(),
            answer: Vec::new(),
            connects,
            begun: 0,
            moves: None,
            moved: 0,
            renewals: None,
            renewed: 0,
            traffic: None,
            gaps,
            cursor: Cursor::new(clients),
            pool: None,
        }
    }

    /// Begins the traffic of the plan, and counts roaming and reconnects from now.
    pub fn begin(&mut self, now: Instant) {
        let plan = &self.shared.plan;
        match (&plan.traffic, &mut self.pool) {
            (Some(_), Some(pool)) => self.shared.meter.shift(pool.begin(now)),
            (Some(traffic), None) => {
                self.traffic = Some(Pacer::new(traffic.rate, traffic.pattern, now));
            }
            (None, _) => {}
        }
        self.moves = plan.roam.map(|roam| roam.time.pacer(plan.clients, now));
        self.renewals = plan.reconnect.map(|time| time.pacer(plan.clients, now));
    }

    /// Lets nothing be due later than this.
    pub const fn limit(&mut self, until: Instant) {
        if let Some(traffic) = &mut self.traffic {
            traffic.end(until);
        }
        if let Some(pool) = &mut self.pool {
            pool.limit(until);
        }
    }

    /// Ends the traffic of the plan, the roaming and the reconnects; sessions live on. What was due by `now` and was
    /// not sent is counted as owed.
    pub fn end(&mut self, now: Instant) {
        self.shared.tally.owed += self.owed(now);
        if let Some(pool) = self.pool.take() {
            pool.withdraw(&mut self.shared.meter);
        }
        (self.traffic, self.moves, self.renewals) = (None, None, None);
    }

    /// Packets of the traffic under way that are due by `now` and were not sent yet.
    pub fn owed(&self, now: Instant) -> u64 {
        if let Some(pool) = &self.pool {
            return pool.owed(now);
        }
        let both = self.traffic.as_ref().zip(self.shared.plan.traffic.as_ref());
        both.map_or(0, |(pacer, traffic)| {
            pacer.owed(now, self.shared.plan.frame_len(traffic.sizes.mean()))
        })
    }

    /// Does what is due: timers, handshakes, moves, traffic. Returns how many things were done.
    pub fn turn(&mut self, moment: Moment, out: &mut impl FnMut(&[u8]) -> bool) -> usize {
        self.resolve(moment.now, out);
        if !self.shared.link.is_resolved() {
            return 0;
        }
        if self.pool.as_ref().is_some_and(Pool::is_under_way) {
            // Whatever else a session sent would take a counter behind those of the pool.
            return self.send_prepared(moment.now, out);
        }
        let mut done = self.expire(moment, out);
        done += self.connect(moment, out);
        done += self.rival(moment, out);
        done += self.roam(moment.now);
        done += self.reconnect(moment, out);
        done + self.send_due(moment, out)
    }

    /// The numbers of the run so far.
    pub const fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    /// Sequences and latencies.
    pub const fn meter(&self) -> &Meter {
        &self.shared.meter
    }

    /// The same, to take an interval's figures from.
    pub const fn meter_mut(&mut self) -> &mut Meter {
        &mut self.shared.meter
    }

    /// The outer link.
    pub const fn link(&self) -> &Link {
        &self.shared.link
    }

    /// Clients that can send now, without the hostile one.
    pub fn connected(&self, now: Instant) -> usize {
        let clients = self.members.iter().take(self.shared.plan.clients as usize);
        let tunnels = clients.filter_map(|member| member.tunnel.as_deref());
        tunnels.filter(|tunnel| tunnel.current(now).is_some()).count()
    }

    /// Whether every member has begun to connect.
    pub fn has_called(&self) -> bool {
        self.begun == self.shared.plan.members()
    }

    fn resolve(&mut self, now: Instant, out: &mut impl FnMut(&[u8]) -> bool) {
        let Shared { link, tally, .. } = &mut self.shared;
        if !link.is_resolved() {
            link.resolve(now, &mut |frame| {
                tally.transmit(out(frame), |tally| &mut tally.neighbour);
            });
        }
    }
}

impl Shared {
    /// Lets a tunnel act; what it wants sent leaves from the member's present place.
    fn act(
        &mut self,
        (number, tunnel): (u32, &mut Tunnel),
        moment: Moment,
        out: &mut impl FnMut(&[u8]) -> bool,
        act: impl FnOnce(
            &mut Tunnel,
            &mut Turn<'_, ChaCha20Rng>,
            &mut dyn FnMut(Event<'_>),
        ) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        let Self { link, places, tally, random, scratch, frame, races, is_rival, .. } = self;
        let mut turn =
            Turn { now: moment.now, unix: moment.unix, rng: random, scratch, cookies: None };
        act(tunnel, &mut turn, &mut |event| match event {
            Event::Transmit { octets, to } => {
                if let Some(races) = races {
                    races.sends(number, octets, (*is_rival, moment.now), tally);
                }
                let source = places.facing(number, to.is_ipv4());
                let head = link.head_len(source.ip());
                let whole = frame.get_mut(..head + octets.len()).unwrap_or_default();
                if let Some(body) = whole.get_mut(head..) {
                    body.copy_from_slice(octets);
                }
                let is_sent = link.enclose(whole, source, to) && out(whole);
                tally.transmit(is_sent, |tally| tally.kind_sent(octets));
            }
            // Data is opened in batches, beside the tunnel.
            Event::Deliver(_) => {}
            Event::Established(_) => tally.sessions += 1,
            Event::GaveUp => tally.given_up += 1,
            Event::Forgotten => tally.forgotten += 1,
        })
    }
}

#[cfg(test)]
mod tests;
