//! The initiator's half: make an initiation, take the response.

use super::{Identity, Invalid, Keys, PeerKeys, Transcript, agree, public};
use crate::aead::{open_handshake, seal_handshake};
use crate::message::{ClientId, INITIATION, Initiation, Response};
use crate::secret::Secret;
use crate::time::Tai64n;
use core::fmt;
use zerocopy::IntoBytes;

/// An initiation that waits for its response. Zeroised on drop.
pub struct Pending {
    transcript: Transcript,
    ephemeral: Secret,
    local_index: u32,
}

/// Makes an initiation (5.4.2): `local_index` is where the answer is expected, `timestamp` must
/// exceed every earlier one to this peer, `ephemeral` is 32 fresh random octets. Costs one X25519
/// and one base point multiplication.
pub fn initiate(
    identity: &Identity,
    peer: &PeerKeys,
    local_index: u32,
    timestamp: Tai64n,
    ephemeral: Secret,
) -> Result<(Initiation, Pending), Invalid> {
    let mut transcript = Transcript::new(&peer.chain, &peer.hash);
    let mut message = Initiation {
        kind: INITIATION,
        client_id: ClientId::ZERO,
        sender_index: local_index.into(),
        ephemeral: public(&ephemeral),
        encrypted_static: [0; 48],
        encrypted_timestamp: [0; 28],
        mac1: [0; 16],
        mac2: [0; 16],
    };
    transcript.absorb_ephemeral(&message.ephemeral);
    let key = transcript.mix_key(&agree(&ephemeral, &peer.public)?);
    seal_handshake(&key, &transcript.hash, &identity.public, &mut message.encrypted_static);
    transcript.absorb(&message.encrypted_static);
    let key = transcript.mix_key(&peer.static_static);
    seal_handshake(&key, &transcript.hash, &timestamp.0, &mut message.encrypted_timestamp);
    transcript.absorb(&message.encrypted_timestamp);
    peer.checker.put_mac1(message.as_mut_bytes());
    Ok((message, Pending { transcript, ephemeral, local_index }))
}

impl Pending {
    /// The index under which the response is expected.
    pub const fn local_index(&self) -> u32 {
        self.local_index
    }

    /// Takes a response (5.4.3). A forged one is [`Invalid`] and leaves this usable for the true
    /// one. The session's remote index is the response's `sender_index`. Costs two X25519.
    pub fn complete(
        &self,
        identity: &Identity,
        peer: &PeerKeys,
        response: &Response,
    ) -> Result<Keys, Invalid> {
        if response.receiver_index.get() != self.local_index {
            return Err(Invalid);
        }
        let mut transcript = self.transcript.clone();
        transcript.absorb_ephemeral(&response.ephemeral);
        transcript.mix(agree(&self.ephemeral, &response.ephemeral)?.octets());
        transcript.mix(agree(&identity.secret, &response.ephemeral)?.octets());
        let key = transcript.mix_preshared(&peer.preshared);
        open_handshake::<0>(&key, &transcript.hash, &response.encrypted_nothing).ok_or(Invalid)?;
        let (send, receive) = transcript.split();
        Ok(Keys { send, receive })
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("local_index", &self.local_index).finish_non_exhaustive()
    }
}
