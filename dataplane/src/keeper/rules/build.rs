//! What workers read of the rules, built aside. Lists and signatures are dear and stay while nothing in them changes; the
//! rest is made anew each time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cbpf::{Program, Set};
use shm::limits::{RULES_MAX, TENANTS_MAX};
use shm::message::{self, Check, Matter, Mode, Per, SynGuard};
use shm::transaction::Obstacle;

use super::{At, Book, Entry, Name, Protected, Refused, Stale, Surroundings, rate_of};
use crate::stages::dos::buckets::Scope;
use crate::stages::dos::lists::Master;
use crate::stages::dos::syn::{self, Proof};
use crate::stages::dos::{
    Checked, Limit, Limits, Outline, Policy, Reach, Rules, Sharing, Tenants, flows, transit,
};

impl Book {
    /// Builds what workers read, of what is not stale again the same.
    pub(super) fn rebuild(
        &mut self,
        before: &Self,
        (named, end): (&BTreeMap<Name, At>, At),
        surroundings: Surroundings<'_>,
    ) -> Result<Arc<Rules>, Refused> {
        if self.stale.tenants {
            self.built.tenants = Arc::new(self.tenants_built().map_err(|what| (end, what))?);
        }
        if self.stale.lists {
            let lists = self.lists.build().map_err(|_| (end, Obstacle::TooManyPrefixes))?;
            self.built.lists = Arc::new(lists);
        }
        if self.stale.signatures {
            let set = self.signatures_built(surroundings.seed).map_err(|slot| {
                let rule = self.slots().find(|(_, other)| *other == slot).map(|(id, _)| id);
                let at = rule.and_then(|id| named.get(&Name::Rule(id))).copied();
                (at.unwrap_or(end), Obstacle::TooManyInstructions)
            })?;
            self.built.signatures = Arc::new(set);
        }
        if self.stale.sets {
            let sets = self.sets.build().map_err(|_| (end, Obstacle::TooManyPrefixes))?;
            self.built.sets = Arc::new(sets);
        }
        let workers = u32::try_from(surroundings.site.workers).unwrap_or(u32::MAX);
        self.compile(before, (named, end), workers)?;
        if self.stale.tunnels || self.stale.tenants {
            self.check_recursion((named, end))?;
            let Surroundings { site, seed, .. } = surroundings;
            self.built.tunnels = Arc::new(self.tunnels_built(site, seed));
        }
        self.stale = Stale::default();
        Ok(self.rules(surroundings))
    }

    fn tenants_built(&self) -> Result<Tenants, Obstacle> {
        let mut prefixes = Master::default();
        for Protected { tenant, number, .. } in self.tenants.values() {
            prefixes.add(*number, &tenant.prefixes);
        }
        prefixes.build().map(Tenants::new).map_err(|_| Obstacle::TooManyTenants)
    }

    fn signatures_built(&self, seed: u64) -> Result<Set, u16> {
        let of = |entry: &'_ Entry| entry.program.clone().map(|program| (entry.slot, program));
        let programs: Vec<(u16, Arc<Program>)> = self.rules.values().filter_map(of).collect();
        let programs: Vec<(u16, &Program)> =
            programs.iter().map(|(slot, program)| (*slot, &**program)).collect();
        Set::build(&programs, seed).map_err(|error| error.slot)
    }

    /// What workers read, with those rules out of force that have expired.
    pub(in crate::keeper) fn rules(&self, surroundings: Surroundings<'_>) -> Arc<Rules> {
        let workers = u32::try_from(surroundings.site.workers).unwrap_or(u32::MAX);
        let highest = self.tenants.values().map(|known| known.number).max().unwrap_or(0);
        // This server first.
        let mut policies = vec![Policy::default(); usize::from(highest) + 1];
        for known in self.tenants.values() {
            if let Some(policy) = policies.get_mut(usize::from(known.number)) {
                policy.tenant = Some(known.tenant.id);
                policy.mode = known.tenant.mode;
                policy.transit = transit_of(known).share(workers);
            }
        }
        let mut outlines = Vec::new();
        let (mut sources, mut totals, mut rates) = (Vec::new(), Vec::new(), Vec::new());
        for entry in self.rules.values() {
            let mode = mode(entry, surroundings.unix);
            let reach = self.reach(entry.rule.reach);
            put(&mut outlines, entry.slot, outline(entry, mode, reach));
            let is_over = mode != entry.rule.mode;
            if let Matter::Check(check) = entry.rule.matter
                && !is_over
            {
                check_by(&mut policies, reach, check, Checked { mode, slot: entry.slot });
            }
            let Some(limit) = limit(entry, workers).filter(|_| mode != Mode::Off) else { continue };
            if let Sharing::Whole = limit.sharing {
                rates.push((limit.slot, limit.rate));
            }
            let is_source = matches!(limit.sharing, Sharing::Source(_));
            if is_source { &mut sources } else { &mut totals }.push((reach, limit));
        }
        let chosen = policies.split_off(1);
        let firewalls = self.firewalls(chosen.len());
        rates.sort_unstable_by_key(|(slot, _)| *slot);
        Arc::new(Rules {
            tenants: Arc::clone(&self.built.tenants),
            outlines,
            lists: Arc::clone(&self.built.lists),
            signatures: Arc::clone(&self.built.signatures),
            sources: Limits::new(&sources),
            totals: Limits::new(&totals),
            own: policies.pop().unwrap_or_default(),
            chosen,
            rates,
            sets: Arc::clone(&self.built.sets),
            firewalls,
            tunnels: Arc::clone(&self.built.tunnels),
        })
    }

    /// A tenant that a rule reaches is there: it was checked.
    fn reach(&self, reach: message::Reach) -> Reach {
        match reach {
            message::Reach::All => Reach::All,
            message::Reach::Own => Reach::To(0),
            message::Reach::Tenant(id) => {
                Reach::To(self.tenants.get(&id).map_or(u16::MAX, |known| known.number))
            }
        }
    }
}

fn put(outlines: &mut Vec<Outline>, slot: u16, outline: Outline) {
    let place = usize::from(slot);
    if outlines.len() <= place {
        outlines.resize(place + 1, Outline::NONE);
    }
    if let Some(there) = outlines.get_mut(place) {
        *there = outline;
    }
}

/// A rule whose time is over is as good as switched off.
fn mode(entry: &Entry, unix: Duration) -> Mode {
    let expired = entry.rule.expires.is_some_and(|time| time <= unix);
    if expired { Mode::Off } else { entry.rule.mode }
}

fn outline(entry: &Entry, mode: Mode, reach: Reach) -> Outline {
    Outline { mode, reach, allows: matches!(entry.rule.matter, Matter::Allow) }
}

/// A check within its reach; what is said of one tenant counts more than what is said of all.
fn check_by(policies: &mut [Policy], reach: Reach, check: Check, checked: Checked) {
    let Some(place) = Check::ALL.iter().position(|other| *other == check) else { return };
    for (number, policy) in policies.iter_mut().enumerate() {
        let is_only = reach == Reach::To(u16::try_from(number).unwrap_or(u16::MAX));
        let Some(there) = policy.checks.get_mut(place) else { continue };
        if is_only || reach == Reach::All && there.slot == 0 {
            *there = checked;
        }
    }
}

/// The share of one worker; what sources share is told of each.
fn limit(entry: &Entry, workers: u32) -> Option<Limit> {
    let Matter::Limit { per, class, .. } = &entry.rule.matter else { return None };
    let rate = rate_of(&entry.rule.matter).ok().flatten()?;
    let (sharing, rate) = match *per {
        Per::Source { v4_len, v6_len } => (Sharing::Source(Scope::new(v4_len, v6_len)), rate),
        Per::Destination { v4_len, v6_len } => {
            (Sharing::Destination(Scope::new(v4_len, v6_len)), rate.divided(workers))
        }
        Per::Whole => (Sharing::Whole, rate.divided(workers)),
    };
    Some(Limit { rule: entry.rule.id, slot: entry.slot, class: *class, sharing, rate })
}

fn transit_of(Protected { tenant, since, .. }: &Protected) -> transit::Policy {
    let proof = match tenant.syn {
        SynGuard::Off => Proof::Off,
        SynGuard::CookieReset => Proof::CookieReset,
        SynGuard::FirstDrop => Proof::FirstDrop,
    };
    let (tracked, out_of_state, since) = (tenant.flows, tenant.out_of_state, *since);
    transit::Policy {
        syn: syn::Policy { proof, above: tenant.syn_above },
        flows: flows::Policy { tracked, out_of_state, since },
    }
}

const _: () = assert!(RULES_MAX < u16::MAX as usize);
const _: () = assert!(TENANTS_MAX < u16::MAX as usize);
