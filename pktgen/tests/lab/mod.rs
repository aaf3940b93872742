//! The laboratory of the dataplane's tests on real devices, as far as the generator needs it.

#[allow(dead_code, reason = "not every test serves files")]
pub(crate) mod files;
#[allow(dead_code, reason = "not every test runs it")]
pub(crate) mod generator;

#[allow(dead_code, reason = "others use the rest")]
#[path = "../../../dataplane/tests/lab/control.rs"]
pub(crate) mod control;
#[allow(dead_code, reason = "others use the rest")]
#[path = "../../../dataplane/tests/lab/dataplane.rs"]
pub(crate) mod dataplane;
#[cfg(test)]
#[allow(dead_code, reason = "not every test runs it")]
#[path = "../../../dataplane/tests/lab/boringtun.rs"]
pub(crate) mod boringtun;
#[cfg(test)]
#[allow(dead_code, reason = "others use the rest")]
#[path = "../../../dataplane/tests/lab/icmp.rs"]
pub(crate) mod icmp;
#[cfg(test)]
#[allow(dead_code, reason = "others use the rest")]
#[path = "../../../dataplane/tests/lab/traffic.rs"]
pub(crate) mod traffic;
#[allow(dead_code, reason = "others use the rest")]
#[path = "../../../dataplane/tests/lab/keys.rs"]
pub(crate) mod keys;
#[allow(dead_code, reason = "others use the rest")]
#[path = "../../../dataplane/tests/lab/namespace.rs"]
pub(crate) mod namespace;
#[allow(dead_code, reason = "others use the rest")]
#[path = "../../../dataplane/tests/lab/process.rs"]
pub(crate) mod process;
#[allow(dead_code, reason = "others use the rest")]
#[path = "../../../dataplane/tests/lab/wireguard_go.rs"]
pub(crate) mod wireguard_go;

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use namespace::{Namespace, cable};

/// The dataplane's program, as the generator's own was built.
#[allow(dead_code, reason = "not every test runs it")]
pub(crate) fn dataplane_path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        control::build("dataplane", &["--features", "dpdk"]);
        let generator = std::path::Path::new(generator::PROGRAM);
        generator.with_file_name("millrace-dataplane").to_str().unwrap().to_owned()
    })
}

/// The program beside which others are built.
pub(crate) fn program_path() -> &'static str {
    generator::PROGRAM
}

/// Holds the machine for one test: two cores are not enough for two sites at once.
#[allow(dead_code, reason = "not every test has a site")]
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A link of many ends.
#[allow(dead_code, reason = "not every test has such a link")]
pub(crate) fn hub() -> Namespace {
    let hub = Namespace::new();
    hub.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
    hub.run("ip link add link0 type bridge mcast_snooping 0");
    hub.run("ip link set link0 up");
    hub
}

/// Lays a cable from a namespace to the port of a hub.
#[allow(dead_code, reason = "not every test has such a link")]
pub(crate) fn attach((hub, port): (&Namespace, &str), end: (&Namespace, &str)) {
    cable((hub, port), end);
    hub.run(&format!("ip link set {port} master link0"));
}

/// A socket that is bound there before anybody may send to it.
#[allow(dead_code, reason = "not every test listens")]
pub(crate) fn bound(place: &Namespace, address: SocketAddr) -> UdpSocket {
    place.thread(move || UdpSocket::bind(address).unwrap()).join().unwrap()
}

/// Waits until the condition holds; fails the test with `what` after `seconds`.
pub(crate) fn until(what: &str, seconds: u64, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(seconds), "{what}: not within {seconds} s");
        std::thread::sleep(Duration::from_millis(20));
    }
}
