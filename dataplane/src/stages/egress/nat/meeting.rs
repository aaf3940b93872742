//! Which worker a reply is for. A flow's port says that; of a datagram in pieces only the first has one.

use flows::{Query, Refusal, Verdict};
use wireguard::time::Instant;

use crate::fate::{DropReason, Fate, Waiting};
use crate::frame::{Entry, Frame};
use crate::packet::flow_hash;
use crate::site::Nat;

use super::{Translator, drop};

impl Translator {
    #[inline]
    pub(super) fn worker_of(
        &mut self,
        frame: &mut Frame<'_>,
        query: &Query,
        nat: &Nat,
        now: Instant,
    ) -> Result<Option<u8>, Fate> {
        let destination = frame.note.ip.destination;
        match query.datagram() {
            // To the CONNECT port: all segments of a connection come to one worker.
            None if !(nat.holds(destination) || nat.terminates_at(destination)) => {
                Ok(u8::try_from(flow_hash(frame.data(), &frame.note.ip) % nat.workers()).ok())
            }
            None => Ok(nat.worker(query.port())),
            Some(datagram) => self.meet(frame, (query, datagram), nat, now),
        }
    }

    /// Where a piece of a datagram goes next. All of them meet at one worker, which sees the first one and sends the others after
    /// it.
    #[cold]
    fn meet(
        &mut self,
        frame: &mut Frame<'_>,
        (query, datagram): (&Query, u64),
        nat: &Nat,
        now: Instant,
    ) -> Result<Option<u8>, Fate> {
        let meeting = nat.meeting(datagram);
        if meeting != self.worker {
            let has_met = matches!(frame.note.entry, Entry::Reply(_));
            return Ok(Some(if has_met { self.worker } else { meeting }));
        }
        if !query.is_later() {
            let worker = nat.worker(query.port());
            self.pieces.remember(datagram, worker.unwrap_or(self.worker));
            return Ok(worker);
        }
        match self.pieces.find(datagram) {
            Some(worker) => Ok(Some(worker)),
            None => Err(self.wait(frame, (datagram, Entry::Reply(frame.note.endpoint.port)), now)),
        }
    }

    /// A piece waits for the first one of its datagram, and comes back by this entry.
    fn wait(
        &mut self,
        frame: &mut Frame<'_>,
        (datagram, entry): (u64, Entry),
        now: Instant,
    ) -> Fate {
        frame.note.entry = entry;
        match self.pieces.wait(datagram, now) {
            Some(id) => Fate::Hold(Waiting::First(id)),
            None => drop(DropReason::EgressNatFragment),
        }
    }

    /// A client's datagram in pieces: those that come before the first one wait for it.
    #[cold]
    pub(super) fn follow(
        &mut self,
        frame: &mut Frame<'_>,
        (query, datagram): (&Query, u64),
        verdict: Verdict,
        now: Instant,
    ) -> Result<(), Fate> {
        if matches!(verdict, Verdict::Carried { .. }) && !query.is_later() {
            self.pieces.remember(datagram, self.worker);
        }
        let is_early = verdict == Verdict::Refused(Refusal::FragmentEarly);
        if is_early && self.pieces.find(datagram).is_none() {
            // It has been routed.
            return Err(self.wait(frame, (datagram, Entry::Handed), now));
        }
        Ok(())
    }

    /// The same of a reply in pieces: the first one comes again when it was too long, and others that came with it are before it.
    #[cold]
    pub(super) fn follow_back(
        &mut self,
        frame: &mut Frame<'_>,
        (query, datagram): (&Query, u64),
        verdict: Verdict,
        now: Instant,
    ) -> Result<(), Fate> {
        if matches!(verdict, Verdict::Carried { .. }) && !query.is_later() {
            self.pieces.remember(datagram, self.worker);
        }
        if verdict == Verdict::Refused(Refusal::FragmentEarly) {
            let entry = Entry::Reply(frame.note.endpoint.port);
            return Err(self.wait(frame, (datagram, entry), now));
        }
        Ok(())
    }

    /// What waits under this id need not wait any more: the first piece of its datagram has come, or never will.
    pub fn next_pieces(&mut self, now: Instant) -> Option<(u32, bool)> {
        self.pieces.next_over(now)
    }
}
