//! Replays: the frames of a capture at their recorded pace or at a rate, once or in a loop.

use wireguard::time::Instant;

use crate::pcap::Capture;

/// When the frames of a capture are due, by its own times.
#[derive(Debug)]
pub struct Recorded {
    /// Nanoseconds of each frame after the first, in their order.
    times: Vec<u64>,
    /// From the first frame of one round to that of the next.
    period: u64,
    start: Instant,
    until: Instant,
    /// Frames of all rounds.
    total: u64,
    taken: u64,
}

impl Recorded {
    /// So many rounds (0: without end), `factor` times as fast as recorded, the first frame at `start`.
    pub fn new(capture: &Capture, factor: f64, rounds: u32, start: Instant) -> Self {
        let times: Vec<u64> =
            capture.frames().iter().map(|frame| scaled(frame.at_ns, factor)).collect();
        let count = (times.len() as u64).max(1);
        let span = times.last().copied().unwrap_or(0);
        // The last frame is followed by the first as far as frames are apart on average.
        let gap = span.checked_div(count - 1).unwrap_or(0).max(1);
        let total = total(capture, rounds);
        let period = span.saturating_add(gap);
        Self { times, period, start, until: Instant::NEVER, total, taken: 0 }
    }

    /// Takes the next frame if it is due by `now`; gives the moment that it is planned for.
    #[inline]
    pub fn take(&mut self, now: Instant) -> Option<Instant> {
        let count = self.times.len() as u64;
        if self.taken >= self.total || count == 0 {
            return None;
        }
        let place = usize::try_from(self.taken % count).ok()?;
        let rounds = (self.taken / count).saturating_mul(self.period);
        let after = rounds.saturating_add(*self.times.get(place)?);
        let due = Instant(self.start.0.saturating_add(after));
        if due > now.min(self.until) {
            return None;
        }
        self.taken += 1;
        Some(due)
    }

    /// Nothing later than this is due.
    pub const fn end(&mut self, until: Instant) {
        self.until = until;
    }

    /// Frames that are due by `now` and were not taken.
    pub fn owed(&self, now: Instant) -> u64 {
        let now = now.min(self.until);
        if now < self.start {
            return 0;
        }
        let elapsed = now.0 - self.start.0;
        let (rounds, within) = (elapsed / self.period, elapsed % self.period);
        let part = self.times.partition_point(|at| *at <= within) as u64;
        let due = rounds.saturating_mul(self.times.len() as u64).saturating_add(part);
        due.min(self.total).saturating_sub(self.taken)
    }

    /// Frames of all rounds, and those that were taken.
    pub const fn progress(&self) -> (u64, u64) {
        (self.total, self.taken)
    }

    /// Whether all frames were taken.
    pub const fn is_over(&self) -> bool {
        self.taken >= self.total
    }
}

/// Frames of so many rounds; 0 rounds are without end.
pub fn total(capture: &Capture, rounds: u32) -> u64 {
    let count = capture.frames().len() as u64;
    if rounds == 0 { u64::MAX } else { count.saturating_mul(rounds.into()) }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the conversion saturates, nothing is negative, and 53 bits of nanoseconds are 104 days"
)]
fn scaled(nanos: u64, factor: f64) -> u64 {
    (nanos as f64 / factor) as u64
}

/// The frames of a capture, round after round.
#[derive(Debug)]
pub struct Replay {
    capture: Capture,
    next: usize,
}

impl Replay {
    /// From the capture's first frame on.
    pub const fn new(capture: Capture) -> Self {
        Self { capture, next: 0 }
    }

    /// The next frame.
    #[inline]
    pub fn frame(&mut self) -> &[u8] {
        let frames = self.capture.frames();
        let Some(frame) = frames.get(self.next) else { return &[] };
        self.next = if self.next + 1 == frames.len() { 0 } else { self.next + 1 };
        self.capture.octets(frame)
    }

    /// Octets of the next frame.
    #[inline]
    pub fn frame_len(&self) -> usize {
        self.capture.frames().get(self.next).map_or(0, |frame| self.capture.octets(frame).len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcap::Writer;
    use proptest::prelude::*;

    fn capture(times: &[u64]) -> Capture {
        let mut writer = Writer::new(Vec::new()).unwrap();
        for (number, at) in times.iter().enumerate() {
            writer.write(*at, &vec![1; 60 + number]).unwrap();
        }
        Capture::read(&writer.finish().unwrap()[..], 1518).unwrap()
    }

    #[test]
    fn frames_are_due_as_recorded_and_again_in_each_round() {
        let capture = capture(&[1000, 1400, 1200, 2000]);
        let mut plan = Recorded::new(&capture, 2.0, 2, Instant(50));
        let mut due = Vec::new();
        assert_eq!(plan.take(Instant(49)), None);
        while let Some(at) = plan.take(Instant(10_000)) {
            due.push(at.0 - 50);
        }
        assert_eq!(due, [0, 200, 200, 500, 666, 866, 866, 1166], "never back, and twice as fast");
        assert!(plan.is_over());
        assert_eq!(plan.owed(Instant(10_000)), 0);
    }

    #[test]
    fn one_frame_without_end_has_a_period() {
        let mut plan = Recorded::new(&capture(&[5]), 1.0, 0, Instant(0));
        assert_eq!(plan.take(Instant(1)), Some(Instant(0)));
        assert_eq!(plan.take(Instant(1)), Some(Instant(1)));
        assert_eq!(plan.take(Instant(1)), None);
        assert_eq!(plan.owed(Instant(11)), 10);
        assert!(!plan.is_over());
    }

    #[test]
    fn frames_come_in_their_order_and_again() {
        let mut replay = Replay::new(capture(&[0, 1]));
        let lens: Vec<_> = (0..4).map(|_| (replay.frame_len(), replay.frame().len())).collect();
        assert_eq!(lens, [(60, 60), (61, 61), (60, 60), (61, 61)]);
    }

    proptest! {
        #[test]
        fn what_is_owed_is_what_could_still_be_taken(
            times in prop::collection::vec(0..1000_u64, 1..20), rounds in 0..4_u32, now in 0..5000_u64, before in 0..40_usize
        ) {
            let capture = capture(&times);
            let mut plan = Recorded::new(&capture, 1.5, rounds, Instant(3));
            for _ in 0..before { plan.take(Instant(now / 2)); }
            let owed = plan.owed(Instant(now));
            let mut taken = 0;
            while plan.take(Instant(now)).is_some() { taken += 1; }
            prop_assert_eq!(owed, taken);
        }
    }
}
