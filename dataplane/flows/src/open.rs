//! How flows begin: a client's first packet to an address gets a mapping, its own or a new one, and a flow in it.

use wire::checksum::{Delta, Sum};
use wire::tcp::Flags;
use wire::{icmp, tcp, udp};

use crate::clients::NO_ADDRESS;
use crate::line::{Cold, End, HAIRPIN, Line, MAPPED, NONE, State, USED, V6, WIRE, addresses_at};
use crate::ports::Place;
use crate::query::{Kind, Query, words_of};
use crate::refusal::Refusal;
use crate::table::{FlowId, Flows, entry_of};
use crate::time::{Instant, Tick};

/// What the caller has decided about a new flow, and wants kept with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// The exit, or whatever names it.
    pub route: u32,
    /// Of the routes by which it was chosen.
    pub generation: u16,
}

/// A flow before it is in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft {
    pub(crate) client: u32,
    pub(crate) protocol: u8,
    pub(crate) flags: u8,
    pub(crate) state: State,
    /// Source and destination of packets that come in at the near side, then at the far side.
    pub(crate) addresses: [[[u32; 4]; 2]; 2],
    pub(crate) ports: [[u16; 2]; 2],
    pub(crate) way: Way,
}

/// Flows of a client that are looked at when it needs room: the oldest ones.
const LOOKED_AT: usize = 32;

impl Flows {
    /// Opens a flow for a client's packet that has none, and finds its mapping or makes it; the packet is carried by
    /// [`Flows::carry`] as any other. `random` is a word that nobody can guess (RFC 6056).
    ///
    /// UDP and ICMP keep the way of their mapping, if there is one: who has learned the mapping's address shall be able to
    /// use it (RFC 4787 REQ-1). The flow says which way it has got.
    ///
    /// Errors: `NoFlow`, `Icmp`, `Protocol`, `Family`, `NoMapping` for what is not a client's, `Client`, `ClientFlows`,
    /// `ClientSetups`, `ClientPorts`, `TableFull`, `PortsExhausted`, `NoAddress`.
    pub fn open(
        &mut self,
        query: &Query,
        octets: &[u8],
        way: Way,
        (now, random): (Instant, u64),
    ) -> Result<FlowId, Refusal> {
        let now = now.tick();
        let state = begins(query, octets)?;
        if let Some(entry) = self.entry(query) {
            return Ok(FlowId(entry >> 1));
        }
        self.make_room(query.realm, state.is_setup(), now)?;
        let mapped = self.mapped(query.realm, query);
        let (place, way) = match mapped
            .and_then(|head| self.place_of(head).map(|place| (head, place)))
        {
            Some((head, place)) => (place, self.way_of(head, query.protocol, way)),
            None => (self.take_port(query.realm, (query.protocol, query.v6), random, now)?, way),
        };
        let slot = self.install_mapped(query, (state, way), (place, mapped), now);
        if slot.is_err() && mapped.is_none() {
            self.give_port(query.realm, place, now);
        }
        slot.map(FlowId)
    }

    /// The flow whose mapping a client's packet would share: its way is the one to take, and its address is known outside.
    pub fn mapping_of(&self, query: &Query) -> Option<FlowId> {
        let is_mapped = query.kind == Kind::Segment && query.realm != NONE && !query.v6;
        is_mapped.then(|| self.mapped(query.realm, query)).flatten().map(FlowId)
    }

    fn way_of(&self, head: u32, protocol: u8, way: Way) -> Way {
        let line = self.lines.get(head as usize);
        match line.filter(|_| protocol != tcp::PROTOCOL) {
            Some(line) => Way { route: line.route, generation: line.generation },
            None => way,
        }
    }

    /// The first flow of the mapping of an address and port of a client's.
    fn mapped(&self, client: u32, query: &Query) -> Option<u32> {
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
        if row.ports >= self.limits.ports {
            return Err(Refusal::ClientPorts);
        }
        let [v4_address, v6_address] = &mut row.addresses;
        let address = if v6 { v6_address } else { v4_address };
        if *address == NO_ADDRESS {
            *address = self.ports.choose(v6, protocol, random).ok_or(Refusal::NoAddress)?;
        }
        // The address has taken some of the random word.
        let random = random.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let place = self.ports.take((*address, protocol), random, now);
        let place = place.ok_or(Refusal::PortsExhausted)?;
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

    /// Makes sure that the client may have one more flow and that there is a line for it. A client that has all it may have,
    /// or meets a full table, can still use again what it has used: its own flows that are over.
    pub(crate) fn make_room(&mut self, client: u32, setup: bool, now: Tick) -> Result<(), Refusal> {
        let row = *self.clients.of(client).ok_or(Refusal::Client)?;
        if setup && row.setups >= self.limits.setups {
            return Err(Refusal::ClientSetups);
        }
        let lacking = if row.flows >= self.limits.flows {
            Refusal::ClientFlows
        } else if self.unused == NONE && self.fresh as usize >= self.lines.len() {
            Refusal::TableFull
        } else {
            return Ok(());
        };
        let slot = self.own_over(row.newest, now).ok_or(lacking)?;
        self.end(slot, now);
        Ok(())
    }

    /// One of the client's oldest flows that is over.
    fn own_over(&self, newest: u32, now: Tick) -> Option<u32> {
        let mut slot = newest;
        for _ in 0..LOOKED_AT {
            slot = self.cold.get(slot as usize)?.newer;
            let line = self.lines.get(slot as usize)?;
            if line.state.is_over() || line.deadline <= now {
                return Some(slot);
            }
            if slot == newest {
                break;
            }
        }
        None
    }

    /// Puts a flow of a mapping into the table.
    pub(crate) fn install_mapped(
        &mut self,
        query: &Query,
        (state, way): (State, Way),
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
            way,
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

    /// Puts a flow into the table: its line, both ends in the index, and the client's ring. There is room.
    pub(crate) fn install(&mut self, draft: &Draft, now: Tick) -> Result<u32, Refusal> {
        let slot = if self.unused == NONE { self.fresh } else { self.unused };
        let line = self.lines.get_mut(slot as usize).ok_or(Refusal::TableFull)?;
        let cold = self.cold.get_mut(slot as usize).ok_or(Refusal::TableFull)?;
        let next_unused = line.client;
        write(line, cold, draft);
        line.deadline = now.after(self.spans.of(draft.state, draft.protocol));
        if let Err(conflict) = self.enter_ends(slot) {
            if let Some(line) = self.lines.get_mut(slot as usize) {
                *line = Line { client: next_unused, ..Line::UNUSED };
            }
            return Err(conflict);
        }
        if self.unused == NONE {
            self.fresh += 1;
        } else {
            self.unused = next_unused;
        }
        self.count += 1;
        self.join_client(slot, draft.client, draft.state.is_setup());
        Ok(slot)
    }

    /// Enters both ends of a written line into the index, or neither.
    pub(crate) fn enter_ends(&mut self, slot: u32) -> Result<(), Refusal> {
        let hashes = [End::Near, End::Far].map(|end| (end, self.key_hash(slot, end)));
        for (end, hash) in hashes {
            if self.is_taken(slot, end, hash) {
                return Err(Refusal::Conflict);
            }
        }
        for (end, hash) in hashes {
            // The index has room for two ends of each line.
            self.ends.insert(hash, entry_of(slot, end)).map_err(|_| Refusal::TableFull)?;
        }
        Ok(())
    }

    /// Whether another flow looks the same as this one from a side.
    fn is_taken(&self, slot: u32, end: End, hash: u64) -> bool {
        let Some(query) = self.query_of(slot, end, hash) else { return true };
        self.entry(&query).is_some_and(|entry| entry >> 1 != slot)
    }

    /// What a packet that comes in at a side of a flow would ask.
    pub(crate) fn query_of(&self, slot: u32, end: End, hash: u64) -> Option<Query> {
        let line = self.lines.get(slot as usize)?;
        let cold = self.cold.get(slot as usize)?;
        let outside = end == End::Far || line.has(WIRE);
        Some(Query {
            addresses: addresses_at(line, cold, end),
            hash,
            datagram: 0,
            realm: if outside { NONE } else { line.client },
            likely: NONE,
            ports: line.ports_at(end),
            at: 0,
            len: 0,
            protocol: line.protocol,
            v6: line.has(V6),
            kind: Kind::Segment,
            asks: false,
        })
    }

    /// Makes a flow the newest of its client's ring.
    fn join_client(&mut self, slot: u32, client: u32, setup: bool) {
        let Some(row) = self.clients.of_mut(client) else { return };
        let former = core::mem::replace(&mut row.newest, slot);
        row.flows += 1;
        row.setups += u32::from(setup);
        let oldest = self.cold.get(former as usize).map_or(slot, |cold| cold.newer);
        let older = if former == NONE { slot } else { former };
        self.tie(older, slot);
        self.tie(slot, oldest);
    }

    /// Makes `newer` follow `older` in a client's ring, in which the oldest follows the newest.
    pub(crate) fn tie(&mut self, older: u32, newer: u32) {
        if let Some(cold) = self.cold.get_mut(older as usize) {
            cold.newer = newer;
        }
        if let Some(cold) = self.cold.get_mut(newer as usize) {
            cold.older = older;
        }
    }
}

/// Whether a client's packet may begin a flow, and in which state.
fn begins(query: &Query, octets: &[u8]) -> Result<State, Refusal> {
    match query.kind {
        Kind::Segment if query.realm == NONE => return Err(Refusal::NoMapping),
        Kind::Segment if query.v6 => return Err(Refusal::Family),
        Kind::Segment => {}
        Kind::Later => return Err(Refusal::FragmentEarly),
        Kind::Error => return Err(Refusal::ErrorUnmatched),
    }
    match query.protocol {
        udp::PROTOCOL => Ok(State::Untracked),
        icmp::v4::PROTOCOL if query.asks => Ok(State::Untracked),
        icmp::v4::PROTOCOL => Err(Refusal::Icmp),
        tcp::PROTOCOL if is_opening(query, octets) => Ok(State::Opening),
        tcp::PROTOCOL => Err(Refusal::NoFlow),
        _ => Err(Refusal::Protocol),
    }
}

/// Whether a segment is the first of a connection: a SYN alone.
pub(crate) fn is_opening(query: &Query, octets: &[u8]) -> bool {
    let flags = octets.get(usize::from(query.at) + 13).copied().unwrap_or_default();
    let kinds = Flags::SYN | Flags::ACK | Flags::RST | Flags::FIN;
    flags & kinds.0 == Flags::SYN.0
}

/// Writes a line, all but its deadline.
pub(crate) fn write(line: &mut Line, cold: &mut Cold, draft: &Draft) {
    let [[near_source, near_destination], [far_source, far_destination]] = draft.addresses;
    let [[a, b], [c, d]] = draft.ports;
    *line = Line {
        client: draft.client,
        ports: [a, b, 0, 0],
        protocol: draft.protocol,
        flags: draft.flags | USED,
        state: draft.state,
        route: draft.way.route,
        generation: draft.way.generation,
        ..Line::UNUSED
    };
    *cold = Cold::UNUSED;
    if line.has(V6) {
        line.addresses = near_source;
        let (places, _) = cold.more.as_chunks_mut::<4>();
        places.iter_mut().zip([near_destination]).for_each(|(place, address)| *place = address);
    } else {
        line.addresses = [near_source[0], near_destination[0], 0, 0];
    }
    write_far((line, cold), [far_source, far_destination], [c, d]);
}

/// Writes the far side of a line, and what the change between the sides makes to checksums, on the way from near to far.
pub(crate) fn write_far(
    (line, cold): (&mut Line, &mut Cold),
    [source, destination]: [[u32; 4]; 2],
    [source_port, destination_port]: [u16; 2],
) {
    if line.has(V6) {
        let (places, _) = cold.more.as_chunks_mut::<4>();
        let far = places.iter_mut().skip(1).zip([source, destination]);
        far.for_each(|(place, address)| *place = address);
    } else {
        (line.addresses[2], line.addresses[3]) = (source[0], destination[0]);
    }
    (line.ports[2], line.ports[3]) = (source_port, destination_port);
    let [near, far] = [End::Near, End::Far].map(|end| sum_of(addresses_at(line, cold, end)));
    let addresses = Delta::between(near, far);
    // The order of words does not matter to a sum: source becomes destination.
    let [a, b, c, d] = line.ports;
    let ports = Delta::of_word(a, d).plus(Delta::of_word(b, c));
    line.header = if line.has(V6) { Delta::NONE } else { addresses };
    // ICMP has no pseudo header in IPv4.
    let is_icmp = line.protocol == icmp::v4::PROTOCOL;
    line.upper = if is_icmp { ports } else { addresses.plus(ports) };
}

/// The sum of two addresses.
pub(crate) fn sum_of(addresses: [[u32; 4]; 2]) -> Sum {
    let words = addresses.as_flattened().iter();
    words.fold(Sum::ZERO, |sum, word| sum.plus(Sum::of(&word.to_ne_bytes())))
}
