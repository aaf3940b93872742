//! TCP headers (RFC 9293) and their options, as far as a middlebox reads them.

mod options;

pub use options::{OptionField, Options, clamp_mss};

use crate::checksum::Sum;
use crate::{Malformed, NoRoom};
use core::ops::BitOr;
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The protocol number of TCP.
pub const PROTOCOL: u8 = 6;
/// Octets of a header without options.
pub const HEADER_LEN: usize = 20;
/// Octets of a header with as many options as it can say.
pub const HEADER_LEN_MAX: usize = 60;

/// The header without options.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Port of the sender.
    pub source_port: U16,
    /// Port of the receiver.
    pub destination_port: U16,
    /// Of the first octet of payload, or of the SYN.
    pub sequence_number: U32,
    /// The next sequence number that the sender expects.
    pub acknowledgment_number: U32,
    /// Header length in 32-bit words in the high half; the low half is reserved.
    pub data_offset: u8,
    /// CWR, ECE, URG, ACK, PSH, RST, SYN, FIN.
    pub flags: u8,
    /// Not scaled.
    pub window: U16,
    /// Over pseudo header, header and payload.
    pub checksum: U16,
    /// Meaningful with URG.
    pub urgent_pointer: U16,
}
const _: () = assert!(size_of::<Header>() == HEADER_LEN);

/// The control bits (RFC 9293 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment number counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);
    /// ECN echo (RFC 3168 6.1).
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced (RFC 3168 6.1).
    pub const CWR: Self = Self(0x80);

    /// Whether all of `flags` are set.
    #[inline]
    pub fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The fields of a checked header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// Port of the sender.
    pub source_port: u16,
    /// Port of the receiver.
    pub destination_port: u16,
    /// Of the first octet of payload, or of the SYN.
    pub sequence_number: u32,
    /// The next sequence number that the sender expects.
    pub acknowledgment_number: u32,
    /// The control bits.
    pub flags: Flags,
    /// Not scaled.
    pub window: u16,
    /// As on the wire, not verified.
    pub checksum: u16,
    /// Octets of the header with its options, 20..=60.
    pub payload_offset: usize,
    /// Octets behind the header.
    pub payload_len: usize,
}

impl Located {
    /// The sequence numbers that the segment takes: its payload, and one each for SYN and FIN.
    #[inline]
    pub fn sequence_len(&self) -> usize {
        let control =
            usize::from(self.flags.has(Flags::SYN)) + usize::from(self.flags.has(Flags::FIN));
        self.payload_len + control
    }

    /// The options of the segment that this was read from.
    #[inline]
    pub fn options<'a>(&self, segment: &'a [u8]) -> Options<'a> {
        Options::of(segment.get(HEADER_LEN..self.payload_offset).unwrap_or_default())
    }
}

/// Reads the header of a segment: `octets` is all of an IP packet's payload. Options and checksum are not looked at.
///
/// Errors: `Truncated`, `HeaderLength`.
#[inline]
pub fn parse(octets: &[u8]) -> Result<Located, Malformed> {
    let (header, _) = Header::ref_from_prefix(octets).map_err(|_| Malformed::Truncated)?;
    let payload_offset = usize::from(header.data_offset >> 4) * 4;
    if payload_offset < HEADER_LEN {
        return Err(Malformed::HeaderLength);
    }
    let payload_len = octets.len().checked_sub(payload_offset).ok_or(Malformed::Truncated)?;
    Ok(Located {
        source_port: header.source_port.get(),
        destination_port: header.destination_port.get(),
        sequence_number: header.sequence_number.get(),
        acknowledgment_number: header.acknowledgment_number.get(),
        flags: Flags(header.flags),
        window: header.window.get(),
        checksum: header.checksum.get(),
        payload_offset,
        payload_len,
    })
}

/// Verifies a segment; `pseudo` is the sum of its pseudo header.
#[inline]
pub fn verify(pseudo: Sum, segment: &[u8]) -> Result<(), Malformed> {
    let sum = pseudo.plus(Sum::of(segment));
    if sum.is_intact() { Ok(()) } else { Err(Malformed::Checksum) }
}

/// What `emit` writes besides the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Port of the sender.
    pub source_port: u16,
    /// Port of the receiver.
    pub destination_port: u16,
    /// Of the first octet of payload, or of the SYN.
    pub sequence_number: u32,
    /// The next sequence number that the sender expects.
    pub acknowledgment_number: u32,
    /// The control bits.
    pub flags: Flags,
    /// Not scaled.
    pub window: u16,
}

/// Writes header and options before the payload that stands at `segment[20 + options.len()..]`, with the checksum,
/// and returns the length of both. `pseudo` is the sum of the pseudo header for `segment.len()` octets.
///
/// Errors: `NoRoom` also for options that are not a multiple of 4 octets or more than 40.
#[inline]
pub fn emit(
    segment: &mut [u8],
    fields: &Fields,
    options: &[u8],
    pseudo: Sum,
) -> Result<usize, NoRoom> {
    let header_len = HEADER_LEN + options.len();
    if !options.len().is_multiple_of(4) || header_len > HEADER_LEN_MAX {
        return Err(NoRoom);
    }
    let words = u8::try_from(header_len / 4).map_err(|_| NoRoom)?;
    let header = Header {
        source_port: fields.source_port.into(),
        destination_port: fields.destination_port.into(),
        sequence_number: fields.sequence_number.into(),
        acknowledgment_number: fields.acknowledgment_number.into(),
        data_offset: words << 4,
        flags: fields.flags.0,
        window: fields.window.into(),
        checksum: 0.into(),
        urgent_pointer: 0.into(),
    };
    segment.get_mut(HEADER_LEN..header_len).ok_or(NoRoom)?.copy_from_slice(options);
    header.write_to_prefix(segment).map_err(|_| NoRoom)?;
    let checksum = pseudo.plus(Sum::of(segment)).finish();
    let (header, _) = Header::mut_from_prefix(segment).map_err(|_| NoRoom)?;
    header.checksum = checksum.into();
    Ok(header_len)
}

#[cfg(test)]
mod tests;
