//! How this data centre sees others, as its keeper has measured: written by that alone, read by workers that answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrayvec::ArrayVec;
use shm::limits::CENTRES_MAX;
use shm::message::{PATHS_PER_EVENT, Path};

/// A row for each, in one word: its number, lost probes of the last hundred, the round trip in microseconds. 0 for none.
#[derive(Debug)]
pub struct Rows(Box<[AtomicU64]>);

/// What stands for the round trip of one that does not answer.
const DOWN: u32 = u32::MAX;

impl Default for Rows {
    fn default() -> Self {
        Self((0..CENTRES_MAX).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Rows {
    /// These are all there are.
    pub fn set(&self, paths: impl Iterator<Item = Path>) {
        let words = paths.map(|path| {
            let micros = |rtt: Duration| {
                u32::try_from(rtt.as_micros()).map_or(DOWN - 1, |us| us.min(DOWN - 1))
            };
            let us = path.rtt.map_or(DOWN, micros);
            u64::from(path.to) << 48 | u64::from(path.lost) << 40 | u64::from(us)
        });
        for (row, word) in self.0.iter().zip(words.chain(std::iter::repeat(0))) {
            row.store(word, Ordering::Relaxed);
        }
    }

    /// How far one of them is; none when that is not known, or nothing comes through.
    pub fn round_trip(&self, to: u16) -> Option<Duration> {
        let mut paths = self.0.iter().map_while(|row| path_of(row.load(Ordering::Relaxed)));
        paths.find(|path| path.to == to)?.rtt
    }

    /// As many as a message takes, from one of them on.
    pub fn some(&self, from: usize) -> ArrayVec<Path, PATHS_PER_EVENT> {
        let path = |number: usize| path_of(self.0.get(number)?.load(Ordering::Relaxed));
        (from..self.0.len()).map_while(path).take(PATHS_PER_EVENT).collect()
    }
}

fn path_of(word: u64) -> Option<Path> {
    let [to_high, to_low, lost, _, us @ ..] = word.to_be_bytes();
    let us = u32::from_be_bytes(us);
    let rtt = (us != DOWN).then(|| Duration::from_micros(us.into()));
    (word != 0).then(|| Path { to: u16::from_be_bytes([to_high, to_low]), rtt, lost })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_told_in_its_turn_and_none_that_is_no_more() {
        let rows = Rows::default();
        let all: Vec<Path> = (1..=30_u8)
            .map(|number| Path {
                to: number.into(),
                rtt: (number % 7 != 0).then(|| Duration::from_micros(u64::from(number) * 1000)),
                lost: number,
            })
            .collect();
        rows.set(all.iter().copied());
        let told: Vec<Path> = (0..3).flat_map(|part| rows.some(part * PATHS_PER_EVENT)).collect();
        assert_eq!(told, all);
        assert_eq!(rows.some(0)[..], all[..PATHS_PER_EVENT]);
        let alone = [30, 7, 31].map(|number| rows.round_trip(number));
        assert_eq!(alone, [Some(Duration::from_millis(30)), None, None]);
        assert!(
            [all.len(), CENTRES_MAX, usize::MAX].iter().all(|from| rows.some(*from).is_empty())
        );
        rows.set(std::iter::empty());
        assert!(rows.some(0).is_empty());
    }
}
