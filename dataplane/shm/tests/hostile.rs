//! Whatever a neighbour writes wherever it likes, neither side panics, reaches outside of its memory or gives
//! out what was not checked. The fuzz target `shm` runs the same for longer.

use proptest::prelude::*;
use shm::testing::hostile;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_neighbour_that_writes_anything_harms_nobody(script in prop::collection::vec(any::<u8>(), 0..2000)) {
        hostile(&script);
    }

    #[test]
    fn a_neighbour_that_knows_the_layout_harms_nobody(
        acts in prop::collection::vec((0_u8..48, 0_u8..4, any::<[u8; 3]>()), 0..300),
    ) {
        // Mostly small operands, so that indices are wrong by little and messages nearly right.
        let script: Vec<u8> = acts.iter().flat_map(|(act, small, rest)| {
            let [a, b, c] = *rest;
            [*act, *small, a % 4 + 126, b % 3, 0, c]
        }).collect();
        hostile(&script);
    }
}
