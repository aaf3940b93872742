//! The dataplane's counters, read from shared memory without a word to it.

use std::sync::{Mutex, PoisonError};

use shm::counters::Table;
use shm::region::Standing;
use shm::{Place, Viewer};

/// The counters of a place, whichever dataplane is there.
#[derive(Debug)]
pub struct Counters {
    place: Place,
    viewer: Mutex<Option<Viewer>>,
}

impl Counters {
    /// Those of this place; nothing is attached to yet.
    pub fn new(place: Place) -> Self {
        Self { place, viewer: Mutex::new(None) }
    }

    /// All of them now, or one sentence why not.
    pub fn read(&self) -> Result<Table, String> {
        let mut viewer = self.viewer.lock().unwrap_or_else(PoisonError::into_inner);
        // What is of a dataplane that has gone is left, and never touched again.
        if viewer.as_ref().is_some_and(|viewer| viewer.attachment.standing() != Standing::InUse) {
            *viewer = None;
        }
        let viewer = match &mut *viewer {
            Some(viewer) => viewer,
            none => none.insert(Viewer::attach(&self.place).map_err(|error| error.to_string())?),
        };
        viewer.counters.read().cloned().map_err(|unreadable| unreadable.to_string())
    }
}
