//! The fleet as the keeper knows it: its keys, the owner tables, how many ids a server still holds that is to be emptied,
//! and when it gives them up.

use std::sync::Arc;

use shm::message::{self, Event};
use shm::transaction::Obstacle;
use wireguard::time::Instant;

use crate::config::Config;
use crate::fleet::{COUNT_STEP, Fleet, Holdings, Keys, Membership, Tables, View};
use crate::limits::HELD_INTERVAL;
use crate::site::Site;
use crate::wall::WallClock;

/// Keys and tables of the fleet.
#[derive(Debug)]
pub(super) struct FleetTables {
    pub(super) keys: Arc<Keys>,
    /// This server's number, and the MTU of the way to the others; none when it is alone.
    own: Option<(u8, usize)>,
    tables: Tables,
    holdings: Arc<Holdings>,
    counting: Counting,
}

/// The count of ids that are held, a part at a time.
#[derive(Debug, Default)]
struct Counting {
    next: usize,
    so_far: u64,
    /// The last whole count.
    held: Option<u64>,
    due: Instant,
}

/// How many generations a fleet is ahead of another; numbers go round (RFC 1982).
pub(super) const fn ahead(told: &message::Fleet, before: &message::Fleet) -> i16 {
    told.generation.wrapping_sub(before.generation).cast_signed()
}

/// A newer generation; or the same one, of which more of the past is known.
fn may_follow(told: &message::Fleet, before: &message::Fleet) -> bool {
    match ahead(told, before) {
        0 => told.members == before.members,
        ahead => ahead > 0,
    }
}

impl FleetTables {
    pub(super) fn new(config: &Config, keys: Arc<Keys>, fleet: Fleet) -> Self {
        let own = config.fleet.as_ref().map(|fleet| (fleet.server, fleet.mtu.into()));
        let (tables, counting) = (Tables::default(), Counting::default());
        Self { keys, own, tables, holdings: fleet.holdings, counting }
    }

    /// What workers shall know of a fleet that was told, after `before`.
    pub(super) fn membership(
        &mut self,
        told: Option<&message::Fleet>,
        before: Option<&message::Fleet>,
        site: &Site,
    ) -> Result<Membership, Obstacle> {
        let Some(own) = self.own else {
            return told.map_or(Ok(Membership::Alone), |_| Err(Obstacle::NoFleet));
        };
        let Some(told) = told else { return Ok(Membership::Untold) };
        if before.is_some_and(|before| !may_follow(told, before)) {
            return Err(Obstacle::Generation);
        }
        let view = self.tables.view(told, own, &self.keys, site)?;
        Ok(Membership::Told(Arc::new(view)))
    }

    /// Goes on: a server whose time is over, or of which all others think that it is down, gives up what it holds; one that
    /// is to be emptied counts it.
    pub(super) fn turn(&mut self, view: Option<&View>, wall: &WallClock, now: Instant) {
        let is_past = |deadline| wall.unix(now) >= deadline;
        let is_over =
            view.is_some_and(|view| view.is_down() || view.deadline().is_some_and(is_past));
        if is_over != self.holdings.is_closed() {
            if is_over {
                self.holdings.close();
            } else {
                self.holdings.open();
            }
            self.counting = Counting::default();
        }
        if view.is_some_and(View::is_draining) {
            self.count(now);
        } else {
            self.counting = Counting::default();
        }
    }

    fn count(&mut self, now: Instant) {
        let counting = &mut self.counting;
        if now < counting.due {
            return;
        }
        if let Some(held) = self.holdings.count(counting.next * COUNT_STEP, now) {
            counting.next += 1;
            counting.so_far += held;
            return;
        }
        let held = Some(counting.so_far);
        *counting = Counting { held, due: now + HELD_INTERVAL, ..Counting::default() };
    }

    /// How this server sees the fleet, for control; nothing when it is alone.
    pub(super) fn event(&self, view: Option<&View>) -> Option<Event> {
        let (server, _) = self.own?;
        Some(Event::Fleet {
            server,
            generation: view.map_or(0, View::generation),
            digest: view.map_or(0, View::digest),
            held: self.counting.held.unwrap_or(u64::MAX),
        })
    }
}
