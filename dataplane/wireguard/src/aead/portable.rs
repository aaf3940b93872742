//! The AEAD over the `chacha20poly1305` crate, packet by packet: correct on every machine, and
//! the oracle of the vector implementations.

use super::{Job, TAG_LEN, nonce};
use crate::secret::Secret;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Tag};

/// Opens every job, see [`super::open`]. The tag is verified before anything is decrypted.
pub(super) fn open(jobs: &mut [Job<'_>]) {
    for job in jobs {
        let cipher = ChaCha20Poly1305::new(job.key.octets().into());
        let (text, tail) = job.octets.split_at_mut(job.len);
        let Some((tag, _)) = tail.split_first_chunk::<TAG_LEN>() else { continue };
        let nonce = nonce(job.counter).into();
        let verdict = cipher.decrypt_inout_detached(&nonce, &[], text.into(), &Tag::from(*tag));
        job.accepted = verdict.is_ok();
    }
}

/// Seals every job, see [`super::seal`].
pub(super) fn seal(jobs: &mut [Job<'_>]) {
    for job in jobs {
        let cipher = ChaCha20Poly1305::new(job.key.octets().into());
        let (text, tail) = job.octets.split_at_mut(job.len);
        let Some((tag, _)) = tail.split_first_chunk_mut::<TAG_LEN>() else { continue };
        let nonce = nonce(job.counter).into();
        // It fails only past 256 GiB of text, which no datagram has.
        if let Ok(made) = cipher.encrypt_inout_detached(&nonce, &[], text.into()) {
            *tag = made.into();
            job.accepted = true;
        }
    }
}

/// One handshake field: `sealed` = text + tag, under counter 0 and associated data.
pub(super) fn seal_handshake(key: &Secret, hash: &[u8; 32], text: &[u8], sealed: &mut [u8]) {
    let cipher = ChaCha20Poly1305::new(key.octets().into());
    let (body, tag) = sealed.split_at_mut(text.len());
    body.copy_from_slice(text);
    if let Ok(made) = cipher.encrypt_inout_detached(&nonce(0).into(), hash, body.into()) {
        tag.copy_from_slice(&made);
    }
}

/// The reverse of [`seal_handshake`] for `N` octets of text.
pub(super) fn open_handshake<const N: usize>(
    key: &Secret,
    hash: &[u8; 32],
    sealed: &[u8],
) -> Option<[u8; N]> {
    let (body, tag) = sealed.split_first_chunk::<N>()?;
    let tag = <[u8; TAG_LEN]>::try_from(tag).ok()?;
    let mut text = *body;
    ChaCha20Poly1305::new(key.octets().into())
        .decrypt_inout_detached(&nonce(0).into(), hash, (&mut text[..]).into(), &Tag::from(tag))
        .ok()?;
    Some(text)
}
