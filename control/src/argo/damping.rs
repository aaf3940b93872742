//! When a better choice is taken: not for a little, not at once, not again and again.

use super::ticks::MS;

/// Another choice must be better by more than this, and by more than a twentieth.
const MARGIN: u32 = 3 * MS;

/// Nobody is led elsewhere than straight for less: what is gained must pay for what can go wrong on more hops.
const GAIN_MIN: u32 = 5 * MS;

/// For so many rounds in a row it must be better.
const ROUNDS: u8 = 3;

/// Seconds for which a choice is held after it was taken; doubled with each that was taken shortly before it.
pub const HOLD: u32 = 60;

/// Seconds after which one of them is forgotten.
const FORGET: u32 = 600;

/// How often the hold is doubled at most: it then is an hour.
const DOUBLED_MAX: u8 = 6;

/// Whether a cost is so much less than another that it is a reason to change.
pub fn is_better(current: u32, other: u32) -> bool {
    let gain = current.saturating_sub(other);
    gain > MARGIN && gain > current / 20
}

/// Whether a cost is so much less than the straight way's that it is a reason to leave that.
pub fn is_worth_leaving(straight: u32, other: u32) -> bool {
    straight.saturating_sub(other) >= GAIN_MIN
}

/// What is remembered of a choice. Times are seconds of Unix time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing<L> {
    /// What is chosen.
    pub choice: L,
    /// What has been better of late.
    pub challenger: L,
    /// For how many rounds in a row; 0 when nothing is.
    pub streak: u8,
    /// How many choices were taken shortly after one another, the last among them.
    pub moves: u8,
    /// When it was taken; 0 when it was so from the beginning.
    pub since: u32,
}

impl<L: Copy + Eq> Standing<L> {
    /// Until when it is held; 0 when it is not.
    pub fn held_until(&self) -> u32 {
        match self.moves.checked_sub(1) {
            Some(before) => self.since.saturating_add(HOLD << before.min(DOUBLED_MAX)),
            None => 0,
        }
    }

    /// A round in which this is better, or nothing is; tells whether it is to be taken.
    pub fn press(&mut self, better: Option<L>, now: u32) -> bool {
        self.streak = match better {
            None => 0,
            Some(better) if better == self.challenger => self.streak.saturating_add(1).min(ROUNDS),
            Some(_) => 1,
        };
        self.challenger = better.unwrap_or(self.choice);
        self.streak >= ROUNDS && now >= self.held_until()
    }

    /// Takes a choice.
    pub fn take(&mut self, choice: L, now: u32) {
        let forgotten = now.saturating_sub(self.since) / FORGET;
        let forgotten = u8::try_from(forgotten).unwrap_or(u8::MAX);
        let moves = self.moves.saturating_sub(forgotten).saturating_add(1);
        *self = Self { choice, challenger: choice, streak: 0, moves, since: now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_is_by_more_than_three_milliseconds_and_a_twentieth() {
        assert!(!is_better(20 * MS, 17 * MS));
        assert!(is_better(20 * MS, 17 * MS - 1));
        assert!(!is_better(200 * MS, 190 * MS));
        assert!(is_better(200 * MS, 190 * MS - 1));
        assert!(!is_better(10, 20));
        assert!(!is_worth_leaving(20 * MS, 15 * MS + 1));
        assert!(is_worth_leaving(20 * MS, 15 * MS));
    }

    #[test]
    fn the_third_round_in_a_row_decides_and_a_pause_begins_anew() {
        let mut standing = Standing::<u8>::default();
        let pressed: Vec<bool> = [Some(2), Some(2), None, Some(2), Some(3), Some(3), Some(3)]
            .into_iter()
            .map(|better| standing.press(better, 0))
            .collect();
        assert_eq!(pressed, [false, false, false, false, false, false, true]);
    }

    #[test]
    fn the_hold_doubles_with_each_choice_and_shrinks_with_time() {
        let mut standing = Standing::<u8>::default();
        let mut holds = Vec::new();
        for now in [1000, 1060, 1180, 1420] {
            standing.take(1, now);
            holds.push(standing.held_until() - now);
        }
        assert_eq!(holds, [60, 120, 240, 480]);
        (0..9).for_each(|at| standing.take(0, 1420 + at));
        assert_eq!(standing.held_until() - standing.since, 3840);
        standing.take(1, standing.since + 12 * FORGET);
        assert_eq!(standing.held_until() - standing.since, 120);
        standing.take(1, standing.since + 2 * FORGET);
        assert_eq!(standing.held_until() - standing.since, 60);
    }

    #[test]
    fn what_is_held_waits_and_keeps_its_streak() {
        let mut standing = Standing::<u8>::default();
        standing.take(1, 1000);
        assert!((1001..1060).all(|now| !standing.press(Some(0), now)));
        assert!(standing.press(Some(0), 1060));
    }
}
