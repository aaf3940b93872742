//! What outlives everything made from the environment: the pools that wait for their buffers, the
//! end of EAL.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::{env, fs};

use dpdk_sys::rte_mempool;

use crate::lcore::Affinity;
use crate::pool::Store;

/// Shared by all handles; the last one ends DPDK, if nothing of it is still in use.
pub(crate) struct Runtime {
    main: ThreadId,
    prefix: String,
    /// The cores of the process before EAL pinned the main thread.
    pub(crate) affinity: Affinity,
    /// Allow-listed PCI devices, with domain.
    pub(crate) pci: Vec<String>,
    /// Registered threads beside the main one: each has a cache in every pool.
    pub(crate) workers: AtomicUsize,
    pools: Mutex<Vec<Weak<Store>>>,
    buried: Mutex<Vec<Buried>>,
    /// Ports in our hands; also the lock around probing and removing devices, which DPDK does not
    /// lock itself.
    pub(crate) ports: Mutex<HashSet<u16>>,
}

/// A pool without owner that waits for its last buffers.
pub(crate) struct Buried {
    pub(crate) pool: NonNull<rte_mempool>,
    pub(crate) count: u32,
}

// SAFETY: the pointer is only handed to rte_mempool functions that any thread may call.
unsafe impl Send for Buried {}

impl Runtime {
    pub(super) fn new(affinity: Affinity, prefix: String, pci: Vec<String>) -> Self {
        Self {
            main: thread::current().id(),
            prefix,
            affinity,
            pci,
            workers: AtomicUsize::new(0),
            pools: Mutex::new(Vec::new()),
            buried: Mutex::new(Vec::new()),
            ports: Mutex::new(HashSet::new()),
        }
    }

    /// Remembers a pool, whose caches ending threads have to empty.
    pub(crate) fn remember(&self, store: &Arc<Store>) {
        let mut pools = lock(&self.pools);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(store));
    }

    /// The pools in use.
    pub(crate) fn pools(&self) -> Vec<Arc<Store>> {
        lock(&self.pools).iter().filter_map(Weak::upgrade).collect()
    }

    /// Takes over a pool that nobody can allocate from any more.
    pub(crate) fn bury(&self, buried: Buried) {
        lock(&self.buried).push(buried);
        self.sweep();
    }

    /// Frees the buried pools whose buffers are all home.
    ///
    /// A registered thread updates its cache's length before it writes into the cache, so a pool
    /// can look full while such a thread still works in it. Hence only the main thread frees, and
    /// only without other registered threads. Unregistered threads return buffers straight to the
    /// ring, whose tail is the last thing they write.
    pub(crate) fn sweep(&self) {
        if thread::current().id() != self.main || self.workers.load(Ordering::Acquire) != 0 {
            return;
        }
        lock(&self.buried).retain(|buried| {
            // SAFETY: the pool came from millrace_pool_create and has not been freed, as it is
            // still on the list.
            let full =
                unsafe { dpdk_sys::rte_mempool_avail_count(buried.pool.as_ptr()) } == buried.count;
            if full {
                // SAFETY: no buffer is out, nobody can allocate (the owner is gone), no thread is
                // inside (see above).
                unsafe { dpdk_sys::rte_mempool_free(buried.pool.as_ptr()) };
            }
            !full
        });
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.sweep();
        if thread::current().id() == self.main && lock(&self.buried).is_empty() {
            // SAFETY: every handle holds this runtime, so none is left; no buffer is out, since no
            // pool is.
            unsafe { dpdk_sys::rte_eal_cleanup() };
        }
        remove_folder(&self.prefix);
    }
}

/// Removes the folder that EAL makes even when it keeps all in memory; one with something in it
/// stays.
pub(super) fn remove_folder(prefix: &str) {
    let home = env::var_os("XDG_RUNTIME_DIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    // Where EAL puts it: the first for root, the second for others.
    for parent in [Path::new("/var/run"), &home] {
        drop(fs::remove_dir(parent.join("dpdk").join(prefix)));
    }
}

/// Our locks guard plain data that a panic cannot leave half-changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
