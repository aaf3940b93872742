//! Questions about the states of all peers: one is on its way at a time, and answers all who asked before it began.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// A survey of which nothing was heard for so long is given up.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often one is begun again of which events were lost.
const ATTEMPTS_MAX: u32 = 4;

#[derive(Default)]
pub(super) struct Surveys {
    waiting: Vec<oneshot::Sender<bool>>,
    flying: Option<Flying>,
    /// Events were lost: what is known of peers is to be asked for.
    missed: bool,
    /// Surveys in a row of which events were lost.
    attempts: u32,
}

struct Flying {
    id: u64,
    asked: Vec<oneshot::Sender<bool>>,
    moved: Instant,
    lost: bool,
}

impl Surveys {
    pub(super) fn are_flying(&self) -> bool {
        self.flying.is_some() || !self.waiting.is_empty()
    }

    pub(super) fn ask(&mut self, answer: oneshot::Sender<bool>, attached: bool) {
        if attached {
            self.waiting.push(answer);
        } else {
            tell(answer, false);
        }
    }

    /// Begins what can be begun, gives up what gets no answer. `begin` says a number to the dataplane.
    pub(super) fn turn(
        &mut self,
        now: Instant,
        mut begin: impl FnMut(u64) -> bool,
        id_last: &mut u64,
    ) {
        if let Some(flying) = &self.flying {
            if now.duration_since(flying.moved) > PATIENCE {
                self.end(false);
            }
            return;
        }
        if self.waiting.is_empty() && !self.missed {
            return;
        }
        if begin(*id_last + 1) {
            *id_last += 1;
            let asked = std::mem::take(&mut self.waiting);
            self.missed = false;
            self.flying = Some(Flying { id: *id_last, asked, moved: now, lost: false });
        }
    }

    /// A state was told.
    pub(super) fn moved(&mut self, now: Instant) {
        if let Some(flying) = &mut self.flying {
            flying.moved = now;
        }
    }

    /// Events were lost.
    pub(super) fn lost(&mut self) {
        match &mut self.flying {
            Some(flying) => flying.lost = true,
            None => self.missed = true,
        }
    }

    /// A survey is complete.
    pub(super) fn surveyed(&mut self, id: u64) {
        let Some(flying) = &mut self.flying else { return };
        if flying.id != id {
            return;
        }
        if flying.lost && self.attempts < ATTEMPTS_MAX {
            self.attempts += 1;
            let asked = std::mem::take(&mut flying.asked);
            self.waiting.extend(asked);
            self.missed = true;
            self.flying = None;
            return;
        }
        self.end(true);
    }

    /// The dataplane is gone.
    pub(super) fn give_up(&mut self) {
        self.end(false);
        self.waiting.drain(..).for_each(|answer| tell(answer, false));
        self.missed = false;
    }

    fn end(&mut self, answered: bool) {
        self.attempts = 0;
        if let Some(flying) = self.flying.take() {
            flying.asked.into_iter().for_each(|answer| tell(answer, answered));
        }
    }
}

/// Whoever asked may have gone meanwhile.
fn tell(answer: oneshot::Sender<bool>, answered: bool) {
    let _told = answer.send(answered);
}
