//! The class of a value: by a search tree of whole cache lines, all paths of which are equally long, or by a table.
//!
//! An inner node has the keys that part its children, and the number of the first; a leaf has keys and classes. A key is
//! the greatest value before a border, so the keys below a value are counted, and the missing ones are never below it.

use super::Unbuildable;
use super::burst::TOGETHER;
use super::dimension::Dimension;
use std::hint::black_box;

use super::lines::{Line, Writer, half, low, pack};
use super::partition::Borders;

/// Keys and classes of a leaf of 32-bit keys; children of an inner node.
const LEAF: usize = 11;
const _: () = assert!(LEAF - 1 == 10, "where the classes of a leaf begin");
const CHILDREN: usize = 16;
/// Classes of a leaf and children of an inner node of 128-bit keys, which are two lines.
const WIDE: usize = 8;
/// Entries that a table may have where a tree would do: so many, and so many for each class of the tree.
const ENTRIES: usize = 256;
const ENTRIES_PER_CLASS: usize = 64;

/// How to find the class of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lookup {
    /// The line of the root, or of the beginning of the table.
    at: u32,
    /// The last value that a table has; greater ones are of the same class.
    last: u32,
    /// Nodes on the way; 0 for a table.
    levels: u8,
    /// Whether keys have 128 bits.
    pub(super) is_wide: bool,
    /// Of which dimension.
    pub(super) dimension: Dimension,
}

impl Lookup {
    /// Writes the tree or table for these borders of values up to `last`.
    pub(super) fn write(
        dimension: Dimension,
        last: u128,
        borders: &Borders,
        writer: &mut Writer,
    ) -> Result<Self, Unbuildable> {
        let is_wide = last > u128::from(u32::MAX);
        let entries = borders.borders.last().map_or(1, |border| border.saturating_add(1));
        let most = ENTRIES.max(borders.classes.len() * ENTRIES_PER_CLASS) as u128;
        if !is_wide && entries <= most.min(1 << 16) {
            let at = writer.halves(&table(borders, entries))?;
            let last = u32::try_from(entries - 1).unwrap_or_default();
            return Ok(Self { at, last, levels: 0, is_wide: false, dimension });
        }
        let (leaf, children) = if is_wide { (WIDE, WIDE) } else { (LEAF, CHILDREN) };
        let mut levels = 1;
        let mut nodes = borders.classes.len().div_ceil(leaf);
        while nodes > 1 {
            nodes = nodes.div_ceil(children);
            levels += 1;
        }
        let at = if is_wide { write_wide(borders, writer)? } else { write(borders, writer)? };
        Ok(Self { at, last: 0, levels, is_wide, dimension })
    }

    /// Where the search begins.
    #[inline]
    pub(super) const fn root(&self) -> u32 {
        self.at
    }

    /// The class of a value of at most 32 bits.
    #[inline]
    pub(super) fn class(&self, lines: &[Line], keys: &Keys, value: u32) -> Option<u16> {
        if self.levels == 0 {
            return half(lines, self.at, value.min(self.last));
        }
        let mut at = self.at;
        for _ in 1..self.levels {
            at = child(lines, keys, at, value)?;
        }
        leaf(lines, keys, at, value)
    }

    /// The classes of several values.
    #[inline]
    pub(super) fn classes(&self, lines: &[Line], keys: &Keys, values: &[u32], classes: &mut [u16]) {
        if self.levels == 0 {
            for (class, value) in classes.iter_mut().zip(values) {
                *class = half(lines, self.at, (*value).min(self.last)).unwrap_or_default();
            }
            return;
        }
        let mut nodes = [self.at; TOGETHER];
        for _ in 1..self.levels {
            for (node, value) in nodes.iter_mut().zip(values) {
                *node = child(lines, keys, *node, *value).unwrap_or_default();
            }
        }
        for ((class, node), value) in classes.iter_mut().zip(nodes).zip(values) {
            *class = leaf(lines, keys, node, *value).unwrap_or_default();
        }
    }

    /// The class of an address of IPv6.
    #[inline]
    pub(super) fn class_wide(&self, lines: &[Line], value: u128) -> Option<u16> {
        let mut at = self.at;
        for _ in 1..self.levels {
            at = child_wide(lines, at, value)?;
        }
        leaf_wide(lines, at, value)
    }

    /// The classes of several addresses of IPv6.
    #[inline]
    pub(super) fn classes_wide(
        &self,
        lines: &[Line],
        values: impl Iterator<Item = u128> + Clone,
        classes: &mut [u16],
    ) {
        let mut nodes = [self.at; TOGETHER];
        for _ in 1..self.levels {
            for (node, value) in nodes.iter_mut().zip(values.clone()) {
                *node = child_wide(lines, *node, value).unwrap_or_default();
            }
        }
        for ((class, node), value) in classes.iter_mut().zip(nodes).zip(values) {
            *class = leaf_wide(lines, node, value).unwrap_or_default();
        }
    }
}

/// The child of an inner node in which the value is.
#[inline]
fn child(lines: &[Line], keys: &Keys, at: u32, value: u32) -> Option<u32> {
    let node = lines.get(at as usize)?;
    let [child, ..] = node.0;
    Some(child + below(node, &keys.inner, value))
}

/// The class of the value, in its leaf.
#[inline]
fn leaf(lines: &[Line], keys: &Keys, at: u32, value: u32) -> Option<u16> {
    let leaf = lines.get(at as usize)?;
    let below = below(leaf, &keys.leaf, value);
    let word = leaf.0.get((10 + (below >> 1)) as usize & 15)?;
    Some(low(word >> ((below & 1) * 16)))
}

/// The child of an inner node of 128-bit keys.
#[inline]
fn child_wide(lines: &[Line], at: u32, value: u128) -> Option<u32> {
    let (below, last) = below_wide(lines, at, value)?;
    let [.., child, _, _, _] = last.0;
    Some(child + 2 * below)
}

/// The class in a leaf of 128-bit keys.
#[inline]
fn leaf_wide(lines: &[Line], at: u32, value: u128) -> Option<u16> {
    let (below, last) = below_wide(lines, at, value)?;
    let word = last.0.get((12 + (below >> 1)) as usize & 15)?;
    Some(low(word >> ((below & 1) * 16)))
}

/// Which lanes are keys: 1, elsewhere 0.
#[derive(Debug)]
pub(super) struct Keys {
    inner: Line,
    leaf: Line,
}

static KEYS: Keys = Keys {
    inner: Line([0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
    leaf: Line([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]),
};

impl Keys {
    /// The lanes, unknown to the compiler: what it knows it would turn into a count of bits, which takes four times as many
    /// instructions where the processor may have none for it.
    #[inline]
    pub(super) fn lanes() -> &'static Self {
        black_box(&KEYS)
    }
}

/// How many keys of a node are below the value.
#[inline]
fn below(node: &Line, keys: &Line, value: u32) -> u32 {
    let value = signed(value);
    let lanes = node.0.iter().zip(&keys.0);
    lanes.map(|(lane, one)| if lane.cast_signed() < value { *one } else { 0 }).sum()
}

/// How many of the seven keys of a node are below the value; and the node's second line, which ends with other things.
#[inline]
fn below_wide(lines: &[Line], at: u32, value: u128) -> Option<(u32, &Line)> {
    let [first, last] = lines.get(at as usize..)?.first_chunk::<2>()?;
    let below = |line: &Line, keys| -> u32 {
        let keys = line.0.chunks_exact(4).take(keys);
        keys.map(|lanes| u32::from(key_wide(lanes) < value)).sum()
    };
    Some((below(first, 4) + below(last, 3), last))
}

/// A key from its four lanes, the lowest first.
#[inline]
fn key_wide(lanes: &[u32]) -> u128 {
    lanes.iter().rev().fold(0, |key, lane| (key << 32) | u128::from(*lane))
}

/// Moves the middle of unsigned values to that of signed ones, which vectors can compare.
#[inline]
const fn signed(value: u32) -> i32 {
    (value ^ (1 << 31)).cast_signed()
}

/// The classes of so many values.
fn table(borders: &Borders, entries: u128) -> Vec<u16> {
    let mut table = Vec::new();
    let ends = borders.borders.iter().copied().chain([entries]);
    for (end, class) in ends.zip(&borders.classes) {
        table.resize(usize::try_from(end).unwrap_or_default(), *class);
    }
    table
}

/// The key for a border.
fn key(border: u128) -> u32 {
    signed(u32::try_from(border - 1).unwrap_or(u32::MAX)).cast_unsigned()
}

const MISSING: u32 = signed(u32::MAX).cast_unsigned();

/// Writes a tree of 32-bit keys from the leaves up; the line of its root.
fn write(borders: &Borders, writer: &mut Writer) -> Result<u32, Unbuildable> {
    let mut nodes = borders.classes.len().div_ceil(LEAF);
    let mut at = writer.reserve(nodes)?;
    for (number, classes) in borders.classes.chunks(LEAF).enumerate() {
        let mut line = pack(classes);
        line.copy_within(..LEAF.div_ceil(2), LEAF - 1);
        let keys = borders.borders.iter().skip(number * LEAF).map(|border| key(*border));
        let lanes = line.iter_mut().take(LEAF - 1);
        lanes.zip(keys.chain(std::iter::repeat(MISSING))).for_each(|(lane, key)| *lane = key);
        writer.push(line);
    }
    // Every so many-th border parts two nodes of the level below.
    let mut step = LEAF;
    while nodes > 1 {
        let above = nodes.div_ceil(CHILDREN);
        let begin = writer.reserve(above)?;
        for number in 0..above {
            let mut line = [MISSING; 16];
            line[0] = at + u32::try_from(number * CHILDREN).unwrap_or_default();
            let first = (number * CHILDREN + 1) * step - 1;
            let keys = borders.borders.iter().skip(first).step_by(step).map(|border| key(*border));
            line.iter_mut().skip(1).zip(keys).for_each(|(lane, key)| *lane = key);
            writer.push(line);
        }
        (at, nodes, step) = (begin, above, step * CHILDREN);
    }
    Ok(at)
}

/// The same of 128-bit keys.
fn write_wide(borders: &Borders, writer: &mut Writer) -> Result<u32, Unbuildable> {
    let mut nodes = borders.classes.len().div_ceil(WIDE);
    let mut at = writer.reserve(nodes * 2)?;
    for (number, classes) in borders.classes.chunks(WIDE).enumerate() {
        let [a, b, c, d, ..] = pack(classes);
        push_wide(borders, number * WIDE, 1, [a, b, c, d], writer);
    }
    let mut step = WIDE;
    while nodes > 1 {
        let above = nodes.div_ceil(WIDE);
        let begin = writer.reserve(above * 2)?;
        for number in 0..above {
            let child = at + u32::try_from(number * WIDE * 2).unwrap_or_default();
            push_wide(borders, (number * WIDE + 1) * step - 1, step, [child, 0, 0, 0], writer);
        }
        (at, nodes, step) = (begin, above, step * WIDE);
    }
    Ok(at)
}

/// Writes a node: seven keys, of every `step`-th border from `first` on, and four words.
fn push_wide(borders: &Borders, first: usize, step: usize, end: [u32; 4], writer: &mut Writer) {
    let keys = borders.borders.iter().skip(first).step_by(step).map(|border| border - 1);
    let mut lanes = [0; 32];
    let (places, last) = lanes.split_at_mut(28);
    for (place, key) in places.chunks_exact_mut(4).zip(keys.chain(std::iter::repeat(u128::MAX))) {
        for (lane, octets) in place.iter_mut().zip(key.to_le_bytes().chunks_exact(4)) {
            *lane = octets.iter().rev().fold(0, |word, octet| (word << 8) | u32::from(*octet));
        }
    }
    last.copy_from_slice(&end);
    for line in lanes.as_chunks().0 {
        writer.push(*line);
    }
}
