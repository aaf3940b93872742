//! A tunnel as its health is followed: when it is probed next, which probes wait for an answer.

use std::time::Duration;

use arrayvec::ArrayVec;
use wireguard::time::Instant;

use super::course::Course;
use super::{Probing, Standing, State, Tunnel};
use crate::limits::{PROBE_RETRY, PROBE_WAIT_MAX, PROBE_WAIT_MIN, PROBES_WAITING_MAX};
use crate::stages::egress::probe::{AllAnswers, Heard};

/// A tunnel and what is known of it.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) tunnel: Tunnel,
    pub(super) watch: Option<Watch>,
    /// Since when it is known here.
    since: Instant,
    /// It is in the list of those that control is to be told of.
    pub(super) is_untold: bool,
    /// When it was last put there.
    pub(super) listed_at: Instant,
}

impl Tracked {
    pub(super) fn new(tunnel: Tunnel, now: Instant) -> Self {
        let watch = tunnel.probing.map(|probing| Watch::new(tunnel.number, probing, now));
        Self { tunnel, watch, since: now, is_untold: true, listed_at: now }
    }

    /// The same tunnel, of which control has said something new.
    pub(super) fn become_as(&mut self, tunnel: Tunnel, now: Instant) {
        match (tunnel.probing, &mut self.watch) {
            (Some(probing), Some(watch)) => watch.follow(tunnel.number, probing, now),
            (None, None) => {}
            (probing, watch) => {
                *watch = probing.map(|probing| Watch::new(tunnel.number, probing, now));
                (self.since, self.is_untold) = (now, true);
            }
        }
        self.tunnel = tunnel;
    }

    pub(super) fn state(&self) -> State {
        self.watch.as_ref().map_or(State::Unprobed, |watch| watch.course.state())
    }

    pub(super) fn standing(&self) -> Standing {
        let watch = self.watch.as_ref();
        Standing {
            id: self.tunnel.id,
            state: self.state(),
            round_trip: watch.and_then(|watch| watch.round_trip.smoothed),
            sent: watch.map_or(0, |watch| watch.sent),
            answered: watch.map_or(0, |watch| watch.answered),
            since: watch.map_or(self.since, |watch| watch.course.since()),
        }
    }
}

/// The probing of one tunnel.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) probing: Probing,
    course: Course,
    /// The next time of the interval's grid, which retries do not move: so tunnels stay apart.
    grid: Instant,
    sent_at: Instant,
    /// The sequence of the first one. Answers to those before it are another tunnel's, which had the number.
    first: Option<u32>,
    /// Probes that may still be answered, oldest first.
    waiting: ArrayVec<Waiting, PROBES_WAITING_MAX>,
    round_trip: RoundTrip,
    sent: u64,
    answered: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    sequence: u32,
    sent_at: Instant,
}

impl Watch {
    fn new(number: u16, probing: Probing, now: Instant) -> Self {
        Self {
            probing,
            course: Course::new(now),
            grid: now + phase(number, probing.interval),
            sent_at: now,
            first: None,
            waiting: ArrayVec::new(),
            round_trip: RoundTrip::default(),
            sent: 0,
            answered: 0,
        }
    }

    fn follow(&mut self, number: u16, probing: Probing, now: Instant) {
        if self.probing.interval != probing.interval {
            self.grid = now + phase(number, probing.interval);
        }
        self.probing = probing;
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Instant {
        let wait = self.round_trip.wait();
        let judged_at = self.waiting.first().map_or(Instant::NEVER, |oldest| oldest.sent_at + wait);
        self.next_at().min(judged_at)
    }

    fn next_at(&self) -> Instant {
        if self.course.is_in_doubt() {
            self.sent_at + PROBE_RETRY.min(self.probing.interval)
        } else {
            self.grid
        }
    }

    /// Judges the probes whose time is over or that were answered, in the order in which they were sent.
    pub(super) fn judge(&mut self, number: u16, answers: &AllAnswers, now: Instant) {
        if let Some(heard) = answers.last(number).filter(|heard| self.is_own(heard.sequence)) {
            self.round_trip.learn(heard);
        }
        let wait = self.round_trip.wait();
        while let Some(oldest) = self.waiting.first() {
            if answers.has(number, oldest.sequence) {
                self.answered += 1;
                self.course.answered(now);
            } else if now >= oldest.sent_at + wait {
                self.course.lost(now);
            } else {
                return;
            }
            self.waiting.remove(0);
        }
    }

    fn is_own(&self, sequence: u32) -> bool {
        self.first.is_some_and(|first| sequence.wrapping_sub(first).cast_signed() >= 0)
    }

    /// Whether it is time for the next probe, which has this sequence. When too many wait, which no interval does that control
    /// may say, it is left out.
    pub(super) fn send(&mut self, sequence: u32, now: Instant) -> bool {
        if now < self.next_at() {
            return false;
        }
        self.sent_at = now;
        self.skip_to(now);
        let is_sent = self.waiting.try_push(Waiting { sequence, sent_at: now }).is_ok();
        self.sent += u64::from(is_sent);
        if is_sent {
            self.first.get_or_insert(sequence);
        }
        is_sent
    }

    /// The next time of the grid after `now`.
    fn skip_to(&mut self, now: Instant) {
        if now >= self.grid {
            let interval = nanoseconds(self.probing.interval).max(1);
            let periods = (now.0 - self.grid.0) / interval + 1;
            self.grid = Instant(self.grid.0.saturating_add(periods.saturating_mul(interval)));
        }
    }

    /// The probe could not be sent and says nothing of the tunnel.
    pub(super) fn withdraw(&mut self, sequence: u32) {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.sequence != sequence);
        self.sent -= (before - self.waiting.len()) as u64;
    }
}

/// How far into the interval the probes of a tunnel are: by the golden ratio, which puts each next number into the largest
/// gap that those before it leave.
fn phase(number: u16, interval: Duration) -> Duration {
    let fraction = u32::from(number).wrapping_mul(0x9e37_79b9);
    Duration::from_nanos(
        u64::try_from((u128::from(nanoseconds(interval)) * u128::from(fraction)) >> 32)
            .unwrap_or(0),
    )
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How long answers take.
#[derive(Clone, Copy, Debug, Default)]
struct RoundTrip {
    /// As RFC 6298 2 smooths it.
    smoothed: Option<Duration>,
    /// Of the last answer, which may have come too late to count.
    last: Option<Heard>,
}

impl RoundTrip {
    fn learn(&mut self, heard: Heard) {
        if self.last.is_some_and(|last| last.sequence == heard.sequence) {
            return;
        }
        self.last = Some(heard);
        let smoothed =
            self.smoothed.map_or(heard.round_trip, |before| (before * 7 + heard.round_trip) / 8);
        self.smoothed = Some(smoothed);
    }

    /// How long to wait for an answer. The last one counts as well, so that a way that has become longer is no loss twice.
    fn wait(&self) -> Duration {
        let last = self.last.map(|last| last.round_trip);
        let known = self.smoothed.max(last);
        known.map_or(PROBE_WAIT_MAX, |known| (known * 3).clamp(PROBE_WAIT_MIN, PROBE_WAIT_MAX))
    }
}
