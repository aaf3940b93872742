//! A change as it is told and installed during a trial. Control and the keeper share a core beside the worker's: a piece of their work
//! is done between two of its turns, and the next one begins when the clock of the trial has passed what it took.

use std::time::Duration;

use dataplane::limits::{KEEPER_HASTE, KEEPER_REST};
use dpdk::clock::{Clock, cycles};
use shm::message::{Event, Item, Scope};
use shm::transaction::WriteError;
use wireguard::time::Instant;

use super::ground::Keeping;
use crate::Failure;
use crate::load::beside::Beside;
use crate::service::server::Server;

/// Packets come for so long before control begins, and after the change is in force.
const MARGIN: Duration = Duration::from_millis(5);

/// What control has said of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    /// Its beginning, and so many items.
    Items(usize),
    Everything,
}

/// One change, or that there is none.
pub(super) struct Change<'a> {
    keeping: &'a mut Keeping,
    clock: &'a Clock,
    told: Option<(Scope, Vec<Item>)>,
    id: u64,
    said: Said,
    /// When control begins.
    start: Instant,
    /// Until when the core of control and keeper is busy.
    busy: Instant,
    in_force: Option<Instant>,
}

impl<'a> Change<'a> {
    /// In a trial that begins now.
    pub(super) fn new(
        keeping: &'a mut Keeping,
        told: Option<(Scope, Vec<Item>)>,
        (clock, now): (&'a Clock, Instant),
    ) -> Self {
        let id = keeping.next_id;
        keeping.next_id += 1;
        let (said, start) = (Said::Nothing, now + MARGIN);
        Self { keeping, clock, told, id, said, start, busy: now, in_force: None }
    }

    /// From the first message until it was in force.
    pub(super) fn taken(&self) -> Option<Duration> {
        self.in_force.map(|moment| moment.since(self.start))
    }

    /// Says as much as there is room for.
    fn say(&mut self) -> Result<(), Failure> {
        let Some((scope, items)) = &self.told else { return Ok(()) };
        let writer = &mut self.keeping.control.writer;
        loop {
            let (done, next) = match self.said {
                Said::Nothing => (writer.begin(self.id, *scope), Said::Items(0)),
                Said::Items(count) => match items.get(count) {
                    Some(item) => (writer.item(item), Said::Items(count + 1)),
                    None => (writer.commit(), Said::Everything),
                },
                Said::Everything => return Ok(()),
            };
            match done {
                Ok(()) => self.said = next,
                Err(WriteError::Full) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether the keeper says that the change is in force.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only what becomes of the change matters")]
    fn hear(&mut self) -> Result<bool, Failure> {
        let mut is_applied = false;
        for event in self.keeping.control.hear() {
            match event {
                Event::Applied { id, .. } => is_applied |= id == self.id,
                Event::Refused { reason, detail, .. } => {
                    return Err(format!("a transaction was refused: {reason} ({detail})").into());
                }
                _ => {}
            }
        }
        Ok(is_applied)
    }

    /// A piece of what control and the keeper do.
    fn work(&mut self, now: Instant) -> Result<(), Failure> {
        let begin = cycles();
        if now >= self.start {
            self.say()?;
        }
        let Keeping { keeper, border, .. } = &mut *self.keeping;
        let done = border.turn(keeper, now);
        let rest = if keeper.is_idle() { KEEPER_REST } else { KEEPER_HASTE };
        let is_applied = self.hear()?;
        let taken = (cycles() - begin).saturating_mul(1_000_000_000) / self.clock.hz();
        let end = now + Duration::from_nanos(taken);
        if is_applied {
            self.in_force = Some(end);
        }
        self.busy = if done == 0 { end + rest } else { end };
        Ok(())
    }
}

impl Beside for Change<'_> {
    fn turn(&mut self, _: &mut Server, now: Instant) -> Result<bool, Failure> {
        if now >= self.busy {
            self.work(now)?;
        }
        Ok(self.in_force.is_some_and(|moment| now >= moment + MARGIN))
    }
}
