//! A secret order of the 24-bit client ids: who gets one cannot tell from it how many there are, nor whose is next.

use siphasher::sip::SipHasher13;

const HALF_BITS: u32 = 12;
const HALF_MASK: u32 = (1 << HALF_BITS) - 1;

/// Rounds of the Feistel network. Four with a keyed hash hide the order from whoever sees some of it; the ids are no
/// secrets and authenticate nothing, so that is more than enough.
const ROUNDS: u8 = 4;

/// A keyed permutation of the numbers below 2^24.
#[derive(Debug)]
pub(super) struct Shuffle(SipHasher13);

impl Shuffle {
    /// The permutation of a key.
    pub(super) fn new(key: &[u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(key))
    }

    /// The id in a place of the order.
    pub(super) fn id(&self, place: u32) -> u32 {
        let halves = (place >> HALF_BITS & HALF_MASK, place & HALF_MASK);
        let (left, right) = (0..ROUNDS)
            .fold(halves, |(left, right), round| (right, left ^ self.round(round, right)));
        left << HALF_BITS | right
    }

    /// The place of an id in the order.
    pub(super) fn place(&self, id: u32) -> u32 {
        let halves = (id >> HALF_BITS & HALF_MASK, id & HALF_MASK);
        let (left, right) = (0..ROUNDS)
            .rev()
            .fold(halves, |(left, right), round| (right ^ self.round(round, left), left));
        left << HALF_BITS | right
    }

    fn round(&self, round: u8, half: u32) -> u32 {
        let [one, two, three, four] = half.to_le_bytes();
        let hash = self.0.hash(&[round, one, two, three, four]).to_le_bytes();
        u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]) & HALF_MASK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_has_one_place() {
        let shuffle = Shuffle::new(&[7; 16]);
        // What can be undone gives no id twice.
        for place in (0..1 << 24).step_by(61) {
            let id = shuffle.id(place);
            assert!(id < 1 << 24);
            assert_eq!(shuffle.place(id), place);
        }
    }

    #[test]
    fn neighbours_in_the_order_are_no_neighbours_as_ids() {
        let shuffle = Shuffle::new(&[7; 16]);
        let near = (0..10_000)
            .filter(|place| shuffle.id(*place).abs_diff(shuffle.id(place + 1)) < 256)
            .count();
        // By chance 0.003 % of them would be.
        assert!(near < 10, "{near}");
    }
}
