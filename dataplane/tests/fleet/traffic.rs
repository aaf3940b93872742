//! What clients and the services behind the servers say, and what is held against the fleet when it does not come
//! through.

use std::net::SocketAddr;
use std::time::Duration;

use dataplane::testing::packets;
use dataplane::testing::server::Place;
use wireguard::message::{DATA, DATA_LEN_MIN, INITIATION};
use wireguard::time::Instant;

use super::caller::Orphan;
use super::flow::{Mark, Segment, Sent, Verdict};
use super::plan::WORKERS;
use super::router::client_delay;
use super::world::{Event, World};

const SECOND: Duration = Duration::from_secs(1);
/// Nobody moves so soon after he has spoken: what he sent before would overtake, and be answered where he was.
const REST: Duration = Duration::from_millis(200);
/// The longest that a service thinks before it answers.
const THOUGHT: Duration = Duration::from_millis(300);
/// What a service says by itself follows within this time.
const PUSHES: Duration = Duration::from_secs(8);

impl World {
    /// A client says something, and then waits: shortly, for some time with its flows open, or so long that its
    /// session ends.
    pub(crate) fn talk(&mut self, client: usize) {
        let caller = &mut self.callers[client];
        if !caller.is_talking {
            caller.is_talking = true;
            caller.turns_at = self.now + self.dice.duration(60 * SECOND, 400 * SECOND);
        }
        let is_over = caller.turns_at <= self.now && !caller.life.is_steady;
        let Some(request) = caller.request(&mut self.dice, is_over) else {
            caller.is_talking = false;
            let silence = self.dice.duration(200 * SECOND, 400 * SECOND);
            return self.plan(silence, Event::Talk(client));
        };
        self.ask(client, request);
        let pause = if self.dice.permille(20) {
            self.dice.duration(5 * SECOND, 45 * SECOND)
        } else {
            self.dice.duration(SECOND / 2, 6 * SECOND)
        };
        self.plan(pause, Event::Talk(client));
    }

    fn ask(&mut self, client: usize, request: Segment) {
        let caller = &mut self.callers[client];
        let was_connected = caller.client.is_connected(self.now);
        // What has no session yet waits in the tunnel.
        let _ = caller.client.send(&request.packet(), self.now);
        self.figures.requests += 1;
        self.ledger.send(request, Sent { at: self.now, was_connected });
        self.flush(client);
    }

    /// A client that talks moves, and says something from there at once.
    pub(crate) fn relocate(&mut self, client: usize) {
        let caller = &mut self.callers[client];
        if self.now.since(caller.sent_at) < REST {
            return self.plan(REST, Event::Move(client));
        }
        if caller.is_talking {
            caller.roam(&mut self.dice, self.now);
            self.figures.moves += 1;
            if let Some(request) = self.callers[client].request(&mut self.dice, false) {
                self.ask(client, request);
            }
        }
        let pause = self.dice.duration(10 * SECOND, 120 * SECOND);
        self.plan(pause, Event::Move(client));
    }

    pub(crate) fn tick(&mut self, client: usize) {
        let caller = &mut self.callers[client];
        if caller.tick_at == self.now {
            caller.tick_at = Instant::NEVER;
            caller.client.tick(self.now);
            self.flush(client);
        }
    }

    /// A datagram has come to where a client may be.
    pub(crate) fn reach(&mut self, to: SocketAddr, from: SocketAddr, octets: &[u8]) {
        if self.attack.as_mut().is_some_and(|attack| attack.hear(to, from, octets, self.now)) {
            return;
        }
        let Some(client) = self.callers.iter().position(|caller| caller.hears(to, self.now)) else {
            return self.figures.astray.push(self.now);
        };
        let caller = &mut self.callers[client];
        if caller.life.sends.is_none() {
            assert_eq!(octets[1..4], [0; 3], "client {client} knows nothing of ids");
        }
        if caller.receive(octets, from, self.now) {
            self.served_again(client);
        }
        let caller = &mut self.callers[client];
        if octets[0] == DATA && octets.len() > DATA_LEN_MIN {
            // A server that is about to go still serves.
            caller.orphan = caller.orphan.map(|orphan| Orphan { spoke: None, ..orphan });
        }
        for packet in std::mem::take(&mut caller.client.inbox) {
            self.replied(client, &Segment::read(&packet));
        }
        self.flush(client);
    }

    fn replied(&mut self, client: usize, reply: &Segment) {
        assert!(!reply.is_request && reply.client() == client, "{reply:?} came to {client}");
        let is_known = self.ledger.arrive(reply).is_some() || reply.mark == Mark::Reset;
        if !is_known {
            self.wonder(reply.flow);
        }
        self.callers[client].take(reply);
    }

    /// Something has come that is not under way.
    fn wonder(&mut self, flow: u64) {
        let is_explained = self.cut.contains(&flow) || self.late.contains(&flow);
        self.figures.unexpected += usize::from(!is_explained);
    }

    /// Sends what a client has to say, and sees to its timer.
    fn flush(&mut self, client: usize) {
        let now = self.now;
        let outbox = std::mem::take(&mut self.callers[client].client.outbox);
        for (_, octets) in outbox {
            self.figures.initiations += u64::from(octets[0] == INITIATION);
            let is_excused = self.excuses(client, now);
            let breach = self.callers[client].judge(&octets, now);
            if let Some(breach) = breach.filter(|_| !is_excused) {
                self.figures.broken_sessions.push((now, client, breach));
            }
            if octets[0] == DATA {
                self.note_sent(client, octets.len() > DATA_LEN_MIN);
            }
            if let Some(attack) = &mut self.attack {
                attack.overhear(&octets, self.dice.index(usize::MAX), self.now);
            }
            self.send(client, &octets);
        }
        let Some(deadline) = self.callers[client].client.deadline() else { return };
        let at = self.moment(deadline.since(now));
        if at < self.callers[client].tick_at {
            self.callers[client].tick_at = at;
            self.plan(deadline.since(now), Event::Tick(client));
        }
    }

    /// An inner packet has come out of a server towards what is behind it.
    pub(crate) fn serve(&mut self, server: u8, octets: &[u8]) {
        let (_, packet) = packets::packet_in(octets).expect("an IP packet to the kernel");
        let request = Segment::read(packet);
        assert!(request.is_request, "{request:?} went the wrong way");
        let sent = self.ledger.arrive(&request);
        let client = request.client();
        if sent.is_none() {
            self.wonder(request.flow);
        }
        let extra = sent.filter(|sent| sent.was_connected).map(|sent| self.now.since(sent.at));
        self.figures.extra.extend(extra.map(|time| time.saturating_sub(client_delay(client))));
        let verdict = self.stations.get_mut(&server).unwrap().nat.take(&request);
        self.figures.flows += usize::from(request.number == 0);
        let (Verdict::Reply(reply) | Verdict::Broken(reply)) = verdict;
        if matches!(verdict, Verdict::Broken(_)) && !self.cut.contains(&request.flow) {
            self.figures.broken_flows.push((self.now, request.flow));
        }
        let thought = self.dice.duration(Duration::ZERO, THOUGHT);
        self.plan(thought, Event::Answer(server, reply));
        if self.dice.permille(200) && reply.mark != Mark::Ending && reply.mark != Mark::Reset {
            let pause = self.dice.duration(THOUGHT, PUSHES);
            self.plan(pause, Event::Push(server, request.flow));
        }
    }

    pub(crate) fn push(&mut self, server: u8, flow: u64) {
        let push = self.stations.get_mut(&server).and_then(|station| station.nat.push(flow));
        if let Some(push) = push {
            self.answer(server, push);
        }
    }

    pub(crate) fn answer(&mut self, server: u8, reply: Segment) {
        let worker = self.dice.index(WORKERS);
        let Some(station) = self.stations.get_mut(&server) else { return };
        station.put(Place::Local { worker }, &packets::from_local(&reply.packet()));
        if reply.mark != Mark::Reset {
            self.ledger.send(reply, Sent { at: self.now, was_connected: true });
        }
    }

    /// What should have arrived by now.
    pub(crate) fn audit(&mut self) {
        for ((flow, is_request, number), sent) in self.ledger.overdue(self.now) {
            let client = usize::try_from(flow >> 32).unwrap();
            if self.excuses(client, sent.at) {
                self.late.insert(flow);
            } else if !self.cut.contains(&flow) {
                self.figures.lost.push((sent.at, flow, is_request, number));
            }
        }
    }

    /// Whether what a client has sent at this time may be lost.
    fn excuses(&self, client: usize, at: Instant) -> bool {
        let caller = &self.callers[client];
        at <= self.excused_until || at <= caller.excused_until || caller.orphan.is_some()
    }

    /// The clients that a server had are without a session that anybody knows; all others know so after this time.
    pub(crate) fn orphan_clients_of(&mut self, server: u8, known_after: Duration) {
        let known_at = self.now + known_after;
        for caller in &mut self.callers {
            if caller.home == Some(server.into()) && caller.client.is_connected(self.now) {
                caller.orphan = Some(Orphan { known_at, spoke: None });
            }
        }
    }

    /// A client says something: from now on it is seen how long it takes until it is served again.
    fn note_sent(&mut self, client: usize, expects_answer: bool) {
        let caller = &mut self.callers[client];
        let is_stock = caller.life.sends.is_none();
        if let Some(orphan) = &mut caller.orphan
            && (if is_stock { expects_answer } else { orphan.known_at <= self.now })
        {
            orphan.spoke.get_or_insert(self.now);
        }
    }

    /// A client has a new session.
    fn served_again(&mut self, client: usize) {
        let caller = &mut self.callers[client];
        let Some(orphan) = caller.orphan.take() else { return };
        caller.excused_until = self.now;
        let kind = usize::from(caller.life.sends.is_none());
        self.figures.recovery[kind].extend(orphan.spoke.map(|spoke| self.now.since(spoke)));
    }
}
