//! Which probes were answered: written by workers, each in cells of its own, read by the keeper.
//!
//! Of each tunnel a worker remembers the last of the answers that came to it and which of the [`PROBES_REMEMBERED`] up to
//! there came as well. So an answer that comes twice is one, by whatever workers, and one that was overtaken still counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use wireguard::time::Instant;

use super::{Stamp, microseconds};
use crate::limits::{PROBE_AGE_MAX, PROBES_REMEMBERED, TUNNELS_MAX};

/// What one worker has heard through one tunnel.
#[derive(Debug, Default)]
struct Cell {
    /// The last sequence in the high half; in the low half bit `n` stands for the sequence `n` before it.
    heard: AtomicU64,
    /// How long the last one was under way.
    round_trip_us: AtomicU32,
}

/// The last probe that was sent into each tunnel, written by the keeper.
type Sent = Arc<[AtomicU32]>;

/// What one worker writes; by the tunnel's number.
#[derive(Debug)]
pub struct Answers {
    sent: Sent,
    cells: Box<[Cell]>,
}

/// The last answer that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// To which probe.
    pub sequence: u32,
    /// How long it was under way.
    pub round_trip: Duration,
}

impl Answers {
    fn new(sent: Sent) -> Self {
        Self { sent, cells: (0..=TUNNELS_MAX).map(|_| Cell::default()).collect() }
    }

    /// Notes an answer that came by the tunnel with this number and bears its id; only the worker whose they are may.
    /// False when it does not count: a second one, or one to a probe that was not sent lately. A seal does not grow old, and
    /// what was sent before this server last started may still come back, or be sent back.
    pub fn note(&self, number: u16, stamp: &Stamp, now: Instant) -> bool {
        let place = usize::from(number);
        let (Some(sent), Some(cell)) = (self.sent.get(place), self.cells.get(place)) else {
            return false;
        };
        let ago = sent.load(Ordering::Relaxed).wrapping_sub(stamp.sequence);
        let round_trip = microseconds(now).checked_sub(stamp.sent_us).map(Duration::from_micros);
        match round_trip {
            Some(round_trip) if ago < PROBES_REMEMBERED && round_trip < PROBE_AGE_MAX => {
                cell.note(stamp.sequence, round_trip)
            }
            _ => false,
        }
    }
}

impl Cell {
    fn note(&self, sequence: u32, round_trip: Duration) -> bool {
        let (last, window) = self.heard();
        let ahead = sequence.wrapping_sub(last).cast_signed();
        if window != 0 && ahead <= 0 {
            let bit = 1_u32.checked_shl(ahead.unsigned_abs()).unwrap_or(0);
            self.set(last, window | bit);
            return window & bit == 0 && bit != 0;
        }
        let kept =
            if window == 0 { 0 } else { window.checked_shl(ahead.unsigned_abs()).unwrap_or(0) };
        let us = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX);
        self.round_trip_us.store(us, Ordering::Relaxed);
        self.set(sequence, kept | 1);
        true
    }

    /// The last sequence, and which up to there have come.
    fn heard(&self) -> (u32, u32) {
        let heard = self.heard.load(Ordering::Acquire);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let halves = ((heard >> 32) as u32, heard as u32);
        halves
    }

    /// The round trip, written before, is seen by whoever sees this.
    fn set(&self, last: u32, window: u32) {
        self.heard.store(u64::from(last) << 32 | u64::from(window), Ordering::Release);
    }
}

/// The answers of all workers.
#[derive(Debug)]
pub struct AllAnswers {
    sent: Sent,
    workers: Vec<Arc<Answers>>,
}

impl AllAnswers {
    /// For so many workers.
    pub fn new(workers: usize) -> Self {
        let sent: Sent = (0..=TUNNELS_MAX).map(|_| AtomicU32::new(0)).collect();
        let workers = (0..workers).map(|_| Arc::new(Answers::new(Arc::clone(&sent)))).collect();
        Self { sent, workers }
    }

    /// Those of one worker.
    pub fn of_worker(&self, worker: usize) -> Arc<Answers> {
        let nobody = || Arc::new(Answers::new(Arc::clone(&self.sent)));
        self.workers.get(worker).map_or_else(nobody, Arc::clone)
    }

    /// From now on answers to this probe count; only the keeper may say so.
    pub fn expect(&self, number: u16, sequence: u32) {
        if let Some(sent) = self.sent.get(usize::from(number)) {
            sent.store(sequence, Ordering::Relaxed);
        }
    }

    /// Whether a probe of the last [`PROBES_REMEMBERED`] was answered.
    pub fn has(&self, number: u16, sequence: u32) -> bool {
        self.cells(number).any(|cell| {
            let (last, window) = cell.heard();
            let bit = 1_u32.checked_shl(last.wrapping_sub(sequence)).unwrap_or(0);
            window & bit != 0
        })
    }

    /// The answer to the latest of these probes that was answered.
    pub fn last(&self, number: u16) -> Option<Heard> {
        let sent = self.sent.get(usize::from(number))?.load(Ordering::Relaxed);
        let heard = self.cells(number).filter_map(|cell| {
            let (sequence, window) = cell.heard();
            let recent = window != 0 && sent.wrapping_sub(sequence) < PROBES_REMEMBERED;
            recent.then_some((sequence, cell))
        });
        let (sequence, cell) = heard.min_by_key(|(sequence, _)| sent.wrapping_sub(*sequence))?;
        let round_trip = Duration::from_micros(cell.round_trip_us.load(Ordering::Relaxed).into());
        Some(Heard { sequence, round_trip })
    }

    fn cells(&self, number: u16) -> impl Iterator<Item = &Cell> {
        self.workers.iter().filter_map(move |answers| answers.cells.get(usize::from(number)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Instant = Instant(100_000_000_000);
    const TUNNEL: u16 = 7;

    fn stamp(sequence: u32) -> Stamp {
        Stamp::new(1, 42, sequence, NOW - Duration::from_millis(30))
    }

    fn with(sent: u32) -> AllAnswers {
        let answers = AllAnswers::new(2);
        answers.expect(TUNNEL, sent);
        answers
    }

    #[test]
    fn an_answer_counts_once_by_whichever_worker_it_comes() {
        let answers = with(u32::MAX);
        let [one, two] = [0, 1].map(|worker| answers.of_worker(worker));
        assert!(!answers.has(TUNNEL, u32::MAX) && answers.last(TUNNEL).is_none());
        assert!(one.note(TUNNEL, &stamp(u32::MAX), NOW));
        assert!(!one.note(TUNNEL, &stamp(u32::MAX), NOW), "it is a copy");
        assert!(answers.has(TUNNEL, u32::MAX) && !answers.has(TUNNEL + 1, u32::MAX));
        answers.expect(TUNNEL, 1);
        assert!(two.note(TUNNEL, &stamp(1), NOW) && two.note(TUNNEL, &stamp(0), NOW));
        assert!([u32::MAX, 0, 1].into_iter().all(|sequence| answers.has(TUNNEL, sequence)));
        let heard = Heard { sequence: 1, round_trip: Duration::from_millis(30) };
        assert_eq!(answers.last(TUNNEL), Some(heard));
    }

    #[test]
    fn what_was_not_sent_lately_does_not_count() {
        let answers = with(1000);
        let one = answers.of_worker(0);
        assert!(!one.note(TUNNEL, &stamp(1001), NOW), "not sent yet");
        assert!(!one.note(TUNNEL, &stamp(1000 - PROBES_REMEMBERED), NOW), "long ago");
        let of_later = Stamp::new(1, 42, 1000, NOW + Duration::from_millis(1));
        assert!(!one.note(TUNNEL, &of_later, NOW), "from a clock before this start");
        let of_old = Stamp::new(1, 42, 1000, NOW - PROBE_AGE_MAX);
        assert!(!one.note(TUNNEL, &of_old, NOW));
        assert!(!one.note(u16::MAX, &stamp(1000), NOW), "no such tunnel");
        assert!(one.note(TUNNEL, &stamp(1000), NOW));
    }

    proptest! {
        #[test]
        fn is_the_set_of_what_has_come(
            start: u32,
            steps in proptest::collection::vec((0_u32..6, 0..40_u32, 0..2_usize), 1..200),
        ) {
            let answers = with(start);
            let workers = [0, 1].map(|worker| answers.of_worker(worker));
            let mut came = std::collections::BTreeSet::new();
            let mut sent = start;
            for (step, ago, worker) in steps {
                sent = sent.wrapping_add(step);
                answers.expect(TUNNEL, sent);
                let sequence = sent.wrapping_sub(ago);
                if workers[worker].note(TUNNEL, &stamp(sequence), NOW) {
                    prop_assert!(ago < PROBES_REMEMBERED);
                    came.insert(sequence);
                }
                for ago in 0..PROBES_REMEMBERED {
                    let sequence = sent.wrapping_sub(ago);
                    let has = answers.has(TUNNEL, sequence);
                    prop_assert_eq!(has, came.contains(&sequence), "{} of {}", sequence, sent);
                }
            }
        }
    }
}
