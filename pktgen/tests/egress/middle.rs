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
    part_from(site, "server");
}

/// The same of whoever is behind this port of the link.
pub(crate) fn part_from(site: &Site, port: &str) {
    let hub = &site.hub;
    hub.run(&format!("ip link set {port} nomaster"));
    cable((hub, "middle"), (hub, "behind"));
    hub.run("ip link set behind master link0");
}

impl Middle {
    /// So many packets of a hundred are lost, and as many are late.
    pub(crate) fn start(site: &Site, percent: u32, seed: u64) -> Self {
        let words = ["--percent", &percent.to_string(), "--seed", &seed.to_string(), NAT, "server"];
        Self::with(site, &words)
    }

    /// Before whoever is behind this port, with these addresses: so many are lost and late, and no SYN that bears data gets
    /// through.
    pub(crate) fn strict(
        site: &Site,
        (port, hosts): (&str, &[&str]),
        percent: u32,
        seed: u64,
    ) -> Self {
        let (percent, seed) = (percent.to_string(), seed.to_string());
        let words = ["--strict", "--percent", &percent, "--seed", &seed, &hosts.join(","), port];
        Self::with(site, &words)
    }

    fn with(site: &Site, words: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/egress/middle.py");
        let mut command = site.hub.command("/usr/bin/python3");
        command.arg(script).args(words).arg("middle");
        let process = Process::start("middle.py", command);
        until("the link is there", 30, || process.mentions("ready") > 0);
        Self(process)
    }

    /// Ends it: how many packets were lost, and how many late.
    pub(crate) fn end(mut self) -> [u64; 2] {
        let status = self.0.stop(Signal::TERM);
        assert!(status.success(), "middle.py: {status}");
        ["lost ", "late "].map(|name| self.said(name))
    }

    /// The same of SYNs that bore data.
    pub(crate) fn end_strict(mut self) -> u64 {
        let status = self.0.stop(Signal::TERM);
        assert!(status.success(), "middle.py: {status}");
        self.said("eaten ")
    }

    fn said(&self, name: &str) -> u64 {
        let output = self.0.output();
        output.iter().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
    }
}
