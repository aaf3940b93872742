//! D: how far data centres are from here and from one another, as probes say.

use std::collections::HashMap;
use std::time::Duration;

use shm::message::Path as Told;

use super::ticks::{self, LOST_SYN};

/// Probes over which loss is counted.
const PROBES: u8 = 100;

/// A centre is down when so many probes in a row were lost.
const LOST_MAX: u8 = 3;

/// Seconds after which what was not heard again is not known any more.
const STALE: u32 = 60;

/// A share of 1/8 of each new round trip goes into the average (RFC 6298 2.3).
const SHARE: u32 = 8;

/// How one end stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Nothing was heard of late.
    Unknown,
    /// Nothing comes through.
    Down,
    /// Packets come through.
    Up {
        /// The round trip, in ticks.
        rtt: u32,
        /// Lost probes of the last hundred.
        lost: u8,
    },
}

impl Path {
    /// The round trip, if packets come through.
    pub fn rtt(self) -> Option<u32> {
        match self {
            Self::Up { rtt, .. } => Some(rtt),
            Self::Unknown | Self::Down => None,
        }
    }

    /// What it costs in ticks, with what a loss costs: a lost SYN comes again after a second.
    pub fn cost(self) -> Option<u32> {
        match self {
            Self::Up { rtt, lost } => Some(rtt + u32::from(lost) * (LOST_SYN / 100)),
            Self::Unknown | Self::Down => None,
        }
    }
}

/// The probes from here to one centre.
#[derive(Clone, Copy, Debug, Default)]
struct Probed {
    /// The average in ticks, times [`SHARE`]; 0 before the first answer.
    average: u32,
    /// The last probes, the newest in the lowest bit; set where one was lost.
    lost: u128,
    count: u8,
    lost_in_row: u8,
    heard: u32,
}

impl Probed {
    fn path(&self, now: u32) -> Path {
        if self.count == 0 || now.saturating_sub(self.heard) > STALE {
            return Path::Unknown;
        }
        if self.lost_in_row >= LOST_MAX {
            return Path::Down;
        }
        if self.average == 0 {
            return Path::Unknown;
        }
        let lost = (self.lost & ((1 << PROBES) - 1)).count_ones();
        Path::Up { rtt: self.average / SHARE, lost: u8::try_from(lost).unwrap_or(PROBES) }
    }
}

/// All paths between centres.
#[derive(Debug, Default)]
pub struct Paths {
    /// The number of this data centre; 0 when it has none.
    here: u16,
    /// Centres that there are, with their places in what follows.
    places: HashMap<u16, usize>,
    probed: Vec<Probed>,
    /// What others have told, row after row, and when.
    told: Vec<Option<(Told, u32)>>,
}

impl Paths {
    /// Follows which centres there are; what is known of those that stay stays.
    pub fn follow(&mut self, here: u16, centres: &[u16]) {
        let places: HashMap<u16, usize> = (0..).zip(centres).map(|(at, c)| (*c, at)).collect();
        let mut probed = vec![Probed::default(); centres.len()];
        let mut told = vec![None; centres.len() * centres.len()];
        let moved: Vec<Option<usize>> =
            centres.iter().map(|centre| self.places.get(centre).copied()).collect();
        for (row, from) in moved.iter().enumerate() {
            let Some(from) = *from else { continue };
            if let (Some(to), Some(known)) = (probed.get_mut(row), self.probed.get(from)) {
                *to = *known;
            }
            for (column, old) in moved.iter().enumerate() {
                let known = old.and_then(|old| self.told.get(from * self.places.len() + old));
                let place = told.get_mut(row * centres.len() + column);
                if let (Some(place), Some(known)) = (place, known) {
                    *place = *known;
                }
            }
        }
        *self = Self { here, places, probed, told };
    }

    /// Whether a number is this data centre's.
    pub fn is_here(&self, centre: u16) -> bool {
        centre == 0 || centre == self.here
    }

    /// All centres but this one, in no order.
    pub fn others(&self) -> impl Iterator<Item = u16> {
        self.places.keys().copied().filter(|centre| *centre != self.here)
    }

    /// A probe from here was answered after this time, or never; tells whether the centre has just gone down.
    pub fn probe(&mut self, to: u16, answer: Option<Duration>, now: u32) -> bool {
        let place = self.places.get(&to).copied();
        let Some(probed) = place.and_then(|at| self.probed.get_mut(at)) else { return false };
        if now.saturating_sub(probed.heard) > STALE {
            *probed = Probed::default();
        }
        probed.heard = now;
        probed.count = probed.count.saturating_add(1);
        probed.lost = probed.lost << 1 | u128::from(answer.is_none());
        if let Some(rtt) = answer {
            // 0 stands for none.
            let rtt = u32::from(ticks::of(rtt)).max(1);
            probed.average = match probed.average {
                0 => rtt * SHARE,
                average => average - average / SHARE + rtt,
            };
            probed.lost_in_row = 0;
            return false;
        }
        probed.lost_in_row = probed.lost_in_row.saturating_add(1);
        probed.lost_in_row == LOST_MAX
    }

    /// What a centre has told of its way to another one.
    pub fn tell(&mut self, from: u16, told: Told, now: u32) {
        let (Some(row), Some(column)) = (self.places.get(&from), self.places.get(&told.to)) else {
            return;
        };
        if let Some(place) = self.told.get_mut(row * self.places.len() + column) {
            *place = Some((told, now));
        }
    }

    /// How a centre stands from here.
    pub fn from_here(&self, to: u16, now: u32) -> Path {
        if self.is_here(to) {
            return Path::Up { rtt: 0, lost: 0 };
        }
        let probed = self.places.get(&to).and_then(|at| self.probed.get(*at));
        probed.map_or(Path::Unknown, |probed| probed.path(now))
    }

    /// How one centre stands from another; a round trip is the same from both ends.
    pub fn between(&self, from: u16, to: u16, now: u32) -> Path {
        let told = self.as_told(from, to, now);
        if told == Path::Unknown { self.as_told(to, from, now) } else { told }
    }

    fn as_told(&self, from: u16, to: u16, now: u32) -> Path {
        let (Some(row), Some(column)) = (self.places.get(&from), self.places.get(&to)) else {
            return Path::Unknown;
        };
        match self.told.get(row * self.places.len() + column).copied().flatten() {
            Some((_, heard)) if now.saturating_sub(heard) > STALE => Path::Unknown,
            Some((Told { rtt: Some(rtt), lost, .. }, _)) => {
                Path::Up { rtt: u32::from(ticks::of(rtt)), lost }
            }
            Some((Told { rtt: None, .. }, _)) => Path::Down,
            None => Path::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn paths() -> Paths {
        let mut paths = Paths::default();
        paths.follow(1, &[1, 7, 9]);
        paths
    }

    #[test]
    fn an_average_follows_slowly_and_loss_is_of_the_last_hundred() {
        let mut paths = paths();
        assert_eq!(paths.from_here(7, 0), Path::Unknown);
        for now in 0..200 {
            paths.probe(7, Some(ms(40)), now);
        }
        assert_eq!(paths.from_here(7, 200), Path::Up { rtt: 640, lost: 0 });
        paths.probe(7, Some(ms(80)), 200);
        assert_eq!(paths.from_here(7, 200), Path::Up { rtt: 720, lost: 0 });
        paths.probe(7, None, 201);
        assert_eq!(paths.from_here(7, 201), Path::Up { rtt: 720, lost: 1 });
        assert_eq!(paths.from_here(7, 201).cost(), Some(720 + 160));
        for at in 0..99 {
            paths.probe(7, Some(ms(40)), 202 + at);
        }
        assert!(matches!(paths.from_here(7, 300), Path::Up { lost: 1, .. }));
        paths.probe(7, Some(ms(40)), 301);
        assert!(matches!(paths.from_here(7, 301), Path::Up { lost: 0, .. }));
    }

    #[test]
    fn three_lost_in_a_row_are_down_and_an_answer_is_up_again() {
        let mut paths = paths();
        paths.probe(7, Some(ms(40)), 0);
        let gone: Vec<bool> = (1..5).map(|now| paths.probe(7, None, now)).collect();
        assert_eq!(gone, [false, false, true, false]);
        assert_eq!(paths.from_here(7, 5), Path::Down);
        paths.probe(7, Some(ms(40)), 6);
        assert!(matches!(paths.from_here(7, 6), Path::Up { lost: 4, .. }));
        assert_eq!(paths.from_here(7, 67), Path::Unknown, "nothing is heard");
    }

    #[test]
    fn one_that_never_answered_is_down_and_this_one_is_no_way() {
        let mut paths = paths();
        for now in 0..3 {
            paths.probe(9, None, now);
        }
        assert_eq!(paths.from_here(9, 3), Path::Down);
        assert_eq!(paths.from_here(1, 3), Path::Up { rtt: 0, lost: 0 });
        assert_eq!(paths.from_here(0, 3), Path::Up { rtt: 0, lost: 0 });
        assert!(!paths.probe(5, None, 3), "nobody");
    }

    #[test]
    fn what_others_tell_goes_both_ways_and_stays_when_centres_come_and_go() {
        let mut paths = paths();
        paths.probe(9, Some(ms(10)), 0);
        paths.tell(7, Told { to: 9, rtt: Some(ms(20)), lost: 3 }, 0);
        paths.tell(5, Told { to: 9, rtt: Some(ms(20)), lost: 3 }, 0);
        paths.follow(1, &[9, 4, 7]);
        let up = Path::Up { rtt: 320, lost: 3 };
        assert_eq!((paths.between(7, 9, 1), paths.between(9, 7, 1)), (up, up));
        assert_eq!(paths.from_here(9, 1), Path::Up { rtt: 160, lost: 0 });
        assert_eq!(paths.between(4, 9, 1), Path::Unknown);
        paths.tell(9, Told { to: 7, rtt: None, lost: 100 }, 2);
        assert_eq!(paths.between(9, 7, 2), Path::Down);
        assert_eq!(paths.between(9, 7, 99), Path::Unknown);
    }
}
