//! Acts on the fate of every packet: the one place that moves, frees and counts them.

use arrayvec::ArrayVec;
use wire::ipv4::{self, fragment};
use wireguard::time::Instant;

use super::Worker;
use crate::burst::{Burst, Outcome};
use crate::counters::{Counter, Counters};
use crate::exchange::{Exchange, Job, Message};
use crate::fate::{DropReason, Fate, MACHINE, Split};
use crate::frame::{Endpoint, Entry, Frame, Kind, Note};
use crate::limits::BURST_LEN_MAX;
use crate::pipeline::State;
use crate::port::{Batch, Io, Packet, Queue};
use crate::stages::dos::{Sender, shown_id};
use crate::stages::route::NextHop;
use crate::table::Key;

/// Packets that leave in this turn, by destination.
#[derive(Debug)]
pub(super) struct Outgoing<P> {
    wires: Vec<Batch<P>>,
    kernels: Vec<Batch<P>>,
    local: Batch<P>,
    workers: Vec<Batch<P>>,
}

impl<P> Outgoing<P> {
    pub(super) fn new(wires: usize, workers: usize) -> Self {
        let batches = |count| (0..count).map(|_| Batch::new()).collect();
        Self {
            wires: batches(wires),
            kernels: batches(wires),
            local: Batch::new(),
            workers: batches(workers),
        }
    }
}

impl<I: Io> Worker<I> {
    /// Moves or frees each packet by its fate, then sends what leaves.
    pub(super) fn settle(
        &mut self,
        packets: Batch<I::Packet>,
        outcomes: ArrayVec<Outcome, BURST_LEN_MAX>,
        now: Instant,
    ) {
        for (mut packet, outcome) in packets.into_iter().zip(outcomes) {
            packet.set_range(outcome.start, outcome.len);
            self.sort(packet, outcome, now);
        }
        self.flush();
    }

    /// Sends a packet in pieces that fit; each begins a way of its own.
    #[cold]
    fn split(&mut self, packet: I::Packet, (mtu, note): (usize, Note), now: Instant) {
        let (start, len) = (packet.start(), packet.len());
        let mut whole = packet;
        let octets = whole.octets_mut().get_mut(start..start + len).unwrap_or_default();
        let is_atomic = ipv4::Header::of(octets).is_ok_and(|header| header.is_atomic());
        let Ok(pieces) = fragment::pieces(octets, mtu) else {
            return self.state.counters.drop_one(DropReason::EgressTooBig);
        };
        let pieces = if is_atomic { pieces.identified(self.next_identification()) } else { pieces };
        for piece in pieces {
            self.make_piece(octets, &piece, note, now);
        }
        self.state.counters.consumed.add(1);
    }

    /// A number that none of the packets of this worker bears that were split shortly before, and hardly one of another's or of
    /// another server's.
    fn next_identification(&self) -> u16 {
        let apart = self.state.tenancy.tallies().apart();
        #[expect(clippy::cast_possible_truncation, reason = "any sixteen bits that change will do")]
        let identification = self.state.counters.made.value().wrapping_add(apart) as u16;
        identification
    }

    #[inline]
    fn sort(&mut self, mut packet: I::Packet, outcome: Outcome, now: Instant) {
        let outgoing = &mut self.outgoing;
        let batch = match outcome.fate {
            Fate::Transmit(port) => match self.queues.wires.get(usize::from(port)) {
                Some(wire) if wire.queue.is_none() => {
                    packet.set_tag(Entry::Relay(port).tag(true));
                    outgoing.workers.get_mut(wire.relay)
                }
                Some(_) | None => outgoing.wires.get_mut(usize::from(port)),
            },
            Fate::Kernel(port) => outgoing.kernels.get_mut(usize::from(port)),
            Fate::Local => Some(&mut outgoing.local),
            Fate::HandOver(worker) => {
                packet.set_tag(outcome.tag);
                outgoing.workers.get_mut(usize::from(worker))
            }
            Fate::Hold(key) => {
                packet.set_tag(outcome.tag);
                if self.held.push(key, packet, now).is_err() {
                    self.state.counters.drop_one(DropReason::HoldFull);
                }
                return;
            }
            Fate::Split(Split { mtu, tunnel }) => {
                let next_hop = NextHop::Tunnel(tunnel);
                let note = Note::own(Kind::Inner, Endpoint::NONE, next_hop);
                return self.split(packet, (mtu.into(), note), now);
            }
            Fate::Pieces(client) => {
                let next_hop =
                    if client == MACHINE { NextHop::Local } else { NextHop::Client(client) };
                // As the whole would have gone on.
                let note = Note { next_hop, ..Note::new(Entry::Client) };
                return self.split(packet, (self.state.site.inner_mtu, note), now);
            }
            Fate::Cut(mtu) => {
                let mut note = Note::new(Entry::Handed);
                note.begin_handed(outcome.tag);
                return self.split(packet, (mtu.into(), note), now);
            }
            // Counted when it went into the ring.
            Fate::Handshake => return,
            Fate::Consumed => return self.state.counters.consumed.add(1),
            Fate::Drop(reason) => return self.state.counters.drop_one(reason),
            // Every stage has passed it: it is of no use to anybody.
            Fate::Undecided => return self.state.counters.drop_one(DropReason::RouteNone),
        };
        // A batch has room for a whole burst and is flushed after each.
        if batch.is_none_or(|batch| batch.try_push(packet).is_err()) {
            self.state.counters.drop_one(DropReason::LinkNoRoute);
        }
    }

    fn flush(&mut self) {
        let counters = &self.state.counters;
        let outgoing = &mut self.outgoing;
        for (wire, batch) in self.queues.wires.iter_mut().zip(&mut outgoing.wires) {
            if !batch.is_empty() {
                let octets = octets_of(batch);
                let (queue, full) = (wire.queue.as_mut(), DropReason::TransmitFull);
                let lost = send(queue, batch, &counters.transmitted, full, counters);
                counters.transmitted_octets.add(octets - lost);
            }
        }
        for (wire, batch) in self.queues.wires.iter_mut().zip(&mut outgoing.kernels) {
            let queue = wire.kernel.as_mut();
            send(queue, batch, &counters.delivered, DropReason::KernelFull, counters);
        }
        let local = self.queues.local.as_mut();
        send(local, &mut outgoing.local, &counters.delivered, DropReason::KernelFull, counters);
        for (ring, batch) in self.queues.outbound.iter_mut().zip(&mut outgoing.workers) {
            let full = DropReason::HandOverFull;
            send(ring.as_mut(), batch, &counters.handed_over, full, counters);
        }
    }
}

fn octets_of<P: Packet>(batch: &Batch<P>) -> u64 {
    batch.iter().map(|packet| packet.len() as u64).sum()
}

/// Sends a batch; what the queue leaves is freed and counted. Gives the octets of that.
#[inline]
fn send<Q: Queue>(
    queue: Option<&mut Q>,
    batch: &mut Batch<Q::Packet>,
    sent: &Counter,
    full: DropReason,
    counters: &Counters,
) -> u64 {
    let count = batch.len();
    if count == 0 {
        return 0;
    }
    if let Some(queue) = queue {
        queue.transmit(batch);
    }
    sent.add((count - batch.len()) as u64);
    let lost = octets_of(batch);
    for packet in batch.drain(..) {
        drop(packet);
        counters.drop_one(full);
    }
    lost
}

/// Puts copies of handshake messages into the rings of their threads; the buffers are free at once.
pub(super) fn submit_handshakes(burst: &mut Burst<'_>, state: &State, exchange: &Exchange) {
    for frame in burst.frames() {
        if frame.fate != Fate::Handshake {
            continue;
        }
        let thread = thread_of(frame, state, exchange);
        let message = Message::new(frame.data(), frame.note.endpoint, shown_id(frame.note));
        let named = frame.note.passage.is_some_and(|passage| passage.named);
        let sender = frame.note.sender;
        let taken = message.is_some_and(|mut message| {
            (message.named, message.sender) = (named, sender);
            exchange.submit_of(sender, thread, Job::Arrived(message))
        });
        if taken {
            state.counters.handed_over.add(1);
        } else {
            frame.fate = Fate::Drop(full(sender, state));
        }
    }
}

/// Why there is no room for a message: under load strangers have no more than their share.
fn full(sender: Sender, state: &State) -> DropReason {
    match sender {
        Sender::Newcomer | Sender::Eager if state.filter.defence.is_under_load() => {
            DropReason::DosHandshakeBudget
        }
        Sender::Known | Sender::Newcomer | Sender::Eager => DropReason::HandshakeFull,
    }
}

/// Initiations may go to any thread, so they are spread by their ephemeral key, under a seed of ours: nobody
/// outside can aim at one thread. Answers go to the thread that waits for them, which the receiver index names.
fn thread_of(frame: &Frame<'_>, state: &State, exchange: &Exchange) -> usize {
    let octets = frame.data();
    let word = |at: usize| {
        octets.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes)
    };
    let number = match octets.first() {
        Some(&wireguard::message::INITIATION) => word(8).hash(state.seed),
        Some(&wireguard::message::RESPONSE) => state.owner.permutation.place(word(8)).slot.into(),
        _ => state.owner.permutation.place(word(4)).slot.into(),
    };
    let threads = exchange.threads().max(1) as u64;
    // A remainder is below the number of threads.
    usize::try_from(number % threads).unwrap_or(0)
}
