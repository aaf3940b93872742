//! How flows begin: a client's first packet to an address gets a mapping, its own or a new one, and a flow in it.

use wire::tcp::Flags;
use wire::{icmp, tcp, udp};

use crate::line::{NONE, State};
use crate::query::{Kind, Query};
use crate::refusal::Refusal;
use crate::table::{FlowId, Flows, split};
use crate::time::{Instant, Tick};

/// Flows of a client that are looked at when it needs room: the oldest ones.
const LOOKED_AT: usize = 32;

impl Flows {
    /// Opens a flow for a client's packet that has none, and finds its mapping or makes it; the packet is carried by
    /// [`Flows::carry`] as any other. `random` is a word that nobody can guess (RFC 6056).
    ///
    /// Errors: `NoFlow`, `Icmp`, `Protocol`, `Family`, `NoMapping` for what is not a client's, `Client`, `ClientFlows`,
    /// `ClientSetups`, `ClientPorts`, `TableFull`, `PortsExhausted`, `NoAddress`.
    pub fn open(
        &mut self,
        query: &Query,
        octets: &[u8],
        (now, random): (Instant, u64),
    ) -> Result<FlowId, Refusal> {
        let now = now.tick();
        let state = begins(query, octets)?;
        if let Some(entry) = self.entry(query) {
            return Ok(FlowId(split(entry).0));
        }
        self.make_room(query.realm, state.is_setup(), now)?;
        let mapped = self.mapped(query.realm, query);
        let place = match mapped.and_then(|head| self.place_of(head)) {
            Some(place) => place,
            None => self.take_port(query.realm, (query.protocol, query.v6), random, now)?,
        };
        let slot = self.install_mapped(query, state, (place, mapped), now);
        if slot.is_err() && mapped.is_none() {
            self.give_port(query.realm, place, now);
        }
        slot.map(FlowId)
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
