//! The two sides: the dataplane makes the regions of an instance, control attaches to them, and anybody who
//! may read them reads the counters.
//!
//! Each role has a lock, so that there is one dataplane and one control per instance; a lock falls with its
//! process. Either side may be killed at any moment:
//! - control comes back and attaches: both its rings begin a new epoch, in which the dataplane refuses what
//!   was half said before;
//! - the dataplane comes back and makes new regions; control sees by [`Attachment::standing`] that the old ones
//!   are given up or replaced, attaches anew and sends a snapshot.

use std::sync::Arc;

use crate::counters::{self, Page};
use crate::directory::{Directory, Lock, Place};
use crate::error::{Error, What};
use crate::header::{Header, Kind, Refusal};
use crate::limits::{BLOCKS_MAX, COMMAND_SLOTS, COUNTERS_MAX, EVENT_SLOTS};
use crate::mapping::{Access, Mapping};
use crate::memory::WORD_LEN;
use crate::message::{COMMAND_WORDS, EVENT_WORDS};
use crate::process::Process;
use crate::region::{self, Region, Standing};
use crate::ring::{Consumer, Geometry, Producer};

const DATAPLANE_LOCK: &str = "dataplane.lock";
const CONTROL_LOCK: &str = "control.lock";

/// How large the regions are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Slots of the commands ring, a power of two.
    pub command_slots: u32,
    /// Slots of the events ring, a power of two.
    pub event_slots: u32,
    /// Names that the counters page has room for.
    pub counters: usize,
    /// Blocks that it has room for.
    pub blocks: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            command_slots: COMMAND_SLOTS,
            event_slots: EVENT_SLOTS,
            counters: COUNTERS_MAX,
            blocks: BLOCKS_MAX,
        }
    }
}

/// The regions of an instance, as its owner holds them. They are given up when this is dropped; whoever is
/// attached then sees so.
#[derive(Debug)]
pub struct Owner {
    directory: Directory,
    regions: [Region; 3],
    // Last, so that nobody takes the role before the regions are given up.
    _lock: Lock,
}

/// What the dataplane works with.
#[derive(Debug)]
pub struct Dataplane {
    /// Keeps the regions; hold it as long as the rest.
    pub owner: Owner,
    /// From control.
    pub commands: Consumer<Arc<Mapping>, COMMAND_WORDS>,
    /// To control.
    pub events: Producer<Arc<Mapping>, EVENT_WORDS>,
    /// Counters, to be laid out.
    pub counters: Page<Arc<Mapping>>,
}

impl Dataplane {
    /// Makes the regions of an instance in the place of what a dead owner has left. `generation` should be
    /// another number at each start.
    pub fn create(place: &Place, sizes: Sizes, generation: u64) -> Result<Self, Error> {
        let wrong = |kind: Kind| Error::new(&place.path().join(kind.name()), What::Sizes);
        let commands = Geometry::new(sizes.command_slots).ok_or_else(|| wrong(Kind::Commands))?;
        let events = Geometry::new(sizes.event_slots).ok_or_else(|| wrong(Kind::Events))?;
        let page = counters::Room::new(sizes.counters, sizes.blocks)
            .ok_or_else(|| wrong(Kind::Counters))?;
        let own = Process::own().ok_or_else(|| {
            let action = "find this process in /proc";
            Error::new(place.path(), What::System(action, rustix::io::Errno::NOENT))
        })?;
        let directory = Directory::make(place)?;
        let lock = directory.lock(DATAPLANE_LOCK)?;
        for kind in [Kind::Commands, Kind::Events, Kind::Counters] {
            region::retire(&directory, kind)?;
        }
        let id = (own, generation);
        let make = |kind, sizes, words| Region::create(&directory, (kind, sizes), words, id);
        let regions = [
            make(Kind::Commands, ring_sizes(commands), commands.words())?,
            make(Kind::Events, ring_sizes(events), events.words())?,
            make(Kind::Counters, page.sizes(), page.words())?,
        ];
        let [down, up, counted] = &regions;
        // Our sides first: what control says as soon as it can attach shall not be lost.
        let commands =
            Consumer::attach(down.memory(), commands).map_err(|_| wrong(Kind::Commands))?;
        let events = Producer::attach(up.memory(), events).map_err(|_| wrong(Kind::Events))?;
        let counters = Page::new(counted.memory(), page).map_err(|_| wrong(Kind::Counters))?;
        for region in &regions {
            region.publish(&directory)?;
        }
        Ok(Self { owner: Owner { directory, regions, _lock: lock }, commands, events, counters })
    }
}

impl Owner {
    /// How the regions stand: [`Standing::Cut`] is to be acted upon before the next access.
    pub fn standing(&self) -> Standing {
        worst(&self.regions, &self.directory)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        for region in &self.regions {
            region.give_up(&self.directory);
        }
    }
}

/// The regions of an instance as somebody else's: hold it as long as what is used of them.
#[derive(Debug)]
pub struct Attachment {
    directory: Directory,
    regions: Vec<Region>,
    _lock: Option<Lock>,
}

impl Attachment {
    /// How the regions stand; unless they are in use, drop all of it and attach again. System calls; ask
    /// some times a second.
    pub fn standing(&self) -> Standing {
        worst(&self.regions, &self.directory)
    }
}

/// What control works with.
#[derive(Debug)]
pub struct Control {
    /// Keeps the regions and the role.
    pub attachment: Attachment,
    /// To the dataplane.
    pub commands: Producer<Arc<Mapping>, COMMAND_WORDS>,
    /// From the dataplane.
    pub events: Consumer<Arc<Mapping>, EVENT_WORDS>,
    /// The dataplane's counters.
    pub counters: counters::Reader<Arc<Mapping>>,
    /// The dataplane's start: with another one than before, it knows nothing of what it was told.
    pub generation: u64,
}

impl Control {
    /// Attaches to the regions of an instance whose dataplane runs.
    pub fn attach(place: &Place) -> Result<Self, Error> {
        let directory = Directory::open(place)?;
        let lock = directory.lock(CONTROL_LOCK)?;
        let down = Region::attach(&directory, Kind::Commands, Access::Write)?;
        let up = Region::attach(&directory, Kind::Events, Access::Write)?;
        let counted = Region::attach(&directory, Kind::Counters, Access::Read)?;
        let generation = down.header().generation;
        if [&up, &counted].iter().any(|region| region.header().generation != generation) {
            return Err(Error::new(place.path(), What::Changing));
        }
        let refused =
            |kind: Kind| Error::new(&directory.path_of(kind.name()), What::Refused(Refusal::Sizes));
        let commands = geometry(&down).ok_or_else(|| refused(Kind::Commands))?;
        let events = geometry(&up).ok_or_else(|| refused(Kind::Events))?;
        Ok(Self {
            commands: Producer::attach(down.memory(), commands)
                .map_err(|_| refused(Kind::Commands))?,
            events: Consumer::attach(up.memory(), events).map_err(|_| refused(Kind::Events))?,
            counters: counters::Reader::new(counted.memory()),
            generation,
            attachment: Attachment {
                directory,
                regions: vec![down, up, counted],
                _lock: Some(lock),
            },
        })
    }
}

/// The counters of an instance alone, for a program that only looks.
#[derive(Debug)]
pub struct Viewer {
    /// Keeps the page.
    pub attachment: Attachment,
    /// The counters.
    pub counters: counters::Reader<Arc<Mapping>>,
}

impl Viewer {
    /// Attaches to the counters page, without a lock and without being able to write.
    pub fn attach(place: &Place) -> Result<Self, Error> {
        let directory = Directory::open(place)?;
        let region = Region::attach(&directory, Kind::Counters, Access::Read)?;
        let counters = counters::Reader::new(region.memory());
        let attachment = Attachment { directory, regions: vec![region], _lock: None };
        Ok(Self { attachment, counters })
    }
}

fn worst(regions: &[Region], directory: &Directory) -> Standing {
    let mut standings = regions.iter().map(|region| region.standing(directory));
    standings.find(|standing| *standing != Standing::InUse).unwrap_or(Standing::InUse)
}

fn ring_sizes<const N: usize>(geometry: Geometry<N>) -> [u64; 2] {
    [geometry.slots().into(), Geometry::<N>::STRIDE as u64]
}

/// The shape of a ring as its checked header gives it, if the region holds it exactly.
fn geometry<const N: usize>(region: &Region) -> Option<Geometry<N>> {
    let Header { sizes: [slots, stride], len, .. } = *region.header();
    let geometry = u32::try_from(slots).ok().and_then(Geometry::new)?;
    let exact = u64::try_from(geometry.words() * WORD_LEN) == Ok(len)
        && stride == Geometry::<N>::STRIDE as u64;
    exact.then_some(geometry)
}
