//! How much of its time a handshake thread works, and what of it strangers may have.

use std::time::Duration;

use wireguard::time::Instant;

use crate::limits::{KNOWN_TURNS, LOAD_SLICE, LOAD_SLICES, LOAD_WINDOW, STRANGERS_CREDIT};

/// Whose jobs a turn does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Known,
    Strangers,
}

/// The account of one thread.
#[derive(Debug)]
pub(super) struct Load {
    budget_percent: u32,
    /// Work in each slice of time, the present one first.
    slices: [Duration; LOAD_SLICES],
    /// Which slice of all time the present one is.
    slice: u64,
    is_over: bool,
    /// The time up to which strangers have had their share.
    strangers_until: Instant,
    /// Turns for known sources since strangers had one.
    known_turns: u32,
    /// Whose the last turn was.
    turn: Turn,
}

impl Load {
    pub(super) const fn new(budget_percent: u32) -> Self {
        Self {
            budget_percent,
            slices: [Duration::ZERO; LOAD_SLICES],
            slice: 0,
            is_over: false,
            strangers_until: Instant::ZERO,
            known_turns: 0,
            turn: Turn::Known,
        }
    }

    /// Moves the window on; says whether more than the budget was used in it. Once it was, it is until half of that is
    /// left, so that a flood at the very budget does not change it at every turn.
    pub(super) fn is_over_budget(&mut self, now: Instant) -> bool {
        let slice = now.0 / nanos(LOAD_SLICE);
        let passed = usize::try_from(slice.saturating_sub(self.slice)).unwrap_or(usize::MAX);
        let passed = passed.min(LOAD_SLICES);
        self.slices.rotate_right(passed);
        self.slices.iter_mut().take(passed).for_each(|gone| *gone = Duration::ZERO);
        self.slice = slice;
        let begun = Duration::from_nanos(now.0 % nanos(LOAD_SLICE));
        let budget = self.share(LOAD_WINDOW + begun);
        let worked: Duration = self.slices.iter().sum();
        self.is_over = worked >= if self.is_over { budget / 2 } else { budget };
        self.is_over
    }

    /// Whose jobs come next, of those that wait.
    pub(super) fn next(&mut self, known: bool, strangers: bool, now: Instant) -> Option<Turn> {
        let strangers = strangers && self.strangers_until <= now;
        self.turn = match (known, strangers) {
            (true, true) if self.known_turns >= KNOWN_TURNS => Turn::Strangers,
            (true, _) => Turn::Known,
            (false, true) => Turn::Strangers,
            (false, false) => return None,
        };
        self.known_turns =
            if self.turn == Turn::Known { self.known_turns.saturating_add(1) } else { 0 };
        Some(self.turn)
    }

    /// The last turn took so long, until now.
    pub(super) fn spend(&mut self, time: Duration, now: Instant) {
        self.is_over_budget(now);
        let [present, ..] = &mut self.slices;
        *present += time;
        if self.turn == Turn::Strangers {
            let saved = now - self.whole(STRANGERS_CREDIT);
            self.strangers_until = self.strangers_until.max(saved) + self.whole(time);
        }
    }

    /// The part of a time that the budget allows.
    fn share(&self, time: Duration) -> Duration {
        time * self.budget_percent / 100
    }

    /// The time of which the budget allows this part.
    fn whole(&self, part: Duration) -> Duration {
        part * 100 / self.budget_percent.max(1)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant(1_000_000_000_000);
    const JOB: Duration = Duration::from_micros(100);

    /// Works for the first `percent` of each of `count` milliseconds; gives when it was over the budget at last.
    fn work(load: &mut Load, from: Instant, count: u32, percent: u32) -> Option<u32> {
        let mut over = None;
        for ms in 0..count {
            let now = from + Duration::from_millis(ms.into());
            if load.is_over_budget(now) {
                over = Some(ms);
            }
            load.next(true, false, now);
            load.spend(Duration::from_micros(10) * percent, now);
        }
        over
    }

    #[test]
    fn is_over_above_the_budget_and_until_half_of_it_is_left() {
        let ms = |ms| Duration::from_millis(ms);
        let mut load = Load::new(50);
        assert_eq!(work(&mut load, START, 1_000, 45), None);
        assert!(work(&mut load, START + ms(1_000), 200, 60) == Some(199), "met within the window");
        assert!(work(&mut load, START + ms(1_200), 1_000, 30) == Some(999), "above the half");
        let over = work(&mut load, START + ms(2_200), 1_000, 20);
        assert!(over.is_some_and(|over| over < 170), "{over:?}");
        assert!(!load.is_over_budget(START + ms(1_000_000)), "however long it rests");
    }

    #[test]
    fn strangers_have_the_budget_and_no_more() {
        for percent in [1, 10, 50, 90] {
            let mut load = Load::new(percent);
            let (mut now, mut had) = (START, Duration::ZERO);
            let end = START + Duration::from_secs(10);
            while now < end {
                let turn = load.next(false, true, now);
                now = now + JOB;
                if turn.is_some() {
                    load.spend(JOB, now);
                    had += JOB;
                }
            }
            let share = Duration::from_secs(10) * percent / 100;
            let most = share + STRANGERS_CREDIT + JOB;
            assert!((share..=most).contains(&had), "{had:?} at {percent} %");
        }
    }

    #[test]
    fn known_sources_come_first_and_strangers_have_a_quarter_of_the_turns() {
        let mut load = Load::new(90);
        let mut now = START;
        let turns = (0..4_000).map(|_| {
            let turn = load.next(true, true, now);
            now = now + JOB;
            load.spend(JOB, now);
            turn
        });
        let turns: Vec<_> = turns.collect();
        assert_eq!(turns.iter().filter(|turn| **turn == Some(Turn::Strangers)).count(), 1_000);
        assert!(turns.windows(4).all(|four| four.contains(&Some(Turn::Strangers))));
        assert_eq!(load.next(false, false, now), None);
    }
}
