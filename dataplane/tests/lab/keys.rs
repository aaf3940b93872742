//! Key pairs of peers, in the form that configuration files take.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use boringtun::x25519::{PublicKey, StaticSecret};

/// One side's static keys.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) secret: StaticSecret,
    pub(crate) public: PublicKey,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self::of(random())
    }

    /// The same keys whenever it is asked for.
    pub(crate) fn of(secret: [u8; 32]) -> Self {
        let secret = StaticSecret::from(secret);
        let public = PublicKey::from(&secret);
        Self { secret, public }
    }

    pub(crate) fn secret_text(&self) -> String {
        STANDARD.encode(self.secret.to_bytes())
    }

    pub(crate) fn public_text(&self) -> String {
        STANDARD.encode(self.public.as_bytes())
    }
}

/// 32 octets of the machine's randomness.
pub(crate) fn random() -> [u8; 32] {
    let mut octets = [0; 32];
    getrandom::fill(&mut octets).unwrap();
    octets
}
