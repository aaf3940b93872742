//! Echo requests without a pause, each of which wants its answer.

use std::collections::BTreeSet;

use rustix::process::Signal;

use super::namespace::Namespace;
use super::process::Process;

/// Runs until it is asked how it went.
pub(crate) struct Steady {
    process: Process,
}

impl Steady {
    /// Two hundred a second.
    pub(crate) fn start(namespace: &Namespace, address: &str) -> Self {
        let mut command = namespace.command("ping");
        command.args(["-n", "-i", "0.005", "-W", "2", address]).env("LC_ALL", "C");
        Self { process: Process::start("ping", command) }
    }

    /// Ends it; how many were sent up to the last one that was answered, and how many of these were answered. The very
    /// last ones may yet be under way.
    pub(crate) fn end(mut self) -> (usize, usize) {
        self.process.stop(Signal::INT);
        let lines = self.process.output();
        let number = |line: &String| {
            let (_, rest) = line.split_once(" icmp_seq=")?;
            rest.split_whitespace().next()?.parse::<usize>().ok()
        };
        let answered: BTreeSet<usize> = lines.iter().filter_map(number).collect();
        let sent = lines.iter().find_map(|line| line.split_once(" packets transmitted, "));
        let sent: usize = sent.map_or(0, |(sent, _)| sent.parse().unwrap());
        let last = answered.last().copied().unwrap_or(0);
        assert!(last > 0 && sent - last < 40, "the last of {sent} that was answered is {last}");
        (last, answered.len())
    }
}
