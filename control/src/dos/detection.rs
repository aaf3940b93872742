//! Detection: what of the traffic is too heavy becomes a rule for a while. No clock and no socket: time, and who speaks
//! from where, are told.
//!
//! A source is a list of its own: so its rule has a name, counts and an end, and the dataplane ends it also when control
//! is gone. In the dataplane all lists are one table, so this costs a packet nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ipnet::IpNet;
use shm::message::{Heavy, Instruction, Pattern};

use super::journal::{Happened, What};
use super::offender::{Offender, UDP, source_name};
use super::{Round, Sighting};
use crate::model::dos::{ListKind, Matter, Mode, Prefixes, Reach};
use crate::model::{Book, Change, Detect, Origin, Rule};

/// Automatic rules at a time: an attack by many leaves room for rules of the operator's.
pub const AUTOMATIC_MAX: usize = 1024;

/// So many sources of one neighbourhood become one when there is no room for them all.
const NEIGHBOURS_MIN: usize = 4;

/// Seconds for which what was told of somebody is not told again, from when there was a reason last.
const SILENCE: u64 = 60;

/// Of so many it is remembered what was told; of others nothing is told meanwhile, so that forged sources fill no log.
const SILENT_MAX: usize = 4096;

/// What is sometimes asked while a plan is made.
pub struct Surroundings<'a> {
    /// Which of these prefixes a client or a server of the fleet speaks from.
    pub speaking: &'a dyn Fn(&HashSet<IpNet>) -> HashSet<IpNet>,
    /// Compiles an expression.
    pub compile: &'a dyn Fn(&str) -> Result<Vec<Instruction>, String>,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Surroundings(..)")
    }
}

/// What is to be done, each change with what the journal says when it is.
#[derive(Debug, Default)]
pub struct Plan {
    /// Changes.
    pub acts: Vec<(Vec<Change>, Happened)>,
    /// What is not done, and why.
    pub told: Vec<Happened>,
}

/// What detection remembers from round to round.
#[derive(Debug, Default)]
pub struct Detection {
    /// What was told of somebody, not to be told again before this time.
    silent: HashMap<Arc<str>, u64>,
    /// The names of rules of all who were heavier than allowed in the last round.
    over: HashSet<Arc<str>>,
}

impl Detection {
    /// What follows from a round.
    pub fn plan(
        &mut self,
        round: &Round,
        book: &Book,
        now: u64,
        around: &Surroundings<'_>,
    ) -> Plan {
        self.silent.retain(|_, until| *until > now);
        let over_before = std::mem::take(&mut self.over);
        let detect = book.detect().filter(|detect| detect.mode != Mode::Off);
        let Some(detect) = detect else { return Plan::default() };
        let sightings = round.sightings.iter();
        let offenders = sightings.filter_map(|sighting| Offender::of(sighting, detect, book));
        let mut offenders: Vec<Offender> =
            offenders.map(|offender| in_neighbourhood(offender, book)).collect();
        // The heaviest first, in case that there is no room for all; of those with one rule, it alone.
        offenders.sort_by_key(|offender| std::cmp::Reverse(offender.sighting.packets));
        let mut seen = HashSet::new();
        offenders.retain(|offender| seen.insert(Arc::clone(&offender.name)));
        if offenders.is_empty() {
            return Plan::default();
        }
        let over = offenders.iter().filter(|offender| offender.is_over);
        self.over = over.map(|offender| Arc::clone(&offender.name)).collect();
        let speaking = (around.speaking)(&sources(&offenders));
        let automatic: Vec<&Arc<Rule>> =
            book.rules_after(0).filter(|rule| rule.is_automatic()).collect();
        let (plan, gone) = (Plan::default(), HashSet::new());
        let made = HashSet::new();
        let mut planning = Planning {
            detect,
            book,
            now,
            around,
            speaking,
            over_before,
            automatic,
            gone,
            made,
            plan,
            silent: &mut self.silent,
        };
        for offender in &offenders {
            planning.judge(offender);
        }
        planning.plan
    }

    /// Rounds are missed: the next one follows none.
    pub fn interrupt(&mut self) {
        self.over.clear();
    }

    /// Whether something may be told of a rule, which then is not told again for a while.
    pub fn may_tell(&mut self, rule: &str, now: u64) -> bool {
        may_tell(&mut self.silent, rule.into(), now)
    }

    /// Tells of a rule again what was told before.
    pub fn forget(&mut self, rule: &str) {
        self.silent.remove(rule);
    }
}

fn may_tell(silent: &mut HashMap<Arc<str>, u64>, rule: Arc<str>, now: u64) -> bool {
    let has_room = silent.len() < SILENT_MAX || silent.contains_key(&rule);
    has_room && silent.insert(rule, now + SILENCE).is_none()
}

/// The prefixes of all sources, and their neighbourhoods.
fn sources(offenders: &[Offender]) -> HashSet<IpNet> {
    let prefixes = offenders.iter().filter_map(|offender| match offender.sighting.what {
        Heavy::Source(prefix) => Some(prefix),
        Heavy::Destination { .. } | Heavy::Pattern(_) => None,
    });
    prefixes.flat_map(|prefix| [prefix, wide(prefix)]).collect()
}

/// The neighbourhood of a source: what one network mostly has at least.
fn wide(prefix: IpNet) -> IpNet {
    let len = match prefix {
        IpNet::V4(_) => 24,
        IpNet::V6(_) => 48,
    };
    let len = len.min(prefix.prefix_len());
    IpNet::new(prefix.addr(), len).map_or(prefix, |net| net.trunc())
}

/// A source whose neighbourhood has a rule already is a reason for that rule.
fn in_neighbourhood(offender: Offender, book: &Book) -> Offender {
    let Heavy::Source(prefix) = offender.sighting.what else { return offender };
    let wide = wide(prefix);
    let name = source_name(wide);
    if book.rule_named(&name).is_none() {
        return offender;
    }
    let sighting = Sighting { what: Heavy::Source(wide), ..offender.sighting };
    Offender { name: name.into(), sighting, ..offender }
}

struct Planning<'a> {
    detect: &'a Detect,
    book: &'a Book,
    now: u64,
    around: &'a Surroundings<'a>,
    speaking: HashSet<IpNet>,
    /// See [`Detection::over`]; of the round before.
    over_before: HashSet<Arc<str>>,
    /// Automatic rules of the book.
    automatic: Vec<&'a Arc<Rule>>,
    /// Those that go by this plan.
    gone: HashSet<u32>,
    /// Names of those that come.
    made: HashSet<Arc<str>>,
    plan: Plan,
    silent: &'a mut HashMap<Arc<str>, u64>,
}

impl Planning<'_> {
    fn judge(&mut self, offender: &Offender) {
        let old = self.book.rule_named(&offender.name);
        let old = old.filter(|old| !self.gone.contains(&old.id)).cloned();
        let obstacle = self.obstacle(offender);
        match (old, obstacle) {
            (Some(old), Some(why)) => self.give_up(&old, offender, &why),
            (Some(old), None) => self.prolong(&old, offender),
            (None, _) if !self.is_reason(offender) => {}
            (None, Some(why)) => self.tell(What::NotEnforced, offender, &why),
            (None, None) if self.count() < AUTOMATIC_MAX => self.make(offender),
            (None, None) => self.widen(offender),
        }
    }

    /// Whether somebody is a reason for a rule of his own. Rates are estimated from samples, so one round says little.
    fn is_reason(&self, offender: &Offender) -> bool {
        offender.is_over
            && self.over_before.contains(&offender.name)
            && !offender.is_network()
            && !self.is_in_wider(offender)
    }

    /// Why somebody is spared, if he is.
    fn obstacle(&self, offender: &Offender) -> Option<String> {
        let Heavy::Source(prefix) = offender.sighting.what else {
            let spares = may_be_clients(&offender.sighting.what);
            return spares.then(|| "clients' own packets look so too; declare a rule".to_owned());
        };
        if self.speaking.contains(&prefix) {
            return Some("a client or a server of the fleet speaks from there".to_owned());
        }
        let allows = |rule: &&Arc<Rule>| match &rule.matter {
            Matter::List(ListKind::Allow, prefixes) => {
                rule.mode == Mode::Enforce
                    && rule.reach == Reach::All
                    && prefixes.cover(prefix.network())
                    && prefixes.cover(prefix.broadcast())
            }
            Matter::List(..) | Matter::Signature { .. } | Matter::Limit(_) | Matter::Check(_) => {
                false
            }
        };
        let list = self.book.rules_after(0).find(allows)?;
        Some(format!("it is in allow list {}", list.name))
    }

    /// How many automatic rules there will be.
    fn count(&self) -> usize {
        self.automatic.len() + self.made.len() - self.gone.len()
    }

    /// Whether a rule of its neighbourhood comes by this plan, and does for a source.
    fn is_in_wider(&self, offender: &Offender) -> bool {
        let Heavy::Source(prefix) = offender.sighting.what else { return false };
        self.made.contains(&*source_name(wide(prefix)))
    }

    fn make(&mut self, offender: &Offender) {
        match offender.matter(self.detect, self.around.compile) {
            Ok(matter) => {
                let rule = self.rule(offender, matter);
                let happened = self.happened(What::Made, offender, "");
                self.made.insert(Arc::clone(&offender.name));
                self.plan.acts.push((vec![Change::PutRule(rule)], happened));
            }
            Err(wrong) => self.tell(What::NotEnforced, offender, &wrong),
        }
    }

    /// Puts the end off, when a quarter of its time is gone: not with each round. What the settings say otherwise than
    /// when the rule was made is said at once.
    fn prolong(&mut self, old: &Rule, offender: &Offender) {
        let matter = match offender.sighting.what {
            // The limit is the declared rate.
            Heavy::Destination { .. } => offender.matter(self.detect, self.around.compile),
            Heavy::Source(_) | Heavy::Pattern(_) => Ok(old.matter.clone()),
        };
        let matter = matter.unwrap_or_else(|_| old.matter.clone());
        let left = old.expires.unwrap_or(u64::MAX).saturating_sub(self.now);
        let is_due = left <= self.detect.hold - self.detect.hold.div_ceil(4);
        if !is_due && old.mode == self.detect.mode && old.matter == matter {
            return;
        }
        let rule = self.rule(offender, matter);
        let happened = self.happened(What::Prolonged, offender, "");
        self.plan.acts.push((vec![Change::PutRule(rule)], happened));
    }

    /// Takes out a rule whose source is spared from now on.
    fn give_up(&mut self, old: &Rule, offender: &Offender, why: &str) {
        let happened = self.happened(What::Removed, offender, why);
        self.gone.insert(old.id);
        let change = Change::RemoveRule(Arc::clone(&old.name));
        self.plan.acts.push((vec![change], happened));
    }

    /// There is no room: of sources of one neighbourhood one rule is made, else none.
    fn widen(&mut self, offender: &Offender) {
        let full = format!("there are {AUTOMATIC_MAX} automatic rules already");
        let Heavy::Source(prefix) = offender.sighting.what else {
            return self.tell(What::NotEnforced, offender, &full);
        };
        let wide = wide(prefix);
        let neighbours: Vec<&Arc<Rule>> = self
            .automatic
            .iter()
            .filter(|rule| !self.gone.contains(&rule.id) && is_source_within(rule, wide))
            .copied()
            .collect();
        if neighbours.len() < NEIGHBOURS_MIN || self.speaking.contains(&wide) {
            return self.tell(What::NotEnforced, offender, &full);
        }
        let name: Arc<str> = source_name(wide).into();
        let matter = Matter::List(ListKind::Block, vec![wide].into());
        let rule = Rule { name: Arc::clone(&name), ..self.rule(offender, matter) };
        let why = format!("in place of {} rules of its neighbourhood", neighbours.len());
        let mut happened = self.happened(What::Made, offender, &why);
        happened.rule = name.to_string();
        let mut changes = vec![Change::PutRule(rule)];
        for rule in neighbours {
            self.gone.insert(rule.id);
            changes.push(Change::RemoveRule(Arc::clone(&rule.name)));
        }
        self.made.insert(name);
        self.plan.acts.push((changes, happened));
    }

    fn rule(&self, offender: &Offender, matter: Matter) -> Rule {
        Rule {
            name: Arc::clone(&offender.name),
            id: 0,
            mode: self.detect.mode,
            reach: offender.reach.clone(),
            expires: Some(self.now + self.detect.hold),
            matter,
            origin: Origin::Detection,
        }
    }

    /// Tells what is not done, once for each flood.
    fn tell(&mut self, what: What, offender: &Offender, why: &str) {
        if may_tell(self.silent, Arc::clone(&offender.name), self.now) {
            let happened = self.happened(what, offender, why);
            self.plan.told.push(happened);
        }
    }

    fn happened(&self, what: What, offender: &Offender, more: &str) -> Happened {
        let mut why = offender.why();
        if !more.is_empty() {
            why = format!("{why}: {more}");
        }
        let makes = matches!(what, What::Made | What::Prolonged);
        if makes && self.detect.mode == Mode::Monitor {
            why += "; counted alone, for detection is in monitor mode";
        }
        if let Reach::Tenant(name) = &offender.reach
            && makes
            && self.book.tenant_named(name).is_some_and(|tenant| tenant.mode != Mode::Enforce)
        {
            why = format!("{why}; not enforced, for tenant {name} is in monitor mode or off");
        }
        Happened {
            what,
            rule: offender.name.to_string(),
            by: "detection".to_owned(),
            why,
            packets: Some(offender.sighting.packets),
            octets: Some(offender.sighting.octets),
            dropped: Some(offender.sighting.dropped),
        }
    }
}

/// Whether a rule is that of a source of a neighbourhood, and not of the whole.
fn is_source_within(rule: &Rule, wide: IpNet) -> bool {
    let Some([prefix]) = rule.prefixes().map(Prefixes::as_slice) else { return false };
    *prefix != wide && wide.contains(prefix)
}

/// Whether what is heavy may be the clients themselves: all of them send UDP to our own addresses, one of them alone can
/// make a pattern, and each may listen at whatever port he likes, that of a well-known service too.
const fn may_be_clients(what: &Heavy) -> bool {
    match what {
        Heavy::Source(_) => false,
        Heavy::Destination { tenant, .. } => tenant.is_none(),
        Heavy::Pattern(Pattern { tenant, protocol, .. }) => tenant.is_none() && *protocol == UDP,
    }
}

#[cfg(test)]
mod tests;
