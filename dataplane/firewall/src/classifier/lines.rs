//! All tables of one classifier, in one piece of memory: what a search touches lies close together, in whole cache lines.

use super::Unbuildable;

/// A cache line, as words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct Line(pub(super) [u32; 16]);

/// Octets of a line.
pub(super) const LINE: usize = size_of::<Line>();

/// Lines being written, up to a budget.
#[derive(Debug)]
pub(super) struct Writer {
    lines: Vec<Line>,
    lines_max: usize,
}

impl Writer {
    /// Nothing yet, of at most so many octets.
    pub(super) const fn new(octets_max: usize) -> Self {
        Self { lines: Vec::new(), lines_max: octets_max / LINE }
    }

    /// Whether so many more lines are within the budget: to be asked before they are computed.
    pub(super) fn fits(&self, more: usize) -> Result<(), Unbuildable> {
        let lines = self.lines.len() + more;
        if lines <= self.lines_max { Ok(()) } else { Err(Unbuildable::TooLarge(lines * LINE)) }
    }

    /// The number of the next line, after which so many will be written.
    pub(super) fn reserve(&mut self, more: usize) -> Result<u32, Unbuildable> {
        self.fits(more)?;
        let next = self.lines.len();
        self.lines.reserve(more);
        u32::try_from(next).map_err(|_| Unbuildable::TooLarge(next * LINE))
    }

    /// Writes one line, room for which was reserved.
    pub(super) fn push(&mut self, line: [u32; 16]) {
        self.lines.push(Line(line));
    }

    /// Writes words from a line of its own on; its number.
    pub(super) fn words(&mut self, words: &[u32]) -> Result<u32, Unbuildable> {
        let at = self.reserve(words.len().div_ceil(16))?;
        for chunk in words.chunks(16) {
            let mut line = [0; 16];
            line.iter_mut().zip(chunk).for_each(|(lane, word)| *lane = *word);
            self.push(line);
        }
        Ok(at)
    }

    /// Writes half words from a line of its own on, the lower half of a word first; its number.
    pub(super) fn halves(&mut self, halves: &[u16]) -> Result<u32, Unbuildable> {
        let at = self.reserve(halves.len().div_ceil(32))?;
        for chunk in halves.chunks(32) {
            self.push(pack(chunk));
        }
        Ok(at)
    }

    /// What was written.
    pub(super) fn finish(self) -> Box<[Line]> {
        self.lines.into_boxed_slice()
    }
}

/// A line of half words.
pub(super) fn pack(halves: &[u16]) -> [u32; 16] {
    let mut line = [0; 16];
    for (lane, pair) in line.iter_mut().zip(halves.chunks(2)) {
        *lane = pair.iter().rev().fold(0, |word, half| (word << 16) | u32::from(*half));
    }
    line
}

/// The word at this place behind the beginning of a line.
#[inline]
pub(super) fn word(lines: &[Line], at: u32, index: u32) -> Option<u32> {
    let line = lines.get((at + (index >> 4)) as usize)?;
    line.0.get((index & 15) as usize).copied()
}

/// The half word at this place behind the beginning of a line.
#[inline]
pub(super) fn half(lines: &[Line], at: u32, index: u32) -> Option<u16> {
    let word = word(lines, at, index >> 1)?;
    Some(low(word >> ((index & 1) * 16)))
}

/// The lower half of a word.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the half that is wanted")]
pub(super) const fn low(word: u32) -> u16 {
    word as u16
}
