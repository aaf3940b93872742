//! What one core owns, and its turn: orders, received frames, timers, frames of our own.

mod own;
mod settle;

use std::sync::Arc;

use arrayvec::ArrayVec;
use wireguard::time::Instant;

use crate::burst::{self, Burst};
use crate::exchange::{Exchange, Message, Order};
use crate::fate::{DropReason, Waiting};
use crate::frame::{Endpoint, Entry, Kind, Note};
use crate::held::Held;
use crate::limits::{ORDERS_PER_TURN, OWN_PER_TURN};
use crate::packet::broken;
use crate::pipeline::{self, State};
use crate::port::{Batch, Io, Queue};
use crate::site::global_number;
use crate::stages::dos::Rules;
use crate::stages::egress::nat::Outside;
use crate::stages::route::NextHop;
use crate::stages::tenant::Settled;
use crate::stages::wireguard::sessions::Setup;

use settle::Outgoing;

/// A port's queue and the kernel's face of that port.
#[derive(Debug)]
pub struct Wire<Q> {
    /// To and from the network; none when the device has fewer queues than there are workers.
    pub queue: Option<Q>,
    /// The worker that sends for this one when it has no queue.
    pub relay: usize,
    /// To and from the kernel.
    pub kernel: Option<Q>,
}

/// The queues of one worker.
#[derive(Debug)]
pub struct Queues<I: Io> {
    /// Its queue of every port, in the order of the configuration.
    pub wires: Vec<Wire<I::Queue>>,
    /// To and from the kernel, inner packets.
    pub local: Option<I::Queue>,
    /// Rings from other workers.
    pub inbound: Vec<I::Ring>,
    /// Rings to the workers by number; none to itself.
    pub outbound: Vec<Option<I::Ring>>,
    /// Where its own frames come from.
    pub pool: I::Pool,
}

/// One worker: everything that its core touches.
#[derive(Debug)]
pub struct Worker<I: Io> {
    state: State,
    queues: Queues<I>,
    exchange: Arc<Exchange>,
    held: Held<I::Packet>,
    outgoing: Outgoing<I::Packet>,
    messages: ArrayVec<Message, OWN_PER_TURN>,
    notes: Box<[Note]>,
}

/// A queue that a worker receives from.
#[derive(Clone, Copy)]
enum Source {
    Wire(usize),
    Kernel(usize),
    Local,
    Ring(usize),
}

impl<I: Io> Worker<I> {
    /// A worker over its state and queues.
    pub fn new(state: State, queues: Queues<I>, exchange: Arc<Exchange>, seed: u64) -> Self {
        let outgoing = Outgoing::new(queues.wires.len(), queues.outbound.len());
        let held = Held::new(seed);
        let (messages, notes) = (ArrayVec::new(), burst::notes());
        Self { state, queues, exchange, held, outgoing, messages, notes }
    }

    /// One turn; gives how many frames it moved. `now` does not go back.
    pub fn turn(&mut self, now: Instant) -> usize {
        self.state.filter.advance(now);
        self.state.path_mtus.advance(now);
        let State { site, routes, counters, translator, sessions, .. } = &mut self.state;
        if let Some(translator) = translator {
            translator.advance(Outside { site, routes, counters, now }, |peer, until| {
                sessions.has_flows(peer, until, now);
            });
        }
        let mut moved = self.take_orders(now);
        for wire in 0..self.queues.wires.len() {
            moved += self.receive(Source::Wire(wire), now);
            moved += self.receive(Source::Kernel(wire), now);
        }
        moved += self.receive(Source::Local, now);
        for ring in 0..self.queues.inbound.len() {
            moved += self.receive(Source::Ring(ring), now);
        }
        moved += self.release(now);
        moved += self.make_own(now);
        let counters = &self.state.counters;
        counters.turns.add(1);
        counters.turns_empty.add(u64::from(moved == 0));
        counters.held.set(self.held.len() as u64);
        moved
    }

    fn take_orders(&mut self, now: Instant) -> usize {
        let worker = usize::from(self.state.owner.worker);
        for done in 0..ORDERS_PER_TURN {
            if self.messages.is_full() {
                return done;
            }
            let Some(order) = self.exchange.next_order(worker) else { return done };
            match order {
                Order::Install(install) => {
                    self.state.counters.sessions.add(1);
                    self.messages.extend(self.state.sessions.install(*install, now));
                }
                Order::Send(local, message) => {
                    self.state.sessions.sent_message(local, message.octets().len());
                    self.messages.push(message);
                }
                Order::Learned(name, heard) => self.state.neighbours.learn(name, heard, now),
                Order::Peers(peers, _token) => {
                    self.change_peers(&peers, now);
                    // More may wait than fits between two bursts.
                    return done + 1;
                }
                Order::Routes(routes) => {
                    self.state.routes = routes;
                    self.state.sessions.routes_changed();
                }
                Order::PassOn(passing) => {
                    let (message, id, passage) = *passing;
                    self.pass_on(&message, id, passage, now);
                }
                Order::Call(local, endpoint) => self.state.sessions.call(local, endpoint, now),
                Order::Fleet(membership, _token) => {
                    self.state.sessions.set_fleet(membership.clone());
                    self.state.fleet.membership = membership;
                }
                Order::Rules(rules, _token) => self.set_rules(rules),
                Order::PathMtu(tunnel, mtu) => {
                    self.state.path_mtus.learn(tunnel, mtu);
                }
                Order::Probe(probe) => self.send_probe(&probe, now),
                Order::Measure(ask) => self.send_measure(&ask, now),
                Order::Survey(mut sheet) => {
                    self.state.sessions.survey(&mut sheet);
                    self.exchange.surveyed(worker, sheet);
                }
                Order::Sketch(empty) => {
                    self.exchange.sketched(worker, self.state.filter.turn_in(empty, now));
                }
            }
        }
        ORDERS_PER_TURN
    }

    fn set_rules(&mut self, rules: Arc<Rules>) {
        let before = self.state.filter.rules();
        for number in before.tunnels.others(&rules.tunnels) {
            self.state.path_mtus.forget(number);
        }
        self.state.filter.set_rules(rules);
    }

    fn change_peers(&mut self, peers: &[(u32, Option<Setup>)], now: Instant) {
        for (local, setup) in peers {
            if let Some(setup) = setup {
                self.state.sessions.set(*local, setup, now);
            } else {
                let State { site, routes, counters, translator, sessions, .. } = &mut self.state;
                sessions.remove(*local);
                if let Some(translator) = translator {
                    translator.forget(*local, Outside { site, routes, counters, now });
                }
                self.lose(Waiting::Peer(*local), DropReason::SealNoPeer);
            }
        }
    }

    /// One burst from one queue, all the way.
    fn receive(&mut self, source: Source, now: Instant) -> usize {
        let mut packets = Batch::new();
        let entry = match source {
            Source::Wire(number) => self.poll_wire(number, &mut packets),
            Source::Kernel(number) => self.poll_kernel(number, &mut packets),
            Source::Local => {
                if let Some(queue) = &mut self.queues.local {
                    queue.receive(&mut packets);
                }
                Entry::Local
            }
            Source::Ring(number) => {
                if let Some(ring) = self.queues.inbound.get_mut(number) {
                    ring.receive(&mut packets);
                }
                Entry::Handed
            }
        };
        let count = packets.len();
        if count == 0 {
            return 0;
        }
        let mut burst = if matches!(source, Source::Ring(_)) {
            self.state.counters.taken_over.add(count as u64);
            Burst::lend_handed(&mut packets, &mut self.notes)
        } else {
            let burst = Burst::lend(&mut packets, &mut self.notes, entry);
            self.state.counters.received.add(count as u64);
            self.state.counters.received_octets.add(burst.octets());
            burst
        };
        let outcomes = walk(&mut burst, &mut self.state, &self.exchange, now);
        drop(burst);
        self.settle(packets, outcomes, now);
        count
    }

    fn poll_wire(&mut self, number: usize, into: &mut Batch<I::Packet>) -> Entry {
        if let Some(queue) = self.queues.wires.get_mut(number).and_then(|wire| wire.queue.as_mut())
        {
            queue.receive(into);
        }
        Entry::Wire(port_number(number))
    }

    fn poll_kernel(&mut self, number: usize, into: &mut Batch<I::Packet>) -> Entry {
        if let Some(kernel) =
            self.queues.wires.get_mut(number).and_then(|wire| wire.kernel.as_mut())
        {
            kernel.receive(into);
        }
        Entry::Kernel(port_number(number))
    }

    /// Lets go what has waited for a session or a neighbour that is there now, and what has waited too long.
    fn release(&mut self, now: Instant) -> usize {
        let mut moved = 0;
        while let Some(ready) = self.state.sessions.next_ready() {
            let released = self.release_peer(ready.peer, now);
            moved += released;
            if released == 0 && ready.initiated {
                self.send_keepalive(ready.peer, now);
            }
        }
        while let Some(id) = self.state.neighbours.next_resolved() {
            moved += self.release_neighbour(id, now);
        }
        while let Some(settled) = self.state.next_settled(now) {
            moved += self.settle_datagram(settled, now);
        }
        while let Some((id, has_begun)) = self.state.next_pieces(now) {
            moved += self.release_pieces(id, has_begun, now);
        }
        while let Some(packet) = self.held.take_expired(now) {
            drop(packet);
            self.state.counters.drop_one(DropReason::HoldExpired);
        }
        moved
    }

    fn release_peer(&mut self, peer: u32, now: Instant) -> usize {
        let mut packets = Batch::new();
        while let Some(packet) = self.held.take(Waiting::Peer(peer)) {
            packets.push(packet);
        }
        let count = packets.len();
        if count > 0 {
            // They have been routed, and an address may be many clients'.
            let owner = &self.state.owner;
            let number = global_number(peer, owner.worker.into(), owner.workers);
            let note = Note::own(Kind::Inner, Endpoint::NONE, NextHop::Client(number));
            let mut burst = Burst::lend_known(&mut packets, &mut self.notes, note);
            burst.pass(|frame| frame.read_ip().map(|_| ()).map_err(broken));
            let outcomes = walk(&mut burst, &mut self.state, &self.exchange, now);
            drop(burst);
            self.settle(packets, outcomes, now);
        }
        count
    }

    fn release_neighbour(&mut self, id: u32, now: Instant) -> usize {
        let Some((name, _)) = self.state.neighbours.link_of(id) else { return 0 };
        let note = Note { kind: Kind::Outer, ..own::note_to(name) };
        let mut packets = Batch::new();
        while let Some(packet) = self.held.take(Waiting::Neighbour(id)) {
            packets.push(packet);
        }
        let count = packets.len();
        let mut burst = Burst::lend_known(&mut packets, &mut self.notes, note);
        let outcomes = walk(&mut burst, &mut self.state, &self.exchange, now);
        drop(burst);
        self.settle(packets, outcomes, now);
        count
    }

    /// Lets the pieces go on that have waited for the first one of their datagram, or loses them.
    #[cold]
    fn release_pieces(&mut self, id: u32, has_begun: bool, now: Instant) -> usize {
        let key = Waiting::First(id);
        if !has_begun {
            self.lose(key, DropReason::EgressNatFragment);
            return 0;
        }
        let mut packets = Batch::new();
        while !packets.is_full()
            && let Some(packet) = self.held.take(key)
        {
            packets.push(packet);
        }
        // Of a datagram there are fewer, if it can be.
        self.lose(key, DropReason::EgressNatFragment);
        let count = packets.len();
        if count > 0 {
            // They were judged when they came in.
            let mut burst = Burst::lend_handed(&mut packets, &mut self.notes);
            let outcomes = walk(&mut burst, &mut self.state, &self.exchange, now);
            drop(burst);
            self.settle(packets, outcomes, now);
        }
        count
    }

    /// Lets the pieces of a datagram go on, or loses them, as its tenant's rules say.
    #[cold]
    fn settle_datagram(&mut self, settled: Settled, now: Instant) -> usize {
        let Settled { id, lost, pieces } = settled;
        let key = Waiting::Datagram(id);
        if let Some(reason) = lost {
            self.lose(key, reason);
            return 0;
        }
        let mut packets = Batch::new();
        while let Some(packet) = self.held.take(key) {
            packets.push(packet);
        }
        let count = packets.len();
        if count < usize::from(pieces) {
            // One of them found no room.
            for packet in packets {
                drop(packet);
                self.state.counters.drop_one(DropReason::TenantFragmentLost);
            }
            return count;
        }
        let mut burst = Burst::lend_pieces(&mut packets, &mut self.notes);
        let outcomes = walk(&mut burst, &mut self.state, &self.exchange, now);
        drop(burst);
        self.settle(packets, outcomes, now);
        count
    }

    /// Drops what waits, under its own name.
    fn lose(&mut self, key: Waiting, reason: DropReason) {
        while let Some(packet) = self.held.take(key) {
            drop(packet);
            self.state.counters.drop_one(reason);
        }
    }

    /// Ends the worker: what is held or on its way from other workers is dropped by name, so that the books
    /// are closed.
    pub fn close(&mut self) {
        let counters = Arc::clone(&self.state.counters);
        while let Some(packet) = self.held.take_any() {
            drop(packet);
            counters.drop_one(DropReason::Stopped);
        }
        for ring in &mut self.queues.inbound {
            loop {
                let mut packets = Batch::new();
                ring.receive(&mut packets);
                if packets.is_empty() {
                    break;
                }
                counters.taken_over.add(packets.len() as u64);
                for packet in packets {
                    drop(packet);
                    counters.drop_one(DropReason::Stopped);
                }
            }
        }
        counters.held.set(0);
    }

    /// The worker's state, for reports and tests.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The same for whoever walks packets outside of its turns.
    pub fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// The worker's queues, for tests.
    pub fn queues_mut(&mut self) -> &mut Queues<I> {
        &mut self.queues
    }
}

fn port_number(number: usize) -> u8 {
    // The configuration allows fewer ports than this type has numbers.
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// Walks a burst and hands its handshake messages to their threads while the octets are at hand.
fn walk(
    burst: &mut Burst<'_>,
    state: &mut State,
    exchange: &Exchange,
    now: Instant,
) -> ArrayVec<burst::Outcome, { crate::limits::BURST_LEN_MAX }> {
    pipeline::walk(burst, state, now);
    settle::submit_handshakes(burst, state, exchange);
    burst.finish()
}
