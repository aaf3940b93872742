//! The server's link, with losses of what its own address sends and gets: all that it has with proxies and other data centres.

use std::path::Path;

use rustix::process::Signal;

use crate::lab::namespace::cable;
use crate::lab::process::Process;
use crate::lab::until;
use crate::site::{NAT, Site};

/// A link that loses, as long as it is there; without one nothing gets through once there was one.
pub(crate) struct Middle(Process);

/// Parts the server from the others: a [`Middle`] shall be between them.
pub(crate) fn part(site: &Site) {
    let hub = &site.hub;
    hub.run("ip link set server nomaster");
    cable((hub, "middle"), (hub, "behind"));
    hub.run("ip link set behind master link0");
}

impl Middle {
    /// So many packets of a hundred are lost, and as many are late.
    pub(crate) fn start(site: &Site, percent: u32, seed: u64) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/egress/middle.py");
        let mut command = site.hub.command("/usr/bin/python3");
        command.arg(script).args(["--percent", &percent.to_string(), "--seed", &seed.to_string()]);
        command.args([NAT, "server", "middle"]);
        let process = Process::start("middle.py", command);
        until("the link is there", 30, || process.mentions("ready") > 0);
        Self(process)
    }

    /// Ends it: how many packets were lost, and how many late.
    pub(crate) fn end(mut self) -> [u64; 2] {
        let status = self.0.stop(Signal::TERM);
        assert!(status.success(), "middle.py: {status}");
        ["lost ", "late "].map(|name| {
            let output = self.0.output();
            output.iter().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
        })
    }
}
