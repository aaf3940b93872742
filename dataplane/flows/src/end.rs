//! How flows end.

use crate::config::Spans;
use crate::line::{End, Line, MAPPED, NONE, State, USED};
use crate::table::{FlowId, Flows, entry_of};
use crate::time::{Instant, Span, Tick};

impl Spans {
    /// How long a flow lives in a state.
    #[inline]
    pub(crate) const fn of(&self, state: State, protocol: u8) -> Span {
        match state {
            State::Untracked if protocol == wire::icmp::v4::PROTOCOL => self.icmp,
            State::Untracked => self.udp,
            State::Incoming => self.incoming,
            State::Established | State::NearFinished | State::FarFinished => self.established,
            State::Opening | State::Answered | State::Closing | State::Closed | State::Reset => {
                self.transitory
            }
        }
    }
}

impl Flows {
    /// Ends a flow at once; its port rests. Sweeping does not tell of it.
    pub fn remove(&mut self, id: FlowId, now: Instant) {
        if self.flow(id).is_some() {
            self.end(id.0, now.tick());
        }
    }

    /// Ends a flow: nothing leads to it any more, and its line can be used again.
    #[cold]
    pub(crate) fn end(&mut self, slot: u32, now: Tick) {
        for end in [End::Near, End::Far] {
            let hash = self.key_hash(slot, end);
            self.ends.remove(hash, entry_of(slot, end));
        }
        let Some(line) = self.lines.get(slot as usize).copied() else { return };
        if line.has(MAPPED) {
            self.leave_mapping(slot, &line, now);
        } else if let Some(place) = self.place_of(slot)
            && self.ports.owner(place) == Some(slot)
        {
            self.give_port(line.client, place, now);
        }
        self.leave_client(slot, &line);
        if let Some(line) = self.lines.get_mut(slot as usize) {
            *line = Line { client: self.unused, ..Line::UNUSED };
        }
        self.unused = slot;
        self.count -= u32::from(line.has(USED));
    }

    /// Takes a flow out of its mapping; with the last one the mapping ends.
    fn leave_mapping(&mut self, slot: u32, line: &Line, now: Tick) {
        let (before, behind) = self.links(slot);
        if behind != NONE {
            let (_, next) = self.links(behind);
            self.set_links(behind, (before, next));
        }
        if before != NONE {
            let (previous, _) = self.links(before);
            self.set_links(before, (previous, behind));
            return;
        }
        let hash = self.mapping_hash(line);
        let Some(place) = self.place_of(slot) else { return };
        if behind == NONE {
            self.mappings.remove(hash, slot);
            self.give_port(line.client, place, now);
        } else {
            self.mappings.replace(hash, slot, behind);
            self.ports.own(place, behind);
        }
    }

    fn leave_client(&mut self, slot: u32, line: &Line) {
        let Some(cold) = self.cold.get(slot as usize) else { return };
        let (older, newer) = (cold.older, cold.newer);
        let Some(row) = self.clients.of_mut(line.client) else { return };
        row.flows = row.flows.saturating_sub(1);
        row.setups = row.setups.saturating_sub(u32::from(line.state.is_setup()));
        if row.newest == slot {
            row.newest = if older == slot { NONE } else { older };
        }
        self.tie(older, newer);
    }
}
