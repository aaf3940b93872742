//! Noise `IKpsk2` as `WireGuard` uses it (whitepaper 5.4), both roles, as values that may move
//! between threads.
//!
//! Messages leave here with `mac1` in place and `mac2` and the client id zero; [`crate::cookie`]
//! adds `mac2`, [`crate::message::put_client_id`] the id, in this order. Check `mac1` with
//! [`crate::cookie::Checker`] before anything here: each step past it costs an X25519.

mod initiator;
mod responder;

pub use initiator::{Pending, initiate};
pub use responder::{Admitted, Identified, identify};

use crate::aead::Key;
use crate::cookie::Checker;
use crate::hash::{hash, kdf1, kdf2};
use crate::secret::Secret;
use core::fmt;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroize;

/// The Noise name of the protocol (5.4).
const CONSTRUCTION: &[u8] = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
/// What makes a `WireGuard` handshake differ from any other of the same construction.
const IDENTIFIER: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";

/// A handshake message that does not prove what it must: a wrong tag, a low-order point, another
/// peer's key, or an index that is not ours. One value on purpose: an attacker learns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// The keys of a session as one side uses them.
#[derive(Debug)]
pub struct Keys {
    /// Seals what we send.
    pub send: Key,
    /// Opens what we receive.
    pub receive: Key,
}

/// Our static key and everything derived from it once.
pub struct Identity {
    secret: Secret,
    public: [u8; 32],
    chain: Secret,
    hash: [u8; 32],
    checker: Checker,
}

impl Identity {
    /// The identity of a static secret; it is clamped as X25519 does.
    pub fn new(secret: Secret) -> Self {
        let public = public(&secret);
        let (chain, hash) = start(&public);
        Self { secret, public, chain, hash, checker: Checker::new(&public) }
    }

    /// Our static public key.
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Checks the MACs of messages to us, and makes cookies.
    pub const fn checker(&self) -> &Checker {
        &self.checker
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("public", &self.public).finish_non_exhaustive()
    }
}

/// What a handshake with one peer needs, derived once: its public key, the pre-shared key and
/// the static-static secret.
pub struct PeerKeys {
    public: [u8; 32],
    preshared: Secret,
    static_static: Secret,
    chain: Secret,
    hash: [u8; 32],
    checker: Checker,
}

impl PeerKeys {
    /// The keys of a peer; [`Invalid`] for a public key of low order. A `preshared` of zeros is
    /// the absence of one (5.2).
    pub fn new(identity: &Identity, public: [u8; 32], preshared: Secret) -> Result<Self, Invalid> {
        let static_static = agree(&identity.secret, &public)?;
        let (chain, hash) = start(&public);
        let checker = Checker::new(&public);
        Ok(Self { public, preshared, static_static, chain, hash, checker })
    }

    /// The peer's static public key.
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Replaces the pre-shared key; it holds from the next handshake on.
    pub fn set_preshared(&mut self, preshared: Secret) {
        self.preshared = preshared;
    }

    /// The MAC keys of messages to this peer, and of cookies from it.
    pub const fn checker(&self) -> &Checker {
        &self.checker
    }
}

impl fmt::Debug for PeerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerKeys").field("public", &self.public).finish_non_exhaustive()
    }
}

/// The public key of a secret.
pub fn public(secret: &Secret) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(*secret.octets())).to_bytes()
}

/// X25519; refuses the all-zero result that a point of low order gives (RFC 7748 6.1).
fn agree(secret: &Secret, public: &[u8; 32]) -> Result<Secret, Invalid> {
    let secret = StaticSecret::from(*secret.octets());
    let shared = Secret::new(secret.diffie_hellman(&PublicKey::from(*public)).to_bytes());
    if shared.is_zero() { Err(Invalid) } else { Ok(shared) }
}

/// Chaining key and hash before the first message to the holder of `responder`.
fn start(responder: &[u8; 32]) -> (Secret, [u8; 32]) {
    let chain = hash(&[CONSTRUCTION]);
    let prologue = hash(&[&chain, IDENTIFIER]);
    (Secret::new(chain), hash(&[&prologue, responder]))
}

/// The symmetric state that both roles drive: chaining key and transcript hash. Zeroised on drop.
#[derive(Clone)]
struct Transcript {
    chain: Secret,
    hash: [u8; 32],
}

impl Transcript {
    fn new(chain: &Secret, hash: &[u8; 32]) -> Self {
        Self { chain: chain.clone(), hash: *hash }
    }

    /// Mixes public octets into the hash.
    fn absorb(&mut self, octets: &[u8]) {
        self.hash = hash(&[&self.hash, octets]);
    }

    /// Mixes an ephemeral public key into both, as `IKpsk2` does for both messages.
    fn absorb_ephemeral(&mut self, ephemeral: &[u8; 32]) {
        self.absorb(ephemeral);
        self.mix(ephemeral);
    }

    /// Mixes a secret into the chaining key.
    fn mix(&mut self, input: &[u8; 32]) {
        self.chain = kdf1(&self.chain, input);
    }

    /// Mixes a secret into the chaining key and draws a key for the next field.
    fn mix_key(&mut self, input: &Secret) -> Secret {
        let (chain, key) = kdf2(&self.chain, input.octets());
        self.chain = chain;
        key
    }

    /// Mixes the pre-shared key and draws the key of the last field.
    fn mix_preshared(&mut self, preshared: &Secret) -> Secret {
        let (chain, mixed, key) = crate::hash::kdf3(&self.chain, preshared.octets());
        self.chain = chain;
        self.absorb(mixed.octets());
        key
    }

    /// The transport keys, the initiator's sending key first (5.4.5).
    fn split(&self) -> (Key, Key) {
        let (first, second) = kdf2(&self.chain, &[]);
        (Key::new(first), Key::new(second))
    }
}

impl Drop for Transcript {
    fn drop(&mut self) {
        self.hash.zeroize();
    }
}
