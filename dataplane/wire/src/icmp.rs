//! ICMP for IPv4 and IPv6: echo, errors, and when an error must not be sent.

pub mod v4;
pub mod v6;

use crate::checksum::Sum;
use crate::{Malformed, NoRoom};
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Octets of the header; echo data or the quoted packet follow.
pub const HEADER_LEN: usize = 8;

/// The header that all messages read and written here share.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// What the message is ("type" in the RFCs).
    pub kind: u8,
    /// Which variant of it.
    pub code: u8,
    /// Over the message, in ICMPv6 with a pseudo header.
    pub checksum: U16,
    /// Meaning depends on the kind.
    pub rest: [u8; 4],
}
const _: () = assert!(size_of::<Header>() == HEADER_LEN);

/// The fields of a checked header; the body starts at `HEADER_LEN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// What the message is ("type" in the RFCs).
    pub kind: u8,
    /// Which variant of it.
    pub code: u8,
    /// Meaning depends on the kind.
    pub rest: [u8; 4],
    /// Octets behind the header: echo data or the quoted packet.
    pub body_len: usize,
}

/// What tells echoes apart; reads `rest` of a request or reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Echo {
    /// Of the sender's process or flow.
    pub identifier: u16,
    /// Of the request in it.
    pub sequence: u16,
}

impl Echo {
    /// The fields from the header's rest.
    #[inline]
    fn of(rest: [u8; 4]) -> Self {
        let [a, b, c, d] = rest;
        Self { identifier: u16::from_be_bytes([a, b]), sequence: u16::from_be_bytes([c, d]) }
    }

    /// The fields as the header's rest.
    #[inline]
    fn rest(self) -> [u8; 4] {
        let ([a, b], [c, d]) = (self.identifier.to_be_bytes(), self.sequence.to_be_bytes());
        [a, b, c, d]
    }
}

/// Reads a message whose checksum covers `pseudo` as well.
#[inline]
fn parse(octets: &[u8], pseudo: Sum) -> Result<Located, Malformed> {
    let (header, body) = Header::ref_from_prefix(octets).map_err(|_| Malformed::Truncated)?;
    if !pseudo.plus(Sum::of(octets)).is_intact() {
        return Err(Malformed::Checksum);
    }
    let Header { kind, code, rest, .. } = *header;
    Ok(Located { kind, code, rest, body_len: body.len() })
}

/// Writes the header before the body that stands behind it, with the checksum.
#[inline]
fn emit(message: &mut [u8], kind: u8, code: u8, rest: [u8; 4], pseudo: Sum) -> Result<(), NoRoom> {
    let header = Header { kind, code, checksum: 0.into(), rest };
    header.write_to_prefix(message).map_err(|_| NoRoom)?;
    let checksum = pseudo.plus(Sum::of(message)).finish();
    let (header, _) = Header::mut_from_prefix(message).map_err(|_| NoRoom)?;
    header.checksum = checksum.into();
    Ok(())
}

/// Copies as much of `offender` as may be quoted behind the header; returns the message's octets.
#[inline]
fn quote<'a>(
    out: &'a mut [u8],
    offender: &[u8],
    quote_len_max: usize,
) -> Result<&'a mut [u8], NoRoom> {
    let quoted = offender.get(..quote_len_max).unwrap_or(offender);
    let message = out.get_mut(..HEADER_LEN + quoted.len()).ok_or(NoRoom)?;
    message.get_mut(HEADER_LEN..).ok_or(NoRoom)?.copy_from_slice(quoted);
    Ok(message)
}
