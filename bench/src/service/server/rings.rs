//! A server's rings.

use dataplane::device::Dpdk;
use dataplane::worker::{Queues, Wire};
use dpdk::{Eal, Pool, Queue};

use super::ring_of;
use crate::Failure;

/// A server's rings and their far ends. DPDK has room for few ports and keeps them, so servers that follow each other share them.
pub(crate) struct Rings {
    pub(super) queues: Queues<Dpdk>,
    pub(super) wire: Queue,
    pub(super) kernel: Queue,
    pub(super) local: Queue,
}

impl Rings {
    /// Of this name, and for so many packets.
    pub(crate) fn open(eal: &Eal, pool: &Pool, (name, len): (&str, u32)) -> Result<Self, Failure> {
        let (wire_near, wire) = ring_of(eal, pool, &format!("wire{name}"), len)?;
        let (kernel_near, kernel) = ring_of(eal, pool, &format!("kernel{name}"), len)?;
        let (local_near, local) = ring_of(eal, pool, &format!("local{name}"), len)?;
        let queues = Queues {
            wires: vec![Wire { queue: Some(wire_near), relay: 0, kernel: Some(kernel_near) }],
            local: Some(local_near),
            inbound: Vec::new(),
            outbound: vec![None],
            pool: pool.clone(),
        };
        Ok(Self { queues, wire, kernel, local })
    }

    /// Queues that lead nowhere, for a worker that gives its own away.
    pub(super) fn none(pool: Pool) -> Queues<Dpdk> {
        let (wires, inbound, outbound) = (Vec::new(), Vec::new(), Vec::new());
        Queues { wires, local: None, inbound, outbound, pool }
    }
}
