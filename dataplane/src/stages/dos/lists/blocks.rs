//! Ranges of IPv4 addresses: a table of all blocks of 2^16 addresses leads to small search trees of 16-bit
//! numbers, whose nodes are lines of memory.

use arrayvec::ArrayVec;
use wireguard::prefetch::prefetch;

use crate::limits::BURST_LEN_MAX;

/// A line of memory: an inner node, a leaf, or cells of a block that names the set of every address.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line([u16; FAN_OUT]);

/// Children of an inner node: where each ends, but for the last one.
const FAN_OUT: usize = 32;

/// Ranges of a leaf: where each but the last one ends, and then their sets.
const RANGES: usize = 16;

const BLOCKS: usize = 1 << 16;

/// What the table says of a block: how its ranges are kept, and below that the set or the first line.
const KIND_SHIFT: u32 = 29;
/// All of it has one set.
const UNIFORM: u32 = 0;
/// A tree of so many levels, the leaves among them.
const HEIGHT_MAX: u32 = 3;
/// A line for every 32 addresses, which takes no more than twice the octets of a tree this large.
const CELLS: u32 = 4;

impl Line {
    /// The row of the first end that is not before what is looked for, of twice `half`: as many steps for
    /// any answer, without a branch.
    #[inline]
    fn row(&self, half: usize, low: u16) -> usize {
        let (mut row, mut step) = (0, half);
        while step > 0 {
            let is_behind = self.0.get(row + step - 1).is_some_and(|end| *end < low);
            row += if is_behind { step } else { 0 };
            step /= 2;
        }
        row
    }

    #[inline]
    fn child(&self, low: u16) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "below the fan-out")]
        let row = self.row(FAN_OUT / 2, low) as u32;
        row
    }

    #[inline]
    fn id(&self, low: u16) -> u16 {
        self.0.get(RANGES + self.row(RANGES / 2, low)).copied().unwrap_or(0)
    }

    #[inline]
    fn cell(&self, low: u16) -> u16 {
        self.0.get(usize::from(low) % FAN_OUT).copied().unwrap_or(0)
    }

    fn leaf(ranges: &[(u16, u16)]) -> Self {
        Self(std::array::from_fn(|row| match ranges.get(row % RANGES) {
            Some((end, id)) => {
                if row < RANGES {
                    *end
                } else {
                    *id
                }
            }
            None => u16::MAX,
        }))
    }

    fn inner(ends: &[u16]) -> Self {
        Self(std::array::from_fn(|row| ends.get(row).copied().unwrap_or(u16::MAX)))
    }
}

/// How far a lookup has come.
#[derive(Clone, Copy)]
enum Step {
    Known(u16),
    /// At the inner node `index` of the level that begins at line `base` and has room for `width` nodes;
    /// so many levels of them are to come.
    Inner {
        base: u32,
        index: u32,
        width: u32,
        left: u32,
    },
    Leaf(u32),
    Cell(u32),
}

/// All blocks.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    table: Vec<u32>,
    lines: Vec<Line>,
}

#[inline]
const fn split(address: u32) -> (usize, u16) {
    #[expect(clippy::cast_possible_truncation, reason = "both halves are kept")]
    let low = address as u16;
    ((address >> 16) as usize, low)
}

impl Blocks {
    /// The set of the range that an address lies in.
    #[inline]
    pub(super) fn lookup(&self, address: u32) -> u16 {
        let (block, low) = split(address);
        let mut step = self.enter(block, low);
        while let Step::Inner { .. } = step {
            step = self.descend(step, low);
        }
        self.read(step, low)
    }

    /// The same for many at once, and where the answers go.
    #[inline]
    pub(super) fn lookup_burst(&self, addresses: &[(u32, u8)], found: &mut impl FnMut(u8, u16)) {
        for (address, _) in addresses {
            self.table.get(split(*address).0).into_iter().for_each(prefetch);
        }
        let mut steps = ArrayVec::<(Step, u16), BURST_LEN_MAX>::new();
        let mut is_deep = false;
        for (address, _) in addresses.iter().take(BURST_LEN_MAX) {
            let (block, low) = split(*address);
            let step = self.enter(block, low);
            is_deep |= matches!(step, Step::Inner { .. });
            self.ahead(step);
            steps.push((step, low));
        }
        while is_deep {
            is_deep = false;
            for (step, low) in &mut steps {
                if let Step::Inner { .. } = step {
                    *step = self.descend(*step, *low);
                    is_deep |= matches!(step, Step::Inner { .. });
                    self.ahead(*step);
                }
            }
        }
        for ((_, number), (step, low)) in addresses.iter().zip(&steps) {
            found(*number, self.read(*step, *low));
        }
    }

    #[inline]
    fn enter(&self, block: usize, low: u16) -> Step {
        let entry = self.table.get(block).copied().unwrap_or(0);
        let line = entry & ((1 << KIND_SHIFT) - 1);
        match entry >> KIND_SHIFT {
            #[expect(clippy::cast_possible_truncation, reason = "it was made of one")]
            UNIFORM => Step::Known(line as u16),
            1 => Step::Leaf(line),
            CELLS => Step::Cell(line + u32::from(low) / 32),
            height => Step::Inner { base: line, index: 0, width: 1, left: height - 2 },
        }
    }

    #[inline]
    fn descend(&self, step: Step, low: u16) -> Step {
        let Step::Inner { base, index, width, left } = step else { return step };
        let child = self.line(base + index).map_or(0, |line| line.child(low));
        let (base, index) = (base + width, index * 32 + child);
        match left.checked_sub(1) {
            None => Step::Leaf(base + index),
            Some(left) => Step::Inner { base, index, width: width * 32, left },
        }
    }

    #[inline]
    fn read(&self, step: Step, low: u16) -> u16 {
        match step {
            Step::Known(id) => id,
            Step::Leaf(line) => self.line(line).map_or(0, |line| line.id(low)),
            Step::Cell(line) => self.line(line).map_or(0, |line| line.cell(low)),
            Step::Inner { .. } => 0,
        }
    }

    #[inline]
    fn line(&self, line: u32) -> Option<&Line> {
        self.lines.get(line as usize)
    }

    #[inline]
    fn ahead(&self, step: Step) {
        let line = match step {
            Step::Known(_) => return,
            Step::Leaf(line) | Step::Cell(line) => line,
            Step::Inner { base, index, .. } => base + index,
        };
        self.line(line).into_iter().for_each(prefetch);
    }

    pub(super) fn octets(&self) -> usize {
        size_of_val(self.table.as_slice()) + size_of_val(self.lines.as_slice())
    }
}

/// The blocks while their ranges come, in order.
#[derive(Debug, Default)]
pub(super) struct Draft {
    table: Vec<u32>,
    lines: Vec<Line>,
    /// The ranges of the block that is being filled.
    open: Vec<(u16, u16)>,
}

impl Draft {
    /// The next range up to the address `end`; the last one ends with the highest address.
    pub(super) fn push(&mut self, end: u32, id: u16) {
        let (block, low) = split(end);
        while self.table.len() < block {
            self.open.push((u16::MAX, id));
            self.close();
        }
        self.open.push((low, id));
        if low == u16::MAX {
            self.close();
        }
    }

    fn close(&mut self) {
        let ranges = std::mem::take(&mut self.open);
        // A table of 2^29 lines would be 32 GiB; the limit of prefixes keeps it far below.
        let line = u32::try_from(self.lines.len()).unwrap_or(0);
        let leaves = ranges.chunks(RANGES).map(Line::leaf);
        let (kind, payload) = match ranges.as_slice() {
            [(_, id)] => (UNIFORM, u32::from(*id)),
            _ if ranges.len() > RANGES * FAN_OUT * FAN_OUT => {
                self.push_cells(&ranges);
                (CELLS, line)
            }
            _ => {
                let height = self.push_inner(&ranges);
                self.lines.extend(leaves);
                (height, line)
            }
        };
        self.table.push(kind << KIND_SHIFT | payload);
        self.open = ranges;
        self.open.clear();
    }

    /// The levels above the leaves, each but the last one full; gives the height of the tree.
    fn push_inner(&mut self, ranges: &[(u16, u16)]) -> u32 {
        let ends = |each: usize| -> Vec<u16> {
            ranges.chunks(each).filter_map(|part| part.last()).map(|(end, _)| *end).collect()
        };
        let leaves = ends(RANGES);
        if leaves.len() > FAN_OUT {
            self.lines.push(Line::inner(&ends(RANGES * FAN_OUT)));
            let level = self.lines.len();
            self.lines.extend(leaves.chunks(FAN_OUT).map(Line::inner));
            self.lines.resize(level + FAN_OUT, Line::inner(&[]));
            HEIGHT_MAX
        } else if leaves.len() > 1 {
            self.lines.push(Line::inner(&leaves));
            2
        } else {
            1
        }
    }

    fn push_cells(&mut self, ranges: &[(u16, u16)]) {
        let mut first = 0_u32;
        let mut cells = Vec::with_capacity(BLOCKS);
        for (end, id) in ranges {
            cells.extend((first..=u32::from(*end)).map(|_| *id));
            first = u32::from(*end) + 1;
        }
        self.lines.extend(cells.chunks(FAN_OUT).map(Line::inner));
    }

    pub(super) fn finish(mut self) -> Blocks {
        self.lines.shrink_to_fit();
        Blocks { table: self.table, lines: self.lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block whose ranges are `step` long, after empty ones and before a uniform one.
    fn blocks(step: u32) -> Blocks {
        let mut draft = Draft::default();
        draft.push(0x0a00_ffff, 0);
        for first in (0..0x1_0000).step_by(step as usize) {
            draft.push(0x0a01_0000 + (first + step - 1).min(0xffff), id(first / step));
        }
        draft.push(0x0a02_ffff, 7);
        draft.push(u32::MAX, 0);
        draft.finish()
    }

    fn id(range: u32) -> u16 {
        u16::try_from(range % 60_000).unwrap() + 1
    }

    #[test]
    fn finds_every_address_of_blocks_of_every_kind() {
        for (step, kind) in
            [(0x8000, 1), (0x1000, 1), (0xf00, 2), (128, 2), (127, 3), (4, 3), (3, 4), (1, 4)]
        {
            let blocks = blocks(step);
            assert_eq!(blocks.table.len(), BLOCKS);
            assert_eq!(blocks.table[0x0a01] >> KIND_SHIFT, kind, "step {step}");
            for low in 0..0x1_0000 {
                assert_eq!(blocks.lookup(0x0a01_0000 + low), id(low / step), "step {step} {low}");
            }
            for (address, id) in [
                (0, 0),
                (0x0a00_ffff, 0),
                (0x0a02_0000, 7),
                (0x0a02_ffff, 7),
                (0x0a03_0000, 0),
                (u32::MAX, 0),
            ] {
                assert_eq!(blocks.lookup(address), id, "step {step}");
            }
        }
    }
}
