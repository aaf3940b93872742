//! The first rule that several classes have in common.

use super::form::{Form, Root};
use super::lines::{half, word};
use super::partition::BLOCK;

/// Rules of a block.
const RULES: u32 = 512;
const _: () = assert!(RULES as usize == BLOCK);

/// Which rows of blocks are intersected.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Search {
    /// Where the block numbers of each root begin, in words.
    rows: [u32; 12],
    /// Where, by their summaries, all of them may have rules.
    summary: [u32; 4],
}

impl Search {
    /// Takes the class of one more root; this is its number among the roots.
    #[inline]
    pub(super) fn narrow(
        &mut self,
        form: &Form,
        number: usize,
        root: &Root,
        class: u16,
    ) -> Option<()> {
        let (row, words) = (u32::from(class) * root.stride, form.grain.words);
        *self.rows.get_mut(number)? = row + words;
        for (index, bits) in (0..words).zip(&mut self.summary) {
            let others = word(&form.lines, root.rows, row + index)?;
            *bits = if number == 0 { others } else { *bits & others };
        }
        Some(())
    }

    /// The first rule from this index on that all of them have.
    #[inline]
    pub(super) fn first(&self, form: &Form, from: u32) -> Option<u32> {
        let from = if from == 0 { 0 } else { form.position(from)? };
        let grain = form.grain;
        let bits = self.summary.iter().rev().fold(0, |bits, word| (bits << 32) | u128::from(*word));
        let mut left = bits & u128::MAX.checked_shl(from >> grain.bits).unwrap_or(0);
        while left != 0 {
            let block = left.trailing_zeros() >> grain.bits_per_block();
            let both = self.intersect(form, block)?;
            if let Some(bit) = first_bit(&both, from.saturating_sub(block * RULES)) {
                return half(&form.lines, form.rules.1, block * RULES + bit).map(u32::from);
            }
            let next = (block + 1) << grain.bits_per_block();
            left &= u128::MAX.checked_shl(next).unwrap_or(0);
        }
        None
    }

    /// Which rules of a block all of them have.
    #[inline]
    fn intersect(&self, form: &Form, block: u32) -> Option<[u32; 16]> {
        let mut both = [u32::MAX; 16];
        for (row, root) in self.rows.iter().zip(form.roots.items()) {
            let number = half(&form.lines, root.rows, *row * 2 + block)?;
            let line = form.lines.get((root.pool + u32::from(number)) as usize)?;
            both.iter_mut().zip(line.0).for_each(|(lane, other)| *lane &= other);
        }
        Some(both)
    }
}

/// The first bit set, from this one on.
#[inline]
fn first_bit(block: &[u32; 16], from: u32) -> Option<u32> {
    if block.iter().fold(0, |any, lane| any | lane) == 0 {
        return None;
    }
    for (number, lane) in (0..).zip(block) {
        let from = from.saturating_sub(number * 32);
        let left = lane & u32::MAX.checked_shl(from).unwrap_or(0);
        if left != 0 {
            return Some(number * 32 + left.trailing_zeros());
        }
    }
    None
}
