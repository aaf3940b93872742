//! The Internet checksum: fast sums, pseudo headers (RFC 768, RFC 8200 8.1) and incremental updates (RFC 1624).

use core::net::{Ipv4Addr, Ipv6Addr};

/// A one's complement sum of 16-bit words that is still open: more can be added, in any order.
///
/// Words are summed as the machine reads them, since the sum is the same in either byte order up to one
/// swap at the end (RFC 1071 2(B)). The 64-bit accumulator is congruent to the 16-bit sum because
/// 2^64 - 1 is a multiple of 2^16 - 1, provided every carry goes around.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self(0);

    /// The sum of `octets`; an odd last octet is padded with a zero behind it.
    #[inline]
    pub fn of(octets: &[u8]) -> Self {
        let (words, tail) = octets.as_chunks::<8>();
        let sum = sum_words(words);
        if tail.is_empty() { sum } else { sum.plus(Self(padded(tail))) }
    }

    /// The sum of an IPv4 header without options: five words of 32 bits, which 64 bits hold without a carry.
    #[inline]
    pub fn of_header(header: &[u8; 20]) -> Self {
        let (words, _) = header.as_chunks::<4>();
        Self(words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum())
    }

    /// The sum of the IPv4 pseudo header: addresses, protocol, and `len` = octets of the upper protocol
    /// with its header.
    #[inline]
    pub fn pseudo_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, len: u16) -> Self {
        let source = u64::from(u32::from_ne_bytes(source.octets()));
        let destination = u64::from(u32::from_ne_bytes(destination.octets()));
        Self(source + destination).plus_word(u16::from(protocol)).plus_word(len)
    }

    /// The sum of the IPv6 pseudo header; `protocol` is the upper one, behind all extension headers, and
    /// `len` counts the upper protocol alone.
    #[inline]
    pub fn pseudo_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, len: u16) -> Self {
        let addresses = Self::of_v6(source).plus(Self::of_v6(destination));
        addresses.plus_word(u16::from(protocol)).plus_word(len)
    }

    /// The sum of one IPv4 address.
    #[inline]
    pub fn of_v4(address: Ipv4Addr) -> Self {
        Self(u64::from(u32::from_ne_bytes(address.octets())))
    }

    /// The sum of one IPv6 address.
    #[inline]
    pub fn of_v6(address: Ipv6Addr) -> Self {
        Self::of(&address.octets())
    }

    /// This sum and `other`. All but the last part of a message must be of even length.
    #[inline]
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (sum, carry) = self.0.overflowing_add(other.0);
        Self(sum + u64::from(carry))
    }

    /// This sum and one 16-bit word in host order, as it would stand on the wire.
    #[inline]
    #[must_use]
    pub fn plus_word(self, word: u16) -> Self {
        self.plus(Self(u64::from(word.to_be())))
    }

    /// The value for the checksum field, in host order: the complement of the sum.
    #[inline]
    pub fn finish(self) -> u16 {
        !self.fold()
    }

    /// Whether a message whose checksum field was summed with the rest is intact.
    #[inline]
    pub fn is_intact(self) -> bool {
        self.fold() == 0xffff
    }

    /// The sum in 16 bits, in host order; zero only when every word was zero.
    #[inline]
    fn fold(self) -> u16 {
        let sum = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        u16::from_be(truncate(sum))
    }
}

/// The low 16 bits; `fold` leaves no others.
#[inline]
fn truncate(sum: u64) -> u16 {
    let [low, high, ..] = sum.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// Up to seven octets as native words, padded with a zero behind; 64 bits hold every carry.
#[inline]
fn padded(mut tail: &[u8]) -> u64 {
    let mut sum = 0;
    if let Some((four, rest)) = tail.split_first_chunk::<4>() {
        sum += u64::from(u32::from_ne_bytes(*four));
        tail = rest;
    }
    if let Some((two, rest)) = tail.split_first_chunk::<2>() {
        sum += u64::from(u16::from_ne_bytes(*two));
        tail = rest;
    }
    match *tail {
        [last, ..] => sum + u64::from(u16::from_ne_bytes([last, 0])),
        [] => sum,
    }
}

/// Sums words in a loop that the compiler turns into vectors.
///
/// A vector lane cannot carry around, so two sums are kept: of the whole words, which may wrap, and of their high
/// halves, which cannot before 2^32 words. The low halves' sum follows from both. That is three vector
/// operations per 16 octets with SSE2, one less than masking the halves apart.
#[inline]
fn sum_words(words: &[[u8; 8]]) -> Sum {
    let mut whole = 0_u64;
    let mut high = 0_u64;
    for word in words {
        let word = u64::from_ne_bytes(*word);
        whole = whole.wrapping_add(word);
        high = high.wrapping_add(word >> 32);
    }
    let low = whole.wrapping_sub(high << 32);
    Sum(low).plus(Sum(high))
}

/// The difference that replacing some words by others makes to any checksum over them (RFC 1624).
///
/// It can be computed once per flow and applied to each of its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta(u16);

impl Delta {
    /// Replacing nothing.
    pub const NONE: Self = Self(0);

    /// The difference between words that sum to `old` and those that sum to `new`.
    #[inline]
    pub fn between(old: Sum, new: Sum) -> Self {
        Self(add(!old.fold(), new.fold()))
    }

    /// The difference between two 16-bit words in host order.
    #[inline]
    pub const fn of_word(old: u16, new: u16) -> Self {
        Self(add(!old, new))
    }

    /// The difference between two IPv4 addresses.
    #[inline]
    pub fn of_v4(old: Ipv4Addr, new: Ipv4Addr) -> Self {
        Self::between(Sum::of_v4(old), Sum::of_v4(new))
    }

    /// The difference between two IPv6 addresses.
    #[inline]
    pub fn of_v6(old: Ipv6Addr, new: Ipv6Addr) -> Self {
        Self::between(Sum::of_v6(old), Sum::of_v6(new))
    }

    /// Both differences.
    #[inline]
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(add(self.0, other.0))
    }

    /// The difference of replacing the words back again.
    #[inline]
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self(!self.0)
    }

    /// The same difference for words that straddle the checksum's words, starting at an odd offset.
    #[inline]
    #[must_use]
    pub fn at_odd_offset(self) -> Self {
        Self(self.0.swap_bytes())
    }

    /// The checksum field (host order) after the replacement: HC' = ~(~HC + ~m + m') (RFC 1624 3, equation 3).
    #[inline]
    pub fn apply(self, checksum: u16) -> u16 {
        !add(!checksum, self.0)
    }

    /// As `apply`, for UDP, where zero means "no checksum" and stays, and a computed zero is sent as 0xffff.
    #[inline]
    pub fn apply_udp(self, checksum: u16) -> u16 {
        if checksum == 0 {
            return 0;
        }
        match self.apply(checksum) {
            0 => 0xffff,
            updated => updated,
        }
    }
}

/// The checksum field (host order) of a message in which one word changed.
#[inline]
pub fn update_word(checksum: u16, old: u16, new: u16) -> u16 {
    Delta::of_word(old, new).apply(checksum)
}

/// The checksum field (host order) of a message in which one IPv4 address changed.
#[inline]
pub fn update_v4(checksum: u16, old: Ipv4Addr, new: Ipv4Addr) -> u16 {
    Delta::of_v4(old, new).apply(checksum)
}

/// The checksum field (host order) of a message in which one IPv6 address changed.
#[inline]
pub fn update_v6(checksum: u16, old: Ipv6Addr, new: Ipv6Addr) -> u16 {
    Delta::of_v6(old, new).apply(checksum)
}

/// One's complement addition of 16 bits.
#[inline]
const fn add(left: u16, right: u16) -> u16 {
    let (sum, carry) = left.overflowing_add(right);
    sum + carry as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, word by word.
    fn naive(octets: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in octets.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).unwrap()
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let step = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        };
        (0..len).map(step).collect()
    }

    #[test]
    fn sums_the_example_of_rfc_1071() {
        let sum = Sum::of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.finish(), !0xddf2);
    }

    #[test]
    fn equals_the_naive_sum_for_every_length_and_alignment() {
        let octets = noise(2048 + 8);
        for start in 0..8 {
            for len in 0..=2048 {
                let part = &octets[start..start + len];
                assert_eq!(!Sum::of(part).finish(), naive(part), "start {start} len {len}");
            }
        }
    }

    #[test]
    fn a_header_sums_as_any_octets_do() {
        for octets in [[0; 20], [0xff; 20], *noise(20).first_chunk().unwrap()] {
            assert_eq!(!Sum::of_header(&octets).finish(), naive(&octets));
        }
    }

    #[test]
    fn survives_the_carries_of_all_ones() {
        for len in 0..2048 {
            let octets = vec![0xff; len];
            assert_eq!(!Sum::of(&octets).finish(), naive(&octets), "len {len}");
        }
        let long = vec![0xff; 65_536 * 4];
        assert_eq!(Sum::of(&long).finish(), 0);
    }

    #[test]
    fn sums_nothing_to_zero() {
        assert_eq!(Sum::of(&[]).finish(), 0xffff);
        assert!(!Sum::of(&[0; 100]).is_intact());
    }

    #[test]
    fn an_odd_offset_swaps_the_difference() {
        let mut octets = noise(33);
        let before = Sum::of(&octets).finish();
        let (old, new) = (u16::from_be_bytes([octets[7], octets[8]]), 0x1234_u16);
        octets[7..9].copy_from_slice(&new.to_be_bytes());
        let delta = Delta::of_word(old, new).at_odd_offset();
        assert_eq!(delta.apply(before), Sum::of(&octets).finish());
    }

    #[test]
    fn an_update_gives_the_rfc_1624_result_and_not_negative_zero() {
        // The example of RFC 1624 4: 0xdd2f with 0x5555 replaced by 0x3285 is 0x0000, not 0xffff.
        assert_eq!(update_word(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn a_udp_update_keeps_no_checksum_and_never_invents_it() {
        assert_eq!(Delta::of_word(1, 2).apply_udp(0), 0);
        assert_eq!(Delta::of_word(0x5555, 0x3285).apply_udp(0xdd2f), 0xffff);
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_whole(octets in prop::collection::vec(any::<u8>(), 0..600), at in 0_usize..300) {
            let at = (at * 2).min(octets.len() & !1);
            let parts = Sum::of(&octets[..at]).plus(Sum::of(&octets[at..]));
            prop_assert_eq!(parts.finish(), Sum::of(&octets).finish());
        }

        #[test]
        fn a_word_update_equals_a_fresh_sum(
            mut octets in prop::collection::vec(any::<u8>(), 2..200),
            at in any::<prop::sample::Index>(),
            new: u16,
        ) {
            // Checksums live beside non-zero words (a version, a protocol), so one is put here too.
            octets.extend([0x45, 0]);
            octets.rotate_right(2);
            let at = 2 + at.index((octets.len() - 2) / 2) * 2;
            let before = Sum::of(&octets).finish();
            let old = u16::from_be_bytes([octets[at], octets[at + 1]]);
            octets[at..at + 2].copy_from_slice(&new.to_be_bytes());
            prop_assert_eq!(update_word(before, old, new), Sum::of(&octets).finish());
        }

        #[test]
        fn a_reversed_difference_takes_the_words_back(old: [u8; 8], new: [u8; 8]) {
            // Checksums live beside non-zero words (a version, a protocol).
            let sum = |octets: [u8; 8]| Sum::of(&octets).plus_word(0x4500);
            let delta = Delta::between(sum(old), sum(new));
            prop_assert_eq!(delta.reversed().apply(sum(new).finish()), sum(old).finish());
        }

        #[test]
        fn address_updates_equal_fresh_sums(a4: [u8; 4], b4: [u8; 4], a6: [u8; 16], b6: [u8; 16], word in 1_u16..) {
            let sum4 = |a: [u8; 4]| Sum::of_v4(a.into()).plus_word(word).finish();
            prop_assert_eq!(update_v4(sum4(a4), a4.into(), b4.into()), sum4(b4));
            let sum6 = |a: [u8; 16]| Sum::of_v6(a.into()).plus_word(word).finish();
            prop_assert_eq!(update_v6(sum6(a6), a6.into(), b6.into()), sum6(b6));
        }

        #[test]
        fn pseudo_headers_sum_as_laid_out(s4: [u8; 4], d4: [u8; 4], s6: [u8; 16], d6: [u8; 16], protocol: u8, len: u16) {
            let [high, low] = len.to_be_bytes();
            let laid4 = [&s4[..], &d4, &[0, protocol, high, low]].concat();
            prop_assert_eq!(
                Sum::pseudo_v4(s4.into(), d4.into(), protocol, len).finish(), !naive(&laid4)
            );
            let laid6 = [&s6[..], &d6, &[0, 0, high, low, 0, 0, 0, protocol]].concat();
            prop_assert_eq!(
                Sum::pseudo_v6(s6.into(), d6.into(), protocol, len).finish(), !naive(&laid6)
            );
        }
    }
}
