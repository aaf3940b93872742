//! Packets without a flow: from a client they are the route's to judge; from the network only a TCP connection to a mapping
//! that has spoken to its sender's address may begin one.

use wire::tcp;

use crate::carry::Verdict;
use crate::install::Draft;
use crate::line::{End, MAPPED, NONE, State};
use crate::open::is_opening;
use crate::ports::Place;
use crate::query::{Kind, Query};
use crate::refusal::Refusal;
use crate::table::{Flows, entry_of};
use crate::time::Tick;

/// Flows of a mapping that are searched for the sender's address.
const SEARCHED: usize = 64;

impl Flows {
    #[cold]
    pub(crate) fn stranger(&mut self, query: &Query, octets: &mut [u8], now: Tick) -> Verdict {
        if query.realm != NONE || query.kind != Kind::Segment {
            return Verdict::Unknown;
        }
        match self.admit(query, octets, now) {
            // The segment is followed as any other of its flow from here on.
            Ok(Some(slot)) => self.carry_by(entry_of(slot, End::Far), query, octets, now),
            Ok(None) => Verdict::Unknown,
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    /// Opens a flow for a SYN from the network, if the mapping has a flow with its sender's address (RFC 5382 REQ-3:
    /// address-dependent, as UDP's); none when the destination is no egress address with a port
    /// of this worker's.
    fn admit(&mut self, query: &Query, octets: &[u8], now: Tick) -> Result<Option<u32>, Refusal> {
        let [source, destination] = query.addresses;
        let Some(address) = self.ports.number(destination, query.v6) else { return Ok(None) };
        let [_, port] = query.ports;
        let place = Place { address, protocol: query.protocol, port };
        if !self.ports.has(place) {
            return Ok(None);
        }
        let head = self.ports.owner(place).ok_or(Refusal::NoMapping)?;
        let line = *self.lines.get(head as usize).ok_or(Refusal::Filtered)?;
        let may_open = query.protocol == tcp::PROTOCOL
            && line.has(MAPPED)
            && is_opening(query, octets)
            && self.has_spoken_to(head, source, now);
        if !may_open {
            return Err(Refusal::Filtered);
        }
        // Whoever a client has spoken to shall not be able to use up what the client needs for connections of its own.
        let setups = self.clients.of(line.client).map_or(0, |row| row.setups);
        if setups >= self.limits.setups / 2 {
            return Err(Refusal::ClientSetups);
        }
        self.make_room(line.client, true, now)?;
        // The client's own flows may have made room, and the mapping may be gone with them.
        let head = self.ports.owner(place).ok_or(Refusal::Filtered)?;
        self.install_incoming(query, (head, place), now).map(Some)
    }

    /// Whether one of a mapping's live flows is with this address.
    fn has_spoken_to(&self, head: u32, remote: [u32; 4], now: Tick) -> bool {
        let mut slot = head;
        for _ in 0..SEARCHED {
            let Some(line) = self.lines.get(slot as usize) else { return false };
            let [_, _, far_source, _] = line.addresses;
            if far_source == remote[0] && line.deadline > now {
                return true;
            }
            (_, slot) = self.links(slot);
        }
        false
    }

    fn install_incoming(
        &mut self,
        query: &Query,
        (head, place): (u32, Place),
        now: Tick,
    ) -> Result<u32, Refusal> {
        let line = *self.lines.get(head as usize).ok_or(Refusal::Filtered)?;
        let [near_source, ..] = line.addresses;
        let [near_port, ..] = line.ports;
        let [remote, egress] = query.addresses;
        let [remote_port, port] = query.ports;
        let draft = Draft {
            client: line.client,
            protocol: query.protocol,
            flags: MAPPED,
            state: State::Incoming,
            addresses: [[[near_source, 0, 0, 0], remote], [remote, egress]],
            ports: [[near_port, remote_port], [remote_port, port]],
            shifts: [0; 2],
        };
        let slot = self.install(&draft, now)?;
        self.join_mapping(slot, Some(head), place);
        Ok(slot)
    }
}
