//! Control's side of the border, in memory: what a control process would do with the rings of a dataplane.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test's world stops at its first broken assumption"
)]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use shm::counters::{self, Page, Room};
use shm::events::Listener;
use shm::memory::private;
use shm::message::{COMMAND_WORDS, EVENT_WORDS, Event};
use shm::ring::{Consumer, Geometry, Producer};
use shm::transaction::Writer;

use crate::keeper::Border;

/// Memory of this process alone.
pub type Private = Arc<[AtomicU64]>;

/// Slots of each ring: few, so that tests meet their ends.
const SLOTS: u32 = 1024;

/// The rings and the page of one dataplane, for whoever attaches.
#[derive(Clone, Debug)]
pub struct Regions {
    /// The commands ring.
    pub commands: Private,
    /// The events ring.
    pub events: Private,
    page: Private,
}

/// A control.
#[derive(Debug)]
pub struct Control {
    /// What it says.
    pub writer: Writer<Private>,
    /// What it hears.
    pub listener: Listener<Private>,
    /// The dataplane's counters.
    pub counters: counters::Reader<Private>,
}

/// The shape of a ring here.
pub fn geometry<const N: usize>() -> Geometry<N> {
    Geometry::new(SLOTS).expect("a power of two")
}

impl Regions {
    /// New regions, and the dataplane's side of them.
    pub fn new(workers: usize, threads: usize) -> (Self, Border<Private>) {
        let room =
            Room::new(shm::limits::COUNTERS_MAX, shm::limits::BLOCKS_MAX).expect("within limits");
        let regions = Self {
            commands: private(geometry::<COMMAND_WORDS>().words()),
            events: private(geometry::<EVENT_WORDS>().words()),
            page: private(room.words()),
        };
        let commands = Consumer::attach(Arc::clone(&regions.commands), geometry());
        let events = Producer::attach(Arc::clone(&regions.events), geometry());
        let mut page = Page::new(Arc::clone(&regions.page), room).expect("the room that it has");
        let rings = (commands.expect("its size"), events.expect("its size"));
        let border =
            Border::new(rings, &mut page, (workers, threads)).expect("names that are names");
        (regions, border)
    }

    /// A control that has just started.
    pub fn attach(&self) -> Control {
        let commands = Producer::attach(Arc::clone(&self.commands), geometry());
        let events = Consumer::attach(Arc::clone(&self.events), geometry());
        Control {
            writer: Writer::new(commands.expect("its size")),
            listener: Listener::new(events.expect("its size")),
            counters: counters::Reader::new(Arc::clone(&self.page)),
        }
    }
}

impl Control {
    /// Everything that was told since the last time.
    pub fn hear(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut take = |event: Result<Event, _>| {
            events.push(event.unwrap_or_else(|malformed| panic!("{malformed}")));
        };
        while self.listener.hear(64, &mut take) != Ok(0) {}
        events
    }
}
