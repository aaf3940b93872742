//! The binary logarithm in integers: the same on every machine, which floating point does not promise.

/// Bits behind the point.
pub(super) const FRACTION: u32 = 40;

/// Steps of the table between one and two, as a power of two; the line between two steps is off by 2^-22 at most.
const STEP_BITS: u32 = 10;
const STEPS: usize = 1 << STEP_BITS;

/// The logarithms of 1, 1 + 1/1024 … 2.
static LOGARITHMS: [u64; STEPS + 1] = logarithms();

#[expect(clippy::indexing_slicing, reason = "at compile time, where a wrong index does not pass")]
const fn logarithms() -> [u64; STEPS + 1] {
    let mut table = [0; STEPS + 1];
    let mut step = 0;
    while step < STEPS {
        table[step] = logarithm((STEPS + step) as u64);
        step += 1;
    }
    table[STEPS] = 1 << FRACTION;
    table
}

/// Of `steps / 1024`, at least one and below two, bit by bit: squaring doubles a logarithm.
const fn logarithm(steps: u64) -> u64 {
    // One is 2^63.
    let mut number = (steps as u128) << (63 - STEP_BITS);
    let (mut logarithm, mut bit) = (0, 0);
    while bit < FRACTION {
        number = (number * number) >> 63;
        let carry = number >> 64;
        number >>= carry;
        logarithm = logarithm << 1 | (carry == 1) as u64;
        bit += 1;
    }
    logarithm
}

/// The negative logarithm of `hash` as a fraction of 2^64, below 2^47. Zero counts as one.
#[inline]
#[expect(clippy::indexing_slicing, reason = "the mask leaves less than STEPS")]
pub(crate) fn minus_log2(hash: u64) -> u64 {
    let hash = hash | 1;
    let zeros = hash.leading_zeros();
    let number = hash << zeros;
    let (step, between) = (number >> (63 - STEP_BITS), number << (STEP_BITS + 1) >> 32);
    #[expect(clippy::cast_possible_truncation, reason = "ten bits")]
    let step = step as usize & (STEPS - 1);
    let (low, high) = (LOGARITHMS[step], LOGARITHMS[step + 1]);
    (u64::from(zeros + 1) << FRACTION) - low - (((high - low) * between) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: u64 = 1 << FRACTION;

    #[test]
    fn powers_of_two_are_exact() {
        // Of less, the lowest bit, which always counts as set, would show.
        for bit in 43..64 {
            assert_eq!(minus_log2(1 << bit), (64 - bit) * ONE, "2^{bit}");
        }
        assert_eq!((minus_log2(1), minus_log2(0)), (64 * ONE, 64 * ONE));
        assert!(minus_log2(u64::MAX) < 2);
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "floating point is what it is compared with")]
    fn is_as_near_as_the_table_says() {
        let mut number = 1_u64;
        for _ in 0..200_000 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let hash = number >> (number & 31) | 1;
            let exact = 64.0 - (hash as f64).log2();
            let error = (minus_log2(hash) as f64 / ONE as f64 - exact).abs();
            assert!(error < 1.0 / f64::from(1 << 22), "{hash:#x} is off by {error}");
        }
    }

    proptest! {
        #[test]
        fn more_is_never_farther(one: u64, other: u64) {
            let (less, more) = (one.min(other), one.max(other));
            prop_assert!(minus_log2(less) >= minus_log2(more));
        }
    }
}
