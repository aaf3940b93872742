//! The Argo table: for each prefix the exit that its new flows take, from what was measured.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use shm::message::Dial;

use super::choice::{Fares, NO_COST, Scores, Verdict, scores};
use super::dials::{Dials, age};
use super::explore::Trials;
use super::load::Loads;
use super::paths::Paths;
use super::rows::{EXITS_MAX, Group, LOAD_ONE, NONE, Rows, Seed, at};
use super::ticks;
use super::ways::{Reach, Ways};

/// Seconds after the start for which choices hold that were kept and of which nothing is known yet.
const KEPT_S: u32 = 300;

/// Rows with failed dials that are looked at before the end of the round.
const FAILING_MAX: usize = 1 << 16;

/// Of an exit's load so much moves in a round: one of so many.
const MOVED_OF: u64 = 10;

/// A data centre as the table needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Centre {
    /// Its number.
    pub number: u16,
    /// New flows a second that are led there at most.
    pub headroom: Option<u32>,
    /// The relay that was kept; 0 for none.
    pub relay: u16,
}

/// What the table is about, as the book says.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// The number of this data centre; 0 when it has none.
    pub here: u16,
    /// All centres.
    pub centres: Vec<Centre>,
    /// The groups, each once, in the order of their next hops.
    pub groups: Vec<Group>,
    /// The rows, in order.
    pub seeds: Vec<Seed>,
}

/// A prefix that is led elsewhere from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Led {
    /// The prefix.
    pub prefix: IpNet,
    /// The number of the exit's centre; 0 for the default.
    pub exit: u16,
}

/// What has changed in a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Prefixes.
    pub led: Vec<Led>,
    /// Centres and their relays.
    pub relays: Vec<(u16, u16)>,
}

impl Changes {
    /// Whether nothing has.
    pub fn is_empty(&self) -> bool {
        self.led.is_empty() && self.relays.is_empty()
    }
}

/// The table.
#[derive(Debug)]
pub struct Table {
    pub(super) paths: Paths,
    pub(super) ways: Ways,
    pub(super) rows: Rows,
    pub(super) groups: Vec<Group>,
    pub(super) dials: Dials,
    pub(super) loads: Loads,
    pub(super) trials: Trials,
    pub(super) centres: Vec<Centre>,
    /// Until when choices that were kept hold without a reason.
    kept_until: u32,
    /// Seconds of a round.
    round_s: u32,
    /// A centre has gone down: all rows are looked at before the round ends.
    has_lost_centre: bool,
    /// Rows that are looked at before, because dials have failed; more than are listed wait for the end of the round.
    failing: Vec<u32>,
    /// A trial has shown enough.
    has_learned: bool,
    /// Counted since the start: prefixes that were moved at the end of a round, and that had to leave.
    pub(super) moved: u64,
    pub(super) left: u64,
}

impl Table {
    /// A table without prefixes, at this second of Unix time, with rounds of so many seconds.
    pub fn new(now: u32, round_s: u32) -> Self {
        Self {
            paths: Paths::default(),
            ways: Ways::default(),
            rows: Rows::default(),
            groups: Vec::new(),
            dials: Dials::default(),
            loads: Loads::default(),
            trials: Trials::default(),
            centres: Vec::new(),
            kept_until: now.saturating_add(KEPT_S),
            round_s: round_s.max(1),
            has_lost_centre: false,
            failing: Vec::new(),
            has_learned: false,
            moved: 0,
            left: 0,
        }
    }

    /// Follows the book; what is known of what stays is not forgotten. Gives the prefixes of which the table has chosen
    /// otherwise than the book says.
    pub fn follow(&mut self, subject: Subject) -> Vec<Led> {
        let Subject { here, centres, groups, seeds } = subject;
        let numbers: Vec<u16> = centres.iter().map(|centre| centre.number).collect();
        let known: Vec<u16> = self.centres.iter().map(|centre| centre.number).collect();
        self.paths.follow(here, &numbers);
        for centre in centres.iter().filter(|centre| !known.contains(&centre.number)) {
            self.ways.restore(centre.number, centre.relay);
        }
        let mut rows = Rows::new(&seeds);
        let same: Vec<Option<u16>> = groups.iter().map(|group| self.place_of(group)).collect();
        let moved = rows.inherit(&self.rows, &same);
        self.failing.clear();
        self.dials.follow(&moved, rows.len());
        self.trials.follow(&moved);
        (self.rows, self.groups, self.centres) = (rows, groups, centres);
        self.loads = Loads::of(&self.rows, &self.groups);
        for centre in &self.centres {
            let most = centre.headroom.map(|flows| u64::from(flows) * u64::from(self.round_s));
            self.loads.bound(centre.number, most);
        }
        let told = (0..).zip(seeds.iter().zip(&self.rows.standing));
        let other = told.filter(|(row, (seed, standing))| {
            seed.choice != self.trials.of(*row).unwrap_or(standing.choice)
        });
        other.filter_map(|(row, _)| self.led(row)).collect()
    }

    /// The place at which a group was, which are sorted by their next hops.
    fn place_of(&self, group: &Group) -> Option<u16> {
        let place = self.groups.binary_search_by_key(&group.hop, |other| other.hop).ok()?;
        (self.groups.get(place) == Some(group)).then(|| u16::try_from(place).ok())?
    }

    /// Takes in how a probe from here went.
    pub fn probe(&mut self, to: u16, answer: Option<Duration>, now: u32) {
        self.has_lost_centre |= self.paths.probe(to, answer, now);
    }

    /// Takes in what a centre says of its ways to others.
    pub fn tell(&mut self, from: u16, path: shm::message::Path, now: u32) {
        self.paths.tell(from, path, now);
    }

    /// Takes in how a dial went. It counts for the prefix of its route and for all around it that name the same exits.
    pub fn dial(&mut self, dial: &Dial, now: u32) {
        let Some(row) = self.rows.find(dial.to) else { return };
        let answer = match dial.answer {
            Ok(time) => match self.beyond(dial, time, now) {
                None => return,
                known => known,
            },
            Err(failure) if failure.is_of_destination() => return,
            Err(_) => None,
        };
        if let Some(fresh) = self.rows.fresh.get_mut(at(row)) {
            *fresh = fresh.saturating_add(1);
        }
        let around: Vec<u32> = std::iter::once(row).chain(self.rows.alike_around(row)).collect();
        for row in around {
            let Some(lane) = self.group_of(row).and_then(|group| self.lane(group, dial.exit))
            else {
                continue;
            };
            if let Some(cells) = self.rows.cells.get_mut(at(row)) {
                if self.dials.hear(cells, (row, lane), answer, now)
                    && self.failing.len() < FAILING_MAX
                {
                    self.failing.push(row);
                }
                self.has_learned |= cells.is_known(lane) && self.trials.of(row) == Some(lane);
            }
        }
    }

    /// What of the time of a dial was spent behind its exit, in ticks, if it is known how far that is.
    fn beyond(&self, dial: &Dial, time: Duration, now: u32) -> Option<u16> {
        let way = match dial.relay {
            0 => self.paths.from_here(dial.exit, now).rtt()?,
            relay => {
                let there = self.paths.from_here(relay, now).rtt()?;
                there + self.paths.between(relay, dial.exit, now).rtt()?
            }
        };
        let time = u32::from(ticks::of(time)).saturating_sub(way);
        Some(u16::try_from(time).unwrap_or(ticks::LONGEST))
    }

    /// The place of an exit in a group: this data centre is straight out, whichever of both is named.
    pub(super) fn lane(&self, group: &Group, exit: u16) -> Option<u8> {
        if !self.paths.is_here(exit) {
            return group.lane(exit);
        }
        let straight = group.named.iter().position(|named| self.paths.is_here(*named))?;
        u8::try_from(straight).ok()
    }

    pub(super) fn group_of(&self, row: u32) -> Option<&Group> {
        self.groups.get(usize::from(*self.rows.groups.get(at(row))?))
    }

    /// The row that decides about an address.
    pub fn find(&self, address: IpAddr) -> Option<u32> {
        self.rows.find(address)
    }

    /// The row of exactly this prefix.
    pub fn row(&self, prefix: &IpNet) -> Option<u32> {
        self.rows.row(prefix)
    }

    /// How many prefixes there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether something has failed since the last look, or a trial is over.
    pub fn is_urgent(&self) -> bool {
        self.has_lost_centre || self.has_learned || !self.failing.is_empty()
    }

    /// Lets what was known before count half.
    pub fn age(&mut self) {
        self.rows.cells.iter_mut().for_each(age);
    }

    /// Leaves what has failed, at once.
    pub fn leave_failed(&mut self, now: u32) -> Changes {
        let relays = self.ways.choose(&self.paths, now, false);
        let failing = std::mem::take(&mut self.failing);
        self.has_learned = false;
        let mut led = if std::mem::take(&mut self.has_lost_centre) {
            self.pass(now, false)
        } else {
            self.look_at(failing, now)
        };
        let ended = self.end_trials(now);
        led.extend(ended.into_iter().filter_map(|row| self.led(row)));
        Changes { led, relays }
    }

    /// The end of a round: all is chosen anew, and what failed long ago is tried again.
    pub fn round(&mut self, now: u32) -> Changes {
        (self.has_lost_centre, self.has_learned) = (false, false);
        self.failing.clear();
        self.dials.revive(&mut self.rows.cells, now);
        let relays = self.ways.choose(&self.paths, now, true);
        self.weigh();
        self.loads.begin_round(MOVED_OF);
        let mut led = self.pass(now, true);
        led.extend(self.explore(now));
        Changes { led, relays }
    }

    /// What the exits of each group cost now.
    pub(super) fn fares(&self, now: u32) -> Vec<Fares> {
        self.groups.iter().map(|group| self.fares_of(group, now)).collect()
    }

    pub(super) fn fares_of(&self, group: &Group, now: u32) -> Fares {
        let mut fares =
            Fares { cost: [NO_COST; EXITS_MAX], down: 0, open: 0, full: 0, default: group.default };
        for ((lane, exit), cost) in (0..).zip(group.named.iter()).zip(&mut fares.cost) {
            // The second name of this data centre is no exit of its own.
            if self.lane(group, *exit) != Some(lane) {
                continue;
            }
            fares.full |= u8::from(self.loads.is_full(*exit, 0)) << lane;
            match self.reach(*exit, now) {
                Reach::By { cost: way, .. } => {
                    *cost = way;
                    fares.open |= 1 << lane;
                }
                Reach::Down => fares.down |= 1 << lane,
                Reach::Unknown => {}
            }
        }
        fares
    }

    /// How an exit is reached.
    pub(super) fn reach(&self, exit: u16, now: u32) -> Reach {
        if self.paths.is_here(exit) {
            return Reach::By { cost: 0, relay: 0 };
        }
        self.ways.reach(&self.paths, exit, now)
    }

    /// The costs of a row; what it does not know by itself it takes from those around it.
    pub(super) fn scores(&self, row: u32, fares: &Fares) -> Option<Scores> {
        let (mut known, thin) = scores(self.rows.cells.get(at(row))?, fares);
        if let Some(wider) = self.rows.alike_around(row).next() {
            known.fill(thin, &self.scores(wider, fares)?);
        }
        Some(known)
    }

    /// The dials of a round go into the loads.
    fn weigh(&mut self) {
        let Rows { groups, standing, fresh, load, .. } = &mut self.rows;
        let rows = groups.iter().zip(standing).zip(fresh.iter_mut().zip(load));
        for ((group, standing), (fresh, load)) in rows {
            let came = u32::from(std::mem::take(fresh)) * LOAD_ONE;
            let before = *load;
            // The first that come are all that is known.
            *load = if before == 0 { came } else { before - before / 4 + came / 4 };
            if before != *load
                && let Some(group) = self.groups.get(usize::from(*group))
            {
                self.loads.weigh(group.exit(standing.choice), before, *load);
            }
        }
    }

    /// Looks at every row once.
    fn pass(&mut self, now: u32, is_round: bool) -> Vec<Led> {
        let (fares, is_kept) = (self.fares(now), now < self.kept_until);
        let (mut moved, mut around) = (Vec::new(), Around::default());
        for row in 0..u32::try_from(self.rows.len()).unwrap_or(NONE) {
            let Some(place) = self.rows.groups.get(at(row)).map(|place| usize::from(*place)) else {
                continue;
            };
            let Some(fares) = fares.get(place) else { continue };
            let Some(scores) = around.scores(&self.rows, (row, place), fares) else { continue };
            let Some(standing) = self.rows.standing.get_mut(at(row)) else { continue };
            let verdict = if is_round {
                scores.judge(fares, standing, (now, is_kept))
            } else {
                scores.at_once(fares, standing.choice, is_kept)
            };
            if self.takes(row, verdict, now) {
                moved.push(row);
            }
        }
        moved.into_iter().filter_map(|row| self.led(row)).collect()
    }

    /// Looks at a few rows, which have failed.
    fn look_at(&mut self, rows: Vec<u32>, now: u32) -> Vec<Led> {
        let (fares, is_kept) = (self.fares(now), now < self.kept_until);
        let mut led = Vec::new();
        for row in rows {
            let place = self.rows.groups.get(at(row)).copied().unwrap_or_default();
            let Some(fares) = fares.get(usize::from(place)) else { continue };
            let Some(scores) = self.scores(row, fares) else { continue };
            let Some(standing) = self.rows.standing.get(at(row)) else { continue };
            let verdict = scores.at_once(fares, standing.choice, is_kept);
            if self.takes(row, verdict, now) {
                led.extend(self.led(row));
            }
        }
        led
    }

    /// Leads a row by a verdict, as far as there is room; tells whether it moves.
    fn takes(&mut self, row: u32, verdict: Verdict, now: u32) -> bool {
        let place = self.rows.groups.get(at(row)).copied().unwrap_or_default();
        let Some(group) = self.groups.get(usize::from(place)) else { return false };
        let Some(standing) = self.rows.standing.get_mut(at(row)) else { return false };
        let load = self.rows.load.get(at(row)).copied().unwrap_or(0);
        let from = group.exit(standing.choice);
        let Some(to) = self.loads.permitted(verdict, group, (from, load)) else { return false };
        match verdict {
            Verdict::Leave(_) => self.left += 1,
            Verdict::Move(_) | Verdict::Stay => self.moved += 1,
        }
        standing.take(to, now);
        self.loads.shift(from, group.exit(to), load);
        true
    }

    /// Where a row leads, as the book is told.
    pub(super) fn led(&self, row: u32) -> Option<Led> {
        let (group, standing) = (self.group_of(row)?, self.rows.standing.get(at(row))?);
        let lane = self.trials.of(row).unwrap_or(standing.choice);
        let exit = if lane == group.default { 0 } else { group.exit(lane) };
        Some(Led { prefix: *self.rows.prefixes.get(at(row))?, exit })
    }
}

/// The rows around the one at hand with their costs, the widest first: each is asked for what all within it lack, and
/// all of them come before those.
#[derive(Debug, Default)]
struct Around(Vec<(u32, usize, Scores)>);

impl Around {
    /// The costs of the next row, whose group is at this place.
    fn scores(&mut self, rows: &Rows, (row, group): (u32, usize), fares: &Fares) -> Option<Scores> {
        let (mut known, thin) = scores(rows.cells.get(at(row))?, fares);
        let above = *rows.above.get(at(row))?;
        while self.0.pop_if(|(around, ..)| *around != above).is_some() {}
        if let Some((_, _, wider)) = self.0.iter().rev().find(|(_, other, _)| *other == group) {
            known.fill(thin, wider);
        }
        self.0.push((row, group, known));
        Some(known)
    }
}
