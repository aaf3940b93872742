//! Splices whose ends count differently: sequence numbers, acknowledgments, selective acknowledgments and windows by constant
//! shifts. Timestamps are left alone.

use wire::checksum::Delta;
use wire::tcp::{Flags, HEADER_LEN};

use super::put;
use crate::line::End;

/// Options that a walk knows (RFC 9293 3.1, RFC 2018 3).
const END_OF_LIST: u8 = 0;
const NO_OPERATION: u8 = 1;
const SACK: u8 = 5;

/// 2^32 is 1 where checksums are reckoned: a number that has gone round is one less, or more, than its sum with the shift.
const LESS: Delta = Delta::of_word(1, 0);
const MORE: Delta = Delta::of_word(0, 1);

/// What adding a number makes to a checksum.
#[inline]
pub(crate) fn of_number(number: u32) -> Delta {
    let [a, b, c, d] = number.to_be_bytes();
    Delta::of_word(0, u16::from_be_bytes([a, b]))
        .plus(Delta::of_word(0, u16::from_be_bytes([c, d])))
}

/// Shifts a segment that comes in at a side. What the flow's constant difference does not say of the checksum is given back.
pub(super) fn segment(
    upper: &mut [u8],
    from: End,
    (numbers, windows): ([u32; 2], [i8; 2]),
) -> Option<Delta> {
    let (own, others) = (from.of(numbers), from.other().of(numbers));
    let (header, options) = upper.split_first_chunk_mut::<HEADER_LEN>()?;
    let flags = Flags(header[13]);
    let mut delta = Delta::NONE;
    let sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let (sequence, wraps) = sequence.overflowing_add(own);
    header[4..8].copy_from_slice(&sequence.to_be_bytes());
    if wraps {
        delta = delta.plus(LESS);
    }
    if flags.has(Flags::ACK) {
        delta = delta.plus(acknowledgment(header, others));
    } else if others != 0 {
        // The constant counts on an acknowledgment.
        delta = delta.plus(of_number(others));
    }
    let shift = from.of(windows);
    if shift != 0 && !flags.has(Flags::SYN) {
        delta = delta.plus(window(header, shift));
    }
    let options_len = (usize::from(header[12] >> 4) * 4).checked_sub(HEADER_LEN)?;
    let options = options.get_mut(..options_len)?;
    Some(if others == 0 { delta } else { delta.plus(selective(options, others)) })
}

#[inline]
fn acknowledgment(header: &mut [u8; HEADER_LEN], others: u32) -> Delta {
    let number = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    let (number, wraps) = number.overflowing_sub(others);
    header[8..12].copy_from_slice(&number.to_be_bytes());
    if wraps { MORE } else { Delta::NONE }
}

/// Changes the scale of a window. What cannot be said becomes the largest that can (RFC 7323 2.3), and a window that is open stays
/// open: its owner may never say again that it is.
fn window(header: &mut [u8; HEADER_LEN], shift: i8) -> Delta {
    let old = u16::from_be_bytes([header[14], header[15]]);
    let bits = u32::from(shift.unsigned_abs());
    let wide = u64::from(old);
    let new = if shift > 0 { wide.checked_shl(bits) } else { wide.checked_shr(bits) };
    let new = new.unwrap_or(0).max(u64::from(old > 0));
    let new = u16::try_from(new).unwrap_or(u16::MAX);
    put(header, [(14, new)]);
    Delta::of_word(old, new)
}

/// Shifts the blocks of selective acknowledgments, wherever they stand. A broken list of options is left as it is from where it
/// breaks.
fn selective(options: &mut [u8], others: u32) -> Delta {
    let mut delta = Delta::NONE;
    let mut at = 0;
    while let Some(kind) = options.get(at).copied().filter(|kind| *kind != END_OF_LIST) {
        if kind == NO_OPERATION {
            at += 1;
            continue;
        }
        let len = usize::from(options.get(at + 1).copied().unwrap_or(0));
        let Some(data) = options.get_mut(at + 2..at + len).filter(|_| len >= 2) else { break };
        if kind == SACK {
            delta = delta.plus(blocks(data, others, at.is_multiple_of(2)));
        }
        at += len;
    }
    delta
}

fn blocks(data: &mut [u8], others: u32, even: bool) -> Delta {
    let (edges, _) = data.as_chunks_mut::<4>();
    let one_less = of_number(others).reversed();
    let mut delta = Delta::NONE;
    for edge in edges {
        let (number, wraps) = u32::from_be_bytes(*edge).overflowing_sub(others);
        *edge = number.to_be_bytes();
        delta = delta.plus(one_less);
        if wraps {
            delta = delta.plus(MORE);
        }
    }
    if even { delta } else { delta.at_odd_offset() }
}
