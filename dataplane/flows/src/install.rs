//! Lines in use: how a flow is written into one, found by both its ends, and counted as its client's.

use wire::checksum::{Delta, Sum};
use wire::icmp;

use crate::line::{Cold, End, Line, NONE, Shifted, State, USED, V6, addresses_at};
use crate::query::{Kind, Query};
use crate::refusal::Refusal;
use crate::table::{Flows, split};
use crate::time::Tick;

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
    /// What is added to the sequence numbers of each side's segments.
    pub(crate) shifts: [u32; 2],
}

impl Flows {
    /// Puts a flow into the table: its line, both ends in the index, and the client's ring. There is room.
    pub(crate) fn install(&mut self, draft: &Draft, now: Tick) -> Result<u32, Refusal> {
        let slot = self.take_line()?;
        if let Some((line, cold)) = self.parts_mut(slot) {
            write(line, cold, draft);
        }
        if let Some(line) = self.lines.get_mut(slot as usize) {
            line.deadline = now.after(self.spans.of(draft.state, draft.protocol));
        }
        if let Err(conflict) = self.enter_ends(slot, now) {
            self.give_line(slot);
            return Err(conflict);
        }
        self.count += 1;
        self.join_client(slot, draft.client, draft.state.is_setup());
        Ok(slot)
    }

    fn take_line(&mut self) -> Result<u32, Refusal> {
        let slot = if self.unused == NONE { self.fresh } else { self.unused };
        let line = self.lines.get(slot as usize).ok_or(Refusal::TableFull)?;
        if self.unused == NONE {
            self.fresh += 1;
        } else {
            self.unused = line.client;
        }
        Ok(slot)
    }

    pub(crate) fn give_line(&mut self, slot: u32) {
        if let Some(line) = self.lines.get_mut(slot as usize) {
            *line = Line { client: self.unused, ..Line::UNUSED };
            self.unused = slot;
        }
    }

    pub(crate) fn parts_mut(&mut self, slot: u32) -> Option<(&mut Line, &mut Cold)> {
        self.lines.get_mut(slot as usize).zip(self.cold.get_mut(slot as usize))
    }

    /// Enters both ends of a written line into the index, or neither.
    fn enter_ends(&mut self, slot: u32, now: Tick) -> Result<(), Refusal> {
        let hashes = [End::Near, End::Far].map(|end| (end, self.key_hash(slot, end)));
        for (end, hash) in hashes {
            if let Some(other) = self.look_alike(slot, end, hash) {
                let is_over = |line: &Line| line.deadline <= now;
                if !self.lines.get(other as usize).is_some_and(is_over) {
                    return Err(Refusal::Conflict);
                }
                self.end(other, now);
            }
        }
        for (end, hash) in hashes {
            // The index has room for two ends of each line.
            self.ends.insert(hash, self.own_entry(slot, end)).map_err(|_| Refusal::TableFull)?;
        }
        Ok(())
    }

    /// Another flow that looks the same as this one from a side.
    fn look_alike(&self, slot: u32, end: End, hash: u64) -> Option<u32> {
        self.entry(&self.query_of(slot, end, hash)?).map(|entry| split(entry).0)
    }

    /// What a packet that comes in at a side of a flow would ask.
    fn query_of(&self, slot: u32, end: End, hash: u64) -> Option<Query> {
        let line = self.lines.get(slot as usize)?;
        let cold = self.cold.get(slot as usize)?;
        Some(Query {
            addresses: addresses_at(line, cold, end),
            hash,
            datagram: 0,
            realm: line.realm_at(end),
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

    /// Takes a flow out of its client's ring.
    pub(crate) fn leave_client(&mut self, slot: u32, line: &Line) {
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

/// Writes a line, all but its deadline.
fn write(line: &mut Line, cold: &mut Cold, draft: &Draft) {
    let [[near_source, near_destination], [far_source, far_destination]] = draft.addresses;
    let [[a, b], [c, d]] = draft.ports;
    *line = Line {
        client: draft.client,
        ports: [a, b, 0, 0],
        protocol: draft.protocol,
        flags: draft.flags | USED,
        state: draft.state,
        ..Line::UNUSED
    };
    (line.shifted, line.shift) = Shifted::of(draft.shifts);
    *cold = Cold { shifts: draft.shifts, ..Cold::UNUSED };
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
fn write_far(
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
