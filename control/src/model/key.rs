//! Keys as people write them, and those that no peer can have.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shm::message::PublicKey;
use zeroize::Zeroizing;

/// Reads base64 of exactly `N` octets, the form in which `WireGuard`'s tools write keys.
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Longer texts than any key are not even decoded.
    let text = text.trim();
    let octets = (text.len() <= 4 * N.div_ceil(3)).then(|| STANDARD.decode(text).ok())??;
    Zeroizing::new(octets).as_slice().try_into().ok()
}

/// Writes octets in base64.
pub fn encode(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// The beginning of a key, to tell peers without a name apart.
pub fn title(key: &PublicKey) -> String {
    let mut text = encode(&key.0);
    text.truncate(10);
    text + ".."
}

/// The seven encodings of points of low order with the top bit clear (the same with it set are the same points):
/// whoever has such a key agrees with everybody on the same secret.
const LOW_ORDER: [[u8; 32]; 7] = {
    let mut all = [[0; 32]; 7];
    all[1][0] = 1;
    all[2] = [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ];
    all[3] = [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef,
        0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f,
        0x11, 0x57,
    ];
    // p - 1, p and p + 1 for p = 2^255 - 19.
    all[4] = near_prime(0xec);
    all[5] = near_prime(0xed);
    all[6] = near_prime(0xee);
    all
};

const fn near_prime(first: u8) -> [u8; 32] {
    let mut octets = [0xff; 32];
    octets[0] = first;
    octets[31] = 0x7f;
    octets
}

/// Whether a key is of low order.
pub fn is_weak(key: &PublicKey) -> bool {
    let mut octets = key.0;
    if let Some(last) = octets.last_mut() {
        *last &= 0x7f;
    }
    LOW_ORDER.contains(&octets)
}
