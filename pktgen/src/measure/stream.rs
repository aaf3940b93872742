//! One stream of numbered packets: what was sent, and what became of it.

/// How far behind the newest a packet may arrive and still be told from a duplicate.
const WINDOW: u64 = 1024;
const WORD_BITS: u64 = 64;
const WORDS: usize = (WINDOW / WORD_BITS) as usize;

/// What an arrival is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The newest so far.
    New,
    /// For the first time, after a newer one.
    Reordered,
    /// Not for the first time.
    Duplicate,
    /// More than 1024 behind the newest: new or duplicate, nobody knows.
    TooOld,
    /// Nothing that was sent.
    Strange,
}

/// The counts of one stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Numbers given out.
    given: u64,
    /// Of them those whose packets did not leave.
    withdrawn: u64,
    /// One more than the newest number that arrived.
    ahead: u64,
    received: u64,
    duplicates: u64,
    reordered: u64,
    too_old: u64,
    /// Bit `n % WINDOW`: whether `n` arrived, for the numbers `ahead - WINDOW..ahead`.
    seen: [u64; WORDS],
}

impl Stream {
    /// The number of the next packet, which counts as sent.
    pub const fn send(&mut self) -> u64 {
        self.given += 1;
        self.given - 1
    }

    /// A packet that has its number was not sent after all.
    pub const fn withdraw(&mut self) {
        self.withdrawn += 1;
    }

    /// A packet of this number has arrived.
    pub fn receive(&mut self, sequence: u64) -> Arrival {
        if sequence >= self.given {
            return Arrival::Strange;
        }
        if sequence >= self.ahead {
            self.slide(sequence + 1);
            self.mark(sequence);
            self.received += 1;
            return Arrival::New;
        }
        if self.ahead - sequence > WINDOW {
            self.too_old += 1;
            return Arrival::TooOld;
        }
        if self.mark(sequence) {
            self.duplicates += 1;
            return Arrival::Duplicate;
        }
        self.received += 1;
        self.reordered += 1;
        Arrival::Reordered
    }

    /// A packet of this number has arrived, of a stream that somebody else sends: all numbers up to it count as sent.
    /// A stream whose first arrival is within the window is taken to have begun at 0, another one to begin there.
    pub fn observe(&mut self, sequence: u64) -> Arrival {
        if sequence == u64::MAX {
            return Arrival::Strange;
        }
        if self.given == 0 && sequence >= WINDOW {
            self.withdrawn = sequence;
        }
        self.given = self.given.max(sequence + 1);
        self.receive(sequence)
    }

    /// Packets sent.
    pub const fn sent(&self) -> u64 {
        self.given - self.withdrawn
    }

    /// Different packets that arrived, as far as is known.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Sent, and not known to have arrived.
    pub const fn missing(&self) -> u64 {
        self.sent().saturating_sub(self.received)
    }

    /// Arrivals of a packet that had arrived.
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Arrivals after a newer one.
    pub const fn reordered(&self) -> u64 {
        self.reordered
    }

    /// Arrivals behind the window.
    pub const fn too_old(&self) -> u64 {
        self.too_old
    }

    /// Forgets the numbers that leave the window when it ends at `ahead`.
    fn slide(&mut self, ahead: u64) {
        if ahead - self.ahead >= WINDOW {
            self.seen = [0; WORDS];
        } else {
            for number in self.ahead..ahead {
                if let Some((word, bit)) = self.place(number) {
                    *word &= !bit;
                }
            }
        }
        self.ahead = ahead;
    }

    /// Marks a number of the window; true when it was marked.
    fn mark(&mut self, sequence: u64) -> bool {
        let Some((word, bit)) = self.place(sequence) else { return false };
        let was = *word & bit != 0;
        *word |= bit;
        was
    }

    fn place(&mut self, sequence: u64) -> Option<(&mut u64, u64)> {
        let at = sequence % WINDOW;
        let word = self.seen.get_mut(usize::try_from(at / WORD_BITS).ok()?)?;
        Some((word, 1 << (at % WORD_BITS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn tells_loss_from_reorder_and_duplicates() {
        use Arrival::{Duplicate, New, Reordered, Strange};
        let mut stream = Stream::default();
        (0..5).for_each(|n| assert_eq!(stream.send(), n));
        let arrivals = [0, 3, 1, 3, 9].map(|sequence| stream.receive(sequence));
        assert_eq!(arrivals, [New, New, Reordered, Duplicate, Strange]);
        assert_eq!((stream.received(), stream.missing()), (3, 2));
        stream.withdraw();
        assert_eq!((stream.sent(), stream.missing()), (4, 1), "what never left is not missing");
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_numbers(arrivals in prop::collection::vec(0_u64..5000, 0..600)) {
            let mut stream = Stream::default();
            for _ in 0..4000 { stream.send(); }
            let (mut seen, mut newest) = (HashSet::new(), None);
            for sequence in arrivals {
                let wanted = if sequence >= 4000 {
                    Arrival::Strange
                } else if newest.is_none_or(|newest| sequence > newest) {
                    newest = Some(sequence);
                    seen.insert(sequence);
                    Arrival::New
                } else if newest.is_some_and(|newest| newest - sequence >= WINDOW) {
                    Arrival::TooOld
                } else if seen.insert(sequence) {
                    Arrival::Reordered
                } else {
                    Arrival::Duplicate
                };
                prop_assert_eq!(stream.receive(sequence), wanted);
            }
            prop_assert_eq!(stream.received(), seen.len() as u64);
        }
    }
}
