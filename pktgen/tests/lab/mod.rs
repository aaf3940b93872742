//! The laboratory of the dataplane's tests on real devices, as far as the generator needs it.

#[path = "../../../dataplane/tests/lab/keys.rs"]
pub(crate) mod keys;
#[expect(dead_code, reason = "the dataplane's tests use all of it")]
#[path = "../../../dataplane/tests/lab/namespace.rs"]
pub(crate) mod namespace;
#[expect(dead_code, reason = "the dataplane's tests use all of it")]
#[path = "../../../dataplane/tests/lab/process.rs"]
pub(crate) mod process;
#[expect(dead_code, reason = "the dataplane's tests use all of it")]
#[path = "../../../dataplane/tests/lab/wireguard_go.rs"]
pub(crate) mod wireguard_go;

use std::time::{Duration, Instant};

/// Waits until the condition holds; fails the test with `what` after `seconds`.
pub(crate) fn until(what: &str, seconds: u64, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(seconds), "{what}: not within {seconds} s");
        std::thread::sleep(Duration::from_millis(20));
    }
}
