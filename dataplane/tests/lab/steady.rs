//! Echo requests without a pause, each of which wants its answer.

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
        command.args(["-n", "-q", "-i", "0.005", "-W", "2", address]).env("LC_ALL", "C");
        Self { process: Process::start("ping", command) }
    }

    /// Ends it; how many were sent, and how many were answered.
    pub(crate) fn end(mut self) -> (u64, u64) {
        self.process.stop(Signal::INT);
        let lines = self.process.output();
        let counts = lines.iter().find_map(|line| {
            let (sent, rest) = line.split_once(" packets transmitted, ")?;
            let (received, _) = rest.split_once(" received")?;
            Some((sent.parse().ok()?, received.parse().ok()?))
        });
        counts.unwrap_or_else(|| panic!("ping counts: {lines:?}"))
    }
}
