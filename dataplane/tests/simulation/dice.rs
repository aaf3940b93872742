//! One stream of randomness from the seed.

use std::time::Duration;

use dataplane::handshake::Random;
use rand_chacha::rand_core::{Rng, SeedableRng};

pub(crate) struct Dice(Random);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Random::seed_from_u64(seed))
    }

    /// Any of `0..count`.
    pub(crate) fn below(&mut self, count: u64) -> u64 {
        self.0.next_u64() % count
    }

    pub(crate) fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).unwrap()
    }

    /// True `count` times of a thousand.
    pub(crate) fn permille(&mut self, count: u64) -> bool {
        self.below(1000) < count
    }

    pub(crate) fn duration(&mut self, from: Duration, to: Duration) -> Duration {
        let spread = u64::try_from(to.saturating_sub(from).as_nanos()).unwrap();
        from + Duration::from_nanos(self.below(spread + 1))
    }
}
