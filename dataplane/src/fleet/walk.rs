//! The way of a packet that belongs to a client rather than to a session: an initiation, an inner packet to a client that
//! has no session where it came in, a sealed packet whose server is gone.
//!
//! It goes to the id's owner. An owner that does not hold the id asks those who owned it before, one after the other,
//! by sending them the packet: who holds the id keeps it, who does not sends it back. When nobody holds it, it is the
//! owner's. Only the owner walks, by its own view and without any state, so views that differ for a while neither
//! make loops nor leave anybody out: the position only grows, and who passes ownership on has a newer view each time.

use wire::fleet::{HOPS_MAX, Header, Step};
use wireguard::message::ClientId;

use super::view::View;
use crate::fate::DropReason;

/// How a packet goes to another server, or has come from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    /// The other server.
    pub server: u8,
    /// How many servers have passed on what another one should have kept.
    pub hops: u8,
    /// The view of who has walked.
    pub generation: u16,
    /// What the receiver shall do.
    pub step: Step,
    /// What is carried is an inner packet.
    pub inner: bool,
    /// The client showed no id; the one in the message is its peer's.
    pub named: bool,
    /// Which of the previous owners is asked.
    pub position: u8,
}

impl Passage {
    /// To the server that a receiver index names.
    pub const fn direct(server: u8) -> Self {
        Self {
            server,
            hops: 0,
            generation: 0,
            step: Step::Direct,
            inner: false,
            named: false,
            position: 0,
        }
    }

    /// As it came from `server` under this header.
    pub const fn of(server: u8, header: &Header) -> Self {
        let Header { generation, hops, step, inner, named, position, proof: _ } = *header;
        Self { server, hops, generation, step, inner, named, position }
    }

    /// The header under which it goes, without its proof.
    pub const fn header(&self) -> Header {
        let Self { server: _, hops, generation, step, inner, named, position } = *self;
        Header { generation, hops, step, inner, named, position, proof: 0 }
    }
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nowhere: it is this server's.
    Mine,
    /// To another server.
    To(Passage),
    /// Nobody can say: the membership was not told.
    Untold,
    /// It has walked in a way that no view explains.
    Lost(DropReason),
}

/// A packet of a view further away than this is no late one.
const GENERATIONS_APART_MAX: i16 = 1024;

impl View {
    /// Where a packet of this client goes; `came` is how another server has passed it on, `held` whether the id is held
    /// here.
    pub fn walk(&self, id: ClientId, came: Option<Passage>, held: impl Fn() -> bool) -> Verdict {
        let row = self.row(id);
        let Some(came) = came else {
            let first = Passage { step: Step::First, ..Passage::direct(self.owner(row)) };
            return self.to_owner(row, first, held);
        };
        if self.distance(came.generation).unsigned_abs() > GENERATIONS_APART_MAX.unsigned_abs() {
            return Verdict::Lost(DropReason::SteerGeneration);
        }
        match came.step {
            Step::Ask if held() => Verdict::Mine,
            Step::Ask => Verdict::To(Passage { step: Step::No, ..came }),
            Step::No if came.generation == self.generation() => {
                self.ask(row, came, usize::from(came.position) + 1)
            }
            // The view has changed while it was away: all of the walk again.
            Step::No => self.onward(row, came, held),
            // Who has an older view knows less than we of who owns it; who has a newer one knows better.
            Step::First | Step::Direct if self.distance(came.generation) < 0 => {
                self.onward(row, came, held)
            }
            Step::First | Step::Direct => self.coordinate(row, came, held),
        }
    }

    /// On to the owner, as one more who has passed it on.
    fn onward(&self, row: usize, came: Passage, held: impl Fn() -> bool) -> Verdict {
        if came.hops >= HOPS_MAX {
            return Verdict::Lost(DropReason::SteerHops);
        }
        self.to_owner(row, Passage { hops: came.hops + 1, ..came }, held)
    }

    fn to_owner(&self, row: usize, passage: Passage, held: impl Fn() -> bool) -> Verdict {
        let server = self.owner(row);
        if server == self.own() {
            return self.coordinate(row, passage, held);
        }
        let generation = self.generation();
        Verdict::To(Passage { server, step: Step::First, generation, position: 0, ..passage })
    }

    fn coordinate(&self, row: usize, passage: Passage, held: impl Fn() -> bool) -> Verdict {
        if held() { Verdict::Mine } else { self.ask(row, passage, 0) }
    }

    /// Asks the previous owner at this position or the next one that is not this server.
    fn ask(&self, row: usize, passage: Passage, position: usize) -> Verdict {
        let others = self.before(row).enumerate().skip(position);
        match others.into_iter().find(|(_, server)| *server != self.own()) {
            None => Verdict::Mine,
            Some((position, server)) => Verdict::To(Passage {
                server,
                step: Step::Ask,
                generation: self.generation(),
                position: u8::try_from(position).unwrap_or(u8::MAX),
                ..passage
            }),
        }
    }
}

#[cfg(test)]
mod tests;
