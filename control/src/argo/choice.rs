//! The exit of one prefix: what each costs, and whether there is a reason to take another.

use super::damping::{Standing, is_better, is_worth_leaving};
use super::dials::{COUNT_MIN, Cells, FAILED};
use super::rows::EXITS_MAX;
use super::ticks::LOST_SYN;

/// What stands for the cost of an exit that has none, and below which all sums of costs stay.
pub const NO_COST: u32 = 1 << 30;

/// The cost of a failed dial of the last 32: one that fails costs what a lost SYN costs.
const FAILURE: u32 = LOST_SYN / 32;

/// A quarter of what lies between half and nine tenths of all dials is added to the half: nobody gains by an exit that
/// is quick mostly and slow often.
const SPREAD_SHIFT: u32 = 2;

/// What the exits of a group cost before any destination: the ways to them. The same for all rows of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fares {
    /// In ticks; [`NO_COST`] where an exit cannot be used or is not known.
    pub cost: [u32; EXITS_MAX],
    /// A bit for each exit to which nothing comes through.
    pub down: u8,
    /// A bit for each exit to which there is a way that is known.
    pub open: u8,
    /// A bit for each exit that takes no more load.
    pub full: u8,
    /// The place of the one that is taken when nothing is known.
    pub default: u8,
}

/// What the exits cost for one prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scores {
    /// In ticks; [`NO_COST`] and more where nothing is known.
    pub cost: [u32; EXITS_MAX],
    /// A bit for each exit that has failed.
    pub failed: u8,
}

/// What is to be done with a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Stay,
    /// Another exit has been better for long enough.
    Move(u8),
    /// The exit has failed, or is not known any more: this one is to be taken at once.
    Leave(u8),
}

/// The cost of each exit by what is known of the prefix itself; the second says for which of those that have a way too
/// little is known.
pub fn scores(cells: &Cells, fares: &Fares) -> (Scores, u8) {
    let Cells { p50, p90, count, failures } = cells;
    let mut cost = fares.cost;
    let times = p50.iter().zip(p90).zip(count.iter().zip(failures));
    for (cost, ((p50, p90), (count, failures))) in cost.iter_mut().zip(times) {
        let spread = u32::from(p90.saturating_sub(*p50));
        let time = u32::from(*p50) + (spread >> SPREAD_SHIFT);
        // The times are of four seconds, and the failures of a minute at most: a sum of them passes no bound.
        let sum = *cost + time + u32::from((*failures).min(32)) * FAILURE;
        let known = *count >= COUNT_MIN && *failures != FAILED;
        *cost = if known { sum.min(NO_COST) } else { NO_COST };
    }
    let bit = |lane: u8, is_set: bool| u8::from(is_set) << lane;
    let failed = (0..).zip(failures).map(|(lane, failures)| bit(lane, *failures == FAILED));
    let failed = failed.fold(fares.down, |all, one| all | one);
    let few = (0..).zip(count).map(|(lane, count)| bit(lane, *count < COUNT_MIN));
    let few = few.fold(0, |all, one| all | one);
    (Scores { cost, failed }, few & !failed & fares.open)
}

impl Scores {
    /// Takes from those of a wider prefix what too little is known of, as `thin` says.
    pub fn fill(&mut self, thin: u8, wider: &Self) {
        for ((lane, cost), other) in (0..).zip(&mut self.cost).zip(wider.cost) {
            *cost = if thin >> lane & 1 == 1 { other } else { *cost };
        }
    }

    /// Whether nothing is so much better than the exit at a place, which has not failed, that it matters.
    fn is_good(&self, lane: u8) -> bool {
        let least = self.cost.iter().fold(NO_COST, |least, cost| least.min(*cost));
        self.of(lane) < NO_COST && !self.has_failed(lane) && !is_better(self.of(lane), least)
    }

    /// Whether the exit at a place has failed.
    pub fn has_failed(&self, lane: u8) -> bool {
        self.failed >> lane & 1 == 1
    }

    /// The cost of the exit at a place.
    pub fn of(&self, lane: u8) -> u32 {
        self.cost.get(usize::from(lane)).copied().unwrap_or(NO_COST)
    }

    /// The exit that costs least of those that may be taken.
    fn least(&self, full: u8, current: u8) -> Option<(u32, u8)> {
        let lanes = (0..).zip(&self.cost).filter(|(lane, cost)| {
            let is_open = full >> lane & 1 == 0 || *lane == current;
            **cost < NO_COST && is_open && !self.has_failed(*lane)
        });
        lanes.map(|(lane, cost)| (*cost, lane)).min()
    }

    /// Whether the exit at a place is so much better than the present one that it is to be taken some time.
    fn is_worth(&self, lane: u8, (current, fares): (u8, &Fares)) -> bool {
        let (cost, straight) = (self.of(lane), self.of(fares.default));
        let is_open = fares.full >> lane & 1 == 0 && !self.has_failed(lane);
        let pays = lane == fares.default
            || straight >= NO_COST
            || self.has_failed(fares.default)
            || is_worth_leaving(straight, cost);
        lane != current && cost < NO_COST && is_open && pays && is_better(self.of(current), cost)
    }

    /// What to do at once: only what has failed is left. What is not known any more is left as well, unless it was
    /// `kept` from before a restart.
    pub fn at_once(&self, fares: &Fares, choice: u8, is_kept: bool) -> Verdict {
        let leave = |to: u8| if to == choice { Verdict::Stay } else { Verdict::Leave(to) };
        if self.has_failed(choice) {
            return leave(self.least(fares.full, choice).map_or(fares.default, |(_, lane)| lane));
        }
        if self.of(choice) >= NO_COST && !is_kept {
            return leave(fares.default);
        }
        Verdict::Stay
    }

    /// What to do at the end of a round.
    pub fn judge(
        &self,
        fares: &Fares,
        standing: &mut Standing<u8>,
        (now, is_kept): (u32, bool),
    ) -> Verdict {
        let choice = standing.choice;
        if self.is_good(choice) {
            standing.press(None, now);
            return Verdict::Stay;
        }
        let urgent = self.at_once(fares, choice, is_kept);
        if urgent != Verdict::Stay || self.of(choice) >= NO_COST {
            return urgent;
        }
        let position = (choice, fares);
        // What has been better all the time is not given up for what is yet better by chance.
        let same = Some(standing.challenger).filter(|lane| self.is_worth(*lane, position));
        let better = same.or_else(|| {
            let (_, lane) = self.least(fares.full, choice)?;
            self.is_worth(lane, position).then_some(lane)
        });
        if standing.press(better, now) { Verdict::Move(standing.challenger) } else { Verdict::Stay }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ticks::MS;
    use super::*;

    fn fares(cost: &[u32]) -> Fares {
        let mut all = [NO_COST; EXITS_MAX];
        all[..cost.len()].copy_from_slice(cost);
        let open = (0..).zip(all).map(|(lane, cost)| u8::from(cost < NO_COST) << lane).sum();
        Fares { cost: all, down: 0, open, full: 0, default: 0 }
    }

    fn cells(times: &[(u32, u32, u16)]) -> Cells {
        let mut cells = Cells::default();
        for (lane, (p50, p90, failures)) in times.iter().enumerate() {
            cells.p50[lane] = u16::try_from(p50 * MS).unwrap();
            cells.p90[lane] = u16::try_from(p90 * MS).unwrap();
            cells.count[lane] = COUNT_MIN;
            cells.failures[lane] = *failures;
        }
        cells
    }

    #[test]
    fn a_cost_is_way_half_spread_and_failures() {
        let (scores, thin) = scores(
            &cells(&[(100, 140, 0), (40, 80, 2), (40, 40, FAILED)]),
            &fares(&[0, 20 * MS, 0, 5]),
        );
        assert_eq!(scores.cost[..2], [110 * MS, 20 * MS + 50 * MS + 2 * 500]);
        assert_eq!((scores.cost[2], scores.failed, thin), (NO_COST, 0b100, 0b1000));
    }

    fn rounds(scores: &Scores, fares: &Fares, standing: &mut Standing<u8>) -> Vec<Verdict> {
        (0..4).map(|at| scores.judge(fares, standing, (1000 + at * 10, false))).collect()
    }

    #[test]
    fn a_detour_is_taken_in_the_third_round_if_it_gains_five_milliseconds() {
        for (time, is_taken) in [(15, true), (16, false)] {
            let fares = fares(&[0, 0]);
            let (scores, _) = scores(&cells(&[(20, 20, 0), (time, time, 0)]), &fares);
            let verdicts = rounds(&scores, &fares, &mut Standing::default());
            let third = if is_taken { Verdict::Move(1) } else { Verdict::Stay };
            assert_eq!(verdicts[..3], [Verdict::Stay, Verdict::Stay, third], "{time}");
        }
    }

    #[test]
    fn what_has_failed_is_left_at_once_for_the_best_that_has_room() {
        let mut fares = fares(&[0, 0, 0]);
        let (scores, _) = scores(&cells(&[(20, 20, FAILED), (90, 90, 0), (50, 50, 0)]), &fares);
        assert_eq!(scores.at_once(&fares, 0, false), Verdict::Leave(2));
        fares.full = 0b100;
        assert_eq!(scores.at_once(&fares, 0, false), Verdict::Leave(1));
        assert_eq!(scores.at_once(&fares, 2, false), Verdict::Stay, "it is there already");
    }

    #[test]
    fn when_all_have_failed_and_when_nothing_is_known_the_default_is_taken() {
        let mut fares = fares(&[0, 0]);
        fares.down = 0b11;
        let (failed, _) = scores(&cells(&[(20, 20, 0), (50, 50, 0)]), &fares);
        assert_eq!(failed.at_once(&fares, 1, false), Verdict::Leave(0));
        assert_eq!(failed.at_once(&fares, 0, false), Verdict::Stay);
        fares.down = 0;
        let (unknown, thin) = scores(&Cells::default(), &fares);
        assert_eq!(thin, 0b11);
        assert_eq!(unknown.at_once(&fares, 1, false), Verdict::Leave(0));
        assert_eq!(unknown.at_once(&fares, 1, true), Verdict::Stay, "it was kept");
        let mut standing = Standing { choice: 0, ..Standing::default() };
        assert_eq!(rounds(&unknown, &fares, &mut standing), [Verdict::Stay; 4]);
    }

    #[test]
    fn a_full_exit_is_no_choice_but_stays_one() {
        let mut fares = fares(&[0, 0]);
        fares.full = 0b10;
        let (scores, _) = scores(&cells(&[(50, 50, 0), (20, 20, 0)]), &fares);
        assert_eq!(rounds(&scores, &fares, &mut Standing::default()), [Verdict::Stay; 4]);
        let mut standing = Standing { choice: 1, ..Standing::default() };
        assert_eq!(rounds(&scores, &fares, &mut standing), [Verdict::Stay; 4]);
    }
}
