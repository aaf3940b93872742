//! Mappings: an address and port of a client's has one outside, as long as one of its flows lives (RFC 4787 REQ-1). The flows of
//! a mapping are linked; the first one stands for it in the index and with its port.

use crate::clients::NO_ADDRESS;
use crate::install::Draft;
use crate::line::{End, HAIRPIN, Line, MAPPED, NONE, State, V6, addresses_at};
use crate::ports::Place;
use crate::query::{Query, words_of};
use crate::refusal::Refusal;
use crate::table::Flows;
use crate::time::Tick;

impl Flows {
    /// Whether a client's address and port has a mapping here already: it is used whatever the packet's destination is.
    pub fn has_mapping(&self, query: &Query) -> bool {
        !query.v6 && self.mapped(query.realm, query).is_some()
    }

    /// The first flow of the mapping of an address and port of a client's.
    pub(crate) fn mapped(&self, client: u32, query: &Query) -> Option<u32> {
        let ([source, _], [port, _]) = (query.addresses, query.ports);
        let hash = self.mapping_key_hash((client, query.protocol), source, port);
        self.mappings.find(hash, |slot| {
            self.lines.get(slot as usize).is_some_and(|line| {
                let ([own_source, ..], [own_port, ..]) = (line.addresses, line.ports);
                line.client == client
                    && line.protocol == query.protocol
                    && (own_source, own_port) == (source[0], port)
            })
        })
    }

    /// The port of the pool at a flow's far side.
    pub(crate) fn place_of(&self, slot: u32) -> Option<Place> {
        let line = self.lines.get(slot as usize)?;
        let cold = self.cold.get(slot as usize)?;
        let [_, destination] = addresses_at(line, cold, End::Far);
        let [_, port] = line.ports_at(End::Far);
        let address = self.ports.number(destination, line.has(V6))?;
        let place = Place { address, protocol: line.protocol, port };
        self.ports.has(place).then_some(place)
    }

    /// Takes a port at the address that the client has, or gets now (RFC 4787 REQ-2).
    pub(crate) fn take_port(
        &mut self,
        client: u32,
        (protocol, v6): (u8, bool),
        random: u64,
        now: Tick,
    ) -> Result<Place, Refusal> {
        let row = self.clients.of_mut(client).ok_or(Refusal::Client)?;
        let [v4_address, v6_address] = &mut row.addresses;
        let address = if v6 { v6_address } else { v4_address };
        if *address == NO_ADDRESS {
            *address = self.ports.choose(v6, protocol, random).ok_or(Refusal::NoAddress)?;
        }
        let address = *address;
        // The address has taken some of the random word.
        let random = random.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.take_port_at(client, (address, protocol), random, now)
    }

    /// Takes a port at this address.
    pub(crate) fn take_port_at(
        &mut self,
        client: u32,
        at: (u16, u8),
        random: u64,
        now: Tick,
    ) -> Result<Place, Refusal> {
        let row = self.clients.of_mut(client).ok_or(Refusal::Client)?;
        if row.ports >= self.limits.ports {
            return Err(Refusal::ClientPorts);
        }
        let place = self.ports.take(at, random, now).ok_or(Refusal::PortsExhausted)?;
        row.ports += 1;
        Ok(place)
    }

    /// Gives a client's port back.
    pub(crate) fn give_port(&mut self, client: u32, place: Place, now: Tick) {
        self.ports.give(place, &self.spans, now);
        if let Some(row) = self.clients.of_mut(client) {
            row.ports = row.ports.saturating_sub(1);
        }
    }

    /// Puts a flow of a mapping into the table.
    pub(crate) fn install_mapped(
        &mut self,
        query: &Query,
        state: State,
        (place, mapped): (Place, Option<u32>),
        now: Tick,
    ) -> Result<u32, Refusal> {
        let [source, destination] = query.addresses;
        let [source_port, destination_port] = query.ports;
        let egress = self.ports.address(place.address).map(words_of).ok_or(Refusal::NoAddress)?;
        let hairpin = self.ports.number(destination, false).map_or(0, |_| HAIRPIN);
        let draft = Draft {
            client: query.realm,
            protocol: query.protocol,
            flags: MAPPED | hairpin,
            state,
            addresses: [[source, destination], [destination, egress]],
            ports: [[source_port, destination_port], [destination_port, place.port]],
            shifts: [0; 2],
        };
        let slot = self.install(&draft, now)?;
        self.join_mapping(slot, mapped, place);
        Ok(slot)
    }

    /// Makes a flow one of a mapping, the first one or behind the first.
    pub(crate) fn join_mapping(&mut self, slot: u32, head: Option<u32>, place: Place) {
        let Some(head) = head else {
            let hash = self.lines.get(slot as usize).map_or(0, |line| self.mapping_hash(line));
            // The index has room for as many mappings as there are flows.
            let _: Result<(), _> = self.mappings.insert(hash, slot);
            self.ports.own(place, slot);
            self.set_links(slot, (NONE, NONE));
            return;
        };
        let (before, second) = self.links(head);
        self.set_links(head, (before, slot));
        self.set_links(slot, (head, second));
        if second != NONE {
            let (_, behind) = self.links(second);
            self.set_links(second, (slot, behind));
        }
    }

    /// The flow before and behind in the mapping.
    pub(crate) fn links(&self, slot: u32) -> (u32, u32) {
        self.cold.get(slot as usize).map_or((NONE, NONE), |cold| {
            let [before, behind, ..] = cold.more;
            (before, behind)
        })
    }

    pub(crate) fn set_links(&mut self, slot: u32, (before, behind): (u32, u32)) {
        if let Some(cold) = self.cold.get_mut(slot as usize) {
            (cold.more[0], cold.more[1]) = (before, behind);
        }
    }

    /// Takes a flow out of its mapping; with the last one the mapping ends.
    pub(crate) fn leave_mapping(&mut self, slot: u32, line: &Line, now: Tick) {
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
}
