//! Measuring: what each packet says of itself, and what is learned from those that arrive. Loss, duplicates and
//! reorder come from sequences; latency counts from the moment that was planned for sending.

mod latency;
mod stream;
mod trailer;

pub use latency::{Latency, Percentiles};
pub use stream::{Arrival, Stream};
pub use trailer::{TRAILER_LEN, Trailer};

use std::time::Duration;

use serde::Serialize;
use wireguard::time::Instant;

/// What is known of all streams together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Packets that were given a sequence number and handed to a device.
    pub sent: u64,
    /// Different packets that arrived.
    pub received: u64,
    /// Sent and not arrived: lost, or still on their way.
    pub missing: u64,
    /// Sent to where somebody else measures what arrives.
    pub elsewhere: u64,
    /// Arrivals of a packet that had arrived before.
    pub duplicates: u64,
    /// Arrivals after one with a higher number.
    pub reordered: u64,
    /// Arrivals so far behind that it is not known whether they are duplicates.
    pub too_old: u64,
    /// Trailers of no stream of ours, or of a packet that was not sent yet.
    pub strange: u64,
}

impl Sums {
    /// Whether every packet is where it can be: delivered once, or missing.
    pub const fn adds_up(&self) -> bool {
        self.sent == self.received + self.missing + self.elsewhere && self.strange == 0
    }
}

/// The streams of one run, by number, and their latencies together.
#[derive(Debug)]
pub struct Meter {
    streams: Vec<Stream>,
    strange: u64,
    /// Whether the packets arrive at somebody else.
    is_elsewhere: bool,
    /// What the planned times of trailers lack.
    shift: Duration,
    /// From planned sending to arrival.
    pub latency: Latency,
    /// From planned sending to actual sending.
    pub lateness: Latency,
}

impl Meter {
    /// So many streams, nothing sent. What does not come back because it is measured elsewhere is not missing.
    pub fn new(streams: usize, is_elsewhere: bool) -> Self {
        let streams = vec![Stream::default(); streams];
        let (latency, lateness) = (Latency::new(), Latency::new());
        Self { streams, strange: 0, is_elsewhere, shift: Duration::ZERO, latency, lateness }
    }

    /// The trailer of the stream's next packet, which is planned for `planned`.
    pub fn send(&mut self, stream: u32, planned: Instant) -> Trailer {
        let sequence = self.streams.get_mut(stream as usize).map_or(0, Stream::send);
        Trailer { stream, sequence, planned }
    }

    /// A packet that was planned for `planned` leaves at `now`.
    pub fn late(&mut self, planned: Instant, now: Instant) {
        self.lateness.record(now.since(planned));
    }

    /// The planned times of all trailers are this much before the true ones: they were written before the begin of
    /// the traffic was known.
    pub const fn shift(&mut self, shift: Duration) {
        self.shift = shift;
    }

    /// A packet of the stream did not leave after all.
    pub fn withdraw(&mut self, stream: u32) {
        if let Some(stream) = self.streams.get_mut(stream as usize) {
            stream.withdraw();
        }
    }

    /// A packet with this trailer arrived at `now`.
    pub fn received(&mut self, trailer: Trailer, now: Instant) -> Arrival {
        let Some(stream) = self.streams.get_mut(trailer.stream as usize) else {
            self.strange += 1;
            return Arrival::Strange;
        };
        let arrival = stream.receive(trailer.sequence);
        match arrival {
            Arrival::New | Arrival::Reordered => {
                self.latency.record(now.since(trailer.planned + self.shift));
            }
            Arrival::Strange => self.strange += 1,
            Arrival::Duplicate | Arrival::TooOld => {}
        }
        arrival
    }

    /// The streams, by number.
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// All streams together.
    pub fn sums(&self) -> Sums {
        let mut sums = Sums { strange: self.strange, ..Sums::default() };
        for stream in &self.streams {
            sums.sent += stream.sent();
            sums.received += stream.received();
            sums.missing += stream.missing();
            sums.duplicates += stream.duplicates();
            sums.reordered += stream.reordered();
            sums.too_old += stream.too_old();
        }
        if self.is_elsewhere {
            (sums.elsewhere, sums.missing) = (sums.missing, 0);
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_counts_from_the_planned_moment_not_from_the_late_one() {
        let mut meter = Meter::new(1, false);
        let trailer = meter.send(0, Instant(1_000_000));
        meter.late(trailer.planned, Instant(9_000_000));
        assert_eq!(meter.received(trailer, Instant(11_000_000)), Arrival::New);
        assert!((9_990_000..=10_010_000).contains(&meter.latency.percentiles().max_ns));
        assert!((7_990_000..=8_010_000).contains(&meter.lateness.percentiles().max_ns));
    }

    #[test]
    fn a_packet_that_was_never_sent_does_not_add_up() {
        let mut meter = Meter::new(2, false);
        let trailer = Trailer { stream: 1, sequence: 0, planned: Instant(0) };
        assert_eq!(meter.received(trailer, Instant(1)), Arrival::Strange);
        assert_eq!(meter.received(Trailer { stream: 2, ..trailer }, Instant(1)), Arrival::Strange);
        assert_eq!(meter.sums().strange, 2);
        assert!(!meter.sums().adds_up());
    }
}
