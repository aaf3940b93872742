//! Values of one or more dimensions, parted into classes: two values are in one class if the same rules accept them.

#![expect(
    clippy::indexing_slicing,
    reason = "numbers index what gave them out, cells the row they are of"
)]

use super::index::Index;

/// Which of 512 rules accept something: a cache line.
pub(super) type Block = [u32; 16];

/// Rules of a block.
pub(super) const BLOCK: usize = 512;

/// Classes, and distinct blocks of one position: what a `u16` can tell apart.
pub(super) const NUMBERS_MAX: usize = 1 << 16;

/// The distinct blocks of one position; number 0 is the one with no rule.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) blocks: Vec<Block>,
    index: Index,
}

impl Pool {
    fn new() -> Self {
        let mut pool = Self { blocks: Vec::new(), index: Index::new() };
        pool.number(&[0; 16]);
        pool
    }

    /// The number of this block; none if there are too many.
    fn number(&mut self, block: &Block) -> Option<u16> {
        let Self { blocks, index } = self;
        if index.is_full() {
            index.grow(|index, number| index.hash(words(&blocks[number as usize])));
        }
        let hash = index.hash(words(block));
        let (number, is_new) = index.number(hash, |number| blocks[number as usize] == *block);
        if is_new {
            blocks.push(*block);
        }
        u16::try_from(number).ok()
    }
}

fn words(block: &Block) -> impl Iterator<Item = u64> {
    block.chunks_exact(2).map(|pair| u64::from(pair[0]) | (u64::from(pair[1]) << 32))
}

/// The distinct rows of block numbers, one number for each position: a row is a class.
#[derive(Debug)]
struct Rows {
    width: usize,
    cells: Vec<u16>,
    index: Index,
}

impl Rows {
    fn row(cells: &[u16], width: usize, number: u32) -> &[u16] {
        &cells[number as usize * width..][..width]
    }

    /// The number of this row; none if there are too many.
    fn number(&mut self, row: &[u16]) -> Option<u16> {
        let Self { width, cells, index } = self;
        if index.is_full() {
            index.grow(|index, number| index.hash(pack(Self::row(cells, *width, number))));
        }
        let hash = index.hash(pack(row));
        let (number, is_new) = index.number(hash, |number| Self::row(cells, *width, number) == row);
        if is_new {
            cells.extend_from_slice(row);
        }
        u16::try_from(number).ok()
    }
}

fn pack(row: &[u16]) -> impl Iterator<Item = u64> {
    row.chunks(4).map(|cells| cells.iter().fold(0, |word, cell| (word << 16) | u64::from(*cell)))
}

/// Classes, and which rules accept each.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) pools: Vec<Pool>,
    rows: Rows,
}

/// Where classes change along one dimension: `classes[i]` is that of values below `borders[i]`, the last of all others.
#[derive(Debug)]
pub(super) struct Borders {
    pub(super) borders: Vec<u128>,
    pub(super) classes: Vec<u16>,
}

impl Partition {
    fn new(width: usize) -> Self {
        let pools = (0..width).map(|_| Pool::new()).collect();
        Self { pools, rows: Rows { width, cells: Vec::new(), index: Index::new() } }
    }

    /// Classes.
    pub(super) fn count(&self) -> usize {
        self.rows.cells.len() / self.rows.width
    }

    /// The block numbers of a class.
    pub(super) fn row(&self, class: usize) -> &[u16] {
        &self.rows.cells[class * self.rows.width..][..self.rows.width]
    }

    /// The blocks of a class.
    pub(super) fn blocks(&self, class: usize) -> impl Iterator<Item = &Block> {
        self.row(class)
            .iter()
            .zip(&self.pools)
            .map(|(number, pool)| &pool.blocks[usize::from(*number)])
    }

    /// Sweeps a dimension. `accepting` are the rules that accept its value 0; at each flip (value, rule), in order of
    /// values, a rule begins or ceases to accept. None if there are too many classes.
    pub(super) fn sweep(
        width: usize,
        accepting: &[Block],
        flips: &[(u128, u16)],
    ) -> Option<(Self, Borders)> {
        let mut partition = Self::new(width);
        let mut blocks = accepting.to_vec();
        let numbers = partition.pools.iter_mut().zip(&blocks);
        let mut row: Vec<u16> =
            numbers.map(|(pool, block)| pool.number(block)).collect::<Option<_>>()?;
        let mut classes = vec![partition.rows.number(&row)?];
        let mut borders = Vec::new();
        for group in flips.chunk_by(|one, other| one.0 == other.0) {
            let mut touched = 0_u64;
            for (_, rule) in group {
                let rule = usize::from(*rule);
                blocks[rule / BLOCK][rule % BLOCK / 32] ^= 1 << (rule % 32);
                touched |= 1 << (rule / BLOCK);
            }
            while touched != 0 {
                let position = touched.trailing_zeros() as usize;
                touched &= touched - 1;
                row[position] = partition.pools[position].number(&blocks[position])?;
            }
            let class = partition.rows.number(&row)?;
            if classes.last() != Some(&class) {
                borders.push(group[0].0);
                classes.push(class);
            }
        }
        Some((partition, Borders { borders, classes }))
    }

    /// Classes of pairs: the second is the table of them, a row for each class of the first. None if there are too many.
    pub(super) fn product(&self, other: &Self) -> Option<(Self, Vec<u16>)> {
        let width = self.rows.width;
        let mut product = Self::new(width);
        let mut known: Vec<Vec<u16>> = self.pools.iter().zip(&other.pools).map(known).collect();
        let mut table = Vec::with_capacity(self.count() * other.count());
        let mut row = vec![0; width];
        for left in 0..self.count() {
            for right in 0..other.count() {
                for (position, cell) in row.iter_mut().enumerate() {
                    let (a, b) = (self.row(left)[position], other.row(right)[position]);
                    *cell = product.meet(position, (self, a), (other, b), &mut known[position])?;
                }
                table.push(product.rows.number(&row)?);
            }
        }
        Some((product, table))
    }

    /// The number of what is in both blocks, which `known` remembers.
    #[inline]
    fn meet(
        &mut self,
        position: usize,
        (one, a): (&Self, u16),
        (other, b): (&Self, u16),
        known: &mut [u16],
    ) -> Option<u16> {
        if a == 0 || b == 0 {
            return Some(0);
        }
        let others = &other.pools[position].blocks;
        let memory = &mut known[usize::from(a) * others.len() + usize::from(b)];
        if *memory == UNKNOWN {
            let (block, with) =
                (&one.pools[position].blocks[usize::from(a)], &others[usize::from(b)]);
            let both = std::array::from_fn(|lane| block[lane] & with[lane]);
            *memory = self.pools[position].number(&both).filter(|number| *number != UNKNOWN)?;
        }
        Some(*memory)
    }
}

/// What `known` holds where nothing was asked yet.
const UNKNOWN: u16 = u16::MAX;

fn known((one, other): (&Pool, &Pool)) -> Vec<u16> {
    vec![UNKNOWN; one.blocks.len() * other.blocks.len()]
}
