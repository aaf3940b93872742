//! The sliding window that refuses replayed counters (whitepaper 5.4.6), after RFC 6479: a ring
//! of words of which the newest may be partly ahead, so that sliding clears whole words.

use crate::limits::WINDOW_WORDS;
use crate::prefetch::prefetch;

/// A window over `64 * WORDS` counters, of which `64 * (WORDS - 1)` behind the greatest are always
/// judged exactly. A client simulator may take fewer.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Window<const WORDS: usize = WINDOW_WORDS> {
    /// One more than the greatest counter committed; 0 before the first.
    next: u64,
    words: [u64; WORDS],
}

impl<const WORDS: usize> Default for Window<WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const WORDS: usize> Window<WORDS> {
    /// Counters behind the greatest one that are still judged one by one.
    pub const REACH: u64 = {
        assert!(WORDS >= 2, "one word of a ring is partly ahead");
        (WORDS as u64 - 1) * 64
    };

    /// A window that has seen nothing.
    pub const fn new() -> Self {
        Self { next: 0, words: [0; WORDS] }
    }

    /// Begins to fetch what [`Self::check`] and [`Self::commit`] of this counter touch.
    pub(crate) fn prefetch(&self, counter: u64) {
        prefetch(&self.next);
        if let Some(word) = self.words.get(Self::place(counter)) {
            prefetch(word);
        }
    }

    /// Whether a counter may still come: neither seen nor too old. Cheap, and no proof: commit
    /// after the tag was verified.
    pub fn check(&self, counter: u64) -> bool {
        if counter >= self.next {
            return counter != u64::MAX;
        }
        if self.next - 1 - counter > Self::REACH {
            return false;
        }
        self.words.get(Self::place(counter)).is_some_and(|word| word & Self::bit(counter) == 0)
    }

    /// Marks a counter whose tag was verified; false when it is a replay or too old.
    pub fn commit(&mut self, counter: u64) -> bool {
        if !self.check(counter) {
            return false;
        }
        if counter >= self.next {
            self.slide(counter);
        }
        if let Some(word) = self.words.get_mut(Self::place(counter)) {
            *word |= Self::bit(counter);
        }
        true
    }

    /// Forgets everything.
    pub const fn clear(&mut self) {
        self.next = 0;
        self.words = [0; WORDS];
    }

    /// Makes `counter` the greatest: clears the words that the ring reuses.
    fn slide(&mut self, counter: u64) {
        let newest = counter / 64;
        let present = self.next.saturating_sub(1) / 64;
        let fresh = (newest - present).min(WORDS as u64);
        for word in newest + 1 - fresh..=newest {
            if let Some(word) = self.words.get_mut(Self::place(word * 64)) {
                *word = 0;
            }
        }
        self.next = counter + 1;
    }

    const fn place(counter: u64) -> usize {
        (counter / 64 % WORDS as u64) as usize
    }

    const fn bit(counter: u64) -> u64 {
        1 << (counter % 64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// What the window must do, said simply.
    #[derive(Default)]
    struct Naive {
        seen: BTreeSet<u64>,
    }

    impl Naive {
        fn commit(&mut self, counter: u64, reach: u64) -> bool {
            let greatest = self.seen.last().copied().unwrap_or(0);
            counter != u64::MAX
                && greatest.saturating_sub(counter) <= reach
                && self.seen.insert(counter)
        }
    }

    fn agrees<const WORDS: usize>(counters: &[u64]) -> Result<(), TestCaseError> {
        let mut window = Window::<WORDS>::new();
        let mut naive = Naive::default();
        for &counter in counters {
            let expected = naive.commit(counter, Window::<WORDS>::REACH);
            prop_assert_eq!(window.check(counter), expected, "check {}", counter);
            prop_assert_eq!(window.commit(counter), expected, "commit {}", counter);
            prop_assert!(!window.check(counter), "{} is seen now", counter);
        }
        Ok(())
    }

    #[test]
    fn takes_zero_once() {
        let mut window = Window::<WINDOW_WORDS>::new();
        assert!(window.check(0) && window.commit(0));
        assert!(!window.check(0) && !window.commit(0));
        window.clear();
        assert!(window.commit(0));
    }

    #[test]
    fn judges_7296_counters_behind_the_greatest() {
        let mut window = Window::<WINDOW_WORDS>::new();
        assert!(window.commit(100_000));
        assert!(window.check(100_000 - 7296));
        assert!(!window.check(100_000 - 7297));
    }

    #[test]
    fn takes_the_greatest_counters_without_wrapping() {
        let mut window = Window::<WINDOW_WORDS>::new();
        assert!(window.commit(u64::MAX - 1));
        assert!(!window.commit(u64::MAX - 1) && !window.commit(u64::MAX));
        assert!(window.commit(u64::MAX - 7000));
        assert!(!window.commit(0));
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_on_walks(steps in prop::collection::vec(-9000_i64..9000, 1..600), start in 0_u64..20_000) {
            let mut at = i64::try_from(start).unwrap();
            let counters: Vec<u64> = steps.iter().map(|step| {
                at = (at + step).max(0);
                at.unsigned_abs()
            }).collect();
            agrees::<WINDOW_WORDS>(&counters)?;
            agrees::<2>(&counters)?;
        }

        #[test]
        fn agrees_with_a_set_on_dense_reordering(counters in prop::collection::vec(0_u64..300, 1..600)) {
            agrees::<2>(&counters)?;
            agrees::<3>(&counters)?;
            agrees::<4>(&counters)?;
            agrees::<WINDOW_WORDS>(&counters)?;
        }

        #[test]
        fn agrees_with_a_set_on_any_counters(counters in prop::collection::vec(any::<u64>(), 1..50)) {
            agrees::<WINDOW_WORDS>(&counters)?;
        }
    }
}
