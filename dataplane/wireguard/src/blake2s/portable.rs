//! BLAKE2s by ordinary instructions, message by message: what runs on every machine, and for messages that are alone.
#![expect(
    clippy::indexing_slicing,
    clippy::many_single_char_names,
    reason = "indices are constants below the count of words; words have the specification's names"
)]

use core::array;
use core::ops::BitXor;

use super::{BLOCK_LEN, Chain, INITIAL, Job, SCHEDULE, first_octets};

/// Computes the MAC of one job.
pub(super) fn mac(job: &mut Job<'_>) {
    let mut chain = *job.before;
    let mut number = 0;
    while let Some(block) = job.block(number) {
        number += 1;
        if let Some(whole) = block.octets.first_chunk() {
            compress(&mut chain, whole, block.counted, block.is_last);
            continue;
        }
        let mut filled = [0; BLOCK_LEN];
        for (place, octet) in filled.iter_mut().zip(block.octets) {
            *place = *octet;
        }
        compress(&mut chain, &filled, block.counted, block.is_last);
    }
    if number > 0 {
        job.mac = first_octets(&chain);
    }
}

/// The compression of a block (RFC 7693 3.2); `counted` are the octets up to its end.
pub(super) fn compress(chain: &mut Chain, block: &[u8; BLOCK_LEN], counted: u64, is_last: bool) {
    let mut words = [0; 16];
    for (word, octets) in words.iter_mut().zip(block.as_chunks().0) {
        *word = u32::from_le_bytes(*octets);
    }
    #[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
    let (low, high) = (counted as u32, (counted >> 32) as u32);
    let last = if is_last { u32::MAX } else { 0 };
    let [before, initial] = [*chain, INITIAL].map(halves);
    let counters = [low, high, last, 0];
    let mut rows = [before[0], before[1], initial[0], both(initial[1], counters, u32::bitxor)];
    round::<0>(&mut rows, &words);
    round::<1>(&mut rows, &words);
    round::<2>(&mut rows, &words);
    round::<3>(&mut rows, &words);
    round::<4>(&mut rows, &words);
    round::<5>(&mut rows, &words);
    round::<6>(&mut rows, &words);
    round::<7>(&mut rows, &words);
    round::<8>(&mut rows, &words);
    round::<9>(&mut rows, &words);
    let [a, b, c, d] = rows;
    let changes = [both(a, c, u32::bitxor), both(b, d, u32::bitxor)];
    for (word, change) in chain.iter_mut().zip(changes.as_flattened()) {
        *word ^= change;
    }
}

/// Four words of the state, which four steps of a round mix at once: compilers make one register of them.
type Row = [u32; 4];

fn halves([a, b, c, d, e, f, g, h]: Chain) -> [Row; 2] {
    [[a, b, c, d], [e, f, g, h]]
}

#[inline]
fn both(one: Row, other: Row, mut join: impl FnMut(u32, u32) -> u32) -> Row {
    array::from_fn(|place| join(one[place], other[place]))
}

/// A round on the columns, then on the diagonals, for which the rows are turned until these are columns.
#[inline]
fn round<const NUMBER: usize>(rows: &mut [Row; 4], words: &[u32; 16]) {
    let taken = |from: usize| array::from_fn(|step| words[SCHEDULE[NUMBER][from + 2 * step]]);
    mix(rows, taken(0), taken(1));
    let [a, [b0, b1, b2, b3], [c0, c1, c2, c3], [d0, d1, d2, d3]] = *rows;
    *rows = [a, [b1, b2, b3, b0], [c2, c3, c0, c1], [d3, d0, d1, d2]];
    mix(rows, taken(8), taken(9));
    let [a, [b0, b1, b2, b3], [c0, c1, c2, c3], [d0, d1, d2, d3]] = *rows;
    *rows = [a, [b3, b0, b1, b2], [c2, c3, c0, c1], [d1, d2, d3, d0]];
}

/// The mixing function (RFC 7693 3.1), four times.
#[inline]
fn mix([a, b, c, d]: &mut [Row; 4], x: Row, y: Row) {
    *a = both(both(*a, *b, u32::wrapping_add), x, u32::wrapping_add);
    *d = both(*d, *a, |one, other| (one ^ other).rotate_right(16));
    *c = both(*c, *d, u32::wrapping_add);
    *b = both(*b, *c, |one, other| (one ^ other).rotate_right(12));
    *a = both(both(*a, *b, u32::wrapping_add), y, u32::wrapping_add);
    *d = both(*d, *a, |one, other| (one ^ other).rotate_right(8));
    *c = both(*c, *d, u32::wrapping_add);
    *b = both(*b, *c, |one, other| (one ^ other).rotate_right(7));
}
