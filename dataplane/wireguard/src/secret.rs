//! Secret octets: zeroised on drop, compared in constant time, never printed.

use core::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::hash::kdf1;

/// `N` secret octets. Cloning is explicit and each clone zeroises itself.
#[derive(Clone)]
pub struct Secret<const N: usize = 32>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes the octets over; the caller's copy is the caller's to zeroise.
    pub const fn new(octets: [u8; N]) -> Self {
        Self(octets)
    }

    /// All zero: an empty slot, or the absent pre-shared key.
    pub const fn zero() -> Self {
        Self([0; N])
    }

    /// The octets themselves.
    pub const fn octets(&self) -> &[u8; N] {
        &self.0
    }

    /// The octets, for filling in place.
    pub const fn octets_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }

    /// Whether all octets are zero, in constant time.
    pub fn is_zero(&self) -> bool {
        self.0.ct_eq(&[0; N]).into()
    }

    /// Overwrites the octets with zeros.
    pub fn clear(&mut self) {
        self.0.zeroize();
    }
}

impl Secret {
    /// Another secret that follows from this one and a label (`Kdf1`, whitepaper 5.4): whoever knows it knows neither
    /// this one nor those of other labels.
    #[must_use]
    pub fn derive(&self, label: &[u8]) -> Self {
        kdf1(self, label)
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_print_the_octets() {
        assert_eq!(format!("{:?}", Secret::new([0xab; 32])), "Secret(..)");
    }

    #[test]
    fn equality_looks_at_every_octet() {
        let secret = Secret::new([7; 32]);
        for position in 0..32 {
            let mut other = secret.clone();
            other.octets_mut()[position] ^= 1;
            assert_ne!(secret, other);
        }
        assert!(Secret::<32>::zero().is_zero() && !secret.is_zero());
    }
}
