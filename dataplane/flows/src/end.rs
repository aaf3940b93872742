//! How flows end.

use crate::config::Spans;
use crate::line::{End, MAPPED, State, USED};
use crate::table::{FlowId, Flows};
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
    /// Ends a flow at once; its port rests.
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
            self.ends.remove(hash, self.own_entry(slot, end));
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
        self.give_line(slot);
        self.count -= u32::from(line.has(USED));
    }
}
