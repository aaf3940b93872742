//! Why a prefix goes out where it does: its exits with what is known of them, and what speaks against each.

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;

use super::choice::{Fares, NO_COST, Scores};
use super::damping::{is_better, is_worth_leaving};
use super::dials::COUNT_MIN;
use super::paths::Path;
use super::rows::{Group, LOAD_ONE, at};
use super::ticks;
use super::ways::Reach;
use super::{Centre, Table};

/// A prefix with its exits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The prefix.
    pub prefix: IpNet,
    /// The number of the exit's centre that new flows take; 0 for straight out.
    pub exit: u16,
    /// Since when, in seconds of Unix time; 0 when it was so from the beginning.
    pub since: u32,
    /// Until when it is held against better ones; 0 when it is not.
    pub held_until: u32,
    /// Times that it was moved of late.
    pub moves: u8,
    /// Dials in a round, on average.
    pub dials: u32,
    /// All exits, in the order in which they are named.
    pub exits: Vec<Exit>,
}

/// One exit of a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The number of its centre; 0 for straight out.
    pub exit: u16,
    /// The number of the centre through which it is reached; 0 for none.
    pub relay: u16,
    /// The cost of the way there, if there is one that is known.
    pub way: Option<Duration>,
    /// Half of the dials take less from there.
    pub p50: Duration,
    /// Nine of ten take less.
    pub p90: Duration,
    /// Dials that were answered.
    pub count: u16,
    /// Of the last 32, those that failed.
    pub failures: u16,
    /// The wider prefix by which it is judged, when too little is known of this one.
    pub by: Option<IpNet>,
    /// What it costs in all; none when that is not known.
    pub cost: Option<Duration>,
    /// Why it is taken or not.
    pub why: Why,
}

/// Why an exit is taken or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says itself what it means")]
pub enum Why {
    Chosen,
    Tried,
    Same,
    Down,
    Failed,
    NoWay,
    Unknown,
    Full,
    NoReason,
    TooLittle,
    NotYet { rounds: u8 },
    Held,
    Queued,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chosen => "chosen",
            Self::Tried => "tried, for too little is known of it",
            Self::Same => "is this data centre, as direct is",
            Self::Down => "down: three probes in a row were lost",
            Self::Failed => "not used for a minute: three dials in a row failed",
            Self::NoWay => "not known: no probe was answered of late",
            Self::Unknown => "not known: fewer than 20 dials were answered of late",
            Self::Full => "has no headroom",
            Self::NoReason => "not better by more than 3 ms and a twentieth",
            Self::TooLittle => "saves less than 5 ms",
            Self::NotYet { rounds } => return write!(f, "better for {rounds} of 3 rounds"),
            Self::Held => "better, but the present one is held",
            Self::Queued => "better; waits for its turn, for a tenth moves in a round",
        })
    }
}

/// A data centre as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CentreSeen {
    /// Its number.
    pub number: u16,
    /// How it stands from here, straight.
    pub path: Path,
    /// By which way it is reached.
    pub reach: Reach,
    /// Since when by that one, in seconds of Unix time; 0 for always.
    pub since: u32,
    /// Prefixes that are led there.
    pub prefixes: u64,
    /// Dials in a round that go there.
    pub dials: u64,
}

impl Table {
    /// How a row stands.
    pub fn explain(&self, row: u32, now: u32) -> Option<Explained> {
        let (group, standing) = (self.group_of(row)?, *self.rows.standing.get(at(row))?);
        let fares = self.fares_of(group, now);
        let scores = self.scores(row, &fares)?;
        let lanes = (0..).zip(group.named.iter());
        let exits = lanes.map(|(lane, exit)| {
            let why = self.why(group, (row, lane), (&scores, &fares), now);
            self.exit_seen((row, lane), *exit, (scores.of(lane), why), now)
        });
        Some(Explained {
            prefix: *self.rows.prefixes.get(at(row))?,
            exit: group.exit(standing.choice),
            since: standing.since,
            held_until: Some(standing.held_until()).filter(|until| *until > now).unwrap_or(0),
            moves: standing.moves,
            dials: self.rows.load.get(at(row)).copied().unwrap_or(0) / LOAD_ONE,
            exits: exits.collect(),
        })
    }

    fn exit_seen(
        &self,
        (row, lane): (u32, u8),
        exit: u16,
        (cost, why): (u32, Why),
        now: u32,
    ) -> Exit {
        let of = |row: u32| self.rows.cells.get(at(row));
        let lane = usize::from(lane);
        let is_known =
            |row: &u32| of(*row).is_some_and(|cells| cells.count.get(lane) >= Some(&COUNT_MIN));
        let by = if is_known(&row) { None } else { self.rows.alike_around(row).find(is_known) };
        let cells = of(by.unwrap_or(row)).copied().unwrap_or_default();
        let own = of(row).copied().unwrap_or_default();
        let value = |all: &[u16; 8]| all.get(lane).copied().unwrap_or(0);
        let time = |all: &[u16; 8]| ticks::duration(value(all).into());
        let (way, relay) = match self.reach(exit, now) {
            Reach::By { cost, relay } => (Some(ticks::duration(cost)), relay),
            Reach::Down | Reach::Unknown => (None, 0),
        };
        Exit {
            exit,
            relay,
            way,
            p50: time(&cells.p50),
            p90: time(&cells.p90),
            count: value(&cells.count),
            failures: value(&own.failures).min(32),
            by: by.and_then(|row| self.rows.prefixes.get(at(row)).copied()),
            cost: (cost < NO_COST).then(|| ticks::duration(cost)),
            why,
        }
    }

    fn why(
        &self,
        group: &Group,
        (row, lane): (u32, u8),
        (scores, fares): (&Scores, &Fares),
        now: u32,
    ) -> Why {
        let standing = self.rows.standing.get(at(row)).copied().unwrap_or_default();
        let (cost, current) = (scores.of(lane), scores.of(standing.choice));
        let straight = scores.of(fares.default);
        let pays = straight >= NO_COST || is_worth_leaving(straight, cost);
        match lane {
            lane if lane == standing.choice => Why::Chosen,
            lane if self.trials.of(row) == Some(lane) => Why::Tried,
            lane if self.lane(group, group.exit(lane)) != Some(lane) => Why::Same,
            lane if fares.down >> lane & 1 == 1 => Why::Down,
            lane if scores.has_failed(lane) => Why::Failed,
            _ if self.reach(group.exit(lane), now).cost().is_none() => Why::NoWay,
            _ if cost >= NO_COST => Why::Unknown,
            lane if fares.full >> lane & 1 == 1 => Why::Full,
            _ if current < NO_COST && !is_better(current, cost) => Why::NoReason,
            lane if lane != fares.default && !pays => Why::TooLittle,
            lane if standing.challenger != lane || standing.streak < 3 => {
                let is_it = standing.challenger == lane;
                Why::NotYet { rounds: if is_it { standing.streak } else { 0 } }
            }
            _ if now < standing.held_until() => Why::Held,
            _ => Why::Queued,
        }
    }

    /// How all data centres stand, in the order of their numbers; first, with the number 0, what goes straight out.
    pub fn centres_seen(&self, now: u32) -> Vec<CentreSeen> {
        let numbers =
            std::iter::once(0).chain(self.centres.iter().map(|Centre { number, .. }| *number));
        let seen = numbers.map(|number| CentreSeen {
            number,
            path: self.paths.from_here(number, now),
            reach: self.reach(number, now),
            since: self.ways.since(number),
            prefixes: self.loads.rows(number),
            dials: self.loads.dials(number) / u64::from(LOAD_ONE),
        });
        seen.collect()
    }

    /// Prefixes that were moved at the end of a round, and those that had to leave an exit, since the start.
    pub fn moved(&self) -> (u64, u64) {
        (self.moved, self.left)
    }
}
