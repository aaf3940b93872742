//! The drain of one server of two: its clients' packets land on the other one as soon as both have been told, and are passed on to it,
//! as it keeps the sessions that it has. In virtual time, with a core for each worker and one for each keeper.

use std::collections::VecDeque;
use std::time::Duration;

use dataplane::counters::Totals;
use dataplane::keeper::Keeper;
use dataplane::limits::BURST_LEN_MAX;
use dataplane::port::Batch;
use dpdk::clock::Clock;
use dpdk::{Mbuf, Pool, mbuf};
use pktgen::measure::{Stream, Trailer};
use shm::message::{Fleet, Item, Member, MemberState, Past, Scope};
use wire::{ethernet, ipv4, udp};
use wireguard::time::Instant;

use super::change::Change;
use super::ground::Keeping;
use super::{CALM, CALM_QUICK, Event, Measured, Plan, Trial};
use crate::Failure;
use crate::load::beside::{Beside as _, Umpire};
use crate::load::lane::{emit_inner, trailer_of};
use crate::load::schedule::Schedule;
use crate::load::tally::{self, Tally};
use crate::load::way::Way;
use crate::sample::p10;
use crate::scale::peers::peer;
use crate::service::client::{
    Checksum, Clients, GATEWAY_LINK, IP_AT, LOCAL, PORT_LINK, inner_address,
};
use crate::service::server::{CLIENTS, End, Keys, RING_LEN, Rings, Server};
use crate::service::stages::sessions;
use crate::steer::servers;
use crate::turns::Setting;

/// The way of the packets.
pub(super) const WAY: Way = Way::Open;
/// The part of the rate of full bursts at which they come; no rate without loss is searched for here.
const OF_PACE: f64 = 0.8;
const PACED: usize = 200;
/// The one that has the sessions, and the other.
const DRAINED: usize = 0;
const OTHER: usize = 1;
const WEIGHT: u16 = 100;
/// Seconds that packets come after they land on the other server.
const AFTERWARDS: f64 = 0.02;
/// And at most so long until both know.
const PATIENCE: Duration = Duration::from_secs(5);
/// Turns in which nothing moves any more.
const IDLE_TURNS: u32 = 4;

/// Both servers with what waits before them, and the clients.
struct Pair {
    servers: [Server; 2],
    queues: [VecDeque<Mbuf>; 2],
    clients: Clients,
    pool: Pool,
}

/// What is told of both.
fn fleet(generation: u16, drained: MemberState) -> Item {
    let member = |server: u8, state| {
        let (v4, _) = servers::addresses(server);
        Member { server, weight: WEIGHT, state, v4: Some(v4), v6: None }
    };
    let members = vec![member(0, drained), member(1, MemberState::Active)];
    let weights = vec![(0, WEIGHT), (1, WEIGHT)];
    let past = (generation > 1).then_some(Past { generation: 1, weights });
    Item::Fleet(Box::new(Fleet { generation, members, past: past.into_iter().collect() }))
}

fn keeper(server: u8) -> Result<Keeper, Failure> {
    let mut items = vec![fleet(1, MemberState::Active)];
    items.extend((0..CLIENTS).map(|number| Item::Peer(Box::new(peer(number)))));
    servers::keeper(server, 1, CLIENTS, items)
}

/// Measures the drain, and the same without it.
pub(super) fn measure(
    (setting, pool): (&Setting, &Pool),
    plan: &Plan,
) -> Result<Vec<Measured>, Failure> {
    let mut rows = [Event::Nothing, Event::Drain].map(|event| (event, Vec::new()));
    let mut rate = 0.0;
    let rings = [DRAINED, OTHER].map(|side| {
        let name = format!("of{side}");
        Rings::open(&setting.eal, pool, (&name, RING_LEN))
    });
    let [one, other] = rings;
    let mut rings = [one?, other?];
    for _ in 0..plan.trials {
        for (event, trials) in &mut rows {
            let (mut pair, keepings) = Pair::start(rings, pool)?;
            let full = pair.pace(plan)?;
            #[expect(clippy::cast_precision_loss, reason = "a clock has fewer than 2^52 Hz")]
            let pace = BURST_LEN_MAX as f64 * setting.clock.hz() as f64 / full;
            if rate == 0.0 {
                rate = pace * OF_PACE;
            }
            let course = Course::new(&mut pair, plan, (&setting.clock, rate, full))?;
            trials.push(course.run((*event == Event::Drain).then_some(keepings))?);
            rings = pair.servers.map(Server::dismantle);
        }
    }
    let measured = |(event, trials)| Measured { event, way: WAY, rate, trials };
    Ok(rows.into_iter().map(measured).collect())
}

impl Pair {
    #[expect(clippy::large_stack_arrays, reason = "one pair at a time, and not in a deep place")]
    fn start(rings: [Rings; 2], pool: &Pool) -> Result<(Self, [Keeping; 2]), Failure> {
        let [one, other] = rings;
        let mut keeper_of_one = keeper(0)?;
        let mut state = keeper_of_one.state(0);
        let clients = sessions(&mut state, &keeper_of_one, &mut Keys::draw(0), CLIENTS)?;
        let drained = Server::on(one, &mut keeper_of_one, state)?;
        let mut keeper_of_other = keeper(1)?;
        let state = keeper_of_other.state(0);
        let other = Server::on(other, &mut keeper_of_other, state)?;
        let keepings = [keeper_of_one, keeper_of_other].map(Keeping::new);
        let (queues, clients) = ([VecDeque::new(), VecDeque::new()], Clients::new(clients));
        Ok((Self { servers: [drained, other], queues, clients, pool: pool.clone() }, keepings))
    }

    /// The next packet of a client, to the kernel of the server that has its session.
    fn packet(&mut self, plan: &Plan, trailer: Trailer) -> Result<Mbuf, Failure> {
        let mut packet = self.pool.allocate().ok_or("the pool is empty")?;
        let number = u32::try_from(trailer.sequence % u64::from(CLIENTS))?;
        let client = self.clients.by_number_mut(number).ok_or("there is no such client")?;
        let len = plan.size.sizes.of(trailer.sequence);
        client.seal_as(&mut packet, (len, Checksum::None), |inner| {
            let ports = udp::Ports { source: 5001, destination: 5001 };
            emit_inner(inner, (inner_address(number), LOCAL), ports, trailer)
        })?;
        Ok(packet)
    }

    /// Cycles of a turn with a full burst that the other server has passed on.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
    fn pace(&mut self, plan: &Plan) -> Result<f64, Failure> {
        let mut turns = Vec::new();
        for _ in 0..PACED {
            let mut packets = Batch::new();
            for sequence in 0..BURST_LEN_MAX as u64 {
                let trailer = Trailer { stream: 0, sequence, planned: Instant(0) };
                packets.push(self.packet(plan, trailer)?);
            }
            let [drained, other] = &mut self.servers;
            let now = drained.now() + Duration::from_micros(50);
            other.end(End::Wire).transmit(&mut packets);
            other.turn_at(now);
            other.end(End::Wire).receive(&mut packets);
            packets.iter_mut().try_for_each(readdress)?;
            drained.end(End::Wire).transmit(&mut packets);
            turns.push(drained.turn_at(now) as f64);
            drained.end(End::Local).receive(&mut packets);
            if packets.len() != BURST_LEN_MAX {
                let (came, totals) = (packets.len(), drained.totals());
                return Err(format!("{came} packets of a burst were passed on\n{totals}").into());
            }
            mbuf::free_bulk(&mut packets);
        }
        Ok(p10(&turns))
    }
}

/// The gateway sends a frame on that a server has sent to the other.
fn readdress(packet: &mut Mbuf) -> Result<(), Failure> {
    let start = packet.start();
    let frame = packet.octets_mut().get_mut(start..).ok_or("a frame is empty")?;
    ethernet::emit(frame, PORT_LINK, GATEWAY_LINK, None, ipv4::ETHERTYPE)
        .map_err(|_| "a frame is too short")?;
    Ok(())
}

/// A trial under way.
struct Course<'a> {
    pair: &'a mut Pair,
    plan: &'a Plan,
    clock: &'a Clock,
    umpire: Umpire,
    schedule: Schedule,
    stream: Stream,
    tally: Tally,
    /// Cycles that a turn counts at most when the core was taken away.
    clip: f64,
    base: Instant,
    elapsed: f64,
    /// The side on which packets land.
    landing: usize,
}

impl<'a> Course<'a> {
    #[expect(clippy::cast_precision_loss, reason = "a clock has fewer than 2^52 Hz")]
    fn new(
        pair: &'a mut Pair,
        plan: &'a Plan,
        (clock, rate, full): (&'a Clock, f64, f64),
    ) -> Result<Self, Failure> {
        let [drained, other] = &pair.servers;
        let base = drained.now().max(other.now());
        Ok(Self {
            plan,
            clock,
            umpire: Umpire::new()?,
            schedule: Schedule::new(rate, plan.search.place.at_once.into(), clock.hz() as f64),
            stream: Stream::default(),
            tally: Tally { load: rate, ..Tally::default() },
            clip: full * plan.search.place.clip,
            base,
            elapsed: 0.0,
            landing: DRAINED,
            pair,
        })
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a moment of the trial"
    )]
    fn now(&self) -> Instant {
        let nanoseconds = self.elapsed * 1e9 / self.clock.hz() as f64;
        self.base + Duration::from_nanos(nanoseconds as u64 + 1)
    }

    /// Without a drain when no keepers are given to be told.
    fn run(mut self, keepings: Option<[Keeping; 2]>) -> Result<Trial, Failure> {
        let before = self.pair.servers.each_ref().map(Server::totals);
        let mut end = if self.plan.search.place.quick { CALM_QUICK } else { CALM };
        let mut taken = None;
        if let Some(keepings) = keepings {
            taken = Some(self.drain(keepings)?.as_secs_f64());
            self.landing = OTHER;
            end = AFTERWARDS;
        }
        let end = self.now() + Duration::from_secs_f64(end);
        while self.now() < end {
            self.fill()?;
            self.turn()?;
        }
        self.tally.seconds = self.now().since(self.base).as_secs_f64();
        self.come_to_rest()?;
        self.close(&before)?;
        Ok(Trial { tally: self.tally, in_force: taken })
    }

    /// Tells both, and goes on until it is in force here and there; gives how long that took.
    fn drain(&mut self, mut keepings: [Keeping; 2]) -> Result<Duration, Failure> {
        let (clock, now) = (self.clock, self.now());
        let mut changes = keepings.each_mut().map(|keeping| {
            let told = vec![fleet(2, MemberState::Draining { deadline: None })];
            Change::new(keeping, Some((Scope::Delta, told)), (clock, now))
        });
        let patience = now + PATIENCE;
        loop {
            self.fill()?;
            self.turn()?;
            let now = self.now();
            let mut are_over = true;
            for (change, server) in changes.iter_mut().zip(&mut self.pair.servers) {
                are_over &= change.turn(server, now)?;
            }
            if are_over {
                let taken = changes.iter().filter_map(Change::taken).max();
                return Ok(taken.ok_or("nothing was told")?);
            }
            if now > patience {
                return Err("the drain is not in force".into());
            }
        }
    }

    /// Puts into the queue of the side on which packets land what is due.
    fn fill(&mut self) -> Result<(), Failure> {
        while self.schedule.due() <= self.elapsed {
            self.schedule.count += 1;
            self.tally.offered += 1;
            let waiting = self.pair.queues.get(self.landing).map_or(0, VecDeque::len);
            if waiting >= self.plan.search.place.ring {
                self.tally.overflow += 1;
                continue;
            }
            let trailer = Trailer { stream: 1, sequence: self.stream.send(), planned: Instant(0) };
            let packet = self.pair.packet(self.plan, trailer)?;
            let queue = self.pair.queues.get_mut(self.landing).ok_or("there is no such side")?;
            queue.push_back(packet);
        }
        Ok(())
    }

    /// A turn of both at once, which is as long as the longer one; gives how many packets moved.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
    fn turn(&mut self) -> Result<usize, Failure> {
        let (now, mut longer, mut moved) = (self.now(), 0.0_f64, 0);
        let Pair { servers, queues, .. } = &mut *self.pair;
        for (server, queue) in servers.iter_mut().zip(queues.iter_mut()) {
            let mut packets: Batch<Mbuf> = queue.drain(..queue.len().min(BURST_LEN_MAX)).collect();
            moved += packets.len();
            server.end(End::Wire).transmit(&mut packets);
            self.umpire.begin();
            let taken = server.turn_at(now) as f64;
            let hz = self.clock.hz() as f64;
            if taken <= self.clip || self.umpire.is_whole() {
                self.tally.longest = self.tally.longest.max(taken / hz);
                longer = longer.max(taken);
            } else {
                self.tally.clips += 1;
                self.tally.clipped += (taken - self.clip) / hz;
                longer = longer.max(self.clip);
            }
            self.tally.turns += 1;
        }
        self.elapsed += longer;
        Ok(moved + self.carry()?)
    }

    /// Takes what both have sent: to each other, or to the drained one's kernel.
    fn carry(&mut self) -> Result<usize, Failure> {
        let Pair { servers: [drained, other], queues, .. } = &mut *self.pair;
        let mut moved = 0;
        let mut packets = Batch::new();
        loop {
            drained.end(End::Local).receive(&mut packets);
            if packets.is_empty() {
                break;
            }
            moved += packets.len();
            for packet in &packets {
                let trailer = packet.frame().get(IP_AT..).and_then(trailer_of);
                if let Some(trailer) = trailer.filter(|trailer| trailer.stream == 1) {
                    self.stream.receive(trailer.sequence);
                }
            }
            mbuf::free_bulk(&mut packets);
        }
        loop {
            other.end(End::Wire).receive(&mut packets);
            if packets.is_empty() {
                return Ok(moved);
            }
            moved += packets.len();
            for mut packet in packets.drain(..) {
                readdress(&mut packet)?;
                let queue = queues.get_mut(DRAINED).ok_or("there is no such side")?;
                if queue.len() < self.plan.search.place.ring {
                    queue.push_back(packet);
                } else {
                    self.tally.overflow += 1;
                }
            }
        }
    }

    /// Lets come through what is on its way.
    fn come_to_rest(&mut self) -> Result<(), Failure> {
        let mut idle = 0;
        while idle < IDLE_TURNS {
            idle = if self.turn()? == 0 { idle + 1 } else { 0 };
        }
        Ok(())
    }

    /// The books: every packet came through, or found a queue full, or was dropped by name.
    fn close(&mut self, before: &[Totals; 2]) -> Result<(), Failure> {
        let after = self.pair.servers.each_ref().map(Server::totals);
        let dropped = |all: &[Totals; 2]| all.iter().map(Totals::dropped_all).sum::<u64>();
        let lost = self.tally.overflow + dropped(&after) - dropped(before);
        let (offered, delivered) = (self.tally.offered, self.stream.received());
        if offered != delivered + lost || after.iter().any(|of| of.unaccounted() != 0) {
            let what = format!("{offered} packets came, {delivered} through, {lost} lost");
            let [drained, other] = after;
            return Err(
                format!("the books of a drain do not close: {what}\n{drained}\n{other}").into()
            );
        }
        self.tally.delivered = delivered;
        for (before, after) in before.iter().zip(&after) {
            self.tally.drops.extend(tally::drops(before, after));
        }
        Ok(())
    }
}
