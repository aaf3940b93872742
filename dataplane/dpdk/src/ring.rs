//! Rings between threads: packet buffers in bulk, first in, first out, without a lock.

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use arrayvec::ArrayVec;
use dpdk_sys::rte_ring;

use crate::eal::Eal;
use crate::eal::runtime::Runtime;
use crate::error::{Error, Kind, c_string, errno, errno_text};
use crate::mbuf::Mbuf;

/// `RTE_RING_NAMESIZE` less the final zero and the prefix that DPDK puts before it.
const NAME_LEN_MAX: usize = 25;
/// `RTE_RING_SZ_MASK` bounds it at 2^31 - 1; no ring of buffers needs a thousandth.
const CAPACITY_MAX: u32 = 1 << 24;

/// A ring of packet buffers, whose last owner frees what is left in it.
pub(crate) struct Ring {
    raw: NonNull<rte_ring>,
    _runtime: Arc<Runtime>,
}

// SAFETY: an rte_ring is made for use from several threads; which ends may be shared is for its
// owners' types to say.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl Ring {
    pub(crate) fn new(eal: &Eal, name: &str, capacity: u32, flags: u32) -> Result<Self, Error> {
        let c_name = c_string(name, NAME_LEN_MAX, "the ring name")?;
        if capacity == 0 || capacity > CAPACITY_MAX {
            let reason = format!("a ring of {capacity} packets cannot be");
            return Err(Error::new(Kind::Options, reason, format!("choose 1..={CAPACITY_MAX}")));
        }
        // SAFETY: the name ends in a zero octet; -1 lets DPDK choose the memory's socket.
        let raw = unsafe {
            dpdk_sys::rte_ring_create(
                c_name.as_ptr(),
                capacity,
                -1,
                flags | dpdk_sys::RING_F_EXACT_SZ,
            )
        };
        let raw = NonNull::new(raw).ok_or_else(|| {
            let reason = format!("no ring {name:?} of {capacity} packets: {}", errno_text(errno()));
            Error::new(
                Kind::Memory,
                reason,
                "give memory.megabytes or scripts/hugepages more, or use another name",
            )
        })?;
        Ok(Self { raw, _runtime: Arc::clone(&eal.runtime) })
    }

    pub(crate) fn as_ptr(&self) -> *mut rte_ring {
        self.raw.as_ptr()
    }

    fn len(&self) -> u32 {
        // SAFETY: the ring lives as long as this value.
        unsafe { dpdk_sys::rte_ring_count(self.raw.as_ptr()) }
    }

    /// # Safety
    /// The ring is single-consumer, and no other thread takes from it meanwhile.
    #[inline]
    unsafe fn take<const N: usize>(&self, into: &mut ArrayVec<Mbuf, N>) -> usize {
        let len = into.len();
        let room = u32::try_from(into.remaining_capacity()).unwrap_or(u32::MAX);
        // SAFETY: behind `len` there is room for `room` pointers, and an Mbuf is one
        // (repr(transparent)); the ring holds only buffers that their senders owned, so each that
        // comes out is owned by us alone.
        unsafe {
            let free = into.as_mut_ptr().add(len).cast();
            let taken = dpdk_sys::rte_ring_sc_dequeue_burst(
                self.raw.as_ptr(),
                free,
                room,
                std::ptr::null_mut(),
            ) as usize;
            into.set_len(len + taken);
            taken
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let mut rest = ArrayVec::<Mbuf, 64>::new();
        // SAFETY: nobody else has the ring any more.
        while unsafe { self.take(&mut rest) } > 0 {
            rest.clear();
        }
        // SAFETY: made by rte_ring_create, freed once, empty.
        unsafe { dpdk_sys::rte_ring_free(self.raw.as_ptr()) };
    }
}

/// The sending end, for one thread at a time.
pub struct Sender(Arc<Ring>);

/// A sending end that several threads may have clones of.
#[derive(Clone)]
pub struct SharedSender(Arc<Ring>);

/// The receiving end, for one thread at a time.
pub struct Receiver(Arc<Ring>);

/// A ring for `capacity` packets from one thread to one other. `name` has 1..=25 octets and is
/// unique in the process.
///
/// # Errors
/// `Options` for a name or capacity that cannot be, `Memory` when there is none or the name is
/// taken.
pub fn channel(eal: &Eal, name: &str, capacity: u32) -> Result<(Sender, Receiver), Error> {
    let ring = Arc::new(Ring::new(
        eal,
        name,
        capacity,
        dpdk_sys::RING_F_SP_ENQ | dpdk_sys::RING_F_SC_DEQ,
    )?);
    Ok((Sender(Arc::clone(&ring)), Receiver(ring)))
}

/// A ring for `capacity` packets from several threads to one. A sender that loses its core in the
/// midst of sending holds up the others, so senders belong on cores of their own.
///
/// # Errors
/// As [`channel`].
pub fn shared_channel(
    eal: &Eal,
    name: &str,
    capacity: u32,
) -> Result<(SharedSender, Receiver), Error> {
    let ring = Arc::new(Ring::new(eal, name, capacity, dpdk_sys::RING_F_SC_DEQ)?);
    Ok((SharedSender(Arc::clone(&ring)), Receiver(ring)))
}

impl Sender {
    /// Sends from the front of `from`; what finds no room stays, in order. Says how many went.
    #[inline]
    pub fn send<const N: usize>(&mut self, from: &mut ArrayVec<Mbuf, N>) -> usize {
        send_front(from, |packets, count| {
            // SAFETY: there are `count` pointers at `packets`; we are the only producer, as this
            // end is not Clone.
            unsafe {
                dpdk_sys::rte_ring_sp_enqueue_burst(
                    self.0.as_ptr(),
                    packets,
                    count,
                    std::ptr::null_mut(),
                )
            }
        })
    }

    /// Packets in the ring; other threads may change it at once.
    pub fn backlog(&self) -> usize {
        self.0.len() as usize
    }
}

impl SharedSender {
    /// Sends from the front of `from`; what finds no room stays, in order. Says how many went.
    #[inline]
    pub fn send<const N: usize>(&mut self, from: &mut ArrayVec<Mbuf, N>) -> usize {
        send_front(from, |packets, count| {
            // SAFETY: there are `count` pointers at `packets`; the ring was made for several
            // producers.
            unsafe {
                dpdk_sys::rte_ring_enqueue_burst(
                    self.0.as_ptr(),
                    packets,
                    count,
                    std::ptr::null_mut(),
                )
            }
        })
    }
}

impl Receiver {
    /// Appends to `into` what is there, up to its capacity, in the order it was sent; says how
    /// many.
    #[inline]
    pub fn receive<const N: usize>(&mut self, into: &mut ArrayVec<Mbuf, N>) -> usize {
        // SAFETY: we are the only consumer, as this end is not Clone, and the reference is
        // exclusive.
        unsafe { self.0.take(into) }
    }

    /// Packets in the ring; other threads may change it at once.
    pub fn backlog(&self) -> usize {
        self.0.len() as usize
    }
}

/// Gives the packets of `from` to `hand_over`, which takes over some from the front and says how
/// many; the rest moves up.
#[inline]
pub(crate) fn send_front<const N: usize>(
    from: &mut ArrayVec<Mbuf, N>,
    hand_over: impl FnOnce(*mut *mut std::ffi::c_void, u32) -> u32,
) -> usize {
    let len = from.len();
    let Ok(count) = u32::try_from(len) else { return 0 };
    if count == 0 {
        return 0;
    }
    // SAFETY: the length is zero while `hand_over` has the packets, so none is dropped twice; it
    // has taken over the first `sent` of them (`min` holds it to the truth), and those behind are
    // moved to the front and counted again.
    unsafe {
        from.set_len(0);
        let base = from.as_mut_ptr();
        let sent = (hand_over(base.cast(), count) as usize).min(len);
        if sent < len {
            std::ptr::copy(base.add(sent), base, len - sent);
        }
        from.set_len(len - sent);
        sent
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("backlog", &self.0.len()).finish()
    }
}

impl fmt::Debug for SharedSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSender").field("backlog", &self.0.len()).finish()
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("backlog", &self.0.len()).finish()
    }
}
