//! The generator of a trial: sends each frame at its moment, takes back what comes, and keeps how late it was itself.

use std::time::Duration;

use dataplane::limits::BURST_LEN_MAX;
use dataplane::port::Batch;
use dpdk::clock::{Clock, cycles};
use dpdk::{Pool, mbuf};
use pktgen::measure::{Latency, Stream, Trailer};
use serde::{Deserialize, Serialize};

use super::frames::Frames;
use crate::Failure;
use crate::load::lane::trailer_of;
use crate::machine::Taken;
use crate::service::client::{self, IP_AT};
use crate::service::server::{End, Ends};

/// After so long without a packet nothing comes any more.
const QUIET_NS: u64 = 5_000_000;
/// Octets of the least packet of a way.
const LEAST: usize = 52;

/// What it has seen.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Frames that the ring took, and those that found it full.
    pub(super) sent: u64,
    pub(super) overflow: u64,
    /// Frames that came back, by their numbers or, where those are sealed, by their count.
    pub(super) received: u64,
    /// Those that had come back when the last one was sent.
    pub(super) in_time: u64,
    pub(super) duplicates: u64,
    pub(super) reordered: u64,
    /// Nanoseconds from planned to real that 99.9 % did not exceed, and those of the last one.
    pub(super) lateness: u64,
    pub(super) last_late: u64,
    /// Nanoseconds until the last one came back.
    pub(super) taken: u64,
    /// What others have taken of its core.
    pub(super) lost: Taken,
    /// From the moment that was planned, and from the one at which a frame really left. Another process does not read them.
    #[serde(skip)]
    pub(super) corrected: Latency,
    #[serde(skip)]
    pub(super) uncorrected: Latency,
}

/// A trial of one generator.
pub(super) struct Run<'a> {
    ends: &'a mut Ends,
    pool: &'a Pool,
    frames: &'a Frames,
    /// Where they come in, and where they leave.
    way: (End, End),
    /// Whether it reads what comes back: when it was planned, and which it is. Else it only counts.
    reads: bool,
    mark: u32,
    stream: Stream,
    lateness: Latency,
    /// When each frame has left.
    left: Vec<u64>,
    seen: Seen,
    next: usize,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        (ends, pool): (&'a mut Ends, &'a Pool),
        frames: &'a Frames,
        (way, reads): ((End, End), bool),
        mark: u32,
    ) -> Self {
        let mut stream = Stream::default();
        (0..frames.len()).for_each(|_| {
            stream.send();
        });
        let (lateness, left, seen) = (Latency::new(), vec![0; frames.len()], Seen::default());
        Self { ends, pool, frames, way, reads, mark, stream, lateness, left, seen, next: 0 }
    }

    /// Sends everything and waits for what comes back.
    pub(super) fn go(mut self, clock: &Clock) -> Result<Seen, Failure> {
        let taken = Taken::so_far();
        let start = clock.nanoseconds(cycles());
        let (mut quiet_since, mut is_counted) = (0, false);
        loop {
            let now = clock.nanoseconds(cycles()) - start;
            let sent = self.send(now)?;
            let came = self.receive(clock.nanoseconds(cycles()) - start);
            if sent > 0 || came > 0 {
                quiet_since = now;
            }
            if came > 0 {
                self.seen.taken = clock.nanoseconds(cycles()) - start;
            }
            if self.next < self.frames.len() {
                continue;
            }
            if !is_counted {
                (self.seen.in_time, is_counted) = (self.seen.received, true);
            }
            let is_complete = self.seen.received >= self.seen.sent;
            if is_complete || now.saturating_sub(quiet_since) > QUIET_NS {
                self.seen.lost = taken.since();
                return Ok(self.seen());
            }
        }
    }

    fn seen(self) -> Seen {
        Seen {
            duplicates: self.stream.duplicates(),
            reordered: self.stream.reordered(),
            lateness: self.lateness.quantile_ns(0.999),
            ..self.seen
        }
    }

    /// Sends what is due; gives how many frames that were.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "nanoseconds of a trial, and a count of frames"
    )]
    fn send(&mut self, now: u64) -> Result<usize, Failure> {
        let due = ((now as f64 / self.frames.interval) as usize + 1).min(self.frames.len());
        let count = (due - self.next).min(BURST_LEN_MAX);
        if count == 0 {
            return Ok(0);
        }
        let mut packets = Batch::new();
        if self.pool.allocate_bulk(&mut packets, count) != count {
            return Err("the pool is empty".into());
        }
        for (packet, number) in packets.iter_mut().zip(self.next..) {
            let frame = self.frames.get(number).ok_or("there is no such frame")?;
            client::write(packet, |room| {
                room.get_mut(..frame.len())?.copy_from_slice(frame);
                Some(frame.len())
            })?;
        }
        // The first of them is the latest.
        let late = now.saturating_sub((self.next as f64 * self.frames.interval) as u64);
        self.lateness.record(Duration::from_nanos(late));
        self.seen.last_late = late;
        if self.reads {
            self.left.iter_mut().skip(self.next).take(count).for_each(|left| *left = now);
        }
        self.next += count;
        self.ends.end(self.way.0).transmit(&mut packets);
        self.seen.sent += (count - packets.len()) as u64;
        self.seen.overflow += packets.len() as u64;
        mbuf::free_bulk(&mut packets);
        Ok(count)
    }

    /// Takes what has come back; gives how many frames that were.
    fn receive(&mut self, now: u64) -> usize {
        let mut packets = Batch::new();
        self.ends.end(self.way.1).receive(&mut packets);
        let count = packets.len();
        if self.reads {
            for packet in &packets {
                let trailer = packet.frame().get(IP_AT..).and_then(trailer_of);
                let ours = trailer.filter(|trailer| trailer.stream == self.mark);
                if let Some(trailer) = ours {
                    self.hear(trailer, now);
                }
            }
            self.seen.received = self.stream.received();
        } else {
            // The server's questions for neighbours are shorter.
            let is_ours = |packet: &&dpdk::Mbuf| packet.frame().len() >= IP_AT + LEAST;
            self.seen.received += packets.iter().filter(is_ours).count() as u64;
        }
        mbuf::free_bulk(&mut packets);
        count
    }

    fn hear(&mut self, trailer: Trailer, now: u64) {
        self.stream.receive(trailer.sequence);
        self.seen.corrected.record(Duration::from_nanos(now.saturating_sub(trailer.planned.0)));
        let left = usize::try_from(trailer.sequence).ok().and_then(|number| self.left.get(number));
        let left = left.copied().unwrap_or(0);
        self.seen.uncorrected.record(Duration::from_nanos(now.saturating_sub(left)));
    }
}
