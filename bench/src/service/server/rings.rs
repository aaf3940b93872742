//! A server's rings.

use dataplane::device::Dpdk;
use dataplane::port::Batch;
use dataplane::worker::{Queues, Wire};
use dpdk::{Eal, Mbuf, Pool, Queue, mbuf};

use super::{End, ring_of};
use crate::Failure;

/// A queue for each end of a server's.
pub(crate) struct Ends {
    pub(crate) wire: Queue,
    pub(crate) kernel: Queue,
    pub(crate) local: Queue,
}

impl Ends {
    pub(crate) const fn end(&mut self, end: End) -> &mut Queue {
        match end {
            End::Wire => &mut self.wire,
            End::Kernel => &mut self.kernel,
            End::Local => &mut self.local,
        }
    }

    /// Frees whatever has come; gives how many frames that were.
    pub(crate) fn drain(&mut self) -> u64 {
        let mut count = 0;
        for queue in [&mut self.wire, &mut self.kernel, &mut self.local] {
            let mut packets = Batch::<Mbuf>::new();
            while queue.receive(&mut packets) > 0 {
                count += packets.len() as u64;
                mbuf::free_bulk(&mut packets);
            }
        }
        count
    }
}

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
