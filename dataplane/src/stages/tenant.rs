//! Stage 5, tenant: fragments are settled and the tenant's own rules asked, before anything reaches a tenant.

pub mod firewall;
pub mod fragments;
mod look;
pub mod tallies;

use std::sync::Arc;

use ::firewall::classifier::{Asked as Question, Classifier};
use ::firewall::facts::Facts;
use ::firewall::rules::Verdict;
use arrayvec::ArrayVec;
use wireguard::time::Instant;

use crate::burst::Burst;
use crate::fate::{DropReason, Fate, Waiting};
use crate::frame::{Entry, Frame, Kind};
use crate::limits::BURST_LEN_MAX;
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
                if tenant == datagram.tenant {
                    self.judge(&look::at_datagram(&datagram), tenant, rules, now).err()
                } else {
                    Some(DropReason::TenantFragmentLost)
                }
            }
            Err(reason) => Some(reason),
        };
        Some(Settled { id, lost, pieces })
    }

    /// Judges a datagram by itself.
    fn judge(
        &mut self,
        facts: &Facts,
        tenant: u16,
        rules: &Rules,
        now: Instant,
    ) -> Result<(), DropReason> {
        let Some(firewall) = rules.firewall(tenant) else {
            self.tallies.count(tenant, facts.length.into(), true);
            return Ok(());
        };
        let classes = firewall.classes(facts, &rules.sets);
        let first = firewall.classifier().first(facts, classes, 0);
        let decided = self.decide(firewall, (facts, classes), first, now);
        self.conclude(facts, tenant, decided)
    }

    #[inline]
    fn decide(
        &mut self,
        firewall: &Firewall,
        what: (&Facts, (u16, u16)),
        first: Option<u32>,
        now: Instant,
    ) -> (Verdict, DropReason) {
        let (buckets, tallies) = (&mut self.buckets, &*self.tallies);
        firewall.decide(what, first, &mut Asked { buckets, tallies, now })
    }

    /// Counts what was decided.
    #[inline]
    fn conclude(
        &self,
        facts: &Facts,
        tenant: u16,
        (verdict, reason): (Verdict, DropReason),
    ) -> Result<(), DropReason> {
        self.tallies.count(tenant, facts.length.into(), verdict == Verdict::Accept);
        match verdict {
            Verdict::Accept => Ok(()),
            Verdict::Drop => Err(reason),
        }
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

/// Asks the rules of each tenant that a packet goes to, once for each packet. The first rules of all packets are looked for
/// together, so that they wait for memory at the same time.
pub fn filter(burst: &mut Burst<'_>, tenancy: &mut Tenancy, rules: &Rules, now: Instant) {
    if rules.chosen.is_empty() {
        return;
    }
    let mut visits = ArrayVec::<Visit<'_>, BURST_LEN_MAX>::new();
    for (place, frame) in burst.frames().iter_mut().enumerate() {
        if frame.fate != Fate::Undecided {
            continue;
        }
        let Some(tenant) = visited(frame, rules) else { continue };
        if frame.note.ip.fragment {
            frame.fate = tenancy.wait(frame, now);
        } else if let Some(firewall) = rules.firewall(tenant) {
            visits.push(Visit { place, tenant, firewall, facts: look::at_packet(frame) });
        } else {
            tenancy.tallies.count(tenant, frame.note.ip.len.into(), true);
        }
    }
    if visits.is_empty() {
        return;
    }
    let asked = |visit| Visit::question(visit, rules);
    let questions: ArrayVec<Question<'_>, BURST_LEN_MAX> = visits.iter().map(asked).collect();
    let mut firsts = [None; BURST_LEN_MAX];
    if let Some(firsts) = firsts.get_mut(..questions.len()) {
        Classifier::first_burst(&questions, firsts);
    }
    for ((visit, question), first) in visits.iter().zip(&questions).zip(firsts) {
        let what = (&visit.facts, question.classes);
        let decided = tenancy.decide(visit.firewall, what, first, now);
        if let Err(reason) = tenancy.conclude(&visit.facts, visit.tenant, decided)
            && let Some(frame) = burst.frames().get_mut(visit.place)
        {
            frame.fate = Fate::Drop(reason);
        }
    }
}

/// A packet that a tenant's rules are asked about.
#[derive(Clone, Copy, Debug)]
struct Visit<'a> {
    place: usize,
    tenant: u16,
    firewall: &'a Firewall,
    facts: Facts,
}

impl Visit<'_> {
    #[inline]
    fn question(&self, rules: &Rules) -> Question<'_> {
        let classes = self.firewall.classes(&self.facts, &rules.sets);
        Question { classifier: self.firewall.classifier(), facts: &self.facts, classes }
    }
}

/// The tenant whose rules are to be asked about a frame.
#[inline]
fn visited(frame: &mut Frame<'_>, rules: &Rules) -> Option<u16> {
    if frame.note.kind != Kind::Inner || frame.note.entry == Entry::Own {
        return None;
    }
    if frame.note.tenant == OWN {
        frame.note.tenant = rules.tenants.of(frame.note.ip.destination);
    }
    let tenant = frame.note.tenant;
    (tenant != OWN && !was_judged(frame)).then_some(tenant)
}

/// Whether the rules were asked before: where another worker or server had it, before it waited, or as a whole.
#[inline]
const fn was_judged(frame: &Frame<'_>) -> bool {
    matches!(frame.note.entry, Entry::Client | Entry::Handed | Entry::Piece(_))
        || frame.note.passage.is_some()
}
