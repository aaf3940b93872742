//! The fleet, its clients and the network between them, and a clock that jumps from event to event.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use dataplane::testing::START;
use dataplane::testing::server::Place;
use wireguard::time::Instant;

use super::attack::Attack;
use super::caller::Caller;
use super::dice::Dice;
use super::figures::Figures;
use super::flow::{Ledger, Segment};
use super::operator::{Operator, Step};
use super::plan::Scenario;
use super::router::Router;
use super::station::{STEP, Station};

/// What happens in one of these happens at once, so that servers get bursts.
const QUANTUM: u64 = 1_000_000;
/// How often the books of flows are looked at.
const AUDIT: Duration = Duration::from_secs(1);

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A frame reaches a server's queue.
    Arrive(u8, Place, Vec<u8>),
    /// A datagram from the second address reaches the first, where a client may be.
    Reach(SocketAddr, SocketAddr, Vec<u8>),
    /// A client's timer.
    Tick(usize),
    /// A client says something.
    Talk(usize),
    /// A client moves.
    Move(usize),
    /// The service behind a server answers.
    Answer(u8, Segment),
    /// The service behind a server says something by itself on this flow.
    Push(u8, u64),
    /// A server without work looks at its clock.
    Look(u8),
    /// The books of flows are looked at.
    Audit,
    /// Somebody means ill.
    Attack,
    /// Something that the operator had planned.
    Operate(Step),
}

struct Planned {
    at: Instant,
    order: u64,
    event: Event,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) now: Instant,
    pub(crate) dice: Dice,
    pub(crate) stations: BTreeMap<u8, Station>,
    pub(crate) callers: Vec<Caller>,
    pub(crate) router: Router,
    pub(crate) ledger: Ledger,
    pub(crate) operator: Operator,
    pub(crate) figures: Figures,
    pub(crate) attack: Option<Attack>,
    /// Flows that went down with their server.
    pub(crate) cut: BTreeSet<u64>,
    /// Flows of which something may come later than it should.
    pub(crate) late: BTreeSet<u64>,
    /// Packets may be lost until then: a server has died and the router has not noticed.
    pub(crate) excused_until: Instant,
    /// Servers that were started so far.
    pub(crate) lives: u64,
    events: BinaryHeap<Reverse<Planned>>,
    order: u64,
}

impl World {
    /// A fleet that has just been put into service, with clients that begin to talk within half a minute.
    pub(crate) fn new(scenario: Scenario) -> Self {
        let now = START;
        let callers = (0..).zip(&scenario.lives);
        let mut world = Self {
            callers: callers.map(|(number, life)| Caller::new(number, *life, now)).collect(),
            now,
            dice: Dice::new(scenario.seed),
            stations: BTreeMap::new(),
            router: Router::default(),
            ledger: Ledger::default(),
            operator: Operator::default(),
            figures: Figures::default(),
            attack: None,
            cut: BTreeSet::new(),
            late: BTreeSet::new(),
            excused_until: Instant::ZERO,
            lives: 0,
            events: BinaryHeap::new(),
            order: 0,
            scenario,
        };
        world.found();
        world.plan(AUDIT, Event::Audit);
        for client in 0..world.callers.len() {
            let pause = world.dice.duration(Duration::from_secs(1), Duration::from_secs(30));
            world.plan(pause, Event::Talk(client));
            world.plan(pause * 2, Event::Move(client));
        }
        world
    }

    /// The moment after this time, at the earliest the next one.
    pub(crate) fn moment(&self, after: Duration) -> Instant {
        Instant((self.now + after).0.max(self.now.0 + 1).next_multiple_of(QUANTUM))
    }

    /// Something is to happen after this time.
    pub(crate) fn plan(&mut self, after: Duration, event: Event) {
        let at = self.moment(after);
        self.order += 1;
        self.events.push(Reverse(Planned { at, order: self.order, event }));
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.events.peek().map(|planned| planned.0.at)
            && at <= until
        {
            self.now = at;
            while let Some(planned) = self.events.peek()
                && planned.0.at == at
            {
                let event = self.events.pop().unwrap().0.event;
                self.happen(event);
            }
            self.turns();
        }
        self.now = until;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(server, place, octets) => self.arrive(server, place, &octets),
            Event::Reach(to, from, octets) => self.reach(to, from, &octets),
            Event::Tick(client) => self.tick(client),
            Event::Talk(client) => self.talk(client),
            Event::Move(client) => self.relocate(client),
            Event::Answer(server, reply) => self.answer(server, reply),
            Event::Push(server, flow) => self.push(server, flow),
            Event::Look(server) => self.look(server),
            Event::Audit => {
                self.audit();
                self.plan(AUDIT, Event::Audit);
            }
            Event::Attack => self.act(),
            Event::Operate(step) => self.operate(step),
        }
    }

    fn arrive(&mut self, server: u8, place: Place, octets: &[u8]) {
        if let Some(station) = self.stations.get_mut(&server) {
            station.put(place, octets);
        }
    }

    fn look(&mut self, server: u8) {
        if let Some(station) = self.stations.get_mut(&server) {
            station.is_due = true;
            self.plan(STEP, Event::Look(server));
        }
    }

    /// Every server that has got something works until it rests.
    fn turns(&mut self) {
        let now = self.now;
        let due: Vec<u8> = self
            .stations
            .values()
            .filter(|station| station.is_due)
            .map(|station| station.number)
            .collect();
        for server in due {
            let taken = self.stations.get_mut(&server).unwrap().turn(now);
            for (place, octets) in taken {
                match place {
                    Place::Local { .. } => self.serve(server, &octets),
                    Place::Kernel { .. } => {}
                    Place::Wire { .. } => self.carry(server, place, &octets),
                }
            }
        }
    }

    /// Starts a server.
    pub(crate) fn start(&mut self, server: u8) {
        self.lives += 1;
        let station = Station::new(&self.scenario, (server, self.lives), self.now);
        assert!(self.stations.insert(server, station).is_none(), "server {server} runs already");
        self.plan(STEP, Event::Look(server));
    }

    /// Ends a server, well or badly.
    pub(crate) fn stop(&mut self, server: u8) {
        let Some(mut station) = self.stations.remove(&server) else { return };
        station.close(self.now);
        self.figures.add_drops(&station.server.totals());
    }

    /// The flows behind a server end by the operator's will or by its death.
    pub(crate) fn cut_flows_of(&mut self, server: u8) {
        let Some(station) = self.stations.get(&server) else { return };
        for flow in station.nat.flows() {
            self.figures.cut_flows += usize::from(self.cut.insert(flow));
            self.ledger.forget(flow);
        }
    }

    /// The end: every server is closed, and what it dropped is known.
    pub(crate) fn close(&mut self) {
        let servers: Vec<u8> = self.stations.keys().copied().collect();
        for server in servers {
            let mut station = self.stations.remove(&server).unwrap();
            station.close(self.now);
            self.figures.add_drops(&station.server.totals());
        }
    }
}
