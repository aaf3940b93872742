//! Prefix translation of IPv6 (RFC 6296): no flows, no ports, and no checksum behind the IP header changes, because what the
//! prefixes differ by is made up for in another word of the address.

use core::fmt;
use core::net::Ipv6Addr;

use wire::checksum::{Delta, Sum};
use wire::ipv6;

use crate::query::quote::{QUOTE_AT, is_error, quoted};
use crate::query::v6_of;

/// Bits up to which prefixes may be: the rest is the interface identifier (RFC 6296 3.5).
const LEN_MAX: u8 = 64;
/// Bits up to which a prefix leaves the word before the interface identifier free (RFC 6296 3.4).
const LEN_WITH_SUBNET: u8 = 48;
/// The word of an address that holds its subnet, of prefixes up to /48.
const SUBNET: usize = 3;
/// The words that may be adjusted with longer prefixes.
const IDENTIFIER: core::ops::Range<usize> = 4..8;

/// What cannot be translated between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A prefix of more than 64 bits.
    TooLong,
    /// Two prefixes of different lengths.
    Lengths,
    /// A prefix with bits behind its length.
    Bits,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "a prefix to be translated has more than 64 bits",
            Self::Lengths => "the prefixes have different lengths",
            Self::Bits => "a prefix has bits behind its length",
        })
    }
}

impl core::error::Error for Wrong {}

/// Why a packet is not translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The address has not the prefix that is translated.
    Prefix,
    /// The address has no word that could be adjusted (RFC 6296 3.4 and 3.5); its sender is owed "no route".
    Address,
    /// The packet is shorter than its header.
    Truncated,
    /// An ICMPv6 error that quotes no packet of this host.
    Error,
}

/// A pair of prefixes.
#[derive(Clone, Copy, Debug)]
pub struct Prefixes {
    inside: u128,
    outside: u128,
    mask: u128,
    len: u8,
    /// What is added to the adjusted word on the way out.
    adjustment: Delta,
}

impl Prefixes {
    /// A translation between two prefixes of equal length; of different ones RFC 6296 3.1 lets the shorter be extended by
    /// zeros, which the caller can do.
    pub fn new(inside: (Ipv6Addr, u8), outside: (Ipv6Addr, u8)) -> Result<Self, Wrong> {
        if inside.1 > LEN_MAX || outside.1 > LEN_MAX {
            return Err(Wrong::TooLong);
        }
        if inside.1 != outside.1 {
            return Err(Wrong::Lengths);
        }
        let mask = u128::MAX.checked_shl(128 - u32::from(inside.1)).unwrap_or(0);
        let [own, other] = [inside.0, outside.0].map(Ipv6Addr::to_bits);
        if own & !mask != 0 || other & !mask != 0 {
            return Err(Wrong::Bits);
        }
        // The sum of the address shall stay what it was: the word gets what the prefix loses (RFC 6296 3.1).
        let adjustment = Delta::between(Sum::of_v6(outside.0), Sum::of_v6(inside.0));
        Ok(Self { inside: own, outside: other, mask, len: inside.1, adjustment })
    }

    /// The address that an inside one has outside.
    pub fn outward(&self, address: Ipv6Addr) -> Result<Ipv6Addr, Refusal> {
        self.translate(address, (self.inside, self.outside), self.adjustment)
    }

    /// The address that an outside one has inside.
    pub fn inward(&self, address: Ipv6Addr) -> Result<Ipv6Addr, Refusal> {
        self.translate(address, (self.outside, self.inside), self.adjustment.reversed())
    }

    fn translate(
        &self,
        address: Ipv6Addr,
        (from, to): (u128, u128),
        adjustment: Delta,
    ) -> Result<Ipv6Addr, Refusal> {
        let bits = address.to_bits();
        if bits & self.mask != from {
            return Err(Refusal::Prefix);
        }
        let mut words = Ipv6Addr::from_bits(bits & !self.mask | to).segments();
        let candidates = if self.len <= LEN_WITH_SUBNET { SUBNET..SUBNET + 1 } else { IDENTIFIER };
        // 0xffff is zero, too: of what becomes it nobody could tell on the way back which it was.
        let mut free = words.get_mut(candidates).into_iter().flatten();
        let word = free.find(|word| **word != 0xffff).ok_or(Refusal::Address)?;
        *word = match adjusted(*word, adjustment) {
            0xffff => 0,
            word => word,
        };
        Ok(words.into())
    }

    /// Translates a packet from inside, in place: its source, and what it quotes if it is an error. `payload_offset` is that of
    /// the upper protocol's header. The packet is not changed when it is refused.
    pub fn carry_out(
        &self,
        octets: &mut [u8],
        protocol: u8,
        payload_offset: usize,
    ) -> Result<(), Refusal> {
        let [source, _] = addresses(octets)?;
        let new = self.outward(source)?;
        // Inside, the quoted packet was one to this host.
        let about = (protocol, payload_offset);
        carry_quote(octets, about, (1, |address| self.outward(address)))?;
        write(octets, 0, new).ok_or(Refusal::Truncated)
    }

    /// Translates a packet from outside, in place: its destination, and what it quotes.
    pub fn carry_in(
        &self,
        octets: &mut [u8],
        protocol: u8,
        payload_offset: usize,
    ) -> Result<(), Refusal> {
        let [_, destination] = addresses(octets)?;
        let new = self.inward(destination)?;
        // Outside, the quoted packet was one from this host.
        let about = (protocol, payload_offset);
        carry_quote(octets, about, (0, |address| self.inward(address)))?;
        write(octets, 1, new).ok_or(Refusal::Truncated)
    }
}

/// Translates the address in the quoted packet of an error. The sum of the message stays the same, so its checksum does.
fn carry_quote(
    octets: &mut [u8],
    (protocol, payload_offset): (u8, usize),
    (which, translate): (usize, impl FnOnce(Ipv6Addr) -> Result<Ipv6Addr, Refusal>),
) -> Result<(), Refusal> {
    let message = octets.get_mut(payload_offset..).ok_or(Refusal::Truncated)?;
    if !is_error(protocol, message) {
        return Ok(());
    }
    let quoted = quoted(message, true).ok_or(Refusal::Error)?;
    let address = quoted.addresses.get(which).copied().ok_or(Refusal::Error)?;
    let new = translate(v6_of(address)).map_err(|_| Refusal::Error)?;
    let quote = message.get_mut(QUOTE_AT..).ok_or(Refusal::Truncated)?;
    write(quote, which, new).ok_or(Refusal::Truncated)
}

/// One's complement addition.
fn adjusted(word: u16, adjustment: Delta) -> u16 {
    !adjustment.apply(!word)
}

/// Where IPv6 has its source; the destination follows.
const SOURCE_AT: usize = 8;

fn addresses(octets: &[u8]) -> Result<[Ipv6Addr; 2], Refusal> {
    let octets = octets.get(SOURCE_AT..ipv6::HEADER_LEN).ok_or(Refusal::Truncated)?;
    let (addresses, _) = octets.as_chunks::<16>();
    let [source, destination] = addresses else { return Err(Refusal::Truncated) };
    Ok([(*source).into(), (*destination).into()])
}

/// Writes the source (0) or destination (1).
fn write(octets: &mut [u8], which: usize, address: Ipv6Addr) -> Option<()> {
    let (addresses, _) = octets.get_mut(SOURCE_AT..ipv6::HEADER_LEN)?.as_chunks_mut::<16>();
    *addresses.get_mut(which)? = address.octets();
    Some(())
}

#[cfg(test)]
mod tests;
