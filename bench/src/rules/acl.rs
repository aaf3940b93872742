//! DPDK's `rte_acl`.
#![expect(unsafe_code, reason = "calls of C functions, declared as peers/acl.c defines them")]

use core::ffi::{c_char, c_int, c_uint, c_void};
use std::ffi::CString;
use std::io;
use std::time::Duration;

use super::packets::Key;
use super::rulesets::Five;

unsafe extern "C" {
    fn peer_acl_new(
        name: *const c_char,
        rules: *const Five,
        count: u32,
        most: usize,
        octets: *mut usize,
    ) -> *mut c_void;
    fn peer_acl_free(context: *mut c_void);
    fn peer_acl_has(context: *mut c_void, algorithm: c_int) -> c_int;
    fn peer_acl(
        context: *const c_void,
        keys: *const &Key,
        results: *mut u32,
        count: u32,
        algorithm: c_int,
    ) -> c_int;
    fn peer_acl_try(rules: *const Five, count: u32, most: usize, seconds: c_uint) -> c_int;
}

/// How it searches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Algorithm {
    number: c_int,
    pub(super) name: &'static str,
}

/// All of them, by their numbers in `rte_acl.h`.
const ALGORITHMS: [Algorithm; 5] = [
    Algorithm { number: 1, name: "scalar" },
    Algorithm { number: 2, name: "SSE" },
    Algorithm { number: 3, name: "AVX2" },
    Algorithm { number: 6, name: "AVX-512 x16" },
    Algorithm { number: 7, name: "AVX-512 x32" },
];

/// Rules of one tenant, built.
pub(super) struct Acl {
    context: *mut c_void,
    /// What its structures take, without the list of the rules.
    pub(super) octets: usize,
}

impl Acl {
    /// Builds them: few large tries of so many octets together, or small ones for 0. No other context has the name.
    pub(super) fn build(name: &str, rules: &[Five], most: usize) -> io::Result<Self> {
        let name = CString::new(name)?;
        let count = u32::try_from(rules.len()).map_err(io::Error::other)?;
        let mut octets = 0;
        // SAFETY: the name ends in a zero octet, and there are `count` rules.
        let context =
            unsafe { peer_acl_new(name.as_ptr(), rules.as_ptr(), count, most, &raw mut octets) };
        if context.is_null() {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { context, octets })
    }

    /// Whether they can be built within so much of the core's time, tried in a process of its own.
    pub(super) fn attempt(rules: &[Five], most: usize, time: Duration) -> io::Result<()> {
        let count = u32::try_from(rules.len()).map_err(io::Error::other)?;
        let seconds = c_uint::try_from(time.as_secs()).unwrap_or(c_uint::MAX);
        // SAFETY: there are `count` rules, and the other process runs nothing but C.
        match unsafe { peer_acl_try(rules.as_ptr(), count, most, seconds) } {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// How this machine can search.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        // SAFETY: the context lives.
        let has = |one: &Algorithm| unsafe { peer_acl_has(self.context, one.number) } != 0;
        ALGORITHMS.into_iter().filter(has).collect()
    }

    /// The rule of each key, counted from 1; 0 is none.
    pub(super) fn classify(&self, keys: &[&Key], found: &mut [u32], algorithm: Algorithm) {
        let count = u32::try_from(keys.len().min(found.len())).unwrap_or(0);
        // SAFETY: the context lives, and there are `count` keys and places for results.
        let error = unsafe {
            peer_acl(self.context, keys.as_ptr(), found.as_mut_ptr(), count, algorithm.number)
        };
        assert_eq!(error, 0, "rte_acl does not search as it said it could");
    }
}

impl Drop for Acl {
    fn drop(&mut self) {
        // SAFETY: it came from `peer_acl_new`.
        unsafe { peer_acl_free(self.context) }
    }
}
