//! What goes on beside the worker in a trial, and how its turns are judged meanwhile.

use wireguard::time::Instant;

use crate::Failure;
use crate::machine::Slices;
use crate::service::server::Server;

/// Something that happens during a trial, on a core of its own.
pub(crate) trait Beside {
    /// The worker has ended a turn at this moment. Says whether there is nothing more to wait for, which ends the trial.
    fn turn(&mut self, server: &mut Server, now: Instant) -> Result<bool, Failure>;
}

/// Tells turns that were long from those in which somebody else had the core.
pub(crate) struct Umpire {
    slices: Slices,
    before: Option<u64>,
}

impl Umpire {
    /// Of this thread's turns.
    pub(crate) fn new() -> Result<Self, Failure> {
        let slices = Slices::open()
            .map_err(|error| format!("the kernel tells no time slices of threads: {error}"))?;
        Ok(Self { slices, before: None })
    }

    /// A turn begins.
    pub(crate) fn begin(&mut self) {
        self.before = self.slices.count();
    }

    /// Whether the thread has had the core all the time since then.
    pub(crate) fn is_whole(&self) -> bool {
        self.before.is_some() && self.before == self.slices.count()
    }
}
