//! What goes on beside the worker in a trial, and how its turns are judged meanwhile.

use wireguard::time::Instant;

use crate::Failure;
use crate::machine::{Slices, steal_ticks};
use crate::service::server::Server;

/// Something that happens during a trial, on a core of its own.
pub(crate) trait Beside {
    /// The worker has ended a turn at this moment. Says whether there is nothing more to wait for, which ends the trial.
    fn turn(&mut self, server: &mut Server, now: Instant) -> Result<bool, Failure>;
}

/// Tells turns that were long from those in which somebody else had the core: another thread of this machine, or its host.
pub(crate) struct Umpire {
    slices: Slices,
    before: Option<u64>,
    /// As of the last long turn.
    stolen: u64,
}

impl Umpire {
    /// Of this thread's turns.
    pub(crate) fn new() -> Result<Self, Failure> {
        let slices = Slices::open()
            .map_err(|error| format!("the kernel tells no time slices of threads: {error}"))?;
        Ok(Self { slices, before: None, stolen: steal_ticks() })
    }

    /// A turn begins.
    pub(crate) fn begin(&mut self) {
        self.before = self.slices.count();
    }

    /// Whether no other thread has had the core since then.
    pub(crate) fn had_core(&self) -> bool {
        self.before.is_some() && self.before == self.slices.count()
    }

    /// The same, and the host has not had it either. Its part is told in hundredths of a second, so all long turns
    /// since it was last looked at are under suspicion.
    pub(crate) fn is_whole(&mut self) -> bool {
        let is_ours = self.had_core();
        let stolen = std::mem::replace(&mut self.stolen, steal_ticks());
        is_ours && stolen == self.stolen
    }
}
