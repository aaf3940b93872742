//! The rules as the keeper knows them: what control has told, the slots under which workers count it, and what workers
//! read. A book is drafted aside, and takes the other's place as a whole.

mod build;
mod counts;
mod seen;
mod transit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cbpf::{Instruction, Program};
use ipnet::IpNet;
use shm::limits::{LISTED_MAX, RULES_MAX, TENANTS_MAX};
use shm::message::{self, Item, Matter, Mode, Per, Unit};
use shm::transaction::Obstacle;
use wireguard::time::Instant;

use crate::site::Site;
use crate::stages::dos::lists::{Lists, Master};
use crate::stages::dos::rate::Rate;
use crate::stages::dos::{Rules, Subject, Tenants};
use crate::stages::egress::tunnels::Tunnels;

pub(super) use counts::Counts;
pub(super) use seen::Seen;
pub(super) use transit::Laid;
use transit::Written;

/// A rule with its slot.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    rule: Arc<message::Rule>,
    slot: u16,
    /// Of a signature.
    program: Option<Arc<Program>>,
}

/// A tenant with its number.
#[derive(Clone, Debug)]
pub(super) struct Protected {
    tenant: Arc<message::Tenant>,
    number: Subject,
    /// Since when its flows are tracked.
    since: Instant,
}

/// All tenants and rules.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    tenants: BTreeMap<u32, Protected>,
    rules: BTreeMap<u32, Entry>,
    lists: Master,
    /// The named sets that tenants' own rules ask for.
    sets: Master,
    tunnels: BTreeMap<u32, Laid>,
    /// Tenants' own rules.
    written: BTreeMap<u32, Written>,
    built: Built,
    /// What has changed since it was built.
    stale: Stale,
}

/// What is dear to build, and stays as long as nothing in it changes.
#[derive(Clone, Debug, Default)]
struct Built {
    tenants: Arc<Tenants>,
    lists: Arc<Lists>,
    sets: Arc<Lists>,
    tunnels: Arc<Tunnels>,
    signatures: Arc<cbpf::Set>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a part that is built by itself")]
struct Stale {
    tenants: bool,
    lists: bool,
    sets: bool,
    tunnels: bool,
    signatures: bool,
    /// Tenants whose rules were told.
    rulesets: BTreeSet<u32>,
}

impl Stale {
    fn all() -> Self {
        let rulesets = BTreeSet::new();
        Self { tenants: true, lists: true, sets: true, tunnels: true, signatures: true, rulesets }
    }
}

/// A message among a transaction's items, by its number.
type At = u64;

/// What is in the way, and at which message.
type Refused = (At, Obstacle);

/// What a book is drafted for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) site: &'a Site,
    /// Secret, for the tables of signatures.
    pub(super) seed: u64,
    /// The Unix time now.
    pub(super) unix: Duration,
    /// Now.
    pub(super) now: Instant,
}

impl Book {
    /// A book with these changes, and what workers read of it; with `anew`, of nothing else. What is in the way is told with
    /// the number of its message, or `end` when it is all of them together.
    pub(super) fn draft(
        &self,
        items: Vec<(At, Item)>,
        (anew, end): (bool, At),
        surroundings: Surroundings<'_>,
    ) -> Result<(Self, Arc<Rules>), Refused> {
        let mut next = if anew { Self::default() } else { self.clone() };
        if anew {
            next.stale = Stale::all();
        }
        let mut named = BTreeMap::new();
        for (at, item) in items {
            let what = (item, &mut named, at);
            next.enter(what, self, surroundings.now).map_err(|obstacle| (at, obstacle))?;
        }
        next.check(&named, end, surroundings.site)?;
        let rules = next.rebuild(self, (&named, end), surroundings)?;
        Ok((next, rules))
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.tenants.is_empty() && self.rules.is_empty() && self.tunnels.is_empty()
    }

    fn enter(
        &mut self,
        (item, named, at): (Item, &mut BTreeMap<Name, At>, At),
        before: &Self,
        now: Instant,
    ) -> Result<(), Obstacle> {
        match item {
            Item::Tenant(tenant) => {
                named.insert(Name::Tenant(tenant.id), at);
                self.enter_tenant(*tenant, before, now)
            }
            Item::TenantRemove(id) => {
                self.stale.tenants = true;
                self.forget_tenants_rules(id);
                self.tenants.remove(&id).map(drop).ok_or(Obstacle::NotThere)
            }
            Item::Rule(rule) => {
                named.insert(Name::Rule(rule.id), at);
                self.enter_rule(*rule, before)
            }
            Item::Tunnel(tunnel) => {
                named.insert(Name::Tunnel(tunnel.id), at);
                self.enter_tunnel(*tunnel, before)
            }
            Item::TunnelRemove(id) => self.remove_tunnel(id),
            Item::Ruleset(tenant) => {
                named.insert(Name::Ruleset(tenant), at);
                self.begin_ruleset(tenant);
                Ok(())
            }
            Item::RulesetText { tenant, text } => self.add_to_ruleset(tenant, &text),
            Item::RuleRemove(id) => self.remove_rule(id),
            Item::Listed { rule, prefixes } => self.list(rule, &prefixes, true),
            Item::Unlisted { rule, prefixes } => self.list(rule, &prefixes, false),
            // No others are given to it.
            Item::Peer(_)
            | Item::PeerRemove(_)
            | Item::Route { .. }
            | Item::RouteRemove(_)
            | Item::NextHop { .. }
            | Item::NextHopRemove(_)
            | Item::Centre(_)
            | Item::Machines { .. }
            | Item::CentreRemove(_)
            | Item::Fleet(_)
            | Item::FleetRemove => Ok(()),
        }
    }

    fn enter_tenant(
        &mut self,
        tenant: message::Tenant,
        before: &Self,
        now: Instant,
    ) -> Result<(), Obstacle> {
        let known = self.tenants.get(&tenant.id).or_else(|| before.tenants.get(&tenant.id));
        let all = self.tenants.values().chain(before.tenants.values());
        let number = match known {
            Some(known) => Some(known.number),
            None => free(TENANTS_MAX, all.map(|one| one.number)),
        };
        let number = number.ok_or(Obstacle::TooManyTenants)?;
        self.stale.tenants = true;
        let since = known.filter(|known| learns(known, &tenant)).map_or(now, |known| known.since);
        let id = tenant.id;
        self.tenants.insert(id, Protected { tenant: Arc::new(tenant), number, since });
        Ok(())
    }

    fn enter_rule(&mut self, rule: message::Rule, before: &Self) -> Result<(), Obstacle> {
        let known = self.rules.get(&rule.id).or_else(|| before.rules.get(&rule.id));
        let slot = match known {
            Some(entry) => entry.slot,
            None => self.free_slot(before).ok_or(Obstacle::TooManyRules)?,
        };
        let program = match &rule.matter {
            Matter::Signature(instructions) => Some(Arc::new(verified(instructions)?)),
            Matter::Limit { .. } => rate_of(&rule.matter).map(|_| None)?,
            Matter::Block | Matter::Allow | Matter::Set | Matter::Check(_) => None,
        };
        let former = self.rules.get(&rule.id);
        // An empty set is told from none by its name alone.
        let is_set = |matter: &Matter| matches!(matter, Matter::Set);
        self.stale.sets |=
            is_set(&rule.matter) != former.is_some_and(|old| is_set(&old.rule.matter));
        self.stale.signatures |=
            program.is_some() || former.is_some_and(|former| former.program.is_some());
        if former.is_some_and(|former| former.rule.matter != rule.matter) {
            self.clear(slot);
        }
        self.rules.insert(rule.id, Entry { rule: Arc::new(rule), slot, program });
        Ok(())
    }

    /// Slots of rules that go are free only afterwards: workers count under them until then.
    fn free_slot(&self, before: &Self) -> Option<u16> {
        let all = self.rules.values().chain(before.rules.values());
        free(RULES_MAX, all.map(|entry| entry.slot))
    }

    fn remove_rule(&mut self, id: u32) -> Result<(), Obstacle> {
        let entry = self.rules.remove(&id).ok_or(Obstacle::NotThere)?;
        self.stale.signatures |= entry.program.is_some();
        self.stale.sets |= matches!(entry.rule.matter, Matter::Set);
        self.clear(entry.slot);
        Ok(())
    }

    fn clear(&mut self, slot: u16) {
        // What the same transaction has put there counts as well.
        for (lists, stale) in
            [(&mut self.lists, &mut self.stale.lists), (&mut self.sets, &mut self.stale.sets)]
        {
            lists.settle();
            if lists.count(slot) > 0 {
                lists.clear(slot);
                *stale = true;
            }
        }
    }

    fn list(&mut self, rule: u32, prefixes: &[IpNet], put: bool) -> Result<(), Obstacle> {
        let entry = self.rules.get(&rule).ok_or(Obstacle::NoRule)?;
        let (lists, stale) = match entry.rule.matter {
            Matter::Block | Matter::Allow => (&mut self.lists, &mut self.stale.lists),
            Matter::Set => (&mut self.sets, &mut self.stale.sets),
            Matter::Signature(_) | Matter::Limit { .. } | Matter::Check(_) => {
                return Err(Obstacle::NotAList);
            }
        };
        if put {
            lists.add(entry.slot, prefixes);
        } else {
            lists.remove(entry.slot, prefixes);
        }
        *stale = true;
        Ok(())
    }

    /// What only shows when all changes are there.
    fn check(&mut self, named: &BTreeMap<Name, At>, end: At, site: &Site) -> Result<(), Refused> {
        let place = |name| named.get(&name).copied().unwrap_or(end);
        for entry in self.rules.values() {
            if let message::Reach::Tenant(id) = entry.rule.reach
                && !self.tenants.contains_key(&id)
            {
                let (at, obstacle) = match named.get(&Name::Rule(entry.rule.id)) {
                    Some(at) => (*at, Obstacle::NoTenant),
                    None => (end, Obstacle::TenantInUse),
                };
                return Err((at, obstacle));
            }
        }
        if self.stale.lists {
            self.lists.settle();
        }
        if self.stale.sets {
            self.sets.settle();
        }
        if self.lists.len() + self.sets.len() > LISTED_MAX {
            return Err((end, Obstacle::TooManyPrefixes));
        }
        if self.stale.tenants || self.stale.tunnels {
            self.check_tunnels(named, end, site)?;
        }
        if self.stale.tenants {
            let id = overlapping(&self.tenants, site);
            return id.map_or(Ok(()), |id| Err((place(Name::Tenant(id)), Obstacle::TenantPrefix)));
        }
        Ok(())
    }

    fn slots(&self) -> impl Iterator<Item = (u32, u16)> {
        self.rules.iter().map(|(id, entry)| (*id, entry.slot))
    }
}

/// Whether all of a tenant's flows have been followed as before, so that those under way are known.
fn learns(known: &Protected, tenant: &message::Tenant) -> bool {
    let before = &known.tenant;
    let has = |net: &IpNet| before.prefixes.iter().any(|other| other.contains(net));
    before.flows && before.mode == Mode::Enforce && tenant.prefixes.iter().all(has)
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Tenant(u32),
    Rule(u32),
    Tunnel(u32),
    /// A tenant's rules.
    Ruleset(u32),
}

/// The first number from 1 to `max` that is not taken.
fn free(max: usize, taken: impl Iterator<Item = u16>) -> Option<u16> {
    let mut is_taken = vec![false; max + 1];
    for number in taken {
        if let Some(place) = is_taken.get_mut(usize::from(number)) {
            *place = true;
        }
    }
    let first = is_taken.iter().skip(1).position(|is_taken| !is_taken)?;
    u16::try_from(first + 1).ok()
}

fn verified(instructions: &[message::Instruction]) -> Result<Program, Obstacle> {
    let instructions: Vec<Instruction> = instructions
        .iter()
        .map(|&message::Instruction { code, jt, jf, k }| Instruction { code, jt, jf, k })
        .collect();
    Program::verify(&instructions).map_err(|_| Obstacle::BadProgram)
}

/// The rate of a limit; none of what is no limit.
fn rate_of(matter: &Matter) -> Result<Option<Rate>, Obstacle> {
    let Matter::Limit { unit, per_second, burst, per, .. } = matter else { return Ok(None) };
    if let Per::Source { v4_len, v6_len } | Per::Destination { v4_len, v6_len } = per
        && (*v4_len > 32 || *v6_len > 128)
    {
        return Err(Obstacle::BadLimit);
    }
    let rate = match unit {
        Unit::Packets => Rate::packets(*per_second, *burst),
        Unit::Octets => Rate::octets(*per_second, *burst),
    };
    rate.map(Some).map_err(|_| Obstacle::BadLimit)
}

/// A tenant with a prefix that another one has or that holds an address of ours.
fn overlapping(tenants: &BTreeMap<u32, Protected>, site: &Site) -> Option<u32> {
    let mut all: Vec<(IpNet, u32)> = tenants
        .values()
        .flat_map(|Protected { tenant, .. }| tenant.prefixes.iter().map(|net| (*net, tenant.id)))
        .collect();
    // What holds a prefix stands before it, and all that it holds right behind it.
    all.sort_unstable_by_key(|(net, _)| (net.network(), net.prefix_len()));
    let mut around: Vec<(IpNet, u32)> = Vec::new();
    for (net, id) in all {
        while around.pop_if(|(outer, _)| !outer.contains(&net)).is_some() {}
        if around.iter().any(|(_, other)| *other != id) || holds_ours(net, site) {
            return Some(id);
        }
        around.push((net, id));
    }
    None
}

/// Whether what is sent there may be for this server, or for a client whose packets went out by an address of the server's.
fn holds_ours(net: IpNet, site: &Site) -> bool {
    site.nat.as_ref().is_some_and(|nat| nat.overlaps(&net))
        || site.faces.iter().any(|face| face.addresses.iter().any(|own| net.contains(&own.addr())))
}
