//! Numbers to hand out: which are taken, and the next free one at the same cost however few are left.

/// Numbers looked at for one that is wanted, before it is said that there is none for now.
const TRIES: usize = 1024;

const BITS: usize = u64::BITS as usize;

/// The numbers below a bound. They are handed out in turn, so that one that was given back comes again as late as
/// can be.
#[derive(Debug)]
pub(super) struct Numbers {
    /// A bit for each number, set when it is taken; above that, level by level, a bit for each word that is full.
    levels: Vec<Vec<u64>>,
    next: usize,
}

impl Numbers {
    /// All below `bound`, which is not zero, free.
    pub(super) fn new(bound: usize) -> Self {
        let mut levels = Vec::new();
        let mut len = bound;
        loop {
            let mut words = vec![0; len.div_ceil(BITS)];
            // What lies behind the bound is never free.
            if let Some(last) = words.last_mut()
                && !len.is_multiple_of(BITS)
            {
                *last = u64::MAX << (len % BITS);
            }
            len = words.len();
            levels.push(words);
            if len <= 1 {
                return Self { levels, next: 0 };
            }
        }
    }

    /// Takes a number; false when it was taken already, or is none.
    pub(super) fn take(&mut self, number: usize) -> bool {
        let mut at = number;
        for (level, words) in self.levels.iter_mut().enumerate() {
            let Some(word) = words.get_mut(at / BITS) else { return false };
            let bit = 1 << (at % BITS);
            if level == 0 && *word & bit != 0 {
                return false;
            }
            *word |= bit;
            if *word != u64::MAX {
                break;
            }
            at /= BITS;
        }
        true
    }

    /// Gives a number back that was taken.
    pub(super) fn give_back(&mut self, number: usize) {
        let mut at = number;
        for words in &mut self.levels {
            let Some(word) = words.get_mut(at / BITS) else { return };
            *word &= !(1 << (at % BITS));
            at /= BITS;
        }
    }

    /// Takes the next free number that nobody else holds: `holder` says of a number from which one on to look
    /// further, if somebody does. None when all are taken or too many in a row are held; the next call looks on from
    /// there.
    pub(super) fn take_next(
        &mut self,
        mut holder: impl FnMut(usize) -> Option<usize>,
    ) -> Option<usize> {
        for _ in 0..TRIES {
            let found = self.free_from(0, self.next).or_else(|| self.free_from(0, 0))?;
            let Some(further) = holder(found) else {
                self.next = found + 1;
                self.take(found);
                return Some(found);
            };
            self.next = further.max(found + 1);
        }
        None
    }

    /// The first number from `from` on whose bit is not set in a level.
    fn free_from(&self, level: usize, from: usize) -> Option<usize> {
        let words = self.levels.get(level)?;
        let free = !words.get(from / BITS)? & (u64::MAX << (from % BITS));
        let at = if free == 0 { self.free_from(level + 1, from / BITS + 1)? } else { from / BITS };
        let free = if free == 0 { !words.get(at)? } else { free };
        Some(at * BITS + free.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Act {
        TakeNext,
        Take(usize),
        GiveBack(usize),
    }

    fn acts(bound: usize) -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            6 => Just(Act::TakeNext),
            1 => (0..bound + 9).prop_map(Act::Take),
            2 => (0..bound).prop_map(Act::GiveBack),
        ];
        proptest::collection::vec(act, 0..600)
    }

    proptest! {
        /// Against a set of taken numbers that is walked one by one; every third number is somebody else's.
        #[test]
        fn hands_out_what_a_naive_set_does(
            (bound, acts) in (1_usize..300).prop_flat_map(|bound| (Just(bound), acts(bound))),
            held in 2_usize..5,
        ) {
            let mut numbers = Numbers::new(bound);
            let (mut taken, mut next) = (BTreeSet::new(), 0);
            for act in acts {
                match act {
                    Act::TakeNext => {
                        let is_free = |n: &usize| !taken.contains(n) && n % held != 1;
                        let expected = (next..bound).chain(0..next.min(bound)).find(is_free);
                        let got = numbers.take_next(|n| (n % held == 1).then_some(n + 1));
                        prop_assert_eq!(got, expected);
                        if let Some(got) = got {
                            taken.insert(got);
                            next = got + 1;
                        } else {
                            next = numbers.next;
                        }
                    }
                    Act::Take(n) => {
                        prop_assert_eq!(numbers.take(n), n < bound && taken.insert(n));
                    }
                    Act::GiveBack(n) => {
                        numbers.give_back(n);
                        taken.remove(&n);
                    }
                }
            }
        }
    }

    #[test]
    fn hands_out_all_and_the_last_costs_as_little_as_the_first() {
        // All 24 bits take a minute without optimisation; fewer have the same number of levels.
        const BOUND: usize = 1 << if cfg!(debug_assertions) { 19 } else { 24 };
        let mut numbers = Numbers::new(BOUND);
        numbers.take(0);
        let mut seen = vec![false; BOUND];
        while let Some(number) = numbers.take_next(|_| None) {
            assert!(!std::mem::replace(&mut seen[number], true), "{number} comes twice");
        }
        assert_eq!(seen.iter().filter(|seen| **seen).count(), BOUND - 1);
        // The one free number is found at once, wherever the turn is: a walk would look at millions for each.
        for number in (1..BOUND).step_by(1021) {
            numbers.give_back(number);
            assert_eq!(numbers.take_next(|_| None), Some(number));
        }
        assert_eq!(numbers.take_next(|_| None), None);
    }

    #[test]
    fn what_is_given_back_comes_again_last() {
        let mut numbers = Numbers::new(1000);
        for expected in 0..500 {
            assert_eq!(numbers.take_next(|_| None), Some(expected));
        }
        numbers.give_back(499);
        for expected in (500..1000).chain([499]) {
            assert_eq!(numbers.take_next(|_| None), Some(expected));
        }
    }

    #[test]
    fn gives_up_for_now_where_somebody_else_holds_everything() {
        let mut numbers = Numbers::new(1 << 20);
        let mut asked = 0;
        let found = numbers.take_next(|_| {
            asked += 1;
            Some(0)
        });
        assert_eq!((found, asked), (None, TRIES));
        assert_eq!(numbers.take_next(|_| None), Some(TRIES));
    }
}
