//! The swarm: WireGuard clients in one thread, each with keys, an inner and an outer address of its own. They
//! complete handshakes, answer cookies, renew sessions, keep alive and roam; what they send carries the trailer.
//!
//! Nothing here knows a device or a clock: frames go in and out, time is an argument.

mod batch;
mod identity;
mod lend;
mod member;
mod places;
mod plan;
mod receive;
mod tally;
mod traffic;

pub use identity::{keys, peer_text};
pub use lend::Hostile;
pub use places::Places;
pub use plan::{CLIENTS_MAX, INNER_LEN_MAX};
pub use plan::{ClientIds, Family, Kind, Plan, Roam, RoamKind, RoamTime, Target, Traffic};
pub use tally::{Refusals, Tally};

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
use batch::Batch;
use member::{Member, Tunnel};

/// Timers that fire in one turn at most; the others wait for the next.
const TIMERS_PER_TURN: usize = 256;
/// Handshakes that begin in one turn at most.
const CONNECTS_PER_TURN: usize = 16;
/// Clients that move in one turn at most.
const MOVES_PER_TURN: usize = 1024;

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
    /// The inner packet that a tunnel has delivered last.
    inbox: Vec<u8>,
}

/// The clients.
pub struct Swarm {
    members: Vec<Member>,
    wheel: Wheel,
    shared: Shared,
    batch: Batch,
    /// The responder's answer on its way.
    answer: Vec<u8>,
    connects: Pacer,
    /// Members that have begun to connect.
    begun: u32,
    moves: Option<Pacer>,
    moved: u32,
    traffic: Option<Pacer>,
    /// Whose turn it is to send.
    turn: u64,
}

impl std::fmt::Debug for Swarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Swarm").field("tally", &self.shared.tally).finish_non_exhaustive()
    }
}

impl Swarm {
    /// The clients of a plan behind the link address `mac`, unconnected. They call at the plan's pace from `now` on.
    pub fn new(plan: Plan, mac: Mac, now: Instant) -> Self {
        let count = plan.members();
        let members = (0..count).map(|_| Member::default()).collect();
        let connects = Pacer::new(Rate::Packets(plan.connects_per_sec), Pattern::Constant, now);
        let places = Places::new(&plan);
        let random = ChaCha20Rng::seed_from_u64(plan.seed);
        let shared = Shared {
            link: Link::new(plan.link(mac)),
            places,
            meter: Meter::new(count as usize),
            tally: Tally::default(),
            random,
            scratch: vec![0; SCRATCH_LEN].into_boxed_slice(),
            frame: vec![0; HEAD_LEN_MAX + SCRATCH_LEN].into_boxed_slice(),
            inbox: Vec::with_capacity(INNER_LEN_MAX),
            plan,
        };
        Self {
            members,
            wheel: Wheel::new(count as usize, now),
            shared,
            batch: Batch::new(),
            answer: Vec::new(),
            connects,
            begun: 0,
            moves: None,
            moved: 0,
            traffic: None,
            turn: 0,
        }
    }

    /// Begins the traffic of the plan, and counts roaming from now.
    pub fn begin(&mut self, now: Instant) {
        let plan = &self.shared.plan;
        let pace = plan.traffic.as_ref().map(|traffic| (traffic.rate, traffic.pattern));
        self.traffic = pace.map(|(rate, pattern)| Pacer::new(rate, pattern, now));
        self.moves = plan.roam.map(|roam| roam.pacer(plan.clients, now));
    }

    /// Lets nothing be due later than this.
    pub const fn limit(&mut self, until: Instant) {
        if let Some(traffic) = &mut self.traffic {
            traffic.end(until);
        }
    }

    /// Ends the traffic of the plan and the roaming; sessions live on. What was due by `now` and was not sent is
    /// counted as owed.
    pub fn end(&mut self, now: Instant) {
        self.shared.tally.owed += self.owed(now);
        (self.traffic, self.moves) = (None, None);
    }

    /// Packets of the traffic under way that are due by `now` and were not sent yet.
    pub fn owed(&self, now: Instant) -> u64 {
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
        let mut done = self.expire(moment, out);
        done += self.connect(moment, out);
        done += self.roam(moment.now);
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

    fn expire(&mut self, moment: Moment, out: &mut impl FnMut(&[u8]) -> bool) -> usize {
        let mut due = [0; TIMERS_PER_TURN];
        let mut count = 0;
        let _more = self.wheel.expire(moment.now, TIMERS_PER_TURN, |number| {
            if let Some(place) = due.get_mut(count) {
                *place = number;
            }
            count += 1;
        });
        let fired = due.get(..count).unwrap_or_default();
        for &number in fired {
            let Some(member) = self.members.get_mut(number as usize) else { continue };
            member.wake = Instant::NEVER;
            let Some(tunnel) = member.tunnel.as_deref_mut() else { continue };
            // A deadline moves on with every packet; only what is really due is done.
            if tunnel.deadline().is_some_and(|deadline| deadline <= moment.now) {
                let _: Result<(), Refused> =
                    self.shared.act((number, tunnel), moment, out, |tunnel, turn, mut emit| {
                        tunnel.tick(turn, &mut emit);
                        Ok(())
                    });
            }
            member.rearm(number, &mut self.wheel);
        }
        count
    }

    fn connect(&mut self, moment: Moment, out: &mut impl FnMut(&[u8]) -> bool) -> usize {
        for done in 0..CONNECTS_PER_TURN {
            let is_due = self.begun < self.shared.plan.members()
                && self.connects.take(moment.now, 0, &mut self.shared.random).is_some();
            if !is_due {
                return done;
            }
            let number = self.begun;
            self.begun += 1;
            self.call(number, moment, out);
        }
        CONNECTS_PER_TURN
    }

    /// Makes the member's tunnel if there is none yet, and starts a handshake unless one runs.
    fn call(&mut self, number: u32, moment: Moment, out: &mut impl FnMut(&[u8]) -> bool) {
        let Some(member) = self.members.get_mut(number as usize) else { return };
        if member.tunnel.is_none() {
            member.tunnel = identity::tunnel(&self.shared.plan, number, moment.now).map(Box::new);
            self.shared.places.settle(number);
        }
        let Some(tunnel) = member.tunnel.as_deref_mut() else { return };
        let _: Result<(), Refused> =
            self.shared.act((number, tunnel), moment, out, |tunnel, turn, mut emit| {
                tunnel.send(&[], turn, &mut emit)
            });
        member.rearm(number, &mut self.wheel);
    }

    fn roam(&mut self, now: Instant) -> usize {
        let Some(roam) = self.shared.plan.roam else { return 0 };
        let clients = self.shared.plan.clients;
        for done in 0..MOVES_PER_TURN {
            let Some(pacer) = &mut self.moves else { return done };
            if roam.ends(pacer.planned(), clients)
                || pacer.take(now, 0, &mut self.shared.random).is_none()
            {
                return done;
            }
            let number = roam.who(self.moved, clients, &mut self.shared.random);
            self.moved = self.moved.wrapping_add(1);
            self.shared.tally.moves += u64::from(self.shared.places.roam(number, roam.kind));
        }
        MOVES_PER_TURN
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
        let Self { link, places, tally, random, scratch, frame, inbox, .. } = self;
        let source = places.of(number);
        let mut turn =
            Turn { now: moment.now, unix: moment.unix, rng: random, scratch, cookies: None };
        act(tunnel, &mut turn, &mut |event| match event {
            Event::Transmit { octets, to } => {
                let head = link.head_len(source.ip());
                let whole = frame.get_mut(..head + octets.len()).unwrap_or_default();
                if let Some(body) = whole.get_mut(head..) {
                    body.copy_from_slice(octets);
                }
                let is_sent = link.enclose(whole, source, to) && out(whole);
                tally.transmit(is_sent, |tally| tally.kind_sent(octets));
            }
            Event::Deliver(inner) => {
                inbox.clear();
                inbox.extend_from_slice(inner);
            }
            Event::Established(_) => tally.sessions += 1,
            Event::GaveUp => tally.given_up += 1,
            Event::Forgotten => tally.forgotten += 1,
        })
    }
}

#[cfg(test)]
mod tests;
