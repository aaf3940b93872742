//! The swarm against a whole server in memory, in virtual time.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use dataplane::testing::server::{LOCAL, Options, Place, Server, WIRE};
use dataplane::testing::{START, packets, site, unix};
use wire::ethernet;

mod bursts;
mod pool;
mod races;

use super::*;
use crate::link::Range;
use crate::packet;
use crate::responder;
use crate::size::Sizes;

const MAC: Mac = [2, 0, 0, 0, 9, 9];
const STEP: Duration = Duration::from_millis(1);

pub(crate) fn plan(clients: u32) -> Plan {
    Plan {
        seed: 7,
        clients,
        vlan: None,
        outer: vec![
            Range { first: Ipv4Addr::new(198, 51, 100, 10).into(), count: 100 },
            Range { first: Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 1).into(), count: 100 },
        ],
        first_port: 20_000,
        servers: vec![site::server(site::SERVER_V4.into()), site::server(site::SERVER_V6.into())],
        hops: vec![site::SERVER_V4.into(), site::SERVER_V6.into()],
        routers: vec![site::GATEWAY_V4.into(), site::GATEWAY_V6.into()],
        server_public: site::server_public(),
        preshared: true,
        inner_v4: Ipv4Addr::new(10, 7, 1, 1),
        inner_v6: Ipv6Addr::new(0xfd07, 0, 0, 1, 0, 0, 0, 1),
        client_ids: ClientIds::Omitted,
        keepalive: Duration::ZERO,
        connects_per_sec: 20_000.0,
        mtu: 1420,
        families: Families::Alternate,
        roam: None,
        hostile: None,
        reconnect: None,
        traffic: None,
    }
}

fn traffic(kind: Kind, target: Target, family: Family, rate: f64) -> Traffic {
    let sizes = Sizes::list(&[84, 300, 1420]).unwrap();
    let (rate, pattern) = (Rate::Packets(rate), Pattern::Constant);
    Traffic {
        kind,
        flags: None,
        target,
        spread: Spread::default(),
        sealing: Sealing::Live,
        family,
        sizes,
        rate,
        pattern,
        is_measured_elsewhere: !kind.returns() && target != Target::Clients,
    }
}

/// The swarm, a server that knows it, and the cable between them.
struct World {
    now: Instant,
    server: Server,
    swarm: Swarm,
    /// Every so many frames, one is lost on each way; zero for none.
    lose_every: u64,
    frames: u64,
    lost: u64,
    /// Outer families whose datagrams the cable does not carry: IPv4, IPv6.
    dead: [bool; 2],
    /// How long the server's datagrams of each family are on their way.
    slow: [Duration; 2],
    /// What is on its way to the swarm, and when it is there.
    under_way: Vec<(Instant, Vec<u8>)>,
}

/// Which family a frame's datagram is of; none for other frames.
fn family(frame: &[u8]) -> Option<usize> {
    match frame {
        [_, _, _, _, _, _, _, _, _, _, _, _, 0x08, 0x00, ip @ ..] => (ip[9] == 17).then_some(0),
        [_, _, _, _, _, _, _, _, _, _, _, _, 0x86, 0xdd, ip @ ..] => (ip[6] == 17).then_some(1),
        _ => None,
    }
}

impl World {
    fn new(plan: Plan) -> Self {
        let mut text = site::Plan::new(0).text();
        for number in 0..plan.clients {
            text += &peer_text(&plan, number);
        }
        let server = Server::with(&text, Options { queue_len: 8192, ..Options::default() });
        let swarm = Swarm::new(plan, MAC, START);
        Self {
            now: START,
            server,
            swarm,
            lose_every: 0,
            frames: 0,
            lost: 0,
            dead: [false; 2],
            slow: [Duration::ZERO; 2],
            under_way: Vec::new(),
        }
    }

    fn moment(&self) -> Moment {
        Moment { now: self.now, unix: unix(self.now) }
    }

    fn is_lost(&mut self) -> bool {
        self.frames += 1;
        let is_lost = self.lose_every != 0 && self.frames.is_multiple_of(self.lose_every);
        self.lost += u64::from(is_lost);
        is_lost
    }

    fn step(&mut self) {
        let moment = self.moment();
        let mut frames = Vec::new();
        while self.swarm.turn(moment, &mut |frame| {
            frames.push(frame.to_vec());
            true
        }) > 0
        {}
        loop {
            for frame in std::mem::take(&mut frames) {
                if !self.is_dead(&frame) && !self.is_lost() {
                    self.server.put(WIRE, &frame);
                }
            }
            self.server.settle(self.now);
            let left = self.server.take();
            let is_quiet = left.is_empty();
            for (place, frame) in left {
                match place {
                    Place::Local { .. } => self.kernel(&frame),
                    Place::Wire { .. } | Place::Kernel { .. } => {
                        if !self.is_dead(&frame) && !self.is_lost() {
                            let delay = family(&frame).map_or(Duration::ZERO, |at| self.slow[at]);
                            self.under_way.push((self.now + delay, frame));
                        }
                    }
                }
            }
            let (due, later) = std::mem::take(&mut self.under_way)
                .into_iter()
                .partition(|(at, _)| *at <= self.now);
            self.under_way = later;
            if is_quiet && due.is_empty() {
                break;
            }
            self.deliver(&due, &mut frames);
        }
    }

    /// Everything at once, as a device gives it.
    fn deliver(&mut self, due: &[(Instant, Vec<u8>)], frames: &mut Vec<Vec<u8>>) {
        let moment = self.moment();
        self.swarm.receive(due.iter().map(|(_, frame)| frame.as_slice()), moment, &mut |frame| {
            frames.push(frame.to_vec());
            true
        });
    }

    fn is_dead(&self, frame: &[u8]) -> bool {
        family(frame).is_some_and(|at| self.dead[at])
    }

    /// The host behind the server answers as our responder does.
    fn kernel(&mut self, frame: &[u8]) {
        let header = ethernet::parse(frame).unwrap();
        let mut answer = Vec::new();
        let inner = &frame[header.payload_offset..];
        let located = packet::read(inner);
        if located.is_some_and(|located| responder::answer(inner, &located, &mut answer)) {
            self.server.put(LOCAL, &packets::from_local(&answer));
        }
    }

    fn run(&mut self, time: Duration, step: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now = self.now + step;
            self.step();
        }
    }

    fn connect(&mut self) {
        while self.swarm.connected(self.now) < self.swarm.members.len() {
            assert!(self.now.since(START) < Duration::from_secs(30), "{:?}", self.swarm.tally());
            self.run(Duration::from_millis(10), STEP);
        }
    }

    /// Ends the traffic, waits for what is on its way, and wants the books to be right.
    fn drain(&mut self) {
        self.swarm.end(self.now);
        self.run(Duration::from_millis(50), STEP);
        let (tally, sums) = (self.swarm.tally(), self.swarm.meter().sums());
        assert_eq!(tally.unaccounted(), 0, "{tally:?}");
        assert!(sums.adds_up(), "{sums:?}");
        assert_eq!(tally.planned, sums.sent + tally.without_session + tally.without_room);
        assert_eq!((tally.misdelivered, tally.wrong_client_id, tally.owed), (0, 0, 0), "{tally:?}");
        assert_eq!(self.server.totals().unaccounted(), 0);
    }
}

#[test]
fn every_kind_of_traffic_arrives_whole_over_both_outer_families() {
    let host = |inner| match inner {
        Family::V4 => Target::Host(site::LOCAL_V4.into()),
        Family::V6 => Target::Host(site::LOCAL_V6.into()),
    };
    for family in [Family::V4, Family::V6] {
        for (kind, target) in [
            (Kind::Echo, host(family)),
            (Kind::Ping, host(family)),
            (Kind::Echo, Target::Clients),
            (Kind::Ping, Target::Clients),
            (Kind::OneWay, Target::Clients),
            (Kind::Tcp, Target::Clients),
        ] {
            let mut plan = plan(6);
            plan.traffic = Some(traffic(kind, target, family, 1000.0));
            let mut world = World::new(plan);
            world.connect();
            world.swarm.begin(world.now);
            world.run(Duration::from_secs(1), STEP);
            world.drain();
            let sums = world.swarm.meter().sums();
            assert_eq!((sums.sent, sums.missing), (1001, 0), "{kind:?} {target:?}: {sums:?}");
            assert_eq!((sums.duplicates, sums.reordered), (0, 0), "{kind:?} {target:?}");
            assert_eq!(world.swarm.meter().latency.count(), 1001);
        }
    }
}

#[test]
fn what_the_cable_loses_is_what_is_missing() {
    let mut plan = plan(10);
    plan.traffic = Some(traffic(Kind::OneWay, Target::Clients, Family::V4, 10_000.0));
    let mut world = World::new(plan);
    world.connect();
    let before = world.frames;
    world.lose_every = 100;
    world.swarm.begin(world.now);
    world.run(Duration::from_secs(1), STEP);
    world.lose_every = 0;
    world.drain();
    let sums = world.swarm.meter().sums();
    assert!(world.frames > before && world.lost > 100);
    assert_eq!(sums.missing, world.lost, "{sums:?}");
}

#[test]
fn client_ids_are_sent_and_come_back() {
    let mut plan = plan(5);
    plan.client_ids = ClientIds::From(0x00ab_cd00);
    plan.traffic =
        Some(traffic(Kind::Echo, Target::Host(site::LOCAL_V4.into()), Family::V4, 100.0));
    let mut world = World::new(plan);
    world.connect();
    world.swarm.begin(world.now);
    world.run(Duration::from_secs(1), STEP);
    world.drain();
    assert_eq!(world.swarm.meter().sums().missing, 0);
    // The check can fail: a server that drops the ids is noticed.
    world.swarm.shared.plan.client_ids = ClientIds::From(1);
    world.swarm.begin(world.now);
    world.run(Duration::from_millis(100), STEP);
    assert!(world.swarm.tally().wrong_client_id > 0);
}

#[test]
fn clients_connect_through_cookies_when_the_server_is_under_load() {
    let mut plan = plan(1500);
    // All at once, more than the server takes without proof of address.
    plan.connects_per_sec = 1e9;
    plan.traffic =
        Some(traffic(Kind::Echo, Target::Host(site::LOCAL_V4.into()), Family::V4, 3000.0));
    let mut world = World::new(plan);
    world.connect();
    assert!(world.swarm.tally().cookies_received > 0, "{:?}", world.swarm.tally());
    world.swarm.begin(world.now);
    world.run(Duration::from_millis(500), STEP);
    world.drain();
    assert_eq!(world.swarm.meter().sums().missing, 0);
}

#[test]
fn two_thousand_clients_hold_their_sessions_through_two_rekey_intervals() {
    let clients = 2000;
    let mut plan = plan(clients);
    plan.traffic =
        Some(traffic(Kind::Echo, Target::Host(site::LOCAL_V4.into()), Family::V4, 400.0));
    let mut world = World::new(plan);
    world.connect();
    world.swarm.begin(world.now);
    world.run(Duration::from_secs(250), Duration::from_millis(25));
    world.drain();
    let (tally, sums) = (*world.swarm.tally(), world.swarm.meter().sums());
    assert_eq!((sums.missing, tally.without_session), (0, 0), "{tally:?} {sums:?}");
    assert!(tally.sessions >= 3 * u64::from(clients), "{} sessions", tally.sessions);
    assert_eq!((tally.given_up, tally.forgotten), (0, 0));
}

#[test]
fn roaming_of_all_clients_within_a_second_loses_nothing() {
    for kind in [RoamKind::Port, RoamKind::Address] {
        let mut plan = plan(500);
        let waves = RoamTime::Waves {
            after: Duration::from_millis(500),
            spread: Duration::from_secs(1),
            every: Duration::ZERO,
        };
        plan.roam = Some(Roam { kind, time: waves });
        plan.traffic =
            Some(traffic(Kind::Echo, Target::Host(site::LOCAL_V6.into()), Family::V6, 5000.0));
        let mut world = World::new(plan);
        world.connect();
        let before: Vec<_> = (0..500).map(|number| world.swarm.shared.places.of(number)).collect();
        let sessions = world.swarm.tally().sessions;
        world.swarm.begin(world.now);
        world.run(Duration::from_secs(2), STEP);
        world.drain();
        let (tally, sums) = (world.swarm.tally(), world.swarm.meter().sums());
        assert_eq!((tally.moves, tally.sessions), (500, sessions), "no new handshakes");
        assert_eq!(sums.missing, 0, "{sums:?}");
        for (number, before) in (0..500).zip(before) {
            let after = world.swarm.shared.places.of(number);
            assert_eq!(after.ip() != before.ip(), kind == RoamKind::Address);
            assert_ne!(after, before);
            assert_eq!(world.swarm.shared.places.who(after), Some(number));
        }
    }
}

#[test]
fn a_full_device_is_counted_and_withdrawn() {
    let mut plan = plan(4);
    plan.traffic = Some(traffic(Kind::OneWay, Target::Clients, Family::V4, 1000.0));
    let mut world = World::new(plan);
    world.connect();
    world.swarm.begin(world.now);
    world.now = world.now + Duration::from_millis(9);
    let moment = world.moment();
    assert_eq!(world.swarm.turn(moment, &mut |_| false), 10);
    let (tally, sums) = (world.swarm.tally(), world.swarm.meter().sums());
    assert_eq!((tally.without_room, sums.sent, tally.unaccounted()), (10, 0, 0));
}

#[test]
fn a_packet_for_another_client_is_a_misdelivery() {
    let plan = plan(2);
    let mut world = World::new(plan);
    world.connect();
    let mut packet = vec![0; 60];
    let (from, to) = ((site::LOCAL_V4, 9).into(), (site::inner_v4(0), 9).into());
    packet::emit_udp(&mut packet, from, to).unwrap();
    for misdelivered in [0, 1] {
        world.server.put(LOCAL, &packets::from_local(&packet));
        world.run(STEP, STEP);
        let tally = world.swarm.tally();
        assert_eq!((tally.other_inner, tally.misdelivered), (1, misdelivered));
        // From now on client 0 takes itself for the other one.
        world.swarm.shared.plan.inner_v4 = site::inner_v4(1);
    }
}

#[test]
fn nobody_connects_to_a_server_that_is_not_there() {
    let mut swarm = Swarm::new(plan(3), MAC, START);
    let mut questions = 0;
    for millis in 0..2000 {
        let now = START + Duration::from_millis(millis);
        let moment = Moment { now, unix: unix(now) };
        swarm.turn(moment, &mut |_| {
            questions += 1;
            true
        });
    }
    assert_eq!(questions, 16, "both families, four times a second");
    assert_eq!((swarm.connected(START), swarm.link().unresolved().len()), (0, 2));
    assert_eq!(swarm.tally().unaccounted(), 0);
}
