//! Sketch: on one sheet a uniform sample of what came in a round, dropped or not, from which the keeper tells who is
//! heavy ([`Tally`]).
//!
//! The worker writes down packets as they are and counts nothing by key. So no key can be pushed out by others, however
//! many addresses an attacker invents, no collision can be aimed at anybody, and every combination of fields can still be
//! asked for afterwards. What is paid for that is the error of a sample: of a key with the share s of a worker's packets
//! [`SAMPLES`] times s rows are expected, μ for short; that a full sheet has less than half of them has a chance below
//! exp(-μ/8), that it has twice as many one below exp(-μ/3) (Chernoff's bounds; Hoeffding 1963, section 6, for draws
//! without replacement). With 8192 rows a share of 1 in 64 is μ = 128, and half of it is missed once in 10^7 rounds. The
//! standard error of any rate told is the rate divided by the root of its rows.

mod patterns;
mod sampler;
mod tally;

use std::time::Duration;

use wire::{tcp, udp};
use wireguard::time::Instant;

use crate::limits::SAMPLES;
use crate::packet::{Address, Ip};
use sampler::{Place, Sampler};

pub use tally::{Heavies, Hitter, Rate, Tally};

/// What is remembered of a sampled packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Where it says that it comes from.
    pub source: Address,
    /// Where it goes.
    pub destination: Address,
    /// Source and destination port, where the packet shows them.
    pub ports: Option<(u16, u16)>,
    /// Octets of the IP packet.
    pub len: u16,
    /// The tenant to whom it goes.
    pub tenant: Option<u32>,
    /// The upper protocol.
    pub protocol: u8,
    /// Flags of a TCP segment.
    pub tcp_flags: Option<u8>,
    /// Whether it was dropped.
    pub dropped: bool,
}

/// Where the flags stand in a TCP header.
const TCP_FLAGS: usize = 13;

impl Sample {
    /// The sample of a packet, of no tenant and not dropped; `upper` begins at the upper protocol's header and may end early.
    pub fn new(source: Address, ip: &Ip, upper: &[u8]) -> Self {
        let is_tcp = ip.protocol == tcp::PROTOCOL;
        let has_ports = !ip.fragment && (is_tcp || ip.protocol == udp::PROTOCOL);
        let ports = upper
            .first_chunk()
            .filter(|_| has_ports)
            .map(|&[s0, s1, d0, d1]| (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])));
        Self {
            source,
            destination: ip.destination,
            ports,
            len: ip.len,
            tenant: None,
            protocol: ip.protocol,
            tcp_flags: upper.get(TCP_FLAGS).copied().filter(|_| has_ports && is_tcp),
            dropped: false,
        }
    }
}

/// A sheet that goes to a worker empty and comes back with a sample of its packets.
#[derive(Debug)]
pub struct Sheet {
    /// A packet that came but does not concern the filter has a row with nothing in it.
    rows: Box<[Option<Sample>]>,
    len: usize,
    /// Packets that came while the worker had the sheet.
    seen: u64,
    /// For how long it had it.
    elapsed: Duration,
}

impl Default for Sheet {
    /// An empty sheet. Its memory is touched here, so that the worker finds it in place.
    fn default() -> Self {
        let rows = vec![None; SAMPLES].into_boxed_slice();
        Self { rows, len: 0, seen: 0, elapsed: Duration::ZERO }
    }
}

impl Sheet {
    /// The rows that were written.
    pub fn rows(&self) -> &[Option<Sample>] {
        self.rows.get(..self.len).unwrap_or_default()
    }

    /// Packets that the rows stand for.
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// The time in which they came.
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    fn write(&mut self, place: Place, sample: Option<Sample>) {
        let row = match place {
            Place::Next => self.len,
            Place::Instead(row) => row,
        };
        if let Some(written) = self.rows.get_mut(row) {
            *written = sample;
            self.len = self.len.max(row + 1);
        }
    }
}

/// A worker's half: the sheet under its pen. It takes the same memory and, for each sample, the same time whatever comes.
#[derive(Debug)]
pub struct Sketch {
    sampler: Sampler,
    sheet: Box<Sheet>,
    since: Instant,
}

impl Sketch {
    /// An empty sketch. Who knows the seed knows which packets are sampled.
    pub fn new(seed: u64, now: Instant) -> Self {
        Self { sampler: Sampler::new(seed, SAMPLES), sheet: Box::default(), since: now }
    }

    /// Begins anew as after a round of so many packets, for who measures: the first round of all takes every packet until the
    /// sheet is full.
    pub fn expect(&mut self, packets: u64) {
        (self.sheet.len, self.sheet.seen) = (0, 0);
        self.sampler.restart(packets);
    }

    /// Looks at `count` packets whose fates are known: `sample` is asked for those that are sampled, by their number, and
    /// gives nothing for a packet that does not concern the filter.
    #[inline]
    pub fn look(&mut self, count: usize, mut sample: impl FnMut(usize) -> Option<Sample>) {
        self.sheet.seen = self.sheet.seen.saturating_add(count as u64);
        while let Some(index) = self.sampler.next_below(count) {
            let place = self.sampler.place();
            self.sheet.write(place, sample(index));
        }
        self.sampler.pass(count);
    }

    /// Takes an empty sheet and gives back the one that was written on.
    #[must_use]
    pub fn turn_in(&mut self, mut empty: Box<Sheet>, now: Instant) -> Box<Sheet> {
        (empty.len, empty.seen) = (0, 0);
        let mut full = std::mem::replace(&mut self.sheet, empty);
        full.elapsed = now.since(self.since);
        self.since = now;
        self.sampler.restart(full.seen);
        full
    }
}

#[cfg(test)]
mod tests;
