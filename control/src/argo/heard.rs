//! What the dataplane tells that concerns the table, until the steward takes it in; and the table, for those who read.

use std::sync::{Mutex, PoisonError, RwLock};

use shm::message::Event;

use super::Table;
use super::steward::ROUND_S;
use super::ticks::unix_now;

/// Events that wait; more are counted and forgotten. They are taken in four times a second.
const EVENTS_MAX: usize = 1 << 15;

/// What is measured, and the table that follows from it.
#[derive(Debug)]
pub struct Argo {
    heard: Mutex<Heard>,
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Heard {
    events: Vec<Event>,
    missed: u64,
}

impl Default for Argo {
    fn default() -> Self {
        Self { heard: Mutex::default(), table: RwLock::new(Table::new(unix_now(), ROUND_S)) }
    }
}

impl Argo {
    /// Keeps an event for the steward.
    pub(crate) fn hear(&self, event: &Event) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.events.len() < EVENTS_MAX {
            heard.events.push(*event);
        } else {
            heard.missed += 1;
        }
    }

    /// The events that have come since this was asked last.
    pub(super) fn take(&self) -> Vec<Event> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut heard.events)
    }

    /// Events that found no room.
    pub fn missed(&self) -> u64 {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).missed
    }

    /// Looks at the table.
    pub fn read<T>(&self, look: impl FnOnce(&Table) -> T) -> T {
        look(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the table.
    pub(super) fn write<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        change(&mut self.table.write().unwrap_or_else(PoisonError::into_inner))
    }
}
