//! TCP to tenants: who asks for a connection proves himself, and what belongs to none is held back.

use std::time::Duration;

use wireguard::time::Instant;

use super::flows::{self, Flows};
use super::syn::{self, Arrival, Guard, Place, Places, Segment, Verdict};

/// What a tenant has chosen, as one worker keeps to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether and how sources prove themselves.
    pub syn: syn::Policy,
    /// Whether and how flows are tracked.
    pub flows: flows::Policy,
}

impl Policy {
    /// The share of one of so many workers in what a tenant has chosen for the whole server. A threshold of 0 means
    /// "always", so another stays above it.
    #[must_use]
    pub fn share(self, workers: u32) -> Self {
        let part = |whole: u32| whole.div_ceil(workers.max(1));
        let syn = syn::Policy { above: part(self.syn.above), ..self.syn };
        let out_of_state = part(self.flows.out_of_state);
        Self { syn, flows: flows::Policy { out_of_state, ..self.flows } }
    }

    /// Whether anything is to be done at all.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.syn.proof == syn::Proof::Off && !self.flows.tracked
    }
}

/// One worker's judgement of TCP to tenants.
#[derive(Debug)]
pub struct Transit {
    places: Places,
    /// Who has to prove himself.
    pub guard: Guard,
    /// What is under way.
    pub flows: Flows,
}

impl Transit {
    /// `places` is the server's, as the proven sources are that `guard` shares.
    pub fn new(places: Places, guard: Guard, flows: Flows) -> Self {
        Self { places, guard, flows }
    }

    /// Follows the wall clock; call it once per turn.
    pub fn advance(&mut self, unix: Duration) {
        self.guard.advance(unix);
    }

    /// Tenant number `tenant` is another from here on.
    pub fn forget(&mut self, tenant: usize) {
        self.guard.forget(tenant);
        self.flows.forget(tenant);
    }

    /// Finds a segment's place in the tables and begins to fetch it. Do so for a whole burst before the first is judged.
    #[inline]
    pub fn ahead(&self, segment: &Segment, policy: Policy) -> Place {
        let place = self.places.of(segment);
        if policy.syn.proof != syn::Proof::Off && segment.is_syn() {
            self.guard.fetch(place);
        }
        if policy.flows.tracked {
            self.flows.fetch(place);
        }
        place
    }

    /// Judges a segment to tenant number `tenant`; nothing of its packet is changed. What is to be answered is answered by
    /// [`syn::write()`].
    #[inline]
    pub fn judge(
        &mut self,
        arrival: Arrival<'_>,
        (tenant, policy): (usize, Policy),
        now: Instant,
    ) -> Verdict {
        let both = policy.syn.proof != syn::Proof::Off && policy.flows.tracked;
        let is_known = both && self.flows.knows(arrival.place, now);
        match self.guard.judge(arrival, (tenant, policy.syn), is_known, now) {
            Verdict::Pass => {}
            decided @ (Verdict::Drop(_) | Verdict::Answer(_) | Verdict::Consume) => return decided,
        }
        match self.flows.judge(arrival.segment, arrival.place, (tenant, policy.flows), now) {
            Ok(()) => Verdict::Pass,
            Err(reason) => Verdict::Drop(reason),
        }
    }
}

#[cfg(test)]
mod tests;
