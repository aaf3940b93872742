//! A server whose worker has gone to another thread, and back.

use std::sync::Arc;

use dataplane::counters::Counters;
use dataplane::device::Dpdk;
use dataplane::handshake::Handshaker;
use dataplane::worker::Worker;
use dpdk::Pool;
use wireguard::time::Instant;

use super::{Ends, Server};

/// A server while its worker is on another thread.
pub(crate) struct Outside {
    pub(crate) ends: Ends,
    pool: Pool,
    handshaker: Handshaker,
    counters: Vec<Arc<Counters>>,
    allocations: u64,
}

impl Outside {
    /// The worker is back, and this was the time of its last turn.
    pub(crate) fn join(self, worker: Worker<Dpdk>, now: Instant) -> Server {
        let Self { ends: Ends { wire, kernel, local }, pool, handshaker, counters, allocations } =
            self;
        Server { worker, pool, wire, kernel, local, now, handshaker, counters, allocations }
    }
}

impl Server {
    /// Gives the worker away.
    pub(crate) fn part(self) -> (Worker<Dpdk>, Outside) {
        let Self { worker, pool, wire, kernel, local, handshaker, counters, allocations, .. } =
            self;
        let ends = Ends { wire, kernel, local };
        (worker, Outside { ends, pool, handshaker, counters, allocations })
    }
}
