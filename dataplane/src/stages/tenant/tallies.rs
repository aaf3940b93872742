//! What tenants' rules and tunnels have seen on one worker: written by it, read by the keeper.

use std::sync::Arc;

use shm::limits::{TENANTS_MAX, TUNNELS_MAX};

use crate::counters::Counter;
use crate::limits::COUNTED_RULES_MAX;

/// Packets and their octets, from the IP header on.
#[derive(Debug, Default)]
pub struct Tally {
    /// Packets.
    pub packets: Counter,
    /// Octets.
    pub octets: Counter,
}

impl Tally {
    /// Counts one packet.
    #[inline]
    pub fn add(&self, len: u64) {
        self.packets.add(1);
        self.octets.add(len);
    }

    /// Packets and octets.
    fn values(&self) -> [u64; 2] {
        [self.packets.value(), self.octets.value()]
    }
}

/// The tallies of one worker.
#[derive(Debug)]
pub struct Tallies {
    /// Of each rule that is counted, by its slot.
    rules: Box<[Tally]>,
    /// What went on to each tenant and what did not, by its number.
    tenants: Box<[[Tally; 2]]>,
    /// What went into each tunnel and what came out of it, by its number.
    tunnels: Box<[[Tally; 2]]>,
    /// A number that is another one for each worker of each server.
    apart: u64,
}

impl Tallies {
    /// Of a worker with this number apart from all others of the fleet.
    pub fn new(apart: u64) -> Self {
        Self {
            rules: (0..COUNTED_RULES_MAX).map(|_| Tally::default()).collect(),
            tenants: (0..=TENANTS_MAX).map(|_| <[Tally; 2]>::default()).collect(),
            tunnels: (0..=TUNNELS_MAX).map(|_| <[Tally; 2]>::default()).collect(),
            apart,
        }
    }

    /// The number that it was made with.
    #[inline]
    pub const fn apart(&self) -> u64 {
        self.apart
    }

    /// The tally of a rule.
    #[inline]
    pub fn rule(&self, slot: u32) -> Option<&Tally> {
        self.rules.get(slot as usize)
    }

    /// Counts a packet to a tenant that goes on, or does not.
    #[inline]
    pub fn count(&self, tenant: u16, len: u64, goes_on: bool) {
        if let Some([passed, dropped]) = self.tenants.get(usize::from(tenant)) {
            if goes_on { passed } else { dropped }.add(len);
        }
    }

    /// What goes into a tunnel.
    #[inline]
    pub fn sent(&self, tunnel: u16) -> Option<&Tally> {
        self.tunnels.get(usize::from(tunnel)).map(|[sent, _]| sent)
    }

    /// What comes out of a tunnel.
    #[inline]
    pub fn received(&self, tunnel: u16) -> Option<&Tally> {
        self.tunnels.get(usize::from(tunnel)).map(|[_, received]| received)
    }
}

/// The tallies of all workers.
#[derive(Debug)]
pub struct AllTallies(Vec<Arc<Tallies>>);

impl AllTallies {
    /// For so many workers of this server.
    pub fn new(workers: usize, server: u8) -> Self {
        let apart = |worker: usize| (worker as u64) << 12 ^ u64::from(server) << 4;
        Self((0..workers).map(|worker| Arc::new(Tallies::new(apart(worker)))).collect())
    }

    /// Those of one worker.
    pub fn of_worker(&self, worker: usize) -> Arc<Tallies> {
        self.0.get(worker).map_or_else(|| Arc::new(Tallies::new(0)), Arc::clone)
    }

    /// Packets and octets of a rule.
    pub fn rule(&self, slot: u32) -> [u64; 2] {
        self.sum(|tallies| tallies.rule(slot))
    }

    /// Packets and octets that went on to a tenant, and those that did not.
    pub fn tenant(&self, number: u16) -> [[u64; 2]; 2] {
        [0, 1].map(|which| self.sum(|tallies| tallies.tenants.get(usize::from(number))?.get(which)))
    }

    /// Packets and octets that went into a tunnel, and those that came out of it.
    pub fn tunnel(&self, number: u16) -> [[u64; 2]; 2] {
        [0, 1].map(|which| self.sum(|tallies| tallies.tunnels.get(usize::from(number))?.get(which)))
    }

    fn sum(&self, of: impl Fn(&Tallies) -> Option<&Tally>) -> [u64; 2] {
        let mut sum = [0_u64; 2];
        for tally in self.0.iter().filter_map(|tallies| of(tallies)) {
            for (sum, value) in sum.iter_mut().zip(tally.values()) {
                *sum = sum.wrapping_add(value);
            }
        }
        sum
    }
}
