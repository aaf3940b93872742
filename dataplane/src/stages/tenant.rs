//! Stage 5, tenant: fragments are settled and the tenant's own rules asked, before anything reaches a tenant.

pub mod firewall;
pub mod fragments;
mod look;
pub mod tallies;

use std::sync::Arc;

use ::firewall::facts::Facts;
use ::firewall::rules::Verdict;
use wireguard::time::Instant;

use crate::burst::Burst;
use crate::fate::{DropReason, Fate, Waiting};
use crate::frame::{Entry, Frame, Kind};
use crate::stages::dos::{OWN, Rules};
use firewall::{Asked, Buckets, Firewall};
use fragments::{Fragments, Piece};
use tallies::Tallies;

/// A datagram of which no piece waits for others any more, and what becomes of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What its pieces wait under.
    pub id: u32,
    /// Why they are lost; none when they go on.
    pub lost: Option<DropReason>,
    /// How many of them there must be to go on.
    pub pieces: u16,
}

/// What one worker judges packets to tenants with, beside the rules.
#[derive(Debug)]
pub struct Tenancy {
    fragments: Fragments,
    buckets: Buckets,
    tallies: Arc<Tallies>,
}

impl Tenancy {
    /// With room of its own; what it counts is read by the keeper. The seed is a secret.
    pub fn new(seed: u64, tallies: Arc<Tallies>) -> Self {
        Self { fragments: Fragments::new(seed), buckets: Buckets::default(), tallies }
    }

    /// What is counted of tenants and tunnels.
    pub fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    /// The next datagram whose waiting pieces are to be let go or lost; the rules judge it as the whole that it is.
    pub fn next_settled(&mut self, rules: &Rules, now: Instant) -> Option<Settled> {
        let (id, ended) = self.fragments.next_ended(now)?;
        let pieces = ended.map_or(0, |datagram| datagram.pieces);
        let lost = match ended {
            Ok(datagram) => {
                // While it waited its prefix may have become another tenant's, or nobody's.
                let tenant = rules.tenants.of(datagram.destination);
                match tenant == datagram.tenant {
                    true => self.judge(&look::at_datagram(&datagram), tenant, rules, now).err(),
                    false => Some(DropReason::TenantFragmentLost),
                }
            }
            Err(reason) => Some(reason),
        };
        Some(Settled { id, lost, pieces })
    }

    #[inline]
    fn judge(
        &mut self,
        facts: &Facts,
        tenant: u16,
        rules: &Rules,
        now: Instant,
    ) -> Result<(), DropReason> {
        let (verdict, reason) = match rules.firewall(tenant) {
            Some(firewall) => self.ask(firewall, facts, rules, now),
            None => (Verdict::Accept, DropReason::TenantPolicy),
        };
        self.tallies.count(tenant, facts.length.into(), verdict == Verdict::Accept);
        match verdict {
            Verdict::Accept => Ok(()),
            Verdict::Drop => Err(reason),
        }
    }

    #[inline]
    fn ask(
        &mut self,
        firewall: &Firewall,
        facts: &Facts,
        rules: &Rules,
        now: Instant,
    ) -> (Verdict, DropReason) {
        let (buckets, tallies) = (&mut self.buckets, &*self.tallies);
        firewall.decide(facts, &mut Asked { sets: &rules.sets, buckets, tallies, now })
    }

    /// A piece of a datagram waits for the others.
    #[cold]
    fn wait(&mut self, frame: &Frame<'_>, now: Instant) -> Fate {
        let Ok(piece) = Piece::read(frame.data()) else {
            return Fate::Drop(DropReason::TenantFragment);
        };
        match self.fragments.take(&piece, frame.note.tenant, now) {
            Ok(id) => Fate::Hold(Waiting::Datagram(id)),
            Err(reason) => Fate::Drop(reason),
        }
    }
}

/// Asks the rules of each tenant that a packet goes to, once for each packet.
pub fn filter(burst: &mut Burst<'_>, tenancy: &mut Tenancy, rules: &Rules, now: Instant) {
    if rules.chosen.is_empty() {
        return;
    }
    burst.pass(|frame| {
        if frame.note.kind != Kind::Inner || frame.note.entry == Entry::Own {
            return Ok(());
        }
        if frame.note.tenant == OWN {
            frame.note.tenant = rules.tenants.of(frame.note.ip.destination);
        }
        let tenant = frame.note.tenant;
        if tenant == OWN || was_judged(frame) {
            return Ok(());
        }
        if frame.note.ip.fragment {
            return Err(tenancy.wait(frame, now));
        }
        tenancy.judge(&look::at_packet(frame), tenant, rules, now).map_err(Fate::Drop)
    });
}

/// Whether the rules were asked before: where another worker or server had it, before it waited, or as a whole.
#[inline]
const fn was_judged(frame: &Frame<'_>) -> bool {
    matches!(frame.note.entry, Entry::Client | Entry::Handed | Entry::Piece(_))
        || frame.note.passage.is_some()
}
