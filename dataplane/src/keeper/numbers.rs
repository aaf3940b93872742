//! The numbers by which peers are known inside: small, so that tables are lists, and used again only when nothing
//! remembers whom they stood for.

use std::collections::VecDeque;

/// Who has which number is told elsewhere; here is which are free.
#[derive(Debug)]
pub(super) struct Numbers {
    free: VecDeque<u32>,
    /// The least that was never given.
    fresh: u32,
    max: u32,
}

impl Numbers {
    /// The numbers below `max`.
    pub(super) const fn new(max: u32) -> Self {
        Self { free: VecDeque::new(), fresh: 0, max }
    }

    /// Those that will be taken, in this order.
    pub(super) fn upcoming(&self) -> impl Iterator<Item = u32> + '_ {
        self.free.iter().copied().chain(self.fresh..self.max)
    }

    /// A free one, those that are free for longest first.
    pub(super) fn take(&mut self) -> Option<u32> {
        if let Some(number) = self.free.pop_front() {
            return Some(number);
        }
        let number = self.fresh;
        (number < self.max).then(|| {
            self.fresh += 1;
            number
        })
    }

    /// Nothing remembers it any more.
    pub(super) fn release(&mut self, number: u32) {
        self.free.push_back(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_once_until_it_comes_back() {
        let mut numbers = Numbers::new(3);
        assert!(numbers.upcoming().eq(0..3));
        assert_eq!([numbers.take(), numbers.take()], [Some(0), Some(1)]);
        numbers.release(0);
        assert!(numbers.upcoming().eq([0, 2]));
        assert_eq!([numbers.take(), numbers.take(), numbers.take()], [Some(0), Some(2), None]);
    }
}
