//! A run of neighbouring ranges of IPv6 addresses.

/// Where a range begins, and the route id that holds from there on.
pub(super) type Range = (u128, u16);

/// Ranges of a chunk: few enough that a change copies little, many enough that the list of chunks is short.
pub(super) const RANGES_MAX: usize = 256;

/// The ranges in order, at least one. Nearly all borders lie between /64s; the low halves of starts are kept
/// only where one is not zero, so that a search reads half of the octets.
#[derive(Debug)]
pub(super) struct Chunk {
    len: usize,
    /// Behind the last range the last one is repeated.
    highs: [u64; RANGES_MAX],
    ids: [u16; RANGES_MAX],
    lows: Option<Box<[u64; RANGES_MAX]>>,
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves are kept")]
const fn halves(bits: u128) -> (u64, u64) {
    ((bits >> 64) as u64, bits as u64)
}

impl Chunk {
    /// Holds the first [`RANGES_MAX`] of these ranges.
    pub(super) fn of(ranges: &[Range]) -> Self {
        let len = ranges.len().min(RANGES_MAX);
        let at =
            |row: usize| ranges.get(row).or_else(|| ranges.last()).copied().unwrap_or_default();
        let has_lows = ranges.iter().any(|(start, _)| halves(*start).1 != 0);
        Self {
            len,
            highs: std::array::from_fn(|row| halves(at(row).0).0),
            ids: std::array::from_fn(|row| at(row).1),
            lows: has_lows.then(|| Box::new(std::array::from_fn(|row| halves(at(row).0).1))),
        }
    }

    /// The id of the range that an address lies in, which is not below the first range.
    #[inline]
    pub(super) fn lookup(&self, bits: u128) -> u16 {
        let (high, low) = halves(bits);
        let row = match &self.lows {
            None => last_row(|row| self.highs.get(row).is_some_and(|start| *start <= high)),
            Some(lows) => last_row(|row| {
                let start = (self.highs.get(row), lows.get(row));
                start <= (Some(&high), Some(&low))
            }),
        };
        self.ids.get(row).copied().unwrap_or(0)
    }

    /// All ranges.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range> {
        let highs = self.highs.iter().zip(&self.ids).take(self.len);
        highs.enumerate().map(|(row, (high, id))| {
            let low = self.lows.as_ref().and_then(|lows| lows.get(row)).copied().unwrap_or(0);
            (u128::from(*high) << 64 | u128::from(low), *id)
        })
    }
}

/// The last row that is not behind what is looked for: as many steps for any answer, without a branch.
#[inline]
fn last_row(is_not_behind: impl Fn(usize) -> bool) -> usize {
    let mut row = 0;
    let mut step = RANGES_MAX / 2;
    while step > 0 {
        row = if is_not_behind(row + step) { row + step } else { row };
        step /= 2;
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_range_of_short_and_full_chunks() {
        for (len, shift) in [(1, 64), (2, 64), (200, 64), (256, 64), (1, 3), (7, 3), (256, 3)] {
            let ranges: Vec<Range> =
                (0..len).map(|n: u16| (u128::from(n) << shift, 1000 + n)).collect();
            let chunk = Chunk::of(&ranges);
            assert_eq!(chunk.ranges().collect::<Vec<_>>(), ranges);
            for (start, id) in &ranges {
                assert_eq!(chunk.lookup(*start), *id, "{len} {shift}");
                assert_eq!(chunk.lookup(start + 1), *id, "{len} {shift}");
                assert_eq!(chunk.lookup(start + (1 << shift) - 1), *id, "{len} {shift}");
            }
            assert_eq!(chunk.lookup(u128::MAX), 999 + len, "{len} {shift}");
        }
    }
}
