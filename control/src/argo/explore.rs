//! Exits of which nothing is known for a prefix are tried: without a dial by another exit nobody would learn that it is
//! better.
//!
//! A few prefixes at a time send all their new flows by an exit that could be better, until twenty of them were answered or
//! three in a row were not, and for a minute at most. How many that are is bounded by their load, and how often a prefix
//! tries an exit by time.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::choice::{Fares, NO_COST, Scores};
use super::damping::is_worth_leaving;
use super::rows::{LOAD_ONE, NONE, at};
use super::{Led, Table};

/// Of all dials, one of so many goes by an exit that is tried.
const SHARE: u64 = 100;

/// Dials that a prefix must have in a round: with fewer it would learn nothing within a trial.
const DIALS_MIN: u32 = 4;

/// Rounds of a trial: with the fewest dials enough are answered in it.
const ROUNDS: u32 = 6;

/// Seconds before a prefix tries the same exit again.
const PAUSE_S: u32 = 1800;

/// Trials that are remembered; beyond them nothing is tried.
const TRIED_MAX: usize = 1 << 16;

/// Looks at a prefix that are made in a round, going on in the next where this one ended.
const LOOKS_MAX: usize = 1 << 16;

/// An exit that a prefix tries.
#[derive(Clone, Copy, Debug)]
struct Trial {
    lane: u8,
    load: u32,
    rounds: u32,
}

/// What is tried now, and what was of late.
#[derive(Debug, Default)]
pub struct Trials {
    /// By their rows.
    now: BTreeMap<u32, Trial>,
    /// When a row may try an exit again, the earliest first.
    tried: VecDeque<(u32, (u32, u8))>,
    paused: HashMap<(u32, u8), u32>,
    /// The row at which the next search begins.
    next: u32,
}

impl Trials {
    /// The exit that a row tries.
    pub fn of(&self, row: u32) -> Option<u8> {
        self.now.get(&row).map(|trial| trial.lane)
    }

    /// A round is over for all of them.
    pub fn count_round(&mut self) {
        for trial in self.now.values_mut() {
            trial.rounds += 1;
        }
    }

    /// Trials end that have lasted, or that are over as `is_over` says; gives their rows.
    pub fn end(&mut self, mut is_over: impl FnMut(u32, u8) -> bool) -> Vec<u32> {
        let mut ended = Vec::new();
        self.now.retain(|row, trial| {
            let goes = trial.rounds > ROUNDS || is_over(*row, trial.lane);
            if goes {
                ended.push(*row);
            }
            !goes
        });
        ended
    }

    /// Forgets pauses that are over.
    pub fn forget(&mut self, now: u32) {
        while let Some((_, key)) = self.tried.pop_front_if(|(until, _)| *until <= now) {
            self.paused.remove(&key);
        }
    }

    /// Load that may still begin to try something, when all exits together have this; the first may always.
    pub fn room(&self, all: u64) -> u64 {
        let used: u64 = self.now.values().map(|trial| u64::from(trial.load)).sum();
        let room = (all / SHARE).saturating_sub(used);
        if self.now.is_empty() { room.max(u64::from(u32::MAX)) } else { room }
    }

    /// The exit that a row of this load should try, if any: its way must leave room for it to be better, and too little
    /// must be known of it.
    pub fn wanted(
        &self,
        (row, choice, load): (u32, u8, u32),
        scores: &Scores,
        fares: &Fares,
    ) -> Option<u8> {
        let cost = scores.of(choice);
        if load < DIALS_MIN * LOAD_ONE || cost >= NO_COST || self.tried.len() >= TRIED_MAX {
            return None;
        }
        let lanes = (0..).zip(&fares.cost).filter(|(lane, fare)| {
            let is_open = fares.full >> lane & 1 == 0 && !scores.has_failed(*lane);
            let is_unknown = scores.of(*lane) >= NO_COST && **fare < NO_COST;
            is_open && is_unknown && is_worth_leaving(cost, **fare) && *lane != choice
        });
        let lanes = lanes.filter(|(lane, _)| !self.paused.contains_key(&(row, *lane)));
        lanes.map(|(lane, fare)| (*fare, lane)).min().map(|(_, lane)| lane)
    }

    /// A row begins to try an exit.
    pub fn begin(&mut self, row: u32, lane: u8, load: u32, now: u32) {
        self.now.insert(row, Trial { lane, load, rounds: 0 });
        let until = now.saturating_add(PAUSE_S);
        self.tried.push_back((until, (row, lane)));
        self.paused.insert((row, lane), until);
    }

    /// The rows have other places now; trials go on there.
    pub fn follow(&mut self, moved: &[u32]) {
        let old = std::mem::take(self);
        let now_at = |row: u32| moved.get(at(row)).copied().filter(|row| *row != NONE);
        let trials = old.now.into_iter();
        self.now = trials.filter_map(|(row, trial)| Some((now_at(row)?, trial))).collect();
        for (until, (row, lane)) in old.tried {
            if let Some(row) = now_at(row) {
                self.tried.push_back((until, (row, lane)));
                self.paused.insert((row, lane), until);
            }
        }
    }
}

impl Table {
    /// Ends trials that have shown enough, and begins others.
    pub(super) fn explore(&mut self, now: u32) -> Vec<Led> {
        let fares = self.fares(now);
        self.trials.count_round();
        let mut changed = self.end_trials(now);
        self.trials.forget(now);
        let (count, all) = (self.rows.len(), self.loads.all());
        let mut room = self.trials.room(all);
        for _ in 0..count.min(LOOKS_MAX) {
            let row = self.trials.next;
            self.trials.next = if at(row) + 1 < count { row + 1 } else { 0 };
            let Some(load) = self.rows.load.get(at(row)).copied() else { break };
            if room == 0 {
                break;
            }
            if u64::from(load) > room || self.trials.of(row).is_some() {
                continue;
            }
            if let Some(lane) = self.wants_to_try(row, load, &fares) {
                self.trials.begin(row, lane, load, now);
                room = self.trials.room(all);
                changed.push(row);
            }
        }
        changed.into_iter().filter_map(|row| self.led(row)).collect()
    }

    /// Ends trials that fail and those that have shown enough; gives their rows.
    pub(super) fn end_trials(&mut self, now: u32) -> Vec<u32> {
        let fares = self.fares(now);
        let Self { rows, trials, .. } = self;
        trials.end(|row, lane| {
            let place = rows.groups.get(at(row)).copied().unwrap_or_default();
            let is_open = fares.get(usize::from(place)).is_some_and(|f| f.open >> lane & 1 == 1);
            let Some(cells) = rows.cells.get(at(row)) else { return true };
            !is_open || cells.has_failed(lane) || cells.is_known(lane)
        })
    }

    fn wants_to_try(&self, row: u32, load: u32, fares: &[Fares]) -> Option<u8> {
        let choice = self.rows.standing.get(at(row))?.choice;
        let fares = fares.get(usize::from(*self.rows.groups.get(at(row))?))?;
        self.trials.wanted((row, choice, load), &self.scores(row, fares)?, fares)
    }
}
