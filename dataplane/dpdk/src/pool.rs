//! Pools of packet buffers: fixed count, fixed size, one cache per registered thread.

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use arrayvec::ArrayVec;
use dpdk_sys::rte_mempool;

use crate::eal::Eal;
use crate::eal::runtime::{Buried, Runtime};
use crate::error::{Error, Kind, c_string, errno, errno_text};
use crate::mbuf::{HEADROOM, Mbuf};

/// Buffers that a thread keeps to itself, so that most allocations touch nothing shared.
const CACHE_MAX: u32 = 256;
/// `RTE_MEMPOOL_NAMESIZE` less the prefix that the pool's own ring gets and the final zero.
const NAME_LEN_MAX: usize = 25;

/// A pool of packet buffers; a clone is another handle on the same pool.
#[derive(Clone)]
pub struct Pool {
    pub(crate) store: Arc<Store>,
}

/// The pool itself, kept by every port whose queues fill from it.
pub(crate) struct Store {
    pub(crate) pool: NonNull<rte_mempool>,
    count: u32,
    room: u16,
    runtime: Arc<Runtime>,
}

// SAFETY: rte_mempool functions may be called from any thread at once; caches belong to registered
// threads by their id.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("count", &self.store.count)
            .field("room", &self.store.room)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Makes a pool of `count` buffers that hold frames of up to `room` octets behind [`HEADROOM`]
    /// octets.
    ///
    /// `name` has 1..=25 octets and is unique in the process. Network cards want a `room` of 2048
    /// at least.
    ///
    /// # Errors
    /// `Options` for a name or size that cannot be, `Memory` when there is none or the name is
    /// taken.
    pub fn new(eal: &Eal, name: &str, count: u32, room: u16) -> Result<Self, Error> {
        eal.runtime.sweep();
        let c_name = c_string(name, NAME_LEN_MAX, "the pool name")?;
        let size =
            room.checked_add(HEADROOM).filter(|_| room > 0 && count > 0).ok_or_else(|| {
                let reason = format!("a pool of {count} buffers of {room} octets cannot be");
                Error::new(
                    Kind::Options,
                    reason,
                    format!("choose 1..={} octets", u16::MAX - HEADROOM),
                )
            })?;
        let cache = CACHE_MAX.min(count / 4);
        // SAFETY: the name ends in a zero octet; the rest are plain sizes.
        let pool = unsafe { dpdk_sys::millrace_pool_create(c_name.as_ptr(), count, cache, size) };
        let pool = NonNull::new(pool).ok_or_else(|| {
            let reason = format!(
                "no pool {name:?} of {count} buffers of {room} octets: {}",
                errno_text(errno())
            );
            Error::new(
                Kind::Memory,
                reason,
                "give memory.megabytes or scripts/hugepages more, or use another name",
            )
        })?;
        let store = Arc::new(Store { pool, count, room, runtime: Arc::clone(&eal.runtime) });
        eal.runtime.remember(&store);
        Ok(Self { store })
    }

    /// One buffer, its range empty behind the headroom; `None` when the pool is exhausted.
    #[inline]
    pub fn allocate(&self) -> Option<Mbuf> {
        // SAFETY: the pool lives as long as its store; the result is null or a buffer that nobody
        // else has.
        let mut mbuf =
            unsafe { Mbuf::from_raw(dpdk_sys::rte_pktmbuf_alloc(self.store.pool.as_ptr())) }?;
        mbuf.set_tag(0);
        Some(mbuf)
    }

    /// Appends `count` buffers to `into`, or none when the pool has or `into` takes fewer; says how
    /// many.
    #[inline]
    pub fn allocate_bulk<const N: usize>(
        &self,
        into: &mut ArrayVec<Mbuf, N>,
        count: usize,
    ) -> usize {
        let Ok(wanted) = u32::try_from(count) else { return 0 };
        if count > into.remaining_capacity() {
            return 0;
        }
        let len = into.len();
        // SAFETY: an Mbuf is a non-null pointer to an rte_mbuf (repr(transparent)); behind `len`
        // there is room for `count`, and all of them are filled when the call returns 0.
        unsafe {
            let free = into.as_mut_ptr().add(len).cast();
            if dpdk_sys::rte_pktmbuf_alloc_bulk(self.store.pool.as_ptr(), free, wanted) != 0 {
                return 0;
            }
            into.set_len(len + count);
        }
        into.iter_mut().skip(len).for_each(|mbuf| mbuf.set_tag(0));
        count
    }

    /// All buffers of the pool.
    pub fn count(&self) -> u32 {
        self.store.count
    }

    /// The longest frame that a buffer takes behind its headroom, in octets.
    pub fn room(&self) -> u16 {
        self.store.room
    }

    /// Buffers at home, caches included; exact only while no other thread allocates or frees.
    pub fn available(&self) -> u32 {
        // SAFETY: the pool lives as long as its store.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.store.pool.as_ptr()) }
    }

    /// Buffers out: in packets, rings and the receive queues of ports.
    pub fn in_use(&self) -> u32 {
        self.store.count.saturating_sub(self.available())
    }
}

impl Store {
    /// Returns what the calling registered thread has cached, so that others can allocate it.
    pub(crate) fn flush_cache(&self) {
        // SAFETY: the cache is the calling thread's own, or null, which the flush accepts by doing
        // nothing.
        unsafe {
            let cache =
                dpdk_sys::rte_mempool_default_cache(self.pool.as_ptr(), dpdk_sys::rte_lcore_id());
            if !cache.is_null() {
                dpdk_sys::rte_mempool_cache_flush(cache, self.pool.as_ptr());
            }
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.runtime.bury(Buried { pool: self.pool, count: self.count });
    }
}
