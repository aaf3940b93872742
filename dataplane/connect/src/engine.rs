//! All set-ups of a worker: how they are found, begun, timed and ended.

mod dial;
mod exit;
mod expire;
mod far;
mod heads;
mod fail;
mod ingress;
mod near;
mod ready;
mod shared;
mod young;

use wire::tcp::Flags;

use crate::limits::{Limits, REQUEST_LEN_MAX};
use crate::outcome::{Accepting, Dropped, Opening, Refusal, Verdict, Why, World};
use crate::segment::{Arrived, Leg};
use crate::setup::Setup;
use crate::time::Instant;
use shared::{Shared, Side};

/// What is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Set-ups, the ones that linger or fail among them.
    pub setups: usize,
    /// Legs by which they are found.
    pub legs: usize,
    /// Clients and addresses that have some under way.
    pub holders: usize,
    /// Buffers that hold parts of heads or early payload.
    pub buffers: usize,
}

/// All set-ups of a worker.
#[derive(Debug)]
pub struct Connect {
    setups: Vec<Option<Setup>>,
    /// The request that each sends.
    requests: Vec<[u8; REQUEST_LEN_MAX]>,
    shared: Shared,
}

/// One set-up being worked on.
struct Work<'a, W> {
    slot: u32,
    setup: &'a mut Setup,
    request: &'a mut [u8; REQUEST_LEN_MAX],
    shared: &'a mut Shared,
    world: &'a mut W,
    now: Instant,
    /// Set when nothing is left to do.
    is_over: bool,
}

impl Connect {
    /// Room for as many set-ups as the limits say; nothing is allocated later. The seed is secret.
    pub fn new(limits: Limits, seed: u64) -> Self {
        let count = limits.setups as usize;
        Self {
            setups: core::iter::repeat_with(|| None).take(count).collect(),
            requests: vec![[0; REQUEST_LEN_MAX]; count],
            shared: Shared::new(limits, seed),
        }
    }

    /// What is in use: all zero when nothing is under way.
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// Whether a leg belongs to a set-up.
    pub fn knows(&self, leg: &Leg) -> bool {
        self.shared.find(leg).is_some()
    }

    /// Opens a connection for a client's SYN whose route leads through another data centre.
    pub fn open(
        &mut self,
        opening: &Opening<'_>,
        world: &mut impl World,
        now: Instant,
    ) -> Result<(), Refusal> {
        let mut setup = ingress::setup(opening, &self.shared.limits, now)?;
        setup.hint = self.shared.hints.get(&setup.near.leg.ours, now);
        let slot = self.begin(setup)?;
        let dialled = self.work(slot, world, now, |work| {
            let dialled = work.dial_next();
            work.is_over = dialled.is_err();
            dialled
        });
        dialled.unwrap_or(Err(Refusal::SetupsFull))
    }

    /// Accepts a SYN to our own port, of a PoP or of whom else the caller lets ask.
    pub fn accept(
        &mut self,
        accepting: &Accepting<'_>,
        world: &mut impl World,
        now: Instant,
    ) -> Result<(), Refusal> {
        let setup = exit::setup(accepting, &self.shared.limits, now)?;
        let slot = self.begin(setup).inspect_err(|_| exit::turn_away(accepting, world))?;
        self.work(slot, world, now, |work| work.greet(accepting.syn));
        Ok(())
    }

    /// What becomes of a segment that may belong to a set-up.
    pub fn segment(
        &mut self,
        arrived: &Arrived<'_>,
        world: &mut impl World,
        now: Instant,
    ) -> Verdict {
        let Some((slot, side)) = self.shared.find(&arrived.leg) else { return Verdict::Unknown };
        if arrived.has(Flags::SYN) && (arrived.has(Flags::RST) || arrived.has(Flags::FIN)) {
            return Verdict::Dropped(Dropped::Unasked);
        }
        let verdict = self.work(slot, world, now, |work| match side {
            Side::Near => work.near_segment(arrived),
            Side::Far => work.far_segment(arrived),
        });
        verdict.unwrap_or(Verdict::Unknown)
    }

    /// Ends the set-ups of a client that is no more, with resets to both ends; those that only linger say nothing to it.
    pub fn forget(&mut self, client: u32, world: &mut impl World, now: Instant) {
        let mut left = self.shared.count_of(client);
        for slot in 0..self.shared.limits.setups {
            if left == 0 {
                return;
            }
            let setup = self.setups.get(slot as usize).and_then(Option::as_ref);
            if setup.is_some_and(|setup| setup.is_counted && setup.near.leg.client == client) {
                self.work(slot, world, now, |work| work.abort(Why::ClientGone));
                left -= 1;
            }
        }
    }

    /// Serves at most `count_max` set-ups whose time has come, and returns how many that were.
    pub fn expire(&mut self, world: &mut impl World, now: Instant, count_max: usize) -> usize {
        for count in 0..count_max {
            let Some(slot) = self.shared.timers.fire(now) else { return count };
            self.work(slot, world, now, |work| {
                work.expire();
            });
        }
        count_max
    }

    /// Enters a new set-up. One that only lingers makes room for it.
    fn begin(&mut self, setup: Setup) -> Result<u32, Refusal> {
        if self.shared.is_holder_full(&setup) {
            return Err(Refusal::HolderFull);
        }
        // Its flow is over, as nobody would have asked otherwise. What lingers of it would take the segments of this one.
        if let Some((former, _)) = self.shared.find(&setup.near.leg) {
            self.free(former);
        }
        if self.shared.free.is_empty()
            && let Some(longest) = self.shared.lingering.pop()
        {
            self.free(longest);
        }
        let slot = self.shared.free.pop().ok_or(Refusal::SetupsFull)?;
        self.shared.enter(slot, &setup);
        if let Some(place) = self.setups.get_mut(slot as usize) {
            *place = Some(setup);
        }
        Ok(slot)
    }

    /// Frees a set-up of which nobody is told.
    fn free(&mut self, slot: u32) {
        if let Some(mut setup) = self.setups.get_mut(slot as usize).and_then(Option::take) {
            self.shared.leave(slot, &mut setup);
        }
    }

    /// Works on one set-up, and frees it when that ends it.
    fn work<W: World, R>(
        &mut self,
        slot: u32,
        world: &mut W,
        now: Instant,
        job: impl FnOnce(&mut Work<'_, W>) -> R,
    ) -> Option<R> {
        let place = self.setups.get_mut(slot as usize)?;
        let setup = place.as_mut()?;
        let request = self.requests.get_mut(slot as usize)?;
        let shared = &mut self.shared;
        let mut work = Work { slot, setup, request, shared, world, now, is_over: false };
        let result = job(&mut work);
        if work.is_over {
            self.shared.leave(slot, setup);
            *place = None;
        } else {
            let deadline = expire::deadline(setup, &self.shared.limits);
            self.shared.timers.arm_earlier(slot, deadline);
        }
        Some(result)
    }
}
