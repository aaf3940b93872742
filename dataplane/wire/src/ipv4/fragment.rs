//! Splitting an IPv4 packet into fragments that fit (RFC 791 3.2).

use super::{HEADER_LEN, Header, Located, MORE_FRAGMENTS, OFFSET_MASK, VERSION_4, parse};
use crate::checksum::Sum;
use crate::{Malformed, NoRoom};
use core::fmt;
use zerocopy::{FromBytes, IntoBytes};

/// Octets of options at most: the header length has four bits, in words.
const OPTIONS_LEN_MAX: usize = 40;
/// The option that ends the list.
const END: u8 = 0;
/// The option of one octet that does nothing.
const NO_OPERATION: u8 = 1;
/// The bit of an option's type that has it stand in every fragment.
const COPIED: u8 = 0x80;

/// Why a packet cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsplit {
    /// It is no packet, or its options have impossible lengths.
    Malformed(Malformed),
    /// The MTU leaves no eight octets behind the header.
    NoRoom,
}

impl fmt::Display for Unsplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::NoRoom => f.write_str("the MTU has no room behind the header"),
        }
    }
}

impl core::error::Error for Unsplit {}

impl From<Malformed> for Unsplit {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// One fragment to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where its part of the payload begins, in the packet.
    start: usize,
    payload_len: usize,
    header_len: usize,
    identification: u16,
    flags_fragment_offset: u16,
    /// Whether it begins where the packet does, and so has all of its options.
    is_front: bool,
}

impl Piece {
    /// Octets of header and payload.
    #[inline]
    pub const fn len(&self) -> usize {
        self.header_len + self.payload_len
    }

    /// No fragment is without octets.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        false
    }
}

/// The fragments of one packet, in order.
#[derive(Clone, Debug)]
pub struct Pieces {
    located: Located,
    mtu: usize,
    /// Octets of the header that all fragments but the front one have.
    later_header_len: usize,
    identification: u16,
    /// Octets of the payload that earlier fragments have; none when all are made.
    done: Option<usize>,
}

impl Pieces {
    /// Names the datagram anew. A packet that nobody was to fragment (DF, and no fragment itself) may bear any identification,
    /// and many senders give all of them the same (RFC 6864 4.1): fragments under it would be joined with those of others.
    #[must_use]
    pub fn identified(self, identification: u16) -> Self {
        Self { identification, ..self }
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let done = self.done?;
        let is_front = done == 0;
        let header_len = if is_front { self.located.payload_offset } else { self.later_header_len };
        let (room, left) = (self.mtu - header_len, self.located.payload_len - done);
        let payload_len = if left <= room { left } else { room / 8 * 8 };
        let is_last = payload_len == left;
        self.done = (!is_last).then_some(done + payload_len);
        let more = !is_last || self.located.has_more_fragments();
        // What was parsed ends within 65,535 octets, so the offset fits its 13 bits.
        let offset = u16::try_from((self.located.fragment_offset() + done) / 8).unwrap_or(0);
        Some(Piece {
            start: self.located.payload_offset + done,
            payload_len,
            header_len,
            identification: self.identification,
            flags_fragment_offset: offset & OFFSET_MASK | if more { MORE_FRAGMENTS } else { 0 },
            is_front,
        })
    }
}

/// The fragments of the packet at the start of `packet`, none longer than `mtu`; of one that fits the only piece is the
/// whole. Whether it may be split, by DF, is for the caller to ask: no fragment has the flag.
///
/// Errors: as [`parse`] has them, and `Options`; `NoRoom`.
pub fn pieces(packet: &[u8], mtu: usize) -> Result<Pieces, Unsplit> {
    let located = parse(packet)?;
    let options = packet.get(HEADER_LEN..located.payload_offset).ok_or(Malformed::Truncated)?;
    let (_, copied_len) = copied(options)?;
    // Later headers are not longer than the front one.
    if mtu < located.payload_offset + 8 && mtu < located.total_len() {
        return Err(Unsplit::NoRoom);
    }
    let later_header_len = HEADER_LEN + copied_len;
    let identification = located.identification;
    Ok(Pieces { located, mtu, later_header_len, identification, done: Some(0) })
}

/// Writes a fragment of `packet` at the start of `out` and returns its length.
///
/// Errors: `NoRoom` also when the piece is of another packet.
pub fn emit(out: &mut [u8], packet: &[u8], piece: &Piece) -> Result<usize, NoRoom> {
    let (mut header, _) = Header::read_from_prefix(packet).map_err(|_| NoRoom)?;
    let payload = packet.get(piece.start..piece.start + piece.payload_len).ok_or(NoRoom)?;
    let options_len = piece.header_len - HEADER_LEN;
    let (options, _) = if piece.is_front {
        let options = packet.get(HEADER_LEN..piece.header_len).ok_or(NoRoom)?;
        let mut all = [0; OPTIONS_LEN_MAX];
        all.get_mut(..options_len).ok_or(NoRoom)?.copy_from_slice(options);
        (all, options_len)
    } else {
        let end = usize::from(header.version_ihl & 0x0f) * 4;
        copied(packet.get(HEADER_LEN..end).ok_or(NoRoom)?).map_err(|_| NoRoom)?
    };
    let options = options.get(..options_len).ok_or(NoRoom)?;

    header.version_ihl = VERSION_4 | u8::try_from(piece.header_len / 4).map_err(|_| NoRoom)?;
    header.total_length = u16::try_from(piece.len()).map_err(|_| NoRoom)?.into();
    header.identification = piece.identification.into();
    header.flags_fragment_offset = piece.flags_fragment_offset.into();
    header.checksum = 0.into();
    header.checksum = Sum::of(header.as_bytes()).plus(Sum::of(options)).finish().into();

    let (fixed, rest) = out.split_at_mut_checked(HEADER_LEN).ok_or(NoRoom)?;
    let (options_out, rest) = rest.split_at_mut_checked(options_len).ok_or(NoRoom)?;
    let payload_out = rest.get_mut(..piece.payload_len).ok_or(NoRoom)?;
    fixed.copy_from_slice(header.as_bytes());
    options_out.copy_from_slice(options);
    payload_out.copy_from_slice(payload);
    Ok(piece.len())
}

/// The options that stand in every fragment, and their octets, padded with the end of the list to whole words.
fn copied(options: &[u8]) -> Result<([u8; OPTIONS_LEN_MAX], usize), Malformed> {
    let mut kept = [END; OPTIONS_LEN_MAX];
    let (mut kept_len, mut rest) = (0, options);
    while let Some(&kind) = rest.first() {
        let len = match kind {
            END => break,
            NO_OPERATION => 1,
            _ => rest.get(1).copied().map_or(0, usize::from),
        };
        if len < 2 && kind != NO_OPERATION {
            return Err(Malformed::Options);
        }
        let (option, behind) = rest.split_at_checked(len).ok_or(Malformed::Options)?;
        if kind & COPIED != 0 {
            let place = kept.get_mut(kept_len..kept_len + len).ok_or(Malformed::Options)?;
            place.copy_from_slice(option);
            kept_len += len;
        }
        rest = behind;
    }
    Ok((kept, kept_len.next_multiple_of(4)))
}

#[cfg(test)]
mod tests;
