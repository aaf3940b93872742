//! The AEAD over the `chacha20poly1305` crate, packet by packet: correct on every machine, and
//! the oracle of the vector implementations.

use super::{Job, TAG_LEN, nonce};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Tag};

/// Opens every job, see [`super::open`]. The tag is verified before anything is decrypted.
pub(super) fn open(jobs: &mut [Job<'_>]) {
    for job in jobs {
        let (text, tail) = job.octets.split_at_mut(job.len);
        let Some((tag, _)) = tail.split_first_chunk::<TAG_LEN>() else { continue };
        job.accepted = open_text(job.key.octets(), job.counter, &[], text, tag);
    }
}

/// Seals every job, see [`super::seal`].
pub(super) fn seal(jobs: &mut [Job<'_>]) {
    for job in jobs {
        let (text, tail) = job.octets.split_at_mut(job.len);
        let Some((tag, _)) = tail.split_first_chunk_mut::<TAG_LEN>() else { continue };
        job.accepted = seal_text(job.key.octets(), job.counter, &[], text, tag);
    }
}

/// Opens one text in place; on a wrong tag it stays sealed and the result is false.
pub(super) fn open_text(
    key: &[u8; 32],
    counter: u64,
    associated: &[u8],
    text: &mut [u8],
    tag: &[u8; TAG_LEN],
) -> bool {
    ChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(&nonce(counter).into(), associated, text.into(), &Tag::from(*tag))
        .is_ok()
}

/// Seals one text in place and writes its tag. It fails only past 256 GiB, which no datagram has.
pub(super) fn seal_text(
    key: &[u8; 32],
    counter: u64,
    associated: &[u8],
    text: &mut [u8],
    tag: &mut [u8; TAG_LEN],
) -> bool {
    let sealed = ChaCha20Poly1305::new(key.into()).encrypt_inout_detached(
        &nonce(counter).into(),
        associated,
        text.into(),
    );
    if let Ok(made) = sealed {
        *tag = made.into();
        return true;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8439 A.5, whose nonce has the form of ours.
    #[test]
    fn seals_and_opens_the_vector_of_rfc_8439() {
        let key = [
            0x1c, 0x92, 0x40, 0xa5, 0xeb, 0x55, 0xd3, 0x8a, 0xf3, 0x33, 0x88, 0x86, 0x04, 0xf6,
            0xb5, 0xf0, 0x47, 0x39, 0x17, 0xc1, 0x40, 0x2b, 0x80, 0x09, 0x9d, 0xca, 0x5c, 0xbc,
            0x20, 0x70, 0x75, 0xc0,
        ];
        let associated = [0xf3, 0x33, 0x88, 0x86, 0, 0, 0, 0, 0, 0, 0x4e, 0x91];
        let plain = "Internet-Drafts are draft documents valid for a maximum of six months \
            and may be updated, replaced, or obsoleted by other documents at any time. It is \
            inappropriate to use Internet-Drafts as reference material or to cite them other \
            than as /\u{201c}work in progress./\u{201d}";
        let mut text = plain.as_bytes().to_vec();
        let mut tag = [0; TAG_LEN];
        let counter = 0x0807_0605_0403_0201;
        assert!(seal_text(&key, counter, &associated, &mut text, &mut tag));
        assert_eq!(text[..8], [0x64, 0xa0, 0x86, 0x15, 0x75, 0x86, 0x1a, 0xf4]);
        let expected = [
            0xee, 0xad, 0x9d, 0x67, 0x89, 0x0c, 0xbb, 0x22, 0x39, 0x23, 0x36, 0xfe, 0xa1, 0x85,
            0x1f, 0x38,
        ];
        assert_eq!(tag, expected);
        assert!(open_text(&key, counter, &associated, &mut text, &tag));
        assert_eq!(text, plain.as_bytes());
    }
}
