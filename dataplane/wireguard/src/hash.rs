//! The hashes of the protocol (whitepaper 5.4): `Hash`, `Mac`, `Hmac`, `Kdf`, all on BLAKE2s.

use crate::secret::Secret;
use blake2::digest::{FixedOutput, KeyInit, Mac, consts::U16};
use blake2::{Blake2s256, Blake2sMac, Digest};
use zeroize::Zeroize;

/// `Hash(parts…)`: BLAKE2s of the concatenation, 32 octets.
pub(crate) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut state = Blake2s256::new();
    for part in parts {
        Digest::update(&mut state, part);
    }
    state.finalize().into()
}

/// `Mac(key, parts…)`: keyed BLAKE2s with 16 octets of output. A key has at most 32 octets.
pub(crate) fn mac<const N: usize>(key: &[u8; N], parts: &[&[u8]]) -> [u8; 16] {
    const { assert!(N <= 32, "BLAKE2s takes keys of at most 32 octets") };
    let Ok(mut state) = <Blake2sMac<U16> as KeyInit>::new_from_slice(key) else {
        unreachable!("the length was checked when this was compiled");
    };
    for part in parts {
        Mac::update(&mut state, part);
    }
    state.finalize_fixed().into()
}

/// `Hmac(key, parts…)` of RFC 2104 over BLAKE2s with its block of 64 octets.
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Secret {
    let mut pad = [0x36_u8; 64];
    for (octet, key) in pad.iter_mut().zip(key) {
        *octet ^= key;
    }
    let mut inner = Blake2s256::new();
    Digest::update(&mut inner, pad);
    for part in parts {
        Digest::update(&mut inner, part);
    }
    let mut digest: [u8; 32] = inner.finalize().into();
    for octet in &mut pad {
        *octet ^= 0x36 ^ 0x5c;
    }
    let secret = Secret::new(hash(&[&pad, &digest]));
    pad.zeroize();
    digest.zeroize();
    secret
}

/// `Kdf1(key, input)`.
pub(crate) fn kdf1(key: &Secret, input: &[u8]) -> Secret {
    let extracted = hmac(key.octets(), &[input]);
    hmac(extracted.octets(), &[&[1]])
}

/// `Kdf2(key, input)`.
pub(crate) fn kdf2(key: &Secret, input: &[u8]) -> (Secret, Secret) {
    let extracted = hmac(key.octets(), &[input]);
    let first = hmac(extracted.octets(), &[&[1]]);
    let second = hmac(extracted.octets(), &[first.octets(), &[2]]);
    (first, second)
}

/// `Kdf3(key, input)`.
pub(crate) fn kdf3(key: &Secret, input: &[u8]) -> (Secret, Secret, Secret) {
    let extracted = hmac(key.octets(), &[input]);
    let first = hmac(extracted.octets(), &[&[1]]);
    let second = hmac(extracted.octets(), &[first.octets(), &[2]]);
    let third = hmac(extracted.octets(), &[second.octets(), &[3]]);
    (first, second, third)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_blake2s_of_rfc_7693() {
        let digest = hash(&[b"a", b"bc"]);
        assert_eq!(digest[..8], [0x50, 0x8c, 0x5e, 0x8c, 0x32, 0x7c, 0x14, 0xe2]);
    }

    #[test]
    fn longer_derivations_extend_the_shorter_ones() {
        let key = Secret::new([3; 32]);
        let (a, b, c) = kdf3(&key, b"input");
        assert_eq!((a.clone(), b.clone()), kdf2(&key, b"input"));
        assert_eq!(a, kdf1(&key, b"input"));
        assert!(a != b && b != c && a != c);
    }
}
