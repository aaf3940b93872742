//! ICMP errors about a flow's packets, both ways (RFC 5508 4.2): the quoted packet is made again what its sender has sent,
//! and the error goes to the sender. No error ends a flow or keeps one alive (RFC 4787 REQ-12, RFC 5382 REQ-10,
//! RFC 5508 REQ-6).

use wire::checksum::{Delta, Sum};
use wire::{icmp, ipv4, tcp, udp};

use crate::carry::Verdict;
use crate::install::sum_of;
use crate::line::{Cold, End, HAIRPIN, Line, SHIFTED, SPLICED, addresses_at};
use crate::query::quote::{QUOTE_AT, Quoted, quoted};
use crate::query::{Query, read_addresses, v6_of};
use crate::refusal::Refusal;
use crate::rewrite::{addresses_v6, put};
use crate::table::{FlowId, Flows, split};
use crate::time::Tick;

impl Flows {
    /// Translates an error that comes in at a side. The packet that it is about had left by that side.
    pub(crate) fn report(&mut self, query: &Query, octets: &mut [u8], now: Tick) -> Verdict {
        let unmatched = Verdict::Refused(Refusal::ErrorUnmatched);
        let Some(entry) = self.entry(query) else { return unmatched };
        let (slot, from) = split(entry);
        let parts = self.lines.get(slot as usize).zip(self.cold.get(slot as usize));
        let Some((line, cold)) = parts.filter(|(line, _)| line.deadline > now) else {
            return unmatched;
        };
        let report = Report { line, cold, from, v6: query.v6 };
        match report.translate(octets, query) {
            Ok(()) => {
                let hairpin = from == End::Near && line.has(HAIRPIN);
                Verdict::Carried { flow: FlowId(slot), to: from.other(), hairpin }
            }
            Err(refusal) => Verdict::Refused(refusal),
        }
    }
}

/// An error and the flow that it is about.
struct Report<'a> {
    line: &'a Line,
    cold: &'a Cold,
    /// Where it comes in.
    from: End,
    v6: bool,
}

impl Report<'_> {
    fn translate(&self, octets: &mut [u8], query: &Query) -> Result<(), Refusal> {
        let message = octets.get_mut(usize::from(query.at)..usize::from(query.len));
        let message = message.ok_or(Refusal::Truncated)?;
        let quoted = quoted(message, self.v6).ok_or(Refusal::ErrorUnmatched)?;
        self.check(message, &quoted)?;
        self.translate_quote(message, &quoted).ok_or(Refusal::Truncated)?;
        self.address(octets, query).ok_or(Refusal::Truncated)
    }

    /// An error about a TCP segment has to be about one that may be under way (RFC 5927 4): who only guesses at addresses and
    /// ports does not know the numbers.
    fn check(&self, message: &[u8], quoted: &Quoted) -> Result<(), Refusal> {
        if quoted.protocol != tcp::PROTOCOL {
            return Ok(());
        }
        let number = message.get(quoted.upper_at + 4..quoted.upper_at + 8);
        let number = number.and_then(|octets| octets.first_chunk()).ok_or(Refusal::Truncated)?;
        // As its sender has numbered it.
        let sender = self.from.other();
        let number = u32::from_be_bytes(*number).wrapping_sub(sender.of(self.shifts()));
        let plausible = self.line.may_be_under_way(sender, number);
        if plausible { Ok(()) } else { Err(Refusal::ErrorImplausible) }
    }

    fn shifts(&self) -> [u32; 2] {
        if self.line.has(SHIFTED) { self.cold.shifts } else { [0; 2] }
    }

    /// Makes the quoted packet the one that came in at the other side.
    fn translate_quote(&self, message: &mut [u8], quoted: &Quoted) -> Option<()> {
        let addresses = addresses_at(self.line, self.cold, self.from.other());
        let delta = Delta::between(sum_of(quoted.addresses), sum_of(addresses));
        let quote = message.get_mut(QUOTE_AT..quoted.end)?;
        if self.v6 {
            addresses_v6(quote, addresses)?;
        } else {
            let [source, destination] = addresses.map(|[word, ..]| word.to_ne_bytes());
            let header = ipv4::Header::of(quote).ok()?;
            header.set_source(source.into());
            header.set_destination(destination.into());
        }
        self.translate_upper(message.get_mut(quoted.upper_at..quoted.end)?, delta)
    }

    /// Translates the start of the upper protocol's header, as far as it is quoted. `delta` is that of the pseudo header.
    fn translate_upper(&self, upper: &mut [u8], delta: Delta) -> Option<()> {
        let [source, destination] = self.line.ports_at(self.from.other());
        let mut delta = delta;
        match self.line.protocol {
            tcp::PROTOCOL => {
                delta = delta.plus(change(upper, 0, source)?).plus(change(upper, 2, destination)?);
                delta = delta.plus(self.shift_back(upper)?);
                mend(upper, 16, |checksum| delta.apply(checksum));
            }
            udp::PROTOCOL => {
                // UDP flows know the port of the near side's host alone, unless they are spliced.
                let spliced = self.line.has(SPLICED);
                if spliced || self.from == End::Far {
                    delta = delta.plus(change(upper, 0, source)?);
                }
                if spliced || self.from == End::Near {
                    delta = delta.plus(change(upper, 2, destination)?);
                }
                mend(upper, 6, |checksum| delta.apply_udp(checksum));
            }
            _ => {
                let identifier = if self.from == End::Far { source } else { destination };
                // Without a pseudo header, addresses do not count.
                let delta = change(upper, 4, identifier)?;
                mend(upper, 2, |checksum| delta.apply(checksum));
            }
        }
        Some(())
    }

    /// Takes the shifts back that the quoted segment was sent with.
    fn shift_back(&self, upper: &mut [u8]) -> Option<Delta> {
        let sender = self.from.other();
        let shifts = self.shifts();
        let (own, others) = (sender.of(shifts), self.from.of(shifts));
        let mut delta = add(upper, 4, 0_u32.wrapping_sub(own))?;
        // The flags lie behind the eight octets that are always there.
        let acknowledges = upper.get(13).is_some_and(|flags| flags & tcp::Flags::ACK.0 != 0);
        if acknowledges {
            delta = delta.plus(add(upper, 8, others)?);
        }
        Some(delta)
    }

    /// Addresses the error itself. Its source is kept if it is some router; of a client's side it becomes the address that the
    /// client has outside (RFC 5508 REQ-5), and who stands for another at the other side stands for it here, too.
    fn address(&self, octets: &mut [u8], query: &Query) -> Option<()> {
        let ([reporter, _], _) = read_addresses(octets)?;
        let [peer, _] = addresses_at(self.line, self.cold, self.from);
        let [to, own] = addresses_at(self.line, self.cold, self.from.other());
        let stands_for_another = self.from == End::Near || reporter == peer;
        let source = if stands_for_another { own } else { reporter };
        if self.v6 {
            addresses_v6(octets, [source, to])?;
        } else {
            let header = ipv4::Header::of(octets).ok()?;
            header.set_source(source[0].to_ne_bytes().into());
            header.set_destination(to[0].to_ne_bytes().into());
        }
        let message = octets.get_mut(usize::from(query.at)..usize::from(query.len))?;
        seal(message, self.v6.then_some([source, to]))
    }
}

/// Writes the checksum of an ICMP message, of ICMPv6 with its pseudo header.
fn seal(message: &mut [u8], addresses: Option<[[u32; 4]; 2]>) -> Option<()> {
    put(message, [(2, 0)]);
    let mut sum = Sum::of(message);
    if let Some(addresses) = addresses {
        let [source, destination] = addresses.map(v6_of);
        let len = u16::try_from(message.len()).ok()?;
        sum = sum.plus(Sum::pseudo_v6(source, destination, icmp::v6::PROTOCOL, len));
    }
    put(message, [(2, sum.finish())]);
    Some(())
}

/// Replaces a word, and says what that makes to a checksum.
fn change(octets: &mut [u8], at: usize, new: u16) -> Option<Delta> {
    let old = u16::from_be_bytes(*octets.get(at..at + 2)?.first_chunk()?);
    put(octets, [(at, new)]);
    Some(Delta::of_word(old, new))
}

/// Adds to a number, and says what that makes to a checksum.
fn add(octets: &mut [u8], at: usize, number: u32) -> Option<Delta> {
    let place = octets.get_mut(at..at + 4)?.first_chunk_mut::<4>()?;
    let old = Sum::of(place);
    *place = u32::from_be_bytes(*place).wrapping_add(number).to_be_bytes();
    Some(Delta::between(old, Sum::of(place)))
}

/// Mends a checksum if it is there.
fn mend(octets: &mut [u8], at: usize, mend: impl FnOnce(u16) -> u16) {
    let old = octets.get(at..at + 2).and_then(|octets| octets.first_chunk());
    if let Some(old) = old.copied().map(u16::from_be_bytes) {
        put(octets, [(at, mend(old))]);
    }
}
