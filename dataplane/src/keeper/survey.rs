//! Surveys: how all peers stand, asked of the workers sheet by sheet and told to control as fast as it hears.

use std::time::Duration;

use shm::events::Teller;
use shm::memory::Memory;
use shm::message::{Event, PublicKey};

use super::Keeper;
use crate::exchange::{Order, Standing, Survey};
use crate::limits::{SURVEY_ROWS, SURVEYS_MAX};

/// The surveys that are asked for, and the one that is made.
#[derive(Debug, Default)]
pub(super) struct Surveys {
    /// Asked for since the present one began.
    asked: Vec<u64>,
    /// Which the present one answers; all that were asked for before it began.
    answered: Vec<u64>,
    /// Sheets that workers shall get.
    ready: Vec<(usize, Box<Survey>)>,
    /// Sheets that workers have.
    out: usize,
}

impl Surveys {
    /// Control asks. One that asks for too many at once is answered the first ones.
    pub(super) fn ask(&mut self, id: u64) {
        if self.asked.len() < SURVEYS_MAX {
            self.asked.push(id);
        }
    }

    /// Control is gone: nobody is to be answered any more. Sheets that workers have come back first, so that each has one.
    pub(super) fn abandon(&mut self) {
        self.asked.clear();
        self.answered.clear();
        self.ready.clear();
    }

    /// Goes on; gives how much was done.
    pub(super) fn turn<M: Memory>(&mut self, keeper: &Keeper, events: &mut Teller<M>) -> usize {
        if self.answered.is_empty() {
            self.forget_late(keeper);
            if self.asked.is_empty() || self.out > 0 {
                return 0;
            }
            self.begin(keeper);
        }
        let mut done = self.hand_out(keeper);
        // What is told may not be lost: as much is taken back as there is room for.
        while events.room() > SURVEY_ROWS + self.answered.len() {
            let Some((worker, sheet)) = keeper.exchange.next_survey() else { break };
            done += 1;
            self.out = self.out.saturating_sub(1);
            self.tell(worker, sheet, keeper, events);
        }
        if self.out == 0 && self.ready.is_empty() && events.room() >= self.answered.len() {
            for id in self.answered.drain(..) {
                events.tell(&Event::Surveyed { id });
            }
        }
        done
    }

    /// Sheets of a survey whose control is gone.
    fn forget_late(&mut self, keeper: &Keeper) {
        while keeper.exchange.next_survey().is_some() {
            self.out = self.out.saturating_sub(1);
        }
    }

    fn begin(&mut self, keeper: &Keeper) {
        self.answered = std::mem::take(&mut self.asked);
        self.ready =
            (0..keeper.exchange.workers()).map(|worker| (worker, Box::default())).collect();
    }

    fn hand_out(&mut self, keeper: &Keeper) -> usize {
        let mut done = 0;
        for (worker, sheet) in std::mem::take(&mut self.ready) {
            if let Some(Order::Survey(sheet)) =
                keeper.exchange.order_or(worker, Order::Survey(sheet))
            {
                self.ready.push((worker, sheet));
            } else {
                self.out += 1;
                done += 1;
            }
        }
        done
    }

    fn tell<M: Memory>(
        &mut self,
        worker: usize,
        mut sheet: Box<Survey>,
        keeper: &Keeper,
        events: &mut Teller<M>,
    ) {
        for standing in sheet.rows.drain(..) {
            if let Some(event) = event(&standing, keeper) {
                events.tell(&event);
            }
        }
        if !sheet.done {
            self.ready.push((worker, sheet));
        }
    }
}

fn event(standing: &Standing, keeper: &Keeper) -> Option<Event> {
    let peer = keeper.directory.registry.by_id(standing.peer)?;
    Some(Event::PeerState {
        public_key: PublicKey(peer.public_key),
        endpoint: standing.endpoint.map(|endpoint| endpoint.remote_socket()),
        handshake: standing.handshake_at.map_or(Duration::ZERO, |at| keeper.wall.unix(at)),
        received: standing.received,
        sent: standing.sent,
    })
}
