//! How a tunnel stands by what became of its probes.
//!
//! To fall is quick and to rise is slow, since each change moves flows, and what flaps moves them again and again. The
//! rules are told in [`super`].

use wireguard::time::Instant;

use super::State;
use crate::limits::{
    CALM_TIME, DEPARTURES_MAX, FORGIVE_TIME, GOOD_DEGRADED, GOOD_UP, LOSS_PARTS, LOSS_SHARE,
    LOSS_TIME, LOSSES_DEGRADED, LOST_DOWN,
};

/// The course of a tunnel that is probed.
#[derive(Clone, Debug)]
pub(super) struct Course {
    state: State,
    since: Instant,
    /// Probes answered in a row, and when the first of them was.
    good: u32,
    good_since: Instant,
    /// Probes lost in a row.
    lost: u32,
    losses: Losses,
    /// How often it has left `Up` and was not forgiven; while it is not up at least once.
    departures: u32,
    /// Since when it has been up without being forgiven one.
    forgiven_at: Instant,
}

impl Course {
    /// A tunnel is up until its probes say otherwise: to begin with every new tunnel down would move flows twice.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: State::Up,
            since: now,
            good: 0,
            good_since: now,
            lost: 0,
            losses: Losses::default(),
            departures: 0,
            forgiven_at: now,
        }
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    /// Since when it is in its state.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    /// The last probe was lost, and whether the tunnel is down is not known yet.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.lost > 0 && self.state != State::Down
    }

    /// A probe was answered.
    pub(super) fn answered(&mut self, now: Instant) {
        if self.good == 0 {
            self.good_since = now;
        }
        self.good = self.good.saturating_add(1);
        self.lost = 0;
        self.losses.count(false, now);
        match self.state {
            State::Down if self.good >= GOOD_DEGRADED => self.enter(State::Degraded, now),
            State::Degraded if self.is_calm(now) => {
                self.losses = Losses::default();
                self.forgiven_at = now;
                self.enter(State::Up, now);
            }
            State::Up => self.forgive(now),
            State::Down | State::Degraded | State::Unprobed => {}
        }
    }

    /// A probe was lost.
    pub(super) fn lost(&mut self, now: Instant) {
        self.good = 0;
        self.lost = self.lost.saturating_add(1);
        self.losses.count(true, now);
        let before = self.state;
        if before != State::Down && self.lost >= LOST_DOWN {
            self.enter(State::Down, now);
        } else if before == State::Up && self.losses.are_many() {
            self.enter(State::Degraded, now);
        }
        if before == State::Up && self.state != State::Up {
            self.departures = (self.departures + 1).min(DEPARTURES_MAX);
        }
    }

    fn enter(&mut self, state: State, now: Instant) {
        (self.state, self.since) = (state, now);
    }

    /// Whether it was good for as long as it takes: the longer, the oftener it has not kept what that promised.
    fn is_calm(&self, now: Instant) -> bool {
        let time = CALM_TIME * (1 << self.departures.saturating_sub(1));
        self.good >= GOOD_UP && now.since(self.good_since) >= time
    }

    fn forgive(&mut self, now: Instant) {
        if self.departures > 0 && now.since(self.forgiven_at) >= FORGIVE_TIME {
            self.departures -= 1;
            self.forgiven_at = now;
        }
    }
}

/// Probes and losses of the last [`LOSS_TIME`], in parts.
#[derive(Clone, Debug, Default)]
struct Losses {
    parts: [Part; LOSS_PARTS],
    /// The number of the last part, from the clock's start.
    last: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    probes: u32,
    lost: u32,
}

/// Nanoseconds of a part.
const PART: u64 = LOSS_TIME.as_secs() * 1_000_000_000 / LOSS_PARTS as u64;

impl Losses {
    fn count(&mut self, lost: bool, now: Instant) {
        self.move_on(now.0 / PART);
        if let Some(part) = self.parts.first_mut() {
            part.probes = part.probes.saturating_add(1);
            part.lost = part.lost.saturating_add(u32::from(lost));
        }
    }

    /// The newest part is the first.
    fn move_on(&mut self, number: u64) {
        let past = number.saturating_sub(self.last).min(LOSS_PARTS as u64);
        let past = usize::try_from(past).unwrap_or(LOSS_PARTS);
        self.parts.rotate_right(past);
        self.parts.iter_mut().take(past).for_each(|part| *part = Part::default());
        self.last = self.last.max(number);
    }

    /// Both sums are far below what the product takes: no tunnel has more than twenty probes a second.
    fn are_many(&self) -> bool {
        let sum = |of: fn(&Part) -> u32| self.parts.iter().map(of).sum::<u32>();
        let (probes, lost) = (sum(|part| part.probes), sum(|part| part.lost));
        lost >= LOSSES_DEGRADED && lost.saturating_mul(LOSS_SHARE) >= probes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A course whose probes are judged at these times.
    struct Scene {
        course: Course,
        now: Instant,
        interval: Duration,
    }

    impl Scene {
        fn new(interval_ms: u64) -> Self {
            let now = Instant(1_000_000_000_000);
            Self { course: Course::new(now), now, interval: Duration::from_millis(interval_ms) }
        }

        fn probes(&mut self, answered: bool, count: u32) -> State {
            for _ in 0..count {
                self.now = self.now + self.interval;
                if answered { self.course.answered(self.now) } else { self.course.lost(self.now) }
            }
            self.course.state()
        }

        /// How long it has to be good until it is up.
        fn recovery(&mut self) -> Duration {
            let start = self.now;
            while self.probes(true, 1) != State::Up {
                assert!(self.now.since(start) < Duration::from_hours(1));
            }
            self.now.since(start)
        }
    }

    #[test]
    fn three_in_a_row_are_down_and_it_takes_three_and_then_thirty_to_be_up_again() {
        let mut scene = Scene::new(1000);
        assert_eq!(scene.probes(false, 2), State::Up);
        assert_eq!(scene.probes(true, 1), State::Up);
        assert_eq!(scene.probes(false, 3), State::Down);
        assert_eq!(scene.course.since(), scene.now);
        assert_eq!(scene.probes(true, 2), State::Down);
        assert_eq!(scene.probes(false, 1), State::Down);
        assert_eq!(scene.probes(true, 3), State::Degraded);
        assert_eq!(scene.probes(true, 26), State::Degraded);
        assert_eq!(scene.probes(true, 1), State::Up);
    }

    #[test]
    fn many_good_ones_soon_are_no_recovery_before_the_time_is_over() {
        let mut scene = Scene::new(100);
        scene.probes(false, 3);
        assert_eq!(scene.recovery(), CALM_TIME + Duration::from_millis(100));
    }

    #[test]
    fn each_departure_doubles_the_time_and_long_calm_forgives() {
        let mut scene = Scene::new(100);
        let mut times = Vec::new();
        for _ in 0..9 {
            scene.probes(false, 3);
            times.push(scene.recovery().as_secs());
        }
        assert_eq!(times, [10, 20, 40, 80, 160, 320, 640, 640, 640]);
        let ten_minutes = 6001;
        assert_eq!(scene.probes(true, 3 * ten_minutes), State::Up);
        scene.probes(false, 3);
        assert_eq!(scene.recovery().as_secs(), 160, "three forgiven, one more");
    }

    #[test]
    fn few_losses_among_many_degrade_it_and_those_of_five_minutes_ago_do_not_count() {
        let mut scene = Scene::new(1000);
        for _ in 0..10 {
            assert_eq!(scene.probes(false, 1), State::Up);
            assert_eq!(scene.probes(true, 150), State::Up, "two in five minutes");
        }
        scene.probes(false, 1);
        scene.probes(true, 50);
        assert_eq!(scene.probes(false, 1), State::Degraded);
        assert_eq!(scene.probes(false, 2), State::Down);
    }

    #[test]
    fn at_short_intervals_it_takes_a_share_as_well() {
        let mut scene = Scene::new(100);
        scene.probes(true, 3000);
        for _ in 0..7 {
            assert_eq!(scene.probes(false, 1), State::Up);
            scene.probes(true, 30);
        }
        assert_eq!(scene.probes(false, 1), State::Degraded);
    }
}
