//! The responder's half, in the steps in which a server spends its time: who is it, may it, answer.

use super::{Identity, Invalid, Keys, PeerKeys, Transcript, agree, public};
use crate::aead::{open_handshake, seal_handshake};
use crate::message::{ClientId, Initiation, RESPONSE, Response};
use crate::secret::Secret;
use crate::time::Tai64n;
use core::fmt;
use zerocopy::IntoBytes;

/// An initiation whose sender has named itself but has not proven to be it. Zeroised on drop.
pub struct Identified {
    transcript: Transcript,
    initiator: [u8; 32],
    ephemeral: [u8; 32],
    encrypted_timestamp: [u8; 28],
    remote_index: u32,
}

/// An initiation whose sender holds the static key of the peer it names. Zeroised on drop.
pub struct Admitted {
    transcript: Transcript,
    ephemeral: [u8; 32],
    remote_index: u32,
    timestamp: Tai64n,
}

/// Decrypts who sent an initiation. Costs one X25519; check `mac1` first.
pub fn identify(identity: &Identity, message: &Initiation) -> Result<Identified, Invalid> {
    let mut transcript = Transcript::new(&identity.chain, &identity.hash);
    transcript.absorb_ephemeral(&message.ephemeral);
    let key = transcript.mix_key(&agree(&identity.secret, &message.ephemeral)?);
    let initiator =
        open_handshake(&key, &transcript.hash, &message.encrypted_static).ok_or(Invalid)?;
    transcript.absorb(&message.encrypted_static);
    Ok(Identified {
        transcript,
        initiator,
        ephemeral: message.ephemeral,
        encrypted_timestamp: message.encrypted_timestamp,
        remote_index: message.sender_index.get(),
    })
}

impl Identified {
    /// The static public key that the initiator claims.
    pub const fn initiator(&self) -> &[u8; 32] {
        &self.initiator
    }

    /// The initiator's index.
    pub const fn remote_index(&self) -> u32 {
        self.remote_index
    }

    /// Verifies the claim with the peer's precomputed secret: no X25519. The caller refuses a
    /// timestamp that does not exceed the greatest one of this peer (5.1).
    pub fn admit(mut self, peer: &PeerKeys) -> Result<Admitted, Invalid> {
        if self.initiator != peer.public {
            return Err(Invalid);
        }
        let key = self.transcript.mix_key(&peer.static_static);
        let timestamp = open_handshake(&key, &self.transcript.hash, &self.encrypted_timestamp)
            .map(Tai64n)
            .ok_or(Invalid)?;
        self.transcript.absorb(&self.encrypted_timestamp);
        Ok(Admitted {
            transcript: self.transcript,
            ephemeral: self.ephemeral,
            remote_index: self.remote_index,
            timestamp,
        })
    }
}

impl Admitted {
    /// When the initiation was made, by the initiator's clock.
    pub const fn timestamp(&self) -> Tai64n {
        self.timestamp
    }

    /// The initiator's index: the session's remote index.
    pub const fn remote_index(&self) -> u32 {
        self.remote_index
    }

    /// Answers (5.4.3): `local_index` is where data is expected, `ephemeral` is 32 fresh random
    /// octets. Costs two X25519 and one base point multiplication.
    pub fn respond(
        mut self,
        peer: &PeerKeys,
        local_index: u32,
        ephemeral: Secret,
    ) -> Result<(Response, Keys), Invalid> {
        let mut message = Response {
            kind: RESPONSE,
            client_id: ClientId::ZERO,
            sender_index: local_index.into(),
            receiver_index: self.remote_index.into(),
            ephemeral: public(&ephemeral),
            encrypted_nothing: [0; 16],
            mac1: [0; 16],
            mac2: [0; 16],
        };
        let transcript = &mut self.transcript;
        transcript.absorb_ephemeral(&message.ephemeral);
        transcript.mix(agree(&ephemeral, &self.ephemeral)?.octets());
        transcript.mix(agree(&ephemeral, &peer.public)?.octets());
        drop(ephemeral);
        let key = transcript.mix_preshared(&peer.preshared);
        seal_handshake(&key, &transcript.hash, &[], &mut message.encrypted_nothing);
        let (receive, send) = transcript.split();
        peer.checker.put_mac1(message.as_mut_bytes());
        Ok((message, Keys { send, receive }))
    }
}

impl fmt::Debug for Identified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identified")
            .field("remote_index", &self.remote_index)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted")
            .field("remote_index", &self.remote_index)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}
