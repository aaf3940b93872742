//! One receive and one transmit queue of a port, for one thread at a time.

use std::fmt;
use std::sync::Arc;

use arrayvec::ArrayVec;
use dpdk_sys::{rte_eth_fp_ops as Row, rte_mbuf};

use crate::mbuf::Mbuf;
use crate::port::Device;
use crate::ring::send_front;

/// A pair of queues of a port, which it keeps open. `Send`, not `Sync`.
pub struct Queue {
    /// The port's row in DPDK's table of burst functions. Being a raw pointer it also keeps the
    /// type from being `Sync`.
    row: *const Row,
    index: u16,
    checksums: bool,
    device: Arc<Device>,
}

// SAFETY: a queue may be used from any thread, only not from two at once, which `&mut self` on both
// verbs excludes.
unsafe impl Send for Queue {}

impl Queue {
    pub(crate) fn new(device: Arc<Device>, index: u16) -> Self {
        // SAFETY: DPDK's table has a row for each port id that it gives out; only its address is
        // taken.
        let row = unsafe {
            (&raw const dpdk_sys::rte_eth_fp_ops).cast::<Row>().add(usize::from(device.id()))
        };
        Self { row, index, checksums: device.checks_checksums(), device }
    }

    /// Which of the port's queues this is, from 0.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Appends received packets to `into`, up to its capacity, and says how many; their tags are 0.
    ///
    /// Vector drivers of network cards receive nothing into fewer than 4 free places, and are
    /// fastest with 32 or more.
    #[inline]
    pub fn receive<const N: usize>(&mut self, into: &mut ArrayVec<Mbuf, N>) -> usize {
        let len = into.len();
        let room = u16::try_from(into.remaining_capacity()).unwrap_or(u16::MAX);
        // SAFETY: behind `len` there is room for `room` pointers, and an Mbuf is one
        // (repr(transparent)); the driver fills as many as it says with non-null buffers and gives
        // up owning them.
        let received = unsafe {
            let free = into.as_mut_ptr().add(len).cast::<*mut rte_mbuf>();
            let received = usize::from(self.receive_burst(free, room));
            into.set_len(len + received);
            received
        };
        for mbuf in into.iter_mut().skip(len) {
            mbuf.set_tag(0);
            if !self.checksums {
                mbuf.forget_checksums();
            }
        }
        received
    }

    /// Sends from the front of `from`; what the device does not take now stays, in order. Says how
    /// many went.
    #[inline]
    pub fn transmit<const N: usize>(&mut self, from: &mut ArrayVec<Mbuf, N>) -> usize {
        send_front(from, |packets, count| {
            let count = u16::try_from(count).unwrap_or(u16::MAX);
            // SAFETY: there are at least `count` pointers to buffers at `packets`, which the driver
            // owns as far as it says.
            u32::from(unsafe { self.transmit_burst(packets.cast(), count) })
        })
    }

    /// # Safety
    /// There is room for `room` pointers at `free`.
    #[inline]
    unsafe fn receive_burst(&mut self, free: *mut *mut rte_mbuf, room: u16) -> u16 {
        // SAFETY: the port is started and stays so while we hold the device, hence its row has
        // functions and its queue data reach to our index, which was checked against the queues set
        // up; nobody else uses this queue (`&mut self`).
        unsafe {
            let queue = usize::from(self.index);
            let Some(receive) = (*self.row).rx_pkt_burst else { return 0 };
            let received = receive(*(*self.row).rxq.data.add(queue), free, room);
            let callback = *(*self.row).rxq.clbk.add(queue);
            if callback.is_null() {
                return received;
            }
            dpdk_sys::rte_eth_call_rx_callbacks(
                self.device.id(),
                self.index,
                free,
                received,
                room,
                callback,
            )
        }
    }

    /// # Safety
    /// There are `count` pointers to owned buffers at `packets`.
    #[inline]
    unsafe fn transmit_burst(&mut self, packets: *mut *mut rte_mbuf, count: u16) -> u16 {
        // SAFETY: as in `receive_burst`.
        unsafe {
            let queue = usize::from(self.index);
            let Some(transmit) = (*self.row).tx_pkt_burst else { return 0 };
            let callback = *(*self.row).txq.clbk.add(queue);
            let count = if callback.is_null() {
                count
            } else {
                dpdk_sys::rte_eth_call_tx_callbacks(
                    self.device.id(),
                    self.index,
                    packets,
                    count,
                    callback,
                )
            };
            transmit(*(*self.row).txq.data.add(queue), packets, count)
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("port", &self.device.id())
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
