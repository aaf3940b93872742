//! The walk of TCP options (RFC 9293 3.1, RFC 7323, RFC 2018).

use super::{HEADER_LEN, Header, Located};
use crate::Malformed;
use crate::checksum::Delta;
use zerocopy::FromBytes;

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionField<'a> {
    /// The largest payload that the sender takes in one segment.
    MaximumSegmentSize(u16),
    /// By how many bits the sender's windows are to be shifted.
    WindowScale(u8),
    /// The sender understands selective acknowledgments.
    SackPermitted,
    /// Blocks of two 32-bit sequence numbers each.
    Sack(&'a [u8]),
    /// RFC 7323 3.
    Timestamps {
        /// `TSval`.
        value: u32,
        /// `TSecr`.
        echo: u32,
    },
    /// Not read here.
    Other {
        /// The option's kind.
        kind: u8,
        /// What follows kind and length.
        data: &'a [u8],
    },
}

/// The options of one segment; ends at the end-of-list option, or after the first malformed one.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
}

impl<'a> Options<'a> {
    /// Walks the octets between header and payload.
    #[inline]
    pub fn of(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    /// Takes the next option's kind and data off; `None` at the end.
    #[inline]
    fn take(&mut self) -> Result<Option<(u8, &'a [u8])>, Malformed> {
        loop {
            match *self.rest {
                [] | [END, ..] => return Ok(None),
                [NO_OPERATION, ref rest @ ..] => self.rest = rest,
                [kind, length, ref rest @ ..] => {
                    let data_len = usize::from(length).checked_sub(2).ok_or(Malformed::Options)?;
                    let (data, rest) = rest.split_at_checked(data_len).ok_or(Malformed::Options)?;
                    self.rest = rest;
                    return Ok(Some((kind, data)));
                }
                [_] => return Err(Malformed::Options),
            }
        }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<OptionField<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let item = self.take().and_then(|taken| taken.map(read).transpose()).transpose();
        if matches!(item, Some(Err(_)) | None) {
            self.rest = &[];
        }
        item
    }
}

#[inline]
fn read((kind, data): (u8, &[u8])) -> Result<OptionField<'_>, Malformed> {
    if let (TIMESTAMPS, ([value, echo], [])) = (kind, data.as_chunks::<4>()) {
        return Ok(OptionField::Timestamps {
            value: u32::from_be_bytes(*value),
            echo: u32::from_be_bytes(*echo),
        });
    }
    match (kind, data) {
        (MAXIMUM_SEGMENT_SIZE, &[high, low]) => {
            Ok(OptionField::MaximumSegmentSize(u16::from_be_bytes([high, low])))
        }
        (WINDOW_SCALE, &[shift]) => Ok(OptionField::WindowScale(shift)),
        (SACK_PERMITTED, []) => Ok(OptionField::SackPermitted),
        (SACK, blocks) if !blocks.is_empty() && blocks.len().is_multiple_of(8) => {
            Ok(OptionField::Sack(blocks))
        }
        (MAXIMUM_SEGMENT_SIZE | WINDOW_SCALE | SACK_PERMITTED | SACK | TIMESTAMPS, _) => {
            Err(Malformed::Options)
        }
        _ => Ok(OptionField::Other { kind, data }),
    }
}

/// Lowers the MSS option of a SYN to at most `mss_max` and mends the checksum; returns whether anything changed.
///
/// Only an option that is there is lowered: without one the peer sends 536 or 1220 octets (RFC 9293 3.7.1).
/// Errors: `Options`; the segment is then unchanged. `located` must be what `parse` said of this segment.
#[inline]
pub fn clamp_mss(segment: &mut [u8], located: &Located, mss_max: u16) -> Result<bool, Malformed> {
    let Some((at, old)) = find_mss(segment, located)? else { return Ok(false) };
    if old <= mss_max {
        return Ok(false);
    }
    let value = segment.get_mut(at..at + 2).ok_or(Malformed::Truncated)?;
    value.copy_from_slice(&mss_max.to_be_bytes());
    let delta = Delta::of_word(old, mss_max);
    let delta = if at.is_multiple_of(2) { delta } else { delta.at_odd_offset() };
    let (header, _) = Header::mut_from_prefix(segment).map_err(|_| Malformed::Truncated)?;
    header.checksum = delta.apply(header.checksum.get()).into();
    Ok(true)
}

/// The offset in the segment and the value of the first MSS option.
#[inline]
fn find_mss(segment: &[u8], located: &Located) -> Result<Option<(usize, u16)>, Malformed> {
    let octets = segment.get(HEADER_LEN..located.payload_offset).ok_or(Malformed::Truncated)?;
    let mut options = Options::of(octets);
    while let Some(option) = options.next() {
        if let OptionField::MaximumSegmentSize(mss) = option? {
            return Ok(Some((located.payload_offset - options.rest.len() - 2, mss)));
        }
    }
    Ok(None)
}
