//! The frames that a worker makes by itself: keepalives, handshake messages, questions for neighbours.

use arrayvec::ArrayVec;
use wire::ipv4::fragment;
use wireguard::message::{ClientId, put_client_id};
use wireguard::time::Instant;

use super::{Worker, walk};
use crate::burst::Burst;
use crate::exchange::{Message, Order, Probe};
use crate::fate::{DropReason, Waiting};
use crate::fleet::Passage;
use crate::frame::{Endpoint, Kind, Note};
use crate::limits::{BURST_LEN_MAX, HELD_PER_KEY_MAX, OUTBOX_PACKET_LEN, TIMERS_PER_TURN};
use crate::neighbours::{Gone, Name};
use crate::pipeline::State;
use crate::port::{Batch, Io, Packet, Pool};
use crate::site::global_number;
use crate::stages::egress::meter::{self, Ask};
use crate::stages::egress::nat::Translator;
use crate::stages::route::NextHop;
use crate::stages::wireguard::sessions::Due;

/// The note of a frame to a neighbour.
pub(super) fn note_to(name: Name) -> Note {
    let endpoint = Endpoint { remote: name.address, port: name.port, ..Endpoint::NONE };
    Note::own(Kind::Question, endpoint, NextHop::None)
}

impl<I: Io> Worker<I> {
    /// Serves timers and sends what they, and the orders of this turn, ask for.
    pub(super) fn make_own(&mut self, now: Instant) -> usize {
        let mut due = Due::default();
        self.state.sessions.tick(now, &mut due);
        let mut gone = ArrayVec::<Gone, TIMERS_PER_TURN>::new();
        self.state.neighbours.tick(now, &mut gone);
        for Gone(id) in gone {
            self.lose(Waiting::Neighbour(id), DropReason::LinkUnresolved);
        }
        for peer in due.given_up {
            self.lose(Waiting::Peer(peer), DropReason::HoldExpired);
        }
        self.tell_news();

        let mut moved = 0;
        while let Some(message) = self.messages.pop_at(0) {
            moved += 1;
            let note = Note::own(Kind::Datagram, message.endpoint, NextHop::None);
            self.make(note, message.octets(), now, |octets| {
                put_client_id(octets, message.client_id);
            });
        }
        if self.state.translator.as_ref().is_some_and(Translator::has_packets) {
            moved += self.make_segments(now);
        }
        for local in due.keepalives {
            moved += 1;
            self.send_keepalive(local, now);
        }
        // Last, so that what was sent above and met an unknown neighbour asks in the same turn.
        while let Some(name) = self.state.neighbours.next_question() {
            moved += 1;
            self.make(note_to(name), &[], now, |_| ());
        }
        moved
    }

    /// Sends what connections have to say that are being opened.
    #[cold]
    fn make_segments(&mut self, now: Instant) -> usize {
        let mut made = 0;
        let mut octets = [0; OUTBOX_PACKET_LEN];
        while let Some(translator) = &mut self.state.translator
            && let Some((note, len)) = translator.take_packet(&mut octets)
        {
            made += 1;
            self.make(note, octets.get(..len).unwrap_or_default(), now, |_| ());
        }
        made
    }

    /// Passes a handshake message, whose peer was found out here, on to another server.
    pub(super) fn pass_on(
        &mut self,
        message: &Message,
        id: ClientId,
        passage: Passage,
        now: Instant,
    ) {
        let passage = Some(passage);
        let note = Note { passage, ..Note::own(Kind::Foreign, message.endpoint, NextHop::None) };
        self.make(note, message.octets(), now, |octets| put_client_id(octets, id));
    }

    /// Sends an empty packet to a peer that has a session.
    pub(super) fn send_keepalive(&mut self, local: u32, now: Instant) {
        let worker = usize::from(self.state.owner.worker);
        let number = global_number(local, worker, self.state.owner.workers);
        let note = Note::own(Kind::Inner, Endpoint::NONE, NextHop::Client(number));
        self.make(note, &[], now, |_| ());
    }

    /// Asks through a tunnel whether its far end is there.
    pub(super) fn send_probe(&mut self, probe: &Probe, now: Instant) {
        let note = Note::own(Kind::Inner, Endpoint::NONE, NextHop::Tunnel(probe.tunnel));
        self.make(note, probe.octets(), now, |_| ());
    }

    /// Asks a machine of another data centre how far it is.
    pub(super) fn send_measure(&mut self, ask: &Ask, now: Instant) {
        let State { site, routes, translator, .. } = &self.state;
        let mut octets = [0; meter::LEN_MAX];
        let about = (&**site, routes.centres().here());
        let asked =
            translator.as_ref().and_then(|all| all.meter().ask(ask, about, &mut octets, now));
        if let Some((note, len)) = asked {
            self.make(note, octets.get(..len).unwrap_or_default(), now, |_| ());
        }
    }

    /// Makes a piece of a packet that is too long for its way.
    pub(super) fn make_piece(
        &mut self,
        whole: &[u8],
        piece: &fragment::Piece,
        note: Note,
        now: Instant,
    ) {
        self.make_with(note, now, |room| fragment::emit(room, whole, piece).unwrap_or(0));
    }

    /// Makes one frame of these octets and sends it on its way. They are rare enough not to wait for each
    /// other.
    fn make(&mut self, note: Note, octets: &[u8], now: Instant, finish: impl FnOnce(&mut [u8])) {
        self.make_with(note, now, |room| {
            let Some(room) = room.get_mut(..octets.len()) else { return 0 };
            room.copy_from_slice(octets);
            finish(room);
            octets.len()
        });
    }

    /// Makes one frame of what is written into its room.
    fn make_with(&mut self, note: Note, now: Instant, write: impl FnOnce(&mut [u8]) -> usize) {
        let Some(mut packet) = self.queues.pool.allocate() else {
            self.state.counters.pool_empty.add(1);
            return;
        };
        self.state.counters.made.add(1);
        let start = packet.start();
        let len = packet.octets_mut().get_mut(start..).map_or(0, write);
        packet.set_range(start, len);
        let mut packets = Batch::<I::Packet>::new();
        packets.push(packet);
        let mut burst = Burst::lend_known(&mut packets, &mut self.notes, note);
        let outcomes = walk(&mut burst, &mut self.state, &self.exchange, now);
        drop(burst);
        self.settle(packets, outcomes, now);
    }

    /// What this worker has learned of neighbours, the others want to know as well.
    fn tell_news(&mut self) {
        let own = usize::from(self.state.owner.worker);
        while let Some((tunnel, mtu)) = self.state.path_mtus.next_news() {
            for worker in (0..self.exchange.workers()).filter(|worker| *worker != own) {
                if !self.exchange.mention(worker, Order::PathMtu(tunnel, mtu)) {
                    self.state.counters.orders_lost.add(1);
                    self.state.path_mtus.forget(tunnel);
                }
            }
        }
        while let Some((name, heard)) = self.state.neighbours.next_news() {
            for worker in (0..self.exchange.workers()).filter(|worker| *worker != own) {
                if !self.exchange.mention(worker, Order::Learned(name, heard)) {
                    self.state.counters.orders_lost.add(1);
                }
            }
        }
    }
}

const _: () = assert!(BURST_LEN_MAX >= HELD_PER_KEY_MAX, "a release is one burst");
