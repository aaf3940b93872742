//! The world around one server: links, clients, a gateway, and a clock that jumps from event to event.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::Duration;

use dataplane::exchange::Job;
use dataplane::fate::DropReason;
use dataplane::limits::JOBS_UNDER_LOAD;
use dataplane::testing::client::Client;
use dataplane::testing::server::{Options, Place, Server};
use dataplane::testing::{START, packets, site};
use wireguard::limits::FORGET_TIME;
use wireguard::time::Instant;

use super::boring::Boring;
use super::dice::Dice;
use super::ledger::{FILLING_MAX, Ledger, Party};
use super::link::{Cargo, Flight, GOOD, Link, NEVER};
use super::peer::Peer;
use super::plan::Scenario;

/// The longest that a server without anything to do is left alone.
const STEP: Duration = Duration::from_millis(250);
/// A second, between packets of one sender.
const PACE: Duration = Duration::from_secs(1);
/// After this time on a good link everything has to flow again: the time-out of an unanswered packet (15 s),
/// one lost attempt (5 s), and their jitter.
const RECOVERY: Duration = Duration::from_secs(25);
/// How long flow is watched after each spell, and the time for the last packets to arrive.
const WATCH: Duration = Duration::from_secs(30);
const ARRIVAL: Duration = Duration::from_secs(1);

pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) now: Instant,
    pub(crate) server: Server,
    pub(crate) peers: Vec<Peer>,
    pub(crate) ledger: Ledger,
    dice: Dice,
    link: Link,
    flights: BinaryHeap<Reverse<Flight>>,
    order: u64,
    /// Whether users send at all.
    is_talking: bool,
    talk_at: Instant,
    turn_at: Instant,
    /// Whether the gateway answers questions for link addresses.
    gateway_answers: bool,
    servers: u64,
    /// Frames put into and taken from the present server.
    books: (u64, u64),
}

impl World {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let now = START;
        let peers = (0..).zip(&scenario.lives).map(|(number, life)| {
            let address = if life.is_v6 { site::outer_v6(number) } else { site::outer_v4(number) };
            if life.is_boring {
                Peer::Boring(Box::new(Boring::new(number, address, now)))
            } else {
                Peer::Ours(Box::new(Client::new(number, address, life.options, now)))
            }
        });
        Self {
            now,
            server: server(&scenario, 0, now),
            peers: peers.collect(),
            ledger: Ledger::default(),
            dice: Dice::new(scenario.seed),
            link: GOOD,
            flights: BinaryHeap::new(),
            order: 0,
            is_talking: true,
            talk_at: now,
            turn_at: now,
            gateway_answers: true,
            servers: 1,
            books: (0, 0),
            scenario,
        }
    }

    /// Bad spells of all kinds, each followed by a good link on which everything must flow again.
    pub(crate) fn spells(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.spoil();
            let length = self.dice.duration(Duration::from_secs(5), Duration::from_secs(400));
            let end = self.now + length;
            while self.now < end {
                self.mishap();
                let pause = self.dice.duration(Duration::ZERO, Duration::from_mins(1));
                self.run(pause.min(end.since(self.now)));
            }
            self.calm(RECOVERY + WATCH);
        }
    }

    /// A good link; what is sent after the recovery time must arrive. There is one excuse: when both sides begin
    /// a handshake at once, the three sessions of the protocol do not suffice, and what is on its way on the oldest
    /// meets its end with it. The receiver counts it.
    pub(crate) fn calm(&mut self, time: Duration) {
        (self.link, self.gateway_answers) = (GOOD, true);
        self.run(RECOVERY);
        let (since, retired) = (self.now, self.retired());
        self.run(time.saturating_sub(RECOVERY));
        self.is_talking = false;
        self.run(ARRIVAL);
        self.is_talking = true;
        self.ledger.close(since, self.retired() - retired);
    }

    /// Somebody who speaks moves: from the first packet that he sends from there on, he is reached there.
    pub(crate) fn follow(&mut self) {
        self.is_talking = false;
        self.run(ARRIVAL);
        let since = self.now;
        let speaking = |number: &usize| self.scenario.lives[*number].speaks;
        let speakers: Vec<_> = (0..self.peers.len()).filter(speaking).collect();
        let number = speakers[self.dice.index(speakers.len())];
        let address = self.new_address(number);
        self.peers[number].roam(address);
        let packet = self.packet(Party::Client(number), Party::Local);
        self.peers[number].send(&packet, self.now);
        self.run(ARRIVAL);
        let packet = self.packet(Party::Local, Party::Client(number));
        self.put(Place::Local { worker: 0 }, &packets::from_local(&packet));
        self.run(ARRIVAL);
        self.ledger.close(since, 0);
        self.is_talking = true;
    }

    /// Packets that came for a session that is no more, at either side; of boringtun, whose sessions do not age
    /// (see there), also for one that is too old.
    fn retired(&self) -> u64 {
        let refused: usize = self.peers.iter().map(Peer::refused).sum();
        let totals = self.server.totals();
        let is_boring = self.scenario.lives.iter().any(|life| life.is_boring);
        let expired = if is_boring { totals.dropped(DropReason::WireguardExpired) } else { 0 };
        refused as u64 + totals.dropped(DropReason::WireguardUnknownIndex) + expired
    }

    /// Makes the link bad in a way of its own.
    fn spoil(&mut self) {
        self.link = Link {
            loss: [0, 10, 100, 500, 1000][self.dice.index(5)],
            duplicate: [0, 20, 300][self.dice.index(3)],
            delay: self.dice.duration(Duration::ZERO, Duration::from_millis(200)),
            spread: Duration::from_millis([0, 5, 500, 3000][self.dice.index(4)]),
        };
    }

    /// Something happens to somebody.
    fn mishap(&mut self) {
        let number = self.dice.index(self.peers.len());
        match self.dice.below(6) {
            0 if self.scenario.lives[number].speaks => {
                let address = self.new_address(number);
                self.peers[number].roam(address);
            }
            1 => self.peers[number].restart(self.now),
            2 => self.restart_server(),
            3 => self.gateway_answers = !self.gateway_answers,
            4 => self.overload(),
            _ => {}
        }
    }

    /// Another port, another address, or even the other family.
    fn new_address(&mut self, number: usize) -> SocketAddr {
        let mut address = self.peers[number].address();
        let port = 1024 + u16::try_from(self.dice.below(60_000)).unwrap();
        let host = u32::try_from(number + self.peers.len() * (1 + self.dice.index(8))).unwrap();
        match self.dice.below(3) {
            0 => {}
            1 => address = site::outer_v4(host),
            _ => address = site::outer_v6(host),
        }
        address.set_port(port);
        address
    }

    fn restart_server(&mut self) {
        self.server.close();
        let totals = self.server.totals();
        assert_eq!(totals.unaccounted(), 0, "closed books\n{totals}");
        assert_eq!(self.server.buffers_held(), 0, "a closed server holds no buffer");
        self.server = server(&self.scenario, self.servers, self.now);
        self.servers += 1;
        self.books = (0, 0);
    }

    /// So much work for the handshake threads that cookies are asked for.
    fn overload(&mut self) {
        while self.server.exchange.jobs_waiting(0) < JOBS_UNDER_LOAD {
            assert!(self.server.exchange.submit(0, Job::Abandon(0)));
        }
    }

    /// Nobody says anything any more: sessions are forgotten and every slot comes home.
    pub(crate) fn fall_silent(&mut self) {
        self.peers.clear();
        self.is_talking = false;
        self.run(FORGET_TIME * 3);
        let (free, live) = self.server.slots_free_and_live();
        let slots = self.server.slots * self.scenario.workers;
        // Who is to be kept awake is called from time to time.
        let called = self.scenario.lives.iter().filter(|life| life.peer.persistent_keepalive != 0);
        assert_eq!(live, 0, "sessions of nobody");
        assert!(slots - free <= called.count(), "{} slots are lost", slots - free);
        assert_eq!(self.server.totals().held, 0);
        assert_eq!(self.server.buffers_held(), 0);
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            let flight = self.flights.peek().map(|flight| flight.0.at);
            let deadline = self.peers.iter().filter_map(Peer::deadline).min();
            let next = [flight, deadline, Some(self.talk_at), Some(self.turn_at)]
                .into_iter()
                .flatten()
                .min();
            self.now = next.unwrap_or(until).clamp(self.now, until);
            let mut is_due = self.land();
            for number in 0..self.peers.len() {
                if self.peers[number].deadline().is_some_and(|deadline| deadline <= self.now) {
                    self.peers[number].tick(self.now);
                }
                self.collect(number);
            }
            is_due |= self.talk();
            if is_due || self.turn_at <= self.now {
                self.turn();
            }
        }
    }

    /// Everything that arrives now; says whether the server has got something.
    fn land(&mut self) -> bool {
        let mut is_due = false;
        while self.flights.peek().is_some_and(|flight| flight.0.at <= self.now) {
            match self.flights.pop().unwrap().0.cargo {
                Cargo::ToServer(place, octets) => {
                    self.put(place, &octets);
                    is_due = true;
                }
                Cargo::ToClient(from, to, octets) => {
                    if let Some(peer) = self.peers.iter_mut().find(|peer| peer.address() == to) {
                        peer.receive(&octets, from, self.now);
                    }
                }
            }
        }
        is_due
    }

    fn put(&mut self, place: Place, octets: &[u8]) {
        self.server.put(place, octets);
        self.books.0 += 1;
    }

    /// Takes what a client has for the link and what it has got.
    fn collect(&mut self, number: usize) {
        let address = self.peers[number].address();
        let (outbox, inbox) = self.peers[number].take();
        for packet in inbox {
            self.ledger.arrive(Party::Client(number), &packet);
        }
        for octets in outbox {
            let frame = packets::datagram(address, site::server(address.ip()), &octets);
            let place = self.queue_of(address);
            self.launch(|| Cargo::ToServer(place, frame.clone()));
        }
    }

    /// The device spreads flows over its queues.
    fn queue_of(&self, from: SocketAddr) -> Place {
        Place::Wire { port: 0, worker: usize::from(from.port()) % self.scenario.queues }
    }

    fn launch(&mut self, cargo: impl Fn() -> Cargo) {
        let copies = 1 + usize::from(self.dice.permille(self.link.duplicate));
        for _ in 0..copies {
            let late = self.dice.duration(Duration::ZERO, self.link.spread);
            if !self.dice.permille(self.link.loss) {
                let at = self.now + self.link.delay + late;
                self.order += 1;
                self.flights.push(Reverse(Flight { at, order: self.order, cargo: cargo() }));
            }
        }
    }

    /// Users speak: each client that does, and the kernel to each client; says whether the server has got
    /// something.
    fn talk(&mut self) -> bool {
        if self.talk_at > self.now {
            return false;
        }
        self.talk_at = self.now + self.dice.duration(PACE / 2, PACE);
        if !self.is_talking {
            return false;
        }
        for number in 0..self.peers.len() {
            if self.scenario.lives[number].speaks {
                let to = self.partner(number);
                let packet = self.packet(Party::Client(number), to);
                self.peers[number].send(&packet, self.now);
                self.collect(number);
            }
            let packet = self.packet(Party::Local, Party::Client(number));
            let worker = self.dice.index(self.scenario.workers);
            self.put(Place::Local { worker }, &packets::from_local(&packet));
        }
        true
    }

    fn partner(&mut self, number: usize) -> Party {
        let other = self.dice.index(self.peers.len());
        if other == number { Party::Local } else { Party::Client(other) }
    }

    fn packet(&mut self, from: Party, to: Party) -> Vec<u8> {
        let (is_v6, len) = (self.dice.permille(500), self.dice.index(FILLING_MAX + 1));
        self.ledger.send((from, to), (is_v6, len), self.now)
    }

    /// The server's turns, until it rests; then its books are checked.
    fn turn(&mut self) {
        self.server.settle(self.now);
        self.turn_at = self.now + STEP;
        for (place, octets) in self.server.take() {
            self.books.1 += 1;
            match place {
                Place::Local { .. } => {
                    let (_, packet) =
                        packets::packet_in(&octets).expect("an IP packet to the kernel");
                    self.ledger.arrive(Party::Local, packet);
                }
                Place::Kernel { .. } => {}
                Place::Wire { .. } => self.carry(place, &octets),
            }
        }
        self.audit();
    }

    /// A frame on the server's link: a question for the gateway, or a datagram beyond it.
    fn carry(&mut self, place: Place, octets: &[u8]) {
        if let Some((from, to, payload)) = packets::datagram_in(octets) {
            self.launch(|| Cargo::ToClient(from, to, payload.to_vec()));
        } else if self.gateway_answers
            && let Some(reply) = packets::answer(octets, site::GATEWAY, |_| true)
        {
            let at = self.now + Duration::from_millis(1);
            self.order += 1;
            self.flights.push(Reverse(Flight {
                at,
                order: self.order,
                cargo: Cargo::ToServer(place, reply),
            }));
        }
    }

    fn audit(&self) {
        let totals = self.server.totals();
        assert_eq!(totals.unaccounted(), 0, "{totals}");
        assert_eq!(totals.received, self.books.0, "frames that went in\n{totals}");
        assert_eq!(
            totals.transmitted + totals.delivered,
            self.books.1,
            "frames that came out\n{totals}"
        );
        assert_eq!(self.server.buffers_held() as u64, totals.held, "no buffer leaks\n{totals}");
        assert_eq!((totals.pool_empty, totals.orders_lost), (0, 0), "{totals}");
        let (free, live) = self.server.slots_free_and_live();
        let slots = self.server.slots * self.scenario.workers;
        // Beside live sessions, each peer has at most one handshake under way.
        assert!(
            (live..=live + self.scenario.lives.len()).contains(&(slots - free)),
            "{live} live, {free} free"
        );
        for reason in NEVER {
            assert_eq!(totals.dropped(*reason), 0, "{}\n{totals}", reason.name());
        }
    }
}

fn server(scenario: &Scenario, life: u64, now: Instant) -> Server {
    let seed = scenario.seed << 16 | life;
    let options = Options { seed, now, queues: scenario.queues, ..Options::default() };
    Server::with(&scenario.config(), options)
}
