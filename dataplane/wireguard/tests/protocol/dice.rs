//! Randomness from a seed: the same seed gives the same run.

use core::convert::Infallible;
use rand_core::{TryCryptoRng, TryRng};

/// `SplitMix64`: good enough to test with, and nothing else.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// True `count` times of a thousand.
    pub(crate) fn permille(&mut self, count: u64) -> bool {
        self.roll() % 1000 < count
    }

    pub(crate) fn secret(&mut self) -> [u8; 32] {
        let mut octets = [0; 32];
        self.try_fill_bytes(&mut octets).unwrap();
        octets
    }
}

impl TryRng for Dice {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.roll() as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.roll())
    }
    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), Infallible> {
        for chunk in octets.chunks_mut(8) {
            chunk.copy_from_slice(&self.roll().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// A test's randomness pretends to be secure.
impl TryCryptoRng for Dice {}
