//! The laboratory of the real-device tests: namespaces and cables, the dataplane as a process, peers nobody here wrote.
//!
//! Nothing of it outlives the test process: namespaces hang on a process that dies with the test, files lie in a
//! memory file system that dies with the namespace.

pub(crate) mod boringtun;
pub(crate) mod control;
pub(crate) mod dataplane;
pub(crate) mod icmp;
pub(crate) mod keys;
pub(crate) mod namespace;
pub(crate) mod process;
pub(crate) mod site;
pub(crate) mod steady;
pub(crate) mod traffic;
pub(crate) mod wireguard_go;

use std::time::{Duration, Instant};

/// The program under test.
pub(crate) fn dataplane_path() -> &'static str {
    env!("CARGO_BIN_EXE_millrace-dataplane")
}

/// The program beside which others are built.
pub(crate) fn program_path() -> &'static str {
    dataplane_path()
}

/// Waits until the condition holds; fails the test with `what` after `seconds`.
pub(crate) fn until(what: &str, seconds: u64, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(seconds), "{what}: not within {seconds} s");
        std::thread::sleep(Duration::from_millis(20));
    }
}
