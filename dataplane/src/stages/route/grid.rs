//! A square of parts that versions share: whoever changes one part copies it, its row and the row of rows,
//! never the whole.

use std::sync::Arc;

/// `SIDE` times `SIDE` parts, numbered row by row.
#[derive(Debug)]
pub(super) struct Grid<T, const SIDE: usize> {
    rows: Arc<[Arc<[T; SIDE]>; SIDE]>,
}

impl<T, const SIDE: usize> Clone for Grid<T, SIDE> {
    fn clone(&self) -> Self {
        Self { rows: Arc::clone(&self.rows) }
    }
}

impl<T: Clone, const SIDE: usize> Grid<T, SIDE> {
    /// A grid of one part everywhere; its rows are shared, so it is small.
    pub(super) fn of(part: &T) -> Self {
        let row = Arc::new(std::array::from_fn(|_| part.clone()));
        Self { rows: Arc::new(std::array::from_fn(|_| Arc::clone(&row))) }
    }

    /// The part with this number; there is one for every number below `SIDE` squared.
    #[inline]
    pub(super) fn get(&self, number: usize) -> Option<&T> {
        self.rows.get(number / SIDE)?.get(number % SIDE)
    }

    /// The same part, to be changed: what other versions share is copied first.
    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        let row = Arc::make_mut(&mut self.rows).get_mut(number / SIDE)?;
        Arc::make_mut(row).get_mut(number % SIDE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reaches_one_part_of_one_version() {
        let mut grid = Grid::<u8, 4>::of(&7);
        let before = grid.clone();
        *grid.get_mut(6).unwrap() = 9;
        let all = |grid: &Grid<u8, 4>| (0..16).map(|n| *grid.get(n).unwrap()).collect::<Vec<_>>();
        assert_eq!(all(&before), [7; 16]);
        assert_eq!(all(&grid), [7, 7, 7, 7, 7, 7, 9, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
        assert!(grid.get(16).is_none() && grid.get_mut(16).is_none());
    }

    #[test]
    fn rows_without_a_change_stay_shared() {
        let mut grid = Grid::<u8, 4>::of(&7);
        let before = grid.clone();
        *grid.get_mut(6).unwrap() = 9;
        let shared = grid.rows.iter().zip(before.rows.iter()).filter(|(a, b)| Arc::ptr_eq(a, b));
        assert_eq!(shared.count(), 3);
    }
}
