//! pcapng: sections of blocks. Interfaces say in which ticks their packets' times are counted.

use std::io::Read;

use super::classic::{ETHERNET, other_link, trimmed};
use super::input::{Error, Input, Order, RECORD_LEN_MAX};
use super::{Place, nanos};

const SECTION_HEADER: u32 = super::NG_MAGIC;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Type, length, and the length again at the end.
const FRAME_LEN: usize = 12;
/// Interfaces of a section at most.
const INTERFACES_MAX: usize = 4096;
const OPTION_END: u16 = 0;
const OPTION_RESOLUTION: u16 = 9;
const OPTION_CHECK_LEN: u16 = 13;
const OPTION_OFFSET: u16 = 14;

/// What an interface says of its packets.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u32,
    /// Octets that are kept of each packet; 0 for all.
    snap_len: usize,
    /// Ticks of a second.
    per_sec: u64,
    /// Seconds to be added to each time.
    offset_secs: i64,
    check_len: usize,
}

/// The section that is being read.
#[derive(Debug)]
pub(super) struct Section {
    order: Order,
    interfaces: Vec<Interface>,
    /// The time of the last packet, for packets without.
    last_ns: u64,
}

impl Section {
    /// Reads a section's header behind its block type.
    pub(super) fn open<R: Read>(input: &mut Input<R>) -> Result<Self, Error> {
        let head = input.take(8)?;
        let order = match (Order::Big.u32(head, 4), Order::Little.u32(head, 4)) {
            (Some(BYTE_ORDER), _) => Order::Big,
            (_, Some(BYTE_ORDER)) => Order::Little,
            _ => return Err(input.error("a section header without byte-order magic")),
        };
        let len = order.u32(head, 0).unwrap_or(0) as usize;
        let Some(rest) = len.checked_sub(12).filter(|rest| *rest >= 16 && rest % 4 == 0) else {
            return Err(input.error(format!("a section header of impossible length {len}")));
        };
        let body = input.take(rest)?;
        if order.u16(body, 0) != Some(1) {
            let major = order.u16(body, 0).unwrap_or(0);
            return Err(input.error(format!("pcapng of version {major}; only 1 is known")));
        }
        let again = order.u32(body, rest - 4).unwrap_or(0) as usize;
        same(input, len, again)?;
        Ok(Self { order, interfaces: Vec::new(), last_ns: 0 })
    }

    pub(super) fn read<R: Read>(&mut self, input: &mut Input<R>) -> Result<Option<Place>, Error> {
        loop {
            let Some(kind) = input.take_or_end(4)? else { return Ok(None) };
            let kind = self.order.u32(kind, 0).unwrap_or(0);
            if kind == SECTION_HEADER {
                let last_ns = self.last_ns;
                *self = Self { last_ns, ..Self::open(input)? };
                continue;
            }
            let len = input.take(4)?;
            let len = self.order.u32(len, 0).unwrap_or(0) as usize;
            if len < FRAME_LEN || !len.is_multiple_of(4) {
                return Err(input.error(format!("a block of impossible length {len}")));
            }
            if !matches!(kind, INTERFACE | OLD_PACKET | SIMPLE_PACKET | ENHANCED_PACKET) {
                self.pass(len, input)?;
                continue;
            }
            let body_len = len - FRAME_LEN;
            let body = input.take(body_len + 4)?;
            let again = self.order.u32(body, body_len).unwrap_or(0) as usize;
            same(input, len, again)?;
            let place = match kind {
                INTERFACE => self.interface(body_len, input)?,
                SIMPLE_PACKET => Some(self.simple(body_len, input)?),
                _ => Some(self.packet(kind, body_len, input)?),
            };
            if let Some(place) = place {
                self.last_ns = place.at_ns;
                return Ok(Some(place));
            }
        }
    }

    /// Passes a block of a kind that holds no packets.
    fn pass<R: Read>(&self, len: usize, input: &mut Input<R>) -> Result<(), Error> {
        input.skip(len - FRAME_LEN)?;
        let again = self.order.u32(input.take(4)?, 0).unwrap_or(0) as usize;
        same(input, len, again)
    }

    fn interface<R: Read>(
        &mut self,
        body_len: usize,
        input: &Input<R>,
    ) -> Result<Option<Place>, Error> {
        let body = input.block().get(..body_len).unwrap_or_default();
        let (Some(link), Some(snap_len)) = (self.order.u16(body, 0), self.order.u32(body, 4))
        else {
            return Err(input.error("an interface block without its fields"));
        };
        if self.interfaces.len() == INTERFACES_MAX {
            return Err(input.error(format!("more than {INTERFACES_MAX} interfaces in a section")));
        }
        let mut interface = Interface {
            link: link.into(),
            snap_len: snap_len as usize,
            per_sec: 1_000_000,
            offset_secs: 0,
            check_len: 0,
        };
        let mut rest = body.get(8..).unwrap_or_default();
        while let (Some(code), Some(len)) = (self.order.u16(rest, 0), self.order.u16(rest, 2)) {
            let value = rest.get(4..4 + usize::from(len));
            let Some(value) = value.filter(|_| code != OPTION_END) else { break };
            self.option(&mut interface, code, value).map_err(|what| input.error(what))?;
            rest = rest.get(4 + usize::from(len).next_multiple_of(4)..).unwrap_or_default();
        }
        self.interfaces.push(interface);
        Ok(None)
    }

    fn option(&self, to: &mut Interface, code: u16, value: &[u8]) -> Result<(), String> {
        match (code, value) {
            (OPTION_RESOLUTION, [resolution, ..]) => {
                let exponent = u32::from(resolution & 0x7f);
                let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
                let ticks = base.checked_pow(exponent);
                to.per_sec = ticks.ok_or_else(|| {
                    format!("times in units of {base}^-{exponent} s, finer than 64 bits can count")
                })?;
            }
            (OPTION_CHECK_LEN, [len, ..]) => to.check_len = usize::from(*len),
            (OPTION_OFFSET, _) => {
                let offset = self.order.u64(value, 0).map(u64::cast_signed);
                to.offset_secs = offset.unwrap_or(0);
            }
            _ => {}
        }
        Ok(())
    }

    /// An enhanced packet block, or its obsolete ancestor with a shorter interface number.
    fn packet<R: Read>(
        &self,
        kind: u32,
        body_len: usize,
        input: &Input<R>,
    ) -> Result<Place, Error> {
        const FIELDS_LEN: usize = 20;
        let body = input.block().get(..body_len).unwrap_or_default();
        let number = if kind == OLD_PACKET {
            self.order.u16(body, 0).map(u32::from)
        } else {
            self.order.u32(body, 0)
        };
        let [high, low, len, original] = [4, 8, 12, 16].map(|at| self.order.u32(body, at));
        let (Some(number), Some(high), Some(low), Some(len), Some(original)) =
            (number, high, low, len, original)
        else {
            return Err(input.error("a packet block without its fields"));
        };
        let interface = self.ethernet(number, input)?;
        if len as usize > body_len - FIELDS_LEN {
            let what = format!(
                "a packet of {len} octets in a block with {} for it",
                body_len - FIELDS_LEN
            );
            return Err(input.error(what));
        }
        let at_ns = interface.time(u64::from(high) << 32 | u64::from(low));
        let (len, original_len) = trimmed(len as usize, original as usize, interface.check_len);
        Ok(Place { at_ns, start: FIELDS_LEN, len, original_len })
    }

    /// A simple packet block: of the first interface, without a time.
    fn simple<R: Read>(&self, body_len: usize, input: &Input<R>) -> Result<Place, Error> {
        let interface = self.ethernet(0, input)?;
        let Some(original) = self.order.u32(input.block(), 0).filter(|_| body_len >= 4) else {
            return Err(input.error("a simple packet block without its length"));
        };
        let snap_len = if interface.snap_len == 0 { RECORD_LEN_MAX } else { interface.snap_len };
        let len = (original as usize).min(snap_len).min(body_len - 4);
        let (len, original_len) = trimmed(len, original as usize, interface.check_len);
        Ok(Place { at_ns: self.last_ns, start: 4, len, original_len })
    }

    fn ethernet<R: Read>(&self, number: u32, input: &Input<R>) -> Result<Interface, Error> {
        let interface = self.interfaces.get(number as usize).ok_or_else(|| {
            let count = self.interfaces.len();
            input.error(format!("a packet of interface {number}, but only {count} are described"))
        })?;
        if interface.link == ETHERNET {
            Ok(*interface)
        } else {
            Err(input.error(other_link(interface.link)))
        }
    }
}

impl Interface {
    /// Nanoseconds since 1970 at so many ticks.
    fn time(&self, ticks: u64) -> u64 {
        let per_sec = self.per_sec.max(1);
        let part = u128::from(ticks % per_sec) * 1_000_000_000 / u128::from(per_sec);
        let secs = (ticks / per_sec).saturating_add_signed(self.offset_secs);
        nanos(secs, u64::try_from(part).unwrap_or(0))
    }
}

/// A block says its length at both ends.
fn same<R: Read>(input: &Input<R>, len: usize, again: usize) -> Result<(), Error> {
    if len == again {
        return Ok(());
    }
    Err(input.error(format!("a block that says {len} at its start and {again} at its end")))
}
