//! What the caller may know of a flow.

use core::net::IpAddr;

use crate::clients::Holding;
use crate::line::{Cold, End, Line, State, USED, V6, WATCHED, addresses_at};
use crate::query::{Query, address_of};
use crate::table::{FlowId, Flows, split};
use crate::time::Instant;

/// A flow, to be read.
#[derive(Clone, Copy, Debug)]
pub struct Flow<'a> {
    line: &'a Line,
    cold: &'a Cold,
}

impl Flow<'_> {
    /// Whose it is: for the way back.
    pub const fn client(&self) -> u32 {
        self.line.client
    }

    /// Whether it is watched for signs of life.
    pub const fn is_watched(&self) -> bool {
        self.line.has(WATCHED)
    }

    /// How far it has come.
    pub const fn state(&self) -> State {
        self.line.state
    }

    /// Until when it lives if nothing more is heard of it.
    pub const fn deadline(&self) -> Instant {
        self.line.deadline.instant()
    }

    /// Source and destination of packets that come in at a side. UDP and ICMP have no remote port here.
    pub fn addresses(&self, end: End) -> [(IpAddr, u16); 2] {
        let [source, destination] = addresses_at(self.line, self.cold, end)
            .map(|words| address_of(words, self.line.has(V6)));
        let [source_port, destination_port] = self.line.ports_at(end);
        [(source, source_port), (destination, destination_port)]
    }

    /// What a segment of ours to this side would have to look like: the sequence number that the side expects next, and what
    /// is to be acknowledged of what it has sent. A reset of ours bears the former (RFC 9293 3.5.3).
    pub fn numbers_to(&self, end: End) -> (u32, u32) {
        let other = end.other();
        let next = other.of(self.line.acked).wrapping_add(other.of(self.cold.shifts));
        (next, end.of(self.line.acked))
    }
}

impl Flows {
    /// The flow of a number, while it lasts.
    #[inline]
    pub fn flow(&self, id: FlowId) -> Option<Flow<'_>> {
        let line = self.lines.get(id.0 as usize).filter(|line| line.has(USED))?;
        Some(Flow { line, cold: self.cold.get(id.0 as usize)? })
    }

    /// The flow that a query's packet belongs to, which is not followed.
    pub fn find_flow(&self, query: &Query) -> Option<FlowId> {
        self.entry(query).map(|entry| FlowId(split(entry).0))
    }

    /// What a client has.
    pub fn holding(&self, client: u32) -> Holding {
        self.clients.of(client).map_or_else(Holding::default, |row| Holding {
            flows: row.flows,
            ports: row.ports,
            setups: row.setups,
        })
    }
}
