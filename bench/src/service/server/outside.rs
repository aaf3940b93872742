//! A server whose worker has gone to another thread, and back.

use std::sync::Arc;

use dataplane::counters::Counters;
use dataplane::device::Dpdk;
use dataplane::handshake::Handshaker;
use dataplane::worker::Worker;
use dpdk::{Pool, Queue};
use wireguard::time::Instant;

use super::{End, Server};

/// A server while its worker is on another thread.
pub(crate) struct Outside {
    wire: Queue,
    kernel: Queue,
    local: Queue,
    pool: Pool,
    handshaker: Handshaker,
    counters: Vec<Arc<Counters>>,
    allocations: u64,
}

impl Outside {
    pub(crate) const fn end(&mut self, end: End) -> &mut Queue {
        match end {
            End::Wire => &mut self.wire,
            End::Kernel => &mut self.kernel,
            End::Local => &mut self.local,
        }
    }

    /// The worker is back, and this was the time of its last turn.
    pub(crate) fn join(self, worker: Worker<Dpdk>, now: Instant) -> Server {
        let Self { wire, kernel, local, pool, handshaker, counters, allocations } = self;
        Server { worker, pool, wire, kernel, local, now, handshaker, counters, allocations }
    }
}

impl Server {
    /// Gives the worker away.
    pub(crate) fn part(self) -> (Worker<Dpdk>, Outside) {
        let Self { worker, pool, wire, kernel, local, handshaker, counters, allocations, .. } =
            self;
        let outside = Outside { wire, kernel, local, pool, handshaker, counters, allocations };
        (worker, outside)
    }
}
