//! What names a registration, and what proves that it is one's own.

use std::fmt::{self, Write as _};

use blake2::{Blake2s256, Digest as _};
use wireguard::secret::Secret;

use super::fault::Fault;

/// Octets that nobody can guess.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets).map_err(|_| Fault::Unavailable)?;
    Ok(octets)
}

/// A registration's name: a random UUID (RFC 9562 5.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id(pub(super) [u8; 16]);

impl Id {
    /// A new one.
    pub(super) fn random() -> Result<Self, Fault> {
        let mut octets: [u8; 16] = random()?;
        octets[6] = octets[6] & 0x0f | 0x40;
        octets[8] = octets[8] & 0x3f | 0x80;
        Ok(Self(octets))
    }

    /// As it stands in a path; none for anything that was never given out.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() != 36 {
            return None;
        }
        let hex: String = text.chars().filter(|c| *c != '-').collect();
        let octets = unhex(&hex).map(Self)?;
        (octets.to_string() == text).then_some(octets)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, octet) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{octet:02x}")?;
        }
        Ok(())
    }
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut octets = [0; N];
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
        *octet = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(octets)
}

/// 256 bits that a client shows with each later request. Only its hash is kept.
pub(super) struct Token(Secret);

impl Token {
    /// A new one.
    pub(super) fn random() -> Result<Self, Fault> {
        Ok(Self(Secret::new(random()?)))
    }

    /// As it is given to the client, once.
    pub(super) fn text(&self) -> String {
        self.0.octets().iter().fold(String::with_capacity(64), |mut text, octet| {
            // Writing into a string does not fail.
            let _ = write!(text, "{octet:02x}");
            text
        })
    }

    /// Reads the value of an `Authorization` header.
    pub(super) fn from_header(value: &[u8]) -> Option<Self> {
        let (scheme, text) = std::str::from_utf8(value).ok()?.split_once(' ')?;
        let octets = scheme.eq_ignore_ascii_case("bearer").then(|| unhex(text.trim()))??;
        Some(Self(Secret::new(octets)))
    }

    /// Its hash; equal ones are found in constant time. The token is random through and through, so nothing slower
    /// than a plain hash is called for.
    pub(super) fn hash(&self) -> Secret {
        Secret::new(Blake2s256::digest(self.0.octets()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_no_other_way() {
        let id = Id::random().unwrap();
        let text = id.to_string();
        assert!(Id::parse(&text) == Some(id));
        assert_eq!((text.as_bytes()[14], text.matches('-').count()), (b'4', 4));
        for bad in [text.to_uppercase() + "x", text.replace('-', ""), format!("-{}", &text[..35])] {
            assert!(Id::parse(&bad).is_none(), "{bad}");
        }
        assert!(Id::parse("é".repeat(18).as_str()).is_none());
    }

    #[test]
    fn a_token_is_known_by_its_hash() {
        let token = Token::random().unwrap();
        let read = Token::from_header(format!("bearer {}", token.text()).as_bytes()).unwrap();
        assert!(read.hash() == token.hash() && read.hash() != Token::random().unwrap().hash());
        for bad in ["", "Bearer", "Bearer ", "Basic abcd", "Bearer +f", "Bearer \u{e9}"] {
            assert!(Token::from_header(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
