//! A packet on its way: its flow is found, follows it, and rewrites it.

use wire::{ipv4, tcp};

use crate::line::{End, HAIRPIN, Line, SHIFTED, SPLICED, State, WATCHED};
use crate::query::{Kind, Query};
use crate::refusal::Refusal;
use crate::rewrite;
use crate::table::{FlowId, Flows, split};
use crate::tcp::{Segment, scale_of};
use crate::time::{Instant, Tick};

/// What has become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was rewritten in place, but for its TTL, and leaves.
    Carried {
        /// By this flow.
        flow: FlowId,
        /// By this side: at `Near` to the flow's client (or, of a flow between networks, to the network), at `Far` to the
        /// network.
        to: End,
        /// To one of our own egress addresses: it comes in again, as from the network, at the worker that has the port.
        hairpin: bool,
    },
    /// It is unchanged, and of a splice that is watched: to be carried after [`Flows::unwatch`].
    Watched {
        /// The flow.
        flow: FlowId,
    },
    /// It is unchanged and of no flow: a client's is to be routed and perhaps given one; from the network, it is to no egress
    /// address, or to a port there that is not this worker's.
    Unknown,
    /// It is not carried, and may be changed in part.
    Refused(Refusal),
}

impl Flows {
    /// Follows and rewrites a packet. `octets` begin at its IP header and are those that were asked about.
    ///
    /// Flows are kept alive by packets of their near side alone (RFC 4787 REQ-6).
    #[inline]
    pub fn carry(&mut self, query: &Query, octets: &mut [u8], now: Instant) -> Verdict {
        let now = now.tick();
        if query.kind != Kind::Segment || query.datagram != 0 {
            return self.carry_rare(query, octets, now);
        }
        self.carry_segment(query, octets, now)
    }

    #[cold]
    fn carry_rare(&mut self, query: &Query, octets: &mut [u8], now: Tick) -> Verdict {
        match query.kind {
            Kind::Later => self.carry_later(query, octets, now),
            Kind::Error => self.report(query, octets, now),
            Kind::Segment => self.carry_first(query, octets, now),
        }
    }

    #[inline]
    fn carry_segment(&mut self, query: &Query, octets: &mut [u8], now: Tick) -> Verdict {
        match self.entry(query) {
            Some(entry) => self.carry_by(entry, query, octets, now),
            None => self.stranger(query, octets, now),
        }
    }

    /// Carries a packet by the entry of its flow.
    #[inline]
    pub(crate) fn carry_by(
        &mut self,
        entry: u32,
        query: &Query,
        octets: &mut [u8],
        now: Tick,
    ) -> Verdict {
        let (slot, from) = split(entry);
        let Some(line) = self.lines.get_mut(slot as usize) else { return Verdict::Unknown };
        if line.deadline <= now || line.has(WATCHED) {
            return self.carry_not(query, octets, slot, now);
        }
        if line.protocol != tcp::PROTOCOL {
            if from == End::Near {
                line.live_until(now.after(self.spans.of(line.state, line.protocol)));
            }
        } else if let Err(verdict) = self.follow(query, octets, (slot, from), now) {
            return verdict;
        }
        let verdict = self.rewrite(query, octets, (slot, from));
        if from == End::Near && query.datagram == 0 && !query.v6 && !is_atomic(octets) {
            let identification = self.next_identification();
            number(octets, identification);
        }
        verdict
    }

    /// Datagrams of many clients leave by one address, so those that may be cut on their way get identifications that are unique
    /// there (RFC 7857, RFC 6864 5.3.1). The numbers of this worker's ports are nobody else's at its addresses, also as
    /// identifications.
    #[cold]
    fn next_identification(&mut self) -> u16 {
        let identification = self.identification;
        let (first, last) = (*self.identifications.start(), *self.identifications.end());
        self.identification = if identification == last { first } else { identification + 1 };
        identification
    }

    /// A packet whose flow is over, or watched.
    #[cold]
    fn carry_not(&mut self, query: &Query, octets: &mut [u8], slot: u32, now: Tick) -> Verdict {
        let Some(line) = self.lines.get(slot as usize) else { return Verdict::Unknown };
        if line.deadline > now {
            return Verdict::Watched { flow: FlowId(slot) };
        }
        self.end(slot, now);
        self.stranger(query, octets, now)
    }

    #[inline]
    pub(crate) fn rewrite(
        &self,
        query: &Query,
        octets: &mut [u8],
        (slot, from): (u32, End),
    ) -> Verdict {
        let Some(line) = self.lines.get(slot as usize) else { return Verdict::Unknown };
        let rewritten = if line.flags & SHIFTED == 0 && !query.v6 {
            rewrite::plain_v4(line, from, octets, query.at)
        } else {
            let Some(cold) = self.cold.get(slot as usize) else { return Verdict::Unknown };
            rewrite::any((line, cold), from, octets, (query.at, query.len))
        };
        if rewritten.is_none() {
            return Verdict::Refused(Refusal::Truncated);
        }
        Verdict::Carried { flow: FlowId(slot), to: from.other(), hairpin: is_turning(line, from) }
    }

    /// Follows a TCP segment.
    #[inline]
    fn follow(
        &mut self,
        query: &Query,
        octets: &[u8],
        (slot, from): (u32, End),
        now: Tick,
    ) -> Result<(), Verdict> {
        let truncated = Verdict::Refused(Refusal::Truncated);
        let upper = octets.get(usize::from(query.at)..usize::from(query.len));
        let upper = upper.ok_or(truncated)?;
        let located = tcp::parse(upper).map_err(|_| truncated)?;
        let line = self.lines.get_mut(slot as usize).ok_or(Verdict::Unknown)?;
        let cold = self.cold.get(slot as usize).ok_or(Verdict::Unknown)?;
        let shifts = line.number_shifts(cold);
        let before = line.state;
        if before.is_over() && line.has(SPLICED) && is_new(&located, from) {
            // A splice does not begin again by itself: the next hop has to be asked.
            self.end(slot, now);
            return Err(Verdict::Unknown);
        }
        line.follow(from, &Segment::of(&located, from, shifts), || scale_of(&located, upper));
        let after = line.state;
        if from == End::Near && !after.is_over() {
            line.live_until(now.after(self.spans.of(after, tcp::PROTOCOL)));
        }
        if before != after {
            self.change_state(slot, (before, after), now);
        }
        Ok(())
    }

    /// A new state has its own time-out, and tells who is still being set up.
    #[cold]
    fn change_state(&mut self, slot: u32, (before, after): (State, State), now: Tick) {
        let Some(line) = self.lines.get_mut(slot as usize) else { return };
        let deadline = now.after(self.spans.of(after, tcp::PROTOCOL));
        // A connection that outside opens anew does not shorten the rest of the former one.
        let former = if after == State::Incoming { line.deadline } else { deadline };
        line.deadline = deadline.max(former);
        if let Some(row) = self.clients.of_mut(line.client) {
            row.setups += u32::from(after.is_setup());
            row.setups = row.setups.saturating_sub(u32::from(before.is_setup()));
        }
    }

    /// The first fragment of a datagram: later ones follow it.
    fn carry_first(&mut self, query: &Query, octets: &mut [u8], now: Tick) -> Verdict {
        let verdict = self.carry_segment(query, octets, now);
        if let Verdict::Carried { flow, to, .. } = verdict {
            let entry = crate::table::entry_of(flow.0, to.other());
            let until = now.after(self.spans.fragments);
            let identification = self.next_identification();
            self.fragments.remember(query.datagram, (entry, identification), until);
            if to == End::Far && !query.v6 {
                number(octets, identification);
            }
        }
        verdict
    }

    /// A later fragment: only addresses are there to be changed.
    fn carry_later(&self, query: &Query, octets: &mut [u8], now: Tick) -> Verdict {
        let early = Verdict::Refused(Refusal::FragmentEarly);
        let found = self.fragments.find(query.datagram, now);
        let Some((entry, identification)) = found else { return early };
        let (slot, from) = split(entry);
        let parts = self.lines.get(slot as usize).zip(self.cold.get(slot as usize));
        let Some((line, cold)) = parts else { return early };
        // The flow may have ended since, and its line may be another's.
        if line.deadline <= now || !self.has_addresses(entry, query) {
            return early;
        }
        if rewrite::addresses((line, cold), from, octets).is_none() {
            return Verdict::Refused(Refusal::Truncated);
        }
        if from == End::Near && !query.v6 {
            number(octets, identification);
        }
        Verdict::Carried { flow: FlowId(slot), to: from.other(), hairpin: is_turning(line, from) }
    }
}

/// Whether a packet of IPv4 is whole and stays so (RFC 6864 4.1).
#[inline]
fn is_atomic(octets: &mut [u8]) -> bool {
    ipv4::Header::of(octets).is_ok_and(|header| header.is_atomic())
}

#[cold]
fn number(octets: &mut [u8], identification: u16) {
    if let Ok(header) = ipv4::Header::of(octets) {
        header.set_identification(identification);
    }
}

/// Whether what comes in at this side leaves to one of our own egress addresses.
#[inline]
fn is_turning(line: &Line, from: End) -> bool {
    from == End::Near && line.has(HAIRPIN)
}

/// Whether a segment is the first of a client's new connection.
fn is_new(located: &tcp::Located, from: End) -> bool {
    let flags = located.flags;
    from == End::Near && flags.has(tcp::Flags::SYN) && !flags.has(tcp::Flags::ACK)
}
