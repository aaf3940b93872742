//! The four messages on the wire (whitepaper 5.4), little endian, and the client id in their
//! reserved octets.
//!
//! Octet 0 is the type. Octets 1..3 are reserved by the protocol; here they carry the 24-bit
//! client id that registration issued. The id is stamped after the MACs are computed and taken
//! before they are checked, so MACs always cover zeros. Nobody authenticates the id: it steers,
//! it never identifies. Zero is what a stock peer sends, and it gets zero back.

use crate::limits::PADDING;
use core::fmt;
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Octets of an [`Initiation`].
pub const INITIATION_LEN: usize = 148;
/// Octets of a [`Response`].
pub const RESPONSE_LEN: usize = 92;
/// Octets of a [`CookieReply`].
pub const COOKIE_REPLY_LEN: usize = 64;
/// Octets of a [`DataHeader`].
pub const DATA_HEADER_LEN: usize = 16;
/// The shortest data message: a header and the tag of an empty packet, that is, a keepalive.
pub const DATA_LEN_MIN: usize = 32;
/// Octets of the two MACs that end an initiation and a response.
pub const MACS_LEN: usize = 32;

/// The type octet of an [`Initiation`].
pub const INITIATION: u8 = 1;
/// The type octet of a [`Response`].
pub const RESPONSE: u8 = 2;
/// The type octet of a [`CookieReply`].
pub const COOKIE_REPLY: u8 = 3;
/// The type octet of a data message.
pub const DATA: u8 = 4;

/// Octets 1..3 of every message, in wire order. `Debug` keeps the value to itself: an id must
/// appear in no log.
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(transparent)]
pub struct ClientId(pub [u8; 3]);

impl ClientId {
    /// What a peer sends that knows of no client ids.
    pub const ZERO: Self = Self([0; 3]);
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientId(..)")
    }
}

/// Handshake initiation, 148 octets (5.4.2).
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Initiation {
    /// [`INITIATION`].
    pub kind: u8,
    /// The reserved octets.
    pub client_id: ClientId,
    /// The initiator's index, under which it expects the answer.
    pub sender_index: U32,
    /// The initiator's ephemeral public key.
    pub ephemeral: [u8; 32],
    /// The initiator's static public key, sealed.
    pub encrypted_static: [u8; 48],
    /// A TAI64N label, sealed.
    pub encrypted_timestamp: [u8; 28],
    /// MAC under the responder's public key: the sender knows whom it talks to.
    pub mac1: [u8; 16],
    /// MAC under the responder's last cookie, else zeros.
    pub mac2: [u8; 16],
}

/// Handshake response, 92 octets (5.4.3).
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Response {
    /// [`RESPONSE`].
    pub kind: u8,
    /// The reserved octets.
    pub client_id: ClientId,
    /// The responder's index, under which it expects data.
    pub sender_index: U32,
    /// The initiator's index, from its initiation.
    pub receiver_index: U32,
    /// The responder's ephemeral public key.
    pub ephemeral: [u8; 32],
    /// The tag over nothing that proves the handshake.
    pub encrypted_nothing: [u8; 16],
    /// MAC under the initiator's public key.
    pub mac1: [u8; 16],
    /// MAC under the initiator's last cookie, else zeros.
    pub mac2: [u8; 16],
}

/// Cookie reply, 64 octets (5.4.7).
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct CookieReply {
    /// [`COOKIE_REPLY`].
    pub kind: u8,
    /// The reserved octets.
    pub client_id: ClientId,
    /// The sender index of the message that is being answered.
    pub receiver_index: U32,
    /// Nonce of XChaCha20-Poly1305.
    pub nonce: [u8; 24],
    /// The cookie, sealed.
    pub encrypted_cookie: [u8; 32],
}

/// The head of a data message, 16 octets (5.4.6); text and tag follow.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct DataHeader {
    /// [`DATA`].
    pub kind: u8,
    /// The reserved octets.
    pub client_id: ClientId,
    /// The receiver's index.
    pub receiver_index: U32,
    /// The nonce of this message and its place in the replay window.
    pub counter: U64,
}

impl DataHeader {
    /// The head of a data message.
    pub const fn new(client_id: ClientId, receiver_index: u32, counter: u64) -> Self {
        Self {
            kind: DATA,
            client_id,
            receiver_index: U32::new(receiver_index),
            counter: U64::new(counter),
        }
    }
}

/// Which message a datagram claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An [`Initiation`].
    Initiation,
    /// A [`Response`].
    Response,
    /// A [`CookieReply`].
    CookieReply,
    /// A [`DataHeader`] and at least a tag.
    Data,
}

/// A datagram whose first octet or length fits no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Judges a datagram by its first octet and its length alone. Exact for handshakes, at least
/// [`DATA_LEN_MIN`] for data. The reserved octets do not count.
pub fn kind(octets: &[u8]) -> Result<Kind, Malformed> {
    match (octets.first(), octets.len()) {
        (Some(&DATA), DATA_LEN_MIN..) => Ok(Kind::Data),
        (Some(&INITIATION), INITIATION_LEN) => Ok(Kind::Initiation),
        (Some(&RESPONSE), RESPONSE_LEN) => Ok(Kind::Response),
        (Some(&COOKIE_REPLY), COOKIE_REPLY_LEN) => Ok(Kind::CookieReply),
        _ => Err(Malformed),
    }
}

/// Reads the client id and zeroes its octets, which makes the message's MACs checkable. A
/// message shorter than 4 octets has the id zero.
pub fn take_client_id(octets: &mut [u8]) -> ClientId {
    match octets {
        [_, a, b, c, ..] => ClientId([a, b, c].map(core::mem::take)),
        _ => ClientId::ZERO,
    }
}

/// Stamps the client id. Call it last: MACs cover zeros here.
pub fn put_client_id(octets: &mut [u8], id: ClientId) {
    if let Some(reserved) = octets.get_mut(1..4) {
        reserved.copy_from_slice(&id.0);
    }
}

/// The length to which an inner packet is padded before it is sealed: the next multiple of
/// [`PADDING`], but not past `mtu` (5.4.6), so that padding never makes a datagram too big.
pub const fn padded_len(len: usize, mtu: usize) -> usize {
    let padded = len.next_multiple_of(PADDING);
    if padded <= mtu {
        padded
    } else if len <= mtu {
        mtu
    } else {
        len
    }
}

/// The length of the IP packet at the start of an opened text, without its padding; `None` when
/// no whole IPv4 or IPv6 packet is there.
pub fn inner_len(text: &[u8]) -> Option<usize> {
    let field = |at: usize| {
        let octets = text.get(at..)?.first_chunk()?;
        Some(usize::from(u16::from_be_bytes(*octets)))
    };
    let len = match text.first()? >> 4 {
        4 => field(2).filter(|&len| len >= 20)?,
        6 => field(4)? + 40,
        _ => return None,
    };
    (len <= text.len()).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_have_the_lengths_of_the_whitepaper() {
        assert_eq!(size_of::<Initiation>(), INITIATION_LEN);
        assert_eq!(size_of::<Response>(), RESPONSE_LEN);
        assert_eq!(size_of::<CookieReply>(), COOKIE_REPLY_LEN);
        assert_eq!(size_of::<DataHeader>(), DATA_HEADER_LEN);
    }

    #[test]
    fn a_data_header_reads_as_the_whitepaper_draws_it() {
        let header = DataHeader::new(ClientId([9, 8, 7]), 0x0403_0201, 0x0c0b_0a09_0807_0605);
        let drawn = [4, 9, 8, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        assert_eq!(header.as_bytes(), drawn);
        let read = DataHeader::ref_from_bytes(&drawn).unwrap();
        assert_eq!(
            (read.receiver_index.get(), read.counter.get()),
            (0x0403_0201, 0x0c0b_0a09_0807_0605)
        );
    }

    #[test]
    fn the_fields_of_a_response_lie_where_the_whitepaper_draws_them() {
        let mut octets = [0; RESPONSE_LEN];
        octets[4] = 1;
        octets[8] = 2;
        octets[12] = 3;
        octets[44] = 4;
        octets[60] = 5;
        octets[76] = 6;
        let read = Response::ref_from_bytes(&octets).unwrap();
        assert_eq!((read.sender_index.get(), read.receiver_index.get()), (1, 2));
        assert_eq!((read.ephemeral[0], read.encrypted_nothing[0]), (3, 4));
        assert_eq!((read.mac1[0], read.mac2[0]), (5, 6));
    }

    #[test]
    fn a_kind_needs_its_exact_length() {
        for (octet, len, kind_of) in [
            (1, 148, Kind::Initiation),
            (2, 92, Kind::Response),
            (3, 64, Kind::CookieReply),
            (4, 32, Kind::Data),
        ] {
            let mut octets = vec![octet; len];
            assert_eq!(kind(&octets), Ok(kind_of));
            octets.push(0);
            assert_eq!(kind(&octets).is_ok(), kind_of == Kind::Data);
            octets.truncate(len - 1);
            assert_eq!(kind(&octets), Err(Malformed));
        }
        assert_eq!(kind(&[]), Err(Malformed));
        assert_eq!(kind(&[0xdc; 148]), Err(Malformed));
    }

    #[test]
    fn padding_fills_16_octets_but_never_passes_the_mtu() {
        assert_eq!(padded_len(0, 1420), 0);
        assert_eq!(padded_len(1, 1420), 16);
        assert_eq!(padded_len(1408, 1420), 1408);
        assert_eq!(padded_len(1409, 1420), 1420);
        assert_eq!(padded_len(1420, 1420), 1420);
        assert_eq!(padded_len(1421, 1420), 1421);
    }

    #[test]
    fn the_ip_header_says_how_much_is_padding() {
        let mut text = vec![0; 64];
        assert_eq!(inner_len(&text), None);
        text[0] = 0x45;
        assert_eq!(inner_len(&text), None, "shorter than its own header");
        text[3] = 61;
        assert_eq!(inner_len(&text), Some(61));
        text[3] = 65;
        assert_eq!(inner_len(&text), None);
        text[0] = 0x60;
        text[5] = 24;
        assert_eq!(inner_len(&text), Some(64));
        assert_eq!(inner_len(&text[..5]), None);
        assert_eq!(inner_len(&[]), None);
    }

    #[test]
    fn debug_of_a_message_keeps_the_client_id_to_itself() {
        let header = DataHeader::new(ClientId([201, 202, 203]), 0, 0);
        let text = format!("{header:?}");
        assert!(!text.contains("201") && !text.contains("c9"), "{text}");
    }

    proptest! {
        #[test]
        fn a_taken_id_is_the_one_put_and_leaves_zeros(id: [u8; 3], mut octets: Vec<u8>) {
            let original = octets.clone();
            put_client_id(&mut octets, ClientId(id));
            let taken = take_client_id(&mut octets);
            if octets.len() >= 4 {
                prop_assert_eq!(taken, ClientId(id));
                prop_assert_eq!(&octets[1..4], &[0; 3]);
                prop_assert_eq!(&octets[4..], &original[4..]);
                prop_assert_eq!(octets[0], original[0]);
            } else {
                prop_assert_eq!(taken, ClientId::ZERO);
                prop_assert_eq!(octets, original);
            }
        }
    }
}
