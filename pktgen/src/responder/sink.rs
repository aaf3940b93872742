//! One-way traffic that ends here: what the trailers say of streams whose sender may be another run.

use std::collections::HashMap;

use serde::Serialize;

use crate::measure::{Arrival, Stream, Trailer};

/// Streams that are followed at most; the trailers of others are only counted.
pub(super) const STREAMS_MAX: usize = 1 << 16;

/// All streams together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Streams seen.
    pub streams: u64,
    /// Different packets that arrived.
    pub received: u64,
    /// Not arrived, as far as the numbers of those show that did.
    pub missing: u64,
    /// Arrivals of a packet that had arrived before.
    pub duplicates: u64,
    /// Arrivals after one with a higher number.
    pub reordered: u64,
    /// Arrivals so far behind that it is not known whether they are duplicates.
    pub too_old: u64,
    /// Trailers with numbers that cannot be, or of more streams than are followed.
    pub strange: u64,
}

/// The streams that have been seen.
#[derive(Debug, Default)]
pub(super) struct Sink {
    streams: HashMap<u32, Stream>,
    strange: u64,
}

impl Sink {
    /// A packet with this trailer has arrived.
    pub(super) fn receive(&mut self, trailer: Trailer) {
        let is_new = !self.streams.contains_key(&trailer.stream);
        if is_new && self.streams.len() >= STREAMS_MAX {
            self.strange += 1;
            return;
        }
        let arrival = self.streams.entry(trailer.stream).or_default().observe(trailer.sequence);
        self.strange += u64::from(arrival == Arrival::Strange);
    }

    /// All streams together.
    pub(super) fn sums(&self) -> Sums {
        let streams = self.streams.len() as u64;
        let mut sums = Sums { streams, strange: self.strange, ..Sums::default() };
        for stream in self.streams.values() {
            sums.received += stream.received();
            sums.missing += stream.missing();
            sums.duplicates += stream.duplicates();
            sums.reordered += stream.reordered();
            sums.too_old += stream.too_old();
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wireguard::time::Instant;

    fn sums(sequences: &[u64]) -> Sums {
        let mut sink = Sink::default();
        for &sequence in sequences {
            sink.receive(Trailer { stream: 7, sequence, planned: Instant(1) });
        }
        sink.sums()
    }

    #[test]
    fn tells_loss_reorder_and_duplicates_without_knowing_what_was_sent() {
        let found = sums(&[1, 2, 5, 4, 5]);
        let wanted =
            Sums { streams: 1, received: 4, missing: 2, duplicates: 1, reordered: 1, ..found };
        assert_eq!(found, wanted, "the first packet is missed as well");
    }

    #[test]
    fn a_stream_that_ran_before_us_has_lost_nothing() {
        assert_eq!(sums(&[5000, 5001, 5003]).missing, 1);
    }

    #[test]
    fn numbers_and_streams_without_end_are_strange_and_cost_nothing() {
        assert_eq!(sums(&[u64::MAX]).strange, 1);
        let mut sink = Sink::default();
        for stream in 0..u32::try_from(STREAMS_MAX).unwrap() + 9 {
            sink.receive(Trailer { stream, sequence: 0, planned: Instant(1) });
        }
        let found = sink.sums();
        assert_eq!((found.streams, found.strange), (STREAMS_MAX as u64, 9));
    }
}
