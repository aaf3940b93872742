//! DPDK's `rte_fib`.
#![expect(unsafe_code, reason = "calls of C functions, declared as peers/fib.c defines them")]

use core::ffi::{c_int, c_void};
use std::io;

unsafe extern "C" {
    fn peer_fib_new(routes: *const Route, count: u32, groups: u32) -> *mut c_void;
    fn peer_fib_free(fib: *mut c_void);
    fn peer_fib_select(fib: *mut c_void, way: c_int) -> c_int;
    fn peer_fib(fib: *mut c_void, addresses: *const u32, next_hops: *mut u64, count: u32) -> c_int;
}

/// `struct route` of peers/fib.c.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Route {
    pub(super) address: u32,
    pub(super) len: u32,
    pub(super) next_hop: u32,
}

/// How it looks up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Way {
    number: c_int,
    pub(super) name: &'static str,
}

/// All of them, by their numbers in `rte_fib.h`.
pub(super) const WAYS: [Way; 4] = [
    Way { number: 1, name: "scalar, macro" },
    Way { number: 2, name: "scalar, inline" },
    Way { number: 3, name: "scalar, unified" },
    Way { number: 4, name: "AVX-512" },
];

/// A table that is built. One at a time: it has a name.
pub(super) struct Fib(*mut c_void);

impl Fib {
    /// Builds it, with room for so many groups of 256 addresses that prefixes longer than 24 bits part.
    pub(super) fn build(routes: &[Route], groups: u32) -> io::Result<Self> {
        let count = u32::try_from(routes.len()).map_err(io::Error::other)?;
        // SAFETY: there are `count` routes.
        let fib = unsafe { peer_fib_new(routes.as_ptr(), count, groups) };
        if fib.is_null() { Err(io::Error::last_os_error()) } else { Ok(Self(fib)) }
    }

    /// Whether this machine can look up so; then the next lookups are made so.
    pub(super) fn select(&mut self, way: Way) -> bool {
        // SAFETY: the table lives, and nobody else has it.
        unsafe { peer_fib_select(self.0, way.number) != 0 }
    }

    /// The next hop of each address, 0 for none.
    pub(super) fn lookup(&mut self, addresses: &[u32], next_hops: &mut [u64]) {
        let count = u32::try_from(addresses.len().min(next_hops.len())).unwrap_or(0);
        // SAFETY: the table lives, and there are `count` addresses and places for next hops.
        let error = unsafe { peer_fib(self.0, addresses.as_ptr(), next_hops.as_mut_ptr(), count) };
        assert_eq!(error, 0, "rte_fib does not look up");
    }
}

impl Drop for Fib {
    fn drop(&mut self) {
        // SAFETY: it came from `peer_fib_new`.
        unsafe { peer_fib_free(self.0) }
    }
}
