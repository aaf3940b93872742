//! Ranges of IPv4 addresses: a table of all blocks of 2^16 addresses leads to small search trees of 16-bit
//! numbers, whose nodes are lines of memory.

use arrayvec::ArrayVec;
use wireguard::prefetch::prefetch;

use crate::limits::BURST_LEN_MAX;

/// A line of memory: an inner node, a leaf, or cells of a block that names the set of every address.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line([u16; FAN_OUT]);

/// Children of an inner node: where each ends. None of those that are left out is ever behind what is looked for.
const FAN_OUT: usize = 32;

/// The same as lines are counted: nodes below a root, leaves below a node, and addresses whose cells a line has.
const NODES: u32 = 32;
const _: () = assert!(NODES as usize == FAN_OUT);

/// Ranges of a leaf: where each ends, and then their sets.
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
    /// How many of the first `N` ends are before what is looked for, compared side by side.
    #[inline]
    fn before<const N: usize>(&self, low: u16) -> u16 {
        let ends = self.0.first_chunk::<N>();
        ends.map_or(0, |ends| ends.iter().map(|end| u16::from(*end < low)).sum())
    }

    #[inline]
    fn child(&self, low: u16) -> u32 {
        self.before::<FAN_OUT>(low).into()
    }

    #[inline]
    fn id(&self, low: u16) -> u16 {
        let row = usize::from(self.before::<RANGES>(low));
        self.0.get(RANGES + row).copied().unwrap_or(0)
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

/// An address on its way through a block: the line that it is looked for in, its low half, and which of a burst it is.
#[derive(Clone, Copy)]
struct Sought {
    line: u32,
    low: u16,
    number: u8,
}

/// The same at an inner node above leaves, and where those begin.
#[derive(Clone, Copy)]
struct Above {
    sought: Sought,
    leaves: u32,
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
        let mut set = 0;
        self.lookup_burst(&[(address, 0)], &mut |_, id| set = id);
        set
    }

    /// The same for many at once, and where the answers go. Each level of trees is gone through for all before the next, so that they
    /// wait for memory at the same time; what is behind [`BURST_LEN_MAX`] is not looked up.
    #[inline]
    pub(super) fn lookup_burst(&self, addresses: &[(u32, u8)], found: &mut impl FnMut(u8, u16)) {
        for (address, _) in addresses {
            self.table.get(split(*address).0).into_iter().for_each(prefetch);
        }
        let mut trees = ArrayVec::<Sought, BURST_LEN_MAX>::new();
        let mut aboves = ArrayVec::<Above, BURST_LEN_MAX>::new();
        let mut leaves = ArrayVec::<Sought, BURST_LEN_MAX>::new();
        let mut cells = ArrayVec::<Sought, BURST_LEN_MAX>::new();
        for (address, number) in addresses.iter().take(BURST_LEN_MAX) {
            let (block, low) = split(*address);
            let entry = self.table.get(block).copied().unwrap_or(0);
            let line = entry & ((1 << KIND_SHIFT) - 1);
            let number = *number;
            match entry >> KIND_SHIFT {
                #[expect(clippy::cast_possible_truncation, reason = "it was made of one")]
                UNIFORM => found(number, line as u16),
                1 => leaves.push(Sought { line: self.ahead(line), low, number }),
                2 => {
                    let sought = Sought { line: self.ahead(line), low, number };
                    aboves.push(Above { sought, leaves: line + 1 });
                }
                CELLS => {
                    let line = self.ahead(line + u32::from(low) / NODES);
                    cells.push(Sought { line, low, number });
                }
                _ => trees.push(Sought { line: self.ahead(line), low, number }),
            }
        }
        // What was written field by field is read so: in one piece the core would have to wait for it.
        for &Sought { line, low, number } in &trees {
            let child = self.line(line).map_or(0, |node| node.child(low));
            let below = line + 1;
            let sought = Sought { line: self.ahead(below + child), low, number };
            aboves.push(Above { sought, leaves: below + NODES + child * NODES });
        }
        for &Above { sought: Sought { line, low, number }, leaves: first } in &aboves {
            let child = self.line(line).map_or(0, |node| node.child(low));
            leaves.push(Sought { line: self.ahead(first + child), low, number });
        }
        for &Sought { line, low, number } in &leaves {
            found(number, self.line(line).map_or(0, |leaf| leaf.id(low)));
        }
        for &Sought { line, low, number } in &cells {
            found(number, self.line(line).map_or(0, |line| line.cell(low)));
        }
    }

    #[inline]
    fn line(&self, line: u32) -> Option<&Line> {
        self.lines.get(line as usize)
    }

    /// Begins to fetch the line.
    #[inline]
    fn ahead(&self, line: u32) -> u32 {
        self.line(line).into_iter().for_each(prefetch);
        line
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
