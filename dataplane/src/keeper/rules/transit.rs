//! Tenants' tunnels and their own rules: entered as they are told, checked and compiled when all changes are there.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use ::firewall::classifier::{Classifier, Sets, Unbuildable};
use ::firewall::rules::{Limit, Ruleset, Unit as RuleUnit};
use shm::limits::{RULESET_LEN_MAX, RULESETS_LEN_MAX, TUNNELS_MAX};
use shm::message::{self, DontFragment, Unit};
use shm::transaction::Obstacle;

use super::{At, Book, Name, Refused, free};
use crate::limits::{COUNTED_RULES_MAX, LIMITED_RULES_MAX};
use crate::packet::{Address, is_no_source};
use crate::site::Site;
use crate::stages::dos::lists::{Lists, SetId};
use crate::stages::dos::rate::Rate;
use crate::stages::dos::{OWN, Subject};
use crate::stages::egress::probe::Inside;
use crate::stages::egress::tunnels::{Ends, Spec, Tunnel, Tunnels};
use crate::stages::tenant::firewall::{Action, Firewall, Limited};

/// A tunnel with its number.
#[derive(Clone, Debug)]
pub(in crate::keeper) struct Laid {
    pub(in crate::keeper) tunnel: Arc<message::Tunnel>,
    pub(in crate::keeper) number: u16,
}

/// What a tenant's rules are, and what they have become.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    text: Arc<Vec<u8>>,
    firewall: Option<Arc<Firewall>>,
    /// Whether they ask for named sets.
    uses_sets: bool,
}

impl Book {
    pub(super) fn enter_tunnel(
        &mut self,
        tunnel: message::Tunnel,
        before: &Self,
    ) -> Result<(), Obstacle> {
        let known = self.tunnels.get(&tunnel.id).or_else(|| before.tunnels.get(&tunnel.id));
        let all = self.tunnels.values().chain(before.tunnels.values());
        let number = match known {
            Some(known) => Some(known.number),
            None => free(TUNNELS_MAX, all.map(|laid| laid.number)),
        };
        let number = number.ok_or(Obstacle::TooManyTunnels)?;
        self.stale.tunnels = true;
        self.tunnels.insert(tunnel.id, Laid { tunnel: Arc::new(tunnel), number });
        Ok(())
    }

    pub(super) fn remove_tunnel(&mut self, id: u32) -> Result<(), Obstacle> {
        self.stale.tunnels = true;
        self.tunnels.remove(&id).map(drop).ok_or(Obstacle::NotThere)
    }

    /// A tenant's rules begin anew.
    pub(super) fn begin_ruleset(&mut self, tenant: u32) {
        self.stale.rulesets.insert(tenant);
        self.written.insert(tenant, Written::default());
    }

    pub(super) fn add_to_ruleset(&mut self, tenant: u32, text: &[u8]) -> Result<(), Obstacle> {
        let written = self.written.get_mut(&tenant).ok_or(Obstacle::NotThere)?;
        if !self.stale.rulesets.contains(&tenant) {
            return Err(Obstacle::NotThere);
        }
        if written.text.len() + text.len() > RULESET_LEN_MAX {
            return Err(Obstacle::RulesTooLong);
        }
        Arc::make_mut(&mut written.text).extend_from_slice(text);
        Ok(())
    }

    /// What goes with a tenant that goes, unless it was told to stay.
    pub(super) fn forget_tenants_rules(&mut self, tenant: u32) {
        self.written.remove(&tenant);
        self.stale.rulesets.remove(&tenant);
    }

    /// Whether each tunnel has a tenant and leads from here to somewhere else, by a way of its own.
    pub(super) fn check_tunnels(
        &self,
        named: &BTreeMap<Name, At>,
        end: At,
        site: &Site,
    ) -> Result<(), Refused> {
        let mut taken = HashSet::new();
        for (id, Laid { tunnel, .. }) in &self.tunnels {
            let refused =
                |obstacle| Err((named.get(&Name::Tunnel(*id)).copied().unwrap_or(end), obstacle));
            if !self.tenants.contains_key(&tunnel.tenant) {
                return refused(Obstacle::NoTenant);
            }
            let remote = Address::from(tunnel.remote);
            let is_clients = site.nat.as_ref().is_some_and(|nat| nat.holds(remote));
            let is_way = site.owns(tunnel.local.into())
                && !site.owns(remote)
                && !is_clients
                && !is_no_source(remote)
                && tunnel.local.is_ipv4() == tunnel.remote.is_ipv4()
                && site.way_to(remote).is_some();
            if !is_way {
                return refused(Obstacle::TunnelEnds);
            }
            if !taken.insert((tunnel.local, tunnel.remote, tunnel.key)) {
                return refused(Obstacle::TunnelTaken);
            }
        }
        Ok(())
    }

    /// Whether a tunnel would lead through itself: to an address that is reached by a tenant's tunnels.
    pub(super) fn check_recursion(
        &self,
        (named, end): (&BTreeMap<Name, At>, At),
    ) -> Result<(), Refused> {
        let leads_back = |laid: &&Laid| self.built.tenants.of(laid.tunnel.remote.into()) != OWN;
        match self.tunnels.values().find(leads_back) {
            None => Ok(()),
            Some(laid) => {
                let at = named.get(&Name::Tunnel(laid.tunnel.id)).copied().unwrap_or(end);
                Err((at, Obstacle::TunnelEnds))
            }
        }
    }

    /// All tunnels as workers read them, but for which of a tenant's a flow takes.
    pub(super) fn tunnels_built(&self, site: &Site, seed: u64) -> Tunnels {
        let mut all = Vec::new();
        for (Laid { tunnel, number }, tenant) in self.laid() {
            let place = usize::from(*number);
            if all.len() <= place {
                all.resize(place + 1, None);
            }
            if let Some(there) = all.get_mut(place) {
                *there = built(tunnel, tenant, site);
            }
        }
        Tunnels::new(all, Vec::new(), seed)
    }

    /// Compiles what was told anew, and what asks for sets that are others; what is as it was before stays.
    pub(super) fn compile(
        &mut self,
        before: &Self,
        (named, end): (&BTreeMap<Name, At>, At),
        workers: u32,
    ) -> Result<(), Refused> {
        let mut due: BTreeSet<u32> = std::mem::take(&mut self.stale.rulesets);
        if self.stale.sets {
            let with_sets = self.written.iter().filter(|(_, written)| written.uses_sets);
            due.extend(with_sets.map(|(tenant, _)| *tenant));
        }
        if due.is_empty() {
            return Ok(());
        }
        let len: usize = self.written.values().map(|written| written.text.len()).sum();
        if len > RULESETS_LEN_MAX {
            return Err((end, Obstacle::RulesTooLong));
        }
        let mut places = Places::new(self, before);
        for tenant in due {
            let at = named.get(&Name::Ruleset(tenant)).copied().unwrap_or(end);
            let Some(written) = self.written.get(&tenant) else { continue };
            if !self.tenants.contains_key(&tenant) {
                return Err((at, Obstacle::NoTenant));
            }
            let same = before.written.get(&tenant).filter(|old| old.text == written.text);
            let new = match same {
                Some(old) if !old.uses_sets => old.clone(),
                // Where only sets have changed, what rules count and have let through stays theirs.
                _ => self
                    .compiled(&written.text, same, (&mut places, workers))
                    .map_err(|obstacle| (at, obstacle))?,
            };
            self.written.insert(tenant, new);
        }
        Ok(())
    }

    fn compiled(
        &self,
        text: &Arc<Vec<u8>>,
        same: Option<&Written>,
        (places, workers): (&mut Places, u32),
    ) -> Result<Written, Obstacle> {
        if text.is_empty() {
            return Ok(Written { text: Arc::clone(text), ..Written::default() });
        }
        let words = std::str::from_utf8(text).map_err(|_| Obstacle::BadRules)?;
        let ruleset = ::firewall::parse(words).map_err(|_| Obstacle::BadRules)?;
        let uses_sets = ::firewall::sets(&ruleset).next().is_some();
        let lists = &self.built.sets;
        let sets = Sets {
            count: lists.sets(),
            lists: &|class| slots_of(lists, class),
            number: &|name| self.set_number(name),
        };
        let classifier = Classifier::build(&ruleset, &sets).map_err(|error| match error {
            Unbuildable::TooManyRules(_)
            | Unbuildable::TooManyPassing(_)
            | Unbuildable::UnknownSet(..)
            | Unbuildable::TooManyRanges(_)
            | Unbuildable::TooManyClasses(_)
            | Unbuildable::TooLarge(_) => Obstacle::BadRules,
        })?;
        let known = same.and_then(|same| same.firewall.as_ref());
        let actions = match known {
            Some(known) => known.actions().to_vec(),
            None => places.actions(&ruleset, workers)?,
        };
        let firewall = Arc::new(Firewall::new(classifier, actions, ruleset.policy));
        Ok(Written { text: Arc::clone(text), firewall: Some(firewall), uses_sets })
    }

    /// The slot of a named set: in the text that control sends, its name is the number of its rule.
    fn set_number(&self, name: &str) -> Option<u16> {
        let entry = self.rules.get(&name.parse().ok()?)?;
        matches!(entry.rule.matter, message::Matter::Set).then_some(entry.slot)
    }

    /// Tenants' firewalls by their numbers less one.
    pub(super) fn firewalls(&self, count: usize) -> Vec<Option<Arc<Firewall>>> {
        let mut firewalls = vec![None; count];
        for (tenant, written) in &self.written {
            let number = self.tenants.get(tenant).map(|known| usize::from(known.number) - 1);
            if let Some(place) = number.and_then(|number| firewalls.get_mut(number)) {
                place.clone_from(&written.firewall);
            }
        }
        firewalls
    }

    /// Tunnels with the numbers of their tenants.
    pub(in crate::keeper) fn laid(&self) -> impl Iterator<Item = (&Laid, u16)> {
        let number = |laid: &Laid| Some(self.tenants.get(&laid.tunnel.tenant)?.number);
        self.tunnels.values().filter_map(move |laid| Some((laid, number(laid)?)))
    }

    /// Tenants with their numbers and the rules of theirs that are counted.
    pub(in crate::keeper) fn counted(
        &self,
    ) -> impl Iterator<Item = (u32, u16, Option<&Arc<Firewall>>)> {
        self.tenants.iter().map(|(id, known)| {
            (*id, known.number, self.written.get(id).and_then(|written| written.firewall.as_ref()))
        })
    }
}

/// A tunnel as workers read it; its ends were checked.
fn built(tunnel: &message::Tunnel, tenant: Subject, site: &Site) -> Option<Tunnel> {
    let (port, face) = site.way_to(tunnel.remote.into())?;
    let ends = Ends { local: tunnel.local.into(), remote: tunnel.remote.into(), key: tunnel.key };
    Tunnel::new(&Spec {
        id: tunnel.id,
        tenant,
        ends,
        port,
        port_mtu: u16::try_from(face.mtu).unwrap_or(u16::MAX),
        mtu: tunnel.mtu,
        checksum: tunnel.checksum,
        clears_df: tunnel.dont_fragment == DontFragment::Clear,
        inside: tunnel.probe.and_then(|probe| Inside::new(probe.local.into(), probe.remote.into())),
    })
}

/// The lists in a set, by its number.
fn slots_of(lists: &Lists, class: usize) -> &[u16] {
    SetId::of(class).map(|id| lists.slots(id)).unwrap_or_default()
}

/// The places in workers' tables that no rule has: neither of those in force nor of those to come.
struct Places {
    slots: Vec<bool>,
    buckets: Vec<bool>,
    next: (usize, usize),
}

impl Places {
    fn new(book: &Book, before: &Book) -> Self {
        let mut places = Self {
            slots: vec![false; COUNTED_RULES_MAX],
            buckets: vec![false; LIMITED_RULES_MAX],
            next: (0, 0),
        };
        let all = book.written.values().chain(before.written.values());
        for firewall in all.filter_map(|written| written.firewall.as_ref()) {
            for (_, slot, _) in firewall.counted() {
                mark(&mut places.slots, slot as usize);
            }
            for bucket in firewall.buckets() {
                mark(&mut places.buckets, bucket.into());
            }
        }
        places
    }

    fn actions(&mut self, ruleset: &Ruleset, workers: u32) -> Result<Vec<Action>, Obstacle> {
        let mut actions = Vec::with_capacity(ruleset.rules.len());
        for rule in &ruleset.rules {
            let slot = if rule.counter { Some(self.slot()?) } else { None };
            let limit = match &rule.limit {
                Some(limit) => Some(self.limited(limit, workers)?),
                None => None,
            };
            actions.push(Action { verdict: rule.verdict, slot, limit });
        }
        Ok(actions)
    }

    fn slot(&mut self) -> Result<u32, Obstacle> {
        let slot = next_free(&mut self.slots, &mut self.next.0).ok_or(Obstacle::TooManyCounters)?;
        u32::try_from(slot).map_err(|_| Obstacle::TooManyCounters)
    }

    fn limited(&mut self, limit: &Limit, workers: u32) -> Result<Limited, Obstacle> {
        let unit = match limit.unit {
            RuleUnit::Packets => Unit::Packets,
            RuleUnit::Octets => Unit::Octets,
        };
        let rate = Rate::in_period(unit, (limit.rate, limit.per.time()), limit.burst);
        let rate = rate.map_err(|_| Obstacle::BadLimit)?.divided(workers);
        let bucket =
            next_free(&mut self.buckets, &mut self.next.1).ok_or(Obstacle::TooManyCounters)?;
        let bucket = u16::try_from(bucket).map_err(|_| Obstacle::TooManyCounters)?;
        Ok(Limited { bucket, rate, over: limit.over })
    }
}

fn mark(places: &mut [bool], at: usize) {
    if let Some(place) = places.get_mut(at) {
        *place = true;
    }
}

/// The first place from `from` on that is free, which is taken then.
fn next_free(places: &mut [bool], from: &mut usize) -> Option<usize> {
    let offset = places.get(*from..)?.iter().position(|taken| !taken)?;
    let at = *from + offset;
    mark(places, at);
    *from = at + 1;
    Some(at)
}
