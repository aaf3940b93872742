//! Which packets are sampled: of a round's packets so many, each with the same chance, however many come.
//!
//! Algorithm L (Li 1994) over a thinned stream: while there is room every packet is taken, then the n-th with the chance
//! (rows / n) in place of a random one. Between two that are taken lies a random gap, so a packet that is not costs nothing
//! but its part of a comparison per burst. Most rows of a busy round would be written many times; after a round with many
//! packets the next begins thinned, each packet being looked at with a chance that lets about twice as many pass as there
//! are rows. In a quiet round every packet is taken.

/// Where a sample goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind the last one.
    Next,
    /// In place of this one.
    Instead(usize),
}

/// How many more packets than rows pass the thinning, when the round is like the one before.
const SURPLUS: u64 = 2;

#[derive(Debug)]
pub(super) struct Sampler {
    random: u64,
    rows: usize,
    written: usize,
    /// Packets before the next one that is sampled.
    gap: u64,
    /// The chance of a packet to pass the thinning.
    passes: f64,
    /// The chance of one that has passed to be taken; 1 while there is room.
    taken: f64,
}

impl Sampler {
    pub(super) fn new(seed: u64, rows: usize) -> Self {
        Self { random: seed, rows, written: 0, gap: 0, passes: 1.0, taken: 1.0 }
    }

    /// The next of these packets that is sampled; [`Self::place`] goes on behind it.
    #[inline]
    pub(super) fn next_below(&self, count: usize) -> Option<usize> {
        usize::try_from(self.gap).ok().filter(|gap| *gap < count)
    }

    /// These packets are over.
    #[inline]
    pub(super) fn pass(&mut self, count: usize) {
        self.gap = self.gap.saturating_sub(count as u64);
    }

    /// Where the packet goes that is sampled now.
    pub(super) fn place(&mut self) -> Place {
        let place = if self.written < self.rows {
            self.written += 1;
            Place::Next
        } else {
            Place::Instead(self.row())
        };
        if self.written == self.rows {
            #[expect(clippy::cast_precision_loss, reason = "far fewer rows than 2^52")]
            let rows = self.rows as f64;
            self.taken *= (self.uniform().ln() / rows).exp();
        }
        self.gap = self.gap.saturating_add(self.draw_gap()).saturating_add(1);
        place
    }

    /// A round begins, after one in which so many packets came.
    #[expect(clippy::cast_precision_loss, reason = "a chance need not be exact")]
    pub(super) fn restart(&mut self, seen: u64) {
        (self.written, self.taken) = (0, 1.0);
        let wanted = self.rows as u64 * SURPLUS;
        self.passes = if seen > wanted { wanted as f64 / seen as f64 } else { 1.0 };
        self.gap = self.draw_gap();
    }

    /// How many packets fail before one is taken: geometric, as each one's chance is the same.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and a gap beyond all packets may as well be cut"
    )]
    fn draw_gap(&mut self) -> u64 {
        let chance = self.passes * self.taken;
        if chance >= 1.0 {
            return 0;
        }
        (self.uniform().ln() / (-chance).ln_1p()) as u64
    }

    /// A random row.
    fn row(&mut self) -> usize {
        let row = (u128::from(self.next()) * self.rows as u128) >> 64;
        usize::try_from(row).unwrap_or_default()
    }

    /// Above 0, up to 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// `SplitMix64` (Steele, Lea, Flood 2014): nobody outside sees what it gives.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The packets, by number, that stand on the sheet after `count` packets came in bursts of `burst`.
    fn sampled(sampler: &mut Sampler, count: u64, burst: usize) -> Vec<u64> {
        let mut rows = Vec::new();
        let mut first = 0;
        while first < count {
            let len = burst.min(usize::try_from(count - first).unwrap());
            while let Some(index) = sampler.next_below(len) {
                let number = first + index as u64;
                match sampler.place() {
                    Place::Next => rows.push(number),
                    Place::Instead(row) => rows[row] = number,
                }
            }
            sampler.pass(len);
            first += len as u64;
        }
        rows
    }

    #[test]
    fn takes_every_packet_while_there_is_room() {
        let mut sampler = Sampler::new(1, 100);
        assert_eq!(sampled(&mut sampler, 100, 7), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn gives_each_packet_of_a_round_the_same_chance() {
        // Of 4,000 packets 50 are taken, 2,000 times: each tenth of the round has 10,000 of them, with a deviation of 94.
        for (before, burst) in [(0, 64), (4_000, 64), (4_000, 1), (9_000, 64)] {
            let mut sampler = Sampler::new(7, 50);
            let mut tenths = [0_u32; 10];
            let mut total = 0;
            for _ in 0..2_000 {
                sampler.restart(before);
                for number in sampled(&mut sampler, 4_000, burst) {
                    tenths[usize::try_from(number / 400).unwrap()] += 1;
                    total += 1;
                }
            }
            assert!(total > 80_000, "{before} {burst}: {total}");
            for tenth in tenths {
                let off = f64::from(tenth) - f64::from(total) / 10.0;
                assert!(off.abs() < 500.0, "{before} {burst}: {tenths:?}");
            }
        }
    }

    #[test]
    fn writes_little_more_than_the_sheet_when_a_round_is_like_the_one_before() {
        let count_writes = |before| {
            let mut sampler = Sampler::new(3, 1_000);
            sampler.restart(before);
            let mut writes = 0;
            for _ in 0..100_000 {
                while sampler.next_below(10).is_some() {
                    sampler.place();
                    writes += 1;
                }
                sampler.pass(10);
            }
            writes
        };
        // 1,000 (1 + ln 2) and 1,000 (1 + ln 1,000) are expected.
        assert!((1_550..1_850).contains(&count_writes(1_000_000)));
        assert!((7_600..8_200).contains(&count_writes(0)));
    }

    #[test]
    fn a_flood_beyond_all_measure_leaves_gaps_that_end() {
        let mut sampler = Sampler::new(3, 1_000);
        sampler.restart(u64::MAX);
        assert!(sampler.gap > 1_000_000);
        sampler.pass(usize::MAX);
        assert!(sampler.next_below(1).is_some());
    }
}
