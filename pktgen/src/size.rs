//! Lengths of inner packets: one, a list in turn, or the Internet mix.

/// Lengths in octets of the inner IP packet, in the order in which they are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes(Vec<usize>);

/// The simple Internet mix of the generators: 7 small, 4 medium, 1 large, as lengths of the inner packet so that
/// the largest fits an MTU of 1420.
const IMIX: [usize; 12] = [64, 576, 64, 64, 576, 64, 1420, 64, 576, 64, 576, 64];

impl Sizes {
    /// These lengths in turn; none for an empty list.
    pub fn list(lengths: &[usize]) -> Option<Self> {
        (!lengths.is_empty()).then(|| Self(lengths.to_vec()))
    }

    /// The Internet mix.
    pub fn imix() -> Self {
        Self(IMIX.to_vec())
    }

    /// The length of packet number `number`.
    pub fn of(&self, number: u64) -> usize {
        if let [only] = self.0.as_slice() {
            return *only;
        }
        let count = u64::try_from(self.0.len()).unwrap_or(1).max(1);
        let at = usize::try_from(number % count).unwrap_or(0);
        self.0.get(at).copied().unwrap_or(0)
    }

    /// After how many packets they begin again.
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// The shortest.
    pub fn min(&self) -> usize {
        self.0.iter().copied().min().unwrap_or(0)
    }

    /// The longest.
    pub fn max(&self) -> usize {
        self.0.iter().copied().max().unwrap_or(0)
    }

    /// The mean, rounded down.
    pub fn mean(&self) -> usize {
        self.0.iter().sum::<usize>().checked_div(self.0.len()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_taken_in_turn_and_none_may_be_empty() {
        let sizes = Sizes::list(&[100, 300, 200]).unwrap();
        assert_eq!([0, 1, 2, 3].map(|n| sizes.of(n)), [100, 300, 200, 100]);
        assert_eq!((sizes.min(), sizes.max(), sizes.mean()), (100, 300, 200));
        assert_eq!(Sizes::list(&[]), None);
    }

    #[test]
    fn the_internet_mix_has_its_shares() {
        let lengths: Vec<_> = (0..12).map(|n| Sizes::imix().of(n)).collect();
        let count = |len| lengths.iter().filter(|&&other| other == len).count();
        assert_eq!((count(64), count(576), count(1420)), (7, 4, 1));
    }
}
