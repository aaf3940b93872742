//! Keys as the protocol writes them: 64 digits of base 16.

use wireguard::secret::Secret;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Octets of a key in this form.
pub(super) const KEY_LEN: usize = 64;

/// Reads a key; upper and lower case are one. It may be a secret one, so it comes as such.
pub(super) fn key(text: &str) -> Option<Secret> {
    if text.len() != KEY_LEN {
        return None;
    }
    let mut key = Secret::zero();
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    for (octet, [high, low]) in key.octets_mut().iter_mut().zip(pairs) {
        *octet = digit(*high)? << 4 | digit(*low)?;
    }
    Some(key)
}

fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        b'A'..=b'F' => Some(letter - b'A' + 10),
        _ => None,
    }
}

/// Writes a key, straight to where it shall be, so that no copy stays behind.
pub(super) fn write(into: &mut Vec<u8>, key: &[u8; 32]) {
    let digit = |value: u8| DIGITS.get(usize::from(value & 15)).copied().unwrap_or(b'0');
    into.extend(key.iter().flat_map(|octet| [digit(octet >> 4), digit(*octet)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_nothing_else_is_a_key() {
        let octets: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 8 + 7).unwrap());
        let mut text = Vec::new();
        write(&mut text, &octets);
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("070f171f"), "{text}");
        assert_eq!(key(&text).unwrap().octets(), &octets);
        assert_eq!(key(&text.to_uppercase()).unwrap().octets(), &octets);
        assert!(key(&text[2..]).is_none());
        assert!(key(&format!("{text}00")).is_none());
        assert!(key(&text.replace("07", "0g")).is_none());
        assert!(key(&"é".repeat(32)).is_none());
    }
}
