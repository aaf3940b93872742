//! The system's allocator with counts, which show that nothing allocates while time is taken, and what a table
//! takes.
#![expect(unsafe_code, reason = "an allocator is unsafe by contract; this one hands every call on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

static CALLS: AtomicU64 = AtomicU64::new(0);

/// Allocations, changes of size and releases by Rust code so far, on all threads. DPDK's own are not
/// among them: its buffers come from pools that are full before time is taken.
pub(crate) fn calls() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

static OCTETS: AtomicUsize = AtomicUsize::new(0);

/// Octets that Rust code has asked for and not released.
pub(crate) fn octets() -> usize {
    OCTETS.load(Ordering::Relaxed)
}

fn count(asked: usize, released: usize) {
    CALLS.fetch_add(1, Ordering::Relaxed);
    OCTETS.fetch_add(asked.wrapping_sub(released), Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, octets: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as in `alloc`; the memory came from the system's allocator.
        unsafe { System.realloc(octets, layout, size) }
    }

    unsafe fn dealloc(&self, octets: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as in `realloc`.
        unsafe { System.dealloc(octets, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_an_allocation_and_its_release() {
        let before = calls();
        drop(std::hint::black_box(Box::new(1)));
        // Other tests allocate at the same time, so that is a lower bound.
        assert!(calls() >= before + 2);
    }

    #[test]
    fn knows_the_octets_that_are_held() {
        let before = octets();
        let held = std::hint::black_box(vec![0_u8; 1 << 24]);
        assert!(octets() >= before + (1 << 23));
        drop(held);
        assert!(octets() < before + (1 << 23));
    }
}
