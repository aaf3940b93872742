//! Block 0 of one packet by ordinary instructions, which holds its one-time key: they have half the
//! latency of vector instructions on some processors, and nothing else to do while vectors make the
//! other blocks.
#![expect(unsafe_code, reason = "instructions on registers")]
#![expect(
    clippy::inline_always,
    reason = "only inside the code for vectors does it run while vectors are busy"
)]

use core::arch::asm;

use super::Job;
use super::schedule::CONSTANTS;

/// The words of the state, row by row.
pub(super) struct OneBlock {
    /// The first half of the key, which is added at the end.
    key: [u32; 4],
    rows: [[u32; 4]; 4],
}

/// Adds `from` to `to`, and that to `other` without carry, which turns by `BITS`.
#[inline(always)]
fn mix<const BITS: u8>(to: &mut u32, from: u32, other: &mut u32) {
    // SAFETY: the instructions touch the named registers only. In asm because the compiler would
    // make vectors of four of these, which is what shall not be.
    unsafe {
        asm!(
            "add {to:e}, {from:e}",
            "xor {other:e}, {to:e}",
            "rol {other:e}, {bits}",
            to = inout(reg) *to,
            from = in(reg) from,
            other = inout(reg) *other,
            bits = const BITS,
            options(pure, nomem, nostack),
        );
    }
}

#[inline(always)]
fn mix_rows<const BITS: u8>(to: &mut [u32; 4], from: &[u32; 4], other: &mut [u32; 4]) {
    for ((to, from), other) in to.iter_mut().zip(from).zip(other) {
        mix::<BITS>(to, *from, other);
    }
}

#[inline(always)]
fn quarter_rounds([a, b, c, d]: &mut [[u32; 4]; 4]) {
    mix_rows::<16>(a, b, d);
    mix_rows::<12>(c, d, b);
    mix_rows::<8>(a, b, d);
    mix_rows::<7>(c, d, b);
}

impl OneBlock {
    #[inline(always)]
    pub(super) fn new(job: &Job<'_>) -> Self {
        let mut words = [[0; 4]; 2];
        for (word, octets) in
            words.as_flattened_mut().iter_mut().zip(job.key.octets().as_chunks::<4>().0)
        {
            *word = u32::from_le_bytes(*octets);
        }
        let [low, high] = words_of(job.counter);
        let rows = [CONSTANTS.map(i32::cast_unsigned), words[0], words[1], [0, 0, low, high]];
        Self { key: words[0], rows }
    }

    /// A round on the columns; what follows is one on the diagonals.
    #[inline(always)]
    pub(super) fn columns(&mut self) {
        quarter_rounds(&mut self.rows);
        let [a, [b0, b1, b2, b3], [c0, c1, c2, c3], [d0, d1, d2, d3]] = self.rows;
        self.rows = [a, [b1, b2, b3, b0], [c2, c3, c0, c1], [d3, d0, d1, d2]];
    }

    /// A round on the diagonals.
    #[inline(always)]
    pub(super) fn diagonals(&mut self) {
        quarter_rounds(&mut self.rows);
        let [a, [b0, b1, b2, b3], [c0, c1, c2, c3], [d0, d1, d2, d3]] = self.rows;
        self.rows = [a, [b3, b0, b1, b2], [c2, c3, c0, c1], [d1, d2, d3, d0]];
    }

    /// The one-time key, once twenty rounds are done.
    #[inline(always)]
    pub(super) fn one_time_key(&self) -> [u64; 4] {
        let [first, second, ..] = self.rows;
        let sums = |row: [u32; 4], added: [u32; 4]| {
            let [one, two, three, four] = row;
            let [to_one, to_two, to_three, to_four] = added;
            [
                pair(one.wrapping_add(to_one), two.wrapping_add(to_two)),
                pair(three.wrapping_add(to_three), four.wrapping_add(to_four)),
            ]
        };
        let [r_low, r_high] = sums(first, CONSTANTS.map(i32::cast_unsigned));
        let [pad_low, pad_high] = sums(second, self.key);
        [r_low, r_high, pad_low, pad_high]
    }
}

const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

#[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
const fn words_of(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::super::{Key, TAILROOM, portable};
    use super::*;
    use crate::secret::Secret;
    use poly1305::Poly1305;
    use poly1305::universal_hash::KeyInit;

    /// The tag over nothing is that of the library under the library's own one-time key.
    #[test]
    fn makes_the_one_time_key_that_the_library_uses() {
        let counters = [0, 1, u64::from(u32::MAX), 1 << 32, u64::MAX, 0x0123_4567_89ab_cdef];
        for (number, counter) in counters.into_iter().enumerate() {
            let secret = [[0, 0xff, 0x5a, 0x80][number % 4]; 32];
            let key = Key::new(Secret::new(secret));
            let mut octets = [0; TAILROOM];
            let job = Job::new(&key, counter, &mut octets, 0).unwrap();
            let mut block = OneBlock::new(&job);
            for _ in 0..10 {
                block.columns();
                block.diagonals();
            }
            let one_time: Vec<u8> =
                block.one_time_key().iter().flat_map(|word| word.to_le_bytes()).collect();
            let one_time = <[u8; 32]>::try_from(one_time).unwrap();
            let made = Poly1305::new(&one_time.into()).compute_unpadded(&[0; 16]);
            let mut tag = [0; 16];
            assert!(portable::seal_text(&secret, counter, &[], &mut [], &mut tag));
            assert_eq!(<[u8; 16]>::from(made), tag, "counter {counter:x}");
        }
    }
}
