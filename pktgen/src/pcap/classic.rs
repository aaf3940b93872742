//! The classic format: a header of 24 octets, then records with one of 16 octets each.

use std::io::Read;

use super::input::{Error, Input, Order};
use super::{Place, nanos};

/// Magic numbers: of microseconds and of nanoseconds.
pub(super) const MICROS: u32 = 0xa1b2_c3d4;
pub(super) const NANOS: u32 = 0xa1b2_3c4d;
/// Ethernet, in the low 16 bits of the link type.
pub(super) const ETHERNET: u32 = 1;
/// Set when the field's top four bits count check sequence octets, in pairs.
const HAS_CHECK_SEQUENCE: u32 = 1 << 26;

/// How the records of a file are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Classic {
    order: Order,
    /// Nanoseconds of a tick.
    tick: u64,
    /// Octets of check sequence at the end of each frame.
    check_len: usize,
}

impl Classic {
    /// Reads what follows the magic number.
    pub(super) fn open<R: Read>(magic: u32, input: &mut Input<R>) -> Result<Self, Error> {
        let (order, tick) = match (magic, magic.swap_bytes()) {
            (MICROS, _) => (Order::Big, 1_000),
            (NANOS, _) => (Order::Big, 1),
            (_, MICROS) => (Order::Little, 1_000),
            (_, NANOS) => (Order::Little, 1),
            _ => {
                let what = format!(
                    "{magic:08x} begins neither pcap nor pcapng; `tcpdump -r FILE -w NEW` may convert it"
                );
                return Err(input.error(what));
            }
        };
        let header = input.take(20)?;
        let link = order.u32(header, 16).unwrap_or(0);
        if link & 0xffff != ETHERNET {
            return Err(input.error(other_link(link & 0xffff)));
        }
        let pairs = if link & HAS_CHECK_SEQUENCE == 0 { 0 } else { link >> 28 };
        Ok(Self { order, tick, check_len: pairs as usize * 2 })
    }

    pub(super) fn read<R: Read>(&self, input: &mut Input<R>) -> Result<Option<Place>, Error> {
        let Some(header) = input.take_or_end(16)? else { return Ok(None) };
        let [secs, part, len, original] =
            [0, 4, 8, 12].map(|at| self.order.u32(header, at).unwrap_or(0));
        let at_ns = nanos(secs.into(), u64::from(part).saturating_mul(self.tick));
        input.take(len as usize)?;
        let (len, original_len) = trimmed(len as usize, original as usize, self.check_len);
        Ok(Some(Place { at_ns, start: 0, len, original_len }))
    }
}

/// Both lengths without the check sequence, as much of it as was captured.
pub(super) fn trimmed(len: usize, original: usize, check_len: usize) -> (usize, usize) {
    let original = original.max(len).saturating_sub(check_len);
    (len.min(original), original)
}

pub(super) fn other_link(link: u32) -> String {
    format!(
        "link type {link} is not Ethernet (1): capture on an Ethernet interface, not on \"any\" or a tunnel"
    )
}
